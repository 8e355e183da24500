//! Clusters as plain processes on this machine: etcd, kube-apiserver, kube-controller-manager and kubelets.
//! No root, no Docker, no container runtime.

mod control_plane;
mod flags;
mod provider;

pub use provider::Local;
pub(super) use provider::{NAME, capabilities};
