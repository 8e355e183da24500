//! What every report says about a run as a whole.

use super::words;
use tlsboot_core::result::RunResult;

/// `1 fail, 1 hang, 9 pass`.
pub(super) fn headline(run: &RunResult) -> String {
    let counts: Vec<String> = words::OUTCOMES
        .iter()
        .filter_map(|outcome| {
            let count = run.scenarios.iter().filter(|result| result.verdict.outcome == *outcome).count();
            (count > 0).then(|| format!("{count} {}", words::outcome(*outcome)))
        })
        .collect();
    let stale = match run.stale.len() {
        0 => String::new(),
        many => format!(", {}", words::count(many, "stale known failure")),
    };
    let not_started = match run.not_started {
        0 => String::new(),
        many => format!(", {many} not started"),
    };
    let interrupted = if run.interrupted { ", interrupted" } else { "" };
    let tested = if counts.is_empty() { "nothing was run".to_owned() } else { counts.join(", ") };
    format!("{tested}{stale}{not_started}{interrupted}")
}

/// Expected failures, and entries of the list of known failures that are no longer true, one per line.
pub(super) fn known(run: &RunResult) -> Vec<String> {
    let known = run.scenarios.iter().filter_map(|result| {
        let known = result.known.as_ref()?;
        Some(format!("known: {} on {}: {known}", result.id, result.target))
    });
    let stale = run.stale.iter().map(|entry| format!("stale known failure: {} on {}: {entry}", entry.id, entry.target));
    known.chain(stale).collect()
}

/// The targets, in the order of their first scenario.
pub(super) fn targets(run: &RunResult) -> Vec<&str> {
    let mut targets: Vec<&str> = Vec::new();
    for result in &run.scenarios {
        if !targets.contains(&result.target.as_str()) {
            targets.push(&result.target);
        }
    }
    targets
}

/// The scenarios' ids, in the order of the first appearance.
pub(super) fn ids(run: &RunResult) -> Vec<&str> {
    let mut ids: Vec<&str> = Vec::new();
    for result in &run.scenarios {
        if !ids.contains(&result.id.as_str()) {
            ids.push(&result.id);
        }
    }
    ids
}

/// Why scenarios are unsupported, each reason once.
pub(super) fn unsupported(run: &RunResult) -> Vec<(String, Vec<String>)> {
    let mut reasons: Vec<(String, Vec<String>)> = Vec::new();
    for result in &run.scenarios {
        let Some(reason) = &result.unsupported else {
            continue;
        };
        let name = format!("{} on {}", result.id, result.target);
        match reasons.iter_mut().find(|(known, _)| known == reason) {
            Some((_, names)) => names.push(name),
            None => reasons.push((reason.clone(), vec![name])),
        }
    }
    reasons
}
