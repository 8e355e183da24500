//! A kubelet: how it gets its certificates, uses them and renews them.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use tlsboot_core::check::Role;
use tlsboot_core::history::What;
use tlsboot_core::history::event::{
    Change, ClosedBy, ConnectionEvent, ConnectionState, FileEvent, FileFacts, FileKind, FileOp, KubeconfigFacts,
    KubeletFacts, LogEvent, MetricsEvent, NodeEvent, Presented, Recorder,
};
use tlsboot_core::history::facts::{CertificateFacts, KeyFacts, PemBlock};

use crate::authority::{Key, self_signed};
use crate::cluster::{Cluster, Deed};
use crate::control_plane::{CSRS, Call, Kind};

/// How often it looks whether its client certificate is another one (`pkg/kubelet/certificate/transport.go`).
const POLL: SignedDuration = SignedDuration::from_secs(10);
/// How often it tells the state of its node, and renews its lease.
const WORK: SignedDuration = SignedDuration::from_secs(10);
/// How long it waits for one CSR (catalogue K-10).
const PATIENCE: SignedDuration = SignedDuration::from_mins(15);
/// How long a connection lives that is not used (`IdleConnTimeout` in `k8s.io/apimachinery/pkg/util/net`).
const IDLE: SignedDuration = SignedDuration::from_secs(90);
/// The share of a certificate's lifetime after which it is renewed (catalogue T-01).
const WINDOW: (f64, f64) = (0.7, 0.9);

const NODES: Kind = Kind { group: "", resource: "nodes" };
const LEASES: Kind = Kind { group: "coordination.k8s.io", resource: "leases" };
const WATCHED: [Kind; 5] = [
    NODES,
    Kind { group: "", resource: "pods" },
    Kind { group: "", resource: "services" },
    Kind { group: "node.k8s.io", resource: "runtimeclasses" },
    Kind { group: "storage.k8s.io", resource: "csidrivers" },
];

/// What a kubelet does on its own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// Its process is up.
    Begin,
    /// It asks for a certificate.
    Ask(Role),
    /// It hears that a CSR has changed.
    Hear(Role, usize),
    /// It has waited long enough for a CSR.
    GiveUp(Role, usize),
    /// It looks whether its client certificate is another one.
    Poll,
    /// It tells the state of its node, and renews its lease.
    Work,
    /// It gives a connection up that nothing used.
    Drop(u64),
}

/// A node's kubelet: what is on disk, and what its process knows.
pub(crate) struct Kubelet {
    pub(crate) facts: KubeletFacts,
    /// Its process, while it runs.
    pub(crate) pid: Option<u32>,
    has_kubeconfig: bool,
    self_signed: Vec<CertificateFacts>,
    /// The pairs to which its links point.
    stored: BTreeMap<&'static str, Pair>,
    is_listening: bool,
    presented: Option<Presented>,
    is_registered: bool,
    /// With what it opens connections.
    credential: Credential,
    /// The connection of all its work.
    work: Option<Connection>,
    /// Connections over which it asked for client certificates.
    for_csrs: Vec<Connection>,
    connections: u64,
    /// The CSRs for which it waits.
    waiting: BTreeMap<&'static str, usize>,
    /// How often in a row it has failed to get a certificate.
    failures: BTreeMap<&'static str, usize>,
}

/// A certificate with its key, as a file has them.
#[derive(Clone)]
struct Pair {
    certificate: CertificateFacts,
    key: KeyFacts,
    file: String,
}

/// With what a connection is opened.
#[derive(Clone, PartialEq)]
pub(crate) enum Credential {
    None,
    Token,
    Certificate(Box<CertificateFacts>),
}

#[derive(Clone)]
struct Connection {
    id: u64,
    credential: Credential,
    used: Timestamp,
}

impl Kubelet {
    pub(crate) fn new(facts: KubeletFacts) -> Self {
        Self {
            facts,
            pid: None,
            has_kubeconfig: false,
            self_signed: Vec::new(),
            stored: BTreeMap::new(),
            is_listening: false,
            presented: None,
            is_registered: false,
            credential: Credential::None,
            work: None,
            for_csrs: Vec::new(),
            connections: 0,
            waiting: BTreeMap::new(),
            failures: BTreeMap::new(),
        }
    }

