//! `junit.xml`: one suite per target, one case per scenario.

use std::path::Path;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use super::failure;
use super::overview::targets;
use super::{Evidence, ReportError, words};
use tlsboot_core::check::Outcome;
use tlsboot_core::result::{RunResult, ScenarioResult};

/// The file's text.
pub(super) fn text(out: &Path, run: &RunResult) -> Result<String, ReportError> {
    let mut report = Report::new("tlsboot");
    report.set_time(Duration::from_millis(run.duration_ms));
    for target in targets(run) {
        report.add_test_suite(suite(out, run, target));
    }
    if !run.stale.is_empty() {
        report.add_test_suite(stale(run));
    }
    report.to_string().map_err(|error| ReportError::Draw { name: "junit.xml", reason: error.to_string() })
}

fn suite(out: &Path, run: &RunResult, target: &str) -> TestSuite {
    let mut suite = TestSuite::new(target);
    let results = run.scenarios.iter().filter(|result| result.target == target);
    let mut total = 0;
    for result in results {
        total += result.duration_ms;
        suite.add_test_case(case(out, result));
    }
    suite.set_time(Duration::from_millis(total));
    suite.add_property(Property::new("tlsboot", run.tlsboot.as_str()));
    suite.add_property(Property::new("run", run.run.as_str()));
    suite.add_property(Property::new("started", run.started.to_string()));
    suite
}

/// Entries of the list of known failures that are no longer true.
fn stale(run: &RunResult) -> TestSuite {
    let mut suite = TestSuite::new("known failures");
    for entry in &run.stale {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_type("stale").set_message(entry.to_string());
        let mut case = TestCase::new(entry.id.as_str(), status);
        case.set_classname(entry.target.as_str());
        suite.add_test_case(case);
    }
    suite
}

fn case(out: &Path, result: &ScenarioResult) -> TestCase {
    let mut case = TestCase::new(result.id.as_str(), status(out, result));
    case.set_classname(result.target.as_str());
    case.set_time(Duration::from_millis(result.duration_ms));
    let level = result.level.word();
    case.add_property(Property::new("title", result.title.as_str()));
    case.add_property(Property::new("level", level));
    case.add_property(Property::new("requirements", result.requirements.join(" ")));
    case.add_property(Property::new("file", result.file.as_str()));
    if let Some(evidence) = &result.evidence {
        case.add_property(Property::new("evidence", evidence.as_str()));
    }
    case
}

fn status(out: &Path, result: &ScenarioResult) -> TestCaseStatus {
    let outcome = result.verdict.outcome;
    let mut status = match outcome {
        Outcome::Pass => return TestCaseStatus::success(),
        Outcome::Unsupported => {
            let mut status = TestCaseStatus::skipped();
            let reason = result.unsupported.as_deref().unwrap_or("unsupported");
            status.set_type("unsupported").set_message(reason);
            return status;
        }
        Outcome::Known => {
            let mut status = TestCaseStatus::skipped();
            let known = result.known.as_ref().map(ToString::to_string);
            status.set_type("known").set_message(known.unwrap_or_else(|| "known".into()));
            return status;
        }
        Outcome::Fail | Outcome::Hang => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Outcome::Error => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    let evidence = Evidence::read(out, result);
    status
        .set_type(words::outcome(outcome))
        .set_message(failure::one_line(result, &evidence))
        .set_description(failure::text(result, &evidence, false));
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_suite_a_target() {
        let folder = fixture::folder();
        let xml = text(folder.path(), &fixture::run()).unwrap();
        insta::assert_snapshot!(xml.replace(&folder.path().display().to_string(), "OUT"));
    }
}
