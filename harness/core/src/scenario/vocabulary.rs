//! Words of Kubernetes that scenarios use. A word that Kubernetes does not know could only make an expectation that
//! nothing fulfills, or a `never` that passes without proving anything.

use crate::name::similar;

/// The verbs of requests in audit logs: those of the API, and the HTTP methods for paths that are not resources.
const VERBS: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "head",
    "list",
    "options",
    "patch",
    "post",
    "put",
    "update",
    "watch",
];

/// The verbs of RBAC rules for the API group of CSRs (`k8s.io/kubernetes/plugin/pkg/admission/certificates`).
const RBAC_VERBS: &[&str] = &[
    "*",
    "approve",
    "attest",
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "sign",
    "update",
    "watch",
];

/// The resources of the API group `certificates.k8s.io`, as RBAC rules name them (catalogue ).
const CERTIFICATE_RESOURCES: &[&str] = &[
    "*",
    "certificatesigningrequests",
    "certificatesigningrequests/approval",
    "certificatesigningrequests/nodeclient",
    "certificatesigningrequests/selfnodeclient",
    "certificatesigningrequests/selfnodeserver",
    "certificatesigningrequests/status",
    "clustertrustbundles",
    "podcertificaterequests",
    "podcertificaterequests/status",
    "signers",
];

/// The resources of Kubernetes' own API groups, from 1.15 to 1.37 (`kubectl api-resources`).
const RESOURCES: &[&str] = &[
    "apiservices",
    "bindings",
    "certificatesigningrequests",
    "clusterrolebindings",
    "clusterroles",
    "clustertrustbundles",
    "componentstatuses",
    "configmaps",
    "controllerrevisions",
    "cronjobs",
    "csidrivers",
    "csinodes",
    "csistoragecapacities",
    "customresourcedefinitions",
    "daemonsets",
    "deployments",
    "deviceclasses",
    "devicetaintrules",
    "endpoints",
    "endpointslices",
    "events",
    "flowschemas",
    "horizontalpodautoscalers",
    "ingressclasses",
    "ingresses",
    "ipaddresses",
    "jobs",
    "leasecandidates",
    "leases",
    "limitranges",
    "localsubjectaccessreviews",
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
    "mutatingwebhookconfigurations",
    "namespaces",
    "networkpolicies",
    "nodes",
    "persistentvolumeclaims",
    "persistentvolumes",
    "podcertificaterequests",
    "poddisruptionbudgets",
    "pods",
    "podsecuritypolicies",
    "podtemplates",
    "priorityclasses",
    "prioritylevelconfigurations",
    "replicasets",
    "replicationcontrollers",
    "resourceclaims",
    "resourceclaimtemplates",
    "resourcequotas",
    "resourceslices",
    "rolebindings",
    "roles",
    "runtimeclasses",
    "secrets",
    "selfsubjectaccessreviews",
    "selfsubjectreviews",
    "selfsubjectrulesreviews",
    "serviceaccounts",
    "servicecidrs",
    "services",
    "statefulsets",
    "storageclasses",
    "storageversionmigrations",
    "storageversions",
    "subjectaccessreviews",
    "tokenreviews",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "validatingwebhookconfigurations",
    "volumeattachments",
    "volumeattributesclasses",
];

/// The controllers of kube-controller-manager from 1.15 to 1.37, by both of their names (`--help`, "All controllers", and
/// `cmd/kube-controller-manager/names`).
const CONTROLLERS: &[&str] = &[
    "attachdetach",
    "bootstrap-signer-controller",
    "bootstrapsigner",
    "certificatesigningrequest-approving-controller",
    "certificatesigningrequest-cleaner-controller",
    "certificatesigningrequest-signing-controller",
    "cloud-node-lifecycle",
    "cloud-node-lifecycle-controller",
    "clusterrole-aggregation",
    "clusterrole-aggregation-controller",
    "cronjob",
    "cronjob-controller",
    "csrapproving",
    "csrcleaner",
    "csrsigning",
    "daemonset",
    "daemonset-controller",
    "deployment",
    "deployment-controller",
    "device-taint-eviction-controller",
    "disruption",
    "disruption-controller",
    "endpoint",
    "endpoints-controller",
    "endpointslice",
    "endpointslice-controller",
    "endpointslice-mirroring-controller",
    "endpointslicemirroring",
    "ephemeral-volume",
    "ephemeral-volume-controller",
    "garbage-collector-controller",
    "garbagecollector",
    "horizontal-pod-autoscaler-controller",
    "horizontalpodautoscaling",
    "job",
    "job-controller",
    "kube-apiserver-serving-clustertrustbundle-publisher-controller",
    "legacy-service-account-token-cleaner",
    "legacy-serviceaccount-token-cleaner-controller",
    "namespace",
    "namespace-controller",
    "node-ipam-controller",
    "node-lifecycle-controller",
    "node-route-controller",
    "nodeipam",
    "nodelifecycle",
    "persistentvolume-attach-detach-controller",
    "persistentvolume-binder",
    "persistentvolume-binder-controller",
    "persistentvolume-expander",
    "persistentvolume-expander-controller",
    "persistentvolume-protection-controller",
    "persistentvolumeclaim-protection-controller",
    "pod-garbage-collector-controller",
    "podcertificaterequest-cleaner-controller",
    "podgc",
    "podgroup-protection-controller",
    "pv-protection",
    "pvc-protection",
    "replicaset",
    "replicaset-controller",
    "replicationcontroller",
    "replicationcontroller-controller",
    "resource-claim-controller",
    "resourceclaim-controller",
    "resourcepoolstatusrequest-controller",
    "resourcequota",
    "resourcequota-controller",
    "root-ca-cert-publisher",
    "root-ca-certificate-publisher-controller",
    "route",
    "selinux-warning-controller",
    "service",
    "service-cidr-controller",
    "service-lb-controller",
    "serviceaccount",
    "serviceaccount-controller",
    "serviceaccount-token",
    "serviceaccount-token-controller",
    "statefulset",
    "statefulset-controller",
    "storage-version-gc",
    "storage-version-migrator",
    "storage-version-migrator-controller",
    "storageversion-garbage-collector-controller",
    "taint-eviction-controller",
    "token-cleaner-controller",
    "tokencleaner",
    "ttl",
    "ttl-after-finished",
    "ttl-after-finished-controller",
    "ttl-controller",
    "validatingadmissionpolicy-status-controller",
    "volumeattributesclass-protection-controller",
];

