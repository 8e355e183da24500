//! CertificateSigningRequests, as the API shows them.

use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};
use kube::{Api, Client};

use super::Sink;
use super::watch::{Recorded, record};
use crate::task::Task;
use tlsboot_core::history::What;
use tlsboot_core::history::event::{Change, CsrCondition, CsrEvent, Recorder};
use tlsboot_core::history::facts::{CertificateFacts, KeyFacts, Name, RequestFacts};
use tlsboot_core::x509::{X509Error, read};

/// Records every CertificateSigningRequest and each change of one, as it is observed. Reports that it has started when
/// the first list has been read and the watch is open.
pub fn watch(client: Client, sink: Sink) -> Task {
    let api: Api<CertificateSigningRequest> = Api::all(client);
    Task::spawn(record(api, sink))
}

impl Recorded for CertificateSigningRequest {
    const RECORDER: Recorder = Recorder::Csr;

    fn event(&self, change: Change, _before: Option<&Self>) -> Option<What> {
        Some(What::Csr(Box::new(csr_event(self, change))))
    }

    /// A CSR changes step by step: it is created, gets conditions, gets a certificate.
    fn may_skip(&self, before: Option<&Self>) -> bool {
        steps(self) > before.map_or(0, steps) + 1
    }

    fn unreadable(&self) -> Option<String> {
        let error = certificates(self).err()?;
        let name = self.metadata.name.as_deref().unwrap_or_default();
        Some(format!("the certificate of {name} can't be read: {error}"))
    }
}

/// A CSR as it is written to histories.
pub fn csr_event(csr: &CertificateSigningRequest, change: Change) -> CsrEvent {
    let (meta, spec) = (csr.metadata.clone(), csr.spec.clone());
    CsrEvent {
        change,
        name: meta.name.unwrap_or_default(),
        uid: meta.uid.unwrap_or_default(),
        resource_version: meta.resource_version.unwrap_or_default(),
        created: meta.creation_timestamp.map_or(Timestamp::MIN, |time| time.0),
        labels: meta.labels.unwrap_or_default(),
        signer_name: spec.signer_name,
        username: spec.username.unwrap_or_default(),
        user_uid: spec.uid.unwrap_or_default(),
        groups: spec.groups.unwrap_or_default(),
        extra: spec.extra.unwrap_or_default(),
        usages: spec.usages.unwrap_or_default(),
        expiration_seconds: spec.expiration_seconds,
        request: read::request(&spec.request.0).unwrap_or_else(|_| unreadable_request()),
        conditions: conditions(csr).iter().map(condition).collect(),
        certificates: certificates(csr).unwrap_or_default(),
    }
}

/// A request that cannot be read is recorded anyway: as one without a subject or proof of possession.
fn unreadable_request() -> RequestFacts {
    RequestFacts {
        subject: Name::default(),
        dns: Vec::new(),
        ips: Vec::new(),
        emails: Vec::new(),
        uris: Vec::new(),
        key: KeyFacts { algorithm: String::new(), parameters: String::new(), spki_sha256: String::new() },
        signature_valid: false,
        requested_extensions: Vec::new(),
    }
}

fn condition(condition: &CertificateSigningRequestCondition) -> CsrCondition {
    CsrCondition {
        kind: condition.type_.clone(),
        status: condition.status.clone(),
        reason: condition.reason.clone().unwrap_or_default(),
        message: condition.message.clone().unwrap_or_default(),
        last_update_time: condition.last_update_time.as_ref().map(|time| time.0),
        last_transition_time: condition.last_transition_time.as_ref().map(|time| time.0),
    }
}

fn conditions(csr: &CertificateSigningRequest) -> &[CertificateSigningRequestCondition] {
    let status = csr.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_deref());
    conditions.unwrap_or_default()
}

fn certificate_pem(csr: &CertificateSigningRequest) -> Option<&[u8]> {
    let pem = csr.status.as_ref()?.certificate.as_ref()?;
    (!pem.0.is_empty()).then_some(&pem.0)
}

fn certificates(csr: &CertificateSigningRequest) -> Result<Vec<CertificateFacts>, X509Error> {
    certificate_pem(csr).map_or_else(|| Ok(Vec::new()), read::certificates_from_pem)
}

fn steps(csr: &CertificateSigningRequest) -> usize {
    1 + conditions(csr).len() + usize::from(certificate_pem(csr).is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pki::RequestBuilder;

    fn csr(request: &str, status: serde_json::Value) -> CertificateSigningRequest {
        use base64::{Engine, engine::general_purpose::STANDARD};
        serde_json::from_value(json!({
            "metadata": {"name": "csr-x", "uid": "u", "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {
                "request": STANDARD.encode(request),
                "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
                "usages": ["digital signature", "client auth"],
                "username": "system:node:n1",
                "groups": ["system:nodes"],
                "extra": {"authentication.kubernetes.io/credential-id": ["X509SHA256=ab"]},
            },
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn all_fields_are_taken() {
        let (request, _) = RequestBuilder::node("n1").build().unwrap();
        let approved = json!({"conditions": [{"type": "Approved", "status": "True", "reason": "AutoApproved"}]});
        let event = csr_event(&csr(&request, approved), Change::Modified);
        assert_eq!(event.node(), Some("n1"));
        assert_eq!(event.credential_id(), Some("X509SHA256=ab"));
        assert_eq!(event.conditions[0].reason, "AutoApproved");
        assert!(event.request.signature_valid && event.certificates.is_empty());
        assert_eq!(event.created.to_string(), "2026-01-01T00:00:00Z");
    }

    #[test]
    fn unreadable_request_is_recorded() {
        let event = csr_event(&csr("garbage", json!({})), Change::Added);
        assert_eq!((event.name.as_str(), event.node()), ("csr-x", None));
        assert!(!event.request.signature_valid);
    }

    #[test]
    fn skipped_states_are_noticed() {
        let made = csr("", json!({}));
        let approved = csr("", json!({"conditions": [{"type": "Approved", "status": "True"}]}));
        let issued = csr("", json!({"conditions": [{"type": "Approved", "status": "True"}], "certificate": "eA=="}));
        assert!(!made.may_skip(None) && !approved.may_skip(Some(&made)));
        assert!(!issued.may_skip(Some(&approved)) && !issued.may_skip(Some(&issued)));
        assert!(approved.may_skip(None) && issued.may_skip(Some(&made)));
        assert!(issued.unreadable().is_some() && approved.unreadable().is_none());
    }
}
