use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rstest::rstest;
use tlsboot_core::check::Role;
use tlsboot_core::check::rules::Rules;
use tlsboot_core::history::event::{Change, CsrCondition, CsrEvent, NODE_USER_PREFIX, NODES_GROUP as NODES};
use tlsboot_core::history::facts::CertificateFacts;
use tlsboot_core::version::Version;
use tlsboot_core::x509::{AltName, read};
use tlsboot_engine::pki::{Authority, Issued, RequestBuilder, Validity};

use tlsboot_core::scenario::BootstrapRole;

use super::{Finding, Grade, diagnose};
use crate::doctor::remedy::{Remedy, kubeadm_group};
use crate::doctor::rights::{Ability, Grant, Permission, Review, Subject, Who, groups_of};
use crate::doctor::snapshot::{ClusterInfo, NodeFacts, Reached, Right, Seen, Served, Snapshot, TokenFacts};

pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

fn facts(issued: &Issued) -> CertificateFacts {
    of_pem(&issued.certificate_pem)
}

pub(super) fn of_pem(pem: &str) -> CertificateFacts {
    read::certificates_from_pem(pem.as_bytes()).unwrap().remove(0)
}

pub(super) fn condition(kind: &str, reason: &str) -> CsrCondition {
    CsrCondition {
        kind: kind.into(),
        status: "True".into(),
        reason: reason.into(),
        message: "said so".into(),
        last_update_time: None,
        last_transition_time: None,
    }
}

fn csr(role: Role, user: &str, request: RequestBuilder) -> CsrEvent {
    let node = user.starts_with(NODE_USER_PREFIX);
    let any = Version::new(1, 37, 0);
    CsrEvent {
        change: Change::Added,
        name: "csr-a".into(),
        uid: "u".into(),
        resource_version: "1".into(),
        labels: Default::default(),
        created: Timestamp::now() - SignedDuration::from_mins(1),
        signer_name: role.signer_name().into(),
        username: user.into(),
        user_uid: String::new(),
        groups: vec![if node { NODES } else { "system:bootstrappers" }.into()],
        extra: Default::default(),
        usages: Rules::new(any, any).usages(role),
        expiration_seconds: None,
        request: read::request(request.build().unwrap().0.as_bytes()).unwrap(),
        conditions: Vec::new(),
        certificates: Vec::new(),
    }
}

fn may(who: Who, groups: &[&str], may: &[Ability]) -> Review {
    let user = match &who {
        Who::Token(id) => format!("system:bootstrap:{id}"),
        Who::Node(name) => format!("system:node:{name}"),
        Who::Requester(user) => user.clone(),
        Who::Bound(subject) => subject.user_name().unwrap_or_else(|| "tlsboot:stranger".into()),
        other => other.to_string(),
    };
    let groups = groups.iter().map(|&group| group.into()).collect();
    Review { who, user, groups, may: may.iter().copied().collect() }
}

fn token(id: &str) -> TokenFacts {
    TokenFacts {
        id: id.into(),
        expires: Some(Timestamp::now() + SignedDuration::from_hours(5)),
        groups: vec!["system:bootstrappers".into()],
        authenticates: true,
        signs: false,
        defect: None,
    }
}

/// A cluster as kubeadm makes it, with one node that has renewed and serves a signed certificate.
fn healthy() -> Snapshot {
    let ca = Authority::new("kubernetes", Validity::for_next(DAY * 3650)).unwrap();
    let user = "system:node:n1";
    let client = ca.issue_client(user, &[NODES], Validity::for_next(DAY * 365)).unwrap();
    let names = [AltName::Dns("n1".into()), AltName::Ip([192, 0, 2, 7].into())];
    let served = ca.issue_server(user, &names, Validity::for_next(DAY * 365)).unwrap();
    let mut renewal = csr(Role::Client, user, RequestBuilder::node("n1"));
    renewal.conditions = vec![condition("Approved", "AutoApproved")];
    renewal.certificates = vec![facts(&client)];
    let mut serving = csr(Role::Serving, user, RequestBuilder::node("n1").alt_names(names));
    serving.name = "csr-s".into();
    serving.conditions = vec![condition("Approved", "KubectlApprove")];
    serving.certificates = vec![facts(&served)];
    let bootstrapper = || {
        let abilities = [Ability::Ask, Ability::Watch, Ability::NodeClient];
        may(Who::Token("abcdef".into()), &["system:bootstrappers"], &abilities)
    };
    Snapshot {
        taken: Timestamp::now(),
        server: "https://127.0.0.1:6443".into(),
        version: Some(Version::new(1, 37, 2)),
        anonymous: 403,
        grants: Seen::Is(vec![]),
        reviews: Seen::Is(vec![
            may(Who::Anonymous, &["system:unauthenticated"], &[]),
            may(Who::Authenticated, &["system:authenticated"], &[]),
            may(Who::Node("n1".into()), &[NODES], &[Ability::Ask, Ability::Watch, Ability::SelfNodeClient]),
            bootstrapper(),
            Review { who: Who::Requester("system:bootstrap:abcdef".into()), ..bootstrapper() },
        ]),
        csrs: Seen::Is(vec![renewal, serving]),
        tokens: Seen::Is(vec![token("abcdef")]),
        nodes: Seen::Is(vec![NodeFacts {
            name: "n1".into(),
            kubelet: "v1.37.2".into(),
            created: Some(Timestamp::now() - SignedDuration::from_hours(24)),
            ready: Some("True".into()),
            ready_since: Some(Timestamp::now() - SignedDuration::from_hours(23)),
            host_names: vec!["n1".into()],
            addresses: vec![[192, 0, 2, 7].into()],
            served: Served::Certificate(Box::new(facts(&served))),
            reached: Some(Reached { code: 200, message: String::new() }),
        }]),
        client_cas: Seen::Is(vec![of_pem(ca.certificate_pem())]),
        cluster_info: Seen::Is(None),
    }
}

