//! `tlsboot distribution`: what a distribution does instead of bootstrapping its nodes by CSRs, as statements that can
//! be checked. [`play`] drives and observes; [`k3s`] is pure: the statements, and whether the observations confirm
//! them.

pub mod k3s;
#[cfg(feature = "docker")]
pub mod play;
mod words;

pub use words::text;

use serde::Serialize;

use crate::probe::Outcome;

/// A statement about a distribution.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// Its name.
    pub id: &'static str,
    /// The statement.
    pub title: &'static str,
    /// Its source.
    pub source: &'static str,
}

/// A statement and its result.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    /// The statement.
    #[serde(flatten)]
    pub statement: Statement,
    /// Its result.
    #[serde(flatten)]
    pub outcome: Outcome,
}
