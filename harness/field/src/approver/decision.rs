//! The possible decisions about a CSR, and which are right.

use std::collections::BTreeSet;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

/// A decision about a CSR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Decision {
    /// The API server did not accept it.
    Refused,
    /// It was created, but not decided.
    Pending,
    /// It was denied.
    Deny,
    /// It was approved.
    Approve,
}

impl Decision {
    /// In the policy's words.
    pub const ALL: [(&'static str, Self); 4] =
        [("refused", Self::Refused), ("pending", Self::Pending), ("deny", Self::Deny), ("approve", Self::Approve)];

    /// Its name.
    pub fn word(self) -> &'static str {
        let known = Self::ALL.iter().find(|(_, decision)| *decision == self);
        known.map_or("", |(word, _)| word)
    }
}

/// The decisions that are right for a case; never empty.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Expected(BTreeSet<Decision>);

impl Expected {
    /// Exactly this one.
    pub fn one(decision: Decision) -> Self {
        Self(BTreeSet::from([decision]))
    }

    /// Either of the two.
    pub fn either(one: Decision, other: Decision) -> Self {
        Self(BTreeSet::from([one, other]))
    }

    /// That one, too.
    pub fn or(mut self, decision: Decision) -> Self {
        self.0.insert(decision);
        self
    }

    /// Whether this decision is right.
    pub fn allows(&self, decision: Decision) -> bool {
        self.0.contains(&decision)
    }

    /// Whether there must be a decision, so that it makes sense to wait for it.
    pub fn is_decided(&self) -> bool {
        !self.allows(Decision::Pending) && !self.allows(Decision::Refused)
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.0.iter().map(|decision| decision.word()).collect();
        f.write_str(&words.join(" or "))
    }
}

impl<'de> Deserialize<'de> for Expected {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExpectedVisitor)
    }
}

struct ExpectedVisitor;

impl<'de> Visitor<'de> for ExpectedVisitor {
    type Value = Expected;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`approve`, `pending`, `deny`, `refused`, or a list of them")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Expected, E> {
        decision(word).map(Expected::one)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Expected, A::Error> {
        let mut decisions = BTreeSet::new();
        while let Some(word) = list.next_element::<String>()? {
            decisions.insert(decision(&word)?);
        }
        if decisions.is_empty() {
            return Err(de::Error::custom("the list is empty: no decision would be right"));
        }
        Ok(Expected(decisions))
    }
}

fn decision<E: de::Error>(word: &str) -> Result<Decision, E> {
    let known = Decision::ALL.iter().find(|(known, _)| *known == word);
    known
        .map(|(_, decision)| *decision)
        .ok_or_else(|| E::custom(format!("`{word}` is not a decision: use approve, pending, deny or refused")))
}

impl JsonSchema for Expected {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Expected".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words = Decision::ALL.map(|(word, _)| word);
        json_schema!({
            "anyOf": [
                {"enum": words},
                {"type": "array", "items": {"enum": words}, "minItems": 1},
            ],
        })
    }
}
