//! The report as a picture: bars for what a subscriber and a delivery cost, lines for how that
//! grows. SVG, written by hand.

use std::fmt::Write;

use crate::report::{Key, Report, number};
use crate::target::Kind;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 56.0;

/// A panel: values of each server over some cases.
struct Panel<'a> {
    title: String,
    lines: bool,
    cases: Vec<(String, &'a Key)>,
}

/// Scenario, metric, title, and whether it is drawn as lines.
const PANELS: [(&str, &str, &str, bool); 14] = [
    (
        "delivery-cpu",
        "us/delivery",
        "Server CPU per SSE delivery, us",
        false,
    ),
    (
        "ws-delivery-cpu",
        "us/delivery",
        "Server CPU per WebSocket delivery, us",
        false,
    ),
    (
        "ws-deflate",
        "us/delivery",
        "Compressed JSON by WebSocket: server CPU per delivery, us",
        false,
    ),
    (
        "ws-no-deflate",
        "us/delivery",
        "The same, not compressed, us",
        false,
    ),
    (
        "memory-idle",
        "bytes",
        "Memory per idle subscriber, bytes",
        false,
    ),
    (
        "memory-channels",
        "bytes",
        "With a channel each, bytes",
        false,
    ),
    (
        "ws-memory",
        "bytes",
        "Memory per idle WebSocket, bytes",
        false,
    ),
    (
        "fanout-last",
        "last ms",
        "Until the last subscriber has it, ms",
        false,
    ),
    (
        "publish-closed",
        "msg/s",
        "Closed-loop publishing, messages a second",
        false,
    ),
    ("latency", "p99 ms", "Latency at a rate, p99, ms", false),
    ("scaling", "bytes", "Scaling: bytes per subscriber", true),
    (
        "scaling",
        "us/delivery",
        "Scaling: server CPU per delivery, us",
        true,
    ),
    ("c1000k", "PSS GB", "A million subscribers: PSS, GB", false),
    (
        "c1000k-one",
        "last ms",
        "A million on one channel: until the last, ms",
        false,
    ),
];

/// All panels that have figures.
pub fn svg(report: &Report) -> String {
    let panels: Vec<_> = PANELS
        .iter()
        .filter_map(|(scenario, metric, title, lines)| {
            panel(report, scenario, metric, title, *lines)
        })
        .collect();
    let rows = panels.len().div_ceil(2);
    let (width, height) = (WIDTH * 2.0, HEIGHT * rows as f64 + 36.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for (index, kind) in Kind::ALL.into_iter().enumerate() {
        let x = 16.0 + index as f64 * 90.0;
        let _ = writeln!(
            out,
            "<rect x=\"{x}\" y=\"12\" width=\"12\" height=\"12\" fill=\"{}\"/>\
             <text x=\"{}\" y=\"22\">{}</text>",
            color(kind),
            x + 18.0,
            kind.name()
        );
    }
    for (index, panel) in panels.iter().enumerate() {
        let x = (index % 2) as f64 * WIDTH;
        let y = (index / 2) as f64 * HEIGHT + 36.0;
        let _ = writeln!(out, "<g transform=\"translate({x} {y})\">");
        panel.draw(&mut out, report);
        out.push_str("</g>\n");
    }
    out.push_str("</svg>\n");
    out
}

fn color(kind: Kind) -> &'static str {
    match kind {
        Kind::Icomet => "#2166ac",
        Kind::Nchan => "#d6604d",
        Kind::Floor => "#999999",
    }
}

fn panel<'a>(
    report: &'a Report,
    scenario: &str,
    metric: &str,
    title: &str,
    lines: bool,
) -> Option<Panel<'a>> {
    let cases: Vec<_> = report
        .cases(scenario, metric)
        .into_iter()
        .map(|key| (short(&key.case), key))
        .collect();
    (!cases.is_empty()).then(|| Panel {
        title: title.to_owned(),
        lines,
        cases,
    })
}

/// A case in a few letters: "100000 subscribers, 6 workers" is "100k x 6w".
fn short(case: &str) -> String {
    case.replace("000000 subscribers", "M")
        .replace("000 subscribers", "k")
        .replace(" subscribers", "")
        .replace(" workers", "w")
        .replace(", ", " × ")
}

