//! An existing cluster: everything that a kubeconfig leads to.

mod bounded;
mod exec;
mod kubeconfig;
mod proxy;

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderValue;
use kube::config::{AuthInfo, Cluster, Kubeconfig};
use secrecy::ExposeSecret;

use kubeconfig::Source;
use tlsboot_engine::cluster::client::{Credentials, USER_AGENT, direct};

/// A person is waiting for the answer, in front of a terminal.
const CONNECT: Duration = Duration::from_secs(5);

/// Why a cluster cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    /// The kubeconfig is not usable.
    #[error("the kubeconfig {}: {reason}", .path.display())]
    Kubeconfig {
        /// Which kubeconfig.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// There is no kubeconfig.
    #[error(
        "no cluster is specified: use --kubeconfig or set KUBECONFIG (there is no ~/.kube/config, and this is not a pod)"
    )]
    NoKubeconfig,
    /// Nothing answers there, or something else does.
    #[error(
        "{server} cannot be reached: {reason}\n  Check that this is the right cluster (--context) and that `kubectl --kubeconfig … version` works from here."
    )]
    Server {
        /// The server's URL.
        server: String,
        /// Why.
        reason: String,
    },
    /// The API server does not know the kubeconfig's user.
    #[error(
        "{server} does not accept the credentials of this kubeconfig (401 Unauthorized): the certificate or token in it has expired, or belongs to another cluster. Get a new kubeconfig from the administrator of the cluster."
    )]
    Unauthorized {
        /// The server's URL.
        server: String,
    },
    /// The API server refuses something that is required.
    #[error("{0}")]
    Refused(String),
}

/// The address of a cluster, and the credentials of its kubeconfig.
#[derive(Clone)]
pub struct Connection {
    config: kube::Config,
    client: kube::Client,
    context: String,
}

impl Connection {
    /// Reads a kubeconfig: the named file, or the one that kubectl would use (`KUBECONFIG`, `~/.kube/config`, the
    /// service account of this pod). A context other than the current one can be named. Nothing is sent yet; a command
    /// that the kubeconfig names for credentials is run.
    ///
    /// # Errors
    /// If there is none, or the file or the context is not usable.
    pub async fn open(path: Option<&Path>, context: Option<&str>) -> Result<Self, Unreachable> {
        let source = Source::find(path).ok_or(Unreachable::NoKubeconfig)?;
        let opened = match source {
            Source::Pod => pod(),
            _ => read(&source, context).await,
        };
        let (mut config, context) = opened.map_err(|reason| Unreachable::Kubeconfig { path: source.name(), reason })?;
        // Every answer counts here.
        config.default_retry = false;
        config.connect_timeout = Some(CONNECT);
        config.headers.push((http::header::USER_AGENT, HeaderValue::from_static(USER_AGENT)));
        let client = bounded::client(config.clone())
            .map_err(|error| Unreachable::Kubeconfig { path: source.name(), reason: chain(&error) })?;
        Ok(Self { config, client, context })
    }

    /// A client with the kubeconfig's own credentials.
    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// The API server's URL.
    pub fn server(&self) -> String {
        self.config.cluster_url.to_string().trim_end_matches('/').to_owned()
    }

    /// The context's name in the kubeconfig.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// A client of the same API server with other credentials.
    ///
    /// # Errors
    /// Credentials that are not usable.
    pub fn with(&self, credentials: &Credentials) -> Result<kube::Client, kube::Error> {
        let auth_info: AuthInfo = serde_json::from_value(credentials.auth_info()).map_err(kube::Error::SerdeError)?;
        let mut config = self.config.clone();
        config.auth_info = auth_info;
        bounded::client(config)
    }

    /// A client that impersonates another user, for which the kubeconfig's user needs the right to impersonate.
    ///
    /// # Errors
    /// Names that cannot be sent as headers.
    pub fn impersonating(&self, user: &str, groups: &[&str]) -> Result<kube::Client, kube::Error> {
        let mut config = self.config.clone();
        config.auth_info.impersonate = Some(user.to_owned());
        config.auth_info.impersonate_groups = Some(groups.iter().map(|&group| group.to_owned()).collect());
        bounded::client(config)
    }

