//! A bootstrap token's Secret as the API server reads it: byte by byte, without trimming anything. Pure.
//!
//! Sources: `plugin/pkg/auth/authenticator/token/bootstrap/bootstrap.go`, `k8s.io/cluster-bootstrap/util/secrets`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ResourceExt;

use super::rights::BOOTSTRAPPERS;
use super::snapshot::TokenFacts;
use crate::connection::is_bootstrap_token;

/// What the names of the Secrets begin with, followed by the token's id.
pub const SECRET_PREFIX: &str = "bootstrap-token-";

/// What a Secret of the type `bootstrap.kubernetes.io/token` is good for. Of its value only the form is looked at.
pub fn token(secret: &Secret) -> TokenFacts {
    let data = secret.data.clone().unwrap_or_default();
    let name = secret.name_any();
    let id = name.strip_prefix(SECRET_PREFIX).unwrap_or(&name).to_owned();
    let is = |key: &str| bytes(&data, key) == b"true";
    let (authenticates, signs) = (is("usage-bootstrap-authentication"), is("usage-bootstrap-signing"));
    let says_nothing = matches!(bytes(&data, "usage-bootstrap-authentication"), b"" | b"false");
    let (expires, extra) = (expiration(bytes(&data, "expiration")), extra_groups(bytes(&data, "auth-extra-groups")));
    let defect = if !name.starts_with(SECRET_PREFIX) {
        Some(format!("its Secret {name} should be called {SECRET_PREFIX} and the token's id"))
    } else if secret.metadata.deletion_timestamp.is_some() {
        Some("its Secret is being deleted, and waits for a finalizer".to_owned())
    } else if bytes(&data, "token-id") != id.as_bytes() {
        Some(odd("token-id", bytes(&data, "token-id"), "is not what the Secret's name says"))
    } else if !has_form(&id, bytes(&data, "token-secret")) {
        Some(odd("token-secret", bytes(&data, "token-secret"), "does not have the form `[a-z0-9]{16}`"))
    } else if !(authenticates || signs && says_nothing) {
        let value = bytes(&data, "usage-bootstrap-authentication");
        Some(odd("usage-bootstrap-authentication", value, "is not \"true\""))
    } else if let Err(reason) = &expires {
        Some(reason.clone())
    } else {
        extra.as_ref().err().cloned()
    };
    let groups = std::iter::once(BOOTSTRAPPERS.to_owned()).chain(extra.unwrap_or_default());
    let groups: BTreeSet<String> = groups.collect();
    TokenFacts {
        id,
        expires: expires.unwrap_or_default(),
        groups: groups.into_iter().collect(),
        authenticates: authenticates || !says_nothing || !signs,
        signs,
        defect,
    }
}

fn bytes<'a>(data: &'a BTreeMap<String, ByteString>, key: &str) -> &'a [u8] {
    data.get(key).map_or(&[], |value| value.0.as_slice())
}

fn has_form(id: &str, secret: &[u8]) -> bool {
    std::str::from_utf8(secret).is_ok_and(|secret| is_bootstrap_token(id, secret))
}

/// The field's own name, and whether white space is what is wrong with it. Its value is not repeated.
fn odd(key: &str, value: &[u8], what: &str) -> String {
    let space = value.first().is_some_and(u8::is_ascii_whitespace) || value.last().is_some_and(u8::is_ascii_whitespace);
    match (value, space) {
        (b"", _) => format!("`{key}` is missing or empty"),
        (_, true) => format!("`{key}` begins or ends with white space, such as a newline"),
        _ => format!("`{key}` {what}"),
    }
}

fn expiration(value: &[u8]) -> Result<Option<Timestamp>, String> {
    if value.is_empty() {
        return Ok(None);
    }
    let time = std::str::from_utf8(value).ok().and_then(rfc3339);
    time.map(Some).ok_or_else(|| odd("expiration", value, "is not a time as in RFC 3339 (2027-12-31T00:00:00Z)"))
}

fn extra_groups(value: &[u8]) -> Result<Vec<String>, String> {
    if value.is_empty() {
        return Ok(Vec::new());
    }
    let text = String::from_utf8_lossy(value);
    let groups: Vec<String> = text.split(',').map(str::to_owned).collect();
    match groups.iter().find(|group| !is_group(group)) {
        None => Ok(groups),
        Some(group) if group.is_empty() => Err("`auth-extra-groups` has a comma too many".into()),
        Some(group) if group.trim() != group => Err("`auth-extra-groups` has white space in it".into()),
        Some(group) => Err(format!("the extra group {group} does not have the form `system:bootstrappers:[a-z0-9:-]`")),
    }
}

