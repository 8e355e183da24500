//! CertificateSigningRequests, as the API shows them.

use core::net::IpAddr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::compare::{Compare, NONE, list};
use super::{LooksAt, Match, Matcher, Moment, OfEvents, Role, State};
use crate::history::What;
use crate::history::event::{Change, CsrEvent, Recorder};
use crate::scenario::{ExpirationSeconds, NodeName};

/// A CSR. Fields that are left out are not checked.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Csr {
    /// The node that the certificate is for.
    #[serde(default)]
    pub node: Option<NodeName>,
    /// Which of the node's certificates it is for.
    #[serde(default)]
    pub role: Option<Role>,
    /// Its number among the CSRs for this node and role, starting at 1.
    #[serde(default)]
    pub number: Option<usize>,
    /// The CSR that the step `submit` of this name created.
    #[serde(default)]
    pub submitted: Option<String>,
    /// Its state.
    #[serde(default)]
    pub state: Option<CsrState>,
    /// `csr-` and five characters (rotation on), or `node-csr-` and a digest (rotation off); catalogue C-01.
    #[serde(default)]
    pub named: Option<Naming>,
    /// `spec.signerName`.
    #[serde(default)]
    pub signer_name: Option<String>,
    /// `spec.username`.
    #[serde(default)]
    pub requestor: Option<String>,
    /// `spec.uid`; `none` if the requestor has none.
    #[serde(default)]
    pub uid: Option<String>,
    /// `spec.groups`, in any order.
    #[serde(default)]
    pub groups: Option<Vec<String>>,
    /// `asKubelet` (by the kubelet's version, catalogue C-03), or a list.
    #[serde(default)]
    pub usages: Option<Usages>,
    /// `spec.expirationSeconds`; `none` if the field is not set.
    #[serde(default)]
    pub expiration_seconds: Option<ExpirationSeconds>,
    /// The reason of its newest condition.
    #[serde(default)]
    pub reason: Option<String>,
    /// A substring of its newest condition's message.
    #[serde(default)]
    pub message: Option<String>,
    /// Which of the node's client certificates it was requested with (control plane ≥ 1.32).
    #[serde(default)]
    pub requested_with: Option<RequestedWith>,
    /// Whether its key is that of the previous CSR for the same node and role.
    #[serde(default)]
    pub key: Option<KeyIs>,
    /// DNS names requested, in any order.
    #[serde(default)]
    pub dns: Option<Vec<String>>,
    /// IP addresses requested, in any order.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    pub ips: Option<Vec<IpAddr>>,
    /// Whether any IP address is requested.
    #[serde(default, rename = "hasIPs")]
    pub has_ips: Option<bool>,
}

/// What a CSR was requested with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum RequestedWith {
    /// Something other than a client certificate, such as a token.
    None,
    /// The client certificate with this number among those issued to the node, starting at 1.
    Certificate(usize),
}

/// The state of a CSR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CsrState {
    /// Neither approved nor denied.
    Pending,
    /// Approved, with or without a certificate.
    Approved,
    /// Approved, and the certificate was issued.
    Issued,
    /// Denied.
    Denied,
    /// Failed: refused by the signer.
    Failed,
    /// The object was deleted.
    Deleted,
}

impl CsrState {
    /// Whether a CSR is in this state.
    pub(super) fn is_that_of(self, csr: &CsrEvent) -> bool {
        let exists = csr.change != Change::Deleted;
        match self {
            Self::Pending => State::is_pending(csr),
            Self::Approved => exists && has(csr, "Approved"),
            Self::Issued => exists && has(csr, "Approved") && !csr.certificates.is_empty(),
            Self::Denied => exists && has(csr, "Denied"),
            Self::Failed => exists && has(csr, "Failed"),
            Self::Deleted => !exists,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Issued => "issued",
            Self::Denied => "denied",
            Self::Failed => "failed",
            Self::Deleted => "deleted",
        }
    }
}

/// How a CSR is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Naming {
    /// `csr-xxxxx`, by generateName.
    Generated,
    /// `node-csr-…`, a digest of key and subject.
    Digest,
}

/// A key, compared with the previous one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum KeyIs {
    /// Another key.
    New,
    /// The same key.
    Same,
}

