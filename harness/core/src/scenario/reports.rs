//! Public reports of users, and what shows each of them here: for the page of the book that leads from a report to the
//! scenario, the finding of `tlsboot doctor`, or the reason why nothing does. A scenario's `why` has the links, too.

/// A report, or several of the same thing.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Where it was made.
    pub links: &'static [&'static str],
    /// What happened.
    pub says: &'static str,
    /// What shows it.
    pub shown: Shown,
}

/// What shows a report.
#[derive(Clone, Copy, Debug)]
pub enum Shown {
    /// A scenario, by its id.
    Scenario(&'static str),
    /// A finding of `tlsboot doctor` on the cluster that has it.
    Doctor(&'static str),
    /// Nothing, and why.
    Nothing(&'static str),
}

use Shown::{Doctor, Nothing, Scenario};

/// All of them.
pub const REPORTS: &[Report] = &[
    Report {
        links: &[
            "https://github.com/NixOS/nixpkgs/pull/315144",
            "https://github.com/linode/cluster-api-provider-linode/pull/141",
            "https://github.com/canonical/microk8s/pull/3731",
        ],
        says: "A host's name has capital letters: the kubelet lower-cases the Node's",
        shown: Scenario("field.host-name-in-capitals"),
    },
    Report {
        links: &[
            "https://github.com/canonical/microk8s/issues/4635",
            "https://github.com/kubernetes-sigs/kubespray/pull/900",
        ],
        says: "A host's name is so long that the certificate's CN has more than 64 characters",
        shown: Scenario("field.host-name-of-63-characters"),
    },
    Report {
        links: &["https://github.com/rancher-archives/rke/issues/861"],
        says: "A host's name has an underscore: a certificate, but no Node",
        shown: Scenario("field.underscore-in-the-host-name"),
    },
    Report {
        links: &[
            "https://github.com/kontena/kubelet-rubber-stamp/pull/22",
            "https://github.com/rootsongjc/kubernetes-handbook/issues/205",
        ],
        says: "A node is named by its IP address: a serving CSR without DNS names",
        shown: Scenario("field.node-named-by-its-address"),
    },
    Report {
        links: &["https://github.com/kubernetes/kubeadm/issues/1350"],
        says: "The signing certificate is a bundle of CAs: the controller-manager exits",
        shown: Scenario("field.bundle-as-signing-certificate"),
    },
    Report {
        links: &["https://github.com/kubernetes/kubernetes/pull/88741"],
        says: "An intermediate CA signs, and only the leaf is issued",
        shown: Scenario("field.signer-below-a-root"),
    },
    Report {
        links: &[
            "https://github.com/kubernetes/kubernetes/issues/44557",
            "https://github.com/kubernetes/kubernetes/issues/99602",
            "https://github.com/kubernetes-retired/kube-aws/issues/598",
        ],
        says: "A load balancer keeps a dead connection open while a CSR waits",
        shown: Scenario("field.approved-over-a-dead-connection"),
    },
    Report {
        links: &["https://github.com/rancher-archives/rke/issues/2218"],
        says: "A node stays NotReady after a silent break of the network",
        shown: Scenario("field.not-ready-after-a-silent-break"),
    },
    Report {
        links: &["https://github.com/alex1989hu/kubelet-serving-cert-approver/issues/93"],
        says: "The API server restarts while a CSR waits",
        shown: Scenario("field.api-server-restarts-while-a-csr-waits"),
    },
    Report {
        links: &[
            "https://github.com/opsnull/follow-me-install-kubernetes-cluster/issues/42",
            "https://github.com/opsnull/follow-me-install-kubernetes-cluster/issues/465",
        ],
        says: "A kubelet is killed while its CSR waits, again and again",
        shown: Scenario("approval.killed-while-pending"),
    },
    Report {
        links: &[
            "https://github.com/kubernetes/website/pull/19351",
            "https://github.com/rancher/rancher/issues/18805",
            "https://github.com/openshift/cluster-kube-controller-manager-operator/pull/132",
        ],
        says: "A client CA leaves the API server's bundle too early",
        shown: Scenario("field.client-ca-removed-too-early"),
    },
    Report {
        links: &["https://github.com/deckhouse/deckhouse/pull/11139"],
        says: "`tlsCertFile` and `serverTLSBootstrap` together: which certificate is presented depends on the name that is asked for",
        shown: Nothing("what is presented is recorded without a server name"),
    },
    Report {
        links: &[
            "https://github.com/kubernetes/minikube/issues/2397",
            "https://github.com/kubernetes/kubernetes/issues/77489",
        ],
        says: "The signing duration is given by a flag",
        shown: Scenario("issuance.duration-by-flag"),
    },
    Report {
        links: &[
            "https://github.com/gardener/gardener/pull/6784",
            "https://github.com/kubernetes/kubernetes/pull/90822",
        ],
        says: "One CA for clients, another for kubelets' servers",
        shown: Scenario("field.a-ca-of-its-own-for-serving"),
    },
    Report {
        links: &["https://github.com/kubernetes/kubernetes/issues/51509"],
        says: "Bootstrap token authentication is not switched on",
        shown: Scenario("authentication.bootstrap-tokens-off"),
    },
    Report {
        links: &["https://github.com/kubernetes/kubernetes/issues/51509"],
        says: "`--client-ca-file` is missing",
        shown: Scenario("authentication.no-client-ca"),
    },
    Report {
        links: &[
            "https://github.com/kubermatic/kubermatic/issues/10534",
            "https://github.com/kubernetes/kops/pull/12188",
        ],
        says: "The serving certificate of a dual-stack node lacks addresses",
        shown: Scenario("serving.dual-stack"),
    },
    Report {
        links: &["https://github.com/k3s-io/k3s/pull/352", "https://github.com/kubernetes/minikube/issues/3977"],
        says: "A proxy in the kubelet's environment",
        shown: Nothing("Go uses no proxy for a server on the loopback, where clusters of the provider local are"),
    },
    Report {
        links: &["https://github.com/voxpupuli/puppet-k8s/pull/79"],
        says: "A bootstrap token's Secret ends with a newline",
        shown: Scenario("authentication.tokens-written-by-hand"),
    },
    Report {
        links: &[
            "https://github.com/openshift/origin/issues/15869",
            "https://github.com/open-cluster-management-io/clusteradm/issues/16",
        ],
        says: "Nodes bootstrap with a service account's token",
        shown: Doctor("bootstrap.not-bound"),
    },
    Report {
        links: &["https://github.com/kubernetes/kubernetes/issues/132947"],
        says: "Approved CSRs that nothing signs stay for good",
        shown: Doctor("signer.absent"),
    },
    Report {
        links: &["https://github.com/kubermatic/kubermatic/pull/1943"],
        says: "A token's group is not the one that is bound",
        shown: Doctor("bootstrap.not-bound"),
    },
    Report {
        links: &["https://github.com/kubernetes/kubernetes/issues/115761"],
        says: "A Node is deleted, and the kubelet never registers again",
        shown: Scenario("recovery.deleted-node"),
    },
    Report {
        links: &[
            "https://github.com/siderolabs/talos/pull/5947",
            "https://github.com/kubernetes/kubernetes/issues/93884",
            "https://github.com/kubernetes/kubernetes/issues/66493",
        ],
        says: "A node is renamed, and keeps its old certificate",
        shown: Scenario("field.renamed-host"),
    },
    Report {
        links: &["https://github.com/kubernetes/kubernetes/pull/53037"],
        says: "The bootstrap kubeconfig has a client certificate, which expires",
        shown: Scenario("field.bootstrap-by-certificate"),
    },
    Report {
        links: &["https://github.com/kubernetes/cloud-provider-gcp/pull/20"],
        says: "The bootstrap kubeconfig has an exec plugin",
        shown: Scenario("field.bootstrap-by-command"),
    },
    Report {
        links: &["https://github.com/kyverno/kyverno/pull/16397"],
        says: "A policy engine's webhook, whose pods are gone, refuses the CSRs and Nodes of those that should carry them",
        shown: Scenario("field.webhook-away-while-a-node-joins"),
    },
    Report {
        links: &["https://github.com/rancher/rancher/issues/15801"],
        says: "The key is missing in the client file",
        shown: Scenario("recovery.client-file-without-key"),
    },
    Report {
        links: &["https://github.com/kubernetes/kubernetes/issues/59351"],
        says: "The cleaner's account may not delete CSRs",
        shown: Nothing("no step takes a verb from a built-in role"),
    },
    Report {
        links: &[
            "https://github.com/kubernetes/kubeadm/issues/2329",
            "https://github.com/kubernetes/kubeadm/issues/335",
        ],
        says: "cluster-info has no signature for a token",
        shown: Doctor("cluster-info.unsigned"),
    },
    Report {
        links: &[
            "https://github.com/kubernetes/website/issues/42944",
            "https://github.com/kubernetes/minikube/issues/18074",
        ],
        says: "All machines were off for a year, and the control plane's certificates expired too",
        shown: Nothing(
            "the control plane's own certificates are always valid here; see recovery.expired-while-off for the kubelet's",
        ),
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::scenarios;

    #[test]
    fn scenarios_that_show_a_report_name_its_links() {
        let scenarios = scenarios();
        for Report { links, shown, .. } in REPORTS {
            assert!(!links.is_empty() && links.iter().all(|link| link.starts_with("https://github.com/")), "{links:?}");
            if let Scenario(id) = shown {
                let scenario = scenarios.iter().find(|scenario| scenario.id == *id);
                let why = &scenario.unwrap_or_else(|| panic!("there is no scenario {id}")).why;
                for link in *links {
                    assert!(why.contains(link), "{id} does not name {link}");
                }
            }
        }
    }
}
