//! Node objects.

use schemars::JsonSchema;
use serde::Deserialize;

use super::compare::{Compare, NONE};
use super::{Match, Matcher, Moment};
use crate::history::What;
use crate::history::event::{Change, Recorder};

/// A Node, as the API shows it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// The condition Ready: `True`, `False` or `Unknown`.
    #[serde(default)]
    pub ready: Option<String>,
}

impl Matcher for Node {
    fn recorders(&self) -> &'static [Recorder] {
        &[Recorder::Node]
    }

    fn judge(&self, moment: &Moment<'_>) -> Match {
        let What::Node(node) = &moment.event.what else { return Match::Other };
        if node.node != self.name || node.change == Change::Deleted {
            return Match::Other;
        }
        let mut compare = Compare::default();
        compare.text("ready", self.ready.as_deref(), Some(node.ready.as_deref().unwrap_or(NONE)));
        compare.or_near()
    }

    fn nodes(&self) -> Vec<&str> {
        vec![&self.name]
    }
}
