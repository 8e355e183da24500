//! The whole diagnosis: each subject is looked at in turn.

use jiff::SignedDuration;

use super::certificates::nodes;
use super::csrs::approvers;
use super::rbac::bindings;
use super::signing::signers;
use super::{Diagnosis, Finding, Grade};
use crate::doctor::snapshot::{Right, Seen, Snapshot};

/// The built-in approver and signer take milliseconds (catalogue S-10); what waits so long waits for something else.
pub const PATIENCE: SignedDuration = SignedDuration::from_secs(10);

/// Judges a snapshot.
pub fn diagnose(snapshot: &Snapshot) -> Diagnosis {
    let mut doctor = Doctor { snapshot, findings: Vec::new(), unknown: Vec::new() };
    doctor.bootstrapping();
    doctor.renewing();
    doctor.too_wide();
    doctor.waiting();
    doctor.signing();
    doctor.approved();
    doctor.tokens();
    doctor.client_certificates();
    doctor.serving_certificates();
    let Doctor { mut findings, unknown, .. } = doctor;
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.grade));
    Diagnosis {
        taken: snapshot.taken,
        server: snapshot.server.clone(),
        version: snapshot.version,
        bindings: bindings(snapshot),
        approvers: approvers(snapshot),
        signers: signers(snapshot),
        tokens: snapshot.tokens.all().to_vec(),
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
        mend: impl IntoIterator<Item = String>,
    ) {
        self.findings.push(Finding {
            id,
            grade,
            about: about.into_iter().collect(),
            says: says.into(),
            mend: mend.into_iter().collect(),
        });
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
    ];
    all.into_iter().flatten().collect()
}
