//! How well a kubelet's port could be reached over a time, by a `reach` with `every`.

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::Deserialize;

use super::compare::Compare;
use super::{LooksAt, Match, Matcher, OfState, State};
use crate::history::event::{Event, Recorder, What};
use crate::scenario::duration;

/// All requests of a `reach` with `every` so far: how many there were, how many of them failed, and for how long none
/// succeeded.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reachable {
    /// The stimulus' name.
    pub of: String,
    /// How many requests there must have been at least, so that it means something.
    pub requests: u32,
    /// How many of them may have failed at most; none by default.
    #[serde(default)]
    pub failed: u32,
    /// The longest time from one success to the next at most.
    #[serde(default, deserialize_with = "duration::positive_if_given")]
    #[schemars(schema_with = "duration::schema")]
    pub longest_gap: Option<SignedDuration>,
}

impl Matcher for Reachable {
    fn recorders(&self) -> &'static [Recorder] {
        &[Recorder::Reach]
    }

    fn looks_at(&self) -> LooksAt<'_> {
        LooksAt::State(self)
    }

    fn reached(&self) -> Option<&str> {
        Some(&self.of)
    }

    fn lint(&self) -> Option<String> {
        (self.requests == 0).then(|| "`requests: 0` is always true: say how many there must be at least".to_owned())
    }
}

impl OfState for Reachable {
    fn holds(&self, state: &State) -> Match {
        let Some(found) = state.reaches.get(&self.of) else {
            return Match::Other;
        };
        let mut lost = Compare::default();
        lost.holds("failed", found.failed <= self.failed, format!("at most {}", self.failed), found.failed);
        if let Some(longest) = self.longest_gap {
            let is_short = found.longest_gap <= longest;
            lost.holds("longestGap", is_short, format!("at most {longest:#}"), format!("{:#}", found.longest_gap));
        }
        if !lost.0.is_empty() {
            return lost.or_wrong();
        }
        let mut compare = Compare::default();
        let enough = found.requests >= self.requests;
        compare.holds("requests", enough, format!("at least {}", self.requests), found.requests);
        compare.or_near()
    }

    fn is_changed_by(&self, event: &Event) -> bool {
        matches!(&event.what, What::Reach(reach) if reach.name.as_ref() == Some(&self.of))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::history::event::{ReachEvent, Via};

    /// Requests that ended at these seconds, with these codes.
    fn state(ended: &[(i64, Option<u16>)]) -> State {
        let mut state = State::default();
        for (seq, (second, code)) in ended.iter().enumerate() {
            let at = Timestamp::from_second(*second).unwrap();
            let reach = ReachEvent {
                node: "n1".into(),
                name: Some("steady".into()),
                via: Via::ApiServer,
                path: "healthz".into(),
                code: *code,
                reason: String::new(),
                message: String::new(),
                certificate: None,
                millis: 3,
            };
            state.apply(&Event { seq: seq as u64, at, seen: at, mono: 0, what: What::Reach(Box::new(reach)) });
        }
        state
    }

    fn wants(requests: u32, failed: u32, gap: Option<i64>) -> Reachable {
        Reachable { of: "steady".into(), requests, failed, longest_gap: gap.map(SignedDuration::from_secs) }
    }

    const OK: Option<u16> = Some(200);

    #[test]
    fn all_succeed_once_a_second() {
        let state = state(&[(0, OK), (1, OK), (2, OK)]);
        assert_eq!(wants(3, 0, Some(1)).holds(&state), Match::Yes);
        assert!(matches!(wants(4, 0, Some(1)).holds(&state), Match::Near(_)), "too few so far");
    }

    #[test]
    fn failures_count_and_make_a_gap() {
        let state = state(&[(0, OK), (1, Some(503)), (2, None), (3, OK)]);
        assert_eq!(state.reaches["steady"].longest_gap, SignedDuration::from_secs(3));
        assert!(matches!(wants(3, 1, None).holds(&state), Match::Wrong(_)), "two failed");
        assert!(matches!(wants(3, 2, Some(2)).holds(&state), Match::Wrong(_)), "for three seconds");
        assert_eq!(wants(3, 2, Some(3)).holds(&state), Match::Yes);
    }

    #[test]
    fn a_gap_that_lasts_counts_as_well() {
        let state = state(&[(0, OK), (5, Some(503))]);
        assert!(matches!(wants(1, 1, Some(4)).holds(&state), Match::Wrong(_)));
    }

    #[test]
    fn others_do_not_count() {
        assert_eq!(Reachable { of: "other".into(), ..wants(1, 0, None) }.holds(&state(&[(0, OK)])), Match::Other);
    }
}