fn ids(snapshot: &Snapshot) -> Vec<(&'static str, Grade)> {
    let findings = diagnose(snapshot).findings;
    findings.iter().map(|finding| (finding.id, finding.grade)).collect()
}

/// Changes one thing of a healthy cluster.
fn with(change: impl FnOnce(&mut Snapshot)) -> Vec<(&'static str, Grade)> {
    let mut snapshot = healthy();
    change(&mut snapshot);
    ids(&snapshot)
}

fn list<T>(seen: &mut Seen<Vec<T>>) -> &mut Vec<T> {
    match seen {
        Seen::Is(list) => list,
        Seen::Refused(right) => panic!("{right}"),
    }
}

fn abilities(snapshot: &mut Snapshot, who: fn(&Who) -> bool) -> Vec<&mut BTreeSet<Ability>> {
    let reviews = list(&mut snapshot.reviews).iter_mut();
    reviews.filter(|review| who(&review.who)).map(|review| &mut review.may).collect()
}

#[test]
fn a_healthy_cluster_has_no_finding_and_nothing_unknown() {
    let diagnosis = diagnose(&healthy());
    assert_eq!(diagnosis.findings, []);
    assert_eq!(diagnosis.unknown, Vec::<String>::new());
    assert_eq!(diagnosis.missing, []);
    let nodes = diagnosis.nodes.unwrap();
    let client = nodes[0].client.as_ref().unwrap();
    assert!(client.renews_from.unwrap() < client.renews_to.unwrap());
    assert_eq!(diagnosis.signers.unwrap().len(), 2);
    let approvers = diagnosis.approvers.unwrap();
    let deciders: Vec<&str> = approvers.iter().map(|approver| approver.who.as_str()).collect();
    assert_eq!(deciders, ["kube-controller-manager", "kubectl certificate (a person or a script)"]);
}

fn is_token(who: &Who) -> bool {
    matches!(who, Who::Token(_))
}

fn is_new(who: &Who) -> bool {
    matches!(who, Who::Token(_) | Who::Requester(_))
}

fn is_node(who: &Who) -> bool {
    matches!(who, Who::Node(_))
}

fn is_anonymous(who: &Who) -> bool {
    *who == Who::Anonymous
}

fn is_anybody(who: &Who) -> bool {
    *who == Who::Authenticated
}

#[rstest]
#[case(is_token, Ability::Ask, "bootstrap.not-bound")]
#[case(is_new, Ability::Watch, "bootstrap.cannot-watch")]
#[case(is_new, Ability::NodeClient, "bootstrap.not-approved")]
#[case(is_node, Ability::Ask, "renewal.cannot-ask")]
#[case(is_node, Ability::SelfNodeClient, "renewal.not-approved")]
fn a_right_that_lacks_breaks(#[case] who: fn(&Who) -> bool, #[case] ability: Ability, #[case] id: &str) {
    let found = with(|snapshot| {
        for may in abilities(snapshot, who) {
            assert!(may.remove(&ability));
        }
    });
    assert_eq!(found, [(id, Grade::Broken)]);
}

#[test]
fn where_another_approver_approves_the_built_in_ones_right_is_not_needed() {
    let found = with(|snapshot| {
        abilities(snapshot, is_node)[0].remove(&Ability::SelfNodeClient);
        list(&mut snapshot.csrs)[0].conditions[0].reason = "ByMachineApprover".into();
    });
    assert_eq!(found, [("renewal.not-approved", Grade::Note)]);
}

#[rstest]
#[case(is_anonymous, Ability::ReadSecrets, 403, "anonymous.too-wide", Grade::Hole)]
#[case(is_anonymous, Ability::Ask, 401, "anonymous.too-wide", Grade::Warning)]
#[case(is_anybody, Ability::NodeClient, 403, "authenticated.too-wide", Grade::Hole)]
#[case(is_node, Ability::NodeClient, 403, "nodes.too-wide", Grade::Hole)]
#[case(is_token, Ability::Everything, 403, "bootstrap.too-wide", Grade::Hole)]
fn a_right_too_many_is_a_hole(
    #[case] who: fn(&Who) -> bool,
    #[case] ability: Ability,
    #[case] anonymous: u16,
    #[case] id: &str,
    #[case] grade: Grade,
) {
    let found = with(|snapshot| {
        snapshot.anonymous = anonymous;
        abilities(snapshot, who)[0].insert(ability);
    });
    assert_eq!(found, [(id, grade)]);
}

#[test]
fn the_binding_that_gives_too_much_is_named() {
    let mut snapshot = healthy();
    abilities(&mut snapshot, is_anybody)[0].insert(Ability::NodeClient);
    list(&mut snapshot.grants).push(Grant {
        binding: "wide".into(),
        namespace: None,
        role: BootstrapRole::NodeClient.cluster_role().into(),
        subject: Subject::group("system:authenticated"),
        permissions: BTreeSet::from([Permission::CreateNodeClient]),
    });
    let finding = &diagnose(&snapshot).findings[0];
    let command = finding.remedies.last().unwrap().to_string();
    assert!(command.starts_with("kubectl edit clusterrolebinding wide "), "{finding:?}");
}

