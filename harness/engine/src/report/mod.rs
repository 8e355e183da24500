//! Reports: created from a run's result and the histories, never from the live run.
//!
//! [`write_all`] writes the requested ones. [`failure::text`] explains one scenario's failure, for a test's own output.

mod error;
pub mod failure;
mod follow;
mod format;
mod github;
mod held;
mod html;
pub mod json;
mod junit;
mod markdown;
pub mod merge;
mod overview;
pub mod paint;
pub mod signature;
pub mod terminal;
mod timeline;
pub mod verify;
mod words;
mod write;

#[cfg(test)]
mod fixture;

pub use crate::evidence::Evidence;
pub use error::ReportError;
pub use follow::Follow;
pub use format::Format;
pub use paint::colours_wanted;
pub use words::count;
pub use write::{sign, write_all};
