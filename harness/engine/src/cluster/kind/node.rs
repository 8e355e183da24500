//! A node of a kind cluster: a container of the node image that kubeadm has not joined. Its kubelet is ours to start,
//! with the scenario's token; its files lie in the run's folder, under the same path here and there, so that links mean
//! the same on both sides.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::common::Common;
use super::config::{RUNTIME, cni};
use super::follow::Follower;
use super::joined::{Join, Joined, KUBEADM_UNIT};
use super::network::Network;
use super::unit::{UNIT, Unit};
use crate::cluster::docker::Name;
use crate::cluster::docker::{docker, exec};
use crate::cluster::shared::file::write_private;
use crate::cluster::shared::kubelet::Kubelet;
use crate::cluster::{ClusterError, Ending, TokenValue};
use crate::node::link::Link;
use crate::node::{DEFAULT_CERT_DIR, KUBEADM_DIR, KubeletConfig, NodeDir};
use crate::observe::Sink;
use tlsboot_core::history::event::Recorder;
use tlsboot_core::scenario::stimulus::{Changes, CutKind};
use tlsboot_core::scenario::{NO_TOKEN, Node};

const PORT: u16 = 10250;
/// A node boots in two seconds on a quiet machine.
const BOOT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(100);

/// What a container is made for.
pub(super) struct Place<'a> {
    pub(super) cluster: &'a Name,
    pub(super) network: &'a Network,
    pub(super) image: &'a str,
    /// The run's folder.
    pub(super) run: &'a Path,
    /// Whether kubeadm will join the node; else nothing of kubeadm is on it.
    pub(super) kubeadm: bool,
}

/// A container that has booted.
pub(super) struct Container {
    name: String,
    address: IpAddr,
    dir: NodeDir,
}

impl Container {
    /// Makes and boots one, as kind does it. `link` is the address of this machine by which its kubelet will reach the API
    /// server.
    pub(super) async fn boot(place: &Place<'_>, node: &str, link: Ipv4Addr) -> Result<Self, ClusterError> {
        let cluster = place.cluster;
        let (name, label) = (cluster.node(node), cluster.label());
        // One level down, where no name of a node is that of something else.
        let folder = place.run.join("nodes").join(node);
        fs::create_dir_all(&folder).map_err(ClusterError::file(&folder))?;
        let folders = format!("{0}:{0}", folder.display());
        let (dir, more) = if place.kubeadm {
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
        let args: Vec<&str> = options.into_iter().chain(own).chain(more).chain([place.image]).collect();
        docker(&args).await?;
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let address = docker(&["inspect", "--format", format, &name]).await?;
        let address = address.parse().map_err(std::io::Error::other)?;
        booted(&name).await?;
        place.network.try_link(&name, link).await?;
        let cni = cni().to_string();
        let write = "mkdir -p /etc/cni/net.d && printf %s \"$0\" >/etc/cni/net.d/10-tlsboot.conflist";
        exec(&name, &["sh", "-c", write, &cni]).await?;
        Ok(Self { name, address, dir })
    }
}

/// What the container of a node is given that kubeadm joins: the folders of its kubelet, to be seen from here, and the
/// name by which cluster-info calls the API server, with the address of the node's link.
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
    let deadline = Instant::now() + BOOT;
    loop {
        let is_active = exec(container, &["systemctl", "is-active", "containerd"]).await;
        let last = match is_active {
            Ok(_) => return Ok(()),
            Err(error) => error.to_string(),
        };
        let running = docker(&["inspect", "--format", "{{.State.Running}}", container]).await?;
        if running != "true" || Instant::now() > deadline {
            let log = docker(&["logs", "--tail", "8", container]).await.unwrap_or_default();
            let advice = if log.contains("Too many open files") {
                "; too few inotify instances: `sysctl fs.inotify.max_user_instances=1024`"
            } else {
                ""
            };
            return Err(ClusterError::Start {
                name: format!("the node {container}"),
                reason: format!("{last}; the end of its log says: {}{advice}", log.replace(['\r', '\n'], " ")),
            });
        }
        sleep(POLL).await;
    }
}

