//! Where scenarios come from and which of them are selected.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Exit, Failure, built_in, colours, values};
use tlsboot_core::known::KnownFailures;
use tlsboot_core::plain;
use tlsboot_core::scenario::{Diagnostic, Library, Profile, Scenario, Selector, select, style};
use tlsboot_engine::library;
use tlsboot_engine::say;
use tlsboot_engine::untrusted::{self, LONGEST};

/// Which scenarios.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Scenarios")]
pub struct ScenarioOptions {
    /// Scenario ids, globs of ids ('rotation.*'), tags (@rotation), behaviors of the catalogue (T-01), or paths of YAML
    /// files or folders; the whole profile by default.
    #[arg(help_heading = None::<&str>, value_name = "SELECTOR")]
    pub selectors: Vec<String>,
    /// What the selectors choose from.
    #[command(flatten)]
    pub library: LibraryOptions,
    /// Without selectors: the scenarios of this profile and the smaller ones.
    #[arg(long, value_parser = values::profile(), env = "TLSBOOT_PROFILE", default_value_t = Profile::Core)]
    pub profile: Profile,
}

impl ScenarioOptions {
    /// The selected scenarios. Any file that cannot be loaded is an error, because it could have been one of them.
    pub fn load(&self) -> Result<Vec<Scenario>, Failure> {
        let (paths, selectors): (Vec<&String>, Vec<&String>) =
            self.selectors.iter().partition(|selector| is_path(selector));
        let paths: Vec<PathBuf> = paths.into_iter().map(PathBuf::from).collect();
        let from_paths = load(&paths)?;
        if selectors.is_empty() && !paths.is_empty() {
            return Ok(from_paths);
        }
        let library = right(self.library.load())?;
        let selectors: Vec<Selector> = selectors.into_iter().cloned().map(Selector).collect();
        let chosen = select(&library, &selectors, self.profile).map_err(Failure::usage)?;
        Ok(from_paths.into_iter().chain(chosen.into_iter().cloned()).collect())
    }
}

/// The scenarios that ids, globs, tags and profiles choose from.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Scenarios")]
pub struct LibraryOptions {
    /// A folder of scenarios, in addition to those in the executable. A scenario replaces the built-in one with its id.
    #[arg(id = "scenarios", long, value_name = "DIR", env = "TLSBOOT_SCENARIOS")]
    pub folder: Option<PathBuf>,
}

impl LibraryOptions {
    /// The scenarios in the executable and in the folder, in the order of their ids, and what is wrong in the folder.
    pub fn load(&self) -> Library {
        let Some(folder) = self.given() else {
            return built_in::library();
        };
        let mut library = library::load(&[folder.to_owned()]);
        let own: HashSet<String> = library.scenarios.iter().map(|scenario| scenario.id.clone()).collect();
        let others = built_in::library().scenarios.into_iter().filter(|scenario| !own.contains(&scenario.id));
        library.scenarios.extend(others);
        library.scenarios.sort_by(|a, b| a.id.cmp(&b.id));
        library
    }

    /// The digest of all of them. Those in the executable need not be parsed for it.
    pub(super) fn digest(&self) -> String {
        match self.given() {
            None => built_in::digest(built_in::texts()),
            Some(_) => built_in::digest(self.load().scenarios.iter().map(|scenario| scenario.text.as_str())),
        }
    }

    /// The folder. An empty variable does not name one.
    fn given(&self) -> Option<&Path> {
        self.folder.as_deref().filter(|folder| !folder.as_os_str().is_empty())
    }

    /// All of them, without selection.
    pub(super) fn all(&self) -> Result<Vec<Scenario>, Failure> {
        right(self.load())
    }
}

/// The list of known failures.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Scenarios")]
pub struct KnownOptions {
    /// A list of known failures in YAML, each `{scenario, kubernetes, kubelet, reason, link}` with ranges of versions:
    /// their outcome is `known`. An entry whose scenario passes makes the run fail.
    #[arg(long, value_name = "FILE", env = "TLSBOOT_KNOWN")]
    pub known: Option<PathBuf>,
}

impl KnownOptions {
    /// The list, checked against the existing scenarios.
    pub fn load(&self, scenarios: &ScenarioOptions) -> Result<KnownFailures, Failure> {
        let Some(path) = &self.known else {
            return Ok(KnownFailures::default());
        };
        let selected = scenarios.selectors.iter().filter(|one| is_path(one));
        let paths: Vec<PathBuf> = selected.map(PathBuf::from).collect();
        // Their errors are reported where they are loaded to be run.
        let all = library::load(&paths).scenarios.into_iter().chain(scenarios.library.load().scenarios);
        let ids: Vec<String> = all.map(|scenario| scenario.id).collect();
        let wrong = |error: &dyn std::fmt::Display| Failure::usage(format!("--known {}: {error}", path.display()));
        let text = untrusted::read_text(path, LONGEST).map_err(|error| wrong(&error))?;
        KnownFailures::parse(&text, &ids).map_err(|error| wrong(&error))
    }
}

fn is_path(selector: &str) -> bool {
    selector.ends_with(".yaml") || selector.contains('/') || Path::new(selector).is_dir()
}

fn load(paths: &[PathBuf]) -> Result<Vec<Scenario>, Failure> {
    right(library::load(paths))
}

fn right(library: Library) -> Result<Vec<Scenario>, Failure> {
    match library.errors.as_slice() {
        [] => Ok(library.scenarios),
        errors => Err(Failure::usage(render(errors))),
    }
}

fn render(errors: &[Diagnostic]) -> String {
    let drawn: Vec<String> = errors.iter().map(|error| error.render(colours())).collect();
    format!("{} in the scenario files\n{}", count(errors.len()), drawn.join("\n\n"))
}

fn count(errors: usize) -> String {
    if errors == 1 { "an error".into() } else { format!("{errors} errors") }
}

/// Check scenario files without running anything.
#[derive(Clone, Debug, Args)]
pub(super) struct LintCommand {
    /// YAML files, or folders of them.
    #[arg(value_name = "PATH", default_value = "scenarios")]
    paths: Vec<PathBuf>,
}

pub(super) fn lint(command: &LintCommand) -> Result<Exit, Failure> {
    let library = library::load(&command.paths);
    let style = library.scenarios.iter().flat_map(style);
    let errors: Vec<Diagnostic> = library.errors.iter().cloned().chain(style).collect();
    for error in &errors {
        say!("{}\n", plain::lines(&error.render(colours()), colours()));
    }
    match errors.len() {
        0 => {
            let scenarios = match library.scenarios.len() {
                1 => "1 scenario".to_owned(),
                many => format!("{many} scenarios"),
            };
            super::print(&format!("{scenarios}, no errors\n"))
        }
        errors => {
            say!("{} in the scenario files; {} are valid", count(errors), library.scenarios.len());
            Ok(Exit::Usage)
        }
    }
}
