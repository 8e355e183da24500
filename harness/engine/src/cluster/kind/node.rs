//! A node of a kind cluster: a container of the node image that kubeadm has not joined. tlsboot starts its kubelet,
//! with the scenario's token. Its files are in the run's folder, under the same path on this machine and in the
//! container, so that links mean the same on both sides.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::common::Common;
use super::config::{RUNTIME, cni};
use super::follow::Follower;
use super::joined::{Join, Joined, KUBEADM_UNIT};
use super::network::Network;
use super::unit::{UNIT, Unit};
use crate::cluster::docker::{Name, docker, exec};
use crate::cluster::shared::base::Base;
use crate::cluster::shared::file::write_private;
use crate::cluster::shared::kubelet::Kubelet;
use crate::cluster::shared::nodes::{Node, Place};
use crate::cluster::{ClusterError, Ending};
use crate::node::link::Link;
use crate::node::{DEFAULT_CERT_DIR, KUBEADM_DIR, KubeletConfig, NodeDir};
use crate::poll;
use crate::process::Exit;
use tlsboot_core::history::event::Recorder;
use tlsboot_core::scenario::{self, NO_TOKEN};

const PORT: u16 = 10250;
/// A node boots in two seconds on an idle machine.
const BOOT: Duration = Duration::from_secs(120);

/// What a container is created from.
pub(super) struct Site<'a> {
    pub(super) cluster: &'a Name,
    pub(super) network: &'a Network,
    pub(super) image: &'a str,
    /// The run's folder.
    pub(super) run: &'a Path,
    /// Whether kubeadm will join the node; otherwise it has nothing of kubeadm's.
    pub(super) kubeadm: bool,
}

/// A container that has booted.
pub(super) struct Container {
    name: String,
    address: IpAddr,
    dir: NodeDir,
}

impl Container {
    /// Creates and boots one, as kind does. `link` is the address of this machine by which its kubelet will reach the
    /// API server.
    pub(super) async fn boot(site: &Site<'_>, node: &str, link: Ipv4Addr) -> Result<Self, ClusterError> {
        let cluster = site.cluster;
        let (name, label) = (cluster.node(node), cluster.label());
        // One level down, where no node name can clash with anything else.
        let folder = site.run.join("nodes").join(node);
        fs::create_dir_all(&folder).map_err(ClusterError::file(&folder))?;
        let folders = format!("{0}:{0}", folder.display());
        let (dir, more) = if site.kubeadm {
            let dir = NodeDir::of_kubeadm(folder);
            let more = of_kubeadm(&dir, &cluster.control_plane(), link)?;
            (dir, more)
        } else {
            (NodeDir::new(folder), Vec::new())
        };
        let options = [
            "run",
            "--detach",
            "--tty",
            "--init=false",
            "--privileged",
            "--cgroupns=private",
            "--security-opt=seccomp=unconfined",
            "--security-opt=apparmor=unconfined",
            "--tmpfs=/tmp",
            "--tmpfs=/run",
            "--volume=/var",
            "--volume=/lib/modules:/lib/modules:ro",
            "--env=KIND_EXPERIMENTAL_CONTAINERD_SNAPSHOTTER",
        ];
        let own = [
            "--name",
            &name,
            "--hostname",
            node,
            "--network",
            cluster.as_str(),
            "--label",
            &label,
            "--volume",
            &folders,
        ];
        let more = more.iter().map(String::as_str);
        let args: Vec<&str> = options.into_iter().chain(own).chain(more).chain([site.image]).collect();
        docker(&args).await?;
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let address = docker(&["inspect", "--format", format, &name]).await?;
        let address = address.parse().map_err(std::io::Error::other)?;
        booted(&name).await?;
        site.network.try_link(&name, link).await?;
        let cni = cni().to_string();
        let write = "mkdir -p /etc/cni/net.d && printf %s \"$0\" >/etc/cni/net.d/10-tlsboot.conflist";
        exec(&name, &["sh", "-c", write, &cni]).await?;
        Ok(Self { name, address, dir })
    }
}

/// Options for the container of a node that kubeadm joins: the folders of its kubelet, visible from this machine, and
/// the name by which cluster-info refers to the API server, with the address of the node's link.
fn of_kubeadm(dir: &NodeDir, control_plane: &str, api_server: Ipv4Addr) -> Result<Vec<String>, ClusterError> {
    let mut options = vec![format!("--add-host={control_plane}:{api_server}")];
    for (here, there) in [(dir.cert_dir(), Path::new(DEFAULT_CERT_DIR)), (dir.kubeconfigs(), Path::new(KUBEADM_DIR))] {
        fs::create_dir(&here).map_err(ClusterError::file(&here))?;
        options.push(format!("--volume={}:{}", here.display(), there.display()));
    }
    Ok(options)
}

