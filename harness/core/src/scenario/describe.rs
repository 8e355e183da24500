//! A scenario's steps in plain words, for `tlsboot explain`: the model's own doc comments and the fields as they were
//! written, so a new stimulus or kind of expectation needs no extra text here.

use std::fmt;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::Scenario;
use super::schema::{Part, Word, words};
use crate::check::DEFAULT_WITHIN;

/// A step in plain words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepWords {
    /// The line where it begins in the file.
    pub line: u64,
    /// Whether it is performed or judged.
    pub is_judged: bool,
    /// What is done, or what must or must not follow.
    pub text: String,
    /// Its fields, as `name value`.
    pub fields: String,
}

/// All steps of a scenario in plain words, in order.
pub fn describe(scenario: &Scenario) -> Vec<StepWords> {
    // The file was already loaded once, so its steps match the model.
    let written: Written = serde_saphyr::from_str(&scenario.text).unwrap_or_default();
    let telling = Telling { words: words(), within: written.within };
    let told = written.steps.iter().flat_map(|step| {
        let Plain::Map(entries) = step else { return Vec::new() };
        let [(word, content)] = entries.as_slice() else { return Vec::new() };
        telling.step(word, content)
    });
    let steps = scenario.steps.iter().zip(told);
    steps
        .map(|(step, (text, fields))| StepWords {
            line: step.referenced.line(),
            is_judged: step.value.is_judged(),
            text,
            fields,
        })
        .collect()
}

/// The cluster's settings that were written down, as `name value`: the rest are defaults.
pub fn differing_settings(scenario: &Scenario) -> String {
    let written: Written = serde_saphyr::from_str(&scenario.text).unwrap_or_default();
    written.cluster.as_ref().map(|cluster| join(cluster.entries())).unwrap_or_default()
}

/// The fields of stimuli that are expectations of their own, with words for them.
const EXPECTED: [(&str, &str); 2] = [("answer", "The API server must answer"), ("reached", "This must come of it")];

/// What the words mean, and how long an expectation waits by default.
struct Telling {
    words: Vec<Word>,
    within: Option<String>,
}

impl Telling {
    /// A step as it was written: what it does or expects, and its fields. A stimulus with an answer becomes two.
    fn step(&self, word: &str, content: &Plain) -> Vec<(String, String)> {
        let fields = content.entries();
        match word {
            "expect" | "never" | "stays" => vec![self.judged(word, fields)],
            _ => {
                let words = |name: &str| EXPECTED.iter().find(|(known, _)| *known == name).map(|(_, words)| *words);
                let own: Vec<_> = fields.iter().filter(|(name, _)| words(name).is_none()).cloned().collect();
                let expected =
                    fields.iter().filter_map(|(name, value)| Some((words(name)?.to_owned(), join(value.entries()))));
                let stimulus = (doc(&self.words, word, Part::Stimulus).to_owned(), join(&own));
                std::iter::once(stimulus).chain(expected).collect()
            }
        }
    }

    fn judged(&self, word: &str, fields: &[(String, Plain)]) -> (String, String) {
        let option = |name: &str| {
            let found = fields.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.to_string())
        };
        let is_kind = |name: &str| self.words.iter().any(|word| word.part == Part::Kind && word.name == name);
        let Some((kind, matcher)) = fields.iter().find(|(name, _)| is_kind(name)) else {
            return Default::default();
        };
        let what = lower_first(doc(&self.words, kind, Part::Kind));
        let within = option("within").or_else(|| self.within.clone());
        let within = within.unwrap_or_else(|| format!("{DEFAULT_WITHIN:#}"));
        let mut text = match (word, option("for")) {
            ("expect", _) => format!("Expected within {within}: {what}"),
            ("stays", duration) => {
                let until = option("until").map(|name| format!("until `{name}`"));
                let lasts = duration.map(|duration| format!("for {duration}")).or(until);
                let lasts = lasts.unwrap_or_else(|| "until the end of the scenario".into());
                format!("Expected within {within}, and must stay so {lasts}: {what}")
            }
            (_, Some(duration)) => format!("Must not happen for {duration}: {what}"),
            _ => format!("Must not happen before the other expectations of this group are met: {what}"),
        };
        let mut remark = |words: String| text = format!("{text}; {words}");
        if let Some(times) = option("times") {
            remark(format!("{times} times"));
        }
        if let Some(after) = option("after") {
            remark(format!("after `{after}`"));
        }
        if let Some(control) = option("control") {
            remark(format!("positive control: `{control}`"));
        }
        if let Some(range) = option("kubernetes") {
            remark(format!("only on Kubernetes {range}"));
        }
        if let Some(range) = option("kubelet") {
            remark(format!("only with kubelets {range}"));
        }
        if let Some(name) = option("name") {
            remark(format!("named `{name}`"));
        }
        (text, join(matcher.entries()))
    }
}

/// The model's doc comment for a word, without the full stop.
fn doc<'a>(words: &'a [Word], name: &str, part: Part) -> &'a str {
    let found = words.iter().find(|word| word.part == part && word.name == name);
    found.map_or("", |word| word.doc.trim_end_matches('.'))
}

