//! Node objects.

use schemars::JsonSchema;
use serde::Deserialize;

use super::compare::Compare;
use super::{LooksAt, Match, Matcher, Moment, OfEvents};
use crate::history::What;
use crate::history::event::{Change, Recorder};
use crate::scenario::NodeName;

/// A Node object, as the API shows it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeObject {
    /// The node.
    pub node: NodeName,
    /// Its state, by its condition Ready.
    #[serde(default)]
    pub state: Option<NodeState>,
}

/// The state of a Node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum NodeState {
    /// The condition is `True`.
    Ready,
    /// The condition is `False`: the kubelet reports that it is not ready.
    NotReady,
    /// The condition is `Unknown`: the kubelet has not reported for a while.
    Unknown,
}

impl NodeState {
    const ALL: [Self; 3] = [Self::Ready, Self::NotReady, Self::Unknown];

    fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NotReady => "notReady",
            Self::Unknown => "unknown",
        }
    }

    /// The status of the condition Ready.
    fn status(self) -> &'static str {
        match self {
            Self::Ready => "True",
            Self::NotReady => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl Matcher for NodeObject {
    fn recorders(&self) -> &'static [Recorder] {
        &[Recorder::Node]
    }

    fn can_stay(&self) -> bool {
        true
    }

    fn looks_at(&self) -> LooksAt<'_> {
        LooksAt::Events(self)
    }

    fn subjects(&self) -> Vec<&str> {
        vec![&self.node]
    }
}

impl OfEvents for NodeObject {
    fn judge(&self, moment: &Moment<'_>) -> Match {
        let What::Node(node) = &moment.event.what else { return Match::Other };
        if node.node != self.node {
            return Match::Other;
        }
        let mut compare = Compare::default();
        compare.holds("object", node.change != Change::Deleted, "exists", "deleted");
        let status = node.ready.as_deref();
        let found = NodeState::ALL.into_iter().find(|state| status == Some(state.status()));
        compare.text("state", self.state.map(NodeState::word), found.map(NodeState::word).or(status));
        compare.or_near()
    }
}
