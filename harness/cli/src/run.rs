//! `tlsboot run`.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use futures::StreamExt;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::interrupt::on_interrupt;
use super::live::LiveProgress;
use super::scenarios::KnownOptions;
use super::sign::SignOptions;
use super::target::{Planned, TargetOptions, environment};
use super::{Exit, Failure, ScenarioOptions, progress, values};
use tlsboot_core::known::KnownFailures;
use tlsboot_core::result::{self, RunResult, Shard};
use tlsboot_core::scenario::{Partition, Scenario};
use tlsboot_engine::cluster::ProviderKind;
use tlsboot_engine::cluster::processes::inotify::Instances;
use tlsboot_engine::report::{self, Format};
use tlsboot_engine::run::{Ran, Runner, Target};

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
  tlsboot run --known known.yaml                    expected failures, listed with reason and link
  tlsboot run --sign key.pem                        sign result.json; `tlsboot verify --key` checks it")]
pub(super) struct RunCommand {
    #[command(flatten)]
    scenarios: ScenarioOptions,
    #[command(flatten)]
    target: TargetOptions,
    /// Only this part of the scenarios on all targets: K of N equal parts, for machines that share the work.
    #[arg(long, value_name = "K/N", env = "TLSBOOT_PARTITION")]
    partition: Option<Partition>,
    #[command(flatten)]
    known: KnownOptions,
    #[command(flatten)]
    jobs: JobsOptions,
    /// Folder for evidence and reports.
    #[arg(long, short, value_name = "DIR", default_value = "tlsboot-out")]
    out: PathBuf,
    /// Reports to write, separated by commas.
    #[arg(long, value_parser = values::format(), value_delimiter = ',', default_values_t = Format::DEFAULT.iter().copied())]
    format: Vec<Format>,
    #[command(flatten)]
    sign: SignOptions,
}

/// A scenario on one of the planned targets.
type Pair = (usize, Scenario);

/// How many clusters run at the same time.
#[derive(Debug, Args)]
pub(super) struct JobsOptions {
    /// How many clusters run at the same time; most of a scenario is waiting. Default: two per core (four for
    /// `mutants`, whose failing scenarios run to their deadline), limited by the available inotify instances.
    #[arg(long, short, value_name = "N", env = "TLSBOOT_JOBS")]
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

pub(super) fn run(command: RunCommand) -> Result<Exit, Failure> {
    let scenarios = command.scenarios.load()?;
    let scenario_set = command.scenarios.library.digest();
    let known = command.known.load(&command.scenarios)?;
    let key = command.sign.load(&command.format)?;
    let planned = command.target.plan()?;
    let pairs: Vec<Pair> =
        (0..planned.len()).flat_map(|target| scenarios.iter().cloned().map(move |one| (target, one))).collect();
    let (pairs, shards) = share(pairs, &planned, command.partition)?;
    let mut targets = BTreeMap::new();
    let mut components = Vec::new();
    for (index, plan) in planned.iter().enumerate() {
        if !pairs.iter().any(|(target, _)| *target == index) {
            continue;
        }
        let (target, used) = command.target.resolve(plan, progress::on_stderr())?;
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
    let runtime = super::runtime()?;
    let (started, clock) = (Timestamp::now(), Instant::now());
    let pairs = pairs.into_iter().map(|(target, scenario)| (Arc::clone(&targets[&target]), scenario)).collect();
    let (ran, interrupted) = runtime.block_on(all(&command, known, pairs))?;
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

/// Runs scenarios on targets, several at the same time. Those with the longest possible wait begin first, so that no
/// single scenario is left waiting at the end. The results are in the order of the list.
async fn all(
    command: &RunCommand,
    known: KnownFailures,
    pairs: Vec<(Arc<Target>, Scenario)>,
) -> Result<(Vec<Ran>, bool), Failure> {
    let interrupt = on_interrupt().map_err(Failure::error)?;
    let runner = Runner {
        out: command.out.clone(),
        known,
        listener: Arc::new(LiveProgress::on_stderr()),
        interrupt: interrupt.clone(),
    };
    let mut queue: Vec<_> = pairs.into_iter().enumerate().collect();
    queue.sort_by_key(|(_, (_, scenario))| Reverse(scenario.patience()));
    let runs = queue.into_iter().map(|(place, (target, scenario))| {
        let runner = runner.clone();
        async move {
            if *runner.interrupt.borrow() {
                return (place, None);
            }
            // Its own task: a core for each scenario, as long as there are cores.
            let task = tokio::spawn(async move { runner.run(&scenario, &target).await });
            (place, task.await.ok())
        }
    });
    let mut results: Vec<(usize, Option<Ran>)> =
        futures::stream::iter(runs).buffer_unordered(command.jobs.get(2)).collect().await;
    results.sort_by_key(|(place, _)| *place);
    let interrupted = *interrupt.borrow();
    let missing = results.iter().any(|(_, result)| result.is_none());
    if missing && !interrupted {
        return Err(Failure::error("a scenario's task panicked; see above"));
    }
    let results = results.into_iter().filter_map(|(_, result)| result);
    Ok((results.collect(), interrupted))
}
