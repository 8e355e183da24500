//! The first law: every remedy, carried out, makes its finding go away and causes no other. On generated clusters, and
//! with no kind of finding excused: a finding without remedies promises nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use rstest::rstest;
use tlsboot_core::check::Role;
use tlsboot_core::check::rules::Rules;
use tlsboot_core::history::event::{Change, CsrEvent, NODE_USER_PREFIX, NODES_GROUP};
use tlsboot_core::history::facts::{CertificateFacts, Name};
use tlsboot_core::scenario::BootstrapRole;
use tlsboot_core::version::Version;
use tlsboot_core::x509::{AltName, node_subject, read};
use tlsboot_engine::pki::{Authority, RequestBuilder, Validity};

use super::judge::{condition, is, is_by_node, unsignable};
use super::tests::{DAY, condition as decided, of_pem as leaf};
use super::{Finding, diagnose};
use crate::doctor::people::people;
use crate::doctor::remedy::{Remedy, binding_name, kubeadm_group};
use crate::doctor::rights::{
    AUTHENTICATED, Ability, BOOTSTRAPPERS, Grant, Permission, Review, SERVICE_ACCOUNTS, Subject, UNAUTHENTICATED, Who,
    abilities, groups_of,
};
use crate::doctor::snapshot::{ClusterInfo, NodeFacts, Reached, Right, Seen, Served, Snapshot, TokenFacts};

const ACCOUNT: &str = "system:serviceaccount:infra:boot";

/// A cluster, with what a snapshot does not show: which controllers run, and with which CA.
#[derive(Clone)]
struct World {
    taken: Timestamp,
    grants: Vec<Grant>,
    csrs: Vec<CsrEvent>,
    tokens: Vec<TokenFacts>,
    nodes: Vec<NodeFacts>,
    client_cas: Vec<CertificateFacts>,
    ca: CertificateFacts,
    trusted: &'static Authority,
    foreign: &'static Authority,
    signs_with_foreign: bool,
    signs_serving_with_foreign: bool,
    approver: bool,
    signer: bool,
    node_authorizer: bool,
    cluster_info: Option<ClusterInfo>,
    refused: BTreeSet<usize>,
    created: usize,
}

/// The signer's CA, and another one.
static CAS: LazyLock<(Authority, Authority)> = LazyLock::new(|| {
    let ca = |name| Authority::new(name, Validity::for_next(DAY * 3650)).unwrap();
    (ca("kubernetes"), ca("foreign"))
});

/// What the built-in roles allow, and cluster-admin.
fn permissions(role: &str) -> BTreeSet<Permission> {
    match role {
        "system:node-bootstrapper" => {
            BTreeSet::from([Permission::CreateCsrs, Permission::ListCsrs, Permission::WatchCsrs])
        }
        "cluster-admin" => Permission::ALL.into_iter().collect(),
        "secret-reader" => BTreeSet::from([Permission::ListSecrets]),
        "asker" => BTreeSet::from([Permission::CreateCsrs]),
        other if other.ends_with(":nodeclient") => BTreeSet::from([Permission::CreateNodeClient]),
        _ => BTreeSet::from([Permission::CreateSelfNodeClient]),
    }
}

fn grant(binding: &str, role: &str, subject: Subject) -> Grant {
    Grant { binding: binding.into(), namespace: None, role: role.into(), permissions: permissions(role), subject }
}

