//! Where evidence is in a report, what it contains, and when it may be replaced.

use std::fs;
use std::io;
use std::path::Path;

use super::{HISTORY, LOGS, SCENARIO, VERDICT};

/// Everything that a run writes for one scenario on one target.
const CONTENT: [&str; 4] = [SCENARIO, HISTORY, VERDICT, LOGS];

/// The path of a scenario's evidence for a target in a report: `local-1.37.2/rbac.missing-bindings`.
pub fn place(target: &str, id: &str) -> String {
    format!("{}/{id}", target_folder(target))
}

/// The folder of a target in a report: `local-1.37.2`.
pub fn target_folder(target: &str) -> String {
    target.replace("::", "-")
}

/// Whether this is the name of a target, such as `local::1.37.2+kubelet-1.35.4`.
pub fn is_target(name: &str) -> bool {
    let is_right = |part: &str, more: &str| {
        let is_inner = |letter: char| letter.is_ascii_alphanumeric() || more.contains(letter);
        part.starts_with(|first: char| first.is_ascii_alphanumeric()) && part.chars().all(is_inner)
    };
    name.split_once("::").is_some_and(|(provider, version)| is_right(provider, "-") && is_right(version, "-.+"))
}

/// Whether evidence can contain a file with this path.
pub fn has(path: &Path) -> bool {
    CONTENT.iter().any(|name| path.starts_with(name))
}

/// Removes the evidence of an earlier run at this path in a report, if there is any.
///
/// # Errors
/// If there is something else, which is not removed: a link, a file, or a folder that contains more than evidence does.
pub fn make_room(out: &Path, place: &str) -> io::Result<()> {
    let mut path = out.to_owned();
    for name in Path::new(place) {
        path.push(name);
        match path.symlink_metadata() {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(not_evidence(&path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    if is_evidence(&path)? { fs::remove_dir_all(path) } else { Err(not_evidence(&path)) }
}

/// Whether a folder contains nothing but evidence.
///
/// # Errors
/// If it cannot be read.
pub fn is_evidence(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        if !CONTENT.iter().any(|name| entry.as_ref().is_ok_and(|entry| entry.file_name() == *name)) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn not_evidence(path: &Path) -> io::Error {
    io::Error::other(format!("{} is not the evidence of an earlier run, and is not replaced", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_evidence_makes_room() {
        let out = tempfile::tempdir().unwrap();
        let place = place("local::1.37.2", "rbac.a");
        let path = out.path().join("local-1.37.2/rbac.a");
        make_room(out.path(), &place).unwrap();
        fs::create_dir_all(path.join("logs")).unwrap();
        fs::write(path.join("logs/etcd.log"), "").unwrap();
        fs::write(path.join("scenario.yaml"), "").unwrap();
        make_room(out.path(), &place).unwrap();
        assert!(!path.exists());

        fs::create_dir(&path).unwrap();
        fs::write(path.join("thesis"), "x").unwrap();
        let error = make_room(out.path(), &place).unwrap_err().to_string();
        assert!(error.contains("not the evidence of an earlier run") && path.join("thesis").exists(), "{error}");
    }

    #[test]
    fn targets_are_one_folder() {
        for name in ["local::1.37.2", "local::1.37.2+kubelet-1.35.4", "k3s::1.33.4", "kind::1.38.0-alpha.1"] {
            assert!(is_target(name), "{name}");
        }
        for name in ["", ".git", "src", "::", "a::", "::1", "..::1", "a::..", "a::1/2", "a/b::1", "a::1\n", "a::1::2"] {
            assert!(!is_target(name), "{name}");
        }
    }

    #[test]
    fn no_link_is_followed() {
        let (out, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let evidence = elsewhere.path().join("rbac.a");
        fs::create_dir(&evidence).unwrap();
        fs::write(evidence.join("verdict.json"), "").unwrap();
        symlink(elsewhere.path(), out.path().join("local-1.37.2")).unwrap();
        make_room(out.path(), "local-1.37.2/rbac.a").unwrap_err();
        assert!(evidence.join("verdict.json").exists());
    }
}
