//! The control plane: who is asking, what may they do, which CSRs are approved, and what is signed.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use tlsboot_core::check::Role;
use tlsboot_core::check::rules::Rules;
use tlsboot_core::history::What;
use tlsboot_core::history::event::{
    CREDENTIAL_ID, Change, CsrCondition, CsrEvent, NODE_USER_PREFIX, NODES_GROUP, Recorder, RequestEvent, Signing,
};
use tlsboot_core::history::facts::{CertificateFacts, RequestFacts};
use tlsboot_core::scenario::{Binding, Cluster as Settings, SigningDuration};
use tlsboot_core::x509::node_subject;

use crate::authority::{Authority, Key};
use crate::cluster::{Cluster, Deed};
use crate::kubelet::{Act, Credential};

pub(crate) const CSRS: Kind = Kind { group: "certificates.k8s.io", resource: "certificatesigningrequests" };
const BOOTSTRAPPERS: &str = "system:bootstrappers";
const AUTHENTICATED: &str = "system:authenticated";

/// API server, controller-manager, and what they know.
pub(crate) struct ControlPlane {
    /// The API server's process, while it runs.
    pub(crate) server: Option<u32>,
    /// The controller-manager's process, while it runs.
    pub(crate) manager: Option<u32>,
    /// From when on the controller-manager sees what changes: it has to list and watch first.
    pub(crate) watches_from: Timestamp,
    pub(crate) csrs: Vec<Csr>,
    /// Nodes whose way to the API server is cut.
    pub(crate) cut: Vec<String>,
    authority: Authority,
    pub(crate) duration: SignedDuration,
    resource_version: u64,
}

/// A CSR as etcd has it.
pub(crate) struct Csr {
    pub(crate) now: CsrEvent,
    key: Key,
    pub(crate) role: Role,
    /// The kubelet that waits for it.
    node: String,
    issued: Option<Timestamp>,
}

impl Csr {
    fn has(&self, condition: &str) -> bool {
        self.now.conditions.iter().any(|known| known.kind == condition)
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.now.conditions.is_empty() && self.exists()
    }

    pub(crate) fn exists(&self) -> bool {
        self.now.change != Change::Deleted
    }
}

/// A kind of API objects.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) group: &'static str,
    pub(crate) resource: &'static str,
}

/// A request to the API server.
pub(crate) struct Call<'a> {
    pub(crate) verb: &'a str,
    pub(crate) kind: Kind,
    pub(crate) subresource: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
}

/// Whom the API server takes someone for.
#[derive(Clone, Default)]
struct User {
    name: String,
    uid: String,
    groups: Vec<String>,
    credential_id: Option<String>,
}

impl ControlPlane {
    pub(crate) fn new(settings: &Settings, rules: Rules, now: Timestamp) -> Self {
        Self {
            server: None,
            manager: None,
            watches_from: now,
            csrs: Vec::new(),
            cut: Vec::new(),
            authority: Authority::new("model-signer-ca", now),
            duration: length(settings.signing_duration, rules),
            resource_version: 200,
        }
    }

    /// What the signer does from now on.
    pub(crate) fn signing(&self) -> What {
        let signers =
            [Role::Client, Role::Serving].map(|role| (role.signer_name().to_owned(), self.authority.facts.der.clone()));
        What::Signing(Signing { duration_seconds: self.duration.as_secs(), signers: signers.into() })
    }

    pub(crate) fn is_reachable_from(&self, node: &str) -> bool {
        self.server.is_some() && !self.cut.iter().any(|cut| cut == node)
    }

    /// The controllers only see and change what is in a running API server.
    fn manager_works(&self, now: Timestamp) -> bool {
        self.server.is_some() && self.manager.is_some() && self.watches_from <= now
    }
}

pub(crate) fn length(duration: SigningDuration, rules: Rules) -> SignedDuration {
    match duration {
        SigningDuration::Quick => rules.quick(),
        SigningDuration::Length(length) => length,
    }
}

