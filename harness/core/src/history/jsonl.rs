//! Reading and writing lines of a history, without IO.

use thiserror::Error;

use super::event::{Event, FORMAT, What};

/// Why a history cannot be read.
#[derive(Debug, Error)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum HistoryError {
    /// A line is not an event.
    #[error("line {line} is not a valid event: {source}")]
    Line {
        /// Line number, from 1.
        line: usize,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// Lines are missing or out of order.
    #[error("line {line} of the history has seq {found}, expected {expected}: lines were lost or moved")]
    Order {
        /// Line number, from 1.
        line: usize,
        /// The `seq` that was found.
        found: u64,
        /// The `seq` that was expected.
        expected: u64,
    },
    /// The first event is not `begin`.
    #[error("the history does not start with a `begin` event: it is empty or its head was cut off")]
    NoBegin,
    /// Written by a newer tlsboot.
    #[error("the history has format {0}, this tlsboot reads up to {FORMAT}: use a newer tlsboot")]
    Format(u32),
}

/// Reads a whole history. A last line without a newline (the writer was killed) is skipped.
///
/// # Errors
/// The first line that is not an event or is out of order, or a missing or too new head.
pub fn parse(text: &str) -> Result<Vec<Event>, HistoryError> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut events = Vec::new();
    for (index, line) in whole.lines().enumerate() {
        let event: Event =
            serde_json::from_str(line).map_err(|source| HistoryError::Line { line: index + 1, source })?;
        if event.seq != index as u64 {
            return Err(HistoryError::Order { line: index + 1, found: event.seq, expected: index as u64 });
        }
        events.push(event);
    }
    match events.first().map(|event| &event.what) {
        Some(What::Begin(begin)) if begin.format > FORMAT => Err(HistoryError::Format(begin.format)),
        Some(What::Begin(_)) => Ok(events),
        _ => Err(HistoryError::NoBegin),
    }
}

/// One event as its line, newline included.
///
/// # Errors
/// Never for the types of this crate; serde's signature includes the error.
pub fn write_line(event: &Event) -> serde_json::Result<String> {
    let mut line = serde_json::to_string(event)?;
    line.push('\n');
    Ok(line)
}
