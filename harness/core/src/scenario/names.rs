//! Names in scenarios that become file names on this machine. A scenario may come from someone else, so no name may
//! lead out of its folder.

use std::fmt;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};

/// The longest name of a node (`DNS1123SubdomainMaxLength`, `k8s.io/apimachinery/pkg/util/validation`).
const LONGEST_NODE: usize = 253;
/// The longest file name, a limit of the kernel.
const LONGEST_FILE: usize = 255;

/// The longest id of a scenario: it is the name of a folder in reports.
const LONGEST_ID: usize = 120;

/// Whether this is a valid id of a scenario: `chapter.name-in-words`.
pub fn is_id(id: &str) -> bool {
    let is_inner = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || b"-.".contains(&letter);
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(is_inner);
    id.len() <= LONGEST_ID && id.split_once('.').is_some_and(|(chapter, name)| is_part(chapter) && is_part(name))
}

/// The name of a node. A kubelet converts its hostname to lower case (`GetHostname`, `component-helpers/node/util`), so
/// `Worker-A` and `worker-a` are the same node.
#[derive(Clone, Debug)]
pub struct NodeName {
    written: String,
    name: String,
}

impl NodeName {
    /// The name as it was written: the hostname.
    pub fn of_host(&self) -> &str {
        &self.written
    }
}

impl<S: Into<String>> From<S> for NodeName {
    fn from(written: S) -> Self {
        let written = written.into();
        Self { name: written.to_lowercase(), written }
    }
}

/// The Node's name.
impl Deref for NodeName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.name
    }
}

impl PartialEq for NodeName {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for NodeName {}

impl PartialEq<NodeName> for String {
    fn eq(&self, other: &NodeName) -> bool {
        *self == other.name
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl<'de> Deserialize<'de> for NodeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

impl JsonSchema for NodeName {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        String::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

/// What is wrong with the name of a node.
///
/// It may be one that Kubernetes rejects, such as one with an underscore (`ValidateNodeName`,
/// `pkg/apis/core/validation`), or one that the kubelet changes, such as one with capital letters (`GetHostname`,
/// `component-helpers/node/util`): such nodes exist in clusters.
pub(crate) fn wrong_node(name: &str) -> Option<String> {
    let is_inner = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    let has_ends = [name.chars().next(), name.chars().next_back()]
        .iter()
        .all(|end| end.is_some_and(|letter| letter.is_ascii_alphanumeric()));
    let is_right = has_ends && name.chars().all(is_inner) && name.len() <= LONGEST_NODE;
    (!is_right).then(|| {
        format!("{name:?} cannot be the name of a node: use up to {LONGEST_NODE} letters, digits, `.`, `_` and `-`, with a letter or digit first and last")
    })
}

/// What is wrong with the name of a file in a folder.
pub(super) fn wrong_file(name: &str) -> Option<String> {
    let is_elsewhere = name.is_empty() || name.contains('/') || [".", ".."].contains(&name);
    let is_right = !is_elsewhere && name.len() <= LONGEST_FILE && !name.contains(char::is_control);
    (!is_right).then(|| format!("{name:?} is not a file name: give only the name, as in `kubelet-client-current.pem`"))
}

/// Whether this is a single name in a folder that does not lead out of it.
pub fn is_file_name(name: &str) -> bool {
    wrong_file(name).is_none()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("n1")]
    #[case("Worker-A")]
    #[case("ip-10-0-0-1.eu-west-1.compute.internal")]
    #[case("192.0.2.7")]
    #[case("under_score")]
    #[case("pki")]
    #[case(&"n".repeat(63))]
    #[case(&"n".repeat(253))]
    fn names_that_nodes_have(#[case] name: &str) {
        assert_eq!(wrong_node(name), None);
    }

    #[rstest]
    #[case("")]
    #[case(".")]
    #[case("..")]
    #[case("../evil")]
    #[case("/tmp/x")]
    #[case("a/b")]
    #[case("a\nb")]
    #[case("a\0b")]
    #[case("\u{1b}[2Jn1")]
    #[case("-n1")]
    #[case("n1-")]
    #[case(".n1")]
    #[case("n 1")]
    #[case("nœud")]
    #[case(&"n".repeat(254))]
    fn names_that_no_node_has(#[case] name: &str) {
        assert!(wrong_node(name).is_some());
    }

    #[test]
    fn a_node_has_its_hosts_name_in_lower_case() {
        let node = NodeName::from("Worker-A");
        assert_eq!((&*node, node.of_host()), ("worker-a", "Worker-A"));
        assert_eq!(node, NodeName::from("worker-a"));
        assert_ne!(node, NodeName::from("worker-b"));
    }

    proptest! {
        #[test]
        fn a_right_name_stays_in_its_folder(name in any::<String>()) {
            let path = std::path::Path::new("/folder").join(&name);
            let stays = path.parent() == Some(std::path::Path::new("/folder")) && path.file_name().is_some_and(|last| last == name.as_str());
            prop_assert!(stays || (wrong_file(&name).is_some() && wrong_node(&name).is_some()));
        }
    }
}
