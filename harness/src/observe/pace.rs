//! How often to look at what nobody tells of: often while something happens in the cluster, seldom while it rests, so
//! that a wait of minutes for a rotation costs the machine little.

use std::time::{Duration, Instant};

use super::Sink;

/// What a change brings about comes within this time, as a rule: a kubelet that restarts is back, a new certificate is
/// presented and counted.
const LIVELY: Duration = Duration::from_secs(5);

/// The pauses between looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// While something happens, and for five seconds after it.
    pub(super) lively: Duration,
    /// At rest. The first change ends it.
    pub(super) resting: Duration,
}

impl Pace {
    /// Until it is time for the next look. Nothing is lost when this is dropped.
    pub(super) async fn wait(self, sink: &Sink) {
        let begin = Instant::now();
        loop {
            tokio::time::sleep(self.lively).await;
            if self.is_due(sink.since_change(), begin.elapsed()) {
                return;
            }
        }
    }

    fn is_due(self, since_change: Duration, waited: Duration) -> bool {
        since_change < LIVELY || waited >= self.resting
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::just_after_a_change(0, 1, true)]
    #[case::soon_after_one(4, 1, true)]
    #[case::at_rest(5, 1, false)]
    #[case::at_rest_for_long(100, 5, true)]
    fn looks_are_due(#[case] since_change: u64, #[case] waited: u64, #[case] due: bool) {
        let [lively, resting] = [1, 5].map(Duration::from_secs);
        let pace = Pace { lively, resting };
        let [since_change, waited] = [since_change, waited].map(Duration::from_secs);
        assert_eq!(pace.is_due(since_change, waited), due);
    }
}
