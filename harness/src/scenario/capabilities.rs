//! What a scenario needs of a cluster, read off its steps: a scenario never names a provider.

use std::collections::BTreeMap;

use super::{Scenario, SigningDuration, Step};
use crate::cluster::Capability;

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
        || cluster.signer_ca_valid.is_some()
        || matches!(cluster.signing_duration, SigningDuration::Quick)
    {
        need(
            Capability::ConfigureControlPlane,
            "be given flags of the control plane",
        );
    }
    if cluster.authorization_mode != default.authorization_mode {
        need(Capability::ChooseAuthorizers, "be given other authorizers");
    }
    if !scenario.nodes.is_empty() {
        need(Capability::RunKubelets, "run kubelets");
    }
    for step in &scenario.steps {
        match &step.value {
            Step::Start(process)
            | Step::Stop(process)
            | Step::Kill(process)
            | Step::Restart(process)
                if process.component.is_some() =>
            {
                need(Capability::RestartControlPlane, "restart the control plane");
            }
            Step::WaitExpiry(_) => need(Capability::NodeFiles, "show a kubelet's files"),
            Step::File(_) => need(Capability::NodeFiles, "change a kubelet's files"),
            Step::Cut(_) | Step::Mend(_) => need(
                Capability::Link,
                "cut the connection between a kubelet and the API server",
            ),
            Step::ReplaceCa(_) => need(Capability::ReplaceCa, "give the signer another CA"),
            Step::Expect(expect) => {
                if expect.file.is_some() || expect.swap.is_some() {
                    need(Capability::NodeFiles, "show a kubelet's files");
                }
                if expect.connections.is_some() {
                    need(Capability::Link, "show connections");
                }
            }
            _ => {}
        }
    }
    needs
}
