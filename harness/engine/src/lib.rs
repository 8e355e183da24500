//! The engine of tlsboot: it starts clusters, performs a scenario's steps on them, records what happens, and reports.
//!
//! Three planes over a history: [`drive`] acts on a real cluster, [`observe`] records what happens, and
//! [`tlsboot_core::check`] judges the record. [`run`] joins them for one scenario on one target; [`cluster`] has the
//! providers; [`mutants`] breaks clusters on purpose, to show that the scenarios notice. It knows nothing of the
//! command line: a run reports its progress to a listener.
//!
//! Nothing here is a stable interface; see `tlsboot-core` for what is.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod cluster;
pub mod components;
mod digest;
pub mod drive;
pub mod evidence;
pub mod flags;
pub mod library;
pub mod mutants;
pub mod node;
pub mod observe;
pub mod pki;
pub mod poll;
pub mod private;
pub mod process;
pub mod report;
pub mod run;
pub mod runtime;
pub mod say;
pub mod secret;
pub mod shim;
pub mod task;
pub mod untrusted;
