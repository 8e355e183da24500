//! `join`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Effects, Names, Stimulus};
use crate::scenario::NodeName;

/// The node that joins.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Join {
    /// The node.
    pub node: NodeName,
}

impl Stimulus for Join {
    fn lint(&self, names: &Names<'_>) -> Vec<String> {
        let elsewhere = "`join` is only for clusters that kubeadm sets up: `cluster: {kubeadm: true}`";
        let elsewhere = (!names.kubeadm()).then(|| elsewhere.to_owned());
        names.node(&self.node).into_iter().chain(elsewhere).collect()
    }

    fn effect<'a>(&'a self, effects: &mut Effects<'a>) -> Result<(), String> {
        if effects.joined.insert(&self.node) { Ok(()) } else { Err(format!("{} has already been joined", self.node)) }
    }
}
