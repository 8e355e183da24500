//! Whatever stands in a recorded history, it is read or refused; and whatever was read, the judge comes to a verdict.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tlsboot_core::check::judge_all;
use tlsboot_core::history::{parse, write_line};
use tlsboot_core::scenario::{Scenario, load_text};

/// Scenarios that between them have most kinds of expectations.
static SCENARIOS: LazyLock<Vec<Scenario>> = LazyLock::new(|| {
    let files = [
        ("missing-bootstrapper-binding.yaml", include_str!("../../scenarios/rbac/missing-bootstrapper-binding.yaml")),
        ("short-signing-duration.yaml", include_str!("../../scenarios/rotation/short-signing-duration.yaml")),
    ];
    files.map(|(file, text)| load_text(file, text).expect("a scenario of ours can't be loaded")).into()
});

fuzz_target!(|text: &str| {
    let Ok(events) = parse(text) else { return };
    for event in &events {
        write_line(event).expect("what was read can be written");
    }
    for scenario in SCENARIOS.iter() {
        let _ = judge_all(scenario, events.clone());
    }
});