    /// The certificate that it has for a role, if it is valid.
    fn valid(&self, role: Role, now: Timestamp) -> Option<&CertificateFacts> {
        self.stored.get(role.word()).map(|pair| &pair.certificate).filter(|certificate| now <= certificate.not_after)
    }

    /// With what it would open a connection now.
    fn own(&self, now: Timestamp) -> Credential {
        let certificate = self.valid(Role::Client, now);
        certificate.map_or(Credential::None, |valid| Credential::Certificate(Box::new(valid.clone())))
    }
}

impl Cluster<'_> {
    pub(crate) fn act(&mut self, node: &str, act: Act) {
        match act {
            Act::Begin => self.begins(node),
            Act::Ask(role) => self.asks(node, role),
            Act::Hear(role, csr) => self.hears(node, role, csr),
            Act::GiveUp(role, csr) => self.gives_up(node, role, csr),
            Act::Poll => self.polls(node),
            Act::Work => self.works(node),
            Act::Drop(id) => self.drops(node, id),
        }
    }

    /// It has certificates and renews them in time, or it asks for its first ones. A pair of its own serves where serving
    /// certificates are not signed; it is made once (catalogue K-18).
    fn begins(&mut self, node: &str) {
        let now = self.now;
        let is_old = self.kubelet.minor < 27;
        let kubelet = self.kubelets.get_mut(node).unwrap();
        let serves_by_csr = kubelet.facts.server_tls_bootstrap;
        kubelet.credential = kubelet.own(now);
        kubelet.is_listening = true;
        let has_identity = kubelet.credential != Credential::None;
        if !serves_by_csr && kubelet.self_signed.is_empty() {
            self.makes_self_signed_pair(node);
        }
        let kubelet = self.kubelets.get_mut(node).unwrap();
        if !has_identity && !kubelet.has_kubeconfig {
            kubelet.has_kubeconfig = true;
            let facts = Some(kubeconfig_of(kubelet));
            self.writes_file(node, "kubeconfig", FileOp::Created, None, facts.clone());
            self.writes_file(node, "kubeconfig", FileOp::Modified, None, facts);
        }
        if has_identity {
            self.plans_renewal(node, Role::Client);
        } else {
            self.asks(node, Role::Client);
        }
        // Until it has its first certificate it looks every second (since 1.27).
        let first = if has_identity || is_old { POLL } else { SignedDuration::from_secs(1) };
        self.soon(node, first, Act::Poll);
        if has_identity || is_old {
            let begin = self.dice.millis(200..500);
            self.soon(node, begin, Act::Work);
        }
        if has_identity && serves_by_csr {
            self.starts_serving(node);
        }
        let listening = self.dice.millis(50..500);
        self.after(listening, Deed::Probe(node.to_owned()));
    }

    /// A serving certificate is requested when its addresses are known (catalogue T-09), or is there and renewed in time.
    fn starts_serving(&mut self, node: &str) {
        if self.kubelets[node].valid(Role::Serving, self.now).is_some() {
            self.plans_renewal(node, Role::Serving);
        } else {
            let known = self.dice.millis(500..14_000);
            self.soon(node, known, Act::Ask(Role::Serving));
        }
    }

    // --- certificates --------------------------------------------------------------------------------------------

    /// It sends a CSR, with a new key each time: with its client certificate if it has one, otherwise with the token
    /// from its bootstrap kubeconfig.
    fn asks(&mut self, node: &str, role: Role) {
        let kubelet = self.kubelets.get_mut(node).unwrap();
        if kubelet.waiting.contains_key(role.word()) {
            return;
        }
        let credential = match (role, kubelet.own(self.now)) {
            (Role::Client, Credential::None) => Credential::Token,
            (_, own) => own,
        };
        let Some(credential) = self.connects_for_csrs(node, role, credential) else {
            return self.fails(node, role, "the API server cannot be reached");
        };
        let create = Call { verb: "create", kind: CSRS, subresource: "", namespace: "", name: "" };
        let code = self.request(node, &credential, &create);
        if code != 201 {
            // Since 1.29 the API server closes a connection whose request it does not know (catalogue N-16).
            if code == 401 && self.kubernetes.minor >= 29 && role == Role::Client {
                self.closes_for_csrs(node, ClosedBy::Server);
            }
            return self.fails(node, role, "the request was refused");
        }
        let name = match self.kubelets[node].facts.rotate_certificates {
            true => format!("csr-{}", self.dice.letters(5)),
            false => format!("node-csr-{}", self.dice.letters(43)),
        };
        let csr = self.create_csr(node, role, name.clone(), &credential);
        for verb in ["list", "watch"] {
            self.request(node, &credential, &Call { verb, kind: CSRS, subresource: "", namespace: "", name: &name });
        }
        self.kubelets.get_mut(node).unwrap().waiting.insert(role.word(), csr);
        self.soon(node, PATIENCE, Act::GiveUp(role, csr));
    }

    /// The connection over which a CSR is sent, and with what it was opened. Client certificates are renewed over a
    /// connection of the certificate manager's own. Up to 1.35 the next renewal goes over it too, unless it has not been
    /// used for 90 s.
    fn connects_for_csrs(&mut self, node: &str, role: Role, credential: Credential) -> Option<Credential> {
        if role == Role::Serving {
            return self.connects_for_work(node);
        }
        let (now, is_old) = (self.now, self.kubelet.minor < 36);
        let kubelet = self.kubelets.get_mut(node).unwrap();
        let fits = |open: &&mut Connection| {
            let is_renewal = open.credential != Credential::Token && credential != Credential::Token;
            open.credential == credential || is_old && is_renewal
        };
        let kept = kubelet.for_csrs.iter_mut().find(fits).map(|open| {
            open.used = now;
            open.clone()
        });
        if let Some(kept) = kept {
            return Some(kept.credential);
        }
        let opened = Connection { id: self.opens(node)?, credential: credential.clone(), used: now };
        self.soon(node, IDLE, Act::Drop(opened.id));
        self.kubelets.get_mut(node).unwrap().for_csrs.push(opened);
        Some(credential)
    }

    /// It hears of a CSR over its watch, as soon as it can reach the API server.
    fn hears(&mut self, node: &str, role: Role, csr: usize) {
        if self.kubelets[node].waiting.get(role.word()) != Some(&csr) {
            return;
        }
        if !self.control_plane.is_reachable_from(node) {
            let again = self.dice.millis(500..1500);
            return self.soon(node, again, Act::Hear(role, csr));
        }
        let now = self.now;
        if role == Role::Client {
            self.kubelets.get_mut(node).unwrap().for_csrs.iter_mut().for_each(|open| open.used = now);
        }
        if self.is_refused(csr) {
            self.fails(node, role, "the CSR was denied or deleted");
        } else if let Some(certificate) = self.certificate(csr).cloned() {
            self.stores(node, role, certificate);
        }
    }

    fn gives_up(&mut self, node: &str, role: Role, csr: usize) {
        if self.kubelets[node].waiting.get(role.word()) == Some(&csr) {
            self.fails(node, role, "the CSR was not decided in time");
        }
    }

    /// It tries again after 2, 4, 8 and 16 s, and then every 32 s (catalogue K-11).
    fn fails(&mut self, node: &str, role: Role, why: &str) {
        self.logs(node, &format!("Failed while requesting a signed certificate from the control plane: {why}"));
        let kubelet = self.kubelets.get_mut(node).unwrap();
        kubelet.waiting.remove(role.word());
        let failures = kubelet.failures.entry(role.word()).or_default();
        let pause = [2, 4, 8, 16].get(*failures).copied().unwrap_or(32);
        *failures += 1;
        let pause = SignedDuration::from_secs_f64(f64::from(pause) * self.dice.between(1.0, 1.1));
        self.soon(node, pause, Act::Ask(role));
    }

    /// A certificate came: it gets a file of its own, and the link moves to it. The old file stays (catalogue K-14 to
    /// K-17).
    fn stores(&mut self, node: &str, role: Role, certificate: CertificateFacts) {
        let kubelet = self.kubelets.get_mut(node).unwrap();
        kubelet.waiting.remove(role.word());
        kubelet.failures.remove(role.word());
        let prefix = role.file_prefix();
        let file = format!("{prefix}-{}.pem", self.now.strftime("%Y-%m-%d-%H-%M-%S"));
        let (current, updated) = (format!("{prefix}-current.pem"), format!("{prefix}-updated.pem"));
        let pair = Pair { key: certificate.key.clone(), certificate, file: file.clone() };
        let had_one = kubelet.stored.insert(role.word(), pair.clone()).is_some();
        let cert_dir = kubelet.facts.cert_dir.clone();
        let link = || facts_of_link(&pair, &cert_dir);
        // inotify's reader may be quicker than the kubelet's writing, or slower.
        let at_first = if self.dice.coin() { facts_of_pair(&pair) } else { empty() };
        let is_seen = self.dice.coin();
        self.writes_file(node, &file, FileOp::Created, None, Some(at_first));
        self.writes_file(node, &updated, FileOp::Created, None, is_seen.then(link));
        if had_one {
            self.writes_file(node, &current, FileOp::Deleted, None, None);
        }
        let cookie = Some(self.dice.below(100_000) as u32);
        self.writes_file(node, &updated, FileOp::MovedFrom, cookie, None);
        self.writes_file(node, &current, FileOp::MovedTo, cookie, Some(link()));
        self.writes_file(node, &file, FileOp::Modified, None, Some(facts_of_pair(&pair)));
        self.tells_lifetime(node, role, &pair.certificate);
        self.plans_renewal(node, role);
        // From this moment on it is presented.
        if role == Role::Serving {
            let look = self.dice.millis(5..500);
            self.after(look, Deed::Probe(node.to_owned()));
            let lifetime = pair.certificate.not_after.duration_since(self.now) + SignedDuration::from_secs(1);
            self.after(lifetime, Deed::Probe(node.to_owned()));
        }
    }

    /// A renewal is due at a random moment between 70 % and 90 % of the lifetime, counted from NotBefore.
    fn plans_renewal(&mut self, node: &str, role: Role) {
        let kubelet = &self.kubelets[node];
        if role == Role::Client && !kubelet.facts.rotate_certificates {
            return;
        }
        let CertificateFacts { not_before, not_after, .. } = kubelet.stored[role.word()].certificate;
        let share = self.dice.between(WINDOW.0, WINDOW.1);
        let lifetime = not_after.duration_since(not_before).as_secs_f64();
        let due = not_before + SignedDuration::from_secs_f64(lifetime * share);
        self.soon(node, due.duration_since(self.now).max(SignedDuration::ZERO), Act::Ask(role));
    }

    // --- work ----------------------------------------------------------------------------------------------------

    /// With another client certificate it closes all connections of the old one, and opens new ones (catalogue T-03).
    fn polls(&mut self, node: &str) {
        let kubelet = &self.kubelets[node];
        let own = kubelet.own(self.now);
        let is_first = kubelet.credential == Credential::None;
        if own != kubelet.credential {
            self.logs(
                node,
                "Certificate rotation detected, shutting down client connections to start using new credentials",
            );
            self.kubelets.get_mut(node).unwrap().credential = own;
            self.closes_work(node, ClosedBy::Kubelet);
            self.connects_for_work(node);
            if is_first {
                let begin = self.dice.millis(10..300);
                self.soon(node, begin, Act::Work);
                if self.kubelets[node].facts.server_tls_bootstrap {
                    self.starts_serving(node);
                }
            }
        }
        let waits_for_first = self.kubelets[node].credential == Credential::None && self.kubelet.minor >= 27;
        self.soon(node, if waits_for_first { SignedDuration::from_secs(1) } else { POLL }, Act::Poll);
    }

    /// All its work goes over one connection, with the certificate that it had when it opened it.
    fn connects_for_work(&mut self, node: &str) -> Option<Credential> {
        if let Some(open) = &self.kubelets[node].work {
            return Some(open.credential.clone());
        }
        let id = self.opens(node)?;
        let kubelet = self.kubelets.get_mut(node).unwrap();
        let credential = kubelet.credential.clone();
        kubelet.work = Some(Connection { id, credential: credential.clone(), used: self.now });
        for kind in WATCHED {
            let name = if kind.resource == NODES.resource { node } else { "" };
            self.request(node, &credential, &Call { verb: "watch", kind, subresource: "", namespace: "", name });
        }
        Some(credential)
    }

    fn works(&mut self, node: &str) {
        let Some(credential) = self.connects_for_work(node) else {
            let again = self.dice.millis(800..3000);
            return self.soon(node, again, Act::Work);
        };
        if !self.kubelets[node].is_registered && credential != Credential::None {
            self.kubelets.get_mut(node).unwrap().is_registered = true;
            let create = Call { verb: "create", kind: NODES, subresource: "", namespace: "", name: node };
            self.request(node, &credential, &create);
            self.tells_node(node, Change::Added, "False");
            self.tells_node(node, Change::Modified, "True");
        }
        let status = Call { verb: "patch", kind: NODES, subresource: "status", namespace: "", name: node };
        self.request(node, &credential, &status);
        let lease = Call { verb: "update", kind: LEASES, subresource: "", namespace: "kube-node-lease", name: node };
        self.request(node, &credential, &lease);
        let next = WORK + self.dice.millis(0..400);
        // Without an identity it goes on until its transport has one: the work then begins again.
        if credential != Credential::None || self.kubelets[node].credential == Credential::None {
            self.soon(node, next, Act::Work);
        }
    }

    // --- connections ---------------------------------------------------------------------------------------------

    /// A new connection; none if the API server cannot be reached.
    fn opens(&mut self, node: &str) -> Option<u64> {
        let kubelet = self.kubelets.get_mut(node).unwrap();
        kubelet.connections += 1;
        let id = kubelet.connections;
        let is_reachable = self.control_plane.is_reachable_from(node);
        let state = if is_reachable { ConnectionState::Opened } else { ConnectionState::Refused };
        self.tells_connection(node, id, state);
        is_reachable.then_some(id)
    }

    fn drops(&mut self, node: &str, id: u64) {
        let open = &mut self.kubelets.get_mut(node).unwrap().for_csrs;
        let Some(place) = open.iter().position(|open| open.id == id) else { return };
        let left = (open[place].used + IDLE).duration_since(self.now);
        if left > SignedDuration::ZERO {
            return self.soon(node, left, Act::Drop(id));
        }
        open.remove(place);
        self.tells_connection(node, id, ConnectionState::Closed { by: ClosedBy::Kubelet });
    }

    fn closes_for_csrs(&mut self, node: &str, by: ClosedBy) {
        for open in std::mem::take(&mut self.kubelets.get_mut(node).unwrap().for_csrs) {
            self.tells_connection(node, open.id, ConnectionState::Closed { by });
        }
    }

    fn closes_work(&mut self, node: &str, by: ClosedBy) {
        if let Some(open) = self.kubelets.get_mut(node).unwrap().work.take() {
            self.tells_connection(node, open.id, ConnectionState::Closed { by });
        }
    }

    /// All connections of a node end.
    pub(crate) fn closes_all(&mut self, node: &str, by: ClosedBy) {
        self.closes_for_csrs(node, by);
        self.closes_work(node, by);
    }

    /// Its process has ended: what it knew is lost, what is on disk stays.
    pub(crate) fn forgets(&mut self, node: &str) {
        let kubelet = self.kubelets.get_mut(node).unwrap();
        kubelet.pid = None;
        kubelet.is_listening = false;
        kubelet.waiting.clear();
        kubelet.failures.clear();
        let look = self.dice.millis(5..300);
        self.after(look, Deed::Probe(node.to_owned()));
    }

    // --- what recorders see --------------------------------------------------------------------------------------

    fn soon(&mut self, node: &str, duration: SignedDuration, act: Act) {
        if let Some(pid) = self.kubelets[node].pid {
            self.after(duration, Deed::Kubelet { node: node.to_owned(), pid, act });
        }
    }

    fn makes_self_signed_pair(&mut self, node: &str) {
        let pair = self_signed(node, self.now);
        self.kubelets.get_mut(node).unwrap().self_signed.clone_from(&pair);
        let blocks = pair.into_iter().map(block).collect();
        let certificate = file_facts("0644", blocks);
        let key =
            PemBlock { label: "RSA PRIVATE KEY".into(), private_key: Some(Key::new().facts), ..PemBlock::default() };
        let key = file_facts("0600", vec![key]);
        for (name, facts) in [("kubelet.crt", certificate), ("kubelet.key", key)] {
            self.writes_file(node, name, FileOp::Created, None, Some(facts.clone()));
            self.writes_file(node, name, FileOp::Modified, None, Some(facts));
        }
    }

    /// What its port presents now, if that is another thing than before.
    pub(crate) fn probe(&mut self, node: &str) {
        let kubelet = &self.kubelets[node];
        let serving = kubelet.valid(Role::Serving, self.now);
        let (chain, refused) = match serving {
            _ if !kubelet.is_listening => (Vec::new(), Some("no handshake: connection refused")),
            Some(serving) if kubelet.facts.server_tls_bootstrap => (vec![serving.clone()], None),
            _ if kubelet.facts.server_tls_bootstrap => (Vec::new(), Some("tls alert: internal error")),
            _ => (kubelet.self_signed.clone(), None),
        };
        let presented =
            Presented { node: node.to_owned(), chain, refused: refused.map(str::to_owned), client_cas: Vec::new() };
        if kubelet.presented.as_ref() != Some(&presented) {
            self.kubelets.get_mut(node).unwrap().presented = Some(presented.clone());
            self.record(Recorder::Presented, What::Presented(Box::new(presented)));
        }
    }

    fn writes_file(&mut self, node: &str, name: &str, op: FileOp, cookie: Option<u32>, facts: Option<FileFacts>) {
        let file = FileEvent { node: node.to_owned(), name: name.to_owned(), op, cookie, facts };
        self.record(Recorder::Files, What::File(Box::new(file)));
    }

    fn tells_connection(&mut self, node: &str, id: u64, state: ConnectionState) {
        self.record(Recorder::Link, What::Connection(ConnectionEvent { node: node.to_owned(), id, state }));
    }

    fn tells_node(&mut self, node: &str, change: Change, ready: &str) {
        let addresses = vec!["192.0.2.2".parse().unwrap()];
        let told = NodeEvent { change, node: node.to_owned(), ready: Some(ready.into()), addresses };
        self.record(Recorder::Node, What::Node(told));
    }

    fn tells_lifetime(&mut self, node: &str, role: Role, certificate: &CertificateFacts) {
        let metric = match role {
            Role::Client => "kubelet_certificate_manager_client_ttl_seconds",
            Role::Serving => "kubelet_certificate_manager_server_ttl_seconds",
        };
        let left = certificate.not_after.duration_since(self.now).as_secs();
        let values = [(metric.to_owned(), left.to_string())].into();
        self.record(
            Recorder::Metrics,
            What::Metrics(MetricsEvent { component: "kubelet".into(), node: Some(node.to_owned()), values }),
        );
    }

    fn logs(&mut self, node: &str, line: &str) {
        let line = format!("I{} 1 certificate_manager.go:1] \"{line}\"", self.now.strftime("%m%d %H:%M:%S%.6f"));
        self.record(
            Recorder::Log,
            What::Log(LogEvent { component: "kubelet".into(), node: Some(node.to_owned()), line }),
        );
    }
}

