//! The kubelet chooses when it renews: at a random moment between 70 % and 90 % of its certificate's lifetime (catalogue
//! T-01). No verdict may depend on it. This computes from the numbers of each scenario, for each version, what the moment
//! could change, and fails where it could change the verdict.
//!
//! Times are whole seconds. Those of a certificate count from its signing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use rstest::rstest;
use serde_json::Value;
use tlsboot_core::check::rules::Rules;
use tlsboot_core::scenario::{Scenario, SigningDuration, load_text};
use tlsboot_core::version::{Version, Versions};

/// Minor versions that are looked at, of control plane and kubelet alike.
const MINORS: std::ops::RangeInclusive<u32> = 17..=37;
/// What a scenario does before a renewal takes less than this, also on a machine that has other things to do.
const QUIET: i64 = 15;
/// From the moment that the kubelet chooses to the event that is expected, on a slow machine.
const SLACK: i64 = 12;
/// How long the connection of a renewal is kept (`IdleConnTimeout` in k8s.io/apimachinery/pkg/util/net).
const IDLE: i64 = 90;
/// Up to this kubelet, a renewal over the connection of the one before fails again and again once the certificate with
/// which that was opened has expired (scenario `field.renewal-over-an-old-connection`).
const LAST_STUCK: u32 = 28;
/// Renewals later than this are not waited for.
const LONG: i64 = 1200;
/// `within`, if a scenario says nothing.
const WITHIN: i64 = 60;

/// When a certificate is renewed, at the earliest and at the latest, and when it expires.
#[derive(Clone, Copy, Debug)]
struct Life {
    from: i64,
    to: i64,
    end: i64,
}

impl Life {
    fn of(rules: Rules, duration: SignedDuration) -> Self {
        let signed = Timestamp::UNIX_EPOCH;
        let not_before = signed - rules.backdate();
        let not_after = rules.not_after(not_before, duration);
        let (from, to) = rules.rotation_window(not_before, not_after);
        let seconds = |at: Timestamp| at.duration_since(signed).as_secs();
        Self { from: seconds(from).max(0), to: seconds(to).max(0), end: seconds(not_after) }
    }

    /// Whether a second renewal may come over the connection of the first one, when the certificate that was there before
    /// both has expired.
    fn may_get_stuck(self) -> bool {
        self.from < IDLE && self.to + self.to.min(IDLE) > self.end
    }
}

type Key = (String, &'static str);

/// The last certificate of a node that the scenario has seen.
#[derive(Clone, Copy, Debug)]
struct Known {
    number: i64,
    life: Life,
    /// Something was done since that the next renewal must not precede.
    disturbed: bool,
    /// The scenario waited since for another reason than a renewal.
    waited: bool,
}

/// What the scenario has come to.
struct Course<'a> {
    scenario: &'a Scenario,
    rules: Rules,
    minor: u32,
    duration: SignedDuration,
    gated: bool,
    known: BTreeMap<Key, Known>,
    /// By node: how long its oldest connection may have lived, and the renewals since it was opened.
    connections: BTreeMap<String, (i64, i64)>,
    /// Whether no kubelet can reach the API server.
    away: bool,
    wrong: Vec<String>,
}

fn text<'v>(value: &'v Value, field: &str) -> Option<&'v str> {
    value.get(field)?.as_str()
}

fn seconds(value: &Value, field: &str) -> Option<i64> {
    Some(text(value, field)?.parse::<SignedDuration>().ok()?.as_secs())
}

/// Which certificate an expectation is about, with its number among those issued.
fn certificate(kind: &str, fields: &Value) -> Option<(Key, i64)> {
    let node = text(fields, "node")?.to_owned();
    let role = |role: &str| if role == "serving" { "serving" } else { "client" };
    let number = |value: &Value, field: &str| value.get(field).and_then(Value::as_i64);
    let own = text(fields, "role").map(role);
    match kind {
        "rotation" => Some(((node, own?), number(fields, "renews")? + 1)),
        "csr" | "certificate" => Some(((node, own?), number(fields, "number")?)),
        "file" => {
            let name = text(fields, "name").filter(|name| name.starts_with("kubelet-client-2"));
            if let Some(count) = name.and_then(|_| number(fields, "count")) {
                return Some(((node, "client"), count));
            }
            let holds = fields.get("holds")?;
            Some(((node, role(text(holds, "role")?)), number(holds, "certificate")?))
        }
        "presented" => Some(((node, "serving"), number(fields.get("shows")?, "certificate")?)),
        "connections" | "request" => Some(((node, "client"), number(fields, "certificate")?)),
        _ => None,
    }
}

