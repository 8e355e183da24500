//! The model is like the real thing: what recorders wrote of a real cluster, they write of the model's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use rstest::rstest;
use serde_json::Value;
use tlsboot_core::history::event::{CsrEvent, FileEvent};
use tlsboot_core::history::{Event, What, parse};
use tlsboot_core::scenario::load_text;
use tlsboot_core::version::Version;

use crate::cluster;

/// A recorded run on 1.37.2, and what the model makes of a scenario like its own.
fn both(name: &str) -> (Vec<Event>, Vec<Event>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let recorded = root.join("tests/fixtures/invariants").join(name);
    let scenario = match name {
        "rotation" => recorded.join("scenario.yaml"),
        // The recorded one also reaches through to the kubelet.
        _ => root.join("../../scenarios/rotation/serving-certificate.yaml"),
    };
    let read = |file: &Path| fs::read_to_string(file).unwrap();
    let scenario = load_text("scenario.yaml", &read(&scenario)).unwrap();
    let version = Version::new(1, 37, 2);
    let course = cluster::run(&scenario, version, version, 7);
    (parse(&read(&recorded.join("history.jsonl"))).unwrap(), course.history)
}

/// What happens to a certificate from its CSR to its file, in order and in words without names and times.
fn steps(events: &[Event], role: &str) -> Vec<String> {
    let words = events.iter().filter_map(|event| match &event.what {
        What::Csr(csr) if csr.signer_name.ends_with(if role == "client" { "client-kubelet" } else { "serving" }) => {
            Some(of_csr(csr))
        }
        What::File(file) => of_file(file, role),
        _ => None,
    });
    words.collect()
}

fn of_csr(csr: &CsrEvent) -> String {
    let conditions: Vec<&str> = csr.conditions.iter().map(|condition| condition.reason.as_str()).collect();
    let asked_by = if csr.username.starts_with("system:node:") { "the node" } else { "a bootstrap token" };
    format!("csr of {asked_by} {:?} {conditions:?}, {} certificates", csr.change, csr.certificates.len())
}

fn of_file(file: &FileEvent, role: &str) -> Option<String> {
    let prefix = if role == "client" { "kubelet-client-" } else { "kubelet-server-" };
    let end = file.name.strip_prefix(prefix)?;
    let name = if end.starts_with("20") { "DATE.pem" } else { end };
    // What is found behind a name that is only there for a moment, is chance.
    let settled = file.facts.as_ref().filter(|_| end.starts_with("current") || format!("{:?}", file.op) == "Modified");
    let facts = settled.map(|facts| {
        let labels: Vec<&str> = facts.pem.iter().map(|block| block.label.as_str()).collect();
        format!("{} {} {labels:?}", facts.kind.word(), facts.mode)
    });
    Some(format!("{prefix}{name} {:?} {}", file.op, facts.unwrap_or_default()))
}

#[rstest]
#[case::of_a_client_certificate("rotation", "client")]
#[case::of_a_serving_certificate("serving", "serving")]
fn each_step_comes_in_the_same_order(#[case] name: &str, #[case] role: &str) {
    let (real, model) = both(name);
    let real = steps(&real, role);
    let model = steps(&model, role);
    let length = real.len().min(model.len());
    assert!(length > 15, "{real:?}");
    assert_eq!(model[..length], real[..length]);
}

/// The fields of each kind of event, as paths without the names of objects.
fn fields(events: &[Event]) -> BTreeMap<String, BTreeSet<String>> {
    fn walk(path: &str, value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                fields.iter().for_each(|(name, value)| walk(&format!("{path}/{name}"), value, found))
            }
            Value::Array(items) => items.iter().for_each(|item| walk(path, item, found)),
            _ => drop(found.insert(path.to_owned())),
        }
    }
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for event in events {
        let what = serde_json::to_value(&event.what).unwrap();
        walk("", &what, found.entry(event.what.kind().to_owned()).or_default());
    }
    found
}

#[test]
fn it_writes_what_recorders_write() {
    let (real, model): (Vec<_>, Vec<_>) = ["rotation", "serving"].map(both).into_iter().unzip();
    let (real, model) = (fields(&real.concat()), fields(&model.concat()));
    // The recorded histories were shortened by these.
    let shortened = ["log", "load", "looked", "deadline"];
    for (kind, fields) in model.iter().filter(|(kind, _)| !shortened.contains(&kind.as_str())) {
        let known = real.get(kind).unwrap_or_else(|| panic!("no recorder writes `{kind}`"));
        let invented: Vec<&String> = fields.iter().filter(|field| !known.contains(*field)).collect();
        assert!(invented.is_empty(), "{kind}: {invented:?} is not in {known:?}");
    }
}

/// What kubelets ask of the API server.
fn requests(events: &[Event]) -> BTreeSet<String> {
    let requests = events.iter().filter_map(|event| match &event.what {
        What::Request(request) if request.node.is_some() => Some(request),
        _ => None,
    });
    requests
        .map(|request| {
            let user = request.user.as_deref().unwrap_or("none");
            format!("{user}: {} {} {} {}", request.verb, request.resource, request.subresource, request.code)
        })
        .collect()
}

#[test]
fn its_kubelets_ask_for_nothing_that_real_ones_do_not() {
    for name in ["rotation", "serving"] {
        let (real, model) = both(name);
        let (real, model) = (requests(&real), requests(&model));
        let invented: Vec<&String> = model.difference(&real).collect();
        assert!(invented.is_empty(), "{name}: {invented:?}");
        assert!(model.len() > 8, "{model:?}");
    }
}
