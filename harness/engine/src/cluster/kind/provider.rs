//! The provider: what is started, in which order, and what is done to the control plane.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{Api, DeleteParams};
use tokio::sync::Mutex;

use super::common::Common;
use super::config::{self, Plan};
use super::follow::Follower;
use super::network::Network;
use super::node::{Container, KindNode, Place};
use super::static_pod::{CONTROLLER_MANAGER_PORT, StaticPod};
use crate::cluster::docker::{self, Found, Image, Name, Resources, Use, sweep};
use crate::cluster::shared::base::{Base, Orders};
use crate::cluster::shared::dir::RunDir;
use crate::cluster::shared::file::write_private;
use crate::cluster::shared::recorders::{Recorders, Sources};
use crate::cluster::shared::settings::audit_policy;
use crate::cluster::shared::tokens;
use crate::cluster::shared::trust::Trust;
use crate::cluster::{Cluster, ClusterError, Ending, Provider, TokenValue, end_of};
use crate::node::link::Link;
use crate::observe::Sink;
use crate::pki::YEAR;
use crate::process::{Exit, Isolation, Process};
use tlsboot_core::result::ComponentResult;
use tlsboot_core::scenario::Capability;
use tlsboot_core::scenario::stimulus::{Changes, Component, CutKind, cluster_role, kubeadm_binding};
use tlsboot_core::scenario::{KUBEADM_TOKEN, Scenario, Step, requirements_of};
use tlsboot_core::version::Version;

/// Starts clusters in containers.
#[derive(Clone, Debug)]
pub struct Kind {
    image: Found,
    version: Version,
    /// The `kind` command.
    command: PathBuf,
}

impl Kind {
    /// Clusters of an image, by default of the one that `ci/node-image` builds; it is pulled where it is missing. Blocks.
    ///
    /// # Errors
    /// When Docker, the `kind` command or the image is not to be had, with what to do about it.
    pub fn find(image: &Image, version: Version) -> Result<Self, ClusterError> {
        let command = command().ok_or_else(no_command)?;
        Ok(Self { image: image.find(&node_image(&remedy(version)), version)?, version, command })
    }

    /// For the report: the image, by its id.
    pub fn component(&self) -> ComponentResult {
        self.image.component()
    }
}

/// The node image that `ci/node-image` builds of a version.
pub fn built_image(version: Version) -> Image {
    Image::from(format!("tlsboot/node:v{version}"))
}

pub(super) fn remedy(version: Version) -> String {
    format!("build one by `ci/node-image {version}`, or name another by --node-image")
}

pub(super) fn node_image(remedy: &str) -> Use<'_> {
    Use { name: "node image", question: (&["--entrypoint", "cat"], &["/kind/version"]), remedy }
}

/// Its name.
pub(in crate::cluster) const NAME: &str = "kind";

/// What its clusters can do here. The API server's authorizers are not to be chosen: the control plane's own kubelet needs
/// the Node authorizer before anything could be bound to it. An ordinary user can neither see root's files in a node nor
/// give the bridge an address for each node's link.
pub(in crate::cluster) fn capabilities() -> &'static [Capability] {
    capabilities_of(rustix::process::geteuid().is_root())
}

fn capabilities_of(is_root: bool) -> &'static [Capability] {
    use Capability::{
        AuditLog, ComponentLogs, ConfigureControlPlane, Kubeadm, Link, NodeFiles, ReplaceCa, RestartControlPlane,
        RunKubelets,
    };
    const FOR_ALL: &[Capability] =
        &[ConfigureControlPlane, RestartControlPlane, ComponentLogs, AuditLog, ReplaceCa, Kubeadm];
    const FOR_ROOT: &[Capability] = &[
        ConfigureControlPlane,
        RestartControlPlane,
        ComponentLogs,
        AuditLog,
        ReplaceCa,
        Kubeadm,
        RunKubelets,
        NodeFiles,
        Link,
    ];
    if is_root { FOR_ROOT } else { FOR_ALL }
}

#[async_trait]
impl Provider for Kind {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> &'static [Capability] {
        capabilities()
    }

    async fn start(&self, scenario: &Scenario, sink: Sink, logs: PathBuf) -> Result<Box<dyn Cluster>, ClusterError> {
        tokio::task::spawn_blocking(sweep).await.map_err(std::io::Error::other)??;
        Ok(Box::new(KindCluster::start(self, scenario, sink, logs).await?))
    }
}

