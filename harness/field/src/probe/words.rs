//! The results of the probes, for a terminal.

use std::fmt::Write;

use super::{Outcome, Probed};
use tlsboot_core::plain::one_line;
use tlsboot_engine::report::paint::paint;

/// The whole report, with or without colors.
pub fn text(probed: &[Probed], colours: bool) -> String {
    let mut text = String::new();
    let mut counts = [0; 3];
    for Probed { probe, outcome } in probed {
        let (index, word, code, said) = match outcome {
            Outcome::Pass(said) => (0, "pass       ", "32", said),
            Outcome::Fail(said) => (1, "fail       ", "1;31", said),
            Outcome::Unsupported(said) => (2, "unsupported", "2", said),
        };
        counts[index] += 1;
        let word = paint(code, word, colours);
        let requirements = probe.requirements.join(", ");
        let _ = writeln!(text, "{word}  {}: {} [{requirements}]", probe.id, probe.title);
        let _ = writeln!(text, "{:13}{}", "", one_line(said));
    }
    let [pass, fail, unsupported] = counts;
    let _ = writeln!(text, "\n{pass} pass, {fail} fail, {unsupported} unsupported");
    text
}
