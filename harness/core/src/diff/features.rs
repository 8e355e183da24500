//! A history as facts that can be compared: what was requested, issued, written, presented and logged, without what
//! differs in every run; and how long things took.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use super::normal::{Names, addresses, csr_name, file_name, list, path};
use crate::check::Role;
use crate::history::event::{
    ClosedBy, ConnectionState, CsrEvent, FileEvent, FileOp, Phase, ProcessState, ReachEvent, RequestEvent, StepEvent,
    Via,
};
use crate::history::facts::{CertificateFacts, KeyFacts};
use crate::history::{Event, What};

/// What a fact is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Aspect {
    /// Answers to what a scenario sends.
    Answers,
    /// Requests about CertificateSigningRequests.
    CsrRequests,
    /// CertificateSigningRequests.
    Csrs,
    /// Certificates.
    Certificates,
    /// Files and links.
    Files,
    /// What is presented on kubelets' ports, and connections.
    Connections,
    /// Processes that exit on their own.
    Processes,
    /// Metrics.
    Metrics,
    /// Requests about other things.
    OtherRequests,
    /// Messages in logs.
    Logs,
}

impl Aspect {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Answers => "Answers to what scenarios send",
            Self::CsrRequests => "Requests about CSRs",
            Self::Csrs => "CSRs",
            Self::Certificates => "Certificates",
            Self::Files => "Files and links",
            Self::Connections => "Handshakes and connections",
            Self::Processes => "Processes",
            Self::Metrics => "Metrics",
            Self::OtherRequests => "Other requests",
            Self::Logs => "Log messages",
        }
    }
}

/// Subject and field of a fact.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// What it is about.
    pub aspect: Aspect,
    /// The subject: `client CSR of the node`.
    pub subject: String,
    /// The field: `usages`.
    pub field: &'static str,
}

/// How long something took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Interval {
    /// From the kubelet's start to its first client CSR, in seconds.
    StartToCsr,
    /// From a CSR to its approval by the controller, in seconds.
    CsrToApproval,
    /// From the approval to the certificate, in seconds.
    ApprovalToCertificate,
    /// From the certificate to the link that points to it, in seconds.
    CertificateToLink,
    /// From a renewed client certificate's link to the closing of an old connection, in seconds.
    LinkToClose,
    /// From the serving certificate to its first handshake, in seconds.
    CertificateToHandshake,
    /// When a renewal is requested, as a share of the old certificate's lifetime.
    Renewal,
}

impl Interval {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::StartToCsr => "kubelet start to first CSR",
            Self::CsrToApproval => "CSR to approval",
            Self::ApprovalToCertificate => "approval to certificate",
            Self::CertificateToLink => "certificate to link",
            Self::LinkToClose => "new link to closing of an old connection",
            Self::CertificateToHandshake => "serving certificate to handshake",
            Self::Renewal => "renewal, as a share of the lifetime",
        }
    }

    /// How much a difference must exceed to count as more than noise around a value.
    pub(super) fn noise(self, near: f64) -> f64 {
        match self {
            // the window is that wide by design (catalogue T-01)
            Self::Renewal => 0.2,
            // the kubelet checks every ten seconds (catalogue T-03)
            Self::LinkToClose => 10.0,
            // machines under load differ by that much: on one of them the same kubelet took 0.5 s, then 1.7 s
            _ => (near / 2.0).max(2.0),
        }
    }
}

/// What can be compared of a history. The order of its events does not matter, only when they happened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    pub(super) facts: BTreeMap<Key, BTreeSet<String>>,
    pub(super) samples: BTreeMap<Interval, Vec<f64>>,
}

impl Features {
    /// Extracts them from a history.
    pub fn of(events: &[Event]) -> Self {
        let mut sorted: Vec<&Event> = events.iter().collect();
        // events at the same moment are ordered by content, not by which was recorded first
        sorted.sort_by_cached_key(|event| {
            let what = serde_json::to_string(&event.what).unwrap_or_default();
            (event.at, what)
        });
        let mut reader = Reader::default();
        sorted.iter().for_each(|event| reader.names_in(&event.what));
        sorted.iter().for_each(|event| reader.read(event));
        let mut features = reader.features;
        for samples in features.samples.values_mut() {
            samples.sort_by(f64::total_cmp);
        }
        features
    }
}

