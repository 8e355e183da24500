//! `replaceServingPair`.

use core::net::IpAddr;

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
    /// DNS names of the new certificate; the node's name by default.
    #[serde(default)]
    pub dns: Option<Vec<String>>,
    /// IP addresses of the new certificate; none by default.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub ips: Vec<IpAddr>,
    /// What is wrong with it.
    #[serde(default)]
    pub flaw: Option<PairFlaw>,
}

/// What is wrong with a serving certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PairFlaw {
    /// It expired an hour ago.
    Expired,
    /// Its CA is one that the cluster does not know.
    #[serde(rename = "foreignCA")]
    ForeignCa,
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
