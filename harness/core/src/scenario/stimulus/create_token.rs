//! `createToken`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Effects, Names, Stimulus};

/// The bootstrap token whose Secret is created.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateToken {
    /// The token's name in this scenario.
    pub token: String,
}

impl Stimulus for CreateToken {
    fn lint(&self, names: &Names<'_>) -> Vec<String> {
        names.bootstrap_token(&self.token)
    }

    fn effect<'a>(&'a self, effects: &mut Effects<'a>) -> Result<(), String> {
        effects.deleted.remove(self.token.as_str());
        effects.expired.remove(self.token.as_str());
        Ok(())
    }
}
