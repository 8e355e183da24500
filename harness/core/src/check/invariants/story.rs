//! The history as the invariants read it: what each machine did, and what the stimuli explain.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::spans::{Span, without};
use crate::check::rules::Rules;
use crate::check::{ExpectationVerdict, Role};
use crate::history::event::{
    Begin, Change as Changed, ConnectionEvent, ConnectionState, CsrEvent, Event, FileEvent, FileOp, KUBELET,
    KubeletFacts, Looked, MetricsEvent, NODE_USER_PREFIX, NodeEvent, Phase, Presented, ProcessState, Recorder,
    RecorderState, RequestEvent, Signing, What,
};
use crate::history::facts::{CertificateFacts, PemBlock};
use crate::scenario::stimulus::admission::Admitted;
use crate::scenario::stimulus::{self, Component, Direction, Step};
use crate::scenario::{CertDir, Node, NodeName, Scenario};
use crate::time::Shift;
use crate::version::Version;

/// What a stimulus did may reach a recorder a moment after the stimulus is done.
const ECHO: SignedDuration = SignedDuration::from_millis(300);

/// The resource of CSRs.
pub(super) const CSRS: &str = "certificatesigningrequests";

/// A whole history, sorted by whom it is about.
pub(in crate::check) struct Story<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) expectations: &'a [ExpectationVerdict],
    pub(super) rules: Rules,
    /// The kubelets' version.
    pub(super) kubelet: Version,
    /// All events.
    pub(super) events: &'a [Event],
    /// When the last event happened.
    pub(super) end: Timestamp,
    /// Machines with a kubelet, by the name that they have in the scenario.
    pub(super) machines: BTreeMap<&'a str, Machine<'a>>,
    /// All events of processes, in order.
    pub(super) processes: Vec<(&'a Event, &'a crate::history::event::ProcessEvent)>,
    /// What tlsboot did, in order.
    pub(super) deeds: Vec<Deed<'a>>,
    /// CSRs, in the order in which they were first seen.
    pub(super) asked: Vec<Asked<'a>>,
    /// Certificates in the status of CSRs, by fingerprint.
    pub(super) issued: BTreeMap<&'a str, Issued<'a>>,
    /// Everything that a kubelet presented, in order.
    pub(super) presented: Vec<(&'a Event, &'a Presented)>,
    /// All metrics, in order.
    pub(super) metrics: Vec<(&'a Event, &'a MetricsEvent)>,
    /// When recorders last looked, in order.
    pub(super) looks: Vec<(&'a Event, &'a Looked)>,
    /// How the signer signed, and from when on.
    pub(super) signing: Vec<(Timestamp, &'a Signing)>,
    /// All events of Nodes, in order.
    nodes: Vec<(Timestamp, &'a NodeEvent)>,
    /// CSRs that a step submitted.
    submitted: BTreeSet<&'a str>,
    recording: BTreeSet<Recorder>,
    gaps: BTreeMap<Recorder, &'a str>,
}

/// A CSR, from its creation to its end.
pub(super) struct Asked<'a> {
    /// The event that showed it first.
    pub(super) event: &'a Event,
    /// As it was first seen.
    pub(super) csr: &'a CsrEvent,
    /// The events that showed it with another content, in order, and the first one.
    pub(super) seen: Vec<(&'a Event, &'a CsrEvent)>,
    /// When there was nothing more to wait for: it had its certificate, was denied, had failed or was deleted.
    pub(super) ended: Option<Timestamp>,
    /// Whether a step submitted it.
    pub(super) by_tlsboot: bool,
}

impl<'a> Asked<'a> {
    /// The event that showed it first with this condition.
    pub(super) fn with(&self, condition: &str) -> Option<(&'a Event, &'a CsrEvent)> {
        self.seen.iter().find(|(_, csr)| csr.conditions.iter().any(|known| known.kind == condition)).copied()
    }

