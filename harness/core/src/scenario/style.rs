//! The layout of scenario files, for `tlsboot lint`. Runs ignore it.

use super::{Diagnostic, Scenario};

/// The longest title, in characters: one line of a table.
pub(super) const LONGEST_TITLE: usize = 90;
/// The longest line, in columns.
const LONGEST_LINE: usize = 100;

/// What violates the layout.
pub fn style(scenario: &Scenario) -> Vec<Diagnostic> {
    let at = |line: usize, column: usize, message: String| {
        Diagnostic::at(&scenario.file, &scenario.text, line as u64, column as u64, message)
    };
    let lines = || scenario.text.lines().enumerate();
    let long = lines().filter(|(_, line)| line.chars().count() > LONGEST_LINE && has_room(line)).map(|(index, _)| {
        let message = format!(
            "the line is longer than {LONGEST_LINE} columns: write one field per line, or fold the text (`>-`)"
        );
        at(index + 1, LONGEST_LINE + 1, message)
    });
    let title = lines().find(|(_, line)| line.starts_with("title:")).map_or(1, |(index, _)| index + 1);
    let length = scenario.title.chars().count();
    let title = (length > LONGEST_TITLE).then(|| {
        at(
            title,
            1,
            format!("the title has {length} characters: shorten it to {LONGEST_TITLE}, and put the rest into `why`"),
        )
    });
    title.into_iter().chain(long).collect()
}

/// Whether a line could be broken: there is more than one word after the field's name.
fn has_room(line: &str) -> bool {
    let text = line.trim_start().trim_start_matches("- ");
    let text = text.split_once(": ").map_or(text, |(_, value)| value);
    text.trim().contains(' ')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::load_text;

    fn text(title: &str, more: &str) -> String {
        format!(
            "id: a.b\ntitle: {title}\nrequirements: [A-01]\nnodes: [{{name: n1}}]\nsteps:\n  - start: {{node: n1}}\n  - expect: {{csr: {{node: n1}}}}\n{more}"
        )
    }

    fn lines(text: &str) -> Vec<u64> {
        style(&load_text("a.yaml", text).unwrap()).into_iter().map(|wrong| wrong.line).collect()
    }

    #[test]
    fn long_titles_and_lines_are_told() {
        assert!(lines(&text("A title", "")).is_empty());
        assert!(lines(&text(&"t".repeat(90), "")).is_empty());
        assert_eq!(lines(&text(&"t".repeat(91), "")), [2]);
        let words = format!("# {}\n", "word ".repeat(20));
        assert_eq!(lines(&text("A title", &words)), [8]);
    }

    #[test]
    fn what_cannot_be_broken_may_be_long() {
        let address = format!("tags: [\n  {}]\n", "x".repeat(120));
        assert!(lines(&text("A title", &address)).is_empty());
    }
}
