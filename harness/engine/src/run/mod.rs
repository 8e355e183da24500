//! A scenario on a target, from plan to verdict: [`Runner`] starts the cluster, drives and judges until all is decided,
//! and closes the evidence.
//!
//! The run tells what happens as [`RunEvent`]s to a [`Listener`]; how that looks is the listener's affair.

mod attempt;
mod error;
mod events;
mod play;
mod target;

pub use attempt::{Ran, Runner};
pub use error::RunError;
pub use events::{Awaited, Listener, RunEvent, RunEventKind, Silent};
pub use target::{Target, TargetId};
