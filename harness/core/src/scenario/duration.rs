//! Lengths of time in scenarios, written as Kubernetes writes them: `90s`, `3m`, `1h30m`.

use jiff::SignedDuration;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error};

/// The syntax of a duration.
pub(super) const PATTERN: &str = "^([0-9]+(h|m|s|ms))+$";
/// The same, with a sign.
pub(super) const SIGNED: &str = "^-?([0-9]+(h|m|s|ms))+$";

/// Parses a duration, with or without a sign.
pub(super) fn parse(text: &str) -> Result<SignedDuration, String> {
    let wrong = || format!("`{text}` is not a duration: write it like `90s`, `3m` or `1h30m`");
    let letters = text.strip_prefix('-').unwrap_or(text);
    let is_ours = letters.bytes().all(|byte| byte.is_ascii_digit() || b"hms".contains(&byte));
    if !is_ours { Err(wrong()) } else { text.parse().map_err(|_| wrong()) }
}

pub(super) fn above_zero(text: &str) -> Result<SignedDuration, String> {
    let length = parse(text)?;
    if length.is_positive() { Ok(length) } else { Err(format!("`{text}` must be longer than 0s")) }
}

pub(crate) fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SignedDuration, D::Error> {
    above_zero(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

pub(crate) fn positive_if_given<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SignedDuration>, D::Error> {
    positive(deserializer).map(Some)
}

pub(crate) fn signed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SignedDuration, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

pub(crate) fn signed_if_given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SignedDuration>, D::Error> {
    signed(deserializer).map(Some)
}

pub(crate) fn schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": PATTERN})
}

pub(crate) fn signed_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": SIGNED})
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("90s", 90_000)]
    #[case("1h30m", 5_400_000)]
    #[case("250ms", 250)]
    #[case("-1h", -3_600_000)]
    fn lengths_are_read(#[case] text: &str, #[case] millis: i128) {
        assert_eq!(parse(text).map(|length| length.as_millis()), Ok(millis));
    }

    #[rstest]
    #[case("soon")]
    #[case("")]
    #[case("5")]
    #[case("400d")]
    #[case("PT1H")]
    #[case("1h 30m")]
    fn others_are_not(#[case] text: &str) {
        assert!(parse(text).unwrap_err().contains("write it like `90s`"));
    }

    #[rstest]
    #[case("0s")]
    #[case("-5s")]
    fn a_wait_has_a_length(#[case] text: &str) {
        assert!(above_zero(text).unwrap_err().contains("longer than 0s"));
    }
}
