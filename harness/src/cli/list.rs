//! `tlsboot list`.

use clap::Args;
use serde_json::json;

use super::{Failure, PASS, ScenarioOptions};

/// List scenarios.
#[derive(Debug, Args)]
pub(super) struct ListCommand {
    #[command(flatten)]
    scenarios: ScenarioOptions,
    /// As JSON, for programs.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &ListCommand) -> Result<u8, Failure> {
    let scenarios = command.scenarios.load()?;
    if command.json {
        let all: Vec<_> = scenarios
            .iter()
            .map(|scenario| {
                json!({
                    "id": scenario.id,
                    "title": scenario.title,
                    "requirements": scenario.requirements,
                    "level": scenario.level,
                    "profile": scenario.profile,
                    "tags": scenario.tags,
                    "file": scenario.file,
                })
            })
            .collect();
        println!(
            "{}",
            serde_json::to_string_pretty(&all).map_err(Failure::error)?
        );
        return Ok(PASS);
    }
    let width = scenarios
        .iter()
        .map(|scenario| scenario.id.len())
        .max()
        .unwrap_or(0);
    for scenario in &scenarios {
        println!("{:width$}  {}", scenario.id, scenario.title);
    }
    Ok(PASS)
}
