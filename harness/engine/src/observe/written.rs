//! Notifies when a file was written, so that it is not polled in vain. One inotify instance for the whole process,
//! because a user has few of them.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use inotify::{EventMask, EventOwned, Inotify, WatchDescriptor, WatchMask, Watches};
use tokio::sync::Notify;

/// If the kernel sends no notifications (some network file systems, no inotify instance left), a file is polled this
/// often.
const UNTOLD: Duration = Duration::from_secs(1);
/// And this often if it has sent some before.
const TOLD: Duration = Duration::from_secs(10);
/// A log is written in bursts: writes within this time are notified together.
const TOGETHER: Duration = Duration::from_millis(20);
const BUFFER: usize = 16 << 10;

/// Waits for writes to one file, which need not exist yet; its directory must.
pub(super) struct Written {
    written: Arc<Notify>,
    watch: Option<(&'static Hub, WatchDescriptor)>,
    was_told: AtomicBool,
}

impl Written {
    pub(super) fn to(path: &Path) -> Self {
        let written = Arc::new(Notify::new());
        let watch = HUB.as_ref().ok().and_then(|hub| {
            let watch = hub.add(path, written.clone()).ok()?;
            Some((hub, watch))
        });
        Self { written, watch, was_told: AtomicBool::new(false) }
    }

    /// Returns when the file was written since the last time, created, or replaced; now and then without any of these.
    pub(super) async fn again(&self) {
        let patience = match self.was_told.load(Ordering::Relaxed) {
            true => TOLD,
            false => UNTOLD,
        };
        // A missed notification does not matter: the waiting task polls then.
        if tokio::time::timeout(patience, self.written.notified()).await.is_ok() {
            self.was_told.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        if let Some((hub, watch)) = self.watch.take() {
            hub.remove(watch, &self.written);
        }
    }
}

static HUB: LazyLock<io::Result<Hub>> = LazyLock::new(Hub::start);

type Waiting = HashMap<WatchDescriptor, Vec<(OsString, Arc<Notify>)>>;

/// Whom to notify of changes in which directory. The lock is also held while watches change, because the kernel has one
/// watch per directory, however often it is added.
struct Hub {
    watches: Mutex<Watches>,
    waiting: Arc<Mutex<Waiting>>,
}

impl Hub {
    fn start() -> io::Result<Self> {
        let mut inotify = Inotify::init()?;
        let watches = Mutex::new(inotify.watches());
        let waiting = Arc::new(Mutex::new(Waiting::new()));
        let told = waiting.clone();
        let listen = move || {
            let mut buffer = vec![0; BUFFER];
            while let Ok(events) = inotify.read_events_blocking(&mut buffer) {
                let waiting = lock(&told);
                events.for_each(|event| tell(&waiting, &event.to_owned()));
                drop(waiting);
                std::thread::sleep(TOGETHER);
            }
        };
        std::thread::Builder::new().name("written".into()).spawn(listen)?;
        Ok(Self { watches, waiting })
    }

    fn add(&self, path: &Path, written: Arc<Notify>) -> io::Result<WatchDescriptor> {
        let directory = path.parent().unwrap_or(Path::new("/"));
        let name = path.file_name().unwrap_or(OsStr::new("")).to_owned();
        let mask = WatchMask::CREATE | WatchMask::MODIFY | WatchMask::MOVED_TO | WatchMask::ONLYDIR;
        let mut waiting = lock(&self.waiting);
        let watch = lock(&self.watches).add(directory, mask)?;
        waiting.entry(watch.clone()).or_default().push((name, written));
        Ok(watch)
    }

    fn remove(&self, watch: WatchDescriptor, written: &Arc<Notify>) {
        let mut waiting = lock(&self.waiting);
        let Some(others) = waiting.get_mut(&watch) else {
            return;
        };
        others.retain(|(_, other)| !Arc::ptr_eq(other, written));
        if others.is_empty() {
            waiting.remove(&watch);
            // The kernel has already removed it with its directory.
            let _ = lock(&self.watches).remove(watch);
        }
    }
}

fn tell(waiting: &Waiting, event: &EventOwned) {
    if event.mask.contains(EventMask::Q_OVERFLOW) {
        waiting.values().flatten().for_each(|(_, written)| written.notify_one());
    }
    let here = waiting.get(&event.wd).into_iter().flatten();
    here.filter(|(name, _)| event.name.as_ref() == Some(name)).for_each(|(_, written)| written.notify_one());
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Instant;

    use super::*;

    /// Was the kernel faster than the fallback?
    async fn is_told(written: &Written) -> bool {
        let begin = Instant::now();
        written.again().await;
        begin.elapsed() < UNTOLD
    }

    #[tokio::test]
    async fn writes_of_the_file_are_told_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        let (first, second) = (Written::to(&one), Written::to(&two));
        fs::write(&one, "made").unwrap();
        assert!(is_told(&first).await);
        assert!(!is_told(&second).await);
        drop(first);
        fs::rename(&one, &two).unwrap();
        assert!(is_told(&second).await);
        let later = Written::to(&two);
        fs::write(&two, "again").unwrap();
        assert!(is_told(&later).await && is_told(&second).await);
    }

    #[tokio::test]
    async fn a_write_between_looks_is_not_missed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let written = Written::to(&path);
        fs::write(&path, "made").unwrap();
        let told = tokio::time::timeout(UNTOLD / 2, written.again());
        assert!(told.await.is_ok());
    }

    #[tokio::test]
    async fn without_a_directory_nothing_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let written = Written::to(&dir.path().join("none/log"));
        assert!(written.watch.is_none() && !is_told(&written).await);
    }
}
