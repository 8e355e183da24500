//! `waitForExpiry`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Names, Need, Stimulus};
use crate::check::Role;
use crate::scenario::{Capability, NodeName};

/// The certificate whose expiry the step waits for.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WaitForExpiry {
    /// The node.
    pub node: NodeName,
    /// Which of its certificates; the one that the link points to when the step begins.
    pub role: Role,
}

impl Stimulus for WaitForExpiry {
    fn lint(&self, names: &Names<'_>) -> Vec<String> {
        names.node(&self.node).into_iter().collect()
    }

    fn needs(&self) -> Vec<Need> {
        vec![(Capability::NodeFiles, "show a kubelet's files")]
    }
}
