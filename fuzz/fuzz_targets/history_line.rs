//! Whatever a recorded history contains, it is read or rejected; and for whatever was read, the judge reaches a
//! verdict.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tlsboot_core::check::judge_all;
use tlsboot_core::history::{parse, write_line};
use tlsboot_core::scenario::{Scenario, load_text};

/// Scenarios that together have most kinds of expectations.
static SCENARIOS: LazyLock<Vec<Scenario>> = LazyLock::new(|| {
    let files = [
        ("missing-bootstrapper-binding.yaml", include_str!("../../scenarios/rbac/missing-bootstrapper-binding.yaml")),
        ("short-signing-duration.yaml", include_str!("../../scenarios/rotation/short-signing-duration.yaml")),
    ];
    files.map(|(file, text)| load_text(file, text).expect("a scenario of the repository cannot be loaded")).into()
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
