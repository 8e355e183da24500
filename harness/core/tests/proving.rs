//! What each field of an expectation is worth, what must never happen, and the generic mutator: pure, without a
//! cluster.

mod common;
#[path = "common/story.rs"]
mod story;

use common::{history, read, scenario};
use rstest::rstest;
use serde_json::{Value, json};
use story::{done, file, kubelet, log, step, story};
use tlsboot_core::check::mutate::{Effort, prove};
use tlsboot_core::check::{ExpectationVerdict, Outcome, judge_all};
use tlsboot_core::history::parse;
use tlsboot_core::scenario::{Scenario, load_text};

// --- each field of each kind ---

/// One expectation alone, over the recorded history of a kubelet's start, after changing its events.
fn judged(expectation: &str, change: impl FnOnce(&mut Vec<Value>)) -> ExpectationVerdict {
    let text = format!(
        "\
id: lab.one-field
title: One expectation
requirements: [T-01]
nodes: [{{name: n1, serverTLSBootstrap: true}}]
steps:
  - start: {{node: n1}}
  - expect: {{{expectation}}}
"
    );
    let scenario = load_text("one.yaml", &text).unwrap_or_else(|errors| panic!("{errors:?}"));
    let mut events: Vec<Value> =
        read("history.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    events.retain(|event| {
        event["what"].get("deadline").is_none() && event.pointer("/what/step/index").is_none_or(|index| *index == 0)
    });
    change(&mut events);
    let mut deadline = events[events.len() - 1].clone();
    deadline["what"] = json!({"deadline": {"step": 1}});
    events.push(deadline);
    let lines = events.into_iter().enumerate().map(|(seq, mut event)| {
        event["seq"] = json!(seq);
        format!("{event}\n")
    });
    let verdict = judge_all(&scenario, parse(&lines.collect::<String>()).unwrap());
    verdict.expectations.into_iter().next().unwrap()
}

/// Sets a field in every event of a kind that has it, or has the object that it belongs to.
fn set(kind: &str, pointer: &str, value: &Value, events: &mut [Value]) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let mut hits = 0;
    for event in events.iter_mut().filter_map(|event| event["what"].get_mut(kind)) {
        match event.pointer_mut(parent) {
            Some(Value::Object(fields)) => {
                fields.insert(name.replace("~1", "/"), value.clone());
                hits += 1;
            }
            Some(Value::Array(items)) => {
                if let Some(item) = items.get_mut(name.parse::<usize>().unwrap()) {
                    *item = value.clone();
                    hits += 1;
                }
            }
            _ => {}
        }
    }
    assert!(hits > 0, "no event {kind} has {pointer}: the mutation has no effect");
}

fn fields(verdict: &ExpectationVerdict) -> Vec<&str> {
    let mismatches = verdict.closest.iter().flat_map(|closest| &closest.mismatches);
    mismatches.map(|mismatch| mismatch.field.as_str()).collect()
}

fn assert_red(verdict: &ExpectationVerdict, field: &str) {
    assert!(matches!(verdict.outcome, Some(Outcome::Fail | Outcome::Hang)), "{verdict:#?}");
    let found = fields(verdict);
    let is_named = found.iter().any(|found| *found == field || found.ends_with(&format!(": {field}")));
    assert!(field.is_empty() || is_named, "no `{field}` in {found:?}");
}

