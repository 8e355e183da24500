//! How many CSRs exist at the same time (catalogue C-11). CSRs that pile up are the sign of a kubelet that never gets
//! an answer.

use schemars::JsonSchema;
use serde::Deserialize;

use super::compare::Compare;
use super::csr::CsrState;
use super::{LooksAt, Match, Matcher, OfState, Role, State};
use crate::history::event::{Event, Recorder, What};
use crate::scenario::NodeName;

/// The number of CSRs for a node that exist now.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CsrCount {
    /// The node that the certificates are for.
    pub node: NodeName,
    /// Which of its certificates they are for.
    pub role: Role,
    /// Their state; any state by default, as long as they exist.
    #[serde(default)]
    pub state: Option<CsrState>,
    /// The smallest number allowed.
    #[serde(default)]
    pub min: Option<usize>,
    /// The largest number allowed.
    #[serde(default)]
    pub max: Option<usize>,
}

impl Matcher for CsrCount {
    fn recorders(&self) -> &'static [Recorder] {
        &[Recorder::Csr]
    }

    fn can_stay(&self) -> bool {
        true
    }

    fn looks_at(&self) -> LooksAt<'_> {
        LooksAt::State(self)
    }

    fn subjects(&self) -> Vec<&str> {
        vec![&self.node]
    }

    fn lint(&self) -> Option<String> {
        if self.state == Some(CsrState::Deleted) {
            return Some("deleted CSRs no longer exist, so they cannot be counted".into());
        }
        match (self.min, self.max) {
            (None, None) => Some("set `min`, `max`, or both".into()),
            (Some(min), Some(max)) if min > max => Some("`min` is greater than `max`".into()),
            _ => None,
        }
    }
}

impl OfState for CsrCount {
    fn holds(&self, state: &State) -> Match {
        let all = state.csrs_of(&self.node, self.role);
        let found = all.filter(|csr| match self.state {
            Some(wanted) => wanted.is_that_of(&csr.now),
            None => !CsrState::Deleted.is_that_of(&csr.now),
        });
        let found = found.count();
        let mut compare = Compare::default();
        if let Some(min) = self.min {
            compare.holds("min", found >= min, format!("at least {min}"), found);
        }
        if let Some(max) = self.max {
            compare.holds("max", found <= max, format!("at most {max}"), found);
        }
        compare.or_near()
    }

    fn is_changed_by(&self, event: &Event) -> bool {
        matches!(&event.what, What::Csr(csr) if csr.node() == Some(&self.node) && csr.signer_name == self.role.signer_name())
    }
}
