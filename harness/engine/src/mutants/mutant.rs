//! One mutant: what is wrong, and how it is created.

use std::sync::Arc;

use crate::cluster::processes::Defect;
use crate::components::Edit;

/// A cluster with one fault.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// Unique id: `signer.ca-true`.
    pub id: &'static str,
    /// What is wrong, in one sentence.
    pub wrong: &'static str,
    /// The scenarios that must notice it, by id. For a fault-free control, the ones that must not.
    pub scenarios: &'static [&'static str],
    /// Nothing is wrong: a fault-free control, which shows that the other mutants are killed by their faults.
    pub sound: bool,
    /// The first minor version of Kubernetes 1 on which it can be created.
    pub from: u32,
    /// How it is created.
    pub made: Made,
}

/// How a mutant is created.
#[derive(Clone, Debug)]
pub enum Made {
    /// Around the executables, which stay as they are.
    Around(Arc<dyn Defect>),
    /// Inside them, by [`Buggy`] executables with these edits.
    Inside(&'static [Edit]),
}

/// A mutant around the executables, on any version.
pub(super) fn mutant(
    id: &'static str,
    wrong: &'static str,
    scenarios: &'static [&'static str],
    defect: impl Defect + 'static,
) -> Mutant {
    Mutant { id, wrong, scenarios, sound: false, from: 0, made: Made::Around(Arc::new(defect)) }
}
