//! The control plane's processes.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::{BoxFuture, select_all};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::executables::Local;
use super::flags::{self, Layout};
use crate::cluster::error::end_of;
use crate::cluster::processes::{Defect, Launch, Part, Plan, Port, Supervised, begin};
use crate::cluster::shared::base::Base;
use crate::cluster::shared::client::{Credentials, answers, blind};
use crate::cluster::shared::tokens::CONTROLLER_MANAGER;
use crate::cluster::shared::trust::Trust;
use crate::cluster::shared::watches::Watches;
use crate::cluster::{ClusterError, ControlPlane, Ending, Proof};
use crate::components::ComponentSet;
use crate::poll;
use crate::process::{Exit, Isolation};
use crate::secret::Secret;
use crate::task::Task;
use tlsboot_core::scenario::stimulus::{Changes, Component};
use tlsboot_core::version::Version;

/// A control plane takes 3 to 5 s on two cores; under a heavy load several times that.
const READY: Duration = Duration::from_secs(120);

/// Where the components listen, all on the loopback interface.
pub(super) struct Ports {
    api_server: Port,
    controller_manager: Port,
    /// Of etcd, for the versions that need one.
    etcd: Option<Port>,
}

impl Ports {
    pub(super) fn lease(version: Version) -> io::Result<Self> {
        Ok(Self {
            api_server: Port::lease()?,
            controller_manager: Port::lease()?,
            etcd: flags::wants_etcd_on_a_port(version).then(Port::lease).transpose()?,
        })
    }

    pub(super) fn api_server(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.api_server.number).into()
    }

    pub(super) fn controller_manager(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.controller_manager.number).into()
    }
}

pub(super) struct LocalControlPlane {
    // Processes are dropped before their ports.
    running: Mutex<Running>,
    ports: Ports,
    components: ComponentSet,
    defect: Option<Arc<dyn Defect>>,
    /// The run's folder.
    dir: PathBuf,
    logs: PathBuf,
    /// Lets the API server resolve the names of nodes: it looks them up before it asks the proxy for them.
    hosts: Option<PathBuf>,
    base: Arc<Base>,
}

/// Dropped in this order: etcd last.
#[derive(Default)]
struct Running {
    components: BTreeMap<Component, Launched>,
    etcd: Option<Supervised>,
}

struct Launched {
    process: Supervised,
    /// What it watches once its controllers work; taken by the code that waits for that.
    watches: Option<Watches>,
    _beside: Vec<Task>,
}

impl LocalControlPlane {
    /// Starts all components side by side: each waits on its own for what it needs. Returns when all are ready.
    pub(super) async fn start(
        local: &Local,
        ports: Ports,
        dir: &Path,
        logs: PathBuf,
        hosts: Option<PathBuf>,
        base: &Arc<Base>,
        manager_token: Secret<String>,
    ) -> Result<Self, ClusterError> {
        let this = Self {
            running: Mutex::default(),
            ports,
            components: local.components.clone(),
            defect: local.defect.clone(),
            dir: dir.to_owned(),
            logs,
            hosts,
            base: Arc::clone(base),
        };
        if let Err(error) = this.start_all(manager_token).await {
            // In order: what is stopped now did not exit on its own.
            this.close().await;
            return Err(error);
        }
        Ok(this)
    }

    async fn start_all(&self, manager_token: Secret<String>) -> Result<(), ClusterError> {
        self.start_etcd(manager_token).await?;
        self.launch(Component::ApiServer).await?;
        self.launch(Component::ControllerManager).await?;
        self.ready(Component::ApiServer).await?;
        match self.ready(Component::ControllerManager).await {
            // Under a heavy load the API server may take longer than a controller-manager waits for it.
            Err(ClusterError::Start { name, .. }) if name == Component::ControllerManager.name() => {
                self.launch(Component::ControllerManager).await?;
                self.ready(Component::ControllerManager).await
            }
            ready => ready,
        }
    }

