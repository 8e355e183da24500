//! `start`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::process::{Changes, Component, Process};
use super::{Effects, Names, Need, Stimulus};
use crate::scenario::NodeName;

/// Which process is started, and what is different from before.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Start {
    /// The node, to start its kubelet.
    #[serde(default)]
    pub node: Option<NodeName>,
    /// The component of the control plane.
    #[serde(default)]
    pub component: Option<Component>,
    /// What is different from now on.
    #[serde(default)]
    pub with: Changes,
    /// The component cannot start this way: wait until it has exited, not until it is ready.
    #[serde(default)]
    pub exits: bool,
}

impl Start {
    /// The process that it starts.
    pub fn process(&self) -> Process<'_> {
        Process { node: self.node.as_deref(), component: self.component }
    }
}

impl Stimulus for Start {
    fn lint(&self, names: &Names<'_>) -> Vec<String> {
        let waited_for = self.exits && self.component.is_none();
        let mut wrong = self.process().lint(names);
        wrong.extend(self.with.lint(self.process(), names));
        wrong.extend(
            waited_for.then(|| "`exits` is only for a `component`: `start` does not wait for a kubelet".into()),
        );
        wrong
    }

    fn needs(&self) -> Vec<Need> {
        let mut needs = self.process().needs();
        if self.component.is_some() {
            needs.extend(self.with.needs());
            needs.extend(self.exits.then_some(super::process::ANY_FLAG));
        }
        needs
    }

    /// A process may have exited on its own, so starting it once more may have an effect.
    fn effect<'a>(&'a self, effects: &mut Effects<'a>) -> Result<(), String> {
        let name = self.process().name();
        if self.exits {
            effects.up.remove(name);
        } else {
            effects.up.insert(name);
        }
        Ok(())
    }
}
