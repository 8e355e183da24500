//! The whole diagnosis: each subject is looked at in turn.

use super::Diagnosis;
use super::csrs::approvers;
use super::doctor::Doctor;
use super::nodes::nodes;
use super::rbac::bindings;
use super::signing::signers;
use crate::doctor::snapshot::{Right, Seen, Snapshot};

/// Judges a snapshot.
pub fn diagnose(snapshot: &Snapshot) -> Diagnosis {
    let mut doctor = Doctor::new(snapshot);
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
