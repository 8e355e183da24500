//! Sending the corpus to a cluster, and observing the decisions. Everything that is created carries the run's id.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::SignedDuration;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::{Node, Service};
use kube::api::{Api, ListParams, PostParams};
use tokio::time::Instant;

use super::corpus::{By, Case, Neighbour, Payload, Subjects, corpus};
use super::decision::Decision;
use super::issued::foreign;
use super::judge::{Control, Fate, role_of};
use super::policy::{Policy, ServingNames};
use super::rule::NamesOf;
use crate::bootstrap::{NoCertificate, certificate, create, csr};
use crate::connection::{Bootstrap, Connection, Unreachable};
use crate::doctor::look::bootstrap_groups;
use crate::owned::{RunId, TokenError, create_token};
use tlsboot_core::check::Role;
use tlsboot_core::check::rules::Rules;
use tlsboot_core::history::event::{Answer, Change, CsrEvent, NODE_USER_PREFIX, NODES_GROUP};
use tlsboot_core::version::Version;
use tlsboot_core::x509::AltName;
use tlsboot_engine::cluster::client::Credentials;
use tlsboot_engine::cluster::shared::tokens::random_token;
use tlsboot_engine::cluster::{ClusterError, Credential};
use tlsboot_engine::observe::csr::csr_event;
use tlsboot_engine::pki::{Authority, RequestBuilder, Validity};
use tlsboot_engine::poll;
use tlsboot_engine::secret::Secret;

/// How long an approver may take for a good CSR; the built-in one takes milliseconds.
const CONTROL: Duration = Duration::from_secs(30);
/// How long the API server may take to accept a new token.
const KNOWN: Duration = Duration::from_secs(10);
/// How long nothing must have been decided, where the policy says nothing.
const SETTLE: Duration = Duration::from_secs(10);
/// CSRs at a time.
const AT_A_TIME: usize = 8;
/// The group of all that are authenticated.
const AUTHENTICATED: &str = "system:authenticated";
/// Longer than any run; a killed run's token does not outlive it by much.
const TOKEN_LIFE: SignedDuration = SignedDuration::from_mins(30);

/// What will be done.
pub struct Plan {
    /// The run's id.
    pub run: RunId,
    /// The control plane's version.
    pub version: Version,
    /// Whether an approver of serving CSRs is expected.
    pub serving: bool,
    cases: Vec<Case>,
    subjects: Subjects,
    /// In whose names the good bootstrap CSRs are sent.
    new_nodes: [String; 2],
    notes: Vec<String>,
    /// Of the token that is created.
    groups: Vec<String>,
    /// What bootstrap users authenticate with instead.
    given: Option<Bootstrap>,
    settle: Duration,
    patience: Duration,
}

/// Why the approver could not be tested.
#[derive(Debug, thiserror::Error)]
pub enum FireError {
    /// The cluster does not answer or refuses.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// A token could not be created.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A key or certificate could not be created.
    #[error(transparent)]
    Pki(#[from] tlsboot_core::x509::X509Error),
    /// A client could not be created.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The API server did not answer a request properly.
    #[error("the API server: {0}")]
    Answer(String),
}

impl Plan {
    /// Gets the cluster's version and bindings; nothing is created yet.
    ///
    /// # Errors
    /// If the cluster does not answer.
    pub async fn new(connection: &Connection, policy: &Policy, given: Option<Bootstrap>) -> Result<Self, Unreachable> {
        let version = connection.client().apiserver_version().await;
        let version = version.map_err(|error| connection.unreachable(&error))?;
        // A cluster that hides its version is treated as a new one.
        let version = Version::of_build(&version.git_version).unwrap_or(Version::known()[0]);
        let groups = match &policy.bootstrap_groups {
            _ if given.is_some() => Vec::new(),
            Some(groups) => groups.iter().map(|group| group.value.clone()).collect(),
            None => bootstrap_groups(connection).await?,
        };
        let run = RunId::new();
        let made_up = format!("tlsboot-{run}");
        let node = policy.node.as_ref().map_or(made_up.clone(), |node| node.value.clone());
        let rule = policy.rule();
        let mut notes = Vec::new();
        let subjects = subjects(connection, policy, node, format!("{made_up}-b")).await;
        let outside = rule.excludes(&subjects.neighbour.dns, &subjects.neighbour.ips);
        if !outside.is_empty() {
            notes.push(format!(
                "{} of the node {} are outside of the rule: that the approver refuses them does not show that it knows whose they are. Name another node in the policy: `neighbour: {{name: …, dns: […], ips: […]}}`",
                outside.join(", "),
                subjects.neighbour.name
            ));
        }
        if rule.names_of == Some(NamesOf::Request) {
            notes.push(
                "this approver looks at no name: a node that is taken over can pass for any server, as each hole shows"
                    .into(),
            );
        }
        let cases = corpus(&subjects, &rule, version).into_iter().map(|case| policy.apply(case));
        let cases = cases.filter(|case| given.is_none() || case.by != By::ExpiredToken).collect();
        let new_nodes = match &policy.new_nodes {
            Some(names) => names.clone().map(|name| name.value),
            None => [subjects.node.clone(), format!("{made_up}-c")],
        };
        let of = |said: Option<SignedDuration>, usual| said.map_or(usual, SignedDuration::unsigned_abs);
        Ok(Self {
            serving: rule.serving == Some(true),
            cases,
            subjects,
            new_nodes,
            notes,
            settle: of(policy.settle, SETTLE),
            patience: of(policy.patience, CONTROL),
            run,
            version,
            groups,
            given,
        })
    }

