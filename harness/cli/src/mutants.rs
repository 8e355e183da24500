//! `tlsboot mutants`.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use clap::Args;
use futures::StreamExt;
use jiff::Timestamp;
use tokio::sync::watch;

use super::interrupt::on_interrupt;
use super::target::{Planned, TargetOptions};
use super::{Exit, Failure, LibraryOptions, ScenarioOptions, print, progress, values};
use tlsboot_core::check::Outcome;
use tlsboot_core::known::KnownFailures;
use tlsboot_core::scenario::{Profile, Scenario};
use tlsboot_engine::cluster::local::Local;
use tlsboot_engine::cluster::processes::Defect;
use tlsboot_engine::mutants::matrix::{self, Cell, Matrix, Row};
use tlsboot_engine::mutants::{Buggy, Made, Mutant, edits, select, table};
use tlsboot_engine::run::{Runner, Silent, Target};
use tlsboot_engine::say;

/// Run scenarios on clusters with one fault each, and report which scenarios notice it.
///
/// Mutants `bug.*` are bugs built into Kubernetes itself: Go 1.26 or newer builds it from its modules, which takes
/// about 15 minutes, once per version.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tlsboot mutants --list                   the faults, and which scenarios must notice them
  tlsboot mutants                          all mutants, each with its scenarios
  tlsboot mutants --first 'signer.*'       some mutants, each until a scenario notices
  tlsboot mutants rbac.all-may-ask --all-scenarios
  tlsboot mutants 'bug.*'                  bugs inside Kubernetes, built with Go

Exit codes: 0 all killed, 1 a mutant survived, or a scenario that must notice it did not, 2 invalid command line,
3 harness error, 130 interrupted.")]
pub(super) struct MutantsCommand {
    /// Mutants by id or glob ('signer.*'); all by default.
    #[arg(value_name = "MUTANT")]
    mutants: Vec<String>,
    /// List the mutants and exit.
    #[arg(long)]
    list: bool,
    /// Run every scenario of the profile on each mutant, not only those that must notice it.
    #[arg(long)]
    all_scenarios: bool,
    /// Run a mutant's scenarios one after the other, quickest first, until one notices the fault.
    #[arg(long, conflicts_with = "all_scenarios")]
    first: bool,
    /// Continue the run whose results are in the output folder: decided results are kept.
    #[arg(long)]
    resume: bool,
    /// Only scenarios of this profile and the smaller ones.
    #[arg(long, value_parser = values::profile(), default_value_t = Profile::Slow)]
    profile: Profile,
    #[command(flatten)]
    library: LibraryOptions,
    #[command(flatten)]
    target: TargetOptions,
    #[command(flatten)]
    jobs: super::run::JobsOptions,
    /// Folder for the evidence, `mutants.json` and `KILLS.md`.
    #[arg(long, short, value_name = "DIR", default_value = "tlsboot-mutants")]
    out: PathBuf,
}

pub(super) fn run(command: MutantsCommand) -> Result<Exit, Failure> {
    let mutants = select(table(), &command.mutants).map_err(Failure::usage)?;
    if command.list {
        return list(&mutants);
    }
    let scenarios =
        ScenarioOptions { selectors: Vec::new(), library: command.library.clone(), profile: command.profile };
    let scenarios = scenarios.load()?;
    let planned = command.target.plan()?;
    let [planned] = planned.as_slice() else {
        return Err(Failure::usage("`mutants` runs on one version: give one by --kubernetes"));
    };
    let (local, components) = command.target.local(planned, progress::on_stderr())?;
    super::create_out(&command.out)?;
    super::prepare_clusters(command.target.provider)?;
    let runtime = super::runtime()?;
    let (started, clock) = (Timestamp::now(), Instant::now());
    let lab = Lab {
        local,
        edited: edited(&command, planned, &mutants),
        planned: *planned,
        out: command.out.clone(),
        begun: AtomicUsize::new(0),
        total: 0,
    };
    let before = match command.resume {
        true => read(&command.out, &planned.id.name())?,
        false => Vec::new(),
    };
    let (rows, interrupted) = runtime.block_on(all(&command, &mutants, &scenarios, &before, lab))?;
    let matrix = Matrix {
        format: matrix::FORMAT,
        tlsboot: env!("CARGO_PKG_VERSION").into(),
        target: planned.id.name(),
        started,
        duration_ms: millis(clock),
        components,
        complete: !command.first && rows.len() == table().len(),
        mutants: rows,
    };
    write(&command.out, &matrix)?;
    print(&matrix.text())?;
    if interrupted {
        say!("interrupted: run the same command with --resume to continue");
        return Ok(Exit::Interrupted);
    }
    Ok(matrix.exit())
}

