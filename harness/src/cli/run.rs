//! `tlsboot run`.

use std::cmp::Reverse;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use futures::StreamExt;
use jiff::Timestamp;

use super::target::{TargetOptions, environment};
use super::{Failure, INTERRUPTED, ScenarioOptions};
use crate::cluster::ProviderKind;
use crate::cluster::local::inotify::Instances;
use crate::components::Progress;
use crate::report::{self, Format, RunResult, ScenarioResult};
use crate::run::{Target, on_interrupt, run as run_scenario};
use crate::scenario::Scenario;

/// Run scenarios on real clusters and report.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tlsboot run                                       the core profile on the newest Kubernetes
  tlsboot run 'rotation.*' --kubernetes 1.37,1.33   a chapter, on two versions
  tlsboot run --kubernetes 1.37 --kubelet 1.35      kubelets older than their control plane
  tlsboot run --components ./my-distribution        executables of your own
  tlsboot run my-scenarios/ --profile full          scenarios of your own")]
pub(super) struct RunCommand {
    #[command(flatten)]
    scenarios: ScenarioOptions,
    #[command(flatten)]
    target: TargetOptions,
    /// How many clusters at a time; most of a scenario is waiting.
    #[arg(long, short, value_name = "N", env = "TLSBOOT_JOBS", default_value_t = default_jobs())]
    jobs: NonZero<usize>,
    /// Where evidence and reports go.
    #[arg(long, short, value_name = "DIR", default_value = "tlsboot-out")]
    out: PathBuf,
    /// Reports to write; several with commas.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Format::DEFAULT.iter().copied())]
    format: Vec<Format>,
}

/// Two clusters a core: while one starts, the others wait for their kubelets. But no more than the kernel has inotify
/// instances for.
fn default_jobs() -> NonZero<usize> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let room = Instances::now().map_or(usize::MAX, Instances::nodes);
    NonZero::new((2 * cores).min(room)).unwrap_or(NonZero::<usize>::MIN)
}

pub(super) fn run(command: RunCommand) -> Result<u8, Failure> {
    let scenarios = command.scenarios.load()?;
    let planned = command.target.plan()?;
    let mut targets = Vec::new();
    let mut components = Vec::new();
    for plan in &planned {
        let (target, used) = command.target.resolve(plan, Progress::on_stderr())?;
        targets.push(Arc::new(target));
        for component in used {
            if !components.contains(&component) {
                components.push(component);
            }
        }
    }
    std::fs::create_dir_all(&command.out)
        .map_err(|error| Failure::usage(format!("--out {}: {error}", command.out.display())))?;
    // Containers first: they have folders in use.
    if command.target.provider == ProviderKind::Kind
        && let Err(error) = crate::cluster::kind::sweep()
    {
        tracing::warn!(%error, "what killed runs left in Docker could not be removed");
    }
    if let Err(error) = crate::cluster::local::sweep() {
        tracing::warn!(%error, "what killed runs left could not be removed");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::error)?;
    let (started, clock) = (Timestamp::now(), Instant::now());
    let (results, interrupted) = runtime.block_on(all(&command, scenarios, targets))?;
    let result = RunResult {
        format: report::result::FORMAT,
        tlsboot: env!("CARGO_PKG_VERSION").into(),
        run: format!(
            "{}-{}",
            started.strftime("%Y%m%dT%H%M%SZ"),
            std::process::id()
        ),
        started,
        duration_ms: u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX),
        environment: environment(),
        components,
        scenarios: results,
        interrupted,
    };
    report::write_all(&command.out, &result, &command.format).map_err(Failure::error)?;
    Ok(if interrupted {
        INTERRUPTED
    } else {
        result.exit_code()
    })
}

/// Runs every scenario on every target, some at a time. Those that may wait longest begin first, so that at the end
/// nothing is waited for alone; the results are in the order of the list.
async fn all(
    command: &RunCommand,
    scenarios: Vec<Scenario>,
    targets: Vec<Arc<Target>>,
) -> Result<(Vec<ScenarioResult>, bool), Failure> {
    let live = Arc::new(report::LiveProgress::on_stderr());
    let interrupt = on_interrupt().map_err(Failure::error)?;
    let pairs = targets.iter().flat_map(|target| {
        scenarios
            .iter()
            .cloned()
            .map(move |scenario| (Arc::clone(target), scenario))
    });
    let mut queue: Vec<_> = pairs.enumerate().collect();
    queue.sort_by_key(|(_, (_, scenario))| Reverse(scenario.patience()));
    let runs = queue.into_iter().map(|(place, (target, scenario))| {
        let (out, live, interrupt) = (command.out.clone(), Arc::clone(&live), interrupt.clone());
        async move {
            if *interrupt.borrow() {
                return (place, None);
            }
            // Its own task: a core's worth of work a scenario, where there are cores.
            let task = tokio::spawn(async move {
                run_scenario(&scenario, &target, &out, &live, interrupt).await
            });
            (place, task.await.ok())
        }
    });
    let mut results: Vec<(usize, Option<ScenarioResult>)> = futures::stream::iter(runs)
        .buffer_unordered(command.jobs.get())
        .collect()
        .await;
    results.sort_by_key(|(place, _)| *place);
    let interrupted = *interrupt.borrow();
    let missing = results.iter().any(|(_, result)| result.is_none());
    if missing && !interrupted {
        return Err(Failure::error(
            "a scenario's task ended by a panic; see above",
        ));
    }
    let results = results.into_iter().filter_map(|(_, result)| result);
    Ok((results.collect(), interrupted))
}