impl World {
    /// As kubeadm makes it, with some nodes that serve signed certificates.
    fn healthy(nodes: usize) -> Self {
        let taken = Timestamp::now();
        let (trusted, foreign) = &*CAS;
        let group = kubeadm_group();
        let [bootstrapper, client, own] = BootstrapRole::ALL.map(BootstrapRole::cluster_role);
        let mut world = Self {
            taken,
            grants: vec![
                grant("kubeadm:kubelet-bootstrap", bootstrapper, Subject::group(&group)),
                grant("kubeadm:node-autoapprove-bootstrap", client, Subject::group(&group)),
                grant("kubeadm:node-autoapprove-certificate-rotation", own, Subject::group(NODES_GROUP)),
            ],
            csrs: Vec::new(),
            tokens: vec![token("abcdef", &[&group])],
            nodes: Vec::new(),
            client_cas: vec![leaf(trusted.certificate_pem())],
            ca: leaf(trusted.certificate_pem()),
            trusted,
            foreign,
            signs_with_foreign: false,
            signs_serving_with_foreign: false,
            approver: true,
            signer: true,
            node_authorizer: true,
            cluster_info: None,
            refused: BTreeSet::new(),
            created: 0,
        };
        for index in 0..nodes {
            let name = format!("n{index}");
            let address = [192, 0, 2, u8::try_from(index).unwrap()].into();
            let served = world.serving_leaf(&name, &[AltName::Dns(name.clone()), AltName::Ip(address)], false);
            world.nodes.push(NodeFacts {
                host_names: vec![name.clone()],
                name,
                kubelet: "v1.37.2".into(),
                created: Some(taken - SignedDuration::from_hours(50)),
                ready: Some("True".into()),
                ready_since: Some(taken - SignedDuration::from_hours(40)),
                addresses: vec![address],
                served: Served::Certificate(Box::new(served)),
                reached: Some(reached(200, "")),
            });
        }
        world
    }

    fn serving_leaf(&self, node: &str, names: &[AltName], foreign: bool) -> CertificateFacts {
        let ca = if foreign { self.foreign } else { self.trusted };
        let name = format!("{NODE_USER_PREFIX}{node}");
        leaf(&ca.issue_server(&name, names, Validity::for_next(DAY * 365)).unwrap().certificate_pem)
    }

    fn good_cluster_info(&self, signatures: BTreeMap<String, bool>) -> ClusterInfo {
        let names = [AltName::Ip([192, 0, 2, 1].into())];
        let leaf = self.trusted.issue_server("kube-apiserver", &names, Validity::for_next(DAY)).unwrap();
        ClusterInfo {
            server: "https://192.0.2.1:6443".into(),
            cas: vec![self.ca.clone()],
            answers: Served::Certificate(Box::new(self::leaf(&leaf.certificate_pem))),
            chain: Vec::new(),
            anonymous: 200,
            signatures,
        }
    }

    fn view<T: Clone>(&self, index: usize, all: &[T]) -> Seen<Vec<T>> {
        if !self.refused.contains(&index) {
            return Seen::Is(all.to_vec());
        }
        let (verb, resource) = ("list".into(), format!("kind-{index}"));
        Seen::Refused(Right { verb, resource, namespace: None, for_what: String::new() })
    }

    /// What RBAC and the node authorizer say.
    fn may(&self, user: &str, groups: &[String]) -> BTreeSet<Ability> {
        let mut may = abilities(&self.grants, user, groups);
        let is_node = user.starts_with(NODE_USER_PREFIX) && groups.iter().any(|group| group == NODES_GROUP);
        if self.node_authorizer && is_node {
            may.extend([Ability::Ask, Ability::Watch]);
        }
        may
    }

    fn snapshot(&self) -> Snapshot {
        let (grants, csrs) = (self.view(0, &self.grants), self.view(1, &self.csrs));
        let (tokens, nodes) = (self.view(2, &self.tokens), self.view(3, &self.nodes));
        let names = nodes.all().iter().map(|node| node.name.clone());
        let people = people(grants.all(), tokens.all(), names, csrs.all(), self.taken);
        let reviews: Vec<Review> = people
            .into_iter()
            .map(|person| Review {
                may: self.may(&person.user, &person.groups),
                who: person.who,
                user: person.user,
                groups: person.groups,
            })
            .collect();
        Snapshot {
            taken: self.taken,
            server: "https://192.0.2.1:6443".into(),
            version: Some(Version::new(1, 37, 2)),
            anonymous: 403,
            reviews: self.view(4, &reviews),
            client_cas: self.view(5, &self.client_cas),
            cluster_info: match self.view(6, &[()]) {
                Seen::Is(_) => Seen::Is(self.cluster_info.clone()),
                Seen::Refused(right) => Seen::Refused(right),
            },
            grants,
            csrs,
            tokens,
            nodes,
        }
    }

