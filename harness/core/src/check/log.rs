//! Lines of the components' logs. The recorder keeps those that mention certificates, CSRs or bootstrapping.

use schemars::JsonSchema;
use serde::Deserialize;

use super::process::lint_name;
use super::{LooksAt, Match, Matcher, Moment, OfEvents};
use crate::history::What;
use crate::history::event::Recorder;
use crate::scenario::stimulus::{Component, Need};
use crate::scenario::{Capability, NodeName};

/// A log line.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Log {
    /// The node, for its kubelet's log.
    #[serde(default)]
    pub node: Option<NodeName>,
    /// The component, for any other log; with a node, `kubeadm`.
    #[serde(default)]
    pub component: Option<String>,
    /// A substring of the line.
    pub contains: String,
}

impl Matcher for Log {
    fn recorders(&self) -> &'static [Recorder] {
        &[Recorder::Log]
    }

    fn looks_at(&self) -> LooksAt<'_> {
        LooksAt::Events(self)
    }

    fn needs(&self) -> Vec<Need> {
        let components = [Component::ApiServer, Component::ControllerManager];
        let is_one = components.iter().any(|component| self.component.as_deref() == Some(component.name()));
        let logs = (Capability::ComponentLogs, "tell the logs of the control plane's components apart");
        is_one.then_some(logs).into_iter().collect()
    }

    fn nodes(&self) -> Vec<&str> {
        self.node.as_deref().into_iter().collect()
    }

    fn lint(&self) -> Option<String> {
        lint_name(self.node.as_ref(), self.component.as_ref())
    }
}

impl OfEvents for Log {
    fn judge(&self, moment: &Moment<'_>) -> Match {
        let What::Log(log) = &moment.event.what else { return Match::Other };
        let component = self.component.as_deref().unwrap_or("kubelet");
        let meant = log.component == component && log.node.as_deref() == self.node.as_deref();
        if meant && log.line.contains(&self.contains) { Match::Yes } else { Match::Other }
    }
}
