//! Judging a history: pure functions of events, without a clock or IO.
//!
//! [`Judge`] takes events one by one and says what is decided. The runner feeds it live and `tlsboot rejudge` feeds it
//! from a file, so both give the same verdict. Each kind of expectation is one module with one [`Matcher`]; a new kind
//! is one new file and one line in the list below.

pub mod answer;
pub mod cel;
pub mod certificate;
mod compare;
pub mod connections;
pub mod csr;
pub mod csr_count;
mod expression;
mod fields;
pub mod file;
pub mod inbound;
pub mod invariants;
mod judge;
mod lasting;
pub mod link_swap;
pub mod log;
pub mod metric;
pub mod mutate;
pub mod node_object;
pub mod presented;
pub mod process;
pub mod reachable;
pub mod reached;
mod reaches;
pub mod request;
pub mod rotation;
pub mod rules;
mod state;

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::Deserialize;

pub use compare::{Match, Mismatch, Moment};
pub use judge::{Closest, ExpectationVerdict, Judge, Next, Outcome, Verdict, judge_all};
pub use reaches::Reaches;
pub use state::State;

use crate::history::Event;
use crate::history::event::Recorder;
use crate::scenario::stimulus::Need;
use crate::scenario::{duration, schema};

/// The two certificates of a kubelet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// The one it authenticates with to the API server.
    Client,
    /// The one it presents on its own port.
    Serving,
}

impl Role {
    /// Its name: `client` or `serving`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Serving => "serving",
        }
    }

    /// The signerName of its CSRs (catalogue C-02).
    pub fn signer_name(self) -> &'static str {
        match self {
            Self::Client => "kubernetes.io/kube-apiserver-client-kubelet",
            Self::Serving => "kubernetes.io/kubelet-serving",
        }
    }

    /// The prefix of its files (catalogue K-14, K-17).
    pub fn file_prefix(self) -> &'static str {
        match self {
            Self::Client => "kubelet-client",
            Self::Serving => "kubelet-server",
        }
    }
}

/// One kind of expectation.
pub trait Matcher: std::fmt::Debug + Send + Sync {
    /// The recorders that are needed to judge it.
    fn recorders(&self) -> &'static [Recorder];

    /// What it evaluates.
    fn looks_at(&self) -> LooksAt<'_>;

    /// The nodes whose kubelets it is about: each must be one of the scenario's.
    fn nodes(&self) -> Vec<&str> {
        Vec::new()
    }

    /// The nodes whose certificates it is about: each must be one of the scenario's, or one that a `submit` names.
    fn subjects(&self) -> Vec<&str> {
        Vec::new()
    }

    /// The step `submit` whose CSR it is about.
    fn submitted(&self) -> Option<&str> {
        None
    }

    /// The step `reach` whose requests it is about.
    fn reached(&self) -> Option<&str> {
        None
    }

    /// Whether it is about something that can stay so (`stays`), rather than about something that happens.
    fn can_stay(&self) -> bool {
        false
    }

    /// The nodes and components at which its recorders look.
    fn sources(&self) -> Vec<&str> {
        self.nodes()
    }

    /// Why it is meaningless, if it is.
    fn lint(&self) -> Option<String> {
        None
    }

    /// What the cluster must be able to show.
    fn needs(&self) -> Vec<Need> {
        Vec::new()
    }
}

/// What a kind of expectation evaluates.
#[derive(Clone, Copy, Debug)]
pub enum LooksAt<'a> {
    /// Each event on its own, given everything that came before it.
    Events(&'a dyn OfEvents),
    /// The current state.
    State(&'a dyn OfState),
}

impl LooksAt<'_> {
    /// Whether an event can change the answer.
    pub fn is_changed_by(self, event: &Event) -> bool {
        match self {
            Self::Events(_) => true,
            Self::State(matcher) => matcher.is_changed_by(event),
        }
    }
}

/// An expectation about events: one of them must fulfil it.
pub trait OfEvents: std::fmt::Debug {
    /// Judges one event.
    fn judge(&self, moment: &Moment<'_>) -> Match;

    /// Whether what must never happen is already true when its time begins. Otherwise an object that reached its state
    /// in the moment between two steps would go unseen.
    fn already(&self, _state: &State) -> bool {
        false
    }
}

/// An expectation about the state: it is evaluated after every event, and fulfilled when all of it is true at the same
/// time.
pub trait OfState: std::fmt::Debug {
    /// Whether it is true.
    fn holds(&self, state: &State) -> Match;

