//! Evidence for reports: as much of it as can be read.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{EvidenceError, EvidenceFolder};
use tlsboot_core::history::{Event, What};
use tlsboot_core::result::ScenarioResult;
use tlsboot_core::scenario::Scenario;

/// The evidence of one scenario on one target, as far as it can be read. A report is created from what exists.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Its folder; `None` if nothing was run.
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
        match EvidenceFolder::of(out, result) {
            None => Self::default(),
            Some(Err(error)) => Self { problems: vec![error.to_string()], ..Self::default() },
            Some(Ok(folder)) => {
                let mut problems = Vec::new();
                let mut note = |error: EvidenceError| problems.push(error.to_string());
                let scenario = folder.scenario(&result.file).map_err(&mut note).ok();
                let events = folder.history().map_err(&mut note).unwrap_or_default();
                Self { folder: Some(folder.path().to_owned()), scenario, events, problems }
            }
        }
    }

    /// The event at a position.
    pub fn event(&self, seq: u64) -> Option<&Event> {
        self.events.get(usize::try_from(seq).ok()?)
    }

    /// When the history begins.
    pub fn start(&self) -> Timestamp {
        self.events.first().map_or(Timestamp::UNIX_EPOCH, |event| event.at)
    }

    /// Seconds from the start, by the clock of the best source.
    pub fn seconds(&self, at: Timestamp) -> f64 {
        at.duration_since(self.start()).as_secs_f64()
    }

    /// The beginning of a step as written in the file, on one line, without its dash.
    pub fn step_line(&self, index: usize) -> Option<String> {
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
    pub fn stimulus_of(&self, step: usize) -> Option<usize> {
        let steps = &self.scenario.as_ref()?.steps;
        (0..step.min(steps.len())).rev().find(|index| !steps[*index].value.is_judged())
    }

    /// The event that ends the wait for an expectation that was not met.
    pub fn deadline(&self, step: usize) -> Option<&Event> {
        self.events.iter().find(|event| matches!(&event.what, What::Deadline(deadline) if deadline.step == step))
    }
}
