//! tlsboot

pub mod history;
