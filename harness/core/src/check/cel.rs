//! Any event, matched by a CEL expression: the escape hatch for what the structured kinds cannot express.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use kube_cel::KubeCelExt;
use kube_cel::cel::{Context, ExecutionError, Program, Value};
use schemars::JsonSchema;
use serde::Deserialize;

use super::compare::NONE;
use super::{LooksAt, Match, Matcher, Mismatch, Moment, OfEvents, expression, fields};
use crate::history::event::{RECORDED, Recorder};

/// An event for which an expression is true.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cel {
    /// The kind of event, as in the history: `request`, `csr`, `file`, …
    pub event: String,
    /// The CEL expression. `event` is the content of the event, as in the history; `at` is its time, in RFC 3339.
    pub expression: String,
    /// The expression as it is evaluated, compiled on first use.
    #[serde(skip)]
    #[schemars(skip)]
    program: OnceLock<Arc<Result<Program, String>>>,
}

/// What happened, and when.
const EVENT: &str = "event";
const AT: &str = "at";

impl Cel {
    fn program(&self) -> &Result<Program, String> {
        self.program.get_or_init(|| Arc::new(expression::compile(&self.expression)))
    }

    /// Whether it is true for an event; `None` if it is about a field or an item that this event does not have.
    fn evaluate(&self, event: &serde_json::Value, at: &str) -> Result<Option<bool>, String> {
        let program = self.program().as_ref().map_err(Clone::clone)?;
        expression::is_affordable(program, event)?;
        let mut context = Context::default().with_all();
        context.add_variable_from_value(EVENT, value(event));
        context.add_variable_from_value(AT, at.to_owned());
        match program.execute(&context) {
            Ok(Value::Bool(holds)) => Ok(Some(holds)),
            Ok(other) => Err(format!("the result is {other:?}, not true or false")),
            Err(ExecutionError::NoSuchKey(_) | ExecutionError::IndexOutOfBounds(_)) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The values that it used.
    fn seen(&self, event: &serde_json::Value) -> String {
        let Ok(program) = self.program() else { return String::new() };
        let of_event = expression::paths(program).into_iter().filter(|path| path.len() > 1 && path[0] == EVENT);
        let value = |path: Vec<&str>| {
            let value = path[1..].iter().try_fold(event, |value, field| value.get(*field));
            let shown = value.map_or_else(|| NONE.to_owned(), ToString::to_string);
            let shown = match shown.char_indices().nth(SHOWN) {
                Some((end, _)) => format!("{}…", &shown[..end]),
                None => shown,
            };
            format!("{} = {shown}", path.join("."))
        };
        of_event.map(value).collect::<Vec<_>>().join(", ")
    }
}

/// A value of an event. Whole numbers are of type int, as in Kubernetes' own expressions, so `event.code == 401` is
/// true for 401. If they were of type uint, which JSON does not have, nothing would equal them.
fn value(event: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match event {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => {
            number.as_i64().map(Value::Int).unwrap_or_else(|| Value::Float(number.as_f64().unwrap_or(f64::NAN)))
        }
        Json::String(text) => text.as_str().into(),
        Json::Array(items) => items.iter().map(value).collect::<Vec<_>>().into(),
        Json::Object(fields) => {
            fields.iter().map(|(name, field)| (name.clone(), value(field))).collect::<HashMap<_, _>>().into()
        }
    }
}

/// This many characters of a value are shown.
const SHOWN: usize = 200;

impl Matcher for Cel {
    fn recorders(&self) -> &'static [Recorder] {
        let known = RECORDED.iter().find(|(name, _)| *name == self.event);
        known.map_or(&[], |(_, recorder)| std::slice::from_ref(recorder))
    }

    fn looks_at(&self) -> LooksAt<'_> {
        LooksAt::Events(self)
    }

