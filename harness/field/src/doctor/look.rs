//! Looking at a cluster, without changing anything in it. SubjectAccessReviews are asked, which are never stored.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Secret as SecretObject};
use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, Subject as RbacSubject,
};
use kube::api::{Api, ListParams, PostParams, ResourceExt};
use kube::core::Resource;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout, timeout_at};

use super::discovery::cluster_info;
use super::people::{Person, people};
use super::reach::reach;
use super::rights::{Ability, Grant, NAMESPACE, Permission, Review, Subject};
use super::snapshot::{NodeFacts, Right, Seen, Served, Snapshot};
use super::token::token;
use crate::connection::{Connection, Unreachable};
use tlsboot_core::history::event::{Change, CsrEvent};
use tlsboot_core::version::Version;
use tlsboot_core::x509::read;
use tlsboot_engine::cluster::client::Credentials;
use tlsboot_engine::observe::csr::csr_event;
use tlsboot_engine::observe::presented;

/// All of the API server's answers: an operator waits.
const ANSWERS: Duration = Duration::from_secs(10);
/// All nodes' ports, those behind a firewall too.
const PROBES: Duration = Duration::from_secs(5);
/// Handshakes at a time.
const PROBES_AT_A_TIME: usize = 256;
/// Questions to the authorizer at a time.
const REVIEWS_AT_A_TIME: usize = 16;
const PAGE: u32 = 500;

/// Looks at everything.
///
/// # Errors
/// When the API server does not answer, or does not know who asks. What it refuses is in the snapshot.
pub async fn look(connection: &Connection) -> Result<Snapshot, Unreachable> {
    let looking = Looking { connection };
    let within = ANSWERS + PROBES;
    timeout(within, looking.all()).await.unwrap_or_else(|_| {
        Err(Unreachable::Server {
            server: connection.server(),
            reason: format!("not all was answered within {} s", within.as_secs()),
        })
    })
}

/// The groups `system:bootstrappers:…` whose first client CSRs are approved, as far as they can be seen.
///
/// # Errors
/// As [`look`].
pub async fn bootstrap_groups(connection: &Connection) -> Result<Vec<String>, Unreachable> {
    let grants = Looking { connection }.grants().await?;
    let groups: BTreeSet<String> = grants
        .all()
        .iter()
        .filter(|grant| grant.abilities().contains(&Ability::NodeClient))
        .filter(|grant| grant.subject.kind == "Group" && grant.subject.name.starts_with("system:bootstrappers:"))
        .map(|grant| grant.subject.name.clone())
        .collect();
    Ok(groups.into_iter().collect())
}

struct Looking<'a> {
    connection: &'a Connection,
}

