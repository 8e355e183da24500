//! `tlsboot doctor --kubeconfig`: what a node operator wants to know of a cluster. Three planes as everywhere:
//! [`look`] observes and changes nothing, [`diagnose`] is pure, [`words`] says it.

pub mod diagnose;
mod discovery;
pub mod look;
pub mod people;
pub mod reach;
pub mod remedy;
pub mod rights;
pub mod snapshot;
pub mod token;
pub mod words;

/// The roles that doctor needs, as YAML.
pub const RBAC: &str = include_str!("rbac.yaml");
