//! `get`.

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Identity, Names, Stimulus};
use crate::check::answer::AnswerIs;
use crate::scenario::duration;

/// A GET request, which may be refused.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Get {
    /// Who sends it.
    #[serde(rename = "as")]
    pub by: Identity,
    /// The path, such as `/api/v1/nodes/n1`.
    pub path: String,
    /// The answer that must come. If it differs by version, write an `expect: {answer: …}` for each version instead.
    #[serde(default)]
    pub answer: Option<AnswerIs>,
    /// How long to repeat the request until the `answer` has this `code`; the last answer counts in any case.
    #[serde(default, deserialize_with = "duration::positive_if_given")]
    #[schemars(schema_with = "duration::schema")]
    pub retry_for: Option<SignedDuration>,
}

impl Stimulus for Get {
    fn lint(&self, names: &Names<'_>) -> Vec<String> {
        let aimless = self.retry_for.is_some() && self.answer.is_none();
        let aimless = aimless.then(|| "`retryFor` needs an `answer` to wait for".to_owned());
        self.by.lint(names).into_iter().chain(aimless).collect()
    }

    fn answer(&self) -> Option<&AnswerIs> {
        self.answer.as_ref()
    }
}
