//! Annotations for GitHub Actions: a red mark at the line of the scenario file.

use std::path::Path;

use super::failure::{self, Failed};
use super::{Evidence, words};
use tlsboot_core::result::{RunResult, ScenarioResult};

/// Workflow commands, one per failed expectation.
pub(super) fn annotations(out: &Path, run: &RunResult) -> String {
    let red = run.scenarios.iter().filter(|result| words::is_red(result.verdict.outcome));
    let stale = run.stale.iter().map(|entry| {
        let title = format!("stale known failure {} on {}", entry.id, entry.target);
        format!("::error title={}::{}\n", property(&title), data(&entry.to_string()))
    });
    red.flat_map(|result| of_one(result, &Evidence::read(out, result))).chain(stale).collect()
}

fn of_one(result: &ScenarioResult, evidence: &Evidence) -> Vec<String> {
    let failed = Failed::all(result, evidence);
    if failed.is_empty() || result.verdict.error.is_some() {
        return vec![command(result, 1, &failure::one_line(result, evidence))];
    }
    failed.iter().map(|failed| command(result, failed.verdict.line, &failed.one_line())).collect()
}

fn command(result: &ScenarioResult, line: u64, message: &str) -> String {
    let title = format!("{} {} on {}", words::outcome(result.verdict.outcome), result.id, result.target);
    format!("::error file={},line={line},title={}::{}\n", property(&result.file), property(&title), data(message))
}

/// The escapes of @actions/core.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn each_failed_expectation_has_its_line() {
        let (result, evidence) = fixture::failing();
        insta::assert_snapshot!(of_one(&result, &evidence).concat());
    }

    #[test]
    fn nothing_breaks_out() {
        assert_eq!(property("a:b,c%\n"), "a%3Ab%2Cc%25%0A");
    }
}