impl Cluster<'_> {
    /// A kubelet's request; the status code of the answer.
    pub(crate) fn request(&mut self, node: &str, credential: &Credential, call: &Call<'_>) -> u16 {
        let user = self.authenticate(node, credential);
        let code = user.as_ref().map_or(401, |user| self.authorize(user, call));
        self.audit(node, user, call, code);
        code
    }

    /// An expired certificate gives no identity at all, and is refused (catalogue A-12). No credential makes a request
    /// anonymous (catalogue A-03).
    fn authenticate(&self, node: &str, credential: &Credential) -> Option<User> {
        match credential {
            Credential::Token => Some(self.user_of_token(node)),
            Credential::None => Some(User {
                name: "system:anonymous".into(),
                groups: vec!["system:unauthenticated".into()],
                ..User::default()
            }),
            Credential::Certificate(certificate) => {
                let is_valid = (certificate.not_before..=certificate.not_after).contains(&self.now);
                is_valid.then(|| self.user_of_certificate(certificate))
            }
        }
    }

    fn user_of_token(&self, node: &str) -> User {
        let node = self.scenario.nodes.iter().find(|known| *known.name == *node).unwrap();
        let (name, uid) = match node.bootstrap.as_str() {
            "staticToken" => ("kubelet-bootstrap".to_owned(), "10001"),
            "bootstrapToken" => ("system:bootstrap:07401b".to_owned(), ""),
            other => panic!("the model knows no token `{other}`"),
        };
        User { name, uid: uid.into(), groups: vec![BOOTSTRAPPERS.into(), AUTHENTICATED.into()], credential_id: None }
    }

    /// CN is the user, O are the groups, and since 1.32 the fingerprint is recorded (catalogue C-07).
    fn user_of_certificate(&self, certificate: &CertificateFacts) -> User {
        let mut groups = certificate.subject.organizations.clone();
        groups.push(AUTHENTICATED.into());
        let credential_id = self.rules.credential_ids().then(|| format!("X509SHA256={}", certificate.sha256));
        User { name: certificate.subject.common_name.clone().unwrap(), uid: String::new(), groups, credential_id }
    }

    /// Nodes may do their work and ask for certificates. Who bootstraps may only do the latter, if bound to
    /// system:node-bootstrapper (catalogue ).
    fn authorize(&self, user: &User, call: &Call<'_>) -> u16 {
        let is_node = user.groups.iter().any(|group| group == NODES_GROUP);
        let may_ask = call.kind.resource == CSRS.resource
            && is_bound(&self.scenario.cluster.bindings.node_bootstrapper, &user.name, &user.groups);
        match call.verb {
            _ if !is_node && !may_ask => 403,
            "create" => 201,
            _ => 200,
        }
    }

    fn audit(&mut self, node: &str, user: Option<User>, call: &Call<'_>, code: u16) {
        let is_known = user.is_some();
        let User { name, groups, credential_id, .. } = user.unwrap_or_default();
        let Call { verb, kind, subresource, namespace, name: object } = *call;
        let api = if kind.group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{}/v1", kind.group) };
        let namespaces = if namespace.is_empty() { "" } else { "namespaces" };
        let parts = [api.as_str(), namespaces, namespace, kind.resource, object, subresource];
        let request = RequestEvent {
            audit_id: self.dice.uid(),
            node: Some(node.to_owned()),
            user: is_known.then_some(name),
            groups,
            credential_id,
            verb: verb.into(),
            path: parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"),
            group: kind.group.into(),
            resource: kind.resource.into(),
            subresource: subresource.into(),
            name: object.into(),
            namespace: namespace.into(),
            code,
            reason: if code == 401 { "Unauthorized".into() } else { String::new() },
            message: if code == 401 { "Unauthorized".into() } else { String::new() },
            user_agent: "kubelet/v0.0.0".into(),
        };
        self.record(Recorder::Audit, What::Request(Box::new(request)));
    }

    /// What a kubelet asks for (catalogue C-01 to C-10): its place is the number of the CSR. Who asks is filled in by
    /// the API server.
    pub(crate) fn create_csr(&mut self, node: &str, role: Role, name: String, credential: &Credential) -> usize {
        let user = self.authenticate(node, credential).unwrap_or_default();
        let key = Key::new();
        let (dns, ips) = match role {
            Role::Client => (Vec::new(), Vec::new()),
            Role::Serving => (vec![node.to_owned()], vec!["192.0.2.2".parse().unwrap()]),
        };
        let request = RequestFacts {
            subject: node_subject(node),
            requested_extensions: if dns.is_empty() { Vec::new() } else { vec!["2.5.29.17".into()] },
            dns,
            ips,
            emails: Vec::new(),
            uris: Vec::new(),
            key: key.facts.clone(),
            signature_valid: true,
        };
        let extra = user.credential_id.map(|id| (CREDENTIAL_ID.to_owned(), vec![id]));
        let now = CsrEvent {
            change: Change::Added,
            name,
            uid: self.dice.uid(),
            resource_version: String::new(),
            created: whole(self.now),
            labels: BTreeMap::new(),
            signer_name: role.signer_name().into(),
            username: user.name,
            user_uid: user.uid,
            groups: user.groups,
            extra: extra.into_iter().collect(),
            usages: self.rules.usages(role),
            expiration_seconds: None,
            request,
            conditions: Vec::new(),
            certificates: Vec::new(),
        };
        let csr = self.control_plane.csrs.len();
        self.control_plane.csrs.push(Csr { now, key, role, node: node.to_owned(), issued: None });
        self.changed(csr, Change::Added);
        csr
    }

    /// Who watches CSRs sees that one has changed: recorder, approver, signer and its kubelet.
    fn changed(&mut self, csr: usize, change: Change) {
        self.control_plane.resource_version += 1;
        let object = &mut self.control_plane.csrs[csr];
        object.now.change = change;
        object.now.resource_version = self.control_plane.resource_version.to_string();
        let (now, node, role) = (object.now.clone(), object.node.clone(), object.role);
        self.record(Recorder::Csr, What::Csr(Box::new(now)));
        let soon = self.dice.millis(2..40);
        self.after(soon, Deed::Review(csr));
        let soon = self.dice.millis(2..40);
        self.after(soon, Deed::Sign(csr));
        if let Some(pid) = self.kubelets.get(&node).and_then(|kubelet| kubelet.pid) {
            let soon = self.dice.millis(1..50);
            self.after(soon, Deed::Kubelet { node, pid, act: Act::Hear(role, csr) });
        }
    }

    /// The approver (`pkg/controller/certificates/approver`): a client certificate for a node is approved for who is
    /// bound to nodeclient, or for that node itself if nodes are bound to selfnodeclient. Serving certificates are
    /// not approved automatically, and need manual approval (catalogue R-03).
    pub(crate) fn review(&mut self, csr: usize) {
        let object = &self.control_plane.csrs[csr];
        if !object.is_pending() || object.role == Role::Serving || !self.runs("csrapproving") {
            return;
        }
        if !self.control_plane.manager_works(self.now) {
            // It lists what is there when it works again.
            return self.after(SignedDuration::from_millis(500), Deed::Review(csr));
        }
        let bindings = &self.scenario.cluster.bindings;
        let asks_for_itself = object.now.request.subject.common_name.as_ref() == Some(&object.now.username);
        let (binding, words) = match asks_for_itself {
            true => (&bindings.self_node_client, "self kubelet client certificate"),
            false => (&bindings.node_client, "kubelet client certificate"),
        };
        if is_bound(binding, &object.now.username, &object.now.groups) {
            let message = format!("Auto approving {words} after SubjectAccessReview.");
            self.decide(csr, "Approved", "AutoApproved", &message);
        }
    }

    /// A CSR is approved or denied, by whomever.
    pub(crate) fn decide(&mut self, csr: usize, kind: &str, reason: &str, message: &str) {
        let at = Some(whole(self.now));
        self.control_plane.csrs[csr].now.conditions.push(CsrCondition {
            kind: kind.into(),
            status: "True".into(),
            reason: reason.into(),
            message: message.into(),
            last_update_time: at,
            last_transition_time: at,
        });
        self.changed(csr, Change::Modified);
    }

    /// The signer (`pkg/controller/certificates/signer`): what is approved gets a certificate, once. It begins five
    /// minutes earlier, and ends by the rule of the version (catalogue S-05).
    pub(crate) fn sign(&mut self, csr: usize) {
        let object = &self.control_plane.csrs[csr];
        let is_due = object.exists() && object.has("Approved") && object.now.certificates.is_empty();
        if !is_due || !self.runs("csrsigning") {
            return;
        }
        if !self.control_plane.manager_works(self.now) {
            return self.after(SignedDuration::from_millis(500), Deed::Sign(csr));
        }
        let not_before = whole(self.now) - self.rules.backdate();
        let not_after = self.rules.not_after(not_before, self.control_plane.duration);
        let serial = self.dice.bytes();
        let certificate = self.control_plane.authority.sign(&object.now, &object.key, not_before, not_after, serial);
        let object = &mut self.control_plane.csrs[csr];
        object.now.certificates.push(certificate);
        object.issued = Some(self.now);
        self.changed(csr, Change::Modified);
    }

    /// The cleaner (`pkg/controller/certificates/cleaner`): once a minute, it removes what was issued or denied more
    /// than an hour ago, whose certificate has expired, and what has not been decided for a day.
    pub(crate) fn clean(&mut self) {
        const HOUR: SignedDuration = SignedDuration::from_hours(1);
        for csr in 0..self.control_plane.csrs.len() {
            let object = &self.control_plane.csrs[csr];
            let decided = object.now.conditions.first().and_then(|decision| decision.last_update_time);
            let age = |since: Timestamp| self.now.duration_since(since);
            let is_old = if object.is_pending() {
                age(object.now.created) > 24 * HOUR
            } else {
                let is_done = object.issued.is_some() || object.has("Denied");
                let has_expired = object.now.certificates.first().is_some_and(|issued| issued.not_after < self.now);
                has_expired || is_done && decided.is_some_and(|decided| age(decided) > HOUR)
            };
            if object.exists() && is_old && self.runs("csrcleaner") && self.control_plane.manager_works(self.now) {
                self.changed(csr, Change::Deleted);
            }
        }
        self.after(SignedDuration::from_mins(1), Deed::Clean);
    }

    fn runs(&self, controller: &str) -> bool {
        self.scenario.cluster.controllers.iter().any(|known| known == controller)
    }

    /// The certificate that a CSR has.
    pub(crate) fn certificate(&self, csr: usize) -> Option<&CertificateFacts> {
        self.control_plane.csrs[csr].now.certificates.first()
    }

    /// Whether waiting for a CSR is in vain: it was denied or deleted.
    pub(crate) fn is_refused(&self, csr: usize) -> bool {
        let csr = &self.control_plane.csrs[csr];
        csr.has("Denied") || !csr.exists()
    }

    /// Deletes a CSR.
    pub(crate) fn delete_csr(&mut self, csr: usize) {
        self.changed(csr, Change::Deleted);
    }

    /// The newest CSR of a node that is in a state.
    pub(crate) fn newest_csr(&self, node: &str, role: Option<Role>, fits: impl Fn(&Csr) -> bool) -> Option<usize> {
        let user = format!("{NODE_USER_PREFIX}{node}");
        self.control_plane.csrs.iter().rposition(|csr| {
            let is_role = role.is_none_or(|role| csr.role == role);
            csr.now.request.subject.common_name.as_ref() == Some(&user) && is_role && fits(csr)
        })
    }
}

fn is_bound(binding: &Binding, user: &str, groups: &[String]) -> bool {
    match binding {
        Binding::Absent => false,
        Binding::User(bound) => bound == user,
        Binding::Group(bound) => groups.contains(bound),
    }
}

/// Certificates and API objects have whole seconds.
fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap()
}
