//! A kubelet: its files, its flags and its CRI endpoint; and a client that bootstraps without one.

mod carry;
pub mod cri;
pub mod inlet;
mod kubelet;
pub mod link;

pub use kubelet::{
    BootstrapUser, DEFAULT_CERT_DIR, KUBEADM_DIR, KubeletConfig, NodeDir, bootstrap_kubeconfig, embedding_kubeconfig,
    exec_credential,
};
