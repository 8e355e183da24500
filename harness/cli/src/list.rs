//! `tlsboot list`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{Exit, Failure, LibraryOptions, ScenarioOptions, print, values};
use tlsboot_core::check::{Outcome, rules};
use tlsboot_core::result::RunResult;
use tlsboot_core::scenario::coverage::{Coverage, coverage};
use tlsboot_core::scenario::requirements::CHAPTERS;
use tlsboot_core::scenario::{Profile, Scenario};
use tlsboot_core::tables;
use tlsboot_engine::report;

/// List scenarios, the behaviors that they show, or what differs between versions.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tlsboot list                                    every scenario with its title
  tlsboot list T-01 @files                        those that show a behavior, those with a tag
  tlsboot list --requirements                     every behavior of the catalogue, with the scenarios that show it
  tlsboot list --requirements --out tlsboot-out   the same, with each scenario's last verdict in that run
  tlsboot list --versions                         what differs between versions of Kubernetes, with its source
  tlsboot list --requirements --markdown          the page scenarios/COVERAGE.md; with --versions, VERSIONS.md
  tlsboot list --json                             for programs")]
pub(super) struct ListCommand {
    /// Scenario ids, globs of ids ('rotation.*'), tags (@rotation), behaviors of the catalogue (T-01), or paths of YAML
    /// files or folders; all by default.
    #[arg(value_name = "SELECTOR")]
    selectors: Vec<String>,
    #[command(flatten)]
    library: LibraryOptions,
    /// Only scenarios of this profile and the smaller ones.
    #[arg(long, value_parser = values::profile(), env = "TLSBOOT_PROFILE")]
    profile: Option<Profile>,
    /// List the catalogue instead: each behavior, and the scenarios that show it, or why none does.
    #[arg(long)]
    requirements: bool,
    /// With --requirements: the output folder of a run, whose verdicts are shown next to the scenarios.
    #[arg(long, value_name = "DIR", requires = "requirements")]
    out: Option<PathBuf>,
    /// List what differs between versions instead: behavior, range, value, source.
    #[arg(long, conflicts_with = "requirements")]
    versions: bool,
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
    /// With --requirements or --versions: print a page in Markdown.
    #[arg(long, conflicts_with_all = ["json", "out"])]
    markdown: bool,
}

pub(super) fn run(command: &ListCommand) -> Result<Exit, Failure> {
    let options = ScenarioOptions {
        selectors: command.selectors.clone(),
        library: command.library.clone(),
        profile: command.profile.unwrap_or(Profile::Slow),
    };
    let scenarios = options.load()?;
    let verdicts = match &command.out {
        Some(out) => Verdicts::of(&report::json::read(out).map_err(Failure::usage)?),
        None => Verdicts::default(),
    };
    print(&match command {
        ListCommand { markdown: true, .. } if command.requirements => tables::coverage_page(&scenarios),
        ListCommand { markdown: true, .. } if command.versions => tables::versions_page(&scenarios),
        ListCommand { markdown: true, .. } => {
            return Err(Failure::usage("--markdown is for pages: add --requirements or --versions"));
        }
        ListCommand { json: true, .. } if command.requirements => pretty(catalogue_json(&scenarios, &verdicts))?,
        ListCommand { json: true, .. } if command.versions => pretty(versions_json())?,
        ListCommand { json: true, .. } => pretty(scenarios.iter().map(scenario_json).collect())?,
        ListCommand { requirements: true, .. } => catalogue(&scenarios, &verdicts),
        ListCommand { versions: true, .. } => versions(),
        _ => table(&scenarios),
    })
}

/// The outcomes of a run, by scenario and target.
#[derive(Default)]
struct Verdicts(BTreeMap<String, BTreeMap<String, Outcome>>);

impl Verdicts {
    fn of(run: &RunResult) -> Self {
        let mut all: BTreeMap<String, BTreeMap<String, Outcome>> = BTreeMap::new();
        for result in &run.scenarios {
            let of_scenario = all.entry(result.id.clone()).or_default();
            of_scenario.insert(result.target.clone(), result.verdict.outcome);
        }
        Self(all)
    }