/// It passes unchanged. With one field of the events changed it is red for that field (or because no event came, if the
/// field identifies the event that is meant).
#[rstest]
#[case("request: {node: n1, verb: create, resource: nodes}", "request", "/node", json!("n2"), "")]
#[case("request: {node: n1, verb: create, resource: nodes}", "request", "/verb", json!("get"), "")]
#[case("request: {node: n1, verb: create, resource: nodes}", "request", "/resource", json!("pods"), "")]
#[case("request: {node: n1, verb: create, resource: leases, name: n1}", "request", "/name", json!("n2"), "")]
#[case("request: {node: n1, verb: get, resource: leases, reason: Forbidden}", "request", "/reason", json!("Unauthorized"), "reason")]
#[case("request: {node: n1, verb: get, resource: leases, message: cannot get resource}", "request", "/message", json!("no"), "message")]
#[case("request: {node: n1, verb: create, resource: nodes, group: system:nodes}", "request", "/groups", json!([]), "group")]
#[case("csr: {node: n1, role: serving, number: 1, state: pending}", "csr", "/request/subject/commonName", json!("system:node:n2"), "")]
#[case("csr: {node: n1, role: serving, number: 1, state: pending}", "csr", "/signerName", json!("example.com/x"), "")]
#[case("csr: {node: n1, role: client, number: 2}", "csr", "/uid", json!("one"), "")]
#[case("csr: {node: n1, role: serving, number: 1, state: pending}", "csr", "/conditions", json!([{"type": "Approved", "status": "True", "reason": "", "message": ""}]), "state")]
#[case("csr: {node: n1, role: client, number: 1, state: approved}", "csr", "/conditions/0/type", json!("Denied"), "state")]
#[case("csr: {node: n1, role: client, number: 1, state: issued}", "csr", "/certificates", json!([]), "state")]
#[case("csr: {node: n1, signerName: kubernetes.io/kubelet-serving}", "csr", "/signerName", json!("example.com/x"), "signerName")]
#[case("csr: {node: n1, role: client, number: 1, uid: \"10001\"}", "csr", "/userUid", json!("0"), "uid")]
#[case("csr: {node: n1, role: client, number: 2, groups: [system:nodes, system:authenticated]}", "csr", "/groups", json!(["system:nodes", "system:masters"]), "groups")]
#[case("csr: {node: n1, role: client, usages: {exactly: [client auth, digital signature]}}", "csr", "/usages", json!(["client auth"]), "usages")]
#[case("csr: {node: n1, role: client, number: 1, expirationSeconds: none}", "csr", "/expirationSeconds", json!(600), "expirationSeconds")]
#[case("csr: {node: n1, role: serving, number: 1, requestedWith: {certificate: 1}}", "csr", "/extra/authentication.kubernetes.io~1credential-id", json!(["X509SHA256=00"]), "requestedWith")]
#[case("csr: {node: n1, role: client, number: 1, requestedWith: none}", "csr", "/extra", json!({"authentication.kubernetes.io/credential-id": ["X509SHA256=00"]}), "requestedWith")]
#[case("csr: {node: n1, role: client, number: 2, key: new}", "csr", "/request/key/spkiSha256", json!("00"), "key")]
#[case("csr: {node: n1, role: serving, number: 1, dns: [n1]}", "csr", "/request/dns", json!(["n2"]), "dns")]
#[case("csr: {node: n1, role: client, number: 1, hasIPs: false}", "csr", "/request/ips", json!(["192.0.2.2"]), "ips")]
#[case("certificate: {node: n1, role: client}", "csr", "/certificates/0/subject/other", json!(["L=Here"]), "subject")]
#[case("certificate: {node: n1, role: client}", "csr", "/certificates/0/dns", json!(["n1"]), "dns")]
#[case("certificate: {node: n1, role: client}", "csr", "/certificates/0/ips", json!(["192.0.2.2"]), "ips")]
#[case("certificate: {node: n1, role: client}", "csr", "/certificates/0/emails", json!(["a@example.com"]), "emails")]
#[case("certificate: {node: n1, role: client}", "csr", "/certificates/0/uris", json!(["spiffe://example.com/a"]), "uris")]
#[case("certificate: {node: n1, role: client}", "csr", "/certificates/0/subjectKeyId", json!("00"), "subjectKeyIdentifier")]
#[case("certificate: {node: n1, role: client}", "csr", "/certificates/0/otherExtensions", json!(["1.2.3"]), "extensions")]
#[case("certificate: {node: n1, role: client, validFor: 135s}", "csr", "/certificates/0/notAfter", json!("2026-11-24T04:24:33Z"), "notAfter")]
#[case("certificate: {node: n1, role: serving}", "csr", "/certificates/0/dns", json!(["n2"]), "dns")]
#[case("certificate: {node: n1, role: serving}", "csr", "/certificates/0/ips", json!([]), "ips")]
#[case("certificate: {node: n1, role: serving}", "csr", "/certificates/0/extKeyUsage", json!(["client auth"]), "extendedKeyUsage")]
#[case("rotation: {node: n1, role: client, renews: 1}", "csr", "/groups", json!(["system:authenticated"]), "groups")]
#[case("rotation: {node: n1, role: client, renews: 1, anyTime: true}", "csr", "/request/key/spkiSha256", json!("00"), "key")]
#[case("rotation: {node: n1, role: serving, renews: 1}", "csr", "/extra/authentication.kubernetes.io~1credential-id", json!(["X509SHA256=00"]), "credential")]
#[case("file: {node: n1, name: kubelet-client-current.pem}", "file", "/name", json!("other.pem"), "count")]
#[case("file: {node: n1, name: \"kubelet-client-2*.pem\", blocks: [CERTIFICATE, EC PRIVATE KEY]}", "file", "/facts/pem/1/label", json!("PRIVATE KEY"), "blocks")]
#[case("file: {node: n1, name: kubeconfig, refersToLink: true}", "file", "/facts/kubeconfig/clientCertificate", json!("kubelet-client-current.pem"), "refersToLink")]
#[case("file: {node: n1, name: kubeconfig, refersToLink: true}", "file", "/facts/kubeconfig/clientKey", json!("/elsewhere.pem"), "refersToLink")]
#[case("file: {node: n1, name: kubeconfig, refersToLink: true}", "file", "/facts/kubeconfig/embedded", json!(true), "refersToLink")]
#[case("presented: {node: n1, shows: tlsAlert}", "presented", "/refused", json!("no handshake: connection refused"), "handshake")]
#[case("process: {node: n1, state: running}", "process", "/state", json!({"exited": {"code": 1, "asked": false}}), "state")]
#[case("process: {node: n1, state: running}", "process", "/state", json!({"exited": {"signal": 9, "asked": true}}), "state")]
#[case("metric: {node: n1, name: kubelet_certificate_manager_client_expiration_renew_errors, max: 0}", "metrics", "/values/kubelet_certificate_manager_client_expiration_renew_errors", json!("1"), "kubelet_certificate_manager_client_expiration_renew_errors")]
#[case("nodeObject: {node: n1}", "node", "/node", json!("n2"), "")]
#[case("log: {node: n1, contains: Rotating certificates}", "log", "/line", json!("nothing"), "")]
#[case("log: {node: n1, contains: Rotating certificates}", "log", "/component", json!("kube-apiserver"), "")]
#[case("cel: {event: csr, expression: \"event.signerName == 'kubernetes.io/kubelet-serving'\"}", "csr", "/signerName", json!("example.com/x"), "expression")]
#[case("cel: {event: csr, expression: \"at > '2026-11-24T04:22'\"}", "csr", "/name", json!("as it was"), "no red")]
fn each_field_of_an_expectation_counts(
    #[case] expectation: &str,
    #[case] event: &str,
    #[case] pointer: &str,
    #[case] value: Value,
    #[case] field: &str,
) {
    let as_it_is = judged(expectation, |_| {});
    assert_eq!(as_it_is.outcome, Some(Outcome::Pass), "{as_it_is:#?}");
    let changed = judged(expectation, |events| set(event, pointer, &value, events));
    if field == "no red" {
        // The control of this test: fields that an expectation does not mention change nothing.
        assert_eq!(changed.outcome, Some(Outcome::Pass), "{changed:#?}");
    } else {
        assert_red(&changed, field);
    }
}

