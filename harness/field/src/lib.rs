//! tlsboot-field.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod approver;
pub mod bootstrap;
pub mod connection;
pub mod doctor;
pub mod owned;
pub mod probe;
pub mod profile;