    /// `id`, with its outcome if it is known: the common one of all targets, or one for each target.
    fn beside(&self, id: &str) -> String {
        let Some(targets) = self.0.get(id) else {
            let not_run = if self.0.is_empty() { "" } else { " (not run)" };
            return format!("{id}{not_run}");
        };
        let mut outcomes: Vec<&Outcome> = targets.values().collect();
        outcomes.dedup();
        match outcomes.as_slice() {
            [one] => format!("{id} ({})", one.word()),
            _ => {
                let each: Vec<String> =
                    targets.iter().map(|(target, outcome)| format!("{target} {}", outcome.word())).collect();
                format!("{id} ({})", each.join(", "))
            }
        }
    }
}

fn table(scenarios: &[Scenario]) -> String {
    let widths = scenarios.iter().map(|scenario| scenario.id.len());
    let width = widths.max().unwrap_or(0);
    let mut text = String::new();
    for Scenario { id, title, profile, .. } in scenarios {
        let profile = match profile {
            Profile::Core => String::new(),
            larger => format!("  [{larger}]"),
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

fn catalogue(scenarios: &[Scenario], verdicts: &Verdicts) -> String {
    let mut text = String::new();
    let all = coverage(scenarios);
    for chapter in CHAPTERS {
        let _ = writeln!(text, "{}: {}", chapter.letter, chapter.heading);
        let of_chapter = all.iter().filter(|one| one.requirement.id.starts_with(chapter.letter));
        for one in of_chapter {
            let Coverage { requirement, scenarios, reason } = one;
            let (id, statement) = (requirement.id, requirement.statement);
            let range = match requirement.versions {
                "" => String::new(),
                range => format!(" ({range})"),
            };
            let shown = match (scenarios.as_slice(), reason) {
                ([], Some(reason)) => format!("not covered: {reason}"),
                ([], None) => "not covered".to_owned(),
                (some, _) => {
                    let each: Vec<String> = some.iter().map(|id| verdicts.beside(id)).collect();
                    each.join(", ")
                }
            };
            let _ = writeln!(text, "  {id}  {statement}{range}\n        {shown}");
        }
        text.push('\n');
    }
    let covered = all.iter().filter(|one| !one.scenarios.is_empty()).count();
    let _ = writeln!(text, "{covered} of {} behaviors are covered", all.len());
    text
}

fn catalogue_json(scenarios: &[Scenario], verdicts: &Verdicts) -> Value {
    let chapter = |id: &str| {
        let found = CHAPTERS.iter().find(|chapter| id.starts_with(chapter.letter));
        found.map_or("", |chapter| chapter.heading)
    };
    let one = |one: Coverage<'_>| {
        let requirement = one.requirement;
        let known: BTreeMap<&str, _> =
            one.scenarios.iter().filter_map(|id| Some((*id, verdicts.0.get(*id)?))).collect();
        json!({
            "id": requirement.id,
            "chapter": chapter(requirement.id),
            "level": requirement.level,
            "versions": requirement.versions,
            "statement": requirement.statement,
            "source": requirement.source,
            "scenarios": one.scenarios,
            "notCovered": one.reason.filter(|_| one.scenarios.is_empty()),
            "verdicts": known,
        })
    };
    coverage(scenarios).into_iter().map(one).collect()
}

fn versions() -> String {
    let mut text = String::new();
    let mut last = "";
    for line in rules::table() {
        if line.behavior != last {
            last = line.behavior;
            let _ = writeln!(
                text,
                "{last}, by the version of the {}\n  shown by {}",
                tables::who(&line),
                line.shown_by.join(", ")
            );
        }
        let range = tables::range(&line);
        let _ = writeln!(text, "  {range:8} {}\n           {}", line.value, line.source);
    }
    text.push_str("\neverything that depends on versions: tlsboot list --versions --markdown\n");
    text
}

fn versions_json() -> Value {
    let one = |line: &rules::Line| {
        json!({
            "behaviour": line.behavior,
            "goesBy": tables::who(line),
            "versions": tables::range(line),
            "value": line.value,
            "source": line.source,
            "scenarios": line.shown_by,
        })
    };
    rules::table().iter().map(one).collect()
}

fn pretty(value: Value) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(&value).map_err(Failure::error)?;
    Ok(text + "\n")
}
