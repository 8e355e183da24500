//! Clusters: what a scenario can do to one, whatever runs it. A provider is one module behind [`Cluster`], on top of
//! [`shared`]. Kubelets that run on this machine are in [`processes`], for every provider whose control plane they can
//! reach.

pub mod docker;
mod error;
pub mod k3s;
pub mod kind;
pub mod local;
pub mod processes;
mod proof;
mod provider;
pub mod shared;

use std::net::SocketAddr;

use async_trait::async_trait;
pub use error::ClusterError;
pub use proof::Proof;
pub use provider::{Provider, ProviderKind};
pub use shared::base::Base;
pub use shared::client;
pub use shared::trust::Flaw;

use crate::node::NodeDir;
use crate::secret::Secret;
use tlsboot_core::scenario::Token;
use tlsboot_core::scenario::stimulus::{Changes, Component, CutKind, Direction};

/// How a process is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// SIGTERM, and wait.
    Stop,
    /// SIGKILL.
    Kill,
}

/// Where the API server is, for requests with their own credentials.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `https://HOST:PORT`.
    pub url: String,
    /// The CA of its certificate, PEM.
    pub ca: String,
    /// Whether it serves CSRs only in certificates.k8s.io/v1beta1, as up to 1.18.
    pub beta_csrs: bool,
}

/// A pair of certificate and key in PEM.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: Secret<String>,
}

/// A token of the scenario, with its value.
#[derive(Clone, Debug)]
pub struct TokenValue {
    /// Its description in the scenario.
    pub token: Token,
    /// The id of a bootstrap token, its first half.
    pub id: String,
    /// What a client sends.
    pub value: Secret<String>,
}

impl TokenValue {
    /// The user of a static token that has no other (as in the seed document).
    pub(crate) const STATIC_USER: &str = "kubelet-bootstrap";

    /// The user of a static token.
    pub(crate) fn user(&self) -> &str {
        self.token.user.as_deref().unwrap_or(Self::STATIC_USER)
    }
}

/// A running cluster. Dropping it stops all its processes.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// What it has in common with all clusters.
    fn base(&self) -> &Base;

    /// Its nodes.
    fn nodes(&self) -> &dyn Nodes;

    /// Its control plane; `None` if its components cannot be started and stopped separately.
    fn control_plane(&self) -> Option<&dyn ControlPlane>;

    /// Stops everything, in order.
    async fn stop(&self);
}

/// The nodes of a cluster, by name.
#[async_trait]
pub trait Nodes: Send + Sync {
    /// Starts a node's kubelet.
    async fn start(&self, node: &str, changes: &Changes) -> Result<Proof, ClusterError>;

    /// Starts `kubeadm join` on a node. Its exit is an event.
    async fn join(&self, node: &str) -> Result<Proof, ClusterError>;

    /// Stops a node's kubelet.
    async fn end(&self, node: &str, ending: Ending) -> Result<Proof, ClusterError>;

    /// Where a node's files are.
    async fn dir(&self, node: &str) -> Result<NodeDir, ClusterError>;

    /// Where a node's kubelet listens, as seen from this machine.
    async fn address(&self, node: &str) -> Result<SocketAddr, ClusterError>;

    /// Cuts a node's link in one direction.
    async fn cut(&self, node: &str, way: Direction, how: CutKind) -> Result<Proof, ClusterError>;

    /// Restores a node's link in one direction.
    async fn mend(&self, node: &str, way: Direction) -> Result<Proof, ClusterError>;
}

/// The components of a control plane.
#[async_trait]
pub trait ControlPlane: Send + Sync {
    /// Starts a component, and waits until it is ready.
    async fn start(&self, component: Component, changes: &Changes) -> Result<Proof, ClusterError>;

    /// Starts a component that cannot run this way, and waits until it has exited. Only for providers with
    /// [`Capability::AnyFlag`](tlsboot_core::scenario::Capability::AnyFlag).
    async fn fail(&self, _component: Component, _changes: &Changes) -> Result<Proof, ClusterError> {
        Err(ClusterError::Unsupported("give any flag to a component"))
    }

    /// Stops a component.
    async fn end(&self, component: Component, ending: Ending) -> Result<Proof, ClusterError>;
}
