//! The JSON Schema of scenario files, and the model's words with what it says about them.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::RawScenario;
use crate::check::KINDS;

/// The schema as editors and `tlsboot schema` get it. Keys are sorted, so it changes only with the model.
pub fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    generator.into_root_schema_for::<RawScenario>().to_value()
}

/// A word that a step can begin with, or a kind of thing that can be expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// As in the YAML.
    pub name: String,
    /// Whether it is a kind of expectation; a stimulus otherwise.
    pub is_kind: bool,
    /// What it is or does.
    pub doc: String,
    /// Its fields, required ones first.
    pub fields: Vec<Field>,
}

/// A field of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// As in the YAML.
    pub name: String,
    /// Whether it must be there.
    pub required: bool,
    /// What can be written: `string`, `true or false`, `client | serving`, …
    pub values: String,
    /// What it means.
    pub doc: String,
}

/// All words: the stimuli, then the kinds of expectations.
pub fn words() -> Vec<Word> {
    let schema = schema();
    let stimuli = variants(&schema["$defs"]["Step"])
        .filter(|(name, _)| !["expect", "never"].contains(&name.as_str()))
        .map(|(name, variant)| {
            let inner = resolve(&schema, &variant["properties"][&name]);
            word(&schema, name, false, text(&variant["description"]), inner)
        });
    let expected = &schema["$defs"]["Expectation"]["properties"];
    let kinds = KINDS.iter().map(|kind| {
        let inner = resolve(&schema, &expected[kind]);
        let doc = text(&expected[kind]["description"]);
        word(&schema, (*kind).to_owned(), true, doc, inner)
    });
    stimuli.chain(kinds).collect()
}

fn word(schema: &Value, name: String, is_kind: bool, doc: String, inner: &Value) -> Word {
    let required = |field: &str| {
        let names = inner["required"].as_array();
        names.is_some_and(|names| names.iter().any(|name| name == field))
    };
    let properties = inner["properties"].as_object().into_iter().flatten();
    let mut fields: Vec<Field> = properties
        .map(|(field, property)| Field {
            name: field.clone(),
            required: required(field),
            values: values(schema, property),
            doc: text(&property["description"]),
        })
        .collect();
    fields.sort_by_key(|field| !field.required);
    Word { name, is_kind, doc, fields }
}

/// The variants of an enum with content, by their only key.
fn variants(definition: &Value) -> impl Iterator<Item = (String, &Value)> {
    let all = definition["oneOf"].as_array().into_iter().flatten();
    all.filter_map(|variant| {
        let (name, _) = variant["properties"].as_object()?.iter().next()?;
        Some((name.clone(), variant))
    })
}

/// The definition behind a property, also where it may be left out.
fn resolve<'a>(schema: &'a Value, property: &'a Value) -> &'a Value {
    if let Some(name) = property["$ref"].as_str() {
        return &schema["$defs"][name.rsplit('/').next().unwrap_or(name)];
    }
    let choices = property["anyOf"].as_array().into_iter().flatten();
    choices.filter(|choice| choice["type"] != "null").map(|choice| resolve(schema, choice)).next().unwrap_or(property)
}

/// What can be written for a property, in words.
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
    let kind = match &inner["type"] {
        Value::Array(kinds) => kinds.iter().find(|kind| *kind != "null").map(text),
        kind => Some(text(kind)),
    };
    match kind.as_deref() {
        Some("boolean") => "true | false".into(),
        Some("integer") => "number".into(),
        Some("array") => format!("list of {}", values(schema, &inner["items"])),
        Some("object") => {
            let keys = inner["properties"].as_object().into_iter().flatten();
            let keys: Vec<&str> = keys.map(|(name, _)| name.as_str()).collect();
            format!("{{{}}}", keys.join(", "))
        }
        Some(other) => other.to_owned(),
        None => "anything".into(),
    }
}

/// A text of the schema on one line.
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
    }

    /// Editors read the file; `tlsboot schema > scenarios/schema.json` writes it anew.
    #[test]
    fn the_schema_beside_the_scenarios_is_this_one() {
        let text = std::fs::read_to_string(folder().join("schema.json")).unwrap();
        let written: Value = serde_json::from_str(&text).unwrap();
        assert!(written == schema(), "the model changed: run `tlsboot schema > scenarios/schema.json`");
    }

    #[test]
    fn every_word_has_a_doc_and_every_field_too() {
        let words = words();
        assert_eq!(words.iter().filter(|word| word.is_kind).count(), KINDS.len());
        assert!(words.iter().any(|word| !word.is_kind && word.name == "start"));
        for word in &words {
            assert!(!word.doc.is_empty(), "{}", word.name);
            assert!(!word.fields.is_empty(), "{}", word.name);
            for field in &word.fields {
                assert!(!field.doc.is_empty(), "{}.{}", word.name, field.name);
                assert!(!field.values.is_empty(), "{}.{}", word.name, field.name);
            }
        }
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
        assert!(field("rotation", "of").required);
        assert_eq!(field("csr", "groups").values, "list of string");
        assert_eq!(field("swap", "role").values, "client | serving");
        assert_eq!(field("bind", "to").values, "absent | {user: string} | {group: string}");
    }
}
