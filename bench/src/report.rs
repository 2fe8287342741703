//! What was measured: samples under stable names, their medians and ratios.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use crate::goals::Verdict;
use crate::target::Kind;

/// The name of a figure.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Key {
    /// The scenario.
    pub scenario: String,
    /// What varies within it, such as transport and workers.
    pub case: String,
    /// What was measured, with its unit.
    pub metric: String,
}

impl Key {
    /// A name.
    pub fn new(scenario: &str, case: &str, metric: &str) -> Self {
        Self {
            scenario: scenario.to_owned(),
            case: case.to_owned(),
            metric: metric.to_owned(),
        }
    }
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub struct Report {
    /// The order in which figures came.
    order: Vec<Key>,
    /// A sample a round, by server.
    samples: BTreeMap<Key, BTreeMap<&'static str, Vec<f64>>>,
    /// What went wrong.
    notes: Vec<String>,
}

impl Report {
    /// Adds a sample. Samples of one round are compared with each other, so that each server has
    /// as many.
    pub fn sample(&mut self, key: &Key, kind: Kind, value: f64) {
        if !self.samples.contains_key(key) {
            self.order.push(key.clone());
        }
        let servers = self.samples.entry(key.clone()).or_default();
        servers.entry(kind.name()).or_default().push(value);
    }

    /// Adds a remark.
    pub fn note(&mut self, text: String) {
        println!("    {text}");
        self.notes.push(text);
    }

    /// The median of a server's samples.
    pub fn median(&self, key: &Key, kind: Kind) -> Option<f64> {
        median(self.samples.get(key)?.get(kind.name())?.clone())
    }

    /// The median over the rounds of one server's sample by another's.
    pub fn ratio(&self, key: &Key, kind: Kind, to: Kind) -> Option<f64> {
        let servers = self.samples.get(key)?;
        let ours = servers.get(kind.name())?;
        let theirs = servers.get(to.name())?;
        let ratios = ours.iter().zip(theirs).map(|(a, b)| a / b);
        median(ratios.filter(|ratio| ratio.is_finite()).collect())
    }

    /// The keys of a scenario's metric, one a case.
    pub fn cases(&self, scenario: &str, metric: &str) -> Vec<&Key> {
        self.order
            .iter()
            .filter(|key| key.scenario == scenario && key.metric == metric)
            .collect()
    }

    /// Everything as a table.
    pub fn markdown(&self, about: &[(String, String)], verdicts: &[Verdict]) -> String {
        let mut out = String::from("# icomet-bench\n\n");
        for (name, value) in about {
            let _ = writeln!(out, "* {name}: {value}");
        }
        out.push_str("\n## Goals\n\n");
        out.push_str(&verdict_table(verdicts));
        out.push_str("\n## Figures\n\nMedians over the rounds; ratios are medians of each round's ratio.\n\n");
        out.push_str(&self.figure_table());
        if !self.notes.is_empty() {
            out.push_str("\n## Remarks\n\n");
            for note in &self.notes {
                let _ = writeln!(out, "* {note}");
            }
        }
        out
    }

    /// The figures as a table.
    pub fn figure_table(&self) -> String {
        let head = ["scenario", "case", "metric", "icomet", "nchan", "floor"]
            .into_iter()
            .chain(["icomet/nchan", "icomet/floor"])
            .map(str::to_owned)
            .collect();
        let mut rows = vec![head];
        for key in &self.order {
            let mut row = vec![key.scenario.clone(), key.case.clone(), key.metric.clone()];
            row.extend(Kind::ALL.map(|kind| number(self.median(key, kind))));
            for to in [Kind::Nchan, Kind::Floor] {
                row.push(number(self.ratio(key, Kind::Icomet, to)));
            }
            rows.push(row);
        }
        table(&rows)
    }

    /// Everything for programs, every sample included.
    pub fn json(&self, about: &[(String, String)], verdicts: &[Verdict]) -> serde_json::Value {
        let figures: Vec<_> = self
            .order
            .iter()
            .map(|key| {
                let medians: BTreeMap<_, _> = Kind::ALL
                    .iter()
                    .filter_map(|kind| Some((kind.name(), self.median(key, *kind)?)))
                    .collect();
                serde_json::json!({
                    "scenario": key.scenario,
                    "case": key.case,
                    "metric": key.metric,
                    "median": medians,
                    "to_nchan": self.ratio(key, Kind::Icomet, Kind::Nchan),
                    "to_floor": self.ratio(key, Kind::Icomet, Kind::Floor),
                    "samples": self.samples.get(key),
                })
            })
            .collect();
        let about: BTreeMap<_, _> = about.iter().cloned().collect();
        serde_json::json!({
            "about": about,
            "goals": verdicts,
            "figures": figures,
            "notes": self.notes,
        })
    }
}

/// The goals as a table.
pub fn verdict_table(verdicts: &[Verdict]) -> String {
    let head = ["goal", "wanted", "measured", "verdict"].map(str::to_owned);
    let mut rows = vec![head.to_vec()];
    for verdict in verdicts {
        let word = match verdict.reached {
            Some(true) => "reached",
            Some(false) => "NOT reached",
            None => "not measured",
        };
        rows.push(vec![
            verdict.name.clone(),
            verdict.wanted.clone(),
            verdict.measured.clone(),
            word.to_owned(),
        ]);
    }
    table(&rows)
}

/// The middle one, or the mean of the two in the middle.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values.get(middle).copied()
    } else {
        Some(f64::midpoint(
            *values.get(middle.checked_sub(1)?)?,
            *values.get(middle)?,
        ))
    }
}

/// A number with three or more digits that count.
pub fn number(value: Option<f64>) -> String {
    match value {
        None => String::new(),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) if value.abs() >= 1.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.3}"),
    }
}

/// A Markdown table with even columns; the first row is its head.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for (index, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(out, "| {cell:width$} ");
        }
        out.push_str("|\n");
        if index == 0 {
            for width in &widths {
                let _ = write!(out, "|{}", "-".repeat(width + 2));
            }
            out.push_str("|\n");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_ratios_are_taken_by_round() {
        let mut report = Report::default();
        let key = Key::new("delivery-cpu", "", "us");
        for (ours, theirs) in [(2.0, 1.0), (9.0, 3.0), (4.0, 4.0)] {
            report.sample(&key, Kind::Icomet, ours);
            report.sample(&key, Kind::Floor, theirs);
        }
        assert_eq!(report.median(&key, Kind::Icomet), Some(4.0));
        assert_eq!(report.ratio(&key, Kind::Icomet, Kind::Floor), Some(2.0));
        assert_eq!(report.ratio(&key, Kind::Icomet, Kind::Nchan), None);
        assert_eq!(median(vec![1.0, 4.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn a_table_has_even_columns() {
        let rows = [
            vec!["a".into(), "bb".into()],
            vec!["ccc".into(), "d".into()],
        ];
        assert_eq!(table(&rows), "| a   | bb |\n|-----|----|\n| ccc | d  |\n");
    }
}
