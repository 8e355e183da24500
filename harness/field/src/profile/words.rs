//! The results of the statements, for a terminal.

use std::fmt::Write;

use super::Judged;
use crate::probe::Outcome;
use tlsboot_core::plain::one_line;
use tlsboot_engine::report::paint::paint;

/// The whole report, with or without colors.
pub fn text(judged: &[Judged], colours: bool) -> String {
    let mut text = String::new();
    let mut counts = [0; 3];
    for Judged { statement, outcome } in judged {
        let (index, word, code, said) = match outcome {
            Outcome::Pass(said) => (0, "holds     ", "32", said),
            Outcome::Fail(said) => (1, "fails     ", "1;31", said),
            Outcome::Unsupported(said) => (2, "not judged", "2", said),
        };
        counts[index] += 1;
        let word = paint(code, word, colours);
        let _ = writeln!(text, "{word}  {}: {}", statement.id, statement.title);
        let _ = writeln!(text, "{:12}{} [{}]", "", one_line(said), statement.source);
    }
    let [holds, fails, open] = counts;
    let _ = writeln!(text, "\n{holds} hold, {fails} fail, {open} not judged");
    text
}
