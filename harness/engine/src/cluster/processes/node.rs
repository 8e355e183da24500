//! Nodes whose kubelets are processes of this machine, each in its own namespaces, with a CRI endpoint that answers it.
//! Any control plane that listens on this machine's loopback will do.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use super::defect::{self, Defect, Launch, Part};
use super::inotify::{self, Instances};
use super::ports::Port;
use super::supervised::{Plan, Supervised};
use crate::cluster::shared::base::Base;
use crate::cluster::shared::file::write_private;
use crate::cluster::shared::kubelet::Kubelet;
use crate::cluster::shared::nodes::{Node, NodesIn, Place};
use crate::cluster::shared::trust::{Flaw, Trust};
use crate::cluster::{ClusterError, Credential, Ending, TokenValue};
use crate::node::cri::CriServer;
use crate::node::inlet::Inlet;
use crate::node::link::Link;
use crate::node::{KubeletConfig, NodeDir, embedding_kubeconfig};
use crate::pki::Validity;
use crate::process::{Exit, Isolation};
use crate::task::Task;
use tlsboot_core::history::event::KUBELET;
use tlsboot_core::scenario::{self, BootstrapBy, CertDir, CloudProvider, FailCgroupV1, NO_TOKEN, ServingPair};
use tlsboot_core::time::Shift;
use tlsboot_core::version::Version;
use tlsboot_core::x509::AltName;

/// How kubelets are run.
pub(crate) struct Kubelets<'a> {
    pub(crate) executable: &'a Path,
    pub(crate) version: Version,
    pub(crate) defect: Option<&'a Arc<dyn Defect>>,
    /// The run's folder.
    pub(crate) run: &'a Path,
    pub(crate) logs: &'a Path,
    /// The API server, to which the links of the nodes lead.
    pub(crate) api_server: SocketAddr,
}

/// The first source address of nodes in the audit log: 127.0.1.1 is the first node.
const SOURCES: [u8; 3] = [127, 0, 1];

impl Kubelets<'_> {
    /// Creates the nodes of a scenario.
    pub(crate) async fn nodes(
        &self,
        nodes: &[scenario::Node],
        base: &Arc<Base>,
    ) -> Result<NodesIn<Sandbox>, ClusterError> {
        room_for(nodes.len())?;
        let trust = base.trust().await;
        let mut made = NodesIn::new(Arc::clone(base));
        for (index, node) in nodes.iter().enumerate() {
            let [a, b, c] = SOURCES;
            let source = IpAddr::from([a, b, c, u8::try_from(index + 1).unwrap_or(u8::MAX)]);
            let (listen, sink) = (Ipv4Addr::LOCALHOST.into(), base.sink.clone());
            let link = Link::open(node.name.to_string(), listen, self.api_server, source, sink)?;
            // Not the node's name, which would lengthen the paths of its sockets, and may be `pki`.
            let dir = NodeDir::new(self.run.join(format!("n{}", index + 1)));
            fs::create_dir(dir.path()).map_err(ClusterError::file(dir.path()))?;
            let sandbox = self.sandbox(node, &dir, &trust)?;
            let config = self.config(node, dir, sandbox.port.number, &trust);
            write_first_files(node, &config.dir, &link, &trust)?;
            let inlet = Arc::new(Inlet::new(node.name.to_string(), config.address, base.sink.clone()));
            let log = self.logs.join(log_name(&node.name, index));
            let mut kubelet = Kubelet::new(config, node, log, trust.path("cluster-ca.crt"), &base.administrator);
            kubelet.certificate = bootstrap_certificate(node, &base.tokens, &trust)?;
            made.add(source, Node { kubelet, link, inlet: Some(inlet), place: sandbox });
        }
        drop(trust);
        Ok(made)
    }

    fn sandbox(&self, node: &scenario::Node, dir: &NodeDir, trust: &Trust) -> Result<Sandbox, ClusterError> {
        Ok(Sandbox {
            executable: self.executable.to_owned(),
            pki: trust.dir().to_owned(),
            defect: self.defect.cloned(),
            beside: Vec::new(),
            env: node.env.clone(),
            process: None,
            _cri: CriServer::serve(dir.cri()).map_err(ClusterError::file(dir.cri()))?,
            port: Port::lease()?,
        })
    }

    fn config(&self, node: &scenario::Node, dir: NodeDir, port: u16, trust: &Trust) -> KubeletConfig {
        KubeletConfig {
            version: self.version,
            node: node.name.to_string(),
            host: node.name.of_host().to_owned(),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            runtime: format!("unix://{}", dir.cri().display()),
            dir,
            rotate_certificates: node.rotate_certificates,
            server_tls_bootstrap: node.server_tls_bootstrap,
            client_ca: trust.path("client-ca.crt"),
            bootstrap: node.bootstrap != NO_TOKEN,
            is_root: false,
            default_cert_dir: node.cert_dir == CertDir::Default,
            tls_cert_file: node.serving_pair == ServingPair::FromFile,
            external_cloud_provider: node.cloud_provider == CloudProvider::External,
            default_fail_cgroup_v1: node.fail_cgroup_v1 == FailCgroupV1::Unset,
            access: node.access,
        }
    }
}

