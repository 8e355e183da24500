//! Plays an agent of k3s: requests certificates from the supervisor, correctly and incorrectly, and restarts the server
//! once.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderValue};
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams, ObjectMeta, PostParams, ResourceExt};
use kube::core::Status;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::k3s::{Answer, HUNDRED_DAYS, Known, Restarted, Seen};
use tlsboot_core::check::Role;
use tlsboot_core::history::facts::CertificateFacts;
use tlsboot_core::x509::{pem, read};
use tlsboot_engine::cluster::client::{Credentials, client};
use tlsboot_engine::cluster::k3s::Server;
use tlsboot_engine::cluster::shared::file::write_private;
use tlsboot_engine::cluster::shared::tokens::random_hex;
use tlsboot_engine::cluster::{Cluster, ClusterError, Credential, Endpoint};
use tlsboot_engine::pki::{Authority, RequestBuilder, Validity};
use tlsboot_engine::poll;
use tlsboot_engine::secret::Secret;
use tlsboot_engine::untrusted::{Folder, LONGEST};

const NODE: &str = "tlsboot-agent";
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 1, 1));
/// k3s renews with less than 90 days left, since May 2025 with less than 120.
const A_MONTH: Duration = Duration::from_secs(30 * 24 * 3600);
/// The supervisor is ready a moment after the API server.
const READY: Duration = Duration::from_secs(60);

