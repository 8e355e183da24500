//! Clusters as plain processes on this machine: etcd, kube-apiserver, kube-controller-manager and kubelets.
//! No root, no Docker, no container runtime.

mod control_plane;
mod dialect;
mod executables;
mod flags;
mod provider;

pub use executables::Local;
pub(super) use provider::{NAME, capabilities};
