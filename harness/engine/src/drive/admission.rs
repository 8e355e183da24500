//! Admission that refuses requests of a bootstrap: a webhook that can't be reached, or a policy.
//!
//! API servers learn of both a moment later. So each also refuses CSRs with a label of tlsboot's own, and the proof is the
//! answer to such a CSR, which is only a dry run.

use std::collections::BTreeMap;

use k8s_openapi::api::admissionregistration::v1::{
    MatchResources, NamedRuleWithOperations, RuleWithOperations, ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding, ValidatingAdmissionPolicyBindingSpec, ValidatingAdmissionPolicySpec,
    ValidatingWebhook, ValidatingWebhookConfiguration, Validation, WebhookClientConfig,
};
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams};
use kube::{Client, Error};
use tlsboot_core::check::Role;
use tlsboot_core::scenario::stimulus::admission::{Admit, Admitted, Refusal, Refuse};

use super::{Done, DriveError, Stage, until};
use crate::pki::RequestBuilder;

/// The label of the CSRs that show whether it has begun.
const PROBE: &str = "tlsboot-admission-probe";
/// A URL where nothing answers: a port that no service is given.
const NOWHERE: &str = "https://127.0.0.1:1/";

pub(super) async fn refuse(refuse: &Refuse, stage: &Stage<'_>) -> Result<Done, DriveError> {
    let client = stage.cluster.base().admin();
    let name = name(refuse.requests);
    match refuse.by {
        Refusal::Webhook => {
            let configuration = webhook(&name, refuse.requests);
            Api::all(client.clone()).create(&PostParams::default(), &configuration).await?;
        }
        Refusal::Policy => {
            let (policy, binding) = policy(&name, refuse.requests);
            Api::all(client.clone()).create(&PostParams::default(), &policy).await?;
            Api::all(client.clone()).create(&PostParams::default(), &binding).await?;
        }
    }
    let proof = until(async || {
        Ok(match probe(&name, &client).await? {
            Some(message) => Ok(format!("requests to {} are refused: {message}", refuse.requests)),
            None => Err(format!("requests to {} are not refused yet", refuse.requests)),
        })
    });
    Ok(Done::proven(proof.await?))
}

pub(super) async fn admit(admit: &Admit, stage: &Stage<'_>) -> Result<Done, DriveError> {
    let client = stage.cluster.base().admin();
    let name = name(admit.requests);
    let removed = [
        remove::<ValidatingWebhookConfiguration>(&name, &client).await?,
        remove::<ValidatingAdmissionPolicyBinding>(&name, &client).await?,
        remove::<ValidatingAdmissionPolicy>(&name, &client).await?,
    ];
    if !removed.contains(&true) {
        return Err(DriveError::Nothing(format!("nothing refuses requests to {}", admit.requests)));
    }
    let proof = until(async || {
        Ok(match probe(&name, &client).await? {
            None => Ok(format!("requests to {} are no longer refused", admit.requests)),
            Some(message) => Err(format!("requests to {} are still refused: {message}", admit.requests)),
        })
    });
    Ok(Done::proven(proof.await?))
}

fn name(requests: Admitted) -> String {
    let requests = match requests {
        Admitted::CreateCsr => "create-csr",
        Admitted::DecideCsr => "decide-csr",
        Admitted::IssueCsr => "issue-csr",
        Admitted::CreateNode => "create-node",
    };
    format!("{requests}.tlsboot.example.com")
}

/// The API group, operation and resource of these requests.
fn rule(requests: Admitted) -> RuleWithOperations {
    let (group, operation, resource) = match requests {
        Admitted::CreateCsr => ("certificates.k8s.io", "CREATE", "certificatesigningrequests"),
        Admitted::DecideCsr => ("certificates.k8s.io", "UPDATE", "certificatesigningrequests/approval"),
        Admitted::IssueCsr => ("certificates.k8s.io", "UPDATE", "certificatesigningrequests/status"),
        Admitted::CreateNode => ("", "CREATE", "nodes"),
    };
    RuleWithOperations {
        api_groups: Some(vec![group.into()]),
        api_versions: Some(vec!["v1".into()]),
        operations: Some(vec![operation.into()]),
        resources: Some(vec![resource.into()]),
        scope: None,
    }
}

/// Of the CSRs that show whether it has begun; another label for each, so that one does not show for the other.
fn label(name: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(PROBE.to_owned(), name.to_owned())])
}

