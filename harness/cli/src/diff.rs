//! `tlsboot diff`: what changed in behavior between two runs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::{Exit, Failure, print, print_json};
use tlsboot_core::diff::{Features, Recorded, Side, diff, text};
use tlsboot_core::result::ScenarioResult;
use tlsboot_engine::evidence::{EvidenceError, EvidenceFolder, find, target_folder};
use tlsboot_engine::report;

/// Compare two runs: what changed in behavior between two versions, distributions or machines.
///
/// It compares verdicts, requests, CSRs, certificates, files and links, handshakes, metrics, log messages and times, as
/// recorded in the histories. Names of nodes, random suffixes, dates, numbers and keys are removed first. If a side has
/// several runs (`--also`), differences among them are noise and are left out.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tlsboot run @rotation --kubernetes 1.31 --out on-1.31
  tlsboot run @rotation --kubernetes 1.33 --out on-1.33
  tlsboot diff on-1.31 on-1.33                            what changed from 1.31 to 1.33
  tlsboot diff on-1.31 on-1.33 --also on-1.31-again       without what differs on 1.31 alone
  tlsboot diff out/local-1.24.17 out/local-1.28.15        two targets of one run
  tlsboot diff upstream mine --format json                for CI, with all values

A regression is a scenario that passed in A and fails, hangs, errors or is a known failure in B. A scenario that is
unsupported or was not run in B is shown, but is not a regression: no promise was broken.

Exit codes: 0 no regression (whatever else changed), 1 a regression, 2 invalid command line or no runs to compare.")]
pub(super) struct DiffCommand {
    /// A run's output folder, or the folder of one target in it.
    #[arg(value_name = "RUN_A")]
    a: PathBuf,
    /// The same for the other run.
    #[arg(value_name = "RUN_B")]
    b: PathBuf,
    /// A further run of A or B, recognized by its target: differences among runs of the same target are noise.
    #[arg(long, value_name = "RUN")]
    also: Vec<PathBuf>,
    /// The output format.
    #[arg(long, value_enum, default_value = "text")]
    format: DiffFormat,
}

/// An output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DiffFormat {
    /// For people to read.
    Text,
    /// For programs.
    Json,
}

pub(super) fn run(command: &DiffCommand) -> Result<Exit, Failure> {
    let (a, b) = (Run::read(&command.a)?, Run::read(&command.b)?);
    let (name_a, name_b) = (a.target.clone(), b.target.clone());
    let mut sides = [Side::from(a), Side::from(b)];
    for folder in &command.also {
        let again = Run::read(folder)?;
        let place = [&name_a, &name_b].iter().position(|name| **name == again.target);
        let place = place.ok_or_else(|| {
            Failure::usage(format!(
                "--also {}: its target is {}, neither {name_a} nor {name_b}",
                folder.display(),
                again.target
            ))
        })?;
        sides[place].runs.push(again.recorded);
    }
    let [a, b] = sides;
    if !a.shares_scenarios_with(&b) {
        return Err(Failure::usage("the two runs have no scenario in common: there is nothing to compare"));
    }
    let diff = diff(&a, &b);
    match command.format {
        DiffFormat::Text => print(&text(&diff))?,
        DiffFormat::Json => print_json(&diff)?,
    };
    Ok(if diff.is_regression() { Exit::Fail } else { Exit::Pass })
}

/// A run on one target.
struct Run {
    target: String,
    recorded: Vec<Recorded>,
}

impl From<Run> for Side {
    fn from(run: Run) -> Self {
        Self { name: run.target, runs: vec![run.recorded] }
    }
}

impl Run {
    /// Reads a run's output folder, one target's folder in it, or a folder with only evidence.
    fn read(folder: &Path) -> Result<Self, Failure> {
        if folder.join("result.json").is_file() {
            let run = report::json::read(folder).map_err(Failure::usage)?;
            return Self::of_results(folder, folder, &run.scenarios);
        }
        let parent = folder.parent().filter(|parent| parent.join("result.json").is_file());
        if let (Some(parent), Some(name)) = (parent, folder.file_name()) {
            let run = report::json::read(parent).map_err(Failure::usage)?;
            let name = name.to_string_lossy();
            let of_target = |result: &ScenarioResult| target_folder(&result.target) == name;
            let results: Vec<_> = run.scenarios.into_iter().filter(of_target).collect();
            return Self::of_results(folder, parent, &results);
        }
        Self::of_evidence(folder)
    }

    fn of_results(named: &Path, out: &Path, results: &[ScenarioResult]) -> Result<Self, Failure> {
        let targets: BTreeSet<&str> = results.iter().map(|result| result.target.as_str()).collect();
        let target = one_target(named, &targets)?;
        let recorded = results.iter().map(|result| {
            let features = match EvidenceFolder::of(out, result) {
                Some(evidence) => evidence.and_then(|evidence| features(&evidence)).map_err(|error| {
                    let at = out.join(result.evidence.as_deref().unwrap_or_default());
                    wrong(&at, error)
                })?,
                None => Features::default(),
            };
            Ok(Recorded {
                scenario: result.id.clone(),
                outcome: result.verdict.outcome,
                invariants: result.verdict.invariants.clone(),
                features,
            })
        });
        Ok(Self { target, recorded: recorded.collect::<Result<_, Failure>>()? })
    }

    /// Without a `result.json` (as left by `cargo nextest`) each history is judged again.
    fn of_evidence(folder: &Path) -> Result<Self, Failure> {
        let found = find(folder).map_err(|error| Failure::usage(format!("{}: {error}", folder.display())))?;
        let mut recorded = Vec::new();
        let mut targets = BTreeSet::new();
        for place in &found {
            let read = |evidence: EvidenceFolder| Ok((evidence.rejudge()?, features(&evidence)?));
            let (again, features) = EvidenceFolder::open(place).and_then(read).map_err(|error| wrong(place, error))?;
            targets.extend(again.begin.map(|begin| begin.target));
            recorded.push(Recorded {
                scenario: again.scenario.id,
                outcome: again.verdict.outcome,
                invariants: again.verdict.invariants,
                features,
            });
        }
        let targets: BTreeSet<&str> = targets.iter().map(String::as_str).collect();
        Ok(Self { target: one_target(folder, &targets)?, recorded })
    }
}

fn one_target(folder: &Path, targets: &BTreeSet<&str>) -> Result<String, Failure> {
    let mut names = targets.iter();
    match (names.next(), targets.len()) {
        (Some(one), 1) => Ok((*one).to_owned()),
        (None, _) => Err(Failure::usage(format!(
            "{}: there is no run here; give the output folder of `tlsboot run`",
            folder.display()
        ))),
        (Some(one), _) => {
            let all: Vec<&str> = targets.iter().copied().collect();
            Err(Failure::usage(format!(
                "{} has several targets ({}): name the folder of one, such as {}",
                folder.display(),
                all.join(", "),
                folder.join(target_folder(one)).display()
            )))
        }
    }
}

fn features(evidence: &EvidenceFolder) -> Result<Features, EvidenceError> {
    Ok(Features::of(&evidence.history()?))
}

fn wrong(folder: &Path, error: EvidenceError) -> Failure {
    Failure::usage(format!("{}: {error}", folder.display()))
}
