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

use super::rbac::NODE_CLIENT;
use super::{Grade, diagnose};
use crate::doctor::snapshot::{
    Ability, Grant, NodeFacts, Review, Right, Seen, Served, Snapshot, Subject, TokenFacts, Who,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn facts(issued: &Issued) -> CertificateFacts {
    of_pem(&issued.certificate_pem)
}

fn of_pem(pem: &str) -> CertificateFacts {
    read::certificates_from_pem(pem.as_bytes()).unwrap().remove(0)
}

fn condition(kind: &str, reason: &str) -> CsrCondition {
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
    Review { who, groups: groups.iter().map(|&group| group.into()).collect(), may: may.iter().copied().collect() }
}

fn token(id: &str) -> TokenFacts {
    TokenFacts {
        id: id.into(),
        expires: Some(Timestamp::now() + SignedDuration::from_hours(5)),
        groups: vec!["system:bootstrappers".into()],
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
            ready: "True".into(),
            host_names: vec!["n1".into()],
            addresses: vec![[192, 0, 2, 7].into()],
            served: Served::Certificate(Box::new(facts(&served))),
        }]),
        client_cas: Seen::Is(vec![of_pem(ca.certificate_pem())]),
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
    let client = diagnosis.nodes[0].client.as_ref().unwrap();
    assert!(client.renews_from.unwrap() < client.renews_to.unwrap());
    assert_eq!(diagnosis.signers.len(), 2);
    let deciders: Vec<&str> = diagnosis.approvers.iter().map(|approver| approver.who.as_str()).collect();
    assert_eq!(deciders, ["kube-controller-manager", "a person, by kubectl"]);
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
        role: NODE_CLIENT.into(),
        subject: Subject { kind: "Group".into(), name: "system:authenticated".into(), namespace: None },
        abilities: BTreeSet::from([Ability::NodeClient]),
    });
    let finding = &diagnose(&snapshot).findings[0];
    assert!(finding.mend[0].starts_with("kubectl edit clusterrolebinding wide "), "{finding:?}");
}

#[rstest]
#[case::nobody_approves(Role::Client, "n1", &[], 60, &[("approver.absent", Grade::Broken)])]
#[case::it_has_just_come(Role::Client, "n1", &[], 2, &[])]
#[case::nobody_signs(Role::Client, "n1", &["Approved"], 60, &[("signer.absent", Grade::Broken)])]
#[case::refused(Role::Client, "n1", &["Approved", "Failed"], 60, &[("signer.refused", Grade::Warning)])]
#[case::denied(Role::Client, "n1", &["Denied"], 60, &[("csr.denied", Grade::Warning)])]
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
    assert_eq!(found, [("csr.unrecognised", Grade::Warning)]);
}

#[rstest]
#[case::foreign_host(AltName::Dns("www.example.com".into()), "system:node:n1", "ByRogue", &[("approver.foreign-names", Grade::Hole)])]
#[case::by_hand(AltName::Dns("www.example.com".into()), "system:node:n1", "KubectlApprove", &[("approver.foreign-names", Grade::Warning)])]
#[case::own(AltName::Ip([192, 0, 2, 7].into()), "system:node:n1", "ByRogue", &[])]
#[case::requester(AltName::Ip([192, 0, 2, 7].into()), "system:node:n2", "ByRogue", &[("approver.foreign-names", Grade::Hole)])]
fn names_that_are_not_the_nodes(
    #[case] name: AltName,
    #[case] user: &str,
    #[case] reason: &str,
    #[case] findings: &[(&str, Grade)],
) {
    let found = with(|snapshot| {
        let serving = &mut list(&mut snapshot.csrs)[1];
        let mut other = csr(Role::Serving, user, RequestBuilder::node("n1").alt_names([name]));
        other.conditions = vec![condition("Approved", reason)];
        other.certificates = serving.certificates.clone();
        *serving = other;
    });
    assert_eq!(found, findings);
}

#[test]
fn an_approver_that_takes_what_is_no_kubelets_is_a_hole() {
    let found = with(|snapshot| {
        list(&mut snapshot.csrs)[0].request.subject.organizations.push("system:masters".into());
        list(&mut snapshot.csrs)[0].conditions[0].reason = "ByRogue".into();
    });
    assert_eq!(found, [("approver.too-much", Grade::Hole)]);
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
    });
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
    });
    assert_eq!(found, []);
}

#[test]
fn a_node_that_serves_nothing() {
    let alert = |snapshot: &mut Snapshot| {
        list(&mut snapshot.nodes)[0].served = Served::Alert("internal error".into());
    };
    assert_eq!(with(alert), [("serving.none", Grade::Broken)]);
    let found = with(|snapshot| {
        alert(snapshot);
        let mut waiting = csr(Role::Serving, "system:node:n1", RequestBuilder::node("n1"));
        waiting.name = "csr-w".into();
        list(&mut snapshot.csrs).push(waiting);
    });
    assert_eq!(found, [("serving.pending", Grade::Broken)]);
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
    snapshot.client_cas = Seen::Refused(right);
    let diagnosis = diagnose(&snapshot);
    assert_eq!(diagnosis.findings, []);
    assert_eq!(diagnosis.missing.len(), 6);
}

#[test]
fn a_snapshot_can_be_written_down_and_read_back() {
    let snapshot = healthy();
    let json = serde_json::to_string(&snapshot).unwrap();
    let read: Snapshot = serde_json::from_str(&json).unwrap();
    assert_eq!(diagnose(&read), diagnose(&snapshot));
}
