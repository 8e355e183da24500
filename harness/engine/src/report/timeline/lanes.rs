//! The lanes of what is done, expected and observed, except certificates.

use std::collections::{BTreeMap, BTreeSet};

use super::shape::{Glyph, Lane, Row, Scale, Shape, gather, pack};
use crate::report::{Evidence, words};
use tlsboot_core::check::ExpectationVerdict;
use tlsboot_core::history::event::{Change, ConnectionState, CsrEvent, Phase, ProcessState, RecorderState};
use tlsboot_core::history::{Event, What};
use tlsboot_core::result::ScenarioResult;

/// With more rows than this, a lane is summarized.
const MOST_ROWS: usize = 10;
/// The maximum length of a step's text.
const STEP_TEXT: usize = 34;

/// The moments at which stimuli took effect.
pub(super) fn guides(evidence: &Evidence) -> Vec<(f64, String)> {
    let done = |event: &Event| match &event.what {
        What::Step(step) if step.phase != Phase::Begin => Some((evidence.seconds(event.at), tooltip(evidence, event))),
        _ => None,
    };
    evidence.events.iter().filter_map(done).collect()
}

/// Stimuli, from their start to their effect.
pub(super) fn steps(evidence: &Evidence, scale: Scale) -> Lane {
    let mut begun: BTreeMap<usize, f64> = BTreeMap::new();
    let mut bars = Vec::new();
    for event in &evidence.events {
        let What::Step(step) = &event.what else {
            continue;
        };
        let now = evidence.seconds(event.at);
        let class = match step.phase {
            Phase::Begin => {
                begun.insert(step.index, now);
                continue;
            }
            Phase::Done { .. } => "stimulus",
            Phase::Failed { .. } => "error",
        };
        let from = begun.remove(&step.index).unwrap_or(now);
        let bar = |title| Shape::bar(from, now, class, title);
        bars.push(stimulus(evidence, step.index, &step.stimulus, &tooltip(evidence, event), bar));
    }
    for (index, from) in begun {
        let title = format!("step {index} started at {} and did not finish", words::seconds(from));
        bars.push(stimulus(evidence, index, "step", &title, |title| Shape::bar(from, scale.end, "error", title)));
    }
    Lane { title: "Stimuli", rows: pack(bars, scale) }
}

fn stimulus(
    evidence: &Evidence,
    index: usize,
    word: &str,
    title: &str,
    bar: impl FnOnce(String) -> Shape,
) -> Vec<Shape> {
    let line = evidence.step_line(index).unwrap_or_else(|| word.to_owned());
    let text: String = words::clean(&line).replace(['{', '}'], "");
    let text = match text.char_indices().nth(STEP_TEXT) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    };
    vec![bar(format!("{line}\n{title}")).text(text)]
}

/// Expectations, from the stimulus before them to their decision.
pub(super) fn expectations(result: &ScenarioResult, evidence: &Evidence, scale: Scale) -> Lane {
    let bars = result.verdict.expectations.iter().filter_map(|verdict| {
        let from = evidence.stimulus_of(verdict.step).and_then(|index| begin_of(evidence, index))?;
        let to = decided(result, evidence, verdict).unwrap_or(scale.end).max(from);
        let word = verdict.outcome.map_or("not decided", words::outcome);
        let what = if verdict.never { "never " } else { "" };
        let text = format!("{word}: {what}{} (line {})", verdict.kind, verdict.line);
        let title = format!(
            "{text}\n{}\n{} to {}",
            evidence.step_line(verdict.step).unwrap_or_default(),
            words::seconds(from),
            words::seconds(to)
        );
        Some(vec![Shape::bar(from, to, verdict.outcome.map_or("undecided", words::outcome), title).text(text)])
    });
    Lane { title: "Expectations", rows: pack(bars.collect(), scale) }
}

fn begin_of(evidence: &Evidence, index: usize) -> Option<f64> {
    let begin =
        |event: &&Event| matches!(&event.what, What::Step(step) if step.index == index && step.phase == Phase::Begin);
    Some(evidence.seconds(evidence.events.iter().find(begin)?.at))
}

