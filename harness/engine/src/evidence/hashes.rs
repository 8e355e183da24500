//! Hashes of evidence, which tie the files to the result that names them.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::digest::sha256;
use crate::untrusted::Folder;

/// SHA-256 of every file below a folder, hex, by its path in it.
///
/// # Errors
/// If one cannot be read, or is not a regular file: evidence contains no links.
pub fn hashes(folder: &Folder) -> io::Result<BTreeMap<String, String>> {
    let hash = |path: &Path| -> io::Result<String> { Ok(sha256(folder.file(path)?)?.0) };
    let files = folder.files()?;
    files.iter().map(|path| Ok((path.display().to_string(), hash(path)?))).collect()
}
