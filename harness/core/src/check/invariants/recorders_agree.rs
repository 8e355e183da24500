//! I-10: certificate directory, CSRs, audit log and handshakes tell the same story: a certificate is nowhere seen before
//! it was issued, and none is seen that was not issued.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::Finding;
use super::story::{Issued, Story, leaf};
use crate::check::Role;
use crate::history::event::NODE_USER_PREFIX;
use crate::time::Shift;

/// Recorders see the same moment at different times: a watch may deliver a CSR's status after the kubelet has acted on
/// its own.
const ECHO: SignedDuration = SignedDuration::from_secs(5);

pub(super) fn judge(story: &Story<'_>, finding: &mut Finding) {
    let mut planted = BTreeSet::new();
    for (name, machine) in &story.machines {
        // tlsboot signed the certificate that is embedded in its kubeconfig.
        let embedded =
            story.scenario.nodes.iter().any(|node| *node.name == **name && node.embedded_certificate.is_some());
        planted.extend(machine.client.first().filter(|_| embedded).map(|first| first.certificate.sha256.as_str()));
        for change in &machine.files {
            let Some(certificate) = change.file.facts.as_ref().and_then(|facts| leaf(&facts.pem)) else { continue };
            let is_stored =
                [Role::Client, Role::Serving].iter().any(|role| change.file.name.starts_with(role.file_prefix()));
            if change.by_tlsboot {
                planted.insert(certificate.sha256.as_str());
            } else if is_stored && !planted.contains(certificate.sha256.as_str()) {
                finding.look();
                let issued = story.issued.get(certificate.sha256.as_str());
                if let Some(wrong) = early(issued, change.event.at) {
                    finding.violate(change.event, format!("{} on {name}: {wrong}", change.file.name));
                }
            }
        }
        for (event, request) in &machine.requests {
            let used = request.credential_id.as_deref().and_then(|id| id.strip_prefix("X509SHA256="));
            // A bootstrap kubeconfig may have a certificate of a user that is no node's, which no CSR issued.
            let is_nodes = request.user.as_deref().is_some_and(|user| user.starts_with(NODE_USER_PREFIX));
            let Some(used) = used.filter(|used| is_nodes && !planted.contains(used)) else { continue };
            finding.look();
            if let Some(wrong) = early(story.issued.get(used), event.at) {
                finding.violate(
                    event,
                    format!("a request of the kubelet of {name} with the certificate {used:.8}: {wrong}"),
                );
            }
        }
    }
}

fn early(issued: Option<&Issued<'_>>, at: Timestamp) -> Option<String> {
    match issued {
        None => Some("no CSR has this certificate".into()),
        Some(issued) if at.later(ECHO) < issued.at => {
            Some(format!("{} has it only {} s later", issued.csr.name, issued.at.duration_since(at).as_secs()))
        }
        Some(_) => None,
    }
}
