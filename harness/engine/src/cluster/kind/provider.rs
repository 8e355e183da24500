//! The provider: what is started, and in which order.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{Api, DeleteParams};
use tokio::sync::Mutex;

use super::command::{command, create_cluster, no_command};
use super::common::Common;
use super::config::{self, API_SERVER_PORT, CONTROLLER_MANAGER_PORT, Plan};
use super::control_plane::KindControlPlane;
use super::follow::Follower;
use super::network::Network;
use super::node::{Container, NodeContainer, Site};
use crate::cluster::docker::{Found, Image, Name, Resources, Use, sweep};
use crate::cluster::shared::base::{Base, Orders};
use crate::cluster::shared::dir::RunDir;
use crate::cluster::shared::file::write_private;
use crate::cluster::shared::nodes::NodesIn;
use crate::cluster::shared::recorders::{Recorders, Sources};
use crate::cluster::shared::settings::audit_policy;
use crate::cluster::shared::tokens;
use crate::cluster::shared::trust::Trust;
use crate::cluster::{Cluster, ClusterError, ControlPlane, Nodes, Provider};
use crate::node::link::Link;
use crate::observe::Sink;
use crate::pki::YEAR;
use tlsboot_core::check::rules::Rules;
use tlsboot_core::history::event::Recorder;
use tlsboot_core::result::ComponentResult;
use tlsboot_core::scenario::Capability;
use tlsboot_core::scenario::stimulus::BootstrapRole;
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
    /// Clusters of an image, by default of the one that `ci/node-image` builds; it is pulled if it is missing. Blocks.
    ///
    /// # Errors
    /// If Docker, the `kind` command or the image is not available, with what to do about it.
    pub fn find(image: &Image, version: Version) -> Result<Self, ClusterError> {
        let command = command().ok_or_else(no_command)?;
        Ok(Self { image: image.find(&node_image(&remedy(version)), version)?, version, command })
    }

    /// For the report: the image, by its id.
    pub fn component(&self) -> ComponentResult {
        self.image.component()
    }
}

/// The node image that `ci/node-image` builds for a version.
pub fn built_image(version: Version) -> Image {
    Image::from(format!("tlsboot/node:v{version}"))
}

pub(super) fn remedy(version: Version) -> String {
    format!("build one with `ci/node-image {version}`, or name another one with --node-image")
}

pub(super) fn node_image(remedy: &str) -> Use<'_> {
    Use { name: "node image", question: (&["--entrypoint", "cat"], &["/kind/version"]), remedy }
}

/// Its name.
pub(in crate::cluster) const NAME: &str = "kind";

/// What its clusters can do here. The API server's authorizers cannot be chosen: the control plane's own kubelet needs
/// the Node authorizer before anything could be bound to it. Without root, tlsboot can neither read root's files in a
/// node nor give the bridge an address for each node's link.
pub(in crate::cluster) fn capabilities() -> &'static [Capability] {
    capabilities_of(rustix::process::geteuid().is_root())
}

fn capabilities_of(is_root: bool) -> &'static [Capability] {
    use Capability::{
        AuditLog, ComponentLogs, ConfigureControlPlane, Kubeadm, KubeletPorts, Link, NodeFiles, ReplaceCa,
        RestartControlPlane, RunKubelets,
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
        KubeletPorts,
    ];
    if is_root { FOR_ROOT } else { FOR_ALL }
}

#[async_trait]
impl Provider for Kind {
    fn capabilities(&self) -> &'static [Capability] {
        capabilities()
    }

    async fn start(&self, scenario: &Scenario, sink: Sink, logs: PathBuf) -> Result<Box<dyn Cluster>, ClusterError> {
        tokio::task::spawn_blocking(sweep).await.map_err(std::io::Error::other)??;
        Ok(Box::new(KindCluster::start(self, scenario, sink, logs).await?))
    }
}

struct KindCluster {
    // Fields are dropped in this order: recorders first, then what they observe, then the folder.
    recording: Mutex<Option<Recording>>,
    control_plane: KindControlPlane,
    nodes: NodesIn<NodeContainer>,
    resources: Mutex<Option<Resources>>,
    base: Arc<Base>,
    _dir: RunDir,
}

struct Recording {
    _recorders: Recorders,
    _audit_log: Follower,
}

