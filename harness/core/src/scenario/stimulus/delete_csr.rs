//! `deleteCSR`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{CsrPick, Names, Stimulus};
use crate::check::Role;
use crate::scenario::NodeName;

/// The CSR to delete.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeleteCsr {
    /// The node that the certificate is for.
    #[serde(default)]
    pub node: Option<NodeName>,
    /// `client` or `serving`.
    #[serde(default)]
    pub role: Option<Role>,
    /// The CSR that the step `submit` of this name created.
    #[serde(default)]
    pub submitted: Option<String>,
}

impl DeleteCsr {
    /// Which CSR is meant.
    pub fn pick(&self) -> CsrPick<'_> {
        CsrPick { node: self.node.as_deref(), role: self.role, submitted: self.submitted.as_deref() }
    }
}

impl Stimulus for DeleteCsr {
    fn lint(&self, names: &Names<'_>) -> Vec<String> {
        self.pick().lint(names).into_iter().collect()
    }
}
