//! Judging a history: pure functions of events, without clock or IO.
//!
//! [`Judge`] takes events one by one and says what is decided. The runner feeds it live and `tlsboot check` feeds it
//! from a file, so both give the same verdict. Each kind of expectation is one module with one [`Matcher`]; a new
//! kind is one new file and one line in the list below.

pub mod answer;
pub mod cel;
pub mod certificate;
mod compare;
pub mod connections;
pub mod csr;
mod expression;
pub mod file;
mod judge;
pub mod log;
pub mod metric;
pub mod mutate;
pub mod node;
pub mod presented;
pub mod process;
pub mod request;
pub mod rotation;
pub mod rules;
mod state;
pub mod swap;

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::Deserialize;

pub use compare::{Match, Mismatch, Moment};
pub use judge::{Closest, ExpectationVerdict, Judge, Next, Outcome, Verdict, judge_all};
pub use state::State;

use crate::history::Event;
use crate::history::event::Recorder;

/// The two certificates of a kubelet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// With which it speaks to the API server.
    Client,
    /// Which it presents on its own port.
    Serving,
}

impl Role {
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

/// One kind of expectation: what it looks at, and whether an event fulfils it.
pub trait Matcher: std::fmt::Debug + Send + Sync {
    /// The recorders without which it can't be judged.
    fn recorders(&self) -> &'static [Recorder];

    /// Judges one event, in the light of all that came before it.
    fn judge(&self, moment: &Moment<'_>) -> Match;

    /// Whether an event can change the answer. A kind that looks at events of its own is concerned by those anyway; one
    /// that looks at how things stand says here what changes that.
    fn concerns(&self, _event: &Event) -> bool {
        true
    }

    /// Whether what must never come is there already when the time for it begins. An object that got into its state in
    /// the moment between two steps would go unseen otherwise.
    fn already(&self, _moment: &Moment<'_>) -> bool {
        false
    }

    /// The nodes that it names, to be checked against the scenario's.
    fn nodes(&self) -> Vec<&str> {
        Vec::new()
    }

    /// What makes it meaningless, where something does.
    fn lint(&self) -> Option<String> {
        None
    }
}

/// How long an expectation waits by default, counted from the end of the stimulus before it. It is an upper bound only:
/// a scenario goes on at the moment of decision.
pub const DEFAULT_WITHIN: SignedDuration = SignedDuration::from_secs(60);

macro_rules! expectations {
    ($($(#[$doc:meta])* $module:ident: $matcher:ident,)*) => {
        /// Something that must follow from the stimulus above it. Exactly one kind is named.
        #[derive(Clone, Debug, Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct Expectation {
            $($(#[$doc])* #[serde(default)] pub $module: Option<$module::$matcher>,)*
            /// How long to wait for it at most, from the end of the stimulus above.
            #[serde(default)]
            #[schemars(with = "Option<String>")]
            pub within: Option<SignedDuration>,
            /// Its name, for `after` and `control`.
            #[serde(default, rename = "as")]
            pub name: Option<String>,
            /// Only what comes after the event that fulfilled the expectation of this name counts.
            #[serde(default)]
            pub after: Option<String>,
            /// How many different events must fulfil it; once by default.
            #[serde(default)]
            pub times: Option<u32>,
            /// Control-plane versions for which it holds; it is left out for others.
            #[serde(default)]
            #[schemars(with = "Option<String>")]
            pub kubernetes: Option<crate::version::Versions>,
            /// Kubelet versions for which it holds; it is left out for others.
            #[serde(default)]
            #[schemars(with = "Option<String>")]
            pub kubelet: Option<crate::version::Versions>,
        }

        /// Something that must not follow, and the expectation that proves that it would have been seen.
        #[derive(Clone, Debug, Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct Never {
            $($(#[$doc])* #[serde(default)] pub $module: Option<$module::$matcher>,)*
            /// Name of an expectation of the same kind, fulfilled elsewhere in this scenario: the positive control.
            pub control: String,
            /// How long it must not come; by default until the expectations beside it are decided.
            #[serde(default, rename = "for")]
            #[schemars(with = "Option<String>")]
            pub duration: Option<SignedDuration>,
            /// Only what comes after the event that fulfilled the expectation of this name counts.
            #[serde(default)]
            pub after: Option<String>,
            /// Control-plane versions for which it holds; it is left out for others.
            #[serde(default)]
            #[schemars(with = "Option<String>")]
            pub kubernetes: Option<crate::version::Versions>,
            /// Kubelet versions for which it holds; it is left out for others.
            #[serde(default)]
            #[schemars(with = "Option<String>")]
            pub kubelet: Option<crate::version::Versions>,
        }

        impl Expectation {
            /// The kinds that are named, with their matchers; valid with exactly one.
            pub fn matchers(&self) -> Vec<(&'static str, &dyn Matcher)> {
                let mut named: Vec<(&'static str, &dyn Matcher)> = Vec::new();
                $(if let Some(matcher) = &self.$module { named.push((stringify!($module), matcher)); })*
                named
            }
        }

        impl Never {
            /// The kinds that are named, with their matchers; valid with exactly one.
            pub fn matchers(&self) -> Vec<(&'static str, &dyn Matcher)> {
                let mut named: Vec<(&'static str, &dyn Matcher)> = Vec::new();
                $(if let Some(matcher) = &self.$module { named.push((stringify!($module), matcher)); })*
                named
            }
        }

        /// The kinds of expectations.
        pub const KINDS: &[&str] = &[$(stringify!($module)),*];
    };
}

expectations! {
    /// An API request, as the audit log shows it.
    request: Request,
    /// The answer to a request that a step of this scenario sent.
    answer: AnswerIs,
    /// A CertificateSigningRequest.
    csr: Csr,
    /// A certificate, field by field.
    certificate: Certificate,
    /// A renewal: when it was asked for, by whom, with which key.
    rotation: Rotation,
    /// A name in the certificate directory, or the kubeconfig.
    file: File,
    /// The link swap of a rotation: how it went through the directory.
    swap: Swap,
    /// What a kubelet presents on its port.
    presented: PresentedIs,
    /// A process.
    process: Process,
    /// The connections between a kubelet and the API server.
    connections: Connections,
    /// A metric.
    metric: Metric,
    /// A Node object.
    node: Node,
    /// A line of a component's log.
    log: Log,
    /// Any event, by a CEL expression: the escape hatch.
    cel: Cel,
}

#[cfg(test)]
mod tests {
    use super::KINDS;

    /// Modules are declared above, where `cargo fmt` sees them, and listed in the macro; a matcher that is not in the list
    /// would be dead.
    #[test]
    fn every_module_with_a_matcher_is_a_kind() {
        let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/check"));
        let mut matchers: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                std::fs::read_to_string(path).is_ok_and(|text| text.contains(concat!("impl Matcher ", "for ")))
            })
            .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        matchers.sort();
        let mut kinds = KINDS.to_vec();
        kinds.sort_unstable();
        assert_eq!(matchers, kinds);
    }
}
