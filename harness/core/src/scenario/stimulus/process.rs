//! Processes, as named by the steps that start and end them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Effects, Names, Need};
use crate::scenario::flags::wrong_flags;
use crate::scenario::model::{Flags, SigningDuration};
use crate::scenario::names::wrong_node;
use crate::scenario::vocabulary::wrong_controller;
use crate::scenario::{Capability, NodeName};

/// A component of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
pub enum Component {
    /// The API server, `kube-apiserver`.
    #[serde(rename = "kube-apiserver")]
    ApiServer,
    /// The controller-manager, `kube-controller-manager`, which approves and signs.
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
    /// Another name of the kubelet's host, `--hostname-override`. Steps go on to call the machine by the name that it has
    /// under `nodes`; the certificates and the Node of the new name go by that.
    pub host_name: Option<NodeName>,
    /// `--cluster-signing-duration` of the controller-manager.
    pub signing_duration: Option<SigningDuration>,
    /// `--anonymous-auth` of the API server.
    pub anonymous_auth: Option<bool>,
    /// The controllers of the controller-manager that run.
    pub controllers: Option<Vec<String>>,
    /// The component's further flags, replacing the earlier ones.
    pub flags: Option<Flags>,
}

/// What can only be done where any flag can be set.
pub(super) const ANY_FLAG: Need = (Capability::AnyFlag, "be given any flag of the control plane");

/// Which process a setting belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Kubelet,
    One(Component),
    AnyComponent,
}

impl Whose {
    fn is(self, component: Option<Component>) -> bool {
        match self {
            Self::Kubelet => component.is_none(),
            Self::One(one) => component == Some(one),
            Self::AnyComponent => component.is_some(),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Kubelet => "a kubelet",
            Self::One(component) => component.name(),
            Self::AnyComponent => "a component of the control plane",
        }
    }
}

impl Changes {
    /// The settings that are given, each with its keyword and the process it belongs to.
    fn given(&self) -> impl Iterator<Item = (&'static str, Whose)> {
        let all = [
            ("rotateCertificates", self.rotate_certificates.is_some(), Whose::Kubelet),
            ("serverTLSBootstrap", self.server_tls_bootstrap.is_some(), Whose::Kubelet),
            ("bootstrap", self.bootstrap.is_some(), Whose::Kubelet),
            ("hostName", self.host_name.is_some(), Whose::Kubelet),
            ("signingDuration", self.signing_duration.is_some(), Whose::One(Component::ControllerManager)),
            ("anonymousAuth", self.anonymous_auth.is_some(), Whose::One(Component::ApiServer)),
            ("controllers", self.controllers.is_some(), Whose::One(Component::ControllerManager)),
            ("flags", self.flags.is_some(), Whose::AnyComponent),
        ];
        all.into_iter().filter(|(_, is_given, _)| *is_given).map(|(word, _, whose)| (word, whose))
    }

    /// What is wrong with them for this process.
    pub(super) fn lint(&self, process: Process<'_>, names: &Names<'_>) -> Vec<String> {
        let foreign = self.given().filter(|(_, whose)| !whose.is(process.component));
        let mut wrong: Vec<String> = foreign
            .map(|(word, whose)| {
                format!("`{word}` is a setting of {} and has no effect on {}", whose.words(), process.name())
            })
            .collect();
        wrong.extend(self.bootstrap.as_deref().and_then(|token| names.token(token)));
        wrong.extend(self.host_name.as_ref().and_then(|name| wrong_node(name.of_host())));
        wrong.extend(self.controllers.iter().flatten().filter_map(|entry| wrong_controller(entry)));
        if let (Some(component), Some(flags)) = (process.component, &self.flags) {
            wrong.extend(wrong_flags(component, flags));
        }
        wrong
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
    /// The component, for any other process.
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
                "`{}` does not work on a node that kubeadm sets up, because systemd runs its kubelet: use `join`",
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
        if effects.up.remove(name) { Ok(()) } else { Err(format!("{name} is not running")) }
    }
}
