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
    /// Which of its certificates.
    pub role: Role,
    /// Its number among the issued ones, starting at 1; by default the one that the link points to when the step begins.
    #[serde(default)]
    pub certificate: Option<usize>,
}

impl Stimulus for WaitForExpiry {
    fn lint(&self, names: &Names<'_>) -> Vec<String> {
        let number = (self.certificate == Some(0)).then(|| "certificates are counted from 1".to_owned());
        names.node(&self.node).into_iter().chain(number).collect()
    }

    fn needs(&self) -> Vec<Need> {
        let by_file = self.certificate.is_none();
        by_file.then_some((Capability::NodeFiles, "show a kubelet's files")).into_iter().collect()
    }
}
