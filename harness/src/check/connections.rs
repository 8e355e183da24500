//! Connections between a kubelet and the API server, seen on the link between them (catalogue T-03).

use schemars::JsonSchema;
use serde::Deserialize;

use super::compare::Compare;
use super::{Match, Matcher, Moment, Role};
use crate::history::event::{ClosedBy, ConnectionState, Recorder, What};

/// After a new client certificate the kubelet closes every connection that it opened before, and opens new ones.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Connections {
    /// The node.
    pub node: String,
    /// The client certificate after which all connections are new, by number of issue from 1.
    pub renewed_by: usize,
}

impl Matcher for Connections {
    fn recorders(&self) -> &'static [Recorder] {
        &[Recorder::Link, Recorder::Csr]
    }

    fn judge(&self, moment: &Moment<'_>) -> Match {
        let What::Connection(_) = &moment.event.what else { return Match::Other };
        let issued = moment.state.issued(&self.node, Role::Client);
        let Some(since) = issued.get(self.renewed_by.wrapping_sub(1)).and_then(|(csr, _)| csr.issued) else { return Match::Other };
        let ours = || moment.state.connections.iter().filter(|((node, _), _)| *node == self.node);
        let old: Vec<String> = ours().filter(|(_, opened)| **opened < since).map(|((_, id), _)| format!("#{id}")).collect();
        let new = ours().filter(|(_, opened)| **opened >= since).count();
        let not_by_kubelet = moment.past.iter().filter(|event| event.at >= since).any(|event| match &event.what {
            What::Connection(connection) => {
                connection.node == self.node && matches!(connection.state, ConnectionState::Closed { by } if by != ClosedBy::Kubelet)
            }
            _ => false,
        });
        let mut compare = Compare::default();
        compare
            .holds("old connections", old.is_empty(), "all closed", format!("still open: {}", old.join(" ")))
            .holds("new connections", new > 0, "at least one", new)
            .holds("closed by", !not_by_kubelet, "the kubelet", "the server or the link");
        compare.or_near()
    }

    fn nodes(&self) -> Vec<&str> {
        vec![&self.node]
    }
}
