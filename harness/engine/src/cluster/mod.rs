//! Clusters: what a scenario can do to one, whatever runs it. A provider is one module behind [`Cluster`].

pub mod docker;
pub mod k3s;
pub mod kind;
pub mod local;
pub mod processes;
pub mod shared;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use async_trait::async_trait;
pub use shared::base::Base;
pub use shared::client;

use crate::node::NodeDir;
use crate::observe::Sink;
use crate::secret::Secret;
use tlsboot_core::history::event::NODES_GROUP;
use tlsboot_core::name::{UnknownName, by_name};
use tlsboot_core::scenario::stimulus::{Changes, Component, CutKind};
use tlsboot_core::scenario::{Capability, Scenario, Token};

/// The providers, by the name on the command line, which is the first part of a target's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProviderKind {
    /// Plain processes on this machine
    #[default]
    Local,
    /// Containers, made by the `kind` command
    Kind,
    /// The k3s image as a control plane, in a container
    K3s,
}

impl ProviderKind {
    /// All of them, in the order in which they are listed.
    pub const ALL: &[Self] = &[Self::Local, Self::Kind, Self::K3s];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => local::NAME,
            Self::Kind => kind::NAME,
            Self::K3s => k3s::NAME,
        }
    }

    /// Words for its clusters in the reason why a scenario is unsupported.
    pub fn clusters(self) -> &'static str {
        match self {
            Self::Kind if !rustix::process::geteuid().is_root() => "kind (used without root)",
            other => other.name(),
        }
    }

    /// What its clusters can do here, known without starting one.
    pub fn capabilities(self) -> &'static [Capability] {
        match self {
            Self::Local => local::capabilities(),
            Self::Kind => kind::capabilities(),
            Self::K3s => k3s::capabilities(),
        }
    }
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ProviderKind {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        by_name("provider", Self::ALL, Self::name, text)
    }
}

/// Why a cluster did not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The scenario asks for something that is not there.
    #[error("there is no {0} in this cluster")]
    Unknown(String),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A process could not be started, or ended at once.
    #[error("{name} could not be started: {reason}")]
    Start {
        /// The executable.
        name: String,
        /// Why, with the end of its log.
        reason: String,
    },
    /// Something did not come in time.
    #[error("{what} did not come within {seconds} s: {last}")]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
        /// What was seen last.
        last: String,
    },
    /// A command of the container tools failed.
    #[error("`{command}` failed: {reason}")]
    Command {
        /// The command.
        command: String,
        /// Why, and what to do about it.
        reason: String,
    },
    /// Keys or certificates could not be made.
    #[error(transparent)]
    Pki(#[from] tlsboot_core::x509::X509Error),
    /// The API server refused or could not be reached.
    #[error("the API server: {0}")]
    Api(#[from] kube::Error),
    /// Anything else of the machine.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl ClusterError {
    /// A file of this path that could not be read or written.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}

/// How a process is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// SIGTERM, and wait.
    Stop,
    /// SIGKILL.
    Kill,
}

/// Where the API server is, for requests that carry their own credentials.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `https://HOST:PORT`.
    pub url: String,
    /// The CA of its certificate, PEM.
    pub ca: String,
    /// Whether it has CSRs in certificates.k8s.io/v1beta1 only, as up to 1.18.
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
    /// As the scenario describes it.
    pub token: Token,
    /// Of a bootstrap token: the id, the first half.
    pub id: String,
    /// What a client sends.
    pub value: Secret<String>,
}

/// A running cluster. Dropping it ends all its processes.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// What it has in common with all clusters.
    fn base(&self) -> &Base;

    /// A client of the administrator.
    fn admin(&self) -> kube::Client {
        self.base().admin.clone()
    }

    /// The administrator's kubeconfig, with all credentials in it.
    fn admin_kubeconfig(&self) -> Secret<String> {
        self.base().admin_kubeconfig()
    }

    /// Where the API server is.
    fn endpoint(&self) -> Endpoint {
        self.base().endpoint().clone()
    }

    /// A token of the scenario.
    fn token(&self, name: &str) -> Result<TokenValue, ClusterError> {
        self.base().token(name)
    }

    /// A client certificate for a user, of the right CA or a foreign one, valid or expired.
    async fn client_certificate(&self, user: &str, trusted: bool, expired: bool) -> Result<Credential, ClusterError> {
        let trust = self.base().trust().await;
        trust.odd_client(user, &[NODES_GROUP], trusted, expired)
    }

    /// A valid client certificate of the right CA with a uid in its subject.
    async fn client_certificate_with_uid(&self, user: &str, uid: &str) -> Result<Credential, ClusterError> {
        self.base().trust().await.client_with_uid(user, uid)
    }

    /// The pair for a node's `tlsCertFile`, of the cluster's CA.
    async fn serving_pair(&self, node: &str) -> Result<Credential, ClusterError> {
        self.base().trust().await.serving_pair(node)
    }

    /// Starts a node's kubelet; answers with what shows that it runs.
    async fn start_node(&self, node: &str, changes: &Changes) -> Result<String, ClusterError>;

    /// Starts `kubeadm join` on a node; answers with what shows that it runs. Its end is an event.
    async fn join_node(&self, node: &str) -> Result<String, ClusterError> {
        Err(ClusterError::Unknown(format!("kubeadm to join {node} by")))
    }

    /// Ends a node's kubelet.
    async fn end_node(&self, node: &str, ending: Ending) -> Result<String, ClusterError>;

    /// Starts a component, and waits until it is ready.
    async fn start_component(&self, component: Component, changes: &Changes) -> Result<String, ClusterError>;

    /// Starts a component that can't start so, and waits until it has exited by itself.
    async fn fail_component(&self, component: Component, _changes: &Changes) -> Result<String, ClusterError> {
        Err(ClusterError::Unknown(format!("{} with flags of one's own", component.name())))
    }

    /// Ends a component.
    async fn end_component(&self, component: Component, ending: Ending) -> Result<String, ClusterError>;

    /// Where a node's files are.
    async fn node_dir(&self, node: &str) -> Result<NodeDir, ClusterError>;

    /// Cuts a node's link.
    async fn cut(&self, node: &str, how: CutKind) -> Result<String, ClusterError>;

    /// Mends a node's link.
    async fn mend(&self, node: &str) -> Result<String, ClusterError>;

    /// Gives the signer another CA, which the API server trusts beside the old one.
    async fn replace_ca(&self, valid: std::time::Duration) -> Result<String, ClusterError> {
        self.base().replace_signer(valid).await
    }

    /// Ends everything, in order.
    async fn stop(&self);
}

/// What starts clusters.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Its name, the first part of a target's.
    fn name(&self) -> &'static str;

    /// What its clusters can do.
    fn capabilities(&self) -> &'static [Capability];

    /// Starts a cluster for a scenario, and all recorders. `logs` is where the components' logs go.
    async fn start(&self, scenario: &Scenario, sink: Sink, logs: PathBuf) -> Result<Box<dyn Cluster>, ClusterError>;
}

/// The end of a log, for a process that did not live.
fn end_of(log: &Path) -> String {
    const LINES: usize = 5;
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    format!("the end of its log says: {}", lines[lines.len().saturating_sub(LINES)..].join(" | "))
}
