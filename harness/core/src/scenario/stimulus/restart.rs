//! `restart`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::process::{Changes, Component, Process};
use super::{Effects, Names, Need, Stimulus};
use crate::scenario::NodeName;

/// Which process is restarted, and what changes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Restart {
    /// The node, to restart its kubelet.
    #[serde(default)]
    pub node: Option<NodeName>,
    /// The component of the control plane.
    #[serde(default)]
    pub component: Option<Component>,
    /// What is different from now on.
    #[serde(default)]
    pub with: Changes,
}

impl Restart {
    /// The process that it restarts.
    pub fn process(&self) -> Process<'_> {
        Process { node: self.node.as_deref(), component: self.component }
    }
}

impl Stimulus for Restart {
    fn lint(&self, names: &Names<'_>) -> Vec<String> {
        let mut wrong = self.process().lint(names);
        wrong.extend(self.with.lint(self.process(), names));
        wrong
    }

    fn needs(&self) -> Vec<Need> {
        let mut needs = self.process().needs();
        if self.component.is_some() {
            needs.extend(self.with.needs());
        }
        needs
    }

    fn effect<'a>(&'a self, effects: &mut Effects<'a>) -> Result<(), String> {
        let name = self.process().name();
        if effects.up.contains(name) { Ok(()) } else { Err(format!("{name} is not running: `start` it")) }
    }
}
