//! `replaceCA`.

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Need, Stimulus};
use crate::scenario::{Capability, duration};

/// Another CA for the signer.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplaceCa {
    /// How long the new CA is valid from now.
    #[serde(deserialize_with = "duration::positive")]
    #[schemars(schema_with = "duration::schema")]
    pub valid_for: SignedDuration,
}

impl Stimulus for ReplaceCa {
    fn needs(&self) -> Vec<Need> {
        vec![(Capability::ReplaceCa, "give the signer another CA")]
    }
}