impl Panel<'_> {
    fn draw(&self, out: &mut String, report: &Report) {
        let values = |kind| {
            self.cases
                .iter()
                .map(move |(_, key)| report.median(key, kind))
        };
        let most = Kind::ALL
            .into_iter()
            .flat_map(values)
            .flatten()
            .fold(0.0, f64::max);
        let top = round_up(most);
        let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM);
        let _ = writeln!(
            out,
            "<text x=\"{LEFT}\" y=\"24\" font-size=\"14\">{}</text>",
            self.title
        );
        for step in 0..=4 {
            let value = top * f64::from(step) / 4.0;
            let _ = writeln!(
                out,
                "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{1:.1}\" y2=\"{1:.1}\" stroke=\"#ddd\"/>\
                 <text x=\"{2}\" y=\"{3:.1}\" text-anchor=\"end\">{4}</text>",
                WIDTH - RIGHT,
                y(value),
                LEFT - 6.0,
                y(value) + 4.0,
                number(Some(value))
            );
        }
        let slot = (WIDTH - LEFT - RIGHT) / self.cases.len() as f64;
        for (index, (label, _)) in self.cases.iter().enumerate() {
            let _ = writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
                LEFT + slot * (index as f64 + 0.5),
                HEIGHT - BOTTOM + 18.0
            );
        }
        for (series, kind) in Kind::ALL.into_iter().enumerate() {
            let points: Vec<_> = values(kind)
                .enumerate()
                .filter_map(|(index, value)| Some((index as f64, value?)))
                .collect();
            if self.lines {
                line(out, kind, &points, slot, y);
            } else {
                bars(out, kind, series, &points, slot, y);
            }
        }
    }
}

fn bars(
    out: &mut String,
    kind: Kind,
    series: usize,
    points: &[(f64, f64)],
    slot: f64,
    y: impl Fn(f64) -> f64,
) {
    let width = (slot / 4.0).min(48.0);
    for (index, value) in points {
        let middle = LEFT + slot * (index + 0.5) + (series as f64 - 1.0) * width;
        let _ = writeln!(
            out,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\"/>\
             <text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"9\">{}</text>",
            middle - width / 2.0 + 1.0,
            y(*value),
            width - 2.0,
            y(0.0) - y(*value),
            color(kind),
            y(*value) - 3.0,
            number(Some(*value))
        );
    }
}

fn line(out: &mut String, kind: Kind, points: &[(f64, f64)], slot: f64, y: impl Fn(f64) -> f64) {
    let mut path = String::new();
    for (index, value) in points {
        let x = LEFT + slot * (index + 0.5);
        let _ = write!(path, "{x:.1},{:.1} ", y(*value));
        let _ = writeln!(
            out,
            "<circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{}\"/>",
            y(*value),
            color(kind)
        );
    }
    let _ = writeln!(
        out,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>",
        path.trim_end(),
        color(kind)
    );
}

/// The next of 1, 1.5, 2, 3, 4, 5, 8 and 10 times a power of ten.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    let factors = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 8.0];
    let fitting = factors.into_iter().find(|factor| factor * power >= value);
    fitting.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        assert_eq!(round_up(7.3), 8.0);
        assert_eq!(round_up(9.0), 10.0);
        assert_eq!(round_up(1024.0), 1500.0);
        assert_eq!(round_up(0.0), 1.0);
    }

    #[test]
    fn what_was_measured_is_drawn() {
        let mut report = Report::default();
        report.sample(
            &Key::new("delivery-cpu", "", "us/delivery"),
            Kind::Icomet,
            5.0,
        );
        let case = "100000 subscribers, 6 workers";
        report.sample(&Key::new("scaling", case, "bytes"), Kind::Nchan, 9000.0);
        let picture = svg(&report);
        assert!(picture.contains("Server CPU per SSE delivery"));
        assert!(picture.contains("100k × 6w"));
        assert!(picture.contains("<polyline"));
        assert!(!picture.contains("Latency"));
    }
}
