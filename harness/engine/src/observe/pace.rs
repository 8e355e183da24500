//! How often to poll what sends no notifications: often while something happens in the cluster, and less and less often
//! while it is idle, so that a wait of minutes for a rotation costs the machine little.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Sink;

/// The pauses between polls: half of the time since the last change, between these two limits. Late effects of a change
/// are thus seen with a proportional delay.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Right after a change.
    pub(super) shortest: Duration,
    /// When idle. The next change ends it.
    pub(super) longest: Duration,
}

impl Pace {
    /// Always the same pause.
    pub(super) const fn even(pause: Duration) -> Self {
        Self { shortest: pause, longest: pause }
    }

    /// Waits until it is time for the next poll. Safe to drop.
    pub(super) async fn wait(self, sink: &Sink) {
        let begin = Instant::now();
        let mut changes = sink.changes();
        loop {
            let due = begin + self.pause(sink.since_change());
            let changed = timeout_at(due, changes.changed()).await;
            if changed.is_err() || begin.elapsed() >= self.shortest {
                return;
            }
        }
    }

    fn pause(self, since_change: Duration) -> Duration {
        (since_change / 2).clamp(self.shortest, self.longest)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const PACE: Pace = Pace { shortest: Duration::from_secs(1), longest: Duration::from_secs(5) };

    #[rstest]
    #[case::just_after_a_change(0, 1)]
    #[case::soon_after_one(4, 2)]
    #[case::at_rest(10, 5)]
    #[case::at_rest_for_long(100, 5)]
    fn pauses_grow(#[case] since_change: u64, #[case] pause: u64) {
        let [since_change, pause] = [since_change, pause].map(Duration::from_secs);
        assert_eq!(PACE.pause(since_change), pause);
    }
}
