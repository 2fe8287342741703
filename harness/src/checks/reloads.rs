//! Reloads in a row over waiting subscribers: the short form of `icomet-harness reloads`.

use std::sync::Arc;

use anyhow::Result;

use crate::nginx::Setup;
use crate::reloads::{self, Options};

pub async fn run(setup: Arc<Setup>) -> Result<String> {
    let options = Options {
        subscribers: 1_000,
        rate: 500,
        reloads: 4,
        expect_unbroken: true,
        ..Options::default()
    };
    reloads::run(&setup, &options, |_| {}).await
}
