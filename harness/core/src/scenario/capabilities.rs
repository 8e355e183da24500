//! What a scenario needs from a cluster, derived from its steps: a scenario never names a provider.

use std::collections::BTreeMap;

use super::stimulus::Stimulus;
use super::{CertDir, CloudProvider, FailCgroupV1, Scenario, ServingPair, SigningDuration};

/// Something that a provider can let a scenario do or see. A scenario never names a provider; it needs these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// Set flags of the control plane: the signing duration, anonymous authentication, controllers.
    ConfigureControlPlane,
    /// Set any flag of the control plane, including those with which it does not start.
    AnyFlag,
    /// Choose the API server's authorizers.
    ChooseAuthorizers,
    /// Start and stop components of the control plane.
    RestartControlPlane,
    /// Tell the logs of the control plane's components apart.
    ComponentLogs,
    /// Start and stop kubelets and choose their configuration.
    RunKubelets,
    /// Set up kubelets in other ways than by their configuration: flags, environment, and initial files.
    SetUpKubelets,
    /// See and change the kubelets' files.
    NodeFiles,
    /// Read the audit log.
    AuditLog,
    /// Read the API server's metrics.
    ApiServerMetrics,
    /// Cut the connection between a kubelet and the API server.
    Link,
    /// Reach the kubelets' ports through the API server.
    ReachKubelets,
    /// Reach the kubelets' ports from outside of the cluster.
    KubeletPorts,
    /// Give the signer another CA.
    ReplaceCa,
    /// Run kubelets on a machine with cgroup v1.
    CgroupV1,
    /// Leave everything as kubeadm sets it up, and join nodes with kubeadm.
    Kubeadm,
}

/// The capabilities that a scenario needs, each with words for what cannot be done without it.
pub fn requirements_of(scenario: &Scenario) -> BTreeMap<Capability, &'static str> {
    let mut needs = BTreeMap::new();
    let mut need = |capability, words| {
        needs.entry(capability).or_insert(words);
    };
    need(Capability::AuditLog, "show the audit log");
    let cluster = &scenario.cluster;
    let default = super::Cluster::default();
    if cluster.signing_duration != default.signing_duration
        || cluster.anonymous_auth != default.anonymous_auth
        || cluster.controllers != default.controllers
        || matches!(cluster.signing_duration, SigningDuration::Quick)
    {
        need(Capability::ConfigureControlPlane, "be given flags of the control plane");
    }
    if cluster.signer_ca_valid_for.is_some() {
        need(Capability::ReplaceCa, "give the signer a CA of its own");
    }
    if cluster.authorization_mode != default.authorization_mode {
        need(Capability::ChooseAuthorizers, "be given other authorizers");
    }
    if cluster.kubeadm {
        need(Capability::Kubeadm, "be set up by kubeadm");
    }
    if !scenario.nodes.is_empty() {
        need(Capability::RunKubelets, "run kubelets");
    }
    if !cluster.anonymous_paths.is_empty() || !cluster.flags.is_empty() {
        need(Capability::AnyFlag, "be given any flag of the control plane");
    }
    for node in &scenario.nodes {
        if node.fail_cgroup_v1 == FailCgroupV1::Unset {
            need(Capability::CgroupV1, "show a machine with cgroup v1");
        }
        if node.embedded_certificate.is_some()
            || node.cert_dir == CertDir::Default
            || node.serving_pair == ServingPair::FromFile
            || node.cloud_provider == CloudProvider::External
            || !node.env.is_empty()
        {
            need(Capability::SetUpKubelets, "set up kubelets in other ways than by their configuration");
        }
    }
    for step in &scenario.steps {
        let of_matchers = step.value.matcher().into_iter().flat_map(|(_, matcher)| matcher.needs());
        let of_stimulus = step.value.stimulus().into_iter().flat_map(Stimulus::needs);
        of_matchers.chain(of_stimulus).for_each(|(capability, words)| need(capability, words));
    }
    needs
}
