//! tlsboot

pub mod node;
