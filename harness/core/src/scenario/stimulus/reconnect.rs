//! `reconnect`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Direction, Effects, Names, Need, Stimulus};
use crate::scenario::NodeName;

/// The node that is reconnected.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reconnect {
    /// The node.
    pub node: NodeName,
    /// Which connections.
    #[serde(default)]
    pub direction: Direction,
}

impl Stimulus for Reconnect {
    fn lint(&self, names: &Names<'_>) -> Vec<String> {
        names.node(&self.node).into_iter().collect()
    }

    fn needs(&self) -> Vec<Need> {
        vec![self.direction.needs()]
    }

    fn effect<'a>(&'a self, effects: &mut Effects<'a>) -> Result<(), String> {
        let was_cut = effects.cut.remove(&(&*self.node, self.direction)).is_some();
        if was_cut { Ok(()) } else { Err(format!("the link of {} is not cut", self.node)) }
    }
}
