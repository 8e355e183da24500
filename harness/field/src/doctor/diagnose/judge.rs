//! What one CSR, or what was issued for it, is worth: by its content, its requester and the Nodes, whatever was decided.

use std::collections::BTreeSet;
use std::net::IpAddr;

use tlsboot_core::check::Role;
use tlsboot_core::history::event::{CsrCondition, CsrEvent, NODE_USER_PREFIX, NODES_GROUP};
use tlsboot_core::history::facts::CertificateFacts;
use tlsboot_core::version::Version;

use crate::doctor::rights::Ability;
use crate::doctor::snapshot::{NodeFacts, Seen, Snapshot};

/// A reason: CSRs with the same `kind` have one cause, and are counted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// A word for the kind.
    pub kind: &'static str,
    /// In words, with "it" for the CSR.
    pub says: String,
}

impl Cause {
    fn new(kind: &'static str, says: impl Into<String>) -> Self {
        Self { kind, says: says.into() }
    }
}

/// What should become of a kubelet's CSR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It is what the kubelet of this node sends, and may be approved.
    Sound,
    /// No signer of Kubernetes issues it, even if it is approved.
    Unsignable(Cause),
    /// It asks for an identity that is not its requester's.
    Foreign(Cause),
    /// What it would have to be compared with is missing.
    Unknown(Cause),
}

/// Judges a CSR for one of the kubelet's two signers.
pub(super) fn judge(csr: &CsrEvent, snapshot: &Snapshot) -> Judgement {
    let foreign = match unsignable(csr, snapshot.version) {
        Some(cause) => return Judgement::Unsignable(cause),
        None if is(csr, Role::Client) => foreign_client(csr, &snapshot.nodes),
        None => foreign_serving(csr, &Names::requested(csr), &snapshot.nodes),
    };
    match foreign {
        Ok(None) => Judgement::Sound,
        Ok(Some(cause)) => Judgement::Foreign(cause),
        Err(cause) => Judgement::Unknown(cause),
    }
}

pub(super) fn is(csr: &CsrEvent, role: Role) -> bool {
    csr.signer_name == role.signer_name()
}

/// Whether the requester is a node: its name alone is not enough for the authorizers.
pub(super) fn is_by_node(csr: &CsrEvent) -> bool {
    csr.username.starts_with(NODE_USER_PREFIX) && csr.groups.iter().any(|group| group == NODES_GROUP)
}

/// A condition that is true; the API server allows no other status.
pub(super) fn condition<'a>(csr: &'a CsrEvent, kind: &str) -> Option<&'a CsrCondition> {
    csr.conditions.iter().find(|condition| condition.kind == kind)
}

/// Why Kubernetes' signers refuse to issue a CSR, which kube-controller-manager's approver does not look at either.
/// Source: `pkg/apis/certificates/helpers.go`, `ValidateKubeletClientCSR` and `ValidateKubeletServingCSR`.
pub fn unsignable(csr: &CsrEvent, version: Option<Version>) -> Option<Cause> {
    let request = &csr.request;
    let serving = is(csr, Role::Serving);
    if request.subject.organizations != [NODES_GROUP] {
        let says = format!("its organizations are {:?} instead of [\"system:nodes\"]", request.subject.organizations);
        return Some(Cause::new("organizations", says));
    }
    let name = request.subject.common_name.as_deref().unwrap_or_default();
    if !name.starts_with(NODE_USER_PREFIX) {
        return Some(Cause::new("name", format!("its common name {name:?} does not begin with system:node:")));
    }
    let has_names = !(request.dns.is_empty() && request.ips.is_empty());
    let has_others = !(request.emails.is_empty() && request.uris.is_empty());
    if serving && !has_names {
        return Some(Cause::new("no-names", "it asks for no DNS name and no IP address"));
    }
    if serving && has_others {
        return Some(Cause::new("other-names", "it asks for e-mail addresses or URIs as names"));
    }
    if !serving && (has_names || has_others) {
        return Some(Cause::new("alternative-names", "it asks for subject alternative names"));
    }
    let usages: BTreeSet<&str> = csr.usages.iter().map(String::as_str).collect();
    let wanted = if serving { "server auth" } else { "client auth" };
    let without = BTreeSet::from(["digital signature", wanted]);
    let with = BTreeSet::from(["digital signature", "key encipherment", wanted]);
    let newer = version.is_none_or(|version| version.minor >= 25);
    let right = usages == with || newer && usages == without;
    (!right).then(|| Cause::new("usages", format!("its usages are {:?}", csr.usages)))
}

/// Whether kube-controller-manager's approver approves a CSR of a requester who may do this.
/// Source: `pkg/controller/certificates/approver/sarapprove.go`.
pub fn approves(csr: &CsrEvent, version: Option<Version>, may: &BTreeSet<Ability>) -> bool {
    let is_own = csr.request.subject.common_name.as_deref() == Some(csr.username.as_str());
    is(csr, Role::Client)
        && unsignable(csr, version).is_none()
        && (may.contains(&Ability::NodeClient) || is_own && may.contains(&Ability::SelfNodeClient))
}

