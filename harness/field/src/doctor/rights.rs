//! Who may do what concerns certificates, as RBAC says it, and whom to ask about.

use std::collections::BTreeSet;
use std::fmt;

use k8s_openapi::api::rbac::v1::PolicyRule;
use serde::{Deserialize, Serialize};

/// The group of everyone who is authenticated.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of everyone who is not.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The group that every bootstrap token gives.
pub const BOOTSTRAPPERS: &str = "system:bootstrappers";
/// What the user names of service accounts begin with, followed by `namespace:name`.
pub const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";
/// The group of all service accounts; with `:namespace`, the group of those of one namespace.
pub const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";
/// Where the bootstrap tokens' Secrets are.
pub const NAMESPACE: &str = "kube-system";

/// Something that concerns certificates and that an identity may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ability {
    /// Create CSRs: the first thing that a kubelet does (catalogue R-01).
    Ask,
    /// List and watch CSRs, without which a kubelet does not learn of its certificate (catalogue K-23).
    Watch,
    /// Have a first client certificate approved, for any node (catalogue R-02).
    NodeClient,
    /// Have the renewal of one's own client certificate approved (catalogue R-02).
    SelfNodeClient,
    /// Approve kubelets' client CSRs (catalogue R-06).
    ApproveClient,
    /// Approve kubelets' serving CSRs.
    ApproveServing,
    /// Read the Secrets of kube-system, among them the bootstrap tokens.
    ReadSecrets,
    /// Everything.
    Everything,
}

/// One request that an authorizer judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Permission {
    /// Create CSRs.
    CreateCsrs,
    /// List CSRs.
    ListCsrs,
    /// Watch CSRs.
    WatchCsrs,
    /// Create `certificatesigningrequests/nodeclient`.
    CreateNodeClient,
    /// Create `certificatesigningrequests/selfnodeclient`.
    CreateSelfNodeClient,
    /// Update `certificatesigningrequests/approval`.
    UpdateApproval,
    /// Patch `certificatesigningrequests/approval`.
    PatchApproval,
    /// Approve for the signer of kubelets' client certificates.
    ApproveClientSigner,
    /// Approve for the signer of kubelets' serving certificates.
    ApproveServingSigner,
    /// Approve for all signers of `kubernetes.io/`.
    ApproveAllSigners,
    /// List the Secrets of kube-system.
    ListSecrets,
    /// Any verb on any resource.
    Everything,
}

/// A permission's attributes.
#[derive(Clone, Copy, Debug)]
pub struct Attributes {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The verb.
    pub verb: &'static str,
    /// The resource.
    pub resource: &'static str,
    /// The subresource; may be empty.
    pub subresource: &'static str,
    /// The object's name; may be empty.
    pub name: &'static str,
    /// The namespace; empty for a resource of the whole cluster.
    pub namespace: &'static str,
}

impl Ability {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Ask,
        Self::Watch,
        Self::NodeClient,
        Self::SelfNodeClient,
        Self::ApproveClient,
        Self::ApproveServing,
        Self::ReadSecrets,
        Self::Everything,
    ];

    /// In words, after "may".
    pub fn words(self) -> &'static str {
        match self {
            Self::Ask => "create CSRs",
            Self::Watch => "watch CSRs",
            Self::NodeClient => "have the client certificate of any node approved",
            Self::SelfNodeClient => "have its own client certificate renewed",
            Self::ApproveClient => "approve kubelets' client CSRs",
            Self::ApproveServing => "approve kubelets' serving CSRs",
            Self::ReadSecrets => "read the Secrets of kube-system",
            Self::Everything => "do everything",
        }
    }

    /// What an authorizer is asked: of each list one must be allowed. Who approves needs the right on the signer, by its
    /// name or its domain (`plugin/pkg/admission/certificates/util.go`).
    pub fn needs(self) -> &'static [&'static [Permission]] {
        use Permission::*;
        match self {
            Self::Ask => &[&[CreateCsrs]],
            Self::Watch => &[&[ListCsrs], &[WatchCsrs]],
            Self::NodeClient => &[&[CreateNodeClient]],
            Self::SelfNodeClient => &[&[CreateSelfNodeClient]],
            Self::ApproveClient => &[&[UpdateApproval, PatchApproval], &[ApproveClientSigner, ApproveAllSigners]],
            Self::ApproveServing => &[&[UpdateApproval, PatchApproval], &[ApproveServingSigner, ApproveAllSigners]],
            Self::ReadSecrets => &[&[ListSecrets]],
            Self::Everything => &[&[Permission::Everything]],
        }
    }

    /// The abilities that a set of permissions amounts to.
    pub fn of(permissions: &BTreeSet<Permission>) -> BTreeSet<Self> {
        let has = |any: &&[Permission]| any.iter().any(|permission| permissions.contains(permission));
        Self::ALL.into_iter().filter(|ability| ability.needs().iter().all(has)).collect()
    }

    /// The abilities that the rules of one ClusterRole give.
    pub fn of_rules(rules: &[PolicyRule]) -> BTreeSet<Self> {
        Self::of(&Permission::of_rules(rules))
    }
}