#[rstest]
#[case::no_one_approves(Role::Client, "n3", &[], 60, &[("approver.absent", Grade::Broken)])]
#[case::it_has_just_come(Role::Client, "n3", &[], 2, &[])]
#[case::no_one_signs(Role::Client, "n3", &["Approved"], 60, &[("signer.absent", Grade::Broken)])]
#[case::refused(Role::Client, "n3", &["Approved", "Failed"], 60, &[("signer.refused", Grade::Warning)])]
#[case::denied(Role::Client, "n3", &["Denied"], 60, &[("csr.denied", Grade::Warning)])]
#[case::serving(Role::Serving, "n1", &[], 60, &[("serving.pending", Grade::Warning)])]
fn a_csr_that_gets_nowhere(
    #[case] role: Role,
    #[case] node: &str,
    #[case] conditions: &[&str],
    #[case] age: i64,
    #[case] findings: &[(&str, Grade)],
) {
    let found = with(|snapshot| {
        let user = match role {
            Role::Client => "system:bootstrap:abcdef",
            Role::Serving => "system:node:n1",
        };
        let names = match role {
            Role::Client => vec![],
            Role::Serving => vec![AltName::Ip([192, 0, 2, 7].into())],
        };
        let mut waiting = csr(role, user, RequestBuilder::node(node).alt_names(names));
        waiting.created = snapshot.taken - SignedDuration::from_secs(age);
        waiting.conditions = conditions.iter().map(|kind| condition(kind, "AutoApproved")).collect();
        list(&mut snapshot.csrs).push(waiting);
    });
    assert_eq!(found, findings);
}

#[test]
fn a_csr_that_is_no_kubelets_is_told_from_one_that_nobody_approves() {
    let found = with(|snapshot| {
        let odd = RequestBuilder::node("n1").alt_names([AltName::Dns("x".into())]);
        list(&mut snapshot.csrs).push(csr(Role::Client, "system:bootstrap:abcdef", odd));
    });
    assert_eq!(found, [("csr.unrecognized", Grade::Warning)]);
}

/// Approved, and issued with these names.
fn issued(node: &str, user: &str, reason: &str, names: &[AltName]) -> CsrEvent {
    let ca = Authority::new("kubernetes", Validity::for_next(DAY * 3650)).unwrap();
    let leaf = ca.issue_server(&format!("system:node:{node}"), names, Validity::for_next(DAY)).unwrap();
    let mut csr = csr(Role::Serving, user, RequestBuilder::node(node).alt_names(names.to_vec()));
    csr.conditions = vec![condition("Approved", reason)];
    csr.certificates = vec![facts(&leaf)];
    csr
}

#[rstest]
#[case::foreign_host(AltName::Dns("www.example.com".into()), "system:node:n1", "ByRogue", &[("approver.foreign-names", Grade::Hole)])]
#[case::by_a_script(AltName::Dns("www.example.com".into()), "system:node:n1", "KubectlApprove", &[("approver.foreign-names", Grade::Hole)])]
#[case::own(AltName::Ip([192, 0, 2, 7].into()), "system:node:n1", "ByRogue", &[])]
#[case::own_as_ipv6(AltName::Ip("::ffff:192.0.2.7".parse().unwrap()), "system:node:n1", "ByRogue", &[])]
#[case::own_in_capitals(AltName::Dns("N1.".into()), "system:node:n1", "ByRogue", &[])]
#[case::an_address_of_before(AltName::Ip([192, 0, 2, 70].into()), "system:node:n1", "ByRogue", &[("approver.foreign-names", Grade::Note)])]
#[case::a_neighbors_address(AltName::Ip([192, 0, 2, 8].into()), "system:node:n1", "ByRogue", &[("approver.foreign-names", Grade::Hole)])]
#[case::requester(AltName::Ip([192, 0, 2, 7].into()), "system:node:n2", "ByRogue", &[("approver.foreign-names", Grade::Hole)])]
fn names_that_are_not_the_nodes(
    #[case] name: AltName,
    #[case] user: &str,
    #[case] reason: &str,
    #[case] findings: &[(&str, Grade)],
) {
    let found = with(|snapshot| {
        neighbor(snapshot);
        list(&mut snapshot.csrs)[1] = issued("n1", user, reason, &[name]);
    });
    let found: Vec<_> = found.into_iter().filter(|(id, _)| *id != "serving.several-cas").collect();
    assert_eq!(found, findings);
}

/// A second node, which can't be reached.
fn neighbor(snapshot: &mut Snapshot) {
    let mut second = list(&mut snapshot.nodes)[0].clone();
    second.name = "n2".into();
    second.host_names = vec!["n2".into()];
    second.addresses = vec![[192, 0, 2, 8].into()];
    second.served = Served::Unreachable("no route".into());
    list(&mut snapshot.nodes).push(second);
}

#[test]
fn an_approver_that_takes_what_is_no_kubelets_is_a_hole() {
    let found = with(|snapshot| {
        list(&mut snapshot.csrs)[0].request.subject.organizations.push("system:masters".into());
        list(&mut snapshot.csrs)[0].conditions[0].reason = "ByRogue".into();
    });
    assert_eq!(found, [("approver.too-much", Grade::Hole)]);
    let found = with(|snapshot| {
        list(&mut snapshot.csrs)[0].request.subject.organizations.push("system:masters".into());
        list(&mut snapshot.csrs)[0].certificates.clear();
    });
    assert_eq!(found, [("signer.refused", Grade::Warning), ("approver.too-much", Grade::Warning)]);
}

