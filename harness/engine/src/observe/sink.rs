//! Where recorders send their events: the history file, and the run that judges them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::sync::{mpsc, watch};

use crate::digest::sha256;
use crate::secret::Vault;
use tlsboot_core::history::event::{Looked, ProcessState, Recorder, RecorderEvent, RecorderState};
use tlsboot_core::history::{Event, What, write_line};

/// The only writer of a history. Cheap to clone; every recorder has one.
#[derive(Clone, Debug)]
pub struct Sink {
    inner: Arc<Mutex<Inner>>,
    vault: Vault,
    zero: Instant,
    /// When the cluster last changed, as [`Self::mono`].
    changed: watch::Sender<u64>,
    /// The processes that run, by their ids.
    processes: watch::Sender<BTreeSet<u32>>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    file: File,
    next: u64,
    /// `None` when the history has ended.
    events: Option<mpsc::UnboundedSender<Event>>,
    /// Size of what was recorded, in bytes.
    length: u64,
    digest: Sha256,
    failure: Option<io::Error>,
    /// The looks that have not been told yet.
    looks: Looked,
}

/// The file does not contain what was recorded, so it cannot prove any verdict.
#[derive(Debug, Error)]
pub enum HistoryLost {
    /// An event could not be written. Nothing was recorded after it.
    #[error("the history could not be written: {0}")]
    Write(#[source] io::Error),
    /// The file cannot be read again.
    #[error("the history cannot be read again: {0}")]
    Read(#[source] io::Error),
    /// Something else changed the file.
    #[error(
        "something else changed the history while it was written: the file's SHA-256 is not that of what was recorded \
         ({recorded} bytes were recorded, the file has {found})"
    )]
    Changed {
        /// Bytes in the file.
        found: u64,
        /// Bytes that were recorded; the same number as in the file if only the content differs.
        recorded: u64,
    },
}

