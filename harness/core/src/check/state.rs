//! The fold of a history: the state after the events so far.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::reaches::Reaches;
use super::{Role, rules::Rules};
use crate::history::event::{
    Answer, Begin, Change, CsrEvent, Event, FileEvent, FileFacts, FileOp, KubeletFacts, Load, Looked, NodeEvent, Phase,
    Presented, ProcessState, ReachEvent, Recorder, RecorderState, What,
};
use crate::history::facts::CertificateFacts;

/// The state.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The head of the history.
    pub begin: Option<Begin>,
    /// `--cluster-signing-duration` now.
    pub signing: Option<SignedDuration>,
    /// CA certificates (DER in base64) by signerName: every CA that signed in this history, newest last.
    pub signers: BTreeMap<String, Vec<String>>,
    /// CSRs in order of appearance, including deleted ones.
    pub csrs: Vec<CsrState>,
    /// Kubelets by node.
    pub kubelets: BTreeMap<String, KubeletFacts>,
    /// The current content of each node's directory.
    pub files: BTreeMap<(String, String), FileFacts>,
    /// What each node's port presents now.
    pub presented: BTreeMap<String, Presented>,
    /// Processes, by component and node.
    pub processes: BTreeMap<(String, Option<String>), ProcessNow>,
    /// Nodes.
    pub nodes: BTreeMap<String, NodeEvent>,
    /// Metrics by component, node, and `name{labels}`.
    pub metrics: BTreeMap<(String, Option<String>), BTreeMap<String, String>>,
    /// Answers to the steps that sent requests, by step index.
    pub answers: BTreeMap<usize, Answer>,
    /// Objects that the steps created, by step name.
    pub objects: BTreeMap<String, String>,
    /// What came of the requests of each `reach` with `every`, by its name.
    pub reaches: BTreeMap<String, Reaches>,
    /// When each recorder last looked at each of its sources, in microseconds of `mono`.
    pub looks: BTreeMap<Recorder, BTreeMap<String, u64>>,
    /// Recorders that are running.
    pub recording: BTreeSet<Recorder>,
    /// How long the cluster's processes have worked and waited, as far as it was told.
    pub load: Load,
    /// Recorders that may have missed events, and why.
    pub gaps: BTreeMap<Recorder, String>,
}

/// A CSR now.
#[derive(Clone, Debug)]
pub struct CsrState {
    /// As it was last seen.
    pub now: CsrEvent,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// When it was first seen with a certificate.
    pub issued: Option<Timestamp>,
}

/// A process now.
#[derive(Clone, Debug)]
pub struct ProcessNow {
    /// Its process id.
    pub pid: u32,
    /// How it ended, if it has.
    pub ended: Option<ProcessState>,
    /// How often it was started in this history.
    pub starts: u32,
}

impl State {
    /// Takes in the next event.
    pub fn apply(&mut self, event: &Event) {
        match &event.what {
            What::Begin(begin) => self.begin = Some((**begin).clone()),
            What::Signing(signing) => {
                self.signing = Some(signing.duration());
                self.add_signers(&signing.signers);
            }
            What::Step(step) => {
                if let Phase::Done { answer: Some(answer), .. } = &step.phase {
                    if let (Some(name), Some(object)) = (&step.name, &answer.object) {
                        self.objects.insert(name.clone(), object.clone());
                    }
                    self.answers.insert(step.index, answer.clone());
                }
            }
            What::Recorder(change) => match &change.state {
                RecorderState::Started => {
                    self.recording.insert(change.recorder);
                }
                RecorderState::Gap(why) => {
                    self.gaps.insert(change.recorder, why.clone());
                }
            },
            What::Kubelet(facts) => {
                self.kubelets.insert(facts.node.clone(), facts.clone());
            }
            What::Csr(csr) => self.apply_csr(csr, event.at),
            What::File(file) => self.apply_file(file),
            What::Presented(presented) => {
                self.presented.insert(presented.node.clone(), (**presented).clone());
            }
            What::Process(process) => {
                let key = (process.component.clone(), process.node.clone());
                let starts = self.processes.get(&key).map_or(0, |now| now.starts);
                let now = match &process.state {
                    ProcessState::Started => ProcessNow { pid: process.pid, ended: None, starts: starts + 1 },
                    ended => ProcessNow { pid: process.pid, ended: Some(ended.clone()), starts },
                };
                self.processes.insert(key, now);
            }
            What::Metrics(metrics) => {
                self.metrics
                    .entry((metrics.component.clone(), metrics.node.clone()))
                    .or_default()
                    .extend(metrics.values.clone());
            }
            What::Node(node) => {
                self.nodes.insert(node.node.clone(), node.clone());
            }
            What::Load(load) => self.load = *load,
            What::Looked(looked) => self.apply_looks(looked),
            What::Reach(reach) => self.apply_reach(reach, event.at),
            What::Deadline(_)
            | What::Ended(_)
            | What::Request(_)
            | What::Connection(_)
            | What::Inbound(_)
            | What::Log(_) => {}
        }
    }

