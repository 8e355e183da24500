//! What is known of a cluster at one moment: plain values, to be written down, read back and judged.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use tlsboot_core::history::event::CsrEvent;
use tlsboot_core::history::facts::CertificateFacts;
use tlsboot_core::version::Version;

use super::rights::{Grant, Review};

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
    /// What the API server's authorizer says about those who bootstrap, nodes, and everyone else.
    pub reviews: Seen<Vec<Review>>,
    /// All CSRs, those for other signers too.
    pub csrs: Seen<Vec<CsrEvent>>,
    /// The bootstrap tokens' Secrets.
    pub tokens: Seen<Vec<TokenFacts>>,
    /// The Nodes, and what they serve.
    pub nodes: Seen<Vec<NodeFacts>>,
    /// The CAs that the API server takes client certificates from, as it publishes them.
    pub client_cas: Seen<Vec<CertificateFacts>>,
    /// The ConfigMap kube-public/cluster-info, where there is one.
    pub cluster_info: Seen<Option<ClusterInfo>>,
}

/// What `kubeadm join` discovers a cluster by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterInfo {
    /// The server's URL; empty where there is none.
    pub server: String,
    /// Its CAs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cas: Vec<CertificateFacts>,
    /// What that server presents.
    pub answers: Served,
    /// The rest of its chain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<CertificateFacts>,
    /// The HTTP code for a request without credentials for this ConfigMap.
    pub anonymous: u16,
    /// Of each bootstrap token that has a signature in it, whether the signature is right.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub signatures: BTreeMap<String, bool>,
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
    /// Whether it is meant for authentication; the others only sign cluster-info.
    pub authenticates: bool,
    /// Whether cluster-info should have a signature by it (`usage-bootstrap-signing`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub signs: bool,
    /// Why no one can authenticate with it, apart from its time (catalogue A-08).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defect: Option<String>,
}

impl NodeFacts {
    /// Whether its kubelet reports in time, and says that all is well.
    pub fn is_ready(&self) -> bool {
        self.ready.as_deref() == Some("True")
    }

    /// Whether this DNS name is the node's own. Host names know no case, and a dot at the end changes nothing.
    pub fn is_called(&self, name: &str) -> bool {
        let plain = |name: &str| name.trim_end_matches('.').to_ascii_lowercase();
        std::iter::once(&self.name).chain(&self.host_names).any(|own| plain(own) == plain(name))
    }

    /// Whether this is one of the node's addresses. An IPv4 address can be written as an IPv6 address.
    pub fn is_at(&self, ip: IpAddr) -> bool {
        self.addresses.iter().any(|own| own.to_canonical() == ip.to_canonical())
    }
}

impl TokenFacts {
    /// Whether a kubelet can authenticate with it.
    pub fn is_usable(&self, at: Timestamp) -> bool {
        self.authenticates && self.defect.is_none() && self.expires.is_none_or(|expires| expires > at)
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
    /// `metadata.creationTimestamp`: when its kubelet registered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// The status of the condition Ready; none where its kubelet has never reported it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<String>,
    /// Since when Ready has this status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_since: Option<Timestamp>,
    /// DNS names of `status.addresses`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_names: Vec<String>,
    /// IP addresses of `status.addresses`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// What is presented on the kubelet's port.
    pub served: Served,
    /// What came of a request through the API server; none where it was not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<Reached>,
}

/// The answer to a request to a kubelet, through the API server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reached {
    /// The HTTP status code; 0 where no answer came.
    pub code: u16,
    /// What the API server or the kubelet says; empty where all is well.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// What a TLS probe saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Served {
    /// This certificate.
    Certificate(Box<CertificateFacts>),
    /// The handshake was refused with this alert: a kubelet without a serving certificate (catalogue T-10).
    Alert(String),
    /// Nothing answers from here.
    Unreachable(String),
}