impl Looking<'_> {
    async fn all(&self) -> Result<Snapshot, Unreachable> {
        let client = self.connection.client();
        let version = client.apiserver_version().await.map_err(|error| self.connection.unreachable(&error))?;
        let (grants, csrs, secrets, nodes, client_cas, anonymous) = tokio::try_join!(
            self.grants(),
            self.csrs(),
            self.secrets(),
            self.nodes(),
            self.client_cas(),
            self.anonymous(),
        )?;
        let taken = Timestamp::now();
        let tokens = map(&secrets, |secrets| secrets.iter().map(token).collect());
        let names = nodes.all().iter().map(ResourceExt::name_any);
        let people = people(grants.all(), tokens.all(), names, csrs.all(), taken);
        let (reviews, nodes, cluster_info) =
            tokio::try_join!(self.reviews(people), self.served(nodes), cluster_info(self.connection, secrets.all()),)?;
        let nodes = self.reached(nodes).await?;
        Ok(Snapshot {
            taken,
            server: self.connection.server(),
            version: Version::of_build(&version.git_version),
            anonymous,
            grants,
            reviews,
            csrs,
            tokens,
            nodes,
            client_cas,
            cluster_info,
        })
    }

    /// Everything of a kind, by pages; or the right that is missing.
    async fn list<K>(&self, api: Api<K>, params: ListParams, for_what: &str) -> Result<Seen<Vec<K>>, Unreachable>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let mut all = Vec::new();
        let mut params = params.limit(PAGE);
        loop {
            let page = match api.list(&params).await {
                Ok(page) => page,
                Err(error) => return self.refused::<K>(error, "list", None, for_what),
            };
            all.extend(page.items);
            match page.metadata.continue_.filter(|more| !more.is_empty()) {
                Some(more) => params.continue_token = Some(more),
                None => return Ok(Seen::Is(all)),
            }
        }
    }

    fn refused<K: Resource<DynamicType = ()>>(
        &self,
        error: kube::Error,
        verb: &str,
        namespace: Option<&str>,
        for_what: &str,
    ) -> Result<Seen<Vec<K>>, Unreachable> {
        match error {
            kube::Error::Api(status) if status.code == 403 => {
                let group = K::group(&());
                let dot = if group.is_empty() { "" } else { "." };
                Ok(Seen::Refused(Right {
                    verb: verb.into(),
                    resource: format!("{}{dot}{group}", K::plural(&())),
                    namespace: namespace.map(str::to_owned),
                    for_what: for_what.into(),
                }))
            }
            other => Err(self.connection.unreachable(&other)),
        }
    }

    async fn grants(&self) -> Result<Seen<Vec<Grant>>, Unreachable> {
        let client = self.connection.client();
        let what = "who is bound to what";
        let params = ListParams::default;
        let (roles, local, bindings, locals) = tokio::try_join!(
            self.list::<ClusterRole>(Api::all(client.clone()), params(), what),
            self.list::<Role>(Api::namespaced(client.clone(), NAMESPACE), params(), "who may read bootstrap tokens"),
            self.list::<ClusterRoleBinding>(Api::all(client.clone()), params(), what),
            self.list::<RoleBinding>(Api::namespaced(client, NAMESPACE), params(), "who may read bootstrap tokens"),
        )?;
        Ok(match (roles, local, bindings, locals) {
            (Seen::Is(roles), Seen::Is(local), Seen::Is(bindings), Seen::Is(locals)) => {
                Seen::Is(grants(&roles, &local, &bindings, &locals))
            }
            (Seen::Refused(right), _, _, _) | (_, _, Seen::Refused(right), _) => Seen::Refused(right),
            (_, Seen::Refused(right), _, _) | (_, _, _, Seen::Refused(right)) => {
                Seen::Refused(Right { namespace: Some(NAMESPACE.into()), ..right })
            }
        })
    }

    async fn csrs(&self) -> Result<Seen<Vec<CsrEvent>>, Unreachable> {
        let api = Api::<CertificateSigningRequest>::all(self.connection.client());
        let what = "who approves and signs, for how long, and when nodes renew";
        let all = self.list(api, ListParams::default(), what).await?;
        Ok(map(&all, |csrs| csrs.iter().map(|csr| csr_event(csr, Change::Added)).collect()))
    }

    /// The Secrets of bootstrap tokens. Their values are looked at for their form and for signatures, and not kept.
    async fn secrets(&self) -> Result<Seen<Vec<SecretObject>>, Unreachable> {
        let api = Api::<SecretObject>::namespaced(self.connection.client(), NAMESPACE);
        let params = ListParams::default().fields("type=bootstrap.kubernetes.io/token");
        let what = "bootstrap tokens and when they expire; their values are not kept";
        Ok(match self.list(api, params, what).await? {
            Seen::Refused(right) => Seen::Refused(Right { namespace: Some(NAMESPACE.into()), ..right }),
            seen => seen,
        })
    }

    async fn nodes(&self) -> Result<Seen<Vec<Node>>, Unreachable> {
        let api = Api::<Node>::all(self.connection.client());
        let what = "which nodes there are, and what they serve";
        self.list(api, ListParams::default(), what).await
    }

    /// What the API server publishes for aggregated API servers, among it `--client-ca-file`.
    async fn client_cas(&self) -> Result<Seen<Vec<tlsboot_core::history::facts::CertificateFacts>>, Unreachable> {
        let api = Api::<ConfigMap>::namespaced(self.connection.client(), NAMESPACE);
        let published = match api.get_opt("extension-apiserver-authentication").await {
            Ok(published) => published,
            Err(kube::Error::Api(status)) if status.code == 403 => {
                return Ok(Seen::Refused(Right {
                    verb: "get".into(),
                    resource: "configmaps".into(),
                    namespace: Some(NAMESPACE.into()),
                    for_what: "whether the API server trusts what is signed".into(),
                }));
            }
            Err(error) => return Err(self.connection.unreachable(&error)),
        };
        let pem = published.and_then(|map| map.data?.remove("client-ca-file"));
        Ok(Seen::Is(pem.map_or_else(Vec::new, |pem| read::certificates_from_pem(pem.as_bytes()).unwrap_or_default())))
    }

    async fn anonymous(&self) -> Result<u16, Unreachable> {
        let refuse = |error: kube::Error| self.connection.unreachable(&error);
        let client = self.connection.with(&Credentials::None).map_err(refuse)?;
        let path = "/apis/certificates.k8s.io/v1/certificatesigningrequests?limit=1";
        let request =
            http::Request::get(path).body(Vec::new()).map_err(|error| refuse(kube::Error::HttpError(error)))?;
        match client.request_text(request).await {
            Ok(_) => Ok(200),
            Err(kube::Error::Api(status)) => Ok(status.code),
            Err(error) => Err(refuse(error)),
        }
    }

    async fn reviews(&self, people: Vec<Person>) -> Result<Seen<Vec<Review>>, Unreachable> {
        let mut reviews = Vec::new();
        for person in people {
            let asked = Ability::ALL.map(|ability| self.may(&person, ability));
            let answers: Vec<Option<bool>> = stream::iter(asked).buffered(REVIEWS_AT_A_TIME).try_collect().await?;
            if answers.contains(&None) {
                return Ok(Seen::Refused(Right {
                    verb: "create".into(),
                    resource: "subjectaccessreviews.authorization.k8s.io".into(),
                    namespace: None,
                    for_what: "what nodes and those who bootstrap may do; a review stores nothing".into(),
                }));
            }
            let may = Ability::ALL.into_iter().zip(&answers);
            reviews.push(Review {
                may: may.filter(|(_, allowed)| **allowed == Some(true)).map(|(ability, _)| ability).collect(),
                who: person.who,
                user: person.user,
                groups: person.groups,
            });
        }
        Ok(Seen::Is(reviews))
    }

    /// None where we may not even ask.
    async fn may(&self, person: &Person, ability: Ability) -> Result<Option<bool>, Unreachable> {
        for any in ability.needs() {
            let mut allowed = false;
            for permission in *any {
                match self.is_allowed(person, *permission).await? {
                    Some(answer) => allowed = answer,
                    None => return Ok(None),
                }
                if allowed {
                    break;
                }
            }
            if !allowed {
                return Ok(Some(false));
            }
        }
        Ok(Some(true))
    }

    async fn is_allowed(&self, person: &Person, permission: Permission) -> Result<Option<bool>, Unreachable> {
        let api = Api::<SubjectAccessReview>::all(self.connection.client());
        match api.create(&PostParams::default(), &review(&person.user, &person.groups, permission)).await {
            Ok(answer) => Ok(Some(answer.status.as_ref().is_some_and(|status| status.allowed))),
            Err(kube::Error::Api(status)) if status.code == 403 => Ok(None),
            Err(error) => Err(self.connection.unreachable(&error)),
        }
    }

    /// Tries to reach every node through the API server, where that is allowed.
    async fn reached(&self, nodes: Seen<Vec<NodeFacts>>) -> Result<Seen<Vec<NodeFacts>>, Unreachable> {
        let Seen::Is(mut nodes) = nodes else {
            return Ok(nodes);
        };
        let names: Vec<String> = nodes.iter().map(|node| node.name.clone()).collect();
        if let Some(mut reached) = reach(self.connection, &names).await? {
            for node in &mut nodes {
                node.reached = reached.remove(&node.name);
            }
        }
        Ok(Seen::Is(nodes))
    }

    /// Looks at what every node presents on its kubelet's port.
    async fn served(&self, nodes: Seen<Vec<Node>>) -> Result<Seen<Vec<NodeFacts>>, Unreachable> {
        let nodes = match nodes {
            Seen::Is(nodes) => nodes,
            Seen::Refused(right) => return Ok(Seen::Refused(right)),
        };
        let deadline = Instant::now() + PROBES;
        let looks = nodes.into_iter().map(|node| async move {
            let mut facts = node_facts(&node);
            facts.served = timeout_at(deadline, probe(&node, &facts.addresses))
                .await
                .unwrap_or_else(|_| Served::Unreachable("there was no time to look".into()));
            facts
        });
        let seen = stream::iter(looks).buffered(PROBES_AT_A_TIME).collect();
        Ok(Seen::Is(seen.await))
    }
}