impl<'a> Course<'a> {
    fn new(scenario: &'a Scenario, minor: u32) -> Self {
        let version = Version::new(1, minor, 0);
        let rules = Rules::new(version, version);
        let cluster = &scenario.cluster;
        let duration = match cluster.signing_duration {
            SigningDuration::Quick => rules.quick(),
            SigningDuration::Length(length) => length,
        };
        let text = serde_saphyr::from_str::<Value>(&scenario.text).unwrap();
        let absent = text.pointer("/cluster/bindings/selfNodeClient").is_some_and(|binding| binding == "absent");
        let approves = cluster.controllers.iter().any(|name| name == "csrapproving" || name == "*");
        Self {
            scenario,
            rules,
            minor,
            duration,
            gated: absent || !approves,
            known: BTreeMap::new(),
            connections: BTreeMap::new(),
            away: false,
            wrong: Vec::new(),
        }
    }

    fn run(mut self) -> Vec<String> {
        let file = serde_saphyr::from_str::<Value>(&self.scenario.text).unwrap();
        let within = seconds(&file, "within").unwrap_or(WITHIN);
        let steps: Vec<(&String, &Value)> =
            file["steps"].as_array().unwrap().iter().flat_map(|step| step.as_object().unwrap()).collect();
        let mut group: Vec<(&String, &Value)> = Vec::new();
        for (place, (word, fields)) in steps.iter().enumerate() {
            if matches!(word.as_str(), "expect" | "never" | "stays") {
                group.push((word, fields));
            } else {
                self.stimulus(word, fields);
            }
            let next = steps.get(place + 1).map(|(word, _)| word.as_str());
            if !group.is_empty() && !matches!(next, Some("expect" | "never" | "stays")) {
                self.judged(&std::mem::take(&mut group), within, next.is_none());
            }
        }
        self.wrong
    }

    fn stimulus(&mut self, word: &str, fields: &Value) {
        let node = text(fields, "node").map(str::to_owned);
        let component = text(fields, "component");
        let with = fields.get("with").unwrap_or(&Value::Null);
        if component == Some("kube-controller-manager") {
            let flag = with.get("flags").and_then(|flags| text(flags, "cluster-signing-duration"));
            match text(with, "signingDuration").or(flag) {
                Some("quick") => self.duration = self.rules.quick(),
                Some(length) => self.duration = length.parse().unwrap(),
                None => {}
            }
        }
        if let Some("selfNodeClient") = text(fields, "clusterRole") {
            self.gated = word == "unbind";
        }
        if let ("start" | "join", Some(node)) = (word, &node) {
            let life = Life::of(self.rules, self.duration);
            let has_token =
                self.scenario.nodes.iter().all(|known| *known.name != **node || known.embedded_certificate.is_none());
            if has_token {
                let first = Known { number: 1, life, disturbed: false, waited: false };
                self.known.entry((node.clone(), "client")).or_insert(first);
            }
        }
        // It can't renew, or not at once.
        if let ("damage", Some(node)) = (word, &node) {
            self.connections.remove(node);
        }
        let opens_anew = match word {
            "start" | "restart" | "join" | "kill" | "stop" => component.is_none_or(|name| name == "kube-apiserver"),
            "cut" | "reconnect" => text(fields, "direction").is_none(),
            _ => false,
        };
        if opens_anew {
            match &node {
                Some(node) => drop(self.connections.insert(node.clone(), (0, 0))),
                None => self.connections.values_mut().for_each(|connection| *connection = (0, 0)),
            }
        }
        self.away = match (word, component) {
            ("stop", Some("kube-apiserver")) | ("cut", None) => true,
            ("start", Some("kube-apiserver")) | ("reconnect", None) => false,
            _ => self.away,
        };
        // A certificate that tlsboot requested is not renewed.
        if word == "submit" {
            self.known.retain(|(of, _), _| Some(of) != node.as_ref());
        }
        let disturbs = match word {
            "cut" | "stop" | "kill" | "damage" | "unbind" | "replaceCA" => true,
            "restart" => node.is_some() || component == Some("kube-apiserver"),
            _ => false,
        };
        let waits = word == "waitForExpiry";
        let mut waited = 0;
        for ((of, _), known) in &mut self.known {
            if node.as_ref().is_none_or(|node| node == of) {
                known.disturbed |= disturbs;
                known.waited |= waits || disturbs;
                waited = waited.max(if waits { known.life.end } else { 0 });
            }
        }
        self.pass(waited);
    }

    /// Lets time pass.
    fn pass(&mut self, time: i64) {
        if !self.away {
            self.connections.values_mut().for_each(|(age, _)| *age += time);
        }
    }

    fn wrong(&mut self, what: &str) {
        self.wrong.push(format!("{} on 1.{}: {what}", self.scenario.id, self.minor));
    }

