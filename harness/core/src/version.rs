//! Kubernetes and etcd versions. Pure: no files, no processes.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use semver::VersionReq;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A version, such as 1.37.2 or 1.38.0-alpha.1. Text may begin with `v`; the suffix of a build or a distribution is
/// rejected (but see [`Version::of_build`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    /// 1, as long as Kubernetes exists.
    pub major: u32,
    /// The Kubernetes minor: 37 in 1.37.2.
    pub minor: u32,
    /// The patch release: 2 in 1.37.2.
    pub patch: u32,
    /// Whether it has been released.
    pub maturity: Maturity,
}

/// The maturity of a version, in the order of Kubernetes' tags (kubernetes.io/releases/release-cycle).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum Maturity {
    /// `-alpha.1`
    Alpha(u32),
    /// `-beta.0`
    Beta(u32),
    /// A release candidate: `-rc.0`.
    Candidate(u32),
    /// Without a suffix.
    Released,
}

/// The version that a user asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum VersionRequest {
    /// The newest available release of a minor version: `1.37`.
    Minor {
        /// 1, as long as Kubernetes exists.
        major: u32,
        /// The Kubernetes minor: 37 in 1.37.
        minor: u32,
    },
    /// One version: `1.37.2`.
    Exact(Version),
}

/// A text is not a version.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is not a version: write {wanted}")]
pub struct ParseVersionError {
    text: String,
    wanted: &'static str,
}

/// The newest patch of each minor version whose modules all resolve on the Go module proxy, so that every source can
/// serve it. For some there are newer patches (1.31.14 and 1.32.13 lack a module there): ask for them by their full
/// version.
const KNOWN: [Version; 23] = [
    Version::new(1, 37, 2),
    Version::new(1, 36, 3),
    Version::new(1, 35, 4),
    Version::new(1, 34, 4),
    Version::new(1, 33, 13),
    Version::new(1, 32, 2),
    Version::new(1, 31, 0),
    Version::new(1, 30, 14),
    Version::new(1, 29, 15),
    Version::new(1, 28, 15),
    Version::new(1, 27, 16),
    Version::new(1, 26, 15),
    Version::new(1, 25, 16),
    Version::new(1, 24, 17),
    Version::new(1, 23, 17),
    Version::new(1, 22, 15),
    Version::new(1, 21, 14),
    Version::new(1, 20, 15),
    Version::new(1, 19, 16),
    Version::new(1, 18, 19),
    Version::new(1, 17, 17),
    Version::new(1, 16, 15),
    Version::new(1, 15, 12),
];

/// Asks for the newest minor version that this tlsboot knows.
const LATEST: &str = "latest";

impl Version {
    /// The version `major.minor.patch`.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch, maturity: Maturity::Released }
    }

    /// The patch that tlsboot uses for each minor version when it finds none on this machine, newest first.
    pub fn known() -> &'static [Version] {
        &KNOWN
    }

    /// Reads the version out of what a component prints for `--version`: `Kubernetes v1.33.4+k3s1`, `etcd Version: 3.7.0`.
    /// Drops the suffix of a distribution or a pre-release.
    pub fn of_build(text: &str) -> Option<Self> {
        text.split_whitespace().find_map(|word| word.split(['-', '+']).next()?.parse().ok())
    }
}

impl VersionRequest {
    /// Whether `version` is the one asked for, or one of them.
    pub fn matches(&self, version: Version) -> bool {
        match *self {
            Self::Minor { major, minor } => {
                (major, minor, Maturity::Released) == (version.major, version.minor, version.maturity)
            }
            Self::Exact(exact) => exact == version,
        }
    }

    /// The one version asked for, if it is exact.
    pub fn exact(&self) -> Option<Version> {
        match *self {
            Self::Minor { .. } => None,
            Self::Exact(version) => Some(version),
        }
    }

    /// The known version of this minor, or the exact one.
    pub fn known(&self) -> Option<Version> {
        self.exact().or_else(|| KNOWN.into_iter().find(|version| self.matches(*version)))
    }
}

impl From<Version> for VersionRequest {
    fn from(version: Version) -> Self {
        Self::Exact(version)
    }
}

