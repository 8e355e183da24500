//! Processes, as the steps that start and end them name them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Effects, Names, Need};
use crate::scenario::Capability;
use crate::scenario::model::{Flags, SigningDuration};

/// A component of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
pub enum Component {
    /// The API server.
    #[serde(rename = "kube-apiserver")]
    ApiServer,
    /// The controller-manager, which approves and signs.
    #[serde(rename = "kube-controller-manager")]
    ControllerManager,
}

impl Component {
    /// The executable's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
        }
    }
}

/// What is different after a start.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Changes {
    /// `rotateCertificates` of the kubelet.
    pub rotate_certificates: Option<bool>,
    /// `serverTLSBootstrap` of the kubelet.
    #[serde(rename = "serverTLSBootstrap")]
    pub server_tls_bootstrap: Option<bool>,
    /// The token in the node's bootstrap kubeconfig; `none` removes the file.
    pub bootstrap: Option<String>,
    /// `--cluster-signing-duration` of the controller-manager.
    pub signing_duration: Option<SigningDuration>,
    /// `--anonymous-auth` of the API server.
    pub anonymous_auth: Option<bool>,
    /// The controllers of the controller-manager that run.
    pub controllers: Option<Vec<String>>,
    /// The component's further flags, in place of those before.
    pub flags: Option<Flags>,
}

/// What can be done only where any flag can be given.
pub(super) const ANY_FLAG: Need = (Capability::AnyFlag, "be given any flag of the control plane");

impl Changes {
    pub(super) fn lint(&self, names: &Names<'_>) -> Option<String> {
        self.bootstrap.as_deref().and_then(|token| names.token(token))
    }

    pub(super) fn needs(&self) -> Option<Need> {
        self.flags.is_some().then_some(ANY_FLAG)
    }
}

/// The process that a step starts or ends: a node's kubelet or a component of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process<'a> {
    /// The node, for its kubelet.
    pub node: Option<&'a str>,
    /// The component, for another's.
    pub component: Option<Component>,
}

impl<'a> Process<'a> {
    pub(super) fn name(self) -> &'a str {
        match (self.node, self.component) {
            (Some(node), _) => node,
            (None, Some(component)) => component.name(),
            (None, None) => "",
        }
    }

    pub(super) fn lint(self, names: &Names<'_>) -> Vec<String> {
        let wrong = match (self.node, self.component) {
            (Some(_), None) if names.kubeadm() => Some(format!(
                "`{}` is not for a node that kubeadm sets up, whose kubelet is systemd's: use `join`",
                names.word
            )),
            (Some(node), None) => names.node(node),
            (None, Some(_)) => None,
            _ => Some(format!("`{}` needs either a `node` or a `component`", names.word)),
        };
        wrong.into_iter().collect()
    }

    pub(super) fn needs(self) -> Vec<Need> {
        let restarts = (Capability::RestartControlPlane, "restart the control plane");
        self.component.map(|_| restarts).into_iter().collect()
    }

    pub(super) fn end(self, effects: &mut Effects<'a>) -> Result<(), String> {
        let name = self.name();
        if effects.up.remove(name) { Ok(()) } else { Err(format!("{name} does not run")) }
    }
}