struct KindCluster {
    /// The control plane's.
    address: Ipv4Addr,
    base: Base,
    // Fields are dropped in this order: recorders first, then what they look at, then the folder.
    recorders: Mutex<Option<Recorders>>,
    audit_log: Mutex<Option<Follower>>,
    components: HashMap<Component, Mutex<StaticPod>>,
    nodes: BTreeMap<String, Mutex<KindNode>>,
    resources: Mutex<Option<Resources>>,
    _dir: RunDir,
}

pub(super) const API_SERVER_PORT: u16 = 6443;
/// The roles that kubeadm binds; a scenario says itself who is bound.
const BOUND_BY_KUBEADM: [&str; 3] = ["nodeBootstrapper", "nodeClient", "selfNodeClient"];

impl KindCluster {
    async fn start(kind: &Kind, scenario: &Scenario, sink: Sink, logs: PathBuf) -> Result<Self, ClusterError> {
        let rules = Rules::new(kind.version, kind.version);
        let dir = RunDir::create()?;
        let name = Name::of(dir.path());
        let trust = Trust::create(dir.path().join("pki"), own_signer(scenario), sink.vault().clone())?;
        trust.write_authority()?;
        let orders = Orders::of(scenario, rules, &sink);
        write_files(&trust, scenario, &name, dir.path(), &orders.tokens)?;

        let resources = Resources::of(name.clone());
        resources.create_network().await?;
        let network = Network::inspect(name.as_str()).await?;
        let links = network.add_addresses(scenario.nodes.len()).await?;
        let plan = Plan {
            cluster: name.as_str(),
            image: &kind.image.id,
            version: kind.version,
            settings: &orders.settings,
            pki: trust.dir(),
            patches: &dir.path().join("patches"),
            links: &links,
            own_signer: trust.has_own_signer(),
            kubeadm_token: orders.tokens.get(KUBEADM_TOKEN).map(|token| &token.value),
        };
        sink.started(Recorder::Process);
        let kubeadm = scenario.cluster.kubeadm;
        let place = Place { cluster: &name, network: &network, image: &kind.image.id, run: dir.path(), kubeadm };
        let boot = scenario.nodes.iter().zip(&links).map(|(node, link)| Container::boot(&place, &node.name, *link));
        let ((), containers) =
            tokio::try_join!(create(kind, &plan, dir.path(), &logs), futures::future::try_join_all(boot),)?;

        let control_plane = name.control_plane();
        let address = network.address_of(&control_plane).await?;
        let url = format!("https://{address}:{API_SERVER_PORT}");
        let base = Base::new(url, trust, orders, sink.clone()).await?;
        let common = Common {
            version: kind.version,
            logs: &logs,
            ca: &base.endpoint().ca,
            administrator: &base.administrator,
            admin: &base.admin,
            control_plane: &control_plane,
            sink: &sink,
        };
        let upstream = SocketAddr::from((address, API_SERVER_PORT));
        let mut nodes = BTreeMap::new();
        let mut sources = BTreeMap::new();
        for ((node, container), source) in scenario.nodes.iter().zip(containers).zip(&links) {
            let source = IpAddr::V4(*source);
            sources.insert(source, node.name.clone());
            // kubeadm's nodes know the API server by its name, whose port is the control plane's own.
            let port = if kubeadm { API_SERVER_PORT } else { 0 };
            let listen = SocketAddr::new(source, port);
            let link = Link::open_at(node.name.clone(), listen, upstream, source, sink.clone())?;
            let node_of_kind = KindNode::new(container, node, link, &common).await?;
            nodes.insert(node.name.clone(), Mutex::new(node_of_kind));
        }
        let mut components = HashMap::new();
        for component in [Component::ApiServer, Component::ControllerManager] {
            let pod = StaticPod::attach(&control_plane, component, &logs, &sink).await?;
            components.insert(component, Mutex::new(pod));
        }
        let cluster = Self {
            address,
            base,
            recorders: Mutex::default(),
            audit_log: Mutex::default(),
            components,
            nodes,
            resources: Mutex::new(Some(resources)),
            _dir: dir,
        };
        cluster.record(scenario, &control_plane, sources, &logs).await?;
        if !scenario.cluster.kubeadm {
            cluster.unbind().await?;
        }
        cluster.base.create_tokens().await?;
        Ok(cluster)
    }