impl KindCluster {
    async fn start(kind: &Kind, scenario: &Scenario, sink: Sink, logs: PathBuf) -> Result<Self, ClusterError> {
        let rules = Rules::new(kind.version, kind.version);
        let dir = RunDir::create()?;
        let name = Name::of(dir.path());
        let trust = Trust::create(dir.path().join("pki"), own_signer(scenario), sink.vault().clone())?;
        trust.write_authority()?;
        let orders = Orders::of(scenario, rules, &sink);
        write_files(&trust, scenario, &name, dir.path(), &orders)?;

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
        let site = Site { cluster: &name, network: &network, image: &kind.image.id, run: dir.path(), kubeadm };
        let boot = scenario.nodes.iter().zip(&links).map(|(node, link)| Container::boot(&site, &node.name, *link));
        let ((), containers) = tokio::try_join!(
            create_cluster(&kind.command, &plan, dir.path(), &logs),
            futures::future::try_join_all(boot),
        )?;

        let control_plane = name.control_plane();
        let address = network.address_of(&control_plane).await?;
        let url = format!("https://{address}:{API_SERVER_PORT}");
        let base = Arc::new(Base::new(url, trust, orders, sink).await?);
        let common = Common { version: kind.version, logs: &logs, control_plane: &control_plane, base: &base };
        let mut nodes = NodesIn::new(Arc::clone(&base));
        for ((node, container), source) in scenario.nodes.iter().zip(containers).zip(&links) {
            let source = IpAddr::V4(*source);
            // kubeadm's nodes reach the API server by its name, with the control plane's own port.
            let listen = SocketAddr::new(source, if kubeadm { API_SERVER_PORT } else { 0 });
            let upstream = SocketAddr::from((address, API_SERVER_PORT));
            let link = Link::open_at(node.name.to_string(), listen, upstream, source, base.sink.clone())?;
            nodes.add(source, container.into_node(node, link, &common).await?);
        }
        let control_plane = KindControlPlane::attach(&common, address).await?;
        let recording = Recording::start(scenario, &control_plane, nodes.sources().clone(), &common).await?;
        if !kubeadm {
            unbind(base.admin()).await?;
        }
        base.create_tokens().await?;
        Ok(Self {
            recording: Mutex::new(Some(recording)),
            control_plane,
            nodes,
            resources: Mutex::new(Some(resources)),
            base,
            _dir: dir,
        })
    }
}

impl Recording {
    /// Follows the audit log in the control plane's container, and starts the recorders.
    async fn start(
        scenario: &Scenario,
        control_plane: &KindControlPlane,
        nodes: BTreeMap<IpAddr, String>,
        common: &Common<'_>,
    ) -> Result<Self, ClusterError> {
        let (base, audit_log) = (common.base, common.logs.join("audit.log"));
        let tail = format!("exec tail --lines=+1 --follow=name --retry {} 2>/dev/null", config::AUDIT_LOG);
        let follower = Follower::start(common.control_plane, &tail, &audit_log, Recorder::Audit, &base.sink).await?;
        let sources = Sources {
            audit_log,
            nodes,
            logs: control_plane.logs().await,
            api_server: (control_plane.address(), API_SERVER_PORT).into(),
            controller_manager: (control_plane.address(), CONTROLLER_MANAGER_PORT).into(),
        };
        Ok(Self { _recorders: Recorders::start(sources, scenario, base)?, _audit_log: follower })
    }
}

/// Removes the bindings that kubeadm created.
async fn unbind(admin: kube::Client) -> Result<(), ClusterError> {
    let bindings = Api::<ClusterRoleBinding>::all(admin);
    for role in BootstrapRole::ALL {
        bindings.delete(role.kubeadm_binding(), &DeleteParams::default()).await?;
    }
    Ok(())
}

/// How long the signer's own CA is valid, if the scenario needs one: by default kubeadm's CA signs, as in real
/// clusters.
fn own_signer(scenario: &Scenario) -> Option<Duration> {
    let valid = scenario.cluster.signer_ca_valid_for.and_then(|valid| valid.try_into().ok());
    let replaced = requirements_of(scenario).contains_key(&Capability::ReplaceCa);
    valid.or(replaced.then_some(YEAR))
}

/// The files for the control plane.
fn write_files(
    trust: &Trust,
    scenario: &Scenario,
    name: &Name,
    run: &Path,
    orders: &Orders,
) -> Result<(), ClusterError> {
    write_private(&trust.path("tokens.csv"), &tokens::static_file(orders.tokens.values()))?;
    // kubeadm's own requests, and those of the control plane's kubelet.
    let housekeepers = [
        "kubernetes-admin".to_owned(),
        "kubernetes-super-admin".to_owned(),
        format!("system:node:{}", name.control_plane()),
    ];
    write_private(&trust.path("audit-policy.json"), &audit_policy(&housekeepers, orders.rules).to_string())?;
    let patches = run.join("patches");
    fs::create_dir(&patches).map_err(ClusterError::file(&patches))?;
    let refuses = |step: &Step| match step {
        Step::Start(start) => start.with.anonymous_auth == Some(false),
        Step::Restart(restart) => restart.with.anonymous_auth == Some(false),
        _ => false,
    };
    let anonymous_throughout =
        scenario.cluster.anonymous_auth && !scenario.steps.iter().any(|step| refuses(&step.value));
    match config::api_server_patch(anonymous_throughout) {
        Some((file, patch)) => write_private(&patches.join(file), &patch.to_string()),
        None => Ok(()),
    }
}

#[async_trait]
impl Cluster for KindCluster {
    fn base(&self) -> &Base {
        &self.base
    }

    fn nodes(&self) -> &dyn Nodes {
        &self.nodes
    }

    fn control_plane(&self) -> Option<&dyn ControlPlane> {
        Some(&self.control_plane)
    }

    async fn stop(&self) {
        self.nodes.close().await;
        self.control_plane.close().await;
        self.recording.lock().await.take();
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
