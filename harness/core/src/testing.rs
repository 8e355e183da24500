//! What unit tests need from the repository.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::scenario::{Library, Scenario};

/// The folder of the repository's scenarios.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios")
}

/// The repository's scenarios.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let library = Library::of(files(&folder()));
    assert!(library.errors.is_empty(), "{:?}", library.errors);
    assert!(!library.scenarios.is_empty());
    library.scenarios
}

fn files(folder: &Path) -> Vec<(String, Result<String, String>)> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false if path.extension().is_some_and(|extension| extension == "yaml") => {
                vec![(path.display().to_string(), Ok(fs::read_to_string(&path).unwrap()))]
            }
            false => Vec::new(),
        })
        .collect()
}

/// The modules of this crate directly below a folder of `src` in which a line begins with these words.
pub(crate) fn modules_with(folder: &str, words: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder);
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let with_words = files.filter(|path| fs::read_to_string(path).unwrap().lines().any(|line| line.starts_with(words)));
    with_words.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect()
}
