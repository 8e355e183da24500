//! A control plane of k3s in a container, with kubelets beside it.

use std::fs;
use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::args::{self, AUDIT_LOG, AUDIT_POLICY, CONFIG, DATA, LOGS, TOKENS};
use super::container::{self, Container};
use super::{NAME, capabilities};
use crate::cluster::docker::{Found, Image, Name, Resources, Use, docker_blocking, sweep};
use crate::cluster::processes::{Kubelets, Port, Sandbox};
use crate::cluster::shared::base::{Base, Orders};
use crate::cluster::shared::client::{blind, until_ok};
use crate::cluster::shared::dir::RunDir;
use crate::cluster::shared::file::write_private;
use crate::cluster::shared::nodes::NodesIn;
use crate::cluster::shared::recorders::{Recorders, Sources};
use crate::cluster::shared::settings::audit_policy;
use crate::cluster::shared::tokens;
use crate::cluster::shared::trust::Trust;
use crate::cluster::shared::watches::Watches;
use crate::cluster::{Cluster, ClusterError, ControlPlane, Nodes, Provider};
use crate::components::Executable;
use crate::observe::Sink;
use crate::pki::Authority;
use crate::poll;
use crate::secret::Secret;
use crate::untrusted::{Folder, LONGEST};
use tlsboot_core::check::rules::Rules;
use tlsboot_core::distribution::{CA_BY_SIGNER, Distribution};
use tlsboot_core::history::event::Recorder;
use tlsboot_core::result::ComponentResult;
use tlsboot_core::scenario::stimulus::Component;
use tlsboot_core::scenario::{Capability, Scenario};
use tlsboot_core::version::Version;

/// Starts k3s in containers, with kubelets beside it.
#[derive(Clone, Debug)]
pub struct K3s {
    /// The control plane.
    pub image: K3sImage,
    /// The kubelets' executable and version; none for clusters without nodes.
    pub kubelet: Option<(Executable, Version)>,
}

/// An existing k3s image.
#[derive(Clone, Debug)]
pub struct K3sImage {
    found: Found,
    version: Version,
    /// The id of the daemon that has it.
    daemon: String,
}

impl K3sImage {
    /// Looks up an image, by default that of `rancher/k3s`; it is pulled if it is missing. Blocks.
    ///
    /// # Errors
    /// If it is no k3s, or older than any that is supported; or if Docker or the image is not available, with what to do
    /// about it.
    pub fn find(image: Option<Image>, version: Version) -> Result<Self, ClusterError> {
        let image = image.unwrap_or_else(|| Image::from(format!("rancher/k3s:v{version}-k3s1")));
        supported(image.distribution(), version)?;
        let format = "{{.ID}} {{.OperatingSystem}} {{.SecurityOptions}}";
        let docker = docker_blocking(&["info", "--format", format])?;
        let (daemon, kind) = docker.split_once(' ').unwrap_or((&docker, ""));
        same_machine(kind)?;
        let k3s = Use {
            name: "k3s image",
            question: (&[], &["--version"]),
            remedy: "name another one with --image (ci/k3s-stand-in builds a stand-in from Kubernetes' own executables)",
        };
        let found = image.find(&k3s, version)?;
        supported(found.said.split_whitespace().find_map(Distribution::of), version)?;
        Ok(Self { found, version, daemon: daemon.to_owned() })
    }

    /// Its version of Kubernetes.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether it declares itself a stand-in for k3s.
    pub fn is_stand_in(&self) -> bool {
        self.found.said.contains("stand-in")
    }

    /// For the report: the image, by its id.
    pub fn component(&self) -> ComponentResult {
        self.found.component()
    }
}

impl K3s {
    /// Starts a server and the scenario's nodes.
    ///
    /// # Errors
    /// If it does not become ready, with the end of its log.
    pub async fn server(&self, scenario: &Scenario, sink: Sink, logs: &Path) -> Result<Server, ClusterError> {
        tokio::task::spawn_blocking(sweep).await.map_err(std::io::Error::other)??;
        Server::start(self, scenario, sink, logs).await
    }
}

/// Whether the provider can start this, before anything is fetched or started.
fn supported(distribution: Option<Distribution>, version: Version) -> Result<(), ClusterError> {
    let wrong = match distribution {
        Some(Distribution::Rke2) => {
            "RKE2 runs its control plane as static pods, which --provider k3s cannot start; see `tlsboot doctor`, `probe` and `node` for a cluster of RKE2".into()
        }
        _ if CA_BY_SIGNER.is_in(version) != Some(true) => format!(
            "k3s v{version} is older than what --provider k3s supports, which is {} and newer ({})",
            CA_BY_SIGNER.since(),
            CA_BY_SIGNER.what
        ),
        _ => return Ok(()),
    };
    Err(std::io::Error::other(wrong).into())
}

