//! The generated tables below `scenarios/`, as Markdown: what is covered, and what differs between versions. Pure; the
//! commands `tlsboot list --requirements --markdown` and `tlsboot list --versions --markdown` write them.

use std::fmt::Write;

use crate::check::rules::{self, Line, Who};
use crate::scenario::coverage::{Coverage, coverage, showing};
use crate::scenario::requirements::{self, CHAPTERS};
use crate::scenario::{Scenario, Step, describe};

/// `COVERAGE.md`: each behaviour of the catalogue with the scenarios that show it, or the reason why none does.
pub fn coverage_page(scenarios: &[Scenario]) -> String {
    let all = coverage(scenarios);
    let covered = all.iter().filter(|one| !one.scenarios.is_empty()).count();
    let mut text = format!(
        "# Behaviours and the scenarios that show them\n\n\
         Made by `tlsboot list --requirements --markdown > scenarios/COVERAGE.md`; a test keeps it true.\n\n\
         {covered} of {} behaviours are covered.\n",
        all.len()
    );
    for chapter in CHAPTERS {
        let _ = write!(
            text,
            "\n## {}: {}\n\n| id | level | versions | behaviour | source | shown by |\n|---|---|---|---|---|---|\n",
            chapter.letter, chapter.heading
        );
        let of_chapter = all.iter().filter(|one| one.requirement.id.starts_with(chapter.letter));
        of_chapter.for_each(|one| text.push_str(&coverage_row(one)));
    }
    text
}

fn coverage_row(one: &Coverage<'_>) -> String {
    let requirement = one.requirement;
    let level = format!("{:?}", requirement.level).to_lowercase();
    row(&[
        requirement.id,
        &level,
        or_all(requirement.versions),
        requirement.statement,
        requirement.source,
        &shown_by(&one.scenarios, one.reason),
    ])
}

fn shown_by(scenarios: &[&str], reason: Option<&str>) -> String {
    match (scenarios, reason) {
        ([], Some(reason)) => format!("not covered: {reason}"),
        ([], None) => "not covered".into(),
        (some, _) => some.join(", "),
    }
}

/// `VERSIONS.md`: everything that differs between versions of Kubernetes, with source and scenarios.
pub fn versions_page(scenarios: &[Scenario]) -> String {
    let mut text = String::from(
        "# What differs between versions of Kubernetes\n\n\
         Made by `tlsboot list --versions --markdown > scenarios/VERSIONS.md`; a test keeps it true. Where runs and catalogue\n\
         disagree, the runs are right.\n\n\
         ## Values\n\n\
         Scenarios say \"as this version promises\"; the value comes from `harness/core/src/check/rules.rs`.\n\n\
         | behaviour | goes by | versions | value | source | found by |\n|---|---|---|---|---|---|\n",
    );
    for line in rules::table() {
        text.push_str(&row(&[
            line.behaviour,
            who(&line),
            &range(&line),
            &line.value,
            line.source,
            &line.shown_by.join(", "),
        ]));
    }
    text.push_str(
        "\n## Behaviours that hold for some versions only\n\n\
         | id | versions | behaviour | source | found by |\n|---|---|---|---|---|\n",
    );
    for requirement in requirements::all().filter(|requirement| !requirement.versions.is_empty()) {
        let reason = crate::scenario::coverage::reason(requirement.id);
        text.push_str(&row(&[
            requirement.id,
            requirement.versions,
            requirement.statement,
            requirement.source,
            &shown_by(&showing(scenarios, requirement.id), reason),
        ]));
    }
    text.push_str(
        "\n## Scenarios and expectations for some versions only\n\n\
         | scenario | what | versions |\n|---|---|---|\n",
    );
    for scenario in scenarios {
        bound(scenario).iter().for_each(|(what, versions)| text.push_str(&row(&[&scenario.id, what, versions])));
    }
    text
}