/// The question whether a user in these groups may do something.
pub fn review(user: &str, groups: &[String], permission: Permission) -> SubjectAccessReview {
    let asked = permission.attributes();
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let attributes = ResourceAttributes {
        group: some(asked.group),
        verb: some(asked.verb),
        resource: some(asked.resource),
        subresource: some(asked.subresource),
        name: some(asked.name),
        namespace: some(asked.namespace),
        ..Default::default()
    };
    let spec = SubjectAccessReviewSpec {
        user: Some(user.to_owned()),
        groups: Some(groups.to_vec()),
        resource_attributes: Some(attributes),
        ..Default::default()
    };
    SubjectAccessReview { spec, ..Default::default() }
}

fn map<T, U>(seen: &Seen<T>, change: impl FnOnce(&T) -> U) -> Seen<U> {
    match seen {
        Seen::Is(value) => Seen::Is(change(value)),
        Seen::Refused(right) => Seen::Refused(right.clone()),
    }
}

/// What each binding gives to each of its subjects, as far as it matters. A binding to a role that does not exist gives
/// nothing.
fn grants(
    roles: &[ClusterRole],
    local: &[Role],
    bindings: &[ClusterRoleBinding],
    locals: &[RoleBinding],
) -> Vec<Grant> {
    let of = |rules: &Option<Vec<PolicyRule>>| Permission::of_rules(rules.as_deref().unwrap_or_default());
    let wide: BTreeMap<String, BTreeSet<Permission>> =
        roles.iter().map(|role| (role.name_any(), of(&role.rules))).collect();
    let narrow: BTreeMap<String, BTreeSet<Permission>> =
        local.iter().map(|role| (role.name_any(), of(&role.rules))).collect();
    let none = BTreeSet::new();
    let mut grants = Vec::new();
    for binding in bindings {
        let permissions = wide.get(&binding.role_ref.name).unwrap_or(&none);
        let grant = (binding.name_any(), None, &binding.role_ref.name);
        grants.extend(granted(grant, permissions, binding.subjects.as_deref().unwrap_or_default()));
    }
    for binding in locals {
        let roles = if binding.role_ref.kind == "ClusterRole" { &wide } else { &narrow };
        let permissions = roles.get(&binding.role_ref.name).unwrap_or(&none).iter().copied();
        let permissions = permissions.filter(|permission| permission.is_of(NAMESPACE)).collect();
        let grant = (binding.name_any(), Some(NAMESPACE.to_owned()), &binding.role_ref.name);
        grants.extend(granted(grant, &permissions, binding.subjects.as_deref().unwrap_or_default()));
    }
    grants
}

