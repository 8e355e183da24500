//! What is known of a cluster at one moment: plain values, to be written down, read back and judged.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use k8s_openapi::api::rbac::v1::PolicyRule;
use serde::{Deserialize, Serialize};

use tlsboot_core::history::event::CsrEvent;
use tlsboot_core::history::facts::CertificateFacts;
use tlsboot_core::version::Version;

/// What was seen of a cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Snapshot {
    /// When.
    pub taken: Timestamp,
    /// The API server's URL.
    pub server: String,
    /// Its version; none where it says something that is no version.
    pub version: Option<Version>,
    /// The HTTP code for a request without credentials: 401 with `--anonymous-auth=false`.
    pub anonymous: u16,
    /// Who is bound to what concerns certificates.
    pub grants: Seen<Vec<Grant>>,
    /// What the API server's authorizer says about those who bootstrap, nodes, and anybody.
    pub reviews: Seen<Vec<Review>>,
    /// All CSRs for a kubelet's signers.
    pub csrs: Seen<Vec<CsrEvent>>,
    /// The bootstrap tokens' Secrets.
    pub tokens: Seen<Vec<TokenFacts>>,
    /// The Nodes, and what they serve.
    pub nodes: Seen<Vec<NodeFacts>>,
    /// The CAs that the API server takes client certificates from, as it publishes them.
    pub client_cas: Seen<Vec<CertificateFacts>>,
}

/// Something that could be looked at, or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Seen<T> {
    /// So it is.
    Is(T),
    /// It was refused.
    Refused(Right),
}

impl<T> Seen<T> {
    /// The value, where it was seen.
    pub fn get(&self) -> Option<&T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Refused(_) => None,
        }
    }

    /// The right that is missing.
    pub fn missing(&self) -> Option<&Right> {
        match self {
            Self::Is(_) => None,
            Self::Refused(right) => Some(right),
        }
    }
}

impl<T> Seen<Vec<T>> {
    /// All that was seen; nothing where it was refused.
    pub fn all(&self) -> &[T] {
        self.get().map_or(&[], Vec::as_slice)
    }
}

/// A right that tlsboot's own user would need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Right {
    /// `list`, `create`, ….
    pub verb: String,
    /// As kubectl names it: `certificatesigningrequests.certificates.k8s.io`.
    pub resource: String,
    /// Where it is not for the whole cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// What can't be told without it.
    pub for_what: String,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        match &self.namespace {
            Some(namespace) => write!(f, " in {namespace}"),
            None => Ok(()),
        }
    }
}

/// Something that concerns certificates and that somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ability {
    /// Create CSRs: the first thing that a kubelet does (catalogue R-01).
    Ask,
    /// List and watch CSRs, without which a kubelet does not learn of its certificate (catalogue K-23).
    Watch,
    /// Have a first client certificate approved, for any node (catalogue R-02).
    NodeClient,
    /// Have the renewal of one's own client certificate approved (catalogue R-02).
    SelfNodeClient,
    /// Approve kubelets' client CSRs (catalogue R-06).
    ApproveClient,
    /// Approve kubelets' serving CSRs.
    ApproveServing,
    /// Read the cluster's Secrets: nobody's right who has not shown who he is.
    ReadSecrets,
    /// Everything.
    Everything,
}

impl Ability {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Ask,
        Self::Watch,
        Self::NodeClient,
        Self::SelfNodeClient,
        Self::ApproveClient,
        Self::ApproveServing,
        Self::ReadSecrets,
        Self::Everything,
    ];

    /// In words, after "may".
    pub fn words(self) -> &'static str {
        match self {
            Self::Ask => "ask for certificates",
            Self::Watch => "watch CSRs",
            Self::NodeClient => "have any node's client certificate approved",
            Self::SelfNodeClient => "have its own client certificate renewed",
            Self::ApproveClient => "approve kubelets' client CSRs",
            Self::ApproveServing => "approve kubelets' serving CSRs",
            Self::ReadSecrets => "read all Secrets",
            Self::Everything => "do everything",
        }
    }

    /// What an authorizer is asked: all of these must be allowed.
    pub(super) fn needs(self) -> &'static [Need] {
        const fn csr(verb: &'static str, subresource: &'static str) -> Need {
            Need { group: "certificates.k8s.io", verb, resource: "certificatesigningrequests", subresource, name: "" }
        }
        const fn approve(signer: &'static str) -> Need {
            Need { group: "certificates.k8s.io", verb: "approve", resource: "signers", subresource: "", name: signer }
        }
        match self {
            Self::Ask => const { &[csr("create", "")] },
            Self::Watch => const { &[csr("list", ""), csr("watch", "")] },
            Self::NodeClient => const { &[csr("create", "nodeclient")] },
            Self::SelfNodeClient => const { &[csr("create", "selfnodeclient")] },
            Self::ApproveClient => {
                const { &[csr("update", "approval"), approve("kubernetes.io/kube-apiserver-client-kubelet")] }
            }
            Self::ApproveServing => const { &[csr("update", "approval"), approve("kubernetes.io/kubelet-serving")] },
            Self::ReadSecrets => {
                const { &[Need { group: "", verb: "list", resource: "secrets", subresource: "", name: "" }] }
            }
            Self::Everything => const { &[Need { group: "*", verb: "*", resource: "*", subresource: "", name: "" }] },
        }
    }

    /// The abilities that a role's rules give. A rule for other names of objects does not count.
    pub fn of_rules(rules: &[PolicyRule]) -> BTreeSet<Self> {
        let allowed = |need: &Need| rules.iter().any(|rule| need.is_in(rule));
        Self::ALL.into_iter().filter(|ability| ability.needs().iter().all(allowed)).collect()
    }
}