/// What of a scenario is bound to versions, and to which.
fn bound(scenario: &Scenario) -> Vec<(String, String)> {
    let ranges = |kubernetes: &Option<_>, kubelet: &Option<_>| {
        let of = |what: &str, range: &Option<crate::version::Versions>| {
            range.as_ref().map(|range| format!("{what} {range}"))
        };
        let both = [of("control plane", kubernetes), of("kubelet", kubelet)];
        both.into_iter().flatten().collect::<Vec<_>>().join(", ")
    };
    let whole = ("all of it".to_owned(), ranges(&scenario.kubernetes, &scenario.kubelet));
    let words = describe(scenario);
    let steps = scenario.steps.iter().zip(words).map(|(step, words)| {
        let (kind, versions) = match &step.value {
            Step::Expect(expect) => (
                expect.matchers().first().map(|(kind, _)| format!("expect {kind}")),
                ranges(&expect.kubernetes, &expect.kubelet),
            ),
            Step::Never(never) => (
                never.matchers().first().map(|(kind, _)| format!("never {kind}")),
                ranges(&never.kubernetes, &never.kubelet),
            ),
            _ => (None, String::new()),
        };
        (format!("{}: {}", kind.unwrap_or_default(), words.fields), versions)
    });
    let all = std::iter::once(whole).chain(steps);
    all.filter(|(_, versions)| !versions.is_empty()).collect()
}

/// The range of a line of the table of rules, as `>=1.22, <1.27`.
pub fn range(line: &Line) -> String {
    match (line.from, line.until) {
        (None, None) => "all".into(),
        (Some(from), None) => format!(">=1.{from}"),
        (None, Some(until)) => format!("<1.{until}"),
        (Some(from), Some(until)) => format!(">=1.{from}, <1.{until}"),
    }
}

/// Whose version decides, in words.
pub fn who(line: &Line) -> &'static str {
    match line.who {
        Who::ControlPlane => "control plane",
        Who::Kubelet => "kubelet",
    }
}

fn or_all(versions: &'static str) -> &'static str {
    if versions.is_empty() { "all" } else { versions }
}

fn row(cells: &[&str]) -> String {
    let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// A text that can't leave its cell or become markup; ranges of versions stay readable as they are.
fn cell(text: &str) -> String {
    let mut cell = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let opens_a_tag = |next: &char| next.is_ascii_alphabetic() || "/!?".contains(*next);
        match letter {
            '|' => cell.push_str("\\|"),
            '\n' => cell.push(' '),
            '<' if letters.peek().is_some_and(opens_a_tag) => cell.push_str("&lt;"),
            other => cell.push(other),
        }
    }
    cell
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{folder, scenarios};

    #[test]
    fn the_pages_that_are_checked_in_are_true() {
        let scenarios = scenarios();
        for (name, flag, page) in [
            ("COVERAGE.md", "--requirements", coverage_page(&scenarios)),
            ("VERSIONS.md", "--versions", versions_page(&scenarios)),
        ] {
            let text = std::fs::read_to_string(folder().join(name)).unwrap_or_default();
            assert!(text == page, "run `tlsboot list {flag} --markdown > scenarios/{name}`");
        }
    }

    #[test]
    fn every_table_has_rows_of_its_width() {
        let scenarios = scenarios();
        for page in [coverage_page(&scenarios), versions_page(&scenarios)] {
            let mut width = 0;
            for line in page.lines() {
                let cells = line.replace("\\|", "").matches('|').count();
                match width {
                    _ if cells == 0 => width = 0,
                    0 => width = cells,
                    _ => assert_eq!(cells, width, "{line}"),
                }
            }
        }
    }

    #[test]
    fn a_cell_stays_a_cell() {
        assert_eq!(cell("a|b <c> <1.22\n>=2"), "a\\|b &lt;c> <1.22 >=2");
    }

    #[test]
    fn scenarios_that_show_a_difference_exist() {
        let scenarios = scenarios();
        for id in rules::table().iter().flat_map(|line| line.shown_by) {
            assert!(scenarios.iter().any(|known| known.id == *id), "{id}");
        }
    }

    #[test]
    fn ranges_are_written_as_in_scenarios() {
        let ranges: Vec<String> = rules::table().iter().map(range).collect();
        assert_eq!(ranges[..2], ["<1.22", ">=1.22"]);
    }
}
