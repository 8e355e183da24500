//! The history as the invariants read it: what each machine did, and what the stimuli explain.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::check::rules::Rules;
use crate::check::{ExpectationVerdict, Role};
use crate::history::event::{
    Begin, CsrEvent, Event, FileEvent, FileOp, KUBELET, KubeletFacts, NODE_USER_PREFIX, Phase, ProcessState, Recorder,
    RecorderState, RequestEvent, What,
};
use crate::history::facts::{CertificateFacts, PemBlock};
use crate::scenario::stimulus::{self, Step};
use crate::scenario::{NodeName, Scenario};
use crate::time::Shift;
use crate::version::Version;

/// What a stimulus did may reach a recorder a moment after the stimulus is done.
const ECHO: SignedDuration = SignedDuration::from_millis(300);

/// A whole history, sorted by whom it is about.
pub(in crate::check) struct Story<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) expectations: &'a [ExpectationVerdict],
    pub(super) rules: Rules,
    /// The kubelets' version.
    pub(super) kubelet: Version,
    /// When the last event happened.
    pub(super) end: Timestamp,
    /// Machines with a kubelet, by the name that they have in the scenario.
    pub(super) machines: BTreeMap<&'a str, Machine<'a>>,
    /// All events of processes, in order.
    pub(super) processes: Vec<(&'a Event, &'a crate::history::event::ProcessEvent)>,
    /// What tlsboot did, in order.
    pub(super) deeds: Vec<Deed<'a>>,
    /// Certificates in the status of CSRs, by fingerprint.
    pub(super) issued: BTreeMap<&'a str, Issued<'a>>,
    /// Everything that a kubelet presented, in order.
    pub(super) presented: Vec<(&'a Event, &'a crate::history::event::Presented)>,
    recording: BTreeSet<Recorder>,
    gaps: BTreeMap<Recorder, &'a str>,
}

/// A certificate that was issued.
pub(super) struct Issued<'a> {
    /// When its CSR was first seen with it.
    pub(super) at: Timestamp,
    pub(super) csr: &'a CsrEvent,
}

/// A machine with a kubelet.
#[derive(Default)]
pub(super) struct Machine<'a> {
    /// The names of its Node: usually one, more if a stimulus changes it.
    pub(super) nodes: BTreeSet<String>,
    /// How its kubelet was last started.
    pub(super) facts: Option<&'a KubeletFacts>,
    /// Changes of its files, in order.
    pub(super) files: Vec<Change<'a>>,
    /// Requests of its kubelet, in order of the audit log.
    pub(super) requests: Vec<(&'a Event, &'a RequestEvent)>,
    /// Client certificates to which its link has pointed, in order.
    pub(super) client: Vec<Installed<'a>>,
    /// Serving certificates to which its link has pointed, in order.
    pub(super) serving: Vec<Installed<'a>>,
}

/// A change of a file.
#[derive(Clone, Copy)]
pub(super) struct Change<'a> {
    pub(super) event: &'a Event,
    pub(super) file: &'a FileEvent,
    /// Whether tlsboot did it, or it was there before the kubelet.
    pub(super) by_tlsboot: bool,
}

/// A certificate that a machine has in use.
#[derive(Clone, Copy)]
pub(super) struct Installed<'a> {
    pub(super) at: Timestamp,
    pub(super) certificate: &'a CertificateFacts,
}

/// A stimulus that was performed.
#[derive(Clone, Copy)]
pub(super) struct Deed<'a> {
    pub(super) step: &'a Step,
    pub(super) from: Timestamp,
    /// When it was done; `None` if the history ends before.
    until: Option<Timestamp>,
}

