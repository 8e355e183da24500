//! k3s as a control plane for tlsboot's kubelets: the `rancher/k3s` image without its agent, in a container.
//!
//! k3s' own agents do not bootstrap by CSRs: its supervisor gives them their certificates at every start. But its
//! control plane is that of Kubernetes, with approver and signers, and any kubelet can bootstrap against it. So the
//! nodes are those of [`super::processes`], on the same loopback: the container uses this machine's network.

#[cfg(feature = "docker")]
mod args;
#[cfg(feature = "docker")]
mod container;
#[cfg(feature = "docker")]
mod provider;

use super::processes::has_cgroup_v1;
#[cfg(feature = "docker")]
pub use provider::{K3s, K3sImage, Server};
use tlsboot_core::scenario::Capability;

/// Its name.
pub(super) const NAME: &str = "k3s";

/// What its clusters can do. All of k3s is one process: its parts cannot be started and stopped separately, and have no
/// logs of their own. k3s manages its CAs itself.
pub(super) fn capabilities() -> &'static [Capability] {
    const ALL: &[Capability] = &[
        Capability::CgroupV1,
        Capability::ConfigureControlPlane,
        Capability::ChooseAuthorizers,
        Capability::RunKubelets,
        Capability::SetUpKubelets,
        Capability::NodeFiles,
        Capability::AuditLog,
        Capability::ApiServerMetrics,
        Capability::Link,
        Capability::KubeletPorts,
    ];
    if has_cgroup_v1() { ALL } else { &ALL[1..] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_process_can_not_is_not_promised() {
        for lacking in
            [Capability::RestartControlPlane, Capability::ComponentLogs, Capability::ReplaceCa, Capability::AnyFlag]
        {
            assert!(!capabilities().contains(&lacking), "{lacking:?}");
        }
    }
}
