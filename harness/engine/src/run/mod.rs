//! A scenario on a target, from plan to verdict: [`Runner`] starts the cluster, drives and judges until everything is
//! decided, and completes the evidence.
//!
//! The run reports what happens as [`RunEvent`]s to a [`Listener`], which decides how to show it.

mod attempt;
mod error;
mod events;
mod play;
mod target;

pub use attempt::{Ran, Runner};
pub use error::RunError;
pub use events::{Awaited, Listener, RunEvent, RunEventKind, Silent};
pub use target::{Target, TargetId};
