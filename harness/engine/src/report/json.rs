//! `result.json`: the result of a run, for machines.

use std::path::Path;

use super::ReportError;
use crate::evidence;
use crate::untrusted::{Folder, LONGEST};
use tlsboot_core::result::{FORMAT, RunResult};
use tlsboot_core::scenario::is_id;

/// The file's text.
pub(super) fn text(run: &RunResult) -> Result<String, ReportError> {
    let mut text = serde_json::to_string_pretty(run)
        .map_err(|error| ReportError::Draw { name: "result.json", reason: error.to_string() })?;
    text.push('\n');
    Ok(text)
}

/// Reads the `result.json` of an output folder, to create reports from it later.
///
/// # Errors
/// It does not exist, is invalid, or is too new.
pub fn read(out: &Path) -> Result<RunResult, ReportError> {
    let path = out.join("result.json");
    let text = Folder::open(out).and_then(|out| out.read_text("result.json", LONGEST));
    let text = text.map_err(|source| ReportError::Read { path: path.clone(), source })?;
    parse(&path, &text)
}

fn parse(path: &Path, text: &str) -> Result<RunResult, ReportError> {
    let malformed = |source| ReportError::Malformed { path: path.to_owned(), source };
    // A newer format may have any fields, so its number is checked first.
    let value: serde_json::Value = serde_json::from_str(text).map_err(malformed)?;
    match value["format"].as_u64() {
        Some(found) if found > u64::from(FORMAT) => Err(ReportError::Format { path: path.to_owned(), found }),
        _ => serde_json::from_value(value).and_then(named_rightly).map_err(malformed),
    }
}

/// Ids and targets become folder names and are shown, so they must be nothing but names.
fn named_rightly(run: RunResult) -> Result<RunResult, serde_json::Error> {
    let wrong = |what: &str, name: &str| Err(serde::de::Error::custom(format!("{name:?} is not the {what}")));
    for result in &run.scenarios {
        if !is_id(&result.id) {
            return wrong("id of a scenario", &result.id);
        }
        if !evidence::is_target(&result.target) {
            return wrong("name of a target", &result.target);
        }
    }
    Ok(run)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn what_is_written_can_be_read() {
        let run = fixture::run();
        let again = parse(Path::new("result.json"), &text(&run).unwrap()).unwrap();
        assert_eq!(again, run);
    }

    #[test]
    fn a_newer_format_says_so() {
        let error = parse(Path::new("r"), r#"{"format": 99, "unheard": "of"}"#).unwrap_err();
        assert!(error.to_string().contains("use a newer tlsboot"), "{error}");
    }

    #[test]
    fn ids_and_targets_are_names_only() {
        let refused = |edit: fn(&mut RunResult)| {
            let mut run = fixture::run();
            edit(&mut run);
            let text = text(&run).unwrap();
            parse(Path::new("r"), &text).unwrap_err().to_string()
        };
        let said = refused(|run| run.scenarios[0].id = "\u{1b}[2JEverything matches.".into());
        assert!(said.contains("is not the id of a scenario") && !said.contains('\u{1b}'), "{said:?}");
        assert!(refused(|run| run.scenarios[0].id = "hooks".into()).contains("is not the id"));
        assert!(refused(|run| run.scenarios[0].target = ".git".into()).contains("is not the name of a target"));
        assert!(
            refused(|run| run.scenarios[0].target = "a::1\n::error ".into()).contains("is not the name of a target")
        );
    }

    #[test]
    fn a_cut_file_says_so() {
        let text = text(&fixture::run()).unwrap();
        let error = parse(Path::new("r"), &text[..text.len() / 2]).unwrap_err();
        assert!(error.to_string().contains("truncated"), "{error}");
    }
}