    fn apply_looks(&mut self, looked: &Looked) {
        for (recorder, sources) in &looked.at {
            self.looks.entry(*recorder).or_default().extend(sources.clone());
        }
    }

    fn add_signers(&mut self, signers: &BTreeMap<String, String>) {
        for (name, der) in signers {
            let known = self.signers.entry(name.clone()).or_default();
            if known.last() != Some(der) {
                known.push(der.clone());
            }
        }
    }

    fn apply_csr(&mut self, csr: &CsrEvent, at: Timestamp) {
        let issued = (!csr.certificates.is_empty()).then_some(at);
        match self.csrs.iter_mut().find(|known| known.now.uid == csr.uid) {
            Some(known) => {
                known.now = csr.clone();
                known.issued = known.issued.or(issued);
            }
            None => self.csrs.push(CsrState { now: csr.clone(), first_seen: at, issued }),
        }
    }

    fn apply_reach(&mut self, reach: &ReachEvent, at: Timestamp) {
        if let Some(name) = &reach.name {
            self.reaches.entry(name.clone()).or_insert_with(|| Reaches::before(at)).add(reach, at);
        }
    }

    fn apply_file(&mut self, file: &FileEvent) {
        let key = (file.node.clone(), file.name.clone());
        match &file.facts {
            Some(facts) if !matches!(file.op, FileOp::MovedFrom | FileOp::Deleted) => {
                self.files.insert(key, facts.clone());
            }
            _ => {
                self.files.remove(&key);
            }
        }
    }

    /// The rules for these versions, once the history has begun.
    pub fn rules(&self) -> Option<Rules> {
        self.begin.as_ref().map(|begin| Rules::new(begin.kubernetes, begin.kubelet))
    }

    /// CSRs for a node's certificate, oldest first.
    pub fn csrs_of<'a>(&'a self, node: &'a str, role: Role) -> impl Iterator<Item = &'a CsrState> {
        self.csrs.iter().filter(move |csr| csr.now.signer_name == role.signer_name() && csr.now.node() == Some(node))
    }

    /// Certificates that were issued for a node, oldest first, each with its CSR.
    pub fn issued<'a>(&'a self, node: &'a str, role: Role) -> Vec<(&'a CsrState, &'a CertificateFacts)> {
        let mut issued: Vec<_> =
            self.csrs_of(node, role).filter_map(|csr| Some((csr, csr.now.certificates.first()?))).collect();
        issued.sort_by_key(|(csr, _)| csr.issued);
        issued
    }

    /// The current state of a node's file.
    pub fn file(&self, node: &str, name: &str) -> Option<&FileFacts> {
        self.files.get(&(node.to_owned(), name.to_owned()))
    }

    /// The object that the step of this name created.
    pub fn submitted(&self, step: &str) -> Option<&String> {
        self.objects.get(step)
    }

    /// CSRs that still exist and were neither approved nor denied.
    pub fn is_pending(csr: &CsrEvent) -> bool {
        csr.change != Change::Deleted && csr.conditions.is_empty()
    }
}