/// A node with its kubelet.
pub(super) struct KindNode {
    kubelet: Kubelet,
    container: String,
    link: Link,
    unit: Option<Unit>,
    join: Option<Join>,
    joined: Option<Joined>,
    journal: Option<Follower>,
}

impl KindNode {
    pub(super) async fn new(
        container: Container,
        node: &Node,
        link: Link,
        common: &Common<'_>,
    ) -> Result<Self, ClusterError> {
        let Container { name, address, dir } = container;
        let ca = dir.path().join("ca.crt");
        write_private(&ca, common.ca)?;
        let config = KubeletConfig {
            version: common.version,
            node: node.name.clone(),
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
        };
        let log = common.logs.join(format!("kubelet-{}.log", node.name));
        let join = match config.dir.is_kubeadms() {
            true => Some(Join::of(node, common)?),
            false => None,
        };
        let unit = if join.is_some() { KUBEADM_UNIT } else { UNIT };
        let journal = format!("exec journalctl --unit {unit} --output cat --no-tail --follow 2>/dev/null");
        let follower = Follower::start(&name, &journal, &log, Recorder::Log, common.sink).await?;
        Ok(Self {
            kubelet: Kubelet::new(config, node, log, ca, common.administrator),
            container: name,
            link,
            unit: None,
            join,
            joined: None,
            journal: Some(follower),
        })
    }

    pub(super) fn dir(&self) -> &NodeDir {
        self.kubelet.dir()
    }

    pub(super) async fn start(
        &mut self,
        changes: &Changes,
        tokens: &BTreeMap<String, TokenValue>,
        sink: &Sink,
    ) -> Result<String, ClusterError> {
        if self.unit.as_ref().is_some_and(Unit::is_running) {
            return Err(ClusterError::Unknown(format!("stopped kubelet on {}: it runs already", self.kubelet.name())));
        }
        let server = format!("https://{}", self.link.address());
        let address = self.kubelet.config.address;
        self.kubelet.prepare(changes, tokens, &server, address, sink)?;
        let args = self.kubelet.config.flags().args();
        let unit = Unit::start(&self.container, self.kubelet.name(), &args, sink).await?;
        let pid = unit.pid();
        self.kubelet.pid.send_replace(pid);
        self.unit = Some(unit);
        Ok(format!("the kubelet runs as pid {pid}"))
    }

    /// Runs `kubeadm join`. What becomes of it, the history tells.
    pub(super) async fn join(
        &mut self,
        tokens: &BTreeMap<String, TokenValue>,
        sink: &Sink,
    ) -> Result<String, ClusterError> {
        let token = tokens
            .get(self.kubelet.token())
            .ok_or_else(|| ClusterError::Unknown(format!("token `{}`", self.kubelet.token())))?;
        let join = self.join.take().ok_or_else(|| {
            ClusterError::Unknown(format!("node {} that kubeadm could join, once", self.kubelet.name()))
        })?;
        join.configure(&mut self.kubelet.config, token).await?;
        let address = self.kubelet.config.address;
        self.kubelet.announce(address, sink)?;
        let joined = join.start(&self.container, &self.kubelet, sink).await?;
        let pid = joined.pid();
        self.joined = Some(joined);
        Ok(format!("kubeadm join runs as pid {pid}"))
    }

    pub(super) async fn end(&mut self, ending: Ending) -> Result<String, ClusterError> {
        let unit = self
            .unit
            .take()
            .ok_or_else(|| ClusterError::Unknown(format!("running kubelet on {}", self.kubelet.name())))?;
        let pid = unit.pid();
        unit.end(ending).await?;
        self.kubelet.pid.send_replace(0);
        Ok(format!("the kubelet, pid {pid}, is gone"))
    }

    /// Ends its kubelet, if it runs, and reads its log no more.
    pub(super) async fn close(&mut self) {
        let _ = self.end(Ending::Kill).await;
        self.joined = None;
        self.journal = None;
    }

    pub(super) async fn cut(&self, how: CutKind) -> Result<String, ClusterError> {
        self.link.cut(how).await?;
        Ok(format!("{} connections are open through the link", self.link.open_connections()))
    }

    pub(super) async fn mend(&self) -> Result<String, ClusterError> {
        self.link.mend().await?;
        Ok("the link lets connections through".into())
    }
}
