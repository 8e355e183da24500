//! `tlsboot probe`: tlsboot plays the node in a cluster that others made. Without being allowed to write it sends what
//! stores nothing: reads, refused credentials, and creations as a dry run. [`play`] drives and observes, the judging of
//! what came is pure.
//!
//! This is no provider for scenarios: those begin with a cluster of their own, bind its roles and set its flags. In a
//! cluster that others use, the bindings are theirs (what is bound to `system:bootstrappers` can't be taken away for a
//! scenario, nor given), there is no audit log and no flag, so that most scenarios could only be weaker or wrong.

mod play;
mod words;

pub use play::{Plan, play};
pub use words::text;

use serde::Serialize;

/// What a probe needs of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Need {
    /// To be reached.
    Nothing,
    /// The right to create CSRs, as a dry run: admission and validation judge it, and nothing is stored.
    DryRun,
    /// That, in a node's name.
    Impersonation,
    /// Things are created.
    Writes,
}

/// Something to find out.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// Its name.
    pub id: &'static str,
    /// What is true of a conforming cluster.
    pub title: &'static str,
    /// The catalogue's behaviours.
    pub requirements: &'static [&'static str],
    /// What it needs.
    pub needs: Need,
}

/// How a probe went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "outcome", content = "said")]
pub enum Outcome {
    /// So it is; with what was seen.
    Pass(String),
    /// It is otherwise; with what was seen.
    Fail(String),
    /// It can't be found out here; with the reason.
    Unsupported(String),
}

/// A probe and how it went.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Probed {
    /// What was to be found out.
    #[serde(flatten)]
    pub probe: Probe,
    /// How it went.
    #[serde(flatten)]
    pub outcome: Outcome,
}

const fn probe(id: &'static str, title: &'static str, requirements: &'static [&'static str], needs: Need) -> Probe {
    Probe { id, title, requirements, needs }
}

/// All probes, in the order in which they are done.
pub const PROBES: [Probe; 19] = [
    probe(
        "authentication.no-credentials",
        "a request without credentials is anonymous (403) or refused (401)",
        &["A-03"],
        Need::Nothing,
    ),
    probe("authentication.unknown-token", "a well-formed token that nobody knows gets 401", &["A-02"], Need::Nothing),
    probe("authentication.malformed-token", "a token of no known form gets 401", &["A-02"], Need::Nothing),
    probe(
        "authentication.foreign-certificate",
        "a node's certificate of a CA that nobody knows gets 401",
        &["A-12"],
        Need::Nothing,
    ),
    probe(
        "rbac.built-in-roles",
        "the three ClusterRoles of bootstrapping allow what they should, and no more",
        &["R-01", "R-02"],
        Need::Nothing,
    ),
    probe(
        "issuance.validation",
        "a CSR without usages, with an unknown one, or that is no PEM is refused with 422",
        &["C-12"],
        Need::DryRun,
    ),
    probe("issuance.shortest-duration", "less than ten minutes can't be asked for (422)", &["C-13"], Need::DryRun),
    probe(
        "approval.system-masters",
        "the signer of all clients is not asked for system:masters (403)",
        &["A-06"],
        Need::DryRun,
    ),
    probe("rbac.node-authorizer", "a node may create a CSR in its own name", &["R-05"], Need::Impersonation),
    probe(
        "security.node-restriction",
        "a node may not create a CSR in another node's name (403, from 1.31 on)",
        &["N-03"],
        Need::Impersonation,
    ),
    probe("authentication.expired-token", "an expired bootstrap token gets 401", &["A-08"], Need::Writes),
    probe(
        "authentication.token-identity",
        "a bootstrap token gives the user system:bootstrap:ID and its groups",
        &["A-09", "C-06"],
        Need::Writes,
    ),
    probe(
        "bootstrap.first-certificate",
        "a node gets its first client certificate",
        &["A-05", "P-01", "S-10"],
        Need::Writes,
    ),
    probe(
        "issuance.client-certificate",
        "the certificate has the subject, usages and validity that Kubernetes promises",
        &["S-05", "S-07"],
        Need::Writes,
    ),
    probe("bootstrap.certificate-works", "the API server knows the node by it", &["R-05"], Need::Writes),
    probe(
        "rotation.renewal",
        "the node renews with its old certificate, and gets another one",
        &["T-02", "P-01"],
        Need::Writes,
    ),
    probe("issuance.requested-duration", "a CSR that asks for a shorter life gets it", &["C-13", "S-04"], Need::Writes),
    probe("approval.denied", "a node whose CSR is denied learns of it at once", &["C-15", "K-10"], Need::Writes),
    probe(
        "authentication.deleted-token",
        "a deleted bootstrap token gets 401, ten seconds later at the latest",
        &["A-10"],
        Need::Writes,
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use tlsboot_core::scenario::requirements;

    #[test]
    fn probes_are_named_once_and_show_behaviours_of_the_catalogue() {
        let ids: BTreeSet<&str> = PROBES.iter().map(|probe| probe.id).collect();
        assert_eq!(ids.len(), PROBES.len());
        for probe in PROBES {
            for id in probe.requirements {
                assert!(requirements::find(id).is_some(), "{}: {id}", probe.id);
            }
        }
    }

    #[test]
    fn what_writes_comes_last() {
        let first = PROBES.iter().position(|probe| probe.needs == Need::Writes);
        let rest = &PROBES[first.unwrap()..];
        assert!(rest.iter().all(|probe| probe.needs == Need::Writes));
    }
}
