//! CertificateSigningRequests, as the API shows them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::compare::{Compare, NONE, list};
use super::{Match, Matcher, Moment, Role, State};
use crate::history::What;
use crate::history::event::{Change, CsrEvent, Phase, Recorder, StepEvent};

/// A CSR. What is left out does not matter.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Csr {
    /// The node that the certificate is for.
    #[serde(default)]
    pub node: Option<String>,
    /// Which certificate it is for.
    #[serde(default)]
    pub role: Option<Role>,
    /// Its number among the CSRs for this node and role, from 1.
    #[serde(default)]
    pub number: Option<usize>,
    /// The one that the step `submit` of this name made.
    #[serde(default)]
    pub submitted: Option<String>,
    /// How it stands.
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
    /// `spec.uid`; `none` when the requestor has none.
    #[serde(default)]
    pub uid: Option<String>,
    /// `spec.groups`, whatever the order.
    #[serde(default)]
    pub groups: Option<Vec<String>>,
    /// `asKubelet` (by the kubelet's version, catalogue C-03), or a list.
    #[serde(default)]
    pub usages: Option<Usages>,
    /// `spec.expirationSeconds`; `none` when the field is not set.
    #[serde(default)]
    pub expiration_seconds: Option<String>,
    /// Reason of its newest condition.
    #[serde(default)]
    pub reason: Option<String>,
    /// A part of its newest condition's message.
    #[serde(default)]
    pub message: Option<String>,
    /// Which of the node's client certificates asked for it, by number of issue from 1; 0 for none (control plane ≥ 1.32).
    #[serde(default)]
    pub requested_with: Option<usize>,
    /// Whether its key is the one of the CSR before it for the same node and role.
    #[serde(default)]
    pub key: Option<KeyIs>,
    /// DNS names asked for, whatever the order.
    #[serde(default)]
    pub dns: Option<Vec<String>>,
    /// At least one IP address is asked for, or none.
    #[serde(default)]
    pub has_ips: Option<bool>,
}

/// How a CSR stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CsrState {
    /// Neither approved nor denied.
    Pending,
    /// Approved, with or without a certificate.
    Approved,
    /// Approved, and the certificate is there.
    Issued,
    /// Denied.
    Denied,
    /// Refused by the signer.
    Failed,
    /// The object is gone.
    Deleted,
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

/// A key, compared with the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum KeyIs {
    /// Another one.
    New,
    /// The same.
    Same,
}

/// Usages asked for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Usages {
    /// As the kubelet of this version asks.
    AsKubelet,
    /// Just these, whatever the order.
    Exactly(Vec<String>),
}

impl Csr {
    /// The CSR that the event shows. Which one a `submit` made is known when the step is done, and the watch may have
    /// shown it before.
    fn shown<'a>(&self, moment: &'a Moment<'_>) -> Option<&'a CsrEvent> {
        match &moment.event.what {
            What::Csr(csr) => Some(csr),
            What::Step(step) if step.name.is_some() && step.name == self.submitted => {
                let name = moment.state.submitted(self.submitted.as_deref()?)?;
                let known = moment.state.csrs.iter().rev();
                let mut named = known.filter(|known| known.now.name == *name);
                named.next().map(|known| &known.now)
            }
            _ => None,
        }
    }

    fn is_meant(&self, csr: &CsrEvent, moment: &Moment<'_>) -> bool {
        let node = self.node.as_deref().is_none_or(|node| csr.node() == Some(node));
        let role = self.role.is_none_or(|role| csr.signer_name == role.signer_name());
        let number = self.number.is_none_or(|number| self.position(csr, moment.state) == Some(number));
        let submitted = self.submitted.as_deref().is_none_or(|name| moment.state.submitted(name) == Some(&csr.name));
        node && role && number && submitted
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

    fn judge(&self, moment: &Moment<'_>) -> Match {
        let Some(csr) = self.shown(moment).filter(|csr| self.is_meant(csr, moment)) else {
            return Match::Other;
        };
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
        if let Some(state) = self.state {
            compare.holds("state", is_in(csr, state), format!("{state:?}").to_lowercase(), state_words(csr));
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
                let usages = role_of(csr).map(|role| moment.state.rules().usages(role));
                compare.set("usages", usages.as_deref(), &csr.usages);
            }
        }
        if let Some(expected) = &self.expiration_seconds {
            let found = csr.expiration_seconds.map_or(NONE.to_owned(), |seconds| seconds.to_string());
            compare.same("expirationSeconds", Some(expected), &found);
        }
        if let Some(has) = self.has_ips {
            compare.holds(
                "ips",
                csr.request.ips.is_empty() != has,
                if has { "some" } else { NONE },
                list(&csr.request.ips),
            );
        }
        if let Some(number) = self.requested_with {
            let issued = csr.node().map(|node| moment.state.issued(node, Role::Client)).unwrap_or_default();
            let expected =
                issued.get(number.wrapping_sub(1)).map(|(_, certificate)| format!("X509SHA256={}", certificate.sha256));
            compare.text("requestedWith", Some(expected.as_deref().unwrap_or(NONE)), csr.credential_id());
        }
        if let (Some(key), Some(node), Some(role)) = (self.key, csr.node(), role_of(csr)) {
            let before = moment.state.csrs_of(node, role).take_while(|known| known.now.uid != csr.uid).last();
            let same = before.is_some_and(|before| before.now.request.key.spki_sha256 == csr.request.key.spki_sha256);
            let found = if same { "the key of the CSR before" } else { "another key" };
            compare.holds(
                "key",
                before.is_some() && same == (key == KeyIs::Same),
                format!("{key:?}").to_lowercase(),
                found,
            );
        }
        compare.or_near()
    }

    /// Only of a CSR that a step submitted: any other may have been in this state for good reason.
    fn already(&self, moment: &Moment<'_>) -> bool {
        if self.submitted.is_none() || self.state.is_none() {
            return false;
        }
        let mut event = moment.event.clone();
        event.what = What::Step(StepEvent {
            index: 0,
            stimulus: String::new(),
            name: self.submitted.clone(),
            phase: Phase::Begin,
        });
        self.judge(&Moment { event: &event, ..*moment }) == Match::Yes
    }

    fn nodes(&self) -> Vec<&str> {
        // A CSR may well be for a node that has no kubelet here.
        Vec::new()
    }

    fn lint(&self) -> Option<String> {
        if self.number == Some(0) {
            return Some("CSRs are counted from 1".into());
        }
        if self.number.is_some() && (self.node.is_none() || self.role.is_none()) {
            return Some("`number` needs `node` and `role`: which CSRs are counted?".into());
        }
        (self.node.is_none() && self.submitted.is_none() && self.signer_name.is_none())
            .then(|| "any CSR would do: name a node or a submitted one".into())
    }
}

fn role_of(csr: &CsrEvent) -> Option<Role> {
    [Role::Client, Role::Serving].into_iter().find(|role| role.signer_name() == csr.signer_name)
}

fn has(csr: &CsrEvent, kind: &str) -> bool {
    csr.conditions.iter().any(|condition| condition.kind == kind)
}

fn is_in(csr: &CsrEvent, state: CsrState) -> bool {
    let there = csr.change != Change::Deleted;
    match state {
        CsrState::Pending => State::is_pending(csr),
        CsrState::Approved => there && has(csr, "Approved"),
        CsrState::Issued => there && has(csr, "Approved") && !csr.certificates.is_empty(),
        CsrState::Denied => there && has(csr, "Denied"),
        CsrState::Failed => there && has(csr, "Failed"),
        CsrState::Deleted => !there,
    }
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
