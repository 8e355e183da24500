//! Every check has been seen failing: a history recorded on Kubernetes 1.37.2 is judged as it is, and then with one
//! thing changed at a time.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use common::{history, read, scenario};
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};
use tlsboot_core::check::{KINDS, Outcome, Verdict, judge_all};
use tlsboot_core::history::parse;
use tlsboot_core::scenario::load_text;

/// Judges the history after a change of its events, as JSON.
fn judge_changed(change: impl Fn(&mut Vec<Value>)) -> Verdict {
    let mut events: Vec<Value> =
        read("history.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    change(&mut events);
    let text: String = events
        .into_iter()
        .enumerate()
        .map(|(seq, mut event)| {
            event["seq"] = json!(seq);
            format!("{event}\n")
        })
        .collect();
    judge_all(&scenario(), parse(&text).unwrap())
}

/// Sets a field in every event of a kind, where it exists.
fn set(kind: &str, pointer: &str, value: &Value, events: &mut [Value]) {
    let mut hits = 0;
    for event in events.iter_mut().filter_map(|event| event["what"].get_mut(kind)) {
        if let Some(field) = event.pointer_mut(pointer) {
            *field = value.clone();
            hits += 1;
        }
    }
    assert!(hits > 0, "no event {kind} has {pointer}: the mutation has no effect");
}

/// The expectation of this kind that is red, and the fields in which it differs.
fn red(verdict: &Verdict) -> (String, Vec<String>) {
    let red = verdict
        .expectations
        .iter()
        .find(|expectation| matches!(expectation.outcome, Some(Outcome::Fail | Outcome::Hang)));
    let red = red.unwrap_or_else(|| panic!("nothing is red: {verdict:#?}"));
    let fields = red.closest.iter().flat_map(|closest| &closest.mismatches).map(|mismatch| mismatch.field.clone());
    (red.kind.clone(), fields.collect())
}

#[test]
fn the_recorded_history_passes_and_has_every_kind() {
    let verdict = judge_all(&scenario(), history());
    assert_eq!(verdict.outcome, Outcome::Pass, "{verdict:#?}");
    for kind in KINDS {
        assert!(
            verdict.expectations.iter().any(|expectation| expectation.kind == *kind),
            "no expectation of the kind {kind}"
        );
    }
}

/// What each kind evaluates. Without these events it must not pass.
#[rstest]
#[case("request", "request")]
#[case("csr", "csr")]
#[case("file", "file")]
#[case("presented", "presented")]
#[case("process", "process")]
#[case("connection", "connections")]
#[case("metrics", "metric")]
#[case("node", "nodeObject")]
#[case("log", "log")]
fn without_its_events_nothing_passes(#[case] event: &str, #[case] expectation: &str) {
    let verdict = judge_changed(|events| events.retain(|known| known["what"].get(event).is_none()));
    assert_ne!(verdict.outcome, Outcome::Pass);
    let of_kind = verdict.expectations.iter().filter(|verdict| verdict.kind == expectation && !verdict.never);
    for verdict in of_kind {
        assert_ne!(verdict.outcome, Some(Outcome::Pass), "line {}", verdict.line);
    }
}

#[rstest]
#[case("csr")]
#[case("audit")]
#[case("files")]
#[case("presented")]
#[case("process")]
#[case("link")]
#[case("metrics")]
#[case("node")]
#[case("log")]
fn a_recorder_that_lost_events_or_never_started_is_an_error(#[case] recorder: &str) {
    let gap = json!({"at": "2026-11-24T00:00:00Z", "seen": "2026-11-24T00:00:00Z", "mono": 1, "seq": 0,
        "what": {"recorder": {"recorder": recorder, "state": {"gap": "the queue was full"}}}});
    let verdict = judge_changed(|events| events.insert(1, gap.clone()));
    assert_eq!(verdict.outcome, Outcome::Error, "{:?}", verdict.error);
    let verdict = judge_changed(|events| events.retain(|event| event["what"]["recorder"]["recorder"] != recorder));
    assert_eq!(verdict.outcome, Outcome::Error, "{:?}", verdict.error);
}

/// What came late or not at all on a machine that had no time for it says nothing about the cluster. What is green stays so.
#[rstest]
#[case::busy(2_000, 60_000, true)]
#[case::used(20_000, 40_000, false)]
#[case::a_moment(10, 1_900, false)]
fn a_red_verdict_of_a_slow_machine_is_an_error(#[case] worked: u64, #[case] waited: u64, #[case] too_slow: bool) {
    let load = |events: &mut Vec<Value>, at: &dyn Fn(&Value) -> bool| {
        let place = events.iter().position(at).unwrap();
        let mut load = events[place].clone();
        load["what"] = json!({"load": {"workedMs": worked, "waitedMs": waited}});
        events.insert(place + 1, load);
    };
    let first_step = |event: &Value| event["what"]["step"]["phase"] == "begin";
    let head = |event: &Value| event["seq"] == 0;
    let break_it = |events: &mut Vec<Value>| set("csr", "/certificates/0/version", &json!(1), events);

    let slow = judge_changed(|events| {
        break_it(events);
        load(events, &first_step);
    });
    assert_eq!(slow.outcome == Outcome::Error, too_slow, "{slow:#?}");
    assert_eq!(slow.error.unwrap_or_default().contains("the machine was too slow"), too_slow);
    red(&judge_changed(break_it));
    let slow_before = judge_changed(|events| {
        break_it(events);
        load(events, &head);
    });
    assert_eq!(slow_before.outcome, Outcome::Fail, "it is not about the time before the stimulus");
    let green = judge_changed(|events| load(events, &first_step));
    assert_eq!(green.outcome, Outcome::Pass, "{green:#?}");
}

/// One field of the recorded events is changed: exactly the expectation about it turns red, and for that field.
#[rstest]
// what a signer could do wrong (catalogue S-05, S-07)
#[case("csr", "/certificates/0/version", json!(1), "certificate", "version")]
#[case("csr", "/certificates/0/subject/commonName", json!("system:node:n2"), "certificate", "subject.commonName")]
#[case("csr", "/certificates/0/subject/organizations", json!(["system:masters"]), "certificate", "subject.organizations")]
#[case("csr", "/certificates/0/subject/organizations", json!(["system:nodes", "system:masters"]), "certificate", "subject.organizations")]
#[case("csr", "/certificates/0/keyUsage", json!(["digital signature", "cert sign"]), "certificate", "keyUsage")]
#[case("csr", "/certificates/0/keyUsageCritical", json!(false), "certificate", "keyUsage")]
#[case("csr", "/certificates/0/extKeyUsage", json!(["client auth", "server auth"]), "certificate", "extendedKeyUsage")]
#[case("csr", "/certificates/0/extKeyUsageCritical", json!(true), "certificate", "extendedKeyUsage")]
#[case("csr", "/certificates/0/ca", json!(true), "certificate", "basicConstraints")]
#[case("csr", "/certificates/0/basicConstraintsCritical", json!(false), "certificate", "basicConstraints")]
#[case("csr", "/certificates/0/authorityKeyId", json!("00"), "certificate", "authorityKeyIdentifier")]
#[case("csr", "/certificates/0/serial", json!("0"), "certificate", "serial")]
#[case("csr", "/certificates/0/serial", json!("1ffffffffffffffffffffffffffffffff"), "certificate", "serial")]
#[case("csr", "/certificates/0/key/spkiSha256", json!("00"), "certificate", "key")]
#[case("csr", "/certificates/0/notAfter", json!("2027-11-24T00:00:00Z"), "certificate", "notAfter")]
#[case("csr", "/certificates/0/notBefore", json!("2026-11-24T00:00:00Z"), "certificate", "notBefore")]
#[case("csr", "/certificates/0/der", json!("MAA="), "certificate", "chain")]
#[case("signing", "/durationSeconds", json!(136), "certificate", "notAfter")]
// what a kubelet could request wrongly
#[case("csr", "/usages", json!(["digital signature", "client auth", "server auth"]), "csr", "usages")]
#[case("csr", "/username", json!("system:anonymous"), "csr", "requestor")]
#[case("csr", "/name", json!("node-csr-x"), "csr", "name")]
#[case("csr", "/conditions/0/reason", json!("KubectlApprove"), "csr", "reason")]
#[case("csr", "/conditions/0/message", json!("because"), "csr", "message")]
#[case("csr", "/request/ips", json!([]), "csr", "ips")]
#[case("csr", "/request/key/spkiSha256", json!("00"), "certificate", "key")]
// what the API server could answer or record wrongly
#[case("request", "/code", json!(200), "request", "code")]
#[case("request", "/user", json!("system:anonymous"), "request", "user")]
#[case("request", "/credentialId", json!("X509SHA256=00"), "request", "certificate")]
#[case("step", "/phase/done/answer/code", json!(201), "answer", "code")]
#[case("step", "/phase/done/answer/reason", json!("Invalid"), "answer", "reason")]
#[case("step", "/phase/done/answer/message", json!("no"), "answer", "message")]
// what a kubelet could do wrongly with its files, its port, its connections and itself
#[case("file", "/facts/mode", json!("0644"), "file", "mode")]
#[case("file", "/facts/kind", json!("file"), "file", "kind")]
#[case("file", "/facts/target", json!("kubelet-client-2026.pem"), "file", "pointsTo")]
#[case("file", "/facts/pem/0/certificate/sha256", json!("00"), "file", "certificate")]
#[case("file", "/facts/pem/1/privateKey/spkiSha256", json!("00"), "file", "key")]
#[case("presented", "/chain/0/sha256", json!("00"), "presented", "certificate")]
#[case("connection", "/state/closed/by", json!("server"), "connections", "closed by")]
#[case("metrics", "/values/kubelet_certificate_manager_client_ttl_seconds", json!("1e9"), "metric", "kubelet_certificate_manager_client_ttl_seconds")]
#[case("metrics", "/values/kubelet_certificate_manager_client_ttl_seconds", json!("+Inf"), "metric", "kubelet_certificate_manager_client_ttl_seconds")]
#[case("node", "/ready", json!("False"), "nodeObject", "state")]
fn one_changed_field_turns_its_expectation_red(
    #[case] event: &str,
    #[case] pointer: &str,
    #[case] value: Value,
    #[case] kind: &str,
    #[case] field: &str,
) {
    let only = |verdict: &Verdict| {
        verdict.expectations.iter().filter(|expectation| expectation.kind == kind).cloned().collect::<Vec<_>>()
    };
    let verdict = judge_of_kind(kind, |events| set(event, pointer, &value, events));
    let closest =
        only(&verdict).into_iter().filter(|verdict| matches!(verdict.outcome, Some(Outcome::Fail | Outcome::Hang)));
    let fields: Vec<String> = closest
        .flat_map(|verdict| verdict.closest)
        .flat_map(|closest| closest.mismatches)
        .map(|mismatch| mismatch.field)
        .collect();
    assert!(
        fields.iter().any(|found| found == field || found.ends_with(&format!(": {field}"))),
        "{kind} is red for {fields:?}: {verdict:#?}"
    );
}

/// Judges only the expectations of one kind, so that another one that turns red first does not hide it.
fn judge_of_kind(kind: &str, change: impl Fn(&mut Vec<Value>)) -> Verdict {
    let mut scenario = scenario();
    scenario.steps.retain(|step| match &step.value {
        tlsboot_core::scenario::Step::Expect(expect) => expect.matchers().iter().any(|(known, _)| *known == kind),
        tlsboot_core::scenario::Step::Never(_) => false,
        _ => true,
    });
    for step in &mut scenario.steps {
        if let tlsboot_core::scenario::Step::Expect(expect) = &mut step.value {
            // The expectation that it comes `after` is of another kind.
            expect.after = None;
        }
    }
    // Steps are renumbered, and the history uses the old numbers.
    let kept: Vec<u64> = scenario.steps.iter().map(|step| step.referenced.line()).collect();
    let all = self::scenario();
    let place = |old: usize| kept.iter().position(|line| *line == all.steps[old].referenced.line());
    let mut events: Vec<Value> =
        read("history.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    change(&mut events);
    let mut told: Vec<Value> = Vec::new();
    for mut event in events {
        if let Some(old) = event.pointer("/what/step/index").and_then(Value::as_u64) {
            let new = place(old as usize).unwrap();
            event["what"]["step"]["index"] = json!(new);
            if event["what"]["step"]["phase"] == "begin" {
                // The time for everything before is over.
                told.extend((0..new).map(|step| deadline(step, &event)));
            }
        }
        if event["what"].get("deadline").is_none() {
            told.push(event);
        }
    }
    let last = told[told.len() - 1].clone();
    told.extend((0..scenario.steps.len()).map(|step| deadline(step, &last)));
    for (seq, event) in told.iter_mut().enumerate() {
        event["seq"] = json!(seq);
    }
    let text: String = told.iter().map(|event| format!("{event}\n")).collect();
    judge_all(&scenario, parse(&text).unwrap())
}

fn deadline(step: usize, beside: &Value) -> Value {
    let mut event = beside.clone();
    event["what"] = json!({"deadline": {"step": step}});
    event
}

/// A link that is swapped in a different way, and a kubelet that was started twice.
#[rstest]
#[case::renamed_from_elsewhere("linkSwap", "rename", |event: &mut Value| {
    if event["what"]["file"]["op"] == "movedFrom" { event["what"]["file"]["cookie"] = json!(7) }
})]
#[case::atomic("linkSwap", "removal", |event: &mut Value| {
    if event["what"]["file"]["op"] == "deleted" { event["what"]["file"]["op"] = json!("attributes") }
})]
#[case::started_twice("process", "starts", |event: &mut Value| {
    if event["what"]["process"]["component"] == "etcd" {
        event["what"]["process"]["component"] = json!("kubelet");
        event["what"]["process"]["node"] = json!("n1");
    }
})]
fn another_sequence_of_events_is_red(#[case] kind: &str, #[case] field: &str, #[case] change: fn(&mut Value)) {
    let verdict = judge_of_kind(kind, |events| events.iter_mut().for_each(change));
    let (red, fields) = red(&verdict);
    assert_eq!(red, kind);
    assert!(fields.iter().any(|found| found == field), "{fields:?}");
}