impl FromStr for Version {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        version(text).ok_or_else(|| ParseVersionError { text: text.into(), wanted: "it like 1.37.2 or 1.38.0-alpha.1" })
    }
}

impl FromStr for VersionRequest {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(version) = version(text) {
            return Ok(Self::Exact(version));
        }
        if text == LATEST {
            let Version { major, minor, .. } = KNOWN[0];
            return Ok(Self::Minor { major, minor });
        }
        match numbers(text).as_deref() {
            Some(&[major, minor]) => Ok(Self::Minor { major, minor }),
            _ => Err(ParseVersionError {
                text: text.into(),
                wanted: "a minor like 1.37, a version like 1.37.2 or 1.38.0-alpha.1, or `latest`",
            }),
        }
    }
}

fn version(text: &str) -> Option<Version> {
    let (release, maturity) = match text.split_once('-') {
        Some((release, suffix)) => (release, maturity(suffix)?),
        None => (text, Maturity::Released),
    };
    match *numbers(release)? {
        [major, minor, patch] => Some(Version { major, minor, patch, maturity }),
        _ => None,
    }
}

fn maturity(suffix: &str) -> Option<Maturity> {
    let (stage, number) = suffix.split_once('.')?;
    let stage = match stage {
        "alpha" => Maturity::Alpha,
        "beta" => Maturity::Beta,
        "rc" => Maturity::Candidate,
        _ => return None,
    };
    as_printed(number).map(stage)
}

/// The dot-separated numbers of `text`.
fn numbers(text: &str) -> Option<Vec<u32>> {
    let digits = text.strip_prefix('v').unwrap_or(text);
    digits.split('.').map(as_printed).collect()
}

/// A number without a sign or leading zeros, exactly as it would be printed.
fn as_printed(text: &str) -> Option<u32> {
    let number: u32 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        match self.maturity {
            Maturity::Alpha(number) => write!(f, "-alpha.{number}"),
            Maturity::Beta(number) => write!(f, "-beta.{number}"),
            Maturity::Candidate(number) => write!(f, "-rc.{number}"),
            Maturity::Released => Ok(()),
        }
    }
}

impl fmt::Display for VersionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Minor { major, minor } => write!(f, "{major}.{minor}"),
            Self::Exact(version) => version.fmt(f),
        }
    }
}

/// The string form of both types, for serde and JSON Schema.
macro_rules! as_string {
    ($type:ident, $pattern:literal) => {
        impl TryFrom<String> for $type {
            type Error = ParseVersionError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(version: $type) -> Self {
                version.to_string()
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": $pattern})
            }
        }
    };
}

as_string!(Version, r"^v?\d+\.\d+\.\d+(-(alpha|beta|rc)\.\d+)?$");
as_string!(VersionRequest, r"^v?\d+\.\d+(\.\d+(-(alpha|beta|rc)\.\d+)?)?$");

/// A range of versions, in Cargo's syntax: `>=1.31, <1.34`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions(VersionReq);

