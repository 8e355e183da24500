//! Why the API server does not reach a kubelet: kubectl logs, exec, top and port-forward fail there.

use std::collections::BTreeMap;

use super::Grade;
use super::doctor::{Doctor, sample};
use super::nodes::is_self_signed;
use crate::doctor::remedy::Remedy;
use crate::doctor::snapshot::{NodeFacts, Reached, Served};

/// What is wrong on the way to a kubelet's port, told by the API server's or the kubelet's answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// The kubelet has no serving certificate.
    NoCertificate,
    /// Its certificate is of a CA that the API server does not know, or of none.
    UnknownAuthority,
    /// It is out of its time.
    Validity,
    /// It is not for the name or address by which the API server goes.
    Names,
    /// The kubelet does not accept the API server's own certificate.
    Unauthorized,
    /// The kubelet lets this user, the API server, do nothing.
    Forbidden(String),
    /// The API server can't resolve the node's name.
    Name,
    /// No connection.
    Network,
    /// Something else.
    Other,
}

/// None for a good answer. The texts are Go's (`crypto/x509`, `crypto/tls`, `net`) and the kubelet's
/// (`pkg/kubelet/server/server.go`).
pub fn obstacle(reached: &Reached) -> Option<Obstacle> {
    let says = |part: &str| reached.message.contains(part);
    Some(match reached.code {
        200..=299 => return None,
        _ if says("tls: internal error") => Obstacle::NoCertificate,
        _ if says("signed by unknown authority") => Obstacle::UnknownAuthority,
        _ if says("has expired or is not yet valid") => Obstacle::Validity,
        _ if says("doesn't contain any IP SANs")
            || says("certificate is valid for")
            || says("is not valid for any names")
            || says("relies on legacy Common Name") =>
        {
            Obstacle::Names
        }
        401 => Obstacle::Unauthorized,
        403 => Obstacle::Forbidden(user(&reached.message).unwrap_or_else(|| "kube-apiserver-kubelet-client".into())),
        _ if says("no such host") => Obstacle::Name,
        _ if [
            "connection refused",
            "i/o timeout",
            "no route to host",
            "deadline exceeded",
            "EOF",
            "no answer within",
        ]
        .iter()
        .any(|part| says(part)) =>
        {
            Obstacle::Network
        }
        _ => Obstacle::Other,
    })
}

/// `Forbidden (user=NAME, verb=get, resource=nodes, subresource(s)=[proxy])`.
fn user(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("user=")?;
    rest.split_once(',').map(|(user, _)| user.trim().to_owned()).filter(|user| !user.is_empty())
}

