//! Listing and watching one kind of object without missing a change.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::{StreamExt, pin_mut};
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::core::Resource;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::Sink;
use super::looks::QUIET;
use tlsboot_core::history::What;
use tlsboot_core::history::event::{Change, Recorder, WHOLE_CLUSTER};

/// A kind of object that is recorded.
pub(super) trait Recorded:
    Resource<DynamicType: Default> + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static
{
    /// Its recorder.
    const RECORDER: Recorder;

    /// The event for a change; `None` if nothing that is recorded has changed.
    fn event(&self, change: Change, before: Option<&Self>) -> Option<What>;

    /// May there have been an unobserved state between these two?
    fn may_skip(&self, before: Option<&Self>) -> bool;

    /// What of this object could not be recorded, if anything.
    fn unreadable(&self) -> Option<String> {
        None
    }
}

const FIRST_DELAY: Duration = Duration::from_millis(50);
const LAST_DELAY: Duration = Duration::from_millis(500);

/// Why a watch ended.
enum End {
    /// It can be resumed where it was.
    Broken,
    /// The API server no longer has the changes since then (410 Gone).
    Expired,
    /// The API server refuses the watch.
    Refused(String),
}

/// Records all changes. Never returns.
///
/// A broken watch (the API server restarts, or ends it after a while) continues at the last resourceVersion. A
/// restarted API server has nothing from before its start and answers 410; then everything is listed again and compared
/// with what is known. Nothing is written while the API server is down, so usually nothing is missing; if a state may
/// have been skipped, that is a gap.
pub(super) async fn record<K: Recorded>(api: Api<K>, sink: Sink) {
    let mut watching =
        Watching { api, sink, known: BTreeMap::new(), version: None, started: false, failures: 0, refused: false };
    loop {
        match watching.run().await {
            Ok(()) | Err(End::Broken) => {}
            Err(End::Expired) => watching.version = None,
            Err(End::Refused(why)) => watching.refuse(&why),
        }
        if watching.started && !watching.refused {
            watching.looked(watching.sink.mono());
        }
        tokio::time::sleep(watching.delay()).await;
    }
}

struct Watching<K: Recorded> {
    api: Api<K>,
    sink: Sink,
    /// By uid: an object that was created again under its old name is another one.
    known: BTreeMap<String, K>,
    /// Where to continue; `None` before the first list and after a 410.
    version: Option<String>,
    started: bool,
    /// Whether a watch has been open.
    failures: u32,
    refused: bool,
}

impl<K: Recorded> Watching<K> {
    /// Watches until the watch ends normally.
    async fn run(&mut self) -> Result<(), End> {
        let version = match self.version.clone() {
            Some(version) => version,
            None => self.list().await?,
        };
        let params = WatchParams::default();
        let events = self.api.watch(&params, &version).await.map_err(end)?;
        pin_mut!(events);
        self.failures = 0;
        self.refused = false;
        if !self.started {
            self.started = true;
            self.sink.started(K::RECORDER);
        }
        loop {
            let now = self.sink.mono();
            let Ok(event) = timeout(QUIET, events.next()).await else {
                self.looked(now);
                continue;
            };
            let Some(event) = event else { return Ok(()) };
            match event.map_err(end)? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => self.take(object),
                WatchEvent::Deleted(object) => self.remove(object),
                WatchEvent::Bookmark(mark) => self.version = Some(mark.metadata.resource_version),
                WatchEvent::Error(status) => return Err(end(kube::Error::Api(status))),
            }
        }
    }

    /// While the API server is away nothing changes, and what may have been skipped afterwards is a gap.
    fn looked(&self, now: u64) {
        self.sink.looked(K::RECORDER, WHOLE_CLUSTER, now);
    }

    async fn list(&mut self) -> Result<String, End> {
        let list = self.api.list(&ListParams::default()).await.map_err(end)?;
        let version = list.metadata.resource_version.unwrap_or_default();
        let there: BTreeSet<String> = list.items.iter().map(uid).collect();
        let gone: Vec<K> =
            self.known.iter().filter(|(uid, _)| !there.contains(*uid)).map(|(_, object)| object.clone()).collect();
        for object in gone {
            self.gap_if(true, &object);
            self.remove(object);
        }
        for object in list.items {
            let skipped = self.started && object.may_skip(self.known.get(&uid(&object)));
            self.gap_if(skipped, &object);
            self.take(object);
        }
        self.version = Some(version.clone());
        Ok(version)
    }

    /// Processes the current state of an object. If this state was already seen, nothing is recorded.
    fn take(&mut self, object: K) {
        let version = object.meta().resource_version.clone();
        let before = self.known.get(&uid(&object));
        if before.is_none_or(|before| before.meta().resource_version != version) {
            let change = match before {
                None => Change::Added,
                Some(_) => Change::Modified,
            };
            self.emit(&object, change, before);
            self.known.insert(uid(&object), object);
        }
        self.version = version.or(self.version.take());
    }

    fn remove(&mut self, object: K) {
        let version = object.meta().resource_version.clone();
        let before = self.known.remove(&uid(&object));
        self.emit(&object, Change::Deleted, before.as_ref());
        self.version = version.or(self.version.take());
    }

    fn emit(&self, object: &K, change: Change, before: Option<&K>) {
        if let Some(why) = object.unreadable() {
            self.sink.gap(K::RECORDER, why);
        }
        if let Some(what) = object.event(change, before) {
            self.sink.emit(what);
        }
    }

    fn gap_if(&self, skipped: bool, object: &K) {
        if skipped {
            let name = object.meta().name.as_deref().unwrap_or_default();
            let why = format!("{name} changed while its history had expired (410 Gone)");
            self.sink.gap(K::RECORDER, why);
        }
    }

    fn delay(&mut self) -> Duration {
        let delay = FIRST_DELAY * 2u32.saturating_pow(self.failures);
        self.failures = (self.failures + 1).min(8);
        delay.min(LAST_DELAY)
    }

    /// Once each time the API server begins to refuse.
    fn refuse(&mut self, why: &str) {
        if self.started && !self.refused {
            self.refused = true;
            let why = format!("the API server refuses the watch: {why}");
            self.sink.gap(K::RECORDER, why);
        }
    }
}

fn uid<K: Resource>(object: &K) -> String {
    object.meta().uid.clone().unwrap_or_default()
}

fn end(error: kube::Error) -> End {
    tracing::debug!(%error, "a watch ended");
    match error {
        kube::Error::Api(status) if status.code == 410 => End::Expired,
        // A server that starts or stops answers 429, 500, 503 or 504.
        kube::Error::Api(status) if status.code < 500 && status.code != 429 => End::Refused(status.message),
        _ => End::Broken,
    }
}
