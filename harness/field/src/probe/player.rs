//! Playing the node: one probe after the other, and what they have in common.

use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::PostParams;
use tlsboot_core::check::Role;
use tlsboot_core::check::rules::Rules;
use tlsboot_core::history::event::{Answer, CsrEvent};
use tlsboot_core::version::Version;
use tlsboot_core::x509::X509Error;
use tlsboot_engine::cluster::client::Credentials;
use tlsboot_engine::cluster::{Credential, TokenValue};
use tlsboot_engine::pki::RequestBuilder;
use tlsboot_engine::poll;
use tokio::time::Instant;

use super::Outcome::{self, Fail, Pass, Unsupported};
use super::{Need, PROBES, Probe, Probed};
use crate::bootstrap::{NoCertificate, create, csr};
use crate::connection::{Bootstrap, Connection, Unreachable};
use crate::doctor::look::bootstrap_groups;
use crate::owned::{RunId, TokenError, create_token};

/// How long an approver and a signer may take; the built-in ones take milliseconds (catalogue S-10).
pub(super) const CERTIFICATE: Duration = Duration::from_secs(30);
/// How long the API server may take to accept a new token.
pub(super) const KNOWN: Duration = Duration::from_secs(10);
/// Ten seconds of cache (catalogue A-10), plus a margin.
pub(super) const FORGOTTEN: Duration = Duration::from_secs(15);
pub(super) const TOKEN_LIFE: SignedDuration = SignedDuration::from_mins(10);
/// Why no token is created.
pub(super) const GIVEN: &str = "with a bootstrap kubeconfig no token is created or deleted";
pub(super) const CSRS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests?limit=1";
/// No one approves or signs for it.
pub(super) const STRANGER: &str = "tlsboot.example.com/unknown";

/// What will be done.
pub struct Plan {
    /// The run's id.
    pub run: RunId,
    pub(super) version: Version,
    /// Of the token that is created.
    pub(super) groups: Vec<String>,
    /// What the node begins with instead.
    pub(super) given: Option<Bootstrap>,
    pub(super) writes: bool,
}

impl Plan {
    /// Gets the cluster's version and bindings; nothing is created yet.
    ///
    /// # Errors
    /// If the cluster does not answer.
    pub async fn new(connection: &Connection, writes: bool, given: Option<Bootstrap>) -> Result<Self, Unreachable> {
        let version = connection.client().apiserver_version().await;
        let version = version.map_err(|error| connection.unreachable(&error))?;
        Ok(Self {
            run: RunId::new(),
            // A cluster that hides its version is treated as a new one.
            version: Version::of_build(&version.git_version).unwrap_or(Version::known()[0]),
            groups: if writes && given.is_none() { bootstrap_groups(connection).await? } else { Vec::new() },
            given,
            writes,
        })
    }

    /// What will be created, in words.
    pub fn creates(&self) -> String {
        let secrets = match self.given {
            Some(_) => String::new(),
            None => format!(
                "\n  2 Secrets bootstrap-token-… in kube-system: one valid for {} minutes, one that has expired",
                TOKEN_LIFE.as_mins()
            ),
        };
        format!(
            "all of it labelled {}, and removed at the end:{secrets}\n  6 CertificateSigningRequests tlsboot-… in the name of the node {}, which is not there",
            self.run.selector(),
            self.node(),
        )
    }

    /// The node that is played.
    pub(super) fn node(&self) -> String {
        format!("tlsboot-{}", self.run)
    }
}

/// Runs all probes. The caller removes everything of the run afterwards, however this ends.
///
/// # Errors
/// If the cluster does not answer, or stops answering.
pub async fn play(connection: &Connection, plan: &Plan) -> Result<Vec<Probed>, Unreachable> {
    let mut player =
        Player { connection, plan, rules: Rules::new(plan.version, plan.version), token: None, first: None };
    let mut probed = Vec::new();
    for probe in PROBES {
        let outcome = match player.probe(probe).await {
            Ok(outcome) => outcome,
            Err(Trouble::Unreachable(error)) => return Err(error),
            Err(Trouble::Reason(reason)) => Unsupported(reason),
        };
        probed.push(Probed { probe: *probe, outcome });
    }
    Ok(probed)
}

/// Why a probe could not be run.
pub(super) enum Trouble {
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

/// The state of the played node.
pub(super) struct Player<'a> {
    pub(super) connection: &'a Connection,
    pub(super) plan: &'a Plan,
    pub(super) rules: Rules,
    pub(super) token: Option<TokenValue>,
    /// The first certificate, and the CSR that it was issued for.
    pub(super) first: Option<(Credential, CsrEvent)>,
}

