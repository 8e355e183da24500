//! The provider: what is started, in which order, and what is done to the control plane.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::control_plane::{self, Layout};
use crate::cluster::processes::{
    Defect, Kubelets, Launch, LocalNodes, Part, Plan, Port, Supervised, begin, has_cgroup_v1,
};
use crate::cluster::shared::base::{Base, Orders};
use crate::cluster::shared::client::{blind, until_ok};
use crate::cluster::shared::dir::RunDir;
use crate::cluster::shared::file::write_private;
use crate::cluster::shared::recorders::{Recorders, Sources};
use crate::cluster::shared::tokens;
use crate::cluster::shared::trust::Trust;
use crate::cluster::{Cluster, ClusterError, Credential, Ending, Provider, end_of};
use crate::components::{ComponentSet, Executable};
use crate::observe::Sink;
use crate::pki::YEAR;
use crate::process::Isolation;
use crate::task::Task;
use tlsboot_core::check::rules::Rules;
use tlsboot_core::history::event::Recorder;
use tlsboot_core::scenario::Capability;
use tlsboot_core::scenario::Scenario;
use tlsboot_core::scenario::stimulus::{Changes, Component, CutKind};
use tlsboot_core::scenario::{Scenario, requirements_of};
use tlsboot_core::version::Version;

/// Starts clusters as plain processes.
#[derive(Clone, Debug)]
pub struct Local {
    /// The control plane's executables.
    pub components: ComponentSet,
    /// The kubelets' executable.
    pub kubelet: Executable,
    /// The kubelets' version.
    pub kubelet_version: Version,
    /// What is wrong with the clusters, for `tlsboot mutants`.
    pub defect: Option<Arc<dyn Defect>>,
}

/// Its name.
pub(in crate::cluster) const NAME: &str = "local";
/// What its clusters can do: everything that this machine lets them.
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
        Capability::ReplaceCa,
    ];
    if has_cgroup_v1() { ALL } else { &ALL[1..] }
}

#[async_trait]
impl Provider for Local {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> &'static [Capability] {
        capabilities()
    }

    async fn start(&self, scenario: &Scenario, sink: Sink, logs: PathBuf) -> Result<Box<dyn Cluster>, ClusterError> {
        Ok(Box::new(LocalCluster::start(self, scenario, sink, logs).await?))
    }
}

struct LocalCluster {
    components: ComponentSet,
    defect: Option<Arc<dyn Defect>>,
    logs: PathBuf,
    base: Base,
    nodes: LocalNodes,
    running: Mutex<HashMap<Component, Supervised>>,
    beside: Mutex<HashMap<Component, Vec<Task>>>,
    // Fields are dropped in this order: recorders first, then processes, then ports, then the folder.
    recorders: Mutex<Option<Recorders>>,
    etcd: Mutex<Option<Supervised>>,
    apiserver_port: Port,
    controller_manager_port: Port,
    etcd_port: Option<Port>,
    dir: RunDir,
}

/// A control plane takes 3 to 5 s on two cores; under a heavy load several times that.
const READY: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);

