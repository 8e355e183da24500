//! `refuse` and `admit`.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Effects, Stimulus};

/// Admission refuses some requests of anyone, until `admit`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Refuse {
    /// Which.
    pub requests: Admitted,
    /// By what.
    pub by: Refusal,
}

/// Requests that were refused are admitted again.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Admit {
    /// Which.
    pub requests: Admitted,
}

/// The requests of a bootstrap that admission sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Admitted {
    /// To create a CSR.
    CreateCsr,
    /// To approve or deny a CSR.
    DecideCsr,
    /// To issue a CSR: put a certificate into it.
    IssueCsr,
    /// To create a Node.
    CreateNode,
}

/// What refuses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Refusal {
    /// A webhook with `failurePolicy: Fail` that can't be reached, as one whose pods are gone. The answer is 500.
    Webhook,
    /// A ValidatingAdmissionPolicy, from Kubernetes 1.30 on. The answer is 422.
    Policy,
}

impl Admitted {
    /// In words, after "to".
    pub fn words(self) -> &'static str {
        match self {
            Self::CreateCsr => "create a CSR",
            Self::DecideCsr => "approve or deny a CSR",
            Self::IssueCsr => "issue a CSR",
            Self::CreateNode => "create a Node",
        }
    }
}

impl fmt::Display for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

impl Stimulus for Refuse {
    fn effect<'a>(&'a self, effects: &mut Effects<'a>) -> Result<(), String> {
        match effects.refused.insert(self.requests) {
            true => Ok(()),
            false => Err(format!("requests to {} are refused already", self.requests)),
        }
    }
}

impl Stimulus for Admit {
    fn effect<'a>(&'a self, effects: &mut Effects<'a>) -> Result<(), String> {
        match effects.refused.remove(&self.requests) {
            true => Ok(()),
            false => Err(format!("no step before refuses requests to {}", self.requests)),
        }
    }
}