/// A renewal at the wrong time, with an old key, or by someone else.
#[rstest]
#[case::too_early("/at", json!("2026-11-24T04:22:20Z"), "time")]
#[case::reused_key("/what/csr/request/key/spkiSha256", Value::Null, "key")]
#[case::by_the_bootstrap_user("/what/csr/username", json!("kubelet-bootstrap"), "requestor")]
#[case::with_another_certificate("/what/csr/extra/authentication.kubernetes.io~1credential-id/0", json!("X509SHA256=00"), "credential")]
fn a_wrong_renewal_is_red(#[case] pointer: &str, #[case] value: Value, #[case] field: &str) {
    let verdict = judge_changed(|events| {
        let first_key =
            events.iter().find_map(|event| event.pointer("/what/csr/request/key/spkiSha256")).cloned().unwrap();
        let renewal = events
            .iter_mut()
            .filter(|event| event.pointer("/what/csr/username") == Some(&json!("system:node:n1")))
            .find(|event| {
                event.pointer("/what/csr/signerName") == Some(&json!("kubernetes.io/kube-apiserver-client-kubelet"))
            });
        let target = renewal.unwrap().pointer_mut(pointer).unwrap();
        *target = if value.is_null() { first_key } else { value.clone() };
    });
    let (kind, fields) = red(&verdict);
    assert_eq!(kind, "rotation", "{verdict:#?}");
    assert!(fields.iter().any(|found| found == field), "{fields:?}");
}