/// Processes of a cluster whose events have no node.
const COMPONENTS: &[&str] = &["etcd", "kube-apiserver", "kube-controller-manager"];

/// What is wrong with the verb of a request.
pub(crate) fn wrong_verb(verb: &str) -> Option<String> {
    unknown("verb of requests", VERBS, verb)
}

/// What is wrong with the verb of an RBAC rule for certificates.
pub(crate) fn wrong_rbac_verb(verb: &str) -> Option<String> {
    unknown("verb of RBAC for certificates.k8s.io", RBAC_VERBS, verb)
}

/// What is wrong with the resource of an RBAC rule for certificates.
pub(crate) fn wrong_certificate_resource(resource: &str) -> Option<String> {
    unknown("resource of certificates.k8s.io", CERTIFICATE_RESOURCES, resource)
}

/// What is wrong with the resource of a request.
pub(crate) fn wrong_resource(resource: &str) -> Option<String> {
    unknown("resource of Kubernetes", RESOURCES, resource)
}

/// What is wrong with an entry of `--controllers`: a controller's name, `*`, or `-` and a name.
pub(crate) fn wrong_controller(entry: &str) -> Option<String> {
    let name = entry.strip_prefix('-').unwrap_or(entry);
    if entry == "*" { None } else { unknown("controller of kube-controller-manager", CONTROLLERS, name) }
}

/// What is wrong with the name of a component.
pub(crate) fn wrong_component(name: &str) -> Option<String> {
    unknown("component of these clusters", COMPONENTS, name)
}

/// With more names than this, a message does not list them.
const LISTED: usize = 12;

fn unknown(kind: &str, known: &[&str], word: &str) -> Option<String> {
    if known.contains(&word) {
        return None;
    }
    let advice = match similar(word, known.iter().copied()) {
        Some(name) => format!(": did you mean `{name}`?"),
        None if known.len() <= LISTED => format!("; use one of {}", known.join(", ")),
        None => String::new(),
    };
    Some(format!("there is no {kind} `{word}`{advice}"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(wrong_controller("csrsinging"), "did you mean `csrsigning`?")]
    #[case(wrong_controller("-tokencleanr"), "did you mean `tokencleaner`?")]
    #[case(wrong_verb("POST"), "did you mean `post`?")]
    #[case(wrong_verb("write"), "use one of create, delete")]
    #[case(wrong_resource("csr"), "no resource of Kubernetes `csr`")]
    #[case(wrong_resource("certificatesigningrequest"), "did you mean `certificatesigningrequests`?")]
    #[case(wrong_certificate_resource("nodes"), "no resource of certificates.k8s.io `nodes`")]
    #[case(wrong_component("kube-apisever"), "did you mean `kube-apiserver`?")]
    fn other_words_are_told_what_there_is(#[case] wrong: Option<String>, #[case] says: &str) {
        let wrong = wrong.unwrap();
        assert!(wrong.contains(says), "{wrong}");
    }

    #[test]
    fn words_of_kubernetes_are_right() {
        for entry in ["*", "-csrsigning", "certificatesigningrequest-signing-controller", "nodelifecycle"] {
            assert_eq!(wrong_controller(entry), None);
        }
        assert_eq!((wrong_verb("watch"), wrong_resource("leases")), (None, None));
    }
}
