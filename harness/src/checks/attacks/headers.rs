//! Requests with as many header fields of one name as nginx takes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use super::{Attack, Field};
use crate::feed::UPGRADE;
use crate::http::Connection;

/// Bytes of fields in a request: nginx takes four times 8 KB.
const BYTES: usize = 31_000;
/// Each attacker's pause: all together send 0.6 MB a second.
const PAUSE: Duration = Duration::from_millis(200);

/// Fields that are looked for in the head of a WebSocket.
pub struct Fields;

impl Attack for Fields {
    const NAME: &'static str = "attack_headers";
    const ABOUT: &'static str =
        "3,100 equal header fields in a request of 32 KB, 0.6 MB/s: others are served as before";
    const ATTACKERS: usize = 4;
    const BEGUN: u64 = 4;

    async fn strike(field: Arc<Field>) -> Result<()> {
        let names = ["Upgrade", "Origin", "Sec-WebSocket-Protocol"];
        for name in names.iter().cycle() {
            let line = format!("{name}:\r\n");
            let fields = format!("{UPGRADE}{}", line.repeat(BYTES / line.len()));
            let mut connection = Connection::open(field.hub.address).await?;
            connection.get("/main/ws?cname=fields", &fields).await?;
            // Whatever the answer is.
            connection.head().await?;
            field.did(1);
            // How often is the load: nothing is waited for.
            sleep(PAUSE).await;
        }
        Ok(())
    }
}
