//! What became so and must stay so: its window, what was seen in it, and whether anyone was looking.

use jiff::{SignedDuration, Timestamp};

use super::{LooksAt, Match, Matcher, Moment, State};
use crate::history::Event;
use crate::history::event::{Recorder, WHOLE_CLUSTER};
use crate::time::{Shift, micros};

/// What becomes so with the last event of a scenario must stay so for this time.
const LEAST: SignedDuration = SignedDuration::from_secs(2);

/// Something that became so.
#[derive(Clone, Debug)]
pub(super) struct Lasting {
    since: Mark,
    /// The end of its window, once it is known; it does not belong to the window.
    end: Option<Mark>,
    /// Which recorder did not look for too long.
    silence: Option<String>,
}

/// A place in the history.
#[derive(Clone, Copy, Debug)]
struct Mark {
    seq: u64,
    at: Timestamp,
    mono: u64,
}

impl Mark {
    fn of(event: &Event) -> Self {
        Self { seq: event.seq, at: event.at, mono: event.mono }
    }

    /// So much later, which may be between two events.
    fn after(self, duration: SignedDuration) -> Self {
        let mono = self.mono.saturating_add(micros(duration));
        Self { seq: u64::MAX, at: self.at.later(duration), mono }
    }
}

impl Lasting {
    /// It became so with this event, and must stay so for this time, if it is known.
    pub(super) fn since(event: &Event, duration: Option<SignedDuration>) -> Self {
        let since = Mark::of(event);
        Self { since, end: duration.map(|duration| since.after(duration)), silence: None }
    }

    /// The scenario ends with this event, and its window with it, but not before it had a length.
    pub(super) fn end_at_last(&mut self, event: &Event) {
        let least = self.since.after(LEAST);
        let end = Mark::of(event);
        self.end.get_or_insert(if end.mono < least.mono { least } else { end });
    }

    /// Its window ends with this event, unless it has ended before.
    pub(super) fn end_with(&mut self, event: &Event) {
        self.end.get_or_insert(Mark::of(event));
    }

    /// The end of its window, by `mono`, if it is known.
    pub(super) fn end(&self) -> Option<u64> {
        self.end.map(|end| end.mono)
    }

    /// What the event shows, if it lies in the window and it is no longer so.
    pub(super) fn broken(&self, matcher: &dyn Matcher, moment: &Moment<'_>) -> Option<Match> {
        let (event, since) = (moment.event, self.since);
        let shown = match matcher.looks_at() {
            // What is told late counts for the time when it happened.
            LooksAt::Events(matcher) => {
                let is_inside = event.at >= since.at && self.end.is_none_or(|end| event.at < end.at);
                is_inside.then(|| matcher.judge(moment))
            }
            // A state is what it is when it is told.
            LooksAt::State(matcher) => {
                let is_inside = self.end.is_none_or(|end| event.seq < end.seq && event.mono < end.mono);
                (is_inside && matcher.is_changed_by(event)).then(|| matcher.holds(moment.state))
            }
        };
        shown.filter(|shown| event.seq > since.seq && !matches!(shown, Match::Yes | Match::Other))
    }

    /// Notes a recorder that has not looked for too long.
    pub(super) fn attend(&mut self, matcher: &dyn Matcher, state: &State, now: u64) {
        let until = self.end().map_or(now, |end| end.min(now));
        let silent = looks(matcher, state).find_map(|look| {
            let from = look.mono.max(self.since.mono);
            let silence = SignedDuration::from_micros(i64::try_from(until.saturating_sub(from)).unwrap_or(i64::MAX));
            (silence > look.recorder.longest_silence()).then(|| {
                let from = from / 1_000_000;
                format!("{look} for {} s, from second {from} of the history on", silence.as_secs())
            })
        });
        if self.silence.is_none() {
            self.silence = silent;
        }
    }

    /// Whether all recorders have looked until the end of the window.
    pub(super) fn is_proven(&self, matcher: &dyn Matcher, state: &State) -> bool {
        self.end().is_some_and(|end| looks(matcher, state).all(|look| look.mono >= end))
    }

    /// How long the last looks may take, after the end of the window.
    pub(super) fn patience(matcher: &dyn Matcher) -> SignedDuration {
        let longest = matcher.recorders().iter().map(|recorder| recorder.longest_silence()).max();
        longest.unwrap_or_default()
    }

    /// Which recorder did not look for too long, or not until the end of the window.
    pub(super) fn silence(&self, matcher: &dyn Matcher, state: &State) -> Option<String> {
        let until_the_end = || {
            let end = self.end()?;
            let missing = looks(matcher, state).find(|look| look.mono < end)?;
            Some(format!("{missing} until the end (histories of format 1 do not say when recorders look)"))
        };
        self.silence.clone().or_else(until_the_end)
    }
}

/// The last look of a recorder at one of its sources.
struct Look<'a> {
    recorder: Recorder,
    source: &'a str,
    /// 0 for never.
    mono: u64,
}

impl std::fmt::Display for Look<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let article = if self.source == WHOLE_CLUSTER { "the " } else { "" };
        write!(f, "the recorder `{}` has not looked at {article}{}", self.recorder, self.source)
    }
}

/// The last looks at what an expectation is about.
fn looks<'a>(matcher: &'a dyn Matcher, state: &'a State) -> impl Iterator<Item = Look<'a>> {
    matcher.recorders().iter().flat_map(move |recorder| {
        let sources = if recorder.looks_at_each() { matcher.sources() } else { vec![WHOLE_CLUSTER] };
        sources.into_iter().map(move |source| {
            let known = state.looks.get(recorder).and_then(|sources| sources.get(source));
            Look { recorder: *recorder, source, mono: known.copied().unwrap_or(0) }
        })
    })
}
