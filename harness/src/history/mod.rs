//! The history of a run: the typed events that the recorders append and that the checks judge.

pub mod facts;
