//! `kill`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::process::{Component, Process};
use super::{Effects, Names, Need, Stimulus};

/// Which process is killed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kill {
    /// The node, to kill its kubelet.
    #[serde(default)]
    pub node: Option<String>,
    /// The component of the control plane.
    #[serde(default)]
    pub component: Option<Component>,
}

impl Kill {
    /// The process that it ends.
    pub fn process(&self) -> Process<'_> {
        Process { node: self.node.as_deref(), component: self.component }
    }
}

impl Stimulus for Kill {
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
