//! Defects beside a kubelet, on its node: something that interferes with its files, requests certificates of its own,
//! suspends the process, or answers on its port.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use inotify::{Inotify, WatchMask};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::config::Kubeconfig;
use rustix::process::{Pid, Signal, kill_process};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::flags::{CLIENT_LINK, config_of, configure, dated, restore_link};
use super::follow::{Again, Controller};
use crate::cluster::ClusterError;
use crate::cluster::client::direct;
use crate::cluster::processes::{Defect, Launch, Part};
use crate::cluster::shared::file::write_private;
use crate::node::NodeDir;
use crate::pki::{Authority, PrivateKey, RequestBuilder, Validity, YEAR};
use tlsboot_core::history::facts::CertificateFacts;
use tlsboot_core::time::at_share;
use tlsboot_core::x509::{node_subject, read};

/// What happens beside each kubelet of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beside {
    /// Every user on the machine may read the keys.
    ReadableKeys,
    /// A regular file in place of the link.
    PlainFile,
    /// A link with a relative target.
    RelativeLink,
    /// `…-updated.pem` stays.
    LeavesUpdated,
    /// The key is in a file of its own.
    KeyApart,
    /// Files of earlier certificates are deleted.
    DeletesOld,
    /// The kubeconfig embeds the certificate itself.
    Embeds,
    /// A deleted, dangling or replaced link is repaired a second later, together with its target.
    HealsTheLink,
    /// There is always a `kubelet.crt`.
    SelfSigned,
    /// A second CSR for the same node, a few seconds after the start.
    SecondRequest,
    /// CSR after CSR.
    ManyRequests,
    /// The renewal comes as soon as there is a certificate.
    EarlyRenewal,
    /// The renewal comes in time, but with the old key.
    SameKey,
    /// The kubelet is suspended past the time of its renewal.
    LateRenewal,
    /// The kubelet hangs after its first CSR.
    HangsAfterFirst,
    /// The kubelet is killed when its certificate has been renewed, as if it could not load it.
    EndsAtRenewal,
    /// The first serving certificate is presented forever.
    OldServing,
    /// A proxy between kubelet and API server keeps connections open that the kubelet has closed.
    KeepsConnections,
}

impl Defect for Beside {
    fn launch(&self, launch: &mut Launch<'_>) -> Result<(), ClusterError> {
        let Part::Kubelet { pid, .. } = &launch.part else {
            return Ok(());
        };
        let pid = pid.clone();
        let Some(config) = config_of(launch) else {
            return Ok(());
        };
        let (dir, node, what) = (config.dir.clone(), config.node.clone(), *self);
        let node_of = Node { dir, name: node, pid };
        if what == Self::OldServing {
            // The announced port is no longer the kubelet's.
            configure(launch, "address", json!(BEHIND))?;
            let address = config.address;
            launch.beside.push(Box::pin(report(what, old_serving(node_of, address))));
            return Ok(());
        }
        if what == Self::KeepsConnections {
            let proxying = keeping_proxy(&node_of.dir)?;
            launch.beside.push(Box::pin(report(what, proxying)));
            return Ok(());
        }
        launch.beside.push(match what {
            Self::SecondRequest => Box::pin(report(what, second_request(node_of))),
            Self::ManyRequests => Box::pin(report(what, many_requests(node_of))),
            Self::EarlyRenewal => Box::pin(report(what, early_renewal(node_of))),
            Self::SameKey => Box::pin(report(what, same_key(node_of))),
            Self::LateRenewal => Box::pin(report(what, late_renewal(node_of))),
            Self::HangsAfterFirst => Box::pin(report(what, hangs_after_first(node_of, launch.admin.clone()))),
            Self::EndsAtRenewal => Box::pin(report(what, ends_at_renewal(node_of))),
            meddler => Box::pin(report(what, meddle(node_of.dir, meddler))),
        });
        Ok(())
    }
}

/// Where the kubelet listens if something else uses its port.
pub(super) const BEHIND: &str = "127.0.0.2";