    /// What will be created, in words.
    pub fn creates(&self) -> String {
        let groups = match self.groups.as_slice() {
            [] => "none besides system:bootstrappers".to_owned(),
            groups => groups.join(", "),
        };
        let secrets = match self.given {
            Some(_) => {
                "no Secret, because of the bootstrap kubeconfig: the CSR with an expired token is left out".to_owned()
            }
            None => format!(
                "2 Secrets bootstrap-token-… in kube-system: one valid for {} minutes, with the extra groups {groups}; one that has expired",
                TOKEN_LIFE.as_mins()
            ),
        };
        format!(
            "all of it labelled {}, and removed at the end:\n  {secrets}\n  up to {} CertificateSigningRequests tlsboot-…: {} odd ones, most in the names of nodes that are not there, some in that of {}, and good ones for {} and {}",
            self.run.selector(),
            self.cases.len() + 5,
            self.cases.len(),
            self.subjects.neighbour.name,
            self.subjects.node,
            self.new_nodes.join(" and "),
        )
    }
}

/// Whom the CSRs are about: as the policy says, and else as the cluster does. What can't be read there is made up.
async fn subjects(connection: &Connection, policy: &Policy, node: String, other: String) -> Subjects {
    let nodes = Api::<Node>::all(connection.client()).list(&ListParams::default()).await;
    let nodes: Vec<(String, ServingNames)> =
        nodes.map(|list| list.items.iter().map(names_of).collect()).unwrap_or_default();
    let mut own = policy.serving.clone();
    if own.dns.is_empty() && own.ips.is_empty() {
        let found = nodes.iter().find(|(name, _)| *name == node);
        own = found.map(|(_, names)| names.clone()).unwrap_or_default();
    }
    if own.dns.is_empty() && own.ips.is_empty() {
        // Of the documentation's, RFC 5737: no host has it.
        own.ips.push([192, 0, 2, 7].into());
    }
    let known = nodes.into_iter().find(|(name, names)| *name != node && !names.ips.is_empty());
    let neighbour = match (&policy.neighbour, known) {
        (Some(said), _) => Neighbour { name: said.name.value.clone(), dns: said.dns.clone(), ips: said.ips.clone() },
        (None, Some((name, ServingNames { dns, ips }))) => Neighbour { name, dns, ips },
        (None, None) => Neighbour::beside(&node, &own.ips),
    };
    let services = Api::<Service>::namespaced(connection.client(), "default");
    let service = services.get("kubernetes").await.ok().and_then(|service| service.spec?.cluster_ip?.parse().ok());
    let service = service.unwrap_or([10, 96, 0, 1].into());
    Subjects { node, other, dns: own.dns, ips: own.ips, neighbour, service }
}

/// A Node's name, and what its addresses are.
fn names_of(node: &Node) -> (String, ServingNames) {
    let mut names = ServingNames::default();
    let status = node.status.clone().unwrap_or_default();
    for address in status.addresses.unwrap_or_default() {
        match address.address.parse() {
            Ok(ip) if !names.ips.contains(&ip) => names.ips.push(ip),
            Err(_) if !names.dns.contains(&address.address) => names.dns.push(address.address),
            _ => {}
        }
    }
    (node.metadata.name.clone().unwrap_or_default(), names)
}

/// Everything that was seen.
pub struct Fired {
    /// The result of each case.
    pub fates: Vec<(Case, Fate)>,
    /// The results of those that must be approved.
    pub controls: Vec<Control>,
    /// What else is to be known.
    pub notes: Vec<String>,
}

/// Sends the CSRs. The caller removes everything of the run afterwards, however this ends.
///
/// # Errors
/// If something could not be tested at all.
pub async fn fire(connection: &Connection, plan: Plan) -> Result<Fired, FireError> {
    let (bootstrapper, expired) = match &plan.given {
        Some(given) => (given.client.clone(), None),
        None => {
            let past = SignedDuration::from_mins(-1);
            let valid = create_token(connection, &plan.run, &plan.groups, TOKEN_LIFE).await?;
            let expired = create_token(connection, &plan.run, &plan.groups, past).await?;
            let bootstrapper = connect(connection, &Credentials::Token(valid.value))?;
            (bootstrapper, Some(expired.value))
        }
    };
    let firing =
        Firing { connection, rules: Rules::new(plan.version, plan.version), plan: &plan, bootstrapper, expired };
    firing.all().await
}

struct Firing<'a> {
    connection: &'a Connection,
    plan: &'a Plan,
    rules: Rules,
    bootstrapper: kube::Client,
    expired: Option<Secret<String>>,
}

