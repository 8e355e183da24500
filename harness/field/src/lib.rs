//! What tlsboot does in clusters that it did not start.
//!
//! [`doctor`] examines a cluster and reports what would break at the next rotation, [`probe`] plays a node in it,
//! [`approver`] sends hostile CSRs to its approver, and [`profile`] checks what a distribution does instead of CSRs.
//! [`connection`] connects by kubeconfig, and [`owned`] removes everything that was created.
//!
//! Nothing here is a stable interface; see `tlsboot-core` for what is.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod approver;
pub mod bootstrap;
pub mod connection;
pub mod doctor;
pub mod owned;
pub mod probe;
pub mod profile;
