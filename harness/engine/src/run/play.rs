//! Drives a scenario on a running cluster, and judges what is recorded, until everything is decided.

use std::sync::Mutex;
use std::time::Duration;

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::Api;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::events::{STEP, Teller};
use super::{Awaited, RunError, RunEventKind};
use crate::cluster::Cluster;
use crate::drive::{self, Stage};
use crate::observe::{Sink, log};
use crate::task::Task;
use tlsboot_core::check::rules::Rules;
use tlsboot_core::check::{Judge, Next, Verdict};
use tlsboot_core::history::event::{Deadline, Ended, Phase, ProcessEvent, ProcessState, Recorder, StepEvent};
use tlsboot_core::history::{Event, What};
use tlsboot_core::scenario::stimulus::Stimulus;
use tlsboot_core::scenario::{Scenario, Step};

/// The audit log is written before a request is answered, and read within milliseconds.
const CATCH_UP: Duration = Duration::from_secs(10);
/// Its name in the history.
const ETCD: &str = "etcd";
/// Invariants are judged on the whole history, so not more often than this.
const LOOK: Duration = Duration::from_secs(1);
/// And not more than a fiftieth of the time.
const REST: u32 = 50;

/// A scenario while it is driven and judged.
pub(super) struct Play<'a> {
    scenario: &'a Scenario,
    rules: Rules,
    teller: Teller<'a>,
    cluster: &'a dyn Cluster,
    sink: &'a Sink,
    judge: Judge<'a>,
    events: mpsc::UnboundedReceiver<Event>,
    /// The last step that was reported to the listener.
    told: Option<usize>,
    /// When it is asked next whether an invariant is broken.
    next_look: Instant,
    /// What goes on beside the steps.
    beside: Mutex<Vec<Task>>,
    /// What was killed from outside: then the cluster is not to blame for what follows.
    killed: Option<RunError>,
}

/// Why the history does not show what was done.
#[derive(Debug, Error)]
enum BehindError {
    #[error("the history was closed")]
    Closed,
    #[error("not within {} s", CATCH_UP.as_secs())]
    Late,
    #[error(transparent)]
    Api(#[from] kube::Error),
}

impl<'a> Play<'a> {
    pub(super) fn new(
        scenario: &'a Scenario,
        rules: Rules,
        teller: Teller<'a>,
        cluster: &'a dyn Cluster,
        sink: &'a Sink,
        events: mpsc::UnboundedReceiver<Event>,
    ) -> Self {
        Self {
            scenario,
            rules,
            teller,
            cluster,
            sink,
            judge: Judge::new(scenario),
            events,
            told: None,
            next_look: Instant::now() + LOOK,
            beside: Mutex::default(),
            killed: None,
        }
    }

    /// Drives and judges until everything is decided.
    pub(super) async fn until_decided(mut self) -> Result<Verdict, RunError> {
        // kubeadm has created its own.
        if !self.scenario.cluster.kubeadm {
            drive::prepare(&self.scenario.cluster.bindings, &self.cluster.base().admin())
                .await
                .map_err(RunError::Bindings)?;
        }
        loop {
            while let Ok(event) = self.events.try_recv() {
                self.feed(event);
            }
            if let Some(killed) = self.killed.take() {
                return Err(killed);
            }
            if let Some(by) = self.broken_for_good() {
                self.sink.emit(What::Ended(Ended { by: by.into() }));
                self.feed_until(|what| matches!(what, What::Ended(_))).await.map_err(|_| RunError::Closed)?;
            }
            match self.judge.next() {
                Next::Done => return Ok(self.judge.verdict()),
                Next::Drive(index) => {
                    self.tell(index, STEP);
                    self.drive(index).await;
                }
                Next::Wait { step, mono } => {
                    let left = Duration::from_micros(mono.saturating_sub(self.sink.mono()));
                    self.tell(step, left);
                    match timeout(left, self.events.recv()).await {
                        Ok(Some(event)) => self.feed(event),
                        Ok(None) => return Err(RunError::Closed),
                        Err(_) => {
                            self.settle(step).await;
                            self.sink.emit(What::Deadline(Deadline { step }));
                        }
                    }
                }
            }
        }
    }

    fn feed(&mut self, event: Event) {
        if let What::Process(process) = &event.what {
            self.killed = self.killed.take().or_else(|| killed(process));
        }
        self.judge.feed(event);
    }

    fn broken_for_good(&mut self) -> Option<&'static str> {
        let begun = Instant::now();
        if begun < self.next_look {
            return None;
        }
        let broken = self.judge.broken_for_good();
        self.next_look = Instant::now() + LOOK.max(begun.elapsed() * REST);
        broken
    }

    fn tell(&mut self, step: usize, left: Duration) {
        if self.told.replace(step) != Some(step) {
            self.teller.tell(RunEventKind::Waits { what: awaited(self.scenario, step), left });
        }
    }

