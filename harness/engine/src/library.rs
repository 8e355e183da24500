//! Scenario files on disk.

use std::fs::DirEntry;
use std::io;
use std::path::{Path, PathBuf};

use crate::untrusted::{self, LONGEST};
use tlsboot_core::scenario::{Diagnostic, Library};

/// Loads files, and every `.yaml` and `.yml` file below folders. What cannot be read, and a folder without any, is one of
/// the library's errors.
pub fn load(paths: &[PathBuf]) -> Library {
    let mut files = Vec::new();
    let mut errors = Vec::new();
    for path in paths {
        let before = files.len();
        match files_below(path, &mut files) {
            Ok(()) if files.len() == before => {
                errors.push(whole(path, "there is no scenario file (`*.yaml`, `*.yml`) in this folder"));
            }
            Ok(()) => {}
            Err((path, error)) => errors.push(whole(&path, &format!("cannot be read: {error}"))),
        }
    }
    let texts = files.iter().map(|file| {
        let text = untrusted::read_text(file, LONGEST).map_err(|error| error.to_string());
        (file.display().to_string(), text)
    });
    let mut library = Library::of(texts);
    library.errors.extend(errors);
    library
}

fn whole(path: &Path, message: &str) -> Diagnostic {
    Diagnostic::whole(&path.display().to_string(), message)
}

/// Adds a file, or all scenario files below a folder in the order of their names. An error names the file or folder that
/// it is about.
fn files_below(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), (PathBuf, io::Error)> {
    let wrong = |error| (path.to_owned(), error);
    if !std::fs::metadata(path).map_err(wrong)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut entries = std::fs::read_dir(path).map_err(wrong)?.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    entries.sort_by_key(DirEntry::path);
    for entry in entries {
        let path = entry.path();
        // A link to a folder may lead anywhere, and in circles.
        if entry.file_type().map_err(wrong)?.is_dir() {
            files_below(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            files.push(path);
        }
    }
    Ok(())
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
    fn what_is_not_there_and_what_is_empty_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let [absent, empty] = ["absent.yaml", "empty"].map(|name| dir.path().join(name));
        fs::create_dir(&empty).unwrap();
        let said = load(&[absent, empty]).errors.into_iter().map(|error| error.message).collect::<Vec<_>>();
        assert!(said[0].contains("No such file"), "{said:?}");
        assert!(said[1].contains("there is no scenario file"), "{said:?}");
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
