//! The documents are true: examples load, commands exist, formats and crates match the code, links lead somewhere.
//! Links between pages of the built book are checked by `ci/book`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory;
use serde_json::Value;
use tlsboot::Cli;
use tlsboot_core::history::event;
use tlsboot_core::result;
use tlsboot_core::scenario::load_text;
use tlsboot_field::approver::policy::Policy;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every document for people, by its path below the root.
fn documents() -> BTreeMap<String, String> {
    let mut names: Vec<PathBuf> =
        ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"].map(PathBuf::from).into();
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in root().join(&folder).read_dir().unwrap() {
            let entry = entry.unwrap();
            let name = folder.join(entry.file_name());
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(name),
                false if name.extension().is_some_and(|extension| extension == "md") => names.push(name),
                false => {}
            }
        }
    }
    let names = names.into_iter().map(|name| name.to_str().unwrap().to_owned());
    names.map(|name| (name.clone(), read(&name))).collect()
}

/// The fenced blocks in this language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let starts = text.match_indices(&fence).map(|(start, fence)| start + fence.len());
    starts.map(|start| &text[start..start + text[start..].find("```").unwrap()]).collect()
}

#[test]
fn the_readme_fits_on_a_few_screens() {
    let lines = read("README.md").lines().count();
    assert!(lines <= 150, "README.md has {lines} lines: the book is the place for more");
}

#[test]
fn the_scenario_in_the_book_loads() {
    let page = read("docs/scenarios/write.md");
    let text = blocks(&page, "yaml").into_iter().find(|block| block.starts_with("id: ")).expect("there is a scenario");
    let scenario = load_text("scenarios/rbac/bound-to-a-group.yaml", text);
    scenario.unwrap_or_else(|errors| panic!("{}", errors[0].render(false)));
}

#[test]
fn the_policy_in_the_book_can_be_read() {
    let page = read("docs/guide/approver.md");
    let policy = Policy::read("policy.yaml", blocks(&page, "yaml")[0]);
    policy.unwrap_or_else(|errors| panic!("{}", errors[0].render(false)));
}

/// Every line of a shell block that begins with `tlsboot` is parsed as a command line.
#[test]
fn commands_in_the_documents_are_commands() {
    let mut count = 0;
    for (name, text) in documents() {
        let lines = blocks(&text, "sh").into_iter().flat_map(str::lines);
        for line in lines.filter_map(|line| line.trim().trim_start_matches("sudo ").strip_prefix("tlsboot ")) {
            // A shortened digest stands for any.
            let line = line.replace("sha256:…", &format!("sha256:{}", "0".repeat(64)));
            let words = words(&line);
            let parsed = Cli::command().try_get_matches_from(std::iter::once("tlsboot".to_owned()).chain(words));
            if let Err(error) = parsed {
                panic!("{name}: tlsboot {line}\n{error}");
            }
            count += 1;
        }
    }
    assert!(count > 30, "{count} commands");
}

/// Words as a shell would split what the documents use: quotes and comments, and `||`, which ends the command.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '\'' => quoted = !quoted,
            '#' | '|' if !quoted && words.last().unwrap().is_empty() => break,
            ' ' if !quoted => words.push(String::new()),
            other => words.last_mut().unwrap().push(other),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn every_variable_of_the_environment_is_in_the_guide() {
    let guide = read("docs/guide/run.md");
    let mut variables = BTreeSet::new();
    let mut commands = vec![Cli::command()];
    while let Some(command) = commands.pop() {
        let known = command.get_arguments().filter_map(|argument| argument.get_env());
        variables.extend(known.map(|name| name.to_str().unwrap().to_owned()));
        commands.extend(command.get_subcommands().cloned());
    }
    assert!(variables.len() > 5, "{variables:?}");
    for name in variables {
        assert!(guide.contains(&format!("`{name}`")), "docs/guide/run.md has no `{name}`");
    }
}

#[test]
fn the_changelog_names_the_formats_of_the_code() {
    let changelog = read("CHANGELOG.md");
    for (file, format) in [("history.jsonl", event::FORMAT), ("result.json", result::FORMAT)] {
        let row = format!("| `{file}` | {format} |");
        assert!(changelog.contains(&row), "CHANGELOG.md has no row that begins with {row}");
    }
}

