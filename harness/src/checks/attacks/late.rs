//! Subscriptions that announce a body, and send it when they are under way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::io::AsyncWriteExt;

use super::{Attack, Field, config};
use crate::config::{Config, Hub};
use crate::feed::UPGRADE;
use crate::http::Connection;

/// Held at once, by all attackers together.
const HELD: usize = 2_000;
const ATTACKERS: usize = 4;
/// From one to the next of an attacker: all together 1,000 a second.
const PACE: Duration = Duration::from_millis(4);

/// By HTTP/1.1 and as WebSockets.
pub struct Bodies;

impl Attack for Bodies {
    const NAME: &'static str = "attack_late_bodies";
    const ABOUT: &'static str =
        "2,000 subscriptions at a time whose body comes late: whoever closed is gone at once";
    const ATTACKERS: usize = ATTACKERS;
    const BEGUN: u64 = HELD as u64;
    // nginx has some 10 KB for each that is there.
    const GROWTH: u64 = 64 << 20;

    fn config(_full: bool) -> Config {
        // Nobody hears anything from whom a fault could learn that he is gone.
        config(Hub::new("main").set("polling_timeout", "600s"), "")
    }

    async fn strike(field: Arc<Field>) -> Result<()> {
        let mut held = VecDeque::new();
        let mut due = tokio::time::interval(PACE);
        for index in 0.. {
            due.tick().await;
            let (path, more) = match index % 2 {
                0 => ("stream", ""),
                _ => ("ws", UPGRADE),
            };
            let head = format!(
                "GET /main/{path}?cname=late HTTP/1.1\r\nHost: harness\r\n{more}\
                 Content-Length: 5\r\n\r\n12"
            );
            let mut connection = Connection::open(field.hub.address).await?;
            connection.socket().write_all(head.as_bytes()).await?;
            held.push_back(connection);
            field.did(1);
            if held.len() > HELD / ATTACKERS
                && let Some(mut oldest) = held.pop_front()
            {
                // It may have been refused and closed: that is right.
                let _ = oldest.socket().write_all(b"345").await;
                let _ = oldest.head().await;
            }
        }
        Ok(())
    }
}
