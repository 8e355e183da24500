//! What a scenario needs of a cluster, read off its steps: a scenario never names a provider.

use std::collections::BTreeMap;

use super::stimulus::Component;
use super::{Scenario, SigningDuration, Step};
use crate::check::log::Log;
use crate::check::presented::Shows;

/// Something that a provider can let a scenario do or see. A scenario never names a provider; it needs these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// Choose flags of the control plane: the signing duration, anonymous authentication, controllers.
    ConfigureControlPlane,
    /// Give any flag to the control plane, also those with which it does not start.
    AnyFlag,
    /// Choose the API server's authorizers.
    ChooseAuthorizers,
    /// Start and stop components of the control plane.
    RestartControlPlane,
    /// Tell the logs of the control plane's components apart.
    ComponentLogs,
    /// Start and stop kubelets, choose their configuration.
    RunKubelets,
    /// Set kubelets up in other ways than by their configuration: their flags, environment, and first files.
    SetUpKubelets,
    /// See and change the kubelets' files.
    NodeFiles,
    /// Read the audit log.
    AuditLog,
    /// Read the API server's metrics.
    ApiServerMetrics,
    /// Cut the connection between a kubelet and the API server.
    Link,
    /// Give the signer another CA.
    ReplaceCa,
    /// Run kubelets on a machine with cgroup v1.
    CgroupV1,
    /// Leave everything as kubeadm sets it up, and join nodes by kubeadm.
    Kubeadm,
}

/// The capabilities that a scenario needs, each with words for what can't be done without it.
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
    if cluster.signer_ca_valid.is_some() {
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
        if node.default_fail_cgroup_v1 {
            need(Capability::CgroupV1, "show a machine with cgroup v1");
        }
        if node.embedded_certificate.is_some()
            || node.default_cert_dir
            || node.tls_cert_file
            || node.external_cloud_provider
            || !node.env.is_empty()
        {
            need(Capability::SetUpKubelets, "set up kubelets in other ways than by their configuration");
        }
    }
    for step in &scenario.steps {
        match &step.value {
            Step::Start(process) | Step::Stop(process) | Step::Kill(process) | Step::Restart(process)
                if process.component.is_some() =>
            {
                need(Capability::RestartControlPlane, "restart the control plane");
                if process.exits || process.with.flags.is_some() {
                    need(Capability::AnyFlag, "be given any flag of the control plane");
                }
            }
            Step::WaitExpiry(_) => need(Capability::NodeFiles, "show a kubelet's files"),
            Step::File(_) => need(Capability::NodeFiles, "change a kubelet's files"),
            Step::Cut(_) | Step::Mend(_) => {
                need(Capability::Link, "cut the connection between a kubelet and the API server")
            }
            Step::ReplaceCa(_) => need(Capability::ReplaceCa, "give the signer another CA"),
            Step::Expect(expect) => {
                if expect.file.is_some() || expect.swap.is_some() {
                    need(Capability::NodeFiles, "show a kubelet's files");
                }
                if expect.connections.is_some() {
                    need(Capability::Link, "show connections");
                }
                let presented = expect.presented.as_ref();
                if presented.is_some_and(|is| matches!(is.shows, Shows::ClientCa(_))) {
                    need(Capability::SetUpKubelets, "give kubelets the signer's CA as clientCAFile");
                }
                if expect.log.as_ref().is_some_and(names_component) {
                    need(Capability::ComponentLogs, COMPONENT_LOGS);
                }
                let metric = expect.metric.as_ref();
                let component = metric.and_then(|metric| metric.component.as_deref());
                if component == Some(Component::ApiServer.name()) {
                    need(Capability::ApiServerMetrics, "show the API server's metrics");
                }
            }
            Step::Never(never) if never.log.as_ref().is_some_and(names_component) => {
                need(Capability::ComponentLogs, COMPONENT_LOGS);
            }
            _ => {}
        }
    }
    needs
}

const COMPONENT_LOGS: &str = "tell the logs of the control plane's components apart";

fn names_component(log: &Log) -> bool {
    let components = [Component::ApiServer, Component::ControllerManager];
    let named = log.component.as_deref();
    components.iter().any(|component| named == Some(component.name()))
}
