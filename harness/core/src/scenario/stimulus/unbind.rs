//! `unbind`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Effects, RoleRef, Stimulus};

/// A ClusterRoleBinding to remove: tlsboot's, or else kubeadm's.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Unbind {
    /// `nodeBootstrapper`, `nodeClient`, `selfNodeClient`, or a ClusterRole's name.
    #[schemars(with = "String")]
    pub cluster_role: RoleRef,
}

impl Stimulus for Unbind {
    fn effect<'a>(&'a self, effects: &mut Effects<'a>) -> Result<(), String> {
        if effects.bound.remove(self.cluster_role.cluster_role()) {
            Ok(())
        } else {
            Err(format!("{} is not bound", self.cluster_role))
        }
    }
}