/// Kubelets reach the control plane through this machine's loopback, which such daemons do not share.
fn same_machine(docker: &str) -> Result<(), ClusterError> {
    let elsewhere = ["rootless", "Docker Desktop"].into_iter().find(|kind| docker.contains(kind));
    elsewhere.map_or(Ok(()), |kind| {
        Err(ClusterError::Command {
            command: "docker info".into(),
            reason: format!(
                "the daemon is {kind}, whose host network is not this machine's; --provider k3s needs a daemon that runs as root on this machine (set DOCKER_HOST)"
            ),
        })
    })
}

#[async_trait]
impl Provider for K3s {
    fn capabilities(&self) -> &'static [Capability] {
        capabilities()
    }

    async fn start(&self, scenario: &Scenario, sink: Sink, logs: PathBuf) -> Result<Box<dyn Cluster>, ClusterError> {
        Ok(Box::new(self.server(scenario, sink, &logs).await?))
    }
}

/// A running k3s server, with nodes beside it. Dropping it stops all of it.
pub struct Server {
    // Fields are dropped in this order: recorders first, then what they observe, then ports, then the folder.
    recorders: Mutex<Option<Recorders>>,
    nodes: NodesIn<Sandbox>,
    container: Mutex<Option<Container>>,
    resources: Mutex<Option<Resources>>,
    ports: Ports,
    version: Version,
    base: Arc<Base>,
    /// The value of `--controllers`.
    controllers: String,
    logs: PathBuf,
    dir: RunDir,
}

/// The first one is k3s' `--https-listen-port`; kube-apiserver itself takes the next.
struct Ports {
    k3s: [Port; 2],
    controller_manager: Port,
}

impl Ports {
    fn api_server(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.k3s[0].number))
    }

    fn controller_manager(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.controller_manager.number))
    }
}

/// The same as a control plane of plain processes, but k3s first creates some twenty certificates.
const READY: Duration = Duration::from_secs(120);
/// How often Docker is asked whether k3s is still running, while waiting for it.
const LOOK: Duration = Duration::from_millis(500);
/// k3s' own users, whose requests no scenario is about.
const HOUSEKEEPERS: [&str; 3] = ["system:admin", "system:k3s-supervisor", "system:k3s-controller"];
/// k3s' own state, in the run's folder.
const DATA_HERE: &str = "data";
/// The output of everything that runs in the container.
const LOG: &str = "k3s.log";

impl Server {
    /// Where k3s keeps the server's files: its keys below `tls`, its token. Some are links to paths in the container.
    ///
    /// # Errors
    /// If it does not exist.
    pub fn files(&self) -> Result<Folder, ClusterError> {
        let path = server_folder(self.dir.path());
        Folder::open(&path).map_err(ClusterError::file(&path))
    }

    /// The version of Kubernetes in it.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Stops k3s and starts it again, and waits until it is ready.
    ///
    /// # Errors
    /// If it does not become ready again.
    pub async fn restart(&self) -> Result<(), ClusterError> {
        let container = self.container.lock().await;
        let Some(container) = &*container else {
            return Err(ClusterError::NotRunning(NAME.into()));
        };
        let watches = Watches::of(&self.controllers, self.logs.join(AUDIT_LOG))?;
        container.restart().await?;
        tokio::select! {
            ready = ready(&self.base, &self.ports, watches) => ready,
            error = ended(container, &self.logs) => Err(error),
        }
    }

