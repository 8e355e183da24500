//! `cut`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Effects, Names, Need, Stimulus};
use crate::scenario::{Capability, NodeName};

/// The link to cut, and how.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cut {
    /// The node.
    pub node: NodeName,
    /// How connections fail.
    #[serde(default)]
    pub kind: CutKind,
    /// Which connections.
    #[serde(default)]
    pub direction: Direction,
}

/// Who opens the connections between a kubelet and the API server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    /// The kubelet, for everything that it does.
    #[default]
    ToApiServer,
    /// The API server, for logs, commands and metrics.
    FromApiServer,
}

impl Direction {
    /// What a cluster must be able to do for a cut.
    pub(super) fn needs(self) -> Need {
        match self {
            Self::ToApiServer => CUT,
            Self::FromApiServer => (Capability::ReachKubelets, "cut the way from the API server to a kubelet"),
        }
    }
}

/// How a cut link behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CutKind {
    /// Connections are closed and new ones refused, as when the API server is down.
    #[default]
    Refuse,
    /// Connections stay open, but nothing gets through, as when a cable is cut.
    Silence,
}

const CUT: Need = (Capability::Link, "cut the connection between a kubelet and the API server");

impl Stimulus for Cut {
    fn lint(&self, names: &Names<'_>) -> Vec<String> {
        names.node(&self.node).into_iter().collect()
    }

    fn needs(&self) -> Vec<Need> {
        vec![self.direction.needs()]
    }

    fn effect<'a>(&'a self, effects: &mut Effects<'a>) -> Result<(), String> {
        let before = effects.cut.insert((&self.node, self.direction), self.kind);
        if before == Some(self.kind) {
            Err(format!("the link of {} is already cut this way", self.node))
        } else {
            Ok(())
        }
    }
}