fn lower_first(text: &str) -> String {
    // Only an ordinary word: `A`, `The`, `What`; not `API` or `CertificateSigningRequest`.
    let first = text.split(' ').next().unwrap_or_default();
    let is_ordinary = first.chars().skip(1).all(|letter| letter.is_ascii_lowercase());
    let mut letters = text.chars();
    match letters.next() {
        Some(letter) if is_ordinary => letter.to_lowercase().chain(letters).collect(),
        _ => text.to_owned(),
    }
}

fn join(fields: &[(String, Plain)]) -> String {
    let fields = fields.iter().map(|(name, value)| format!("{name} {value}"));
    fields.collect::<Vec<_>>().join(", ")
}

#[derive(Debug, Default, Deserialize)]
struct Written {
    within: Option<String>,
    cluster: Option<Plain>,
    steps: Vec<Plain>,
}

/// YAML as it was written, in the same order.
#[derive(Clone, Debug)]
enum Plain {
    Scalar(String),
    List(Vec<Plain>),
    Map(Vec<(String, Plain)>),
}

impl Plain {
    fn entries(&self) -> &[(String, Plain)] {
        match self {
            Self::Map(entries) => entries,
            Self::Scalar(_) | Self::List(_) => &[],
        }
    }
}

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(text) if text.contains([' ', ',']) || text.is_empty() => {
                write!(f, "\"{text}\"")
            }
            Self::Scalar(text) => f.write_str(text),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(Self::to_string).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Self::Map(entries) if entries.len() == 1 => f.write_str(&join(entries)),
            Self::Map(entries) => write!(f, "({})", join(entries)),
        }
    }
}

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlainVisitor)
    }
}

struct PlainVisitor;

impl<'de> Visitor<'de> for PlainVisitor {
    type Value = Plain;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Plain, E> {
        Ok(Plain::Scalar(value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Plain, E> {
        Ok(Plain::Scalar(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Plain, E> {
        Ok(Plain::Scalar(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Plain, E> {
        Ok(Plain::Scalar(value.to_string()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Plain, E> {
        Ok(Plain::Scalar(value.to_owned()))
    }

    fn visit_unit<E: Error>(self) -> Result<Plain, E> {
        Ok(Plain::Map(Vec::new()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Plain, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Plain::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Plain, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Plain::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::load_text;

    const TEXT: &str = r#"
id: rbac.late-binding
title: A binding made later is enough
requirements: [R-01]
nodes: [{name: n1}]
steps:
  - start: {node: n1}
  - expect:
      request: {node: n1, verb: create, resource: certificatesigningrequests, code: 403, message: cannot create resource}
  - bind: {clusterRole: approver, to: {user: kubelet-bootstrap}}
  - expect:
      csr: {node: n1, groups: [a, b]}
      name: asked
      within: 5m
      kubernetes: ">=1.31"
  - start: {node: n1, with: {rotateCertificates: false}}
  - expect:
      csr: {node: n1}
  - never:
      csr: {node: n1, state: denied}
      control: asked
  - get: {as: admin, path: /version, answer: {code: 200}}
"#;

    #[test]
    fn settings_are_told_as_they_were_written() {
        let scenario = load_text("x.yaml", TEXT).unwrap();
        assert_eq!(differing_settings(&scenario), "");
        let text = TEXT.replace("nodes:", "cluster: {anonymousAuth: false, bindings: {nodeClient: absent}}\nnodes:");
        let scenario = load_text("x.yaml", &text).unwrap();
        assert_eq!(differing_settings(&scenario), "anonymousAuth false, bindings nodeClient absent");
    }

    #[test]
    fn steps_are_told_in_order_with_their_fields() {
        let scenario = load_text("x.yaml", TEXT).unwrap();
        let told: Vec<String> = describe(&scenario)
            .into_iter()
            .map(|StepWords { line, is_judged, text, fields }| {
                format!("{line} {} {text} / {fields}", if is_judged { "?" } else { "!" })
            })
            .collect();
        assert_eq!(
            told,
            [
                "7 ! Start a node's kubelet or a component of the control plane / node n1",
                "8 ? Expected within 1m: an API request, as the audit log shows it / node n1, verb create, resource certificatesigningrequests, code 403, message \"cannot create resource\"",
                "10 ! Bind a ClusterRole to a user or group / clusterRole approver, to user kubelet-bootstrap",
                "11 ? Expected within 5m: a CertificateSigningRequest; only on Kubernetes >=1.31; named `asked` / node n1, groups [a, b]",
                "16 ! Start a node's kubelet or a component of the control plane / node n1, with rotateCertificates false",
                "17 ? Expected within 1m: a CertificateSigningRequest / node n1",
                "19 ? Must not happen before the other expectations of this group are met: a CertificateSigningRequest; positive control: `asked` / node n1, state denied",
                "22 ! Send a GET request to the API server / as admin, path /version",
                "22 ? The API server must answer / code 200",
            ]
        );
    }
}
