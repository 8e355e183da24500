//! Tasks that end with their owner.

use tokio::task::JoinHandle;

/// A task of the runtime; dropping it aborts it.
#[derive(Debug)]
pub struct Task(JoinHandle<()>);

impl Task {
    /// Spawns it. Needs a tokio runtime.
    pub fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