/// The client certificate of the user that a node's token has, where it bootstraps with that.
fn bootstrap_certificate(
    node: &scenario::Node,
    tokens: &BTreeMap<String, TokenValue>,
    trust: &Trust,
) -> Result<Option<Credential>, ClusterError> {
    let Some(token) = tokens.get(&node.bootstrap).filter(|_| node.bootstrap_by.is_certificate()) else {
        return Ok(None);
    };
    let groups: Vec<&str> = token.token.groups.iter().map(String::as_str).collect();
    match node.bootstrap_by {
        BootstrapBy::ExpiredCertificate => trust.flawed_client(token.user(), &groups, Flaw::Expired),
        _ => trust.client(token.user(), &groups),
    }
    .map(Some)
}

/// The name of a kubelet's log: it contains the node's name if that fits into a file name, which has at most 255 bytes.
fn log_name(node: &str, index: usize) -> String {
    const LONGEST: usize = 240;
    match node.len() {
        ..=LONGEST => format!("kubelet-{node}.log"),
        _ => format!("kubelet-{}-{}.log", node.chars().take(LONGEST - 10).collect::<String>(), index + 1),
    }
}

/// What a scenario wants to exist before the kubelet's first start.
fn write_first_files(node: &scenario::Node, dir: &NodeDir, link: &Link, trust: &Trust) -> Result<(), ClusterError> {
    if let Some(embedded) = node.embedded_certificate {
        let now = jiff::Timestamp::now();
        let validity =
            Validity { not_before: now.later(embedded.not_before), not_after: now.later(embedded.not_after) };
        let Credential { certificate, key } = trust.node_client(&node.name, validity)?;
        let server = format!("https://{}", link.address());
        let kubeconfig = embedding_kubeconfig(&server, &trust.path("cluster-ca.crt"), &certificate, &key);
        write_private(&dir.kubeconfig(), kubeconfig.expose())?;
    }
    if node.serving_pair == ServingPair::FromFile {
        let cert_dir = dir.cert_dir();
        fs::create_dir(&cert_dir).map_err(ClusterError::file(&cert_dir))?;
        let Credential { certificate, key } =
            trust.serving_pair(&node.name, &[AltName::Dns(node.name.to_string())], None)?;
        write_private(&dir.named("tls.key"), key.expose())?;
        write_private(&dir.named("tls.crt"), &certificate)?;
    }
    Ok(())
}

/// Before anything is started: without room on this machine a kubelet would seem to fail on its own.
fn room_for(nodes: usize) -> Result<(), ClusterError> {
    match Instances::now() {
        Some(instances) if instances.nodes() < nodes => Err(ClusterError::Start {
            name: KUBELET.into(),
            reason: format!(
                "it needs {} inotify instances, and of the {} that a user may have {} are in use: run `{}`, or use fewer --jobs",
                inotify::PER_NODE,
                instances.limit,
                instances.used,
                instances.remedy(nodes)
            ),
        }),
        _ => Ok(()),
    }
}

/// Namespaces of this machine for one kubelet, and what it finds in them.
pub(crate) struct Sandbox {
    executable: PathBuf,
    /// The folder of the cluster's keys.
    pki: PathBuf,
    defect: Option<Arc<dyn Defect>>,
    beside: Vec<Task>,
    env: BTreeMap<String, String>,
    process: Option<Supervised>,
    _cri: CriServer,
    port: Port,
}

#[async_trait]
impl Place for Sandbox {
    async fn start(&mut self, kubelet: &Kubelet, base: &Base) -> Result<u32, ClusterError> {
        let launch = Launch {
            part: Part::Kubelet { config: &kubelet.config, pid: kubelet.pid.subscribe() },
            executable: self.executable.clone(),
            before: Vec::new(),
            flags: kubelet.config.flags(),
            env: self.env.clone(),
            pki: &self.pki,
            log: kubelet.log(),
            tokens: &base.tokens,
            admin: &base.admin,
            beside: Vec::new(),
        };
        let launch = launch.with(self.defect.as_deref())?;
        let args = launch.args();
        let Launch { executable, env, beside, .. } = launch;
        self.beside = defect::begin(beside);
        let plan = Plan {
            component: KUBELET,
            node: Some(kubelet.name()),
            executable: &executable,
            args,
            log: kubelet.log().clone(),
            isolation: match kubelet.config.knows_user_namespaces() {
                true => Isolation::Sandbox,
                false => Isolation::OldSandbox,
            },
            env: &env,
        };
        let process = Supervised::start(plan, &base.sink).await?;
        Ok(self.process.insert(process).pid())
    }

    fn is_running(&self) -> bool {
        self.process.as_ref().is_some_and(Supervised::is_running)
    }

    async fn end(&mut self, ending: Ending) -> Result<Option<(u32, Option<Exit>)>, ClusterError> {
        let Some(process) = self.process.take() else { return Ok(None) };
        let (pid, exit) = (process.pid(), process.end(ending).await);
        self.beside.clear();
        Ok(Some((pid, Some(exit))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_of_long_names_have_names_of_files() {
        assert_eq!(log_name("n1", 0), "kubelet-n1.log");
        for length in [63, 240, 241, 253] {
            let names = [0, 254].map(|index| log_name(&"n".repeat(length), index));
            assert!(names.iter().all(|name| name.len() <= 255), "{length}");
            assert_eq!(names[0] == names[1], length <= 240, "{length}");
        }
    }
}
