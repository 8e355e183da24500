//! Whose rights the API server is asked for. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tlsboot_core::history::event::{CsrEvent, NODE_USER_PREFIX, NODES_GROUP};
use tlsboot_core::scenario::BootstrapRole;

use super::rights::{
    self, AUTHENTICATED, Ability, BOOTSTRAPPERS, Grant, SERVICE_ACCOUNT_PREFIX, SERVICE_ACCOUNTS, Subject,
    UNAUTHENTICATED, Who,
};
use super::snapshot::TokenFacts;

/// A user that nothing is bound to.
pub const STRANGER: &str = "tlsboot:stranger";
/// Of those whose CSRs are pending there may be hundreds, all alike.
const REQUESTERS: usize = 50;
/// Of bound subjects and tokens there are rarely more than a few.
const BOOTSTRAPPING: usize = 50;

/// A user with groups, as the authorizer is asked about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Who that is.
    pub who: Who,
    /// The user name.
    pub user: String,
    /// The groups.
    pub groups: Vec<String>,
}

impl Person {
    fn new(who: Who, user: &str, groups: impl IntoIterator<Item = String>) -> Self {
        Self { who, user: user.to_owned(), groups: groups.into_iter().collect() }
    }
}

/// No one, everyone, a node, and everyone who bootstraps or whose CSR is pending.
pub fn people(
    grants: &[Grant],
    tokens: &[TokenFacts],
    nodes: impl IntoIterator<Item = String>,
    csrs: &[CsrEvent],
    now: Timestamp,
) -> Vec<Person> {
    let group = |name: &str| name.to_owned();
    // The node authorizer goes by name and group; it may be any name, but a real one shows real bindings too.
    let node = nodes.into_iter().next().unwrap_or_else(|| "tlsboot".to_owned());
    let user = format!("{NODE_USER_PREFIX}{node}");
    let mut people = vec![
        Person::new(Who::Anonymous, "system:anonymous", [group(UNAUTHENTICATED)]),
        Person::new(Who::Authenticated, STRANGER, [group(AUTHENTICATED)]),
        Person::new(Who::Node(node), &user, [group(NODES_GROUP), group(AUTHENTICATED)]),
    ];
    for token in tokens.iter().filter(|token| token.is_usable(now)).take(BOOTSTRAPPING) {
        let groups = token.groups.iter().cloned().chain([group(AUTHENTICATED)]);
        people.push(Person::new(Who::Token(token.id.clone()), &format!("system:bootstrap:{}", token.id), groups));
    }
    people.extend(bootstrapping(grants).into_iter().take(BOOTSTRAPPING).map(bound));
    let mut waiting: BTreeMap<&str, &CsrEvent> = BTreeMap::new();
    for csr in csrs.iter().filter(|csr| csr.conditions.is_empty()) {
        waiting.entry(&csr.username).or_insert(csr);
    }
    for (user, csr) in waiting.into_iter().take(REQUESTERS) {
        people.push(Person::new(Who::Requester(user.to_owned()), user, csr.groups.iter().cloned()));
    }
    people
}

/// Someone who has what is bound to this subject, and nothing else.
fn bound(subject: Subject) -> Person {
    let Some(user) = subject.user_name() else {
        let name = subject.name.clone();
        let mut groups = vec![name.clone()];
        let mut user = STRANGER.to_owned();
        if name.starts_with("system:bootstrappers:") {
            // Everyone who has it by a token has this one too (catalogue A-09).
            groups.push(BOOTSTRAPPERS.to_owned());
        }
        if let Some(namespace) = name.strip_prefix(SERVICE_ACCOUNTS) {
            user = format!("{SERVICE_ACCOUNT_PREFIX}{}:tlsboot", namespace.trim_start_matches(':'));
            groups.push(SERVICE_ACCOUNTS.to_owned());
        }
        groups.push(AUTHENTICATED.to_owned());
        groups.dedup();
        return Person { who: Who::Bound(subject), user, groups };
    };
    let groups = rights::groups_of(&user);
    Person { who: Who::Bound(subject), user, groups }
}

/// The subjects that bindings let bootstrap nodes; not administrators, nodes, controllers or everyone. A service account
/// that may create CSRs may want them for something else: it bootstraps nodes if it has a role that is for that.
pub fn bootstrapping(grants: &[Grant]) -> BTreeSet<Subject> {
    let mut subjects: BTreeMap<&Subject, Vec<&Grant>> = BTreeMap::new();
    for grant in grants {
        subjects.entry(&grant.subject).or_default().push(grant);
    }
    let bootstraps = |(subject, grants): &(&Subject, Vec<&Grant>)| {
        let all = Ability::of(&grants.iter().flat_map(|grant| grant.permissions.iter().copied()).collect());
        let has_role = grants.iter().any(|grant| {
            let bootstrapper = BootstrapRole::NodeBootstrapper.cluster_role();
            let abilities = grant.abilities();
            (grant.role == bootstrapper || abilities.contains(&Ability::NodeClient))
                && !abilities.contains(&Ability::Everything)
        });
        let is_approver = grants.iter().all(|grant| {
            let abilities = grant.abilities();
            abilities.contains(&Ability::ApproveClient) || !abilities.contains(&Ability::Ask)
        });
        let of_others = ["system:masters", NODES_GROUP, AUTHENTICATED, UNAUTHENTICATED, "system:anonymous"]
            .contains(&subject.name.as_str());
        let is_known = subject.kind != "ServiceAccount" && !subject.name.starts_with(SERVICE_ACCOUNT_PREFIX);
        !of_others && all.contains(&Ability::Ask) && (has_role || is_known && !is_approver)
    };
    subjects.into_iter().filter(bootstraps).map(|(subject, _)| subject.clone()).collect()
}

/// Whether a requester has no certificate yet: it has a bootstrap token, or is one of those that are bound to bootstrap.
pub fn is_bootstrapper(user: &str, groups: &[String], grants: &[Grant]) -> bool {
    let by_token = |group: &String| group == BOOTSTRAPPERS || group.starts_with("system:bootstrappers:");
    user.starts_with("system:bootstrap:")
        || groups.iter().any(by_token)
        || bootstrapping(grants).iter().any(|subject| subject.is(user, groups))
}
