//! `spec.expirationSeconds` of a CSR, as scenarios write it.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// `spec.expirationSeconds`: a number, or `none` if the field is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpirationSeconds {
    /// The field is not set.
    None,
    /// This number of seconds.
    Seconds(i32),
}

impl ExpirationSeconds {
    /// The value of the field.
    pub fn field(self) -> Option<i32> {
        match self {
            Self::None => None,
            Self::Seconds(seconds) => Some(seconds),
        }
    }
}

impl From<Option<i32>> for ExpirationSeconds {
    fn from(field: Option<i32>) -> Self {
        field.map_or(Self::None, Self::Seconds)
    }
}

impl fmt::Display for ExpirationSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Seconds(seconds) => seconds.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for ExpirationSeconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = ExpirationSeconds;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of seconds, or `none`")
            }

            fn visit_i64<E: Error>(self, seconds: i64) -> Result<Self::Value, E> {
                i32::try_from(seconds).map(ExpirationSeconds::Seconds).map_err(E::custom)
            }

            fn visit_u64<E: Error>(self, seconds: u64) -> Result<Self::Value, E> {
                i32::try_from(seconds).map(ExpirationSeconds::Seconds).map_err(E::custom)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                match text {
                    "none" => Ok(ExpirationSeconds::None),
                    other => Err(E::custom(format!("`{other}` is neither a number of seconds nor `none`"))),
                }
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for ExpirationSeconds {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ExpirationSeconds".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"oneOf": [{"const": "none", "type": "string"}, {"type": "integer"}]})
    }
}