    /// Follows the audit log, and starts the recorders.
    async fn record(
        &self,
        scenario: &Scenario,
        control_plane: &str,
        nodes: BTreeMap<IpAddr, String>,
        logs: &Path,
    ) -> Result<(), ClusterError> {
        let audit_log = logs.join("audit.log");
        let tail = format!("exec tail --lines=+1 --follow=name --retry {} 2>/dev/null", config::AUDIT_LOG);
        let follower = Follower::start(control_plane, &tail, &audit_log, Recorder::Audit, &self.base.sink);
        *self.audit_log.lock().await = Some(follower.await?);
        let mut of_components = Vec::new();
        for (component, pod) in &self.components {
            of_components.push((component.name(), pod.lock().await.log().to_owned()));
        }
        let sources = Sources {
            audit_log,
            nodes,
            logs: of_components,
            api_server: (self.address, API_SERVER_PORT).into(),
            controller_manager: (self.address, CONTROLLER_MANAGER_PORT).into(),
        };
        *self.recorders.lock().await = Some(Recorders::start(sources, scenario, &self.base)?);
        Ok(())
    }

    async fn unbind(&self) -> Result<(), ClusterError> {
        let bindings = Api::<ClusterRoleBinding>::all(self.base.admin.clone());
        for role in BOUND_BY_KUBEADM {
            let name = kubeadm_binding(cluster_role(role)).unwrap_or_default();
            bindings.delete(name, &DeleteParams::default()).await?;
        }
        Ok(())
    }

    fn component(&self, component: Component) -> Result<&Mutex<StaticPod>, ClusterError> {
        self.components.get(&component).ok_or_else(|| ClusterError::Unknown(component.name().to_owned()))
    }

    fn node(&self, name: &str) -> Result<&Mutex<KindNode>, ClusterError> {
        self.nodes.get(name).ok_or_else(|| ClusterError::Unknown(format!("node `{name}`")))
    }
}

/// How long a CA of the signer's own is valid, where the scenario needs one: by default kubeadm's CA signs, as it does
/// in the world.
fn own_signer(scenario: &Scenario) -> Option<Duration> {
    let valid = scenario.cluster.signer_ca_valid.and_then(|valid| valid.try_into().ok());
    let replaced = requirements_of(scenario).contains_key(&Capability::ReplaceCa);
    valid.or(replaced.then_some(YEAR))
}

/// The files that the control plane is given.
fn write_files(
    trust: &Trust,
    scenario: &Scenario,
    name: &Name,
    run: &Path,
    tokens: &BTreeMap<String, TokenValue>,
) -> Result<(), ClusterError> {
    write_private(&trust.path("tokens.csv"), &tokens::static_file(tokens.values()))?;
    // kubeadm's own requests, and those of the control plane's kubelet.
    let housekeepers = [
        "kubernetes-admin".to_owned(),
        "kubernetes-super-admin".to_owned(),
        format!("system:node:{}", name.control_plane()),
    ];
    write_private(&trust.path("audit-policy.json"), &audit_policy(&housekeepers).to_string())?;
    let patches = run.join("patches");
    fs::create_dir(&patches).map_err(ClusterError::file(&patches))?;
    let refuses = |step: &Step| matches!(step, Step::Start(with) | Step::Restart(with) if with.with.anonymous_auth == Some(false));
    let anonymous_throughout =
        scenario.cluster.anonymous_auth && !scenario.steps.iter().any(|step| refuses(&step.value));
    match config::api_server_patch(anonymous_throughout) {
        Some((file, patch)) => write_private(&patches.join(file), &patch.to_string()),
        None => Ok(()),
    }
}

