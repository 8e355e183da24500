//! From a snapshot to findings. Pure: no clock and no IO, so each finding is tested on a snapshot.

mod certificates;
mod csrs;
mod discovery;
mod doctor;
mod judge;
#[cfg(test)]
mod law;
mod nodes;
mod rbac;
mod reaching;
mod report;
mod signing;
#[cfg(test)]
mod tests;
mod tokens;
mod whole;

pub use doctor::PATIENCE;
pub use judge::{Cause, approves, unsignable};
pub use reaching::{Obstacle, obstacle};
pub use report::{ApproverReport, BindingReport, Diagnosis, Finding, Grade, Life, NodeReport, SignerReport};
pub use whole::diagnose;

pub(super) use doctor::short;
