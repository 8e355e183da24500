//! The folder of a running cluster: keys, sockets, databases. It goes with the run; a killed run's goes with the next.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// A cluster's folder, removed on drop.
#[derive(Debug)]
pub(crate) struct RunDir {
    path: PathBuf,
    _lock: File,
}

const PREFIX: &str = "tlsboot-run-";
const LOCK: &str = "lock";

impl RunDir {
    /// A new folder, readable for this user only.
    pub(crate) fn create() -> io::Result<Self> {
        // The lock comes before the name that a sweep would look at: made elsewhere, then moved.
        let staging = tempfile::Builder::new().prefix(".tlsboot-new-").tempdir()?;
        let lock = File::create_new(staging.path().join(LOCK))?;
        lock.try_lock()?;
        let name = staging
            .path()
            .file_name()
            .map(|name| name.to_string_lossy().replace(".tlsboot-new-", PREFIX))
            .unwrap_or_default();
        let path = std::env::temp_dir().join(name);
        fs::rename(staging.keep(), &path)?;
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the cluster's folder stays; `tlsboot gc` removes it");
        }
    }
}

/// Removes what killed runs of this user left; a folder whose run lives is locked. Answers with what was removed.
///
/// # Errors
/// When the folder of temporary files can't be read.
pub fn sweep() -> io::Result<Vec<PathBuf>> {
    let mut removed = Vec::new();
    for entry in fs::read_dir(std::env::temp_dir())? {
        let path = entry?.path();
        let ours = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
        if ours && is_abandoned(&path) && fs::remove_dir_all(&path).is_ok() {
            removed.push(path);
        }
    }
    Ok(removed)
}

fn is_abandoned(path: &Path) -> bool {
    match File::open(path.join(LOCK)) {
        Ok(lock) => lock.try_lock().is_ok(),
        // Half removed, or another user's.
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}
