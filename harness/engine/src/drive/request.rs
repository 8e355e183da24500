//! Requests of the scenario itself: create a CSR, or get a path, as some user. Any answer is acceptable here; the next
//! expectation says what it should be.

use k8s_openapi::ByteString;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, ObjectMeta, PostParams, ResourceExt};
use tokio::time::Instant;

use super::{Done, DriveError, Stage};
use crate::cluster::client::{Credentials, client, impersonating};
use crate::cluster::{Credential, Flaw};
use crate::pki::RequestBuilder;
use crate::poll;
use crate::secret::Secret;
use tlsboot_core::check::Role;
use tlsboot_core::history::event::{Answer, NODE_USER_PREFIX, NODES_GROUP};
use tlsboot_core::history::facts::Name;
use tlsboot_core::scenario::ExpirationSeconds;
use tlsboot_core::scenario::stimulus::Identity;
use tlsboot_core::scenario::stimulus::get::Get;
use tlsboot_core::scenario::stimulus::submit::Submit;
use tlsboot_core::x509::AltName;

pub(super) async fn submit(submit: &Submit, stage: &Stage<'_>) -> Result<Done, DriveError> {
    let names = submit.dns.iter().cloned().map(AltName::Dns);
    let names = names.chain(submit.ips.iter().copied().map(AltName::Ip));
    let names = names.chain(submit.uris.iter().cloned().map(AltName::Uri));
    let names = names.chain(submit.emails.iter().cloned().map(AltName::Email));
    let subject = Name {
        common_name: Some(submit.common_name.clone().unwrap_or_else(|| format!("{NODE_USER_PREFIX}{}", submit.node))),
        organizations: submit.organizations.clone().unwrap_or_else(|| vec![NODES_GROUP.into()]),
        other: Vec::new(),
    };
    let (request, _key) = RequestBuilder::new(subject).alt_names(names).build()?;
    let claims = submit.claims.as_ref();
    let csr = CertificateSigningRequest {
        metadata: ObjectMeta { generate_name: Some("tlsboot-".into()), ..Default::default() },
        spec: CertificateSigningRequestSpec {
            request: ByteString(request.into_bytes()),
            signer_name: submit.signer_name.clone().unwrap_or_else(|| submit.role.signer_name().to_owned()),
            usages: Some(submit.usages.clone().unwrap_or_else(|| stage.rules.usages(submit.role))),
            expiration_seconds: submit.expiration_seconds.and_then(ExpirationSeconds::field),
            username: claims.map(|claims| claims.username.clone()),
            uid: claims.map(|claims| claims.uid.clone()),
            groups: claims.map(|claims| claims.groups.clone()),
            ..Default::default()
        },
        status: None,
    };
    let api = Api::<CertificateSigningRequest>::all(client_of(&submit.by, stage).await?);
    let answer = match api.create(&PostParams::default(), &csr).await {
        Ok(made) => Answer { code: 201, reason: String::new(), message: String::new(), object: Some(made.name_any()) },
        Err(error) => refusal(error)?,
    };
    Ok(answered(answer))
}

pub(super) async fn get(get: &Get, stage: &Stage<'_>) -> Result<Done, DriveError> {
    let client = client_of(&get.by, stage).await?;
    let patience = get.retry_for.unwrap_or_default().unsigned_abs();
    let answer = poll::until(Instant::now() + patience, poll::OFTEN, async || {
        let answer = get_once(&client, &get.path).await?;
        let is_expected = get.answer.as_ref().is_none_or(|expected| expected.code == answer.code);
        Ok::<_, DriveError>(if is_expected { Ok(answer) } else { Err(answer) })
    });
    Ok(answered(answer.await?.unwrap_or_else(|other| other)))
}

async fn get_once(client: &kube::Client, path: &str) -> Result<Answer, DriveError> {
    let request = http::Request::get(path).body(Vec::new()).map_err(std::io::Error::other)?;
    match client.request_text(request).await {
        Ok(_) => Ok(Answer { code: 200, reason: String::new(), message: String::new(), object: None }),
        Err(error) => refusal(error),
    }
}

