//! tlsboot-engine.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod cluster;
pub mod components;
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
pub mod secret;
pub mod shim;
pub mod task;
pub mod untrusted;
