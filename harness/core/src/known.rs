//! Known failures: a list of scenarios that fail on some versions, each with its reason and a link. Their outcome is
//! `known`. An entry whose scenario passes is stale and makes the run fail, so that the list can only shrink.

use serde::Deserialize;
use thiserror::Error;

use crate::check::invariants::bugs::Bug;
use crate::check::{Outcome, Verdict};
use crate::result::{KnownFailure, ScenarioResult, StaleEntry};
use crate::version::{Version, Versions};

/// Why a text is not a list of known failures.
#[derive(Debug, Error)]
#[error("{reason}\n  an entry is `{{scenario: ID, kubernetes: \">=1.24, <1.28\", reason: WHY, link: URL}}`")]
pub struct KnownError {
    reason: String,
}

impl From<String> for KnownError {
    fn from(reason: String) -> Self {
        Self { reason }
    }
}

/// An entry of the list.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    /// The scenario's id.
    scenario: String,
    /// Control-plane versions on which it fails.
    kubernetes: Versions,
    /// Kubelet versions on which it fails; all by default.
    #[serde(default)]
    kubelet: Option<Versions>,
    /// Why it fails.
    reason: String,
    /// Where the failure is tracked.
    link: String,
}

/// The list.
#[derive(Clone, Debug, Default)]
pub struct KnownFailures(Vec<Entry>);

impl KnownFailures {
    /// Parses a list. `ids` are those of all scenarios.
    ///
    /// # Errors
    /// The text is not a list in YAML, an entry is incomplete or listed twice, or it names a scenario that does not
    /// exist.
    pub fn parse(text: &str, ids: &[String]) -> Result<Self, KnownError> {
        let entries: Vec<Entry> = serde_saphyr::from_str_with_options(
            text,
            serde_saphyr::options! { with_snippet: false, strict_booleans: true },
        )
        .map_err(|error| error.to_string())?;
        let wrong = |index: usize, what: String| Err(KnownError::from(format!("entry {}: {what}", index + 1)));
        for (index, entry) in entries.iter().enumerate() {
            let id = &entry.scenario;
            if !ids.contains(id) {
                return wrong(index, format!("there is no scenario `{id}`; `tlsboot list` shows all"));
            }
            if entry.reason.trim().is_empty() {
                return wrong(index, format!("`{id}` has no reason"));
            }
            if !["https://", "http://"].iter().any(|scheme| entry.link.starts_with(scheme)) {
                return wrong(index, format!("the link of `{id}` is not a URL"));
            }
            if entries[..index].contains(entry) {
                return wrong(index, format!("`{id}` is listed twice"));
            }
        }
        Ok(Self(entries))
    }

    /// Applies the list to a result. Returns a stale entry if the scenario passed although its failure is known.
    pub fn apply(&self, result: &mut ScenarioResult, kubernetes: Version, kubelet: Version) -> Option<StaleEntry> {
        result.known = of_bugs(&result.verdict);
        let entry = self.0.iter().find(|entry| {
            entry.scenario == result.id
                && entry.kubernetes.contains(kubernetes)
                && entry.kubelet.as_ref().is_none_or(|range| range.contains(kubelet))
        })?;
        let judged = result.verdict.outcome;
        match judged {
            Outcome::Fail | Outcome::Hang => {
                result.verdict.outcome = Outcome::Known;
                result.known = Some(KnownFailure { reason: entry.reason.clone(), link: entry.link.clone(), judged });
                None
            }
            Outcome::Pass => Some(StaleEntry {
                id: result.id.clone(),
                target: result.target.clone(),
                reason: entry.reason.clone(),
                link: entry.link.clone(),
            }),
            // This shows nothing about the cluster.
            Outcome::Known | Outcome::Unsupported | Outcome::Error => None,
        }
    }
}

/// The bug of Kubernetes because of which a verdict is `known`.
pub fn of_bugs(verdict: &Verdict) -> Option<KnownFailure> {
    let bug = verdict.bugs.iter().find_map(|id| Bug::find(id))?;
    Some(KnownFailure { reason: bug.words.to_owned(), link: bug.link.to_owned(), judged: verdict.outcome })
}

