//! API requests, as the audit log shows them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::compare::{Compare, NONE};
use super::{LooksAt, Match, Matcher, Moment, OfEvents, Role};
use crate::history::What;
use crate::history::event::Recorder;
use crate::scenario::NodeName;
use crate::scenario::vocabulary::{wrong_resource, wrong_verb};

/// A request. Fields that are left out are not checked.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// The node whose kubelet sent it.
    #[serde(default)]
    pub node: Option<NodeName>,
    /// The user that the API server saw; `none` if authentication failed.
    #[serde(default)]
    pub user: Option<String>,
    /// A group that the user must have.
    #[serde(default)]
    pub group: Option<String>,
    /// `create`, `list`, `watch`, `get`, …
    #[serde(default)]
    pub verb: Option<String>,
    /// The resource, such as `certificatesigningrequests`.
    #[serde(default)]
    pub resource: Option<String>,
    /// The object's name.
    #[serde(default)]
    pub name: Option<String>,
    /// The HTTP status code.
    #[serde(default)]
    pub code: Option<u16>,
    /// The `reason` of the Status object.
    #[serde(default)]
    pub reason: Option<String>,
    /// A substring of the Status object's `message`.
    #[serde(default)]
    pub message: Option<String>,
    /// Which of the node's client certificates it was sent with, by number of issue, starting at 1 (needs control plane
    /// ≥ 1.32).
    #[serde(default)]
    pub certificate: Option<usize>,
}

impl Matcher for Request {
    fn recorders(&self) -> &'static [Recorder] {
        &[Recorder::Audit]
    }

    /// From then on, all requests of this node, verb, resource and name are such.
    fn can_stay(&self) -> bool {
        true
    }

    fn looks_at(&self) -> LooksAt<'_> {
        LooksAt::Events(self)
    }

    fn nodes(&self) -> Vec<&str> {
        self.node.as_deref().into_iter().collect()
    }

    fn lint(&self) -> Option<String> {
        let unknown = self.verb.as_deref().and_then(wrong_verb).or(self.resource.as_deref().and_then(wrong_resource));
        match (self.certificate, &self.node) {
            _ if unknown.is_some() => unknown,
            (Some(_), None) => Some("`certificate` needs `node`, which says whose certificate is meant".into()),
            (Some(0), _) => Some("certificates are counted from 1".into()),
            _ if self.verb.is_none() && self.user.is_none() && self.code.is_none() && self.resource.is_none() => {
                Some("any request would match: name at least a verb, resource, user or code".into())
            }
            _ => None,
        }
    }
}

impl OfEvents for Request {
    fn judge(&self, moment: &Moment<'_>) -> Match {
        let What::Request(request) = &moment.event.what else { return Match::Other };
        // Who asks for what identifies the request; how it was answered is what may differ.
        let differs = |expected: Option<&str>, found: &str| expected.is_some_and(|expected| expected != found);
        if differs(self.node.as_deref(), request.node.as_deref().unwrap_or(NONE))
            || differs(self.verb.as_deref(), &request.verb)
            || differs(self.resource.as_deref(), &request.resource)
            || differs(self.name.as_deref(), &request.name)
        {
            return Match::Other;
        }
        let mut compare = Compare::default();
        compare
            .text("user", self.user.as_deref(), request.user.as_deref())
            .same("code", self.code.as_ref(), &request.code)
            .text("reason", self.reason.as_deref(), Some(&request.reason))
            .contains("message", self.message.as_deref(), &request.message);
        if let Some(group) = &self.group {
            compare.holds("group", request.groups.contains(group), group, super::compare::list(&request.groups));
        }
        if let Some(number) = self.certificate {
            let issued = self.node.as_deref().map(|node| moment.state.issued(node, Role::Client)).unwrap_or_default();
            let expected =
                issued.get(number.wrapping_sub(1)).map(|(_, certificate)| format!("X509SHA256={}", certificate.sha256));
            let found = request.credential_id.as_deref();
            let expected_text = expected.as_deref().unwrap_or("a certificate that has not been issued yet");
            compare.holds(
                "certificate",
                expected.is_some() && expected.as_deref() == found,
                expected_text,
                found.unwrap_or(NONE),
            );
        }
        compare.or_near()
    }
}
