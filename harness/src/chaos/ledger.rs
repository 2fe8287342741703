//! What was published to a channel in a round, what became of it, and what its subscribers saw.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::{Context, Result, bail, ensure};

use crate::message::Message;

/// What a publisher knows of its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Under way, or the connection was cut before the answer: there once, or not at all.
    Unknown,
    /// The publisher itself went away: as unknown, and it may come later than what follows.
    Abandoned,
    /// The server said `ok`: there once.
    Acknowledged,
    /// The server said 507: not there.
    Refused,
}

/// One try to publish: each has its own content.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Its content.
    pub content: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// A channel's ledger. It is closed after each round, so that it stays small however long a run is.
#[derive(Debug, Default)]
pub struct Ledger {
    /// The first seq of this round.
    start: u64,
    /// By publisher, in the order of sending.
    attempts: Vec<Vec<Attempt>>,
    /// Those of earlier rounds that may come yet.
    late: HashSet<String>,
    seen: BTreeMap<u64, String>,
}

/// What a round came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    /// Messages acknowledged.
    pub acknowledged: u64,
    /// Messages whose fate their publishers do not know.
    pub unknown: u64,
    /// Messages refused with 507.
    pub refused: u64,
    /// Seqs that no subscriber saw: all were told `lost`.
    pub unseen: u64,
}

impl Ledger {
    /// The ledger of a fresh channel with so many publishers.
    pub fn new(publishers: usize) -> Self {
        Self {
            start: 1,
            attempts: vec![Vec::new(); publishers],
            ..Self::default()
        }
    }

    /// Notes what is about to be sent, and answers its place.
    pub fn attempt(&mut self, publisher: usize, content: String) -> usize {
        self.attempts[publisher].push(Attempt {
            content,
            outcome: Outcome::Unknown,
        });
        self.attempts[publisher].len() - 1
    }

    /// Notes what became of it.
    pub fn settle(&mut self, publisher: usize, place: usize, outcome: Outcome) {
        self.attempts[publisher][place].outcome = outcome;
    }

