//! What Kubernetes promises about kubelet TLS bootstrapping and certificate rotation, and whether a recorded history keeps it.
//!
//! This crate is pure: the same history gives the same verdict, on any machine and at any time. It reads no files,
//! opens no sockets, starts no processes, reads no clock and draws no random numbers; its caller provides texts and
//! bytes. It does not depend on tokio, kube, k8s-openapi, clap or rustix, and does not use `std::fs`, `std::net`,
//! `std::process`, `std::env` or the clocks of `std::time`. `tests/purity.rs` keeps that true.
//!
//! # Judging a history
//!
//! An evidence folder of a run holds `scenario.yaml` and `history.jsonl`. That is all it takes to judge again, for a
//! dashboard, for the tests of an approver, or in a browser:
//!
//! ```
//! use tlsboot_core::check::{Outcome, judge_all};
//! use tlsboot_core::history::parse;
//! use tlsboot_core::scenario::load_text;
//!
//! # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/all-kinds");
//! # let read = |name: &str| std::fs::read_to_string(format!("{folder}/{name}")).unwrap();
//! let scenario = load_text("scenario.yaml", &read("scenario.yaml")).expect("a valid scenario");
//! let events = parse(&read("history.jsonl")).expect("a whole history");
//! let verdict = judge_all(&scenario, events);
//! assert_eq!(verdict.outcome, Outcome::Pass);
//! for expectation in &verdict.expectations {
//!     println!("{}: {:?}", expectation.kind, expectation.outcome);
//! }
//! ```
//!
//! # What is stable
//!
//! The public items of [`history`], [`scenario`], [`check`] and [`result`] are a contract, together with the formats
//! that they read and write: `history.jsonl` ([`history::event::FORMAT`]), `result.json` ([`result::FORMAT`]) and
//! scenario files. Enums that will grow are `#[non_exhaustive]`, except with the feature `exhaustive`, which is for
//! tlsboot's own crates. [`x509`], [`diff`], [`distribution`], [`tables`], [`pages`] and [`name`] are for
//! tlsboot's other crates and may change in any release, as may everything public in `tlsboot-engine`, `tlsboot-field`
//! and `tlsboot`.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod check;
pub mod diff;
pub mod distribution;
pub mod exit;
pub mod history;
pub mod known;
pub mod name;
pub mod pages;
pub mod plain;
pub mod result;
pub mod scenario;
pub mod tables;
#[cfg(test)]
mod testing;
pub mod time;
pub mod version;
pub mod x509;