/// What the recorded history does not show is red without any change, for the right field.
#[rstest]
#[case("csr: {node: n1, role: client, number: 1, named: digest}", "name")]
#[case("csr: {node: n1, role: client, number: 2, key: same}", "key")]
#[case("csr: {node: n1, role: client, number: 1, key: new}", "key")]
#[case("csr: {node: n1, role: client, number: 1, expirationSeconds: 600}", "expirationSeconds")]
#[case("csr: {node: n1, role: client, state: denied}", "state")]
#[case("csr: {node: n1, role: client, state: failed}", "state")]
#[case("csr: {node: n1, role: client, state: deleted}", "state")]
#[case("certificate: {node: n1, role: client, expiresWithCA: true}", "notAfter")]
#[case("certificate: {node: n1, role: client, validFor: 1h}", "notAfter")]
#[case("certificate: {node: n1, role: client, number: 9}", "")]
#[case("file: {node: n1, name: kubelet-client-current.pem, selfSigned: true}", "certificate")]
#[case("file: {node: n1, name: kubelet-client-current.pem, count: 2}", "count")]
#[case("file: {node: n1, name: kubeconfig, refersToLink: false}", "")]
#[case("presented: {node: n1, shows: selfSigned}", "certificate")]
#[case("presented: {node: n1, shows: {certificate: 2}}", "certificate")]
#[case("process: {node: n1, state: exited}", "state")]
#[case("process: {node: n1, state: exited, code: 1}", "state")]
#[case("connections: {node: n1, certificate: 3}", "")]
#[case("metric: {node: n1, name: no_such_metric}", "no_such_metric")]
#[case("metric: {component: kube-controller-manager, name: kubelet_certificate_manager_client_ttl_seconds}", "")]
#[case("log: {component: kube-controller-manager, contains: no such line}", "")]
#[case("cel: {event: csr, expression: \"event.labels.none == 'x'\"}", "expression")]
fn what_is_not_in_the_history_is_red(#[case] expectation: &str, #[case] field: &str) {
    let verdict = judged(expectation, |_| {});
    if expectation.contains("refersToLink: false") {
        // It is false until the kubeconfig is written.
        assert_eq!(verdict.outcome, Some(Outcome::Pass), "{verdict:#?}");
    } else {
        assert_red(&verdict, field);
    }
}

