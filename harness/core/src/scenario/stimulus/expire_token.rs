//! `expireToken`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Effects, Names, Stimulus};

/// The bootstrap token whose Secret expires.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExpireToken {
    /// The token's name in this scenario.
    pub token: String,
}

impl Stimulus for ExpireToken {
    fn lint(&self, names: &Names<'_>) -> Vec<String> {
        names.bootstrap_token(&self.token)
    }

    fn effect<'a>(&'a self, effects: &mut Effects<'a>) -> Result<(), String> {
        let exists = !effects.deleted.contains(self.token.as_str());
        if effects.expired.insert(&self.token) && exists {
            Ok(())
        } else {
            Err(format!("the token `{}` is already deleted or expired", self.token))
        }
    }
}
