//! A cluster that others made: everything that a kubeconfig leads to.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderValue;
use kube::client::AuthError;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use secrecy::ExposeSecret;

use tlsboot_engine::cluster::client::{Credentials, USER_AGENT};
use tlsboot_engine::untrusted::{self, LONGEST};

/// Somebody waits for the answer, in front of a terminal.
const CONNECT: Duration = Duration::from_secs(5);
/// A command that gives credentials may open a browser to log in.
const COMMAND: Duration = Duration::from_secs(60);

/// Why a cluster can't be asked anything.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    /// The kubeconfig can't be used.
    #[error("the kubeconfig {}: {reason}", .path.display())]
    Kubeconfig {
        /// Which.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// Nobody answers there, or somebody else.
    #[error(
        "{server} can't be reached: {reason}\n  Look whether that is the right cluster (--context) and whether `kubectl --kubeconfig … version` works from here."
    )]
    Server {
        /// Where.
        server: String,
        /// Why.
        reason: String,
    },
    /// The API server does not know the kubeconfig's user.
    #[error(
        "{server} does not know the credentials of this kubeconfig (401 Unauthorized): the certificate or token in it has expired, or belongs to another cluster. Get a new kubeconfig from whoever runs the cluster."
    )]
    Unauthorized {
        /// Where.
        server: String,
    },
    /// The API server refuses something that can't be done without.
    #[error("{0}")]
    Refused(String),
}

/// Where a cluster is, and with which credentials its kubeconfig comes.
#[derive(Clone)]
pub struct Connection {
    config: kube::Config,
    client: kube::Client,
    context: String,
}

impl Connection {
    /// Reads a kubeconfig; a context other than the current one can be named. Nothing is sent yet.
    ///
    /// # Errors
    /// When the file or the context is no use.
    pub async fn open(path: &Path, context: Option<&str>) -> Result<Self, Unreachable> {
        let refuse = |reason: String| Unreachable::Kubeconfig { path: path.to_owned(), reason };
        let kubeconfig = read(path).map_err(refuse)?;
        let known: Vec<&str> = kubeconfig.contexts.iter().map(|context| context.name.as_str()).collect();
        let name = context
            .or(kubeconfig.current_context.as_deref())
            .filter(|name| !name.is_empty())
            .ok_or_else(|| {
                let known = known.join(", ");
                refuse(format!("it has no current-context; name one by --context: {known}"))
            })?
            .to_owned();
        if !known.contains(&name.as_str()) {
            let known = known.join(", ");
            return Err(refuse(format!("it has no context `{name}`; it has: {known}")));
        }
        let options = KubeConfigOptions { context: Some(name.clone()), ..Default::default() };
        let mut config =
            kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| refuse(chain(&error)))?;
        // Every answer counts here.
        config.default_retry = false;
        config.connect_timeout = Some(CONNECT);
        config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(USER_AGENT)));
        let client = client(config.clone()).await.map_err(refuse)?;
        Ok(Self { config, client, context: name })
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
    /// Credentials that can't be used.
    pub fn with(&self, credentials: &Credentials) -> Result<kube::Client, kube::Error> {
        let auth_info: AuthInfo = serde_json::from_value(credentials.auth_info()).map_err(kube::Error::SerdeError)?;
        let mut config = self.config.clone();
        config.auth_info = auth_info;
        kube::Client::try_from(config)
    }

    /// A client that asks in somebody else's name, for which the kubeconfig's user needs the right to impersonate.
    ///
    /// # Errors
    /// Names that can't be sent as headers.
    pub fn impersonating(&self, user: &str, groups: &[&str]) -> Result<kube::Client, kube::Error> {
        let mut config = self.config.clone();
        config.auth_info.impersonate = Some(user.to_owned());
        config.auth_info.impersonate_groups = Some(groups.iter().map(|&group| group.to_owned()).collect());
        kube::Client::try_from(config)
    }

    /// What a node begins with, by a bootstrap kubeconfig. Only its user counts: what is created for it must be found
    /// again in this cluster.
    ///
    /// # Errors
    /// When the file is no use.
    pub async fn bootstrap(&self, path: &Path) -> Result<Bootstrap, Unreachable> {
        let auth_info = Self::open(path, None).await?.config.auth_info;
        let token = auth_info.token.as_ref();
        let token_id = token.and_then(|token| bootstrap_token_id(token.expose_secret()));
        let mut config = self.config.clone();
        config.auth_info = auth_info;
        let client =
            client(config).await.map_err(|reason| Unreachable::Kubeconfig { path: path.to_owned(), reason })?;
        Ok(Bootstrap { client, token_id })
    }

    /// What an error means that is not about the single request.
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

