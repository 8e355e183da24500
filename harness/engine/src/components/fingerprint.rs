//! The SHA-256 of executables: of the current bytes, computed once per process as long as a file stays the same.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::digest;

/// What a file system knows about a file. It changes if the file is written to or replaced.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A file system's clock has ticks of up to two seconds: a file that changed in the current tick may change again
/// unnoticed.
const TICK: Duration = Duration::from_secs(2);

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether every later change will be visible.
    fn is_settled(&self) -> bool {
        let changed = Duration::from_secs(u64::try_from(self.changed.0).unwrap_or(0));
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + changed).is_ok_and(|age| age > TICK)
    }
}

/// The SHA-256 of a file, hex. Links are followed, as they are when it is run.
///
/// # Errors
/// If it cannot be read, or is not a regular file.
pub(super) fn sha256(path: &Path) -> io::Result<String> {
    static KNOWN: Mutex<Option<HashMap<Identity, String>>> = Mutex::new(None);
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);

    // Opened once, so that the file that is checked is the one that is read. Opening a named pipe does not block.
    let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let mut file = File::options().read(true).custom_flags(nonblock).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let identity = Identity::of(&metadata);
    if let Some(sha256) = known().as_ref().and_then(|known| known.get(&identity)) {
        return Ok(sha256.clone());
    }
    let (sha256, _) = digest::sha256(&mut file)?;
    if identity.is_settled() && Identity::of(&file.metadata()?) == identity {
        known().get_or_insert_default().insert(identity, sha256.clone());
    }
    Ok(sha256)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn a_file_that_changes_has_another_sum_at_once() {
        let lab = tempfile::tempdir().unwrap();
        let path = lab.path().join("kubelet");
        for content in ["one", "two", "six"] {
            fs::write(&path, content).unwrap();
            assert_eq!(sha256(&path).unwrap(), hex::encode(Sha256::digest(content)));
        }
    }

    #[test]
    fn a_pipe_is_not_waited_for() {
        let lab = tempfile::tempdir().unwrap();
        let path = lab.path().join("kubelet");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
        assert_eq!(sha256(&path).unwrap_err().to_string(), "it is not a regular file");
    }
}
