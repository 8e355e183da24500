//! `tlsboot explain`.

use std::fmt::Write;
use std::io::stdout;

use clap::Args;

use super::{Exit, Failure, LibraryOptions, ScenarioOptions, print};
use tlsboot_core::check::invariants::{self, Invariant};
use tlsboot_core::name::similar;
use tlsboot_core::scenario::coverage::{reason, showing};
use tlsboot_core::scenario::requirements::{self, Requirement};
use tlsboot_core::scenario::schema::{Part, Place, Word, places, words};
use tlsboot_core::scenario::{Profile, Scenario, describe};
use tlsboot_engine::report::colours_wanted;

/// Explain a scenario, a behavior of the catalogue, or a word of the scenario language.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tlsboot explain rbac.missing-bootstrapper-binding   what the scenario shows, why, and each of its steps
  tlsboot explain T-01                                a behavior, its source, and the scenarios that show it
  tlsboot explain csr                                 what can be written in an `expect: {csr: …}`
  tlsboot explain restart                             what a stimulus does, and its fields
  tlsboot explain control                             any other word of the language")]
pub(super) struct ExplainCommand {
    /// A scenario's id or file, a behavior's id, or a word of the language.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    library: LibraryOptions,
}

pub(super) fn run(command: &ExplainCommand) -> Result<Exit, Failure> {
    let load = |selectors| {
        let (library, profile) = (command.library.clone(), Profile::Slow);
        ScenarioOptions { selectors, library, profile }.load()
    };
    let id = &command.id;
    if let Some(requirement) = requirements::find(&id.to_ascii_uppercase()) {
        return print(&behavior(requirement, &load(Vec::new())?));
    }
    if let Some(requirement) = requirements::invariant(&id.to_ascii_uppercase()) {
        return print(&invariant(requirement));
    }
    let words: Vec<Word> = words().into_iter().filter(|word| word.name == *id).collect();
    let places = places(id);
    if !words.is_empty() || !places.is_empty() {
        // Only for examples: the words are the same without them.
        let scenarios = load(Vec::new()).unwrap_or_default();
        let told = words.iter().map(|found| word(found, &scenarios));
        let inside = (!places.is_empty()).then(|| inside(id, &places));
        return print(&told.chain(inside).collect::<Vec<_>>().join("\n"));
    }
    if !id.contains(['.', '/']) {
        return Err(Failure::usage(unknown(id)));
    }
    let scenarios = load(vec![id.clone()])?;
    let told: Vec<String> = scenarios.iter().map(scenario).collect();
    print(&told.join("\n"))
}

fn unknown(id: &str) -> String {
    let known = words();
    let meant = similar(id, known.iter().map(|word| word.name.as_str()))
        .map_or_else(String::new, |word| format!(" (did you mean `{word}`?)"));
    let names = |parts: &[Part]| {
        let words = known.iter().filter(|word| parts.contains(&word.part));
        words.map(|word| word.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    format!(
        "`{id}` is not a scenario, a behavior or a word of the language{meant}\n  scenarios:    `tlsboot list` shows their ids\n  behaviors:    \
         `tlsboot list --requirements` shows their ids\n  stimuli:      {}\n  expectations: {}\n  and:          {}",
        names(&[Part::Stimulus]),
        names(&[Part::Kind]),
        names(&[Part::Head, Part::Judged, Part::Option])
    )
}

fn scenario(scenario: &Scenario) -> String {
    let mut text = format!("{}\n{}\n", bold(&scenario.id), scenario.title);
    if !scenario.why.is_empty() {
        let _ = writeln!(text, "\n{}", indent(scenario.why.trim()));
    }
    let _ = writeln!(text, "\n{}", bold("What it shows"));
    for id in &scenario.requirements {
        if let Some(Requirement { statement, source, .. }) = requirements::find(id) {
            let _ = writeln!(text, "  {id}  {statement}\n        {source}");
        } else {
            let _ = writeln!(text, "  {id}  a custom behavior");
        }
    }
    let _ = writeln!(text, "\n{}", bold("Where it applies"));
    for (name, value) in facts(scenario) {
        let _ = writeln!(text, "  {name:13} {value}");
    }
    let _ = writeln!(text, "\n{}", bold("Step by step"));
    for (index, step) in describe(scenario).iter().enumerate() {
        let sign = if step.is_judged { "?" } else { "!" };
        let _ = writeln!(text, "  {:>2} {sign} {} (line {})", index + 1, step.text, step.line);
        if !step.fields.is_empty() {
            let _ = writeln!(text, "       {}", step.fields);
        }
    }
    let kept = invariants::ALL.iter().filter(|invariant| !scenario.allows.contains_key(invariant.id));
    let standing: Vec<String> = kept.map(|invariant| format!("{} {}", invariant.id, invariant.name)).collect();
    let _ = writeln!(text, "\n{}\n  {}", bold("And, as in every scenario, throughout"), standing.join(", "));
    for (id, reason) in &scenario.allows {
        let name = Invariant::find(id).map_or("", |invariant| invariant.name);
        let _ = writeln!(text, "  not {id} {name}, which it breaks on purpose: {reason}");
    }
    let _ = writeln!(
        text,
        "\n  ! is performed, ? is judged, counted from the ! above it\n  run it: tlsboot run {}",
        scenario.id
    );
    text
}

/// Level, profile, versions, and the cluster's settings that are not the default.
fn facts(scenario: &Scenario) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("file", scenario.file.clone()),
        ("level", scenario.level.word().to_owned()),
        ("profile", scenario.profile.to_string()),
    ];
    let versions = |range: &Option<tlsboot_core::version::Versions>| {
        range.as_ref().map_or("all".to_owned(), |range| range.to_string())
    };
    facts.push(("control plane", versions(&scenario.kubernetes)));
    facts.push(("kubelet", versions(&scenario.kubelet)));
    let settings = tlsboot_core::scenario::differing_settings(scenario);
    facts.push(("cluster", if settings.is_empty() { "the default".into() } else { settings }));
    for node in &scenario.nodes {
        let serving = if node.server_tls_bootstrap { ", serverTLSBootstrap" } else { "" };
        let rotation = if node.rotate_certificates { "" } else { ", no rotation" };
        facts.push(("node", format!("{}, bootstraps with {}{rotation}{serving}", node.name, node.bootstrap)));
    }
    facts
}

