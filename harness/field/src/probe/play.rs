//! Playing the node: one probe after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::Secret as SecretObject;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use tokio::time::Instant;

use super::{Need, Outcome, PROBES, Probe, Probed};
use crate::bootstrap::{NoCertificate, client_certificate, create, csr, issued};
use crate::connection::{Bootstrap, Connection, Unreachable};
use crate::doctor::look::bootstrap_groups;
use crate::doctor::snapshot::Ability;
use crate::owned::{RunId, TokenError, create_token};
use Outcome::{Fail, Pass, Unsupported};
use tlsboot_core::check::Role;
use tlsboot_core::check::rules::Rules;
use tlsboot_core::history::event::{Answer, Change, CsrEvent, NODE_USER_PREFIX};
use tlsboot_core::history::facts::{CertificateFacts, Name};
use tlsboot_core::time::Shift;
use tlsboot_core::version::Version;
use tlsboot_core::x509::{X509Error, node_subject};
use tlsboot_engine::cluster::client::Credentials;
use tlsboot_engine::cluster::shared::tokens::random_token;
use tlsboot_engine::cluster::{Credential, TokenValue};
use tlsboot_engine::observe::csr::csr_event;
use tlsboot_engine::pki::{Authority, RequestBuilder, Validity};
use tlsboot_engine::secret::Secret;

/// What an approver and a signer may take; the built-in ones take milliseconds (catalogue S-10).
const CERTIFICATE: Duration = Duration::from_secs(30);
/// What the API server may take until it knows a new token.
const KNOWN: Duration = Duration::from_secs(10);
/// Ten seconds of cache (catalogue A-10), and some.
const FORGOTTEN: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(100);
const TOKEN_LIFE: SignedDuration = SignedDuration::from_mins(10);
/// Why no token is made.
const GIVEN: &str = "no token is created or deleted where a bootstrap kubeconfig is given";
const CSRS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests?limit=1";
/// Nobody approves or signs for it.
const STRANGER: &str = "tlsboot.example.com/nobody";

/// What is going to be done.
pub struct Plan {
    /// The run's id.
    pub run: RunId,
    version: Version,
    /// Of the token that is created.
    groups: Vec<String>,
    /// What the node begins with instead.
    given: Option<Bootstrap>,
    writes: bool,
}

impl Plan {
    /// Looks at the cluster's version and bindings; nothing is created yet.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn new(connection: &Connection, writes: bool, given: Option<Bootstrap>) -> Result<Self, Unreachable> {
        let version = connection.client().apiserver_version().await;
        let version = version.map_err(|error| connection.unreachable(&error))?;
        Ok(Self {
            run: RunId::new(),
            // One that hides its version is taken for a new one.
            version: Version::of_build(&version.git_version).unwrap_or(Version::known()[0]),
            groups: if writes && given.is_none() { bootstrap_groups(connection).await? } else { Vec::new() },
            given,
            writes,
        })
    }

    /// What is going to be created, in words.
    pub fn creates(&self) -> String {
        let secrets = match self.given {
            Some(_) => String::new(),
            None => format!(
                "\n  2 Secrets bootstrap-token-… in kube-system: one valid for {} minutes, one that has expired",
                TOKEN_LIFE.as_mins()
            ),
        };
        format!(
            "all of it labelled {}, and removed at the end:{secrets}\n  5 CertificateSigningRequests tlsboot-… in the name of the node {}, which is not there",
            self.run.selector(),
            self.node(),
        )
    }

    fn node(&self) -> String {
        format!("tlsboot-{}", self.run)
    }
}

/// Does all probes. The caller removes everything of the run afterwards, however this ends.
///
/// # Errors
/// When the cluster does not answer (any more).
pub async fn play(connection: &Connection, plan: &Plan) -> Result<Vec<Probed>, Unreachable> {
    let mut player =
        Player { connection, plan, rules: Rules::new(plan.version, plan.version), token: None, first: None };
    let mut probed = Vec::new();
    for probe in PROBES {
        let outcome = match player.probe(&probe).await {
            Ok(outcome) => outcome,
            Err(Trouble::Unreachable(error)) => return Err(error),
            Err(Trouble::Reason(reason)) => Unsupported(reason),
        };
        probed.push(Probed { probe, outcome });
    }
    Ok(probed)
}

