//! `damage`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Names, Need, Stimulus};
use crate::history::event::{FileOp, What};
use crate::scenario::names::wrong_file;
use crate::scenario::{Capability, NodeName};

/// A file of a kubelet, and what is done to it, as disks, administrators and bugs do.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Damage {
    /// The node.
    pub node: NodeName,
    /// `kubeconfig`, `bootstrap-kubeconfig`, or a name in the certificate directory.
    pub file: String,
    /// What is done to it.
    pub action: DamageAction,
}

/// What can be done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DamageAction {
    /// Delete it (a link, not its target).
    Delete,
    /// Truncate it in the middle (through a link).
    Truncate,
    /// Make it empty (through a link).
    Empty,
    /// Overwrite it with something that is neither PEM nor YAML (through a link).
    Corrupt,
    /// Replace a link by a regular file with the same content.
    ReplaceLink,
    /// Point a link to a file that does not exist.
    BreakLink,
    /// Replace the private key next to the certificate by another one (through a link).
    ReplaceKey,
    /// Take the private key out (through a link).
    RemoveKey,
    /// Take the certificates out (through a link).
    RemoveCertificate,
}

impl Stimulus for Damage {
    fn lint(&self, names: &Names<'_>) -> Vec<String> {
        let is_link = self.file.ends_with("-current.pem");
        let mut wrong: Vec<String> = names.node(&self.node).into_iter().chain(wrong_file(&self.file)).collect();
        if matches!(self.action, DamageAction::ReplaceLink | DamageAction::BreakLink) && !is_link {
            wrong.push(format!(
                "`{}` is not a link: this action is for `kubelet-client-current.pem` and `kubelet-server-current.pem`",
                self.file
            ));
        }
        wrong
    }

    fn needs(&self) -> Vec<Need> {
        vec![(Capability::NodeFiles, "change a kubelet's files")]
    }

    fn is_recorded(&self) -> bool {
        true
    }

    fn is_recorded_by(&self, what: &What) -> bool {
        let is_gone = self.action == DamageAction::Delete;
        match what {
            What::File(file) if file.node == self.node && file.name == self.file => {
                is_gone == (file.op == FileOp::Deleted || file.facts.is_none())
            }
            _ => false,
        }
    }
}
