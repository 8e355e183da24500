//! Checking a report without its cluster: hashes of all evidence, verdicts judged again, the signature, and what all of
//! that does not prove.

use std::collections::BTreeSet;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::signature::{self, PublicKey};
use super::{ReportError, json};
use crate::evidence::{EvidenceFolder, Rejudged};
use crate::untrusted::{Folder, LONGEST};
use tlsboot_core::check::Outcome;
use tlsboot_core::known::judged;
use tlsboot_core::plain::one_line;
use tlsboot_core::result::{RunResult, ScenarioResult};

/// The result of checking a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// What does not match: the report was changed or damaged.
    pub findings: Vec<String>,
    /// What was checked, in words.
    pub checked: Vec<String>,
    /// What the report does not prove in any case.
    pub not_proven: Vec<String>,
}

/// Mismatches between the hashes in a result and the files in its evidence folder.
///
/// # Errors
/// If a file cannot be read, or is not a regular file.
pub(super) fn changed_files(folder: &EvidenceFolder, result: &ScenarioResult) -> std::io::Result<Vec<String>> {
    let found = folder.hashes()?;
    let changed = result.hashes.iter().filter_map(|(name, hash)| {
        let now = found.get(name);
        match now {
            None => Some(format!("{} is missing", one_line(name))),
            Some(now) if now != hash => Some(format!("{} was changed", one_line(name))),
            Some(_) => None,
        }
    });
    let added = found
        .keys()
        .filter(|name| !result.hashes.contains_key(*name))
        .map(|name| format!("{} was added", one_line(name)));
    Ok(changed.chain(added).collect())
}

/// Checks the report in an output folder; with a key, also its signature.
///
/// # Errors
/// If there is no report that can be checked.
pub fn verify(out: &Path, key: Option<&PublicKey>) -> Result<Verification, ReportError> {
    let run = json::read(out)?;
    let mut findings = check_signature(out, key)?;
    let mut places = BTreeSet::new();
    let mut names = BTreeSet::new();
    for result in &run.scenarios {
        let name = format!("{} on {}", result.id, result.target);
        if !names.insert(name.clone()) {
            findings.push(format!("{name}: there are two results"));
        }
        if let Some(evidence) = &result.evidence
            && !places.insert(evidence)
        {
            findings.push(format!("{name}: another scenario has the same evidence: {evidence}"));
        }
        let problems = check_result(out, result);
        findings.extend(problems.into_iter().map(|problem| format!("{name}: {problem}")));
    }
    let checked = checked(&run, key.is_some());
    let not_proven = not_proven(out, &run, key.is_some());
    Ok(Verification { findings, checked, not_proven })
}

fn check_signature(out: &Path, key: Option<&PublicKey>) -> Result<Vec<String>, ReportError> {
    let Some(key) = key else {
        return Ok(Vec::new());
    };
    let read = |name: &str| {
        let bytes = Folder::open(out).and_then(|out| out.read(name, LONGEST));
        bytes.map_err(|source| ReportError::Read { path: out.join(name), source })
    };
    let result = read("result.json")?;
    Ok(match read(signature::FILE) {
        Err(_) => vec![format!("the report has no signature ({} is missing)", signature::FILE)],
        Ok(signature) if key.verifies(&result, &signature) => Vec::new(),
        Ok(_) => {
            vec!["the signature does not match this key and this result.json: the file was changed, or signed with another key".into()]
        }
    })
}

fn check_result(out: &Path, result: &ScenarioResult) -> Vec<String> {
    let outcome = result.verdict.outcome;
    let folder = match EvidenceFolder::of(out, result) {
        None if matches!(outcome, Outcome::Unsupported | Outcome::Error) => return Vec::new(),
        None => {
            return vec![format!("it is reported as {}, without evidence", outcome.word())];
        }
        Some(Err(error)) => return vec![error.to_string()],
        Some(Ok(folder)) => folder,
    };
    let mut problems = match changed_files(&folder, result) {
        Err(error) => return vec![error.to_string()],
        Ok(problems) => problems,
    };
    // The judge's verdict on the scenario; whether a failure is known is for reports to say.
    let mut recorded = result.verdict.clone();
    recorded.outcome = judged(result);
    let by_bug = !recorded.bugs.is_empty();
    if outcome == Outcome::Known && !by_bug && !matches!(recorded.outcome, Outcome::Fail | Outcome::Hang) {
        problems.push("it is reported as known, but not how it failed".into());
    }
    // An error of the harness may have happened after the verdict was written.
    if folder.verdict().ok().as_ref() != Some(&recorded) && outcome != Outcome::Error {
        problems.push("result.json and verdict.json differ".into());
    }
    match folder.rejudge() {
        // An error of the harness itself: the report claims nothing.
        _ if outcome == Outcome::Error => {}
        Err(error) => problems.push(error.to_string()),
        Ok(again) => {
            problems.extend(mixed_up(result, &again));
            if again.verdict != recorded {
                problems.push(format!(
                    "judged again it is {}, and the report says {}, or for another reason",
                    again.verdict.outcome.word(),
                    recorded.outcome.word()
                ));
            }
        }
    }
    problems
}