#[test]
fn what_must_never_come_is_red_when_it_comes() {
    let verdict = judge_changed(|events| {
        let place =
            events.iter().position(|event| event.pointer("/what/step/name") == Some(&json!("odd"))).unwrap() + 2;
        let mut forbidden = events.iter().find(|event| event["what"].get("csr").is_some()).unwrap().clone();
        forbidden["what"]["csr"]["request"]["subject"]["commonName"] = json!("system:node:n2");
        forbidden["what"]["csr"]["uid"] = json!("another");
        (forbidden["at"], forbidden["mono"]) = (events[place]["at"].clone(), events[place]["mono"].clone());
        events.insert(place, forbidden);
    });
    let red = verdict.expectations.iter().find(|verdict| verdict.outcome == Some(Outcome::Fail)).unwrap();
    assert!(red.never && red.kind == "csr", "{red:?}");
}

#[test]
fn a_history_that_was_cut_off_proves_nothing() {
    let events = history();
    let decided =
        judge_all(&scenario(), history()).expectations.iter().flat_map(|verdict| verdict.events.clone()).max().unwrap();
    for length in (0..decided as usize).step_by(7) {
        let verdict = judge_all(&scenario(), events[..length].to_vec());
        assert_ne!(verdict.outcome, Outcome::Pass, "after {length} events");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens to a history, judging it terminates, and the same history gives the same verdict.
    #[test]
    fn judging_is_total_and_repeatable(drops in prop::collection::vec(0_usize..278, 0..40), swaps in prop::collection::vec((0_usize..278, 0_usize..278), 0..20)) {
        let change = |events: &mut Vec<Value>| {
            for (a, b) in &swaps {
                events.swap(1 + a % 270, 1 + b % 270);
            }
            for drop in &drops {
                events.remove(1 + drop % (events.len() - 1));
            }
        };
        prop_assert_eq!(judge_changed(change), judge_changed(change));
    }

    /// A duplicate event changes nothing.
    #[test]
    fn a_repeated_event_changes_no_verdict(place in 1_usize..277) {
        let verdict = judge_changed(|events| {
            let is_step = events[place]["what"].get("step").is_some() || events[place]["what"].get("process").is_some();
            if !is_step {
                events.insert(place, events[place].clone());
            }
        });
        prop_assert_eq!(verdict.outcome, Outcome::Pass);
    }
}

/// The fields of a history that hold times or numbers: the kind of event, and the path in it without list positions.
fn shapes(value: &Value, path: String, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| shapes(value, format!("{path}/{key}"), found)),
        Value::Array(items) => items.iter().for_each(|value| shapes(value, format!("{path}/*"), found)),
        Value::Number(_) => drop(found.insert(path)),
        Value::String(text) if text.parse::<jiff::Timestamp>().is_ok() => drop(found.insert(path)),
        _ => {}
    }
}

