//! What is signed, and by a CA that counts.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use tlsboot_core::check::Role;
use tlsboot_core::history::event::CsrEvent;
use tlsboot_core::x509::verify::{Usage, chain_of};

use super::doctor::{Doctor, PATIENCE, name_of, sample, short};
use super::judge::{condition, is, unsignable};
use super::{Grade, SignerReport};
use crate::doctor::remedy::Remedy;
use crate::doctor::snapshot::Snapshot;

impl Doctor<'_> {
    /// Is what is approved signed, and by a CA that the API server trusts?
    pub(super) fn signing(&mut self) {
        let snapshot = self.snapshot;
        let kubelets = |csr: &&CsrEvent| is(csr, Role::Client) || is(csr, Role::Serving);
        let unsigned: Vec<&CsrEvent> = snapshot
            .csrs
            .all()
            .iter()
            .filter(kubelets)
            .filter(|csr| condition(csr, "Approved").is_some() && csr.certificates.is_empty())
            .collect();
        let is_stuck = |csr: &&&CsrEvent| {
            condition(csr, "Failed").is_none()
                && unsignable(csr, snapshot.version).is_none()
                && snapshot.taken.duration_since(csr.created) >= PATIENCE
        };
        let stuck: Vec<&&CsrEvent> = unsigned.iter().filter(is_stuck).collect();
        if !stuck.is_empty() {
            let names: Vec<String> = stuck.iter().map(|csr| csr.name.clone()).collect();
            let signers: BTreeSet<&str> = stuck.iter().map(|csr| csr.signer_name.as_str()).collect();
            let signers: Vec<&str> = signers.into_iter().collect();
            let says = format!(
                "nothing is signed for {}: {} approved but not issued; the controller csrsigning is not running, has no key, or its CA has expired",
                signers.join(" and "),
                sample(&names)
            );
            self.find("signer.absent", Grade::Broken, names, says, [Remedy::StartController { name: "csrsigning" }]);
            self.look("kubectl -n kube-system logs -l component=kube-controller-manager | grep -i sign".to_owned());
        }
        let mut refused: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for csr in &unsigned {
            let why = match (condition(csr, "Failed"), unsignable(csr, snapshot.version)) {
                (_, Some(cause)) => cause.says,
                (Some(failed), None) => failed.message.clone(),
                (None, None) => continue,
            };
            refused.entry(why).or_default().push(&csr.name);
        }
        for (why, names) in refused {
            let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
            let says = format!("approved, but the signer refuses it: {}: {why}", sample(&names));
            self.find("signer.refused", Grade::Warning, names.clone(), says, []);
            self.look(format!("kubectl describe csr {}", names[0]));
        }
        self.trust();
        self.ca_life();
        if snapshot.csrs.get().is_some_and(|csrs| csrs.iter().filter(kubelets).all(|csr| csr.conditions.is_empty())) {
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
        let mut strangers = BTreeSet::new();
        for csr in snapshot.csrs.all().iter().filter(|csr| is(csr, Role::Client)) {
            let Some(leaf) = csr.certificates.first() else {
                continue;
            };
            let is_current = leaf.not_before <= snapshot.taken && snapshot.taken <= leaf.not_after;
            let others = csr.certificates.get(1..).unwrap_or_default();
            // A CA that has expired since is another finding.
            let verifies = |at: &jiff::Timestamp| chain_of(leaf, others, cas, *at, Usage::Client).is_ok();
            if is_current && ![snapshot.taken, csr.created].iter().any(verifies) {
                strangers.insert(name_of(&leaf.issuer));
            }
        }
        if !strangers.is_empty() {
            let trusted: Vec<String> = cas.iter().map(|ca| name_of(&ca.subject)).collect();
            let strangers: Vec<String> = strangers.into_iter().collect();
            let says = format!(
                "client certificates are signed by a CA that the API server does not trust ({}; it trusts {}): every node that renews is lost, as it gets 401",
                sample(&strangers),
                sample(&trusted)
            );
            self.find("signer.wrong-ca", Grade::Broken, strangers, says, [Remedy::TrustSigningCa]);
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
            self.find("ca.ends", grade, [name], says, [Remedy::ReplaceCa]);
        }
    }
}

pub(super) fn signers(snapshot: &Snapshot) -> Option<Vec<SignerReport>> {
    let mut reports: BTreeMap<(String, String), SignerReport> = BTreeMap::new();
    for csr in snapshot.csrs.get()? {
        let Some(leaf) = csr.certificates.first().filter(|_| is(csr, Role::Client) || is(csr, Role::Serving)) else {
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
        report.certificates = report.certificates.saturating_add(1);
        report.shortest = report.shortest.min(span);
        report.longest = report.longest.max(span);
        let after = leaf.not_after.duration_since(csr.created).as_secs();
        report.after_request = report.after_request.max(after);
    }
    Some(reports.into_values().collect())
}