/// Whether scenario, history and result are about the same run.
fn mixed_up(result: &ScenarioResult, again: &Rejudged) -> Vec<String> {
    let scenario = &again.scenario;
    let mut problems = Vec::new();
    let mut same = |holds: bool, what: &str| {
        if !holds {
            problems.push(format!("{what} of result and evidence differ"));
        }
    };
    same(scenario.id == result.id, "the ids");
    same(scenario.title == result.title, "the titles");
    same(scenario.level == result.level, "the levels");
    same(scenario.requirements == result.requirements, "the behaviors");
    if let Some(begin) = &again.begin {
        let digest = hex::encode(Sha256::digest(scenario.text.as_bytes()));
        same(begin.scenario == result.id, "the scenarios");
        same(begin.target == result.target, "the targets");
        same(begin.scenario_sha256 == digest, "the scenario files");
    }
    problems
}

fn checked(run: &RunResult, signed: bool) -> Vec<String> {
    let evidence: Vec<&ScenarioResult> = run.scenarios.iter().filter(|result| result.evidence.is_some()).collect();
    let files: usize = evidence.iter().map(|result| result.hashes.len()).sum();
    let judged: Vec<_> = evidence.iter().filter(|result| result.verdict.outcome != Outcome::Error).collect();
    let expectations: usize = judged.iter().map(|result| result.verdict.expectations.len()).sum();
    let invariants = judged.iter().flat_map(|result| &result.verdict.invariants);
    let invariants = invariants.filter(|verdict| verdict.looked > 0).count();
    let judged = judged.len();
    let mut checked = vec![
        format!("the hashes of {files} files of evidence"),
        format!(
            "{judged} histories, judged again by tlsboot {}: {expectations} expectations, and {invariants} times an invariant",
            env!("CARGO_PKG_VERSION")
        ),
    ];
    if signed {
        checked.insert(0, "the signature of result.json, which contains the hashes".into());
    }
    checked
}

