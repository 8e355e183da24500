//! tlsboot: an end-to-end conformance suite for kubelet TLS bootstrapping and certificate rotation.
//!
//! Three planes over a history: [`drive`] does things to a real cluster, [`observe`] records what happens,
//! [`check`] judges the record. [`run`] joins them for one scenario on one target.

pub mod approver;
pub mod check;
pub mod cli;
pub mod cluster;
pub mod components;
pub mod diff;
pub mod doctor;
pub mod drive;
pub mod evidence;
pub mod history;
pub mod known;
pub mod mutants;
pub mod name;
pub mod node;
pub mod observe;
pub mod pki;
pub(crate) mod private;
pub mod probe;
pub mod process;
pub mod profile;
pub mod report;
pub mod result;
pub mod run;
pub mod runtime;
pub mod scenario;
pub mod secret;
pub mod shim;
pub mod tables;
pub mod task;
pub mod version;
pub mod x509;
