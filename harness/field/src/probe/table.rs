//! All probes: what each shows, what it needs, and how it is run.

use std::pin::Pin;

use serde::Serialize;

use super::player::{Player, Trouble};

/// What a probe needs of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Need {
    /// Only a connection.
    Nothing,
    /// The right to create CSRs, as a dry run: admission and validation check it, and nothing is stored.
    DryRun,
    /// The same, in a node's name.
    Impersonation,
    /// Objects are created.
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
    /// The catalogue's behaviors.
    pub requirements: &'static [&'static str],
    /// What it needs.
    pub needs: Need,
    /// How it is run.
    #[serde(skip)]
    pub(super) play: Play,
}

/// A method of the player.
type Play = for<'p, 'a> fn(&'p mut Player<'a>) -> Pin<Box<dyn Future<Output = Result<Outcome, Trouble>> + Send + 'p>>;

/// The result of a probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "outcome", content = "said")]
pub enum Outcome {
    /// The statement is true; with what was seen.
    Pass(String),
    /// The statement is false; with what was seen.
    Fail(String),
    /// It cannot be determined here; with the reason.
    Unsupported(String),
}

/// A probe and its result.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Probed {
    /// The probe.
    #[serde(flatten)]
    pub probe: Probe,
    /// Its result.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// One entry for each probe: the method of the player that runs it, its id, the catalogue's behaviors, what it needs,
/// and what is true of a conforming cluster.
macro_rules! probes {
    ($($play:ident: $id:literal, $requirements:expr, $needs:ident, $title:literal;)*) => {
        /// All probes, in the order in which they are run.
        pub const PROBES: &[Probe] = &[$(Probe {
            id: $id,
            title: $title,
            requirements: &$requirements,
            needs: Need::$needs,
            play: |player| Box::pin(player.$play()),
        }),*];
    };
}

probes! {
    no_credentials: "authentication.no-credentials", ["A-03"], Nothing,
        "a request without credentials is anonymous (403) or refused (401)";
    unknown_token: "authentication.unknown-token", ["A-02"], Nothing,
        "a well-formed but unknown token gets 401";
    malformed_token: "authentication.malformed-token", ["A-02"], Nothing,
        "a malformed token gets 401";
    foreign_certificate: "authentication.foreign-certificate", ["A-12"], Nothing,
        "a node's certificate signed by an unknown CA gets 401";
    built_in_roles: "rbac.built-in-roles", ["R-01", "R-02"], Nothing,
        "the three bootstrap ClusterRoles allow what they should, and no more";
    reached: "serving.reached", ["U-01"], Nothing,
        "the API server reaches the kubelet of each node";
    validation: "issuance.validation", ["C-12"], DryRun,
        "a CSR without usages, with an unknown one, or that is not PEM is refused with 422";
    shortest_duration: "issuance.shortest-duration", ["C-13"], DryRun,
        "a duration of less than ten minutes is refused (422)";
    system_masters: "approval.system-masters", ["A-06"], DryRun,
        "a client certificate for system:masters cannot be requested (403)";
    node_authorizer: "rbac.node-authorizer", ["R-05"], Impersonation,
        "a node may create a CSR in its own name";
    node_restriction: "security.node-restriction", ["N-03"], Impersonation,
        "a node may not create a CSR in another node's name (403, since 1.31)";
    expired_token: "authentication.expired-token", ["A-08"], Writes,
        "an expired bootstrap token gets 401";
    token_identity: "authentication.token-identity", ["A-09", "C-06"], Writes,
        "a bootstrap token gives the user system:bootstrap:ID and its groups";
    first_certificate: "bootstrap.first-certificate", ["A-05", "P-01", "S-10"], Writes,
        "a node gets its first client certificate";
    client_certificate: "issuance.client-certificate", ["S-05", "S-07"], Writes,
        "the certificate has the subject, usages and validity that Kubernetes promises";
    certificate_works: "bootstrap.certificate-works", ["R-05"], Writes,
        "the API server authenticates the node by it";
    renewal: "rotation.renewal", ["T-02", "P-01"], Writes,
        "the node renews with its old certificate, and gets a new one";
    serving_certificate: "serving.first-certificate", ["P-06"], Writes,
        "a node gets a serving certificate, where the cluster has an approver for it";
    requested_duration: "issuance.requested-duration", ["C-13", "S-04"], Writes,
        "a CSR with a shorter expirationSeconds gets a certificate with that duration";
    denied: "approval.denied", ["C-15", "K-10"], Writes,
        "a node whose CSR is denied is notified immediately";
    deleted_token: "authentication.deleted-token", ["A-10"], Writes,
        "a deleted bootstrap token gets 401 within ten seconds";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use tlsboot_core::scenario::requirements;

    #[test]
    fn probes_are_named_once_and_show_behaviors_of_the_catalogue() {
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
