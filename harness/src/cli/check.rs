//! `tlsboot check`: judge recorded histories again.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{ERROR, Failure, PASS};
use crate::check::{Outcome, Verdict};
use crate::report::verify::rejudge;

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
            .map(|again| again.verdict)
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

/// The folders of evidence below a folder.
pub(super) fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
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

fn recorded(folder: &Path) -> Option<Verdict> {
    serde_json::from_str(&fs::read_to_string(folder.join("verdict.json")).ok()?).ok()
}