/// When an expectation was decided: by an event, by its deadline, or together with those beside it.
fn decided(result: &ScenarioResult, evidence: &Evidence, verdict: &ExpectationVerdict) -> Option<f64> {
    let by_event = |verdict: &ExpectationVerdict| Some(evidence.seconds(evidence.event(*verdict.events.last()?)?.at));
    let by_deadline = |verdict: &ExpectationVerdict| Some(evidence.seconds(evidence.deadline(verdict.step)?.at));
    verdict.outcome?;
    if let Some(moment) = by_deadline(verdict).or_else(|| by_event(verdict)) {
        return Some(moment);
    }
    let stimulus = evidence.stimulus_of(verdict.step);
    let companions = result.verdict.expectations.iter().filter(|other| evidence.stimulus_of(other.step) == stimulus);
    companions.filter_map(|other| by_deadline(other).or_else(|| by_event(other))).reduce(f64::max)
}

/// Where an invariant was broken.
pub(super) fn violations(result: &ScenarioResult, evidence: &Evidence, scale: Scale) -> Lane {
    let marks = result.verdict.broken().flat_map(|broken| {
        broken.violations.iter().filter_map(|violation| {
            let event = evidence.event(violation.seq)?;
            let title = format!("{}: {}\n{}", broken.id, words::clean(&violation.words), tooltip(evidence, event));
            let mark = Shape::mark(evidence.seconds(event.at), Glyph::Cross, "fail", title);
            Some(vec![mark.text(broken.id.clone())])
        })
    });
    Lane { title: "Invariants", rows: pack(marks.collect(), scale) }
}

/// Recorders that may have missed events: what is not shown is uncertain then.
pub(super) fn recorders(evidence: &Evidence, scale: Scale) -> Lane {
    let gap = |event: &Event| match &event.what {
        What::Recorder(recorder) if matches!(recorder.state, RecorderState::Gap(_)) => {
            let text = recorder.recorder.to_string();
            let mark = Shape::mark(evidence.seconds(event.at), Glyph::Cross, "error", tooltip(evidence, event));
            Some(vec![mark.text(text)])
        }
        _ => None,
    };
    let gaps = evidence.events.iter().filter_map(gap).collect();
    Lane { title: "Recording gaps", rows: pack(gaps, scale) }
}

/// Kubelets, and components that exited while the scenario was running.
pub(super) fn processes(evidence: &Evidence, scale: Scale) -> Lane {
    let is_step = |event: &&Event| matches!(event.what, What::Step(_));
    let last_step = evidence.events.iter().rfind(is_step).map_or(0, |event| event.seq);
    let mut rows: BTreeMap<(bool, String), Vec<Shape>> = BTreeMap::new();
    let mut shown: BTreeSet<(bool, String)> = BTreeSet::new();
    for event in &evidence.events {
        let What::Process(process) = &event.what else {
            continue;
        };
        let now = evidence.seconds(event.at);
        let key = match &process.node {
            Some(node) => (false, format!("{} {node}", process.component)),
            None => (true, process.component.clone()),
        };
        let ended_by_itself = matches!(process.state, ProcessState::Exited { asked: false, .. });
        let is_end = process.state != ProcessState::Started;
        if process.node.is_some() || ended_by_itself || is_end && event.seq < last_step {
            shown.insert(key.clone());
        }
        let shapes = rows.entry(key).or_default();
        if is_end {
            if let Some(bar) = shapes.last_mut() {
                bar.to = now;
            }
            let class = if ended_by_itself { "fail" } else { "neutral" };
            let mark = Shape::mark(now, Glyph::Cross, class, tooltip(evidence, event));
            shapes.push(mark.text(words::process_state(&process.state)));
        } else {
            let bar = Shape::bar(now, scale.end, "running", tooltip(evidence, event));
            shapes.push(bar.text(format!("pid {}", process.pid)));
        }
    }
    rows.retain(|key, _| shown.contains(key));
    let row = |((_, label), shapes)| Row { label, shapes };
    Lane { title: "Processes", rows: rows.into_iter().map(row).take(MOST_ROWS).collect() }
}

/// The lifecycle of a CSR.
struct CsrLife<'a> {
    last: &'a CsrEvent,
    created: f64,
    approved: Option<f64>,
    /// Issued, denied or failed.
    settled: Option<f64>,
    deleted: Option<f64>,
}

