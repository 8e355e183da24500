//! Reports: made from a run's result and the histories, never from the live run.

pub mod result;

pub use result::{ComponentResult, RunResult, ScenarioResult};