impl KeyIs {
    fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Same => "same",
        }
    }
}

/// Usages requested.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Usages {
    /// Those that the kubelet of this version requests.
    AsKubelet,
    /// Exactly these, in any order.
    Exactly(Vec<String>),
}

/// The fields of what was requested (`spec`), and the name.
const REQUESTED: [&str; 10] =
    ["signerName", "requestor", "uid", "groups", "dns", "name", "usages", "expirationSeconds", "ips", "key"];

impl Csr {
    /// The CSR that the event shows. Which one a `submit` created is only known when the step is done, and the watch
    /// may have shown it before.
    fn shown<'a>(&self, moment: &'a Moment<'_>) -> Option<&'a CsrEvent> {
        match &moment.event.what {
            What::Csr(csr) => Some(csr),
            What::Step(step) if step.name.is_some() && step.name == self.submitted => self.made(moment.state),
            _ => None,
        }
    }

    /// The CSR that the step `submit` created, in its current state.
    fn made<'a>(&self, state: &'a State) -> Option<&'a CsrEvent> {
        let name = state.submitted(self.submitted.as_deref()?)?;
        state.csrs.iter().rev().map(|known| &known.now).find(|csr| csr.name == *name)
    }

    fn is_meant(&self, csr: &CsrEvent, state: &State) -> bool {
        let node = self.node.as_deref().is_none_or(|node| csr.node() == Some(node));
        let role = self.role.is_none_or(|role| csr.signer_name == role.signer_name());
        let number = self.number.is_none_or(|number| self.position(csr, state) == Some(number));
        let submitted = self.submitted.as_deref().is_none_or(|name| state.submitted(name) == Some(&csr.name));
        node && role && number && submitted
    }

    fn compare(&self, csr: &CsrEvent, state: &State) -> Match {
        let mut compare = Compare::default();
        let condition = csr.conditions.last();
        compare
            .text("signerName", self.signer_name.as_deref(), Some(&csr.signer_name))
            .text("requestor", self.requestor.as_deref(), Some(&csr.username))
            .text("uid", self.uid.as_deref(), Some(csr.user_uid.as_str()).filter(|uid| !uid.is_empty()))
            .set("groups", self.groups.as_deref(), &csr.groups)
            .set("dns", self.dns.as_deref(), &csr.request.dns)
            .text("reason", self.reason.as_deref(), condition.map(|condition| condition.reason.as_str()))
            .contains("message", self.message.as_deref(), condition.map_or("", |condition| &condition.message));
        if let Some(expected) = self.state {
            compare.holds("state", expected.is_that_of(csr), expected.word(), state_words(csr));
        }
        if let Some(naming) = self.named {
            let expected = match naming {
                Naming::Generated => "csr- and five characters",
                Naming::Digest => "node-csr- and a digest of 43 characters",
            };
            compare.holds("name", is_named(&csr.name, naming), expected, &csr.name);
        }
        match &self.usages {
            None => {}
            Some(Usages::Exactly(usages)) => {
                compare.set("usages", Some(usages), &csr.usages);
            }
            Some(Usages::AsKubelet) => {
                let usages = role_of(csr).and_then(|role| Some(state.rules()?.usages(role)));
                compare.set("usages", usages.as_deref(), &csr.usages);
            }
        }
        compare.same("expirationSeconds", self.expiration_seconds.as_ref(), &csr.expiration_seconds.into());
        if let Some(ips) = &self.ips {
            let words = |ips: &[IpAddr]| ips.iter().map(IpAddr::to_string).collect::<Vec<_>>();
            compare.set("ips", Some(&words(ips)), &words(&csr.request.ips));
        }
        if let Some(has) = self.has_ips {
            compare.holds(
                "ips",
                csr.request.ips.is_empty() != has,
                if has { "some" } else { NONE },
                list(&csr.request.ips),
            );
        }
        if let Some(with) = self.requested_with {
            let issued = csr.node().map(|node| state.issued(node, Role::Client)).unwrap_or_default();
            let expected = match with {
                RequestedWith::None => Some(NONE.to_owned()),
                RequestedWith::Certificate(number) => issued
                    .get(number.wrapping_sub(1))
                    .map(|(_, certificate)| format!("X509SHA256={}", certificate.sha256)),
            };
            let expected = expected.as_deref().unwrap_or("a certificate that has not been issued yet");
            compare.text("requestedWith", Some(expected), csr.credential_id());
        }
        if let (Some(key), Some(node), Some(role)) = (self.key, csr.node(), role_of(csr)) {
            let before = state.csrs_of(node, role).take_while(|known| known.now.uid != csr.uid).last();
            let same = before.is_some_and(|before| before.now.request.key.spki_sha256 == csr.request.key.spki_sha256);
            let found = if same { "the key of the previous CSR" } else { "another key" };
            compare.holds("key", before.is_some() && same == (key == KeyIs::Same), key.word(), found);
        }
        // What was requested does not change any more.
        let is_final = compare.0.iter().any(|mismatch| REQUESTED.contains(&mismatch.field.as_str()));
        if is_final && (self.number.is_some() || self.submitted.is_some()) {
            compare.or_wrong()
        } else {
            compare.or_near()
        }
    }

    fn position(&self, csr: &CsrEvent, state: &State) -> Option<usize> {
        let (node, role) = (csr.node()?, role_of(csr)?);
        state.csrs_of(node, role).position(|known| known.now.uid == csr.uid).map(|position| position + 1)
    }
}

