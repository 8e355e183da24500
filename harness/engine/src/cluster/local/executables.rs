//! What clusters are made of.

use std::sync::Arc;

use crate::cluster::processes::Defect;
use crate::components::{ComponentSet, Executable};
use tlsboot_core::version::Version;

/// Starts clusters as plain processes.
#[derive(Clone, Debug)]
pub struct Local {
    /// The control plane's executables.
    pub components: ComponentSet,
    /// The kubelets' executable.
    pub kubelet: Executable,
    /// The kubelets' version.
    pub kubelet_version: Version,
    /// The fault of the clusters, for `tlsboot mutants`.
    pub defect: Option<Arc<dyn Defect>>,
}