/// Each CSR from its creation through its approval to its certificate.
pub(super) fn csrs(evidence: &Evidence, scale: Scale) -> Lane {
    let mut lives: BTreeMap<&str, CsrLife<'_>> = BTreeMap::new();
    for event in &evidence.events {
        let What::Csr(csr) = &event.what else {
            continue;
        };
        let now = evidence.seconds(event.at);
        let life = lives.entry(&csr.uid).or_insert(CsrLife {
            last: csr,
            created: now,
            approved: None,
            settled: None,
            deleted: None,
        });
        if csr.change == Change::Deleted {
            life.deleted.get_or_insert(now);
            continue;
        }
        life.last = csr;
        if !csr.conditions.is_empty() {
            life.approved.get_or_insert(now);
        }
        if matches!(words::csr_state(csr).as_str(), "issued" | "denied" | "failed") {
            life.settled.get_or_insert(now);
        }
    }
    let mut lives: Vec<CsrLife<'_>> = lives.into_values().collect();
    lives.sort_by(|a, b| a.created.total_cmp(&b.created));
    let rows = pack(lives.iter().map(|life| life.shapes(scale)).collect(), scale);
    let rows = if rows.len() > MOST_ROWS { sums(&lives, scale) } else { rows };
    Lane { title: "CSRs", rows }
}

impl CsrLife<'_> {
    fn shapes(&self, scale: Scale) -> Vec<Shape> {
        let end = self.settled.or(self.deleted).unwrap_or(scale.end);
        let mut shapes = vec![Shape::bar(self.created, self.approved.unwrap_or(end), "pending", self.title())];
        if let Some(approved) = self.approved.filter(|approved| *approved < end) {
            shapes.push(Shape::bar(approved, end, "approved", self.title()));
        }
        let text = self.text();
        match self.settled.or(self.deleted) {
            Some(end) => shapes.push(self.mark(end).text(text)),
            None => shapes[0].text = text,
        }
        shapes
    }

    fn mark(&self, at: f64) -> Shape {
        let (glyph, class) = match words::csr_state(self.last).as_str() {
            "issued" => (Glyph::Circle, "pass"),
            "denied" | "failed" => (Glyph::Cross, "fail"),
            _ => (Glyph::Diamond, "pending"),
        };
        Shape::mark(at, glyph, class, self.title())
    }

    fn text(&self) -> String {
        let after =
            self.settled.map(|end| format!(" after {}", words::seconds(end - self.created))).unwrap_or_default();
        let deleted = if self.deleted.is_some() { ", deleted" } else { "" };
        format!("{}: {}{after}{deleted}", words::csr_subject(self.last), words::csr_state(self.last))
    }

    fn title(&self) -> String {
        let mut lines = vec![
            format!("{} by {}", self.last.name, self.last.username),
            self.text(),
            format!("created at {}", words::seconds(self.created)),
        ];
        for condition in &self.last.conditions {
            lines.push(format!("{} {}: {}", condition.kind, condition.reason, words::clean(&condition.message)));
        }
        lines.join("\n")
    }
}

