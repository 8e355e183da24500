//! Processes: which run, which exited, and how.

use schemars::JsonSchema;
use serde::Deserialize;

use super::compare::{Compare, NONE};
use super::{LooksAt, Match, Matcher, OfState, State};
use crate::history::What;
use crate::history::event::{Event, ProcessEvent, ProcessState, Recorder};
use crate::scenario::NodeName;
use crate::scenario::vocabulary::wrong_component;

/// A process: a kubelet, or a component of the control plane.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Process {
    /// The node, for its kubelet.
    #[serde(default)]
    pub node: Option<NodeName>,
    /// The component, for any other process: `kube-apiserver`, `kube-controller-manager`; with a node, `kubeadm`.
    #[serde(default)]
    pub component: Option<String>,
    /// Its state.
    pub state: Running,
    /// The exit code, for a process that exited on its own.
    #[serde(default)]
    pub code: Option<i32>,
    /// How often it has been started so far: 1 means that it is still the same process.
    #[serde(default)]
    pub starts: Option<u32>,
}

/// The state of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Running {
    /// It runs.
    Running,
    /// It exited on its own.
    Exited,
    /// It gave up: it exited on its own, with the exit code that a kubelet of its version uses for that.
    Failed,
}

const KUBELET: &str = "kubelet";
/// Commands that run on a node beside its kubelet.
const ON_NODES: [&str; 1] = ["kubeadm"];

/// What is wrong with the naming of a process: a kubelet is named by its node, a component by its name, a command on a
/// node by both.
pub(super) fn lint_name(node: Option<&NodeName>, component: Option<&String>) -> Option<String> {
    let on_node = component.filter(|component| ON_NODES.contains(&component.as_str()));
    match (node, component, on_node) {
        (None, _, Some(command)) => Some(format!("also name the `node` on which {command} runs")),
        (Some(_), Some(_), None) | (None, None, _) => Some("name either a `node` or a `component`".into()),
        (None, Some(component), None) => wrong_component(component),
        _ => None,
    }
}

impl Process {
    fn component(&self) -> &str {
        self.component.as_deref().unwrap_or(KUBELET)
    }

    fn is_about(&self, process: &ProcessEvent) -> bool {
        process.component == self.component() && process.node.as_deref() == self.node.as_deref()
    }

    /// Whether it expects this process to exit.
    pub(super) fn is_exit_of(&self, process: &ProcessEvent) -> bool {
        matches!(self.state, Running::Exited | Running::Failed) && self.is_about(process)
    }
}

impl Matcher for Process {
    fn recorders(&self) -> &'static [Recorder] {
        &[Recorder::Process]
    }

    fn can_stay(&self) -> bool {
        true
    }

    fn looks_at(&self) -> LooksAt<'_> {
        LooksAt::State(self)
    }

    fn nodes(&self) -> Vec<&str> {
        self.node.as_deref().into_iter().collect()
    }

    fn lint(&self) -> Option<String> {
        if let Some(wrong) = lint_name(self.node.as_ref(), self.component.as_ref()) {
            return Some(wrong);
        }
        match (self.state, self.code, &self.component) {
            (Running::Running, Some(_), _) => Some("a running process has no exit `code`".into()),
            (Running::Failed, Some(_), _) => Some("`failed` already implies the exit `code`".into()),
            (Running::Failed, None, Some(_)) => {
                Some("`failed` is for kubelets: use `exited` and the exit `code`".into())
            }
            _ => None,
        }
    }
}

impl OfState for Process {
    fn holds(&self, state: &State) -> Match {
        let key = (self.component().to_owned(), self.node.as_deref().map(str::to_owned));
        let Some(now) = state.processes.get(&key) else { return Match::Other };
        let mut compare = Compare::default();
        let (running, found) = match &now.ended {
            None => (true, "running".to_owned()),
            Some(ProcessState::Exited { asked: true, .. }) => (false, "stopped by tlsboot".into()),
            Some(ProcessState::Exited { code, signal, .. }) => {
                let code = code.map_or(NONE.into(), |code| code.to_string());
                (
                    false,
                    format!(
                        "exited with code {code}, signal {}",
                        signal.map_or(NONE.into(), |signal| signal.to_string())
                    ),
                )
            }
            Some(ProcessState::Started) => (true, "running".into()),
        };
        let exited = matches!(now.ended, Some(ProcessState::Exited { asked: false, .. }));
        match self.state {
            Running::Running => compare.holds("state", running, "running", &found),
            Running::Exited | Running::Failed => compare.holds("state", exited, "exited on its own", &found),
        };
        let code = match self.state {
            Running::Failed => state.rules().map(|rules| rules.failure_code()),
            _ => self.code,
        };
        if let (Some(expected), Some(ProcessState::Exited { code, .. })) = (code, &now.ended) {
            compare.holds("code", *code == Some(expected), expected, &found);
        }
        compare.same("starts", self.starts.as_ref(), &now.starts);
        // A process that exited on its own does not come back, but the exit of an earlier process than the one meant
        // says nothing.
        let over = exited && self.starts.is_none_or(|starts| now.starts >= starts);
        if over { compare.or_wrong() } else { compare.or_near() }
    }

    fn is_changed_by(&self, event: &Event) -> bool {
        matches!(&event.what, What::Process(process) if self.is_about(process))
    }
}
