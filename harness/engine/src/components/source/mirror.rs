//! A mirror: a folder or web server with xz-compressed executables in the store's layout.
//!
//! `kubernetes/v1.37.2/linux-amd64/{kube.xz, SHA256SUMS}`, or one `.xz` per component instead of `kube.xz`.
//! `SHA256SUMS` lists each file twice: compressed and unpacked. `tlsboot components export` writes such a folder.

use lzma_rust2::XzReader;

use super::{FetchError, Source, SourceKind, check_sum, expected_sum, read_sums, read_verified};
use crate::components::progress::Progress;
use crate::components::store::{SUMS_FILE, Stage};
use crate::components::transfer::Location;
use crate::components::{KUBE, Package, Role};

/// The mirror that TLSBOOT_MIRROR names.
pub(in crate::components) struct Mirror {
    pub(in crate::components) at: Location,
}

impl Source for Mirror {
    fn kind(&self) -> SourceKind {
        SourceKind::Mirror
    }

    fn fetch(
        &self,
        package: Package,
        roles: &[Role],
        stage: &mut Stage,
        progress: &Progress,
    ) -> Result<String, FetchError> {
        let list = format!("{}/{SUMS_FILE}", package.folder());
        let Some(sums) = read_sums(&self.at, &list)? else {
            return Err(FetchError::Unavailable(format!("{} has no {package}", self.at)));
        };
        let mut fetch = |name: &str| -> Result<String, FetchError> {
            let packed = format!("{name}.xz");
            let list = self.at.name(&list);
            let expected = expected_sum(&sums, name, &list)?;
            let file = format!("{}/{packed}", package.folder());
            read_verified(&self.at, &file, expected_sum(&sums, &packed, &list)?, &list, progress, |reader| {
                let sha256 = stage
                    .receive(name, &mut XzReader::new(reader, true))
                    .map_err(|error| FetchError::receiving(error, &file, name))?;
                check_sum(&format!("{} unpacked", self.at.name(&file)), &list, expected, &sha256)?;
                Ok(sha256)
            })
        };
        let one_for_all = sums.get(KUBE).is_some();
        let sha256 = if one_for_all { fetch(KUBE)? } else { String::new() };
        for role in roles.iter().filter(|_| !one_for_all) {
            fetch(role.name())?;
        }
        if one_for_all {
            stage.link_roles(&sha256)?;
        }
        Ok(format!("{} {}", self.kind(), self.at))
    }
}