#[test]
fn certificates_of_a_ca_that_does_not_count() {
    let found = with(|snapshot| {
        let other = Authority::new("another", Validity::for_next(DAY * 3650)).unwrap();
        snapshot.client_cas = Seen::Is(vec![of_pem(other.certificate_pem())]);
    });
    assert_eq!(found, [("signer.wrong-ca", Grade::Broken)]);
}

#[rstest]
#[case::soon(20, &[("ca.ends", Grade::Warning)])]
#[case::late(40, &[])]
fn a_ca_that_ends(#[case] days: i64, #[case] findings: &[(&str, Grade)]) {
    let found = with(|snapshot| {
        let ca = &mut list(&mut snapshot.client_cas)[0];
        ca.not_before = snapshot.taken - SignedDuration::from_hours(24 * 3000);
        ca.not_after = snapshot.taken + SignedDuration::from_hours(24 * days);
    });
    assert_eq!(found, findings);
}

#[rstest]
#[case::none(&[], "tokens.none")]
#[case::expired(&[(-1, None)], "tokens.expired")]
#[case::one_of_two_expired(&[(-1, None), (5, None)], "tokens.expired")]
#[case::defective(&[(5, Some("broken"))], "tokens.defective")]
fn tokens_that_are_no_use(#[case] tokens: &[(i64, Option<&str>)], #[case] id: &str) {
    let found = with(|snapshot| {
        let made = tokens.iter().map(|(hours, defect)| TokenFacts {
            expires: Some(snapshot.taken + SignedDuration::from_hours(*hours)),
            defect: defect.map(str::to_owned),
            ..token("abcdef")
        });
        snapshot.tokens = Seen::Is(made.collect());
    });
    assert_eq!(found, [(id, Grade::Warning)]);
}

fn served(snapshot: &mut Snapshot) -> &mut CertificateFacts {
    match &mut list(&mut snapshot.nodes)[0].served {
        Served::Certificate(certificate) => certificate,
        other => panic!("{other:?}"),
    }
}

#[rstest]
#[case::fresh(1, 100, "kubernetes", &[])]
#[case::late_but_not_yet(92, 8, "kubernetes", &[])]
#[case::should_have_been_renewed(97, 3, "kubernetes", &[("serving.ends", Grade::Broken)])]
#[case::never_renewed(97, 3, "n1-ca@1795557838", &[("serving.ends", Grade::Broken)])]
#[case::ended(100, -1, "kubernetes", &[("serving.expired", Grade::Broken)])]
fn what_a_node_serves_ends(
    #[case] since: i64,
    #[case] left: i64,
    #[case] issuer: &str,
    #[case] findings: &[(&str, Grade)],
) {
    let found = with(|snapshot| {
        let taken = snapshot.taken;
        let certificate = served(snapshot);
        certificate.not_before = taken - SignedDuration::from_hours(since);
        certificate.not_after = taken + SignedDuration::from_hours(left);
        certificate.issuer.common_name = Some(issuer.into());
        if let Some((host, time)) = issuer.split_once("-ca@") {
            certificate.subject.common_name = Some(format!("{host}@{time}"));
        }
    });
    let found: Vec<_> =
        found.into_iter().filter(|(id, _)| !["serving.several-cas", "serving.self-signed"].contains(id)).collect();
    assert_eq!(found, findings);
}

#[test]
fn a_node_that_serves_no_address_of_its_own() {
    let found = with(|snapshot| served(snapshot).ips.clear());
    assert_eq!(found, [("serving.names", Grade::Warning)]);
    let found = with(|snapshot| {
        let certificate = served(snapshot);
        certificate.ips.clear();
        certificate.issuer.common_name = Some("n1-ca@1795557838".into());
        certificate.subject.common_name = Some("n1@1795557838".into());
    });
    assert_eq!(found, [("serving.self-signed", Grade::Note)]);
}

#[test]
fn a_node_that_serves_nothing() {
    let alert = |snapshot: &mut Snapshot| {
        list(&mut snapshot.nodes)[0].served = Served::Alert("internal error".into());
    };
    assert_eq!(with(alert), [("serving.none", Grade::Broken)]);
    let asks_for = |only_by_name: bool| {
        with(|snapshot| {
            alert(snapshot);
            let addresses = list(&mut snapshot.nodes)[0].addresses.clone();
            let addresses = addresses.into_iter().map(AltName::Ip).filter(|_| !only_by_name);
            let names: Vec<AltName> = addresses.chain([AltName::Dns("n1".into())]).collect();
            let mut waiting = csr(Role::Serving, "system:node:n1", RequestBuilder::node("n1").alt_names(names));
            waiting.name = "csr-w".into();
            waiting.created = snapshot.taken - SignedDuration::from_secs(30);
            list(&mut snapshot.csrs).push(waiting);
        })
    };
    assert_eq!(asks_for(false), [("serving.pending", Grade::Broken)]);
    // An API server that verifies kubelets would refuse this one.
    assert_eq!(asks_for(true), [("serving.none", Grade::Broken), ("csr.pending", Grade::Warning)]);
}

