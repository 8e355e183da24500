//! Several output folders merged into one: the parts of a partitioned run, or runs of several versions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::ReportError;
use super::verify::changed_files;
use crate::evidence::{self, EvidenceFolder};
use tlsboot_core::result::{RunResult, ScenarioResult, Shard};

/// No run is partitioned into more parts than this.
const MOST_PARTS: u32 = 10_000;

/// Why runs cannot be merged.
#[derive(Debug, Error)]
pub enum MergeError {
    /// A report cannot be read.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// Two of them contradict each other.
    #[error("{0}")]
    Contradiction(String),
    /// A run's evidence does not match its result.
    #[error("{folder}: {id} on {target}: {problem}; it was damaged in transit: fetch it again")]
    Damaged {
        /// The run's folder.
        folder: PathBuf,
        /// The scenario.
        id: String,
        /// The target.
        target: String,
        /// What is wrong.
        problem: String,
    },
    /// The output folder is not suitable for a report.
    #[error("--out {path}: {why}")]
    Out {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// Evidence cannot be copied.
    #[error("cannot copy evidence to {path}: {source}")]
    Copy {
        /// The target path.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

/// What was merged, and what is missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// The whole.
    pub run: RunResult,
    /// Missing parts of partitioned runs, in words. If there are any, the run counts as interrupted.
    pub missing: Vec<String>,
}

/// Merges results. The order of the inputs does not matter.
///
/// # Errors
/// If two contradict each other, or come from different versions of tlsboot.
pub fn merge(mut runs: Vec<RunResult>) -> Result<Merged, MergeError> {
    let contradiction = |text: String| Err(MergeError::Contradiction(text));
    runs.sort_by(|a, b| (a.started, &a.run).cmp(&(b.started, &b.run)));
    let Some(mut whole) = runs.first().cloned() else {
        return contradiction("there is nothing to merge: name output folders of runs".into());
    };
    let end = |run: &RunResult| run.started.as_millisecond() + i64::try_from(run.duration_ms).unwrap_or(i64::MAX / 2);
    let last = runs.iter().map(end).max().unwrap_or_default();
    for run in &runs[1..] {
        if run.tlsboot != whole.tlsboot {
            return contradiction(format!(
                "run {} is from tlsboot {}, run {} from tlsboot {}: they may judge differently, so run both with the same one",
                whole.run, whole.tlsboot, run.run, run.tlsboot
            ));
        }
        join_environment(&mut whole.environment, &run.environment);
        for component in &run.components {
            if !whole.components.contains(component) {
                whole.components.push(component.clone());
            }
        }
        whole.scenarios.extend(run.scenarios.iter().cloned());
        whole.stale.extend(run.stale.iter().cloned());
        whole.shards.extend(run.shards.iter().cloned());
        whole.interrupted |= run.interrupted;
        whole.not_started += run.not_started;
    }
    if runs.len() > 1 {
        let names: std::collections::BTreeSet<&str> = runs.iter().map(|run| run.run.as_str()).collect();
        whole.run = names.into_iter().collect::<Vec<_>>().join("+");
    }
    whole.duration_ms = u64::try_from(last - whole.started.as_millisecond()).unwrap_or(0);
    whole.scenarios = without_duplicates(whole.scenarios)?;
    whole.components.sort_by(|a, b| (&a.name, &a.version, &a.sha256).cmp(&(&b.name, &b.version, &b.sha256)));
    whole.stale.sort_by(|a, b| (&a.target, &a.id).cmp(&(&b.target, &b.id)));
    whole.stale.dedup();
    whole.shards.sort();
    whole.shards.dedup();
    let missing = missing(&whole.shards)?;
    whole.interrupted |= !missing.is_empty();
    Ok(Merged { run: whole, missing })
}

/// By target, then by id, in the order of an undivided run. Duplicates must be identical.
fn without_duplicates(results: Vec<ScenarioResult>) -> Result<Vec<ScenarioResult>, MergeError> {
    let mut all: BTreeMap<(String, String), ScenarioResult> = BTreeMap::new();
    for result in results {
        let key = (result.target.clone(), result.id.clone());
        match all.get(&key) {
            Some(known) if *known == result => {}
            Some(known) => {
                let same = known.verdict.outcome == result.verdict.outcome;
                let differ = if same {
                    format!("twice {}, from different runs", known.verdict.outcome.word())
                } else {
                    format!("once {} and once {}", known.verdict.outcome.word(), result.verdict.outcome.word())
                };
                return Err(MergeError::Contradiction(format!(
                    "{} on {} occurs {differ}: leave out one of the folders",
                    result.id, result.target
                )));
            }
            None => {
                all.insert(key, result);
            }
        }
    }
    Ok(all.into_values().collect())
}

/// The missing parts. A part may occur twice only if both are identical.
fn missing(shards: &[Shard]) -> Result<Vec<String>, MergeError> {
    let mut by_whole: BTreeMap<&str, Vec<&Shard>> = BTreeMap::new();
    for shard in shards {
        by_whole.entry(&shard.whole).or_default().push(shard);
    }
    let mut missing = Vec::new();
    for (whole, parts) in by_whole {
        let of = parts[0].of;
        if let Some(odd) = parts.iter().find(|part| part.of > MOST_PARTS || !(1..=part.of).contains(&part.part)) {
            return Err(MergeError::Contradiction(format!("there is no part {}/{}", odd.part, odd.of)));
        }
        if let Some(other) = parts.iter().find(|part| part.of != of) {
            return Err(MergeError::Contradiction(format!(
                "one part is of {of}, another of {}: they overlap; merge parts of one partition only",
                other.of
            )));
        }
        for part in 1..=of {
            if !parts.iter().any(|shard| shard.part == part) {
                missing.push(format!("part {part}/{of} of the run {}", whole.get(..8).unwrap_or(whole)));
            }
        }
    }
    Ok(missing)
}

/// Facts of several machines: differences are listed.
fn join_environment(all: &mut BTreeMap<String, String>, more: &BTreeMap<String, String>) {
    for (name, value) in more {
        let known = all.entry(name.clone()).or_default();
        if !known.split("; ").any(|one| one == value) {
            let mut values: Vec<&str> = known.split("; ").filter(|one| !one.is_empty()).collect();
            values.push(value);
            values.sort_unstable();
            *known = values.join("; ");
        }
    }
}

/// Reads the runs in these folders, merges them, and copies their evidence to `out`, verifying it along the way.
///
/// # Errors
/// If something cannot be read, is damaged or contradictory, or if `out` contains something other than a report.
/// Nothing is copied before all results are merged.
pub fn merge_folders(folders: &[PathBuf], out: &Path) -> Result<Merged, MergeError> {
    let mut runs = Vec::new();
    for folder in folders {
        let run = super::json::read(folder)?;
        for result in &run.scenarios {
            intact(folder, result)?;
        }
        runs.push(run);
    }
    let merged = merge(runs.clone())?;
    fit_for_a_report(out)?;
    for (folder, run) in folders.iter().zip(&runs) {
        for result in &run.scenarios {
            copy(folder, result, out)?;
        }
    }
    Ok(merged)
}

/// Whether a folder is empty, contains a report, or the leftovers of a killed merge: so that nothing else in it is
/// lost.
fn fit_for_a_report(out: &Path) -> Result<(), MergeError> {
    let unfit = |why: String| Err(MergeError::Out { path: out.to_owned(), why });
    let entries = match std::fs::read_dir(out) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return unfit(error.to_string()),
        Ok(entries) => entries,
    };
    if super::json::read(out).is_ok() {
        return Ok(());
    }
    for entry in entries {
        let is_ours = entry.as_ref().is_ok_and(|entry| {
            let is_report = super::write::FILES.iter().any(|name| entry.file_name() == *name);
            is_report || is_of_a_target(&entry.path()).unwrap_or(false)
        });
        if !is_ours {
            let name = entry.map(|entry| entry.file_name().display().to_string()).unwrap_or_default();
            return unfit(format!(
                "it contains something other than a report, such as {name}: name an empty or a new folder"
            ));
        }
    }
    Ok(())
}

/// Whether the subfolders of a folder contain nothing but evidence.
fn is_of_a_target(folder: &Path) -> std::io::Result<bool> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() || !evidence::is_evidence(&entry.path())? {
            return Ok(false);
        }
    }
    Ok(folder.symlink_metadata()?.is_dir())
}