    async fn drive(&mut self, index: usize) {
        let step = &self.scenario.steps[index].value;
        let name = step.name().map(str::to_owned);
        let say = |sink: &Sink, phase| {
            sink.emit(What::Step(StepEvent { index, stimulus: step.word().into(), name: name.clone(), phase }));
        };
        say(self.sink, Phase::Begin);
        let stage = Stage { cluster: self.cluster, state: self.judge.state(), rules: self.rules, beside: &self.beside };
        let mut done = drive::perform(step, &stage).await.map_err(|error| error.to_string());
        if let (Ok(_), Some(stimulus)) = (&done, step.stimulus())
            && let Err(why) = self.recorded(stimulus).await
        {
            done = Err(format!("it was done, but no recorder has seen it: {why}"));
        }
        let phase = match done {
            Ok(done) => Phase::Done { proof: done.proof, answer: done.answer },
            Err(error) => Phase::Failed { error: self.sink.vault().scrub(&error) },
        };
        say(self.sink, phase);
    }

    /// Waits until the effect of a stimulus is in the history, if a recorder shows it: what follows is judged by the
    /// state in the history.
    async fn recorded(&mut self, stimulus: &dyn Stimulus) -> Result<(), BehindError> {
        if !stimulus.is_recorded() {
            return Ok(());
        }
        let seen = self.feed_until(|what| stimulus.is_recorded_by(what));
        timeout(CATCH_UP, seen).await.unwrap_or(Err(BehindError::Late))
    }

    /// Lets the audit log and the components' logs catch up before the time of a `never` is over.
    async fn settle(&mut self, step: usize) {
        let step = &self.scenario.steps[step].value;
        let Some((_, matcher)) = step.matcher().filter(|_| matches!(step, Step::Never(_))) else {
            return;
        };
        let looks_at = |recorder| matcher.recorders().contains(&recorder);
        if looks_at(Recorder::Log) {
            let read = Instant::now() + log::LATEST;
            while let Ok(Some(event)) = timeout_at(read, self.events.recv()).await {
                self.feed(event);
            }
        }
        if looks_at(Recorder::Audit) {
            let caught_up = timeout(CATCH_UP, self.audit_catches_up()).await;
            if let Err(why) = caught_up.unwrap_or(Err(BehindError::Late)) {
                self.sink.gap(Recorder::Audit, format!("it did not catch up with a request of tlsboot's: {why}"));
            }
        }
    }

    /// When a request of tlsboot's own is recorded, everything before it has been recorded.
    async fn audit_catches_up(&mut self) -> Result<(), BehindError> {
        let marker = format!("tlsboot-marker-{}", self.sink.mono());
        let api = Api::<CertificateSigningRequest>::all(self.cluster.base().admin());
        api.get_opt(&marker).await?;
        self.feed_until(|what| matches!(what, What::Request(request) if request.name == marker)).await
    }

    /// Passes recorded events to the judge, up to and including one of this kind.
    async fn feed_until(&mut self, is_it: impl Fn(&What) -> bool) -> Result<(), BehindError> {
        while let Some(event) = self.events.recv().await {
            let seen = is_it(&event.what);
            self.feed(event);
            if seen {
                return Ok(());
            }
        }
        Err(BehindError::Closed)
    }
}

/// An exit of a control-plane process that says nothing about Kubernetes: by a signal that tlsboot did not send, such
/// as the kernel's OOM killer; or of etcd, which is not under test. (The exit of a kubelet is for the judge.)
fn killed(process: &ProcessEvent) -> Option<RunError> {
    let ProcessState::Exited { code, signal, asked: false } = process.state else {
        return None;
    };
    let component = process.component.clone();
    match (signal, process.node.is_none()) {
        (Some(signal), true) => Some(RunError::Killed { component, signal }),
        _ if component == ETCD => Some(RunError::Etcd { code }),
        _ => None,
    }
}

fn awaited(scenario: &Scenario, index: usize) -> Awaited<'_> {
    let step = &scenario.steps[index];
    let (verb, word) = match step.value.matcher() {
        Some((kind, _)) => (step.value.word(), kind),
        None => ("", step.value.word()),
    };
    Awaited::Step { verb, word, line: step.referenced.line() }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::out_of_memory("kube-apiserver", None, None, Some(9), false, Some("kube-apiserver was killed by signal 9"))]
    #[case::etcd("etcd", None, Some(1), None, false, Some("etcd exited on its own, with code 1"))]
    #[case::stimulus("kube-apiserver", None, None, Some(9), true, None)]
    #[case::its_own_end("kube-controller-manager", None, Some(1), None, false, None)]
    #[case::kubelet("kubelet", Some("n1"), None, Some(9), false, None)]
    fn what_is_killed_from_outside_is_an_error(
        #[case] component: &str,
        #[case] node: Option<&str>,
        #[case] code: Option<i32>,
        #[case] signal: Option<i32>,
        #[case] asked: bool,
        #[case] says: Option<&str>,
    ) {
        let state = ProcessState::Exited { code, signal, asked };
        let event = ProcessEvent { component: component.into(), node: node.map(str::to_owned), pid: 7, state };
        let said = killed(&event).map(|error| error.to_string());
        assert_eq!(said.is_some(), says.is_some(), "{said:?}");
        assert!(said.unwrap_or_default().starts_with(says.unwrap_or_default()));
    }
}