/// `\Asystem:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]\z` (`cluster-bootstrap/token/api`, `BootstrapGroupPattern`).
fn is_group(group: &str) -> bool {
    let Some(rest) = group.strip_prefix("system:bootstrappers:") else {
        return false;
    };
    let known = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    (1..=256).contains(&rest.len())
        && rest.bytes().all(|letter| known(letter) || letter == b'-' || letter == b':')
        && rest.bytes().last().is_some_and(known)
}

/// As Go's `time.Parse(time.RFC3339, …)` reads it: an hour may have one digit, a fraction may follow a comma, offsets go
/// up to 24:60; the letters T and Z must be capitals, and nothing may stand around it.
fn rfc3339(text: &str) -> Option<Timestamp> {
    let mut rest = Rest(text.as_bytes());
    let year = rest.digits(4)?;
    rest.literal(b'-')?;
    let month = rest.digits(2)?;
    rest.literal(b'-')?;
    let day = rest.digits(2)?;
    rest.literal(b'T')?;
    let hour = rest.digits(2).or_else(|| rest.digits(1))?;
    rest.literal(b':')?;
    let minute = rest.digits(2)?;
    rest.literal(b':')?;
    let second = rest.digits(2)?;
    let nanosecond = rest.fraction();
    let offset = rest.offset()?;
    // Other than Go, jiff would take a leap second.
    if !rest.0.is_empty() || second > 59 {
        return None;
    }
    let small = |number: i64| i8::try_from(number).ok();
    let at = DateTime::new(
        i16::try_from(year).ok()?,
        small(month)?,
        small(day)?,
        small(hour)?,
        small(minute)?,
        small(second)?,
        i32::try_from(nanosecond).ok()?,
    );
    let at = Offset::UTC.to_timestamp(at.ok()?).unwrap_or(Timestamp::MAX);
    Some(at.checked_sub(offset).unwrap_or(Timestamp::MAX))
}

struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn literal(&mut self, letter: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[letter])?;
        Some(())
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        let number = digits.iter().try_fold(0_i64, |number, digit| {
            digit
                .is_ascii_digit()
                .then(|| number.saturating_mul(10).saturating_add(i64::from(digit.saturating_sub(b'0'))))
        })?;
        self.0 = rest;
        Some(number)
    }

    /// Nanoseconds; what is finer than that is dropped.
    fn fraction(&mut self) -> i64 {
        let ([b'.' | b',', digits @ ..], Some(true)) = (self.0, self.0.get(1).map(u8::is_ascii_digit)) else {
            return 0;
        };
        let count = digits.iter().take_while(|digit| digit.is_ascii_digit()).count();
        let (digits, rest) = digits.split_at(count);
        self.0 = rest;
        let padded = digits.iter().copied().chain(std::iter::repeat(b'0')).take(9);
        padded.fold(0, |number, digit| number.saturating_mul(10).saturating_add(i64::from(digit.saturating_sub(b'0'))))
    }

    fn offset(&mut self) -> Option<SignedDuration> {
        if self.literal(b'Z').is_some() {
            return Some(SignedDuration::ZERO);
        }
        let east = self.literal(b'+').is_some();
        if !east {
            self.literal(b'-')?;
        }
        let hours = self.digits(2).filter(|hours| *hours <= 24)?;
        self.literal(b':')?;
        let minutes = self.digits(2).filter(|minutes| *minutes <= 60)?;
        let seconds = hours.saturating_mul(3600).saturating_add(minutes.saturating_mul(60));
        Some(SignedDuration::from_secs(if east { seconds } else { seconds.saturating_neg() }))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn of(data: Value) -> TokenFacts {
        let data = data.as_object().unwrap().iter().map(|(key, value)| {
            use base64::{Engine, engine::general_purpose::STANDARD};
            (key.clone(), json!(STANDARD.encode(value.as_str().unwrap())))
        });
        let data: serde_json::Map<_, _> = data.collect();
        token(&serde_json::from_value(json!({"metadata": {"name": "bootstrap-token-abcdef"}, "data": data})).unwrap())
    }

    fn good() -> Value {
        json!({"token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true"})
    }

    #[test]
    fn a_tokens_value_is_not_kept() {
        let mut data = good();
        data["expiration"] = json!("2026-01-01T00:00:00Z");
        data["auth-extra-groups"] = json!("system:bootstrappers:a");
        let facts = of(data);
        assert!(!format!("{facts:?}").contains("0123456789abcdef"));
        assert_eq!(facts.defect, None);
        assert_eq!(facts.groups, ["system:bootstrappers", "system:bootstrappers:a"]);
        assert_eq!(facts.expires.unwrap().to_string(), "2026-01-01T00:00:00Z");
    }

    #[rstest]
    #[case::foreign_id("token-id", "zzzzzz", "token-id")]
    #[case::newline_id("token-id", "abcdef\n", "newline")]
    #[case::form("token-secret", "SHOUTING", "form")]
    #[case::newline("token-secret", "0123456789abcdef\n", "newline")]
    #[case::usage("usage-bootstrap-authentication", "yes", "usage-bootstrap-authentication")]
    #[case::usage_newline("usage-bootstrap-authentication", "true\n", "newline")]
    #[case::no_time("expiration", "tomorrow", "time")]
    #[case::space("expiration", "2027-12-31 00:00:00Z", "time")]
    #[case::masters("auth-extra-groups", "system:masters", "system:masters")]
    #[case::group_newline("auth-extra-groups", "system:bootstrappers:a\n", "white space")]
    #[case::comma("auth-extra-groups", "system:bootstrappers:a,", "comma")]
    #[case::capital("auth-extra-groups", "system:bootstrappers:A", "form")]
    #[case::underscore("auth-extra-groups", "system:bootstrappers:a_b", "form")]
    #[case::colon_at_the_end("auth-extra-groups", "system:bootstrappers:a:", "form")]
    #[case::no_group("auth-extra-groups", "system:bootstrappers:", "form")]
    fn each_defect_is_named(#[case] key: &str, #[case] value: &str, #[case] word: &str) {
        let mut data = good();
        data[key] = json!(value);
        let defect = of(data).defect.unwrap();
        assert!(defect.contains(word), "{defect}");
        assert!(!defect.contains("0123456789abcdef"), "{defect}");
    }

    #[rstest]
    #[case("expiration", "")]
    #[case("auth-extra-groups", "")]
    #[case("auth-extra-groups", "system:bootstrappers:-:a,system:bootstrappers:1")]
    #[case("description", "anything\n")]
    fn what_the_api_server_does_not_mind(#[case] key: &str, #[case] value: &str) {
        let mut data = good();
        data[key] = json!(value);
        let facts = of(data);
        assert_eq!((facts.defect, facts.expires), (None, None));
    }

    #[test]
    fn a_token_for_signing_only_is_not_one_to_bootstrap_with() {
        let mut data = good();
        data["usage-bootstrap-authentication"] = json!("false");
        data["usage-bootstrap-signing"] = json!("true");
        let facts = of(data);
        assert!(!facts.authenticates && facts.signs && facts.defect.is_none());
        assert!(!facts.is_usable(Timestamp::UNIX_EPOCH));
    }

    #[rstest]
    #[case("2027-12-31T00:00:00Z", Some("2027-12-31T00:00:00Z"))]
    #[case("2027-12-31T5:04:05Z", Some("2027-12-31T05:04:05Z"))]
    #[case("2027-12-31T00:00:00.5+01:30", Some("2027-12-30T22:30:00.5Z"))]
    #[case("2027-12-31T00:00:00,123456789123Z", Some("2027-12-31T00:00:00.123456789Z"))]
    #[case("2027-12-31T00:00:00-24:60", Some("2028-01-01T01:00:00Z"))]
    #[case("9999-12-31T23:59:59Z", Some("9999-12-30T22:00:00.999999999Z"))]
    #[case("2027-12-31t00:00:00z", None)]
    #[case("2027-12-31T00:00:00", None)]
    #[case("2027-12-31T00:00Z", None)]
    #[case("2027-02-29T00:00:00Z", None)]
    #[case("2027-12-31T24:00:00Z", None)]
    #[case("2027-12-31T00:00:60Z", None)]
    #[case("2027-12-31T00:00:00.Z", None)]
    #[case("2027-12-31T00:00:00+0100", None)]
    #[case("2027-12-31T00:00:00Z[UTC]", None)]
    #[case(" 2027-12-31T00:00:00Z", None)]
    #[case("27-12-31T00:00:00Z", None)]
    fn times_are_read_as_go_does(#[case] text: &str, #[case] time: Option<&str>) {
        assert_eq!(rfc3339(text), time.map(|time| time.parse().unwrap()));
    }
}