pub(super) fn answered(answer: Answer) -> Done {
    let object = answer.object.as_deref().map(|object| format!(", {object}")).unwrap_or_default();
    Done { proof: format!("the API server answered {}{object}", answer.code), answer: Some(answer) }
}

pub(super) fn refusal(error: kube::Error) -> Result<Answer, DriveError> {
    match error {
        kube::Error::Api(status) => Ok(Answer {
            code: status.code,
            reason: status.reason.clone(),
            message: status.message.clone(),
            object: None,
        }),
        other => Err(other.into()),
    }
}

/// A client of the API server with an identity's credentials.
pub(super) async fn client_of(identity: &Identity, stage: &Stage<'_>) -> Result<kube::Client, DriveError> {
    let base = stage.cluster.base();
    Ok(match identity {
        Identity::Admin => base.admin(),
        Identity::Impersonated(user) => impersonating(base.endpoint(), &base.admin_kubeconfig(), user).await?,
        other => client(base.endpoint(), &credentials(other, stage).await?).await?,
    })
}

/// An identity's credentials; the administrator's own if a user is impersonated.
pub(super) async fn credentials(identity: &Identity, stage: &Stage<'_>) -> Result<Credentials, DriveError> {
    let base = stage.cluster.base();
    Ok(match identity {
        Identity::Admin | Identity::Impersonated(_) => Credentials::Certificate(base.administrator.clone()),
        Identity::Anonymous => Credentials::None,
        Identity::Token(name) => Credentials::Token(base.token(name)?.value.clone()),
        Identity::Node(node) => Credentials::Certificate(of_node(node, stage).await?),
        Identity::ServiceAccount(account) => Credentials::Token(token_of(account, stage).await?),
        Identity::ExpiredCertificate(user) => {
            Credentials::Certificate(base.flawed_certificate(user, Flaw::Expired).await?)
        }
        Identity::ForeignCertificate(user) => {
            Credentials::Certificate(base.flawed_certificate(user, Flaw::ForeignCa).await?)
        }
        Identity::ExpiredCertificateAndToken(both) => Credentials::CertificateAndToken(
            base.flawed_certificate(&both.user, Flaw::Expired).await?,
            base.token(&both.token)?.value.clone(),
        ),
        Identity::CertificateWithUid(both) => {
            Credentials::Certificate(base.certificate_with_uid(&both.user, &both.uid).await?)
        }
    })
}

/// A token of a ServiceAccount, `NAMESPACE/NAME`, which is created if it does not exist.
async fn token_of(account: &str, stage: &Stage<'_>) -> Result<Secret<String>, DriveError> {
    let (namespace, name) = account.split_once('/').unwrap_or(("default", account));
    let base = stage.cluster.base();
    let accounts = Api::<ServiceAccount>::namespaced(base.admin(), namespace);
    if accounts.get_opt(name).await?.is_none() {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..Default::default() };
        accounts.create(&PostParams::default(), &ServiceAccount { metadata, ..Default::default() }).await?;
    }
    let asked = TokenRequest::default();
    let granted = accounts.create_token_request(name, &PostParams::default(), &asked).await?;
    let token = granted.status.map(|status| status.token).unwrap_or_default();
    base.sink.vault().register(&token);
    Ok(Secret::new(token))
}

/// The certificate and key that the node's kubelet has on disk now.
async fn of_node(node: &str, stage: &Stage<'_>) -> Result<Credential, DriveError> {
    let path = stage.cluster.nodes().dir(node).await?.through(&format!("{}-current.pem", Role::Client.file_prefix()));
    let pem = std::fs::read_to_string(&path).map_err(crate::cluster::ClusterError::file(&path))?;
    let key_begins = pem.find("-----BEGIN EC PRIVATE KEY").or_else(|| pem.find("-----BEGIN PRIVATE KEY"));
    let (certificate, key) = pem.split_at(key_begins.unwrap_or(pem.len()));
    Ok(Credential { certificate: certificate.to_owned(), key: Secret::new(key.to_owned()) })
}
