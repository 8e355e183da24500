//! `deleteNode`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Names, Stimulus};
use crate::history::event::{Change, What};
use crate::scenario::NodeName;

/// The node whose Node object is deleted. Its kubelet keeps running.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeleteNode {
    /// The node.
    pub node: NodeName,
}

impl Stimulus for DeleteNode {
    fn lint(&self, names: &Names<'_>) -> Vec<String> {
        names.node(&self.node).into_iter().collect()
    }

    fn is_recorded(&self) -> bool {
        true
    }

    fn is_recorded_by(&self, what: &What) -> bool {
        matches!(what, What::Node(node) if node.node == self.node && node.change == Change::Deleted)
    }
}
