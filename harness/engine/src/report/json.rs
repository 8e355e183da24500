//! `result.json`: the result of a run, for machines.

use std::path::Path;

use super::ReportError;
use tlsboot_core::result::{FORMAT, RunResult};

/// The file's text.
pub(super) fn text(run: &RunResult) -> Result<String, ReportError> {
    let mut text = serde_json::to_string_pretty(run)
        .map_err(|error| ReportError::Draw { name: "result.json", reason: error.to_string() })?;
    text.push('\n');
    Ok(text)
}

/// Reads the `result.json` of an output folder, to make reports from it later.
///
/// # Errors
/// There is none, it is none, or it is too new.
pub fn read(out: &Path) -> Result<RunResult, ReportError> {
    let path = out.join("result.json");
    let text = std::fs::read_to_string(&path).map_err(|source| ReportError::Read { path: path.clone(), source })?;
    parse(&path, &text)
}

fn parse(path: &Path, text: &str) -> Result<RunResult, ReportError> {
    let malformed = |source| ReportError::Malformed { path: path.to_owned(), source };
    // A newer format may have any fields, so its number is looked at first.
    let value: serde_json::Value = serde_json::from_str(text).map_err(malformed)?;
    match value["format"].as_u64() {
        Some(found) if found > u64::from(FORMAT) => Err(ReportError::Format { path: path.to_owned(), found }),
        _ => serde_json::from_value(value).map_err(malformed),
    }
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
    fn a_cut_file_says_so() {
        let text = text(&fixture::run()).unwrap();
        let error = parse(Path::new("r"), &text[..text.len() / 2]).unwrap_err();
        assert!(error.to_string().contains("cut off"), "{error}");
    }
}
