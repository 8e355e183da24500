//! Scenarios: the YAML model, the strict loader, the catalogue's requirements, and selection. No IO: texts come from the caller.

mod capabilities;
pub mod coverage;
mod describe;
mod diagnostic;
pub(crate) mod duration;
mod expiration;
mod flags;
mod library;
mod load;
mod model;
mod names;
mod partition;
pub mod reports;
pub mod requirements;
pub mod schema;
mod select;
mod start;
pub mod stimulus;
mod style;
pub mod uncovered;
pub(crate) mod vocabulary;

use jiff::SignedDuration;
use serde_saphyr::Spanned;

pub use capabilities::{Capability, requirements_of};
pub use describe::{StepWords, describe, differing_settings};
pub use diagnostic::Diagnostic;
pub use expiration::ExpirationSeconds;
pub use library::Library;
pub use load::load_text;
pub use model::{
    AuthorizationMode, BOOTSTRAP_TOKEN, Binding, Bindings, BootstrapBy, CertDir, CloudProvider, Cluster,
    EmbeddedCertificate, FailCgroupV1, Flags, KUBEADM_GROUP, KUBEADM_TOKEN, Level, NO_TOKEN, Node, PortAccess, Profile,
    RawScenario, STATIC_TOKEN, ServingPair, SigningDuration, Token, TokenDefect, TokenKind,
};
pub use names::{NodeName, is_file_name, is_id};
pub use partition::{Partition, PartitionError};
pub use select::{SelectError, Selector, select};
pub use start::start_of;
pub use stimulus::{BootstrapRole, Step};
pub use style::style;

use crate::check::DEFAULT_WITHIN;
use crate::version::{Version, Versions};

/// A scenario that has been validated: ids are known, references resolve, nothing is empty.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Unique id.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// Why it matters.
    pub why: String,
    /// Ids of the catalogue.
    pub requirements: Vec<String>,
    /// How strong the promise is.
    pub level: Level,
    /// The smallest profile that includes it.
    pub profile: Profile,
    /// Its chapter, then further tags.
    pub tags: Vec<String>,
    /// Control-plane versions to which it applies.
    pub kubernetes: Option<Versions>,
    /// Kubelet versions to which it applies.
    pub kubelet: Option<Versions>,
    /// Invariants that it breaks on purpose, by id, with the reason.
    pub allows: std::collections::BTreeMap<String, String>,
    /// The control plane.
    pub cluster: Cluster,
    /// Tokens, including the predefined ones.
    pub tokens: std::collections::BTreeMap<String, Token>,
    /// Nodes.
    pub nodes: Vec<Node>,
    /// Steps, with their positions in the file.
    pub steps: Vec<Spanned<Step>>,
    /// Where it came from, for messages.
    pub file: String,
    /// Its text.
    pub text: String,
}

impl Scenario {
    /// A cluster with nodes in which nothing happens.
    pub fn of_cluster(id: &str, cluster: Cluster, nodes: Vec<Node>) -> Self {
        Self {
            id: id.to_owned(),
            title: String::new(),
            why: String::new(),
            requirements: Vec::new(),
            level: Level::default(),
            profile: Profile::default(),
            tags: Vec::new(),
            kubernetes: None,
            kubelet: None,
            allows: std::collections::BTreeMap::new(),
            cluster,
            tokens: load::ready_tokens(false),
            nodes,
            steps: Vec::new(),
            file: String::new(),
            text: String::new(),
        }
    }

    /// The step with this name.
    pub fn step_named(&self, name: &str) -> Option<usize> {
        self.steps.iter().position(|step| match &step.value {
            Step::Expect(expect) => expect.name.as_deref() == Some(name),
            Step::Stays(stays) => stays.name.as_deref() == Some(name),
            _ => false,
        })
    }

    /// The longest time that one of its expectations may wait.
    pub fn patience(&self) -> SignedDuration {
        let waits = self.steps.iter().filter_map(|step| match &step.value {
            Step::Expect(expect) => Some(expect.within.unwrap_or(DEFAULT_WITHIN)),
            Step::Never(never) => never.duration,
            Step::Stays(stays) => {
                let within = stays.within.unwrap_or(DEFAULT_WITHIN);
                Some(within.saturating_add(stays.duration.unwrap_or_default()))
            }
            _ => None,
        });
        waits.max().unwrap_or(DEFAULT_WITHIN)
    }

    /// Whether a step has this keyword, or expects something of this kind.
    pub fn uses(&self, word: &str, is_kind: bool) -> bool {
        self.steps.iter().any(|step| match step.value.matcher() {
            Some((kind, _)) if is_kind => kind == word,
            _ => !is_kind && step.value.word() == word,
        })
    }

    /// Whether an expectation applies to these versions. Stimuli always apply.
    pub fn applies(&self, step: &Step, kubernetes: Version, kubelet: Version) -> bool {
        let (control_plane, node) = match step {
            Step::Expect(expect) => (&expect.kubernetes, &expect.kubelet),
            Step::Never(never) => (&never.kubernetes, &never.kubelet),
            Step::Stays(stays) => (&stays.kubernetes, &stays.kubelet),
            _ => return true,
        };
        within(control_plane, kubernetes) && within(node, kubelet)
    }

    /// Why the scenario does not apply to these versions, if it does not.
    pub fn unsupported(&self, kubernetes: Version, kubelet: Version) -> Option<String> {
        let outside = |what: &str, range: &Option<Versions>, version: Version| {
            let range = range.as_ref().filter(|_| !within(range, version))?;
            Some(format!("it needs a {what} {range} (this one is {version})"))
        };
        outside("control plane", &self.kubernetes, kubernetes).or_else(|| outside("kubelet", &self.kubelet, kubelet))
    }
}

fn within(range: &Option<Versions>, version: Version) -> bool {
    range.as_ref().is_none_or(|range| range.contains(version))
}