#[test]
fn a_renewal_that_did_not_come() {
    let found = with(|snapshot| {
        let taken = snapshot.taken;
        let leaf = &mut list(&mut snapshot.csrs)[0].certificates[0];
        leaf.not_before = taken - SignedDuration::from_hours(98);
        leaf.not_after = taken + SignedDuration::from_hours(2);
    });
    assert!(found.contains(&("node.renewal-overdue", Grade::Broken)), "{found:?}");
}

#[test]
fn what_may_not_be_looked_at_is_named_and_nothing_is_made_up() {
    let mut snapshot = healthy();
    let right = Right { verb: "list".into(), resource: "x".into(), namespace: None, for_what: "y".into() };
    snapshot.grants = Seen::Refused(right.clone());
    snapshot.reviews = Seen::Refused(right.clone());
    snapshot.csrs = Seen::Refused(right.clone());
    snapshot.tokens = Seen::Refused(right.clone());
    snapshot.nodes = Seen::Refused(right.clone());
    snapshot.client_cas = Seen::Refused(right.clone());
    snapshot.cluster_info = Seen::Refused(right);
    let diagnosis = diagnose(&snapshot);
    assert_eq!(diagnosis.findings, []);
    assert_eq!(diagnosis.missing.len(), 7);
    assert!(diagnosis.bindings.is_none() && diagnosis.tokens.is_none() && diagnosis.nodes.is_none());
    let text = super::super::words::text(&diagnosis, "x", false);
    assert!(!text.contains("  none of") && text.contains("not known"), "{text}");
}

#[test]
fn a_snapshot_can_be_written_down_and_read_back() {
    let snapshot = healthy();
    let json = serde_json::to_string(&snapshot).unwrap();
    let read: Snapshot = serde_json::from_str(&json).unwrap();
    assert_eq!(diagnose(&read), diagnose(&snapshot));
}

fn findings(change: impl FnOnce(&mut Snapshot)) -> Vec<Finding> {
    let mut snapshot = healthy();
    change(&mut snapshot);
    diagnose(&snapshot).findings
}

/// A CSR that has been pending for a minute.
fn pending(name: &str, role: Role, user: &str, request: RequestBuilder) -> CsrEvent {
    CsrEvent { name: name.into(), ..csr(role, user, request) }
}

fn own_names() -> RequestBuilder {
    RequestBuilder::node("n1").alt_names([AltName::Dns("n1".into()), AltName::Ip([192, 0, 2, 7].into())])
}

/// FIELD-CLUSTERS B2 and B3: what doctor would call a hole is never to be approved.
#[rstest]
#[case::foreign_name("system:node:n1", own_names().alt_names([AltName::Dns("kubernetes".into())]), "csr.foreign", "deny")]
#[case::foreign_requester("test", own_names(), "csr.foreign", "deny")]
#[case::no_names("system:node:n1", RequestBuilder::node("n1"), "csr.unrecognized", "delete csr")]
#[case::right("system:node:n1", own_names(), "serving.pending", "approve")]
fn a_pending_serving_csr_is_looked_at_before_it_is_to_be_approved(
    #[case] user: &str,
    #[case] request: RequestBuilder,
    #[case] id: &str,
    #[case] command: &str,
) {
    let found = findings(|snapshot| list(&mut snapshot.csrs).push(pending("csr-w", Role::Serving, user, request)));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].id, id);
    let commands: Vec<String> = found[0].remedies.iter().map(ToString::to_string).collect();
    assert!(commands.iter().all(|line| line.contains(command) && line.contains("csr-w")), "{commands:?}");
}

/// B5: the command names who lacks it.
#[test]
fn nodeclient_is_bound_to_the_one_who_lacks_it() {
    let user = "system:serviceaccount:infra:boot";
    let groups = groups_of(user);
    let found = findings(|snapshot| {
        let mut waiting = pending("csr-w", Role::Client, user, RequestBuilder::node("n9"));
        waiting.groups = groups.clone();
        list(&mut snapshot.csrs).push(waiting);
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        let review = may(Who::Requester(user.into()), &groups, &[Ability::Ask, Ability::Watch]);
        list(&mut snapshot.reviews).push(review);
    });
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].id, "bootstrap.not-approved");
    let bind = Remedy::Bind { role: BootstrapRole::NodeClient, to: Subject::user(user) };
    assert_eq!(found[0].remedies, [bind]);
    assert!(found[0].remedies[0].to_string().contains("--serviceaccount=infra:boot"));
}

fn grant(role: BootstrapRole, to: Subject) -> Grant {
    let permissions = match role {
        BootstrapRole::NodeBootstrapper => {
            BTreeSet::from([Permission::CreateCsrs, Permission::ListCsrs, Permission::WatchCsrs])
        }
        BootstrapRole::NodeClient => BTreeSet::from([Permission::CreateNodeClient]),
        BootstrapRole::SelfNodeClient => BTreeSet::from([Permission::CreateSelfNodeClient]),
    };
    Grant { binding: "b".into(), namespace: None, role: role.cluster_role().into(), subject: to, permissions }
}

