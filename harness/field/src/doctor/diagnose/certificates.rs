//! The nodes, and their certificates.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use tlsboot_core::check::Role;
use tlsboot_core::history::event::{CsrEvent, NODE_USER_PREFIX};
use tlsboot_core::history::facts::CertificateFacts;
use tlsboot_core::time::at_share;

use super::csrs::{last_serving, newest};
use super::doctor::{Doctor, sample, short};
use super::judge::{Judgement, condition, is, judge, lacking};
use super::nodes::{Source, issuer, nodes, source};
use super::{Grade, Life};
use crate::doctor::remedy::Remedy;
use crate::doctor::snapshot::{NodeFacts, Served};

/// Clocks differ by less than this.
const SKEW: SignedDuration = SignedDuration::from_mins(1);
/// For so many nodes commands are listed one by one.
const ONE_BY_ONE: usize = 20;

impl Doctor<'_> {
    /// Whether the nodes' kubelets report at all.
    pub(super) fn readiness(&mut self) {
        let nodes = self.snapshot.nodes.all();
        let named = |status: Option<&str>| -> Vec<&NodeFacts> {
            nodes.iter().filter(|node| node.ready.as_deref() == status).collect()
        };
        let names = |nodes: &[&NodeFacts]| nodes.iter().map(|node| node.name.clone()).collect::<Vec<_>>();
        let lost = named(Some("Unknown"));
        if let Some(first) = lost.iter().min_by_key(|node| node.ready_since) {
            let (grade, all) =
                if lost.len() == nodes.len() { (Grade::Broken, "all nodes: ") } else { (Grade::Warning, "") };
            let since = first.ready_since.map_or_else(String::new, |since| format!(" (since {})", short(since)));
            let usable = self
                .snapshot
                .tokens
                .get()
                .map(|tokens| tokens.iter().any(|token| token.is_usable(self.snapshot.taken)));
            let token = if usable == Some(false) {
                "; no bootstrap token is usable, so a node whose certificate has expired can't rejoin by one"
            } else {
                ""
            };
            let says = format!(
                "{all}the kubelets of {} have stopped posting their status{since}: they are off, cut off, or their client certificates have expired{token}",
                sample(&names(&lost))
            );
            self.find("node.not-ready", grade, names(&lost), says, []);
            self.look(format!(
                "openssl x509 -noout -enddate -in /var/lib/kubelet/pki/kubelet-client-current.pem; journalctl -u kubelet | grep -i certificate   # on {}",
                first.name
            ));
        }
        let unwell = named(Some("False"));
        if !unwell.is_empty() {
            let says = format!(
                "nodes that report that they are not ready, with client certificates that work: {}",
                sample(&names(&unwell))
            );
            self.find("node.unwell", Grade::Note, names(&unwell), says, []);
        }
        let silent = named(None);
        if !silent.is_empty() {
            let says = format!("never reported whether they are ready: {}", sample(&names(&silent)));
            self.find("node.never-reported", Grade::Note, names(&silent), says, []);
        }
        let mut shared: BTreeMap<_, BTreeSet<&str>> = BTreeMap::new();
        for node in nodes {
            for address in &node.addresses {
                shared.entry(address.to_canonical()).or_default().insert(&node.name);
            }
        }
        shared.retain(|_, nodes| nodes.len() > 1);
        if let Some((address, nodes)) = shared.first_key_value() {
            let nodes: Vec<String> = nodes.iter().map(|&node| node.to_owned()).collect();
            let says = format!(
                "{} have the same address {address}: an approver that goes by addresses can't tell their serving CSRs apart",
                sample(&nodes)
            );
            self.find("node.same-address", Grade::Note, nodes, says, []);
        }
    }

    pub(super) fn client_certificates(&mut self) {
        let snapshot = self.snapshot;
        // A denied one is decided, and one that is wrong is never approved: neither will end this.
        let pending: BTreeSet<&str> = newest(snapshot.csrs.all())
            .into_iter()
            .filter(|csr| is(csr, Role::Client) && csr.certificates.is_empty() && condition(csr, "Denied").is_none())
            .filter(|csr| {
                csr.username.strip_prefix(NODE_USER_PREFIX) == csr.node() && judge(csr, snapshot) == Judgement::Sound
            })
            .filter_map(CsrEvent::node)
            .collect();
        let mut without = 0_usize;
        for node in nodes(snapshot).unwrap_or_default() {
            let Some(life) = &node.client else {
                without = without.saturating_add(1);
                continue;
            };
            if pending.contains(node.name.as_str()) || !is_overdue(life, snapshot.taken) {
                continue;
            }
            let ends = if life.not_after < snapshot.taken { "it expired" } else { "it expires" };
            let says = format!(
                "{} should have renewed its client certificate by {}, but has no CSR that could still be approved; {ends} at {}",
                node.name,
                short(life.renews_to.unwrap_or(life.not_after)),
                short(life.not_after)
            );
            let first = self.remedies_of(&["renewal.not-approved", "approver.absent", "signer.absent"]);
            let remedies = first.into_iter().chain([Remedy::RenewClient { node: node.name.clone() }]);
            self.find("node.renewal-overdue", Grade::Broken, [node.name.clone()], says, remedies.collect::<Vec<_>>());
            self.look(format!("journalctl -u kubelet | grep certificate_manager   # on {}", node.name));
        }
        if without > 0 && snapshot.csrs.get().is_some() && !self.bootstraps_otherwise() {
            self.unknown.push(format!(
                "when the client certificates of {without} nodes expire: their CSRs have been deleted from the API (an hour after approval). On the node: openssl x509 -noout -enddate -in /var/lib/kubelet/pki/kubelet-client-current.pem"
            ));
        }
    }

    pub(super) fn serving_certificates(&mut self) {
        let snapshot = self.snapshot;
        let (mut unreachable, mut self_signed) = (Vec::new(), Vec::new());
        for node in snapshot.nodes.all() {
            match &node.served {
                Served::Unreachable(why) => unreachable.push((node.name.clone(), why.clone())),
                Served::Alert(alert) => self.serves_nothing(node, alert),
                Served::Certificate(certificate) => {
                    self.served(node, certificate);
                    if source(node, certificate) == Source::SelfSigned {
                        self_signed.push(node.name.clone());
                    }
                }
            }
        }
        if !self_signed.is_empty() {
            let says = format!(
                "{} serve certificates that their kubelets signed on their own: metrics-server without --kubelet-insecure-tls, and an API server with --kubelet-certificate-authority, refuse them",
                sample(&self_signed)
            );
            self.find("serving.self-signed", Grade::Note, self_signed, says, []);
            self.look("grep serverTLSBootstrap /var/lib/kubelet/config.yaml   # true, and something that approves serving CSRs, gives nodes certificates of the cluster's CA".to_owned());
        }
        self.serving_cas();
        if let Some((name, why)) = unreachable.first() {
            self.unknown.push(format!(
                "what certificates {} of the nodes serve: their port can't be reached from here ({name}: {why})",
                unreachable.len()
            ));
        }
    }

    /// A node whose kubelet has no serving certificate. Where its last CSR is right and pending or denied, that is a
    /// finding of its own.
    fn serves_nothing(&mut self, node: &NodeFacts, alert: &str) {
        let snapshot = self.snapshot;
        let last = last_serving(snapshot, node);
        let csr = match last {
            None if snapshot.csrs.get().is_none() => "whether a CSR for one is pending is not known".to_owned(),
            None => "no CSR for one is pending".to_owned(),
            Some(csr) => match (judge(csr, snapshot), condition(csr, "Denied"), condition(csr, "Approved")) {
                (Judgement::Sound, None, None) => return,
                (Judgement::Sound | Judgement::Unknown(_), Some(_), _) => return,
                (Judgement::Unsignable(cause) | Judgement::Foreign(cause), _, _) => {
                    format!("its last CSR {} is wrong: {}", csr.name, cause.says)
                }
                (Judgement::Unknown(cause), _, _) => format!("its last CSR {} is Pending: {}", csr.name, cause.says),
                (_, _, Some(_)) if csr.certificates.is_empty() => {
                    format!("its last CSR {} was approved, and nothing was issued", csr.name)
                }
                _ => format!("the certificate issued for its last CSR {} is not in use", csr.name),
            },
        };
        let says = format!(
            "{} has no serving certificate (TLS alert: {alert}), and {csr}: kubectl logs and exec fail there",
            node.name
        );
        self.find("serving.none", Grade::Broken, [node.name.clone()], says, []);
        self.look(format!("journalctl -u kubelet | grep -i 'serving\\|certificate'   # on {}", node.name));
    }

    fn served(&mut self, node: &NodeFacts, certificate: &CertificateFacts) {
        let source = source(node, certificate);
        let now = self.snapshot.taken;
        let (begin, end) = (certificate.not_before, certificate.not_after);
        let about = || [node.name.clone()];
        let (renewed, never) = match source {
            // Nine tenths and half of what is left then: a kubelet that renews has done so.
            Source::Csr => (0.95, ", and should have been renewed long ago"),
            Source::SelfSigned => (0.95, ", and the kubelet does not renew it"),
            Source::File => (0.8, ", and the kubelet does not renew it: it comes from a file (tlsCertFile)"),
            Source::Agent(_) => (0.8, ", and is renewed only when the agent is restarted"),
        };
        if begin > now.saturating_add(SKEW).unwrap_or(now) {
            let says = format!(
                "the certificate that {} serves is valid from {} on only: a clock is wrong, that of its signer or this machine's",
                node.name,
                short(begin)
            );
            self.find(
                "serving.not-yet-valid",
                Grade::Broken,
                about(),
                says,
                [Remedy::SetClock { node: node.name.clone() }],
            );
        } else if now > end {
            let says = format!(
                "the certificate that {} serves expired at {}: kubectl logs and exec fail there",
                node.name,
                short(end)
            );
            let remedies = self.renewed(node, source);
            self.find("serving.expired", Grade::Broken, about(), says, remedies);
        } else if now > at_share(begin, end, renewed) {
            let grade = if now > at_share(begin, end, 0.95) { Grade::Broken } else { Grade::Warning };
            let says = format!("the certificate that {} serves expires at {}{never}", node.name, short(end));
            let remedies = self.renewed(node, source);
            self.find("serving.ends", grade, about(), says, remedies);
        }
        if source != Source::SelfSigned {
            self.served_names(node, certificate, source);
        }
    }

    fn served_names(&mut self, node: &NodeFacts, certificate: &CertificateFacts, source: Source) {
        let nodes = self.snapshot.nodes.all().iter();
        let has = |node: &NodeFacts| {
            certificate.dns.iter().any(|name| node.is_called(name)) || certificate.ips.iter().any(|ip| node.is_at(*ip))
        };
        let is_named = |node: &&NodeFacts| {
            certificate.subject.common_name.as_deref() == Some(&format!("{NODE_USER_PREFIX}{}", node.name))
        };
        let lacking = lacking(node, &certificate.ips);
        let other =
            nodes.filter(|other| other.name != node.name).find(|other| is_named(other) || !has(node) && has(other));
        let (id, says) = if let Some(other) = other {
            (
                "serving.another-host",
                format!("{} serves the certificate of {}: its disk or files were copied", node.name, other.name),
            )
        } else if !lacking.is_empty() {
            let says = format!(
                "the certificate that {} serves lacks its addresses {}: an API server with --kubelet-certificate-authority refuses it",
                node.name,
                lacking.join(", ")
            );
            ("serving.names", says)
        } else {
            return;
        };
        let remedies = self.renewed(node, source);
        self.find(id, Grade::Warning, [node.name.clone()], says, remedies);
        if source == Source::Csr {
            self.look(
                "kubectl get csr   # a kubelet whose Node has got another address has asked for a new one, or will"
                    .to_owned(),
            );
        }
    }

    /// How a node gets another one than it serves now, which an API server accepts that verifies it: another self-signed one
    /// would be refused as well.
    pub(super) fn renewing_what_it_serves(&self, node: &NodeFacts) -> Vec<Remedy> {
        match &node.served {
            Served::Certificate(certificate) => match source(node, certificate) {
                Source::SelfSigned => Vec::new(),
                source => self.renewed(node, source),
            },
            _ => Vec::new(),
        }
    }

    /// How a node gets another serving certificate.
    fn renewed(&self, node: &NodeFacts, source: Source) -> Vec<Remedy> {
        let node = node.name.clone();
        match source {
            Source::SelfSigned => vec![Remedy::RenewSelfSigned { node }],
            Source::File => vec![Remedy::RenewFile { node }],
            Source::Agent(service) => vec![Remedy::RenewServing { node, service }],
            Source::Csr => {
                let mut remedies = self.remedies_of(&["signer.absent"]);
                remedies.push(Remedy::RenewServing { node, service: "kubelet" });
                remedies
            }
        }
    }

    /// Whether the nodes' serving certificates, and those that are signed now, have one issuer.
    fn serving_cas(&mut self) {
        let snapshot = self.snapshot;
        let mut issuers: BTreeMap<(String, String), Vec<&NodeFacts>> = BTreeMap::new();
        let mut others = false;
        for node in snapshot.nodes.all() {
            if let Served::Certificate(certificate) = &node.served {
                match source(node, certificate) {
                    Source::SelfSigned => continue,
                    Source::Csr => {}
                    Source::File | Source::Agent(_) => others = true,
                }
                issuers.entry(issuer(certificate)).or_default().push(node);
            }
        }
        let signed = snapshot.csrs.all().iter().filter(|csr| is(csr, Role::Serving) && !csr.certificates.is_empty());
        let current = signed.max_by_key(|csr| csr.created).and_then(|csr| csr.certificates.first()).map(issuer);
        let mut all: BTreeSet<&(String, String)> = issuers.keys().collect();
        all.extend(&current);
        if issuers.is_empty() || all.len() < 2 {
            return;
        }
        let shares: Vec<String> = issuers
            .iter()
            .map(|((name, _), nodes)| {
                let nodes: Vec<String> = nodes.iter().map(|node| node.name.clone()).collect();
                format!("{} by {name}", sample(&nodes))
            })
            .collect();
        let now = current.as_ref().map_or_else(String::new, |(name, _)| format!("; the signer uses {name} now"));
        let old: Vec<&&NodeFacts> = issuers
            .iter()
            .filter(|(issuer, _)| Some(*issuer) != current.as_ref())
            .flat_map(|(_, nodes)| nodes)
            .collect();
        let remedies = if current.is_some() && !others && old.len() <= ONE_BY_ONE {
            let renewals = old.iter().map(|node| Remedy::RenewServing { node: node.name.clone(), service: "kubelet" });
            self.remedies_of(&["signer.absent"]).into_iter().chain(renewals).collect()
        } else {
            Vec::new()
        };
        let names: Vec<String> = old.iter().map(|node| node.name.clone()).collect();
        let says = format!(
            "the nodes' serving certificates have several issuers: {}{now}. A client that trusts one of these CAs refuses the others, so what verifies kubelets must trust all of them until the old certificates are gone",
            shares.join("; ")
        );
        self.find("serving.several-cas", Grade::Warning, names, says, remedies);
    }
}

/// Half of the time between the latest moment of renewal and the end has gone by.
fn is_overdue(life: &Life, now: Timestamp) -> bool {
    life.renews_to.is_some_and(|to| now > at_share(to, life.not_after, 0.5))
}
