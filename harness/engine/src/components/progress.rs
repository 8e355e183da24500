//! What is reported while executables are fetched, built, checked and written: the interface to whatever shows it.

use std::fmt;
use std::sync::Arc;

/// Receives the progress of tasks, several at the same time.
pub trait ProgressListener: Send + Sync {
    /// Shows one line.
    fn note(&self, text: &str);

    /// Shows the start of a task of `total` units, if that is known.
    fn task(&self, label: &str, total: Option<u64>, unit: Unit) -> Box<dyn TaskListener>;
}

/// A task that is shown. If it is dropped without [`Self::finish`], it did not succeed.
pub trait TaskListener: Send {
    /// `more` units are done.
    fn add(&mut self, more: u64);

    /// It succeeded.
    fn finish(self: Box<Self>);
}

/// What a task counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes read or written.
    Bytes,
    /// Go packages of a build.
    Packages,
}

/// Where progress is shown, if anywhere. Cheap to clone; all clones show it in the same place.
#[derive(Clone)]
pub struct Progress(Option<Arc<dyn ProgressListener>>);

/// A task in progress; it ends when dropped, or successfully by [`Task::finish`].
pub struct Task(Option<Box<dyn TaskListener>>);

impl Progress {
    /// Reports to this listener.
    pub fn to(listener: impl ProgressListener + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    /// Shown nowhere.
    pub fn hidden() -> Self {
        Self(None)
    }

    /// Shows one line.
    pub fn note(&self, text: &str) {
        if let Some(listener) = &self.0 {
            listener.note(text);
        }
    }

    /// Starts a task of `total` units, if that is known.
    pub fn task(&self, label: &str, total: Option<u64>, unit: Unit) -> Task {
        Task(self.0.as_ref().map(|listener| listener.task(label, total, unit)))
    }
}

impl Task {
    /// `more` units are done.
    pub fn add(&mut self, more: u64) {
        if let Some(task) = &mut self.0 {
            task.add(more);
        }
    }

    /// Ends the task successfully.
    pub fn finish(self) {
        if let Some(task) = self.0 {
            task.finish();
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Progress(told)" } else { "Progress(hidden)" })
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Task")
    }
}