/// Old connections that stay, or no new ones.
#[rstest]
#[case::stay_open("/state/closed", "old connections")]
#[case::no_new_ones("/state", "")]
fn connections_that_are_not_renewed_are_red(#[case] gone: &str, #[case] field: &str) {
    let verdict = judged("connections: {node: n1, certificate: 2}", |events| {
        let renewed =
            events.iter().position(|event| event.pointer("/what/csr/name") == Some(&json!("csr-pvddq"))).unwrap();
        let mut place = 0;
        events.retain(|event| {
            place += 1;
            let goes = event["what"].get("connection").is_some_and(|connection| connection.pointer(gone).is_some());
            place <= renewed || !goes
        });
    });
    assert_red(&verdict, field);
}

/// A second certificate behind the leaf.
#[test]
fn more_than_one_certificate_is_red() {
    let verdict = judged("certificate: {node: n1, role: client}", |events| {
        for event in events.iter_mut().filter_map(|event| event.pointer_mut("/what/csr/certificates")) {
            let items = event.as_array_mut().unwrap();
            items.push(items[0].clone());
        }
    });
    assert_red(&verdict, "certificates");
}

// --- `never` for kinds that evaluate the state ---

/// A kubelet that runs with a file, which is deleted; five seconds without it; and its return at the next start.
fn scenario_with_never(never: &str) -> Scenario {
    let text = format!(
        "\
id: files.never
title: A file must not come again before the next start
requirements: [K-18]
nodes: [{{name: n1}}]
steps:
  - start: {{node: n1}}
  - expect: {{file: {{node: n1, name: kubelet.crt}}, name: made}}
  - expect: {{process: {{node: n1, state: running}}, name: runs}}
  - damage: {{node: n1, file: kubelet.crt, action: delete}}
  - {never}
"
    );
    load_text("never.yaml", &text).unwrap()
}

/// The beginning of each story: the file is there, the kubelet runs.
fn beginning() -> Vec<(u64, Value)> {
    vec![
        (1, step(0, json!("begin"))),
        (1, kubelet(json!("started"))),
        (1, file("kubelet.crt", "created")),
        (2, step(0, done())),
        (2, log()),
        (3, step(3, json!("begin"))),
    ]
}

const NEVER_FILE: &str = "never: {file: {node: n1, name: kubelet.crt}, control: made, for: 5s}";
const NEVER_EXIT: &str = "never: {process: {node: n1, state: running, starts: 2}, control: runs, for: 5s}";

