//! Scenario files on disk.

use std::path::{Path, PathBuf};

use crate::untrusted::{self, LONGEST};
use tlsboot_core::scenario::{Diagnostic, Library};

/// Loads files, and every `.yaml` and `.yml` file below folders. A folder without any is one of the library's errors.
pub fn load(paths: &[PathBuf]) -> Library {
    let found: Vec<_> = paths.iter().map(|path| (path, files_below(path))).collect();
    let files = found.iter().flat_map(|(_, files)| files);
    let texts = files.map(|file| {
        let text = untrusted::read_text(file, LONGEST).map_err(|error| error.to_string());
        (file.display().to_string(), text)
    });
    let mut library = Library::of(texts);
    let empty = found.iter().filter(|(_, files)| files.is_empty()).map(|(path, _)| {
        Diagnostic::whole(&path.display().to_string(), "no scenario file (`*.yaml`, `*.yml`) is there")
    });
    library.errors.extend(empty);
    library
}

fn files_below(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let Ok(entries) = std::fs::read_dir(path) else {
        return Vec::new();
    };
    let with_kind = |entry: std::fs::DirEntry| Some((entry.path(), entry.file_type().ok()?));
    let mut entries: Vec<_> = entries.filter_map(|entry| with_kind(entry.ok()?)).collect();
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    entries
        .into_iter()
        // A link to a folder may lead anywhere, and in circles.
        .flat_map(|(entry, kind)| match kind.is_dir() {
            true => files_below(&entry),
            false if entry.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") => {
                vec![entry]
            }
            false => Vec::new(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const RIGHT: &str = "id: a.b\ntitle: A title\nrequirements: [A-04]\nnodes: [{name: n1}]\nsteps:\n  - start: {node: n1}\n  - expect: {csr: {node: n1}}\n";

    #[test]
    fn all_files_errors_come_at_once_and_ids_are_unique() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("below")).unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("a.yaml", RIGHT);
        write("b.yaml", &RIGHT.replace("title", "titel"));
        write("below/c.yaml", &RIGHT.replace("A-04", "A-99"));
        write("d.yml", RIGHT);
        write("e.txt", "not a scenario");
        let library = load(&[dir.path().to_owned()]);
        assert_eq!(library.scenarios.len(), 1);
        for name in ["b.yaml", "c.yaml", "d.yml"] {
            assert!(library.errors.iter().any(|error| error.file.ends_with(name)), "{name}: {:#?}", library.errors);
        }
        assert_eq!(library.errors.len(), 3);
    }

    #[test]
    fn a_file_that_is_named_twice_counts_once() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.yaml"), RIGHT).unwrap();
        let library = load(&[dir.path().to_owned(), dir.path().join("a.yaml")]);
        assert_eq!((library.scenarios.len(), library.errors.len()), (1, 0));
    }

    #[test]
    fn links_to_folders_are_not_followed_and_devices_not_read() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.yaml"), RIGHT).unwrap();
        std::os::unix::fs::symlink(".", dir.path().join("again")).unwrap();
        assert!(load(&[dir.path().to_owned()]).errors.is_empty());
        std::os::unix::fs::symlink("/dev/zero", dir.path().join("b.yaml")).unwrap();
        let library = load(&[dir.path().to_owned()]);
        assert!(library.errors[0].message.contains("not a regular file"), "{:#?}", library.errors);
    }

    #[test]
    fn an_empty_folder_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(load(&[dir.path().to_owned()]).errors.len(), 1);
    }
}
