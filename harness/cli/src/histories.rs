//! Recorded histories on disk: where they are, and what is in them.

use std::path::PathBuf;

use super::Failure;
use tlsboot_core::history::Event;
use tlsboot_core::scenario::Scenario;
use tlsboot_engine::evidence::{EvidenceError, EvidenceFolder, SCENARIO, find};

/// The folders with a history, among these and below them.
pub(super) fn histories(folders: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for folder in folders {
        found.extend(find(folder).map_err(|error| Failure::usage(format!("{}: {error}", folder.display())))?);
    }
    if found.is_empty() {
        return Err(Failure::usage("there is no history.jsonl below these folders"));
    }
    found.sort();
    Ok(found)
}

/// The scenario and the history of an evidence folder.
pub(super) fn load(evidence: &EvidenceFolder) -> Result<(Scenario, Vec<Event>), Failure> {
    let wrong = |error: EvidenceError| Failure::usage(format!("{}: {error}", evidence.path().display()));
    Ok((evidence.scenario(SCENARIO).map_err(wrong)?, evidence.history().map_err(wrong)?))
}
