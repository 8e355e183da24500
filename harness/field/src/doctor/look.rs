//! Looking at a cluster, without changing anything in it. SubjectAccessReviews are asked, which are never stored.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Secret as SecretObject};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{Api, ListParams, PostParams, ResourceExt};
use kube::core::Resource;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout, timeout_at};

use super::snapshot::{Ability, Grant, NodeFacts, Review, Right, Seen, Served, Snapshot, Subject, TokenFacts, Who};
use crate::connection::{Connection, Unreachable, is_bootstrap_token};
use tlsboot_core::check::Role;
use tlsboot_core::history::event::{Change, CsrEvent, NODE_USER_PREFIX, NODES_GROUP};
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
/// Of those whose CSRs wait there may be hundreds, all alike.
const REQUESTERS: usize = 20;
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
        .filter(|grant| grant.abilities.contains(&Ability::NodeClient))
        .filter(|grant| grant.subject.name.starts_with("system:bootstrappers:"))
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
        let (grants, csrs, tokens, nodes, client_cas, anonymous) = tokio::try_join!(
            self.grants(),
            self.csrs(),
            self.tokens(),
            self.nodes(),
            self.client_cas(),
            self.anonymous(),
        )?;
        let taken = Timestamp::now();
        let people = people(&grants, &tokens, &nodes, &csrs, taken);
        let (reviews, nodes) = tokio::try_join!(self.reviews(people), self.served(nodes))?;
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
        let (roles, bindings) = tokio::try_join!(
            self.list::<ClusterRole>(Api::all(client.clone()), ListParams::default(), what),
            self.list::<ClusterRoleBinding>(Api::all(client), ListParams::default(), what),
        )?;
        Ok(match (roles, bindings) {
            (Seen::Is(roles), Seen::Is(bindings)) => Seen::Is(grants(&roles, &bindings)),
            (Seen::Refused(right), _) | (_, Seen::Refused(right)) => Seen::Refused(right),
        })
    }

    async fn csrs(&self) -> Result<Seen<Vec<CsrEvent>>, Unreachable> {
        let api = Api::<CertificateSigningRequest>::all(self.connection.client());
        let what = "who approves and signs, for how long, and when nodes renew";
        let all = self.list(api, ListParams::default(), what).await?;
        let kubelets = [Role::Client, Role::Serving].map(Role::signer_name);
        Ok(map(all, |csrs| {
            csrs.iter()
                .filter(|csr| kubelets.contains(&csr.spec.signer_name.as_str()))
                .map(|csr| csr_event(csr, Change::Added))
                .collect()
        }))
    }

    async fn tokens(&self) -> Result<Seen<Vec<TokenFacts>>, Unreachable> {
        let api = Api::<SecretObject>::namespaced(self.connection.client(), NAMESPACE);
        let params = ListParams::default().fields("type=bootstrap.kubernetes.io/token");
        let what = "bootstrap tokens and when they expire; their values are not kept";
        let all = self.list(api, params, what).await?;
        Ok(match all {
            Seen::Is(secrets) => Seen::Is(secrets.iter().filter_map(token).collect()),
            Seen::Refused(right) => Seen::Refused(Right { namespace: Some(NAMESPACE.into()), ..right }),
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
                groups: person.groups,
            });
        }
        Ok(Seen::Is(reviews))
    }

    /// None where we may not even ask.
    async fn may(&self, person: &Person, ability: Ability) -> Result<Option<bool>, Unreachable> {
        let api = Api::<SubjectAccessReview>::all(self.connection.client());
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        for need in ability.needs() {
            let review = SubjectAccessReview {
                spec: SubjectAccessReviewSpec {
                    user: Some(person.user.clone()),
                    groups: Some(person.groups.clone()),
                    resource_attributes: Some(ResourceAttributes {
                        group: some(need.group),
                        verb: some(need.verb),
                        resource: some(need.resource),
                        subresource: some(need.subresource),
                        name: some(need.name),
                        ..Default::default()
                    }),
                    ..Default::default()
                },
                ..Default::default()
            };
            match api.create(&PostParams::default(), &review).await {
                Ok(answer) if answer.status.as_ref().is_some_and(|status| status.allowed) => {}
                Ok(_) => return Ok(Some(false)),
                Err(kube::Error::Api(status)) if status.code == 403 => return Ok(None),
                Err(error) => return Err(self.connection.unreachable(&error)),
            }
        }
        Ok(Some(true))
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

const NAMESPACE: &str = "kube-system";

fn map<T, U>(seen: Seen<T>, change: impl FnOnce(T) -> U) -> Seen<U> {
    match seen {
        Seen::Is(value) => Seen::Is(change(value)),
        Seen::Refused(right) => Seen::Refused(right),
    }
}

/// What each binding gives to each of its subjects, as far as it matters.
fn grants(roles: &[ClusterRole], bindings: &[ClusterRoleBinding]) -> Vec<Grant> {
    let abilities: BTreeMap<String, BTreeSet<Ability>> = roles
        .iter()
        .map(|role| {
            let rules = role.rules.as_deref().unwrap_or_default();
            (role.name_any(), Ability::of_rules(rules))
        })
        .collect();
    let mut grants = Vec::new();
    for binding in bindings {
        let role = &binding.role_ref.name;
        let Some(abilities) = abilities.get(role).filter(|some| !some.is_empty()) else {
            continue;
        };
        for subject in binding.subjects.iter().flatten() {
            grants.push(Grant {
                binding: binding.name_any(),
                role: role.clone(),
                subject: Subject {
                    kind: subject.kind.clone(),
                    name: subject.name.clone(),
                    namespace: subject.namespace.clone(),
                },
                abilities: abilities.clone(),
            });
        }
    }
    grants
}

/// What a bootstrap token's Secret says; none for one that is not for authentication. Its value is looked at for its form only.
fn token(secret: &SecretObject) -> Option<TokenFacts> {
    let data = secret.data.clone().unwrap_or_default();
    let text = |key: &str| {
        let bytes = data.get(key).map(|value| value.0.as_slice());
        bytes.map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned())
    };
    let name = secret.name_any();
    let id = name.strip_prefix("bootstrap-token-").unwrap_or(&name);
    let says = |key: &str| text(key).as_deref() == Some("true");
    if !says("usage-bootstrap-authentication") && says("usage-bootstrap-signing") {
        return None;
    }
    let expiration = text("expiration");
    let expires: Option<Timestamp> = expiration.as_ref().and_then(|text| text.parse().ok());
    let extra = text("auth-extra-groups").unwrap_or_default();
    let extra: Vec<&str> = extra.split(',').filter(|group| !group.is_empty()).collect();
    let defect = if text("token-id").as_deref() != Some(id) {
        Some("`token-id` is not what the Secret's name says".to_owned())
    } else if !is_bootstrap_token(id, &text("token-secret").unwrap_or_default()) {
        Some("the token has not the form `[a-z0-9]{6}.[a-z0-9]{16}`".to_owned())
    } else if !says("usage-bootstrap-authentication") {
        Some("`usage-bootstrap-authentication` is not \"true\"".to_owned())
    } else if expiration.is_some() && expires.is_none() {
        Some("`expiration` is no time".to_owned())
    } else {
        let foreign = extra.iter().find(|group| !group.starts_with("system:bootstrappers:"));
        foreign.map(|group| format!("the extra group {group} is not one of `system:bootstrappers:…`"))
    };
    let groups: BTreeSet<String> = std::iter::once("system:bootstrappers").chain(extra).map(str::to_owned).collect();
    Some(TokenFacts { id: id.to_owned(), expires, groups: groups.into_iter().collect(), defect })
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
    NodeFacts {
        name: node.name_any(),
        kubelet: status.node_info.map(|info| info.kubelet_version).unwrap_or_default(),
        ready: ready.map_or_else(|| "Unknown".into(), |condition| condition.status),
        host_names,
        addresses,
        served: Served::Unreachable("not looked at".into()),
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

/// Whose rights are asked for.
struct Person {
    who: Who,
    user: String,
    groups: Vec<String>,
}

/// Nobody, anybody, a node, and everyone who bootstraps or waits.
fn people(
    grants: &Seen<Vec<Grant>>,
    tokens: &Seen<Vec<TokenFacts>>,
    nodes: &Seen<Vec<Node>>,
    csrs: &Seen<Vec<CsrEvent>>,
    now: Timestamp,
) -> Vec<Person> {
    const AUTHENTICATED: &str = "system:authenticated";
    let person = |who, user: &str, groups: &[&str]| Person {
        who,
        user: user.to_owned(),
        groups: groups.iter().map(|&group| group.to_owned()).collect(),
    };
    // The node authorizer goes by name and group; it may be any name, but a real one shows real bindings too.
    let node = nodes.all().first().map_or_else(|| "tlsboot".to_owned(), ResourceExt::name_any);
    let user = format!("{NODE_USER_PREFIX}{node}");
    let mut people = vec![
        person(Who::Anonymous, "system:anonymous", &["system:unauthenticated"]),
        person(Who::Authenticated, NOBODY, &[AUTHENTICATED]),
        person(Who::Node(node), &user, &[NODES_GROUP, AUTHENTICATED]),
    ];
    for token in tokens.all().iter().filter(|token| token.is_usable(now)) {
        let groups = token.groups.iter().map(String::as_str);
        let groups: Vec<&str> = groups.chain([AUTHENTICATED]).collect();
        let user = format!("system:bootstrap:{}", token.id);
        people.push(person(Who::Token(token.id.clone()), &user, &groups));
    }
    let bound: BTreeSet<&Subject> =
        grants.all().iter().filter(|grant| is_of_bootstrapping(grant)).map(|grant| &grant.subject).collect();
    for subject in bound {
        let (user, mut groups) = match subject.kind.as_str() {
            "Group" => (NOBODY, vec![subject.name.as_str()]),
            _ => (subject.name.as_str(), Vec::new()),
        };
        if subject.name.starts_with("system:bootstrappers:") {
            // Whoever has it by a token has this one too (catalogue A-09).
            groups.push("system:bootstrappers");
        }
        groups.push(AUTHENTICATED);
        people.push(person(Who::Bound(subject.clone()), user, &groups));
    }
    let waiting: BTreeMap<&str, &CsrEvent> =
        csrs.all().iter().filter(|csr| csr.conditions.is_empty()).map(|csr| (csr.username.as_str(), csr)).collect();
    for (user, csr) in waiting.into_iter().take(REQUESTERS) {
        let groups: Vec<&str> = csr.groups.iter().map(String::as_str).collect();
        people.push(person(Who::Requester(user.to_owned()), user, &groups));
    }
    people
}

/// A user that nothing is bound to.
const NOBODY: &str = "tlsboot:nobody";

/// Whether a grant is there for those who bootstrap, and not for administrators, nodes, controllers or everybody.
fn is_of_bootstrapping(grant: &Grant) -> bool {
    let others = ["system:masters", NODES_GROUP, "system:authenticated", "system:unauthenticated", "system:anonymous"];
    grant.abilities.contains(&Ability::Ask)
        && !grant.abilities.contains(&Ability::ApproveClient)
        && grant.subject.kind != "ServiceAccount"
        && !others.contains(&grant.subject.name.as_str())
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn approving_takes_both_rights_for_this_signer() {
        let approver = |signer: &str| {
            role(json!([
                {"apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests/approval"], "verbs": ["update"]},
                {"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": [signer], "verbs": ["approve"]},
            ]))
        };
        let serving = approver("kubernetes.io/kubelet-serving");
        assert_eq!(serving, BTreeSet::from([Ability::ApproveServing]));
        let both = approver("kubernetes.io/*");
        assert_eq!(both, BTreeSet::from([Ability::ApproveClient, Ability::ApproveServing]));
        assert!(approver("example.com/*").is_empty());
    }

    fn token_of(data: Value) -> Option<TokenFacts> {
        let secret = json!({"metadata": {"name": "bootstrap-token-abcdef"}, "data": data.as_object().unwrap().iter().map(|(key, value)| {
            use base64::{Engine, engine::general_purpose::STANDARD};
            (key.clone(), json!(STANDARD.encode(value.as_str().unwrap())))
        }).collect::<serde_json::Map<_, _>>()});
        token(&serde_json::from_value(secret).unwrap())
    }

    fn good() -> Value {
        json!({"token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true"})
    }

    #[test]
    fn a_tokens_value_is_not_kept() {
        let mut data = good();
        data["expiration"] = json!("2026-01-01T00:00:00Z");
        data["auth-extra-groups"] = json!("system:bootstrappers:a");
        let facts = token_of(data).unwrap();
        assert!(!format!("{facts:?}").contains("0123456789abcdef"));
        assert_eq!(facts.defect, None);
        assert_eq!(facts.groups, ["system:bootstrappers", "system:bootstrappers:a"]);
        assert_eq!(facts.expires.unwrap().to_string(), "2026-01-01T00:00:00Z");
    }

    #[rstest::rstest]
    #[case("token-id", "zzzzzz", "token-id")]
    #[case("token-secret", "SHOUTING", "form")]
    #[case("usage-bootstrap-authentication", "yes", "usage-bootstrap-authentication")]
    #[case("expiration", "tomorrow", "no time")]
    #[case("auth-extra-groups", "system:masters", "system:masters")]
    fn each_defect_is_named(#[case] key: &str, #[case] value: &str, #[case] word: &str) {
        let mut data = good();
        data[key] = json!(value);
        let defect = token_of(data).unwrap().defect.unwrap();
        assert!(defect.contains(word), "{defect}");
    }

    #[test]
    fn a_token_for_signing_only_is_not_one_to_bootstrap_with() {
        let mut data = good();
        data["usage-bootstrap-authentication"] = json!("false");
        data["usage-bootstrap-signing"] = json!("true");
        assert_eq!(token_of(data), None);
    }
}
