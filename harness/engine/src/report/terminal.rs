//! The summary at the end of a run, on a terminal or in a log.

use std::path::Path;

use super::overview::{headline, known, unsupported};
use super::paint::Paint;
use super::{Evidence, failure, held, words};
use tlsboot_core::check::Outcome;
use tlsboot_core::result::{RunResult, ScenarioResult};

const SLOWEST: usize = 3;

/// Failures in full, each again on a line if there are several, then reasons, the slowest, and the counts last, where
/// they are seen first.
pub(super) fn summary(out: &Path, run: &RunResult, colours: bool) -> String {
    let paint = Paint(colours);
    let red: Vec<(&ScenarioResult, Evidence)> = run
        .scenarios
        .iter()
        .filter(|result| words::is_red(result.verdict.outcome))
        .map(|result| (result, Evidence::read(out, result)))
        .collect();
    let full = red.iter().map(|(result, evidence)| {
        let rule = paint.dim(&"─".repeat(80));
        format!("{rule}\n{}", failure::text(result, evidence, colours))
    });
    let mut parts: Vec<String> = full.collect();
    if let [_, _, ..] = red.as_slice() {
        let rule = paint.dim(&"─".repeat(80));
        parts.push(format!("{rule}\n{}", list(&red, paint)));
    }
    parts.push(reasons(run));
    parts.push(slowest(run));
    parts.push(held::line(run));
    parts.push(format!(
        "{}\n",
        paint.outcome(worst(run), &format!("{} in {}", headline(run), words::duration(run.duration_ms)))
    ));
    parts.retain(|part| !part.is_empty());
    parts.join("\n")
}

/// `PASS  rbac.x  local::1.37.2  12.3 s`, with columns of these widths for the scenario and the target. What is red is
/// followed by why, read from the evidence in `out`.
pub fn line(result: &ScenarioResult, out: &Path, widths: (usize, usize), paint: Paint) -> String {
    let line = columns(result, widths, paint);
    if words::is_red(result.verdict.outcome) {
        return format!("{line}  {}", failure::one_line(result, &Evidence::read(out, result)));
    }
    line
}

fn columns(result: &ScenarioResult, widths: (usize, usize), paint: Paint) -> String {
    let outcome = result.verdict.outcome;
    let word = format!("{:<11}", words::outcome(outcome).to_uppercase());
    let time = match outcome {
        Outcome::Unsupported => String::new(),
        _ => words::duration(result.duration_ms),
    };
    format!("{} {:<3$} {:<4$} {time:>9}", paint.outcome(outcome, &word), result.id, result.target, widths.0, widths.1)
        .trim_end()
        .to_owned()
}

fn list(red: &[(&ScenarioResult, Evidence)], paint: Paint) -> String {
    let width = |of: fn(&ScenarioResult) -> &str| red.iter().map(|(result, _)| of(result).len()).max().unwrap_or(0);
    let widths = (width(|result| &result.id), width(|result| &result.target));
    let one = |(result, evidence): &(&ScenarioResult, Evidence)| {
        format!("{}  {}\n", columns(result, widths, paint), failure::one_line(result, evidence))
    };
    red.iter().map(one).collect()
}

fn reasons(run: &RunResult) -> String {
    let of = |(reason, names): &(String, Vec<String>)| {
        let names = match names.as_slice() {
            [one] => one.clone(),
            many => words::count(many.len(), "scenario"),
        };
        format!("unsupported: {}: {names}\n", words::clean(reason))
    };
    let known = known(run).into_iter().map(|line| words::clean(&line) + "\n");
    unsupported(run).iter().map(of).chain(known).collect()
}

/// Only worth a line if there are several to choose from.
fn slowest(run: &RunResult) -> String {
    if run.scenarios.len() <= SLOWEST {
        return String::new();
    }
    let mut sorted: Vec<&ScenarioResult> = run.scenarios.iter().collect();
    sorted.sort_by_key(|result| u64::MAX - result.duration_ms);
    let slowest: Vec<String> = sorted
        .iter()
        .take(SLOWEST)
        .map(|result| format!("{} on {} {}", result.id, result.target, words::duration(result.duration_ms)))
        .collect();
    format!("slowest: {}\n", slowest.join(", "))
}

fn worst(run: &RunResult) -> Outcome {
    let red = run
        .scenarios
        .iter()
        .map(|result| result.verdict.outcome)
        .filter(|outcome| *outcome != Outcome::Unsupported)
        .max();
    match red {
        _ if run.interrupted => Outcome::Error,
        Some(outcome) if run.stale.is_empty() => outcome,
        Some(outcome) => outcome.max(Outcome::Fail),
        None => Outcome::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn the_whole_summary() {
        let folder = fixture::folder();
        let text = summary(folder.path(), &fixture::run(), false);
        insta::assert_snapshot!(text.replace(&folder.path().display().to_string(), "OUT"));
    }

    #[test]
    fn what_passed_is_only_counted() {
        let mut run = fixture::run();
        let passed = run.scenarios.iter().find(|result| result.verdict.outcome == Outcome::Pass).unwrap().clone();
        run.scenarios = vec![passed; 61];
        let text = summary(Path::new("nowhere"), &run, false);
        assert_eq!(text.matches("PASS").count(), 0, "{text}");
        assert!(text.contains("61 pass"), "{text}");
    }

    #[test]
    fn what_was_not_started_is_counted() {
        let mut run = fixture::run();
        run.not_started = 7;
        let text = summary(Path::new("nowhere"), &run, false);
        assert!(text.contains("1 pass, 7 not started in"), "{text}");
    }

    #[test]
    fn a_line_of_what_is_red_says_why() {
        let folder = fixture::folder();
        let (failed, _) = fixture::failing();
        let said = line(&failed, folder.path(), (34, 0), Paint(false));
        assert!(said.ends_with("34.7 s  line 10: a `request` of n1 was observed, but none matched within 30.0 s: code: expected 403, found 201; reason: expected Forbidden, found (empty)"), "{said}");
        let (passed, _) = fixture::rotating();
        assert!(line(&passed, folder.path(), (34, 0), Paint(false)).ends_with(" s"));
    }
}
