//! tlsboot

pub mod components;
