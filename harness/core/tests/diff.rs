//! What `tlsboot diff` finds between versions, on histories recorded on each of them, cut to what is compared; and what it
//! must not find: order, names and dates. `scenarios/DIFFS.md` is made of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rstest::rstest;
use serde_json::Value;
use tlsboot_core::check::Outcome;
use tlsboot_core::diff::{Aspect, Change, Diff, Features, Recorded, Side, diff, text};
use tlsboot_core::history::{Event, parse};

const ROTATION: &str = "rotation.short-signing-duration";
const ISSUANCE: &str = "issuance.serving-certificate";
const NAMES: &str = "approval.another-nodes-name";
const VERSIONS: [&str; 6] = ["1.24.17", "1.28.15", "1.30.14", "1.31.0", "1.32.2", "1.33.13"];
/// Set to write the page instead of comparing it.
const WRITE_PAGE: &str = "TLSBOOT_WRITE_PAGE";
const PAGE: &str = "\
# What changed from version to version

`tlsboot diff` of the scenarios rotation.short-signing-duration, issuance.serving-certificate and
approval.another-nodes-name, each recorded on the two versions. Made by `TLSBOOT_WRITE_PAGE=1 cargo test --workspace --test
diff page` of the histories in `harness/core/tests/fixtures/diff`; a test keeps it true.
";

fn path(version: &str, scenario: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/diff").join(version).join(format!("{scenario}.jsonl"))
}

fn history(version: &str, scenario: &str) -> Vec<Event> {
    parse(&std::fs::read_to_string(path(version, scenario)).unwrap()).unwrap()
}

fn recorded(scenario: &str, events: &[Event]) -> Recorded {
    Recorded { scenario: scenario.into(), outcome: Outcome::Pass, features: Features::of(events) }
}

fn side(version: &str) -> Side {
    let of = |scenario: &str| recorded(scenario, &history(version, scenario));
    Side { name: format!("local::{version}"), runs: vec![vec![of(ROTATION), of(ISSUANCE), of(NAMES)]] }
}

/// The rotation alone, as changed.
fn rotation(events: &[Event]) -> Side {
    Side { name: "it".into(), runs: vec![vec![recorded(ROTATION, events)]] }
}

fn find<'a>(diff: &'a Diff, subject: &str, field: &str) -> &'a Change {
    diff.changes
        .iter()
        .find(|change| change.subject == subject && change.field == field)
        .unwrap_or_else(|| panic!("no change of {subject}: {field} in\n{}", text(diff)))
}

#[rstest]
fn a_run_does_not_differ_from_itself(#[values(0, 1, 2, 3, 4, 5)] version: usize) {
    let side = side(VERSIONS[version]);
    let diff = diff(&side, &side);
    assert!(diff.is_empty(), "{}", text(&diff));
    assert_eq!(diff.compared, 3);
    assert!(text(&diff).contains("nothing changed in 3 scenarios"));
}

#[test]
fn the_page_of_diffs_is_true() {
    let mut page = PAGE.to_owned();
    for (a, b) in VERSIONS.iter().zip(&VERSIONS[1..]) {
        let found = text(&diff(&side(a), &side(b)));
        page += &format!("\n## {a} to {b}\n\n```text\n{found}```\n");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/DIFFS.md");
    if std::env::var_os(WRITE_PAGE).is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == page, "run this test with {WRITE_PAGE}=1");
}

/// Catalogue N-03: from 1.31 on a node may ask in its own name only.
#[test]
fn the_rule_for_names_came_from_1_30_to_1_31() {
    let diff = diff(&side("1.30.14"), &side("1.31.0"));
    let answers: Vec<&Change> = diff.changes.iter().filter(|change| change.aspect == Aspect::Answers).collect();
    assert!(
        answers.iter().any(|change| { change.before == ["201"] && change.after[0].starts_with("403 Forbidden") }),
        "{}",
        text(&diff)
    );
}

/// Catalogue C-03: up to 1.26 kubelets asked for key encipherment, too.
#[test]
fn usages_changed_from_1_24_to_1_28() {
    let diff = diff(&side("1.24.17"), &side("1.28.15"));
    for subject in ["client CSR of kubelet-bootstrap", "client CSR of the node"] {
        let change = find(&diff, subject, "usages");
        assert_eq!(change.before, ["digital signature, key encipherment, client auth"]);
        assert_eq!(change.after, ["digital signature, client auth"]);
        assert_eq!(change.scenarios, [NAMES, ROTATION]);
    }
    let change = find(&diff, "client certificate", "key usage");
    assert_eq!(change.before, ["digital signature, key encipherment, critical"]);
    assert_eq!(change.after, ["digital signature, critical"]);
}

