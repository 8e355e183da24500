//! A node of a local cluster: one kubelet in namespaces of its own, its CRI endpoint, its link, its recorders.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Mutex;

use super::defect::{self, Defect, Launch, Part};
use super::inotify::{self, Instances};
use super::ports::Port;
use super::supervised::{Plan, Supervised};
use crate::cluster::shared::base::Base;
use crate::cluster::shared::file::write_private;
use crate::cluster::shared::kubelet::Kubelet;
use crate::cluster::shared::trust::Trust;
use crate::cluster::{ClusterError, Credential, Ending, TokenValue};
use crate::node::cri::CriServer;
use crate::node::link::Link;
use crate::node::{KubeletConfig, NodeDir, embedding_kubeconfig};
use crate::observe::Sink;
use crate::pki::Validity;
use crate::process::Isolation;
use crate::task::Task;
use tlsboot_core::history::event::KUBELET;
use tlsboot_core::scenario::stimulus::{Changes, CutKind};
use tlsboot_core::scenario::{NO_TOKEN, Node, Scenario};
use tlsboot_core::time::Shift;
use tlsboot_core::version::Version;

/// How kubelets are run.
pub(crate) struct Kubelets<'a> {
    pub(crate) executable: &'a Path,
    pub(crate) version: Version,
    pub(crate) defect: Option<&'a Arc<dyn Defect>>,
}

/// All nodes of a cluster, by name. Any control plane will do that listens on this machine's loopback.
pub(crate) struct LocalNodes {
    nodes: BTreeMap<String, Mutex<LocalNode>>,
    sources: BTreeMap<IpAddr, String>,
}

/// Where the audit log's source addresses of nodes begin: 127.0.1.1 is the first node's.
const SOURCES: [u8; 3] = [127, 0, 1];

impl LocalNodes {
    /// Makes the nodes of a scenario below `run`; their links lead to `upstream`, the API server.
    pub(crate) async fn create(
        kubelets: &Kubelets<'_>,
        scenario: &Scenario,
        run: &Path,
        logs: &Path,
        upstream: SocketAddr,
        base: &Base,
    ) -> Result<Self, ClusterError> {
        room_for(scenario.nodes.len())?;
        let trust = base.trust().await;
        let (mut nodes, mut sources) = (BTreeMap::new(), BTreeMap::new());
        for (index, node) in scenario.nodes.iter().enumerate() {
            let [a, b, c] = SOURCES;
            let source = IpAddr::from([a, b, c, u8::try_from(index + 1).unwrap_or(u8::MAX)]);
            sources.insert(source, node.name.clone());
            let link = Link::open(node.name.clone(), Ipv4Addr::LOCALHOST.into(), upstream, source, base.sink.clone())?;
            // Not by the node's name, which would count for the length of its sockets' paths, and may be `pki`.
            let folder = run.join(format!("n{}", index + 1));
            let local_node = LocalNode::create(kubelets, node, folder, logs, link, &trust, &base.administrator)?;
            nodes.insert(node.name.clone(), Mutex::new(local_node));
        }
        Ok(Self { nodes, sources })
    }

    /// Which source addresses in the audit log are whose.
    pub(crate) fn sources(&self) -> &BTreeMap<IpAddr, String> {
        &self.sources
    }

    pub(crate) async fn start(&self, node: &str, changes: &Changes, base: &Base) -> Result<String, ClusterError> {
        let mut node = self.node(node)?.lock().await;
        node.start(changes, &base.tokens, &base.admin, &base.sink).await
    }

    pub(crate) async fn end(&self, node: &str, ending: Ending) -> Result<String, ClusterError> {
        self.node(node)?.lock().await.end(ending).await
    }

    pub(crate) async fn dir(&self, node: &str) -> Result<NodeDir, ClusterError> {
        Ok(self.node(node)?.lock().await.dir().clone())
    }

    pub(crate) async fn cut(&self, node: &str, how: CutKind) -> Result<String, ClusterError> {
        self.node(node)?.lock().await.cut(how).await
    }

    pub(crate) async fn mend(&self, node: &str) -> Result<String, ClusterError> {
        self.node(node)?.lock().await.mend().await
    }

    /// Ends all that run.
    pub(crate) async fn kill(&self) {
        for node in self.nodes.values() {
            let _ = node.lock().await.end(Ending::Kill).await;
        }
    }

    fn node(&self, name: &str) -> Result<&Mutex<LocalNode>, ClusterError> {
        self.nodes.get(name).ok_or_else(|| ClusterError::Unknown(format!("node `{name}`")))
    }
}

/// Before anything is started: a kubelet that the machine has no room for would seem to fail by itself.
fn room_for(nodes: usize) -> Result<(), ClusterError> {
    match Instances::now() {
        Some(instances) if instances.nodes() < nodes => Err(ClusterError::Start {
            name: KUBELET.into(),
            reason: format!(
                "it needs {} inotify instances, and of the {} that a user may have {} are in use: {}, or fewer --jobs",
                inotify::PER_NODE,
                instances.limit,
                instances.used,
                instances.remedy(nodes)
            ),
        }),
        _ => Ok(()),
    }
}

struct LocalNode {
    kubelet: Kubelet,
    executable: PathBuf,
    pki: PathBuf,
    defect: Option<Arc<dyn Defect>>,
    beside: Vec<Task>,
    env: BTreeMap<String, String>,
    link: Link,
    process: Option<Supervised>,
    _cri: CriServer,
    _port: Port,
}