#[rstest]
// Another recorder's event comes before that of the deletion: it says nothing about the file.
#[case::late_record(NEVER_FILE, vec![(3, log()), (3, file("kubelet.crt", "deleted")), (4, step(3, done())), (5, log()), (6, file("kubelet.key", "created"))], Outcome::Pass)]
#[case::comes_again(NEVER_FILE, vec![(3, file("kubelet.crt", "deleted")), (4, step(3, done())), (6, file("kubelet.crt", "created"))], Outcome::Fail)]
#[case::comes_again_at_once(NEVER_FILE, vec![(3, file("kubelet.crt", "deleted")), (3, file("kubelet.crt", "created")), (4, step(3, done()))], Outcome::Fail)]
#[case::comes_after_its_time(NEVER_FILE, vec![(3, file("kubelet.crt", "deleted")), (4, step(3, done())), (10, file("kubelet.crt", "created"))], Outcome::Pass)]
#[case::never_went(NEVER_FILE, vec![(4, step(3, done())), (5, log())], Outcome::Fail)]
#[case::never_went_and_nothing_else_came(NEVER_FILE, vec![(4, step(3, done()))], Outcome::Fail)]
#[case::one_process(NEVER_EXIT, vec![(4, step(3, done())), (5, log())], Outcome::Pass)]
#[case::another_process(NEVER_EXIT, vec![(4, step(3, done())), (5, kubelet(json!({"exited": {"code": 0, "asked": false}}))), (6, kubelet(json!("started")))], Outcome::Fail)]
fn what_stands_is_judged_where_it_can_change(
    #[case] never: &str,
    #[case] rest: Vec<(u64, Value)>,
    #[case] outcome: Outcome,
) {
    let mut events = beginning();
    events.extend(rest);
    events.push((11, json!({"deadline": {"step": 4}})));
    let verdict = judge_all(&scenario_with_never(never), story("1.37.2", &events));
    assert_eq!(verdict.outcome, outcome, "{verdict:#?}");
}

/// A `never` whose control or `after` does not apply to this version proves nothing there.
#[test]
fn a_never_without_its_control_is_an_error() {
    let text = scenario_with_never(NEVER_FILE).text.replace("name: made", "name: made, kubernetes: \">=1.36\"");
    let scenario = load_text("never.yaml", &text).unwrap();
    let mut events = beginning();
    events.extend([(3, file("kubelet.crt", "deleted")), (4, step(3, done())), (11, json!({"deadline": {"step": 4}}))]);
    let verdict = judge_all(&scenario, story("1.37.2", &events));
    assert_eq!(verdict.outcome, Outcome::Pass, "{verdict:#?}");
    let verdict = judge_all(&scenario, story("1.33.0", &events));
    assert_eq!(verdict.outcome, Outcome::Error, "{verdict:#?}");
    assert!(verdict.error.unwrap().contains("`made` is for other versions"));
}

/// A kubelet's own pair, and what its port presents.
#[rstest]
#[case::as_it_is("", json!(null), None)]
#[case::foreign_key("/file/facts/pem/0/privateKey/spkiSha256", json!("00"), Some(("file", "key")))]
#[case::other_on_the_port("/presented/chain/0/sha256", json!("00"), Some(("presented", "certificate")))]
fn a_self_signed_pair_belongs_together(#[case] pointer: &str, #[case] value: Value, #[case] red: Option<(&str, &str)>) {
    let scenario = "\
id: files.pair
title: The pair belongs together and is shown
requirements: [K-18]
nodes: [{name: n1}]
steps:
  - start: {node: n1}
  - expect: {file: {node: n1, name: kubelet.crt, selfSigned: true}}
  - expect: {presented: {node: n1, shows: selfSigned}}
";
    let certificate: Value = read("history.jsonl")
        .lines()
        .find_map(|line| serde_json::from_str::<Value>(line).unwrap().pointer("/what/csr/certificates/0").cloned())
        .unwrap();
    let (mut crt, mut key) = (file("kubelet.crt", "created"), file("kubelet.key", "created"));
    crt["file"]["facts"]["pem"] = json!([{"label": "CERTIFICATE", "certificate": certificate}]);
    key["file"]["facts"]["pem"] = json!([{"label": "RSA PRIVATE KEY", "privateKey": certificate["key"]}]);
    let presented = json!({"presented": {"node": "n1", "chain": [certificate]}});
    let mut whats = [key, crt, presented];
    for what in &mut whats {
        if let Some(field) = what.pointer_mut(pointer).filter(|_| !pointer.is_empty()) {
            *field = value.clone();
        }
    }
    let mut events = vec![
        (0, json!({"recorder": {"recorder": "presented", "state": "started"}})),
        (1, step(0, json!("begin"))),
        (2, step(0, done())),
    ];
    events.extend(whats.map(|what| (3, what)));
    events.extend([1, 2].map(|step| (9, json!({"deadline": {"step": step}}))));
    let verdict = judge_all(&load_text("pair.yaml", scenario).unwrap(), story("1.37.2", &events));
    match red {
        None => assert_eq!(verdict.outcome, Outcome::Pass, "{verdict:#?}"),
        Some((kind, field)) => {
            let is_red = |own: &&ExpectationVerdict| own.outcome == Some(Outcome::Fail);
            let red = verdict.expectations.iter().find(is_red).unwrap();
            assert_eq!(red.kind, kind);
            assert_red(red, field);
        }
    }
}

