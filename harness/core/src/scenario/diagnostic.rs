//! Errors in scenario files, with their position and a snippet.

use std::fmt;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// The maximum number of characters of a line that are shown.
const LONGEST: usize = 400;

/// What is wrong in a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file, as it was named.
    pub file: String,
    /// Line, from 1; 0 for the file as a whole.
    pub line: u64,
    /// Column, from 1; 0 for the line as a whole.
    pub column: u64,
    /// What is wrong, and how to fix it.
    pub message: String,
    /// The line itself.
    pub snippet: String,
}

impl Diagnostic {
    /// An error at a position in a text.
    pub fn at(file: &str, text: &str, line: u64, column: u64, message: impl Into<String>) -> Self {
        let index = usize::try_from(line).unwrap_or(0);
        let snippet = text.lines().nth(index.wrapping_sub(1)).unwrap_or_default().to_owned();
        Self { file: file.into(), line, column, message: message.into(), snippet }
    }

    /// An error about a file as a whole.
    pub fn whole(file: &str, message: impl Into<String>) -> Self {
        Self { file: file.into(), line: 0, column: 0, message: message.into(), snippet: String::new() }
    }

    /// Renders it, with colors on a terminal.
    pub fn render(&self, colours: bool) -> String {
        let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
        let title = Level::ERROR.primary_title(&self.message);
        if self.line == 0 {
            return format!("{}\n  in {}", renderer.render(&[Group::with_title(title)]), self.file);
        }
        // Columns count characters, snippets count bytes.
        let column = usize::try_from(self.column).unwrap_or(1);
        let before = column.saturating_sub(1);
        // Of a very long line, only the part around the position.
        let skipped = if self.snippet.len() > LONGEST { before.saturating_sub(LONGEST / 2) } else { 0 };
        let shown: String = self.snippet.chars().skip(skipped).take(LONGEST).collect();
        let place = shown.char_indices().nth(before - skipped);
        let start = place.map_or(shown.len(), |(byte, _)| byte);
        let end = shown.trim_end().len().max(start);
        let snippet = Snippet::source(&shown)
            .path(&self.file)
            .line_start(usize::try_from(self.line).unwrap_or(1))
            .annotation(AnnotationKind::Primary.span(start..end));
        renderer.render(&[title.element(snippet)])
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_endless_line_the_place_is_drawn() {
        let text = format!("{}HERE{}", "ä".repeat(1_000_000), "b".repeat(1_000_000));
        let drawn = Diagnostic::at("a.yaml", &text, 1, 1_000_001, "wrong").render(false);
        assert!(drawn.contains("HERE") && drawn.len() < 4000, "{}", drawn.len());
        let short = Diagnostic::at("a.yaml", "key: value", 1, 6, "wrong").render(false);
        assert!(short.contains("key: value") && short.contains("     ^^^^^"), "{short}");
    }
}
