//! The whole diagnosis: each subject is looked at in turn.

use jiff::SignedDuration;

use super::certificates::nodes;
use super::csrs::approvers;
use super::rbac::bindings;
use super::signing::signers;
use super::{Diagnosis, Finding, Grade};
use crate::doctor::remedy::Remedy;
use crate::doctor::snapshot::{Right, Seen, Snapshot};

/// The built-in approver and signer take milliseconds (catalogue S-10); a CSR that is pending for so long is pending for
/// another reason.
pub const PATIENCE: SignedDuration = SignedDuration::from_secs(10);

/// Judges a snapshot.
pub fn diagnose(snapshot: &Snapshot) -> Diagnosis {
    let mut doctor = Doctor { snapshot, findings: Vec::new(), unknown: Vec::new() };
    // First, because what may be approved later has to be approved, and signed.
    doctor.signing();
    doctor.pending();
    doctor.bootstrapping();
    doctor.renewing();
    doctor.too_wide();
    doctor.pending_for_others();
    doctor.denied();
    doctor.approved();
    doctor.tokens();
    doctor.discovery();
    doctor.readiness();
    doctor.client_certificates();
    doctor.serving_certificates();
    doctor.reaching();
    let Doctor { mut findings, unknown, .. } = doctor;
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.grade));
    Diagnosis {
        taken: snapshot.taken,
        server: snapshot.server.clone(),
        version: snapshot.version,
        bindings: bindings(snapshot),
        approvers: approvers(snapshot),
        signers: signers(snapshot),
        tokens: snapshot.tokens.get().cloned(),
        nodes: nodes(snapshot),
        findings,
        unknown,
        missing: missing(snapshot),
    }
}

pub(super) struct Doctor<'a> {
    pub(super) snapshot: &'a Snapshot,
    findings: Vec<Finding>,
    pub(super) unknown: Vec<String>,
}

impl Doctor<'_> {
    pub(super) fn find(
        &mut self,
        id: &'static str,
        grade: Grade,
        about: impl IntoIterator<Item = String>,
        says: impl Into<String>,
        remedies: impl IntoIterator<Item = Remedy>,
    ) {
        let mut about: Vec<String> = about.into_iter().collect();
        let count = about.len();
        about.truncate(ABOUT);
        let remedies = remedies.into_iter().collect();
        self.findings.push(Finding { id, grade, count, about, says: says.into(), remedies, look: Vec::new() });
    }

    /// The remedies of earlier findings, which have to come first.
    pub(super) fn remedies_of(&self, ids: &[&str]) -> Vec<Remedy> {
        let findings = self.findings.iter().filter(|finding| ids.contains(&finding.id));
        findings.flat_map(|finding| finding.remedies.iter().cloned()).collect()
    }

    /// Where to look for more about the last finding.
    pub(super) fn look(&mut self, command: String) {
        if let Some(last) = self.findings.last_mut() {
            last.look.push(command);
        }
    }
}

/// How many names a finding lists.
const ABOUT: usize = 100;

/// The first three of some names, and how many more there are.
pub(super) fn sample(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn missing(snapshot: &Snapshot) -> Vec<Right> {
    fn of<T>(seen: &Seen<T>) -> Option<Right> {
        seen.missing().cloned()
    }
    let all = [
        of(&snapshot.grants),
        of(&snapshot.reviews),
        of(&snapshot.csrs),
        of(&snapshot.tokens),
        of(&snapshot.nodes),
        of(&snapshot.client_cas),
        of(&snapshot.cluster_info),
    ];
    all.into_iter().flatten().collect()
}