impl Permission {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::CreateCsrs,
        Self::ListCsrs,
        Self::WatchCsrs,
        Self::CreateNodeClient,
        Self::CreateSelfNodeClient,
        Self::UpdateApproval,
        Self::PatchApproval,
        Self::ApproveClientSigner,
        Self::ApproveServingSigner,
        Self::ApproveAllSigners,
        Self::ListSecrets,
        Self::Everything,
    ];

    /// What an authorizer is asked.
    pub const fn attributes(self) -> Attributes {
        const fn csr(verb: &'static str, subresource: &'static str) -> Attributes {
            let resource = "certificatesigningrequests";
            Attributes { group: "certificates.k8s.io", verb, resource, subresource, name: "", namespace: "" }
        }
        const fn approve(name: &'static str) -> Attributes {
            Attributes { resource: "signers", name, ..csr("approve", "") }
        }
        match self {
            Self::CreateCsrs => csr("create", ""),
            Self::ListCsrs => csr("list", ""),
            Self::WatchCsrs => csr("watch", ""),
            Self::CreateNodeClient => csr("create", "nodeclient"),
            Self::CreateSelfNodeClient => csr("create", "selfnodeclient"),
            Self::UpdateApproval => csr("update", "approval"),
            Self::PatchApproval => csr("patch", "approval"),
            Self::ApproveClientSigner => approve("kubernetes.io/kube-apiserver-client-kubelet"),
            Self::ApproveServingSigner => approve("kubernetes.io/kubelet-serving"),
            Self::ApproveAllSigners => approve("kubernetes.io/*"),
            Self::ListSecrets => Attributes { group: "", resource: "secrets", namespace: NAMESPACE, ..csr("list", "") },
            Self::Everything => Attributes { group: "*", resource: "*", ..csr("*", "") },
        }
    }

    /// The permissions that a role's rules give. A rule for other names of objects does not count.
    pub fn of_rules(rules: &[PolicyRule]) -> BTreeSet<Self> {
        let is_given = |permission: &Self| rules.iter().any(|rule| permission.attributes().is_in(rule));
        Self::ALL.into_iter().filter(is_given).collect()
    }

    /// Whether a RoleBinding in this namespace can give it.
    pub fn is_of(self, namespace: &str) -> bool {
        self.attributes().namespace == namespace
    }
}

impl Attributes {
    /// As RBAC matches (`pkg/apis/rbac/v1/evaluation_helpers.go`).
    fn is_in(&self, rule: &PolicyRule) -> bool {
        let has = |list: Option<&Vec<String>>, value: &str| {
            list.is_some_and(|list| list.iter().any(|item| item == "*" || item == value))
        };
        let resource = match self.subresource {
            "" => self.resource.to_owned(),
            subresource => format!("{}/{subresource}", self.resource),
        };
        let any_parent = format!("*/{}", self.subresource);
        let resources = rule.resources.as_ref();
        let names = rule.resource_names.as_deref().unwrap_or_default();
        has(Some(&rule.verbs), self.verb)
            && has(rule.api_groups.as_ref(), self.group)
            && (has(resources, &resource) || (!self.subresource.is_empty() && has_word(resources, &any_parent)))
            && (names.is_empty() || names.iter().any(|name| name == self.name))
    }
}

