//! Clients of an API server, each with its own credentials.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::beta;
use crate::cluster::{ClusterError, Credential, Endpoint};
use crate::poll;
use crate::secret::Secret;

/// What a client shows to the API server.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// Nothing.
    None,
    /// A bearer token.
    Token(Secret<String>),
    /// A client certificate.
    Certificate(Credential),
    /// A client certificate and a bearer token.
    CertificateAndToken(Credential, Secret<String>),
}

impl Credentials {
    /// As they stand under `user` in a kubeconfig: the secrets are in it, so it must not be shown.
    pub fn auth_info(&self) -> Value {
        let pair = |pair: &Credential| {
            json!({
                "client-certificate-data": STANDARD.encode(&pair.certificate),
                "client-key-data": STANDARD.encode(pair.key.expose()),
            })
        };
        match self {
            Self::None => json!({}),
            Self::Token(token) => json!({"token": token.expose()}),
            Self::Certificate(credential) => pair(credential),
            Self::CertificateAndToken(credential, token) => {
                let mut user = pair(credential);
                user["token"] = json!(token.expose());
                user
            }
        }
    }
}

/// As tlsboot's own requests are marked in the audit log.
pub const USER_AGENT: &str = concat!("tlsboot/", env!("CARGO_PKG_VERSION"));

/// An answer takes milliseconds; a server that says nothing for so long is hung.
const ANSWER: Duration = Duration::from_secs(30);

/// A kubeconfig with everything in it, as JSON, which is YAML too.
pub fn kubeconfig(endpoint: &Endpoint, credentials: &Credentials) -> Secret<String> {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tlsboot", "cluster": {"server": endpoint.url, "certificate-authority-data": STANDARD.encode(&endpoint.ca)}}],
        "users": [{"name": "tlsboot", "user": credentials.auth_info()}],
        "contexts": [{"name": "tlsboot", "context": {"cluster": "tlsboot", "user": "tlsboot"}}],
        "current-context": "tlsboot",
    });
    Secret::new(config.to_string())
}

/// A client that retries nothing by itself: every answer counts here.
///
/// # Errors
/// Credentials that can't be read.
pub async fn client(endpoint: &Endpoint, credentials: &Credentials) -> Result<kube::Client, ClusterError> {
    let kubeconfig = kubeconfig(endpoint, credentials);
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig.expose()).map_err(std::io::Error::other)?;
    client_of(endpoint, kubeconfig).await
}

/// The same, of somebody whom the kubeconfig's own user impersonates.
///
/// # Errors
/// A kubeconfig that can't be read.
pub async fn impersonating(
    endpoint: &Endpoint,
    kubeconfig: &Secret<String>,
    whom: &str,
) -> Result<kube::Client, ClusterError> {
    let mut kubeconfig = Kubeconfig::from_yaml(kubeconfig.expose()).map_err(std::io::Error::other)?;
    for user in &mut kubeconfig.auth_infos {
        user.auth_info.get_or_insert_default().impersonate = Some(whom.to_owned());
    }
    client_of(endpoint, kubeconfig).await
}

async fn client_of(endpoint: &Endpoint, kubeconfig: Kubeconfig) -> Result<kube::Client, ClusterError> {
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(std::io::Error::other)?;
    config.default_retry = false;
    config.connect_timeout = Some(ANSWER);
    config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(USER_AGENT)));
    Ok(match endpoint.beta_csrs {
        true => beta::client(config)?,
        false => kube::Client::try_from(config)?,
    })
}

/// A client without credentials that takes any certificate: for health checks of our own processes on this machine.
///
/// # Errors
/// A URL that can't be read.
pub fn blind(url: &str) -> Result<kube::Client, ClusterError> {
    let mut config = kube::Config::new(url.parse().map_err(std::io::Error::other)?);
    config.accept_invalid_certs = true;
    config.default_retry = false;
    Ok(kube::Client::try_from(config)?)
}

/// Waits until a component answers well; `ended` is ready, with the reason, when it has ended instead.
pub(crate) async fn until_ok(
    probe: &kube::Client,
    path: &str,
    component: &str,
    patience: Duration,
    ended: impl Future<Output = ClusterError> + Send,
) -> Result<(), ClusterError> {
    let answered = poll::until(Instant::now() + patience, poll::OFTEN, || answers(probe, path));
    tokio::select! {
        answered = answered => answered?.map_err(ClusterError::late(format!("{path} of {component}"), patience)),
        error = ended => Err(error),
    }
}

/// A changed file is taken up within a minute at most.
const TAKEN_UP: Duration = Duration::from_secs(120);

/// Waits until the API server accepts a client certificate: it takes up a changed bundle of CAs on its own.
pub(crate) async fn until_trusted(endpoint: &Endpoint, credential: Credential) -> Result<(), ClusterError> {
    let probe = client(endpoint, &Credentials::Certificate(credential)).await?;
    let accepted = poll::until(Instant::now() + TAKEN_UP, poll::OFTEN, || answers(&probe, "/version")).await?;
    accepted.map_err(ClusterError::late("the API server's trust in the new CA", TAKEN_UP))
}

/// Whether a server answers well, or why not.
pub(crate) async fn answers(probe: &kube::Client, path: &str) -> Result<Result<(), kube::Error>, ClusterError> {
    let request = http::Request::get(path).body(Vec::new()).map_err(std::io::Error::other)?;
    Ok(probe.request_text(request).await.map(drop))
}
