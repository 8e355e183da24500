//! `bind`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Effects, Names, RoleRef, Stimulus};
use crate::scenario::model::Binding;

/// A ClusterRoleBinding to create.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bind {
    /// `nodeBootstrapper`, `nodeClient`, `selfNodeClient`, or a ClusterRole's name.
    #[schemars(with = "String")]
    pub cluster_role: RoleRef,
    /// Whom to bind.
    pub to: Binding,
}

impl Stimulus for Bind {
    fn lint(&self, _: &Names<'_>) -> Vec<String> {
        let absent = "`absent` is only for the cluster's `bindings`: to remove one, use `unbind`";
        (self.to == Binding::Absent).then(|| absent.to_owned()).into_iter().collect()
    }

    fn effect<'a>(&'a self, effects: &mut Effects<'a>) -> Result<(), String> {
        if effects.bound.insert(self.cluster_role.cluster_role()) {
            Ok(())
        } else {
            Err(format!("{} is already bound: `unbind` it first", self.cluster_role))
        }
    }
}
