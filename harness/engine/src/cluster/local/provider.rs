//! The provider: what is started, and in which order.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::control_plane::{LocalControlPlane, Ports};
use super::executables::Local;
use super::flags::Layout;
use crate::cluster::processes::{Kubelets, Sandbox, has_cgroup_v1};
use crate::cluster::shared::base::{Base, Orders};
use crate::cluster::shared::dir::RunDir;
use crate::cluster::shared::file::write_private;
use crate::cluster::shared::nodes::NodesIn;
use crate::cluster::shared::recorders::{Recorders, Sources};
use crate::cluster::shared::tokens::{self, OwnTokens};
use crate::cluster::shared::trust::Trust;
use crate::cluster::{Cluster, ClusterError, ControlPlane, Nodes, Provider};
use crate::components::ComponentSet;
use crate::node::inlet::Proxy;
use crate::observe::Sink;
use crate::pki::YEAR;
use tlsboot_core::check::rules::Rules;
use tlsboot_core::history::event::Recorder;
use tlsboot_core::scenario::stimulus::Component;
use tlsboot_core::scenario::{Capability, Scenario};

/// Its name.
pub(in crate::cluster) const NAME: &str = "local";
/// What its clusters can do: everything that this machine allows.
pub(in crate::cluster) fn capabilities() -> &'static [Capability] {
    const ALL: &[Capability] = &[
        Capability::CgroupV1,
        Capability::ConfigureControlPlane,
        Capability::AnyFlag,
        Capability::ChooseAuthorizers,
        Capability::RestartControlPlane,
        Capability::ComponentLogs,
        Capability::RunKubelets,
        Capability::SetUpKubelets,
        Capability::NodeFiles,
        Capability::AuditLog,
        Capability::ApiServerMetrics,
        Capability::Link,
        Capability::ReachKubelets,
        Capability::KubeletPorts,
        Capability::ReplaceCa,
    ];
    if has_cgroup_v1() { ALL } else { &ALL[1..] }
}

#[async_trait]
impl Provider for Local {
    fn capabilities(&self) -> &'static [Capability] {
        capabilities()
    }

    async fn start(&self, scenario: &Scenario, sink: Sink, logs: PathBuf) -> Result<Box<dyn Cluster>, ClusterError> {
        Ok(Box::new(LocalCluster::start(self, scenario, sink, logs).await?))
    }
}

struct LocalCluster {
    // Fields are dropped in this order: recorders first, then processes with their ports, then the folder.
    recorders: Mutex<Option<Recorders>>,
    nodes: NodesIn<Sandbox>,
    control_plane: LocalControlPlane,
    _proxy: Proxy,
    base: Arc<Base>,
    _dir: RunDir,
}

impl LocalCluster {
    async fn start(local: &Local, scenario: &Scenario, sink: Sink, logs: PathBuf) -> Result<Self, ClusterError> {
        let ComponentSet { kube_apiserver, kube_controller_manager, etcd, .. } = &local.components;
        for executable in [kube_apiserver, kube_controller_manager, &local.kubelet, etcd] {
            executable.check_unchanged().map_err(std::io::Error::other)?;
        }
        let dir = RunDir::create()?;
        let ports = Ports::lease(local.components.kubernetes)?;
        let signer_valid = scenario.cluster.signer_ca_valid_for.and_then(|valid| valid.try_into().ok()).unwrap_or(YEAR);
        let trust = Trust::create(dir.path().join("pki"), Some(signer_valid), sink.vault().clone())?;
        trust.write_api_server()?;
        trust.write_further_signers()?;
        trust.write_kubelet_clients()?;
        let own = OwnTokens::new(sink.vault());
        let manager_token = own.controller_manager.clone();
        let rules = Rules::new(local.components.kubernetes, local.kubelet_version);
        let mut orders = Orders::of(scenario, rules, &sink);
        let static_tokens = format!("{}{}", own.lines(), tokens::static_file(orders.tokens.values()));
        write_private(&trust.path("tokens.csv"), &static_tokens)?;
        orders.own = Some(own);
        let base = Arc::new(Base::new(format!("https://{}", ports.api_server()), trust, orders, sink).await?);
        let kubelets = Kubelets {
            executable: &local.kubelet.path,
            version: local.kubelet_version,
            defect: local.defect.as_ref(),
            run: dir.path(),
            logs: &logs,
            api_server: ports.api_server(),
        };
        let nodes = kubelets.nodes(&scenario.nodes, &base).await?;
        let log = |component: Component| (component.name(), logs.join(format!("{}.log", component.name())));
        let sources = Sources {
            audit_log: logs.join("audit.log"),
            nodes: nodes.sources().clone(),
            logs: [Component::ApiServer, Component::ControllerManager].map(log).into(),
            api_server: ports.api_server(),
            controller_manager: ports.controller_manager(),
        };
        let socket = Layout::egress_socket(dir.path());
        let proxy = Proxy::open(&socket, nodes.inlets().to_vec(), &base.sink).map_err(ClusterError::file(&socket))?;
        let hosts = hosts(scenario, dir.path())?;
        base.sink.started(Recorder::Process);
        let control_plane =
            LocalControlPlane::start(local, ports, dir.path(), logs, hosts, &base, manager_token).await?;
        let recorders = Recorders::start(sources, scenario, &base)?;
        if let Some(defect) = &local.defect {
            defect.prepare(&base.admin).await?;
        }
        base.create_tokens().await?;
        Ok(Self { recorders: Mutex::new(Some(recorders)), nodes, control_plane, _proxy: proxy, base, _dir: dir })
    }
}

/// Writes a hosts file with the names of the nodes, if there are any. Their address is from a range for documentation
/// (RFC 5737), because an API server refuses to proxy to a loopback address; nothing connects to it, because the proxy tells
/// the kubelets apart by port.
fn hosts(scenario: &Scenario, dir: &Path) -> Result<Option<PathBuf>, ClusterError> {
    if scenario.nodes.is_empty() {
        return Ok(None);
    }
    let names = scenario.nodes.iter().map(|node| format!("192.0.2.2 {}\n", node.name));
    let path = dir.join("hosts");
    write_private(&path, &format!("127.0.0.1 localhost\n{}", names.collect::<String>()))?;
    Ok(Some(path))
}

#[async_trait]
impl Cluster for LocalCluster {
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
        self.recorders.lock().await.take();
    }
}
