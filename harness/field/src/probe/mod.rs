//! `tlsboot probe`: tlsboot plays the node in an existing cluster. Unless it is allowed to write, it sends only
//! requests that store nothing: reads, credentials that must be refused, and creations as a dry run. [`play`] drives
//! and observes; pure functions judge the answers.
//!
//! This is not a provider for scenarios: those start with a cluster of their own, bind its roles and set its flags. In a
//! cluster that others use, the bindings are theirs (what is bound to `system:bootstrappers` can be neither removed for a
//! scenario nor added), and there is no audit log and no way to set a flag: most scenarios could only be weaker or wrong.

mod authentication;
mod issuance;
mod player;
mod renewal;
mod rights;
mod serving;
mod table;
mod words;

pub use player::{Plan, play};
pub use table::{Need, Outcome, PROBES, Probe, Probed};
pub use words::text;
