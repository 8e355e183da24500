//! Tells when the recorders last looked.

use std::time::Duration;

use super::Sink;
use super::pace::Pace;
use crate::task::Task;

/// How long a recorder that is notified of changes waits for one before it says that there was none.
pub(super) const QUIET: Duration = Duration::from_millis(500);
/// Verdicts wait for it, and it is a line of the history each time.
const PACE: Pace = Pace { shortest: Duration::from_millis(500), longest: Duration::from_secs(4) };

/// Records the looks of all recorders together, often after a change and every four seconds while the cluster is idle.
pub fn tell(sink: Sink) -> Task {
    Task::spawn(async move {
        loop {
            PACE.wait(&sink).await;
            sink.tell_looks();
        }
    })
}
