//! A node of a local cluster: one kubelet in namespaces of its own, its CRI endpoint, its link, its recorders.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use tokio::sync::watch;

use super::Local;
use super::ports::Port;
use super::supervised::{Plan, Supervised};
use super::trust::{Trust, write_private};
use crate::cluster::{ClusterError, Credential, Ending, TokenValue};
use crate::history::What;
use crate::history::event::KubeletFacts;
use crate::node::cri::CriServer;
use crate::node::{
    DEFAULT_CERT_DIR, KubeletConfig, NodeDir, bootstrap_kubeconfig, embedding_kubeconfig,
};
use crate::observe::metrics::ClientIdentity;
use crate::observe::{self, Sink, Task};
use crate::pki::Validity;
use crate::process::Isolation;
use crate::scenario::stimulus::{Changes, CutKind};
use crate::scenario::{NO_TOKEN, Node};

pub(super) struct LocalNode {
    config: KubeletConfig,
    executable: PathBuf,
    token: String,
    log: PathBuf,
    cluster_ca: PathBuf,
    env: BTreeMap<String, String>,
    administrator: Credential,
    link: observe::link::Link,
    process: Option<Supervised>,
    recorders: Vec<Task>,
    pid: watch::Sender<u32>,
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
    ) -> Result<Self, ClusterError> {
        let cluster_ca = trust.path("cluster-ca.crt");
        let administrator = trust.client("tlsboot-admin", &["system:masters"])?;
        let dir = NodeDir::new(run.join(&node.name));
        fs::create_dir(dir.path()).map_err(ClusterError::file(dir.path()))?;
        let port = Port::lease()?;
        let cri = CriServer::serve(dir.cri()).map_err(ClusterError::file(dir.cri()))?;
        let config = KubeletConfig {
            version: local.kubelet_version,
            node: node.name.clone(),
            dir,
            port: port.number,
            rotate_certificates: node.rotate_certificates,
            server_tls_bootstrap: node.server_tls_bootstrap,
            client_ca: trust.path("client-ca.crt"),
            bootstrap: node.bootstrap != NO_TOKEN,
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
        Ok(Self {
            config,
            executable: local.kubelet.path.clone(),
            token: node.bootstrap.clone(),
            log: logs.join(format!("kubelet-{}.log", node.name)),
            cluster_ca,
            env: node.env.clone(),
            administrator,
            link,
            process: None,
            recorders: Vec::new(),
            pid: watch::Sender::new(0),
            _cri: cri,
            _port: port,
        })
    }

    pub(super) fn dir(&self) -> &NodeDir {
        &self.config.dir
    }

    pub(super) async fn start(
        &mut self,
        changes: &Changes,
        tokens: &BTreeMap<String, TokenValue>,
        sink: &Sink,
    ) -> Result<String, ClusterError> {
        if self.process.as_ref().is_some_and(Supervised::is_running) {
            return Err(ClusterError::Unknown(format!(
                "stopped kubelet on {}: it runs already",
                self.config.node
            )));
        }
        self.apply(changes);
        self.write_files(tokens)?;
        sink.emit(What::Kubelet(self.facts()));
        self.start_recorders(sink)?;
        let plan = Plan {
            component: "kubelet",
            node: Some(&self.config.node),
            executable: &self.executable,
            args: self.config.flags(),
            log: self.log.clone(),
            isolation: Isolation::Sandbox,
            env: &self.env,
        };
        let process = Supervised::start(plan, sink).await?;
        let pid = process.pid();
        self.pid.send_replace(pid);
        self.process = Some(process);
        Ok(format!("the kubelet runs as pid {pid}"))
    }

    fn apply(&mut self, changes: &Changes) {
        let config = &mut self.config;
        config.rotate_certificates = changes
            .rotate_certificates
            .unwrap_or(config.rotate_certificates);
        config.server_tls_bootstrap = changes
            .server_tls_bootstrap
            .unwrap_or(config.server_tls_bootstrap);
        if let Some(token) = &changes.bootstrap {
            self.token.clone_from(token);
        }
    }

    fn write_files(&self, tokens: &BTreeMap<String, TokenValue>) -> Result<(), ClusterError> {
        let dir = &self.config.dir;
        write_private(&dir.config(), &self.config.file().to_string())?;
        match tokens.get(&self.token) {
            Some(token) => {
                let server = format!("https://{}", self.link.address());
                let kubeconfig = bootstrap_kubeconfig(&server, &self.cluster_ca, &token.value);
                write_private(&dir.bootstrap_kubeconfig(), kubeconfig.expose())
            }
            None => match fs::remove_file(dir.bootstrap_kubeconfig()) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(ClusterError::file(dir.bootstrap_kubeconfig())(error))
                }
                _ => Ok(()),
            },
        }
    }

    fn facts(&self) -> KubeletFacts {
        KubeletFacts {
            node: self.config.node.clone(),
            version: self.config.version,
            cert_dir: if self.config.default_cert_dir {
                DEFAULT_CERT_DIR.into()
            } else {
                self.config.dir.cert_dir().display().to_string()
            },
            kubeconfig: self.config.dir.kubeconfig().display().to_string(),
            rotate_certificates: self.config.rotate_certificates,
            server_tls_bootstrap: self.config.server_tls_bootstrap,
        }
    }

    /// Once, before the first start; they go on over restarts.
    fn start_recorders(&mut self, sink: &Sink) -> Result<(), ClusterError> {
        if !self.recorders.is_empty() {
            return Ok(());
        }
        let (node, dir) = (&self.config.node, &self.config.dir);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.config.port));
        let Credential { certificate, key } = self.administrator.clone();
        let identity = ClientIdentity {
            certificate_pem: certificate,
            key_pem: key,
        };
        self.recorders = vec![
            observe::files::watch(node.clone(), dir.cert_dir(), dir.kubeconfig(), sink.clone())?,
            observe::log::tail(
                self.log.clone(),
                "kubelet".into(),
                Some(node.clone()),
                sink.clone(),
            ),
            observe::presented::probe(node.clone(), address, sink.clone(), self.pid.subscribe())?,
            observe::metrics::scrape(
                "kubelet".into(),
                Some(node.clone()),
                address,
                Some(&identity),
                sink.clone(),
            )?,
        ];
        Ok(())
    }

    pub(super) async fn end(&mut self, ending: Ending) -> Result<String, ClusterError> {
        let process = self.process.take().ok_or_else(|| {
            ClusterError::Unknown(format!("running kubelet on {}", self.config.node))
        })?;
        let (pid, exit) = (process.pid(), process.end(ending).await);
        self.pid.send_replace(0);
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
