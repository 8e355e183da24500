//! A node of a local cluster: one kubelet in namespaces of its own, its CRI endpoint, its link, its recorders.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Local;
use super::defect::{self, Defect, Launch, Part};
use super::ports::Port;
use super::supervised::{Plan, Supervised};
use crate::cluster::node::Kubelet;
use crate::cluster::trust::{Trust, write_private};
use crate::cluster::{ClusterError, Credential, Ending, TokenValue};
use crate::node::cri::CriServer;
use crate::node::{KubeletConfig, NodeDir, embedding_kubeconfig};
use crate::observe::{self, Sink, Task};
use crate::pki::Validity;
use crate::process::Isolation;
use crate::scenario::stimulus::{Changes, CutKind};
use crate::scenario::{NO_TOKEN, Node};

pub(super) struct LocalNode {
    kubelet: Kubelet,
    executable: PathBuf,
    pki: PathBuf,
    defect: Option<Arc<dyn Defect>>,
    beside: Vec<Task>,
    env: BTreeMap<String, String>,
    link: observe::link::Link,
    process: Option<Supervised>,
    _cri: CriServer,
    _port: Port,
}

impl LocalNode {
    pub(super) fn create(
        local: &Local,
        node: &Node,
        run: &Path,
        logs: &Path,
        link: observe::link::Link,
        trust: &Trust,
        administrator: &Credential,
    ) -> Result<Self, ClusterError> {
        let cluster_ca = trust.path("cluster-ca.crt");
        let dir = NodeDir::new(run.join(&node.name));
        fs::create_dir(dir.path()).map_err(ClusterError::file(dir.path()))?;
        let port = Port::lease()?;
        let cri = CriServer::serve(dir.cri()).map_err(ClusterError::file(dir.cri()))?;
        let config = KubeletConfig {
            version: local.kubelet_version,
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
            let validity = Validity {
                not_before: now + embedded.not_before,
                not_after: now + embedded.not_after,
            };
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
        let pki = cluster_ca.parent().unwrap_or(run).to_owned();
        Ok(Self {
            kubelet: Kubelet::new(config, node, log, cluster_ca, administrator),
            executable: local.kubelet.path.clone(),
            pki,
            defect: local.defect.clone(),
            beside: Vec::new(),
            env: node.env.clone(),
            link,
            process: None,
            _cri: cri,
            _port: port,
        })
    }

    pub(super) fn dir(&self) -> &NodeDir {
        self.kubelet.dir()
    }

    pub(super) async fn start(
        &mut self,
        changes: &Changes,
        tokens: &BTreeMap<String, TokenValue>,
        admin: &kube::Client,
        sink: &Sink,
    ) -> Result<String, ClusterError> {
        if self.process.as_ref().is_some_and(Supervised::is_running) {
            return Err(ClusterError::Unknown(format!(
                "stopped kubelet on {}: it runs already",
                self.kubelet.name()
            )));
        }
        let server = format!("https://{}", self.link.address());
        let address = self.kubelet.config.address;
        self.kubelet
            .prepare(changes, tokens, &server, address, sink)?;
        let launch = Launch {
            part: Part::Kubelet {
                config: &self.kubelet.config,
                pid: self.kubelet.pid.subscribe(),
            },
            executable: self.executable.clone(),
            args: self.kubelet.config.flags(),
            pki: &self.pki,
            log: self.kubelet.log(),
            tokens,
            admin,
            beside: Vec::new(),
        };
        let Launch {
            executable,
            args,
            beside,
            ..
        } = launch.with(self.defect.as_deref())?;
        self.beside = defect::begin(beside);
        let plan = Plan {
            component: "kubelet",
            node: Some(self.kubelet.name()),
            executable: &executable,
            args,
            log: self.kubelet.log().clone(),
            isolation: Isolation::Sandbox,
            env: &self.env,
        };
        let process = Supervised::start(plan, sink).await?;
        let pid = process.pid();
        self.kubelet.pid.send_replace(pid);
        self.process = Some(process);
        Ok(format!("the kubelet runs as pid {pid}"))
    }

    pub(super) async fn end(&mut self, ending: Ending) -> Result<String, ClusterError> {
        let process = self.process.take().ok_or_else(|| {
            ClusterError::Unknown(format!("running kubelet on {}", self.kubelet.name()))
        })?;
        let (pid, exit) = (process.pid(), process.end(ending).await);
        self.beside.clear();
        self.kubelet.pid.send_replace(0);
        Ok(format!("the kubelet, pid {pid}, is gone ({exit:?})"))
    }

    pub(super) async fn cut(&self, how: CutKind) -> Result<String, ClusterError> {
        self.link.cut(how).await?;
        Ok(format!(
            "{} connections are open through the link",
            self.link.open_connections()
        ))
    }

    pub(super) async fn mend(&self) -> Result<String, ClusterError> {
        self.link.mend().await?;
        Ok("the link lets connections through".into())
    }
}