    /// A node's initial credentials, from a bootstrap kubeconfig. Only its user is used: what is created with it must
    /// be found again in this cluster.
    ///
    /// # Errors
    /// If the file is not usable.
    pub async fn bootstrap(&self, path: &Path) -> Result<Bootstrap, Unreachable> {
        let auth_info = Self::open(Some(path), None).await?.config.auth_info;
        let token = auth_info.token.as_ref();
        let token_id = token.and_then(|token| bootstrap_token_id(token.expose_secret()));
        let mut config = self.config.clone();
        config.auth_info = auth_info;
        let client = bounded::client(config)
            .map_err(|error| Unreachable::Kubeconfig { path: path.to_owned(), reason: chain(&error) })?;
        Ok(Bootstrap { client, token_id })
    }

    /// The meaning of an error that is not about the single request.
    pub fn unreachable(&self, error: &kube::Error) -> Unreachable {
        match error {
            kube::Error::Api(status) if status.code == 401 => Unreachable::Unauthorized { server: self.server() },
            kube::Error::Api(status) => {
                Unreachable::Refused(format!("{} answered {}: {}", self.server(), status.code, status.message))
            }
            other => Unreachable::Server { server: self.server(), reason: chain(other) },
        }
    }
}

/// The credentials of a node that has no certificate.
#[derive(Clone)]
pub struct Bootstrap {
    /// A client with these credentials.
    pub client: kube::Client,
    /// The id of a bootstrap token; `None` for other credentials.
    pub token_id: Option<String>,
}

/// The first half of a bootstrap token, which is not secret; `None` for other tokens.
fn bootstrap_token_id(token: &str) -> Option<String> {
    let (id, secret) = token.split_once('.')?;
    is_bootstrap_token(id, secret).then(|| id.to_owned())
}

/// Whether these are the halves of a bootstrap token: `[a-z0-9]{6}` and `[a-z0-9]{16}`.
/// Source: cluster-bootstrap/token/api, `BootstrapTokenPattern`.
pub fn is_bootstrap_token(id: &str, secret: &str) -> bool {
    let is_half = |text: &str, length| {
        let known = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit();
        text.len() == length && text.bytes().all(known)
    };
    is_half(id, 6) && is_half(secret, 16)
}

/// What one context of a kubeconfig leads to, and its name. No file is read after this.
async fn read(source: &Source, context: Option<&str>) -> Result<(kube::Config, String), String> {
    let mut kubeconfig = source.read()?;
    let name = chosen(&kubeconfig, context)?;
    let (cluster, user) = parts(&mut kubeconfig, &name);
    let mut proxy_url = None;
    if let Some(cluster) = cluster {
        kubeconfig::take_authority(cluster)?;
        proxy_url = cluster.proxy_url.clone();
        if let Some(user) = user {
            *user = credentials(user, cluster).await?;
        }
    }
    let mut config = direct(&kubeconfig, Some(&name)).map_err(|error| error.to_string())?;
    config.proxy_url = proxy::of(&config.cluster_url, proxy_url.as_deref())?;
    Ok((config, name))
}

/// The context's name.
fn chosen(kubeconfig: &Kubeconfig, context: Option<&str>) -> Result<String, String> {
    let known: Vec<&str> = kubeconfig.contexts.iter().map(|context| context.name.as_str()).collect();
    let current = kubeconfig.current_context.as_deref();
    let Some(name) = context.or(current).filter(|name| !name.is_empty()) else {
        return Err(format!("it has no current-context; use --context with one of: {}", known.join(", ")));
    };
    if !known.contains(&name) {
        return Err(format!("it has no context `{name}`; it has: {}", known.join(", ")));
    }
    Ok(name.to_owned())
}

/// The cluster and the user of a context.
fn parts<'a>(kubeconfig: &'a mut Kubeconfig, context: &str) -> (Option<&'a mut Cluster>, Option<&'a mut AuthInfo>) {
    let context = kubeconfig.contexts.iter().find(|named| named.name == context);
    let Some(context) = context.and_then(|named| named.context.clone()) else {
        return (None, None);
    };
    let cluster = kubeconfig.clusters.iter_mut().find(|named| named.name == context.cluster);
    let user = kubeconfig.auth_infos.iter_mut().find(|named| Some(&named.name) == context.user.as_ref());
    (cluster.and_then(|named| named.cluster.as_mut()), user.and_then(|named| named.auth_info.as_mut()))
}

