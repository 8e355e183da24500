//! `tlsboot rejudge`: judge recorded histories again.

use std::fmt::Write;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::histories::{histories, load};
use super::{Exit, Failure, mutate, print};
use tlsboot_core::check::invariants::InvariantVerdict;
use tlsboot_core::check::{Outcome, Verdict, judge_all};
use tlsboot_core::history::{Event, What};
use tlsboot_core::known::of_bugs;
use tlsboot_core::result::ScenarioResult;
use tlsboot_core::scenario::Scenario;
use tlsboot_engine::evidence::{Evidence, EvidenceError, EvidenceFolder, SCENARIO};
use tlsboot_engine::report::failure;

/// Judge recorded histories again: same verdicts, no cluster needed.
#[derive(Debug, Args)]
pub(super) struct RejudgeCommand {
    /// Folders of evidence: of one scenario (with history.jsonl and scenario.yaml), or of a whole run.
    #[arg(value_name = "DIR", required = true)]
    folders: Vec<PathBuf>,
    /// Show that each expectation can fail, and each invariant be broken: change each history, one thing at a time, and see what turns red.
    ///
    /// The events that fulfilled an `expect` are dropped, duplicated, or altered field by field; what a `never` forbids
    /// is put into its window; what `stays` is undone in its window. What an invariant looks at is undone, dropped, repeated or
    /// altered. An expectation that no change turns red, or an invariant that none breaks, *survives*: it proves nothing. The
    /// exit code is 1 if any survives.
    #[arg(long)]
    mutate: bool,
    /// With --mutate: print each expectation with everything that turns it red, as JSON. Takes longer: otherwise the
    /// first change that does so is enough.
    #[arg(long, requires = "mutate")]
    json: bool,
}

pub(super) fn run(command: &RejudgeCommand) -> Result<Exit, Failure> {
    if command.mutate {
        return mutate::run(&command.folders, command.json);
    }
    let mut code = Exit::Pass;
    let mut text = String::new();
    for folder in &histories(&command.folders)? {
        let wrong = |error: EvidenceError| Failure::usage(format!("{}: {error}", folder.display()));
        let evidence = EvidenceFolder::open(folder).map_err(wrong)?;
        let (scenario, events) = load(&evidence)?;
        let told = Told::of(&events);
        let verdict = judge_all(&scenario, events.clone());
        let same = match evidence.verdict() {
            Ok(recorded) => repeats(&verdict, &recorded),
            // A run that was killed has no result.
            Err(EvidenceError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => true,
            Err(error) => return Err(wrong(error)),
        };
        let remark = if same { "" } else { "  (differs from the recorded verdict)" };
        let _ = writeln!(text, "{:6} {}{remark}", verdict.outcome.word(), folder.display());
        if told.scenario_sha256 != hex::encode(Sha256::digest(scenario.text.as_bytes())) {
            let _ = writeln!(text, "       (scenario.yaml was changed after the run)");
        }
        let outcome = verdict.outcome;
        if outcome != Outcome::Pass {
            let result = told.result(folder, &scenario, verdict);
            let evidence =
                Evidence { folder: Some(folder.clone()), scenario: Some(scenario), events, problems: Vec::new() };
            let words = failure::text(&result, &evidence, false);
            words.lines().skip(1).for_each(|line| {
                let _ = writeln!(text, "       {line}");
            });
        }
        code = code.max(match outcome {
            Outcome::Pass | Outcome::Known if same => Exit::Pass,
            Outcome::Fail | Outcome::Hang if same => Exit::Fail,
            _ => Exit::Error,
        });
    }
    print(&text)?;
    Ok(code)
}

/// Whether a verdict is the recorded one. An earlier tlsboot knew fewer invariants, or none: what it judged is compared.
fn repeats(verdict: &Verdict, recorded: &Verdict) -> bool {
    let was_judged = |one: &&InvariantVerdict| recorded.invariants.iter().any(|known| known.id == one.id);
    if verdict.invariants.iter().all(|one| was_judged(&one)) {
        return verdict == recorded;
    }
    verdict.expectations == recorded.expectations
        && verdict.invariants.iter().filter(was_judged).eq(&recorded.invariants)
}

/// What a history says about its run.
#[derive(Default)]
struct Told {
    scenario_sha256: String,
    target: String,
    started: Timestamp,
    duration_ms: u64,
}

impl Told {
    fn of(events: &[Event]) -> Self {
        let (Some(first), Some(last)) = (events.first(), events.last()) else {
            return Self::default();
        };
        let What::Begin(begin) = &first.what else {
            return Self::default();
        };
        Self {
            scenario_sha256: begin.scenario_sha256.clone(),
            target: begin.target.clone(),
            started: first.at,
            duration_ms: last.mono / 1000,
        }
    }

    fn result(&self, folder: &Path, scenario: &Scenario, verdict: Verdict) -> ScenarioResult {
        ScenarioResult {
            file: folder.join(SCENARIO).display().to_string(),
            duration_ms: self.duration_ms,
            evidence: Some(folder.display().to_string()),
            known: of_bugs(&verdict),
            ..ScenarioResult::new(scenario, &self.target, self.started, verdict)
        }
    }
}

#[cfg(test)]
mod tests {
    use tlsboot_core::check::invariants::Standing;

    use super::*;

    fn verdict(outcome: Outcome, invariants: &[(&str, Standing)]) -> Verdict {
        let judged = invariants.iter().map(|(id, standing)| InvariantVerdict {
            id: (*id).into(),
            standing: *standing,
            looked: 1,
            open: 0,
            broken: 0,
            violations: Vec::new(),
            reason: None,
        });
        Verdict { invariants: judged.collect(), ..Verdict::without_history(outcome, None) }
    }

    #[test]
    fn a_verdict_of_an_earlier_tlsboot_is_compared_by_what_it_judged() {
        use Standing::{Broken, Held};
        let now = verdict(Outcome::Fail, &[("I-01", Held), ("I-02", Broken)]);
        assert!(repeats(&now, &now));
        assert!(repeats(&now, &verdict(Outcome::Pass, &[("I-01", Held)])), "I-02 is new");
        assert!(repeats(&now, &verdict(Outcome::Pass, &[])), "so are all");
        assert!(!repeats(&now, &verdict(Outcome::Pass, &[("I-01", Broken)])));
        assert!(!repeats(&now, &verdict(Outcome::Pass, &[("I-01", Held), ("I-02", Held)])));
    }
}
