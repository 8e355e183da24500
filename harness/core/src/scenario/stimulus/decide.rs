//! `approve` and `deny`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{CsrPick, Identity, Names, Stimulus};
use crate::check::Role;
use crate::check::answer::AnswerIs;
use crate::scenario::NodeName;

/// The CSR to decide, and who decides it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Decide {
    /// The node that the certificate is for.
    #[serde(default)]
    pub node: Option<NodeName>,
    /// `client` or `serving`.
    #[serde(default)]
    pub role: Option<Role>,
    /// The CSR that the step `submit` of this name created.
    #[serde(default)]
    pub submitted: Option<String>,
    /// Who decides it, and may be refused; by default the administrator, who must succeed.
    #[serde(default, rename = "as")]
    pub by: Option<Identity>,
    /// The answer that must come. If it differs by version, write an `expect: {answer: …}` for each version instead.
    #[serde(default)]
    pub answer: Option<AnswerIs>,
}

impl Decide {
    /// Which CSR is meant.
    pub fn pick(&self) -> CsrPick<'_> {
        CsrPick { node: self.node.as_deref(), role: self.role, submitted: self.submitted.as_deref() }
    }
}

impl Stimulus for Decide {
    fn lint(&self, names: &Names<'_>) -> Vec<String> {
        let identity = self.by.as_ref().and_then(|identity| identity.lint(names));
        identity.into_iter().chain(self.pick().lint(names)).collect()
    }

    fn answer(&self) -> Option<&AnswerIs> {
        self.answer.as_ref()
    }
}