impl Versions {
    /// Whether a version is in the range. A pre-release is treated like its release.
    pub fn contains(&self, version: Version) -> bool {
        let Version { major, minor, patch, .. } = version;
        self.0.matches(&semver::Version::new(major.into(), minor.into(), patch.into()))
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Versions {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        VersionReq::parse(&text).map(Self).map_err(|error| {
            serde::de::Error::custom(format!(
                "`{text}` is not a range of versions ({error}); write one like `>=1.31, <1.34`"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("1.37.2", Version::new(1, 37, 2))]
    #[case("v1.28.15", Version::new(1, 28, 15))]
    #[case("1.38.0-alpha.1", Version { maturity: Maturity::Alpha(1), ..Version::new(1, 38, 0) })]
    #[case("v1.37.0-rc.0", Version { maturity: Maturity::Candidate(0), ..Version::new(1, 37, 0) })]
    fn version_from_text(#[case] text: &str, #[case] version: Version) {
        assert_eq!(text.parse(), Ok(version));
    }

    #[rstest]
    #[case::empty("")]
    #[case::minor("1.37")]
    #[case::four("1.2.3.4")]
    #[case::sign("1.+37.2")]
    #[case::leading_zero("1.07.2")]
    #[case::distribution("1.37.2-k3s1")]
    #[case::build("1.37.2+k3s1")]
    #[case::commit("1.38.0-alpha.0.0.20261101000000-0123456789ab")]
    #[case::stage("1.37.2-rc.01")]
    #[case::blank(" 1.37.2")]
    #[case::huge("1.37.99999999999")]
    #[case::double_v("vv1.37.2")]
    fn no_version(#[case] text: &str) {
        assert!(text.parse::<Version>().is_err());
    }

    #[test]
    fn errors_say_what_to_write() {
        let error = "newest".parse::<VersionRequest>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"newest\" is not a version: write a minor like 1.37, a version like 1.37.2 or 1.38.0-alpha.1, or `latest`"
        );
    }

    #[rstest]
    #[case("Kubernetes v1.33.4+k3s1", Some(Version::new(1, 33, 4)))]
    #[case("Kubernetes v1.30.2-eks-1552ad0\n", Some(Version::new(1, 30, 2)))]
    #[case("etcd Version: 3.7.0\nGit SHA: abc\nGo Version: go1.26.8", Some(Version::new(3, 7, 0)))]
    #[case("no such flag", None)]
    fn version_of_a_build(#[case] text: &str, #[case] version: Option<Version>) {
        assert_eq!(Version::of_build(text), version);
    }

    #[rstest]
    #[case("1.37", "1.37.0", true)]
    #[case("1.37", "1.36.2", false)]
    #[case("1.37.2", "1.37.2", true)]
    #[case("1.37.2", "1.37.1", false)]
    #[case("1.37", "1.37.0-rc.0", false)]
    #[case("1.37.0-rc.0", "1.37.0-rc.0", true)]
    fn request_matches(#[case] request: VersionRequest, #[case] version: Version, #[case] matches: bool) {
        assert_eq!(request.matches(version), matches);
    }

    #[test]
    fn requests_resolve_to_the_known_patch() {
        assert_eq!("1.33".parse::<VersionRequest>().unwrap().known(), Some(Version::new(1, 33, 13)));
        assert_eq!("1.33.0".parse::<VersionRequest>().unwrap().known(), Some(Version::new(1, 33, 0)));
        assert_eq!("1.99".parse::<VersionRequest>().unwrap().known(), None);
        assert_eq!("latest".parse::<VersionRequest>().unwrap().known(), Some(KNOWN[0]));
        assert!(Version::known().is_sorted_by(|newer, older| newer > older));
    }

    #[test]
    fn a_pre_release_comes_before_its_release_and_follows_its_rules() {
        let tags = ["1.37.9", "1.38.0-alpha.2", "1.38.0-beta.0", "1.38.0-rc.1", "1.38.0"];
        let versions = tags.map(|tag| tag.parse::<Version>().unwrap());
        assert!(versions.is_sorted(), "{versions:?}");
        let range: Versions = serde_json::from_str("\">=1.38\"").unwrap();
        assert_eq!(versions.map(|version| range.contains(version)), [false, true, true, true, true]);
    }

    #[test]
    fn json_is_a_string() {
        let request: VersionRequest = serde_json::from_str("\"1.37\"").unwrap();
        assert_eq!(serde_json::to_string(&request).unwrap(), "\"1.37\"");
        assert!(serde_json::from_str::<VersionRequest>("1.37").is_err(), "1.30 as a number would be 1.3");
    }

    proptest! {
        #[test]
        fn text_round_trips(major: u32, minor: u32, patch: Option<u32>, number: u32, stage in 0..4) {
            let maturity = match stage {
                0 => Maturity::Alpha(number),
                1 => Maturity::Beta(number),
                2 => Maturity::Candidate(number),
                _ => Maturity::Released,
            };
            let request = match patch {
                Some(patch) => VersionRequest::Exact(Version { major, minor, patch, maturity }),
                None => VersionRequest::Minor { major, minor },
            };
            prop_assert_eq!(request.to_string().parse(), Ok(request));
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            if let Ok(request) = text.parse::<VersionRequest>() {
                prop_assert_eq!(request.to_string(), text.trim_start_matches('v'));
            }
        }
    }
}
