//! From a snapshot to findings. Pure: no clock and no IO, so each finding is tested on a snapshot.

mod certificates;
mod csrs;
mod doctor;
mod judge;
mod rbac;
mod report;
mod signing;
#[cfg(test)]
mod tests;
mod tokens;

pub use doctor::{PATIENCE, diagnose};
pub use judge::{Cause, unsignable};
pub use report::{ApproverReport, BindingReport, Diagnosis, Finding, Grade, Life, NodeReport, SignerReport};

pub(super) use certificates::short;