/// A user with all credentials embedded, so that none have to be fetched later.
async fn credentials(user: &AuthInfo, cluster: &Cluster) -> Result<AuthInfo, String> {
    let mut user = user.clone();
    kubeconfig::take_files(&mut user)?;
    if let Some(provider) = &user.auth_provider {
        return Err(format!(
            "its user's credentials come from the auth-provider `{}`, which was removed in Kubernetes 1.26: use a command instead (exec)",
            provider.name
        ));
    }
    if let Some(exec) = user.exec.take() {
        let about = exec.provide_cluster_info.then(|| cluster.try_into()).transpose();
        let about = about.map_err(|error: kube::config::KubeconfigError| chain(&error))?;
        let given = exec::credentials(&exec, about).await?;
        user.token = given.token.or(user.token);
        user.client_certificate_data = given.client_certificate_data.or(user.client_certificate_data);
        user.client_key_data = given.client_key_data.or(user.client_key_data);
    }
    if user.token.as_ref().is_some_and(|token| HeaderValue::try_from(token.expose_secret()).is_err()) {
        return Err(
            "the token of its user cannot be sent: it contains a line break or another character that is not allowed in a header"
                .into(),
        );
    }
    Ok(user)
}

/// The API server of the pod in which this runs, with the pod's service account.
fn pod() -> Result<(kube::Config, String), String> {
    let mut config = kube::Config::incluster_env().map_err(|error| chain(&error))?;
    config.proxy_url = proxy::of(&config.cluster_url, None)?;
    Ok((config, "in-cluster".to_owned()))
}

/// The innermost reason is what helps; the outer ones say "client error".
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = vec![error.to_string()];
    let mut next = error.source();
    while let Some(source) = next {
        let text = source.to_string();
        if !words.iter().any(|word| word.contains(&text)) {
            words.push(text);
        }
        next = source.source();
    }
    words.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(kubeconfig: &str, context: Option<&str>) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kubeconfig");
        std::fs::write(&path, kubeconfig).unwrap();
        let opened = Connection::open(Some(&path), context).await;
        opened.map(drop).unwrap_err().to_string()
    }

    const TWO: &str = "\
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]
users: [{name: u, user: {token: x}}]
contexts: [{name: a, context: {cluster: c, user: u}}, {name: b, context: {cluster: c, user: u}}]
";

    #[tokio::test]
    async fn a_token_that_no_header_can_hold_is_refused_and_not_shown() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let said = refused(&TWO.replace("token: x", "token: \"abc\\nX: y\""), Some("a")).await;
        assert!(said.contains("the token of its user cannot be sent") && !said.contains("abc"), "{said}");
    }

    #[tokio::test]
    async fn what_a_command_prints_that_gives_credentials_is_not_shown() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let api = "apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never";
        for script in ["echo se-cret-token; exit 3", "echo '{\"status\": [se-cret-token]}'"] {
            let exec = format!("exec: {{{api}, command: sh, args: [-c, '{}']}}", script.replace('\'', "''"));
            let said = refused(&TWO.replace("token: x", &exec), Some("a")).await;
            assert!(said.contains("the command") && !said.contains("se-cret"), "{said}");
        }
    }

    #[test]
    fn only_bootstrap_tokens_have_an_id() {
        let id = bootstrap_token_id("abcdef.0123456789abcdef");
        assert_eq!(id.as_deref(), Some("abcdef"));
        for other in ["abcdef", "abcdef.0123", "ABCDEF.0123456789abcdef", ""] {
            assert_eq!(bootstrap_token_id(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn a_context_that_is_not_there_is_named_with_those_that_are() {
        assert!(refused(TWO, Some("z")).await.contains("no context `z`; it has: a, b"));
        assert!(refused(TWO, None).await.contains("use --context with one of: a, b"));
        let missing = Connection::open(Some(Path::new("/nowhere/kubeconfig")), None).await;
        let said = missing.map(drop).unwrap_err().to_string();
        assert!(said.contains("/nowhere/kubeconfig: No such file"), "{said}");
    }

    #[tokio::test]
    async fn what_does_not_answer_is_told_from_what_refuses() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kubeconfig");
        std::fs::write(&path, TWO).unwrap();
        let connection = Connection::open(Some(&path), Some("b")).await.unwrap();
        assert_eq!(connection.context(), "b");
        let error = connection.client().apiserver_version().await.unwrap_err();
        let said = connection.unreachable(&error).to_string();
        assert!(said.starts_with("https://127.0.0.1:1 cannot be reached"), "{said}");
    }
}
