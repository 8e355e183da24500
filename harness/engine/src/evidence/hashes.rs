//! Hashes of evidence: what ties the files to the result that names them.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::untrusted::Folder;

/// SHA-256 of every file below a folder, hex, by its path in it.
///
/// # Errors
/// When one can't be read, or is no plain file: evidence has no links.
pub fn hashes(folder: &Folder) -> io::Result<BTreeMap<String, String>> {
    let hash = |path: &Path| -> io::Result<String> {
        let mut hasher = Sha256::new();
        let mut file = folder.file(path)?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hex::encode(hasher.finalize())),
                count => hasher.update(&buffer[..count]),
            }
        }
    };
    let files = folder.files()?;
    files.iter().map(|path| Ok((path.display().to_string(), hash(path)?))).collect()
}
