//! Bodies of the JSON API that are escapes and nothing else.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::io::AsyncWriteExt;
use tokio::time::MissedTickBehavior;

use super::{Attack, Field, config};
use crate::config::{Config, Hub};
use crate::http::{Connection, HttpError};

const MEGABYTE: usize = 1 << 20;
/// Bytes of a body.
const BYTES: usize = 54 * MEGABYTE;
/// From one body to the next: two gigabits a second.
const PACE: Duration = Duration::from_millis(216);

/// Of a back end, where nginx was told to take such bodies.
pub struct Escapes;

impl Attack for Escapes {
    const NAME: &'static str = "attack_escapes";
    const ABOUT: &'static str =
        "bodies of 54 MB of escapes to the API, two gigabits a second: others are served as before";
    // Megabytes: as much as one body, and what follows.
    const BEGUN: u64 = 54;
    // A body is in memory as a whole, once it is there.
    const GROWTH: u64 = 200 << 20;

    fn config(_full: bool) -> Config {
        config(Hub::new("main"), "client_max_body_size 64m;\n")
    }

    async fn strike(field: Arc<Field>) -> Result<()> {
        let escapes = "\\u0061".repeat(BYTES / 6);
        let body = format!(r#"{{"channel":"escapes","content":"{escapes}"}}"#);
        let head = format!(
            "POST /main-admin/api/publish HTTP/1.1\r\nHost: harness\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut due = tokio::time::interval(PACE);
        due.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            due.tick().await;
            let mut connection = Connection::open(field.hub.address).await?;
            connection.socket().write_all(head.as_bytes()).await?;
            let mut sent = Ok(());
            for piece in body.as_bytes().chunks(MEGABYTE) {
                sent = connection.socket().write_all(piece).await;
                if sent.is_err() {
                    break;
                }
                field.did(1);
            }
            match connection.head().await {
                Ok(head) => ensure!((400..500).contains(&head.status), "{}", head.status),
                // It may be refused, and closed, before it is there.
                Err(HttpError::Cut(_)) if sent.is_err() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
