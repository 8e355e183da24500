//! What came of requests to a kubelet's port, sent by `reach`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::compare::{Compare, NONE};
use super::{LooksAt, Match, Matcher, Moment, OfEvents, Role, State};
use crate::history::What;
use crate::history::event::{ReachEvent, Recorder};

/// What came of the `reach` right above, or of one request of a `reach` with `every`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reached {
    /// The name of a `reach` with `every`; without it, the step right above is meant.
    #[serde(default)]
    pub of: Option<String>,
    /// The HTTP status code; the API server answers 502 or 503 itself where it can't reach the kubelet.
    #[serde(default)]
    pub code: Option<u16>,
    /// The Status object's reason.
    #[serde(default)]
    pub reason: Option<String>,
    /// A part of the message: the Status object's, the body of a refusal, or why no answer came.
    #[serde(default)]
    pub message: Option<String>,
    /// Whether it failed: no answer, or another one than 2xx.
    #[serde(default)]
    pub failed: Option<bool>,
    /// The serving certificate that the kubelet showed, by its number among those issued, from 1. Only a request straight
    /// to the port knows it.
    #[serde(default)]
    pub certificate: Option<usize>,
}

impl Matcher for Reached {
    fn recorders(&self) -> &'static [Recorder] {
        &[Recorder::Reach]
    }

    fn looks_at(&self) -> LooksAt<'_> {
        LooksAt::Events(self)
    }

    fn reached(&self) -> Option<&str> {
        self.of.as_deref()
    }

    fn lint(&self) -> Option<String> {
        let Self { of: _, code, reason, message, failed, certificate } = self;
        let says = code.is_some() || reason.is_some() || message.is_some() || failed.is_some() || certificate.is_some();
        (!says).then(|| "what must come of it? Say a `code`, a `message`, `failed` or a `certificate`".to_owned())
    }
}

impl OfEvents for Reached {
    fn judge(&self, moment: &Moment<'_>) -> Match {
        let What::Reach(reach) = &moment.event.what else { return Match::Other };
        if reach.name != self.of {
            return Match::Other;
        }
        let compare = self.compare(reach, moment.state);
        match self.of {
            // There is only one.
            None => compare.or_wrong(),
            Some(_) => compare.or_near(),
        }
    }
}

impl Reached {
    fn compare(&self, reach: &ReachEvent, state: &State) -> Compare {
        let number = |code: Option<u16>| code.map_or(NONE.to_owned(), |code| code.to_string());
        let mut compare = Compare::default();
        compare
            .same("code", self.code.map(|code| number(Some(code))).as_ref(), &number(reach.code))
            .text("reason", self.reason.as_deref(), Some(&reach.reason))
            .contains("message", self.message.as_deref(), &reach.message)
            .same("failed", self.failed.as_ref(), &!reach.succeeded());
        if let Some(wanted) = self.certificate {
            let issued = state.issued(&reach.node, Role::Serving);
            let expected = issued.get(wanted.wrapping_sub(1)).map(|(_, certificate)| certificate.sha256.as_str());
            let found = reach.certificate.as_deref();
            let same = expected.is_some() && found == expected;
            compare.holds("certificate", same, format!("serving certificate {wanted}"), found.unwrap_or(NONE));
        }
        compare
    }

    /// Whether what came of a request is what is expected, given the current state.
    pub fn accepts(&self, reach: &ReachEvent, state: &State) -> bool {
        self.compare(reach, state).0.is_empty()
    }
}