impl Deed<'_> {
    /// Whether a moment lies in it, or just after it.
    pub(super) fn covers(&self, at: Timestamp) -> bool {
        self.from <= at && self.until.is_none_or(|until| at <= until.later(ECHO))
    }

    /// Whether it is over by then.
    pub(super) fn is_over(&self, at: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= at)
    }

    /// Whether it writes this file of this machine.
    fn writes(&self, machine: &str, name: &str) -> bool {
        let is = |node: &NodeName| **node == *machine;
        match self.step {
            Step::Damage(damage) => is(&damage.node),
            Step::ReplaceServingPair(pair) => is(&pair.node),
            Step::Start(start) => name == BOOTSTRAP && start.node.as_ref().is_some_and(is),
            Step::Restart(restart) => name == BOOTSTRAP && restart.node.as_ref().is_some_and(is),
            // kubeadm writes and removes whatever it likes.
            Step::Join(join) => is(&join.node),
            _ => false,
        }
    }
}

const BOOTSTRAP: &str = "bootstrap-kubeconfig";

impl<'a> Story<'a> {
    /// The story of these events; none before the history has begun.
    pub(in crate::check) fn of(
        scenario: &'a Scenario,
        events: &'a [Event],
        expectations: &'a [ExpectationVerdict],
    ) -> Option<Self> {
        let Some(What::Begin(begin)) = events.first().map(|event| &event.what) else {
            return None;
        };
        let mut story = Self::empty(scenario, begin, expectations);
        story.deeds = deeds(scenario, events);
        for event in events {
            story.end = story.end.max(event.at);
            story.take(event);
        }
        Some(story)
    }

    fn empty(scenario: &'a Scenario, begin: &Begin, expectations: &'a [ExpectationVerdict]) -> Self {
        Self {
            scenario,
            expectations,
            rules: Rules::new(begin.kubernetes, begin.kubelet),
            kubelet: begin.kubelet,
            end: Timestamp::MIN,
            machines: BTreeMap::new(),
            processes: Vec::new(),
            deeds: Vec::new(),
            issued: BTreeMap::new(),
            presented: Vec::new(),
            recording: BTreeSet::new(),
            gaps: BTreeMap::new(),
        }
    }

    fn take(&mut self, event: &'a Event) {
        match &event.what {
            What::Recorder(change) => match &change.state {
                RecorderState::Started => {
                    self.recording.insert(change.recorder);
                }
                RecorderState::Gap(why) => {
                    self.gaps.insert(change.recorder, why);
                }
            },
            What::Kubelet(facts) => {
                self.machine(&facts.node).facts = Some(facts);
            }
            What::Csr(csr) => {
                if let Some(certificate) = csr.certificates.first() {
                    self.issued.entry(&certificate.sha256).or_insert(Issued { at: event.at, csr });
                }
            }
            What::File(file) => self.take_file(event, file),
            What::Request(request) => {
                let machine = request.node.as_deref().and_then(|node| self.machines.get_mut(node));
                if let Some(machine) = machine.filter(|_| request.user_agent.starts_with(KUBELET)) {
                    machine.requests.push((event, request));
                }
            }
            What::Presented(presented) => self.presented.push((event, presented)),
            What::Process(process) => self.processes.push((event, process)),
            _ => {}
        }
    }

    fn take_file(&mut self, event: &'a Event, file: &'a FileEvent) {
        let by_tlsboot = file.op == FileOp::Present
            || self.deeds.iter().any(|deed| deed.covers(event.at) && deed.writes(&file.node, &file.name));
        let machine = self.machine(&file.node);
        machine.files.push(Change { event, file, by_tlsboot });
        let swapped = matches!(file.op, FileOp::MovedTo | FileOp::Created | FileOp::Present | FileOp::Modified);
        for role in [Role::Client, Role::Serving].into_iter().filter(|role| swapped && file.name == current(*role)) {
            let leaf = file.facts.as_ref().and_then(|facts| leaf(&facts.pem));
            let installed = match role {
                Role::Client => &mut machine.client,
                Role::Serving => &mut machine.serving,
            };
            let last = installed.last().map(|last| &last.certificate.sha256);
            if let Some(certificate) = leaf.filter(|leaf| Some(&leaf.sha256) != last) {
                installed.push(Installed { at: event.at, certificate });
            }
        }
    }