/// The folder of the executables with bugs, if any of the mutants is one; or why there is none.
fn edited(command: &MutantsCommand, planned: &Planned, mutants: &[Mutant]) -> Result<PathBuf, String> {
    let is_inside = |mutant: &Mutant| matches!(mutant.made, Made::Inside(_));
    if !mutants.iter().any(is_inside) {
        return Err("none was selected".into());
    }
    if planned.id.kubelet != planned.id.kubernetes {
        return Err("bugs are built into one version; leave --kubelet out".into());
    }
    // All of them, so that there is one build per version.
    let edits = edits(&table(), planned.id.kubernetes.minor);
    let progress = progress::on_stderr();
    let built = command.target.edited(planned.id.kubernetes, edits, progress);
    built.map_err(|failure| failure.to_string())
}

/// The rows of an earlier run on the same target.
fn read(out: &Path, target: &str) -> Result<Vec<Row>, Failure> {
    let path = out.join("mutants.json");
    let wrong = |why: String| Failure::usage(format!("--resume: {}: {why}", path.display()));
    let text = tlsboot_engine::untrusted::read(&path, tlsboot_engine::untrusted::LONGEST)
        .map_err(|error| wrong(error.to_string()))?;
    let matrix: Matrix = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    if matrix.target != target {
        return Err(wrong(format!("it is from {}, not from {target}", matrix.target)));
    }
    Ok(matrix.mutants)
}

fn list(mutants: &[Mutant]) -> Result<Exit, Failure> {
    let lines = mutants.iter().map(|mutant| {
        let verb = if mutant.sound { "passed by" } else { "killed by" };
        format!("{:36} {}\n{:36} {verb} {}\n", mutant.id, mutant.wrong, "", mutant.scenarios.join(", "))
    });
    print(&lines.collect::<String>())
}

fn write(out: &Path, matrix: &Matrix) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(matrix).map_err(Failure::error)?;
    for (name, text) in [("mutants.json", json + "\n"), ("KILLS.md", matrix.markdown())] {
        let path = out.join(name);
        std::fs::write(&path, text).map_err(|error| Failure::error(format!("{}: {error}", path.display())))?;
    }
    Ok(())
}

/// Where mutants are created.
struct Lab {
    local: Local,
    edited: Result<PathBuf, String>,
    planned: Planned,
    out: PathBuf,
    begun: AtomicUsize,
    total: usize,
}

/// One scenario on one mutant, or with `--first` several, one after the other.
struct Trial {
    mutant: Mutant,
    defect: Arc<dyn Defect>,
    scenarios: Vec<Scenario>,
}

/// Runs all trials, several at the same time. What an earlier run decided is kept.
async fn all(
    command: &MutantsCommand,
    mutants: &[Mutant],
    scenarios: &[Scenario],
    before: &[Row],
    mut lab: Lab,
) -> Result<(Vec<Row>, bool), Failure> {
    let interrupt = on_interrupt().map_err(Failure::error)?;
    let mut rows = matrix::rows(&table(), mutants, before);
    let mut trials = Vec::new();
    for mutant in mutants {
        let Some(row) = rows.iter_mut().find(|row| row.id == mutant.id) else {
            continue;
        };
        let defect = match lab.defect(mutant) {
            Ok(defect) => defect,
            Err(why) => {
                row.unsupported = Some(why);
                continue;
            }
        };
        let open = |scenario: &&Scenario| {
            let mut cells = row.cells.iter();
            !cells.any(|cell| cell.scenario == scenario.id)
        };
        let open = scenarios.iter().filter(open);
        trials.extend(trials_of(mutant, &defect, open, command));
    }
    trials.sort_by_key(|trial| Reverse(trial.scenarios.iter().map(Scenario::patience).max()));
    let trials = spread(trials);
    lab.total = trials.iter().map(|trial| trial.scenarios.len()).sum();
    let lab = Arc::new(lab);
    let runs = trials.into_iter().map(|trial| {
        let (lab, interrupt) = (Arc::clone(&lab), interrupt.clone());
        async move {
            let id = trial.mutant.id;
            let cells = tokio::spawn(async move { lab.run(trial, interrupt).await });
            (id, cells.await)
        }
    });
    let done: Vec<_> = futures::stream::iter(runs).buffer_unordered(command.jobs.get(4)).collect().await;
    for (id, cells) in done {
        let cells = cells.map_err(|_| Failure::error("a scenario's task panicked; see above"))?;
        let row = rows.iter_mut().find(|row| row.id == id);
        row.into_iter().for_each(|row| row.cells.extend(cells.clone()));
    }
    for row in &mut rows {
        row.cells.sort_by(|a, b| a.scenario.cmp(&b.scenario));
    }
    let interrupted = *interrupt.borrow();
    Ok((rows, interrupted))
}

