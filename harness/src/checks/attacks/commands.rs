//! WebSockets whose commands inflate a thousandfold.

use std::sync::Arc;

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Attack, Field};
use crate::feed::UPGRADE;
use crate::http::Connection;

/// `{"type":"ping","x":"aa..."}` with 65,000 times an `a`, as one message of permessage-deflate.
const BOMB: &[u8] = &[
    0xec, 0xc6, 0xb1, 0x0d, 0x80, 0x20, 0x00, 0x04, 0xc0, 0x5d, 0xbe, 0x76, 0x02, 0xb7, 0xb1, 0x20,
    0xc6, 0x86, 0x50, 0x58, 0x60, 0x0c, 0xbb, 0xc3, 0x1e, 0xdc, 0x55, 0xf7, 0xe7, 0xfd, 0x5a, 0xc9,
    0x99, 0xf6, 0xd4, 0x3b, 0x47, 0xfa, 0xea, 0x05,
];
/// Zeroes after it, and its end.
const ZEROES: usize = 62;
const END: &[u8] = &[0x6c, 0x27, 0x63, 0x02];

/// Twenty of them.
pub struct Bombs;

impl Attack for Bombs {
    const NAME: &'static str = "attack_ws_bombs";
    const ABOUT: &'static str =
        "20 WebSockets whose commands of 106 bytes inflate to 65 KB: others are served as before";
    const ATTACKERS: usize = 20;
    // Then their bursts are used up.
    const BEGUN: u64 = 20 * 60;

    async fn strike(field: Arc<Field>) -> Result<()> {
        let mut connection = Connection::open(field.hub.address).await?;
        let extension = format!("{UPGRADE}Sec-WebSocket-Extensions: permessage-deflate\r\n");
        connection.get("/main/ws", &extension).await?;
        let head = connection.head().await?;
        ensure!(head.status == 101, "{}", head.status);
        let agreed = head.header("sec-websocket-extensions");
        ensure!(agreed.is_some(), "nothing is inflated");
        let frames = bomb().repeat(200);
        let (mut input, mut output) = connection.socket().split();
        let write = async {
            loop {
                output.write_all(&frames).await?;
            }
        };
        let read = async {
            let (mut buffer, mut frames) = (vec![0; 1 << 16], Frames::default());
            loop {
                let n = input.read(&mut buffer).await?;
                ensure!(n > 0, "it was closed");
                field.did(frames.count(&buffer[..n]));
            }
        };
        tokio::select! {
            done = write => done,
            done = read => done,
        }
    }
}

/// Counts the frames that a server sends, of which each answers a command.
#[derive(Default)]
pub struct Frames {
    head: Vec<u8>,
    /// What is to come of the frame under way.
    left: usize,
}

impl Frames {
    /// How many end in what has come now.
    pub fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let mut ended = 0;
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let now = self.left.min(bytes.len());
                self.left -= now;
                bytes = &bytes[now..];
                ended += u64::from(self.left == 0);
                continue;
            }
            bytes = rest;
            self.head.push(*first);
            // A server masks nothing.
            let length = match *self.head {
                [_, length @ ..=125] => usize::from(length),
                [_, 126, high, low] => usize::from(u16::from_be_bytes([high, low])),
                [_, 127, _, _, _, _, a, b, c, d] => u32::from_be_bytes([a, b, c, d]) as usize,
                _ => continue,
            };
            self.head.clear();
            self.left = length;
            ended += u64::from(length == 0);
        }
        ended
    }
}

/// The bomb as a client's frame, masked with zeroes.
fn bomb() -> Vec<u8> {
    let length = BOMB.len() + ZEROES + END.len();
    // Shorter than 126 bytes.
    let mut frame = vec![0xc1, 0x80 | length as u8, 0, 0, 0, 0];
    frame.extend(BOMB);
    frame.extend([0; ZEROES]);
    frame.extend(END);
    frame
}

#[cfg(test)]
mod tests {
    use super::Frames;

    #[test]
    fn frames_are_counted_however_they_come() {
        let mut all = vec![0x81, 0, 0x81, 3, 1, 2, 3, 0x81, 126, 0, 200];
        all.extend([7; 200]);
        all.extend([0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        all.extend(vec![7; 65_536]);
        assert_eq!(Frames::default().count(&all), 4);
        let mut frames = Frames::default();
        let pieces = all.chunks(7).map(|piece| frames.count(piece));
        assert_eq!(pieces.sum::<u64>(), 4);
    }
}