/// Catalogue C-07: from 1.32 on a CSR sent with a certificate carries its digest.
#[test]
fn the_credential_id_came_from_1_31_to_1_32() {
    let diff = diff(&side("1.31.0"), &side("1.32.2"));
    let change = find(&diff, "client CSR of the node", "extra keys");
    assert_eq!(change.before, ["none"]);
    assert_eq!(change.after, ["authentication.kubernetes.io/credential-id"]);
    assert!(!diff.changes.iter().any(|change| change.field == "usages"), "{}", text(&diff));
    assert!(!diff.is_regression());
}

#[test]
fn the_other_way_round_before_and_after_change_places() {
    let (a, b) = (side("1.24.17"), side("1.28.15"));
    let (forth, back) = (diff(&a, &b), diff(&b, &a));
    let turned = |diff: &Diff| -> BTreeSet<String> {
        let turn = |change: &Change| {
            format!("{:?} {} {} {:?} {:?}", change.aspect, change.subject, change.field, change.after, change.before)
        };
        diff.changes.iter().map(turn).collect()
    };
    let straight: BTreeSet<String> = forth
        .changes
        .iter()
        .map(|change| {
            format!("{:?} {} {} {:?} {:?}", change.aspect, change.subject, change.field, change.before, change.after)
        })
        .collect();
    assert_eq!(straight, turned(&back));
}

#[rstest]
#[case(Some(Outcome::Pass), Some(Outcome::Fail), true)]
#[case(Some(Outcome::Pass), Some(Outcome::Hang), true)]
#[case(Some(Outcome::Pass), Some(Outcome::Error), true)]
#[case(Some(Outcome::Pass), Some(Outcome::Known), true)]
#[case(Some(Outcome::Pass), Some(Outcome::Unsupported), false)]
#[case(Some(Outcome::Pass), None, false)]
#[case(None, Some(Outcome::Fail), false)]
#[case(Some(Outcome::Fail), Some(Outcome::Pass), false)]
#[case(Some(Outcome::Fail), Some(Outcome::Hang), false)]
fn a_regression_is_a_promise_that_was_kept(
    #[case] before: Option<Outcome>,
    #[case] after: Option<Outcome>,
    #[case] regression: bool,
) {
    let with = |outcome: Option<Outcome>| {
        let mut side = side("1.33.13");
        match outcome {
            Some(outcome) => side.runs[0][0].outcome = outcome,
            None => drop(side.runs[0].remove(0)),
        }
        side
    };
    let diff = diff(&with(before), &with(after));
    assert_eq!(diff.verdicts.len(), 1);
    assert_eq!(diff.is_regression(), regression);
    assert_eq!(text(&diff).contains("REGRESSION"), regression);
}

/// What differs among runs of one side is noise.
#[test]
fn what_differs_among_runs_of_a_side_is_no_change() {
    let old = side("1.24.17");
    let mut both = side("1.28.15");
    both.runs.extend(old.runs.clone());
    let found = diff(&old, &both);
    let usages = |change: &&Change| change.field == "usages";
    assert_eq!(found.changes.iter().find(usages), None, "{}", text(&found));
}