/// A kubelet's folder, name and process.
pub(super) struct Node {
    pub(super) dir: NodeDir,
    pub(super) name: String,
    pub(super) pid: watch::Receiver<u32>,
}

async fn report(what: Beside, doing: impl Future<Output = Result<(), ClusterError>>) {
    if let Err(error) = doing.await {
        tracing::warn!(?what, %error, "a defect ended early");
    }
}

// --- files ---

/// Watches a kubelet's files, and acts after each change of one.
async fn meddle(dir: NodeDir, what: Beside) -> Result<(), ClusterError> {
    let mut changes = Changes::of(&dir)?;
    loop {
        // What the kubelet deletes in the meantime causes another change.
        if let Err(error) = once(&dir, what) {
            tracing::debug!(?what, %error, "a meddler came too late");
        }
        changes.next().await?;
        if what == Beside::HealsTheLink {
            // A defect that causes damage needs to see its own errors.
            tokio::time::sleep(OFTEN).await;
        }
    }
}

fn once(dir: &NodeDir, what: Beside) -> io::Result<()> {
    let pki = dir.cert_dir();
    let link = pki.join(CLIENT_LINK);
    let target = fs::read_link(&link).ok();
    // Next to the directory, so that a half-written file is never seen.
    let staging = dir.path().join("meddler");
    match what {
        Beside::ReadableKeys => {
            for path in dated(&pki).into_iter().chain([pki.join("kubelet-client.key.tmp"), pki.join("kubelet.key")]) {
                if path.exists() && fs::metadata(&path)?.permissions().mode() & 0o777 != 0o644 {
                    fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
                }
            }
        }
        Beside::PlainFile if target.is_some() => {
            fs::copy(&link, &staging)?;
            fs::rename(&staging, &link)?;
        }
        Beside::PlainFile => {}
        Beside::RelativeLink => {
            if let Some(target) = target.filter(|target| target.is_absolute()) {
                let _ = fs::remove_file(&staging);
                symlink(target.file_name().unwrap_or_default(), &staging)?;
                fs::rename(&staging, &link)?;
            }
        }
        Beside::LeavesUpdated => {
            let updated = pki.join("kubelet-client-updated.pem");
            if let Some(target) = target.filter(|_| fs::symlink_metadata(&updated).is_err()) {
                symlink(target, updated)?;
            }
        }
        Beside::KeyApart => {
            for path in dated(&pki) {
                let text = fs::read_to_string(&path)?;
                if let Some(key) = text.find("-----BEGIN EC PRIVATE KEY").filter(|_| text.ends_with("-----\n")) {
                    fs::write(pki.join("kubelet-client-key.pem"), &text[key..])?;
                    fs::write(&path, &text[..key])?;
                }
            }
        }
        Beside::DeletesOld => {
            for old in dated(&pki).into_iter().filter(|path| target.as_ref().is_some_and(|target| target > path)) {
                fs::remove_file(old)?;
            }
        }
        Beside::Embeds => embed(&dir.kubeconfig(), &link, &staging)?,
        Beside::HealsTheLink => {
            restore_link(&pki)?;
            restore_content(&pki, &dir.path().join("healthy"))?;
        }
        Beside::SelfSigned => self_signed(&pki)?,
        _ => {}
    }
    Ok(())
}

/// Keeps a copy of each client certificate, and restores it if something else is in its place.
fn restore_content(pki: &Path, copies: &Path) -> io::Result<()> {
    fs::create_dir_all(copies)?;
    for path in dated(pki) {
        let text = fs::read(&path)?;
        let copy = copies.join(path.file_name().unwrap_or_default());
        let whole = text.ends_with(b"-----END EC PRIVATE KEY-----\n");
        match (whole, copy.exists()) {
            (true, false) => fs::write(copy, text)?,
            (false, true) => fs::write(path, fs::read(copy)?)?,
            // Being written, or intact.
            _ => {}
        }
    }
    Ok(())
}

