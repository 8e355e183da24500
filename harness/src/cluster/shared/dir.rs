//! The folder of a running cluster: keys, sockets, databases. It goes with the run; a killed run's goes with the next.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A cluster's folder, removed on drop.
#[derive(Debug)]
pub(crate) struct RunDir {
    path: PathBuf,
    _lock: File,
}

const PREFIX: &str = "tlsboot-run-";
const STAGING: &str = ".tlsboot-new-";
const LOCK: &str = "lock";
/// A folder is made in microseconds.
const MAKING: Duration = Duration::from_secs(60);

impl RunDir {
    /// A new folder that only this user can enter, whatever the umask: etcd's socket in it asks for no credential.
    pub(crate) fn create() -> io::Result<Self> {
        // The lock comes before the name that a sweep would look at: made elsewhere, then moved.
        let private = fs::Permissions::from_mode(0o700);
        let staging = tempfile::Builder::new().prefix(STAGING).permissions(private).tempdir()?;
        let lock = File::create_new(staging.path().join(LOCK))?;
        lock.try_lock()?;
        let name =
            staging.path().file_name().map(|name| name.to_string_lossy().replace(STAGING, PREFIX)).unwrap_or_default();
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

/// Removes what killed runs of this user left. Answers with what was removed.
///
/// # Errors
/// When the folder of temporary files can't be read.
pub fn sweep() -> io::Result<Vec<PathBuf>> {
    let mut left = abandoned()?;
    left.retain(|path| fs::remove_dir_all(path).is_ok());
    Ok(left)
}

/// The folders that killed runs of this user left; a folder whose run lives is locked.
///
/// # Errors
/// When the folder of temporary files can't be read.
pub fn abandoned() -> io::Result<Vec<PathBuf>> {
    let mut left = Vec::new();
    for entry in fs::read_dir(std::env::temp_dir())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if (name.starts_with(PREFIX) || name.starts_with(STAGING) && is_old(&path)) && is_abandoned(&path) {
            left.push(path);
        }
    }
    left.sort();
    Ok(left)
}

/// The folders of runs of this user that live.
pub(crate) fn living() -> io::Result<Vec<PathBuf>> {
    let mut living = Vec::new();
    for entry in fs::read_dir(std::env::temp_dir())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(PREFIX) && !is_abandoned(&path) {
            living.push(path);
        }
    }
    Ok(living)
}

/// Whether it can't be a folder that is just being made, which has no lock yet.
fn is_old(path: &Path) -> bool {
    let modified = path.metadata().and_then(|metadata| metadata.modified());
    modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age > MAKING))
}

fn is_abandoned(path: &Path) -> bool {
    match File::open(path.join(LOCK)) {
        Ok(lock) => lock.try_lock().is_ok(),
        // Half removed, or another user's.
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_user_can_enter_a_runs_folder() {
        let run = RunDir::create().unwrap();
        assert_eq!(run.path().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }
}
