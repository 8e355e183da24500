//! Looking at kube-public/cluster-info: what is in it, whether its server answers, and who signed it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Uri;
use k8s_openapi::api::core::v1::{ConfigMap, Secret as SecretObject};
use kube::api::{Api, ResourceExt};
use kube::config::Kubeconfig;
use ring::hmac;
use tokio::time::timeout;

use super::snapshot::{ClusterInfo, Right, Seen, Served};
use super::token::SECRET_PREFIX;
use crate::connection::{Connection, Unreachable};
use tlsboot_core::x509::read;
use tlsboot_engine::cluster::client::Credentials;
use tlsboot_engine::observe::presented;

const NAMESPACE: &str = "kube-public";
const NAME: &str = "cluster-info";
/// For the server's name and its handshake.
const ANSWER: Duration = Duration::from_secs(5);

/// Reads it with our own rights, and tries to as everyone else does.
pub(super) async fn cluster_info(
    connection: &Connection,
    secrets: &[SecretObject],
) -> Result<Seen<Option<ClusterInfo>>, Unreachable> {
    let api = Api::<ConfigMap>::namespaced(connection.client(), NAMESPACE);
    let map = match api.get_opt(NAME).await {
        Ok(Some(map)) => map,
        Ok(None) => return Ok(Seen::Is(None)),
        Err(kube::Error::Api(status)) if status.code == 403 => {
            return Ok(Seen::Refused(Right {
                verb: "get".into(),
                resource: "configmaps".into(),
                namespace: Some(NAMESPACE.into()),
                for_what: "how kubeadm join discovers the cluster".into(),
            }));
        }
        Err(error) => return Err(connection.unreachable(&error)),
    };
    let refuse = |error: kube::Error| connection.unreachable(&error);
    let anonymous = connection.with(&Credentials::None).map_err(refuse)?;
    let anonymous = match Api::<ConfigMap>::namespaced(anonymous, NAMESPACE).get_opt(NAME).await {
        Ok(_) => 200,
        Err(kube::Error::Api(status)) => status.code,
        Err(error) => return Err(refuse(error)),
    };
    let mut info = read_info(&map, secrets);
    info.anonymous = anonymous;
    (info.answers, info.chain) = answers(&info.server).await;
    Ok(Seen::Is(Some(info)))
}

fn read_info(map: &ConfigMap, secrets: &[SecretObject]) -> ClusterInfo {
    let data = map.data.clone().unwrap_or_default();
    let text = data.get("kubeconfig").map(String::as_str).unwrap_or_default();
    let cluster = Kubeconfig::from_yaml(text).ok().and_then(|config| config.clusters.into_iter().next()?.cluster);
    let pem = cluster.as_ref().and_then(|cluster| {
        let pem = cluster.certificate_authority_data.as_ref()?;
        base64::engine::general_purpose::STANDARD.decode(pem).ok()
    });
    ClusterInfo {
        server: cluster.and_then(|cluster| cluster.server).unwrap_or_default(),
        cas: pem.and_then(|pem| read::certificates_from_pem(&pem).ok()).unwrap_or_default(),
        answers: Served::Unreachable("not looked at".into()),
        chain: Vec::new(),
        anonymous: 0,
        signatures: signatures(&data, text, secrets),
    }
}

/// Of each token that has one in the ConfigMap, whether its signature is right. A token whose Secret can't be read is left
/// out. Source: `k8s.io/cluster-bootstrap/token/jws`: HMAC-SHA256 by the whole token, the content detached.
fn signatures(data: &BTreeMap<String, String>, content: &str, secrets: &[SecretObject]) -> BTreeMap<String, bool> {
    let mut signatures = BTreeMap::new();
    for secret in secrets {
        let name = secret.name_any();
        let id = name.strip_prefix(SECRET_PREFIX).unwrap_or(&name).to_owned();
        let value = secret.data.as_ref().and_then(|data| data.get("token-secret"));
        if let (Some(jws), Some(value)) = (data.get(&format!("jws-kubeconfig-{id}")), value) {
            let token = [id.as_bytes(), b".", value.0.as_slice()].concat();
            let is_right = is_signed(jws, content, &token);
            signatures.insert(id, is_right);
        }
    }
    signatures
}

fn is_signed(jws: &str, content: &str, token: &[u8]) -> bool {
    let parts: Vec<&str> = jws.split('.').collect();
    let [header, "", signature] = parts.as_slice() else {
        return false;
    };
    let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else {
        return false;
    };
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(content));
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, token), message.as_bytes(), &signature).is_ok()
}

/// What the server of a kubeconfig presents.
async fn answers(server: &str) -> (Served, Vec<tlsboot_core::history::facts::CertificateFacts>) {
    let seen = timeout(ANSWER, async {
        let uri: Uri = server.parse().map_err(|_| "its URL can't be read".to_owned())?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(443);
        let mut addresses = tokio::net::lookup_host((host.as_str(), port)).await.map_err(|error| error.to_string())?;
        let address: SocketAddr = addresses.next().ok_or_else(|| "its name has no address".to_owned())?;
        presented::once("", address).await.map_err(|error| error.to_string())
    });
    match seen.await {
        Ok(Ok(seen)) => {
            let mut chain = seen.chain.into_iter();
            match chain.next() {
                Some(leaf) => (Served::Certificate(Box::new(leaf)), chain.collect()),
                None => (Served::Unreachable(seen.refused.unwrap_or_default()), Vec::new()),
            }
        }
        Ok(Err(error)) => (Served::Unreachable(error), Vec::new()),
        Err(_) => (Served::Unreachable("no answer in time".into()), Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_token_over_the_content() {
        // Made by Kubernetes' own `jws.ComputeDetachedSignature("x", "abcdef", "abcdef.0123456789abcdef")`'s algorithm.
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","kid":"abcdef"}"#);
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"abcdef.0123456789abcdef");
        let tag = hmac::sign(&key, format!("{header}.{}", URL_SAFE_NO_PAD.encode("x")).as_bytes());
        let jws = format!("{header}..{}", URL_SAFE_NO_PAD.encode(tag));
        assert!(is_signed(&jws, "x", b"abcdef.0123456789abcdef"));
        assert!(!is_signed(&jws, "y", b"abcdef.0123456789abcdef"));
        assert!(!is_signed(&jws, "x", b"abcdef.0123456789abcdeg"));
        for odd in ["", "..", "a.b.c", "a..!"] {
            assert!(!is_signed(odd, "x", b"abcdef.0123456789abcdef"), "{odd}");
        }
    }
}