    fn applies(&self, expectation: &Value) -> bool {
        let version = Version::new(1, self.minor, 0);
        ["kubernetes", "kubelet"].iter().all(|field| {
            let range = expectation.get(field).map(|range| serde_json::from_value::<Versions>(range.clone()).unwrap());
            range.is_none_or(|range| range.contains(version))
        })
    }

    fn judged(&mut self, group: &[(&String, &Value)], default: i64, last: bool) {
        let mut took = 0;
        let mut waited = false;
        let mut seen: BTreeMap<Key, i64> = BTreeMap::new();
        for (word, expectation) in group {
            if !self.applies(expectation) {
                continue;
            }
            let within = seconds(expectation, "within").unwrap_or(default);
            let lasts = seconds(expectation, "for");
            took = took.max(lasts.unwrap_or(0));
            let kinds = expectation.as_object().unwrap();
            // What a kubelet says and does when a renewal is due or its certificate has expired.
            let own = seconds(expectation, "within").unwrap_or(0);
            let tells = ["log", "request", "metric"].iter().any(|kind| kinds.contains_key(*kind));
            if *word == "expect" && tells && own > WITHIN && self.ends() > 0 {
                took = took.max(own.min(self.ends()));
                waited = true;
            }
            for (kind, fields) in kinds {
                let Some((key, number)) = certificate(kind, fields) else { continue };
                if *word == "never" {
                    continue;
                }
                took = took.max(self.awaited(&key, number, within));
                let of_one = fields.get("holds").is_some() || matches!(kind.as_str(), "request" | "presented");
                if *word == "stays" && of_one {
                    self.stays(&key, expectation, lasts, last);
                }
                let highest = seen.entry(key).or_default();
                *highest = number.max(*highest);
            }
        }
        let life = Life::of(self.rules, self.duration);
        self.pass(took);
        self.known.values_mut().for_each(|known| known.waited |= waited);
        for (key, number) in seen {
            let before = self.known.get(&key).map_or(0, |known| known.number);
            if number <= before {
                continue;
            }
            if let ("client", Some((_, renewals))) = (key.1, self.connections.get_mut(&key.0)) {
                *renewals += number - before.max(1);
            }
            self.known.insert(key, Known { number, life, disturbed: false, waited: false });
        }
        if took > WITHIN {
            self.old_connections();
        }
    }

    fn ends(&self) -> i64 {
        self.known.values().map(|known| known.life.end).filter(|end| *end < LONG).max().unwrap_or(0)
    }

    /// A certificate of this number is expected: how long the renewals may take that lead to it.
    fn awaited(&mut self, key: &Key, number: i64, within: i64) -> i64 {
        // The first one comes at once, and those of nodes without a kubelet are no renewals.
        let unseen = Known { number: 1, life: Life::of(self.rules, self.duration), disturbed: false, waited: false };
        let of_kubelet = self.known.contains_key(&(key.0.clone(), "client"));
        let Some(known) = self.known.get(key).copied().or(of_kubelet.then_some(unseen)) else { return 0 };
        if number <= known.number || known.life.end > LONG {
            return 0;
        }
        if known.disturbed && known.life.from < QUIET && known.life.to > 0 {
            self.wrong(&format!(
                "{} {} of {} may be renewed {} s after its signing, before the step that must come first",
                key.1, known.number, key.0, known.life.from
            ));
        }
        if known.waited { 0 } else { self.renewals(key, number - known.number, known.life, within) }
    }

    fn renewals(&mut self, key: &Key, count: i64, life: Life, within: i64) -> i64 {
        let longest = count * life.to;
        if within < longest + SLACK {
            self.wrong(&format!(
                "{} renewals of {}'s {} certificate take up to {longest} s, but the time is over after {within} s",
                count, key.0, key.1
            ));
        }
        if (within - life.end).abs() <= 5 {
            self.wrong(&format!(
                "the time for it, {within} s, is as long as {}'s {} certificate is valid",
                key.0, key.1
            ));
        }
        longest
    }

    /// Something must stay so that the next renewal changes.
    fn stays(&mut self, key: &Key, expectation: &Value, lasts: Option<i64>, last: bool) {
        let life = Life::of(self.rules, self.duration);
        let is_gated = key.1 == "serving" || self.gated;
        if is_gated || life.end > LONG || text(expectation, "until").is_some() {
            return;
        }
        let lasts = lasts.unwrap_or(if last { 2 } else { LONG });
        if lasts + 2 > life.from {
            self.wrong(&format!(
                "{}'s {} certificate may be renewed after {} s, but something about it must stay so for {lasts} s",
                key.0, key.1, life.from
            ));
        }
    }

