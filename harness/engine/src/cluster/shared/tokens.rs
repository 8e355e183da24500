//! Tokens of a scenario: their values, the lines of the static token file, and the Secrets.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret as SecretObject;
use kube::Client;
use kube::api::{Api, PostParams};
use p256::elliptic_curve::Generate;
use serde_json::{Value, json};

use crate::cluster::{ClusterError, TokenValue};
use crate::secret::{Secret, Vault};
use tlsboot_core::scenario::{KUBEADM_GROUP, KUBEADM_TOKEN, Token, TokenDefect, TokenKind};
use tlsboot_core::time::Shift;

/// As in the seed document.
const STATIC_UID: &str = "10001";

/// 64 random hex digits, from the same source as keys.
pub fn random_hex() -> String {
    hex::encode(p256::SecretKey::generate().to_bytes())
}

/// Gives each token of a scenario a random value.
pub(crate) fn values(tokens: &BTreeMap<String, Token>, vault: &Vault) -> BTreeMap<String, TokenValue> {
    tokens
        .iter()
        .map(|(name, token)| {
            let random = random_hex();
            let (id, half) = (random[..6].to_owned(), &random[6..22]);
            let value = match (token.kind, token.defect) {
                (_, Some(TokenDefect::Malformed)) => format!("malformed-{random}"),
                (TokenKind::Static, _) => random.clone(),
                (TokenKind::Bootstrap, _) => format!("{id}.{half}"),
            };
            vault.register(&value);
            (name.clone(), TokenValue { token: token.clone(), id, value: Secret::new(value) })
        })
        .collect()
}

/// The file for `--token-auth-file` (catalogue A-01).
pub(crate) fn static_file<'a>(tokens: impl IntoIterator<Item = &'a TokenValue>) -> String {
    tokens
        .into_iter()
        .filter(|token| token.token.kind == TokenKind::Static && token.token.defect.is_none())
        .map(|TokenValue { token, value, .. }| {
            let user = token.user.as_deref().unwrap_or(TokenValue::STATIC_USER);
            format!("{},{user},{STATIC_UID},\"{}\"\n", value.expose(), token.groups.join(","))
        })
        .collect()
}

/// tlsboot's own tokens. With them tlsboot and the controller-manager can reach an API server that does not trust the
/// CA of their certificates, as a scenario may require.
pub(crate) struct OwnTokens {
    pub(crate) administrator: Secret<String>,
    pub(crate) controller_manager: Secret<String>,
}

impl OwnTokens {
    pub(crate) fn new(vault: &Vault) -> Self {
        let random = || {
            let value = random_hex();
            vault.register(&value);
            Secret::new(value)
        };
        Self { administrator: random(), controller_manager: random() }
    }

    /// Their lines in the file for `--token-auth-file`.
    pub(crate) fn lines(&self) -> String {
        let Self { administrator, controller_manager } = self;
        format!(
            "{},{ADMINISTRATOR},{ADMINISTRATOR},\"{MASTERS}\"\n{},{CONTROLLER_MANAGER},{CONTROLLER_MANAGER},\"\"\n",
            administrator.expose(),
            controller_manager.expose()
        )
    }
}

/// tlsboot's own user, and its group.
pub(crate) const ADMINISTRATOR: &str = "tlsboot-admin";
pub(crate) const MASTERS: &str = "system:masters";
/// The controller-manager's user.
pub(crate) const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";

/// Creates the Secrets of the bootstrap tokens, except the one that kubeadm has created.
pub(crate) async fn create(tokens: &BTreeMap<String, TokenValue>, admin: &Client) -> Result<(), ClusterError> {
    let secrets: Api<SecretObject> = Api::namespaced(admin.clone(), "kube-system");
    for (name, token) in tokens {
        if name == KUBEADM_TOKEN {
            continue;
        }
        if let Some(secret) = secret(token, Timestamp::now()) {
            let secret = serde_json::from_value(secret).map_err(std::io::Error::other)?;
            secrets.create(&PostParams::default(), &secret).await?;
        }
    }
    Ok(())
}

/// The Secret of a bootstrap token (catalogue A-07), with its defect; `None` for an unknown token.
pub fn secret(token: &TokenValue, now: Timestamp) -> Option<Value> {
    let TokenValue { token, id, value } = token;
    if token.kind != TokenKind::Bootstrap || matches!(token.defect, Some(TokenDefect::Unknown | TokenDefect::Malformed))
    {
        return None;
    }
    let defect = |wanted| token.defect == Some(wanted);
    let half = value.expose().split_once('.').map_or("", |(_, half)| half);
    let mut data = json!({
        "token-id": if defect(TokenDefect::WrongId) { "zzzzzz" } else { id.as_str() },
        "token-secret": match token.defect {
            Some(TokenDefect::WrongSecret) => "0123456789abcdef".to_owned(),
            Some(TokenDefect::Newline) => format!("{half}\n"),
            _ => half.to_owned(),
        },
        "usage-bootstrap-authentication": "true",
    });
    // As kubeadm creates its own: `kubeadm join` trusts a cluster-info that is signed with the token.
    if token.groups.iter().any(|group| group == KUBEADM_GROUP) {
        data["usage-bootstrap-signing"] = json!("true");
    }
    if defect(TokenDefect::NoUsage) {
        data["usage-bootstrap-authentication"] = json!("false");
    }
    let groups = match token.defect {
        Some(TokenDefect::ForeignGroup) => "system:masters".to_owned(),
        Some(TokenDefect::GroupForm) => "system:bootstrappers:Workers".to_owned(),
        _ => token.groups.join(","),
    };
    if !groups.is_empty() {
        data["auth-extra-groups"] = json!(groups);
    }
    if let Some(expires) = token.expires {
        data["expiration"] = json!(now.later(expires).to_string());
    }
    if defect(TokenDefect::UnparsableExpiration) {
        data["expiration"] = json!("tomorrow");
    }
    if defect(TokenDefect::EmptyExpiration) {
        data["expiration"] = json!("");
    }
    let kind = if defect(TokenDefect::WrongType) { "Opaque" } else { "bootstrap.kubernetes.io/token" };
    Some(json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": format!("bootstrap-token-{id}"), "namespace": "kube-system"},
        "type": kind,
        "stringData": data,
    }))
}

/// A bootstrap token with a random value, not yet known to any API server.
pub fn random_token(groups: &[String], expires: SignedDuration) -> TokenValue {
    let random = random_hex();
    let (id, half) = (random[..6].to_owned(), &random[6..22]);
    TokenValue {
        value: Secret::new(format!("{id}.{half}")),
        id,
        token: Token {
            kind: TokenKind::Bootstrap,
            user: None,
            groups: groups.to_vec(),
            expires: Some(expires),
            defect: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(KUBEADM_GROUP, true)]
    #[case("system:bootstrappers:tlsboot", false)]
    fn kubeadms_tokens_sign_cluster_info(#[case] group: &str, #[case] signs: bool) {
        let token = random_token(&[group.to_owned()], SignedDuration::from_hours(1));
        let secret = secret(&token, Timestamp::now()).unwrap();
        let data = &secret["stringData"];
        assert_eq!(data["usage-bootstrap-signing"] == "true", signs);
        assert_eq!(data["usage-bootstrap-authentication"], "true");
    }
}
