//! What every provider is built on: keys, tokens, settings, clients, the run's folder, and what all kubelets have in
//! common. Nothing here knows a provider.

pub mod base;
mod beta;
pub mod client;
pub mod dir;
pub mod file;
pub(crate) mod kubelet;
pub(crate) mod nodes;
pub(crate) mod recorders;
pub(crate) mod settings;
pub mod tokens;
pub(crate) mod trust;
pub(crate) mod watches;