    fn csr(&mut self, role: Role, user: &str, groups: &[&str], request: RequestBuilder, age: i64) -> &mut CsrEvent {
        self.created += 1;
        let any = Version::new(1, 37, 0);
        self.csrs.push(CsrEvent {
            change: Change::Added,
            name: format!("csr-{}", self.created),
            uid: String::new(),
            resource_version: String::new(),
            labels: Default::default(),
            created: self.taken - SignedDuration::from_secs(age),
            signer_name: role.signer_name().into(),
            username: user.into(),
            user_uid: String::new(),
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
            extra: Default::default(),
            usages: Rules::new(any, any).usages(role),
            expiration_seconds: None,
            request: read::request(request.build().unwrap().0.as_bytes()).unwrap(),
            conditions: Vec::new(),
            certificates: Vec::new(),
        });
        self.csrs.last_mut().unwrap()
    }

    /// A node's own CSR.
    fn own_csr(&mut self, role: Role, index: usize, age: i64) -> &mut CsrEvent {
        let node = self.nodes[index].clone();
        let names = node.host_names.iter().cloned().map(AltName::Dns);
        let names: Vec<AltName> = names.chain(node.addresses.iter().copied().map(AltName::Ip)).collect();
        let request = match role {
            Role::Client => RequestBuilder::node(&node.name),
            Role::Serving => RequestBuilder::node(&node.name).alt_names(names),
        };
        let user = format!("{NODE_USER_PREFIX}{}", node.name);
        self.csr(role, &user, &[NODES_GROUP, AUTHENTICATED], request, age)
    }

    /// What the controllers do, and the kubelets.
    fn settle(&mut self) {
        for index in 0..self.csrs.len() {
            let csr = self.csrs[index].clone();
            let name = csr.request.subject.common_name.clone().unwrap_or_default();
            let may = self.may(&csr.username, &csr.groups);
            let authorized =
                may.contains(&Ability::NodeClient) || may.contains(&Ability::SelfNodeClient) && name == csr.username;
            let odd = unsignable(&csr, Some(Version::new(1, 37, 2))).is_some();
            if self.approver && is(&csr, Role::Client) && csr.conditions.is_empty() && authorized && !odd {
                self.csrs[index].conditions.push(decided("Approved", "AutoApproved"));
            }
            let csr = self.csrs[index].clone();
            let kubelets = is(&csr, Role::Client) || is(&csr, Role::Serving);
            let open = condition(&csr, "Approved").is_some() && condition(&csr, "Failed").is_none();
            if !self.signer || !kubelets || !open || !csr.certificates.is_empty() {
                continue;
            }
            if odd {
                self.csrs[index].conditions.push(decided("Failed", "SignerValidationFailure"));
                continue;
            }
            let node = name.trim_start_matches(NODE_USER_PREFIX).to_owned();
            let issued = if is(&csr, Role::Client) {
                let ca = if self.signs_with_foreign { self.foreign } else { self.trusted };
                leaf(&ca.issue_client(&name, &[NODES_GROUP], Validity::for_next(DAY * 365)).unwrap().certificate_pem)
            } else {
                let dns = csr.request.dns.iter().cloned().map(AltName::Dns);
                let names: Vec<AltName> = dns.chain(csr.request.ips.iter().copied().map(AltName::Ip)).collect();
                self.serving_leaf(&node, &names, self.signs_serving_with_foreign)
            };
            self.csrs[index].certificates = vec![issued.clone()];
            let own = is_by_node(&csr) && csr.username == name && is(&csr, Role::Serving);
            if let Some(known) = self.nodes.iter_mut().find(|known| own && known.name == node) {
                known.served = Served::Certificate(Box::new(issued));
            }
        }
    }

    fn decide(&mut self, csrs: &[String], kind: &str, reason: &str) {
        for csr in self.csrs.iter_mut().filter(|csr| csrs.contains(&csr.name)) {
            // The API server refuses a second decision.
            if csr.conditions.is_empty() {
                csr.conditions.push(decided(kind, reason));
            }
        }
    }

    /// The way to these nodes is clear, if it was not for one of these reasons.
    fn clear(&mut self, nodes: Option<&String>, reasons: &[&str]) {
        for node in self.nodes.iter_mut().filter(|node| nodes.is_none_or(|name| *name == node.name)) {
            let is_cleared = |answer: &Reached| reasons.iter().any(|reason| answer.message.contains(reason));
            if node.reached.as_ref().is_some_and(is_cleared) {
                node.reached = Some(reached(200, ""));
            }
        }
    }