/// It points to the link (catalogue K-12).
fn kubeconfig_of(kubelet: &Kubelet) -> FileFacts {
    let link = format!("{}/kubelet-client-current.pem", kubelet.facts.cert_dir);
    let kubeconfig = KubeconfigFacts {
        context: Some("default-context".into()),
        user: Some("default-auth".into()),
        client_certificate: Some(link.clone()),
        client_key: Some(link),
        ..KubeconfigFacts::default()
    };
    FileFacts { kubeconfig: Some(kubeconfig), ..file_facts("0600", Vec::new()) }
}

fn facts_of_pair(pair: &Pair) -> FileFacts {
    let key = PemBlock { label: "EC PRIVATE KEY".into(), private_key: Some(pair.key.clone()), ..PemBlock::default() };
    file_facts("0600", vec![block(pair.certificate.clone()), key])
}

fn facts_of_link(pair: &Pair, cert_dir: &str) -> FileFacts {
    let target = Some(format!("{cert_dir}/{}", pair.file));
    FileFacts { kind: FileKind::Link, mode: "0777".into(), target, ..facts_of_pair(pair) }
}

fn empty() -> FileFacts {
    let nothing = PemBlock { error: Some("the file is empty".into()), ..PemBlock::default() };
    FileFacts { size: 0, ..file_facts("0600", vec![nothing]) }
}

pub(crate) fn file_facts(mode: &str, pem: Vec<PemBlock>) -> FileFacts {
    FileFacts { kind: FileKind::File, mode: mode.into(), uid: 0, size: 854, target: None, pem, kubeconfig: None }
}

fn block(certificate: CertificateFacts) -> PemBlock {
    PemBlock { label: "CERTIFICATE".into(), certificate: Some(certificate), ..PemBlock::default() }
}