impl Matcher for Csr {
    fn recorders(&self) -> &'static [Recorder] {
        &[Recorder::Csr]
    }

    /// Only the state can change, and of several CSRs, the next one would be another story.
    fn can_stay(&self) -> bool {
        self.state.is_some() && (self.number.is_some() || self.submitted.is_some())
    }

    fn looks_at(&self) -> LooksAt<'_> {
        LooksAt::Events(self)
    }

    fn subjects(&self) -> Vec<&str> {
        self.node.as_deref().into_iter().collect()
    }

    fn submitted(&self) -> Option<&str> {
        self.submitted.as_deref()
    }

    fn lint(&self) -> Option<String> {
        if self.number == Some(0) {
            return Some("CSRs are counted from 1".into());
        }
        if self.number.is_some() && (self.node.is_none() || self.role.is_none()) {
            return Some("`number` needs `node` and `role`, which say which CSRs are counted".into());
        }
        (self.node.is_none() && self.submitted.is_none() && self.signer_name.is_none())
            .then(|| "any CSR would match: name a `node` or a `submitted` one".into())
    }
}

impl OfEvents for Csr {
    fn judge(&self, moment: &Moment<'_>) -> Match {
        match self.shown(moment).filter(|csr| self.is_meant(csr, moment.state)) {
            Some(csr) => self.compare(csr, moment.state),
            None => Match::Other,
        }
    }

    /// Only for a CSR that a step submitted: any other may have been in this state for a good reason.
    fn already(&self, state: &State) -> bool {
        let made = self.made(state).filter(|csr| self.state.is_some() && self.is_meant(csr, state));
        made.is_some_and(|csr| self.compare(csr, state) == Match::Yes)
    }
}

fn role_of(csr: &CsrEvent) -> Option<Role> {
    [Role::Client, Role::Serving].into_iter().find(|role| role.signer_name() == csr.signer_name)
}

fn has(csr: &CsrEvent, kind: &str) -> bool {
    csr.conditions.iter().any(|condition| condition.kind == kind)
}

/// As `kubectl get csr` shows it (catalogue C-18).
fn state_words(csr: &CsrEvent) -> String {
    if csr.change == Change::Deleted {
        return "Deleted".into();
    }
    let mut words: Vec<&str> = csr.conditions.iter().map(|condition| condition.kind.as_str()).collect();
    if words.is_empty() {
        words.push("Pending");
    }
    if !csr.certificates.is_empty() {
        words.push("Issued");
    }
    words.join(",")
}

fn is_named(name: &str, naming: Naming) -> bool {
    let rest_is = |rest: Option<&str>, length: usize| {
        rest.is_some_and(|rest| {
            rest.len() == length && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        })
    };
    match naming {
        Naming::Generated => rest_is(name.strip_prefix("csr-"), 5),
        Naming::Digest => rest_is(name.strip_prefix("node-csr-"), 43),
    }
}
