//! `tlsboot run`.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::failed::FailedBefore;
use super::interrupt::on_interrupt;
use super::live::LiveProgress;
use super::queue::{Done, run_all};
use super::scenarios::KnownOptions;
use super::sign::SignOptions;
use super::target::{Planned, TargetOptions, environment};
use super::{Exit, Failure, ScenarioOptions, built_in, progress, values};
use tlsboot_core::known::KnownFailures;
use tlsboot_core::result::{self, RunResult, Shard};
use tlsboot_core::scenario::{Partition, Profile, Scenario};
use tlsboot_engine::cluster::ProviderKind;
use tlsboot_engine::cluster::processes::inotify::Instances;
use tlsboot_engine::components::Progress;
use tlsboot_engine::report::{self, Format};
use tlsboot_engine::run::{Listener, Runner, Silent, Target};
use tlsboot_engine::say;

/// Run scenarios on real clusters and report.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tlsboot run                                       the core profile on the newest Kubernetes
  tlsboot run 'rotation.*' --kubernetes 1.37,1.33   a chapter, on two versions
  tlsboot run --kubernetes 1.37 --kubelet 1.35      kubelets older than their control plane
  tlsboot run --components ./my-distribution        your own executables
  tlsboot run my-scenarios/ --profile full          your own scenarios
  tlsboot run --partition 2/5 --out shard-2         the second of five parts; `tlsboot merge` joins them
  tlsboot run --failed tlsboot-out --out again      only what failed in that run, on the same targets
  tlsboot run --fail-fast                           no further scenario after the first that fails
  tlsboot run --keep-going                          all expectations of a scenario, also after one that fails
  tlsboot run 'rbac.*' --keep                       if one fails, its cluster runs on for you to look at
  tlsboot run --known known.yaml                    expected failures, listed with reason and link
  tlsboot run --sign key.pem                        sign result.json; `tlsboot verify --key` checks it

Exit codes: 0 all as expected, or known to fail; 1 a scenario failed or hung, or a known failure no longer fails;
2 invalid command line or scenario; 3 an error in tlsboot or its environment, which says nothing about the cluster;
130 interrupted, after cleaning up.")]
pub(super) struct RunCommand {
    #[command(flatten)]
    scenarios: ScenarioOptions,
    /// Only what failed, hung or was an error in the run with this output folder, on the same targets unless
    /// `--kubernetes` chooses others. Selectors narrow it further. The report has only these scenarios.
    #[arg(long, value_name = "DIR", help_heading = "Scenarios")]
    failed: Option<PathBuf>,
    #[command(flatten)]
    target: TargetOptions,
    /// Only this part of the scenarios on all targets: K of N equal parts, for machines that share the work.
    #[arg(long, value_name = "K/N", env = "TLSBOOT_PARTITION", help_heading = "Scenarios")]
    partition: Option<Partition>,
    #[command(flatten)]
    known: KnownOptions,
    #[command(flatten)]
    jobs: JobsOptions,
    #[command(flatten)]
    stop: StopOptions,
    /// Show no progress: only failures, the counts, and where the report is.
    #[arg(long, short, help_heading = "Output")]
    quiet: bool,
    /// Folder for evidence and reports.
    #[arg(long, short, value_name = "DIR", default_value = "tlsboot-out", help_heading = "Output")]
    out: PathBuf,
    /// Reports to write, separated by commas.
    #[arg(long, help_heading = "Output", value_parser = values::format(), value_delimiter = ',', default_values_t = Format::DEFAULT.iter().copied())]
    format: Vec<Format>,
    #[command(flatten)]
    sign: SignOptions,
}

/// A scenario on one of the planned targets.
type Pair = (usize, Scenario);

