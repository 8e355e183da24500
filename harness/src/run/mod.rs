//! A scenario on a target, from plan to verdict.

mod play;

pub use play::{Target, hashes, lacking, on_interrupt, run, target_name};