/// Runs `kind create cluster`. Its words are in the logs.
async fn create(kind: &Kind, plan: &Plan<'_>, run: &Path, logs: &Path) -> Result<(), ClusterError> {
    let config = run.join("kind.json");
    write_private(&config, &plan.kind_config())?;
    let log = logs.join("kind.log");
    let network = format!("KIND_EXPERIMENTAL_DOCKER_NETWORK={}", plan.cluster);
    let mut args: Vec<OsString> =
        vec![network.into(), "KIND_EXPERIMENTAL_PROVIDER=docker".into(), kind.command.clone().into()];
    // Retained, a failed cluster can tell why it failed; we remove it all the same.
    args.extend(["create", "cluster", "--retain", "--wait=0s", "--config"].map(OsString::from));
    args.extend([config.into(), "--kubeconfig".into(), run.join("kind.kubeconfig").into()]);
    let process = Process::start(Path::new("env"), &args, &log, Isolation::Plain, &Default::default())
        .await
        .map_err(|error| failed(&error.to_string()))?;
    match process.exited().await {
        Exit { code: Some(0), .. } => Ok(()),
        exit => {
            let journal = format!("{}-control-plane", plan.cluster);
            let journal =
                docker::exec(&journal, &["journalctl", "--no-pager", "--output", "cat", "--unit", "kubelet"]).await;
            let _ = fs::write(logs.join("control-plane-kubelet.log"), journal.unwrap_or_default());
            Err(failed(&format!("{exit:?}; {}", end_of(&log))))
        }
    }
}

fn failed(reason: &str) -> ClusterError {
    ClusterError::Command { command: "kind create cluster".into(), reason: reason.to_owned() }
}

pub(super) fn no_command() -> ClusterError {
    failed("there is no `kind` command: install it (https://kind.sigs.k8s.io), or by `ci/node-image --kind`")
}

/// The `kind` command: on PATH, or where Go puts it.
pub(super) fn command() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let go = std::env::var_os("HOME").map(|home| PathBuf::from(home).join("go/bin"));
    let mut folders = std::env::split_paths(&path).chain(go);
    folders.find_map(|folder| Some(folder.join("kind")).filter(|file| file.is_file()))
}

#[async_trait]
impl Cluster for KindCluster {
    fn base(&self) -> &Base {
        &self.base
    }

    async fn start_node(&self, node: &str, changes: &Changes) -> Result<String, ClusterError> {
        let mut node = self.node(node)?.lock().await;
        node.start(changes, &self.base.tokens, &self.base.sink).await
    }

    async fn join_node(&self, node: &str) -> Result<String, ClusterError> {
        self.node(node)?.lock().await.join(&self.base.tokens, &self.base.sink).await
    }

    async fn end_node(&self, node: &str, ending: Ending) -> Result<String, ClusterError> {
        self.node(node)?.lock().await.end(ending).await
    }

    async fn start_component(&self, component: Component, changes: &Changes) -> Result<String, ClusterError> {
        let settings = self.base.change(component, changes).await?;
        let mut pod = self.component(component)?.lock().await;
        pod.start(&settings, &self.base.admin, self.address, &self.base.sink).await
    }

    async fn end_component(&self, component: Component, ending: Ending) -> Result<String, ClusterError> {
        match ending {
            Ending::Stop => self.component(component)?.lock().await.stop().await,
            // Its kubelet would start it again at once.
            Ending::Kill => Err(ClusterError::Unknown(format!(
                "way to kill {}, a static pod, so that it stays away",
                component.name()
            ))),
        }
    }

    async fn node_dir(&self, node: &str) -> Result<crate::node::NodeDir, ClusterError> {
        Ok(self.node(node)?.lock().await.dir().clone())
    }

    async fn cut(&self, node: &str, how: CutKind) -> Result<String, ClusterError> {
        self.node(node)?.lock().await.cut(how).await
    }

    async fn mend(&self, node: &str) -> Result<String, ClusterError> {
        self.node(node)?.lock().await.mend().await
    }

    async fn stop(&self) {
        for node in self.nodes.values() {
            node.lock().await.close().await;
        }
        for pod in self.components.values() {
            pod.lock().await.close();
        }
        self.recorders.lock().await.take();
        self.audit_log.lock().await.take();
        let resources = self.resources.lock().await.take();
        let _ = tokio::task::spawn_blocking(move || drop(resources)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_user_can_do_less() {
        let (root, user) = (capabilities_of(true), capabilities_of(false));
        assert!(user.iter().all(|capability| root.contains(capability)));
        for needs_root in [Capability::RunKubelets, Capability::NodeFiles, Capability::Link] {
            assert!(root.contains(&needs_root) && !user.contains(&needs_root));
        }
        assert!(!root.contains(&Capability::ChooseAuthorizers));
    }
}