/// When a run ends early.
#[derive(Debug, Args)]
#[command(next_help_heading = "Running")]
struct StopOptions {
    /// Start no further scenario after the first that fails, hangs or is an error. Those that are running end as usual.
    #[arg(long, conflicts_with = "max_fail")]
    fail_fast: bool,
    /// The same after N of them.
    #[arg(long, value_name = "N", value_parser = values::at_least_one)]
    max_fail: Option<NonZero<usize>>,
    /// Go on in a scenario after what makes it red, to see what becomes of its other expectations. Otherwise it ends there:
    /// nothing that is left can change its verdict.
    #[arg(long, env = "TLSBOOT_KEEP_GOING")]
    keep_going: bool,
    /// Keep the cluster of the first scenario that fails or hangs, and print how to enter it. Ctrl-C ends it. Implies
    /// --fail-fast.
    #[arg(long, conflicts_with_all = ["max_fail", "quiet"])]
    keep: bool,
}

impl StopOptions {
    fn most(&self) -> Option<NonZero<usize>> {
        if self.fail_fast || self.keep { Some(NonZero::<usize>::MIN) } else { self.max_fail }
    }
}

/// How many clusters run at the same time.
#[derive(Debug, Args)]
#[command(next_help_heading = "Running")]
pub(super) struct JobsOptions {
    /// How many clusters run at the same time; most of a scenario is waiting. Default: two per core (four for
    /// `mutants`, whose failing scenarios run to their deadline), limited by the available inotify instances.
    #[arg(long, short, value_name = "N", env = "TLSBOOT_JOBS", value_parser = values::at_least_one)]
    jobs: Option<NonZero<usize>>,
}

impl JobsOptions {
    /// Determined only when needed: it reads all of /proc. While one cluster starts, the others wait for their
    /// kubelets.
    pub(super) fn get(&self, for_each_core: usize) -> usize {
        let default = || {
            let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
            let room = Instances::now().map_or(usize::MAX, Instances::nodes);
            (for_each_core * cores).min(room).max(1)
        };
        self.jobs.map_or_else(default, NonZero::get)
    }
}

pub(super) fn run(mut command: RunCommand) -> Result<Exit, Failure> {
    let failed = command.failed.as_deref().map(FailedBefore::read).transpose()?;
    if let Some(failed) = &failed {
        failed.choose(&mut command.target)?;
        command.scenarios.profile = Profile::Slow;
    }
    let scenarios = command.scenarios.load()?;
    let scenario_set = command.scenarios.library.digest();
    let known = command.known.load(&command.scenarios)?;
    let key = command.sign.load(&command.format)?;
    let planned = command.target.plan()?;
    let all = (0..planned.len()).flat_map(|target| scenarios.iter().map(move |one| (target, one)));
    let wanted = |(target, one): &(usize, &Scenario)| {
        failed.as_ref().is_none_or(|failed| failed.has(&one.id, &planned[*target].id))
    };
    let pairs: Vec<Pair> = all.filter(wanted).map(|(target, one)| (target, one.clone())).collect();
    if let Some(failed) = failed.filter(|_| pairs.is_empty()) {
        return Err(failed.none_chosen());
    }
    let (pairs, shards) = share(pairs, &planned, command.partition)?;
    let mut targets = BTreeMap::new();
    let mut components = Vec::new();
    for (index, plan) in planned.iter().enumerate() {
        if !pairs.iter().any(|(target, _)| *target == index) {
            continue;
        }
        let (target, used) = command.target.resolve(plan, command.progress())?;
        targets.insert(index, Arc::new(target));
        for component in used {
            if !components.contains(&component) {
                components.push(component);
            }
        }
    }
    super::create_out(&command.out)?;
    // Containers first: they use folders.
    if command.target.provider != ProviderKind::Local
        && let Err(error) = tlsboot_engine::cluster::docker::sweep()
    {
        tracing::warn!(%error, "the leftovers of killed runs in Docker could not be removed");
    }
    super::prepare_clusters(command.target.provider)?;
    if !command.quiet {
        let names: Vec<String> = targets.values().map(|target| target.id.name()).collect();
        say!("{}", header(pairs.len(), &names, command.jobs.get(2), &command.out));
    }
    let runtime = super::runtime()?;
    let (started, clock) = (Timestamp::now(), Instant::now());
    let pairs = pairs.into_iter().map(|(target, scenario)| (Arc::clone(&targets[&target]), scenario)).collect();
    let done = runtime.block_on(play(&command, known, pairs))?;
    let Done { ran, not_started, interrupted } = done;
    let (results, stale): (Vec<_>, Vec<_>) = ran.into_iter().map(|ran| (ran.result, ran.stale)).unzip();
    let result = RunResult {
        format: result::FORMAT,
        tlsboot: env!("CARGO_PKG_VERSION").into(),
        run: format!("{}-{}", started.strftime("%Y%m%dT%H%M%SZ"), std::process::id()),
        started,
        duration_ms: u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX),
        environment: environment().into_iter().chain([("scenarios".into(), scenario_set)]).collect(),
        components,
        scenarios: results,
        interrupted,
        not_started,
        stale: stale.into_iter().flatten().collect(),
        shards,
    };
    report::write_all(&command.out, &result, &command.format).map_err(Failure::error)?;
    report::sign(&command.out, key.as_ref()).map_err(Failure::error)?;
    Ok(if interrupted { Exit::Interrupted } else { result.exit() })
}