    fn carry_out(&mut self, remedy: &Remedy) {
        match remedy {
            Remedy::RenewServing { node, .. } | Remedy::RenewFile { node } => {
                self.clear(Some(node), &["valid for", "IP SANs", "not yet valid"]);
            }
            Remedy::TrustServingCa => self.clear(None, &["unknown authority"]),
            Remedy::RenewKubeletClient => self.clear(None, &["Unauthorized"]),
            Remedy::BindKubeletApi { user } => self.clear(None, &[&format!("user={user},")]),
            Remedy::PreferAddresses => self.clear(None, &["no such host"]),
            _ => {}
        }
        match remedy {
            Remedy::TrustServingCa
            | Remedy::RenewKubeletClient
            | Remedy::BindKubeletApi { .. }
            | Remedy::PreferAddresses => {}
            Remedy::Bind { role, to } => {
                let name = binding_name(*role, to);
                assert!(self.grants.iter().all(|grant| grant.binding != name), "{name} exists already");
                self.grants.push(grant(&name, role.cluster_role(), to.clone()));
            }
            Remedy::Unbind { binding, namespace, subject } => self
                .grants
                .retain(|grant| (&grant.binding, &grant.namespace, &grant.subject) != (binding, namespace, subject)),
            Remedy::SetTokenGroups { id, groups } => {
                let token = self.tokens.iter_mut().find(|token| token.id == *id).unwrap();
                token.groups = std::iter::once(BOOTSTRAPPERS.to_owned()).chain(groups.iter().cloned()).collect();
            }
            Remedy::CreateToken { groups } => {
                let kubeadm = kubeadm_group();
                let mut groups: Vec<&str> = groups.iter().map(String::as_str).collect();
                if groups.is_empty() {
                    groups.push(&kubeadm);
                }
                let new = token("newone", &groups);
                self.tokens.push(new);
            }
            Remedy::DeleteTokens { ids } => self.tokens.retain(|token| !ids.contains(&token.id)),
            Remedy::Approve { csrs } => self.decide(csrs, "Approved", "KubectlApprove"),
            Remedy::Deny { csrs } => self.decide(csrs, "Denied", "KubectlDeny"),
            Remedy::DeleteCsrs { csrs } => self.csrs.retain(|csr| !csrs.contains(&csr.name)),
            Remedy::StartController { name: "csrapproving" } => self.approver = true,
            Remedy::StartController { name: "csrsigning" } => self.signer = true,
            Remedy::StartController { .. } => {
                let tokens: Vec<String> = self.tokens.iter().map(|token| token.id.clone()).collect();
                let info = self.cluster_info.as_mut().unwrap();
                info.signatures = tokens.into_iter().map(|id| (id, true)).collect();
            }
            // bootstrapsigner runs where it has signed something.
            Remedy::WriteClusterInfo => {
                let signatures = self.cluster_info.take().map(|info| info.signatures);
                let all = self.tokens.iter().map(|token| (token.id.clone(), true)).collect();
                self.cluster_info = Some(self.good_cluster_info(signatures.unwrap_or(all)));
            }
            Remedy::TrustSigningCa => self.client_cas.push(leaf(self.foreign.certificate_pem())),
            Remedy::ReplaceCa => {
                for ca in &mut self.client_cas {
                    ca.not_after = self.taken + SignedDuration::from_hours(24 * 3650);
                }
            }
            Remedy::NodeAuthorizer => self.node_authorizer = true,
            Remedy::RenewClient { node } => {
                let index = self.nodes.iter().position(|known| known.name == *node).unwrap();
                self.own_csr(Role::Client, index, 0);
            }
            // An agent renews it alone.
            Remedy::RenewServing { node, service } if *service != "kubelet" => {
                let index = self.nodes.iter().position(|known| known.name == *node).unwrap();
                let names = self.nodes[index].addresses.iter().copied().map(AltName::Ip).collect::<Vec<_>>();
                let mut renewed = self.serving_leaf(node, &names, false);
                if let Served::Certificate(before) = &self.nodes[index].served {
                    keep_issuer(&mut renewed, before);
                }
                self.nodes[index].served = Served::Certificate(Box::new(renewed));
            }
            Remedy::RenewServing { node, .. } => {
                let index = self.nodes.iter().position(|known| known.name == *node).unwrap();
                let csr = self.own_csr(Role::Serving, index, 0);
                csr.conditions.push(decided("Approved", "KubectlApprove"));
            }
            Remedy::RenewSelfSigned { node } | Remedy::RenewFile { node } | Remedy::SetClock { node } => {
                let index = self.nodes.iter().position(|known| known.name == *node).unwrap();
                let before = self.nodes[index].served.clone();
                let host = self.nodes[index].clone();
                let names = host.host_names.iter().cloned().map(AltName::Dns);
                let names: Vec<AltName> = names.chain(host.addresses.iter().copied().map(AltName::Ip)).collect();
                let mut renewed = self.serving_leaf(node, &names, false);
                if let Served::Certificate(before) = before {
                    renewed.subject = before.subject.clone();
                    keep_issuer(&mut renewed, &before);
                    if matches!(remedy, Remedy::RenewFile { .. }) {
                        renewed.subject.common_name = Some(node.clone());
                    }
                }
                self.nodes[index].served = Served::Certificate(Box::new(renewed));
            }
        }
        self.settle();
    }
}

