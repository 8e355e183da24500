//! A kubelet: its files, its flags and its CRI endpoint.

pub mod cri;
mod kubelet;

pub use kubelet::{KubeletConfig, NodeDir, bootstrap_kubeconfig};
