//! The JSON Schema of scenario files, and the words of the language with their descriptions from the model.

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::stimulus::STIMULI;
use super::{RawScenario, duration};
use crate::check::KINDS;

/// The schema's `$id`, wherever it is stored.
const ID: &str = "urn:tlsboot:schema:scenario";

/// The schema for editors and `tlsboot schema`. Keys are sorted, so it changes only with the model.
pub fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<RawScenario>().to_value();
    tidy(&mut schema);
    flatten(&mut schema["$defs"]["Step"]);
    schema["$id"] = json!(ID);
    schema
}

/// What may be left out is not listed as required. That it may also be `null` is an accident of the model's types,
/// which confuses yaml-language-server; it also writes every default into what it completes.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.remove("default");
            if let Some(Value::Array(kinds)) = fields.get_mut("type") {
                kinds.retain(|kind| kind != "null");
                if let [kind] = kinds.as_slice() {
                    fields["type"] = kind.clone();
                }
            }
            if let Some(Value::Array(values)) = fields.get_mut("enum") {
                values.retain(|value| !value.is_null());
            }
            if let Some(Value::Array(choices)) = fields.get_mut("anyOf") {
                choices.retain(|choice| choice["type"] != "null");
                if let [Value::Object(only)] = choices.as_slice() {
                    let only = only.clone();
                    fields.remove("anyOf");
                    for (name, value) in only {
                        fields.entry(name).or_insert(value);
                    }
                }
            }
            fields.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// Turns a choice of several objects with a single key each into one object that has exactly one of the keys: editors
/// list an object's keys at an empty step, and after its first letters.
fn flatten(choice: &mut Value) {
    let Some(fields) = choice.as_object_mut() else { return };
    let Some(Value::Array(variants)) = fields.remove("oneOf") else { return };
    let properties = variants.iter().filter_map(|variant| {
        let (name, property) = variant["properties"].as_object()?.iter().next()?;
        let mut property = property.clone();
        property["description"] = variant["description"].clone();
        Some((name.clone(), property))
    });
    let properties: serde_json::Map<String, Value> = properties.collect();
    fields.insert("properties".into(), Value::Object(properties));
    for (name, value) in [
        ("type", json!("object")),
        ("additionalProperties", json!(false)),
        ("minProperties", json!(1)),
        ("maxProperties", json!(1)),
    ] {
        fields.insert(name.into(), value);
    }
}

/// A scenario's id.
pub(super) fn id(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": r"^[a-z0-9-]+\.[a-z0-9.-]+$"})
}

/// A scenario's title.
pub(super) fn title(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": super::style::LONGEST_TITLE})
}

/// Ids of behaviors.
pub(super) fn requirements(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "items": {"type": "string", "pattern": "^([A-WYZ]-[0-9]{2}|X-[A-Za-z0-9.-]+)$"},
    })
}

/// Ids of invariants, with reasons.
pub(super) fn allows(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "propertyNames": {"pattern": "^I-[0-9]{2}$"},
        "additionalProperties": {"type": "string", "minLength": 1},
    })
}

/// A range of versions.
pub(crate) fn versions(_: &mut SchemaGenerator) -> Schema {
    const ONE: &str = r" *(=|<=?|>=?|~|\^)? *[0-9]+(\.[0-9]+){0,2} *";
    json_schema!({"type": "string", "pattern": format!("^{ONE}(,{ONE})*$")})
}

/// The part of the language that a word belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// A key of the scenario itself, such as `cluster`.
    Head,
    /// A stimulus.
    Stimulus,
    /// `expect`, `stays` and `never`.
    Judged,
    /// An option of an `expect`, `stays` or `never` beside its kind, such as `within`.
    Option,
    /// A kind of expectation.
    Kind,
}

/// A word of the scenario language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// As written in the YAML.
    pub name: String,
    /// Where it stands.
    pub part: Part,
    /// What it is or does.
    pub doc: String,
    /// Its possible values, if it has no fields.
    pub values: String,
    /// Its fields, required ones first.
    pub fields: Vec<Field>,
}

