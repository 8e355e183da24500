//! The evidence of one scenario on one target: a folder with the scenario, the history, the verdict, and the
//! components' logs. Only this module knows the file names.

mod hashes;
mod place;
mod reader;
mod record;
mod writer;

pub use hashes::hashes;
pub use place::{has, is_evidence, is_target, make_room, place, target_folder};
pub use reader::{EvidenceError, EvidenceFolder, Rejudged, find};
pub use record::Evidence;
pub use writer::{CloseError, EvidenceWriter};

/// The scenario, as it was read.
pub const SCENARIO: &str = "scenario.yaml";
/// The history, one event per line.
pub const HISTORY: &str = "history.jsonl";
/// The verdict, as JSON.
pub const VERDICT: &str = "verdict.json";
/// The folder of the components' logs.
pub const LOGS: &str = "logs";
