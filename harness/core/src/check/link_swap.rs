//! The swap of the `-current.pem` link at a rotation (catalogue K-16): the new link is created beside it, the old one
//! is removed, and the new one is renamed. For a moment there is no link; the history shows for how long, event by
//! event.

use schemars::JsonSchema;
use serde::Deserialize;

use super::compare::{Compare, NONE};
use super::{LooksAt, Match, Matcher, Moment, OfEvents, Role};
use crate::history::What;
use crate::history::event::{FileEvent, FileKind, FileOp, Recorder};
use crate::scenario::stimulus::Need;
use crate::scenario::{Capability, NodeName};

/// A swap of the link, as the kubelet does it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LinkSwap {
    /// The node.
    pub node: NodeName,
    /// Which certificate's link.
    pub role: Role,
}

impl Matcher for LinkSwap {
    fn recorders(&self) -> &'static [Recorder] {
        &[Recorder::Files]
    }

    fn looks_at(&self) -> LooksAt<'_> {
        LooksAt::Events(self)
    }

    fn needs(&self) -> Vec<Need> {
        vec![(Capability::NodeFiles, "show a kubelet's files")]
    }

    fn nodes(&self) -> Vec<&str> {
        vec![&self.node]
    }
}

impl OfEvents for LinkSwap {
    fn judge(&self, moment: &Moment<'_>) -> Match {
        let (current, updated) =
            (format!("{}-current.pem", self.role.file_prefix()), format!("{}-updated.pem", self.role.file_prefix()));
        let What::File(file) = &moment.event.what else { return Match::Other };
        if file.node != self.node || file.name != current || file.op != FileOp::MovedTo {
            return Match::Other;
        }
        let before: Vec<&FileEvent> = moment
            .past
            .iter()
            .rev()
            .skip(1)
            .filter_map(|event| match &event.what {
                What::File(file) if file.node == self.node => Some(&**file),
                _ => None,
            })
            .collect();
        let since_last_swap = || before.iter().take_while(|file| !(file.name == current && file.op == FileOp::MovedTo));
        let mut compare = Compare::default();
        let from = since_last_swap().find(|other| other.op == FileOp::MovedFrom && other.name == updated);
        compare.holds(
            "rename",
            from.is_some_and(|from| from.cookie == file.cookie),
            format!("from {updated}"),
            "from elsewhere",
        );
        let removed = since_last_swap().any(|other| other.name == current && other.op == FileOp::Deleted);
        compare.holds(
            "removal",
            removed,
            format!("{current} removed before the rename"),
            "no removal: an atomic swap, or a first link",
        );
        let kind = file.facts.as_ref().map(|facts| facts.kind);
        compare.holds("kind", kind == Some(FileKind::Link), FileKind::Link.word(), kind.map_or(NONE, FileKind::word));
        compare.or_near()
    }
}