/// B4: a service account bootstraps as a user does.
#[test]
fn service_accounts_bootstrap_too() {
    let account = Subject::user("system:serviceaccount:infra:boot");
    let groups = groups_of("system:serviceaccount:infra:boot");
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    let change = |snapshot: &mut Snapshot, abilities: &[Ability]| {
        snapshot.tokens = Seen::Is(vec![]);
        list(&mut snapshot.reviews).retain(|review| !is_new(&review.who));
        list(&mut snapshot.reviews).push(may(Who::Bound(account.clone()), &groups, abilities));
        snapshot.grants = Seen::Is(vec![
            grant(BootstrapRole::NodeBootstrapper, account.clone()),
            grant(BootstrapRole::NodeClient, account.clone()),
            grant(BootstrapRole::SelfNodeClient, Subject::group(NODES)),
        ]);
    };
    let all = [Ability::Ask, Ability::Watch, Ability::NodeClient];
    assert_eq!(with(|snapshot| change(snapshot, &all)), []);
    assert_eq!(with(|snapshot| change(snapshot, &Ability::ALL)), [("bootstrap.too-wide", Grade::Hole)]);
}

/// B18: the token's own group, and all in one round.
#[test]
fn a_token_without_the_group_that_is_bound_gets_it() {
    let group = kubeadm_group();
    let found = findings(|snapshot| {
        abilities(snapshot, is_token)[0].clear();
        list(&mut snapshot.reviews).retain(|review| !matches!(review.who, Who::Requester(_)));
        snapshot.grants = Seen::Is(vec![
            grant(BootstrapRole::NodeBootstrapper, Subject::group(&group)),
            grant(BootstrapRole::NodeClient, Subject::group(&group)),
        ]);
    });
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].id, "bootstrap.not-bound");
    assert_eq!(found[0].remedies, [Remedy::SetTokenGroups { id: "abcdef".into(), groups: vec![group] }]);
}

/// B1, and FIELD-REPORTS 10: one cause is one finding; a denial is not a CSR that is pending.
#[test]
fn denied_csrs_of_a_node_that_serves_nothing() {
    let found = findings(|snapshot| {
        list(&mut snapshot.nodes)[0].served = Served::Alert("internal error".into());
        for index in 0..110 {
            let mut denied = pending(&format!("csr-{index}"), Role::Serving, "system:node:n1", own_names());
            denied.created = snapshot.taken - SignedDuration::from_millis(50_000 - index * 100);
            denied.conditions = vec![condition("Denied", "ByApprover")];
            list(&mut snapshot.csrs).push(denied);
        }
    });
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].id, found[0].grade, found[0].count), ("serving.denied", Grade::Broken, 1));
}

/// B1: a denied renewal does not hide that the renewal is overdue.
#[rstest]
#[case::denied(&["Denied"], true)]
#[case::pending(&[], false)]
fn only_a_pending_renewal_excuses_one_that_is_overdue(#[case] conditions: &[&str], #[case] overdue: bool) {
    let found = with(|snapshot| {
        let taken = snapshot.taken;
        let leaf = &mut list(&mut snapshot.csrs)[0].certificates[0];
        leaf.not_before = taken - SignedDuration::from_hours(98);
        leaf.not_after = taken + SignedDuration::from_hours(2);
        let mut renewal = pending("csr-r", Role::Client, "system:node:n1", RequestBuilder::node("n1"));
        renewal.conditions = conditions.iter().map(|kind| condition(kind, "ByApprover")).collect();
        list(&mut snapshot.csrs).push(renewal);
    });
    assert_eq!(found.contains(&("node.renewal-overdue", Grade::Broken)), overdue, "{found:?}");
}

/// FIELD-REPORTS 10: 400 CSRs of two causes.
#[test]
fn many_csrs_of_one_cause_are_one_finding() {
    let found = findings(|snapshot| {
        for index in 0..200 {
            let node = format!("m{index}");
            let odd = RequestBuilder::node(&node).alt_names([AltName::Dns("x".into())]);
            list(&mut snapshot.csrs).push(pending(
                &format!("odd-{index}"),
                Role::Client,
                "system:bootstrap:abcdef",
                odd,
            ));
            let mut denied = pending(
                &format!("denied-{index}"),
                Role::Client,
                "system:bootstrap:abcdef",
                RequestBuilder::node(&node),
            );
            denied.created += SignedDuration::from_secs(1);
            denied.conditions = vec![condition("Denied", "ByApprover")];
            denied.username = "system:bootstrap:other0".into();
            list(&mut snapshot.csrs).push(denied);
        }
    });
    let found: Vec<_> = found.iter().map(|finding| (finding.id, finding.count, finding.about.len())).collect();
    assert_eq!(found, [("csr.unrecognized", 200, 100), ("csr.denied", 200, 100)]);
}

/// B8: other signers are looked at.
#[rstest]
#[case::node("system:node:n1", &["Approved"], &[("signer.not-for-nodes", Grade::Hole)])]
#[case::bootstrapper("system:bootstrap:abcdef", &["Approved"], &[("signer.not-for-nodes", Grade::Hole)])]
#[case::pending("system:node:n1", &[], &[("csr.not-for-nodes", Grade::Warning)])]
#[case::denied("system:node:n1", &["Denied"], &[])]
#[case::someone_else("alice", &["Approved"], &[])]
fn csrs_for_other_signers(#[case] user: &str, #[case] conditions: &[&str], #[case] findings: &[(&str, Grade)]) {
    let found = with(|snapshot| {
        let mut other = csr(Role::Client, user, RequestBuilder::node("kubernetes-super-admin"));
        if user == "alice" {
            other.groups = vec!["system:authenticated".into()];
        }
        other.signer_name = "kubernetes.io/kube-apiserver-client".into();
        other.conditions = conditions.iter().map(|kind| condition(kind, "KubectlApprove")).collect();
        list(&mut snapshot.csrs).push(other);
    });
    assert_eq!(found, findings);
}

