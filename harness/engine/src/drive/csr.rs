//! Approves, denies and deletes CSRs, as an administrator does with kubectl (catalogue C-18).

use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestStatus,
};
use kube::api::{Api, DeleteParams, ListParams, PostParams, ResourceExt};

use super::request::{answered, client_of, refusal};
use super::{Done, DriveError, Stage, until};
use tlsboot_core::history::event::{Answer, NODE_USER_PREFIX};
use tlsboot_core::scenario::stimulus::CsrPick;
use tlsboot_core::scenario::stimulus::decide::Decide;
use tlsboot_core::scenario::stimulus::delete_csr::DeleteCsr;
use tlsboot_core::x509::read;

/// The decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Approve,
    Deny,
}

pub(super) async fn decide(decide: &Decide, decision: Decision, stage: &Stage<'_>) -> Result<Done, DriveError> {
    let api = Api::<CertificateSigningRequest>::all(stage.cluster.base().admin());
    let mut csr = find(decide.pick(), &api, stage, is_pending).await?;
    let (kind, reason, message) = match decision {
        Decision::Approve => ("Approved", "KubectlApprove", "This CSR was approved by kubectl certificate approve."),
        Decision::Deny => ("Denied", "KubectlDeny", "This CSR was denied by kubectl certificate deny."),
    };
    let condition = CertificateSigningRequestCondition {
        type_: kind.into(),
        status: "True".into(),
        reason: Some(reason.into()),
        message: Some(message.into()),
        ..Default::default()
    };
    csr.status = Some(CertificateSigningRequestStatus { conditions: Some(vec![condition]), ..Default::default() });
    let name = csr.name_any();
    let decider = match &decide.by {
        None => api,
        Some(identity) => Api::all(client_of(identity, stage).await?),
    };
    // As kubectl does; up to 1.18 nothing else is allowed.
    let decided = decider.replace_subresource("approval", &name, &PostParams::default(), &csr).await;
    let decided = match decided {
        Err(error) if decide.by.is_some() || decide.answer.is_some() => return Ok(answered(refusal(error)?)),
        decided => decided?,
    };
    let conditions = decided.status.and_then(|status| status.conditions).unwrap_or_default();
    if !conditions.iter().any(|condition| condition.type_ == kind) {
        return Err(DriveError::Nothing(format!("{name} did not get the condition {kind}")));
    }
    Ok(Done {
        proof: format!("{name} has the condition {kind}"),
        answer: Some(Answer { code: 200, reason: String::new(), message: String::new(), object: Some(name) }),
    })
}

pub(super) async fn delete(delete: &DeleteCsr, stage: &Stage<'_>) -> Result<Done, DriveError> {
    let api = Api::<CertificateSigningRequest>::all(stage.cluster.base().admin());
    let csr = find(delete.pick(), &api, stage, |_| true).await?;
    let name = csr.name_any();
    api.delete(&name, &DeleteParams::default()).await?;
    match api.get_opt(&name).await? {
        None => Ok(Done::proven(format!("{name} no longer exists"))),
        Some(_) => Err(DriveError::Nothing(format!("{name} still exists"))),
    }
}

fn is_pending(csr: &CertificateSigningRequest) -> bool {
    csr.status.as_ref().and_then(|status| status.conditions.as_ref()).is_none_or(Vec::is_empty)
}

/// The newest CSR that matches. It may not exist yet.
pub(super) async fn find(
    pick: CsrPick<'_>,
    api: &Api<CertificateSigningRequest>,
    stage: &Stage<'_>,
    fits: impl Fn(&CertificateSigningRequest) -> bool,
) -> Result<CertificateSigningRequest, DriveError> {
    until(async || {
        let all = api.list(&ListParams::default()).await?.items;
        let meant = all.into_iter().filter(|csr| is_meant(pick, csr, stage) && fits(csr));
        let version = |csr: &CertificateSigningRequest| csr.resource_version().and_then(|version| version.parse().ok());
        let newest = meant.max_by_key(|csr| -> Option<u64> { version(csr) });
        Ok(newest.ok_or_else(|| format!("no {pick} is in the state that this step needs")))
    })
    .await
}

fn is_meant(pick: CsrPick<'_>, csr: &CertificateSigningRequest, stage: &Stage<'_>) -> bool {
    let role = pick.role.is_none_or(|role| csr.spec.signer_name == role.signer_name());
    let submitted = pick.submitted.is_none_or(|step| stage.state.submitted(step) == Some(&csr.name_any()));
    let node = pick.node.is_none_or(|node| {
        let request = read::request(&csr.spec.request.0).ok();
        let name = request.and_then(|request| request.subject.common_name);
        name.as_deref().and_then(|name| name.strip_prefix(NODE_USER_PREFIX)) == Some(node)
    });
    role && submitted && node
}
