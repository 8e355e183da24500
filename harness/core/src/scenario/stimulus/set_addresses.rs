//! `setAddresses`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Names, Stimulus};
use crate::scenario::NodeName;

/// A Node's addresses, which replace all existing ones.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetAddresses {
    /// The node.
    pub node: NodeName,
    /// `status.addresses`.
    pub addresses: Vec<Address>,
    /// The node whose kubelet's port becomes this Node's as well, as when a machine has taken over the address of another
    /// one. This node's kubelet must be stopped: it would set its own port again.
    #[serde(default)]
    pub port_of: Option<NodeName>,
}

/// An address of a Node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Address {
    /// `Hostname`, `InternalDNS`, `InternalIP`, `ExternalDNS` or `ExternalIP`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The address.
    pub address: String,
}

impl Stimulus for SetAddresses {
    fn lint(&self, names: &Names<'_>) -> Vec<String> {
        let other = self.port_of.as_deref().and_then(|node| names.node(node));
        names.node(&self.node).into_iter().chain(other).collect()
    }
}