/// Reads events in order of time.
#[derive(Default)]
struct Reader {
    names: Names,
    features: Features,
    /// `--cluster-signing-duration` now, in seconds.
    signing: Option<i64>,
    /// Certificates that CSRs led to, by their digests.
    issued: BTreeMap<String, Issued>,
    csrs: BTreeMap<String, Progress>,
    /// When each node's kubelet last started, until it requests something.
    starting: BTreeMap<String, Timestamp>,
    /// The client certificate that each node holds.
    held: BTreeMap<String, (Timestamp, Timestamp)>,
    /// When a node's renewed client certificate was linked, until an old connection is closed.
    relinked: BTreeMap<String, Timestamp>,
    links: BTreeMap<String, u32>,
}

/// A certificate by its digest.
struct Issued {
    at: Timestamp,
    role: Option<Role>,
    linked: bool,
    presented: bool,
}

/// How far a CSR has come.
#[derive(Default)]
struct Progress {
    seen: Option<Timestamp>,
    approved: Option<Timestamp>,
    issued: bool,
}

impl Reader {
    fn names_in(&mut self, what: &What) {
        match what {
            What::Kubelet(facts) => self.names.add(&facts.node),
            What::Node(node) => self.names.add(&node.node),
            What::File(file) => self.names.add(&file.node),
            What::Csr(csr) => {
                if let Some(node) = csr.node() {
                    self.names.add(node);
                }
            }
            _ => {}
        }
    }

    fn read(&mut self, event: &Event) {
        let at = event.at;
        match &event.what {
            What::Signing(signing) => self.signing = Some(signing.duration_seconds),
            What::Csr(csr) => self.csr(csr, at),
            What::Request(request) => self.request(request),
            What::File(file) => self.file(file, at),
            What::Presented(presented) => {
                // whether a connection fails while the kubelet starts is chance; TLS alerts are not
                let refused = presented.refused.as_deref();
                if let Some(why) = refused.filter(|why| !why.starts_with("no handshake")) {
                    let why = self.names.words(why);
                    self.fact(Aspect::Connections, "handshake", "refused with", why);
                }
                if let Some(leaf) = presented.chain.first() {
                    self.presented(leaf, presented.chain.len(), at);
                }
            }
            What::Process(process) => match &process.state {
                ProcessState::Started => {
                    if let Some(node) = &process.node {
                        self.starting.insert(node.clone(), at);
                    }
                }
                ProcessState::Exited { asked: true, .. } => {}
                ProcessState::Exited { code, signal, .. } => {
                    let how = match (code, signal) {
                        (Some(code), _) => format!("code {code}"),
                        (None, Some(signal)) => format!("signal {signal}"),
                        (None, None) => "no code".into(),
                    };
                    self.fact(Aspect::Processes, &process.component, "exits on its own with", how);
                }
            },
            What::Connection(connection) => {
                if let ConnectionState::Closed { by } = connection.state
                    && by == ClosedBy::Kubelet
                    && let Some(linked) = self.relinked.remove(&connection.node)
                {
                    self.sample(Interval::LinkToClose, linked, at);
                }
            }
            What::Reach(reach) => self.reach(reach),
            What::Metrics(metrics) => {
                for name in metrics.values.keys() {
                    let name = name.split('{').next().unwrap_or(name).to_owned();
                    self.fact(Aspect::Metrics, &metrics.component, "exposes", name);
                }
            }
            What::Log(log) => {
                // the API server's lines are about its startup; what it answers is in the audit log
                let of_interest = ["kubelet", "kube-controller-manager"];
                if of_interest.contains(&log.component.as_str())
                    && let Some(message) = self.names.message(&log.line)
                {
                    self.fact(Aspect::Logs, &log.component, "says", message);
                }
            }
            What::Step(StepEvent { stimulus, name, phase: Phase::Done { answer: Some(answer), .. }, .. }) => {
                let subject = format!("{stimulus} {}", name.as_deref().unwrap_or_default());
                let reason = format!("{} {}", answer.code, answer.reason);
                let value = format!("{}: {}", reason.trim_end(), self.names.words(&answer.message));
                let value = value.trim_end_matches([':', ' ']).to_owned();
                self.fact(Aspect::Answers, subject.trim_end(), "is answered with", value);
            }
            What::Begin(_)
            | What::Step(_)
            | What::Deadline(_)
            | What::Ended(_)
            | What::Load(_)
            | What::Looked(_)
            | What::Recorder(_)
            | What::Inbound(_)
            | What::Kubelet(_)
            | What::Node(_) => {}
        }
    }

