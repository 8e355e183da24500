//! `patchCSR`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{CsrPick, Identity, Names, Stimulus};
use crate::check::Role;
use crate::check::answer::AnswerIs;
use crate::scenario::NodeName;

/// A change of a CSR, which may be refused.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PatchCsr {
    /// Who changes it.
    #[serde(rename = "as")]
    pub by: Identity,
    /// The node that the certificate is for.
    #[serde(default)]
    pub node: Option<NodeName>,
    /// `client` or `serving`.
    #[serde(default)]
    pub role: Option<Role>,
    /// The CSR that the step `submit` of this name created.
    #[serde(default)]
    pub submitted: Option<String>,
    /// `approval` or `status`; the object itself by default.
    #[serde(default)]
    pub subresource: Option<CsrSubresource>,
    /// The desired content, as a JSON merge patch.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub patch: serde_json::Value,
    /// How it is sent.
    #[serde(default)]
    pub verb: PatchVerb,
    /// The answer that must come. If it differs by version, write an `expect: {answer: …}` for each version instead.
    #[serde(default)]
    pub answer: Option<AnswerIs>,
}

/// How a change is sent, named by the verb that its sender must be allowed to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PatchVerb {
    /// Only the change, by PATCH.
    #[default]
    Patch,
    /// The whole changed object, by PUT.
    Update,
}

/// A subresource of a CSR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CsrSubresource {
    /// Where approvers write.
    Approval,
    /// Where signers write.
    Status,
}

impl PatchCsr {
    /// Which CSR is meant.
    pub fn pick(&self) -> CsrPick<'_> {
        CsrPick { node: self.node.as_deref(), role: self.role, submitted: self.submitted.as_deref() }
    }
}

impl Stimulus for PatchCsr {
    fn lint(&self, names: &Names<'_>) -> Vec<String> {
        self.by.lint(names).into_iter().chain(self.pick().lint(names)).collect()
    }

    fn answer(&self) -> Option<&AnswerIs> {
        self.answer.as_ref()
    }
}