impl LocalCluster {
    async fn start(local: &Local, scenario: &Scenario, sink: Sink, logs: PathBuf) -> Result<Self, ClusterError> {
        let rules = Rules::new(local.components.kubernetes, local.kubelet_version);
        let ComponentSet { kube_apiserver, kube_controller_manager, etcd, .. } = &local.components;
        for executable in [kube_apiserver, kube_controller_manager, &local.kubelet, etcd] {
            executable.check_unchanged().map_err(std::io::Error::other)?;
        }
        let dir = RunDir::create()?;
        let (apiserver_port, controller_manager_port) = (Port::lease()?, Port::lease()?);
        let etcd_port =
            control_plane::wants_etcd_on_a_port(local.components.kubernetes).then(Port::lease).transpose()?;
        let signer_valid = scenario.cluster.signer_ca_valid.and_then(|valid| valid.try_into().ok()).unwrap_or(YEAR);
        let pki = dir.path().join("pki");
        let trust = Trust::create(pki, Some(signer_valid), sink.vault().clone())?;
        trust.write_api_server()?;
        let controller_manager = trust.client("system:kube-controller-manager", &[])?;
        let orders = Orders::of(scenario, rules, &sink);
        write_private(&trust.path("tokens.csv"), &tokens::static_file(orders.tokens.values()))?;
        let url = format!("https://127.0.0.1:{}", apiserver_port.number);
        let base = Base::new(url, trust, orders, sink).await?;
        let kubelets =
            Kubelets { executable: &local.kubelet.path, version: local.kubelet_version, defect: local.defect.as_ref() };
        let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, apiserver_port.number));
        let nodes = LocalNodes::create(&kubelets, scenario, dir.path(), &logs, upstream, &base).await?;
        let cluster = Self {
            components: local.components.clone(),
            defect: local.defect.clone(),
            logs,
            base,
            nodes,
            running: Mutex::default(),
            beside: Mutex::default(),
            recorders: Mutex::default(),
            etcd: Mutex::default(),
            apiserver_port,
            controller_manager_port,
            etcd_port,
            dir,
        };
        cluster.base.sink.started(Recorder::Process);
        cluster.start_control_plane(&controller_manager).await?;
        *cluster.recorders.lock().await = Some(Recorders::start(cluster.sources(), scenario, &cluster.base)?);
        if let Some(defect) = &cluster.defect {
            defect.prepare(&cluster.base.admin).await?;
        }
        cluster.base.create_tokens().await?;
        Ok(cluster)
    }

    /// All parts side by side: each waits for what it needs by itself.
    async fn start_control_plane(&self, controller_manager: &Credential) -> Result<(), ClusterError> {
        let etcd = {
            let trust = self.base.trust().await;
            let layout = self.layout(&trust);
            let settings = self.base.settings().await;
            let endpoint = self.base.endpoint();
            control_plane::write_files(&layout, &settings, endpoint, controller_manager)?;
            control_plane::etcd(&layout).args()
        };
        let plan = self.plan("etcd", &self.components.etcd.path, etcd, const { &BTreeMap::new() });
        *self.etcd.lock().await = Some(Supervised::start(plan, &self.base.sink).await?);
        self.launch(Component::ApiServer).await?;
        self.launch(Component::ControllerManager).await?;
        self.ready(Component::ApiServer).await?;
        match self.ready(Component::ControllerManager).await {
            // Under a heavy load the API server may take longer than a controller-manager waits for it.
            Err(ClusterError::Start { .. }) => {
                self.launch(Component::ControllerManager).await?;
                self.ready(Component::ControllerManager).await
            }
            ready => ready,
        }
    }

    async fn runs(&self, component: Component) -> bool {
        let running = self.running.lock().await;
        running.get(&component).is_some_and(Supervised::is_running)
    }

    /// Where it can be observed.
    fn sources(&self) -> Sources {
        let log = |component: Component| (component.name(), self.logs.join(format!("{}.log", component.name())));
        Sources {
            audit_log: self.logs.join("audit.log"),
            nodes: self.nodes.sources().clone(),
            logs: [Component::ApiServer, Component::ControllerManager].map(log).into(),
            api_server: (Ipv4Addr::LOCALHOST, self.apiserver_port.number).into(),
            controller_manager: (Ipv4Addr::LOCALHOST, self.controller_manager_port.number).into(),
        }
    }

    fn layout<'a>(&'a self, trust: &'a Trust) -> Layout<'a> {
        Layout {
            dir: self.dir.path(),
            pki: trust.dir(),
            logs: &self.logs,
            apiserver_port: self.apiserver_port.number,
            controller_manager_port: self.controller_manager_port.number,
            etcd_port: self.etcd_port.as_ref().map(|port| port.number),
            version: self.components.kubernetes,
        }
    }

    fn plan<'a>(
        &self,
        component: &'a str,
        executable: &'a Path,
        args: Vec<std::ffi::OsString>,
        env: &'a BTreeMap<String, String>,
    ) -> Plan<'a> {
        let log = self.logs.join(format!("{component}.log"));
        Plan { component, node: None, executable, args, log, isolation: Isolation::Plain, env }
    }

    async fn launch(&self, component: Component) -> Result<u32, ClusterError> {
        let settings = self.base.settings().await.clone();
        let trust = self.base.trust().await;
        let (executable, flags, part) = match component {
            Component::ApiServer => (
                &self.components.kube_apiserver,
                control_plane::apiserver(&self.layout(&trust), &settings),
                Part::ApiServer,
            ),
            Component::ControllerManager => (
                &self.components.kube_controller_manager,
                control_plane::controller_manager(&self.layout(&trust), &settings),
                Part::ControllerManager,
            ),
        };
        let launch = Launch {
            part,
            executable: executable.path.clone(),
            before: Vec::new(),
            flags,
            env: BTreeMap::new(),
            pki: trust.dir(),
            log: &self.logs.join(format!("{}.log", component.name())),
            tokens: &self.base.tokens,
            admin: &self.base.admin,
            beside: Vec::new(),
        };
        let launch = launch.with(self.defect.as_deref())?;
        let args = launch.args();
        let Launch { executable, env, beside, .. } = launch;
        drop(trust);
        let process = Supervised::start(self.plan(component.name(), &executable, args, &env), &self.base.sink).await?;
        let beside = begin(beside);
        self.beside.lock().await.insert(component, beside);
        let pid = process.pid();
        self.running.lock().await.insert(component, process);
        Ok(pid)
    }

    async fn ready(&self, component: Component) -> Result<(), ClusterError> {
        let manager = format!("https://127.0.0.1:{}", self.controller_manager_port.number);
        let probe = match component {
            Component::ApiServer => self.base.admin.clone(),
            // Its certificate is its own; nothing is said to it but the path.
            Component::ControllerManager => blind(&manager)?,
        };
        let path = match component {
            // Which came with 1.16.
            Component::ApiServer if self.components.kubernetes.minor >= 16 => "/readyz",
            _ => "/healthz",
        };
        let ended = async {
            while self.runs(component).await {
                tokio::time::sleep(POLL).await;
            }
            let log = self.logs.join(format!("{}.log", component.name()));
            ClusterError::Start { name: component.name().into(), reason: end_of(&log) }
        };
        until_ok(&probe, path, component.name(), READY, ended).await
    }

    /// What is different from now on.
    async fn change(&self, component: Component, changes: &Changes) -> Result<(), ClusterError> {
        if self.running.lock().await.contains_key(&component) {
            return Err(ClusterError::Unknown(format!("stopped {}: it runs already", component.name())));
        }
        self.base.change(component, changes).await.map(drop)
    }
}