impl LocalNode {
    fn create(
        kubelets: &Kubelets<'_>,
        node: &Node,
        folder: PathBuf,
        logs: &Path,
        link: Link,
        trust: &Trust,
        administrator: &Credential,
    ) -> Result<Self, ClusterError> {
        let cluster_ca = trust.path("cluster-ca.crt");
        let dir = NodeDir::new(folder);
        fs::create_dir(dir.path()).map_err(ClusterError::file(dir.path()))?;
        let port = Port::lease()?;
        let cri = CriServer::serve(dir.cri()).map_err(ClusterError::file(dir.cri()))?;
        let config = KubeletConfig {
            version: kubelets.version,
            node: node.name.clone(),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port.number)),
            runtime: format!("unix://{}", dir.cri().display()),
            dir,
            rotate_certificates: node.rotate_certificates,
            server_tls_bootstrap: node.server_tls_bootstrap,
            client_ca: trust.path("client-ca.crt"),
            bootstrap: node.bootstrap != NO_TOKEN,
            is_root: false,
            default_cert_dir: node.default_cert_dir,
            tls_cert_file: node.tls_cert_file,
            external_cloud_provider: node.external_cloud_provider,
            default_fail_cgroup_v1: node.default_fail_cgroup_v1,
        };
        if let Some(embedded) = node.embedded_certificate {
            let now = jiff::Timestamp::now();
            let validity =
                Validity { not_before: now.later(embedded.not_before), not_after: now.later(embedded.not_after) };
            let Credential { certificate, key } = trust.node_client(&node.name, validity)?;
            let server = format!("https://{}", link.address());
            let kubeconfig = embedding_kubeconfig(&server, &cluster_ca, &certificate, &key);
            write_private(&config.dir.kubeconfig(), kubeconfig.expose())?;
        }
        if node.tls_cert_file {
            let cert_dir = config.dir.cert_dir();
            fs::create_dir(&cert_dir).map_err(ClusterError::file(&cert_dir))?;
            let Credential { certificate, key } = trust.serving_pair(&node.name)?;
            write_private(&config.dir.named("tls.key"), key.expose())?;
            write_private(&config.dir.named("tls.crt"), &certificate)?;
        }
        let log = logs.join(format!("kubelet-{}.log", node.name));
        let pki = trust.dir().to_owned();
        Ok(Self {
            kubelet: Kubelet::new(config, node, log, cluster_ca, administrator),
            executable: kubelets.executable.to_owned(),
            pki,
            defect: kubelets.defect.cloned(),
            beside: Vec::new(),
            env: node.env.clone(),
            link,
            process: None,
            _cri: cri,
            _port: port,
        })
    }

    fn dir(&self) -> &NodeDir {
        self.kubelet.dir()
    }

    async fn start(
        &mut self,
        changes: &Changes,
        tokens: &BTreeMap<String, TokenValue>,
        admin: &kube::Client,
        sink: &Sink,
    ) -> Result<String, ClusterError> {
        if self.process.as_ref().is_some_and(Supervised::is_running) {
            return Err(ClusterError::Unknown(format!("stopped kubelet on {}: it runs already", self.kubelet.name())));
        }
        let server = format!("https://{}", self.link.address());
        let address = self.kubelet.config.address;
        self.kubelet.prepare(changes, tokens, &server, address, sink)?;
        let launch = Launch {
            part: Part::Kubelet { config: &self.kubelet.config, pid: self.kubelet.pid.subscribe() },
            executable: self.executable.clone(),
            before: Vec::new(),
            flags: self.kubelet.config.flags(),
            env: self.env.clone(),
            pki: &self.pki,
            log: self.kubelet.log(),
            tokens,
            admin,
            beside: Vec::new(),
        };
        let launch = launch.with(self.defect.as_deref())?;
        let args = launch.args();
        let Launch { executable, env, beside, .. } = launch;
        self.beside = defect::begin(beside);
        let plan = Plan {
            component: KUBELET,
            node: Some(self.kubelet.name()),
            executable: &executable,
            args,
            log: self.kubelet.log().clone(),
            isolation: match self.kubelet.config.knows_user_namespaces() {
                true => Isolation::Sandbox,
                false => Isolation::OldSandbox,
            },
            env: &env,
        };
        let process = Supervised::start(plan, sink).await?;
        let pid = process.pid();
        self.kubelet.pid.send_replace(pid);
        self.process = Some(process);
        Ok(format!("the kubelet runs as pid {pid}"))
    }

    async fn end(&mut self, ending: Ending) -> Result<String, ClusterError> {
        let process = self
            .process
            .take()
            .ok_or_else(|| ClusterError::Unknown(format!("running kubelet on {}", self.kubelet.name())))?;
        let (pid, exit) = (process.pid(), process.end(ending).await);
        self.beside.clear();
        self.kubelet.pid.send_replace(0);
        Ok(format!("the kubelet, pid {pid}, is gone ({exit:?})"))
    }

    async fn cut(&self, how: CutKind) -> Result<String, ClusterError> {
        self.link.cut(how).await?;
        Ok(format!("{} connections are open through the link", self.link.open_connections()))
    }

    async fn mend(&self) -> Result<String, ClusterError> {
        self.link.mend().await?;
        Ok("the link lets connections through".into())
    }
}
