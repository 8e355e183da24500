//! Clients of an API server, each with its own credentials.

use std::io;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::config::Kubeconfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::beta;
use crate::cluster::{ClusterError, Credential, Endpoint};
use crate::poll;
use crate::secret::Secret;
use crate::untrusted::{self, LONGEST};

/// What a client presents to the API server.
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
    /// As written under `user` in a kubeconfig, including the secrets, so it must not be shown.
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

/// How tlsboot's own requests are marked in the audit log.
pub const USER_AGENT: &str = concat!("tlsboot/", env!("CARGO_PKG_VERSION"));

/// An answer takes milliseconds; a server that sends nothing for this long has hung.
const ANSWER: Duration = Duration::from_secs(30);

/// A complete kubeconfig as JSON, which is also YAML.
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

/// A client that does not retry: every answer counts here.
///
/// # Errors
/// If the credentials cannot be read.
pub async fn client(endpoint: &Endpoint, credentials: &Credentials) -> Result<kube::Client, ClusterError> {
    let kubeconfig = kubeconfig(endpoint, credentials);
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig.expose()).map_err(io::Error::other)?;
    client_of(endpoint, &kubeconfig)
}

/// The same, impersonating another user.
///
/// # Errors
/// If the kubeconfig cannot be read.
pub async fn impersonating(
    endpoint: &Endpoint,
    kubeconfig: &Secret<String>,
    whom: &str,
) -> Result<kube::Client, ClusterError> {
    let mut kubeconfig = Kubeconfig::from_yaml(kubeconfig.expose()).map_err(io::Error::other)?;
    for user in &mut kubeconfig.auth_infos {
        user.auth_info.get_or_insert_default().impersonate = Some(whom.to_owned());
    }
    client_of(endpoint, &kubeconfig)
}

fn client_of(endpoint: &Endpoint, kubeconfig: &Kubeconfig) -> Result<kube::Client, ClusterError> {
    let mut config = direct(kubeconfig, None)?;
    config.default_retry = false;
    config.connect_timeout = Some(ANSWER);
    config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(USER_AGENT)));
    Ok(match endpoint.beta_csrs {
        true => beta::client(config)?,
        false => kube::Client::try_from(config)?,
    })
}

/// The server and credentials of a kubeconfig's current context, or of another one, without any proxy: kube would use a
/// proxy from the environment even for clusters on this machine, and compare `NO_PROXY` with the proxy's own name.
///
/// # Errors
/// What is missing in the kubeconfig, or cannot be read.
pub fn direct(kubeconfig: &Kubeconfig, context: Option<&str>) -> io::Result<kube::Config> {
    let wanted = context.or(kubeconfig.current_context.as_deref()).unwrap_or_default();
    let contexts = kubeconfig.contexts.iter().find(|named| named.name == wanted);
    let context = contexts
        .and_then(|named| named.context.as_ref())
        .ok_or_else(|| io::Error::other(format!("it has no context `{wanted}`")))?;
    let cluster = kubeconfig.clusters.iter().find(|named| named.name == context.cluster);
    let cluster = cluster
        .and_then(|named| named.cluster.as_ref())
        .ok_or_else(|| io::Error::other(format!("it has no cluster `{}`", context.cluster)))?;
    let server = cluster.server.as_deref().unwrap_or_default();
    let url = server.parse().map_err(|error| io::Error::other(format!("its server `{server}`: {error}")))?;
    let mut config = kube::Config::new(url);
    config.root_cert = authorities(cluster)?;
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or(false);
    config.disable_compression = cluster.disable_compression.unwrap_or(false);
    config.tls_server_name = cluster.tls_server_name.clone();
    // Like client-go: a user that does not exist has no credentials.
    let user = kubeconfig.auth_infos.iter().find(|named| Some(&named.name) == context.user.as_ref());
    config.auth_info = user.and_then(|named| named.auth_info.clone()).unwrap_or_default();
    Ok(config)
}

/// The CAs for verifying the API server's certificate, in DER; `None` if the kubeconfig names none.
fn authorities(cluster: &kube::config::Cluster) -> io::Result<Option<Vec<Vec<u8>>>> {
    let given = |text: &&str| !text.is_empty();
    let pem = if let Some(data) = cluster.certificate_authority_data.as_deref().filter(given) {
        STANDARD.decode(data).map_err(|error| io::Error::other(format!("its certificate-authority-data: {error}")))?
    } else if let Some(file) = cluster.certificate_authority.as_deref().filter(given) {
        untrusted::read(file.as_ref(), LONGEST)
            .map_err(|error| io::Error::other(format!("its certificate-authority {file}: {error}")))?
    } else {
        return Ok(None);
    };
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = all.map_err(|error| io::Error::other(format!("its certificate authority: {error}")))?;
    Ok(Some(all.iter().map(|der| der.to_vec()).collect()))
}

/// A client without credentials that accepts any certificate: for health checks of tlsboot's own processes on this
/// machine.
///
/// # Errors
/// If the URL cannot be read.
pub fn blind(url: &str) -> Result<kube::Client, ClusterError> {
    let mut config = kube::Config::new(url.parse().map_err(io::Error::other)?);
    config.accept_invalid_certs = true;
    config.default_retry = false;
    Ok(kube::Client::try_from(config)?)
}

/// Waits until a component reports that it is healthy; `ended` resolves, with the reason, if it exits instead.
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

/// A changed file is loaded within a minute at most.
const TAKEN_UP: Duration = Duration::from_secs(120);

/// Waits until the API server accepts a client certificate: it reloads a changed CA bundle automatically.
pub(crate) async fn until_trusted(endpoint: &Endpoint, credential: Credential) -> Result<(), ClusterError> {
    let probe = client(endpoint, &Credentials::Certificate(credential)).await?;
    let accepted = poll::until(Instant::now() + TAKEN_UP, poll::OFTEN, || answers(&probe, "/version")).await?;
    accepted.map_err(ClusterError::late("the API server's trust in the new CA", TAKEN_UP))
}

/// Whether a server reports that it is healthy, or why not.
pub(crate) async fn answers(probe: &kube::Client, path: &str) -> Result<Result<(), kube::Error>, ClusterError> {
    let request = http::Request::get(path).body(Vec::new()).map_err(io::Error::other)?;
    Ok(probe.request_text(request).await.map(drop))
}