#[async_trait]
impl Cluster for LocalCluster {
    fn base(&self) -> &Base {
        &self.base
    }

    async fn start_node(&self, node: &str, changes: &Changes) -> Result<String, ClusterError> {
        self.nodes.start(node, changes, &self.base).await
    }

    async fn end_node(&self, node: &str, ending: Ending) -> Result<String, ClusterError> {
        self.nodes.end(node, ending).await
    }

    async fn start_component(&self, component: Component, changes: &Changes) -> Result<String, ClusterError> {
        self.change(component, changes).await?;
        let pid = self.launch(component).await?;
        self.ready(component).await?;
        Ok(format!("{} runs as pid {pid} and is ready", component.name()))
    }

    async fn fail_component(&self, component: Component, changes: &Changes) -> Result<String, ClusterError> {
        self.change(component, changes).await?;
        let pid = self.launch(component).await?;
        let deadline = Instant::now() + READY;
        while self.runs(component).await {
            if Instant::now() > deadline {
                return Err(ClusterError::Late {
                    what: format!("the end of {}", component.name()),
                    seconds: READY.as_secs(),
                    last: "it runs".into(),
                });
            }
            tokio::time::sleep(POLL).await;
        }
        self.running.lock().await.remove(&component);
        let log = self.logs.join(format!("{}.log", component.name()));
        Ok(format!("{}, pid {pid}, has exited by itself; {}", component.name(), end_of(&log)))
    }

    async fn end_component(&self, component: Component, ending: Ending) -> Result<String, ClusterError> {
        let process = self.running.lock().await.remove(&component);
        self.beside.lock().await.remove(&component);
        let process = process.ok_or_else(|| ClusterError::Unknown(format!("running {}", component.name())))?;
        let (pid, exit) = (process.pid(), process.end(ending).await);
        Ok(format!("{}, pid {pid}, is gone ({exit:?})", component.name()))
    }

    async fn node_dir(&self, node: &str) -> Result<crate::node::NodeDir, ClusterError> {
        self.nodes.dir(node).await
    }

    async fn cut(&self, node: &str, how: CutKind) -> Result<String, ClusterError> {
        self.nodes.cut(node, how).await
    }

    async fn mend(&self, node: &str) -> Result<String, ClusterError> {
        self.nodes.mend(node).await
    }

    async fn stop(&self) {
        self.nodes.kill().await;
        for component in [Component::ControllerManager, Component::ApiServer] {
            // An API server takes seconds to say goodbye, and nobody listens any more.
            let _ = self.end_component(component, Ending::Kill).await;
        }
        if let Some(etcd) = self.etcd.lock().await.take() {
            etcd.end(Ending::Kill).await;
        }
        self.recorders.lock().await.take();
    }
}
