//! The official release: one executable per component with its SHA-256 beside it, and etcd's archive.

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use tar::Archive;

use super::{FetchError, Source, SourceKind, expected_sum, read_sums, read_verified};
use crate::components::error::ComponentError;
use crate::components::progress::Progress;
use crate::components::store::{SUMS_FILE, Stage};
use crate::components::sums::parse_sha256;
use crate::components::transfer::Location;
use crate::components::{Package, Product, Role, arch};
use tlsboot_core::version::Version;

/// Where Kubernetes and etcd publish their executables.
pub(in crate::components) struct Release {
    /// `https://dl.k8s.io/release`: `vX.Y.Z/bin/linux/ARCH/NAME` and `NAME.sha256`.
    pub(in crate::components) kubernetes: Location,
    /// etcd's GitHub releases: `vX.Y.Z/etcd-vX.Y.Z-linux-ARCH.tar.gz` and `SHA256SUMS`.
    pub(in crate::components) etcd: Location,
}

impl Source for Release {
    fn kind(&self) -> SourceKind {
        SourceKind::Release
    }

    fn fetch(
        &self,
        package: Package,
        roles: &[Role],
        stage: &mut Stage,
        progress: &Progress,
    ) -> Result<String, FetchError> {
        let from = match package.product {
            Product::Kubernetes => {
                for role in roles {
                    self.fetch_executable(package.version, role.name(), stage, progress)?;
                }
                &self.kubernetes
            }
            Product::Etcd => {
                self.fetch_etcd(package.version, stage, progress)?;
                &self.etcd
            }
        };
        Ok(format!("{} {from}", self.kind()))
    }
}

impl Release {
    fn fetch_executable(
        &self,
        version: Version,
        name: &str,
        stage: &mut Stage,
        progress: &Progress,
    ) -> Result<(), FetchError> {
        let from = &self.kubernetes;
        let file = format!("v{version}/bin/linux/{}/{name}", arch());
        let sum_file = format!("{file}.sha256");
        let Some(text) = from.read_text(&sum_file).map_err(FetchError::Unavailable)? else {
            return Err(FetchError::Unavailable(format!("{} does not exist", from.name(&sum_file))));
        };
        // the checksum alone, or a line of sha256sum
        let expected = text.split_whitespace().next().and_then(parse_sha256).ok_or_else(|| {
            ComponentError::Checksums { file: from.name(&sum_file), reason: "it holds no SHA-256".into() }
        })?;
        read_verified(from, &file, &expected, &from.name(&sum_file), progress, |reader| {
            stage.receive(name, reader).map_err(|error| FetchError::receiving(error, &file, name))
        })?;
        Ok(())
    }

    fn fetch_etcd(&self, version: Version, stage: &mut Stage, progress: &Progress) -> Result<(), FetchError> {
        let from = &self.etcd;
        let archive = format!("etcd-v{version}-linux-{}.tar.gz", arch());
        let list = format!("v{version}/{SUMS_FILE}");
        let Some(sums) = read_sums(from, &list)? else {
            return Err(FetchError::Unavailable(format!("{} does not exist", from.name(&list))));
        };
        let list = from.name(&list);
        let expected = expected_sum(&sums, &archive, &list)?;
        let file = format!("v{version}/{archive}");
        read_verified(from, &file, expected, &list, progress, |reader| receive_etcd(reader, &file, stage))
    }
}

/// Extracts the executable `etcd` from the archive.
fn receive_etcd(archive: &mut dyn Read, file: &str, stage: &mut Stage) -> Result<(), FetchError> {
    let name = Role::Etcd.name();
    let unreadable = |error| FetchError::Interrupted(format!("{file}: {error}"));
    for entry in Archive::new(GzDecoder::new(archive)).entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let found = entry.header().entry_type().is_file()
            && entry.path().is_ok_and(|path| path.file_name() == Some(name.as_ref()) && depth(&path) == 2);
        if found {
            stage.receive(name, &mut entry).map_err(|error| FetchError::receiving(error, file, name))?;
            return Ok(());
        }
    }
    Err(FetchError::Unavailable(format!("{file} has no executable etcd in it")))
}

fn depth(path: &Path) -> usize {
    path.components().count()
}