/// Too many CSRs for a row each: marks by their subject.
fn sums(lives: &[CsrLife<'_>], scale: Scale) -> Vec<Row> {
    let mut rows: BTreeMap<String, Vec<Shape>> = BTreeMap::new();
    for life in lives {
        rows.entry(words::csr_subject(life.last)).or_default().push(life.mark(life.created));
    }
    let row = |(subject, marks): (String, Vec<Shape>)| Row {
        label: format!("{} {subject}", marks.len()),
        shapes: gather(marks, scale),
    };
    rows.into_iter().map(row).take(MOST_ROWS).collect()
}

/// The condition Ready of each Node.
pub(super) fn nodes(evidence: &Evidence, scale: Scale) -> Lane {
    let mut rows: BTreeMap<&str, Vec<Shape>> = BTreeMap::new();
    for event in &evidence.events {
        let What::Node(node) = &event.what else {
            continue;
        };
        let now = evidence.seconds(event.at);
        let bars = rows.entry(&node.node).or_default();
        let ready = node.ready.as_deref().unwrap_or("not reported");
        let text = format!("Ready {ready}");
        let is_same = bars.last().is_some_and(|bar| bar.to == scale.end && bar.text == text);
        if is_same && node.change != Change::Deleted {
            continue;
        }
        if let Some(bar) = bars.last_mut() {
            bar.to = bar.to.min(now);
        }
        if node.change != Change::Deleted {
            let class = match ready {
                "True" => "pass",
                "False" => "pending",
                _ => "neutral",
            };
            bars.push(Shape::bar(now, scale.end, class, tooltip(evidence, event)).text(text));
        }
    }
    Lane { title: "Nodes", rows: named(rows) }
}

/// Connections of each kubelet, from opening to closing; only their number if there are many.
pub(super) fn connections(evidence: &Evidence, scale: Scale) -> Lane {
    let mut open: BTreeMap<(&str, u64), Shape> = BTreeMap::new();
    let mut nodes: BTreeMap<&str, Vec<Shape>> = BTreeMap::new();
    for event in &evidence.events {
        let What::Connection(connection) = &event.what else {
            continue;
        };
        let now = evidence.seconds(event.at);
        let key = (connection.node.as_str(), connection.id);
        let shapes = nodes.entry(&connection.node).or_default();
        match connection.state {
            ConnectionState::Opened => {
                open.insert(
                    key,
                    Shape::bar(now, scale.end, "open", tooltip(evidence, event)).text(format!("{}", connection.id)),
                );
            }
            ConnectionState::Closed { .. } => {
                if let Some(bar) = open.remove(&key) {
                    let title = format!("{}\n{}", bar.title, tooltip(evidence, event));
                    shapes.push(Shape { to: now, title, ..bar });
                }
            }
            ConnectionState::Refused => shapes.push(Shape::mark(now, Glyph::Cross, "fail", tooltip(evidence, event))),
        }
    }
    for ((node, _), bar) in open {
        nodes.entry(node).or_default().push(bar);
    }
    let rows = nodes.into_iter().flat_map(|(node, shapes)| connection_rows(node, shapes, scale));
    Lane { title: "Connections", rows: rows.collect() }
}

/// A bar for each connection if there is room; otherwise the short ones are counted.
pub(super) fn connection_rows(node: &str, mut shapes: Vec<Shape>, scale: Scale) -> Vec<Row> {
    const BARS: usize = 5;
    shapes.sort_by(|a, b| a.from.total_cmp(&b.from));
    for shortest in [0.0, 0.03, 0.2] {
        let is_bar = |shape: &Shape| shape.to - shape.from >= shortest * scale.end;
        let (bars, short): (Vec<Shape>, Vec<Shape>) = shapes.iter().cloned().partition(is_bar);
        // more than this never fit, and trying takes long
        if bars.len() > 40 * BARS {
            continue;
        }
        let mut rows = pack(bars.into_iter().map(|bar| vec![bar]).collect(), scale);
        if rows.len() > BARS {
            continue;
        }
        for (index, row) in rows.iter_mut().enumerate() {
            row.label = if index == 0 { node.to_owned() } else { " ".to_owned() };
        }
        if !short.is_empty() {
            rows.push(opened(format!("{node}: {} short", short.len()), short, scale));
        }
        return rows;
    }
    vec![opened(format!("{node}: {} opened", shapes.len()), shapes, scale)]
}

fn opened(label: String, shapes: Vec<Shape>, scale: Scale) -> Row {
    let mark = |shape: Shape| Shape::mark(shape.from, Glyph::Circle, shape.class, shape.title);
    Row { label, shapes: gather(shapes.into_iter().map(mark).collect(), scale) }
}

/// API requests by their answer.
pub(super) fn requests(evidence: &Evidence, scale: Scale) -> Lane {
    let mut rows: BTreeMap<(u8, &str), Vec<Shape>> = BTreeMap::new();
    for event in &evidence.events {
        let What::Request(request) = &event.what else {
            continue;
        };
        let (key, class) = match request.code {
            401 => ((1, "401"), "fail"),
            403 => ((2, "403"), "hang"),
            400..500 => ((3, "other 4xx"), "pending"),
            500.. => ((4, "5xx"), "error"),
            _ => ((0, "2xx"), "pass"),
        };
        rows.entry(key).or_default().push(Shape::mark(
            evidence.seconds(event.at),
            Glyph::Circle,
            class,
            tooltip(evidence, event),
        ));
    }
    let row = |((_, label), mut marks): ((u8, &str), Vec<Shape>)| {
        marks.sort_by(|a, b| a.from.total_cmp(&b.from));
        Row { label: format!("{label}: {}", marks.len()), shapes: gather(marks, scale) }
    };
    Lane { title: "API requests", rows: rows.into_iter().map(row).collect() }
}

/// When, and what.
pub(super) fn tooltip(evidence: &Evidence, event: &Event) -> String {
    format!("{}: {} (seq {})", words::seconds(evidence.seconds(event.at)), words::event(&event.what), event.seq)
}

/// One row per name.
pub(super) fn named(rows: BTreeMap<&str, Vec<Shape>>) -> Vec<Row> {
    let row = |(label, shapes): (&str, Vec<Shape>)| Row { label: label.to_owned(), shapes };
    rows.into_iter().map(row).take(MOST_ROWS).collect()
}
