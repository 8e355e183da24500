//! Files that contain keys and tokens.

use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::cluster::ClusterError;

/// Writes a file for this user only, completely or not at all.
///
/// # Errors
/// If it cannot be written or moved to its place.
pub fn write_private(path: &Path, content: &str) -> Result<(), ClusterError> {
    let staging = path.with_extension("new");
    let _ = fs::remove_file(&staging);
    let write = || {
        let mut file = fs::File::options().create_new(true).write(true).mode(0o600).open(&staging)?;
        std::io::Write::write_all(&mut file, content.as_bytes())?;
        fs::set_permissions(&staging, fs::Permissions::from_mode(0o600))?;
        fs::rename(&staging, path)
    };
    write().map_err(ClusterError::file(path))
}
