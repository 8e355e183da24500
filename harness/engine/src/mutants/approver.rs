//! An approver that replaces the controller-manager's `csrapproving`: it behaves the same (catalogue P-01 to P-08),
//! except for one fault.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};
use k8s_openapi::api::core::v1::Event as CoreEvent;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams, ResourceExt};
use kube::{Client, Resource};
use serde_json::json;
use tokio::time::Instant;

use super::follow::{Again, Controller, has, is_issued};
use super::rules::{Rule, broken};
use super::stand_in::{Log, without_controller};
use crate::cluster::ClusterError;
use crate::cluster::processes::{Defect, Launch, Part};
use tlsboot_core::check::Role;
use tlsboot_core::history::event::NODE_USER_PREFIX;
use tlsboot_core::history::facts::RequestFacts;
use tlsboot_core::x509::read;

/// What is wrong with an approver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ApproverFault {
    /// Nothing: it shows that the substitution itself is not a fault.
    None,
    Everything,
    ServingToo,
    OtherSigners,
    NoReview,
    NoRenewals,
    OncePerNode,
    Slow,
    DeniesAll,
    DeniesUnpermitted,
    DeniesUnrecognised,
    OtherReason,
    OneMessage,
    WantsNodeName,
    RecordsEvents,
    Without(Rule),
}

/// A cluster with this approver.
#[derive(Debug)]
pub(super) struct RogueApprover(pub(super) ApproverFault);

const CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const SERVING: &str = "kubernetes.io/kubelet-serving";
const SLOW: Duration = Duration::from_secs(10);

impl Defect for RogueApprover {
    fn launch(&self, launch: &mut Launch<'_>) -> Result<(), ClusterError> {
        // An approver for other signers also approves where no approver should run at all.
        if matches!(launch.part, Part::ControllerManager)
            && (without_controller(launch, "csrapproving") || self.0 == ApproverFault::OtherSigners)
        {
            let approver = Approver {
                fault: self.0,
                admin: launch.admin.clone(),
                seen: Mutex::default(),
                firsts: Mutex::default(),
                log: Log::of(launch),
            };
            let admin = launch.admin.clone();
            launch.beside.push(Box::pin(super::follow::follow(admin, approver)));
        }
        Ok(())
    }
}

struct Approver {
    fault: ApproverFault,
    admin: Client,
    /// When each CSR was first seen, by name.
    seen: Mutex<BTreeMap<String, Instant>>,
    /// The first CSR for a common name.
    firsts: Mutex<BTreeMap<Option<String>, String>>,
    log: Log,
}

#[async_trait]
impl Controller for Approver {
    async fn take(&self, api: &Api<CertificateSigningRequest>, csr: &CertificateSigningRequest) -> Again {
        if self.fault == ApproverFault::RecordsEvents {
            self.record_event(csr).await;
        }
        if has(csr, "Approved") || has(csr, "Denied") || is_issued(csr) {
            return Again::No;
        }
        let Ok(asked) = read::request(&csr.spec.request.0) else {
            return Again::No;
        };
        if self.fault == ApproverFault::OncePerNode && !self.is_first(csr, &asked) {
            return Again::No;
        }
        if self.fault == ApproverFault::Slow && self.age(csr) < SLOW {
            return Again::Later;
        }
        let permissions = recognised(self.fault, csr, &asked);
        if permissions.is_empty() {
            return match self.fault {
                ApproverFault::DeniesUnrecognised => {
                    self.condition(api, csr, "Denied", "it is not a kubelet's CSR").await
                }
                _ => Again::No,
            };
        }
        for permission in &permissions {
            if self.may(csr, permission).await {
                let message = self.message(permission);
                let kind = if self.fault == ApproverFault::DeniesAll { "Denied" } else { "Approved" };
                return self.condition(api, csr, kind, message).await;
            }
        }
        if self.fault == ApproverFault::DeniesUnpermitted {
            return self.condition(api, csr, "Denied", "its requestor has no permission").await;
        }
        // The controller-manager's words, which operators search for.
        self.log.line(&format!(
            "recognized csr {:?} as [{}] but subject access review was not approved",
            csr.name_any(),
            permissions.join(" ")
        ));
        Again::Later
    }
}

impl Approver {
    fn is_first(&self, csr: &CertificateSigningRequest, asked: &RequestFacts) -> bool {
        let mut firsts = self.firsts.lock().unwrap_or_else(PoisonError::into_inner);
        let first = firsts.entry(asked.subject.common_name.clone()).or_insert_with(|| csr.name_any());
        *first == csr.name_any()
    }

    fn age(&self, csr: &CertificateSigningRequest) -> Duration {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.entry(csr.name_any()).or_insert_with(Instant::now).elapsed()
    }