/// The verdict on a scenario, whether or not its failure is known.
pub fn judged(result: &ScenarioResult) -> Outcome {
    match &result.known {
        Some(known) if result.verdict.outcome == Outcome::Known => known.judged,
        _ => result.verdict.outcome,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::exit::Exit;
    use crate::result::{FORMAT, RunResult};
    use crate::scenario::load_text;

    const LIST: &str = "\
- scenario: rbac.missing-bootstrapper-binding
  kubernetes: '>=1.30, <1.38'
  reason: our API server grants it to everyone
  link: https://example.org/1
";

    fn ids() -> Vec<String> {
        vec!["rbac.missing-bootstrapper-binding".into()]
    }

    fn list() -> KnownFailures {
        KnownFailures::parse(LIST, &ids()).unwrap()
    }

    const SCENARIO: &str = "\
id: rbac.missing-bootstrapper-binding
title: Without the node-bootstrapper binding a kubelet cannot ask for a certificate
requirements: [A-04]
nodes: [{name: n1}]
steps:
  - start: {node: n1}
  - expect: {csr: {node: n1}}
";

    fn failing() -> ScenarioResult {
        let scenario = load_text("missing-bootstrapper-binding.yaml", SCENARIO).unwrap();
        let verdict = Verdict::without_history(Outcome::Fail, None);
        ScenarioResult::new(&scenario, "local::1.37.2", "2026-11-24T03:00:00Z".parse().unwrap(), verdict)
    }

    fn run_of(result: ScenarioResult) -> RunResult {
        RunResult {
            format: FORMAT,
            tlsboot: "0.1.0".into(),
            run: "20261124T030000Z-1".into(),
            started: result.started,
            duration_ms: 1,
            environment: Default::default(),
            components: Vec::new(),
            scenarios: vec![result],
            interrupted: false,
            not_started: 0,
            stale: Vec::new(),
            shards: Vec::new(),
        }
    }

    const V137: Version = Version::new(1, 37, 2);

    #[test]
    fn a_listed_failure_is_known_and_no_surprise() {
        let mut result = failing();
        assert_eq!(list().apply(&mut result, V137, V137), None);
        assert_eq!(result.verdict.outcome, Outcome::Known);
        assert_eq!(judged(&result), Outcome::Fail);
        let known = result.known.as_ref().unwrap();
        assert_eq!(known.link, "https://example.org/1");
        assert_eq!(run_of(result).exit(), Exit::Pass);
    }

    #[test]
    fn outside_of_its_versions_it_is_a_failure() {
        let mut result = failing();
        let old = Version::new(1, 29, 0);
        assert_eq!(list().apply(&mut result, old, V137), None);
        assert_eq!(result.verdict.outcome, Outcome::Fail);
    }

    #[test]
    fn an_entry_that_no_longer_fails_makes_the_run_fail() {
        let mut result = failing();
        result.verdict.outcome = Outcome::Pass;
        let stale = list().apply(&mut result, V137, V137).unwrap();
        assert_eq!(result.verdict.outcome, Outcome::Pass);
        let mut run = run_of(result);
        assert_eq!(run.exit(), Exit::Pass);
        run.stale = vec![stale];
        assert_eq!(run.exit(), Exit::Fail);
    }

    #[rstest]
    #[case::error(Outcome::Error)]
    #[case::unsupported(Outcome::Unsupported)]
    fn what_says_nothing_about_the_cluster_stays_what_it_is(#[case] outcome: Outcome) {
        let mut result = failing();
        result.verdict.outcome = outcome;
        assert_eq!(list().apply(&mut result, V137, V137), None);
        assert_eq!(result.verdict.outcome, outcome);
    }

    #[rstest]
    #[case::unknown_scenario("rbac.missing-bootstrapper-binding", "rbac.no", "no scenario `rbac.no`")]
    #[case::no_reason("our API server grants it to everyone", "''", "has no reason")]
    #[case::no_link("https://example.org/1", "see the tracker", "not a URL")]
    #[case::no_range("  kubernetes: '>=1.30, <1.38'\n", "", "kubernetes")]
    #[case::bad_range(">=1.30, <1.38", "new", "range of versions")]
    #[case::unknown_key("  reason:", "  because: x\n  reason:", "because")]
    fn a_list_is_strict(#[case] right: &str, #[case] wrong: &str, #[case] says: &str) {
        let text = LIST.replacen(right, wrong, 1);
        assert_ne!(text, LIST);
        let error = KnownFailures::parse(&text, &ids()).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }

    #[test]
    fn an_entry_that_stands_there_twice_is_an_error() {
        let error = KnownFailures::parse(&LIST.repeat(2), &ids()).unwrap_err().to_string();
        assert!(error.contains("entry 2"), "{error}");
    }
}
