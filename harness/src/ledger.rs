//! What was published, what was acknowledged, and what subscribers saw of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use tokio::time::sleep;

use crate::http::HttpError;
use crate::hub::{Admin, HubAddress};
use crate::message::Message;
use crate::wait::within;

/// How often one message is tried before the server counts as gone.
const TRIES: u32 = 100;

/// How much longer each pause before another try is.
const PATIENCE: Duration = Duration::from_millis(10);

/// One attempt to publish: each has its own content.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Its content.
    pub content: String,
    /// Whether the server said `ok`.
    pub acknowledged: bool,
}

/// A back end that publishes to one channel, or broadcasts, one message after the other.
#[derive(Debug)]
pub struct Publisher {
    admin: Admin,
    /// None: it broadcasts.
    channel: Option<String>,
    name: String,
    count: u64,
    /// Every attempt, in order.
    pub attempts: Vec<Attempt>,
}

impl Publisher {
    /// A publisher whose contents begin with `name`.
    pub fn new(hub: HubAddress, channel: &str, name: &str) -> Self {
        let mut publisher = Self::broadcaster(hub, name);
        publisher.channel = Some(channel.to_owned());
        publisher
    }

    /// One that broadcasts.
    pub fn broadcaster(hub: HubAddress, name: &str) -> Self {
        Self {
            admin: Admin::new(hub),
            channel: None,
            name: name.to_owned(),
            count: 0,
            attempts: Vec::new(),
        }
    }

    /// Publishes one message; an attempt whose connection was cut is followed by another.
    pub async fn publish(&mut self) -> Result<()> {
        self.count += 1;
        for attempt in 0..TRIES {
            let content = format!("{}-{}.{attempt}", self.name, self.count);
            // Noted before it is sent: a subscriber may be quicker than the answer.
            self.attempts.push(Attempt {
                content,
                acknowledged: false,
            });
            let Some(last) = self.attempts.last_mut() else {
                bail!("no attempt noted")
            };
            let publish = async {
                Ok::<_, HttpError>(match &self.channel {
                    Some(channel) => self.admin.push(channel, &last.content).await,
                    None => self.admin.broadcast(&last.content).await,
                })
            };
            match within("publish", publish).await? {
                Ok(()) => {
                    last.acknowledged = true;
                    return Ok(());
                }
                // An nginx that is being started again refuses: each time a little more patience.
                Err(HttpError::Cut(_)) => sleep(PATIENCE * attempt.min(20)).await,
                Err(error) => bail!(error),
            }
        }
        bail!("a message could not be published in {TRIES} attempts")
    }
}

/// What subscribers saw, by seq: the same for all of them, or it is a fault.
#[derive(Debug, Default)]
pub struct Transcript {
    seen: Mutex<BTreeMap<u64, String>>,
}

impl Transcript {
    /// Notes a message that a subscriber got.
    pub fn note(&self, message: &Message) -> Result<()> {
        if message.kind != "data" && message.kind != "broadcast" {
            return Ok(());
        }
        let mut seen = self
            .seen
            .lock()
            .map_err(|_| anyhow::anyhow!("a subscriber panicked"))?;
        match seen.get(&message.seq) {
            None => {
                seen.insert(message.seq, message.content.clone());
            }
            Some(content) => ensure!(
                *content == message.content,
                "seq {} is {content:?} for one subscriber and {:?} for another",
                message.seq,
                message.content
            ),
        }
        Ok(())
    }

    /// How many messages were seen.
    pub fn len(&self) -> usize {
        self.seen.lock().map_or(0, |seen| seen.len())
    }

    /// Holds what was seen against what was published: every acknowledged attempt once, every
    /// other one at most once, each publisher's in its order, nothing else but `extra`.
    pub fn verify(&self, attempts: &[Vec<Attempt>], extra: &[&str]) -> Result<()> {
        let seen = self
            .seen
            .lock()
            .map_err(|_| anyhow::anyhow!("a subscriber panicked"))?;
        if let (Some((first, _)), Some((last, _))) = (seen.first_key_value(), seen.last_key_value())
        {
            ensure!(
                last - first + 1 == seen.len() as u64,
                "seqs {first} to {last} have a gap"
            );
        }
        let mut places: HashMap<&str, u64> = HashMap::new();
        for (seq, content) in seen.iter() {
            if let Some(other) = places.insert(content, *seq) {
                bail!("{content:?} came twice, as seq {other} and {seq}");
            }
        }
        for attempts in attempts {
            let mut last = 0;
            for Attempt {
                content,
                acknowledged,
            } in attempts
            {
                match places.remove(content.as_str()) {
                    Some(seq) => {
                        ensure!(seq > last, "{content:?} (seq {seq}) came before seq {last}");
                        last = seq;
                    }
                    None => ensure!(!acknowledged, "{content:?} was acknowledged and never seen"),
                }
            }
        }
        for content in extra {
            places.remove(content);
        }
        match places.into_iter().next() {
            Some((content, seq)) => bail!("nobody published {content:?}, seq {seq}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(contents: &[&str]) -> Transcript {
        let transcript = Transcript::default();
        for (index, content) in contents.iter().enumerate() {
            transcript
                .note(&message(index as u64 + 1, content))
                .unwrap();
        }
        transcript
    }

    fn message(seq: u64, content: &str) -> Message {
        Message {
            kind: "data".into(),
            cname: "a".into(),
            seq,
            content: content.into(),
            id: None,
        }
    }

    fn attempts(list: &[(&str, bool)]) -> Vec<Attempt> {
        list.iter()
            .map(|(content, acknowledged)| Attempt {
                content: (*content).into(),
                acknowledged: *acknowledged,
            })
            .collect()
    }

    #[test]
    fn unacknowledged_attempts_may_be_seen_or_not() {
        let published = [attempts(&[
            ("a", true),
            ("b", false),
            ("c", false),
            ("d", true),
        ])];
        seen(&["a", "b", "d", "final"])
            .verify(&published, &["final"])
            .unwrap();
    }

    #[test]
    fn faults_are_found() {
        let published = [attempts(&[("a", true), ("b", true)])];
        assert!(seen(&["a"]).verify(&published, &[]).is_err(), "lost");
        assert!(seen(&["b", "a"]).verify(&published, &[]).is_err(), "order");
        assert!(
            seen(&["a", "b", "b"]).verify(&published, &[]).is_err(),
            "twice"
        );
        assert!(
            seen(&["a", "b", "x"]).verify(&published, &[]).is_err(),
            "foreign"
        );
        assert!(seen(&["a", "b"]).note(&message(2, "x")).is_err(), "differs");
    }
}
