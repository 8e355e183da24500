//! `createClusterRole`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Effects, Names, Stimulus};
use crate::scenario::vocabulary::{wrong_certificate_resource, wrong_rbac_verb, wrong_resource};

/// A ClusterRole with one rule.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateClusterRole {
    /// Its name.
    pub name: String,
    /// The API group of the resources; empty for the core group.
    #[serde(default = "certificates")]
    pub api_group: String,
    /// Verbs, such as `create`.
    pub verbs: Vec<String>,
    /// Resources, such as `certificatesigningrequests/nodeclient`.
    pub resources: Vec<String>,
}

const CERTIFICATES: &str = "certificates.k8s.io";

fn certificates() -> String {
    CERTIFICATES.to_owned()
}

impl Stimulus for CreateClusterRole {
    fn lint(&self, _: &Names<'_>) -> Vec<String> {
        let verbs = self.verbs.iter().filter_map(|verb| wrong_rbac_verb(verb));
        let resources = self.resources.iter().filter_map(|resource| match self.api_group.as_str() {
            CERTIFICATES => wrong_certificate_resource(resource),
            // Without its subresource, which is the group's own business.
            _ => wrong_resource(resource.split('/').next().unwrap_or(resource)),
        });
        verbs.chain(resources).collect()
    }

    fn effect<'a>(&'a self, effects: &mut Effects<'a>) -> Result<(), String> {
        if effects.made.insert(&self.name) {
            Ok(())
        } else {
            Err(format!("the ClusterRole {} already exists", self.name))
        }
    }
}
