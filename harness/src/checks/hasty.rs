//! Clients that ask and are gone before the answer: the worker finds a broken connection while it is
//! still in the request's handler.

use std::sync::Arc;

use anyhow::{Result, ensure};

use crate::config::{Config, Hub};
use crate::http::Connection;
use crate::hub::{Admin, HubAddress};
use crate::nginx::Setup;

const CLIENTS: usize = 3_000;

/// So long that the answer to a subscriber cannot fit into its socket's buffers.
const CONTENT: usize = 900_000;

pub async fn run(setup: Arc<Setup>) -> Result<String> {
    let hub = Hub::new("main")
        .set("zone", "64m")
        .set("max_subscribers_per_channel", CLIENTS)
        .set("polling_timeout", "300s");
    let nginx = setup.start(Config::new(1, [hub])).await?;
    let hub = HubAddress {
        address: nginx.address,
        name: "main",
    };
    let mut admin = Admin::new(hub);
    admin.must_push("long", &"x".repeat(CONTENT)).await?;
    let before = nginx.serving_workers();
    for index in 0..CLIENTS {
        let mut connection = Connection::open(hub.address).await?;
        let front = |endpoint| format!("{}&seq=1", hub.front(endpoint, "long"));
        match index % 6 {
            0 => connection.get(&front("sse"), "").await?,
            1 => connection.get(&front("stream"), "").await?,
            2 => connection.get(&front("iframe"), "").await?,
            3 => connection.get(&front("sub"), "").await?,
            4 => connection.get(&hub.admin("psub"), "").await?,
            _ => {
                let target = hub.admin("push");
                connection.post(&target, "cname=hasty&content=x").await?;
            }
        }
        connection.socket().set_zero_linger()?;
    }
    admin.await_subscribers(None, 0).await?;
    ensure!(
        nginx.serving_workers() == before,
        "the worker did not survive"
    );
    drop(admin);
    nginx.stop(&[]).await?;
    Ok(format!(
        "{CLIENTS} clients gone before their answer: none counted, the worker lives"
    ))
}
