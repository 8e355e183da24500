//! The cluster as a whole: its clock, what happens next in it, and what recorders write down of it.
//!
//! It is driven and judged as a real one is: the judge says which step is next, the cluster performs it, recorders
//! write events, and the judge reads them.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use tlsboot_core::check::rules::Rules;
use tlsboot_core::check::{Judge, Next, Verdict};
use tlsboot_core::history::event::{
    Begin, Deadline, FORMAT, Load, Looked, Phase, ProcessEvent, ProcessState, Recorder, RecorderEvent, RecorderState,
    StepEvent, WHOLE_CLUSTER,
};
use tlsboot_core::history::{Event, What};
use tlsboot_core::scenario::Scenario;
use tlsboot_core::time::micros;
use tlsboot_core::version::Version;

use crate::control_plane::ControlPlane;
use crate::dice::Dice;
use crate::kubelet::{Act, Kubelet};

pub(crate) const KILL: i32 = 9;
pub(crate) const TERM: i32 = 15;

/// Something that will happen.
pub(crate) enum Deed {
    /// A recorder writes down what happened at this time.
    Write(Timestamp, Box<What>),
    /// Recorders say that they look.
    Look,
    /// A handshake with a node's port.
    Probe(String),
    /// The approver looks at a CSR.
    Review(usize),
    /// The signer looks at a CSR.
    Sign(usize),
    /// The cleaner looks at all CSRs.
    Clean,
    /// A kubelet does something, if its process still runs by then.
    Kubelet { node: String, pid: u32, act: Act },
}

/// A cluster that keeps its promises.
pub(crate) struct Cluster<'s> {
    pub(crate) scenario: &'s Scenario,
    pub(crate) kubernetes: Version,
    pub(crate) kubelet: Version,
    pub(crate) rules: Rules,
    pub(crate) dice: Dice,
    pub(crate) now: Timestamp,
    begun: Timestamp,
    agenda: BTreeMap<(Timestamp, u64), Deed>,
    planned: u64,
    written: Vec<Event>,
    seq: u64,
    /// Until when each recorder has written: it keeps the order of what it sees.
    last: BTreeMap<Recorder, Timestamp>,
    pub(crate) control_plane: ControlPlane,
    pub(crate) kubelets: BTreeMap<String, Kubelet>,
    pub(crate) pids: u32,
}

/// What became of a scenario on such a cluster.
#[derive(Clone)]
pub(crate) struct Course {
    pub(crate) history: Vec<Event>,
    /// How many of its events came before everything was decided.
    pub(crate) judged: usize,
    pub(crate) verdict: Verdict,
}

/// Runs a scenario on a cluster of these versions, as chance has it.
pub(crate) fn run(scenario: &Scenario, kubernetes: Version, kubelet: Version, seed: u64) -> Course {
    let mut cluster = Cluster::new(scenario, kubernetes, kubelet, seed);
    let mut judge = Judge::new(scenario);
    cluster.begin();
    loop {
        for event in cluster.written.split_off(0) {
            judge.feed(event);
        }
        match judge.next() {
            Next::Drive(step) => cluster.drive(step),
            Next::Wait { step, mono } => cluster.wait(step, mono),
            _ => break,
        }
    }
    let verdict = judge.verdict();
    cluster.end();
    let mut history = judge.past().to_vec();
    let judged = history.len();
    history.extend(cluster.written);
    Course { history, judged, verdict }
}

impl<'s> Cluster<'s> {
    fn new(scenario: &'s Scenario, kubernetes: Version, kubelet: Version, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        // At any part of a second.
        let begun = Timestamp::from_second(1_795_860_000).unwrap() + dice.millis(0..1_000_000);
        let rules = Rules::new(kubernetes, kubelet);
        Self {
            scenario,
            kubernetes,
            kubelet,
            rules,
            now: begun,
            begun,
            agenda: BTreeMap::new(),
            planned: 0,
            written: Vec::new(),
            seq: 0,
            last: BTreeMap::new(),
            control_plane: ControlPlane::new(&scenario.cluster, rules, begun),
            kubelets: BTreeMap::new(),
            pids: 1000 + dice.below(20_000) as u32,
            dice,
        }
    }

    /// The control plane starts.
    fn begin(&mut self) {
        self.write(What::Begin(Box::new(Begin {
            format: FORMAT,
            tlsboot: env!("CARGO_PKG_VERSION").into(),
            scenario: self.scenario.id.to_string(),
            scenario_sha256: String::new(),
            target: format!("model::{}", self.kubernetes),
            kubernetes: self.kubernetes,
            kubelet: self.kubelet,
            keep_going: false,
        })));
        self.write(self.control_plane.signing());
        for recorder in [Recorder::Link, Recorder::Inbound, Recorder::Process] {
            self.starts_recording(recorder);
        }
        self.starts("etcd", None);
        self.control_plane.server = Some(self.starts("kube-apiserver", None));
        self.control_plane.manager = Some(self.starts("kube-controller-manager", None));
        let ready = self.dice.millis(3000..9000);
        self.pass(ready);
        for recorder in [Recorder::Metrics, Recorder::Audit, Recorder::Log, Recorder::Node, Recorder::Csr] {
            self.starts_recording(recorder);
        }
        self.after(SignedDuration::ZERO, Deed::Look);
        self.after(SignedDuration::from_mins(1), Deed::Clean);
    }