impl Firing<'_> {
    async fn all(&self) -> Result<Fired, FireError> {
        let mut controls = Vec::new();
        let mut notes = self.plan.notes.clone();
        let [first, after] = &self.plan.new_nodes;
        let request = RequestBuilder::node(first);
        let got = self.control("good.bootstrap", &self.bootstrapper, Role::Client, request, &mut controls).await?;
        let node = match got {
            Some(credential) if *first == self.plan.subjects.node => {
                Some(connect(self.connection, &Credentials::Certificate(credential))?)
            }
            _ => self.impersonated(&mut notes).await?,
        };
        if let Some(node) = node.as_ref().filter(|_| self.plan.serving) {
            self.control("good.serving", node, Role::Serving, self.rightful(), &mut controls).await?;
        }
        let clients = self.clients(node.as_ref())?;
        let sent = stream::iter(self.plan.cases.clone())
            .map(|case| self.send(case, &clients))
            .buffered(AT_A_TIME)
            .try_collect::<Vec<_>>()
            .await?;
        // Sent last: where they are approved, their approver has had the others before. What it never approved would be
        // waited for in vain.
        let is_alive = |role, controls: &[Control]| {
            controls.iter().any(|control| control.role == role && control.failure.is_none())
        };
        if let Some(node) = &node {
            if is_alive(Role::Client, &controls) {
                let request = RequestBuilder::node(&self.plan.subjects.node);
                self.control("good.renewal", node, Role::Client, request, &mut controls).await?;
            }
            if is_alive(Role::Serving, &controls) {
                self.control("good.serving-after", node, Role::Serving, self.rightful(), &mut controls).await?;
            }
        }
        if is_alive(Role::Client, &controls) {
            let request = RequestBuilder::node(after);
            self.control("good.bootstrap-after", &self.bootstrapper, Role::Client, request, &mut controls).await?;
        }
        let fates = self.fates(sent, |case| is_alive(role_of(case), &controls)).await?;
        Ok(Fired { fates, controls, notes })
    }

    /// What the node may rightfully serve.
    fn rightful(&self) -> RequestBuilder {
        let Subjects { node, dns, ips, .. } = &self.plan.subjects;
        let names = dns.iter().cloned().map(AltName::Dns).chain(ips.iter().copied().map(AltName::Ip));
        RequestBuilder::node(node).alt_names(names.collect::<Vec<_>>())
    }

    /// The node by the kubeconfig's right to impersonate, where it gets no certificate by bootstrapping: an approver with an
    /// inventory gives none in the name of a node that is there. None if the right is not there.
    async fn impersonated(&self, notes: &mut Vec<String>) -> Result<Option<kube::Client>, FireError> {
        let user = format!("{NODE_USER_PREFIX}{}", self.plan.subjects.node);
        let client = self.impersonate(&user, &[NODES_GROUP, AUTHENTICATED])?;
        let (pem, _) = RequestBuilder::node(&self.plan.subjects.node).build()?;
        let usages = self.rules.usages(Role::Client);
        let object = csr(&self.plan.run, pem.into_bytes(), Role::Client.signer_name(), usages, None);
        let dry_run = PostParams { dry_run: true, ..Default::default() };
        let answer = create(&client, &object, &dry_run).await;
        let answer = answer.map_err(|error| self.connection.unreachable(&error))?;
        if answer.object.is_some() {
            return Ok(Some(client));
        }
        notes.push(format!(
            "what the node {} would send is left out: it got no certificate by bootstrapping, and to send it by impersonation is refused ({})",
            self.plan.subjects.node, answer.message
        ));
        Ok(None)
    }

    fn impersonate(&self, user: &str, groups: &[&str]) -> Result<kube::Client, FireError> {
        let client = self.connection.impersonating(user, groups);
        client.map_err(|error| self.connection.unreachable(&error).into())
    }

    /// Gets a certificate as a kubelet does; if there is none, that is a result.
    async fn control(
        &self,
        name: &'static str,
        client: &kube::Client,
        role: Role,
        request: RequestBuilder,
        controls: &mut Vec<Control>,
    ) -> Result<Option<Credential>, FireError> {
        let got = poll::until(Instant::now() + KNOWN, poll::SELDOM, async || {
            let got = certificate(client, role, request.clone(), self.rules, &self.plan.run, self.plan.patience).await;
            match got {
                Err(NoCertificate::Api(error)) => Err(FireError::from(self.connection.unreachable(&error))),
                // A token that was just created is not known everywhere yet.
                Err(NoCertificate::Refused(answer)) if answer.code == 401 => Ok(Err(NoCertificate::Refused(answer))),
                got => Ok(Ok(got)),
            }
        });
        let got = got.await?.unwrap_or_else(Err);
        let failure = got.as_ref().err().map(ToString::to_string);
        let approved_by = got.as_ref().ok().and_then(|(_, event)| approved_by(event));
        controls.push(Control { name, role, approved_by, failure });
        Ok(got.ok().map(|(credential, _)| credential))
    }

    /// A client for everyone who sends something.
    fn clients(&self, node: Option<&kube::Client>) -> Result<Vec<(By, kube::Client)>, FireError> {
        let foreign = Authority::new("tlsboot-foreign-ca", Validity::for_next(CONTROL))?;
        let user = format!("{NODE_USER_PREFIX}{}", self.plan.subjects.node);
        let foreign = foreign.issue_client(&user, &[NODES_GROUP], Validity::for_next(CONTROL))?;
        let unknown = random_token(&[], TOKEN_LIFE);
        let mut clients = vec![(By::Bootstrap, self.bootstrapper.clone())];
        let mut add = |by, credentials: Credentials| {
            clients.push((by, connect(self.connection, &credentials)?));
            Ok::<(), FireError>(())
        };
        if let Some(expired) = &self.expired {
            add(By::ExpiredToken, Credentials::Token(expired.clone()))?;
        }
        add(By::UnknownToken, Credentials::Token(unknown.value))?;
        add(By::Anonymous, Credentials::None)?;
        add(
            By::ForeignCertificate,
            Credentials::Certificate(Credential { certificate: foreign.certificate_pem, key: foreign.key_pem }),
        )?;
        if let Some(node) = node {
            clients.push((By::Node, node.clone()));
        }
        // As bootstrappers they may ask; whether their name alone gets them anything is the approver's to say.
        let groups: Vec<&str> = self.plan.groups.iter().map(String::as_str).collect();
        let groups = [&groups[..], &["system:bootstrappers", AUTHENTICATED]].concat();
        clients.push((By::NodeWithoutGroup, self.impersonate(&user, &groups)?));
        clients.push((By::NamelessNode, self.impersonate(NODE_USER_PREFIX, &groups)?));
        Ok(clients)
    }

    /// Sends one. A case is left out if its sender has no certificate and so does not exist.
    async fn send(&self, case: Case, clients: &[(By, kube::Client)]) -> Result<Option<(Case, Answer)>, FireError> {
        let Some((_, client)) = clients.iter().find(|(by, _)| *by == case.by) else {
            return Ok(None);
        };
        let request = match &case.payload {
            Payload::Built(request) => request.clone().build()?.0,
            Payload::Fixed(text) => (*text).to_owned(),
        };
        let object =
            csr(&self.plan.run, request.into_bytes(), case.signer, case.usages.clone(), case.expiration_seconds);
        let answer = create(client, &object, &PostParams::default()).await;
        let answer = answer.map_err(|error| self.connection.unreachable(&error))?;
        // Who may not impersonate can't try what is sent in another's name.
        if answer.code == 403 && answer.message.contains("cannot impersonate") {
            return Ok(None);
        }
        if answer.object.is_none() && ![400, 401, 403, 422].contains(&answer.code) {
            return Err(FireError::Answer(format!(
                "{} was answered with {} {}: no decision about it",
                case.id, answer.code, answer.message
            )));
        }
        Ok(Some((case, answer)))
    }

    /// What became of each. It is looked at until what should be approved is, and nothing more was decided for a while: for
    /// as long as the policy says, and for longer than the slowest decision took.
    async fn fates(
        &self,
        sent: Vec<Option<(Case, Answer)>>,
        is_alive: impl Fn(&Case) -> bool,
    ) -> Result<Vec<(Case, Fate)>, FireError> {
        let begin = Instant::now();
        let deadline = begin + self.plan.patience;
        let mut settled = begin + self.plan.settle;
        let mut decided = 0;
        let api = Api::<CertificateSigningRequest>::all(self.connection.client());
        let mine = ListParams::default().labels(&self.plan.run.selector());
        let sent: Vec<(Case, Answer)> = sent.into_iter().flatten().collect();
        loop {
            let list = api.list(&mine).await;
            let list = list.map_err(|error| self.connection.unreachable(&error))?;
            let seen: BTreeMap<String, CsrEvent> = list
                .items
                .iter()
                .map(|csr| csr_event(csr, Change::Added))
                .map(|event| (event.name.clone(), event))
                .collect();
            let fates: Vec<(Case, Fate)> =
                sent.iter().map(|(case, answer)| (case.clone(), self.fate(case, answer, &seen))).collect();
            let is_decided = |fate: &Fate| fate.decision != Decision::Pending;
            let now = Instant::now();
            // What is approved is signed later, and what counts is what is issued.
            let issued = seen.values().filter(|event| !event.certificates.is_empty()).count();
            let count = issued + fates.iter().filter(|(_, fate)| is_decided(fate)).count();
            if count != decided {
                decided = count;
                settled = now + self.plan.settle.max((now - begin) * 2);
            }
            let waits =
                fates.iter().any(|(case, fate)| is_alive(case) && case.expected.is_decided() && !is_decided(fate));
            if now >= settled && (!waits || now >= deadline) {
                return Ok(fates);
            }
            tokio::time::sleep(poll::SELDOM).await;
        }
    }

    /// What was decided about a CSR, by the answer to its creation and what it is now.
    fn fate(&self, case: &Case, answer: &Answer, seen: &BTreeMap<String, CsrEvent>) -> Fate {
        let fate = fate(answer, seen);
        let leaf = answer.object.as_ref().and_then(|name| seen.get(name)?.certificates.first());
        let foreign = leaf.map(|leaf| foreign(case, &self.plan.subjects, leaf)).unwrap_or_default();
        Fate { foreign, ..fate }
    }
}

