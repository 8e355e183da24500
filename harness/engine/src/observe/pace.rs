//! How often to look at what nobody tells of: often while something happens in the cluster, ever more seldom while it
//! rests, so that a wait of minutes for a rotation costs the machine little.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Sink;

/// The pauses between looks: half of the time since the last change, between these two. So what a change brings about
/// late is seen as late as it came, in proportion.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Just after a change.
    pub(super) shortest: Duration,
    /// At rest. The next change ends it.
    pub(super) longest: Duration,
}

impl Pace {
    /// The same pause always.
    pub(super) const fn even(pause: Duration) -> Self {
        Self { shortest: pause, longest: pause }
    }

    /// Until it is time for the next look. Nothing is lost when this is dropped.
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
