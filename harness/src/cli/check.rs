//! `tlsboot check`: judge recorded histories again.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{ERROR, Failure, PASS};
use crate::check::{Outcome, Verdict, judge_all};
use crate::history;
use crate::scenario::load_text;

/// Judge recorded histories again: same verdicts, no cluster needed.
#[derive(Debug, Args)]
pub(super) struct CheckCommand {
    /// Folders of evidence: of one scenario (with history.jsonl and scenario.yaml), or a whole run's.
    #[arg(value_name = "DIR", required = true)]
    folders: Vec<PathBuf>,
}

pub(super) fn run(command: &CheckCommand) -> Result<u8, Failure> {
    let mut found = Vec::new();
    for folder in &command.folders {
        collect(folder, &mut found)
            .map_err(|error| Failure::usage(format!("{}: {error}", folder.display())))?;
    }
    if found.is_empty() {
        return Err(Failure::usage("no history.jsonl is below these folders"));
    }
    found.sort();
    let mut code = PASS;
    for folder in &found {
        let verdict = rejudge(folder)
            .map_err(|error| Failure::usage(format!("{}: {error}", folder.display())))?;
        let recorded = recorded(folder);
        let same = recorded
            .as_ref()
            .is_none_or(|recorded| *recorded == verdict);
        let remark = if same {
            ""
        } else {
            "  (not the verdict that was recorded)"
        };
        println!(
            "{:6} {}{remark}",
            format!("{:?}", verdict.outcome).to_lowercase(),
            folder.display()
        );
        code = code.max(match verdict.outcome {
            Outcome::Pass if same => PASS,
            Outcome::Fail | Outcome::Hang if same => 1,
            _ => ERROR,
        });
    }
    Ok(code)
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if folder.join("history.jsonl").is_file() {
        found.push(folder.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, found)?;
        }
    }
    Ok(())
}

fn rejudge(folder: &Path) -> Result<Verdict, String> {
    let read = |name: &str| {
        fs::read_to_string(folder.join(name)).map_err(|error| format!("{name}: {error}"))
    };
    let text = read("scenario.yaml")?;
    let scenario = load_text("scenario.yaml", &text).map_err(|errors| {
        errors
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("; ")
    })?;
    let events = history::parse(&read("history.jsonl")?).map_err(|error| error.to_string())?;
    Ok(judge_all(&scenario, events))
}

fn recorded(folder: &Path) -> Option<Verdict> {
    serde_json::from_str(&fs::read_to_string(folder.join("verdict.json")).ok()?).ok()
}
