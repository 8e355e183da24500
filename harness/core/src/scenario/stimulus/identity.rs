//! Who sends a request.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Names;
use crate::scenario::NodeName;

/// Who sends a request.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Identity {
    /// Without any credentials.
    Anonymous,
    /// The administrator, of `system:masters`.
    Admin,
    /// The bearer of a token.
    Token(String),
    /// The node, with the client certificate that its kubelet uses now.
    Node(NodeName),
    /// A certificate of the right CA that has expired, for this user.
    ExpiredCertificate(String),
    /// A certificate of a CA that the API server does not know, for this user.
    ForeignCertificate(String),
    /// An expired certificate of the right CA and a valid token, both in the same request.
    ExpiredCertificateAndToken(UserAndToken),
    /// A valid certificate with a uid in its subject (catalogue N-07).
    #[serde(rename = "certificateWithUID")]
    CertificateWithUid(UserAndUid),
    /// A ServiceAccount, `NAMESPACE/NAME`, by a token that is requested for it; the ServiceAccount is created if it does not exist.
    ServiceAccount(String),
    /// The administrator, impersonating this user.
    Impersonated(String),
}

/// A user by certificate, and a token.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserAndToken {
    /// The certificate's user.
    pub user: String,
    /// The token.
    pub token: String,
}

/// A user by certificate, with a uid.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserAndUid {
    /// The certificate's user.
    pub user: String,
    /// The value of the subject's attribute 1.3.6.1.4.1.57683.2.
    pub uid: String,
}

impl Identity {
    pub(super) fn lint(&self, names: &Names<'_>) -> Option<String> {
        match self {
            Self::Token(token) => names.token(token),
            Self::ExpiredCertificateAndToken(both) => names.token(&both.token),
            Self::Node(node) => names.node(node),
            Self::ServiceAccount(account) => {
                let is_one = account
                    .split_once('/')
                    .is_some_and(|(namespace, name)| [namespace, name].iter().all(|part| is_id_part(part)));
                (!is_one).then(|| format!("`{account}` names no ServiceAccount: write `NAMESPACE/NAME`"))
            }
            _ => None,
        }
    }
}

/// Whether it is a name of a Namespace or ServiceAccount (RFC 1123).
fn is_id_part(part: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !part.is_empty() && part.len() <= 63 && part.bytes().all(is_inner) && !part.starts_with('-') && !part.ends_with('-')
}