    async fn start_etcd(&self, manager_token: Secret<String>) -> Result<(), ClusterError> {
        let args = {
            let trust = self.base.trust().await;
            let layout = self.layout(&trust);
            let settings = self.base.settings().await;
            let controller_manager = trust.client(CONTROLLER_MANAGER, &[])?;
            let controller_manager = Credentials::CertificateAndToken(controller_manager, manager_token);
            flags::write_files(&layout, &settings, self.base.endpoint(), &controller_manager)?;
            flags::etcd(&layout).args()
        };
        let plan = Plan {
            component: ETCD,
            node: None,
            executable: &self.components.etcd.path,
            args,
            log: self.logs.join("etcd.log"),
            isolation: Isolation::Plain,
            env: const { &BTreeMap::new() },
        };
        self.running.lock().await.etcd = Some(Supervised::start(plan, &self.base.sink).await?);
        Ok(())
    }

    fn layout<'a>(&'a self, trust: &'a Trust) -> Layout<'a> {
        Layout {
            dir: &self.dir,
            pki: trust.dir(),
            logs: &self.logs,
            apiserver_port: self.ports.api_server.number,
            controller_manager_port: self.ports.controller_manager.number,
            etcd_port: self.ports.etcd.as_ref().map(|port| port.number),
            version: self.components.kubernetes,
            egress_selector: self.base.rules().egress_selector(),
        }
    }

    fn audit_log(&self) -> PathBuf {
        self.logs.join("audit.log")
    }

    fn log(&self, component: Component) -> PathBuf {
        self.logs.join(format!("{}.log", component.name()))
    }

    /// Starts a component with the current settings, and returns its process id.
    async fn launch(&self, component: Component) -> Result<u32, ClusterError> {
        let settings = self.base.settings().await.clone();
        let trust = self.base.trust().await;
        let layout = self.layout(&trust);
        let (executable, flags, part) = match component {
            Component::ApiServer => {
                (&self.components.kube_apiserver, flags::apiserver(&layout, &settings), Part::ApiServer)
            }
            Component::ControllerManager => (
                &self.components.kube_controller_manager,
                flags::controller_manager(&layout, &settings),
                Part::ControllerManager,
            ),
        };
        let log = self.log(component);
        let launch = Launch {
            part,
            executable: executable.path.clone(),
            before: Vec::new(),
            flags,
            env: BTreeMap::new(),
            pki: trust.dir(),
            log: &log,
            tokens: &self.base.tokens,
            admin: &self.base.admin,
            beside: Vec::new(),
        };
        let launch = launch.with(self.defect.as_deref())?;
        let args = launch.args();
        let Launch { executable, flags, env, beside, .. } = launch;
        drop(trust);
        let watches = match component {
            Component::ApiServer => None,
            Component::ControllerManager => {
                Some(Watches::of(flags.get("controllers").unwrap_or("*"), self.audit_log())?)
            }
        };
        let plan = Plan {
            component: component.name(),
            node: None,
            executable: &executable,
            args,
            log,
            isolation: match (component, &self.hosts) {
                (Component::ApiServer, Some(hosts)) => Isolation::Hosts(hosts.clone()),
                _ => Isolation::Plain,
            },
            env: &env,
        };
        let process = Supervised::start(plan, &self.base.sink).await?;
        let pid = process.pid();
        let launched = Launched { process, watches, _beside: begin(beside) };
        self.running.lock().await.components.insert(component, launched);
        Ok(pid)
    }

