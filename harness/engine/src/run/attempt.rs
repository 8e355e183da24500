//! One scenario on one target, from the start of its cluster to its result.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::watch;

use super::events::{STEP, Teller};
use super::play::Play;
use super::{Awaited, Listener, RunError, RunEventKind, Target};
use crate::cluster::shared::dir::RunDir;
use crate::cluster::shared::file::write_private;
use crate::cluster::{Cluster, ClusterError};
use crate::evidence::{self, EvidenceWriter};
use crate::observe::{Sink, load, looks};
use tlsboot_core::check::{Outcome, Verdict};
use tlsboot_core::known::KnownFailures;
use tlsboot_core::result::{ScenarioResult, StaleEntry};
use tlsboot_core::scenario::Scenario;

/// Runs scenarios: what all scenarios of a run share.
#[derive(Clone)]
pub struct Runner {
    /// The run's output folder. Each scenario's evidence goes into its own folder below it.
    pub out: PathBuf,
    /// Known failures.
    pub known: KnownFailures,
    /// Receives what happens.
    pub listener: Arc<dyn Listener>,
    /// Becomes true when the run should end: then clusters are stopped in order.
    pub interrupt: watch::Receiver<bool>,
    /// Whether a scenario goes on after what makes it red.
    pub keep_going: bool,
    /// Whether the cluster of a scenario that failed or hung runs on until the interrupt.
    pub keep: bool,
}

/// The outcome of a scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Ran {
    /// The result.
    pub result: ScenarioResult,
    /// The entry of the known failures that the result makes stale.
    pub stale: Option<StaleEntry>,
}

impl Runner {
    /// Runs a scenario. Always returns a result: errors of the harness are in it, as `error`.
    pub async fn run(&self, scenario: &Scenario, target: &Target) -> Ran {
        let name = target.id.name();
        let teller = Teller { listener: &*self.listener, scenario: &scenario.id, target: &name };
        let one = Attempt { runner: self, scenario, target, name: &name, teller };
        teller.tell(RunEventKind::Started);
        let clock = Instant::now();
        let mut result = ScenarioResult::new(scenario, &name, Timestamp::now(), error("not run"));
        match target.id.unsupported(scenario) {
            Some(reason) => {
                result.verdict.outcome = Outcome::Unsupported;
                result.verdict.error = None;
                result.unsupported = Some(reason);
            }
            None => one.run(&mut result).await,
        }
        result.duration_ms = u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX);
        let stale = self.known.apply(&mut result, target.id.kubernetes, target.id.kubelet);
        teller.tell(RunEventKind::Finished(&result));
        Ran { result, stale }
    }
}

/// A verdict that says nothing about the cluster.
fn error(why: impl ToString) -> Verdict {
    Verdict::without_history(Outcome::Error, Some(why.to_string()))
}

struct Attempt<'a> {
    runner: &'a Runner,
    scenario: &'a Scenario,
    target: &'a Target,
    name: &'a str,
    teller: Teller<'a>,
}

impl Attempt<'_> {
    async fn run(&self, result: &mut ScenarioResult) {
        let evidence = match EvidenceWriter::create(&self.runner.out, self.name, self.scenario) {
            Ok(evidence) => evidence,
            Err(source) => {
                let path = self.runner.out.join(evidence::place(self.name, &self.scenario.id));
                result.verdict = error(RunError::Evidence { path, source });
                return;
            }
        };
        result.verdict = self.verdict(&evidence).await.unwrap_or_else(error);
        result.evidence = Some(evidence.place().to_owned());
        if let Err(why) = evidence.search() {
            result.verdict = error(why);
        }
        match evidence.close(&result.verdict) {
            Ok(hashes) => result.hashes = hashes,
            Err(why) => result.verdict = error(why),
        }
    }

    async fn verdict(&self, evidence: &EvidenceWriter) -> Result<Verdict, RunError> {
        let (sink, events) = Sink::create(&evidence.history(), evidence.vault().clone()).map_err(RunError::History)?;
        sink.emit(self.target.id.begin(self.scenario, self.runner.keep_going));
        let _load = load::record(sink.clone());
        let _looks = looks::tell(sink.clone());
        self.teller.tell(RunEventKind::Waits { what: Awaited::Cluster, left: STEP });
        let starting = self.target.provider.start(self.scenario, sink.clone(), evidence.logs());
        let started = self.unless_interrupted(starting).await.and_then(|started| started.map_err(RunError::Start));
        let cluster = match started {
            Ok(cluster) => cluster,
            Err(error) => {
                // What became of its processes is in the record, too.
                sink.close()?;
                return Err(error);
            }
        };
        let playing = async {
            Play::new(self.scenario, self.target.id.rules(), self.teller, &*cluster, &sink, events)
                .until_decided()
                .await
        };
        let verdict = self.unless_interrupted(playing).await;
        if self.runner.keep
            && let Ok(Ok(verdict)) = &verdict
            && matches!(verdict.outcome, Outcome::Fail | Outcome::Hang)
        {
            // What is done to the cluster from now on is not in the record.
            sink.close()?;
            self.keep(&*cluster).await;
        }
        cluster.stop().await;
        // A verdict counts only with the record that it is based on.
        sink.close()?;
        verdict?
    }

    /// Leaves a cluster as it is until the run is interrupted. One that can't be entered is not kept.
    async fn keep(&self, cluster: &dyn Cluster) {
        let open = || -> Result<(RunDir, PathBuf), ClusterError> {
            let folder = RunDir::create()?;
            let kubeconfig = folder.path().join("admin.kubeconfig");
            write_private(&kubeconfig, cluster.base().admin_kubeconfig().expose())?;
            Ok((folder, kubeconfig))
        };
        match open() {
            Ok((_folder, kubeconfig)) => {
                self.teller.tell(RunEventKind::Kept { kubeconfig: &kubeconfig });
                let _ = self.runner.interrupt.clone().wait_for(|interrupted| *interrupted).await;
            }
            Err(error) => tracing::warn!(%error, "the cluster is not kept: no kubeconfig could be written for it"),
        }
    }

    /// Stops waiting for something when the run is interrupted.
    async fn unless_interrupted<T>(&self, doing: impl Future<Output = T>) -> Result<T, RunError> {
        let mut interrupt = self.runner.interrupt.clone();
        tokio::select! {
            done = doing => Ok(done),
            _ = interrupt.wait_for(|interrupted| *interrupted) => Err(RunError::Interrupted),
        }
    }
}
