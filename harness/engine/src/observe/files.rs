//! A kubelet's certificate directory and kubeconfig: every change, in order, by inotify, with what was found right
//! afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use futures::StreamExt;
use inotify::{EventMask, EventOwned, EventStream, Inotify, WatchDescriptor, WatchMask};
use tokio::time::timeout;

use super::Sink;
use super::looks::QUIET;
use super::snapshot::{certificate_file, kubeconfig_file};
use crate::node::NodeDir;
use crate::task::Task;
use tlsboot_core::history::What;
use tlsboot_core::history::event::{FileEvent, FileFacts, FileOp, Recorder};

/// The names under which the two kubeconfigs are recorded, whatever their file names are.
const KUBECONFIG: &str = "kubeconfig";
const BOOTSTRAP: &str = "bootstrap-kubeconfig";
const BUFFER: usize = 64 << 10;

/// Records a kubelet's files: every name in the certificate directory, the kubeconfig and the bootstrap kubeconfig.
/// Files that already exist are recorded as present.
///
/// The certificate directory need not exist, and may be deleted and created again; its content at that time is recorded
/// as created. A link's content is that of its target, so a change of the target is also recorded as a modification of
/// the link. Of a write only the end counts, and truncation. Facts show what was found a moment after the event; if
/// several events come at once, that may be the result of the later ones.
///
/// # Errors
/// If inotify is not available, or the directory of the kubeconfigs or the parent of the certificate directory does not
/// exist.
pub fn watch(node: String, dir: NodeDir, sink: Sink) -> io::Result<Task> {
    let mut inotify = Inotify::init()?;
    let parent = watched_parent(&mut inotify, &dir.cert_dir())?;
    let beside = watched_parent(&mut inotify, &dir.kubeconfig())?;
    let events = inotify.into_event_stream(vec![0; BUFFER])?;
    let mut recorder = Files {
        node,
        cert_dir: dir.cert_dir(),
        dir,
        parent,
        beside,
        inside: None,
        known: BTreeMap::new(),
        events,
        sink,
    };
    recorder.sink.started(Recorder::Files);
    recorder.compare(Place::Beside, FileOp::Present);
    recorder.enter(FileOp::Present);
    Ok(Task::spawn(async move { recorder.run().await }))
}

fn watched_parent(inotify: &mut Inotify, path: &Path) -> io::Result<WatchDescriptor> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    let watch = inotify.watches().add(parent, mask());
    watch.map_err(|error| io::Error::new(error.kind(), format!("{} can't be watched: {error}", parent.display())))
}

/// One mask for all, because two of the directories may be the same.
fn mask() -> WatchMask {
    WatchMask::CREATE
        | WatchMask::DELETE
        | WatchMask::MOVE
        | WatchMask::MODIFY
        | WatchMask::CLOSE_WRITE
        | WatchMask::ATTRIB
        | WatchMask::ONLYDIR
}

/// Which node's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Beside,
    Inside,
}

type Key = (Place, OsString);

struct Files {
    node: String,
    dir: NodeDir,
    cert_dir: PathBuf,
    /// Watch of the parent of the certificate directory.
    parent: WatchDescriptor,
    /// Watch of the directory that holds the kubeconfig.
    beside: WatchDescriptor,
    /// Watch of the certificate directory, while it exists.
    inside: Option<WatchDescriptor>,
    /// What was last recorded for each name.
    known: BTreeMap<Key, FileFacts>,
    events: EventStream<Vec<u8>>,
    sink: Sink,
}

impl Files {
    async fn run(&mut self) {
        loop {
            let now = self.sink.mono();
            match timeout(QUIET, self.events.next()).await {
                Ok(None) => return,
                Ok(Some(Ok(event))) => self.take(event),
                Ok(Some(Err(error))) => return self.gap(format!("inotify can't be read: {error}")),
                // The queue is empty.
                Err(_) => self.sink.looked(Recorder::Files, &self.node, now),
            }
        }
    }

