//! Clusters in containers: a control plane by the real `kind` command and kubeadm, with nodes of the same image beside
//! it.
//!
//! kind creates only the control plane: a worker of kind's would have been joined by kubeadm, with a token, bindings
//! and certificates that scenarios do not know about. The nodes are containers like kind's, whose kubelets begin with
//! nothing but the scenario's token. There is one cluster per scenario; nothing but the image is shared.

mod command;
mod common;
mod config;
mod control_plane;
pub mod doctor;
mod follow;
mod joined;
mod network;
mod node;
mod provider;
mod static_pod;
mod unit;

pub use provider::{Kind, built_image};
pub(super) use provider::{NAME, capabilities};
