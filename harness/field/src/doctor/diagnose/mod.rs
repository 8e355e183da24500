//! From a snapshot to findings. Pure: no clock and no IO, so each finding is tested on a snapshot.

mod certificates;
mod csrs;
mod doctor;
mod rbac;
mod report;
mod signing;
#[cfg(test)]
mod tests;
mod tokens;

pub use csrs::unrecognised;
pub use doctor::{PATIENCE, diagnose};
pub use report::{ApproverReport, BindingReport, Diagnosis, Finding, Grade, Life, NodeReport, SignerReport};

pub(super) use certificates::short;
