//! Which fields events have, for expressions that name some. A field that no event has never exists, so a `never` about
//! it would pass for that reason alone.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use schemars::{Schema, schema_for};
use serde_json::Value;

use crate::history::event::{
    ConnectionEvent, CsrEvent, FileEvent, InboundEvent, LogEvent, MetricsEvent, NodeEvent, Presented, ProcessEvent,
    RECORDED, ReachEvent, RequestEvent,
};

/// What is wrong with a path of fields in events of this kind: `["request", "ips"]` for `event.request.ips`. The
/// content of lists, and of objects with free keys (labels, for example), is not checked.
pub(super) fn wrong(kind: &str, path: &[&str]) -> Option<String> {
    let root = schemas().get(kind)?;
    let mut places = vec![root];
    for (depth, field) in path.iter().enumerate() {
        places = places.into_iter().flat_map(|place| alternatives(root, place)).collect();
        if places.iter().any(|place| !is_closed(place)) {
            return None;
        }
        let next: Vec<&Value> = places.iter().filter_map(|place| place["properties"].get(*field)).collect();
        if next.is_empty() {
            let known = places.iter().filter_map(|place| place["properties"].as_object());
            let known: Vec<&str> = known.flat_map(|fields| fields.keys().map(String::as_str)).collect();
            let place = std::iter::once("event").chain(path[..depth].iter().copied()).collect::<Vec<_>>().join(".");
            return Some(match known.as_slice() {
                [] => format!("`{place}` has no fields, so it has no `{field}`"),
                known => {
                    format!("`{place}` of the events `{kind}` has no field `{field}`; it has {}", known.join(", "))
                }
            });
        }
        places = next;
    }
    None
}

fn schemas() -> &'static BTreeMap<&'static str, Value> {
    static SCHEMAS: OnceLock<BTreeMap<&'static str, Value>> = OnceLock::new();
    SCHEMAS.get_or_init(|| RECORDED.iter().filter_map(|(kind, _)| Some((*kind, schema(kind)?.to_value()))).collect())
}

fn schema(kind: &str) -> Option<Schema> {
    Some(match kind {
        "csr" => schema_for!(CsrEvent),
        "request" => schema_for!(RequestEvent),
        "file" => schema_for!(FileEvent),
        "presented" => schema_for!(Presented),
        "process" => schema_for!(ProcessEvent),
        "connection" => schema_for!(ConnectionEvent),
        "inbound" => schema_for!(InboundEvent),
        "reach" => schema_for!(ReachEvent),
        "metrics" => schema_for!(MetricsEvent),
        "node" => schema_for!(NodeEvent),
        "log" => schema_for!(LogEvent),
        _ => return None,
    })
}

/// A place and everything that it refers to or may be instead, as far as these are objects.
fn alternatives<'a>(root: &'a Value, place: &'a Value) -> Vec<&'a Value> {
    let referred = place["$ref"].as_str().and_then(|name| root.pointer(name.trim_start_matches('#')));
    let others = ["anyOf", "oneOf"].into_iter().filter_map(|word| place[word].as_array()).flatten();
    let below = referred.into_iter().chain(others).flat_map(|place| alternatives(root, place));
    let is_reference = place.get("$ref").is_some() || place.get("anyOf").is_some() || place.get("oneOf").is_some();
    let is_null = place["type"] == "null";
    (!is_reference && !is_null).then_some(place).into_iter().chain(below).collect()
}

/// Whether all fields of a place are known.
fn is_closed(place: &Value) -> bool {
    let is_list =
        place["type"] == "array" || place["type"].as_array().is_some_and(|types| types.contains(&"array".into()));
    let has_own_keys = place["additionalProperties"].is_object() || place["additionalProperties"] == Value::Bool(true);
    !is_list && !has_own_keys
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn every_kind_of_event_has_its_fields() {
        for (kind, _) in RECORDED {
            assert!(schemas().contains_key(kind), "{kind}");
        }
    }

    #[rstest]
    #[case("csr", "name", None)]
    #[case("csr", "request.key.algorithm", None)]
    #[case("csr", "labels.anything", None)]
    #[case("csr", "request.ips.anything", None)]
    #[case("file", "facts.kubeconfig.clientCertificate", None)]
    #[case("process", "state.exited.code", None)]
    #[case("connection", "state.closed.by", None)]
    #[case("csr", "nmae", Some("has no field `nmae`; it has "))]
    #[case("csr", "request.key.size", Some("`event.request.key` of the events `csr` has no field `size`"))]
    #[case("csr", "name.first", Some("`event.name` has no fields"))]
    #[case("process", "state.exited.cod", Some("has no field `cod`"))]
    #[case("file", "facts.owner", Some("has no field `owner`"))]
    fn fields_that_no_event_has_are_told(#[case] kind: &str, #[case] path: &str, #[case] says: Option<&str>) {
        let path: Vec<&str> = path.split('.').collect();
        let wrong = wrong(kind, &path);
        assert_eq!(wrong.is_some(), says.is_some(), "{wrong:?}");
        assert!(wrong.clone().unwrap_or_default().contains(says.unwrap_or_default()), "{wrong:?}");
    }
}
