//! Which failures of a back end are told in the log, so that neither one that comes and goes nor one that
//! refuses everything fills it.

use std::fmt::Display;
use std::time::{Duration, Instant};

use crate::service::Level;

/// How often a failure that goes on is told.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// The shortest time between two lines about failures that begin, and between two about refusals.
const AT_MOST: Duration = Duration::from_secs(10);

/// What goes wrong, and what was said of it.
#[derive(Debug, Default)]
pub struct Trouble {
    /// The failure that goes on.
    now: Option<Failure>,
    /// When a failure was told last.
    told: Option<Instant>,
    /// Events refused for good that no line has told of.
    refused: u64,
    refusal_told: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Failure {
    since: Instant,
    /// Tries that failed.
    tries: u32,
    is_told: bool,
}

/// A line.
pub type Line = Option<(Level, String)>;

impl Trouble {
    /// A try failed, and `waiting` events wait: how many had failed before it in a row, and the line.
    pub fn failed(&mut self, error: &impl Display, waiting: u64) -> (u32, Line) {
        let (now, told) = (Instant::now(), self.told);
        let failure = self.now.get_or_insert(Failure {
            since: now,
            tries: 0,
            is_told: false,
        });
        let before = failure.tries;
        failure.tries = before.saturating_add(1);
        let pause = if failure.is_told { SAY_AGAIN } else { AT_MOST };
        if told.is_some_and(|told| now - told < pause) {
            return (before, None);
        }
        self.told = Some(now);
        failure.is_told = true;
        let text = if before == 0 {
            format!("cannot be told: {error}; tried again until it is there")
        } else {
            let seconds = failure.since.elapsed().as_secs();
            format!("cannot be told for {seconds} s: {error}; {waiting} events wait")
        };
        (before, Some((Level::Error, text)))
    }

    /// A batch was taken: the line that ends what was said before.
    pub fn taken(&mut self) -> Line {
        let failure = self.now.take()?;
        let seconds = failure.since.elapsed().as_secs();
        failure.is_told.then(|| {
            (
                Level::Notice,
                format!("takes events again, after {seconds} s"),
            )
        })
    }

    /// A batch of so many events was refused for good.
    pub fn refused(&mut self, events: u64, error: &impl Display) -> Line {
        self.refused += events;
        if self
            .refusal_told
            .is_some_and(|told| told.elapsed() < AT_MOST)
        {
            return None;
        }
        self.refusal_told = Some(Instant::now());
        let events = std::mem::take(&mut self.refused);
        Some((
            Level::Error,
            format!("refuses {events} events, which are left out: {error}"),
        ))
    }

    /// At the end: what was refused and not told.
    pub fn rest(&mut self) -> Line {
        let events = std::mem::take(&mut self.refused);
        (events > 0).then(|| {
            (
                Level::Error,
                format!("refused {events} events more, which were left out"),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: Line) -> String {
        line.map_or_else(String::new, |(_, text)| text)
    }

    #[test]
    fn a_failure_is_told_when_it_begins_and_when_it_ends() {
        let mut trouble = Trouble::default();
        let (before, line) = trouble.failed(&"away", 3);
        assert_eq!(before, 0);
        assert_eq!(
            text(line),
            "cannot be told: away; tried again until it is there"
        );
        let (before, line) = trouble.failed(&"away", 3);
        assert_eq!((before, line), (1, None));
        assert_eq!(text(trouble.taken()), "takes events again, after 0 s");
        assert_eq!(trouble.taken(), None);
    }

    #[test]
    fn one_that_comes_and_goes_is_told_once_in_a_while() {
        let mut trouble = Trouble::default();
        let mut lines = 0;
        for _ in 0..100 {
            lines += usize::from(trouble.failed(&"away", 1).1.is_some());
            lines += usize::from(trouble.taken().is_some());
        }
        assert_eq!(lines, 2);
    }

    #[test]
    fn refusals_are_summed() {
        let mut trouble = Trouble::default();
        assert_eq!(
            text(trouble.refused(2, &"it answered 400")),
            "refuses 2 events, which are left out: it answered 400"
        );
        for _ in 0..50 {
            assert_eq!(trouble.refused(2, &"it answered 400"), None);
        }
        assert_eq!(
            text(trouble.rest()),
            "refused 100 events more, which were left out"
        );
        assert_eq!(trouble.rest(), None);
    }
}