/// Embeds the link's target in the kubeconfig, as an installer's bootstrap might.
pub(super) fn embed(kubeconfig: &Path, link: &Path, staging: &Path) -> io::Result<()> {
    let mut config: Value = serde_saphyr::from_str(&fs::read_to_string(kubeconfig)?).map_err(io::Error::other)?;
    let pair = STANDARD.encode(fs::read(link)?);
    let user = &mut config["users"][0]["user"];
    if user.get("client-certificate-data").is_none() {
        *user = json!({"client-certificate-data": pair, "client-key-data": pair});
        fs::write(staging, config.to_string())?;
        fs::set_permissions(staging, fs::Permissions::from_mode(0o600))?;
        fs::rename(staging, kubeconfig)?;
    }
    Ok(())
}

fn self_signed(pki: &Path) -> io::Result<()> {
    let (certificate, key) = (pki.join("kubelet.crt"), pki.join("kubelet.key"));
    if pki.exists() && !certificate.exists() {
        let authority = Authority::new("mutant", Validity::for_next(YEAR)).map_err(io::Error::other)?;
        let issued = authority.issue_server("mutant", &[], Validity::for_next(YEAR)).map_err(io::Error::other)?;
        fs::write(&key, issued.key_pem.expose())?;
        fs::write(certificate, issued.certificate_pem)?;
    }
    Ok(())
}

/// Changes in a node's folder and its certificate directory.
struct Changes {
    pki: PathBuf,
    watching: bool,
    watches: inotify::Watches,
    events: inotify::EventStream<Vec<u8>>,
}

impl Changes {
    fn of(dir: &NodeDir) -> Result<Self, ClusterError> {
        let inotify = Inotify::init()?;
        let mut watches = inotify.watches();
        watches.add(dir.path(), mask())?;
        let events = inotify.into_event_stream(vec![0; 16 << 10])?;
        let mut changes = Self { pki: dir.cert_dir(), watching: false, watches, events };
        changes.enter();
        Ok(changes)
    }

    fn enter(&mut self) {
        self.watching = self.watching || self.watches.add(&self.pki, mask()).is_ok();
    }

    async fn next(&mut self) -> Result<(), ClusterError> {
        if let Some(event) = self.events.next().await {
            event?;
        }
        self.enter();
        Ok(())
    }
}

fn mask() -> WatchMask {
    WatchMask::CREATE | WatchMask::DELETE | WatchMask::MOVED_TO | WatchMask::CLOSE_WRITE | WatchMask::ONLYDIR
}

/// Waits until the client certificate's link points to a file other than this one.
pub(super) async fn next_link(dir: &NodeDir, before: Option<&Path>) -> Result<PathBuf, ClusterError> {
    let mut changes = Changes::of(dir)?;
    loop {
        match fs::read_link(dir.cert_dir().join(CLIENT_LINK)) {
            Ok(target) if before != Some(&*target) && target.exists() => return Ok(target),
            _ => changes.next().await?,
        }
    }
}

// --- requests ---

const A_MOMENT: Duration = Duration::from_secs(3);
const OFTEN: Duration = Duration::from_secs(1);

impl Node {
    /// A client as the bootstrap user.
    async fn as_bootstrapper(&self) -> Result<Client, ClusterError> {
        self.client(&self.dir.bootstrap_kubeconfig()).await
    }

    /// A client as the node: the kubelet's server, with the link's current target.
    async fn as_node(&self) -> Result<Client, ClusterError> {
        self.client(&self.dir.kubeconfig()).await
    }

    async fn client(&self, kubeconfig: &Path) -> Result<Client, ClusterError> {
        let text = fs::read_to_string(kubeconfig).map_err(ClusterError::file(kubeconfig))?;
        let config: Kubeconfig = serde_saphyr::from_str(&text).map_err(io::Error::other)?;
        Ok(Client::try_from(direct(&config, None)?)?)
    }

