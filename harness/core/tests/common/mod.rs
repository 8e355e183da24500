//! The recorded history that has every kind of event, and its scenario.

use std::fs;
use std::path::PathBuf;

use tlsboot_core::history::{Event, parse};
use tlsboot_core::scenario::{Scenario, load_text};

pub(crate) fn read(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/all-kinds").join(name);
    fs::read_to_string(path).unwrap()
}

pub(crate) fn scenario() -> Scenario {
    load_text("scenario.yaml", &read("scenario.yaml")).unwrap()
}

pub(crate) fn history() -> Vec<Event> {
    parse(&read("history.jsonl")).unwrap()
}