/// The longest begin first, each followed by one of the shortest: those that wait leave the cores to those that work.
fn spread<T>(longest_first: Vec<T>) -> Vec<T> {
    let mut rest = VecDeque::from(longest_first);
    let mut order = Vec::with_capacity(rest.len());
    while let Some(long) = rest.pop_front() {
        order.push(long);
        order.extend(rest.pop_back());
    }
    order
}

/// What is to be run on a mutant. A fault-free control (`sound.*`) only runs its own scenarios.
fn trials_of<'a>(
    mutant: &Mutant,
    defect: &Arc<dyn Defect>,
    open: impl Iterator<Item = &'a Scenario>,
    command: &MutantsCommand,
) -> Vec<Trial> {
    let all = command.all_scenarios && !mutant.sound;
    let mut chosen: Vec<Scenario> =
        open.filter(|scenario| all || mutant.scenarios.contains(&scenario.id.as_str())).cloned().collect();
    let trial = |scenarios| Trial { mutant: mutant.clone(), defect: Arc::clone(defect), scenarios };
    if command.first && !mutant.sound {
        chosen.sort_by_key(Scenario::patience);
        return match chosen.is_empty() {
            true => Vec::new(),
            false => vec![trial(chosen)],
        };
    }
    chosen.into_iter().map(|scenario| trial(vec![scenario])).collect()
}

impl Lab {
    /// The fault, or why it cannot be created here.
    fn defect(&self, mutant: &Mutant) -> Result<Arc<dyn Defect>, String> {
        let minor = self.planned.id.kubernetes.minor;
        if minor < mutant.from {
            let from = mutant.from;
            return Err(format!("it needs Kubernetes 1.{from} (this is 1.{minor})"));
        }
        Ok(match &mutant.made {
            Made::Around(defect) => Arc::clone(defect),
            Made::Inside(_) => Arc::new(Buggy { bug: mutant.id, folder: self.edited.clone()? }),
        })
    }

    async fn run(&self, trial: Trial, interrupt: watch::Receiver<bool>) -> Vec<Cell> {
        let local = Local { defect: Some(Arc::clone(&trial.defect)), ..self.local.clone() };
        let target = Target { id: self.planned.id, provider: Box::new(local) };
        let runner = Runner {
            out: self.out.join(trial.mutant.id),
            known: KnownFailures::default(),
            listener: Arc::new(Silent),
            interrupt: interrupt.clone(),
            keep_going: false,
            keep: false,
        };
        let mut cells = Vec::new();
        for scenario in &trial.scenarios {
            if *interrupt.borrow() {
                break;
            }
            let number = self.begun.fetch_add(1, Ordering::Relaxed) + 1;
            let name = format!("{} × {}", trial.mutant.id, scenario.id);
            say!("[{number}/{}] {name} begins", self.total);
            let result = runner.run(scenario, &target).await.result;
            let broken_off = *interrupt.borrow() && result.verdict.outcome == Outcome::Error;
            if broken_off {
                break;
            }
            let cell = Cell {
                scenario: scenario.id.clone(),
                expected: trial.mutant.scenarios.contains(&scenario.id.as_str()),
                outcome: result.verdict.outcome,
                duration_ms: result.duration_ms,
                why: result.unsupported.unwrap_or_else(|| matrix::why(&result.verdict)),
            };
            say!(
                "[{number}/{}] {name}: {:?} after {} s. {}",
                self.total,
                cell.outcome,
                cell.duration_ms / 1000,
                cell.why
            );
            let decided = cell.kills();
            cells.push(cell);
            if decided && trial.scenarios.len() > 1 {
                break;
            }
        }
        cells
    }
}

fn millis(clock: Instant) -> u64 {
    u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_short_take_turns() {
        assert_eq!(spread(vec![9, 7, 5, 3, 1]), [9, 1, 7, 3, 5]);
        assert!(spread(Vec::<u8>::new()).is_empty());
    }
}