fn keep_issuer(renewed: &mut CertificateFacts, before: &CertificateFacts) {
    (renewed.issuer, renewed.authority_key_id) = (before.issuer.clone(), before.authority_key_id.clone());
}

fn reached(code: u16, message: &str) -> Reached {
    Reached { code, message: message.into() }
}

fn token(id: &str, groups: &[&str]) -> TokenFacts {
    TokenFacts {
        id: id.into(),
        expires: Some(Timestamp::now() + SignedDuration::from_hours(24)),
        groups: std::iter::once(BOOTSTRAPPERS).chain(groups.iter().copied()).map(str::to_owned).collect(),
        authenticates: true,
        signs: false,
        defect: None,
    }
}

/// Something that is not as it should be; `pick` chooses among its forms.
type Fault = fn(&mut World, usize);

const FAULTS: &[Fault] = &[
    // A binding is missing.
    |world, pick| {
        let index = pick % world.grants.len().max(1);
        if index < world.grants.len() {
            world.grants.remove(index);
        }
    },
    // A binding too many.
    |world, pick| {
        let [bootstrapper, client, own] = BootstrapRole::ALL.map(BootstrapRole::cluster_role);
        let roles = [bootstrapper, client, own, "cluster-admin", "secret-reader", "asker"];
        let subjects = [
            Subject::group(UNAUTHENTICATED),
            Subject::group(AUTHENTICATED),
            Subject::group(NODES_GROUP),
            Subject::group(BOOTSTRAPPERS),
            Subject::group(&kubeadm_group()),
            Subject::group("system:bootstrappers:other"),
            Subject::group(SERVICE_ACCOUNTS),
            Subject::group("system:serviceaccounts:infra"),
            Subject::user(ACCOUNT),
            Subject::user("kubelet-bootstrap"),
        ];
        let subject = subjects[pick / roles.len() % subjects.len()].clone();
        let name = format!("extra-{}", world.grants.len());
        world.grants.push(grant(&name, roles[pick % roles.len()], subject));
    },
    // A binding has another subject.
    |world, pick| {
        let Some(mut other) = world.grants.last().cloned() else {
            return;
        };
        let names = [UNAUTHENTICATED, AUTHENTICATED, NODES_GROUP, BOOTSTRAPPERS, &kubeadm_group(), SERVICE_ACCOUNTS];
        other.subject = Subject::group(names[pick % names.len()]);
        if !world.grants.contains(&other) {
            world.grants.push(other);
        }
    },
    // A service account bootstraps.
    |world, _| {
        let [bootstrapper, client, _] = BootstrapRole::ALL.map(BootstrapRole::cluster_role);
        world.grants.push(grant("sa-bootstrapper", bootstrapper, Subject::user(ACCOUNT)));
        world.grants.push(grant("sa-client", client, Subject::user(ACCOUNT)));
    },
    // Tokens.
    |world, pick| {
        let taken = world.taken;
        match pick % 7 {
            0 => world.tokens.clear(),
            1 => world.tokens[0..]
                .iter_mut()
                .for_each(|token| token.expires = Some(taken - SignedDuration::from_hours(1))),
            2 => world.tokens.iter_mut().for_each(|token| token.defect = Some("broken".into())),
            3 => world.tokens.push(TokenFacts { defect: Some("broken".into()), ..token("defect", &[]) }),
            4 => world.tokens.push(token("nogrps", &[])),
            5 => world.tokens.push(TokenFacts { expires: None, ..token("others", &["system:bootstrappers:other"]) }),
            _ => world.tokens.push(TokenFacts { authenticates: false, signs: true, ..token("signer", &[]) }),
        }
        // A token is a Secret that is named by its id.
        let mut ids = BTreeSet::new();
        world.tokens.retain(|token| ids.insert(token.id.clone()));
    },
    // A CSR, as it should be or not, by anyone, decided or not.
    |world, pick| {
        let kubeadm = kubeadm_group();
        let account = groups_of(ACCOUNT);
        let account: Vec<&str> = account.iter().map(String::as_str).collect();
        let requesters: [(&str, &[&str]); 7] = [
            ("system:bootstrap:abcdef", &[BOOTSTRAPPERS, &kubeadm, AUTHENTICATED]),
            ("system:bootstrap:nogrps", &[BOOTSTRAPPERS, AUTHENTICATED]),
            (ACCOUNT, &account),
            ("system:node:n0", &[NODES_GROUP, AUTHENTICATED]),
            ("system:node:n9", &[NODES_GROUP, AUTHENTICATED]),
            ("system:node:n0", &[AUTHENTICATED]),
            ("alice", &[AUTHENTICATED]),
        ];
        let mut rest = pick;
        let mut next = |count: usize| {
            let chosen = rest % count;
            rest /= count;
            chosen
        };
        let (user, groups) = requesters[next(requesters.len())];
        let role = [Role::Client, Role::Serving][next(2)];
        let node = ["n0", "n8", "n9"][next(3)];
        let names = [
            Vec::new(),
            vec![AltName::Dns(node.into())],
            vec![AltName::Dns("www.example.com".into())],
            vec![AltName::Ip([192, 0, 2, 0].into()), AltName::Dns(node.to_uppercase())],
            vec![AltName::Ip([198, 51, 100, 1].into())],
        ];
        let names = names[next(names.len())].clone();
        let subject = match next(4) {
            0 => Name { organizations: vec!["system:masters".into()], ..node_subject(node) },
            _ => node_subject(node),
        };
        let age = [3, 60, 3000][next(3)];
        let decision = next(4);
        let signer = next(5);
        let csr = world.csr(role, user, groups, RequestBuilder::new(subject).alt_names(names), age);
        match decision {
            0 => csr.conditions.push(decided("Approved", "ByRogue")),
            1 => csr.conditions.push(decided("Denied", "ByApprover")),
            _ => {}
        }
        if signer == 0 {
            csr.signer_name = "kubernetes.io/kube-apiserver-client".into();
        }
    },
    // A node's own CSR, pending or denied.
    |world, pick| {
        let role = [Role::Client, Role::Serving][pick % 2];
        let denied = pick / 2 % 2 == 0;
        let csr = world.own_csr(role, 0, 60);
        if denied {
            csr.conditions.push(decided("Denied", "ByApprover"));
        }
    },
    // The approver or the signer is off, and a CSR shows it.
    |world, pick| {
        let kubeadm = kubeadm_group();
        let groups = [BOOTSTRAPPERS, kubeadm.as_str(), AUTHENTICATED];
        world.csr(Role::Client, "system:bootstrap:abcdef", &groups, RequestBuilder::node("n7"), 60);
        if pick % 2 == 0 {
            world.approver = false;
        } else {
            world.signer = false;
            world.csrs.last_mut().unwrap().conditions.push(decided("Approved", "AutoApproved"));
        }
    },
    // The signer's CA is not trusted, and a certificate shows it.
    |world, _| {
        world.signs_with_foreign = true;
        let csr = world.own_csr(Role::Client, 0, 60);
        csr.conditions.push(decided("Approved", "AutoApproved"));
        let foreign = world.foreign.issue_client("system:node:n0", &[NODES_GROUP], Validity::for_next(DAY)).unwrap();
        world.csrs.last_mut().unwrap().certificates = vec![leaf(&foreign.certificate_pem)];
    },
    // The CA ends.
    |world, pick| {
        let left = [-1, 20 * 24][pick % 2];
        for ca in &mut world.client_cas {
            ca.not_before = world.taken - SignedDuration::from_hours(24 * 3000);
            ca.not_after = world.taken + SignedDuration::from_hours(left);
        }
    },
    // What a node serves.
    |world, pick| {
        let taken = world.taken;
        let index = pick % world.nodes.len();
        let pick = pick / world.nodes.len();
        let node = world.nodes[index].clone();
        let other = world.nodes[(index + 1) % world.nodes.len()].clone();
        let names = [AltName::Dns(node.name.clone()), AltName::Ip(node.addresses[0])];
        let mut served = world.serving_leaf(&node.name, &names, false);
        let kind = pick % 9;
        match kind {
            0 => served.subject.common_name = Some(node.name.clone()),
            1 => {
                served.subject = Name { common_name: Some(format!("{}@1795557838", node.name)), ..Default::default() };
                served.issuer =
                    Name { common_name: Some(format!("{}-ca@1795557838", node.name)), ..Default::default() };
            }
            2 => served = world.serving_leaf(&node.name, &names, true),
            3 => served = world.serving_leaf(&other.name, &[AltName::Ip(other.addresses[0])], false),
            4 => served.ips.clear(),
            5 => served.not_before = taken + SignedDuration::from_hours(24),
            6 => world.nodes[index].kubelet = "v1.34.1+k3s1".into(),
            _ => {}
        }
        let (since, left) = [(1, 100), (85, 15), (97, 3), (100, -1)][pick / 9 % 4];
        if kind != 5 {
            served.not_before = taken - SignedDuration::from_hours(since);
            served.not_after = taken + SignedDuration::from_hours(left);
        }
        world.nodes[index].served = match kind {
            7 => Served::Alert("internal error".into()),
            8 => Served::Unreachable("no route".into()),
            _ => Served::Certificate(Box::new(served)),
        };
    },
    // The state of a node.
    |world, pick| {
        let index = pick % world.nodes.len();
        let states = [Some("Unknown"), Some("False"), None];
        world.nodes[index].ready = states[pick / world.nodes.len() % 3].map(str::to_owned);
        if pick % 5 == 0 {
            world.nodes[index].addresses = vec![[192, 0, 2, 1].into()];
        }
    },
    // A client certificate that should have been renewed.
    |world, pick| {
        let left = [3, -3][pick % 2];
        let taken = world.taken;
        let csr = world.own_csr(Role::Client, 0, 3000);
        csr.conditions.push(decided("Approved", "AutoApproved"));
        let issued = world.trusted.issue_client("system:node:n0", &[NODES_GROUP], Validity::for_next(DAY)).unwrap();
        let mut old = leaf(&issued.certificate_pem);
        old.not_before = taken - SignedDuration::from_hours(97);
        old.not_after = taken + SignedDuration::from_hours(left);
        world.csrs.last_mut().unwrap().certificates = vec![old];
    },
    // The node authorizer is off.
    |world, _| world.node_authorizer = false,
    // Something may not be looked at.
    |world, pick| {
        world.refused.insert(pick % 7);
    },
    // The API server does not reach a node.
    |world, pick| {
        let answers = [
            (503, "remote error: tls: internal error"),
            (503, "x509: certificate signed by unknown authority"),
            (503, "x509: certificate has expired or is not yet valid"),
            (503, "x509: cannot validate certificate for 192.0.2.0 because it doesn't contain any IP SANs"),
            (401, "Unauthorized"),
            (403, "Forbidden (user=apiserver, verb=get, resource=nodes, subresource(s)=[proxy])"),
            (400, "dial tcp: lookup n0: no such host"),
            (503, "connection refused"),
        ];
        let (code, message) = answers[pick % answers.len()];
        let nodes = world.nodes.len();
        world.nodes[pick / answers.len() % nodes].reached = Some(reached(code, message));
    },
    // cluster-info.
    |world, pick| {
        for token in &mut world.tokens {
            token.signs = true;
        }
        let signatures = world.tokens.iter().map(|token| (token.id.clone(), true)).collect();
        let mut info = world.good_cluster_info(signatures);
        match pick % 7 {
            0 => info.cas = vec![leaf(world.foreign.certificate_pem())],
            1 => info.cas.clear(),
            2 => info.answers = Served::Unreachable("no route".into()),
            3 => info.anonymous = 403,
            4 => info.signatures.clear(),
            5 => info.signatures.values_mut().for_each(|right| *right = false),
            _ => return,
        }
        world.cluster_info = Some(info);
    },
];

