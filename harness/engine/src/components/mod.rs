//! Where the executables of Kubernetes and etcd come from.
//!
//! A [`Resolver`] looks for them in this order: the folder of `--components` (the distribution under test), the
//! [store](Store) in the user's cache folder, a mirror, the official release, a Go build. Executables from the last
//! three are verified by SHA-256 and kept in the store. Everything here blocks: call it from `spawn_blocking`.

mod edits;
mod error;
mod export;
mod fingerprint;
mod kind;
pub mod progress;
mod resolver;
mod source;
mod store;
mod sums;
#[cfg(test)]
mod tests;
mod transfer;

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use edits::{BUG_VARIABLE, Edit};
pub use error::{Attempt, ComponentError};
pub use export::export;
pub use kind::SourceKind;
pub use progress::Progress;
pub use resolver::{Options, Resolver};
pub use store::{Installed, Listing, Store};
pub use transfer::Location;

use tlsboot_core::version::Version;

/// The etcd version of a control plane unless another is asked for; it works with all Kubernetes versions of the
/// catalogue.
pub const DEFAULT_ETCD: Version = Version::new(3, 7, 0);

/// The executable that contains every component of Kubernetes and acts by the name it is called by
/// (kubernetes/main.go).
const KUBE: &str = "kube";

/// A component that tlsboot runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The API server.
    KubeApiserver,
    /// The controller manager, which approves and signs.
    KubeControllerManager,
    /// The kubelet.
    Kubelet,
    /// The API server's database.
    Etcd,
}

const KUBERNETES_ROLES: [Role; 3] = [Role::KubeApiserver, Role::KubeControllerManager, Role::Kubelet];

/// What is released together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Product {
    /// kube-apiserver, kube-controller-manager and kubelet.
    Kubernetes,
    /// etcd.
    Etcd,
}

/// One version of a product, for this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Package {
    /// The product.
    pub product: Product,
    /// Its version.
    pub version: Version,
}

/// An executable to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Executable {
    /// Its path. Run it by this name: it may be a link to one executable for all components.
    pub path: PathBuf,
    /// Its full version: `1.37.2`, or for a distribution such as `1.33.4+k3s1`.
    pub version: String,
    /// Its SHA-256, hex; for a wrapper script, that of the script.
    pub sha256: String,
    /// Where it came from: `directory PATH`, `mirror LOCATION`, `release URL` or `build GO-VERSION`.
    pub origin: String,
}

/// The executables of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComponentSet {
    /// The API server's version, without a distribution's suffix.
    pub kubernetes: Version,
    /// The API server.
    pub kube_apiserver: Executable,
    /// The controller manager.
    pub kube_controller_manager: Executable,
    /// The kubelet.
    pub kubelet: Executable,
    /// etcd.
    pub etcd: Executable,
}

impl Executable {
    /// Checks whether its bytes still match [`Executable::sha256`], which reports show as what was run.
    ///
    /// # Errors
    /// If they do not, or it cannot be read.
    pub fn check_unchanged(&self) -> Result<(), ComponentError> {
        let actual = fingerprint::sha256(&self.path).map_err(error::io_error("cannot read", &self.path))?;
        if actual == self.sha256 {
            return Ok(());
        }
        Err(ComponentError::Changed { path: self.path.clone(), before: self.sha256.clone(), now: actual })
    }
}

impl Role {
    /// The executable's file name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::Kubelet => "kubelet",
            Self::Etcd => "etcd",
        }
    }

    /// The product that it is released with.
    pub const fn product(self) -> Product {
        match self {
            Self::Etcd => Product::Etcd,
            Self::KubeApiserver | Self::KubeControllerManager | Self::Kubelet => Product::Kubernetes,
        }
    }
}

impl Product {
    /// Its name, and its folder in a store or mirror.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Etcd => "etcd",
        }
    }
}

impl Package {
    /// The folder in a store or mirror: `kubernetes/v1.37.2/linux-amd64`.
    pub fn folder(self) -> String {
        format!("{}/v{}/linux-{}", self.product.name(), self.version, arch())
    }

    /// The same as one file name.
    fn key(self) -> String {
        self.folder().replace('/', "-")
    }

    /// Parses that file name.
    fn from_key(key: &str) -> Option<Self> {
        let version = |product: Product| {
            let rest = key.strip_prefix(product.name())?.strip_prefix("-v")?;
            rest.strip_suffix(arch())?.strip_suffix("-linux-")?.parse().ok()
        };
        [Product::Kubernetes, Product::Etcd]
            .into_iter()
            .find_map(|product| version(product).map(|version| Self { product, version }))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} for linux-{}", self.product.name(), self.version, arch())
    }
}

/// This machine's architecture, as Go and the releases name it.
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
