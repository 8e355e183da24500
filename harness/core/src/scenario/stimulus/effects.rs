//! What the steps of a scenario change, to find steps that cannot change anything. What is expected after such a step
//! would happen without it, so it proves less than it seems to.
//!
//! Only what is certain before a run counts: a kubelet may exit on its own, so starting it once more may have an
//! effect. The run finds out what only the cluster knows.

use std::collections::{BTreeMap, BTreeSet};

use super::admission::Admitted;
use super::{Component, CutKind, Direction};
use crate::scenario::model::Bindings;

/// The state between two steps, as far as steps determine it.
#[derive(Debug)]
pub struct Effects<'a> {
    /// ClusterRoles that are bound.
    pub(super) bound: BTreeSet<&'a str>,
    /// ClusterRoles that a step created.
    pub(super) made: BTreeSet<&'a str>,
    /// Kubelets that were started, and components that were not stopped.
    pub(super) up: BTreeSet<&'a str>,
    /// Nodes that kubeadm has joined.
    pub(super) joined: BTreeSet<&'a str>,
    /// Nodes whose link is cut, in this direction.
    pub(super) cut: BTreeMap<(&'a str, Direction), CutKind>,
    /// Tokens whose Secret was deleted.
    pub(super) deleted: BTreeSet<&'a str>,
    /// Tokens that a step made expire.
    pub(super) expired: BTreeSet<&'a str>,
    /// Requests that admission refuses.
    pub(super) refused: BTreeSet<Admitted>,
    /// Steps that send requests to a kubelet again and again.
    pub(super) reached: BTreeSet<&'a str>,
}

impl Effects<'_> {
    /// Before the first step.
    pub(in crate::scenario) fn before(bindings: &Bindings) -> Self {
        Self {
            bound: bindings.present().map(|(role, _)| role.cluster_role()).collect(),
            made: BTreeSet::new(),
            up: [Component::ApiServer, Component::ControllerManager].map(Component::name).into(),
            joined: BTreeSet::new(),
            cut: BTreeMap::new(),
            deleted: BTreeSet::new(),
            expired: BTreeSet::new(),
            refused: BTreeSet::new(),
            reached: BTreeSet::new(),
        }
    }
}