    /// The event of its deletion.
    pub(super) fn deleted(&self) -> Option<(&'a Event, &'a CsrEvent)> {
        self.seen.iter().find(|(_, csr)| csr.change == Changed::Deleted).copied()
    }

    /// The event that showed it first with a certificate.
    pub(super) fn signed(&self) -> Option<(&'a Event, &'a CsrEvent)> {
        self.seen.iter().find(|(_, csr)| !csr.certificates.is_empty()).copied()
    }
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
    /// When and how its kubelet was started, in order.
    pub(super) starts: Vec<(Timestamp, &'a KubeletFacts)>,
    /// Changes of its files, in order.
    pub(super) files: Vec<Change<'a>>,
    /// Requests of its kubelet, in order of the audit log.
    pub(super) requests: Vec<(&'a Event, &'a RequestEvent)>,
    /// Connections to the API server on its link, in order.
    pub(super) connections: Vec<Connection>,
    /// Client certificates to which its link has pointed, in order.
    pub(super) client: Vec<Installed<'a>>,
    /// Serving certificates to which its link has pointed, in order.
    pub(super) serving: Vec<Installed<'a>>,
}

impl<'a> Machine<'a> {
    /// How its kubelet was started last before this moment.
    pub(super) fn started(&self, at: Timestamp) -> Option<&'a KubeletFacts> {
        self.starts.iter().rev().find(|(started, _)| *started <= at).map(|(_, facts)| *facts)
    }

    /// Certificates to which its link for this role has pointed, in order.
    pub(super) fn installed(&self, role: Role) -> &[Installed<'a>] {
        match role {
            Role::Client => &self.client,
            Role::Serving => &self.serving,
        }
    }
}

/// A connection on a machine's link to the API server.
pub(super) struct Connection {
    pub(super) id: u64,
    pub(super) opened: Timestamp,
    pub(super) closed: Option<Timestamp>,
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
    /// The same moment by the monotonic clock, in microseconds.
    pub(super) mono: u64,
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

    /// Whether it was going on at a moment, or was over less than `room` before.
    pub(super) fn is_near(&self, at: Timestamp, room: SignedDuration) -> bool {
        self.from <= at && !self.is_over(at.earlier(room))
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
        let mut story = Self::empty(scenario, events, begin, expectations);
        story.deeds = deeds(scenario, events);
        story.submitted = submitted(scenario, events);
        for event in events {
            story.end = story.end.max(event.at);
            story.take(event);
        }
        Some(story)
    }

    fn empty(
        scenario: &'a Scenario,
        events: &'a [Event],
        begin: &Begin,
        expectations: &'a [ExpectationVerdict],
    ) -> Self {
        Self {
            events,
            scenario,
            expectations,
            rules: Rules::new(begin.kubernetes, begin.kubelet),
            kubelet: begin.kubelet,
            end: Timestamp::MIN,
            machines: BTreeMap::new(),
            processes: Vec::new(),
            deeds: Vec::new(),
            asked: Vec::new(),
            issued: BTreeMap::new(),
            presented: Vec::new(),
            metrics: Vec::new(),
            looks: Vec::new(),
            signing: Vec::new(),
            nodes: Vec::new(),
            submitted: BTreeSet::new(),
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
                self.machine(&facts.node).starts.push((event.at, facts));
            }
            What::Csr(csr) => {
                self.take_csr(event, csr);
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
            What::Connection(connection) => self.take_connection(event, connection),
            What::Presented(presented) => self.presented.push((event, presented)),
            What::Metrics(metrics) => self.metrics.push((event, metrics)),
            What::Looked(looked) => self.looks.push((event, looked)),
            What::Process(process) => self.processes.push((event, process)),
            What::Signing(signing) => self.signing.push((event.at, signing)),
            What::Node(node) => self.nodes.push((event.at, node)),
            _ => {}
        }
    }