    /// Requests a client certificate for this node.
    async fn ask(&self, client: &Client, key: Option<PrivateKey>) -> Result<(), ClusterError> {
        let request = RequestBuilder::new(node_subject(&self.name));
        let request = match key {
            Some(key) => request.key(key),
            None => request,
        };
        let (pem, _) = request.build()?;
        let csr = CertificateSigningRequest {
            metadata: ObjectMeta { generate_name: Some("csr-".into()), ..Default::default() },
            spec: CertificateSigningRequestSpec {
                request: ByteString(pem.into_bytes()),
                signer_name: "kubernetes.io/kube-apiserver-client-kubelet".into(),
                usages: Some(["digital signature", "client auth"].map(String::from).into()),
                ..Default::default()
            },
            status: None,
        };
        Api::all(client.clone()).create(&PostParams::default(), &csr).await?;
        Ok(())
    }

    /// The link's target and its key.
    fn pair(&self) -> Result<(CertificateFacts, PrivateKey), ClusterError> {
        let link = self.dir.cert_dir().join(CLIENT_LINK);
        let text = fs::read_to_string(&link).map_err(ClusterError::file(&link))?;
        let certificate = read::certificates_from_pem(text.as_bytes())?.into_iter().next();
        let certificate = certificate.ok_or_else(|| io::Error::other("no certificate behind the link"))?;
        Ok((certificate, PrivateKey::from_pem(&text)?))
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<(), ClusterError> {
        let pid = i32::try_from(*self.pid.borrow()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("the kubelet is not running"))?;
        kill_process(pid, signal).map_err(io::Error::from)?;
        Ok(())
    }

    /// Waits for a share of a certificate's lifetime, counted from its NotBefore.
    async fn part_of_life(&self, certificate: &CertificateFacts, percent: i32) {
        let then = at_share(certificate.not_before, certificate.not_after, f64::from(percent) / 100.0);
        tokio::time::sleep(then.duration_since(Timestamp::now()).try_into().unwrap_or_default()).await;
    }
}

async fn second_request(node: Node) -> Result<(), ClusterError> {
    tokio::time::sleep(A_MOMENT).await;
    let client = match node.as_bootstrapper().await {
        Ok(client) => client,
        Err(_) => node.as_node().await?,
    };
    node.ask(&client, None).await
}

async fn many_requests(node: Node) -> Result<(), ClusterError> {
    loop {
        tokio::time::sleep(OFTEN).await;
        let client = match node.as_bootstrapper().await {
            Ok(client) => client,
            Err(_) => node.as_node().await?,
        };
        // A kubelet in a loop ignores refusals.
        if let Err(error) = node.ask(&client, None).await {
            tracing::debug!(%error, "one of many requests was refused");
        }
    }
}

async fn early_renewal(node: Node) -> Result<(), ClusterError> {
    next_link(&node.dir, None).await?;
    let client = node.as_node().await?;
    node.ask(&client, None).await
}

async fn same_key(node: Node) -> Result<(), ClusterError> {
    const BEGIN_OF_WINDOW: i32 = 70;
    next_link(&node.dir, None).await?;
    let (certificate, key) = node.pair()?;
    node.part_of_life(&certificate, BEGIN_OF_WINDOW).await;
    let client = node.as_node().await?;
    node.ask(&client, Some(key)).await
}

// --- the process ---

async fn late_renewal(node: Node) -> Result<(), ClusterError> {
    const BEFORE_WINDOW: i32 = 69;
    const AFTER_WINDOW: i32 = 92;
    next_link(&node.dir, None).await?;
    let (certificate, _) = node.pair()?;
    node.part_of_life(&certificate, BEFORE_WINDOW).await;
    node.signal(Signal::STOP)?;
    node.part_of_life(&certificate, AFTER_WINDOW).await;
    node.signal(Signal::CONT)
}

async fn hangs_after_first(node: Node, admin: Client) -> Result<(), ClusterError> {
    super::follow::follow(admin, Stopper(node)).await;
    Ok(())
}

/// Stops a kubelet when there is a CSR.
struct Stopper(Node);

#[async_trait]
impl Controller for Stopper {
    async fn take(&self, _: &Api<CertificateSigningRequest>, _: &CertificateSigningRequest) -> Again {
        match self.0.signal(Signal::STOP) {
            Ok(()) => Again::No,
            // Its process id is not known yet.
            Err(_) => Again::Later,
        }
    }
}

async fn ends_at_renewal(node: Node) -> Result<(), ClusterError> {
    let first = next_link(&node.dir, None).await?;
    next_link(&node.dir, Some(&first)).await?;
    node.signal(Signal::KILL)
}

// --- the port ---

/// Presents the first serving certificate forever, like a proxy that needs a restart to load another one.
async fn old_serving(node: Node, address: SocketAddr) -> Result<(), ClusterError> {
    let first = FirstServing { file: node.dir.cert_dir().join("kubelet-server-current.pem"), key: Mutex::default() };
    answer(address, ServerConfig::builder().with_no_client_auth().with_cert_resolver(Arc::new(first))).await
}

/// Answers in place of a kubelet that is well.
pub(super) async fn answer(address: SocketAddr, config: ServerConfig) -> Result<(), ClusterError> {
    let listener = TcpListener::bind(address).await?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    loop {
        let (stream, _) = listener.accept().await?;
        let acceptor = acceptor.clone();
        tokio::spawn(async move { says_ok(acceptor.accept(stream).await?).await });
    }
}

/// Answers one request, whatever it asks for, as a kubelet that is well.
async fn says_ok(mut stream: TlsStream<TcpStream>) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < LONGEST_HEAD {
        head.push(stream.read_u8().await?);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await?;
    stream.shutdown().await
}

/// A request's head is some hundred bytes long.
const LONGEST_HEAD: usize = 16 << 10;

/// The first certificate that is found in a file; before that none, which causes a TLS alert.
#[derive(Debug)]
struct FirstServing {
    file: PathBuf,
    key: Mutex<Option<Arc<CertifiedKey>>>,
}

impl ResolvesServerCert for FirstServing {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut key = self.key.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if key.is_none() {
            *key = pair_in(&fs::read(&self.file).ok()?).map(Arc::new);
        }
        key.clone()
    }
}

