//! `createClusterRole`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Effects, Names, Stimulus};
use crate::scenario::vocabulary::{wrong_certificate_resource, wrong_rbac_verb};

/// A ClusterRole with one rule of the API group `certificates.k8s.io`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateClusterRole {
    /// Its name.
    pub name: String,
    /// Verbs, such as `create`.
    pub verbs: Vec<String>,
    /// Resources, such as `certificatesigningrequests/nodeclient`.
    pub resources: Vec<String>,
}

impl Stimulus for CreateClusterRole {
    fn lint(&self, _: &Names<'_>) -> Vec<String> {
        let verbs = self.verbs.iter().filter_map(|verb| wrong_rbac_verb(verb));
        verbs.chain(self.resources.iter().filter_map(|resource| wrong_certificate_resource(resource))).collect()
    }

    fn effect<'a>(&'a self, effects: &mut Effects<'a>) -> Result<(), String> {
        if effects.made.insert(&self.name) {
            Ok(())
        } else {
            Err(format!("the ClusterRole {} already exists", self.name))
        }
    }
}