impl Doctor<'_> {
    pub(super) fn reaching(&mut self) {
        let mut groups: BTreeMap<Obstacle, Vec<(&NodeFacts, &Reached)>> = BTreeMap::new();
        for node in self.snapshot.nodes.all() {
            if let Some(reached) = &node.reached
                && let Some(obstacle) = obstacle(reached)
            {
                groups.entry(obstacle).or_default().push((node, reached));
            }
        }
        for (obstacle, nodes) in groups {
            self.obstructed(&obstacle, &nodes);
        }
        let untried = self.snapshot.nodes.all().iter().any(|node| node.reached.is_none());
        if untried {
            self.unknown.push(
                "whether the API server reaches the kubelets (kubectl logs, exec, top): trying it takes the right to get nodes/proxy (tlsboot doctor --rbac)".into(),
            );
        }
    }

    fn obstructed(&mut self, obstacle: &Obstacle, nodes: &[(&NodeFacts, &Reached)]) {
        let names: Vec<String> = nodes.iter().map(|(node, _)| node.name.clone()).collect();
        let answer = nodes.first().map(|(_, reached)| reached.message.clone()).unwrap_or_default();
        let each = |doctor: &Self| -> Vec<Remedy> {
            nodes.iter().flat_map(|(node, _)| doctor.renewing_what_it_serves(node)).collect()
        };
        let self_signed = nodes.iter().all(|(node, _)| match &node.served {
            Served::Certificate(certificate) => is_self_signed(certificate),
            _ => false,
        });
        let (id, why, remedies) = match obstacle {
            // Findings about what these nodes serve say more.
            Obstacle::NoCertificate if nodes.iter().all(|(node, _)| matches!(node.served, Served::Alert(_))) => return,
            Obstacle::NoCertificate => ("reach.no-certificate", "they have no serving certificate", Vec::new()),
            Obstacle::UnknownAuthority if self_signed => (
                "reach.self-signed",
                "their kubelets signed their serving certificates on their own, and the API server verifies them (--kubelet-certificate-authority): set serverTLSBootstrap to true in the kubelets' configuration, and have the serving CSRs approved",
                Vec::new(),
            ),
            Obstacle::UnknownAuthority => (
                "reach.unknown-authority",
                "the CA of their serving certificates is not in --kubelet-certificate-authority, or was put there after the API server's start",
                vec![Remedy::TrustServingCa],
            ),
            Obstacle::Validity => {
                ("reach.validity", "their serving certificates have expired or are not yet valid", each(self))
            }
            Obstacle::Names => (
                "reach.names",
                "their serving certificates are self-signed, or not for the name or address by which the API server goes",
                each(self),
            ),
            Obstacle::Unauthorized => (
                "reach.unauthorized",
                "the kubelets do not accept the API server's certificate: it has expired, or is of another CA than their clientCAFile",
                vec![Remedy::RenewKubeletClient],
            ),
            Obstacle::Forbidden(user) => (
                "reach.forbidden",
                "the API server's own user may not use the kubelets' API",
                vec![Remedy::BindKubeletApi { user: user.clone() }],
            ),
            Obstacle::Name => ("reach.name", "it can't resolve their names", vec![Remedy::PreferAddresses]),
            Obstacle::Network => {
                ("reach.network", "no connection comes about, which is no matter of certificates", Vec::new())
            }
            Obstacle::Other => ("reach.failed", "the answer is not one that is known", Vec::new()),
        };
        let says = format!(
            "the API server does not reach the kubelets of {}, so kubectl logs and exec fail there: {why} ({answer})",
            sample(&names)
        );
        let grade =
            if matches!(obstacle, Obstacle::Network | Obstacle::Other) { Grade::Warning } else { Grade::Broken };
        let first = nodes.first().map(|(node, _)| node.name.clone()).unwrap_or_default();
        self.find(id, grade, names, says, remedies);
        self.look(format!("kubectl get --raw /api/v1/nodes/{first}/proxy/healthz"));
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(200, "ok", None)]
    #[case(503, "error trying to reach service: remote error: tls: internal error", Some(Obstacle::NoCertificate))]
    #[case(
        503,
        "error trying to reach service: tls: failed to verify certificate: x509: certificate signed by unknown authority",
        Some(Obstacle::UnknownAuthority)
    )]
    #[case(
        503,
        "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2026",
        Some(Obstacle::Validity)
    )]
    #[case(
        503,
        "x509: cannot validate certificate for 10.0.0.7 because it doesn't contain any IP SANs",
        Some(Obstacle::Names)
    )]
    #[case(503, "x509: certificate is valid for 10.0.0.8, not 10.0.0.7", Some(Obstacle::Names))]
    #[case(401, "Unauthorized", Some(Obstacle::Unauthorized))]
    #[case(403, "Forbidden (user=apiserver, verb=get, resource=nodes, subresource(s)=[proxy])", Some(Obstacle::Forbidden("apiserver".into())))]
    #[case(400, "error trying to reach service: dial tcp: lookup n1: no such host", Some(Obstacle::Name))]
    #[case(503, "dial tcp 10.0.0.7:10250: connect: connection refused", Some(Obstacle::Network))]
    #[case(0, "no answer within 5 s", Some(Obstacle::Network))]
    #[case(500, "odd", Some(Obstacle::Other))]
    fn an_answer_names_its_cause(#[case] code: u16, #[case] message: &str, #[case] wanted: Option<Obstacle>) {
        assert_eq!(obstacle(&Reached { code, message: message.into() }), wanted);
    }
}
