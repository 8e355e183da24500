//! Follows what the stimuli of a scenario change, to find those that can't change anything. What is expected after such
//! a step would come without it, so it proves less than it seems to.
//!
//! Only what is certain before a run counts: a kubelet may exit by itself, so starting it once more may have an effect.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Bindings, Step};
use super::stimulus::{Component, CutKind, Process, cluster_role};

/// How things stand between two steps, as far as steps decide it.
#[derive(Debug)]
pub(super) struct Effects<'a> {
    /// ClusterRoles that are bound, made by hand, or both.
    bound: BTreeSet<&'a str>,
    made: BTreeSet<&'a str>,
    /// Kubelets that were started, and components that were not ended.
    up: BTreeSet<&'a str>,
    joined: BTreeSet<&'a str>,
    cut: BTreeMap<&'a str, CutKind>,
    deleted: BTreeSet<&'a str>,
    expired: BTreeSet<&'a str>,
}

impl<'a> Effects<'a> {
    /// Before the first step.
    pub(super) fn before(bindings: &Bindings) -> Self {
        Self {
            bound: bindings.present().map(|(word, _)| cluster_role(word)).collect(),
            made: BTreeSet::new(),
            up: [Component::ApiServer, Component::ControllerManager].map(Component::name).into(),
            joined: BTreeSet::new(),
            cut: BTreeMap::new(),
            deleted: BTreeSet::new(),
            expired: BTreeSet::new(),
        }
    }

    /// Takes one step. The answer says why it changes nothing.
    pub(super) fn follow(&mut self, step: &'a Step) -> Option<String> {
        let (changes, why) = match step {
            Step::Start(process) => {
                let name = name(process);
                if process.exits {
                    self.up.remove(name);
                } else {
                    self.up.insert(name);
                }
                return None;
            }
            Step::Stop(process) | Step::Kill(process) => {
                let name = name(process);
                (self.up.remove(name), format!("{name} does not run"))
            }
            Step::Restart(process) => {
                let name = name(process);
                let why = format!("{name} does not run: `start` it");
                (self.up.contains(name), why)
            }
            Step::Join(join) => {
                (self.joined.insert(join.node.as_str()), format!("kubeadm has joined {} already", join.node))
            }
            Step::Bind(bind) => (
                self.bound.insert(cluster_role(&bind.role)),
                format!("{} is bound already: `unbind` it first", bind.role),
            ),
            Step::Unbind(unbind) => {
                (self.bound.remove(cluster_role(&unbind.role)), format!("{} is not bound", unbind.role))
            }
            Step::ClusterRole(role) => {
                (self.made.insert(&role.name), format!("there is a ClusterRole {} already", role.name))
            }
            Step::CreateToken(name) => {
                self.deleted.remove(name.token.as_str());
                self.expired.remove(name.token.as_str());
                return None;
            }
            Step::DeleteToken(name) => {
                (self.deleted.insert(&name.token), format!("the token `{}` is deleted already", name.token))
            }
            Step::ExpireToken(name) => {
                let is_there = !self.deleted.contains(name.token.as_str());
                let why = format!("the token `{}` is deleted, or expired already", name.token);
                (self.expired.insert(&name.token) && is_there, why)
            }
            Step::Cut(cut) => (
                self.cut.insert(&cut.node, cut.how) != Some(cut.how),
                format!("the link of {} is cut so already", cut.node),
            ),
            Step::Mend(mend) => {
                (self.cut.remove(mend.node.as_str()).is_some(), format!("the link of {} is not cut", mend.node))
            }
            // Whether these change something, the cluster decides; the run says so when they don't.
            _ => return None,
        };
        (!changes).then(|| format!("`{}` has no effect: {why}", step.word()))
    }
}

fn name(process: &Process) -> &str {
    match (&process.node, process.component) {
        (Some(node), _) => node,
        (None, Some(component)) => component.name(),
        (None, None) => "",
    }
}