/// B26: a certificate in the name of a node that is Ready is not the node's own.
#[test]
fn a_bootstrapper_who_becomes_a_ready_node() {
    let foreign = |snapshot: &mut Snapshot| {
        let mut foreign = csr(Role::Client, "system:bootstrap:abcdef", RequestBuilder::node("n1"));
        foreign.conditions = vec![condition("Approved", "AutoApproved")];
        foreign.certificates = list(&mut snapshot.csrs)[0].certificates.clone();
        list(&mut snapshot.csrs).push(foreign);
    };
    assert_eq!(with(foreign), [("bootstrap.of-a-ready-node", Grade::Warning)]);
    let found = with(|snapshot| {
        foreign(snapshot);
        let taken = snapshot.taken;
        let leaf = &mut list(&mut snapshot.csrs)[0].certificates[0];
        leaf.not_before = taken - SignedDuration::from_hours(98);
        leaf.not_after = taken + SignedDuration::from_hours(2);
    });
    assert!(found.contains(&("node.renewal-overdue", Grade::Broken)), "{found:?}");
    let first = with(|snapshot| {
        foreign(snapshot);
        list(&mut snapshot.nodes)[0].created = Some(snapshot.taken);
    });
    assert_eq!(first, []);
}

/// B10 and B11: a file is renewed by what wrote it, not by the kubelet.
#[rstest]
#[case::ends(92, 8, "serving.ends", Grade::Warning)]
#[case::expired(100, -1, "serving.expired", Grade::Broken)]
fn a_serving_certificate_from_a_file(#[case] since: i64, #[case] left: i64, #[case] id: &str, #[case] grade: Grade) {
    let found = findings(|snapshot| {
        let taken = snapshot.taken;
        let certificate = served(snapshot);
        certificate.subject.common_name = Some("n1".into());
        certificate.not_before = taken - SignedDuration::from_hours(since);
        certificate.not_after = taken + SignedDuration::from_hours(left);
    });
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].id, found[0].grade), (id, grade));
    assert_eq!(found[0].remedies, [Remedy::RenewFile { node: "n1".into() }]);
}

/// B11: another host's certificate is called so.
#[test]
fn the_certificate_of_another_host() {
    let found = with(|snapshot| {
        neighbor(snapshot);
        let certificate = served(snapshot);
        certificate.subject.common_name = Some("n2".into());
        certificate.dns = vec!["n2".into()];
        certificate.ips = vec![[192, 0, 2, 8].into()];
    });
    assert_eq!(found, [("serving.another-host", Grade::Warning)]);
}

/// B13, B7, B17, B6.
#[test]
fn nodes_that_have_other_troubles() {
    let tomorrow = with(|snapshot| {
        let taken = snapshot.taken;
        served(snapshot).not_before = taken + SignedDuration::from_hours(24);
    });
    assert_eq!(tomorrow, [("serving.not-yet-valid", Grade::Broken)]);
    let another_ca = with(|snapshot| {
        neighbor(snapshot);
        let mut other = served(snapshot).clone();
        other.issuer.common_name = Some("old-ca".into());
        other.subject.common_name = Some("system:node:n2".into());
        other.dns = vec!["n2".into()];
        other.ips = vec![[192, 0, 2, 8].into()];
        list(&mut snapshot.nodes)[1].served = Served::Certificate(Box::new(other));
    });
    assert_eq!(another_ca, [("serving.several-cas", Grade::Warning)]);
    let same_address = with(|snapshot| {
        neighbor(snapshot);
        list(&mut snapshot.nodes)[1].addresses = vec![[192, 0, 2, 7].into()];
    });
    assert_eq!(same_address, [("node.same-address", Grade::Note)]);
    let lost = |nodes: usize| {
        with(|snapshot| {
            neighbor(snapshot);
            for node in list(&mut snapshot.nodes).iter_mut().take(nodes) {
                node.ready = Some("Unknown".into());
            }
        })
    };
    assert_eq!(lost(1), [("node.not-ready", Grade::Warning)]);
    assert_eq!(lost(2), [("node.not-ready", Grade::Broken)]);
}

/// B16 and K3S-REAL 7: clusters that don't bootstrap by CSRs.
#[rstest]
#[case::unknown("v1.37.2")]
#[case::k3s("v1.34.1+k3s1")]
#[case::eks("v1.33.5-eks-113cf36")]
fn a_cluster_that_bootstraps_by_other_means(#[case] kubelet: &str) {
    let found = with(|snapshot| {
        snapshot.tokens = Seen::Is(vec![]);
        snapshot.csrs = Seen::Is(vec![]);
        list(&mut snapshot.reviews).retain(|review| !is_new(&review.who));
        abilities(snapshot, is_node)[0].remove(&Ability::SelfNodeClient);
        list(&mut snapshot.nodes)[0].kubelet = kubelet.into();
    });
    assert_eq!(found, [("bootstrap.by-other-means", Grade::Note)]);
}