    fn machine(&mut self, name: &'a str) -> &mut Machine<'a> {
        let nodes = self.names_given_to(name);
        self.machines.entry(name).or_insert_with(|| Machine { nodes, ..Machine::default() })
    }

    fn names_given_to(&self, machine: &str) -> BTreeSet<String> {
        let given = self.deeds.iter().filter_map(|deed| match deed.step {
            Step::Start(start) => named(&start.node, &start.with, machine),
            Step::Restart(restart) => named(&restart.node, &restart.with, machine),
            _ => None,
        });
        given.chain([machine.to_lowercase()]).collect()
    }

    /// Why a recorder proves nothing, if it does not.
    pub(super) fn unseen(&self, recorder: Recorder) -> Option<String> {
        if let Some(why) = self.gaps.get(&recorder) {
            return Some(format!("the recorder `{recorder}` may have missed events ({why})"));
        }
        (!self.recording.contains(&recorder)).then(|| format!("the recorder `{recorder}` never started"))
    }

    /// Whether something that tlsboot did explains that this machine's kubelet has no valid client certificate in use, or
    /// has to bootstrap again: until the certificate after that is in use.
    pub(super) fn explains_lost_identity(&self, name: &str, machine: &Machine<'_>, at: Timestamp) -> bool {
        let upsets = |step: &Step| match step {
            Step::Damage(damage) => *damage.node == *name && !damage.file.starts_with(Role::Serving.file_prefix()),
            Step::Join(join) => *join.node == *name,
            Step::Start(start) => is_changed(&start.node, start.component.is_some(), &start.with, name),
            Step::Restart(restart) => is_changed(&restart.node, restart.component.is_some(), &restart.with, name),
            Step::ReplaceCa(_) => true,
            _ => false,
        };
        let mut deeds = self.deeds.iter().filter(|deed| deed.from <= at && upsets(deed.step));
        let Some(last) = deeds.next_back() else {
            return false;
        };
        !machine.client.iter().any(|installed| last.is_over(installed.at) && installed.at <= at)
    }
}

/// Whether a process gets other credentials, or another API server accepts others: not by a plain restart.
fn is_changed(node: &Option<NodeName>, is_component: bool, with: &stimulus::Changes, name: &str) -> bool {
    match node {
        Some(node) => **node == *name && (with.bootstrap.is_some() || with.host_name.is_some()),
        None => is_component && with.flags.is_some(),
    }
}

fn named(node: &Option<NodeName>, with: &stimulus::Changes, machine: &str) -> Option<String> {
    node.as_ref().filter(|node| ***node == *machine)?;
    Some(with.host_name.as_ref()?.to_string())
}

fn deeds<'a>(scenario: &'a Scenario, events: &[Event]) -> Vec<Deed<'a>> {
    let mut deeds: Vec<(usize, Deed<'a>)> = Vec::new();
    for event in events {
        let What::Step(told) = &event.what else { continue };
        let Some(step) = scenario.steps.get(told.index).map(|step| &step.value) else { continue };
        match &told.phase {
            Phase::Begin => deeds.push((told.index, Deed { step, from: event.at, until: None })),
            Phase::Done { .. } | Phase::Failed { .. } => {
                if let Some((_, deed)) = deeds.last_mut().filter(|(index, _)| *index == told.index) {
                    deed.until = Some(event.at);
                }
            }
        }
    }
    deeds.into_iter().map(|(_, deed)| deed).collect()
}

/// The name of the link to a certificate in use.
pub(super) fn current(role: Role) -> String {
    format!("{}-current.pem", role.file_prefix())
}

/// The first certificate of a file.
pub(super) fn leaf(pem: &[PemBlock]) -> Option<&CertificateFacts> {
    pem.iter().find_map(|block| block.certificate.as_ref())
}

/// The user of a Node's name.
pub(super) fn user_of(node: &str) -> String {
    format!("{NODE_USER_PREFIX}{node}")
}

/// Whether a process exited without being asked to.
pub(super) fn exited_on_its_own(state: &ProcessState) -> bool {
    matches!(state, ProcessState::Exited { asked: false, .. })
}