fn has_word(list: Option<&Vec<String>>, word: &str) -> bool {
    list.is_some_and(|list| list.iter().any(|item| item == word))
}

/// A binding gives a subject some of the permissions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grant {
    /// The name of the ClusterRoleBinding, or of the RoleBinding.
    pub binding: String,
    /// The namespace of a RoleBinding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The role.
    pub role: String,
    /// Who is bound.
    pub subject: Subject,
    /// What the role allows of what matters here, where it is bound.
    pub permissions: BTreeSet<Permission>,
}

impl Grant {
    /// What this grant alone makes possible.
    pub fn abilities(&self) -> BTreeSet<Ability> {
        Ability::of(&self.permissions)
    }
}

/// What a user in these groups may do, by all of the grants.
pub fn abilities<'a>(grants: impl IntoIterator<Item = &'a Grant>, user: &str, groups: &[String]) -> BTreeSet<Ability> {
    let of = grants.into_iter().filter(|grant| grant.subject.is(user, groups));
    Ability::of(&of.flat_map(|grant| grant.permissions.iter().copied()).collect())
}

/// A user, group or service account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Subject {
    /// `User`, `Group` or `ServiceAccount`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Of a service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

impl Subject {
    /// A group.
    pub fn group(name: &str) -> Self {
        Self { kind: "Group".into(), name: name.to_owned(), namespace: None }
    }

    /// A user, or the service account whose user name this is.
    pub fn user(name: &str) -> Self {
        let account = name.strip_prefix(SERVICE_ACCOUNT_PREFIX).and_then(|rest| rest.split_once(':'));
        match account {
            Some((namespace, account)) => {
                Self { kind: "ServiceAccount".into(), name: account.to_owned(), namespace: Some(namespace.to_owned()) }
            }
            None => Self { kind: "User".into(), name: name.to_owned(), namespace: None },
        }
    }

    /// The user name that it stands for; none for a group.
    pub fn user_name(&self) -> Option<String> {
        match (self.kind.as_str(), &self.namespace) {
            ("Group", _) => None,
            ("ServiceAccount", namespace) => {
                Some(format!("{SERVICE_ACCOUNT_PREFIX}{}:{}", namespace.as_deref().unwrap_or_default(), self.name))
            }
            _ => Some(self.name.clone()),
        }
    }

    /// Whether RBAC applies it to this user (`plugin/pkg/auth/authorizer/rbac`, `appliesToUser`).
    pub fn is(&self, user: &str, groups: &[String]) -> bool {
        match self.user_name() {
            Some(name) => name == user,
            None => groups.contains(&self.name),
        }
    }

    /// The option of `kubectl create clusterrolebinding` that names it.
    pub fn option(&self) -> String {
        match (self.kind.as_str(), &self.namespace) {
            ("Group", _) => format!("--group={}", self.name),
            ("ServiceAccount", Some(namespace)) => format!("--serviceaccount={namespace}:{}", self.name),
            _ => format!("--user={}", self.name),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind.as_str(), &self.namespace) {
            ("Group", _) => write!(f, "group {}", self.name),
            ("ServiceAccount", Some(namespace)) => write!(f, "service account {namespace}/{}", self.name),
            _ => write!(f, "user {}", self.name),
        }
    }
}

/// The groups that a user has because of its name: those of a service account, and the group of everyone.
pub fn groups_of(user: &str) -> Vec<String> {
    let mut groups = Vec::new();
    if let Some((namespace, _)) = user.strip_prefix(SERVICE_ACCOUNT_PREFIX).and_then(|rest| rest.split_once(':')) {
        groups.push(SERVICE_ACCOUNTS.to_owned());
        groups.push(format!("{SERVICE_ACCOUNTS}:{namespace}"));
    }
    groups.push(AUTHENTICATED.to_owned());
    groups
}