/// A field of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// As written in the YAML.
    pub name: String,
    /// Whether it is required.
    pub required: bool,
    /// Its possible values: `string`, `true or false`, `client | serving`, …
    pub values: String,
    /// What it means.
    pub doc: String,
}

/// All words: the scenario's own keys, the stimuli, `expect`, `stays` and `never`, their options, and the kinds of expectations.
pub fn words() -> Vec<Word> {
    let schema = schema();
    let head = properties(&schema).map(|(name, property)| word(&schema, name, Part::Head, property));
    let steps = properties(&schema["$defs"]["Step"]).map(|(name, property)| {
        let part = if JUDGED.contains(&name.as_str()) { Part::Judged } else { Part::Stimulus };
        let mut word = word(&schema, name, part, property);
        if part == Part::Judged {
            word.fields.retain(|field| !KINDS.contains(&field.name.as_str()));
        }
        word
    });
    let expect = &schema["$defs"]["Expectation"];
    let kinds = KINDS.iter().map(|kind| word(&schema, kind, Part::Kind, &expect["properties"][kind]));
    let (never, stays) = (&schema["$defs"]["Never"], &schema["$defs"]["Stays"]);
    let new = |known: &[&Value], name: &str| known.iter().all(|known| known["properties"].get(name).is_none());
    let of_never = properties(never).filter(|(name, _)| new(&[expect], name));
    let of_stays = properties(stays).filter(|(name, _)| new(&[expect, never], name));
    let options = properties(expect).filter(|(name, _)| !KINDS.contains(&name.as_str()));
    let options = options.chain(of_never).chain(of_stays);
    let options = options.map(|(name, property)| word(&schema, name, Part::Option, property));
    let mut steps: Vec<Word> = steps.collect();
    let order = |word: &Word| STIMULI.iter().position(|known| *known == word.name).unwrap_or(STIMULI.len());
    steps.sort_by_key(order);
    head.chain(steps).chain(options).chain(kinds).collect()
}

const JUDGED: [&str; 3] = ["expect", "never", "stays"];

fn properties(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object["properties"].as_object().into_iter().flatten()
}

fn word(schema: &Value, name: &str, part: Part, property: &Value) -> Word {
    let inner = element(schema, property);
    let required = |field: &str| {
        let names = inner["required"].as_array();
        names.is_some_and(|names| names.iter().any(|name| name == field))
    };
    let mut fields: Vec<Field> = properties(inner)
        .map(|(field, property)| Field {
            name: field.clone(),
            required: required(field),
            values: values(schema, property),
            doc: text(&property["description"]),
        })
        .collect();
    fields.sort_by_key(|field| !field.required);
    let values = if fields.is_empty() { values(schema, property) } else { String::new() };
    Word { name: name.to_owned(), part, doc: text(&property["description"]), values, fields }
}

/// The content of a property: for a list its items, for a table its values.
fn element<'a>(schema: &'a Value, property: &'a Value) -> &'a Value {
    let inner = resolve(schema, property);
    match (inner.get("items"), inner.get("additionalProperties")) {
        (Some(items), _) => resolve(schema, items),
        (_, Some(entries)) if entries.is_object() => resolve(schema, entries),
        _ => inner,
    }
}

/// A field or value inside a word, at any depth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its path: `csr.state`, or `csr.state: issued` for a value.
    pub path: String,
    /// What it means.
    pub doc: String,
    /// Its possible values; empty for a value.
    pub values: String,
}

/// All fields and values with this name, below the words.
pub fn places(name: &str) -> Vec<Place> {
    let schema = schema();
    let mut found = Vec::new();
    let judged = |name: &str| JUDGED.contains(&name);
    let head = properties(&schema).filter(|(name, _)| *name != "steps");
    let steps = properties(&schema["$defs"]["Step"]).filter(|(name, _)| !judged(name));
    let expect = properties(&schema["$defs"]["Expectation"]).filter(|(name, _)| KINDS.contains(&name.as_str()));
    for (word, property) in head.chain(steps).chain(expect) {
        walk(&schema, property, word, name, &mut found);
    }
    found
}

