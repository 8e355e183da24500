//! Sending the corpus to a cluster, and observing the decisions. Everything that is created carries the run's id.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::SignedDuration;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::{Api, ListParams, PostParams};
use tokio::time::Instant;

use super::corpus::{By, Case, Payload, Subjects, corpus};
use super::decision::Decision;
use super::judge::{Control, Fate};
use super::policy::Policy;
use crate::bootstrap::{NoCertificate, client_certificate, create, csr};
use crate::connection::{Bootstrap, Connection, Unreachable};
use crate::doctor::look::bootstrap_groups;
use crate::owned::{RunId, TokenError, create_token};
use tlsboot_core::check::rules::Rules;
use tlsboot_core::history::event::{Answer, Change, CsrEvent, NODE_USER_PREFIX, NODES_GROUP};
use tlsboot_core::version::Version;
use tlsboot_engine::cluster::client::Credentials;
use tlsboot_engine::cluster::shared::tokens::random_token;
use tlsboot_engine::cluster::{ClusterError, Credential};
use tlsboot_engine::observe::csr::csr_event;
use tlsboot_engine::pki::{Authority, Validity};
use tlsboot_engine::poll;
use tlsboot_engine::secret::Secret;

/// How long an approver may take for a good CSR; the built-in one takes milliseconds.
const CONTROL: Duration = Duration::from_secs(30);
/// How long the API server may take to accept a new token.
const KNOWN: Duration = Duration::from_secs(10);
/// How long there must have been no decision, if the policy does not say.
const SETTLE: Duration = Duration::from_secs(2);
/// CSRs at the same time.
const AT_A_TIME: usize = 8;
/// Longer than any run; a killed run's token does not outlive it by much.
const TOKEN_LIFE: SignedDuration = SignedDuration::from_mins(30);

/// What will be done.
pub struct Plan {
    /// The run's id.
    pub run: RunId,
    /// The control plane's version.
    pub version: Version,
    cases: Vec<Case>,
    node: String,
    after: String,
    /// Of the token that is created.
    groups: Vec<String>,
    /// What bootstrap users authenticate with instead.
    given: Option<Bootstrap>,
    settle: Duration,
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
        let mut ips = policy.serving.ips.clone();
        if ips.is_empty() && policy.serving.dns.is_empty() {
            // A documentation address (RFC 5737), which is not assigned to anyone.
            ips.push([192, 0, 2, 7].into());
        }
        let subjects =
            Subjects { node: node.clone(), other: format!("{made_up}-b"), dns: policy.serving.dns.clone(), ips };
        let mut cases = corpus(&subjects, version);
        if given.is_some() {
            cases.retain(|case| case.by != By::ExpiredToken);
        }
        for case in &mut cases {
            case.expected = policy.expected(case);
        }
        Ok(Self {
            cases,
            after: format!("{made_up}-c"),
            settle: policy.settle.map_or(SETTLE, SignedDuration::unsigned_abs),
            run,
            version,
            node,
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
            "all of it labelled {}, and removed at the end:\n  {secrets}\n  {} CertificateSigningRequests tlsboot-…: {} hostile ones in the names of nodes that do not exist, and 3 good ones for {} and {}",
            self.run.selector(),
            self.cases.len() + 3,
            self.cases.len(),
            self.node,
            self.after,
        )
    }
}