/// How a kubelet exited.
#[rstest]
#[case(json!({"exited": {"code": 1, "asked": false}}), None)]
#[case(json!({"exited": {"code": 2, "asked": false}}), Some("code"))]
#[case(json!({"exited": {"signal": 9, "asked": false}}), Some("code"))]
#[case(json!({"exited": {"code": 1, "asked": true}}), Some("state"))]
fn how_a_process_ended_counts(#[case] state: Value, #[case] field: Option<&str>) {
    let scenario = "\
id: recovery.exit
title: It exits with code 1
requirements: [K-01]
nodes: [{name: n1}]
steps:
  - start: {node: n1}
  - expect: {process: {node: n1, state: exited, code: 1}}
";
    let mut events = beginning();
    events.truncate(5);
    events.extend([(3, kubelet(state)), (9, json!({"deadline": {"step": 1}}))]);
    let verdict = judge_all(&load_text("exit.yaml", scenario).unwrap(), story("1.37.2", &events));
    match field {
        None => assert_eq!(verdict.outcome, Outcome::Pass, "{verdict:#?}"),
        Some(field) => assert_red(&verdict.expectations[0], field),
    }
}

#[rstest]
#[case::by_klog("1.20.15", 255)]
#[case::since_then("1.21.14", 1)]
#[case::today("1.37.2", 1)]
fn a_kubelet_gives_up_with_the_code_of_its_version(#[case] version: &str, #[case] right: i32) {
    let scenario = "\
id: recovery.exit
title: It gives up
requirements: [K-01]
nodes: [{name: n1}]
steps:
  - start: {node: n1}
  - expect: {process: {node: n1, state: failed}}
";
    for code in [0, 1, 255] {
        let mut events = beginning();
        events.truncate(5);
        let exited = kubelet(json!({"exited": {"code": code, "asked": false}}));
        events.extend([(3, exited), (9, json!({"deadline": {"step": 1}}))]);
        let scenario = load_text("exit.yaml", scenario).unwrap();
        let verdict = judge_all(&scenario, story(version, &events));
        match code == right {
            true => assert_eq!(verdict.outcome, Outcome::Pass, "{verdict:#?}"),
            false => assert_red(&verdict.expectations[0], "code"),
        }
    }
}

// --- the generic mutator ---

#[test]
fn every_expectation_of_every_kind_can_be_turned_red() {
    let proofs = prove(&scenario(), &history(), Effort::First).unwrap();
    let survivors: Vec<_> = proofs.iter().filter(|proof| proof.survives()).collect();
    assert!(survivors.is_empty(), "{survivors:#?}");
    assert_eq!(proofs.len(), judge_all(&scenario(), history()).expectations.len());
}

/// An expectation that cannot fail is found: here the log says nothing that could be dropped, and no file ever has that
/// name.
#[test]
fn an_expectation_that_cannot_fail_survives() {
    let never = "never: {file: {node: n1, name: kubelet.crt, mode: \"0600\", kind: link}, control: made, for: 5s}";
    let mut events = beginning();
    events.extend([(3, file("kubelet.crt", "deleted")), (4, step(3, done())), (11, json!({"deadline": {"step": 4}}))]);
    let proofs = prove(&scenario_with_never(never), &story("1.37.2", &events), Effort::All).unwrap();
    let survives: Vec<bool> = proofs.iter().map(|proof| proof.survives()).collect();
    assert_eq!(survives, [false, false, true], "{proofs:#?}");
}

#[test]
fn a_history_that_does_not_pass_is_not_mutated() {
    let verdict = prove(&scenario(), &history()[..100], Effort::First).unwrap_err();
    assert_eq!(verdict.outcome, Outcome::Error);
}