fn walk(schema: &Value, property: &Value, path: &str, wanted: &str, found: &mut Vec<Place>) {
    let inner = element(schema, property);
    let mut take = |path: String, name: &str, doc: &Value, values: String| {
        if name == wanted {
            found.push(Place { path, doc: text(doc), values });
        }
    };
    for (name, property) in properties(inner) {
        take(format!("{path}.{name}"), name, &property["description"], values(schema, property));
    }
    let choices = || inner["oneOf"].as_array().into_iter().flatten();
    for choice in choices() {
        if let Some(value) = choice["const"].as_str() {
            take(format!("{path}: {value}"), value, &choice["description"], String::new());
        }
        for (name, property) in properties(choice) {
            take(format!("{path}.{name}"), name, &choice["description"], values(schema, property));
        }
    }
    for (name, property) in properties(inner).chain(choices().flat_map(properties)) {
        walk(schema, property, &format!("{path}.{name}"), wanted, found);
    }
}

/// The definition behind a property.
fn resolve<'a>(schema: &'a Value, property: &'a Value) -> &'a Value {
    if let Some(name) = property["$ref"].as_str() {
        return &schema["$defs"][name.rsplit('/').next().unwrap_or(name)];
    }
    property
}

/// The possible values of a property, in words.
pub(crate) fn values(schema: &Value, property: &Value) -> String {
    let inner = resolve(schema, property);
    if let Some(list) = inner["enum"].as_array() {
        return list.iter().map(text).collect::<Vec<_>>().join(" | ");
    }
    if let Some(choices) = inner["oneOf"].as_array() {
        let words = choices.iter().flat_map(|choice| {
            if let Some(list) = choice["enum"].as_array() {
                return list.iter().map(text).collect();
            }
            match choice["const"].as_str() {
                Some(constant) => vec![constant.to_owned()],
                None if choice["properties"].is_null() => vec![values(schema, choice)],
                None => choice["properties"]
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(name, inner)| format!("{{{name}: {}}}", values(schema, inner)))
                    .collect(),
            }
        });
        return words.collect::<Vec<_>>().join(" | ");
    }
    if inner["pattern"] == duration::PATTERN || inner["pattern"] == duration::SIGNED {
        return "duration".into();
    }
    match inner["type"].as_str() {
        Some("boolean") => "true | false".into(),
        Some("integer" | "number") => "number".into(),
        Some("array") => format!("list of {}", values(schema, &inner["items"])),
        Some("object") if inner["additionalProperties"].is_object() => {
            format!("table of {}", values(schema, &inner["additionalProperties"]))
        }
        Some("object") => {
            let keys = inner["properties"].as_object().into_iter().flatten();
            let keys: Vec<&str> = keys.map(|(name, _)| name.as_str()).collect();
            format!("{{{}}}", keys.join(", "))
        }
        Some(other) => other.to_owned(),
        None => "anything".into(),
    }
}

