//! What is signed, and by a CA that counts.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;
use tlsboot_core::check::Role;
use tlsboot_core::history::event::CsrEvent;
use tlsboot_core::history::facts::{CertificateFacts, Name};
use tlsboot_core::x509::verify::{Usage, chain};

use super::certificates::short;
use super::csrs::{condition, is};
use super::doctor::{Doctor, PATIENCE};
use super::{Grade, SignerReport};
use crate::doctor::snapshot::Snapshot;

impl Doctor<'_> {
    /// Is what is approved signed, and by a CA that the API server trusts?
    pub(super) fn signing(&mut self) {
        let snapshot = self.snapshot;
        let unsigned: Vec<&CsrEvent> = snapshot
            .csrs
            .all()
            .iter()
            .filter(|csr| condition(csr, "Approved").is_some() && csr.certificates.is_empty())
            .collect();
        let stuck: Vec<&&CsrEvent> = unsigned
            .iter()
            .filter(|csr| condition(csr, "Failed").is_none())
            .filter(|csr| snapshot.taken.duration_since(csr.created) >= PATIENCE)
            .collect();
        if !stuck.is_empty() {
            let names: Vec<String> = stuck.iter().map(|csr| csr.name.clone()).collect();
            let signers: BTreeSet<&str> = stuck.iter().map(|csr| csr.signer_name.as_str()).collect();
            let signers: Vec<&str> = signers.into_iter().collect();
            let says = format!(
                "nothing is signed for {}: {} approved but not issued; the controller csrsigning is not running, has no key, or its CA has expired",
                signers.join(" and "),
                names.join(", ")
            );
            let mend = ["kubectl -n kube-system logs -l component=kube-controller-manager | grep -i sign   # it needs --cluster-signing-cert-file and --cluster-signing-key-file".to_owned()];
            self.find("signer.absent", Grade::Broken, names, says, mend);
        }
        for csr in &unsigned {
            if let Some(failed) = condition(csr, "Failed") {
                self.find(
                    "signer.refused",
                    Grade::Warning,
                    [csr.name.clone()],
                    format!("{} was approved, but the signer refused it: {}", csr.name, failed.message),
                    [format!("kubectl describe csr {}", csr.name)],
                );
            }
        }
        self.trust();
        self.ca_life();
        if snapshot.csrs.get().is_some_and(|csrs| !csrs.iter().any(|csr| condition(csr, "Approved").is_some())) {
            self.unknown.push(
                "who approves and signs, and for how long: the API has no decided CSR (they are deleted an hour after approval)".into(),
            );
        }
    }

    fn trust(&mut self) {
        let snapshot = self.snapshot;
        let Some(cas) = snapshot.client_cas.get() else {
            return;
        };
        if cas.is_empty() {
            self.unknown.push(
                "whether the API server trusts what is signed: it publishes no --client-ca-file (ConfigMap kube-system/extension-apiserver-authentication)".into(),
            );
            return;
        }
        let roots: Vec<Vec<u8>> = cas.iter().filter_map(der).collect();
        let roots: Vec<&[u8]> = roots.iter().map(Vec::as_slice).collect();
        let mut strangers = BTreeMap::new();
        for csr in snapshot.csrs.all().iter().filter(|csr| is(csr, Role::Client)) {
            let Some(leaf) = csr.certificates.first() else {
                continue;
            };
            let is_current = leaf.not_before <= snapshot.taken && snapshot.taken <= leaf.not_after;
            let others: Vec<Vec<u8>> = csr.certificates[1..].iter().filter_map(der).collect();
            let others: Vec<&[u8]> = others.iter().map(Vec::as_slice).collect();
            let trusted =
                der(leaf).is_some_and(|leaf| chain(&leaf, &others, &roots, snapshot.taken, Usage::Client).is_ok());
            if is_current && !trusted {
                strangers.insert(csr.name.clone(), name_of(&leaf.issuer));
            }
        }
        if let Some(issuer) = strangers.values().next().cloned() {
            let trusted: Vec<String> = cas.iter().map(|ca| name_of(&ca.subject)).collect();
            let names: Vec<String> = strangers.into_keys().collect();
            let says = format!(
                "client certificates are signed by a CA that the API server does not trust ({issuer}; it trusts {}): every node that renews is lost, as it gets 401",
                trusted.join(", ")
            );
            let mend = ["kube-controller-manager --cluster-signing-cert-file=CA.crt --cluster-signing-key-file=CA.key   # on the control plane: a CA that is in kube-apiserver's --client-ca-file, or add this one there".to_owned()];
            self.find("signer.wrong-ca", Grade::Broken, names, says, mend);
        }
    }

    fn ca_life(&mut self) {
        const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);
        let snapshot = self.snapshot;
        let cas = snapshot.client_cas.all();
        let issuers: BTreeSet<String> = snapshot
            .csrs
            .all()
            .iter()
            .filter(|csr| is(csr, Role::Client))
            .filter_map(|csr| Some(name_of(&csr.certificates.first()?.issuer)))
            .collect();
        for ca in cas {
            let name = name_of(&ca.subject);
            let signs = issuers.contains(&name) || cas.len() == 1;
            let left = ca.not_after.duration_since(snapshot.taken);
            let span = ca.not_after.duration_since(ca.not_before);
            if !signs || left > SOON || (left.is_positive() && span < SOON * 2) {
                continue;
            }
            let (grade, says) = if left.is_negative() {
                (
                    Grade::Broken,
                    format!(
                        "the CA {name} expired at {}: nothing is signed any more, and its certificates are no longer accepted",
                        short(ca.not_after)
                    ),
                )
            } else {
                (
                    Grade::Warning,
                    format!(
                        "the CA {name} expires at {}: certificates can't be signed for longer than that",
                        short(ca.not_after)
                    ),
                )
            };
            let mend = ["kubeadm certs check-expiration   # it does not renew CAs: see \"Manual Rotation of CA Certificates\" in the Kubernetes documentation".to_owned()];
            self.find("ca.ends", grade, [name], says, mend);
        }
    }
}

fn der(certificate: &CertificateFacts) -> Option<Vec<u8>> {
    STANDARD.decode(&certificate.der).ok()
}

pub(super) fn name_of(name: &Name) -> String {
    name.common_name.clone().unwrap_or_else(|| name.organizations.join(","))
}

pub(super) fn signers(snapshot: &Snapshot) -> Vec<SignerReport> {
    let mut reports: BTreeMap<(String, String), SignerReport> = BTreeMap::new();
    for csr in snapshot.csrs.all() {
        let Some(leaf) = csr.certificates.first() else {
            continue;
        };
        let span = leaf.not_after.duration_since(leaf.not_before).as_secs();
        let issuer = name_of(&leaf.issuer);
        let report = reports.entry((csr.signer_name.clone(), issuer.clone())).or_insert(SignerReport {
            signer: csr.signer_name.clone(),
            issuer,
            certificates: 0,
            shortest: span,
            longest: span,
            after_request: 0,
        });
        report.certificates += 1;
        report.shortest = report.shortest.min(span);
        report.longest = report.longest.max(span);
        let after = leaf.not_after.duration_since(csr.created).as_secs();
        report.after_request = report.after_request.max(after);
    }
    reports.into_values().collect()
}