    /// Whether an event can change the answer. A `never` is evaluated only then, and when the stimulus is done: an
    /// event about something else must not reveal a state that the stimulus has ended, but that a recorder has not yet
    /// reported as ended.
    fn is_changed_by(&self, event: &Event) -> bool;
}

/// How long an expectation waits by default, counted from the end of the stimulus before it. This is only an upper
/// bound: a scenario continues as soon as the expectation is decided.
pub const DEFAULT_WITHIN: SignedDuration = SignedDuration::from_secs(60);

macro_rules! expectations {
    ($($(#[$doc:meta])* $word:literal $module:ident::$matcher:ident,)*) => {
        /// Something that must follow from the stimulus above it. Exactly one kind is named.
        #[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct Expectation {
            $($(#[$doc])* #[serde(default, rename = $word)] pub $module: Option<$module::$matcher>,)*
            /// How long to wait for it at most, from the end of the stimulus above; by default the scenario's `within`.
            #[serde(default, deserialize_with = "duration::positive_if_given")]
            #[schemars(schema_with = "duration::schema")]
            pub within: Option<SignedDuration>,
            /// Its name, for `after` and `control`.
            #[serde(default)]
            pub name: Option<String>,
            /// Only what happens after the event that fulfilled the expectation of this name counts.
            #[serde(default)]
            pub after: Option<String>,
            /// How many different events must fulfill it; one by default.
            #[serde(default)]
            pub times: Option<u32>,
            /// Control-plane versions to which it applies; it is skipped for others.
            #[serde(default)]
            #[schemars(schema_with = "schema::versions")]
            pub kubernetes: Option<crate::version::Versions>,
            /// Kubelet versions to which it applies; it is skipped for others.
            #[serde(default)]
            #[schemars(schema_with = "schema::versions")]
            pub kubelet: Option<crate::version::Versions>,
        }

        /// Something that must not follow, and the expectation that proves that it would have been seen.
        #[derive(Clone, Debug, Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct Never {
            $($(#[$doc])* #[serde(default, rename = $word)] pub $module: Option<$module::$matcher>,)*
            /// The name of an expectation of the same kind that is fulfilled elsewhere in this scenario: the positive
            /// control.
            pub control: String,
            /// How long it must not happen; by default until the expectations beside it are decided.
            #[serde(default, rename = "for", deserialize_with = "duration::positive_if_given")]
            #[schemars(schema_with = "duration::schema")]
            pub duration: Option<SignedDuration>,
            /// Only what happens after the event that fulfilled the expectation of this name counts.
            #[serde(default)]
            pub after: Option<String>,
            /// Control-plane versions to which it applies; it is skipped for others.
            #[serde(default)]
            #[schemars(schema_with = "schema::versions")]
            pub kubernetes: Option<crate::version::Versions>,
            /// Kubelet versions to which it applies; it is skipped for others.
            #[serde(default)]
            #[schemars(schema_with = "schema::versions")]
            pub kubelet: Option<crate::version::Versions>,
        }

        /// Something that must become so, and stay so. It is judged on everything that the recorders saw in that time,
        /// and only if they were looking during all of it.
        #[derive(Clone, Debug, Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct Stays {
            $($(#[$doc])* #[serde(default, rename = $word)] pub $module: Option<$module::$matcher>,)*
            /// How long it may take at most to become so, from the end of the stimulus above; by default the scenario's
            /// `within`.
            #[serde(default, deserialize_with = "duration::positive_if_given")]
            #[schemars(schema_with = "duration::schema")]
            pub within: Option<SignedDuration>,
            /// How long it must stay so, from the moment it became so; by default until the end of the scenario, and at
            /// least for two seconds. The next stimulus waits for it.
            #[serde(default, rename = "for", deserialize_with = "duration::positive_if_given")]
            #[schemars(schema_with = "duration::schema")]
            pub duration: Option<SignedDuration>,
            /// It must stay so until the event that fulfills the expectation of this name, which may come much later.
            #[serde(default)]
            pub until: Option<String>,
            /// Its name, for `after` and `control`: the moment when it became so.
            #[serde(default)]
            pub name: Option<String>,
            /// Only what happens after the event that fulfilled the expectation of this name counts.
            #[serde(default)]
            pub after: Option<String>,
            /// Control-plane versions to which it applies; it is skipped for others.
            #[serde(default)]
            #[schemars(schema_with = "schema::versions")]
            pub kubernetes: Option<crate::version::Versions>,
            /// Kubelet versions to which it applies; it is skipped for others.
            #[serde(default)]
            #[schemars(schema_with = "schema::versions")]
            pub kubelet: Option<crate::version::Versions>,
        }

        impl Stays {
            /// The kinds that are named, with their matchers. Valid only with exactly one.
            pub fn matchers(&self) -> Vec<(&'static str, &dyn Matcher)> {
                let mut named: Vec<(&'static str, &dyn Matcher)> = Vec::new();
                $(if let Some(matcher) = &self.$module { named.push(($word, matcher)); })*
                named
            }
        }

        impl Expectation {
            /// The kinds that are named, with their matchers. Valid only with exactly one.
            pub fn matchers(&self) -> Vec<(&'static str, &dyn Matcher)> {
                let mut named: Vec<(&'static str, &dyn Matcher)> = Vec::new();
                $(if let Some(matcher) = &self.$module { named.push(($word, matcher)); })*
                named
            }
        }

        impl Never {
            /// The kinds that are named, with their matchers. Valid only with exactly one.
            pub fn matchers(&self) -> Vec<(&'static str, &dyn Matcher)> {
                let mut named: Vec<(&'static str, &dyn Matcher)> = Vec::new();
                $(if let Some(matcher) = &self.$module { named.push(($word, matcher)); })*
                named
            }
        }

        /// The kinds of expectations.
        pub const KINDS: &[&str] = &[$($word),*];
    };
}

expectations! {
    /// An API request, as the audit log shows it.
    "request" request::Request,
    /// The answer to the request that the step above sent.
    "answer" answer::AnswerIs,
    /// What came of a request to a kubelet's port.
    "reached" reached::Reached,
    /// How well a kubelet's port could be reached over a time.
    "reachable" reachable::Reachable,
    /// A CertificateSigningRequest.
    "csr" csr::Csr,
    /// How many CSRs for a node exist at the same time.
    "csrCount" csr_count::CsrCount,
    /// A certificate that was issued to a node, field by field.
    "certificate" certificate::Certificate,
    /// A renewal: when it was requested, by whom, and with which key.
    "rotation" rotation::Rotation,
    /// A file in a kubelet's certificate directory, or its kubeconfig.
    "file" file::File,
    /// The swap of the `-current.pem` link at a rotation.
    "linkSwap" link_swap::LinkSwap,
    /// What a kubelet presents on its port.
    "presented" presented::PresentedIs,
    /// A process.
    "process" process::Process,
    /// The connections between a kubelet and the API server after a renewal.
    "connections" connections::Connections,
    /// A connection from the API server to a kubelet's port.
    "inbound" inbound::Inbound,
    /// A metric.
    "metric" metric::Metric,
    /// A Node object.
    "nodeObject" node_object::NodeObject,
    /// A line of a component's log.
    "log" log::Log,
    /// Any event, by a CEL expression: the escape hatch.
    "cel" cel::Cel,
}

#[cfg(test)]
mod tests {
    use super::KINDS;
    use crate::testing::modules_with;

    /// Modules are declared above, where `cargo fmt` sees them, and listed in the macro. A matcher that is not in the
    /// list would be dead code.
    #[test]
    fn every_module_with_a_matcher_is_a_kind() {
        let snake = |kind: &&str| {
            let words = kind.chars().map(|letter| match letter {
                'A'..='Z' => format!("_{}", letter.to_ascii_lowercase()),
                letter => letter.to_string(),
            });
            words.collect::<String>()
        };
        assert_eq!(modules_with("check", "impl Matcher for "), KINDS.iter().map(snake).collect());
    }
}