fn granted(
    (binding, namespace, role): (String, Option<String>, &String),
    permissions: &BTreeSet<Permission>,
    subjects: &[RbacSubject],
) -> Vec<Grant> {
    if permissions.is_empty() {
        return Vec::new();
    }
    let grant = |subject: &RbacSubject| Grant {
        binding: binding.clone(),
        namespace: namespace.clone(),
        role: role.clone(),
        subject: Subject {
            kind: subject.kind.clone(),
            name: subject.name.clone(),
            namespace: subject
                .namespace
                .clone()
                .or_else(|| namespace.clone())
                .filter(|_| subject.kind == "ServiceAccount"),
        },
        permissions: permissions.clone(),
    };
    subjects.iter().map(grant).collect()
}

fn node_facts(node: &Node) -> NodeFacts {
    let status = node.status.clone().unwrap_or_default();
    let (mut host_names, mut addresses) = (Vec::new(), Vec::new());
    for address in status.addresses.unwrap_or_default() {
        match address.address.parse::<IpAddr>() {
            Ok(ip) if !addresses.contains(&ip) => addresses.push(ip),
            Ok(_) => {}
            Err(_) if !host_names.contains(&address.address) => host_names.push(address.address),
            Err(_) => {}
        }
    }
    let conditions = status.conditions.unwrap_or_default();
    let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready");
    let ready_since = ready.as_ref().and_then(|ready| ready.last_transition_time.as_ref()).map(|time| time.0);
    NodeFacts {
        name: node.name_any(),
        kubelet: status.node_info.map(|info| info.kubelet_version).unwrap_or_default(),
        created: node.metadata.creation_timestamp.as_ref().map(|time| time.0),
        ready: ready.map(|condition| condition.status),
        ready_since,
        host_names,
        addresses,
        served: Served::Unreachable("not looked at".into()),
        reached: None,
    }
}

/// The kubelet's port where nothing else is said.
const KUBELET_PORT: u16 = 10250;

/// The first of a node's addresses where there is a TLS server.
async fn probe(node: &Node, addresses: &[IpAddr]) -> Served {
    let port = node
        .status
        .as_ref()
        .and_then(|status| status.daemon_endpoints.as_ref()?.kubelet_endpoint.as_ref())
        .and_then(|endpoint| u16::try_from(endpoint.port).ok())
        .filter(|port| *port != 0)
        .unwrap_or(KUBELET_PORT);
    let mut last = Served::Unreachable("the Node has no IP address".into());
    for ip in addresses {
        let address = SocketAddr::new(*ip, port);
        let seen = match presented::once(&node.name_any(), address).await {
            Ok(seen) => seen,
            Err(error) => return Served::Unreachable(error.to_string()),
        };
        let refused = seen.refused.unwrap_or_default();
        if let Some(leaf) = seen.chain.into_iter().next() {
            return Served::Certificate(Box::new(leaf));
        }
        if let Some(alert) = refused.strip_prefix("tls alert: ") {
            return Served::Alert(alert.to_owned());
        }
        last = Served::Unreachable(format!("{address}: {refused}"));
    }
    last
}