    fn message(&self, permission: &str) -> &'static str {
        match (permission, self.fault) {
            ("selfnodeclient", fault) if fault != ApproverFault::OneMessage => {
                "Auto approving self kubelet client certificate after SubjectAccessReview."
            }
            _ => "Auto approving kubelet client certificate after SubjectAccessReview.",
        }
    }

    async fn may(&self, csr: &CertificateSigningRequest, permission: &str) -> bool {
        if matches!(self.fault, ApproverFault::NoReview | ApproverFault::Everything | ApproverFault::ServingToo) {
            return true;
        }
        let spec = &csr.spec;
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: spec.username.clone(),
                uid: spec.uid.clone(),
                groups: spec.groups.clone(),
                extra: spec.extra.clone(),
                resource_attributes: Some(ResourceAttributes {
                    group: Some("certificates.k8s.io".into()),
                    resource: Some("certificatesigningrequests".into()),
                    subresource: Some(permission.into()),
                    verb: Some("create".into()),
                    ..Default::default()
                }),
                ..Default::default()
            },
            ..Default::default()
        };
        let reviews = Api::<SubjectAccessReview>::all(self.admin.clone());
        let answer = reviews.create(&PostParams::default(), &review).await;
        answer.is_ok_and(|answer| answer.status.is_some_and(|status| status.allowed))
    }

    /// One for each CSR; a second one is refused, since it has the name of the first.
    async fn record_event(&self, csr: &CertificateSigningRequest) {
        let (name, namespace) = (csr.name_any(), "default".to_owned());
        let event = CoreEvent {
            metadata: ObjectMeta {
                name: Some(format!("{name}.mutant")),
                namespace: Some(namespace.clone()),
                ..Default::default()
            },
            involved_object: csr.object_ref(&()),
            reason: Some("Seen".into()),
            message: Some("a CSR was seen".into()),
            ..Default::default()
        };
        let events = Api::<CoreEvent>::namespaced(self.admin.clone(), &namespace);
        if let Err(error) = events.create(&PostParams::default(), &event).await {
            self.log.line(&format!("no event about {name}: {error}"));
        }
    }

    async fn condition(
        &self,
        api: &Api<CertificateSigningRequest>,
        csr: &CertificateSigningRequest,
        kind: &str,
        message: &str,
    ) -> Again {
        let reason = match (kind, self.fault) {
            ("Approved", ApproverFault::OtherReason) => "ApprovedByPolicy",
            ("Approved", _) => "AutoApproved",
            _ => "AutoDenied",
        };
        let condition = CertificateSigningRequestCondition {
            type_: kind.into(),
            status: "True".into(),
            reason: Some(reason.into()),
            message: Some(message.into()),
            ..Default::default()
        };
        let patch = Patch::Merge(json!({"status": {"conditions": [condition]}}));
        match api.patch_approval(&csr.name_any(), &PatchParams::default(), &patch).await {
            Ok(_) => Again::No,
            // Deleted in the meantime, or the API server is not reachable.
            Err(_) => Again::Later,
        }
    }
}

/// What the approver recognizes a CSR as: the permissions that it needs, in order (catalogue P-02, P-04).
fn recognised(fault: ApproverFault, csr: &CertificateSigningRequest, asked: &RequestFacts) -> Vec<&'static str> {
    let right_signer = match fault {
        ApproverFault::Everything => return vec!["nodeclient"],
        ApproverFault::ServingToo if csr.spec.signer_name == SERVING => return vec!["nodeclient"],
        ApproverFault::OtherSigners => csr.spec.signer_name != SERVING,
        _ => csr.spec.signer_name == CLIENT,
    };
    let without = match fault {
        ApproverFault::Without(rule) => Some(rule),
        _ => None,
    };
    let nameless = asked.subject.common_name.as_deref() == Some(NODE_USER_PREFIX);
    if fault == ApproverFault::WantsNodeName && nameless {
        return Vec::new();
    }
    if !right_signer || broken(Role::Client, csr, asked, without).is_some() {
        return Vec::new();
    }
    let renewal = asked.subject.common_name.is_some() && asked.subject.common_name == csr.spec.username;
    match (renewal, fault) {
        (true, ApproverFault::NoRenewals) => Vec::new(),
        (true, _) => vec!["selfnodeclient", "nodeclient"],
        (false, _) => vec!["nodeclient"],
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use k8s_openapi::api::certificates::v1::CertificateSigningRequestSpec;
    use rstest::rstest;

    use super::*;
    use crate::pki::RequestBuilder;

    fn csr(signer: &str, user: &str) -> CertificateSigningRequest {
        CertificateSigningRequest {
            spec: CertificateSigningRequestSpec {
                request: ByteString(Vec::new()),
                signer_name: signer.into(),
                username: Some(user.into()),
                usages: Some(vec!["digital signature".into(), "client auth".into()]),
                ..Default::default()
            },
            ..Default::default()
        }
    }

    #[rstest]
    #[case::first(ApproverFault::None, CLIENT, "kubelet-bootstrap", &["nodeclient"])]
    #[case::renewal(ApproverFault::None, CLIENT, "system:node:n1", &["selfnodeclient", "nodeclient"])]
    #[case::no_renewal(ApproverFault::NoRenewals, CLIENT, "system:node:n1", &[])]
    #[case::another_node(ApproverFault::None, CLIENT, "system:node:n2", &["nodeclient"])]
    #[case::serving(ApproverFault::None, SERVING, "system:node:n1", &[])]
    #[case::serving_too(ApproverFault::ServingToo, SERVING, "system:node:n1", &["nodeclient"])]
    #[case::another_signer(ApproverFault::None, "kubernetes.io/kube-apiserver-client", "x", &[])]
    #[case::any_signer(ApproverFault::OtherSigners, "kubernetes.io/kube-apiserver-client", "x", &["nodeclient"])]
    fn recognises(
        #[case] fault: ApproverFault,
        #[case] signer: &str,
        #[case] user: &str,
        #[case] permissions: &[&str],
    ) {
        let request = RequestBuilder::node("n1").build().unwrap().0;
        let asked = read::request(request.as_bytes()).unwrap();
        assert_eq!(recognised(fault, &csr(signer, user), &asked), permissions);
    }
}