    fn take_csr(&mut self, event: &'a Event, csr: &'a CsrEvent) {
        let is_over = csr.change == Changed::Deleted
            || !csr.certificates.is_empty()
            || csr.conditions.iter().any(|condition| matches!(condition.kind.as_str(), "Denied" | "Failed"));
        let ended = is_over.then_some(event.at);
        match self.asked.iter_mut().find(|known| known.csr.uid == csr.uid) {
            Some(known) => {
                known.ended = known.ended.or(ended);
                known.seen.push((event, csr));
            }
            None => {
                // Which CSR a step made is only known when it is done.
                let making = self.deeds.iter().any(|deed| deed.until.is_none() && matches!(deed.step, Step::Submit(_)));
                let by_tlsboot = making || self.submitted.contains(csr.name.as_str());
                self.asked.push(Asked { event, csr, seen: vec![(event, csr)], ended, by_tlsboot });
            }
        }
    }

    fn take_connection(&mut self, event: &'a Event, connection: &'a ConnectionEvent) {
        let Some(machine) = self.machines.get_mut(connection.node.as_str()) else { return };
        let id = connection.id;
        match connection.state {
            ConnectionState::Opened => {
                machine.connections.push(Connection { id, opened: event.at, closed: None });
            }
            ConnectionState::Closed { .. } => {
                // The newest ones are closed most often.
                if let Some(known) = machine.connections.iter_mut().rev().find(|known| known.id == id) {
                    known.closed = Some(event.at);
                }
            }
            ConnectionState::Refused => {}
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
                installed.push(Installed { at: event.at, mono: event.mono, certificate });
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

    /// Whether something that tlsboot did explains that this machine's kubelet has no valid certificate in use, or has to
    /// begin again: until the certificate after that is in use.
    pub(super) fn explains_loss(&self, role: Role, name: &str, machine: &Machine<'_>, at: Timestamp) -> bool {
        let is_serving = |file: &str| file.starts_with(Role::Serving.file_prefix());
        let upsets = |step: &Step| match (step, role) {
            (Step::Damage(damage), _) => *damage.node == *name && is_serving(&damage.file) == (role == Role::Serving),
            (Step::Join(join), _) => *join.node == *name,
            (Step::Start(start), Role::Client) => is_changed(&start.node, start.component.is_some(), &start.with, name),
            (Step::Restart(restart), Role::Client) => {
                is_changed(&restart.node, restart.component.is_some(), &restart.with, name)
            }
            (Step::ReplaceCa(_), Role::Client) => true,
            _ => false,
        };
        let mut deeds = self.deeds.iter().filter(|deed| deed.from <= at && upsets(deed.step));
        let Some(last) = deeds.next_back() else {
            return false;
        };
        !machine.installed(role).iter().any(|installed| last.is_over(installed.at) && installed.at <= at)
    }

    /// The CSRs of this machine's kubelet, oldest first.
    pub(super) fn asked_by(&self, machine: &Machine<'_>, role: Role) -> Vec<&Asked<'a>> {
        let own = |asked: &&Asked<'_>| {
            let node = asked.csr.node().is_some_and(|node| machine.nodes.contains(node));
            node && asked.csr.signer_name == role.signer_name() && !asked.by_tlsboot
        };
        self.asked.iter().filter(own).collect()
    }

    /// The scenario's node of this name, if what its kubelet has on disk is seen: its own default directory is not.
    pub(super) fn visible(&self, name: &str) -> Option<&'a Node> {
        self.scenario.nodes.iter().find(|node| *node.name == *name && node.cert_dir != CertDir::Default)
    }

    /// When the API server last told a kubelet what became of a CSR, up to this moment.
    pub(super) fn last_answer(&self, machine: &Machine<'_>, at: Timestamp) -> Option<Timestamp> {
        let own = self.asked.iter().filter(|asked| asked.csr.node().is_some_and(|node| machine.nodes.contains(node)));
        own.filter_map(|asked| asked.ended).filter(|ended| *ended <= at).max()
    }

    /// When a process ran.
    pub(super) fn runs(&self, component: &str, node: Option<&str>) -> Vec<Span> {
        let own = self.processes.iter().filter(|(_, process)| process.component == component);
        let mut own = own.filter(|(_, process)| process.node.as_deref() == node).peekable();
        let mut runs = Vec::new();
        while let Some((event, process)) = own.next() {
            if process.state == ProcessState::Started {
                let to = own.peek().map_or(self.end, |(next, _)| next.at);
                runs.push(Span { from: event.at, to });
            }
        }
        runs
    }

    /// Whether this machine's kubelet had just started.
    pub(super) fn starts_kubelet(&self, name: &str, at: Timestamp) -> bool {
        self.runs(KUBELET, Some(name)).iter().any(|run| run.from == at)
    }

    /// When this machine's kubelet could not reach the API server: that did not run, or the link was cut.
    pub(super) fn away(&self, name: &str) -> Vec<Span> {
        let whole = Span { from: Timestamp::MIN, to: Timestamp::MAX };
        let runs = self.runs(Component::ApiServer.name(), None);
        // Where no process of it is recorded, it is taken for running.
        let mut away = if runs.is_empty() { Vec::new() } else { without(&[whole], &runs) };
        let is_server = |component: Option<Component>| component == Some(Component::ApiServer);
        let cuts = |step: &Step| match step {
            Step::Cut(cut) => *cut.node == *name && cut.direction == Direction::ToApiServer,
            _ => false,
        };
        let mends = |step: &Step| match step {
            Step::Reconnect(back) => *back.node == *name && back.direction == Direction::ToApiServer,
            _ => false,
        };
        away.extend(self.between(cuts, mends));
        for deed in &self.deeds {
            let starts_server = match deed.step {
                Step::Start(start) => is_server(start.component),
                Step::Restart(restart) => is_server(restart.component),
                Step::ReplaceCa(_) => true,
                _ => false,
            };
            if starts_server {
                away.push(Span { from: deed.from, to: deed.until.unwrap_or(self.end) });
            }
        }
        away
    }

    /// When admission refused these requests.
    pub(super) fn refused(&self, requests: Admitted) -> Vec<Span> {
        self.between(
            |step| matches!(step, Step::Refuse(refuse) if refuse.requests == requests),
            |step| matches!(step, Step::Admit(admit) if admit.requests == requests),
        )
    }

    /// From the beginning of each step that begins something to the end of the next one that ends it.
    fn between(&self, begins: impl Fn(&Step) -> bool, ends: impl Fn(&Step) -> bool) -> Vec<Span> {
        let begun = self.deeds.iter().enumerate().filter(|(_, deed)| begins(deed.step));
        let spans = begun.map(|(place, deed)| {
            let end = self.deeds.iter().skip(place).find(|later| ends(later.step));
            Span { from: deed.from, to: end.and_then(|end| end.until).unwrap_or(self.end) }
        });
        spans.collect()
    }

    /// When the Node of one of these names had an IP address.
    pub(super) fn addressed(&self, names: &BTreeSet<String>) -> Vec<Span> {
        let mut own = self.nodes.iter().filter(|(_, node)| names.contains(&node.node)).peekable();
        let mut spans = Vec::new();
        while let Some((at, node)) = own.next() {
            if node.change != Changed::Deleted && !node.addresses.is_empty() {
                spans.push(Span { from: *at, to: own.peek().map_or(self.end, |(next, _)| *next) });
            }
        }
        spans
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

/// The names of the CSRs that steps submitted.
fn submitted<'a>(scenario: &Scenario, events: &'a [Event]) -> BTreeSet<&'a str> {
    let names = events.iter().filter_map(|event| match &event.what {
        What::Step(told) => {
            let step = scenario.steps.get(told.index).map(|step| &step.value);
            match (&told.phase, step) {
                (Phase::Done { answer: Some(answer), .. }, Some(Step::Submit(_))) => answer.object.as_deref(),
                _ => None,
            }
        }
        _ => None,
    });
    names.collect()
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
