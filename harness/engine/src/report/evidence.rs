//! What was kept of one scenario on one target: its file and its history.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use tlsboot_core::history::{self, Event, What};
use tlsboot_core::result::ScenarioResult;
use tlsboot_core::scenario::{Scenario, load_text};

/// The evidence of one scenario on one target, as far as it can be read. A report is made from whatever is there.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Its folder; none where nothing was run.
    pub folder: Option<PathBuf>,
    /// The scenario.
    pub scenario: Option<Scenario>,
    /// The history.
    pub events: Vec<Event>,
    /// Why something is missing.
    pub problems: Vec<String>,
}

impl Evidence {
    /// Reads it from a run's output folder.
    pub fn read(out: &Path, result: &ScenarioResult) -> Self {
        let Some(folder) = result.evidence.as_ref().map(|folder| out.join(folder)) else {
            return Self::default();
        };
        let mut problems = Vec::new();
        let scenario = read_text(&folder, "scenario.yaml")
            .and_then(|text| {
                load_text(&result.file, &text).map_err(|errors| {
                    let first = errors.first().map(ToString::to_string).unwrap_or_default();
                    format!("scenario.yaml does not load: {first}")
                })
            })
            .map_err(|problem| problems.push(problem))
            .ok();
        let events = read_text(&folder, "history.jsonl")
            .and_then(|text| history::parse(&text).map_err(|error| format!("history.jsonl: {error}")))
            .map_err(|problem| problems.push(problem))
            .unwrap_or_default();
        Self { folder: Some(folder), scenario, events, problems }
    }

    /// The event at a position.
    pub(super) fn event(&self, seq: u64) -> Option<&Event> {
        self.events.get(usize::try_from(seq).ok()?)
    }

    /// When the history begins.
    pub(super) fn start(&self) -> Timestamp {
        self.events.first().map_or(Timestamp::UNIX_EPOCH, |event| event.at)
    }

    /// Seconds from the start, by the clock of whoever knows best.
    pub(super) fn seconds(&self, at: Timestamp) -> f64 {
        at.duration_since(self.start()).as_secs_f64()
    }

    /// The beginning of a step as it stands in the file, on one line, without its dash.
    pub(super) fn step_line(&self, index: usize) -> Option<String> {
        let scenario = self.scenario.as_ref()?;
        let line = usize::try_from(scenario.steps.get(index)?.referenced.line()).ok()?;
        let mut lines = scenario.text.lines().skip(line.checked_sub(1)?).map(str::trim);
        let first = lines.next()?;
        let first = first.strip_prefix("- ").unwrap_or(first);
        match lines.next() {
            Some(second) if first.ends_with(':') => Some(format!("{first} {second}")),
            _ => Some(first.to_owned()),
        }
    }

    /// The stimulus from which an expectation counts: the last one above it.
    pub(super) fn stimulus_of(&self, step: usize) -> Option<usize> {
        let steps = &self.scenario.as_ref()?.steps;
        (0..step.min(steps.len())).rev().find(|index| !steps[*index].value.is_judged())
    }

    /// The event that ends a wait for an expectation in vain.
    pub(super) fn deadline(&self, step: usize) -> Option<&Event> {
        self.events.iter().find(|event| matches!(&event.what, What::Deadline(deadline) if deadline.step == step))
    }
}

fn read_text(folder: &Path, name: &str) -> Result<String, String> {
    std::fs::read_to_string(folder.join(name)).map_err(|error| format!("{name} can't be read: {error}"))
}
