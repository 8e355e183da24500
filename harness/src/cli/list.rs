//! `tlsboot list`.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{Failure, ScenarioOptions, print};
use crate::scenario::requirements::{CHAPTERS, Requirement};
use crate::scenario::{Profile, Scenario};

/// List scenarios, or the behaviours that they show.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tlsboot list                     every scenario with its title
  tlsboot list T-01 @files         those that show a behaviour, those with a tag
  tlsboot list --requirements      every behaviour of the catalogue, with the scenarios that show it
  tlsboot list --json              for programs")]
pub(super) struct ListCommand {
    /// Scenario ids, globs of ids ('rotation.*'), tags (@rotation), behaviours of the catalogue (T-01), or paths of
    /// YAML files or folders; without any, all.
    #[arg(value_name = "SELECTOR")]
    selectors: Vec<String>,
    /// The folder of scenarios.
    #[arg(
        long,
        value_name = "DIR",
        env = "TLSBOOT_SCENARIOS",
        default_value = "scenarios"
    )]
    scenarios: PathBuf,
    /// Only scenarios of this profile and the smaller ones.
    #[arg(long, value_enum, env = "TLSBOOT_PROFILE")]
    profile: Option<Profile>,
    /// The catalogue instead: each behaviour, and the scenarios that show it.
    #[arg(long)]
    requirements: bool,
    /// As JSON, for programs.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &ListCommand) -> Result<u8, Failure> {
    let options = ScenarioOptions {
        selectors: command.selectors.clone(),
        scenarios: command.scenarios.clone(),
        profile: command.profile.unwrap_or(Profile::Slow),
    };
    let scenarios = options.load()?;
    print(&match (command.requirements, command.json) {
        (false, false) => table(&scenarios),
        (false, true) => pretty(scenarios.iter().map(scenario_json).collect())?,
        (true, false) => catalogue(&scenarios),
        (true, true) => pretty(catalogue_json(&scenarios))?,
    })
}

fn table(scenarios: &[Scenario]) -> String {
    let widths = scenarios.iter().map(|scenario| scenario.id.len());
    let width = widths.max().unwrap_or(0);
    let mut text = String::new();
    for Scenario {
        id, title, profile, ..
    } in scenarios
    {
        let profile = match profile {
            Profile::Core => String::new(),
            larger => format!("  [{}]", format!("{larger:?}").to_lowercase()),
        };
        let _ = writeln!(text, "{id:width$}  {title}{profile}");
    }
    text
}

fn scenario_json(scenario: &Scenario) -> Value {
    json!({
        "id": scenario.id,
        "title": scenario.title,
        "requirements": scenario.requirements,
        "level": scenario.level,
        "profile": scenario.profile,
        "tags": scenario.tags,
        "file": scenario.file,
    })
}

/// The scenarios that show a behaviour.
pub(super) fn showing<'a>(scenarios: &'a [Scenario], id: &str) -> Vec<&'a str> {
    let showing = scenarios
        .iter()
        .filter(|scenario| scenario.requirements.iter().any(|known| known == id));
    showing.map(|scenario| scenario.id.as_str()).collect()
}

fn catalogue(scenarios: &[Scenario]) -> String {
    let mut text = String::new();
    let (mut all, mut covered) = (0, 0);
    for chapter in CHAPTERS {
        let _ = writeln!(text, "{}: {}", chapter.letter, chapter.heading);
        for Requirement {
            id,
            statement,
            versions,
            ..
        } in chapter.requirements
        {
            let showing = showing(scenarios, id);
            all += 1;
            covered += usize::from(!showing.is_empty());
            let range = match *versions {
                "" => String::new(),
                range => format!(" ({range})"),
            };
            let scenarios = match showing.as_slice() {
                [] => "not covered".to_owned(),
                some => some.join(", "),
            };
            let _ = writeln!(text, "  {id}  {statement}{range}\n        {scenarios}");
        }
        text.push('\n');
    }
    let _ = writeln!(text, "{covered} of {all} behaviours are covered");
    text
}

fn catalogue_json(scenarios: &[Scenario]) -> Value {
    let requirements = CHAPTERS.iter().flat_map(|chapter| {
        chapter.requirements.iter().map(|requirement| {
            json!({
                "id": requirement.id,
                "chapter": chapter.heading,
                "level": requirement.level,
                "versions": requirement.versions,
                "statement": requirement.statement,
                "source": requirement.source,
                "scenarios": showing(scenarios, requirement.id),
            })
        })
    });
    requirements.collect()
}

fn pretty(value: Value) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(&value).map_err(Failure::error)?;
    Ok(text + "\n")
}
