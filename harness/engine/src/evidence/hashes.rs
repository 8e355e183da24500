//! Hashes of evidence: what ties the files to the result that names them.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::digest::sha256;
use crate::untrusted::Folder;

/// SHA-256 of every file below a folder, hex, by its path in it.
///
/// # Errors
/// When one can't be read, or is no plain file: evidence has no links.
pub fn hashes(folder: &Folder) -> io::Result<BTreeMap<String, String>> {
    let hash = |path: &Path| -> io::Result<String> { Ok(sha256(folder.file(path)?)?.0) };
    let files = folder.files()?;
    files.iter().map(|path| Ok((path.display().to_string(), hash(path)?))).collect()
}