/// Waits for the container runtime.
async fn booted(container: &str) -> Result<(), ClusterError> {
    let active = poll::until(Instant::now() + BOOT, poll::SELDOM, async || {
        match exec(container, &["systemctl", "is-active", "containerd"]).await {
            Ok(_) => Ok(Ok(())),
            Err(last) => match docker(&["inspect", "--format", "{{.State.Running}}", container]).await?.as_str() {
                "true" => Ok(Err(last)),
                _ => Err(last),
            },
        }
    });
    let Err(last) = active.await.flatten() else { return Ok(()) };
    let log = docker(&["logs", "--tail", "8", container]).await.unwrap_or_default();
    let advice = if log.contains("Too many open files") {
        "; too few inotify instances: `sysctl fs.inotify.max_user_instances=1024`"
    } else {
        ""
    };
    Err(ClusterError::Start {
        name: format!("the node {container}"),
        reason: format!("{last}; the end of its log says: {}{advice}", log.replace(['\r', '\n'], " ")),
    })
}

impl Container {
    /// Turns the container into a node.
    pub(super) async fn into_node(
        self,
        node: &scenario::Node,
        link: Link,
        common: &Common<'_>,
    ) -> Result<Node<NodeContainer>, ClusterError> {
        let Self { name, address, dir } = self;
        let base = common.base;
        let ca = dir.path().join("ca.crt");
        write_private(&ca, &base.endpoint().ca)?;
        let config = KubeletConfig {
            version: common.version,
            node: node.name.to_string(),
            host: node.name.of_host().to_owned(),
            address: SocketAddr::new(address, PORT),
            runtime: RUNTIME.into(),
            dir,
            rotate_certificates: node.rotate_certificates,
            server_tls_bootstrap: node.server_tls_bootstrap,
            client_ca: ca.clone(),
            bootstrap: node.bootstrap != NO_TOKEN,
            is_root: true,
            default_cert_dir: false,
            tls_cert_file: false,
            external_cloud_provider: false,
            default_fail_cgroup_v1: false,
            access: node.access,
        };
        let log = common.logs.join(format!("kubelet-{}.log", node.name));
        let join = match config.dir.is_kubeadms() {
            true => Some(Join::of(node, common)?),
            false => None,
        };
        let unit = if join.is_some() { KUBEADM_UNIT } else { UNIT };
        let journal = format!("exec journalctl --unit {unit} --output cat --no-tail --follow 2>/dev/null");
        let journal = Follower::start(&name, &journal, &log, Recorder::Log, &base.sink).await?;
        let kubelet = Kubelet::new(config, node, log, ca, &base.administrator);
        let place = NodeContainer { container: name, unit: None, join, joined: None, journal: Some(journal) };
        Ok(Node { kubelet, link, inlet: None, place })
    }
}

/// A node's container, and what runs in it.
pub(super) struct NodeContainer {
    container: String,
    unit: Option<Unit>,
    join: Option<Join>,
    joined: Option<Joined>,
    journal: Option<Follower>,
}

#[async_trait]
impl Place for NodeContainer {
    async fn start(&mut self, kubelet: &Kubelet, base: &Base) -> Result<u32, ClusterError> {
        let args = kubelet.config.flags().args();
        let unit = Unit::start(&self.container, kubelet.name(), &args, &base.sink).await?;
        Ok(self.unit.insert(unit).pid())
    }

    fn is_running(&self) -> bool {
        self.unit.as_ref().is_some_and(Unit::is_running)
    }

    async fn end(&mut self, ending: Ending) -> Result<Option<(u32, Option<Exit>)>, ClusterError> {
        let Some(unit) = self.unit.take() else { return Ok(None) };
        let pid = unit.pid();
        unit.end(ending).await?;
        Ok(Some((pid, None)))
    }

    async fn join(&mut self, kubelet: &mut Kubelet, base: &Base) -> Result<u32, ClusterError> {
        let token = base.token(kubelet.token())?;
        let once = || ClusterError::Unknown(format!("node {} that kubeadm can still join", kubelet.name()));
        let join = self.join.take().ok_or_else(once)?;
        join.configure(&mut kubelet.config, token).await?;
        kubelet.announce(&base.sink)?;
        let joined = join.start(&self.container, kubelet, &base.sink).await?;
        Ok(self.joined.insert(joined).pid())
    }

    /// Also stops reading its log.
    async fn close(&mut self) {
        let _ = self.end(Ending::Kill).await;
        self.joined = None;
        self.journal = None;
    }
}
