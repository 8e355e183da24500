//! tlsboot-field.

pub mod approver;
pub mod bootstrap;
pub mod connection;
pub mod doctor;
pub mod owned;
pub mod probe;
pub mod profile;