/// Every example of an event is a recorded one: all that it shows is in a line of the fixture; `…` stands for any text.
#[test]
fn events_in_the_description_of_the_history_were_recorded() {
    let page = read("docs/results/history.md");
    let recorded = read("harness/core/tests/fixtures/all-kinds/history.jsonl");
    let recorded: Vec<Value> = recorded.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let examples: Vec<&str> = blocks(&page, "json").into_iter().flat_map(str::lines).collect();
    assert!(examples.len() > 15, "{}", examples.len());
    for example in examples {
        let shown: Value = serde_json::from_str(example).unwrap_or_else(|error| panic!("{example}: {error}"));
        assert!(recorded.iter().any(|line| shows(&shown, line)), "no such line was recorded: {example}");
    }
    let kinds: BTreeSet<&String> = recorded.iter().flat_map(|line| line["what"].as_object().unwrap().keys()).collect();
    for kind in kinds {
        assert!(page.contains(&format!("### `{kind}`: ")), "docs/results/history.md does not describe `{kind}`");
    }
}

fn shows(shown: &Value, recorded: &Value) -> bool {
    match (shown, recorded) {
        (Value::Object(shown), Value::Object(recorded)) => {
            shown.iter().all(|(key, value)| recorded.get(key).is_some_and(|recorded| shows(value, recorded)))
        }
        (Value::Array(shown), Value::Array(recorded)) => {
            shown.len() == recorded.len() && shown.iter().zip(recorded).all(|(shown, recorded)| shows(shown, recorded))
        }
        (Value::String(shown), Value::String(recorded)) => match shown.split_once('…') {
            Some((start, end)) => recorded.starts_with(start) && recorded.ends_with(end),
            None => shown == recorded,
        },
        (shown, recorded) => shown == recorded,
    }
}

/// The table of crates says what each imports from the others, as Cargo sees it.
#[test]
fn the_import_graph_in_the_architecture_is_cargos() {
    let page = read("docs/design/architecture.md");
    let cargo = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&cargo.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let ours: BTreeSet<String> = packages.iter().map(name).collect();
    for package in packages {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let imports: BTreeSet<String> = dependencies.map(name).filter(|name| ours.contains(name)).collect();
        let imports = imports.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let imports = if imports.is_empty() { "none".to_owned() } else { imports };
        let folder = Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap();
        let folder = folder.strip_prefix(root().canonicalize().unwrap()).unwrap().display().to_string();
        let row = format!("| `{}` | `{folder}` | {imports} |", name(package));
        assert!(page.contains(&row), "docs/design/architecture.md has no row that begins with {row}");
    }
}

/// The tree names every module of every crate, and nothing that does not exist.
#[test]
fn the_tree_in_the_architecture_is_the_folders() {
    let page = read("docs/design/architecture.md");
    let tree = blocks(&page, "text").into_iter().find(|block| block.starts_with("harness/")).expect("there is a tree");
    let mut folder = PathBuf::new();
    let mut shown: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    for line in tree.lines().filter(|line| !line.trim().is_empty()) {
        let (name, about) = line.trim().split_once("  ").unwrap_or_else(|| panic!("{line} has no description"));
        assert!(!about.trim().is_empty());
        assert!(root().join(if line.starts_with(' ') { folder.join(name) } else { name.into() }).exists(), "{line}");
        match line.starts_with(' ') {
            false => folder = name.into(),
            true => drop(shown.entry(folder.clone()).or_default().insert(name.trim_end_matches('/').to_owned())),
        }
    }
    for (folder, shown) in shown {
        let entries = root().join(&folder).read_dir().unwrap().map(|entry| entry.unwrap().file_name());
        let there: BTreeSet<String> = entries.map(|name| name.into_string().unwrap()).collect();
        // Described once for all crates.
        let there =
            there.into_iter().filter(|name| !["lib.rs", "main.rs"].contains(&name.as_str())).collect::<BTreeSet<_>>();
        assert_eq!(shown, there, "the tree of {}", folder.display());
    }
}

#[test]
fn links_lead_somewhere() {
    for (name, text) in documents() {
        let folder = Path::new(&name).parent().unwrap();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            let (path, _) = target.split_once('#').unwrap_or((target, ""));
            let path = folder.join(path);
            // Written by `ci/book`, which checks these links: reference pages, and the pages of the root.
            let is_made = path.components().any(|part| part.as_os_str() == "reference")
                || ["CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"]
                    .iter()
                    .any(|page| path == Path::new("docs").join(page));
            assert!(is_made || root().join(&path).exists(), "{name} links to {target}, which does not exist");
        }
    }
}