impl Player<'_> {
    async fn probe(&mut self, probe: &Probe) -> Result<Outcome, Trouble> {
        if probe.needs == Need::Writes && !self.plan.writes {
            return Ok(Unsupported("it creates objects: allow this with --allow-writes".into()));
        }
        (probe.play)(self).await
    }

    pub(super) fn reach(&self, error: kube::Error) -> Trouble {
        Trouble::Unreachable(self.connection.unreachable(&error))
    }

    pub(super) fn client(&self, credentials: &Credentials) -> Result<kube::Client, Trouble> {
        self.connection.with(credentials).map_err(|error| self.reach(error))
    }

    /// Lists CSRs as some user.
    pub(super) async fn get(&self, credentials: &Credentials) -> Result<Answer, Trouble> {
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

    /// Lists CSRs with this run's token until the answer is as expected, or the time is over; then the last answer is
    /// the error.
    pub(super) async fn until(
        &self,
        patience: Duration,
        is_right: impl Fn(&Answer) -> bool,
    ) -> Result<Result<Answer, Answer>, Trouble> {
        let credentials = self.credentials();
        poll::until(Instant::now() + patience, poll::SELDOM, async || {
            let answer = self.get(&credentials).await?;
            Ok(if is_right(&answer) { Ok(answer) } else { Err(answer) })
        })
        .await
    }

    /// A kubelet's client CSR, with this request.
    pub(super) fn request(&self, request: RequestBuilder) -> Result<CertificateSigningRequest, Trouble> {
        let (pem, _) = request.build()?;
        let role = Role::Client;
        let usages = self.rules.usages(role);
        Ok(csr(&self.plan.run, pem.into_bytes(), role.signer_name(), usages, None))
    }

    /// Creates as a dry run.
    pub(super) async fn dry(
        &self,
        client: &kube::Client,
        object: &CertificateSigningRequest,
    ) -> Result<Answer, Trouble> {
        let dry_run = PostParams { dry_run: true, ..Default::default() };
        create(client, object, &dry_run).await.map_err(|error| self.reach(error))
    }

    /// The control of every probe that expects a refusal: where a good CSR is refused too, a refusal shows nothing.
    pub(super) async fn refuses_good_ones(&self, client: &kube::Client) -> Result<Option<Outcome>, Trouble> {
        let good = self.request(RequestBuilder::node(&self.plan.node()))?;
        let control = self.dry(client, &good).await?;
        let reason =
            || Unsupported(format!("a good CSR is also refused as a dry run: {} {}", control.code, control.message));
        Ok((control.code != 201).then(reason))
    }

    pub(super) async fn create(
        &self,
        client: &kube::Client,
        object: &CertificateSigningRequest,
    ) -> Result<Answer, Trouble> {
        let created = create(client, object, &PostParams::default()).await;
        created.map_err(|error| self.reach(error))
    }

    /// A client with the given credentials, or with this run's bootstrap token, which is created when it is first
    /// needed.
    pub(super) async fn bootstrapper(&mut self) -> Result<kube::Client, Trouble> {
        if let Some(given) = &self.plan.given {
            return Ok(given.client.clone());
        }
        if self.token.is_none() {
            let (run, groups) = (&self.plan.run, &self.plan.groups);
            self.token = Some(create_token(self.connection, run, groups, TOKEN_LIFE).await?);
            // If it remains unknown, the requests that use it show that.
            let _ = self.until(KNOWN, |answer| answer.code != 401).await?;
        }
        self.client(&self.credentials())
    }

    pub(super) fn credentials(&self) -> Credentials {
        let token = self.token.as_ref();
        token.map_or(Credentials::None, |token| Credentials::Token(token.value.clone()))
    }

    /// The absence of a certificate is a result, unless the API server does not answer.
    pub(super) fn without(&self, error: NoCertificate) -> Result<Outcome, Trouble> {
        match error {
            NoCertificate::Api(error) => Err(self.reach(error)),
            other => Ok(Fail(other.to_string())),
        }
    }

    pub(super) fn first(&self) -> Result<&(Credential, CsrEvent), Trouble> {
        let none = || Trouble::Reason("there is no first certificate".into());
        self.first.as_ref().ok_or_else(none)
    }
}

/// Whether an answer has one of these codes.
pub(super) fn code(answer: &Answer, wanted: &[u16]) -> Outcome {
    let said = match answer.message.as_str() {
        "" => answer.code.to_string(),
        message => format!("{}: {message}", answer.code),
    };
    if wanted.contains(&answer.code) {
        Pass(said)
    } else {
        let wanted: Vec<String> = wanted.iter().map(u16::to_string).collect();
        Fail(format!("expected {}, got {said}", wanted.join(" or ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16) -> Answer {
        Answer { code, reason: String::new(), message: String::new(), object: None }
    }

    #[test]
    fn codes_are_judged() {
        assert_eq!(code(&answer(401), &[401, 403]), Pass("401".into()));
        assert_eq!(code(&answer(200), &[401, 403]), Fail("expected 401 or 403, got 200".into()));
    }
}
