//! The nodes of a cluster, whatever runs their kubelets.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::base::Base;
use super::kubelet::Kubelet;
use crate::cluster::{ClusterError, Ending, Nodes, Proof};
use crate::node::NodeDir;
use crate::node::inlet::Inlet;
use crate::node::link::Link;
use crate::process::Exit;
use tlsboot_core::scenario::stimulus::{Changes, CutKind, Direction};

/// What runs a node's kubelet.
#[async_trait]
pub(crate) trait Place: Send {
    /// Starts the kubelet, whose files have been written. Returns its process id, as seen from this machine.
    async fn start(&mut self, kubelet: &Kubelet, base: &Base) -> Result<u32, ClusterError>;

    /// Whether the kubelet is running.
    fn is_running(&self) -> bool;

    /// Stops the kubelet, and returns its process id and how it exited, if that is known. `None` if none was started
    /// since the last stop.
    async fn end(&mut self, ending: Ending) -> Result<Option<(u32, Option<Exit>)>, ClusterError>;

    /// Runs `kubeadm join`, and answers with its process id. A provider with
    /// [`Capability::Kubeadm`](tlsboot_core::scenario::Capability::Kubeadm) can do it.
    async fn join(&mut self, _kubelet: &mut Kubelet, _base: &Base) -> Result<u32, ClusterError> {
        Err(ClusterError::Unsupported("join nodes by kubeadm"))
    }

    /// Ends whatever runs in it.
    async fn close(&mut self) {
        let _ = self.end(Ending::Kill).await;
    }
}

/// One node.
pub(crate) struct Node<P> {
    pub(crate) kubelet: Kubelet,
    pub(crate) link: Link,
    /// Its port, where the API server reaches it through our proxy.
    pub(crate) inlet: Option<Arc<Inlet>>,
    pub(crate) place: P,
}

const THE_KUBELET: &str = "the kubelet";

impl<P: Place> Node<P> {
    async fn start(&mut self, changes: &Changes, base: &Base) -> Result<Proof, ClusterError> {
        if self.place.is_running() {
            return Err(ClusterError::Running(self.words()));
        }
        let server = format!("https://{}", self.link.address());
        self.kubelet.prepare(changes, &base.tokens, &server, &base.sink)?;
        let pid = self.place.start(&self.kubelet, base).await?;
        self.kubelet.pid.send_replace(pid);
        Ok(Proof::Runs { what: THE_KUBELET, pid })
    }

    async fn join(&mut self, base: &Base) -> Result<Proof, ClusterError> {
        let pid = self.place.join(&mut self.kubelet, base).await?;
        Ok(Proof::Runs { what: "kubeadm join", pid })
    }

    async fn end(&mut self, ending: Ending) -> Result<Proof, ClusterError> {
        let ended = self.place.end(ending).await?;
        let (pid, exit) = ended.ok_or_else(|| ClusterError::NotRunning(self.words()))?;
        self.kubelet.pid.send_replace(0);
        Ok(Proof::Ended { what: THE_KUBELET, pid, exit })
    }

    fn inlet(&self) -> Result<&Inlet, ClusterError> {
        self.inlet.as_deref().ok_or(ClusterError::Unsupported("cut the way from the API server to a kubelet"))
    }

    fn words(&self) -> String {
        format!("{THE_KUBELET} of {}", self.kubelet.name())
    }
}

/// All nodes of a cluster. Each is locked for itself: one that takes its time does not hold up the others.
pub(crate) struct NodesIn<P> {
    base: Arc<Base>,
    nodes: BTreeMap<String, Mutex<Node<P>>>,
    sources: BTreeMap<IpAddr, String>,
    inlets: Vec<Arc<Inlet>>,
}

impl<P: Place> NodesIn<P> {
    pub(crate) fn new(base: Arc<Base>) -> Self {
        Self { base, nodes: BTreeMap::new(), sources: BTreeMap::new(), inlets: Vec::new() }
    }

    /// Takes in a node, whose requests come to the API server from `source`.
    pub(crate) fn add(&mut self, source: IpAddr, node: Node<P>) {
        let name = node.kubelet.name().to_owned();
        self.sources.insert(source, name.clone());
        self.inlets.extend(node.inlet.clone());
        self.nodes.insert(name, Mutex::new(node));
    }

    /// Which source addresses in the audit log are whose.
    pub(crate) fn sources(&self) -> &BTreeMap<IpAddr, String> {
        &self.sources
    }

    /// The ports that an API server reaches through our proxy.
    pub(crate) fn inlets(&self) -> &[Arc<Inlet>] {
        &self.inlets
    }

    /// Ends all that run.
    pub(crate) async fn close(&self) {
        for node in self.nodes.values() {
            node.lock().await.place.close().await;
        }
    }

    fn node(&self, name: &str) -> Result<&Mutex<Node<P>>, ClusterError> {
        self.nodes.get(name).ok_or_else(|| ClusterError::Unknown(format!("node `{name}`")))
    }
}

#[async_trait]
impl<P: Place> Nodes for NodesIn<P> {
    async fn start(&self, node: &str, changes: &Changes) -> Result<Proof, ClusterError> {
        self.node(node)?.lock().await.start(changes, &self.base).await
    }

    async fn join(&self, node: &str) -> Result<Proof, ClusterError> {
        self.node(node)?.lock().await.join(&self.base).await
    }

    async fn end(&self, node: &str, ending: Ending) -> Result<Proof, ClusterError> {
        self.node(node)?.lock().await.end(ending).await
    }

    async fn dir(&self, node: &str) -> Result<NodeDir, ClusterError> {
        Ok(self.node(node)?.lock().await.kubelet.dir().clone())
    }

    async fn address(&self, node: &str) -> Result<SocketAddr, ClusterError> {
        Ok(self.node(node)?.lock().await.kubelet.config.address)
    }

    async fn cut(&self, node: &str, way: Direction, how: CutKind) -> Result<Proof, ClusterError> {
        let node = self.node(node)?.lock().await;
        let connections = match way {
            Direction::ToApiServer => {
                node.link.cut(how).await?;
                node.link.open_connections()
            }
            Direction::FromApiServer => {
                let inlet = node.inlet()?;
                inlet.cut(how).await;
                inlet.open_connections()
            }
        };
        Ok(Proof::Cut { connections })
    }

    async fn mend(&self, node: &str, way: Direction) -> Result<Proof, ClusterError> {
        let node = self.node(node)?.lock().await;
        match way {
            Direction::ToApiServer => node.link.mend().await?,
            Direction::FromApiServer => node.inlet()?.mend(),
        }
        Ok(Proof::Mended)
    }
}