    fn fact(&mut self, aspect: Aspect, subject: &str, field: &'static str, value: String) {
        let key = Key { aspect, subject: subject.to_owned(), field };
        self.features.facts.entry(key).or_default().insert(value);
    }

    fn sample(&mut self, interval: Interval, from: Timestamp, to: Timestamp) {
        let seconds = to.duration_since(from).as_secs_f64();
        self.features.samples.entry(interval).or_default().push(seconds.max(0.0));
    }

    /// What requests to a kubelet come to. How many there are, and how many fail during a rotation, is chance.
    fn reach(&mut self, reach: &ReachEvent) {
        let subject = match reach.via {
            Via::ApiServer => "a kubelet's port, through the API server",
            Via::Port => "a kubelet's port",
        };
        let code = reach.code.map_or("no answer".to_owned(), |code| code.to_string());
        let value = format!("/{} {code} {}: {}", reach.path, reach.reason, self.names.words(&reach.message));
        self.fact(Aspect::Answers, subject, "is answered with", value.trim_end_matches([':', ' ']).to_owned());
    }

    fn request(&mut self, request: &RequestEvent) {
        // tlsboot's own requests come from the harness, not from the cluster
        if request.user_agent.starts_with("tlsboot/") {
            return;
        }
        let about_csrs = request.group == "certificates.k8s.io";
        let aspect = if about_csrs { Aspect::CsrRequests } else { Aspect::OtherRequests };
        let what = match (request.resource.as_str(), request.subresource.as_str()) {
            ("", _) => self.names.text(&request.path),
            (resource, "") => resource.to_owned(),
            (resource, sub) => format!("{resource}/{sub}"),
        };
        let user = self.names.user(request.user.as_deref());
        let value = format!("{} {what} → {}", request.verb, request.code);
        self.fact(aspect, &user, "sends", value);
    }

