//! `deleteToken`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Effects, Names, Stimulus};

/// The bootstrap token whose Secret is deleted.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeleteToken {
    /// The token's name in this scenario.
    pub token: String,
}

impl Stimulus for DeleteToken {
    fn lint(&self, names: &Names<'_>) -> Vec<String> {
        names.bootstrap_token(&self.token)
    }

    fn effect<'a>(&'a self, effects: &mut Effects<'a>) -> Result<(), String> {
        if effects.deleted.insert(&self.token) {
            Ok(())
        } else {
            Err(format!("the token `{}` is already deleted", self.token))
        }
    }
}