/// The certificate and key of a PEM file, for a TLS server.
pub(super) fn pair_in(pem: &[u8]) -> Option<CertifiedKey> {
    let chain = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).collect();
    let private = PrivateKeyDer::from_pem_slice(pem).ok()?;
    CertifiedKey::from_der(chain, private, &ring::default_provider()).ok()
}

// --- connections ---

/// Puts a proxy in front of the API server in the bootstrap kubeconfig; the kubelet derives its own kubeconfig from
/// that at its first start. What the kubelet closes stays open on the other side.
fn keeping_proxy(dir: &NodeDir) -> Result<impl Future<Output = Result<(), ClusterError>> + use<>, ClusterError> {
    let path = dir.bootstrap_kubeconfig();
    let text = fs::read(&path).map_err(ClusterError::file(&path))?;
    let mut config: Value = serde_json::from_slice(&text).map_err(io::Error::other)?;
    let server = &mut config["clusters"][0]["cluster"]["server"];
    let upstream = server.as_str().unwrap_or_default().trim_start_matches("https://");
    let upstream: SocketAddr = upstream.parse().map_err(io::Error::other)?;
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    *server = json!(format!("https://{}", listener.local_addr()?));
    write_private(&path, &config.to_string())?;
    Ok(async move {
        let listener = TcpListener::from_std(listener)?;
        let mut kept = JoinSet::new();
        loop {
            let (kubelet, _) = listener.accept().await?;
            kept.spawn(async move {
                if let Ok(server) = TcpStream::connect(upstream).await {
                    keep(kubelet, server).await;
                }
            });
        }
    })
}

