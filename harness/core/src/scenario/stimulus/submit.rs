//! `submit`.

use core::net::IpAddr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Identity, Names, Stimulus};
use crate::check::Role;
use crate::check::answer::AnswerIs;
use crate::scenario::ExpirationSeconds;

/// A CSR that tlsboot creates. What is left out is as the kubelet would set it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Submit {
    /// The step's name, by which others refer to the CSR as `submitted`.
    #[serde(default)]
    pub name: Option<String>,
    /// Who creates it.
    #[serde(rename = "as")]
    pub by: Identity,
    /// `client` or `serving`: determines signerName, usages and subject.
    pub role: Role,
    /// The node that it is for; determines the CN.
    pub node: String,
    /// Another signerName.
    #[serde(default)]
    pub signer_name: Option<String>,
    /// Another CN.
    #[serde(default)]
    pub common_name: Option<String>,
    /// Other O's.
    #[serde(default)]
    pub organizations: Option<Vec<String>>,
    /// DNS names.
    #[serde(default)]
    pub dns: Vec<String>,
    /// IP addresses.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub ips: Vec<IpAddr>,
    /// URIs.
    #[serde(default)]
    pub uris: Vec<String>,
    /// E-mail addresses.
    #[serde(default)]
    pub emails: Vec<String>,
    /// Usages other than the kubelet's.
    #[serde(default)]
    pub usages: Option<Vec<String>>,
    /// `spec.expirationSeconds`; `none` by default.
    #[serde(default)]
    pub expiration_seconds: Option<ExpirationSeconds>,
    /// Who it claims to come from, in fields that the API server fills in (catalogue C-06).
    #[serde(default)]
    pub claims: Option<Claims>,
    /// The answer that must come. If it differs by version, write an `expect: {answer: …}` for each version instead.
    #[serde(default)]
    pub answer: Option<AnswerIs>,
}

/// `spec.username`, `spec.uid` and `spec.groups` as a client may send them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Claims {
    /// `spec.username`.
    pub username: String,
    /// `spec.uid`.
    pub uid: String,
    /// `spec.groups`.
    pub groups: Vec<String>,
}

impl Stimulus for Submit {
    fn lint(&self, names: &Names<'_>) -> Vec<String> {
        self.by.lint(names).into_iter().collect()
    }

    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn answer(&self) -> Option<&AnswerIs> {
        self.answer.as_ref()
    }
}