fn intact(folder: &Path, result: &ScenarioResult) -> Result<(), MergeError> {
    let problem = match EvidenceFolder::of(folder, result) {
        None => None,
        Some(Err(error)) => Some(error.to_string()),
        Some(Ok(evidence)) => match changed_files(&evidence, result) {
            Ok(changed) => changed.into_iter().next(),
            Err(error) => Some(error.to_string()),
        },
    };
    problem.map_or(Ok(()), |problem| Err(damaged(folder, result, problem)))
}

fn damaged(folder: &Path, result: &ScenarioResult, problem: String) -> MergeError {
    MergeError::Damaged { folder: folder.to_owned(), id: result.id.clone(), target: result.target.clone(), problem }
}

/// Copies only the files for which a result has hashes.
fn copy(folder: &Path, result: &ScenarioResult, out: &Path) -> Result<(), MergeError> {
    let from = match EvidenceFolder::of(folder, result) {
        None => return Ok(()),
        Some(from) => from.map_err(|error| damaged(folder, result, error.to_string()))?,
    };
    let place = evidence::place(&result.target, &result.id);
    let to = out.join(&place);
    let write = || -> std::io::Result<()> {
        evidence::make_room(out, &place)?;
        std::fs::create_dir_all(&to)?;
        for name in result.hashes.keys() {
            if !evidence::has(Path::new(name)) {
                return Err(std::io::Error::other(format!("{name:?} is not a file of evidence")));
            }
            // Opened before anything is written: a name that leads out of the folder is an error.
            let mut file = from.folder().file(Path::new(name))?;
            let to = to.join(name);
            std::fs::create_dir_all(to.parent().unwrap_or(&to))?;
            std::io::copy(&mut file, &mut std::fs::File::create_new(to)?)?;
        }
        Ok(())
    };
    write().map_err(|source| MergeError::Copy { path: to.clone(), source })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::fixture;
    use tlsboot_core::check::Outcome;
    use tlsboot_core::exit::Exit;

    fn shard(part: u32, of: u32) -> Shard {
        Shard { whole: "ab".repeat(32), part, of }
    }

    /// A run with one scenario of the fixture, as one part of a partition with a part for each scenario.
    fn parts() -> Vec<RunResult> {
        let whole = fixture::run();
        let of = u32::try_from(whole.scenarios.len()).unwrap();
        (1..=of)
            .map(|part| {
                let mut run = whole.clone();
                run.run = format!("run-{part}");
                run.scenarios = vec![whole.scenarios[part as usize - 1].clone()];
                run.shards = vec![shard(part, of)];
                run
            })
            .collect()
    }

    #[test]
    fn parts_make_up_the_whole() {
        let Merged { run, missing } = merge(parts()).unwrap();
        assert_eq!(missing, Vec::<String>::new());
        assert!(!run.interrupted);
        assert_eq!(run.exit(), fixture::run().exit());
        let mut whole = fixture::run().scenarios;
        whole.sort_by(|a, b| (&a.target, &a.id).cmp(&(&b.target, &b.id)));
        assert_eq!(run.scenarios, whole);
    }

    proptest! {
        #[test]
        fn the_order_does_not_matter(parts in Just(parts()).prop_shuffle()) {
            let sorted = merge(super::tests::parts()).unwrap();
            prop_assert_eq!(merge(parts).unwrap(), sorted);
        }
    }

    #[test]
    fn a_run_merged_with_itself_is_itself() {
        let run = fixture::run();
        let twice = merge(vec![run.clone(), run.clone()]).unwrap().run;
        assert_eq!(twice.scenarios.len(), run.scenarios.len());
        assert_eq!(twice.run, run.run);
    }

    #[test]
    fn a_missing_part_is_said_and_never_green() {
        let mut some = parts();
        some.remove(1);
        some.retain(|run| run.scenarios[0].verdict.outcome == Outcome::Pass);
        let merged = merge(some).unwrap();
        assert!(merged.missing.iter().any(|said| said.contains("part 2/")));
        assert!(merged.run.interrupted);
        assert_ne!(merged.run.exit(), Exit::Pass);
    }

    fn refused(runs: Vec<RunResult>) -> String {
        merge(runs).unwrap_err().to_string()
    }

    #[test]
    fn what_contradicts_is_refused() {
        let run = fixture::run();
        let mut other = run.clone();
        other.scenarios[0].verdict.outcome = Outcome::Pass;
        other.scenarios[1].verdict.outcome = Outcome::Pass;
        assert!(refused(vec![run.clone(), other]).contains("once "));
        let mut again = run.clone();
        again.scenarios[0].duration_ms += 1;
        assert!(refused(vec![run.clone(), again]).contains("from different runs"));
        let mut foreign = run.clone();
        foreign.tlsboot = "9.9.9".into();
        assert!(refused(vec![run.clone(), foreign]).contains("tlsboot 9.9.9"));
        let mut overlapping = parts();
        overlapping[0].shards[0].of = 9;
        assert!(refused(overlapping).contains("they overlap"));
        for odd in [shard(1, u32::MAX), shard(0, 0), shard(3, 2), shard(0, 2)] {
            let mut impossible = run.clone();
            impossible.shards = vec![odd];
            assert!(refused(vec![impossible]).contains("there is no part"));
        }
        assert!(refused(Vec::new()).contains("nothing to merge"));
    }

    /// A report with evidence, as it was sent.
    fn sent(edit: impl FnOnce(&Path, &mut RunResult)) -> tempfile::TempDir {
        let report = fixture::folder();
        let mut run = fixture::verifiable(report.path());
        edit(report.path(), &mut run);
        std::fs::write(report.path().join("result.json"), serde_json::to_vec(&run).unwrap()).unwrap();
        report
    }

    /// Someone's folder, with a repository in it.
    fn repository() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join(".git/hooks")).unwrap();
        std::fs::write(folder.path().join(".git/HEAD"), "ref").unwrap();
        folder
    }

    #[test]
    fn evidence_is_taken_only_from_where_a_run_puts_it() {
        for elsewhere in [".git", "src", "..", "/etc"] {
            let report = sent(|report, run| {
                let evidence = run.scenarios[0].evidence.replace(elsewhere.into()).unwrap();
                let _ = std::fs::rename(report.join(evidence), report.join(elsewhere));
            });
            let out = repository();
            let error = merge_folders(&[report.path().to_owned()], out.path()).unwrap_err().to_string();
            assert!(error.contains("not where a run puts it"), "{error}");
            assert!(out.path().join(".git/HEAD").exists());
        }
    }

    #[test]
    fn a_folder_that_holds_something_else_is_no_place_for_a_report() {
        let report = sent(|_, _| ());
        let out = repository();
        let error = merge_folders(&[report.path().to_owned()], out.path()).unwrap_err().to_string();
        assert!(error.contains("such as .git"), "{error}");
        assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 1);
    }

    /// A report may be next to other things; none of them is mistaken for evidence.
    #[test]
    fn only_evidence_is_replaced() {
        let report = sent(|_, _| ());
        let out = tempfile::tempdir().unwrap();
        let merge = || merge_folders(&[report.path().to_owned()], out.path());
        let merged = merge().unwrap().run;
        std::fs::write(out.path().join("result.json"), serde_json::to_vec(&merged).unwrap()).unwrap();
        merge().unwrap();
        let evidence = merged.scenarios.iter().find_map(|result| result.evidence.as_ref());
        let evidence = out.path().join(evidence.unwrap());
        std::fs::write(evidence.join("notes"), "x").unwrap();
        let error = merge().unwrap_err().to_string();
        assert!(error.contains("is not replaced") && evidence.join("notes").exists(), "{error}");
    }

    #[test]
    fn a_merge_that_was_killed_can_be_repeated() {
        let report = sent(|_, _| ());
        let out = tempfile::tempdir().unwrap();
        merge_folders(&[report.path().to_owned()], out.path()).unwrap();
        assert!(!out.path().join("result.json").exists());
        merge_folders(&[report.path().to_owned()], out.path()).unwrap();
    }

    #[test]
    fn links_and_other_files_are_not_copied() {
        let hash = |path: &Path| {
            use sha2::Digest;
            hex::encode(sha2::Sha256::digest(std::fs::read(path).unwrap()))
        };
        let linked = sent(|report, run| {
            let result = &mut run.scenarios[0];
            let file = report.join(result.evidence.as_ref().unwrap()).join("logs");
            std::os::unix::fs::symlink("/etc/passwd", &file).unwrap();
            result.hashes.insert("logs".into(), hash(&file));
        });
        let more = sent(|report, run| {
            let result = &mut run.scenarios[0];
            let file = report.join(result.evidence.as_ref().unwrap()).join("pre-commit");
            std::fs::write(&file, "#!/bin/sh").unwrap();
            result.hashes.insert("pre-commit".into(), hash(&file));
        });
        let out = tempfile::tempdir().unwrap();
        let refused = |report: &tempfile::TempDir| merge_folders(&[report.path().to_owned()], out.path()).unwrap_err();
        let error = refused(&linked).to_string();
        assert!(error.contains("logs is neither a file nor a folder"), "{error}");
        let error = refused(&more).to_string();
        assert!(error.contains("is not a file of evidence"), "{error}");
    }

    #[test]
    fn facts_of_several_machines_are_listed() {
        let map = |cpus: &str| BTreeMap::from([("cpus".to_owned(), cpus.to_owned())]);
        let mut all = map("2");
        join_environment(&mut all, &map("4"));
        join_environment(&mut all, &map("2"));
        assert_eq!(all, map("2; 4"));
    }
}