/// Everything that was observed.
pub struct Fired {
    /// The result of each case.
    pub fates: Vec<(Case, Fate)>,
    /// The results of those that must be approved.
    pub controls: Vec<Control>,
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
        let first = self.control("good.bootstrap", &self.bootstrapper, &self.plan.node, &mut controls);
        let node = first.await?;
        let clients = self.clients(node.as_ref())?;
        let sent = stream::iter(self.plan.cases.clone())
            .map(|case| self.send(case, &clients))
            .buffered(AT_A_TIME)
            .try_collect::<Vec<_>>()
            .await?;
        if let Some(node) = &node {
            // Sent last: if they are approved, the approver has had the others before.
            let renewing = connect(self.connection, &Credentials::Certificate(node.clone()))?;
            let (node, after) = (&self.plan.node, &self.plan.after);
            self.control("good.renewal", &renewing, node, &mut controls).await?;
            self.control("good.bootstrap-after", &self.bootstrapper, after, &mut controls).await?;
        }
        // If not even the first was approved, waiting for others would be pointless.
        let patience = if node.is_some() { CONTROL } else { Duration::ZERO };
        let fates = self.fates(sent, patience).await?;
        Ok(Fired { fates, controls })
    }

    /// Gets a certificate as a kubelet does; if there is none, that is a result.
    async fn control(
        &self,
        name: &'static str,
        client: &kube::Client,
        node: &str,
        controls: &mut Vec<Control>,
    ) -> Result<Option<Credential>, FireError> {
        let got = poll::until(Instant::now() + KNOWN, poll::SELDOM, async || {
            match client_certificate(client, node, self.rules, &self.plan.run, CONTROL).await {
                Err(NoCertificate::Api(error)) => Err(FireError::from(self.connection.unreachable(&error))),
                // A token that was just created is not known everywhere yet.
                Err(NoCertificate::Refused(answer)) if answer.code == 401 => Ok(Err(NoCertificate::Refused(answer))),
                got => Ok(Ok(got)),
            }
        });
        let got = got.await?.unwrap_or_else(Err);
        let failure = got.as_ref().err().map(ToString::to_string);
        controls.push(Control { name, failure });
        Ok(got.ok().map(|(credential, _)| credential))
    }

    /// A client for each sender.
    fn clients(&self, node: Option<&Credential>) -> Result<Vec<(By, kube::Client)>, FireError> {
        let foreign = Authority::new("tlsboot-foreign-ca", Validity::for_next(CONTROL))?;
        let user = format!("{NODE_USER_PREFIX}{}", self.plan.node);
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
            add(By::Node, Credentials::Certificate(node.clone()))?;
        }
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
        if answer.object.is_none() && ![400, 401, 403, 422].contains(&answer.code) {
            return Err(FireError::Answer(format!(
                "{} was answered with {} {}: no decision about it",
                case.id, answer.code, answer.message
            )));
        }
        Ok(Some((case, answer)))
    }

    /// The result of each case. They are checked until everything that must be decided is decided, and nothing more was
    /// decided for a while: an approver other than that of the controls may take them one after the other.
    async fn fates(
        &self,
        sent: Vec<Option<(Case, Answer)>>,
        patience: Duration,
    ) -> Result<Vec<(Case, Fate)>, FireError> {
        let deadline = Instant::now() + patience;
        let mut settled = Instant::now() + self.plan.settle;
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
                sent.iter().map(|(case, answer)| (case.clone(), fate(answer, &seen))).collect();
            let is_decided = |fate: &Fate| fate.decision != Decision::Pending;
            let now = Instant::now();
            let count = fates.iter().filter(|(_, fate)| is_decided(fate)).count();
            if count != decided {
                decided = count;
                settled = now + self.plan.settle;
            }
            let waits = fates.iter().any(|(case, fate)| case.expected.is_decided() && !is_decided(fate));
            if now >= settled && (!waits || now >= deadline) {
                return Ok(fates);
            }
            tokio::time::sleep(poll::SELDOM).await;
        }
    }
}

/// The decision about a CSR, from the answer to its creation and its current state.
fn fate(answer: &Answer, seen: &BTreeMap<String, CsrEvent>) -> Fate {
    let plain = |decision, detail: String| Fate { decision, detail, is_ca: false };
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
    if let Some(failed) = failed {
        detail.push_str(&format!("; the signer refused it: {}", failed.message));
    }
    let leaf = event.certificates.first();
    Fate { decision, detail, is_ca: leaf.is_some_and(|leaf| leaf.ca == Some(true)) }
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
