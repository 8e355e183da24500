//! The kinds of sources of executables, by their names on the command line.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use tlsboot_core::name::{UnknownName, by_name};

/// A kind of source, in the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// The local store, without fetching anything.
    Store,
    /// A folder or web server with the store's layout: TLSBOOT_MIRROR.
    Mirror,
    /// The official release of Kubernetes and etcd.
    Release,
    /// A Go build from the modules of Kubernetes and etcd.
    Build,
}

impl SourceKind {
    /// All of them, in the order in which they are tried.
    pub const ALL: &[Self] = &[Self::Store, Self::Mirror, Self::Release, Self::Build];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Mirror => "mirror",
            Self::Release => "release",
            Self::Build => "build",
        }
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SourceKind {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        by_name("source", Self::ALL, Self::name, text)
    }
}
