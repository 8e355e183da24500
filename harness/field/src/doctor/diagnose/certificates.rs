//! The certificates of the nodes.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tlsboot_core::check::Role;
use tlsboot_core::check::rules::Rules;
use tlsboot_core::history::event::CsrEvent;
use tlsboot_core::history::facts::CertificateFacts;
use tlsboot_core::time::at_share;
use tlsboot_core::version::Version;

use super::csrs::is;
use super::doctor::Doctor;
use super::signing::name_of;
use super::{Grade, Life, NodeReport};
use crate::doctor::snapshot::{NodeFacts, Served, Snapshot};

impl Doctor<'_> {
    pub(super) fn client_certificates(&mut self) {
        let snapshot = self.snapshot;
        let pending: BTreeSet<&str> = snapshot
            .csrs
            .all()
            .iter()
            .filter(|csr| is(csr, Role::Client) && csr.certificates.is_empty())
            .filter_map(CsrEvent::node)
            .collect();
        let mut without = 0;
        for node in nodes(snapshot) {
            let Some(life) = &node.client else {
                without += 1;
                continue;
            };
            if pending.contains(node.name.as_str()) || !is_overdue(life, snapshot.taken) {
                continue;
            }
            let says = format!(
                "{} should have renewed its client certificate by {}, but has not created a CSR; it expires at {}",
                node.name,
                short(life.renews_to.unwrap_or(life.not_after)),
                short(life.not_after)
            );
            let mend = [format!(
                "systemctl restart kubelet   # on {}; then: journalctl -u kubelet | grep certificate_manager",
                node.name
            )];
            self.find("node.renewal-overdue", Grade::Broken, [node.name.clone()], says, mend);
        }
        if without > 0 && snapshot.csrs.get().is_some() {
            self.unknown.push(format!(
                "when the client certificates of {without} nodes expire: their CSRs have been deleted from the API (an hour after approval). On the node: openssl x509 -noout -enddate -in /var/lib/kubelet/pki/kubelet-client-current.pem"
            ));
        }
    }

    pub(super) fn serving_certificates(&mut self) {
        let snapshot = self.snapshot;
        let waiting: BTreeSet<&str> = snapshot
            .csrs
            .all()
            .iter()
            .filter(|csr| is(csr, Role::Serving) && csr.certificates.is_empty())
            .filter_map(CsrEvent::node)
            .collect();
        let mut unreachable = Vec::new();
        for node in snapshot.nodes.all() {
            match &node.served {
                Served::Unreachable(why) => unreachable.push((node.name.clone(), why.clone())),
                Served::Alert(alert) if !waiting.contains(node.name.as_str()) => self.find(
                    "serving.none",
                    Grade::Broken,
                    [node.name.clone()],
                    format!("{} has no serving certificate (TLS alert: {alert}), and no CSR for one is pending: kubectl logs and exec fail there", node.name),
                    [format!("journalctl -u kubelet | grep -i 'serving\\|certificate'   # on {}", node.name)],
                ),
                Served::Alert(_) => {}
                Served::Certificate(certificate) => self.served(node, certificate),
            }
        }
        if let Some((name, why)) = unreachable.first() {
            self.unknown.push(format!(
                "what certificates {} of the nodes serve: their port can't be reached from here ({name}: {why})",
                unreachable.len()
            ));
        }
    }

    fn served(&mut self, node: &NodeFacts, certificate: &CertificateFacts) {
        let life = life(certificate);
        let now = self.snapshot.taken;
        let mend = if life.self_signed {
            format!(
                "rm /var/lib/kubelet/pki/kubelet.crt /var/lib/kubelet/pki/kubelet.key && systemctl restart kubelet   # on {}: the kubelet never renews this one",
                node.name
            )
        } else {
            format!("systemctl restart kubelet   # on {}; then approve its serving CSR", node.name)
        };
        // Nine tenths and half of what is left then: a kubelet that renews has done so.
        let late = at_share(life.not_before, life.not_after, 0.95);
        if now > life.not_after {
            let says = format!(
                "the certificate that {} serves expired at {}: kubectl logs and exec fail there",
                node.name,
                short(life.not_after)
            );
            self.find("serving.expired", Grade::Broken, [node.name.clone()], says, [mend]);
        } else if now > late {
            let never = if life.self_signed {
                ", and the kubelet does not renew it"
            } else {
                ", and should have been renewed long ago"
            };
            let says = format!("the certificate that {} serves expires at {}{never}", node.name, short(life.not_after));
            self.find("serving.ends", Grade::Broken, [node.name.clone()], says, [mend]);
        }
        let lacking: Vec<String> =
            node.addresses.iter().filter(|ip| !certificate.ips.contains(ip)).map(ToString::to_string).collect();
        if !life.self_signed && !lacking.is_empty() {
            let says = format!(
                "the certificate that {} serves lacks its addresses {}: an API server with --kubelet-certificate-authority refuses it",
                node.name,
                lacking.join(", ")
            );
            self.find(
                "serving.names",
                Grade::Warning,
                [node.name.clone()],
                says,
                ["kubectl get csr   # its kubelet has requested a new one, or will".to_owned()],
            );
        }
    }
}

/// As people read it: to the second, in UTC.
pub(in crate::doctor) fn short(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

fn life(certificate: &CertificateFacts) -> Life {
    let issuer = name_of(&certificate.issuer);
    // `<host>-ca@<unix time>` (catalogue K-18).
    let self_signed = issuer.rsplit_once("-ca@").is_some_and(|(_, time)| time.parse::<u64>().is_ok());
    let any = Version::new(1, 37, 0);
    let (from, to) = Rules::new(any, any).rotation_window(certificate.not_before, certificate.not_after);
    let names = certificate.dns.iter().cloned();
    Life {
        not_before: certificate.not_before,
        not_after: certificate.not_after,
        renews_from: (!self_signed).then_some(from),
        renews_to: (!self_signed).then_some(to),
        names: names.chain(certificate.ips.iter().map(ToString::to_string)).collect(),
        self_signed,
    }
}

/// Half of the time between the latest moment of renewal and the end has gone by.
fn is_overdue(life: &Life, now: Timestamp) -> bool {
    life.renews_to.is_some_and(|to| now > at_share(to, life.not_after, 0.5))
}

pub(super) fn nodes(snapshot: &Snapshot) -> Vec<NodeReport> {
    let mut newest: BTreeMap<&str, &CertificateFacts> = BTreeMap::new();
    for csr in snapshot.csrs.all().iter().filter(|csr| is(csr, Role::Client)) {
        let (Some(node), Some(leaf)) = (csr.node(), csr.certificates.first()) else {
            continue;
        };
        let known = newest.entry(node).or_insert(leaf);
        if leaf.not_before > known.not_before {
            *known = leaf;
        }
    }
    let reports = snapshot.nodes.all().iter().map(|node| {
        let (serving, not_served) = match &node.served {
            Served::Certificate(certificate) => (Some(life(certificate)), None),
            Served::Alert(alert) => (None, Some(format!("none (TLS alert: {alert})"))),
            Served::Unreachable(why) => (None, Some(format!("not reachable: {why}"))),
        };
        NodeReport {
            name: node.name.clone(),
            kubelet: node.kubelet.clone(),
            ready: node.ready.clone(),
            client: newest.get(node.name.as_str()).map(|leaf| life(leaf)),
            serving,
            not_served,
        }
    });
    reports.collect()
}
