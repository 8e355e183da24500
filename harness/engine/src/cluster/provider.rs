//! What starts clusters.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use async_trait::async_trait;

use super::{Cluster, ClusterError, k3s, kind, local};
use crate::observe::Sink;
use tlsboot_core::name::{UnknownName, by_name};
use tlsboot_core::scenario::{Capability, Scenario};

/// What starts clusters.
#[async_trait]
pub trait Provider: Send + Sync {
    /// What its clusters can do.
    fn capabilities(&self) -> &'static [Capability];

    /// Starts a cluster for a scenario, and all recorders. `logs` is where the components' logs go.
    async fn start(&self, scenario: &Scenario, sink: Sink, logs: PathBuf) -> Result<Box<dyn Cluster>, ClusterError>;
}

/// The providers, by their names on the command line, which are also the first part of a target's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProviderKind {
    /// Plain processes on this machine
    #[default]
    Local,
    /// Containers, created by the `kind` command
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

    /// A description of its clusters in the reason why a scenario is unsupported.
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