/// Who sends a request.
enum Asker<'a> {
    Nobody,
    /// As agents do, with the user `node` and the second half of the token.
    Token(&'a Secret<String>),
    Certificate(&'a Credential),
}

/// Plays the agent, and returns the observations.
///
/// # Errors
/// If the server cannot be reached, or its files are not where k3s puts them.
pub async fn play(server: &Server) -> Result<Seen, ClusterError> {
    let files = server.files()?;
    let (server_ca, client_ca) = (text(&files, "tls/server-ca.crt")?, text(&files, "tls/client-ca.crt")?);
    // Not `node-token`, which is a link to this one by its path in the container.
    let (token_hash, token) = token(&text(&files, "token")?)?;
    let supervisor = Supervisor::of(server.base().endpoint())?;
    // As its kubelet would create it: without it, the supervisor does not accept the node's certificate.
    let nodes = Api::<Node>::all(server.base().admin());
    let meta = ObjectMeta { name: Some(NODE.into()), ..Default::default() };
    let node = Node { metadata: meta, ..Default::default() };
    nodes.create(&PostParams::default(), &node).await?;

    let password = Secret::new(random_hex());
    let (wrong_secret, another) = (Secret::new(random_hex()), Secret::new(random_hex()));
    let (right, wrong) = (Asker::Token(&token), Asker::Token(&wrong_secret));
    let client = |asker, password| supervisor.ask("client-kubelet.crt", asker, NODE, password);
    let (first, pair) = client(&right, &password).await?;
    let of_another = supervisor.ask("client-kubelet.crt", &right, "tlsboot-neighbor", &another);
    let (client_of_another, _) = of_another.await?;
    let serving = supervisor.ask("serving-kubelet.crt", &right, NODE, &password);
    let (serving, _) = serving.await?;
    let (without_credentials, _) = client(&Asker::Nobody, &password).await?;
    let (wrong_token, _) = client(&wrong, &password).await?;
    let (wrong_password, _) = client(&right, &another).await?;
    let own = Asker::Certificate(&pair);
    let (by_certificate, _) = client(&own, &password).await?;
    let other = supervisor.ask("client-kubelet.crt", &own, "tlsboot-another", &another);
    let (for_another, _) = other.await?;
    let csrs = csrs(server).await?;
    let control = control(server).await?;
    let known = known(server, pair.clone()).await?;
    let [expiring, in_between, fresh] = restart(server, &files).await?;
    Ok(Seen {
        at: Timestamp::now(),
        version: server.version(),
        node: NODE.into(),
        address: ADDRESS,
        server_ca: first_of(&server_ca)?,
        client_ca: first_of(&client_ca)?,
        api_server_of: (connects(server, &server_ca).await?, connects(server, &client_ca).await?),
        token_hash,
        cacerts_sha256: supervisor.cacerts().await?,
        without_credentials,
        wrong_token,
        client: first,
        client_of_another,
        serving,
        wrong_password,
        by_certificate,
        for_another,
        known,
        csrs,
        control,
        expiring,
        in_between,
        fresh,
    })
}

/// The supervisor, by the name in its certificate.
struct Supervisor(Endpoint);

impl Supervisor {
    fn of(api_server: &Endpoint) -> Result<Self, ClusterError> {
        let (_, port) =
            api_server.url.rsplit_once(':').ok_or_else(|| ClusterError::Unknown("port of the API server".into()))?;
        Ok(Self(Endpoint { url: format!("https://localhost:{port}"), ca: api_server.ca.clone(), beta_csrs: false }))
    }

    async fn cacerts(&self) -> Result<String, ClusterError> {
        let request = http::Request::get("/cacerts").body(Vec::new());
        let client = client(&self.0, &Credentials::None).await?;
        let text = client.request_text(request.map_err(std::io::Error::other)?).await?;
        Ok(hex::encode(Sha256::digest(text.as_bytes())))
    }

    /// Requests a certificate with a new key. Also returns the pair, if one was issued.
    async fn ask(
        &self,
        file: &str,
        asker: &Asker<'_>,
        node: &str,
        password: &Secret<String>,
    ) -> Result<(Answer, Credential), ClusterError> {
        let (csr, key) = RequestBuilder::node(node).build()?;
        let asked = read::request(csr.as_bytes())?.key;
        let blocks = pem::blocks(csr.as_bytes());
        let der = blocks.first().map(pem::Block::der).transpose();
        let der = der.map_err(std::io::Error::other)?.unwrap_or_default();
        let credentials = match asker {
            Asker::Certificate(pair) => Credentials::Certificate((*pair).clone()),
            Asker::Nobody | Asker::Token(_) => Credentials::None,
        };
        let client = client(&self.0, &credentials).await?;
        let answered = poll::until(Instant::now() + READY, poll::OFTEN, async || {
            let mut request = http::Request::post(format!("/v1-k3s/{file}"))
                .header("k3s-Node-Name", node)
                .header("k3s-Node-Password", hidden(password.expose().clone())?)
                .header("k3s-Node-IP", ADDRESS.to_string());
            if let Asker::Token(token) = asker {
                let basic = STANDARD.encode(format!("node:{}", token.expose()));
                request = request.header(AUTHORIZATION, hidden(format!("Basic {basic}"))?);
            }
            let request = request.body(der.clone()).map_err(std::io::Error::other)?;
            match client.request_text(request).await {
                Ok(text) => Ok(Ok((200, text))),
                Err(kube::Error::Api(status)) if status.code == 503 => Ok(Err((status.code, String::new()))),
                Err(kube::Error::Api(status)) => Ok(Ok((status.code, String::new()))),
                Err(error) => Err(ClusterError::from(error)),
            }
        });
        let (code, text) = answered.await?.unwrap_or_else(|unready| unready);
        let certificates = match text.is_empty() {
            true => Vec::new(),
            false => read::certificates_from_pem(text.as_bytes())?,
        };
        let answer = Answer { code, certificates, asked: Some(asked) };
        let certificate = text;
        Ok((answer, Credential { certificate, key }))
    }
}

fn hidden(value: String) -> Result<HeaderValue, ClusterError> {
    let mut value = HeaderValue::try_from(value).map_err(std::io::Error::other)?;
    value.set_sensitive(true);
    Ok(value)
}

/// `K10HASH::USER:PASSWORD`.
fn token(text: &str) -> Result<(String, Secret<String>), ClusterError> {
    let parts = text
        .trim()
        .strip_prefix("K10")
        .and_then(|rest| rest.split_once("::"))
        .and_then(|(hash, user)| Some((hash.to_owned(), user.split_once(':')?.1)));
    let (hash, password) = parts.ok_or_else(|| ClusterError::Unknown("token K10HASH::USER:PASSWORD".into()))?;
    Ok((hash, Secret::new(password.to_owned())))
}

async fn csrs(server: &Server) -> Result<Vec<String>, ClusterError> {
    let api = Api::<CertificateSigningRequest>::all(server.base().admin());
    let all = api.list(&ListParams::default()).await?;
    Ok(all.items.iter().map(ResourceExt::name_any).collect())
}

/// Creates a CSR, and returns whether it is found.
async fn control(server: &Server) -> Result<bool, ClusterError> {
    const NAME: &str = "tlsboot-control";
    let (request, _) = RequestBuilder::node("tlsboot-control").build()?;
    let csr = CertificateSigningRequest {
        metadata: ObjectMeta { name: Some(NAME.into()), ..Default::default() },
        spec: CertificateSigningRequestSpec {
            request: k8s_openapi::ByteString(request.into_bytes()),
            signer_name: Role::Client.signer_name().into(),
            usages: Some(vec!["digital signature".into(), "client auth".into()]),
            ..Default::default()
        },
        ..Default::default()
    };
    let api = Api::all(server.base().admin());
    api.create(&PostParams::default(), &csr).await?;
    Ok(csrs(server).await?.iter().any(|name| name == NAME))
}

/// The user that the API server recognizes by these credentials.
async fn known(server: &Server, pair: Credential) -> Result<Known, ClusterError> {
    let client = client(server.base().endpoint(), &Credentials::Certificate(pair)).await?;
    let review = SelfSubjectReview::default();
    match Api::<SelfSubjectReview>::all(client).create(&PostParams::default(), &review).await {
        Ok(review) => {
            let user = review.status.and_then(|status| status.user_info).unwrap_or_default();
            Ok(Known::As { name: user.username.unwrap_or_default(), groups: user.groups })
        }
        // It is in authentication.k8s.io/v1 from 1.28 on. Before, no node may create one, and the refusal names the user.
        Err(kube::Error::Api(status)) => Ok(of_refusal(&status)),
        Err(error) => Err(error.into()),
    }
}

/// As whom the API server refuses a request.
fn of_refusal(status: &Status) -> Known {
    match refused_user(&status.message) {
        Some(name) if status.code == 403 => Known::As { name: name.to_owned(), groups: None },
        _ => Known::No(status.code),
    }
}

/// The user in `… is forbidden: User "system:node:n1" cannot create resource "selfsubjectreviews" …`.
fn refused_user(message: &str) -> Option<&str> {
    Some(message.split_once("User \"")?.1.split_once('"')?.0)
}

/// Whether a client that trusts this CA gets any answer from the API server.
async fn connects(server: &Server, ca: &str) -> Result<bool, ClusterError> {
    let endpoint = Endpoint { ca: ca.to_owned(), ..server.base().endpoint().clone() };
    let client = client(&endpoint, &Credentials::None).await?;
    let request = http::Request::get("/version").body(Vec::new());
    let answer = client.request_text(request.map_err(std::io::Error::other)?).await;
    Ok(matches!(answer, Ok(_) | Err(kube::Error::Api(_))))
}

/// Replaces two of k3s' own certificates by aged ones, restarts k3s, and returns what became of them and of a third.
async fn restart(server: &Server, files: &Folder) -> Result<[Restarted; 3], ClusterError> {
    let clients = Authority::from_pem(&text(files, "tls/client-ca.crt")?, &text(files, "tls/client-ca.key")?)?;
    let age = |name: &str, user: &str, groups: &[&str], left: Duration| {
        let aged = clients.issue_client(user, groups, Validity::for_next(left))?;
        // What is written there was a file, not a link out of it.
        text(files, &format!("tls/{name}.crt"))?;
        let path = |suffix: &str| files.path().join(format!("tls/{name}.{suffix}"));
        write_private(&path("key"), aged.key_pem.expose())?;
        write_private(&path("crt"), &format!("{}{}", aged.certificate_pem, clients.certificate_pem()))
    };
    age("client-admin", "system:admin", &["system:masters"], A_MONTH)?;
    age("client-scheduler", "system:kube-scheduler", &[], HUNDRED_DAYS.unsigned_abs())?;
    let facts = || -> Result<[CertificateFacts; 3], ClusterError> {
        let of = |name| first_of(&text(files, name)?);
        Ok([of("tls/client-admin.crt")?, of("tls/client-scheduler.crt")?, of("tls/client-controller.crt")?])
    };
    let before = facts()?;
    server.restart().await?;
    let [after_a_month, after_hundred, after_fresh] = facts()?;
    let [a_month, hundred, fresh] = before;
    Ok([
        Restarted { before: a_month, after: after_a_month },
        Restarted { before: hundred, after: after_hundred },
        Restarted { before: fresh, after: after_fresh },
    ])
}

fn first_of(pem: &str) -> Result<CertificateFacts, ClusterError> {
    let all = read::certificates_from_pem(pem.as_bytes())?;
    all.into_iter().next().ok_or_else(|| ClusterError::Unknown("certificate in the file".into()))
}

/// A file of the server's, which must not be a link: its paths are those in the container.
fn text(files: &Folder, name: &str) -> Result<String, ClusterError> {
    files.read_text(name, LONGEST).map_err(ClusterError::file(files.path().join(name)))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::of_1_21(
        403,
        "selfsubjectreviews.authentication.k8s.io is forbidden: User \"system:node:n1\" cannot create resource \"selfsubjectreviews\" in API group \"authentication.k8s.io\" at the cluster scope",
        Known::As { name: "system:node:n1".into(), groups: None }
    )]
    #[case::unauthorized(401, "Unauthorized", Known::No(401))]
    #[case::names_a_user_but_is_no_refusal(500, "User \"system:node:n1\"", Known::No(500))]
    fn a_refusal_names_the_user(#[case] code: u16, #[case] message: &str, #[case] known: Known) {
        assert_eq!(of_refusal(&Status::failure(message, "").with_code(code)), known);
    }

    #[test]
    fn a_token_that_is_a_link_is_not_followed() {
        let lab = tempfile::tempdir().unwrap();
        let (server, elsewhere) = (lab.path().join("server"), lab.path().join("elsewhere"));
        std::fs::create_dir(&server).unwrap();
        std::fs::write(&elsewhere, "K10ab::server:of-another-k3s").unwrap();
        std::os::unix::fs::symlink(&elsewhere, server.join("token")).unwrap();
        let error = text(&Folder::open(&server).unwrap(), "token").unwrap_err().to_string();
        assert!(error.contains("token: it is a link"), "{error}");
    }
}