fn behavior(requirement: &Requirement, scenarios: &[Scenario]) -> String {
    let Requirement { id, statement, level, versions, source } = requirement;
    let versions = if versions.is_empty() { "all" } else { versions };
    let showing = showing(scenarios, id);
    let scenarios = match (showing.as_slice(), reason(id)) {
        ([], Some(reason)) => format!("no scenario: {reason}"),
        ([], None) => "not covered".to_owned(),
        (some, _) => some.join("\n            "),
    };
    format!(
        "{}\n{statement}\n\n  level     {}\n  versions  {versions}\n  source    {source}\n  shown by  {scenarios}\n",
        bold(id),
        level.word()
    )
}

fn invariant(requirement: &Requirement) -> String {
    let Requirement { id, statement, level, versions, source } = requirement;
    let versions = if versions.is_empty() { "all" } else { versions };
    let looks_at =
        Invariant::find(id).map_or(String::new(), |invariant| format!("  counts    {}\n", invariant.units.1));
    format!(
        "{}\n{statement}\n\n  level     {}\n  versions  {versions}\n  source    {source}\n  shown by  every scenario: it is judged on each history as a whole\n{looks_at}",
        bold(id),
        level.word()
    )
}

fn word(word: &Word, scenarios: &[Scenario]) -> String {
    let place = match word.part {
        Part::Head => "at a scenario's head",
        Part::Stimulus | Part::Judged => "a step",
        Part::Option => "in `expect`, `stays` or `never`, beside the kind",
        Part::Kind => "in `expect`, `stays` or `never`",
    };
    let mut text = format!("{} ({place})\n{}\n", bold(&word.name), word.doc);
    if !word.values.is_empty() {
        let _ = writeln!(text, "\n  = {}", word.values);
    }
    if !word.fields.is_empty() {
        text.push('\n');
    }
    let width = word.fields.iter().map(|field| field.name.len()).max().unwrap_or(0);
    for field in &word.fields {
        let required = if field.required { " (required)" } else { "" };
        let _ = writeln!(text, "  {:width$}  {}\n  {:width$}  = {}{required}", field.name, field.doc, "", field.values);
    }
    let using: Vec<&str> = scenarios
        .iter()
        .filter(|scenario| scenario.uses(&word.name, word.part == Part::Kind))
        .map(|scenario| scenario.id.as_str())
        .take(3)
        .collect();
    if word.part == Part::Judged {
        let _ = writeln!(text, "\n  and one kind: {}", tlsboot_core::check::KINDS.join(", "));
    }
    if !using.is_empty() {
        let _ = writeln!(text, "\n  for example in {}", using.join(", "));
    }
    text
}

/// The occurrences of a name inside other words.
fn inside(name: &str, places: &[Place]) -> String {
    let mut text = format!("{} (inside other words)\n", bold(name));
    for Place { path, doc, values } in places {
        let values = if values.is_empty() { String::new() } else { format!("\n    = {values}") };
        let _ = writeln!(text, "\n  {path}\n    {doc}{values}");
    }
    text
}

fn indent(text: &str) -> String {
    let lines = text.lines().map(|line| format!("  {line}"));
    lines.collect::<Vec<_>>().join("\n")
}

fn bold(text: &str) -> String {
    tlsboot_engine::report::paint::paint("1", text, colours_wanted(&stdout()))
}