    /// The second renewal over the connection of the first one: also of a certificate that the scenario is not about, if
    /// it takes long enough.
    fn old_connections(&mut self) {
        if self.minor > LAST_STUCK || self.gated {
            return;
        }
        for (node, (age, renewals)) in self.connections.clone() {
            let rotates = self.scenario.nodes.iter().any(|known| *known.name == *node && known.rotate_certificates);
            let client = self.known.get(&(node.clone(), "client")).map(|known| known.life);
            let first = self.known.get(&(node.clone(), "serving")).map(|known| known.life);
            let Some(life) = client.or(first).filter(|life| rotates && life.end < LONG && life.may_get_stuck()) else {
                continue;
            };
            // Of a certificate that was never looked at, the duration may have been another one.
            let is_known = client.is_some() || Life::of(self.rules, self.of_cluster()).end < LONG;
            if is_known && (renewals > 1 || age > life.end) {
                self.wrong(&format!(
                    "after up to {age} s and {renewals} renewals, {node} may renew over the connection of an expired certificate"
                ));
            }
        }
    }

    fn of_cluster(&self) -> SignedDuration {
        match self.scenario.cluster.signing_duration {
            SigningDuration::Quick => self.rules.quick(),
            SigningDuration::Length(length) => length,
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn wrong(scenario: &Scenario) -> Vec<String> {
    let applies = |minor: &u32| {
        let version = Version::new(1, *minor, 0);
        scenario.unsupported(version, version).is_none()
    };
    MINORS.filter(applies).flat_map(|minor| Course::new(scenario, minor).run()).collect()
}

#[test]
fn no_verdict_depends_on_when_a_kubelet_renews() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let scenarios = files(&folder).into_iter().filter(|path| path.extension().is_some_and(|found| found == "yaml"));
    let mut found = Vec::new();
    let mut count = 0;
    for path in scenarios {
        let text = fs::read_to_string(&path).unwrap();
        let scenario = load_text(&path.to_string_lossy(), &text).unwrap();
        found.extend(wrong(&scenario));
        count += 1;
    }
    assert!(count > 190, "only {count} scenarios were found");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Each way in which a verdict can depend on it is found.
#[rstest]
// 14 % of the runs of this one were red on 1.28.15.
#[case::second_renewal_over_an_old_connection(
    "quick",
    "  - start: {node: n1}
  - expect: {rotation: {node: n1, role: client, renews: 1}, within: 5m}
  - expect: {rotation: {node: n1, role: client, renews: 2}, within: 10m}\n",
    "may renew over the connection of an expired certificate"
)]
#[case::the_client_certificate_of_a_long_scenario(
    "quick",
    "  - start: {node: n1}
  - expect: {certificate: {node: n1, role: serving, number: 1}}
  - expect: {rotation: {node: n1, role: serving, renews: 1}, within: 3m}
  - approve: {node: n1, role: serving}
  - expect: {rotation: {node: n1, role: serving, renews: 2}, within: 3m}\n",
    "may renew over the connection of an expired certificate"
)]
#[case::first_things_after_it(
    "135s",
    "  - start: {node: n1}
  - expect: {certificate: {node: n1, role: client, number: 1}}
  - cut: {node: n1}
  - expect: {csr: {node: n1, role: client, number: 2}, within: 2m}\n",
    "before the step that must come first"
)]
#[case::time_is_over_before_it(
    "quick",
    "  - start: {node: n1}
  - expect: {rotation: {node: n1, role: client, renews: 1}, within: 90s}\n",
    "but the time is over after 90 s"
)]
#[case::time_as_long_as_a_certificate(
    "150s",
    "  - start: {node: n1}
  - expect: {rotation: {node: n1, role: client, renews: 1}, within: 150s}\n",
    "is as long as n1's client certificate is valid"
)]
#[case::changed_while_it_must_stay(
    "quick",
    "  - start: {node: n1}
  - stays: {file: {node: n1, name: kubelet-client-current.pem, holds: {role: client, certificate: 1}}, for: 20s}\n",
    "must stay so for 20 s"
)]
fn every_dependence_is_found(#[case] duration: &str, #[case] steps: &str, #[case] says: &str) {
    let text = format!(
        "id: lab.dice\ntitle: It depends\nrequirements: [T-01]\nkubernetes: \">=1.22\"\n\
         cluster: {{signingDuration: {duration}}}\nnodes: [{{name: n1, serverTLSBootstrap: true}}]\nsteps:\n{steps}"
    );
    let scenario = load_text("dice.yaml", &text).unwrap_or_else(|errors| panic!("{errors:?}"));
    let found = wrong(&scenario);
    assert!(found.iter().any(|wrong| wrong.contains(says)), "{found:?}");
}