/// One thing changed in a history is found, as just that.
#[rstest]
#[case("csr", "/usages", serde_json::json!(["client auth"]), Aspect::Csrs, "usages")]
#[case("csr", "/request/key/parameters", serde_json::json!("P-384"), Aspect::Csrs, "key")]
#[case("csr", "/expirationSeconds", serde_json::json!(600), Aspect::Csrs, "expirationSeconds")]
#[case("csr", "/conditions/0/reason", serde_json::json!("Mine"), Aspect::Csrs, "condition")]
#[case("csr", "/certificates/0/ca", serde_json::json!(true), Aspect::Certificates, "basic constraints")]
#[case("csr", "/certificates/0/notAfter", serde_json::json!("2027-01-01T00:00:00Z"), Aspect::Certificates, "life")]
#[case("csr", "/certificates/0/dns", serde_json::json!(["n1.example"]), Aspect::Certificates, "DNS names")]
#[case("file", "/facts/mode", serde_json::json!("0644"), Aspect::Files, "mode")]
#[case("file", "/facts/target", serde_json::json!("kubelet-client-2026-01-01-00-00-00.pem"), Aspect::Files, "points to")]
#[case("request", "/code", serde_json::json!(409), Aspect::CsrRequests, "sends")]
#[case("presented", "/refused", serde_json::json!("handshake failure"), Aspect::Connections, "refused with")]
#[case("metrics", "/values", serde_json::json!({"kubelet_new_metric{a=\"b\"}": "1"}), Aspect::Metrics, "exposes")]
fn one_changed_thing_is_found(
    #[case] kind: &str,
    #[case] pointer: &str,
    #[case] value: Value,
    #[case] aspect: Aspect,
    #[case] field: &str,
) {
    let right = history("1.33.13", ROTATION);
    let mut hits = 0;
    let wrong: Vec<Event> = right
        .iter()
        .map(|event| {
            let mut json = serde_json::to_value(event).unwrap();
            if let Some(what) = json["what"].get_mut(kind) {
                match (what.pointer_mut(pointer), pointer.rsplit_once('/')) {
                    (Some(place), _) => {
                        *place = value.clone();
                        hits += 1;
                    }
                    // an optional field that is not there
                    (None, Some((parent, name))) => {
                        if let Some(Value::Object(parent)) = what.pointer_mut(parent) {
                            parent.insert(name.into(), value.clone());
                            hits += 1;
                        }
                    }
                    _ => {}
                }
            }
            serde_json::from_value(json).unwrap()
        })
        .collect();
    assert!(hits > 0, "nothing was changed");
    let found = diff(&rotation(&right), &rotation(&wrong));
    assert!(found.changes.iter().any(|change| change.aspect == aspect && change.field == field), "{}", text(&found));
}

/// The kubelet that renews half an hour late, or takes ten seconds where it took none.
#[test]
fn other_timing_is_found_and_noise_is_not() {
    let right = history("1.33.13", ROTATION);
    let later = |seconds: i64| -> Vec<Event> {
        let mut events = right.clone();
        for event in &mut events {
            let is_file = matches!(event.what, tlsboot_core::history::What::File(_));
            if is_file {
                event.at += jiff::SignedDuration::from_secs(seconds);
            }
        }
        events
    };
    let slow = diff(&rotation(&right), &rotation(&later(10)));
    assert!(
        slow.timing.iter().any(|change| change.interval == tlsboot_core::diff::Interval::CertificateToLink),
        "{}",
        text(&slow)
    );
    let same = diff(&rotation(&right), &rotation(&later(0)));
    assert!(same.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whoever wrote an event down first: only when things happened counts.
    #[test]
    fn the_order_of_recording_does_not_matter(events in Just(history("1.33.13", ROTATION)).prop_shuffle()) {
        let right = history("1.33.13", ROTATION);
        let found = diff(&rotation(&right), &rotation(&events));
        prop_assert!(found.is_empty(), "{}", text(&found));
    }

    /// Another node's name, other suffixes and another day are no change.
    #[test]
    fn names_suffixes_and_dates_do_not_matter(node in "[a-z]{3,8}-[a-z]{2,5}", suffix in "[bcdfghjklmnpqrstvwxz]{5}", days in 1_i64..3000) {
        let right = history("1.33.13", ROTATION);
        let text_of = std::fs::read_to_string(path("1.33.13", ROTATION)).unwrap();
        let renamed = text_of
            .replace("\"n1\"", &format!("\"{node}\""))
            .replace("\"n1@", &format!("\"{node}@"))
            .replace("system:node:n1", &format!("system:node:{node}"))
            .replace("\"n1@", &format!("\"{node}@"))
            .replace("csr-j9zpq", &format!("csr-{suffix}"))
            .replace("kubelet-client-2026-", "kubelet-client-2031-");
        let mut events = parse(&renamed).unwrap();
        for event in &mut events {
            event.at += jiff::SignedDuration::from_hours(24 * days);
            if let tlsboot_core::history::What::Csr(csr) = &mut event.what {
                for leaf in &mut csr.certificates {
                    leaf.not_before += jiff::SignedDuration::from_hours(24 * days);
                    leaf.not_after += jiff::SignedDuration::from_hours(24 * days);
                    leaf.serial = "7".into();
                }
            }
        }
        let found = diff(&rotation(&right), &rotation(&events));
        prop_assert!(found.is_empty(), "{}", text(&found));
    }
}
