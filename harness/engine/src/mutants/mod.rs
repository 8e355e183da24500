//! Mutants: real clusters with one fault each, to prove that the scenarios notice it.
//!
//! A mutant is a [`Defect`] of a local cluster: another flag, a rogue signer or approver, an overly permissive binding,
//! something that interferes with a kubelet, or a bug that is built into Kubernetes. Scenarios run on it as on any
//! cluster, and it is *killed* if one of them is judged red. [`table`] lists the scenarios that are expected to do
//! that; [`matrix`] holds the results.

mod approver;
mod aside;
mod beside;
mod bugs;
mod flags;
mod follow;
pub mod matrix;
mod mutant;
mod objects;
mod reach;
mod relapse;
mod rules;
mod signer;
mod stand_in;
mod table;

use tlsboot_core::name::similar_id;

pub use bugs::{Buggy, edits};
pub use mutant::{Made, Mutant};
pub use table::table;

/// A glob that no mutant's id matches.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{glob}` selects no mutant; `tlsboot mutants --list` shows all{}", meant.as_ref().map_or_else(String::new, |id| format!(" (did you mean `{id}`?)")))]
pub struct NoSuchMutant {
    glob: String,
    meant: Option<String>,
}

/// The mutants that match any of the globs; all of them without globs.
///
/// # Errors
/// A glob that matches none.
pub fn select(all: Vec<Mutant>, globs: &[String]) -> Result<Vec<Mutant>, NoSuchMutant> {
    let fits = |glob: &str, mutant: &Mutant| glob_match::glob_match(glob, mutant.id);
    if let Some(nothing) = globs.iter().find(|glob| !all.iter().any(|mutant| fits(glob, mutant))) {
        let meant = similar_id(nothing, all.iter().map(|mutant| mutant.id));
        return Err(NoSuchMutant { glob: nothing.clone(), meant });
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
        let wrong = |glob: &str| select(table(), &[glob.into()]).unwrap_err().to_string();
        assert!(wrong("no-such").starts_with("`no-such` selects no mutant"), "{}", wrong("no-such"));
        assert!(wrong("signr.*").ends_with("(did you mean `signer.*`?)"), "{}", wrong("signr.*"));
    }
}
