//! Runs scenarios on targets, several at the same time, until all are done, too many have failed, or someone interrupts.

use std::cmp::Reverse;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt;

use super::Failure;
use tlsboot_core::check::Outcome;
use tlsboot_core::scenario::Scenario;
use tlsboot_engine::run::{Ran, Runner, Target};

/// What came of a queue.
pub(super) struct Done {
    /// The results, in the order of the list.
    pub(super) ran: Vec<Ran>,
    /// How many were not started because too many others had failed.
    pub(super) not_started: usize,
    /// Whether someone interrupted it.
    pub(super) interrupted: bool,
}

/// Runs them, `jobs` at a time. Those with the longest possible wait begin first, so that no single scenario is left
/// waiting at the end. After `most` failures none is started; those that are running end as usual.
pub(super) async fn run_all(
    runner: &Runner,
    pairs: Vec<(Arc<Target>, Scenario)>,
    jobs: usize,
    most: Option<NonZero<usize>>,
) -> Result<Done, Failure> {
    let mut queue: Vec<_> = pairs.into_iter().enumerate().collect();
    queue.sort_by_key(|(_, (_, scenario))| Reverse(scenario.patience()));
    let failed = AtomicUsize::new(0);
    let enough = || most.is_some_and(|most| failed.load(Ordering::Relaxed) >= most.get());
    let runs = queue.into_iter().map(|(place, (target, scenario))| {
        let (runner, failed, enough) = (runner.clone(), &failed, &enough);
        async move {
            if *runner.interrupt.borrow() || enough() {
                return Ok(None);
            }
            // Its own task: a core for each scenario, as long as there are cores.
            let task = tokio::spawn(async move { runner.run(&scenario, &target).await });
            let ran = task.await.map_err(|_| Failure::error("a scenario's task panicked; see above"))?;
            if matches!(ran.result.verdict.outcome, Outcome::Fail | Outcome::Hang | Outcome::Error) {
                failed.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Some((place, ran)))
        }
    });
    let all: Vec<Result<_, Failure>> = futures::stream::iter(runs).buffer_unordered(jobs).collect().await;
    let count = all.len();
    let mut ran: Vec<(usize, Ran)> = all.into_iter().filter_map(Result::transpose).collect::<Result<_, _>>()?;
    ran.sort_by_key(|(place, _)| *place);
    let interrupted = *runner.interrupt.borrow();
    let not_started = if enough() { count - ran.len() } else { 0 };
    Ok(Done { ran: ran.into_iter().map(|(_, ran)| ran).collect(), not_started, interrupted })
}
