//! The results, for a terminal.

use std::fmt::Write;

use super::judge::{Judgement, Outcome};
use tlsboot_core::plain::one_line;
use tlsboot_engine::report::paint::paint;

/// The whole report, with or without colors.
pub fn text(judgement: &Judgement, colours: bool) -> String {
    let paint = |code: &str, text: &str| paint(code, text, colours);
    let mut text = String::new();
    for control in &judgement.controls {
        let _ = match &control.failure {
            None => writeln!(text, "{}  {}: approved and issued", paint("32", "control  "), control.name),
            Some(why) => writeln!(text, "{}  {}: {}", paint("1;31", "control  "), control.name, one_line(why)),
        };
    }
    for case in &judgement.cases {
        let (word, code) = match case.outcome {
            Outcome::Right => ("right    ", "32"),
            Outcome::Undecided => ("undecided", "33"),
            Outcome::Stricter => ("stricter ", "32"),
            Outcome::Unjudged => ("unjudged ", "2"),
            Outcome::Wrong => ("wrong    ", "1;31"),
            Outcome::Careless => ("careless ", "1;33"),
            Outcome::Hole => ("HOLE     ", "1;35"),
        };
        let decision = case.fate.decision.word();
        let _ = writeln!(
            text,
            "{}  {:28} {:8}  by {}: {}",
            paint(code, word),
            case.id,
            decision,
            one_line(case.by.words()),
            case.what
        );
        if matches!(case.outcome, Outcome::Right | Outcome::Unjudged) {
            continue;
        }
        let _ = writeln!(text, "{:13}expected: {}", "", case.expected);
        if !case.fate.detail.is_empty() {
            let _ = writeln!(text, "{:13}{}", "", one_line(&case.fate.detail));
        }
        if !case.fate.foreign.is_empty() {
            let _ = writeln!(text, "{:13}issued: {}", "", one_line(&case.fate.foreign.join(", ")));
        }
    }
    let count = |outcome| judgement.count(outcome);
    let summary = format!(
        "{} right, {} stricter than Kubernetes (not a fault), {} unjudged, {} undecided, {} wrong, {} careless, {} security findings",
        count(Outcome::Right),
        count(Outcome::Stricter),
        count(Outcome::Unjudged),
        count(Outcome::Undecided),
        count(Outcome::Wrong),
        count(Outcome::Careless),
        count(Outcome::Hole)
    );
    let code = if judgement.is_right() { "32" } else { "1;31" };
    let _ = writeln!(text, "\n{}", paint(code, &summary));
    for note in &judgement.notes {
        let _ = writeln!(text, "note: {}", one_line(note));
    }
    if judgement.controls.iter().any(|control| control.failure.is_some()) {
        text.push_str(
            "A good CSR was not approved and issued, so a pending one proves nothing: run `tlsboot doctor` first.\n",
        );
    }
    text
}
