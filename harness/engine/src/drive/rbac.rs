//! ClusterRoles and their bindings. The proof is the API server's own answer to a SubjectAccessReview, repeated until
//! the authorizer has seen the change.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::rbac::v1::{ClusterRole as RoleObject, ClusterRoleBinding, PolicyRule, RoleRef, Subject};
use kube::Client;
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams};

use super::{Done, DriveError, until};
use tlsboot_core::scenario::Binding;
use tlsboot_core::scenario::stimulus::RoleRef as Role;
use tlsboot_core::scenario::stimulus::create_cluster_role::CreateClusterRole;

const RBAC: &str = "rbac.authorization.k8s.io";

pub(super) async fn bind(role: &Role, to: &Binding, client: &Client) -> Result<Done, DriveError> {
    let role = role.cluster_role();
    let (kind, name) = match to {
        Binding::User(name) => ("User", name),
        Binding::Group(name) => ("Group", name),
        Binding::Absent => {
            return Err(DriveError::Nothing(
                "`absent` is only for the cluster's `bindings`; to remove one, use `unbind`".into(),
            ));
        }
    };
    let permission = permission(role, client).await?;
    let binding = ClusterRoleBinding {
        metadata: ObjectMeta { name: Some(binding_name(role)), ..Default::default() },
        role_ref: RoleRef { api_group: RBAC.into(), kind: "ClusterRole".into(), name: role.into() },
        subjects: Some(vec![Subject {
            api_group: Some(RBAC.into()),
            kind: kind.into(),
            name: name.clone(),
            namespace: None,
        }]),
    };
    Api::<ClusterRoleBinding>::all(client.clone()).create(&PostParams::default(), &binding).await?;
    let review = || async {
        let allowed = is_allowed(&permission, to, client).await?;
        let whom = whom(to);
        Ok(match allowed {
            true => Ok(format!("{whom} may {permission}")),
            false => Err(format!("{whom} may not yet {permission}")),
        })
    };
    Ok(Done::proven(until(review).await?))
}

pub(super) async fn unbind(role: &Role, client: &Client) -> Result<Done, DriveError> {
    let kubeadms = role.kubeadm_binding();
    let role = role.cluster_role();
    let bindings = Api::<ClusterRoleBinding>::all(client.clone());
    let mut name = binding_name(role);
    let mut found = bindings.get_opt(&name).await?;
    if let (None, Some(kubeadms)) = (&found, kubeadms) {
        found = bindings.get_opt(kubeadms).await?;
        name = kubeadms.to_owned();
    }
    let binding = found.ok_or_else(|| DriveError::Nothing(format!("there is no binding {name} to remove")))?;
    let to = binding.subjects.iter().flatten().next().map(|subject| match subject.kind.as_str() {
        "Group" => Binding::Group(subject.name.clone()),
        _ => Binding::User(subject.name.clone()),
    });
    let to = to.ok_or_else(|| DriveError::Nothing(format!("the binding {name} has no subject")))?;
    let permission = permission(role, client).await?;
    bindings.delete(&name, &DeleteParams::default()).await?;
    let review = || async {
        let allowed = is_allowed(&permission, &to, client).await?;
        let whom = whom(&to);
        Ok(match allowed {
            true => Err(format!("{whom} may still {permission}")),
            false => Ok(format!("{whom} may no longer {permission}")),
        })
    };
    Ok(Done::proven(until(review).await?))
}

pub(super) async fn create_role(role: &CreateClusterRole, client: &Client) -> Result<Done, DriveError> {
    let object = RoleObject {
        metadata: ObjectMeta { name: Some(role.name.clone()), ..Default::default() },
        rules: Some(vec![PolicyRule {
            api_groups: Some(vec![role.api_group.clone()]),
            resources: Some(role.resources.clone()),
            verbs: role.verbs.clone(),
            ..Default::default()
        }]),
        aggregation_rule: None,
    };
    let made = Api::<RoleObject>::all(client.clone()).create(&PostParams::default(), &object).await?;
    Ok(Done::proven(format!("ClusterRole {} has uid {}", role.name, made.metadata.uid.unwrap_or_default())))
}

fn whom(to: &Binding) -> String {
    match to {
        Binding::User(name) => format!("user {name}"),
        Binding::Group(name) => format!("group {name}"),
        Binding::Absent => "no subject".into(),
    }
}

fn binding_name(role: &str) -> String {
    format!("tlsboot:{role}")
}

/// One permission of a role.
struct Permission {
    group: String,
    verb: String,
    resource: String,
    /// One of the objects that the role is limited to, if it is.
    name: Option<String>,
}

impl std::fmt::Display for Permission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        self.name.as_ref().map_or(Ok(()), |name| write!(f, " {name}"))
    }
}

async fn permission(role: &str, client: &Client) -> Result<Permission, DriveError> {
    let object = Api::<RoleObject>::all(client.clone()).get(role).await?;
    let rule = object.rules.unwrap_or_default().into_iter().next();
    let first = |list: Option<Vec<String>>| list.unwrap_or_default().into_iter().next().unwrap_or_default();
    let rule = rule.ok_or_else(|| {
        DriveError::Nothing(format!("the ClusterRole {role} allows nothing, so a binding would have no effect"))
    })?;
    Ok(Permission {
        group: first(rule.api_groups),
        verb: first(Some(rule.verbs)),
        resource: first(rule.resources),
        name: rule.resource_names.and_then(|names| names.into_iter().next()),
    })
}

async fn is_allowed(permission: &Permission, to: &Binding, client: &Client) -> Result<bool, DriveError> {
    let (resource, subresource) = match permission.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (permission.resource.as_str(), None),
    };
    let (user, groups) = match to {
        Binding::User(user) => (user.clone(), None),
        // A user without any other binding.
        Binding::Group(group) => ("tlsboot:unbound".to_owned(), Some(vec![group.clone()])),
        Binding::Absent => return Ok(false),
    };
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user),
            groups,
            resource_attributes: Some(ResourceAttributes {
                group: Some(permission.group.clone()),
                verb: Some(permission.verb.clone()),
                resource: Some(resource.to_owned()),
                subresource,
                name: permission.name.clone(),
                ..Default::default()
            }),
            ..Default::default()
        },
        ..Default::default()
    };
    let answer = Api::<SubjectAccessReview>::all(client.clone()).create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(None, "create certificatesigningrequests")]
    #[case(Some("kubernetes.io/kubelet-serving"), "create certificatesigningrequests kubernetes.io/kubelet-serving")]
    fn proofs_name_what_is_allowed(#[case] name: Option<&str>, #[case] words: &str) {
        let (verb, resource) = ("create".to_owned(), "certificatesigningrequests".to_owned());
        let permission =
            Permission { group: "certificates.k8s.io".into(), verb, resource, name: name.map(str::to_owned) };
        assert_eq!(permission.to_string(), words);
        assert_eq!(whom(&Binding::Group("system:nodes".into())), "group system:nodes");
    }
}