fn not_proven(out: &Path, run: &RunResult, signed: bool) -> Vec<String> {
    let mut said = Vec::new();
    if !signed {
        let unread = if out.join(signature::FILE).is_file() {
            "it is signed, but without --key the signature was not checked"
        } else {
            "it is not signed"
        };
        said.push(format!(
            "who created this report, and that it is complete: {unread}. Anyone who can change evidence can also change its hashes in result.json"
        ));
    }
    said.push(
        "that the histories are records of real clusters: the creator of the report could have made them up".into(),
    );
    let components: Vec<String> =
        run.components.iter().map(|one| one_line(&format!("{} {} {}", one.name, one.version, one.sha256))).collect();
    said.push(format!(
        "that these executables are official releases: compare their SHA-256 with the publisher's\n    {}",
        components.join("\n    ")
    ));
    let of = |outcome: Outcome| {
        let fits = |result: &&ScenarioResult| result.verdict.outcome == outcome;
        run.scenarios.iter().filter(fits).count()
    };
    for (outcome, why) in [
        (Outcome::Error, "the harness failed, which says nothing about the cluster"),
        (Outcome::Unsupported, "according to the report, the target could not show it"),
        (Outcome::Known, "they fail, by a bug of Kubernetes or as listed, and both are known"),
    ] {
        match of(outcome) {
            0 => {}
            1 => said.push(format!("anything about the scenario that is {}: {why}", outcome.word())),
            many => said.push(format!("anything about the {many} scenarios that are {}: {why}", outcome.word())),
        }
    }
    if run.interrupted {
        said.push(
            "anything about scenarios that are missing: the run was interrupted, or parts of it were not merged".into(),
        );
    }
    said.push("anything about scenarios, versions and settings that are not in it".into());
    if run.tlsboot != env!("CARGO_PKG_VERSION") {
        said.push(format!("that the tlsboot that wrote it ({}) judges as this one does", one_line(&run.tlsboot)));
    }
    said.push("what report.html, junit.xml and summary.md say: they are views; regenerate them with `tlsboot merge REPORT --out DIR`".into());
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence;
    use crate::report::{Format, fixture, write_all};

    fn report() -> tempfile::TempDir {
        let folder = fixture::folder();
        write_all(folder.path(), &fixture::verifiable(folder.path()), &[Format::Json]).unwrap();
        folder
    }

    fn findings(out: &Path) -> Vec<String> {
        verify(out, None).unwrap().findings
    }

    fn change(out: &Path, change: impl Fn(&mut RunResult)) {
        let mut run = json::read(out).unwrap();
        change(&mut run);
        write_all(out, &run, &[Format::Json]).unwrap();
    }

    #[test]
    fn a_report_as_it_was_written_has_no_findings() {
        let report = report();
        assert_eq!(findings(report.path()), Vec::<String>::new());
    }

    /// Bits all over each file of evidence.
    #[test]
    fn every_changed_byte_of_evidence_is_found() {
        let report = report();
        let run = json::read(report.path()).unwrap();
        for result in run.scenarios.iter().filter(|result| result.evidence.is_some()) {
            let folder = EvidenceFolder::of(report.path(), result).unwrap().unwrap().path().to_owned();
            for name in result.hashes.keys() {
                let path = folder.join(name);
                let right = std::fs::read(&path).unwrap();
                for index in (0..right.len()).step_by((right.len() / 6).max(1)) {
                    let mut wrong = right.clone();
                    wrong[index] ^= 1 << (index % 8);
                    std::fs::write(&path, &wrong).unwrap();
                    let said = findings(report.path()).join("\n");
                    assert!(said.contains(&format!("{} was changed", one_line(name))), "{said}");
                }
                std::fs::remove_file(&path).unwrap();
                let said = findings(report.path()).join("\n");
                assert!(said.contains(&format!("{} is missing", one_line(name))), "{said}");
                std::fs::write(&path, &right).unwrap();
            }
            std::fs::write(folder.join("more"), "x").unwrap();
            assert!(findings(report.path()).join("\n").contains("more was added"));
            std::fs::remove_file(folder.join("more")).unwrap();
        }
        assert!(findings(report.path()).is_empty());
    }

    /// Forged hashes do not help: the judge still notices.
    #[test]
    fn a_verdict_that_does_not_follow_is_found_though_hashes_fit() {
        let report = report();
        change(report.path(), |run| {
            for result in &mut run.scenarios {
                let judged_red = matches!(result.verdict.outcome, Outcome::Fail | Outcome::Hang);
                if !judged_red {
                    continue;
                }
                result.verdict.outcome = Outcome::Pass;
                let folder = EvidenceFolder::of(report.path(), result).unwrap().unwrap();
                let forged = serde_json::to_vec_pretty(&result.verdict).unwrap();
                std::fs::write(folder.path().join(crate::evidence::VERDICT), forged).unwrap();
                result.hashes = folder.hashes().unwrap();
            }
        });
        let said = findings(report.path());
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said.iter().all(|said| said.contains("judged again")));
    }

    #[test]
    fn results_that_are_mixed_up_are_found() {
        let report = report();
        let says = |edit: fn(&mut RunResult), words: &str| {
            let before = std::fs::read(report.path().join("result.json")).unwrap();
            change(report.path(), edit);
            let said = findings(report.path()).join("\n");
            assert!(said.contains(words), "no `{words}` in {said}");
            std::fs::write(report.path().join("result.json"), before).unwrap();
        };
        says(|run| run.scenarios[0].target = "local::1.99.0".into(), "not where a run puts it");
        std::os::unix::fs::symlink("local-1.37.2", report.path().join("local-1.99.0")).unwrap();
        let moved = |run: &mut RunResult| {
            let result = &mut run.scenarios[0];
            result.target = "local::1.99.0".into();
            result.evidence = Some(evidence::place(&result.target, &result.id));
        };
        says(moved, "local-1.99.0 is not a folder");
        std::fs::remove_file(report.path().join("local-1.99.0")).unwrap();
        std::fs::rename(report.path().join("local-1.37.2"), report.path().join("local-1.99.0")).unwrap();
        says(moved, "the targets");
        std::fs::rename(report.path().join("local-1.99.0"), report.path().join("local-1.37.2")).unwrap();
        says(|run| run.scenarios[0].title.push('!'), "the titles");
        says(|run| run.scenarios[0].requirements.clear(), "the behaviors");
        says(|run| run.scenarios[0].evidence = None, "without evidence");
        for elsewhere in ["../x", "/etc", ".git", "", "."] {
            change(report.path(), |run| run.scenarios[0].evidence = Some(elsewhere.into()));
            let said = findings(report.path()).join("\n");
            assert!(said.contains("not where a run puts it"), "{elsewhere}: {said}");
        }
        says(
            |run| {
                let again = run.scenarios[0].clone();
                run.scenarios.push(again);
            },
            "two results",
        );
    }

    #[test]
    fn what_is_not_proven_is_said() {
        let report = report();
        let said = verify(report.path(), None).unwrap().not_proven.join("\n");
        for words in [
            "it is not signed",
            "real clusters",
            "SHA-256",
            "the scenario that is error",
            "the scenario that is unsupported",
        ] {
            assert!(said.contains(words), "no `{words}` in {said}");
        }
    }
}