    /// Waits until a component that was launched is ready.
    async fn ready(&self, component: Component) -> Result<(), ClusterError> {
        let probe = match component {
            Component::ApiServer => self.base.admin(),
            // Its certificate is self-signed; nothing but the path is sent to it.
            Component::ControllerManager => {
                let scheme = if self.base.rules().manager_has_tls() { "https" } else { "http" };
                blind(&format!("{scheme}://{}", self.ports.controller_manager()))?
            }
        };
        let path = match component {
            // New in 1.16.
            Component::ApiServer if self.components.kubernetes.minor >= 16 => "/readyz",
            _ => "/healthz",
        };
        let (ended, watches) = {
            let mut running = self.running.lock().await;
            // What a component depends on comes first: when that exits, the component exits too.
            let etcd = running.etcd.as_ref().map(|etcd| (ETCD, self.logs.join("etcd.log"), etcd.exited().boxed()));
            // kube-apiserver is the first of them.
            let needed = running.components.range(..=component);
            let components =
                needed.map(|(one, launched)| (one.name(), self.log(*one), launched.process.exited().boxed()));
            let watched: Vec<_> = etcd.into_iter().chain(components).collect();
            let is_reachable = running.components.contains_key(&Component::ApiServer);
            let launched = running.components.get_mut(&component);
            let launched = launched.ok_or_else(|| ClusterError::NotRunning(component.name().into()))?;
            (first_end(watched), launched.watches.take().filter(|_| is_reachable))
        };
        let look = || async {
            match answers(&probe, path).await? {
                // An API server knows from the start which CAs it trusts.
                Err(kube::Error::Api(status)) if status.code == 401 => Err(ClusterError::LockedOut(component.name())),
                answer => Ok(answer),
            }
        };
        let working = async {
            let answered = poll::until(Instant::now() + READY, poll::OFTEN, look).await?;
            answered.map_err(ClusterError::late(format!("{path} of {}", component.name()), READY))?;
            match watches {
                Some(watches) => watches.seen(READY).await,
                None => Ok(()),
            }
        };
        tokio::select! {
            biased;
            error = ended => Err(error),
            worked = working => worked,
        }
    }

    /// Applies changed settings: they hold from the next start on.
    async fn change(&self, component: Component, changes: &Changes) -> Result<(), ClusterError> {
        if self.running.lock().await.components.contains_key(&component) {
            return Err(ClusterError::Running(component.name().into()));
        }
        self.base.change(component, changes).await.map(drop)
    }

    async fn take(&self, component: Component) -> Result<Supervised, ClusterError> {
        let launched = self.running.lock().await.components.remove(&component);
        let launched = launched.ok_or_else(|| ClusterError::NotRunning(component.name().into()))?;
        Ok(launched.process)
    }

    /// Stops all components. An API server takes seconds to shut down, and no one needs it any more, so it is killed.
    pub(super) async fn close(&self) {
        for component in [Component::ControllerManager, Component::ApiServer] {
            let _ = self.end(component, Ending::Kill).await;
        }
        if let Some(etcd) = self.running.lock().await.etcd.take() {
            etcd.end(Ending::Kill).await;
        }
    }
}

const ETCD: &str = "etcd";

/// Waits until one of these exits; returns the name of its process and the last lines of its log. If several have exited, it
/// is the first in this order.
async fn first_end(watched: Vec<(&'static str, PathBuf, BoxFuture<'static, Exit>)>) -> ClusterError {
    let ends =
        watched.into_iter().map(|(name, log, exited)| exited.map(move |_| ClusterError::ended(name, &log)).boxed());
    match ends.collect::<Vec<_>>() {
        ends if ends.is_empty() => std::future::pending().await,
        ends => select_all(ends).await.0,
    }
}

#[async_trait]
impl ControlPlane for LocalControlPlane {
    async fn start(&self, component: Component, changes: &Changes) -> Result<Proof, ClusterError> {
        self.change(component, changes).await?;
        let pid = self.launch(component).await?;
        self.ready(component).await?;
        Ok(Proof::Ready { component, pid })
    }

    async fn fail(&self, component: Component, changes: &Changes) -> Result<Proof, ClusterError> {
        self.change(component, changes).await?;
        let pid = self.launch(component).await?;
        let gone = timeout(READY, self.take(component).await?.gone()).await;
        let exit = gone.map_err(|_| {
            ClusterError::late(format!("the exit of {}", component.name()), READY)("it is still running")
        })?;
        Ok(Proof::Failed { component, pid, exit, log: end_of(&self.log(component)) })
    }

    async fn end(&self, component: Component, ending: Ending) -> Result<Proof, ClusterError> {
        let process = self.take(component).await?;
        let (pid, exit) = (process.pid(), process.end(ending).await);
        Ok(Proof::Ended { what: component.name(), pid, exit: Some(exit) })
    }
}
