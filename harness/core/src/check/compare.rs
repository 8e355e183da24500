//! Comparing what is expected with what an event says.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use super::state::State;
use crate::history::Event;

/// An event, and everything that came before it.
pub struct Moment<'a> {
    /// The event to judge.
    pub event: &'a Event,
    /// The fold of all events up to and including this one.
    pub state: &'a State,
    /// All events up to and including this one.
    pub past: &'a [Event],
}

/// What an event says about an expectation.
#[derive(Clone, Debug, PartialEq)]
pub enum Match {
    /// It is about something else.
    Other,
    /// It is about the expected thing but differs from it; another event may still fulfill the expectation.
    Near(Vec<Mismatch>),
    /// It fulfills the expectation.
    Yes,
    /// It shows that the expectation can no longer be fulfilled.
    Wrong(Vec<Mismatch>),
    /// It cannot be judged, and why: then nothing is proven.
    Unknown(String),
}

/// One difference between what was expected and what was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mismatch {
    /// Which field.
    pub field: String,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
}

/// Collects differences.
#[derive(Debug, Default)]
pub(super) struct Compare(pub(super) Vec<Mismatch>);

impl Compare {
    /// Records a difference if `holds` is false.
    pub(super) fn holds(&mut self, field: &str, holds: bool, expected: impl Display, found: impl Display) -> &mut Self {
        if !holds {
            self.0.push(Mismatch { field: field.into(), expected: expected.to_string(), found: found.to_string() });
        }
        self
    }

    /// Compares with the expected value, if there is one.
    pub(super) fn same<T: PartialEq + Display>(&mut self, field: &str, expected: Option<&T>, found: &T) -> &mut Self {
        match expected {
            Some(expected) => self.holds(field, expected == found, expected, found),
            None => self,
        }
    }

    /// Compares a text that may be absent (expected as `none`).
    pub(super) fn text(&mut self, field: &str, expected: Option<&str>, found: Option<&str>) -> &mut Self {
        match expected {
            Some(expected) => self.holds(field, expected == found.unwrap_or(NONE), expected, found.unwrap_or(NONE)),
            None => self,
        }
    }

    /// Looks for a substring.
    pub(super) fn contains(&mut self, field: &str, part: Option<&str>, found: &str) -> &mut Self {
        match part {
            Some(part) => self.holds(
                field,
                found.contains(part),
                format!("…{part}…"),
                if found.is_empty() { "nothing" } else { found },
            ),
            None => self,
        }
    }

    /// Compares sets, in any order.
    pub(super) fn set(&mut self, field: &str, expected: Option<&[String]>, found: &[String]) -> &mut Self {
        let Some(expected) = expected else {
            return self;
        };
        let sorted = |list: &[String]| {
            let mut list = list.to_vec();
            list.sort();
            list
        };
        self.holds(field, sorted(expected) == sorted(found), list(expected), list(found))
    }

    /// Fulfilled if there are no differences, otherwise near.
    pub(super) fn or_near(self) -> Match {
        if self.0.is_empty() { Match::Yes } else { Match::Near(self.0) }
    }

    /// Fulfilled if there are no differences, otherwise final failure.
    pub(super) fn or_wrong(self) -> Match {
        if self.0.is_empty() { Match::Yes } else { Match::Wrong(self.0) }
    }
}

/// The word for something absent.
pub(super) const NONE: &str = "none";

/// A list for people to read.
pub(super) fn list(items: &[impl Display]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    format!("[{}]", items.join(", "))
}
