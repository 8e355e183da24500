//! Mutants: real clusters with one thing wrong each, to prove that the scenarios notice.
//!
//! A mutant is a [`Defect`] of a local cluster: another flag, a rogue signer or approver, a binding that is too wide,
//! something that meddles with a kubelet, or a bug that is built into Kubernetes. Scenarios run on it as on any cluster, and it is *killed* when one of them is
//! judged red. [`table`] says which scenarios are expected to do that; [`matrix`] is what came of it.

mod approver;
mod beside;
mod bugs;
mod flags;
mod follow;
pub mod matrix;
mod objects;
mod rules;
mod signer;
mod stand_in;
mod table;

use std::sync::Arc;

use crate::cluster::processes::Defect;
use crate::components::Edit;

pub use bugs::{Buggy, edits};
pub use table::table;

/// A cluster with one thing wrong.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// Unique id: `signer.ca-true`.
    pub id: &'static str,
    /// What is wrong, in one sentence.
    pub wrong: &'static str,
    /// The scenarios that must notice, by id. Of a sound one, those that must not.
    pub scenarios: &'static [&'static str],
    /// Nothing is wrong: a stand-in without a fault, which shows that the others are killed for their faults.
    pub sound: bool,
    /// The first minor version of Kubernetes 1 on which it can be made.
    pub from: u32,
    /// How it is made.
    pub made: Made,
}

/// How a mutant is made.
#[derive(Clone, Debug)]
pub enum Made {
    /// Around the executables, which stay as they are.
    Around(Arc<dyn Defect>),
    /// Inside of them, by [`Buggy`] executables with these edits.
    Inside(&'static [Edit]),
}

/// A glob that no mutant's id matches.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` selects no mutant; `tlsboot mutants --list` shows all")]
pub struct NoSuchMutant(String);

/// The mutants that any of the globs chooses; all without globs.
///
/// # Errors
/// A glob that chooses none.
pub fn select(all: Vec<Mutant>, globs: &[String]) -> Result<Vec<Mutant>, NoSuchMutant> {
    let fits = |glob: &str, mutant: &Mutant| glob_match::glob_match(glob, mutant.id);
    if let Some(nothing) = globs.iter().find(|glob| !all.iter().any(|mutant| fits(glob, mutant))) {
        return Err(NoSuchMutant(nothing.clone()));
    }
    let chosen = |mutant: &Mutant| globs.is_empty() || globs.iter().any(|glob| fits(glob, mutant));
    Ok(all.into_iter().filter(chosen).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_choose() {
        let ids = |globs: &[&str]| -> Vec<&str> {
            let globs: Vec<String> = globs.iter().map(|&glob| glob.into()).collect();
            let chosen = select(table(), &globs).unwrap();
            chosen.iter().map(|mutant| mutant.id).collect()
        };
        assert_eq!(ids(&["signer.authority"]), ["signer.authority"]);
        assert!(ids(&["rbac.*"]).iter().all(|id| id.starts_with("rbac.")));
        assert_eq!(ids(&[]).len(), table().len());
        let error = select(table(), &["no-such".into()]).unwrap_err();
        assert!(error.to_string().contains("`no-such` selects no mutant"), "{error}");
    }
}
