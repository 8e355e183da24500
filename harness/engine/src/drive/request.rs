//! Requests of the scenario itself: create a CSR, or get a path, as some user. Any answer is acceptable here; the next
//! expectation says what it should be.

use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
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
    let api = Api::<CertificateSigningRequest>::all(as_identity(&submit.by, stage).await?);
    let answer = match api.create(&PostParams::default(), &csr).await {
        Ok(made) => Answer { code: 201, reason: String::new(), message: String::new(), object: Some(made.name_any()) },
        Err(error) => refusal(error)?,
    };
    Ok(answered(answer))
}

pub(super) async fn get(get: &Get, stage: &Stage<'_>) -> Result<Done, DriveError> {
    let client = as_identity(&get.by, stage).await?;
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

pub(super) async fn as_identity(identity: &Identity, stage: &Stage<'_>) -> Result<kube::Client, DriveError> {
    let credentials = match identity {
        Identity::Admin => return Ok(stage.cluster.base().admin()),
        Identity::Anonymous => Credentials::None,
        Identity::Token(name) => Credentials::Token(stage.cluster.base().token(name)?.value.clone()),
        Identity::Node(node) => Credentials::Certificate(of_node(node, stage).await?),
        Identity::ExpiredCertificate(user) => {
            Credentials::Certificate(stage.cluster.base().flawed_certificate(user, Flaw::Expired).await?)
        }
        Identity::ForeignCertificate(user) => {
            Credentials::Certificate(stage.cluster.base().flawed_certificate(user, Flaw::ForeignCa).await?)
        }
        Identity::ExpiredCertificateAndToken(both) => Credentials::CertificateAndToken(
            stage.cluster.base().flawed_certificate(&both.user, Flaw::Expired).await?,
            stage.cluster.base().token(&both.token)?.value.clone(),
        ),
        Identity::CertificateWithUid(both) => {
            let base = stage.cluster.base();
            Credentials::Certificate(base.certificate_with_uid(&both.user, &both.uid).await?)
        }
        Identity::Impersonated(user) => {
            return Ok(
                impersonating(stage.cluster.base().endpoint(), &stage.cluster.base().admin_kubeconfig(), user).await?
            );
        }
    };
    Ok(client(stage.cluster.base().endpoint(), &credentials).await?)
}

/// The certificate and key that the node's kubelet has on disk now.
async fn of_node(node: &str, stage: &Stage<'_>) -> Result<Credential, DriveError> {
    let path = stage.cluster.nodes().dir(node).await?.through(&format!("{}-current.pem", Role::Client.file_prefix()));
    let pem = std::fs::read_to_string(&path).map_err(crate::cluster::ClusterError::file(&path))?;
    let key_begins = pem.find("-----BEGIN EC PRIVATE KEY").or_else(|| pem.find("-----BEGIN PRIVATE KEY"));
    let (certificate, key) = pem.split_at(key_begins.unwrap_or(pem.len()));
    Ok(Credential { certificate: certificate.to_owned(), key: Secret::new(key.to_owned()) })
}
