//! Clusters in containers: a control plane by the real `kind` command and kubeadm, nodes of the same image beside it.
//!
//! kind makes the control plane and nothing else: a worker of kind's would have been joined by kubeadm, with a token,
//! bindings and certificates that no scenario knows of. The nodes are containers as kind makes them, whose kubelets
//! begin with nothing but the scenario's token. One cluster for each scenario; nothing is shared but the image.

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
