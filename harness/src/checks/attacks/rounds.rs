//! What others wait while an attack runs, beside what they waited right before, in rounds.

use anyhow::{Context, Result, ensure};
use tokio::task::JoinSet;

use super::bystander::{Bystander, Noted};
use crate::latency::Latencies;
use crate::process::{Waits, waits};
use crate::wait;

/// How much longer others may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// A median of at most twice the one before; docs/reliability.md says why of one millisecond
    /// more, if that is longer.
    Twice,
    /// It is told, and nothing is promised.
    Told,
}

/// What one millisecond more than before is (see docs/reliability.md).
const MORE: f64 = 1.0;
/// Turns of a worker between a publish and its message, for each of which it may have to wait for a
/// processor: that is other programs' doing.
const TURNS: f64 = 4.0;
/// Rounds that must be within the bound, and rounds that are tried. A machine that does something
/// else in one of them does not decide.
const GOOD: usize = 2;
const MOST: usize = 5;
/// Questions of a bystander before an attack and while it runs, in the short form and at full size.
const SHORT: usize = 80;
const LONG: usize = 500;

/// All rounds of an attack.
#[derive(Debug)]
pub struct Rounds {
    count: usize,
    bound: Bound,
    right: &'static [u16],
    /// The workers that serve the others.
    workers: Vec<i32>,
    /// Of the round under way.
    quiet: Noted,
    good: usize,
    /// Of the medians, and what was allowed besides for the machine, in milliseconds.
    ratios: Vec<(f64, f64)>,
    last: String,
    before: Noted,
    meanwhile: Noted,
}

impl Rounds {
    /// `right`: what publishes may be answered.
    pub fn new(full: bool, bound: Bound, right: &'static [u16], workers: &[i32]) -> Self {
        Self {
            count: if full { LONG } else { SHORT },
            bound,
            right,
            workers: workers.to_vec(),
            quiet: Noted::default(),
            good: 0,
            ratios: Vec::new(),
            last: String::new(),
            before: Noted::default(),
            meanwhile: Noted::default(),
        }
    }

    /// Whether one more is wanted: enough must be good.
    pub fn go_on(&self) -> Result<bool> {
        ensure!(
            self.good >= GOOD || self.ratios.len() < MOST,
            "{} of {MOST} rounds were good, the last: {}",
            self.good,
            self.last
        );
        Ok(self.good < GOOD)
    }

    /// Measures before the attack.
    pub async fn before(&mut self, bystander: &Bystander) -> Result<()> {
        self.quiet = bystander.measure(self.count).await?;
        Ok(())
    }

    /// Measures while it runs, and ends it.
    pub async fn meanwhile(
        &mut self,
        bystander: &Bystander,
        mut attackers: JoinSet<Result<()>>,
    ) -> Result<()> {
        let waits = self.waits();
        let measured = bystander.measure(self.count);
        let meanwhile = wait::first_error(&mut attackers, measured).await?;
        attackers.shutdown().await;
        let before = std::mem::take(&mut self.quiet);
        for (answer, times) in before.answers.iter().chain(&meanwhile.answers) {
            ensure!(
                self.right.contains(answer),
                "{times} publishes were answered {answer}"
            );
        }
        let more = MORE + TURNS * self.waits().since(waits);
        let is_good = is_good(&before.way, &meanwhile.way, more)
            && is_good(&before.file, &meanwhile.file, more);
        self.good += usize::from(is_good || self.bound == Bound::Told);
        self.last = told(&before, &meanwhile);
        let ratio = meanwhile.way.percentile(50.0) / before.way.percentile(50.0);
        self.ratios.push((ratio, more - MORE));
        self.before.add(&before);
        self.meanwhile.add(&meanwhile);
        Ok(())
    }

    fn waits(&self) -> Waits {
        let mut all = Waits::default();
        for one in self.workers.iter().filter_map(|pid| waits(*pid)) {
            all.time += one.time;
            all.turns += one.turns;
        }
        all
    }

    /// What came of them, in one line.
    pub fn told(&self) -> String {
        let ratios: Vec<_> = self
            .ratios
            .iter()
            .map(|(ratio, waits)| format!("x{ratio:.1} (+{waits:.1})"))
            .collect();
        let mut text = told(&self.before, &self.meanwhile);
        text.push_str(&format!(", {}", ratios.join(" ")));
        for (answer, times) in &self.meanwhile.answers {
            text.push_str(&format!(", {times} publishes {answer}"));
        }
        text
    }
}

fn is_good(before: &Latencies, meanwhile: &Latencies, more: f64) -> bool {
    let before = before.percentile(50.0);
    meanwhile.percentile(50.0) <= (2.0 * before).max(before + more)
}

impl Noted {
    fn add(&mut self, other: &Noted) {
        self.way.merge(&other.way);
        self.file.merge(&other.file);
        for (answer, times) in &other.answers {
            *self.answers.entry(*answer).or_default() += times;
        }
    }
}

/// A percentile before, and meanwhile.
pub fn pair(before: &Latencies, meanwhile: &Latencies, percent: f64) -> String {
    format!(
        "{:.2} -> {:.2}",
        before.percentile(percent),
        meanwhile.percentile(percent)
    )
}

fn told(before: &Noted, meanwhile: &Noted) -> String {
    format!(
        "others' median {} ms (a file {}), 99 % {} ms, longest {:.0} ms",
        pair(&before.way, &meanwhile.way, 50.0),
        pair(&before.file, &meanwhile.file, 50.0),
        pair(&before.way, &meanwhile.way, 99.0),
        meanwhile.way.longest()
    )
}

/// Waits until attackers have done so much.
pub async fn begun(
    attackers: &mut JoinSet<Result<()>>,
    done: impl Fn() -> u64,
    enough: u64,
) -> Result<()> {
    let all = wait::until("the attack is under way", || async {
        let now = done();
        Ok((now < enough).then(|| format!("{now} done of {enough}")))
    });
    wait::first_error(attackers, all)
        .await
        .context("an attacker")
}