    fn drive(&mut self, index: usize) {
        let step = &self.scenario.steps[index].value;
        let name = step.name().map(str::to_owned);
        let told = |phase| What::Step(StepEvent { index, stimulus: step.word().into(), name: name.clone(), phase });
        self.write(told(Phase::Begin));
        let done = self.perform(step);
        self.write(told(Phase::Done { proof: done.proof, answer: done.answer }));
    }

    /// Lets the next thing happen, or the time for an expectation run out.
    fn wait(&mut self, step: usize, mono: u64) {
        let deadline = self.begun + SignedDuration::from_micros(i64::try_from(mono).unwrap());
        let next = self.agenda.first_key_value().map(|((at, _), _)| *at);
        if next.is_some_and(|next| next <= deadline) {
            self.proceed();
        } else {
            self.now = deadline;
            self.write(What::Deadline(Deadline { step }));
        }
    }

    /// Lets the next thing happen.
    pub(crate) fn proceed(&mut self) {
        let ((at, _), deed) = self.agenda.pop_first().expect("recorders always look again");
        self.now = at;
        match deed {
            Deed::Write(at, what) => self.write_of(at, *what),
            Deed::Look => self.look(),
            Deed::Probe(node) => self.probe(&node),
            Deed::Review(csr) => self.review(csr),
            Deed::Sign(csr) => self.sign(csr),
            Deed::Clean => self.clean(),
            Deed::Kubelet { node, pid, act } => {
                if self.kubelets[&node].pid == Some(pid) {
                    self.act(&node, act);
                }
            }
        }
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, duration: SignedDuration) {
        let end = self.now + duration;
        while self.agenda.first_key_value().is_some_and(|((at, _), _)| *at <= end) {
            self.proceed();
        }
        self.now = end;
    }

    /// tlsboot takes everything down.
    fn end(&mut self) {
        let mut running: Vec<(&str, Option<String>, u32)> = Vec::new();
        for (node, kubelet) in &self.kubelets {
            running.extend(kubelet.pid.map(|pid| ("kubelet", Some(node.clone()), pid)));
        }
        running.extend(self.control_plane.manager.map(|pid| ("kube-controller-manager", None, pid)));
        running.extend(self.control_plane.server.map(|pid| ("kube-apiserver", None, pid)));
        for (component, node, pid) in running {
            self.ends(component, node.as_deref(), pid, Some(KILL));
        }
    }

    /// Something will happen after this time.
    pub(crate) fn after(&mut self, duration: SignedDuration, deed: Deed) {
        self.planned += 1;
        self.agenda.insert((self.now + duration, self.planned), deed);
    }

    /// A recorder sees what happens now, and writes it down a moment later.
    pub(crate) fn record(&mut self, recorder: Recorder, what: What) {
        let late = match recorder {
            Recorder::Audit | Recorder::Log => 5..150,
            Recorder::Metrics => 20..1000,
            // It is the link itself that writes.
            Recorder::Link => 0..0,
            _ => 0..4,
        };
        let seen = self.now + self.dice.millis(late);
        let seen = self.last.get(&recorder).map_or(seen, |last| seen.max(*last));
        self.last.insert(recorder, seen);
        // Audit events and log lines say when they happened; of all others, only the time of recording is known.
        let at = if matches!(recorder, Recorder::Audit | Recorder::Log) { self.now } else { seen };
        self.after(seen.duration_since(self.now), Deed::Write(at, Box::new(what)));
    }

    /// tlsboot writes down what it does.
    pub(crate) fn write(&mut self, what: What) {
        self.write_of(self.now, what);
    }

    fn write_of(&mut self, at: Timestamp, what: What) {
        let mono = micros(self.now.duration_since(self.begun));
        self.written.push(Event { seq: self.seq, at, seen: self.now, mono, what });
        self.seq += 1;
    }

    pub(crate) fn starts_recording(&mut self, recorder: Recorder) {
        self.write(What::Recorder(RecorderEvent { recorder, state: RecorderState::Started }));
    }

    /// A process starts; its process id.
    pub(crate) fn starts(&mut self, component: &str, node: Option<&str>) -> u32 {
        let starting = self.dice.millis(3..30);
        self.pass(starting);
        self.pids += 1 + self.dice.below(50) as u32;
        let pid = self.pids;
        self.write(ProcessEvent::of(component, node, pid)(ProcessState::Started));
        pid
    }

    /// tlsboot ends a process by a signal; a kubelet that is stopped exits in order.
    pub(crate) fn ends(&mut self, component: &str, node: Option<&str>, pid: u32, signal: Option<i32>) {
        let ending = self.dice.millis(1..200);
        self.pass(ending);
        let code = signal.is_none().then_some(0);
        self.write(ProcessEvent::of(component, node, pid)(ProcessState::Exited { code, signal, asked: true }));
    }

    /// Recorders look again and again, and say so.
    fn look(&mut self) {
        let now = micros(self.now.duration_since(self.begun));
        let whole = [Recorder::Csr, Recorder::Audit, Recorder::Process, Recorder::Node];
        let mut looked = Looked::default();
        for recorder in whole {
            looked.at.insert(recorder, [(WHOLE_CLUSTER.to_owned(), now)].into());
        }
        let nodes: BTreeMap<String, u64> = self.kubelets.keys().map(|node| (node.clone(), now)).collect();
        for recorder in [Recorder::Files, Recorder::Presented, Recorder::Metrics, Recorder::Log] {
            looked.at.insert(recorder, nodes.clone());
        }
        self.write(What::Looked(looked));
        let worked_ms = now / 10_000;
        self.write(What::Load(Load { worked_ms, waited_ms: worked_ms / 2 }));
        let pause = self.dice.millis(500..5000);
        self.after(pause, Deed::Look);
    }
}
