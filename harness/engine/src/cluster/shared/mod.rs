//! What every provider stands on: keys, tokens, settings, clients, the run's folder, and what a kubelet is to all of them.
//! Nothing here knows a provider.

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
