//! `replaceServingPair`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Names, Need, Stimulus};
use crate::history::event::{FileOp, What};
use crate::scenario::{Capability, NodeName};

/// The node whose `tls.crt` and `tls.key` are replaced by a new pair.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplaceServingPair {
    /// The node, with `servingPair: fromFile`.
    pub node: NodeName,
}

impl ReplaceServingPair {
    /// The certificate's file in the certificate directory; its key is next to it.
    pub const CERTIFICATE: &str = "tls.crt";
}

impl Stimulus for ReplaceServingPair {
    fn lint(&self, names: &Names<'_>) -> Vec<String> {
        let pair = names.serving_pair_of(&self.node);
        names.node(&self.node).into_iter().chain(pair).collect()
    }

    fn needs(&self) -> Vec<Need> {
        vec![(Capability::NodeFiles, "change a kubelet's files")]
    }

    fn is_recorded(&self) -> bool {
        true
    }

    fn is_recorded_by(&self, what: &What) -> bool {
        match what {
            What::File(file) => {
                let is_it = file.node == self.node && file.name == Self::CERTIFICATE;
                is_it && file.op != FileOp::Deleted && file.facts.is_some()
            }
            _ => false,
        }
    }
}
