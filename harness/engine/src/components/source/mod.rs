//! The sources of executables, one module each.

mod build;
mod directory;
mod go;
mod mirror;
mod openapi;
mod release;

use std::io::{BufReader, Read};

use super::error::ComponentError;
use super::kind::SourceKind;
use super::progress::{Progress, Task, Unit};
use super::store::{ReceiveError, Stage};
use super::sums::Sums;
use super::transfer::{Hashing, Incoming, Location};
use super::{Package, Role};

pub(super) use build::Build;
pub(super) use directory::Directory;
pub(super) use mirror::Mirror;
pub(super) use release::Release;

/// What fills a stage.
pub(super) trait Source: Send + Sync {
    fn kind(&self) -> SourceKind;

    /// Fetches the roles' executables of one version into the stage, verified, and returns their origin.
    fn fetch(
        &self,
        package: Package,
        roles: &[Role],
        stage: &mut Stage,
        progress: &Progress,
    ) -> Result<String, FetchError>;
}

/// Why a source could not deliver.
#[derive(Debug)]
pub(super) enum FetchError {
    /// It does not have it, or cannot be reached: another source may work.
    Unavailable(String),
    /// A transfer was interrupted: trying again may work.
    Interrupted(String),
    /// Nothing should continue.
    Fatal(ComponentError),
}

impl From<ComponentError> for FetchError {
    fn from(error: ComponentError) -> Self {
        Self::Fatal(error)
    }
}

impl FetchError {
    /// The error for a file that does not arrive.
    fn receiving(error: ReceiveError, file: &str, into: &str) -> Self {
        match error {
            ReceiveError::Read(error) => Self::Interrupted(format!("{file}, unpacked to {into}: {error}")),
            ReceiveError::Write(error) => Self::Fatal(error),
        }
    }
}

/// A file of a source, read once: its bytes go through `unpack`, which returns a value, and are hashed along the way.
///
/// The checksum is checked first: if an archive is damaged, the unpacker's error is only a consequence.
fn read_verified<T>(
    from: &Location,
    file: &str,
    expected: &str,
    authority: &str,
    progress: &Progress,
    unpack: impl FnOnce(&mut dyn Read) -> Result<T, FetchError>,
) -> Result<T, FetchError> {
    let name = from.name(file);
    let Some(Incoming { mut reader, length }) = from.open(file).map_err(FetchError::Unavailable)? else {
        return Err(FetchError::Unavailable(format!("{name} does not exist")));
    };
    let mut task: Task = progress.task(&format!("fetching {name}"), length, Unit::Bytes);
    let mut hashing = Hashing::new(&mut *reader, Some(&mut task));
    // unpackers read single bytes
    let unpacked = unpack(&mut BufReader::with_capacity(1 << 17, &mut hashing));
    if let Err(FetchError::Fatal(_)) = unpacked {
        return unpacked;
    }
    let actual = hashing.finish().map_err(|error| FetchError::Interrupted(format!("{name}: {error}")))?;
    check_sum(&name, authority, expected, &actual)?;
    let unpacked = unpacked?;
    task.finish();
    Ok(unpacked)
}

fn check_sum(file: &str, authority: &str, expected: &str, actual: &str) -> Result<(), ComponentError> {
    if actual == expected {
        return Ok(());
    }
    Err(ComponentError::Damaged {
        file: file.into(),
        authority: authority.into(),
        expected: expected.into(),
        actual: actual.into(),
    })
}

/// Reads a list of checksums; `None` if it does not exist.
fn read_sums(from: &Location, file: &str) -> Result<Option<Sums>, FetchError> {
    let text = from.read_text(file).map_err(FetchError::Unavailable)?;
    let parse = |text: String| {
        Sums::parse(&text).map_err(|reason| ComponentError::Checksums { file: from.name(file), reason }.into())
    };
    text.map(parse).transpose()
}

/// The checksum of a file that a list must contain.
fn expected_sum<'a>(sums: &'a Sums, name: &str, list: &str) -> Result<&'a str, FetchError> {
    sums.get(name)
        .map(|sum| sum.sha256.as_str())
        .ok_or_else(|| FetchError::Unavailable(format!("{list} does not name {name}")))
}