impl Sink {
    /// Begins a history in a new file.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn create(path: &Path, vault: Vault) -> io::Result<(Self, mpsc::UnboundedReceiver<Event>)> {
        Ok(Self::into_file(File::create_new(path)?, path, vault))
    }

    fn into_file(file: File, path: &Path, vault: Vault) -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (events, receiver) = mpsc::unbounded_channel();
        let inner = Inner {
            path: path.to_owned(),
            file,
            next: 0,
            events: Some(events),
            length: 0,
            digest: Sha256::new(),
            failure: None,
            looks: Looked::default(),
        };
        let inner = Arc::new(Mutex::new(inner));
        let (changed, processes) = (watch::Sender::new(0), watch::Sender::default());
        (Self { inner, vault, zero: Instant::now(), changed, processes }, receiver)
    }

    /// Appends what happened just now.
    pub fn emit(&self, what: What) {
        self.emit_at(Timestamp::now(), what);
    }

    /// Appends what happened at a time that the source knows best. The first event that cannot be written ends the
    /// history and the channel to the judge: only what is in the file is judged.
    pub fn emit_at(&self, at: Timestamp, what: What) {
        let mut inner = self.lock();
        if inner.events.is_none() {
            return;
        }
        let mono = self.mono();
        if is_change(&what) {
            self.changed.send_replace(mono);
        }
        if let What::Process(process) = &what {
            self.processes.send_modify(|running| match process.state {
                ProcessState::Started => drop(running.insert(process.pid)),
                ProcessState::Exited { .. } => drop(running.remove(&process.pid)),
            });
        }
        let event = Event { seq: inner.next, at, seen: Timestamp::now(), mono, what };
        if let Err(error) = inner.append(&event) {
            tracing::error!(%error, "the history can't be written");
            inner.failure = Some(error);
            inner.events = None;
        }
        if let Some(events) = &inner.events {
            // A listener is optional.
            let _ = events.send(event);
        }
    }

    /// Ends the history: what happens from now on is not recorded. Compares the file with what was recorded.
    ///
    /// # Errors
    /// If they differ, or an event could not be written.
    pub fn close(&self) -> Result<(), HistoryLost> {
        let mut inner = self.lock();
        inner.events = None;
        if let Some(failure) = inner.failure.take() {
            return Err(HistoryLost::Write(failure));
        }
        let (digest, found) = File::open(&inner.path).and_then(sha256).map_err(HistoryLost::Read)?;
        if digest == hex::encode(inner.digest.clone().finalize()) {
            Ok(())
        } else {
            Err(HistoryLost::Changed { found, recorded: inner.length })
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that a recorder has started.
    pub fn started(&self, recorder: Recorder) {
        self.emit(What::Recorder(RecorderEvent { recorder, state: RecorderState::Started }));
    }

    /// Records that a recorder may have missed events.
    pub fn gap(&self, recorder: Recorder, why: impl Into<String>) {
        self.emit(What::Recorder(RecorderEvent { recorder, state: RecorderState::Gap(why.into()) }));
    }

    /// Notes that a recorder has looked: what had happened at this time ([`Self::mono`]), and what it can see, is recorded.
    pub(crate) fn looked(&self, recorder: Recorder, source: &str, mono: u64) {
        self.lock().looks.at.entry(recorder).or_default().insert(source.to_owned(), mono);
    }

    /// Records the looks since the last time.
    pub(super) fn tell_looks(&self) {
        let looks = std::mem::take(&mut self.lock().looks);
        if !looks.at.is_empty() {
            self.emit(What::Looked(looks));
        }
    }

    /// The secrets of this run, for redacting texts and registering keys that a recorder finds.
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// How long the cluster has been idle.
    pub(super) fn since_change(&self) -> Duration {
        let changed = *self.changed.borrow();
        Duration::from_micros(self.mono().saturating_sub(changed))
    }

    /// The ids of the processes that run.
    pub(super) fn processes(&self) -> BTreeSet<u32> {
        self.processes.borrow().clone()
    }

    /// Notified of each change from now on.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Microseconds of the monotonic clock since the history began.
    pub fn mono(&self) -> u64 {
        u64::try_from(self.zero.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

impl Inner {
    fn append(&mut self, event: &Event) -> io::Result<()> {
        let line = write_line(event)?;
        self.file.write_all(line.as_bytes())?;
        self.digest.update(line.as_bytes());
        self.length += line.len() as u64;
        self.next += 1;
        Ok(())
    }
}

/// Heartbeats of nodes and their consequences also continue while idle.
fn is_change(what: &What) -> bool {
    !matches!(
        what,
        What::Request(_)
            | What::Connection(_)
            | What::Inbound(_)
            | What::Reach(_)
            | What::Log(_)
            | What::Recorder(_)
            | What::Load(_)
            | What::Looked(_)
    )
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;

    fn emit(sink: &Sink) {
        sink.started(Recorder::Csr);
    }

    #[test]
    fn a_history_that_is_as_it_was_written_closes() {
        let folder = tempfile::tempdir().unwrap();
        let (sink, mut events) = Sink::create(&folder.path().join("history"), Vault::new()).unwrap();
        emit(&sink);
        sink.close().unwrap();
        emit(&sink);
        assert_eq!(events.try_recv().unwrap().seq, 0);
        assert!(events.try_recv().is_err() && events.is_closed());
    }

    #[test]
    fn a_history_that_was_cut_or_changed_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history");
        let (sink, _events) = Sink::create(&path, Vault::new()).unwrap();
        emit(&sink);
        OpenOptions::new().write(true).open(&path).unwrap().set_len(7).unwrap();
        emit(&sink);
        let lost = sink.close().unwrap_err();
        assert!(matches!(lost, HistoryLost::Changed { .. }), "{lost}");
    }

    /// The judge does not receive what is not in the file.
    #[test]
    fn what_can_not_be_written_ends_the_history() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history");
        std::fs::write(&path, "").unwrap();
        let (sink, mut events) = Sink::into_file(File::open(&path).unwrap(), &path, Vault::new());
        emit(&sink);
        emit(&sink);
        assert!(events.try_recv().is_err() && events.is_closed());
        assert!(matches!(sink.close(), Err(HistoryLost::Write(_))));
    }
}
