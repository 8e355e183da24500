//! The history of a run: the typed events that the recorders append and that the checks judge.
//!
//! `history.jsonl` holds one [`Event`] per line. The format is versioned ([`event::FORMAT`]) and documented in
//! `docs/history.md`.

pub mod event;
pub mod facts;
mod jsonl;

pub use event::{Event, What};
pub use jsonl::{HistoryError, parse, write_line};