    async fn start(k3s: &K3s, scenario: &Scenario, sink: Sink, logs: &Path) -> Result<Self, ClusterError> {
        let version = k3s.image.version;
        let kubelet_version = k3s.kubelet.as_ref().map_or(version, |(_, version)| *version);
        let rules = Rules::new(version, kubelet_version);
        let dir = RunDir::create()?;
        let ports = Ports { k3s: Port::lease_pair()?, controller_manager: Port::lease()? };
        let orders = Orders::of(scenario, rules, &sink);
        let logs = logs.canonicalize().map_err(ClusterError::file(logs))?;
        let (config, data) = (dir.path().join("config"), dir.path().join(DATA_HERE));
        write_files(&config, &orders)?;
        fs::create_dir(&data).map_err(ClusterError::file(&data))?;

        container::is_same_daemon(&k3s.image.daemon).await?;
        let name = Name::of(dir.path());
        let resources = Resources::of(name.clone());
        sink.started(Recorder::Process);
        let api_server = ports.api_server();
        let audit_log = logs.join(AUDIT_LOG);
        let controllers = args::controllers(&orders.settings);
        let watches = Watches::of(&controllers, audit_log.clone())?;
        let container = Container::start(container::Plan {
            cluster: &name,
            image: &k3s.image.found.id,
            args: args::server(&args::Plan {
                version,
                port: api_server.port(),
                controller_manager_port: ports.controller_manager.number,
                settings: &orders.settings,
            }),
            mounts: &[(&config, CONFIG), (&data, DATA), (&logs, LOGS)],
            log: &logs.join(LOG),
        })
        .await?;

        let server = server_folder(dir.path());
        let (servers, clients) = tokio::select! {
            made = authorities(&server) => made?,
            error = ended(&container, &logs) => return Err(error),
        };
        let pki = dir.path().join("pki");
        let trust = Trust::adopt(pki, servers, clients, sink.vault().clone())?;
        let base = Arc::new(Base::new(format!("https://{api_server}"), trust, orders, sink).await?);
        let nodes = match &k3s.kubelet {
            Some((executable, version)) => {
                let (executable, version, run) = (executable.path.as_path(), *version, dir.path());
                let kubelets = Kubelets { executable, version, defect: None, run, logs: &logs, api_server };
                kubelets.nodes(&scenario.nodes, &base).await?
            }
            None if scenario.nodes.is_empty() => NodesIn::new(Arc::clone(&base)),
            None => return Err(ClusterError::Unsupported("run kubelets: they have no executable")),
        };
        tokio::select! {
            ready = ready(&base, &ports, watches) => ready?,
            error = ended(&container, &logs) => return Err(error),
        }
        vault_secrets(&server, &base.sink);
        let sources = Sources {
            audit_log,
            nodes: nodes.sources().clone(),
            logs: vec![(NAME, logs.join(LOG))],
            api_server,
            controller_manager: ports.controller_manager(),
        };
        let recorders = Recorders::start(sources, scenario, &base)?;
        base.create_tokens().await?;
        Ok(Self {
            recorders: Mutex::new(Some(recorders)),
            nodes,
            container: Mutex::new(Some(container)),
            resources: Mutex::new(Some(resources)),
            ports,
            version,
            base,
            controllers,
            logs,
            dir,
        })
    }
}

/// Waits until API server and controller-manager are ready, and approver and signers work.
async fn ready(base: &Base, ports: &Ports, watches: Watches) -> Result<(), ClusterError> {
    let api_server = Component::ApiServer.name();
    until_ok(&base.admin, "/readyz", api_server, READY, pending()).await?;
    // It serves its own self-signed certificate; it is sent nothing but the path.
    let manager = blind(&format!("https://{}", ports.controller_manager()))?;
    let controller_manager = Component::ControllerManager.name();
    until_ok(&manager, "/healthz", controller_manager, READY, pending()).await?;
    watches.seen(READY).await
}

fn server_folder(run: &Path) -> PathBuf {
    run.join(DATA_HERE).join("server")
}

/// The files for the control plane.
fn write_files(config: &Path, orders: &Orders) -> Result<(), ClusterError> {
    fs::create_dir(config).map_err(ClusterError::file(config))?;
    let tokens = tokens::static_file(orders.tokens.values());
    write_private(&config.join(TOKENS), &tokens)?;
    let policy = audit_policy(&HOUSEKEEPERS.map(str::to_owned), orders.rules);
    write_private(&config.join(AUDIT_POLICY), &policy.to_string())
}

/// The CAs that k3s creates at its first start: one signs for servers, the other for clients
/// (`docs.k3s.io/cli/certificate`, its topology).
async fn authorities(server: &Path) -> Result<(Authority, Authority), ClusterError> {
    let made = poll::until(Instant::now() + READY, poll::OFTEN, async || {
        let both = authority(server, "server-ca").and_then(|servers| Ok((servers, authority(server, "client-ca")?)));
        Ok::<_, ClusterError>(both)
    });
    made.await?.map_err(ClusterError::late("the CAs of k3s", READY))
}

/// A file that does not exist yet is treated like one that is half written: it will be complete later.
fn authority(server: &Path, name: &str) -> Result<Authority, ClusterError> {
    let read = |suffix: &str| {
        let path = format!("tls/{name}.{suffix}");
        let text = Folder::open(server).and_then(|folder| folder.read_text(&path, LONGEST));
        text.map_err(ClusterError::file(server.join(path)))
    };
    let key = Secret::new(read("key")?);
    Ok(Authority::from_pem(&read("crt")?, key.expose())?)
}