/// Sets all fields of a shape: texts to one value, numbers to another.
fn set_all(value: &mut Value, path: &str, text: &str, number: &Value) {
    match (path.strip_prefix('/').map(|path| path.split_once('/').unwrap_or((path, ""))), value) {
        (None, Value::Number(old)) => *old = number.as_number().unwrap().clone(),
        (None, Value::String(old)) => *old = text.to_owned(),
        (Some(("*", rest)), Value::Array(items)) => {
            items.iter_mut().for_each(|item| set_all(item, &below(rest), text, number));
        }
        (Some((key, rest)), Value::Object(fields)) => {
            if let Some(field) = fields.get_mut(key) {
                set_all(field, &below(rest), text, number);
            }
        }
        _ => {}
    }
}

fn below(rest: &str) -> String {
    if rest.is_empty() { String::new() } else { format!("/{rest}") }
}

/// A history, and any certificate in it, is untrusted: no time and no number may crash the judge.
#[test]
fn times_and_numbers_at_their_ends_are_judged() {
    let lines: Vec<Value> = read("history.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut found = BTreeSet::new();
    lines.iter().for_each(|line| shapes(line, String::new(), &mut found));
    assert!(found.iter().any(|shape| shape.ends_with("/notBefore")) && found.contains("/at"), "{found:?}");
    let ends = [
        ("9999-12-30T22:00:00Z", json!(i64::MAX)),
        ("-009999-01-02T01:59:59Z", json!(i64::MIN)),
        ("1970-01-01T00:00:00Z", json!(u64::MAX)),
    ];
    let mut judged = 0;
    for shape in found.iter().filter(|shape| *shape != "/seq") {
        for (text, number) in &ends {
            let mut changed = lines.clone();
            changed.iter_mut().for_each(|line| set_all(line, shape, text, number));
            let changed: String = changed.iter().map(|line| format!("{line}\n")).collect();
            // Some fields have limits of their own.
            if let Ok(events) = parse(&changed) {
                let _ = judge_all(&scenario(), events.clone());
                let _ = tlsboot_core::diff::Features::of(&events);
                judged += 1;
            }
        }
    }
    assert!(judged > 30, "{judged}");
}

/// The watch may show all of a CSR before the step that submitted it is done and its name is known.
#[test]
fn submitted_csr_is_judged_when_its_name_is_known() {
    let verdict = judge_changed(|events| {
        let is_done = |event: &Value| {
            event["what"]["step"]["name"] == "own" && event["what"]["step"]["phase"].get("done").is_some()
        };
        let place = events.iter().position(is_done).unwrap();
        let mut done = events.remove(place);
        let is_issued = |event: &Value| event["what"]["csr"].get("certificates").is_some();
        let issued = events.iter().rposition(is_issued).unwrap();
        for time in ["at", "seen", "mono"] {
            done[time] = events[issued][time].clone();
        }
        events.insert(issued + 1, done);
    });
    assert_eq!(verdict.outcome, Outcome::Pass, "{verdict:#?}");
}

/// A state that was reached in the moment between two steps is seen by the `never` after them.
#[rstest]
#[case::approved_between_the_steps(true, Outcome::Fail)]
#[case::not_approved(false, Outcome::Error)]
fn what_must_never_come_may_not_be_there_already(#[case] approved: bool, #[case] outcome: Outcome) {
    let scenario = "\
id: approval.between
title: A CSR that must never be approved
requirements: [P-02]
steps:
  - submit: {name: bad, as: {token: staticToken}, role: client, node: n1}
  - expect: {answer: {code: 201}}
  - submit: {name: good, as: {token: staticToken}, role: client, node: n1}
  - expect:
      csr: {submitted: good, state: issued}
      name: good
  - never:
      csr: {submitted: bad, state: approved}
      control: good
      for: 1s
";
    let scenario = load_text("scenarios/approval/between.yaml", scenario).unwrap();
    let first = history().into_iter().next().unwrap();
    let begin = serde_json::to_value(first).unwrap()["what"].clone();
    let step = |index: usize, name: &str, phase: Value| json!({"step": {"index": index, "stimulus": "submit", "name": name, "phase": phase}});
    let csr = |change: &str, conditions: Value| {
        json!({"csr": {
            "change": change, "name": "csr-bad", "uid": "u", "resourceVersion": "1", "created": "2026-01-01T00:00:00Z",
            "signerName": "kubernetes.io/kube-apiserver-client-kubelet", "username": "kubelet-bootstrap", "usages": ["digital signature", "client auth"],
            "request": {"subject": {"commonName": "system:node:n1"}, "key": {"algorithm": "ECDSA", "parameters": "P-256", "spkiSha256": "00"}, "signatureValid": true},
            "conditions": conditions,
        }})
    };
    let answer = json!({"done": {"proof": "answered with 201", "answer": {"code": 201, "object": "csr-bad"}}});
    let mut whats = vec![begin, step(0, "bad", json!("begin")), csr("added", json!([])), step(0, "bad", answer)];
    if approved {
        let approval = json!([{"type": "Approved", "status": "True", "reason": "AutoApproved", "message": ""}]);
        whats.push(csr("modified", approval));
    }
    whats.push(step(2, "good", json!("begin")));
    let lines: String = whats
        .into_iter()
        .enumerate()
        .map(|(seq, what)| {
            let at = format!("2026-01-01T00:00:{seq:02}Z");
            format!("{}\n", json!({"seq": seq, "at": at, "seen": at, "mono": seq * 1_000_000, "what": what}))
        })
        .collect();
    let verdict = judge_all(&scenario, parse(&lines).unwrap());
    assert_eq!(verdict.outcome, outcome, "{verdict:#?}");
}

/// Judges one expectation on a constructed history: what happened, in order, after `start: {node: n1}`.
fn judge_made(expectation: &str, happened: &[Value]) -> Option<Outcome> {
    let text = format!(
        "id: lab.made\ntitle: Made\nrequirements: [T-01]\nnodes: [{{name: n1}}]\nsteps:\n  - start: {{node: n1}}\n  - expect: {{{expectation}}}\n"
    );
    let scenario = load_text("made.yaml", &text).unwrap();
    let recorded = read("history.jsonl");
    let recorded = recorded.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let (begin, recorders): (Vec<Value>, Vec<Value>) = recorded
        .map(|event| event["what"].clone())
        .filter(|what| what.get("begin").is_some() || what.get("recorder").is_some())
        .partition(|what| what.get("begin").is_some());
    let step = |phase: Value| json!({"step": {"index": 0, "stimulus": "start", "phase": phase}});
    let started = [step(json!("begin")), step(json!({"done": {"proof": ""}}))];
    let over = [json!({"deadline": {"step": 1}})];
    let all = begin.iter().chain(&recorders).chain(&started).chain(happened).chain(&over);
    let text: String = all
        .enumerate()
        .map(|(seq, what)| {
            let at = "2026-11-24T05:00:00Z";
            format!("{}\n", json!({"seq": seq, "at": at, "seen": at, "mono": seq, "what": what}))
        })
        .collect();
    judge_all(&scenario, parse(&text).unwrap()).expectations[0].outcome
}

#[test]
fn a_component_that_exited_by_itself_is_told_from_others() {
    let process =
        |component: &str, state: Value| json!({"process": {"component": component, "pid": 7, "state": state}});
    let exited = |component, code| {
        [process(component, json!("started")), process(component, json!({"exited": {"code": code, "asked": false}}))]
    };
    let expectation = "process: {component: kube-controller-manager, state: exited, code: 1}, within: 1s";
    let judge = |happened: &[Value]| judge_made(expectation, happened);
    let manager = "kube-controller-manager";
    assert_eq!(judge(&exited(manager, 1)), Some(Outcome::Pass));
    assert_eq!(judge(&exited(manager, 2)), Some(Outcome::Fail));
    assert_ne!(judge(&exited("kube-apiserver", 1)), Some(Outcome::Pass));
    assert_ne!(judge(&[process(manager, json!("started"))]), Some(Outcome::Pass));
}

#[test]
fn what_is_presented_is_compared_with_a_file_and_with_ca_names() {
    let recorded = history();
    let presented = recorded
        .iter()
        .map(|event| serde_json::to_value(&event.what).unwrap())
        .find(|what| what.pointer("/presented/chain/0").is_some())
        .unwrap();
    let leaf = &presented["presented"]["chain"][0];
    let mut other = leaf.clone();
    other["sha256"] = json!("00");
    let file = |certificate: &Value| json!({"file": {"node": "n1", "name": "tls.crt", "op": "present", "facts": {"kind": "file", "mode": "0600", "uid": 0, "size": 1, "pem": [{"label": "CERTIFICATE", "certificate": certificate}]}}});
    let shows = |word: &str| format!("presented: {{node: n1, shows: {{{word}}}}}, within: 1s");
    let judge = |what: &[Value]| judge_made(&shows("file: tls.crt"), what);
    assert_eq!(judge(&[file(leaf), presented.clone()]), Some(Outcome::Pass));
    assert_eq!(judge(&[file(&other), presented.clone()]), Some(Outcome::Fail));
    assert_eq!(judge(std::slice::from_ref(&presented)), Some(Outcome::Fail));

    let mut asking = presented.clone();
    asking["presented"]["clientCas"] = json!(["old", "new"]);
    let judge = |what: &[Value]| judge_made(&shows("clientCA: new"), what);
    assert_eq!(judge(&[asking]), Some(Outcome::Pass));
    assert_eq!(judge(&[presented]), Some(Outcome::Fail));
}

/// Recorded on 1.33.13: requested in time over the connection of the previous renewal, 88 s old, whose certificate had
/// expired; refused, and requested again 6 s later. Had that certificate been valid, six seconds would be too late.
#[rstest]
#[case::over_an_old_connection(None, Outcome::Pass)]
#[case::without_a_reason(Some("2026-11-27T00:20:00Z"), Outcome::Fail)]
fn a_renewal_may_be_late_where_it_was_refused(#[case] not_after: Option<&str>, #[case] outcome: Outcome) {
    let mut first = None;
    let verdict = judge_recorded("old-connection", |event| {
        if let (Some(later), Some(leaf)) = (not_after, event.pointer_mut("/what/csr/certificates/0")) {
            let serial = leaf["serial"].clone();
            if *first.get_or_insert_with(|| serial.clone()) == serial {
                leaf["notAfter"] = json!(later);
            }
        }
    });
    assert_eq!(verdict.outcome, outcome, "{verdict:#?}");
}

/// Recorded on 1.23.17: the connection of all other requests was opened a third of a second before that of the renewal.
/// What does not happen before the end of the record is undecided, which is an error.
#[rstest]
#[case::closed_by_the_kubelet(json!("kubelet"), Outcome::Pass)]
#[case::closed_by_the_server(json!("server"), Outcome::Error)]
fn a_connection_just_before_that_of_a_csr_is_an_old_one(#[case] by: Value, #[case] outcome: Outcome) {
    let verdict = judge_recorded("connection-beside-a-csr", |event| {
        if event["what"]["connection"]["id"] == 3
            && let Some(closed) = event.pointer_mut("/what/connection/state/closed/by")
        {
            *closed = by.clone();
        }
    });
    assert_eq!(verdict.outcome, outcome, "{verdict:#?}");
}

/// Recorded on 1.18.19 with a kubelet 1.15.12: another connection was opened between the request for a CSR and its
/// observation, so the CSR's own connection is identified by the time of the request.
#[rstest]
#[case::as_it_was(false, Outcome::Pass)]
#[case::without_requests(true, Outcome::Error)]
fn a_connection_just_after_the_request_for_a_csr_is_another(#[case] is_blind: bool, #[case] outcome: Outcome) {
    let verdict = judge_recorded("connection-beside-a-request", |event| {
        if is_blind && event["what"]["request"]["verb"] == "create" {
            event["what"]["request"]["verb"] = json!("get");
        }
    });
    assert_eq!(verdict.outcome, outcome, "{verdict:#?}");
}

/// Recorded on 1.16.15, where cfssl creates the certificates.
#[rstest]
#[case::as_it_was("/none", json!(null), None)]
#[case::by_a_newer_version("/begin/kubernetes", json!("1.17.17"), Some("subjectKeyIdentifier"))]
#[case::no_key_identifier("/csr/certificates/0/subjectKeyId", json!(null), Some("subjectKeyIdentifier"))]
#[case::serial_too_long("/csr/certificates/0/serial", json!("1".repeat(41)), Some("serial"))]
#[case::not_by_the_minute("/csr/certificates/0/notBefore", json!("2026-11-27T10:01:59Z"), Some("notBefore"))]
#[case::another_minute("/csr/certificates/0/notBefore", json!("2026-11-27T10:00:00Z"), Some("notBefore"))]
fn certificates_of_old_versions_are_held_to_their_rules(
    #[case] path: &str,
    #[case] value: Value,
    #[case] field: Option<&str>,
) {
    let verdict = judge_recorded("by-cfssl", |event| {
        if let Some(old) = event["what"].pointer_mut(path) {
            *old = value.clone();
        }
    });
    let certificate = &verdict.expectations[1];
    let wrong = certificate.closest.iter().flat_map(|closest| &closest.mismatches);
    let wrong: Vec<&str> = wrong.map(|mismatch| mismatch.field.as_str()).collect();
    match field {
        None => assert_eq!(verdict.outcome, Outcome::Pass, "{verdict:#?}"),
        Some(field) => assert!(wrong.contains(&field), "{wrong:?}"),
    }
}

/// The verdict on a fixture whose events are changed.
fn judge_recorded(fixture: &str, mut change: impl FnMut(&mut Value)) -> Verdict {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(fixture);
    let read = |name| fs::read_to_string(folder.join(name)).unwrap();
    let text: String = read("history.jsonl")
        .lines()
        .map(|line| {
            let mut event: Value = serde_json::from_str(line).unwrap();
            change(&mut event);
            format!("{event}\n")
        })
        .collect();
    let scenario = load_text("scenario.yaml", &read("scenario.yaml")).unwrap();
    judge_all(&scenario, parse(&text).unwrap())
}
