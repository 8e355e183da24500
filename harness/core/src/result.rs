//! The result of a run: what `result.json` holds and every report is created from.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::check::{Outcome, Verdict};
use crate::exit::Exit;
use crate::scenario::{Level, Scenario};

/// The version of `result.json`'s format.
pub const FORMAT: u32 = 4;

/// A whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunResult {
    /// [`FORMAT`].
    pub format: u32,
    /// tlsboot's own version.
    pub tlsboot: String,
    /// The run's id, unique on this machine.
    pub run: String,
    /// When it began.
    pub started: Timestamp,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// The machine, as facts for a reader: `os`, `kernel`, `cgroups`, `user`, `cpus`.
    pub environment: BTreeMap<String, String>,
    /// Executables that took part.
    pub components: Vec<ComponentResult>,
    /// One entry for each scenario on each target, in the order in which they were listed.
    pub scenarios: Vec<ScenarioResult>,
    /// Whether the run was interrupted before its end, or shards of it are missing.
    pub interrupted: bool,
    /// Scenarios that were not started because too many others had failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub not_started: usize,
    /// Entries of the list of known failures that are no longer true: they make the run fail.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stale: Vec<StaleEntry>,
    /// The parts of a partitioned run that were merged into this; `None` if it was run in one piece.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<Shard>,
}

/// An expected failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KnownFailure {
    /// Why it fails.
    pub reason: String,
    /// Where it is tracked.
    pub link: String,
    /// The original verdict: `fail` or `hang`; `known` if the history itself shows a bug that is known.
    pub judged: Outcome,
}

impl std::fmt::Display for KnownFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.reason, self.link)
    }
}

/// An entry of the list of known failures for a scenario that passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StaleEntry {
    /// The scenario.
    pub id: String,
    /// The target on which it passed.
    pub target: String,
    /// The reason that was given.
    pub reason: String,
    /// The link that was given.
    pub link: String,
}

impl std::fmt::Display for StaleEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "it passes now: remove the entry or narrow its versions ({}; {})", self.reason, self.link)
    }
}

/// One part of a partitioned run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Shard {
    /// SHA-256 over everything that was partitioned, so that parts of different runs are told apart.
    pub whole: String,
    /// Which part, starting at 1.
    pub part: u32,
    /// The number of parts.
    pub of: u32,
}

/// An executable that took part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ComponentResult {
    /// `kubelet`, …
    pub name: String,
    /// The version that it reports.
    pub version: String,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
    /// Where it came from.
    pub origin: String,
}

/// One scenario on one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScenarioResult {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// The catalogue's ids.
    pub requirements: Vec<String>,
    /// How strong the promise is.
    pub level: Level,
    /// The target: `local::1.37.2`.
    pub target: String,
    /// The file it was read from.
    pub file: String,
    /// When it began.
    pub started: Timestamp,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// The verdict.
    pub verdict: Verdict,
    /// Why it is unsupported here, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsupported: Option<String>,
    /// Why its failure is expected, if it is listed as known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<KnownFailure>,
    /// Folder of its evidence, relative to the run's output folder; `None` if nothing was run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// SHA-256 of each evidence file, by its path in that folder.
    pub hashes: BTreeMap<String, String>,
}

impl ScenarioResult {
    /// The result of a scenario that ran on a target from `started`, as far as the verdict determines it. The caller
    /// fills in how long it took, where its evidence is, and why it is unsupported or known.
    pub fn new(scenario: &Scenario, target: &str, started: Timestamp, verdict: Verdict) -> Self {
        Self {
            id: scenario.id.clone(),
            title: scenario.title.clone(),
            requirements: scenario.requirements.clone(),
            level: scenario.level,
            target: target.into(),
            file: scenario.file.clone(),
            started,
            duration_ms: 0,
            verdict,
            unsupported: None,
            known: None,
            evidence: None,
            hashes: BTreeMap::new(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl RunResult {
    /// The exit code of the command that made or merged the run. A stale known failure is a failure; an empty run is an
    /// error.
    pub fn exit(&self) -> Exit {
        let has = |wanted: &[Outcome]| self.scenarios.iter().any(|scenario| wanted.contains(&scenario.verdict.outcome));
        match () {
            () if self.interrupted => Exit::Interrupted,
            () if has(&[Outcome::Error]) || self.scenarios.is_empty() => Exit::Error,
            () if has(&[Outcome::Fail, Outcome::Hang]) || !self.stale.is_empty() => Exit::Fail,
            () => Exit::Pass,
        }
    }
}
