//! What the state keeps of the requests that a `reach` with `every` sends.

use jiff::{SignedDuration, Timestamp};

use crate::history::event::ReachEvent;

/// What came of the requests of one stimulus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reaches {
    /// How many were answered, or failed to be.
    pub requests: u32,
    /// How many of them failed.
    pub failed: u32,
    /// When the last one succeeded; at first, when the first one ended.
    since: Timestamp,
    /// The longest time without a success.
    pub longest_gap: SignedDuration,
}

impl Reaches {
    /// Before the first of them, which ended at this time.
    pub(super) fn before(first: Timestamp) -> Self {
        Self { requests: 0, failed: 0, since: first, longest_gap: SignedDuration::ZERO }
    }

    /// Takes in the next one, which ended at this time.
    pub(super) fn add(&mut self, reach: &ReachEvent, at: Timestamp) {
        self.requests += 1;
        self.longest_gap = self.longest_gap.max(at.duration_since(self.since));
        if reach.succeeded() {
            self.since = at;
        } else {
            self.failed += 1;
        }
    }
}