/// This run's part of the whole, and its entry in the report.
fn share(
    pairs: Vec<Pair>,
    planned: &[Planned],
    partition: Option<Partition>,
) -> Result<(Vec<Pair>, Vec<Shard>), Failure> {
    let Some(partition) = partition else {
        return Ok((pairs, Vec::new()));
    };
    let mut whole = Sha256::new();
    for (target, scenario) in &pairs {
        for text in [&planned[*target].id.name(), &scenario.id, &scenario.text] {
            whole.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            whole.update(text);
        }
    }
    let shard = Shard { whole: hex::encode(whole.finalize()), part: partition.part(), of: partition.of() };
    let part = partition.take(pairs).map_err(Failure::usage)?;
    Ok((part, vec![shard]))
}

impl RunCommand {
    /// The progress of getting executables.
    fn progress(&self) -> Progress {
        if self.quiet { Progress::hidden() } else { progress::on_stderr() }
    }
}

/// What is about to happen.
fn header(count: usize, targets: &[String], jobs: usize, out: &Path) -> String {
    let scenarios = if count == 1 { "1 scenario".to_owned() } else { format!("{count} scenarios") };
    let at_a_time = if count == 1 { String::new() } else { format!(", {} at a time", jobs.min(count)) };
    let tlsboot = built_in::SHORT_VERSION;
    format!("tlsboot {tlsboot}: {scenarios} on {}{at_a_time}; output in {}", targets.join(", "), out.display())
}

/// Runs everything, and shows how far it has come.
async fn play(
    command: &RunCommand,
    known: KnownFailures,
    pairs: Vec<(Arc<Target>, Scenario)>,
) -> Result<Done, Failure> {
    let live = (!command.quiet).then(|| Arc::new(LiveProgress::on_stderr(pairs.len(), &command.out)));
    let _keeps_up = live.as_ref().map(LiveProgress::keep_up);
    let listener: Arc<dyn Listener> = match live {
        Some(live) => live,
        None => Arc::new(Silent),
    };
    let interrupt = on_interrupt().map_err(Failure::error)?;
    let StopOptions { keep_going, keep, .. } = command.stop;
    let runner = Runner { out: command.out.clone(), known, listener, interrupt, keep_going, keep };
    run_all(&runner, pairs, command.jobs.get(2), command.stop.most()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_says_what_is_about_to_happen() {
        let said = |count, targets: &[&str]| {
            let targets: Vec<String> = targets.iter().map(|name| (*name).to_owned()).collect();
            header(count, &targets, 4, Path::new("tlsboot-out"))
        };
        let one = said(1, &["local::1.37.2"]);
        assert!(one.ends_with("): 1 scenario on local::1.37.2; output in tlsboot-out"), "{one}");
        let many = said(75, &["local::1.37.2", "local::1.33.13"]);
        assert!(
            many.ends_with("): 75 scenarios on local::1.37.2, local::1.33.13, 4 at a time; output in tlsboot-out"),
            "{many}"
        );
    }
}
