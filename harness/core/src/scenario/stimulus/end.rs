//! `stop` and `kill`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::process::{Component, Process};
use super::{Effects, Names, Need, Stimulus};
use crate::scenario::NodeName;

/// Which process is ended.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct End {
    /// The node, to end its kubelet.
    #[serde(default)]
    pub node: Option<NodeName>,
    /// The component of the control plane.
    #[serde(default)]
    pub component: Option<Component>,
}

impl End {
    /// The process that it ends.
    pub fn process(&self) -> Process<'_> {
        Process { node: self.node.as_deref(), component: self.component }
    }
}

impl Stimulus for End {
    fn lint(&self, names: &Names<'_>) -> Vec<String> {
        self.process().lint(names)
    }

    fn needs(&self) -> Vec<Need> {
        self.process().needs()
    }

    fn effect<'a>(&'a self, effects: &mut Effects<'a>) -> Result<(), String> {
        self.process().end(effects)
    }
}