/// Why a probe could not be done.
enum Trouble {
    Unreachable(Unreachable),
    Reason(String),
}

impl From<Unreachable> for Trouble {
    fn from(error: Unreachable) -> Self {
        Self::Unreachable(error)
    }
}

impl From<X509Error> for Trouble {
    fn from(error: X509Error) -> Self {
        Self::Reason(error.to_string())
    }
}

impl From<TokenError> for Trouble {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Unreachable(error) => Self::Unreachable(error),
            other => Self::Reason(other.to_string()),
        }
    }
}

struct Player<'a> {
    connection: &'a Connection,
    plan: &'a Plan,
    rules: Rules,
    token: Option<TokenValue>,
    /// The first certificate, and the CSR that it was issued for.
    first: Option<(Credential, CsrEvent)>,
}

impl Player<'_> {
    async fn probe(&mut self, probe: &Probe) -> Result<Outcome, Trouble> {
        if probe.needs == Need::Writes && !self.plan.writes {
            return Ok(Unsupported("it creates things: allow that by --allow-writes".into()));
        }
        match probe.id {
            "authentication.no-credentials" => {
                let answer = self.get(&Credentials::None).await?;
                Ok(code(&answer, &[401, 403]))
            }
            "authentication.unknown-token" => {
                let token = random_token(&[], TOKEN_LIFE).value;
                Ok(code(&self.get(&Credentials::Token(token)).await?, &[401]))
            }
            "authentication.malformed-token" => {
                let token = Secret::new("no-token-at-all".to_owned());
                Ok(code(&self.get(&Credentials::Token(token)).await?, &[401]))
            }
            "authentication.foreign-certificate" => self.foreign_certificate().await,
            "rbac.built-in-roles" => self.roles().await,
            "issuance.validation" => self.validation().await,
            "issuance.shortest-duration" => {
                let mut object = self.request(RequestBuilder::node(&self.plan.node()))?;
                object.spec.expiration_seconds = Some(599);
                if self.plan.version.minor < 22 {
                    return Ok(Unsupported("durations can be asked for from 1.22 on".into()));
                }
                Ok(code(&self.dry(&self.connection.client(), &object).await?, &[422]))
            }
            "approval.system-masters" => {
                let subject = Name { organizations: vec!["system:masters".into()], ..node_subject(&self.plan.node()) };
                let mut object = self.request(RequestBuilder::new(subject))?;
                object.spec.signer_name = "kubernetes.io/kube-apiserver-client".into();
                Ok(code(&self.dry(&self.connection.client(), &object).await?, &[403]))
            }
            "rbac.node-authorizer" => {
                let answer = self.as_node(&self.plan.node()).await?;
                Ok(code(&answer, &[201]))
            }
            "security.node-restriction" => self.node_restriction().await,
            "authentication.expired-token" => {
                if self.plan.given.is_some() {
                    return Ok(Unsupported(GIVEN.into()));
                }
                let past = SignedDuration::from_mins(-1);
                let token = create_token(self.connection, &self.plan.run, &self.plan.groups, past);
                let token = token.await?.value;
                Ok(code(&self.get(&Credentials::Token(token)).await?, &[401]))
            }
            "authentication.token-identity" => self.token_identity().await,
            "bootstrap.first-certificate" => self.first_certificate().await,
            "issuance.client-certificate" => {
                let (_, event) = self.first()?;
                let faults = faults(event, &self.plan.node());
                Ok(match faults.as_slice() {
                    [] => Pass(life(event)),
                    faults => Fail(faults.join("; ")),
                })
            }
            "bootstrap.certificate-works" => {
                let credential = self.first()?.0.clone();
                let answer = self.get(&Credentials::Certificate(credential)).await?;
                Ok(code(&answer, &[200]))
            }
            "rotation.renewal" => self.renewal().await,
            "issuance.requested-duration" => self.requested_duration().await,
            "approval.denied" => self.denied().await,
            "authentication.deleted-token" => self.deleted_token().await,
            other => Err(Trouble::Reason(format!("there is no probe {other}"))),
        }
    }

    fn reach(&self, error: kube::Error) -> Trouble {
        Trouble::Unreachable(self.connection.unreachable(&error))
    }

    fn client(&self, credentials: &Credentials) -> Result<kube::Client, Trouble> {
        self.connection.with(credentials).map_err(|error| self.reach(error))
    }

    /// Lists CSRs as somebody.
    async fn get(&self, credentials: &Credentials) -> Result<Answer, Trouble> {
        let client = self.client(credentials)?;
        let request = http::Request::get(CSRS).body(Vec::new());
        let request = request.map_err(|error| self.reach(kube::Error::HttpError(error)))?;
        let plain = |code, message: String| Answer { code, reason: String::new(), message, object: None };
        match client.request_text(request).await {
            Ok(_) => Ok(plain(200, String::new())),
            Err(kube::Error::Api(status)) => Ok(plain(status.code, status.message.clone())),
            Err(error) => Err(self.reach(error)),
        }
    }

    /// A kubelet's client CSR, with this request.
    fn request(&self, request: RequestBuilder) -> Result<CertificateSigningRequest, Trouble> {
        let (pem, _) = request.build()?;
        let role = Role::Client;
        let usages = self.rules.usages(role);
        Ok(csr(&self.plan.run, pem.into_bytes(), role.signer_name(), usages, None))
    }

    /// Creates as a dry run.
    async fn dry(&self, client: &kube::Client, object: &CertificateSigningRequest) -> Result<Answer, Trouble> {
        let dry_run = PostParams { dry_run: true, ..Default::default() };
        create(client, object, &dry_run).await.map_err(|error| self.reach(error))
    }

    async fn foreign_certificate(&self) -> Result<Outcome, Trouble> {
        let soon = Validity::for_next(CERTIFICATE);
        let user = format!("{NODE_USER_PREFIX}{}", self.plan.node());
        let issued = Authority::new("tlsboot-foreign-ca", soon)?.issue_client(&user, &["system:nodes"], soon)?;
        let foreign = Credential { certificate: issued.certificate_pem, key: issued.key_pem };
        Ok(code(&self.get(&Credentials::Certificate(foreign)).await?, &[401]))
    }

    async fn roles(&self) -> Result<Outcome, Trouble> {
        const PREFIX: &str = "system:certificates.k8s.io:certificatesigningrequests";
        let wanted = [
            ("system:node-bootstrapper".to_owned(), vec![Ability::Ask, Ability::Watch]),
            (format!("{PREFIX}:nodeclient"), vec![Ability::NodeClient]),
            (format!("{PREFIX}:selfnodeclient"), vec![Ability::SelfNodeClient]),
        ];
        let api = Api::<ClusterRole>::all(self.connection.client());
        let mut wrong = Vec::new();
        for (name, abilities) in wanted {
            let abilities = BTreeSet::from_iter(abilities);
            match api.get_opt(&name).await {
                Ok(Some(role)) => {
                    let has = Ability::of_rules(role.rules.as_deref().unwrap_or_default());
                    if has != abilities {
                        wrong.push(format!("{name} allows {has:?}"));
                    }
                }
                Ok(None) => wrong.push(format!("{name} is not there")),
                Err(kube::Error::Api(status)) if status.code == 403 => {
                    return Ok(Unsupported(status.message.clone()));
                }
                Err(error) => return Err(self.reach(error)),
            }
        }
        Ok(match wrong.as_slice() {
            [] => Pass("all three".into()),
            wrong => Fail(wrong.join("; ")),
        })
    }

    async fn validation(&self) -> Result<Outcome, Trouble> {
        let client = self.connection.client();
        let good = self.request(RequestBuilder::node(&self.plan.node()))?;
        let control = self.dry(&client, &good).await?;
        if control.code != 201 {
            return Ok(Unsupported(format!(
                "a good CSR is refused as a dry run, too: {} {}",
                control.code, control.message
            )));
        }
        let with = |change: fn(&mut CertificateSigningRequest)| {
            let mut object = good.clone();
            change(&mut object);
            object
        };
        let odd = [
            ("no usages", with(|csr| csr.spec.usages = None)),
            ("an unknown usage", with(|csr| csr.spec.usages = Some(vec!["none".into()]))),
            ("no PEM", with(|csr| csr.spec.request.0 = b"garbage".to_vec())),
            ("a malformed signer", with(|csr| csr.spec.signer_name = "kubelet".into())),
        ];
        let mut wrong = Vec::new();
        for (what, object) in odd {
            let answer = self.dry(&client, &object).await?;
            if answer.code != 422 {
                wrong.push(format!("{what}: {}", answer.code));
            }
        }
        Ok(match wrong.as_slice() {
            [] => Pass("422 for each, and a good one would be taken".into()),
            wrong => Fail(wrong.join("; ")),
        })
    }

    /// Asks in the name of the node for a certificate of any node, as a dry run.
    async fn as_node(&self, asked: &str) -> Result<Answer, Trouble> {
        let user = format!("{NODE_USER_PREFIX}{}", self.plan.node());
        let groups = ["system:nodes", "system:authenticated"];
        let client = self.connection.impersonating(&user, &groups);
        let client = client.map_err(|error| self.reach(error))?;
        let answer = self.dry(&client, &self.request(RequestBuilder::node(asked))?).await?;
        if answer.code == 403 && answer.message.contains("impersonate") {
            return Err(Trouble::Reason(format!("it needs the right to impersonate: {}", answer.message)));
        }
        Ok(answer)
    }

    async fn node_restriction(&self) -> Result<Outcome, Trouble> {
        if self.plan.version.minor < 31 {
            return Ok(Unsupported("NodeRestriction looks at names from 1.31 on".into()));
        }
        let own = self.as_node(&self.plan.node()).await?;
        if own.code != 201 {
            return Ok(Unsupported(format!("a node's own CSR is refused, too: {}", own.message)));
        }
        Ok(code(&self.as_node("tlsboot-another-node").await?, &[403]))
    }

    /// A client with what was given, or with this run's bootstrap token, which is made at the first need.
    async fn bootstrapper(&mut self) -> Result<kube::Client, Trouble> {
        if let Some(given) = &self.plan.given {
            return Ok(given.client.clone());
        }
        if self.token.is_none() {
            let (run, groups) = (&self.plan.run, &self.plan.groups);
            self.token = Some(create_token(self.connection, run, groups, TOKEN_LIFE).await?);
            let deadline = Instant::now() + KNOWN;
            while self.get(&self.credentials()).await?.code == 401 && Instant::now() < deadline {
                tokio::time::sleep(POLL).await;
            }
        }
        self.client(&self.credentials())
    }

    fn credentials(&self) -> Credentials {
        let token = self.token.as_ref();
        token.map_or(Credentials::None, |token| Credentials::Token(token.value.clone()))
    }

    async fn token_identity(&mut self) -> Result<Outcome, Trouble> {
        let client = self.bootstrapper().await?;
        let id = match (&self.plan.given, &self.token) {
            (Some(given), _) => given.token_id.clone(),
            (None, token) => token.as_ref().map(|token| token.id.clone()),
        };
        let Some(id) = id else {
            return Ok(Unsupported("the bootstrap kubeconfig has no bootstrap token".into()));
        };
        let mut object = self.request(RequestBuilder::node(&self.plan.node()))?;
        object.spec.signer_name = STRANGER.into();
        object.spec.username = Some("system:admin".into());
        let answer = self.create(&client, &object).await?;
        let Some(name) = &answer.object else {
            return Ok(code(&answer, &[201]));
        };
        let api = Api::<CertificateSigningRequest>::all(self.connection.client());
        let made = api.get(name).await.map_err(|error| self.reach(error))?;
        let event = csr_event(&made, Change::Added);
        let wanted: BTreeSet<&str> = self
            .plan
            .groups
            .iter()
            .map(String::as_str)
            .chain(["system:bootstrappers", "system:authenticated"])
            .collect();
        let groups: BTreeSet<&str> = event.groups.iter().map(String::as_str).collect();
        let said = format!("{} with {}", event.username, event.groups.join(", "));
        // Which groups a given token has beside these, its maker knows.
        let in_groups = match self.plan.given {
            Some(_) => groups.is_superset(&wanted),
            None => groups == wanted,
        };
        let right = in_groups && event.username == format!("system:bootstrap:{id}");
        Ok(if right { Pass(said) } else { Fail(said) })
    }

    async fn create(&self, client: &kube::Client, object: &CertificateSigningRequest) -> Result<Answer, Trouble> {
        let created = create(client, object, &PostParams::default()).await;
        created.map_err(|error| self.reach(error))
    }

    async fn first_certificate(&mut self) -> Result<Outcome, Trouble> {
        let client = self.bootstrapper().await?;
        let (node, begin) = (self.plan.node(), Instant::now());
        let got = client_certificate(&client, &node, self.rules, &self.plan.run, CERTIFICATE).await;
        Ok(match got {
            Ok(first) => {
                let said = approval(&first.1, begin.elapsed());
                self.first = Some(first);
                Pass(said)
            }
            Err(error) => self.without(error)?,
        })
    }

    /// That there is no certificate is a result, but for where nobody answers.
    fn without(&self, error: NoCertificate) -> Result<Outcome, Trouble> {
        match error {
            NoCertificate::Api(error) => Err(self.reach(error)),
            other => Ok(Fail(other.to_string())),
        }
    }

    fn first(&self) -> Result<&(Credential, CsrEvent), Trouble> {
        let none = || Trouble::Reason("there is no first certificate".into());
        self.first.as_ref().ok_or_else(none)
    }

    async fn renewal(&mut self) -> Result<Outcome, Trouble> {
        let (credential, first) = self.first()?;
        let client = self.client(&Credentials::Certificate(credential.clone()))?;
        let (node, begin) = (self.plan.node(), Instant::now());
        let got = client_certificate(&client, &node, self.rules, &self.plan.run, CERTIFICATE).await;
        let renewed = match got {
            Ok((_, renewed)) => renewed,
            Err(error) => return self.without(error),
        };
        let mut wrong = Vec::new();
        if renewed.username != format!("{NODE_USER_PREFIX}{node}") {
            wrong.push(format!("it was asked for by {}", renewed.username));
        }
        if renewed.request.key == first.request.key {
            wrong.push("it has the old key".to_owned());
        }
        let old = first.certificates.first().map(|leaf| format!("X509SHA256={}", leaf.sha256));
        if self.rules.credential_ids() && renewed.credential_id() != old.as_deref() {
            wrong.push(format!("the API server saw the credential {:?}", renewed.credential_id()));
        }
        Ok(match wrong.as_slice() {
            [] => Pass(approval(&renewed, begin.elapsed())),
            wrong => Fail(wrong.join("; ")),
        })
    }

    async fn requested_duration(&mut self) -> Result<Outcome, Trouble> {
        const ASKED: i32 = 600;
        const ROOM: SignedDuration = SignedDuration::from_secs(30);
        if self.plan.version.minor < 22 {
            return Ok(Unsupported("durations can be asked for from 1.22 on".into()));
        }
        let as_asked = |event: &CsrEvent| {
            let latest = event.created.later(SignedDuration::from_secs(ASKED.into())).later(ROOM);
            event.certificates.first().is_some_and(|leaf| leaf.not_after <= latest)
        };
        let (_, first) = self.first()?;
        if as_asked(first) {
            return Ok(Unsupported(format!("certificates live no longer than that anyway ({})", life(first))));
        }
        let client = self.bootstrapper().await?;
        let mut object = self.request(RequestBuilder::node(&self.plan.node()))?;
        object.spec.expiration_seconds = Some(ASKED);
        let answer = self.create(&client, &object).await?;
        let Some(name) = &answer.object else {
            return Ok(code(&answer, &[201]));
        };
        let event = match issued(&client, name, CERTIFICATE).await {
            Ok((_, event)) => event,
            Err(error) => return self.without(error),
        };
        let right = as_asked(&event);
        let said = format!("asked for {ASKED} s: {}", life(&event));
        Ok(if right { Pass(said) } else { Fail(said) })
    }

    async fn denied(&mut self) -> Result<Outcome, Trouble> {
        let client = self.bootstrapper().await?;
        let mut object = self.request(RequestBuilder::node(&self.plan.node()))?;
        object.spec.signer_name = STRANGER.into();
        let answer = self.create(&client, &object).await?;
        let Some(name) = &answer.object else {
            return Ok(code(&answer, &[201]));
        };
        let condition = serde_json::json!({
            "type": "Denied", "status": "True", "reason": "TlsbootProbe", "message": "tlsboot plays a node whose CSR is denied",
        });
        let patch = serde_json::json!({"status": {"conditions": [condition]}});
        let api = Api::<CertificateSigningRequest>::all(self.connection.client());
        let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
        let deny = api.patch_approval(name, &params, &patch);
        let (denied, waited) = tokio::join!(deny, issued(&client, name, CERTIFICATE));
        match denied {
            Err(kube::Error::Api(status)) if status.code == 403 => {
                return Ok(Unsupported(format!("it needs the right to deny: {}", status.message)));
            }
            Err(error) => return Err(self.reach(error)),
            Ok(_) => {}
        }
        Ok(match waited {
            Err(NoCertificate::Denied { reason, .. }) if reason == "TlsbootProbe" => Pass("the watch showed it".into()),
            Err(error) => self.without(error)?,
            Ok(_) => Fail("it was denied, and has a certificate".into()),
        })
    }

    async fn deleted_token(&mut self) -> Result<Outcome, Trouble> {
        let before = match self.token {
            Some(_) => self.get(&self.credentials()).await?,
            None if self.plan.given.is_some() => return Ok(Unsupported(GIVEN.into())),
            None => return Err(Trouble::Reason("there is no token".into())),
        };
        if before.code == 401 {
            return Err(Trouble::Reason("the token was not known before, either".into()));
        }
        let secrets = Api::<SecretObject>::namespaced(self.connection.client(), "kube-system");
        let id = self.token.as_ref().map(|token| token.id.clone()).unwrap_or_default();
        let name = format!("bootstrap-token-{id}");
        let deleted = secrets.delete(&name, &DeleteParams::default()).await;
        deleted.map_err(|error| self.reach(error))?;
        let begin = Instant::now();
        loop {
            let answer = self.get(&self.credentials()).await?;
            let after = begin.elapsed();
            if answer.code == 401 {
                return Ok(Pass(format!("401 after {:.1} s", after.as_secs_f64())));
            }
            if after > FORGOTTEN {
                return Ok(Fail(format!("still {} after {} s", answer.code, after.as_secs())));
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Whether an answer has one of these codes.
fn code(answer: &Answer, wanted: &[u16]) -> Outcome {
    let said = match answer.message.as_str() {
        "" => answer.code.to_string(),
        message => format!("{}: {message}", answer.code),
    };
    if wanted.contains(&answer.code) {
        Pass(said)
    } else {
        let wanted: Vec<String> = wanted.iter().map(u16::to_string).collect();
        Fail(format!("should be {}, is {said}", wanted.join(" or ")))
    }
}

fn approval(event: &CsrEvent, took: Duration) -> String {
    let conditions: BTreeMap<&str, &str> =
        event.conditions.iter().map(|condition| (condition.kind.as_str(), condition.message.as_str())).collect();
    let message = conditions.get("Approved").copied().unwrap_or_default();
    format!("{} within {} ms: {message}", event.name, took.as_millis())
}

fn life(event: &CsrEvent) -> String {
    event.certificates.first().map_or_else(String::new, |leaf| {
        format!(
            "valid from {} s before its CSR to {} s after it",
            event.created.duration_since(leaf.not_before).as_secs(),
            leaf.not_after.duration_since(event.created).as_secs()
        )
    })
}

/// What of a client certificate is not as Kubernetes' signer makes it (catalogue S-07).
fn faults(event: &CsrEvent, node: &str) -> Vec<String> {
    let Some(leaf) = event.certificates.first() else {
        return vec!["there is no certificate".into()];
    };
    let CertificateFacts { dns, ips, emails, uris, .. } = leaf;
    let right = [
        ("its subject is not what was asked for", leaf.subject == node_subject(node)),
        ("it has another key than was asked for", leaf.key == event.request.key),
        ("its extended usage is not just `client auth`", leaf.ext_key_usage == ["client auth"]),
        ("its usage lacks `digital signature`", leaf.key_usage.iter().any(|usage| usage == "digital signature")),
        ("it does not say CA:FALSE", leaf.ca == Some(false)),
        ("it has alternative names", dns.is_empty() && ips.is_empty() && emails.is_empty() && uris.is_empty()),
        ("it is not valid yet at the time of its CSR", leaf.not_before <= event.created),
        ("it had ended at the time of its CSR", leaf.not_after > event.created),
    ];
    let wrong = right.iter().filter(|(_, right)| !right);
    wrong.map(|(fault, _)| (*fault).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tlsboot_core::x509::read;

    fn answer(code: u16) -> Answer {
        Answer { code, reason: String::new(), message: String::new(), object: None }
    }

    #[test]
    fn codes_are_judged() {
        assert_eq!(code(&answer(401), &[401, 403]), Pass("401".into()));
        assert_eq!(code(&answer(200), &[401, 403]), Fail("should be 401 or 403, is 200".into()));
    }

    fn issued_for(node: &str, organizations: &[&str]) -> CsrEvent {
        let soon = Validity::for_next(CERTIFICATE);
        let ca = Authority::new("ca", soon).unwrap();
        let user = format!("{NODE_USER_PREFIX}{node}");
        let leaf = ca.issue_client(&user, organizations, soon).unwrap();
        let leaf = read::certificates_from_pem(leaf.certificate_pem.as_bytes()).unwrap().remove(0);
        let (pem, _) = RequestBuilder::node(node).build().unwrap();
        let run = RunId::new();
        let mut event = csr_event(&csr(&run, pem.into_bytes(), "a.b/c", Vec::new(), None), Change::Added);
        event.created = jiff::Timestamp::now();
        event.request.key = leaf.key.clone();
        event.certificates = vec![leaf];
        event
    }

    #[test]
    fn a_certificates_faults_are_named() {
        assert_eq!(faults(&issued_for("n1", &["system:nodes"]), "n1"), Vec::<String>::new());
        let other = faults(&issued_for("n1", &["system:nodes", "system:masters"]), "n1");
        assert_eq!(other, ["its subject is not what was asked for"]);
        let mut ca = issued_for("n1", &["system:nodes"]);
        ca.certificates[0].ca = Some(true);
        ca.request.key.spki_sha256 = "other".into();
        assert_eq!(faults(&ca, "n1").len(), 2);
        ca.certificates.clear();
        assert_eq!(faults(&ca, "n1"), ["there is no certificate"]);
    }
}
