//! `tlsboot distribution`: what a distribution does instead of bootstrapping its nodes by CSRs, as statements that can be
//! checked. [`play`] drives and observes, [`k3s`] is pure: the statements, and whether what was seen bears them out.

pub mod k3s;
#[cfg(feature = "docker")]
pub mod play;
mod words;

pub use words::text;

use serde::Serialize;

use crate::probe::Outcome;

/// Something that a distribution says of itself.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// Its name.
    pub id: &'static str,
    /// What is true.
    pub title: &'static str,
    /// Where that stands.
    pub source: &'static str,
}

/// A statement, and how it went with it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    /// What was said.
    #[serde(flatten)]
    pub statement: Statement,
    /// Whether it is so.
    #[serde(flatten)]
    pub outcome: Outcome,
}
