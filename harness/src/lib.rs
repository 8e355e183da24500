//! tlsboot

pub mod history;
pub mod pki;
pub mod secret;
