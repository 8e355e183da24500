//! Answers to the requests that the scenario's own steps send.

use schemars::JsonSchema;
use serde::Deserialize;

use super::compare::Compare;
use super::{LooksAt, Match, Matcher, Moment, OfEvents};
use crate::history::What;
use crate::history::event::{Phase, Recorder};

/// The answer to the step directly above: a `submit`, `get`, `approve` and so on.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AnswerIs {
    /// The HTTP status code.
    pub code: u16,
    /// The `reason` of the Status object.
    #[serde(default)]
    pub reason: Option<String>,
    /// A substring of the Status object's `message`.
    #[serde(default)]
    pub message: Option<String>,
}

impl Matcher for AnswerIs {
    fn recorders(&self) -> &'static [Recorder] {
        &[]
    }

    fn looks_at(&self) -> LooksAt<'_> {
        LooksAt::Events(self)
    }
}

impl OfEvents for AnswerIs {
    fn judge(&self, moment: &Moment<'_>) -> Match {
        let What::Step(step) = &moment.event.what else { return Match::Other };
        let Phase::Done { answer: Some(answer), .. } = &step.phase else { return Match::Other };
        let mut compare = Compare::default();
        compare
            .same("code", Some(&self.code), &answer.code)
            .text("reason", self.reason.as_deref(), Some(&answer.reason))
            .contains("message", self.message.as_deref(), &answer.message);
        compare.or_wrong()
    }
}