fn webhook(name: &str, requests: Admitted) -> ValidatingWebhookConfiguration {
    let hook = |name: String, rule, selector| ValidatingWebhook {
        name,
        admission_review_versions: vec!["v1".into()],
        client_config: WebhookClientConfig { url: Some(NOWHERE.into()), ..Default::default() },
        failure_policy: Some("Fail".into()),
        rules: Some(vec![rule]),
        object_selector: Some(selector),
        side_effects: "None".into(),
        timeout_seconds: Some(2),
        ..Default::default()
    };
    let probes = LabelSelector { match_labels: Some(label(name)), ..Default::default() };
    let others = LabelSelectorRequirement { key: PROBE.into(), operator: "DoesNotExist".into(), values: None };
    let others = LabelSelector { match_expressions: Some(vec![others]), ..Default::default() };
    ValidatingWebhookConfiguration {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..Default::default() },
        webhooks: Some(vec![
            hook(format!("probe.{name}"), rule(Admitted::CreateCsr), probes),
            hook(name.to_owned(), rule(requests), others),
        ]),
    }
}

fn policy(name: &str, requests: Admitted) -> (ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding) {
    let metadata = || ObjectMeta { name: Some(name.to_owned()), ..Default::default() };
    let rules = [Admitted::CreateCsr, requests].map(|requests| {
        let RuleWithOperations { api_groups, api_versions, operations, resources, scope } = rule(requests);
        NamedRuleWithOperations { api_groups, api_versions, operations, resources, scope, resource_names: None }
    });
    // CSRs match for the probe alone, unless it is they that are refused; probes of others pass.
    let is_probe = format!("has(object.metadata.labels) && '{PROBE}' in object.metadata.labels");
    let is_other = format!("{is_probe} && object.metadata.labels['{PROBE}'] != '{name}'");
    let is_csr = "request.operation == 'CREATE' && request.resource.resource == 'certificatesigningrequests'";
    let expression = match requests {
        Admitted::CreateCsr => is_other,
        _ => format!("{is_csr} && (!({is_probe}) || {is_other})"),
    };
    let policy = ValidatingAdmissionPolicy {
        metadata: metadata(),
        spec: Some(ValidatingAdmissionPolicySpec {
            failure_policy: Some("Fail".into()),
            match_constraints: Some(MatchResources { resource_rules: Some(rules.into()), ..Default::default() }),
            validations: Some(vec![Validation {
                expression,
                message: Some(format!("no one may {requests}")),
                ..Default::default()
            }]),
            ..Default::default()
        }),
        ..Default::default()
    };
    let binding = ValidatingAdmissionPolicyBinding {
        metadata: metadata(),
        spec: Some(ValidatingAdmissionPolicyBindingSpec {
            policy_name: Some(name.to_owned()),
            validation_actions: Some(vec!["Deny".into()]),
            ..Default::default()
        }),
    };
    (policy, binding)
}

/// The message with which a CSR with the probe's label is refused by this; none if it is not.
async fn probe(name: &str, client: &Client) -> Result<Option<String>, DriveError> {
    let (request, _) = RequestBuilder::node("tlsboot-admission-probe").build()?;
    let csr = CertificateSigningRequest {
        metadata: ObjectMeta {
            name: Some("tlsboot-admission-probe".into()),
            labels: Some(label(name)),
            ..Default::default()
        },
        spec: CertificateSigningRequestSpec {
            request: k8s_openapi::ByteString(request.into_bytes()),
            signer_name: Role::Client.signer_name().into(),
            usages: Some(vec!["digital signature".into(), "client auth".into()]),
            ..Default::default()
        },
        ..Default::default()
    };
    match Api::all(client.clone()).create(&PostParams { dry_run: true, ..Default::default() }, &csr).await {
        Ok(_) => Ok(None),
        Err(Error::Api(status)) if status.message.contains(name) => Ok(Some(status.message.clone())),
        Err(error) => Err(error.into()),
    }
}

/// Whether it was there.
async fn remove<K>(name: &str, client: &Client) -> Result<bool, DriveError>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    match Api::<K>::all(client.clone()).delete(name, &DeleteParams::default()).await {
        Ok(_) => Ok(true),
        // API servers up to 1.29 have no policies.
        Err(Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_requests_meant_and_probes_are_refused_by_a_webhook() {
        let [probe, hook] = webhook("x", Admitted::DecideCsr).webhooks.unwrap().try_into().unwrap();
        assert_eq!(probe.object_selector.unwrap().match_labels, Some(label("x")));
        // Probes for something else that is refused are not refused by this.
        let others = hook.object_selector.unwrap().match_expressions.unwrap();
        assert_eq!((others[0].key.as_str(), others[0].operator.as_str()), (PROBE, "DoesNotExist"));
        assert_eq!(hook.rules, Some(vec![rule(Admitted::DecideCsr)]));
        assert_eq!(hook.failure_policy.as_deref(), Some("Fail"));
    }

    #[test]
    fn a_policy_for_something_else_than_csrs_lets_them_through() {
        let expression = |requests| policy("x", requests).0.spec.unwrap().validations.unwrap()[0].expression.clone();
        assert!(!expression(Admitted::CreateCsr).contains("request.operation"));
        assert!(expression(Admitted::CreateNode).contains("&& (!(has(object.metadata.labels)"));
    }
}
