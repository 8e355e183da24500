//! The README says what is true: its scenario loads, its tables are complete, its links lead somewhere.

use std::path::Path;

use tlsboot_core::check::KINDS;
use tlsboot_core::scenario::{RawScenario, load_text};
use tlsboot_field::approver::policy::Policy;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).unwrap()
}

#[test]
fn the_scenario_in_it_loads() {
    let readme = readme();
    let start = readme.find("```yaml\nid: ").expect("there is no scenario") + "```yaml\n".len();
    let length = readme[start..].find("```").unwrap();
    let scenario = load_text("scenarios/rbac/bound-to-a-group.yaml", &readme[start..start + length]);
    scenario.unwrap_or_else(|errors| panic!("{}", errors[0].render(false)));
}

#[test]
fn the_policy_in_it_can_be_read() {
    let readme = readme();
    let start = readme.find("```yaml\nserving: ").expect("there is no policy") + "```yaml\n".len();
    let length = readme[start..].find("```").unwrap();
    let policy = Policy::read("policy.yaml", &readme[start..start + length]);
    policy.unwrap_or_else(|errors| panic!("{}", errors[0].render(false)));
}

#[test]
fn its_tables_have_every_stimulus_and_every_kind_of_expectation() {
    let readme = readme();
    let schema = serde_json::to_value(schemars::schema_for!(RawScenario)).unwrap();
    let steps = schema["$defs"]["Step"]["oneOf"].as_array().unwrap();
    let words = steps.iter().map(|step| step["required"][0].as_str().unwrap());
    let stimuli: Vec<&str> = words.filter(|word| !["expect", "never"].contains(word)).collect();
    assert!(stimuli.len() > 10, "{stimuli:?}");
    let rows: Vec<&str> = readme.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next()).collect();
    for word in stimuli.iter().chain(KINDS) {
        let cell = format!("`{word}`");
        assert!(rows.iter().any(|row| row.contains(&cell)), "no table of README.md has a row for {cell}");
    }
}

#[test]
fn its_links_lead_somewhere() {
    let readme = readme();
    let targets = readme.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    // As GitHub makes them of headings.
    let anchors: Vec<String> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(|heading| format!("#{}", heading.to_lowercase().replace(' ', "-")))
        .collect();
    for target in targets.filter(|target| !target.contains("://")) {
        assert!(
            root().join(target).exists() || anchors.iter().any(|anchor| anchor == target),
            "README.md links to {target}, which is not there"
        );
    }
}