    fn lint(&self) -> Option<String> {
        if !RECORDED.iter().any(|(name, _)| *name == self.event) {
            let known = RECORDED.map(|(name, _)| name).join(", ");
            return Some(format!("there is no event kind `{}`; the kinds are {known}", self.event));
        }
        let program = match self.program() {
            Ok(program) => program,
            Err(error) => return Some(format!("the expression is not valid CEL: {error}")),
        };
        if let Some(unknown) = expression::free_variables(program).into_iter().find(|name| ![EVENT, AT].contains(name))
        {
            return Some(format!("there is no variable `{unknown}`; the variables are `{EVENT}` and `{AT}`"));
        }
        if let Some(unknown) = expression::unknown_functions(program, &Context::default().with_all()).first() {
            return Some(format!("there is no function `{unknown}`"));
        }
        if let Some(number) = expression::unsigned(program) {
            return Some(format!("whole numbers in events are of type int: write `{number}`, not `{number}u`"));
        }
        let paths = expression::paths(program);
        paths.into_iter().filter(|path| path[0] == EVENT).find_map(|path| fields::wrong(&self.event, &path[1..]))
    }
}

impl OfEvents for Cel {
    fn judge(&self, moment: &Moment<'_>) -> Match {
        let Ok(serde_json::Value::Object(what)) = serde_json::to_value(&moment.event.what) else { return Match::Other };
        let Some(event) = what.get(&self.event) else { return Match::Other };
        let found = match self.evaluate(event, &moment.event.at.to_string()) {
            Ok(Some(true)) => return Match::Yes,
            Ok(Some(false)) => "false",
            // A missing key only means that this is a different event, but what it has is worth showing.
            Ok(None) => "no such field",
            Err(error) => return Match::Unknown(format!("the expression cannot be evaluated: {error}")),
        };
        let found = match self.seen(event) {
            seen if seen.is_empty() => found.to_owned(),
            seen => format!("{found}: {seen}"),
        };
        Match::Near(vec![Mismatch { field: "expression".into(), expected: self.expression.clone(), found }])
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn cel(event: &str, expression: &str) -> Cel {
        serde_json::from_value(serde_json::json!({"event": event, "expression": expression})).unwrap()
    }

    #[rstest]
    #[case::macros("csr", "event.request.ips.exists(ip, ip == '192.0.2.10')", None)]
    #[case::nested("csr", "event.request.dns.all(a, event.groups.exists_one(b, a == b))", None)]
    #[case::mapped("csr", "event.request.ips.map(ip, ip + '/32').filter(net, net != '').size() == 1", None)]
    #[case::index("csr", "event.labels['a'] == 'b'", None)]
    #[case::unbound("csr", "event.request.ips.exists(ip, other == ip)", Some("no variable `other`"))]
    #[case::field("csr", "event.requests.ips == []", Some("no field `requests`"))]
    #[case::indexed_field("csr", "event['nmae'] == ''", Some("no field `nmae`"))]
    #[case::field_in_a_macro("csr", "event.groups.all(g, g == event.nmae)", Some("no field `nmae`"))]
    #[case::function("csr", "event.name.begins('n')", Some("no function `begins`"))]
    #[case::unsigned("request", "event.code == 401u", Some("write `401`"))]
    #[case::types("csr", "type(event.name) == string", Some("no variable `string`"))]
    fn what_an_expression_names_is_there(#[case] event: &str, #[case] text: &str, #[case] says: Option<&str>) {
        let wrong = cel(event, text).lint();
        assert_eq!(wrong.is_some(), says.is_some(), "{wrong:?}");
        assert!(wrong.clone().unwrap_or_default().contains(says.unwrap_or_default()), "{wrong:?}");
    }

    #[test]
    fn a_number_is_a_number() {
        let event = serde_json::json!({"code": 401_u16});
        for text in ["event.code == 401", "event.code >= 400 && event.code < 500", "event.code in [401, 403]"] {
            assert_eq!(cel("request", text).evaluate(&event, ""), Ok(Some(true)), "{text}");
        }
    }

    #[rstest]
    #[case("event.name == 1 + 'a'")]
    #[case("event.name")]
    #[case("event.name.all(letter, true)")]
    fn what_has_no_answer_is_an_error(#[case] text: &str) {
        assert!(cel("csr", text).evaluate(&serde_json::json!({"name": "n1"}), "").is_err());
    }

    #[test]
    fn the_values_that_it_saw_are_told() {
        let seen = cel("request", "event.code == 401 && event.user == 'x' && has(event.reason)");
        let event = serde_json::json!({"code": 403, "user": "u".repeat(300)});
        let told = seen.seen(&event);
        assert!(told.starts_with("event.code = 403, event.reason = none, event.user = \"uuu"), "{told}");
        assert!(told.ends_with('…') && told.len() < 300, "{told}");
    }
}