    /// Notes a message that a subscriber got.
    pub fn note(&mut self, message: &Message) -> Result<()> {
        match self.seen.get(&message.seq) {
            None => {
                self.seen.insert(message.seq, message.content.clone());
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

    /// Fails when a subscriber was told that everything before `seq` is gone, and the channel's
    /// buffer cannot have moved that far.
    pub fn check_lost(&self, seq: u64, buffer: u64) -> Result<()> {
        let tried: usize = self.attempts.iter().map(Vec::len).sum();
        let next = self.start + tried as u64 + self.late.len() as u64;
        ensure!(
            seq + buffer <= next,
            "told that what is before {seq} is lost; at most {next} messages were published, and {buffer} are kept"
        );
        Ok(())
    }

    /// Closes the round, whose last message is `probe`: every acknowledged message was seen once,
    /// no refused one, others at most once, each publisher's in its order. `shared` are the attempts
    /// of who publishes to all channels. With `lossy`, messages that all subscribers were told to
    /// have lost are forgiven.
    pub fn close(&mut self, probe: &str, shared: &[Attempt], lossy: bool) -> Result<Totals> {
        let end = self.seen.iter().find(|(_, content)| *content == probe);
        let end = *end.context("nobody saw the probe")?.0;
        let rest = self.seen.split_off(&(end + 1));
        let seen = std::mem::replace(&mut self.seen, rest);
        let unseen = (end + 1 - self.start)
            .checked_sub(seen.len() as u64)
            .context("a seq of an earlier round came again")?;
        ensure!(
            lossy || unseen == 0,
            "{unseen} of the seqs {} to {end} were seen by nobody",
            self.start
        );
        let mut places = HashMap::with_capacity(seen.len());
        for (seq, content) in &seen {
            if let Some(other) = places.insert(content.as_str(), *seq) {
                bail!("{content:?} came twice, as seq {other} and {seq}");
            }
        }
        places.remove(probe);
        let mut totals = Totals {
            unseen,
            ..Totals::default()
        };
        let (mut missing, mut late) = (0, Vec::new());
        for list in self.attempts.iter().map(Vec::as_slice).chain([shared]) {
            let mut last = 0;
            for Attempt { content, outcome } in list {
                let place = places.remove(content.as_str());
                match outcome {
                    Outcome::Acknowledged => totals.acknowledged += 1,
                    Outcome::Refused => totals.refused += 1,
                    Outcome::Unknown | Outcome::Abandoned => totals.unknown += 1,
                }
                match (place, outcome) {
                    (Some(seq), Outcome::Acknowledged | Outcome::Unknown) => {
                        ensure!(seq > last, "{content:?} (seq {seq}) came after seq {last}");
                        last = seq;
                    }
                    (Some(seq), Outcome::Refused) => {
                        bail!("{content:?} was refused and came, as seq {seq}")
                    }
                    (None, Outcome::Acknowledged) => {
                        missing += 1;
                        ensure!(
                            missing <= unseen,
                            "{content:?} was acknowledged and never seen; {unseen} seqs are told as lost"
                        );
                    }
                    (None, Outcome::Abandoned) => late.push(content.clone()),
                    (Some(_), Outcome::Abandoned) | (None, _) => {}
                }
            }
        }
        for content in &self.late {
            places.remove(content.as_str());
        }
        if let Some((content, seq)) = places.into_iter().next() {
            bail!("nobody published {content:?}, seq {seq}");
        }
        let possible = missing + totals.unknown + self.late.len() as u64;
        ensure!(
            unseen <= possible,
            "{unseen} seqs seen by nobody, {possible} messages that they may be"
        );
        self.start = end + 1;
        self.late = late.into_iter().collect();
        self.attempts.iter_mut().for_each(Vec::clear);
        Ok(totals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(attempts: &[(&str, Outcome)], seen: &[(u64, &str)]) -> Ledger {
        let mut ledger = Ledger::new(1);
        for (content, outcome) in attempts {
            let place = ledger.attempt(0, (*content).to_owned());
            ledger.settle(0, place, *outcome);
        }
        for (seq, content) in seen {
            ledger.note(&message(*seq, content)).unwrap();
        }
        ledger
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

    use Outcome::{Abandoned, Acknowledged, Refused, Unknown};

    #[test]
    fn what_is_not_known_may_be_there_or_not() {
        let all = [("a", Acknowledged), ("b", Unknown), ("c", Refused)];
        ledger(&all, &[(1, "a"), (2, "p")])
            .close("p", &[], false)
            .unwrap();
        ledger(&all, &[(1, "a"), (2, "b"), (3, "p")])
            .close("p", &[], false)
            .unwrap();
    }

    #[test]
    fn faults_are_found() {
        let all = [("a", Acknowledged), ("b", Acknowledged), ("c", Refused)];
        let close = |seen: &[(u64, &str)]| ledger(&all, seen).close("p", &[], false);
        close(&[(1, "a"), (2, "b"), (3, "p")]).unwrap();
        for bad in [
            &[(1, "a"), (2, "p")][..],
            &[(1, "b"), (2, "a"), (3, "p")],
            &[(1, "a"), (2, "b"), (3, "c"), (4, "p")],
            &[(1, "a"), (2, "b"), (3, "a"), (4, "p")],
            &[(1, "a"), (2, "b"), (3, "x"), (4, "p")],
            &[(1, "a"), (3, "p")],
            &[(1, "a"), (2, "b")],
        ] {
            assert!(close(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_abandoned_one_may_come_a_round_later() {
        let mut ledger = ledger(&[("a", Abandoned)], &[(1, "p")]);
        ledger.close("p", &[], false).unwrap();
        ledger.note(&message(2, "a")).unwrap();
        ledger.note(&message(3, "q")).unwrap();
        ledger.close("q", &[], false).unwrap();
        ledger.note(&message(4, "a")).unwrap();
        ledger.note(&message(5, "r")).unwrap();
        assert!(ledger.close("r", &[], false).is_err());
    }

    #[test]
    fn what_is_told_as_lost_is_forgiven_and_no_more() {
        let all = [("a", Acknowledged), ("b", Acknowledged)];
        ledger(&all, &[(2, "b"), (3, "p")])
            .close("p", &[], true)
            .unwrap();
        assert!(
            ledger(&all, &[(1, "b"), (2, "p")])
                .close("p", &[], true)
                .is_err()
        );
        assert!(
            ledger(&all, &[(4, "b"), (5, "p")])
                .close("p", &[], true)
                .is_err()
        );
        assert!(ledger(&all, &[]).check_lost(3, 1).is_err());
        ledger(&all, &[]).check_lost(2, 1).unwrap();
    }
}