/// A description of the schema on one line.
pub(crate) fn text(value: &Value) -> String {
    let words = value.as_str().unwrap_or_default().split_whitespace();
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{folder, scenarios};

    #[test]
    fn every_scenario_is_valid_by_the_schema() {
        let validator = jsonschema::validator_for(&schema()).unwrap();
        for scenario in scenarios() {
            let value: Value = serde_saphyr::from_str(&scenario.text).unwrap();
            let errors: Vec<String> =
                validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
            assert!(errors.is_empty(), "{}: {errors:?}", scenario.file);
        }
    }

    #[test]
    fn the_schema_refuses_what_the_loader_refuses() {
        let validator = jsonschema::validator_for(&schema()).unwrap();
        let wrong = |text: &str| {
            let value: Value = serde_saphyr::from_str(text).unwrap();
            !validator.is_valid(&value)
        };
        let head = "id: a.b\ntitle: t\nrequirements: [A-01]\n";
        assert!(!wrong(&format!("{head}steps: [{{start: {{node: n1}}}}]")));
        assert!(wrong(&format!("{head}steps: [{{explode: {{node: n1}}}}]")));
        assert!(wrong(&format!("{head}steps: [{{start: {{nodes: n1}}}}]")));
        assert!(wrong("id: a.b\ntitle: t\nsteps: []"));
        assert!(wrong(&format!("{head}steps: [{{start: {{node: n1}}, stop: {{node: n1}}}}]")));
        assert!(wrong(&format!("{head}within: soon\nsteps: []")));
        assert!(wrong(&format!("{head}kubernetes: new\nsteps: []")));
        assert!(wrong("id: Example\ntitle: t\nrequirements: [A-01]\nsteps: []"));
        assert!(wrong("id: a.b\ntitle: t\nrequirements: [T1]\nsteps: []"));
    }

    /// Editors read the file; `tlsboot schema > scenarios/schema.json` regenerates it.
    #[test]
    fn the_schema_beside_the_scenarios_is_this_one() {
        let text = std::fs::read_to_string(folder().join("schema.json")).unwrap();
        let written: Value = serde_json::from_str(&text).unwrap();
        assert!(written == schema(), "the model changed: run `tlsboot schema > scenarios/schema.json`");
    }

    #[test]
    fn every_word_has_a_doc_and_every_field_too() {
        let words = words();
        let of = |part| words.iter().filter(move |word| word.part == part);
        assert_eq!(of(Part::Kind).count(), KINDS.len());
        assert!(of(Part::Stimulus).map(|word| word.name.as_str()).eq(STIMULI.iter().copied()));
        for (part, name) in [
            (Part::Head, "cluster"),
            (Part::Head, "within"),
            (Part::Judged, "never"),
            (Part::Option, "within"),
            (Part::Option, "control"),
            (Part::Option, "for"),
        ] {
            assert!(of(part).any(|word| word.name == name), "{name}");
        }
        for word in &words {
            assert!(!word.doc.is_empty(), "{}", word.name);
            assert!(word.fields.is_empty() != word.values.is_empty(), "{}", word.name);
            for field in &word.fields {
                assert!(!field.doc.is_empty(), "{}.{}", word.name, field.name);
                assert!(!field.values.is_empty(), "{}.{}", word.name, field.name);
            }
        }
    }

    /// A `null` where something may be left out, or a default, spoils what editors complete.
    #[test]
    fn nothing_is_null_and_no_default_is_written_out() {
        let text = schema().to_string();
        for stray in ["null", "\"default\":"] {
            assert!(!text.contains(stray), "{stray}");
        }
        assert_eq!(schema()["$id"], ID);
    }

    #[test]
    fn words_inside_of_words_are_found() {
        let paths = |name: &str| places(name).into_iter().map(|place| place.path).collect::<Vec<_>>();
        assert_eq!(paths("asKubelet"), ["csr.usages: asKubelet"]);
        assert!(paths("signingDuration").contains(&"start.with.signingDuration".to_owned()));
        assert!(paths("nodeClient").contains(&"cluster.bindings.nodeClient".to_owned()));
        assert!(paths("expiredCertificate").contains(&"submit.as.expiredCertificate".to_owned()));
        assert!(paths("wrongSecret").contains(&"tokens.defect: wrongSecret".to_owned()));
        assert!(places("issued").iter().all(|place| !place.doc.is_empty()));
    }

    #[test]
    fn fields_say_what_can_be_written() {
        let words = words();
        let field = |word: &str, name: &str| {
            let fields = words.iter().filter(|known| known.name == word);
            let mut fields = fields.flat_map(|word| &word.fields);
            fields.find(|field| field.name == name).unwrap().clone()
        };
        assert_eq!(field("rotation", "role").values, "client | serving");
        assert!(field("rotation", "renews").required);
        assert_eq!(field("submit", "expirationSeconds").values, "none | number");
        assert_eq!(field("replaceCA", "validFor").values, "duration");
        assert_eq!(field("csr", "requestedWith").values, "none | {certificate: number}");
        assert_eq!(field("csr", "groups").values, "list of string");
        assert_eq!(field("linkSwap", "role").values, "client | serving");
        assert_eq!(field("bind", "to").values, "absent | {user: string} | {group: string}");
    }
}