fn names(findings: &[Finding]) -> Vec<(&'static str, BTreeSet<&str>)> {
    findings.iter().map(|finding| (finding.id, finding.about.iter().map(String::as_str).collect())).collect()
}

/// A cluster with these faults.
fn world(nodes: usize, faults: &[(usize, usize)]) -> World {
    let mut world = World::healthy(nodes);
    for (fault, pick) in faults {
        FAULTS[*fault](&mut world, *pick);
    }
    world.settle();
    // What nothing shows can't be told from what works.
    let shown: BTreeSet<&str> = diagnose(&world.snapshot()).findings.iter().map(|finding| finding.id).collect();
    world.approver |= !shown.contains("approver.absent");
    world.signer |= !shown.contains("signer.absent");
    world.signs_with_foreign &= shown.contains("signer.wrong-ca");
    let foreign = leaf(world.foreign.certificate_pem()).subject;
    let serves_foreign =
        |node: &NodeFacts| matches!(&node.served, Served::Certificate(served) if served.issuer == foreign);
    world.signs_serving_with_foreign = !shown.contains("serving.several-cas") && world.nodes.iter().any(serves_foreign);
    world.settle();
    world
}

/// Findings that their remedies leave, or that they cause.
fn violations(nodes: usize, faults: &[(usize, usize)]) -> Vec<String> {
    let world = world(nodes, faults);
    let before = diagnose(&world.snapshot()).findings;
    let mut found = Vec::new();
    for finding in before.iter().filter(|finding| !finding.remedies.is_empty()) {
        let mut after = world.clone();
        for remedy in &finding.remedies {
            after.carry_out(remedy);
        }
        let after = diagnose(&after.snapshot()).findings;
        let about: BTreeSet<&str> = finding.about.iter().map(String::as_str).collect();
        for (id, now) in names(&after) {
            let remains = id == finding.id && (about.is_empty() || !now.is_disjoint(&about));
            let is_known = names(&before).into_iter().any(|(known, was)| known == id && now.is_subset(&was));
            if remains || !is_known {
                let what = if remains { "leaves" } else { "causes" };
                found.push(format!("{} {what} {id} of {now:?}: {finding:#?}", finding.id));
            }
        }
    }
    found
}

/// The same worlds in every run, in parts that run side by side; `PROPTEST_RNG_SEED=N` explores others.
#[rstest]
fn a_remedy_ends_its_finding_and_causes_no_other(#[values(0, 1, 2, 3)] part: u64) {
    let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
    let given = match config.rng_seed {
        RngSeed::Random => 0,
        RngSeed::Fixed(given) => given,
    };
    let rng_seed = RngSeed::Fixed(given.wrapping_mul(4).wrapping_add(part));
    let worlds = (1_usize..4, prop::collection::vec((0..FAULTS.len(), any::<usize>()), 1..5));
    let outcome = TestRunner::new(ProptestConfig { rng_seed, ..config }).run(&worlds, |(nodes, faults)| {
        let found = violations(nodes, &faults);
        prop_assert!(found.is_empty(), "{}", found.join("\n"));
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn a_world_without_faults_is_healthy() {
    let mut world = World::healthy(3);
    world.settle();
    assert_eq!(diagnose(&world.snapshot()).findings, []);
    let nodes = world.snapshot();
    assert!(nodes.reviews.all().iter().any(|review| review.who == Who::Token("abcdef".into())));
}
