//! What every report says about a run as a whole.

use std::collections::BTreeMap;

use super::words;
use crate::cluster::ProviderKind;
use crate::run::TargetId;
use tlsboot_core::check::Outcome;
use tlsboot_core::result::{RunResult, ScenarioResult};

/// What was found on each target: `Kubernetes 1.37.2 keeps 69 of 69 tested promises; 6 could not be tested here`. A promise
/// is a behavior of the catalogue. It is kept if every scenario that shows it and was judged passes.
pub(super) fn sentences(run: &RunResult) -> Vec<String> {
    let of = |target: &str| {
        let results: Vec<&ScenarioResult> = run.scenarios.iter().filter(|result| result.target == target).collect();
        sentence(target, &results)
    };
    targets(run).into_iter().map(of).collect()
}

fn sentence(target: &str, results: &[&ScenarioResult]) -> String {
    let mut promises: BTreeMap<&str, Vec<Outcome>> = BTreeMap::new();
    for result in results {
        for id in &result.requirements {
            promises.entry(id).or_default().push(result.verdict.outcome);
        }
    }
    let is_judged = |outcome: &Outcome| !matches!(outcome, Outcome::Unsupported | Outcome::Error);
    let is_kept = |outcomes: &&Vec<Outcome>| {
        outcomes.iter().filter(|outcome| is_judged(outcome)).all(|outcome| *outcome == Outcome::Pass)
    };
    let (tested, untested): (Vec<_>, Vec<_>) = promises.values().partition(|outcomes| outcomes.iter().any(is_judged));
    let (unjudged, unsupported): (Vec<_>, Vec<_>) =
        untested.into_iter().partition(|outcomes| outcomes.contains(&Outcome::Error));
    let kept = tested.iter().copied().filter(is_kept).count();
    let mut sentence = match tested.len() {
        0 => format!("No promise was tested on {}", subject(target)),
        tested => format!("{} keeps {kept} of {}", subject(target), words::count(tested, "tested promise")),
    };
    if !unsupported.is_empty() {
        sentence.push_str(&format!("; {} could not be tested here", unsupported.len()));
    }
    if !unjudged.is_empty() {
        sentence.push_str(&format!("; {} could not be judged, which says nothing about the cluster", unjudged.len()));
    }
    sentence
}

/// `Kubernetes 1.37.2 with kubelets 1.35.4 in k3s`.
fn subject(target: &str) -> String {
    let Some(TargetId { provider, kubernetes, kubelet }) = TargetId::of_name(target) else {
        return target.to_owned();
    };
    let kubelets = if kubelet == kubernetes { String::new() } else { format!(" with kubelets {kubelet}") };
    let place = if provider == ProviderKind::Local { String::new() } else { format!(" in {provider}") };
    format!("Kubernetes {kubernetes}{kubelets}{place}")
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_sentence_counts_promises() {
        let run = fixture::run();
        let said = sentences(&run);
        assert_eq!(said[0], "Kubernetes 1.37.2 keeps 2 of 4 tested promises");
        assert_eq!(
            said[1],
            "No promise was tested on Kubernetes 1.24.17; 2 could not be judged, which says nothing about the cluster"
        );
        assert_eq!(said[2], "No promise was tested on cluster::prod; 1 could not be tested here");
    }

    #[test]
    fn a_promise_that_one_scenario_breaks_is_not_kept() {
        let mut run = fixture::run();
        let mut broken = run.scenarios.iter().find(|result| result.verdict.outcome == Outcome::Pass).unwrap().clone();
        broken.verdict.outcome = Outcome::Known;
        broken.requirements.truncate(1);
        run.scenarios.push(broken);
        assert_eq!(sentences(&run)[0], "Kubernetes 1.37.2 keeps 1 of 4 tested promises");
    }

    #[test]
    fn a_subject_names_what_is_not_usual() {
        assert_eq!(subject("k3s::1.37.2+kubelet-1.35.4"), "Kubernetes 1.37.2 with kubelets 1.35.4 in k3s");
    }
}