/// What was decided about a CSR, but for what was issued.
fn fate(answer: &Answer, seen: &BTreeMap<String, CsrEvent>) -> Fate {
    let plain = |decision, detail: String| Fate { decision, detail, approved_by: None, foreign: Vec::new() };
    let Some(name) = &answer.object else {
        return plain(Decision::Refused, format!("{}: {}", answer.code, answer.message));
    };
    let Some(event) = seen.get(name) else {
        return plain(Decision::Deny, format!("{name} was deleted by someone else"));
    };
    let condition = event.conditions.iter().find(|condition| condition.kind != "Failed");
    let failed = event.conditions.iter().find(|condition| condition.kind == "Failed");
    let Some(condition) = condition else {
        return plain(Decision::Pending, String::new());
    };
    let decision = match condition.kind.as_str() {
        "Denied" => Decision::Deny,
        _ => Decision::Approve,
    };
    let mut detail = format!("{}: {}", condition.reason, condition.message);
    match failed {
        Some(failed) => detail.push_str(&format!("; the signer refused it: {}", failed.message)),
        None if decision == Decision::Approve && event.certificates.is_empty() => {
            detail.push_str("; no certificate was issued");
        }
        None => {}
    }
    Fate { approved_by: approved_by(event), ..plain(decision, detail) }
}

/// The reason of the approval, which is all that tells approvers apart.
fn approved_by(event: &CsrEvent) -> Option<String> {
    let approved = event.conditions.iter().find(|condition| condition.kind == "Approved");
    approved.map(|condition| condition.reason.clone())
}

fn connect(connection: &Connection, credentials: &Credentials) -> Result<kube::Client, FireError> {
    let client = connection.with(credentials);
    client.map_err(|error| connection.unreachable(&error).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_from_what_waits() {
        let refused = Answer { code: 403, reason: "Forbidden".into(), message: "no".into(), object: None };
        let fate_of = fate(&refused, &BTreeMap::new());
        assert_eq!((fate_of.decision, fate_of.detail.as_str()), (Decision::Refused, "403: no"));
        let taken = Answer { code: 201, reason: String::new(), message: String::new(), object: Some("csr-x".into()) };
        assert_eq!(fate(&taken, &BTreeMap::new()).decision, Decision::Deny);
    }
}