/// Whom a review is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Who {
    /// Requests without credentials.
    Anonymous,
    /// An authenticated user who is no one in particular.
    Authenticated,
    /// A node, by the name of one that exists.
    Node(String),
    /// The owner of a bootstrap token, by its id.
    Token(String),
    /// A user, group or service account that a binding lets bootstrap.
    Bound(Subject),
    /// The requester of a CSR that is pending.
    Requester(String),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("system:anonymous"),
            Self::Authenticated => f.write_str("any authenticated user (system:authenticated)"),
            Self::Node(_) => f.write_str("nodes (group system:nodes)"),
            Self::Token(id) => write!(f, "bootstrap token {id}"),
            Self::Bound(subject) => write!(f, "{subject}"),
            Self::Requester(user) => write!(f, "{}", Subject::user(user)),
        }
    }
}

/// What the API server's authorizer lets a user do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Review {
    /// Who.
    pub who: Who,
    /// The user name that was asked about.
    pub user: String,
    /// With these groups.
    pub groups: Vec<String>,
    /// What is allowed; everything else was asked for and is not.
    pub may: BTreeSet<Ability>,
}

impl Review {
    /// Whether this is allowed.
    pub fn may(&self, ability: Ability) -> bool {
        self.may.contains(&ability)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::rbac::v1::ClusterRole;
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn role(rules: Value) -> BTreeSet<Ability> {
        let role: ClusterRole = serde_json::from_value(json!({"metadata": {"name": "r"}, "rules": rules})).unwrap();
        Ability::of_rules(&role.rules.unwrap())
    }

    #[test]
    fn abilities_are_read_off_rules_as_rbac_reads_them() {
        let csr = |verbs: &[&str], resource: &str| {
            role(json!([{"apiGroups": ["certificates.k8s.io"], "resources": [resource], "verbs": verbs}]))
        };
        let bootstrapper = csr(&["create", "get", "list", "watch"], "certificatesigningrequests");
        assert_eq!(bootstrapper, BTreeSet::from([Ability::Ask, Ability::Watch]));
        let client = csr(&["create"], "certificatesigningrequests/nodeclient");
        assert_eq!(client, BTreeSet::from([Ability::NodeClient]));
        let hand_made = csr(&["create"], "*/selfnodeclient");
        assert_eq!(hand_made, BTreeSet::from([Ability::SelfNodeClient]));
        assert!(csr(&["get"], "certificatesigningrequests").is_empty());
        let admin = role(json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]));
        assert_eq!(admin.len(), Ability::ALL.len());
    }

    #[rstest]
    #[case("update", "kubernetes.io/kubelet-serving", &[Ability::ApproveServing])]
    #[case("patch", "kubernetes.io/kubelet-serving", &[Ability::ApproveServing])]
    #[case("update", "kubernetes.io/*", &[Ability::ApproveClient, Ability::ApproveServing])]
    #[case("get", "kubernetes.io/*", &[])]
    #[case("update", "example.com/*", &[])]
    fn approving_takes_both_rights_for_this_signer(
        #[case] verb: &str,
        #[case] signer: &str,
        #[case] abilities: &[Ability],
    ) {
        let found = role(json!([
            {"apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests/approval"], "verbs": [verb]},
            {"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": [signer], "verbs": ["approve"]},
        ]));
        assert_eq!(found, abilities.iter().copied().collect());
    }

    #[rstest]
    #[case::user(Subject::user("alice"), "alice", &[], true)]
    #[case::account(Subject::user("system:serviceaccount:infra:boot"), "system:serviceaccount:infra:boot", &[], true)]
    #[case::another_account(Subject::user("system:serviceaccount:infra:boot"), "system:serviceaccount:x:boot", &[], false)]
    #[case::group(Subject::group("g"), "g", &["h"], false)]
    #[case::group_member(Subject::group("g"), "x", &["g"], true)]
    fn a_subject_applies_to_a_user(
        #[case] subject: Subject,
        #[case] user: &str,
        #[case] groups: &[&str],
        #[case] applies: bool,
    ) {
        let groups: Vec<String> = groups.iter().map(|&group| group.to_owned()).collect();
        assert_eq!(subject.is(user, &groups), applies);
    }

    #[test]
    fn a_service_account_has_the_groups_of_its_namespace() {
        let groups = groups_of("system:serviceaccount:infra:boot");
        assert_eq!(groups, ["system:serviceaccounts", "system:serviceaccounts:infra", "system:authenticated"]);
        assert_eq!(groups_of("alice"), ["system:authenticated"]);
    }
}