/// With what a node begins that has no certificate.
#[derive(Clone)]
pub struct Bootstrap {
    /// A client with it.
    pub client: kube::Client,
    /// The id of a bootstrap token; none for other credentials.
    pub token_id: Option<String>,
}

/// The first half of a bootstrap token, which is no secret; none of other tokens.
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

fn read(path: &Path) -> Result<Kubeconfig, String> {
    let is_pipe = path.metadata().map_err(|error| error.to_string())?.file_type().is_fifo();
    if is_pipe {
        let text = untrusted::read_text(path, LONGEST).map_err(|error| error.to_string())?;
        return Kubeconfig::from_yaml(&text).map_err(|error| chain(&error));
    }
    // kube reads it itself, since the paths in it are relative to its own.
    untrusted::check(path, LONGEST).map_err(|error| error.to_string())?;
    Kubeconfig::read_from(path).map_err(|error| chain(&error))
}

/// A client with a kubeconfig's credentials. If they come from a command (`exec`, or the `auth-provider` gcp), it is run.
///
/// # Errors
/// When they can't be used, in words that show none of them.
async fn client(config: kube::Config) -> Result<kube::Client, String> {
    let auth = &config.auth_info;
    if auth.token.as_ref().is_some_and(|token| HeaderValue::try_from(token.expose_secret()).is_err()) {
        return Err(
            "the token of its user can't be sent: a line break or something else is in it that a header can't hold"
                .into(),
        );
    }
    if auth.exec.is_none() && auth.auth_provider.is_none() {
        return kube::Client::try_from(config).map_err(|error| chain(&error));
    }
    // kube waits for the command, which may never end: in a thread that nobody waits for.
    let (sender, client) = tokio::sync::oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    std::thread::spawn(move || {
        let _runtime = runtime.enter();
        let _ = sender.send(kube::Client::try_from(config));
    });
    match tokio::time::timeout(COMMAND, client).await {
        Ok(Ok(client)) => client.map_err(|error| chain(&error)),
        Ok(Err(_)) => Err("the command that gives its user's credentials could not be run".into()),
        Err(_) => Err(format!(
            "the command that gives its user's credentials has not ended within {} s: run it by hand, and see what it waits for",
            COMMAND.as_secs()
        )),
    }
}

/// What a command that gives credentials has printed may be credentials, and its environment hold them.
fn of_command(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    match error.downcast_ref::<AuthError>()? {
        AuthError::AuthExecRun { out, .. } => Some(format!(
            "the command that gives its user's credentials failed ({}): run it by hand to see why",
            out.status
        )),
        AuthError::AuthExecParse(_) | AuthError::ParseTokenKey(_) => {
            Some("what the command printed that gives its user's credentials can't be read".into())
        }
        _ => None,
    }
}

/// The innermost reason is what helps; the outer ones say "client error".
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut causes = std::iter::successors(Some(error), |cause| cause.source());
    if let Some(said) = causes.find_map(of_command) {
        return said;
    }
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
        let opened = Connection::open(&path, context).await;
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
        assert!(said.contains("the token of its user can't be sent") && !said.contains("abc"), "{said}");
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
        assert!(refused(TWO, None).await.contains("name one by --context: a, b"));
        let missing = Connection::open(Path::new("/nowhere/kubeconfig"), None).await;
        let said = missing.map(drop).unwrap_err().to_string();
        assert!(said.contains("/nowhere/kubeconfig: No such file"), "{said}");
    }

    #[tokio::test]
    async fn what_does_not_answer_is_told_from_what_refuses() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kubeconfig");
        std::fs::write(&path, TWO).unwrap();
        let connection = Connection::open(&path, Some("b")).await.unwrap();
        assert_eq!(connection.context(), "b");
        let error = connection.client().apiserver_version().await.unwrap_err();
        let said = connection.unreachable(&error).to_string();
        assert!(said.starts_with("https://127.0.0.1:1 can't be reached"), "{said}");
    }
}
