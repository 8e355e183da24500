//! tlsboot-core.

pub mod check;
pub mod diff;
pub mod exit;
pub mod history;
pub mod known;
pub mod name;
pub mod result;
pub mod scenario;
pub mod tables;
pub mod version;
pub mod x509;
