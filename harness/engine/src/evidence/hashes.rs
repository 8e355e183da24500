//! Hashes of evidence: what ties the files to the result that names them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};

/// SHA-256 of every file below a folder, in hex, by its path in it.
///
/// # Errors
/// When a folder or file can't be read.
pub fn hashes(folder: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
            all.insert(name, hex::encode(Sha256::digest(fs::read(&path)?)));
        }
    }
    Ok(all)
}