/// Forwards everything, but never a close.
async fn keep(kubelet: TcpStream, server: TcpStream) {
    let ((mut from_kubelet, mut to_kubelet), (mut from_server, mut to_server)) =
        (kubelet.into_split(), server.into_split());
    let up = tokio::io::copy(&mut from_kubelet, &mut to_server);
    let down = async {
        let _ = tokio::io::copy(&mut from_server, &mut to_kubelet).await;
        // The kubelet no longer reads; what the server still sends must not end the connection.
        tokio::io::copy(&mut from_server, &mut tokio::io::sink()).await
    };
    let _ = tokio::join!(up, down);
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Files {
        _root: tempfile::TempDir,
        dir: NodeDir,
    }

    /// The files as a kubelet leaves them after its first certificate.
    fn files() -> Files {
        let root = tempfile::tempdir().unwrap();
        let dir = NodeDir::new(root.path().to_owned());
        let pki = dir.cert_dir();
        fs::create_dir(&pki).unwrap();
        let authority = Authority::new("ca", Validity::for_next(YEAR)).unwrap();
        let issued = authority.issue_client("system:node:n1", &["system:nodes"], Validity::for_next(YEAR)).unwrap();
        let file = pki.join("kubelet-client-2026-01-01-00-00-00.pem");
        fs::write(&file, issued.certificate_pem + issued.key_pem.expose()).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&file, pki.join(CLIENT_LINK)).unwrap();
        let link = pki.join(CLIENT_LINK).display().to_string();
        let kubeconfig =
            json!({"users": [{"name": "default-auth", "user": {"client-certificate": link, "client-key": link}}]});
        fs::write(dir.kubeconfig(), kubeconfig.to_string()).unwrap();
        Files { _root: root, dir }
    }

    #[test]
    fn each_meddler_does_its_bit_and_then_nothing_more() {
        let look = |what: Beside| {
            let files = files();
            once(&files.dir, what).unwrap();
            let inside = || {
                let entries = fs::read_dir(files.dir.cert_dir()).unwrap();
                let mut names: Vec<String> =
                    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
                names.sort();
                names
            };
            let first = inside();
            once(&files.dir, what).unwrap();
            assert_eq!(first, inside(), "{what:?}");
            files
        };
        let link = |files: &Files| files.dir.cert_dir().join(CLIENT_LINK);
        let readable = look(Beside::ReadableKeys);
        assert_eq!(fs::metadata(link(&readable)).unwrap().permissions().mode() & 0o777, 0o644);
        let plain = look(Beside::PlainFile);
        assert!(fs::symlink_metadata(link(&plain)).unwrap().is_file());
        let relative = look(Beside::RelativeLink);
        assert!(fs::read_link(link(&relative)).unwrap().is_relative() && link(&relative).exists());
        let updated = look(Beside::LeavesUpdated);
        assert!(updated.dir.cert_dir().join("kubelet-client-updated.pem").exists());
        let apart = look(Beside::KeyApart);
        assert!(!fs::read_to_string(link(&apart)).unwrap().contains("PRIVATE KEY"));
        assert!(
            fs::read_to_string(apart.dir.cert_dir().join("kubelet-client-key.pem")).unwrap().contains("PRIVATE KEY")
        );
        let embedded = look(Beside::Embeds);
        assert!(fs::read_to_string(embedded.dir.kubeconfig()).unwrap().contains("client-key-data"));
        let healed = files();
        once(&healed.dir, Beside::HealsTheLink).unwrap();
        fs::write(link(&healed), "garbage").unwrap();
        once(&healed.dir, Beside::HealsTheLink).unwrap();
        assert!(fs::read_to_string(link(&healed)).unwrap().contains("PRIVATE KEY"));
        let pair = look(Beside::SelfSigned);
        assert!(pair.dir.cert_dir().join("kubelet.crt").exists());
    }

    #[test]
    fn only_former_certificates_are_deleted() {
        let files = files();
        let old = files.dir.cert_dir().join("kubelet-client-2025-01-01-00-00-00.pem");
        let coming = files.dir.cert_dir().join("kubelet-client-2027-01-01-00-00-00.pem");
        fs::write(&old, "").unwrap();
        fs::write(&coming, "").unwrap();
        once(&files.dir, Beside::DeletesOld).unwrap();
        assert!(!old.exists() && coming.exists() && files.dir.cert_dir().join(CLIENT_LINK).exists());
    }
}
