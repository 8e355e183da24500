//! `summary.md`: a matrix of scenarios and targets, and the failures; also a step summary of GitHub Actions.

use std::path::Path;

use super::overview::{headline, ids, known, sentences, targets, unsupported};
use super::{Evidence, failure, held, words};
use tlsboot_core::check::Outcome;
use tlsboot_core::result::RunResult;

/// The file's text.
pub(super) fn summary(out: &Path, run: &RunResult) -> String {
    let sentences: String = sentences(run).iter().map(|sentence| format!("{}\n\n", cell(sentence))).collect();
    let mut text = format!("# tlsboot: {}\n\n{sentences}{}\n\n", headline(run), facts(run));
    text.push_str(&matrix(run));
    text.push_str(&reasons(run));
    text.push_str(&known_failures(run));
    let invariants = held::line(run);
    if !invariants.is_empty() {
        text.push_str(&format!("\n{invariants}"));
    }
    let red = run.scenarios.iter().filter(|result| words::is_red(result.verdict.outcome));
    for result in red {
        let evidence = Evidence::read(out, result);
        let body = failure::text(result, &evidence, false);
        let fence = fence(&body);
        text.push_str(&format!(
            "\n<details><summary><b>{}</b> {} on {}: {}</summary>\n\n{fence}text\n{body}{fence}\n\n</details>\n",
            words::outcome(result.verdict.outcome),
            html(&result.id),
            html(&result.target),
            html(&words::clean(&failure::one_line(result, &evidence))),
        ));
    }
    text
}

fn facts(run: &RunResult) -> String {
    let environment: Vec<String> = run.environment.iter().map(|(name, value)| format!("{name} {value}")).collect();
    cell(&format!(
        "tlsboot {}, run {}, {}, {}; {}",
        run.tlsboot,
        run.run,
        run.started.strftime("%Y-%m-%d %H:%M:%S UTC"),
        words::duration(run.duration_ms),
        environment.join(", ")
    ))
}

fn matrix(run: &RunResult) -> String {
    let targets = targets(run);
    if targets.is_empty() {
        return String::new();
    }
    let mut text = String::from("| scenario |");
    targets.iter().for_each(|target| text.push_str(&format!(" {} |", cell(target))));
    text.push_str(&format!("\n|---|{}\n", "---|".repeat(targets.len())));
    for id in ids(run) {
        text.push_str(&format!("| `{}` |", cell(id)));
        for target in &targets {
            let result = run.scenarios.iter().find(|result| result.id == id && result.target == *target);
            let word = result.map_or(String::new(), |result| match result.verdict.outcome {
                Outcome::Pass => format!("✅ pass {}", words::duration(result.duration_ms)),
                Outcome::Unsupported => "➖ unsupported".into(),
                Outcome::Known => "⚠️ known".into(),
                red => format!("❌ **{}** {}", words::outcome(red), words::duration(result.duration_ms)),
            });
            text.push_str(&format!(" {word} |"));
        }
        text.push('\n');
    }
    text
}

fn reasons(run: &RunResult) -> String {
    let reasons = unsupported(run);
    if reasons.is_empty() {
        return String::new();
    }
    let mut text = String::from("\nUnsupported:\n\n");
    for (reason, names) in reasons {
        text.push_str(&format!("- {}: {}\n", cell(&reason), cell(&names.join(", "))));
    }
    text
}

fn known_failures(run: &RunResult) -> String {
    let known = known(run);
    if known.is_empty() {
        return String::new();
    }
    let lines: Vec<String> = known.iter().map(|line| format!("- {}\n", cell(line))).collect();
    format!("\nKnown failures:\n\n{}", lines.concat())
}

/// A text that cannot leave its table cell or become markup: no link, image, heading, emphasis or mention.
fn cell(text: &str) -> String {
    html(&words::clean(text)).replace('|', "\\|")
}

/// The same within an element of HTML.
fn html(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '`' | '[' | ']' | '!' | '@' | '*' | '_' | '#' | '~' => {
                html.push_str(&format!("&#{};", u32::from(letter)));
            }
            other => html.push(other),
        }
    }
    html
}

/// A fence that is longer than every run of backticks in the text.
fn fence(text: &str) -> String {
    let longest = text.split(|letter| letter != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn matrix_reasons_and_failures() {
        let folder = fixture::folder();
        let text = summary(folder.path(), &fixture::run());
        let text = text.replace(&folder.path().display().to_string(), "OUT");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_fence_holds_its_text() {
        assert_eq!(fence("a ```` b"), "`````");
        assert_eq!(fence("a"), "```");
    }

    #[test]
    fn a_cell_stays_a_cell() {
        assert_eq!(cell("a|b<script>\n`"), "a\\|b&lt;script&gt;\\n&#96;");
        let image = cell("![x](https://evil.example) @name **bold** # heading");
        assert!(!image.contains(['[', '!', '@', '*']) && image.contains("&#33;&#91;x&#93;"), "{image}");
    }
}
