//! `reach`.

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Effects, Identity, Names, Need, Stimulus};
use crate::check::Expectation;
use crate::check::reached::Reached;
use crate::history::event::Via;
use crate::scenario::{Capability, NodeName, duration};

/// A GET request to a kubelet's port: once, or again and again.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reach {
    /// The name by which `reached` and `reachable` refer to requests that are sent again and again.
    #[serde(default)]
    pub name: Option<String>,
    /// The node.
    pub node: NodeName,
    /// Through the API server, or straight to the port.
    #[serde(default)]
    pub via: Via,
    /// Who sends it; the administrator by default. Through the API server it is the API server's own certificate that the
    /// kubelet sees.
    #[serde(default = "admin", rename = "as")]
    pub by: Identity,
    /// The path at the kubelet, without the first slash: `healthz`, `pods`, `metrics`, `configz`, …
    #[serde(default = "healthz")]
    pub path: String,
    /// Sends it again and again, so long after the one before was sent, until the scenario ends. The next step comes at once.
    #[serde(default, deserialize_with = "duration::positive_if_given")]
    #[schemars(schema_with = "duration::schema")]
    pub every: Option<SignedDuration>,
    /// What must come of it. Where it differs by version, write an `expect: {reached: …}` for each instead.
    #[serde(default)]
    pub reached: Option<Reached>,
    /// How long to send it again and again until `reached` is true; the last answer counts, whatever it is.
    #[serde(default, deserialize_with = "duration::positive_if_given")]
    #[schemars(schema_with = "duration::schema")]
    pub retry_for: Option<SignedDuration>,
}

fn admin() -> Identity {
    Identity::Admin
}

fn healthz() -> String {
    "healthz".to_owned()
}

impl Stimulus for Reach {
    fn lint(&self, names: &Names<'_>) -> Vec<String> {
        let wrong = |is_wrong: bool, why: &str| is_wrong.then(|| why.to_owned());
        let steady = self.every.is_some();
        let is_path = !self.path.starts_with('/')
            && !self.path.is_empty()
            && self.path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
            && self.path.split(['/', '?']).all(|part| part != "..");
        let through = "an impersonated user can only be sent through the API server";
        [
            names.node(&self.node),
            self.by.lint(names),
            wrong(!is_path, "the `path` is the kubelet's, without the first slash: `healthz`"),
            wrong(
                steady != self.name.is_some(),
                "`name` is for requests that are sent with `every`, and those need one",
            ),
            wrong(
                steady && self.reached.is_some(),
                "of requests with `every`, expect what comes by `reached: {of: NAME, …}`",
            ),
            wrong(
                self.retry_for.is_some() && self.reached.is_none(),
                "`retryFor` which `reached`? Say what must come of it",
            ),
            wrong(self.via == Via::Port && matches!(self.by, Identity::Impersonated(_)), through),
            wrong(
                self.reached.as_ref().is_some_and(|reached| reached.of.is_some()),
                "`of` is for an `expect`: here it is this step",
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn needs(&self) -> Vec<Need> {
        vec![match self.via {
            Via::ApiServer => (Capability::ReachKubelets, "reach kubelets through the API server"),
            Via::Port => (Capability::KubeletPorts, "reach the kubelets' ports"),
        }]
    }

    fn effect<'a>(&'a self, effects: &mut Effects<'a>) -> Result<(), String> {
        match self.name.as_deref() {
            Some(name) if !effects.reached.insert(name) => Err(format!("another `reach` is called `{name}`")),
            _ => Ok(()),
        }
    }

    fn expected(&self) -> Option<Expectation> {
        let reached = self.reached.clone()?;
        Some(Expectation { reached: Some(reached), ..Expectation::default() })
    }
}
