//! Where recorders put their events: the history file, and the run that judges them.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use crate::secret::Vault;
use tlsboot_core::history::event::{Recorder, RecorderEvent, RecorderState};
use tlsboot_core::history::{Event, What, write_line};

/// The one writer of a history. Cheap to clone; every recorder has one.
#[derive(Clone, Debug)]
pub struct Sink {
    inner: Arc<Mutex<Inner>>,
    vault: Vault,
    zero: Instant,
    /// When the cluster changed last, as [`Self::mono`].
    changed: watch::Sender<u64>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    next: u64,
    events: mpsc::UnboundedSender<Event>,
}

impl Sink {
    /// Begins a history in a new file.
    ///
    /// # Errors
    /// When the file can't be made.
    pub fn create(path: &Path, vault: Vault) -> std::io::Result<(Self, mpsc::UnboundedReceiver<Event>)> {
        let (events, receiver) = mpsc::unbounded_channel();
        let file = File::create_new(path)?;
        let inner = Arc::new(Mutex::new(Inner { file, next: 0, events }));
        Ok((Self { inner, vault, zero: Instant::now(), changed: watch::Sender::new(0) }, receiver))
    }

    /// Appends what happened just now.
    pub fn emit(&self, what: What) {
        self.emit_at(Timestamp::now(), what);
    }

    /// Appends what happened at a time that the source knows best.
    pub fn emit_at(&self, at: Timestamp, what: What) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mono = self.mono();
        if is_change(&what) {
            self.changed.send_replace(mono);
        }
        let event = Event { seq: inner.next, at, seen: Timestamp::now(), mono, what };
        // A history that can't be written is found out at the end: its hash and its re-check fail.
        let written =
            write_line(&event).map_err(std::io::Error::from).and_then(|line| inner.file.write_all(line.as_bytes()));
        if let Err(error) = written {
            tracing::error!(%error, "the history can't be written");
        }
        inner.next += 1;
        let _ = inner.events.send(event);
    }

    /// Says that a recorder records from now on.
    pub fn started(&self, recorder: Recorder) {
        self.emit(What::Recorder(RecorderEvent { recorder, state: RecorderState::Started }));
    }

    /// Says that a recorder may have missed events.
    pub fn gap(&self, recorder: Recorder, why: impl Into<String>) {
        self.emit(What::Recorder(RecorderEvent { recorder, state: RecorderState::Gap(why.into()) }));
    }

    /// The secrets of this run, for scrubbing texts and registering keys that a recorder comes across.
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// How long the cluster has been at rest.
    pub(super) fn since_change(&self) -> Duration {
        let changed = *self.changed.borrow();
        Duration::from_micros(self.mono().saturating_sub(changed))
    }

    /// Told of each change from now on.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Microseconds of the monotonic clock since the history began.
    pub fn mono(&self) -> u64 {
        u64::try_from(self.zero.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// Heartbeats of nodes and what comes of them go on at rest, too.
fn is_change(what: &What) -> bool {
    !matches!(what, What::Request(_) | What::Connection(_) | What::Log(_) | What::Recorder(_))
}