/// One request that an authorizer judges.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    pub(super) group: &'static str,
    pub(super) verb: &'static str,
    pub(super) resource: &'static str,
    pub(super) subresource: &'static str,
    pub(super) name: &'static str,
}

impl Need {
    /// As RBAC matches (`pkg/apis/rbac/v1/evaluation_helpers.go`).
    fn is_in(&self, rule: &PolicyRule) -> bool {
        let has = |list: Option<&Vec<String>>, value: &str| {
            list.is_some_and(|list| list.iter().any(|item| item == "*" || item == value))
        };
        let resource = match self.subresource {
            "" => self.resource.to_owned(),
            subresource => format!("{}/{subresource}", self.resource),
        };
        let any_parent = format!("*/{}", self.subresource);
        let resources = rule.resources.as_ref();
        let names = rule.resource_names.as_deref().unwrap_or_default();
        // `signers` can be given by domain: kubernetes.io/*.
        let domain = self.name.split_once('/').map(|(domain, _)| format!("{domain}/*"));
        has(Some(&rule.verbs), self.verb)
            && has(rule.api_groups.as_ref(), self.group)
            && (has(resources, &resource) || (!self.subresource.is_empty() && has_word(resources, &any_parent)))
            && (names.is_empty() || names.iter().any(|name| name == self.name || Some(name) == domain.as_ref()))
    }
}

fn has_word(list: Option<&Vec<String>>, word: &str) -> bool {
    list.is_some_and(|list| list.iter().any(|item| item == word))
}

/// A binding gives a subject some of the abilities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grant {
    /// The ClusterRoleBinding.
    pub binding: String,
    /// The ClusterRole.
    pub role: String,
    /// Who is bound.
    pub subject: Subject,
    /// What the role allows of what matters here.
    pub abilities: BTreeSet<Ability>,
}

/// A user, group or service account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Subject {
    /// `User`, `Group` or `ServiceAccount`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Of a service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind.as_str(), &self.namespace) {
            ("Group", _) => write!(f, "group {}", self.name),
            ("ServiceAccount", Some(namespace)) => {
                write!(f, "service account {namespace}/{}", self.name)
            }
            _ => write!(f, "user {}", self.name),
        }
    }
}

/// Whom a review is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Who {
    /// Requests without credentials.
    Anonymous,
    /// Whoever has shown who he is, and is nobody in particular.
    Authenticated,
    /// A node, by the name of one that is there.
    Node(String),
    /// Who has a bootstrap token, by its id.
    Token(String),
    /// A user or group that a binding lets ask for certificates.
    Bound(Subject),
    /// Who asked for a certificate that waits.
    Requester(String),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("system:anonymous"),
            Self::Authenticated => f.write_str("any authenticated user (system:authenticated)"),
            Self::Node(_) => f.write_str("nodes (group system:nodes)"),
            Self::Token(id) => write!(f, "bootstrap token {id}"),
            Self::Bound(subject) => write!(f, "{subject}"),
            Self::Requester(user) => write!(f, "user {user}"),
        }
    }
}

/// What the API server's authorizer lets somebody do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Review {
    /// Who.
    pub who: Who,
    /// With these groups.
    pub groups: Vec<String>,
    /// What is allowed; everything else was asked for and is not.
    pub may: BTreeSet<Ability>,
}

/// A bootstrap token's Secret, without its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenFacts {
    /// The id: the Secret's name without `bootstrap-token-`.
    pub id: String,
    /// `expiration`, where it is a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Groups that it gives: `system:bootstrappers`, and those of `auth-extra-groups`.
    pub groups: Vec<String>,
    /// Why nobody can authenticate with it, but for the time (catalogue A-08).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defect: Option<String>,
}

impl TokenFacts {
    /// Whether a kubelet can authenticate with it.
    pub fn is_usable(&self, at: Timestamp) -> bool {
        self.defect.is_none() && self.expires.is_none_or(|expires| expires > at)
    }
}

/// A Node, and what its kubelet serves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeFacts {
    /// Its name.
    pub name: String,
    /// The kubelet's version, as it says.
    pub kubelet: String,
    /// The status of the condition Ready.
    pub ready: String,
    /// DNS names of `status.addresses`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_names: Vec<String>,
    /// IP addresses of `status.addresses`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<std::net::IpAddr>,
    /// What is presented on the kubelet's port.
    pub served: Served,
}

/// What a TLS probe saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Served {
    /// This certificate.
    Certificate(Box<CertificateFacts>),
    /// The handshake was refused with this alert: a kubelet without a serving certificate (catalogue T-10).
    Alert(String),
    /// Nobody answers from here.
    Unreachable(String),
}
