//! What is to be reached, and whether it was.

use serde::Serialize;

use crate::report::{Key, Report, number};
use crate::target::Kind;

/// What a figure of icomet is held against.
#[derive(Debug, Clone, Copy)]
enum Bar {
    /// At most this.
    Below(f64),
    /// At most this many times another server's.
    TimesBelow(Kind, f64),
    /// At least this many times another server's.
    TimesAbove(Kind, f64),
}

/// A goal. Of several cases the worst one counts.
struct Goal {
    name: &'static str,
    scenario: &'static str,
    metric: &'static str,
    bar: Bar,
}

/// What came of a goal.
#[derive(Debug, Serialize)]
pub struct Verdict {
    /// What it is about.
    pub name: String,
    /// The bar.
    pub wanted: String,
    /// What was measured, and in which case.
    pub measured: String,
    /// Whether it was reached; nothing when it was not measured.
    pub reached: Option<bool>,
}

const GOALS: &[Goal] = &[
    Goal {
        name: "memory of an idle subscriber",
        scenario: "memory-idle",
        metric: "bytes",
        bar: Bar::Below(1126.0),
    },
    Goal {
        name: "the same, with a channel of its own",
        scenario: "memory-channels",
        metric: "bytes",
        bar: Bar::Below(1536.0),
    },
    Goal {
        name: "the same, after 20 messages",
        scenario: "memory-after-traffic",
        metric: "bytes",
        bar: Bar::Below(1229.0),
    },
    Goal {
        name: "server CPU of an SSE delivery",
        scenario: "delivery-cpu",
        metric: "us/delivery",
        bar: Bar::TimesBelow(Kind::Floor, 1.25),
    },
    Goal {
        name: "server CPU of a long poll",
        scenario: "longpoll-cpu",
        metric: "us/cycle",
        bar: Bar::TimesBelow(Kind::Nchan, 0.8),
    },
    Goal {
        name: "until the last subscriber has it",
        scenario: "fanout-last",
        metric: "last ms",
        bar: Bar::TimesBelow(Kind::Floor, 1.25),
    },
    Goal {
        name: "the publisher's answer, p50",
        scenario: "fanout-answer",
        metric: "p50 ms",
        bar: Bar::Below(1.0),
    },
    Goal {
        name: "the publisher's answer, max",
        scenario: "fanout-answer",
        metric: "max ms",
        bar: Bar::Below(1.0),
    },
    Goal {
        name: "closed-loop publishing",
        scenario: "publish-closed",
        metric: "msg/s",
        bar: Bar::TimesAbove(Kind::Nchan, 1.7),
    },
    Goal {
        name: "latency, p50",
        scenario: "latency",
        metric: "p50 ms",
        bar: Bar::TimesBelow(Kind::Nchan, 1.0),
    },
    Goal {
        name: "latency, p99",
        scenario: "latency",
        metric: "p99 ms",
        bar: Bar::TimesBelow(Kind::Nchan, 3.0),
    },
    Goal {
        name: "CPU of idle subscribers",
        scenario: "idle-cpu",
        metric: "% of a core",
        bar: Bar::Below(0.5),
    },
    Goal {
        name: "memory of an idle WebSocket",
        scenario: "ws-memory",
        metric: "bytes",
        bar: Bar::Below(1229.0),
    },
    Goal {
        name: "server CPU of a WebSocket delivery",
        scenario: "ws-delivery-cpu",
        metric: "us/delivery",
        bar: Bar::TimesBelow(Kind::Floor, 1.25),
    },
    Goal {
        name: "server CPU of a WebSocket delivery, beside nchan",
        scenario: "ws-delivery-cpu",
        metric: "us/delivery",
        bar: Bar::TimesBelow(Kind::Nchan, 0.85),
    },
    Goal {
        name: "server CPU of a compressed delivery",
        scenario: "ws-deflate",
        metric: "us/delivery",
        bar: Bar::TimesBelow(Kind::Nchan, 1.0),
    },
    Goal {
        name: "memory of a million",
        scenario: "c1000k",
        metric: "PSS GB",
        bar: Bar::Below(1.6),
    },
    Goal {
        name: "until the last of a million on one channel has it",
        scenario: "c1000k-one",
        metric: "last ms",
        bar: Bar::TimesBelow(Kind::Floor, 1.3),
    },
];

/// Judges every goal that belongs to the scenarios that ran.
pub fn judge(report: &Report, ran: impl Fn(&str) -> bool) -> Vec<Verdict> {
    GOALS
        .iter()
        .filter(|goal| ran(goal.scenario) || !report.cases(goal.scenario, goal.metric).is_empty())
        .flat_map(|goal| verdicts(goal, report))
        .collect()
}

/// A verdict a case.
fn verdicts(goal: &Goal, report: &Report) -> Vec<Verdict> {
    let cases = report.cases(goal.scenario, goal.metric);
    if cases.is_empty() {
        return vec![goal.verdict(None, report)];
    }
    cases
        .into_iter()
        .map(|key| goal.verdict(Some(key), report))
        .collect()
}

impl Goal {
    fn verdict(&self, key: Option<&Key>, report: &Report) -> Verdict {
        let unit = match self.metric {
            "% of a core" => "%",
            metric => metric.rsplit(' ').next().unwrap_or(""),
        };
        let (wanted, value) = match self.bar {
            Bar::Below(bar) => (
                format!("<= {} {unit}", number(Some(bar))),
                key.and_then(|key| report.median(key, Kind::Icomet)),
            ),
            Bar::TimesBelow(to, bar) => (
                format!("<= {bar} x {}", to.name()),
                key.and_then(|key| report.ratio(key, Kind::Icomet, to)),
            ),
            Bar::TimesAbove(to, bar) => (
                format!(">= {bar} x {}", to.name()),
                key.and_then(|key| report.ratio(key, Kind::Icomet, to)),
            ),
        };
        let reached = value.map(|value| match self.bar {
            Bar::Below(bar) | Bar::TimesBelow(_, bar) => value <= bar,
            Bar::TimesAbove(_, bar) => value >= bar,
        });
        let measured = match (value, self.bar) {
            (None, _) => String::new(),
            (Some(value), Bar::Below(_)) => format!("{} {unit}", number(Some(value))),
            (Some(value), _) => {
                let own = key.and_then(|key| report.median(key, Kind::Icomet));
                format!("{} x ({} {unit})", number(Some(value)), number(own))
            }
        };
        let case = key.map_or("", |key| key.case.as_str());
        let name = match case {
            "" => self.name.to_owned(),
            case => format!("{} ({case})", self.name),
        };
        Verdict {
            name,
            wanted,
            measured,
            reached,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_judged_by_value_and_by_ratio() {
        let mut report = Report::default();
        let bytes = Key::new("memory-idle", "sse curl", "bytes");
        report.sample(&bytes, Kind::Icomet, 1000.0);
        let rate = Key::new("publish-closed", "1 worker", "msg/s");
        report.sample(&rate, Kind::Icomet, 160.0);
        report.sample(&rate, Kind::Nchan, 100.0);
        let verdicts = judge(&report, |scenario| scenario == "idle-cpu");
        let found: Vec<_> = verdicts
            .iter()
            .map(|v| (v.name.as_str(), v.reached))
            .collect();
        assert_eq!(
            found,
            [
                ("memory of an idle subscriber (sse curl)", Some(true)),
                ("closed-loop publishing (1 worker)", Some(false)),
                ("CPU of idle subscribers", None),
            ]
        );
    }
}
