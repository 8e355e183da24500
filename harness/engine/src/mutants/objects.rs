//! Defects in the cluster's own objects: overly permissive bindings, roles that allow nothing, policies that repair
//! what should be refused.

use std::time::Duration;

use async_trait::async_trait;
use http::Request;
use k8s_openapi::ByteString;
use kube::Client;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cluster::ClusterError;
use crate::cluster::processes::Defect;
use crate::pki::RequestBuilder;
use crate::poll;

const IN_FORCE: Duration = Duration::from_secs(60);

/// A cluster in which these objects were created or changed before anything else.
pub(super) struct Objects {
    changes: Vec<Change>,
    /// A CSR spec that the API server accepts only when the changes are in effect.
    taken: Option<Value>,
}

/// A change of an object.
enum Change {
    /// POST to a path.
    Create(&'static str, Value),
    /// A merge patch of a path.
    Patch(&'static str, Value),
}

#[async_trait]
impl Defect for Objects {
    async fn prepare(&self, admin: &Client) -> Result<(), ClusterError> {
        for change in &self.changes {
            let (method, path, kind, object) = match change {
                Change::Create(path, object) => ("POST", path, "application/json", object),
                Change::Patch(path, object) => ("PATCH", path, "application/merge-patch+json", object),
            };
            let request = Request::builder()
                .method(method)
                .uri(*path)
                .header("content-type", kind)
                .body(object.to_string().into_bytes())
                .map_err(std::io::Error::other)?;
            admin.request_text(request).await?;
        }
        match &self.taken {
            Some(spec) => in_force(admin, spec).await,
            None => Ok(()),
        }
    }
}

/// Admission policies take effect some time after they are created.
async fn in_force(admin: &Client, spec: &Value) -> Result<(), ClusterError> {
    let (pem, _) = RequestBuilder::node("mutant").build()?;
    let mut csr = json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "mutant"},
        "spec": {"usages": ["digital signature", "client auth"], "request": ByteString(pem.into_bytes())},
    });
    if let (Some(all), Some(special)) = (csr["spec"].as_object_mut(), spec.as_object()) {
        all.extend(special.clone());
    }
    let in_force = poll::until(Instant::now() + IN_FORCE, poll::OFTEN, async || {
        let request = Request::post("/apis/certificates.k8s.io/v1/certificatesigningrequests?dryRun=All")
            .header("content-type", "application/json")
            .body(csr.to_string().into_bytes())
            .map_err(std::io::Error::other)?;
        Ok::<_, ClusterError>(admin.request_text(request).await.map(drop))
    });
    in_force.await?.map_err(ClusterError::late("the effect of a policy", IN_FORCE))
}

/// A ClusterRole bound to a group or user in addition to the scenario's bindings.
pub(super) fn bound(role: &str, kind: &str, name: &str) -> Objects {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "mutant"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}],
    });
    Objects {
        changes: vec![Change::Create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)],
        taken: None,
    }
}

/// The built-in role for renewals allows something other than renewals.
pub(super) fn no_renewals() -> Objects {
    let rules = json!({"rules": [{"apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests/selfnodeserver"], "verbs": ["create"]}]});
    Objects {
        changes: vec![Change::Patch(
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
            rules,
        )],
        taken: None,
    }
}

/// A policy that changes CSRs on admission (Kubernetes 1.36 and later). `taken` is the spec of one that the API server
/// would otherwise refuse.
pub(super) fn policy(condition: &str, patch: &str, taken: Value) -> Objects {
    let version = "admissionregistration.k8s.io/v1";
    let policy = json!({
        "apiVersion": version,
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": "mutant"},
        "spec": {
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "matchConstraints": {"resourceRules": [{
                "apiGroups": ["certificates.k8s.io"], "apiVersions": ["v1"],
                "operations": ["CREATE"], "resources": ["certificatesigningrequests"],
            }]},
            "matchConditions": [{"name": "mutant", "expression": condition}],
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patch}}],
        },
    });
    let binding = json!({
        "apiVersion": version,
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": "mutant"},
        "spec": {"policyName": "mutant"},
    });
    Objects {
        changes: vec![
            Change::Create("/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies", policy),
            Change::Create("/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings", binding),
        ],
        taken: Some(taken),
    }
}
