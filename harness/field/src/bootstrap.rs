//! The TLS bootstrap client: gets and renews a certificate as a kubelet does, without a kubelet. Keys exist only in
//! memory, and are gone when the process exits.

use std::time::Duration;

use futures::{StreamExt, pin_mut};
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use kube::api::{Api, ListParams, PostParams, ResourceExt, WatchEvent, WatchParams};
use tokio::time::{Instant, timeout_at};

use crate::owned::RunId;
use tlsboot_core::check::Role;
use tlsboot_core::check::rules::Rules;
use tlsboot_core::history::event::{Answer, Change, CsrEvent};
use tlsboot_core::x509::X509Error;
use tlsboot_engine::cluster::Credential;
use tlsboot_engine::observe::csr::csr_event;
use tlsboot_engine::pki::RequestBuilder;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum NoCertificate {
    /// The CSR was refused.
    #[error("its CSR was refused with {}: {}", .0.code, .0.message)]
    Refused(Answer),
    /// The CSR was denied.
    #[error("its CSR {name} was denied ({reason}: {message})")]
    Denied {
        /// The CSR.
        name: String,
        /// The condition's reason.
        reason: String,
        /// The condition's message.
        message: String,
    },
    /// The signer refused it.
    #[error("the signer refused its CSR {name}: {message}")]
    Failed {
        /// The CSR.
        name: String,
        /// The condition's message.
        message: String,
    },
    /// The CSR was deleted by someone else.
    #[error("its CSR {0} was deleted")]
    Deleted(String),
    /// The CSR was not decided, or not signed.
    #[error("its CSR {name} was {state} for {} s", .within.as_secs())]
    Waits {
        /// The CSR.
        name: String,
        /// `pending`, or `approved but not issued`.
        state: &'static str,
        /// How long.
        within: Duration,
    },
    /// The API server could not be reached.
    #[error("the API server: {0}")]
    Api(#[from] kube::Error),
    /// A key or request could not be created, or the certificate could not be read.
    #[error(transparent)]
    Pki(#[from] X509Error),
}

/// The CSR object for a request: what the kubelet sends, plus the run's label.
pub fn csr(
    run: &RunId,
    request: Vec<u8>,
    signer_name: &str,
    usages: Vec<String>,
    expiration_seconds: Option<i32>,
) -> CertificateSigningRequest {
    let mut metadata = run.meta();
    metadata.generate_name = Some("tlsboot-".into());
    CertificateSigningRequest {
        metadata,
        spec: CertificateSigningRequestSpec {
            request: ByteString(request),
            signer_name: signer_name.to_owned(),
            usages: Some(usages),
            expiration_seconds,
            ..Default::default()
        },
        status: None,
    }
}

/// Creates a CSR. A refusal is an answer too.
///
/// # Errors
/// If there is no answer.
pub async fn create(
    client: &kube::Client,
    csr: &CertificateSigningRequest,
    params: &PostParams,
) -> Result<Answer, kube::Error> {
    let api = Api::<CertificateSigningRequest>::all(client.clone());
    match api.create(params, csr).await {
        Ok(made) => {
            Ok(Answer { code: 201, reason: String::new(), message: String::new(), object: Some(made.name_any()) })
        }
        Err(kube::Error::Api(status)) => Ok(Answer {
            code: status.code,
            reason: status.reason.clone(),
            message: status.message.clone(),
            object: None,
        }),
        Err(error) => Err(error),
    }
}

/// Requests a node's client certificate and waits for it: key, CSR, watch (catalogue C-08, C-10, K-23). With the client
/// of a bootstrap token this is the first certificate, with that of the old certificate a renewal.
///
/// # Errors
/// Why there is none.
pub async fn client_certificate(
    client: &kube::Client,
    node: &str,
    rules: Rules,
    run: &RunId,
    within: Duration,
) -> Result<(Credential, CsrEvent), NoCertificate> {
    certificate(client, Role::Client, RequestBuilder::node(node), rules, run, within).await
}

/// Asks for any certificate of a node, as a kubelet does, and waits for it.
///
/// # Errors
/// Why there is none.
pub async fn certificate(
    client: &kube::Client,
    role: Role,
    request: RequestBuilder,
    rules: Rules,
    run: &RunId,
    within: Duration,
) -> Result<(Credential, CsrEvent), NoCertificate> {
    let (request, key) = request.build()?;
    let csr = csr(run, request.into_bytes(), role.signer_name(), rules.usages(role), None);
    let answer = create(client, &csr, &PostParams::default()).await?;
    let Some(name) = answer.object.clone() else {
        return Err(NoCertificate::Refused(answer));
    };
    let (certificate, event) = issued(client, &name, within).await?;
    Ok((Credential { certificate, key }, event))
}

/// Waits by list and watch of this object until it has its certificate, in PEM.
///
/// # Errors
/// Why it has none.
pub async fn issued(client: &kube::Client, name: &str, within: Duration) -> Result<(String, CsrEvent), NoCertificate> {
    let api = Api::<CertificateSigningRequest>::all(client.clone());
    let deadline = Instant::now() + within;
    let mut state = "pending";
    let waiting = async {
        loop {
            if let Some(done) = watch(&api, name, &mut state).await? {
                return Ok(done);
            }
        }
    };
    match timeout_at(deadline, waiting).await {
        Ok(done) => done,
        Err(_) => Err(NoCertificate::Waits { name: name.to_owned(), state, within }),
    }
}

/// One list and one watch; `None` if the watch ended before the decision.
async fn watch(
    api: &Api<CertificateSigningRequest>,
    name: &str,
    state: &mut &'static str,
) -> Result<Option<(String, CsrEvent)>, NoCertificate> {
    let one = format!("metadata.name={name}");
    let list = api.list(&ListParams::default().fields(&one)).await?;
    let Some(csr) = list.items.first() else {
        return Err(NoCertificate::Deleted(name.to_owned()));
    };
    if let Some(done) = decided(csr, state)? {
        return Ok(Some(done));
    }
    let version = list.metadata.resource_version.unwrap_or_default();
    let params = WatchParams::default().fields(&one);
    let events = api.watch(&params, &version).await?;
    pin_mut!(events);
    while let Some(event) = events.next().await {
        match event? {
            WatchEvent::Added(csr) | WatchEvent::Modified(csr) => {
                if let Some(done) = decided(&csr, state)? {
                    return Ok(Some(done));
                }
            }
            WatchEvent::Deleted(_) => return Err(NoCertificate::Deleted(name.to_owned())),
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(_) => return Ok(None),
        }
    }
    Ok(None)
}

/// The certificate, or the fact that there will be none; neither while it is undecided.
fn decided(
    csr: &CertificateSigningRequest,
    state: &mut &'static str,
) -> Result<Option<(String, CsrEvent)>, NoCertificate> {
    let event = csr_event(csr, Change::Modified);
    for condition in &event.conditions {
        let name = event.name.clone();
        match condition.kind.as_str() {
            "Denied" => {
                return Err(NoCertificate::Denied {
                    name,
                    reason: condition.reason.clone(),
                    message: condition.message.clone(),
                });
            }
            "Failed" => {
                return Err(NoCertificate::Failed { name, message: condition.message.clone() });
            }
            _ => *state = "approved but not issued",
        }
    }
    let certificate = csr.status.as_ref().and_then(|status| status.certificate.as_ref());
    let Some(pem) = certificate.filter(|pem| !pem.0.is_empty()) else {
        return Ok(None);
    };
    let pem =
        String::from_utf8(pem.0.clone()).map_err(|_| X509Error::Pem("the issued certificate is not text".into()))?;
    Ok(Some((pem, event)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(status: serde_json::Value) -> CertificateSigningRequest {
        let mut made = csr(&RunId::new(), b"x".to_vec(), "a.b/c", vec!["client auth".into()], None);
        made.metadata.name = Some("csr-x".into());
        made.status = serde_json::from_value(status).unwrap();
        made
    }

    #[test]
    fn a_csr_waits_until_it_is_decided() {
        let mut state = "pending";
        assert!(decided(&with(json!({})), &mut state).unwrap().is_none());
        assert_eq!(state, "pending");
        let approved = json!({"conditions": [{"type": "Approved", "status": "True"}]});
        assert!(decided(&with(approved), &mut state).unwrap().is_none());
        assert_eq!(state, "approved but not issued");
        let issued = json!({"conditions": [{"type": "Approved", "status": "True"}], "certificate": "eA=="});
        assert_eq!(decided(&with(issued), &mut state).unwrap().unwrap().0, "x");
    }

    #[test]
    fn a_decision_against_it_says_why() {
        let mut state = "pending";
        let denied = json!({"conditions": [{"type": "Denied", "status": "True", "reason": "No", "message": "never"}]});
        let said = decided(&with(denied), &mut state).unwrap_err().to_string();
        assert_eq!(said, "its CSR csr-x was denied (No: never)");
        let failed = json!({"conditions": [{"type": "Approved", "status": "True"}, {"type": "Failed", "status": "True", "message": "usages"}]});
        let said = decided(&with(failed), &mut state).unwrap_err().to_string();
        assert_eq!(said, "the signer refused its CSR csr-x: usages");
    }

    #[test]
    fn everything_carries_the_runs_id() {
        let run = RunId::new();
        let made = csr(&run, Vec::new(), "a.b/c", Vec::new(), None);
        let (key, value) = made.metadata.labels.unwrap().into_iter().next().unwrap();
        assert_eq!(format!("{key}={value}"), run.selector());
    }
}