/// K3S-REAL 7: k3s' CAs are called as those of self-signed certificates.
#[test]
fn a_ca_of_k3s_is_no_kubelets_own() {
    let found = findings(|snapshot| {
        let taken = snapshot.taken;
        list(&mut snapshot.nodes)[0].kubelet = "v1.34.1+k3s1".into();
        let certificate = served(snapshot);
        certificate.issuer.common_name = Some("k3s-server-ca@1795821035".into());
        certificate.not_before = taken - SignedDuration::from_hours(97);
        certificate.not_after = taken + SignedDuration::from_hours(3);
    });
    let ends = found.iter().find(|finding| finding.id == "serving.ends").unwrap();
    assert_eq!(ends.remedies, [Remedy::RenewServing { node: "n1".into(), service: "k3s-agent" }]);
}

/// B20: what fits no other finding is named.
#[test]
fn a_requester_who_may_not_ask_any_more() {
    let found = with(|snapshot| {
        list(&mut snapshot.csrs).push(pending("csr-w", Role::Client, "alice", RequestBuilder::node("n9")));
        list(&mut snapshot.reviews).push(may(Who::Requester("alice".into()), &["system:authenticated"], &[]));
    });
    assert_eq!(found, [("csr.requester-refused", Grade::Warning)]);
    let unknown = with(|snapshot| {
        list(&mut snapshot.csrs).push(pending("csr-w", Role::Client, "alice", RequestBuilder::node("n9")));
    });
    assert_eq!(unknown, [("csr.pending", Grade::Warning)]);
}

/// B21.
#[test]
fn a_denial_is_a_decision() {
    let mut snapshot = healthy();
    list(&mut snapshot.csrs).truncate(1);
    list(&mut snapshot.csrs)[0].conditions = vec![condition("Denied", "ByApprover")];
    let diagnosis = diagnose(&snapshot);
    assert!(!diagnosis.unknown.iter().any(|unknown| unknown.contains("decided")), "{:?}", diagnosis.unknown);
}

/// B9: what kubeadm join believes.
#[rstest]
#[case::right(|_: &mut ClusterInfo| (), &[])]
#[case::foreign_ca(|info: &mut ClusterInfo| info.cas = vec![of_pem(&another_ca())], &[("cluster-info.ca", Grade::Broken)])]
#[case::no_ca(|info: &mut ClusterInfo| info.cas.clear(), &[("cluster-info.unusable", Grade::Broken)])]
#[case::wrong_server(|info: &mut ClusterInfo| info.answers = Served::Unreachable("refused".into()), &[("cluster-info.server", Grade::Warning)])]
#[case::hardened(|info: &mut ClusterInfo| info.anonymous = 403, &[("cluster-info.not-public", Grade::Warning)])]
#[case::no_anonymous(|info: &mut ClusterInfo| info.anonymous = 401, &[("cluster-info.not-public", Grade::Note)])]
#[case::unsigned(|info: &mut ClusterInfo| info.signatures.clear(), &[("cluster-info.unsigned", Grade::Warning)])]
#[case::wrongly_signed(|info: &mut ClusterInfo| info.signatures = [("abcdef".to_owned(), false)].into(), &[("cluster-info.unsigned", Grade::Warning)])]
fn cluster_info(#[case] change: fn(&mut ClusterInfo), #[case] findings: &[(&str, Grade)]) {
    let found = with(|snapshot| {
        list(&mut snapshot.tokens)[0].signs = true;
        let ca = Authority::new("kubernetes", Validity::for_next(DAY * 3650)).unwrap();
        let leaf = ca.issue_server("kube-apiserver", &[AltName::Ip([192, 0, 2, 1].into())], Validity::for_next(DAY));
        let mut info = ClusterInfo {
            server: "https://192.0.2.1:6443".into(),
            cas: vec![of_pem(ca.certificate_pem())],
            answers: Served::Certificate(Box::new(facts(&leaf.unwrap()))),
            chain: Vec::new(),
            anonymous: 200,
            signatures: [("abcdef".to_owned(), true)].into(),
        };
        change(&mut info);
        snapshot.cluster_info = Seen::Is(Some(info));
    });
    assert_eq!(found, findings);
}

#[test]
fn tokens_that_should_sign_a_cluster_info_that_is_not_there() {
    assert_eq!(with(|snapshot| list(&mut snapshot.tokens)[0].signs = true), [("cluster-info.none", Grade::Note)]);
}

fn another_ca() -> String {
    Authority::new("another", Validity::for_next(DAY * 3650)).unwrap().certificate_pem().to_owned()
}

#[rstest]
#[case(401, "Unauthorized", "reach.unauthorized", Grade::Broken)]
#[case(
    403,
    "Forbidden (user=apiserver, verb=get, resource=nodes, subresource(s)=[proxy])",
    "reach.forbidden",
    Grade::Broken
)]
#[case(503, "x509: certificate signed by unknown authority", "reach.unknown-authority", Grade::Broken)]
#[case(503, "dial tcp: connect: connection refused", "reach.network", Grade::Warning)]
fn a_node_that_the_api_server_does_not_reach(
    #[case] code: u16,
    #[case] message: &str,
    #[case] id: &str,
    #[case] grade: Grade,
) {
    let found = with(|snapshot| {
        list(&mut snapshot.nodes)[0].reached = Some(Reached { code, message: message.into() });
    });
    assert_eq!(found, [(id, grade)]);
}

#[test]
fn what_was_not_tried_is_not_known() {
    let mut snapshot = healthy();
    list(&mut snapshot.nodes)[0].reached = None;
    let diagnosis = diagnose(&snapshot);
    assert_eq!(diagnosis.findings, []);
    assert!(diagnosis.unknown[0].contains("nodes/proxy"), "{:?}", diagnosis.unknown);
}
