//! What is known of each node: the certificates that it has and serves, where they come from, and how long they last.

use std::collections::BTreeMap;

use tlsboot_core::check::Role;
use tlsboot_core::check::rules::Rules;
use tlsboot_core::history::event::NODE_USER_PREFIX;
use tlsboot_core::history::facts::CertificateFacts;
use tlsboot_core::version::Version;

use super::doctor::name_of;
use super::judge::{is, was_ready};
use super::{Life, NodeReport};
use crate::doctor::snapshot::{NodeFacts, Served, Snapshot};

/// A report on each node; nothing where nodes could not be read.
pub(super) fn nodes(snapshot: &Snapshot) -> Option<Vec<NodeReport>> {
    let all = snapshot.nodes.get()?;
    let by_name: BTreeMap<&str, &NodeFacts> = all.iter().map(|node| (node.name.as_str(), node)).collect();
    let mut newest: BTreeMap<&str, &CertificateFacts> = BTreeMap::new();
    for csr in snapshot.csrs.all().iter().filter(|csr| is(csr, Role::Client)) {
        let (Some(node), Some(leaf)) = (csr.node(), csr.certificates.first()) else {
            continue;
        };
        // What someone else has got in the name of a node that works is not the node's.
        let is_own = csr.username.strip_prefix(NODE_USER_PREFIX) == Some(node);
        let is_first =
            !csr.username.starts_with(NODE_USER_PREFIX) && by_name.get(node).is_none_or(|node| !was_ready(node, csr));
        if !is_own && !is_first {
            continue;
        }
        let known = newest.entry(node).or_insert(leaf);
        if leaf.not_before > known.not_before {
            *known = leaf;
        }
    }
    let reports = all.iter().map(|node| {
        let (serving, not_served) = match &node.served {
            Served::Certificate(certificate) => {
                (Some(life(certificate, source(node, certificate) == Source::Csr)), None)
            }
            Served::Alert(alert) => (None, Some(format!("none (TLS alert: {alert})"))),
            Served::Unreachable(why) => (None, Some(format!("not reachable: {why}"))),
        };
        NodeReport {
            name: node.name.clone(),
            kubelet: node.kubelet.clone(),
            ready: node.ready.clone(),
            client: newest.get(node.name.as_str()).map(|leaf| life(leaf, own_way(&node.kubelet).is_none())),
            serving,
            not_served,
            reached: node.reached.clone(),
        }
    });
    Some(reports.collect())
}

/// How the nodes of a distribution get their certificates, told by their kubelets' version.
pub(super) fn own_way(kubelet: &str) -> Option<&'static str> {
    if kubelet.contains("+k3s") || kubelet.contains("+rke2") {
        Some("k3s and RKE2 give a node new certificates whenever its agent or server is restarted")
    } else if kubelet.contains("-eks-") {
        Some("EKS nodes authenticate by IAM, and only their serving certificates come from CSRs")
    } else {
        None
    }
}

/// Where a serving certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The cluster's signer: the kubelet asks for it, and renews it.
    Csr,
    /// The kubelet itself, at its first start (catalogue K-18).
    SelfSigned,
    /// A file that something else has written.
    File,
    /// The agent of a distribution, at its start; the name of its service.
    Agent(&'static str),
}

pub(super) fn source(node: &NodeFacts, certificate: &CertificateFacts) -> Source {
    if is_self_signed(certificate) {
        Source::SelfSigned
    } else if node.kubelet.contains("+k3s") {
        Source::Agent("k3s-agent")
    } else if node.kubelet.contains("+rke2") {
        Source::Agent("rke2-agent")
    } else if certificate.subject.common_name.as_deref().is_some_and(|name| name.starts_with(NODE_USER_PREFIX)) {
        Source::Csr
    } else {
        Source::File
    }
}

/// Issued to `<host>@<unix time>` by `<host>-ca@<unix time>` (client-go's `cert.GenerateSelfSignedCertKey`). The CAs of
/// k3s have such names too, but their certificates' subjects do not.
pub(super) fn is_self_signed(certificate: &CertificateFacts) -> bool {
    let issuer = name_of(&certificate.issuer);
    let host = issuer.rsplit_once("-ca@").filter(|(_, time)| time.parse::<u64>().is_ok()).map(|(host, _)| host);
    let subject = certificate.subject.common_name.as_deref().and_then(|name| name.rsplit_once('@'));
    host.is_some() && host == subject.map(|(host, _)| host)
}

/// A CA by name and key.
pub(super) fn issuer(certificate: &CertificateFacts) -> (String, String) {
    (name_of(&certificate.issuer), certificate.authority_key_id.clone().unwrap_or_default())
}

fn life(certificate: &CertificateFacts, renews: bool) -> Life {
    let any = Version::new(1, 37, 0);
    let (from, to) = Rules::new(any, any).rotation_window(certificate.not_before, certificate.not_after);
    let names = certificate.dns.iter().cloned();
    Life {
        not_before: certificate.not_before,
        not_after: certificate.not_after,
        renews_from: renews.then_some(from),
        renews_to: renews.then_some(to),
        names: names.chain(certificate.ips.iter().map(ToString::to_string)).collect(),
        issuer: name_of(&certificate.issuer),
        self_signed: is_self_signed(certificate),
    }
}