    fn take(&mut self, event: EventOwned) {
        if event.mask.contains(EventMask::Q_OVERFLOW) {
            self.gap("inotify's queue was full".into());
            self.compare(Place::Beside, FileOp::Created);
            self.enter(FileOp::Created);
            return;
        }
        let is_inside = self.inside.as_ref() == Some(&event.wd);
        if event.mask.contains(EventMask::IGNORED) {
            if event.wd == self.beside || event.wd == self.parent {
                self.gap("the parent of the watched files was deleted".into());
            }
            if is_inside {
                self.leave();
            }
            return;
        }
        let Some(name) = event.name else { return };
        if event.wd == self.parent && self.cert_dir.file_name() == Some(&name) {
            match op(event.mask) {
                Some(FileOp::Created | FileOp::MovedTo) => self.enter(FileOp::Created),
                Some(FileOp::Deleted | FileOp::MovedFrom) => self.leave(),
                _ => {}
            }
        }
        let cookie = (event.cookie != 0).then_some(event.cookie);
        if event.wd == self.beside && self.names_beside().contains(&name) {
            self.change((Place::Beside, name.clone()), event.mask, cookie);
        }
        if is_inside {
            self.change((Place::Inside, name), event.mask, cookie);
        }
    }

    /// The certificate directory was created: watches it, then looks for files that were created before the watch.
    fn enter(&mut self, op: FileOp) {
        match self.events.watches().add(&self.cert_dir, mask()) {
            Ok(watch) => {
                self.inside = Some(watch);
                self.compare(Place::Inside, op);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.leave(),
            Err(error) => self.gap(format!("the certificate directory can't be watched: {error}")),
        }
    }

    /// The certificate directory was deleted, with everything in it.
    fn leave(&mut self) {
        if let Some(watch) = self.inside.take()
            && watch != self.beside
            && watch != self.parent
        {
            // The kernel may have removed it already.
            let _ = self.events.watches().remove(watch);
        }
        self.compare(Place::Inside, FileOp::Created);
    }

    /// Compares the current content with what was recorded. New names are recorded as `op`.
    fn compare(&mut self, place: Place, op: FileOp) {
        let there = match place {
            Place::Beside => self.names_beside(),
            Place::Inside if self.inside.is_some() => self.names_inside(),
            Place::Inside => BTreeSet::new(),
        };
        let known = self.known.keys().filter(|(of, _)| *of == place);
        let known: BTreeSet<OsString> = known.map(|(_, name)| name.clone()).collect();
        for name in there.union(&known) {
            let key = (place, name.clone());
            let facts = there.contains(name).then(|| self.facts(&key)).flatten();
            match (self.known.get(&key), &facts) {
                (None, Some(_)) => self.record(key, op, None, facts),
                (Some(_), None) => self.record(key, FileOp::Deleted, None, None),
                (before, now) if before != now.as_ref() => {
                    self.record(key, FileOp::Modified, None, facts);
                }
                _ => {}
            }
        }
    }

    fn change(&mut self, key: Key, mask: EventMask, cookie: Option<u32>) {
        let Some(mut op) = op(mask) else { return };
        let facts = match op {
            FileOp::Deleted | FileOp::MovedFrom => None,
            _ => self.facts(&key),
        };
        let before = self.known.get(&key);
        if mask.contains(EventMask::MODIFY) && !is_cut(before, facts.as_ref()) {
            return;
        }
        // A name that was found before its event arrived is already recorded.
        if op == FileOp::Created && before.is_some() {
            if before == facts.as_ref() {
                return;
            }
            op = FileOp::Modified;
        }
        self.record(key.clone(), op, cookie, facts);
        self.follow_links(&key);
    }

    /// Records the links to a name if their content has changed with it.
    fn follow_links(&mut self, (place, name): &Key) {
        if *place != Place::Inside {
            return;
        }
        let of_kubelet = self.dir.cert_dir_of_kubelet();
        let changed = of_kubelet.join(name);
        let points_there = |facts: &FileFacts| {
            let target = facts.target.as_ref();
            target.is_some_and(|target| of_kubelet.join(target) == changed)
        };
        let known = self.known.iter();
        let links = known.filter(|((place, _), facts)| *place == Place::Inside && points_there(facts));
        let links: Vec<Key> = links.map(|(key, _)| key.clone()).collect();
        for link in links {
            let facts = self.facts(&link);
            if facts.is_some() && facts.as_ref() != self.known.get(&link) {
                self.record(link, FileOp::Modified, None, facts);
            }
        }
    }

    fn record(&mut self, key: Key, op: FileOp, cookie: Option<u32>, facts: Option<FileFacts>) {
        self.sink.emit(What::File(Box::new(FileEvent {
            node: self.node.clone(),
            name: self.recorded_name(&key),
            op,
            cookie,
            facts: facts.clone(),
        })));
        match facts {
            Some(facts) => self.known.insert(key, facts),
            None => self.known.remove(&key),
        };
    }

    fn gap(&self, why: String) {
        self.sink.gap(Recorder::Files, format!("{}: {why}", self.node));
    }

    /// The kubeconfigs have the same names in every history.
    fn recorded_name(&self, (place, name): &Key) -> String {
        match place {
            Place::Beside if self.dir.kubeconfig().file_name() == Some(name) => KUBECONFIG.into(),
            Place::Beside => BOOTSTRAP.into(),
            Place::Inside => name.to_string_lossy().into_owned(),
        }
    }

    fn names_beside(&self) -> BTreeSet<OsString> {
        let both = [self.dir.kubeconfig(), self.dir.bootstrap_kubeconfig()];
        both.iter().filter_map(|path| path.file_name()).map(OsString::from).collect()
    }

    fn names_inside(&self) -> BTreeSet<OsString> {
        let entries = fs::read_dir(&self.cert_dir).into_iter().flatten();
        entries.flatten().map(|entry| entry.file_name()).collect()
    }

    fn facts(&self, (place, name): &Key) -> Option<FileFacts> {
        let vault = self.sink.vault();
        match place {
            Place::Beside => kubeconfig_file(&self.dir.kubeconfigs().join(name)),
            Place::Inside => {
                let behind = self.dir.behind(Path::new(name));
                certificate_file(&self.cert_dir.join(name), &behind, vault)
            }
        }
    }
}

fn op(mask: EventMask) -> Option<FileOp> {
    [
        (EventMask::CREATE, FileOp::Created),
        (EventMask::MODIFY, FileOp::Modified),
        (EventMask::CLOSE_WRITE, FileOp::Modified),
        (EventMask::ATTRIB, FileOp::Attributes),
        (EventMask::MOVED_FROM, FileOp::MovedFrom),
        (EventMask::MOVED_TO, FileOp::MovedTo),
        (EventMask::DELETE, FileOp::Deleted),
    ]
    .into_iter()
    .find_map(|(bit, op)| mask.contains(bit).then_some(op))
}

/// Is a file shorter than before?
fn is_cut(before: Option<&FileFacts>, now: Option<&FileFacts>) -> bool {
    before.zip(now).is_some_and(|(before, now)| now.size < before.size)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::Duration;

    use rstest::{fixture, rstest};
    use tokio::sync::mpsc::UnboundedReceiver;

    use super::*;
    use crate::pki::{Authority, Issued, Validity};
    use crate::secret::Vault;
    use tlsboot_core::history::Event;
    use tlsboot_core::history::event::FileKind;

    const CURRENT: &str = "kubelet-client-current.pem";
    const UPDATED: &str = "kubelet-client-updated.pem";

    struct Lab {
        dir: tempfile::TempDir,
        sink: Sink,
        events: UnboundedReceiver<Event>,
        authority: Authority,
        task: Option<Task>,
    }

    #[fixture]
    fn lab() -> Lab {
        let dir = tempfile::tempdir().unwrap();
        let (sink, events) = Sink::create(&dir.path().join("history"), Vault::new()).unwrap();
        let validity = Validity::for_next(Duration::from_secs(3600));
        Lab { dir, sink, events, authority: Authority::new("ca", validity).unwrap(), task: None }
    }

    impl Lab {
        fn pki(&self) -> PathBuf {
            self.dir.path().join("pki")
        }

        fn start(&mut self) {
            let dir = NodeDir::new(self.dir.path().to_owned());
            let task = watch("n1".into(), dir, self.sink.clone());
            self.task = Some(task.unwrap());
        }

        fn pem(&self) -> String {
            let validity = Validity::for_next(Duration::from_secs(60));
            let Issued { certificate_pem, key_pem, .. } =
                self.authority.issue_client("system:node:n1", &["system:nodes"], validity).unwrap();
            certificate_pem + key_pem.expose()
        }

        /// As the kubelet's store does it (catalogue K-16).
        fn rotate(&self, dated: &str) {
            fs::write(self.pki().join(dated), self.pem()).unwrap();
            symlink(self.pki().join(dated), self.pki().join(UPDATED)).unwrap();
            let _ = fs::remove_file(self.pki().join(CURRENT));
            fs::rename(self.pki().join(UPDATED), self.pki().join(CURRENT)).unwrap();
        }

        async fn next(&mut self) -> FileEvent {
            loop {
                let event = tokio::time::timeout(Duration::from_secs(5), self.events.recv());
                match event.await.unwrap().unwrap().what {
                    What::File(file) => return *file,
                    What::Recorder(event) => {
                        assert_eq!(event.state, tlsboot_core::history::event::RecorderState::Started);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }

        async fn until(&mut self, name: &str, op: FileOp) -> FileEvent {
            loop {
                let event = self.next().await;
                if event.name == name && event.op == op {
                    return event;
                }
            }
        }
    }

    #[rstest]
    #[tokio::test]
    async fn rotation_event_by_event(mut lab: Lab) {
        fs::create_dir(lab.pki()).unwrap();
        lab.rotate("kubelet-client-1.pem");
        lab.start();
        let present = lab.until(CURRENT, FileOp::Present).await.facts.unwrap();
        assert_eq!(present.kind, FileKind::Link);
        assert_eq!(present.target, lab.pki().join("kubelet-client-1.pem").to_str().map(str::to_owned));
        let labels: Vec<_> = present.pem.iter().map(|block| block.label.as_str()).collect();
        assert_eq!(labels, ["CERTIFICATE", "EC PRIVATE KEY"]);
        let certificate = present.pem[0].certificate.as_ref().unwrap();
        assert_eq!(present.pem[1].private_key.as_ref(), Some(&certificate.key));

        lab.rotate("kubelet-client-2.pem");
        let expected = [
            ("kubelet-client-2.pem", FileOp::Created),
            ("kubelet-client-2.pem", FileOp::Modified),
            (UPDATED, FileOp::Created),
            (CURRENT, FileOp::Deleted),
            (UPDATED, FileOp::MovedFrom),
            (CURRENT, FileOp::MovedTo),
        ];
        let mut cookies = Vec::new();
        for expected in expected {
            let event = lab.next().await;
            assert_eq!((event.name.as_str(), event.op), expected);
            cookies.extend(event.cookie);
        }
        assert!(cookies.len() == 2 && cookies[0] == cookies[1]);
    }

    #[rstest]
    #[tokio::test]
    async fn directory_may_come_and_go(mut lab: Lab) {
        lab.start();
        for dated in ["kubelet-client-1.pem", "kubelet-client-2.pem"] {
            fs::create_dir(lab.pki()).unwrap();
            lab.rotate(dated);
            let mut link = lab.next().await;
            while !(link.name == CURRENT && link.facts.is_some()) {
                link = lab.next().await;
            }
            assert!(link.facts.unwrap().target.unwrap().ends_with(dated));
            fs::remove_dir_all(lab.pki()).unwrap();
            lab.until(dated, FileOp::Deleted).await;
        }
    }

    #[rstest]
    #[tokio::test]
    async fn damage_is_seen_through_the_link(mut lab: Lab) {
        fs::create_dir(lab.pki()).unwrap();
        lab.rotate("kubelet-client-1.pem");
        lab.start();
        lab.until("kubelet-client-1.pem", FileOp::Present).await;
        lab.until(CURRENT, FileOp::Present).await;
        let file = fs::OpenOptions::new().write(true).open(lab.pki().join(CURRENT)).unwrap();
        file.set_len(100).unwrap();
        let event = lab.until("kubelet-client-1.pem", FileOp::Modified).await;
        assert_eq!(event.facts.unwrap().size, 100);
        let event = lab.until(CURRENT, FileOp::Modified).await;
        assert!(event.facts.unwrap().pem[0].error.is_some());
        let path = lab.pki().join("kubelet-client-1.pem");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let event = lab.until("kubelet-client-1.pem", FileOp::Attributes).await;
        assert_eq!(event.facts.unwrap().mode, "0640");
        fs::remove_file(&path).unwrap();
        let event = lab.until(CURRENT, FileOp::Modified).await;
        assert!(event.facts.unwrap().pem[0].certificate.is_none());
    }

    #[rstest]
    #[tokio::test]
    async fn kubeconfigs_have_their_names_and_no_secrets(mut lab: Lab) {
        lab.start();
        fs::write(lab.dir.path().join("other"), "x").unwrap();
        let text = "clusters: [{name: c, cluster: {server: 'https://a:1'}}]\ncurrent-context: x\n\
            users: [{name: u, user: {client-certificate: /c.pem, client-key: /c.pem, token: hidden}}]\n";
        fs::write(lab.dir.path().join(KUBECONFIG), text).unwrap();
        let event = lab.until(KUBECONFIG, FileOp::Modified).await;
        let facts = event.facts.unwrap().kubeconfig.unwrap();
        assert_eq!(facts.server.as_deref(), Some("https://a:1"));
        assert_eq!(facts.client_key.as_deref(), Some("/c.pem"));
        assert!(!facts.embedded && !format!("{facts:?}").contains("hidden"));
        fs::write(lab.dir.path().join(BOOTSTRAP), "users: [{token: {hidden").unwrap();
        let event = lab.until(BOOTSTRAP, FileOp::Modified).await;
        let error = event.facts.unwrap().kubeconfig.unwrap().error.unwrap();
        assert!(!error.contains("hidden"));
    }

    #[rstest]
    #[tokio::test]
    async fn files_of_kubeadm_are_seen_as_the_kubelet_sees_them(mut lab: Lab) {
        let dir = NodeDir::of_kubeadm(lab.dir.path().to_owned());
        for folder in [dir.cert_dir(), dir.kubeconfigs()] {
            fs::create_dir(folder).unwrap();
        }
        let task = watch("n1".into(), dir.clone(), lab.sink.clone());
        lab.task = Some(task.unwrap());
        fs::write(dir.bootstrap_kubeconfig(), "users: []").unwrap();
        lab.until(BOOTSTRAP, FileOp::Modified).await;
        fs::write(dir.kubeconfig(), "users: []").unwrap();
        lab.until(KUBECONFIG, FileOp::Modified).await;

        let dated = "kubelet-client-1.pem";
        fs::write(dir.cert_dir().join(dated), lab.pem()).unwrap();
        let target = dir.cert_dir_of_kubelet().join(dated);
        symlink(&target, dir.cert_dir().join(CURRENT)).unwrap();
        let link = lab.until(CURRENT, FileOp::Created).await.facts.unwrap();
        assert_eq!(link.target.as_deref(), target.to_str());
        assert!(link.pem[0].certificate.is_some());
        fs::write(dir.cert_dir().join(dated), "").unwrap();
        let link = lab.until(CURRENT, FileOp::Modified).await.facts.unwrap();
        assert!(link.pem.iter().all(|block| block.certificate.is_none()));
    }
}