/// Returns when k3s has exited on its own.
async fn ended(container: &Container, logs: &Path) -> ClusterError {
    loop {
        match container.is_running().await {
            Ok(true) => sleep(LOOK).await,
            Ok(false) => {
                return ClusterError::ended(NAME, &logs.join(LOG));
            }
            Err(error) => return error,
        }
    }
}

/// The credentials with which k3s lets nodes and servers join must not get into the evidence: neither
/// `K10HASH::USER:PASSWORD` nor its last part. `node-token` is a link to `token`, and so is `agent-token` unless agents
/// have a token of their own. As the links are those of the container, on this machine they may lead to the token of
/// another k3s, so they are not followed.
fn vault_secrets(server: &Path, sink: &Sink) {
    let Ok(server) = Folder::open(server) else { return };
    for file in ["token", "node-token", "agent-token"] {
        if let Ok(token) = server.read_text(file, LONGEST) {
            let token = token.trim();
            let password = token.rsplit_once(':').map_or(token, |(_, password)| password);
            sink.vault().register(token);
            sink.vault().register(password);
        }
    }
}

#[async_trait]
impl Cluster for Server {
    fn base(&self) -> &Base {
        &self.base
    }

    fn nodes(&self) -> &dyn Nodes {
        &self.nodes
    }

    /// k3s is a single process.
    fn control_plane(&self) -> Option<&dyn ControlPlane> {
        None
    }

    async fn stop(&self) {
        self.nodes.close().await;
        self.recorders.lock().await.take();
        if let Some(container) = self.container.lock().await.take()
            && let Err(error) = container.remove().await
        {
            tracing::warn!(%error, "the container of k3s could not be removed");
        }
        let resources = self.resources.lock().await.take();
        let _ = tokio::task::spawn_blocking(move || drop(resources)).await;
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::today(Some(Distribution::K3s), (1, 37, 2), None)]
    #[case::without_a_suffix(None, (1, 37, 2), None)]
    #[case::the_oldest(Some(Distribution::K3s), (1, 20, 9), None)]
    #[case::too_old(Some(Distribution::K3s), (1, 21, 0), Some("v1.21.1, v1.20.9 and newer"))]
    #[case::much_too_old(None, (1, 17, 4), Some("k3s v1.17.4 is older"))]
    #[case::rke2(Some(Distribution::Rke2), (1, 33, 4), Some("static pods"))]
    fn what_cannot_be_started_is_refused_first(
        #[case] distribution: Option<Distribution>,
        #[case] (major, minor, patch): (u32, u32, u32),
        #[case] refused: Option<&str>,
    ) {
        let error = supported(distribution, Version::new(major, minor, patch)).err().map(|error| error.to_string());
        assert_eq!(error.is_some(), refused.is_some(), "{error:?}");
        assert!(error.unwrap_or_default().contains(refused.unwrap_or_default()));
    }

    /// As k3s makes it: the path is that in the container.
    #[test]
    fn a_link_into_the_container_is_not_followed() {
        let lab = tempfile::tempdir().unwrap();
        let (server, elsewhere) = (lab.path().join("server"), lab.path().join("elsewhere"));
        fs::create_dir(&server).unwrap();
        fs::write(&elsewhere, "K10ab::server:of-another-k3s-9b2e").unwrap();
        fs::write(server.join("token"), "K10cd::server:of-this-one-4f1c\n").unwrap();
        std::os::unix::fs::symlink(&elsewhere, server.join("node-token")).unwrap();
        let vault = crate::secret::Vault::default();
        let (sink, _events) = Sink::create(&lab.path().join("history.jsonl"), vault.clone()).unwrap();
        vault_secrets(&server, &sink);
        assert!(vault.scan(b"the password is of-this-one-4f1c").is_some());
        assert!(vault.scan(b"the password is of-another-k3s-9b2e").is_none());
    }

    #[rstest]
    #[case::of_root("Debian GNU/Linux 12 (bookworm) [name=seccomp,profile=builtin]", None)]
    #[case::rootless("Debian [name=seccomp,profile=builtin name=rootless]", Some("rootless"))]
    #[case::desktop("Docker Desktop [name=seccomp]", Some("Docker Desktop"))]
    fn the_daemon_must_share_the_loopback(#[case] info: &str, #[case] refused: Option<&str>) {
        let error = same_machine(info).err().map(|error| error.to_string());
        assert_eq!(error.is_some(), refused.is_some());
        let said = error.unwrap_or_default();
        assert!(said.contains(refused.unwrap_or_default()), "{said}");
    }
}