/// Whether a client CSR names a node that is not its requester. A bootstrapper may ask for any node but one that is there
/// and works.
fn foreign_client(csr: &CsrEvent, nodes: &Seen<Vec<NodeFacts>>) -> Result<Option<Cause>, Cause> {
    let name = csr.request.subject.common_name.as_deref().unwrap_or_default();
    if csr.username.starts_with(NODE_USER_PREFIX) {
        let cause = || {
            Cause::new("another-node", format!("it asks for the identity {name}, and its requester is another node"))
        };
        return Ok((name != csr.username).then(cause));
    }
    let Seen::Is(nodes) = nodes else {
        return Err(Cause::new("nodes", "whether its node exists already is not known"));
    };
    let working = nodes.iter().find(|node| Some(node.name.as_str()) == csr.node() && was_ready(node, csr));
    Ok(working.map(|node| {
        Cause::new(
            "ready-node",
            format!("it asks for the identity of {}, a Node that was Ready when it was created", node.name),
        )
    }))
}

/// Whether the node existed and was Ready when a CSR was created, as far as its last change of Ready tells.
pub(super) fn was_ready(node: &NodeFacts, csr: &CsrEvent) -> bool {
    let before = |at: Option<jiff::Timestamp>| at.is_none_or(|at| at < csr.created);
    node.is_ready() && before(node.created) && before(node.ready_since)
}

/// The first of a node's addresses that are not among these.
pub(super) fn lacking(node: &NodeFacts, ips: &[IpAddr]) -> Vec<String> {
    let has = |own: &&IpAddr| ips.iter().any(|ip| ip.to_canonical() == own.to_canonical());
    node.addresses.iter().filter(|own| !has(own)).take(5).map(ToString::to_string).collect()
}

/// The names in a serving CSR or certificate.
pub(super) struct Names<'a> {
    common_name: &'a str,
    dns: &'a [String],
    ips: &'a [IpAddr],
}

impl<'a> Names<'a> {
    pub(super) fn requested(csr: &'a CsrEvent) -> Self {
        let request = &csr.request;
        let common_name = request.subject.common_name.as_deref().unwrap_or_default();
        Self { common_name, dns: &request.dns, ips: &request.ips }
    }

    /// What was issued counts, not what was asked for.
    pub(super) fn issued(leaf: &'a CertificateFacts) -> Self {
        let common_name = leaf.subject.common_name.as_deref().unwrap_or_default();
        Self { common_name, dns: &leaf.dns, ips: &leaf.ips }
    }
}

/// Whether serving names are not those of the requester's Node.
pub(super) fn foreign_serving(
    csr: &CsrEvent,
    names: &Names<'_>,
    nodes: &Seen<Vec<NodeFacts>>,
) -> Result<Option<Cause>, Cause> {
    if names.common_name != csr.username || !is_by_node(csr) {
        let says = format!("its common name is {:?}, and its requester is {}", names.common_name, csr.username);
        return Ok(Some(Cause::new("requester", says)));
    }
    let Seen::Is(nodes) = nodes else {
        return Err(Cause::new("nodes", "the names of the Nodes are not known"));
    };
    let Some(node) = nodes.iter().find(|node| csr.username.strip_prefix(NODE_USER_PREFIX) == Some(&node.name)) else {
        let says = format!("there is no Node for {}", csr.username);
        return Err(Cause::new("no-node", says));
    };
    let hosts = names.dns.iter().filter(|name| !name.is_empty() && !node.is_called(name));
    let (others, unknown): (Vec<_>, Vec<_>) = names
        .ips
        .iter()
        .copied()
        .filter(|ip| !node.is_at(*ip))
        .partition(|ip| nodes.iter().any(|other| other.name != node.name && other.is_at(*ip)));
    let foreign: Vec<String> = hosts.cloned().chain(others.iter().map(ToString::to_string)).take(5).collect();
    if !foreign.is_empty() {
        let says = format!("it names {}, which {} does not have", foreign.join(", "), node.name);
        return Ok(Some(Cause::new("names", says)));
    }
    if unknown.is_empty() {
        return match lacking(node, names.ips).as_slice() {
            [] => Ok(None),
            lacking => {
                let says = format!(
                    "it lacks the addresses {} of {}, so an API server with --kubelet-certificate-authority would refuse the certificate",
                    lacking.join(", "),
                    node.name
                );
                Err(Cause::new("lacking", says))
            }
        };
    }
    let unknown: Vec<String> = unknown.iter().take(5).map(ToString::to_string).collect();
    let says =
        format!("it names {}, which {} does not have (any more), nor another Node", unknown.join(", "), node.name);
    Ok(Some(Cause::new("addresses", says)))
}