    fn csr(&mut self, csr: &CsrEvent, at: Timestamp) {
        let role = [Role::Client, Role::Serving].into_iter().find(|role| role.signer_name() == csr.signer_name);
        let kind = match role {
            Some(Role::Client) => "client CSR".to_owned(),
            Some(Role::Serving) => "serving CSR".to_owned(),
            None => format!("CSR for {}", csr.signer_name),
        };
        let subject = format!("{kind} of {}", self.names.user(Some(&csr.username)));
        let request = &csr.request;
        let fields: [(&'static str, String); 13] = [
            ("name", csr_name(&csr.name)),
            ("groups", list(&csr.groups)),
            ("extra keys", list(csr.extra.keys())),
            ("usages", list(&csr.usages)),
            ("expirationSeconds", csr.expiration_seconds.map_or("none".into(), |seconds| seconds.to_string())),
            ("CN", self.names.common_name(request.subject.common_name.as_deref())),
            ("O", list(&request.subject.organizations)),
            ("DNS names", self.names_of(&request.dns)),
            ("IP addresses", addresses(&request.ips)),
            ("e-mails and URIs", list(request.emails.iter().chain(&request.uris))),
            ("key", key(&request.key)),
            ("requested extensions", list(&request.requested_extensions)),
            ("proves possession of its key", request.signature_valid.to_string()),
        ];
        for (field, value) in fields {
            self.fact(Aspect::Csrs, &subject, field, value);
        }
        for condition in &csr.conditions {
            let message = self.names.words(&condition.message);
            let value = format!("{} ({}: {message})", condition.kind, condition.reason);
            self.fact(Aspect::Csrs, &subject, "condition", value);
        }
        self.progress(csr, role, at);
    }

    /// How far a CSR has come, for timing, and its certificate once.
    fn progress(&mut self, csr: &CsrEvent, role: Option<Role>, at: Timestamp) {
        let node = csr.node().map(str::to_owned);
        let by_node = self.names.user(Some(&csr.username)) == "the node";
        let mut progress = self.csrs.remove(&csr.uid).unwrap_or_default();
        if progress.seen.is_none() {
            progress.seen = Some(at);
            if role == Some(Role::Client)
                && let Some(node) = &node
            {
                if let Some(started) = self.starting.remove(node) {
                    self.sample(Interval::StartToCsr, started, at);
                }
                if let Some((from, to)) = self.held.get(node).filter(|_| by_node) {
                    let life = to.duration_since(*from).as_secs_f64();
                    let share = at.duration_since(*from).as_secs_f64() / life.max(1.0);
                    self.features.samples.entry(Interval::Renewal).or_default().push(share);
                }
            }
        }
        let automatic =
            csr.conditions.iter().any(|condition| condition.kind == "Approved" && condition.reason == "AutoApproved");
        if automatic && progress.approved.is_none() {
            progress.approved = Some(at);
            if let Some(seen) = progress.seen {
                self.sample(Interval::CsrToApproval, seen, at);
            }
        }
        if let Some(leaf) = csr.certificates.first()
            && !progress.issued
        {
            progress.issued = true;
            if let Some(approved) = progress.approved {
                self.sample(Interval::ApprovalToCertificate, approved, at);
            }
            if role == Some(Role::Client)
                && let Some(node) = node
            {
                self.held.insert(node, (leaf.not_before, leaf.not_after));
            }
            self.issued.insert(leaf.sha256.clone(), Issued { at, role, linked: false, presented: false });
            let subject = match role {
                Some(Role::Client) => "client certificate".to_owned(),
                Some(Role::Serving) => "serving certificate".to_owned(),
                None => format!("certificate of {}", csr.signer_name),
            };
            self.certificate(&subject, leaf, csr.certificates.len());
            let asked = csr.expiration_seconds.map(i64::from);
            let granted = asked.into_iter().chain(self.signing).min();
            if let Some(granted) = granted {
                let life = leaf.not_after.duration_since(leaf.not_before).as_secs().saturating_sub(granted);
                // the time until a CA expires differs by a second from run to run
                let minutes = (life as f64 / 60.0).round();
                let whole = format!("the requested or configured duration {minutes:+} min");
                self.fact(Aspect::Certificates, &subject, "life", whole);
            }
        }
        self.csrs.insert(csr.uid.clone(), progress);
    }

    fn certificate(&mut self, subject: &str, leaf: &CertificateFacts, chain: usize) {
        let critical = |is: bool| if is { ", critical" } else { "" };
        let present = |id: &Option<String>| if id.is_some() { "present" } else { "absent" }.to_owned();
        let fields: [(&'static str, String); 15] = [
            ("CN", self.names.common_name(leaf.subject.common_name.as_deref())),
            ("O", list(&leaf.subject.organizations)),
            ("other attributes", list(&leaf.subject.other)),
            ("DNS names", self.names_of(&leaf.dns)),
            ("IP addresses", addresses(&leaf.ips)),
            ("e-mails and URIs", list(leaf.emails.iter().chain(&leaf.uris))),
            ("version", leaf.version.to_string()),
            ("key", key(&leaf.key)),
            ("key usage", list(&leaf.key_usage) + critical(leaf.key_usage_critical)),
            ("extended key usage", list(&leaf.ext_key_usage) + critical(leaf.ext_key_usage_critical)),
            (
                "basic constraints",
                match leaf.ca {
                    None => "absent".into(),
                    Some(ca) => format!("CA:{ca}{}", critical(leaf.basic_constraints_critical)),
                },
            ),
            ("subject key id", present(&leaf.subject_key_id)),
            ("authority key id", present(&leaf.authority_key_id)),
            ("signature", leaf.signature_algorithm.clone()),
            ("certificates in the chain", chain.to_string()),
        ];
        for (field, value) in fields {
            self.fact(Aspect::Certificates, subject, field, value);
        }
        if !leaf.other_extensions.is_empty() {
            let value = list(&leaf.other_extensions);
            self.fact(Aspect::Certificates, subject, "other extensions", value);
        }
    }

    fn presented(&mut self, leaf: &CertificateFacts, chain: usize, at: Timestamp) {
        let known = self.issued.get_mut(&leaf.sha256);
        let (shown, first) = match known {
            Some(issued) => {
                let first = !std::mem::replace(&mut issued.presented, true);
                ("an issued certificate", first.then_some(issued.at))
            }
            None => ("a certificate without a CSR", None),
        };
        if let Some(issued) = first {
            self.sample(Interval::CertificateToHandshake, issued, at);
        }
        self.fact(Aspect::Connections, "handshake", "shows", shown.into());
        if shown != "an issued certificate" {
            self.certificate("presented certificate without a CSR", leaf, chain);
        }
    }

    fn file(&mut self, file: &FileEvent, at: Timestamp) {
        let name = self.names.text(&file_name(&file.name));
        let Some(facts) = &file.facts else {
            return;
        };
        self.fact(Aspect::Files, &name, "is", facts.kind.word().to_owned());
        self.fact(Aspect::Files, &name, "mode", facts.mode.clone());
        if let Some(target) = &facts.target {
            self.fact(Aspect::Files, &name, "points to", path(target));
        }
        // a file that is being written is empty for a moment
        let labels: Vec<&str> = facts.pem.iter().map(|block| block.label.as_str()).collect();
        if !labels.is_empty() && labels.iter().all(|label| !label.is_empty()) {
            self.fact(Aspect::Files, &name, "blocks", list(labels));
        }
        if let Some(kubeconfig) = &facts.kubeconfig {
            let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".into());
            let reference = |value: &Option<String>| value.as_deref().map_or("none".into(), path);
            let fields = [
                ("context", text(&kubeconfig.context)),
                ("user", text(&kubeconfig.user)),
                ("client certificate", reference(&kubeconfig.client_certificate)),
                ("client key", reference(&kubeconfig.client_key)),
                ("embeds credentials", kubeconfig.embedded.to_string()),
            ];
            // a kubeconfig that is being written is empty for a moment
            if kubeconfig.error.is_none() && kubeconfig.context.is_some() {
                for (field, value) in fields {
                    self.fact(Aspect::Files, &name, field, value);
                }
            }
        }
        self.linked(file, at);
    }

    /// A link that was renamed into place.
    fn linked(&mut self, file: &FileEvent, at: Timestamp) {
        let is_current = file.name.ends_with("-current.pem") && file.op == FileOp::MovedTo;
        let leaf = file.facts.iter().flat_map(|facts| &facts.pem).find_map(|block| block.certificate.as_ref());
        let Some(leaf) = leaf.filter(|_| is_current) else {
            return;
        };
        let Some(issued) = self.issued.get_mut(&leaf.sha256) else {
            return;
        };
        let (since, client) = (issued.at, issued.role == Some(Role::Client));
        if !std::mem::replace(&mut issued.linked, true) {
            self.sample(Interval::CertificateToLink, since, at);
            if client {
                let links = self.links.entry(file.node.clone()).or_default();
                *links += 1;
                if *links > 1 {
                    self.relinked.insert(file.node.clone(), at);
                }
            }
        }
    }

    fn names_of(&self, names: &[String]) -> String {
        list(names.iter().map(|name| self.names.text(name)))
    }
}

fn key(key: &KeyFacts) -> String {
    format!("{} {}", key.algorithm, key.parameters).trim_end().to_owned()
}
