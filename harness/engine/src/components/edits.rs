//! Bugs that are built into Kubernetes on purpose, for executables that [mutants](crate::mutants) run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// The variable that selects which bug of an executable is active; without it, none is.
pub const BUG_VARIABLE: &str = "TLSBOOT_BUG";

/// A change of Kubernetes' source that introduces a bug. The new text calls `tlsbootBug("ID")` to decide whether to be
/// wrong.
#[derive(Clone, Copy, Debug)]
pub struct Edit {
    /// The file, by its import path: `k8s.io/client-go/util/certificate/certificate_store.go`.
    pub file: &'static str,
    /// The text to replace. It must occur exactly once.
    pub from: &'static str,
    /// Its replacement.
    pub to: &'static str,
}

/// The definition of `tlsbootBug`, for each package with an edit.
const HELPER: &str = "tlsboot_bug.go";

/// Applies the changes in a `vendor` folder.
///
/// # Errors
/// With the reason, if a version's source differs from the one that the edits are for, or cannot be changed.
pub(super) fn apply(edits: &[Edit], vendor: &Path) -> Result<(), String> {
    let mut packages: BTreeMap<PathBuf, String> = BTreeMap::new();
    for edit in edits {
        let path = vendor.join(edit.file);
        let wrong = |error: std::io::Error| format!("{}: {error}", edit.file);
        let text = fs::read_to_string(&path).map_err(wrong)?;
        let count = text.matches(edit.from).count();
        if count != 1 {
            return Err(format!(
                "{}: a text to replace occurs {count} times instead of once: {}",
                edit.file,
                edit.from.trim()
            ));
        }
        fs::write(&path, text.replacen(edit.from, edit.to, 1)).map_err(wrong)?;
        let mut clauses = text.lines().filter(|line| line.starts_with("package "));
        let clause = clauses.next().ok_or_else(|| format!("{}: no package clause", edit.file))?;
        let folder = path.parent().unwrap_or(vendor).to_owned();
        packages.insert(folder, clause.to_owned());
    }
    for (folder, clause) in packages {
        let helper = format!(
            "{clause}\n\nimport \"os\"\n\nfunc tlsbootBug(id string) bool {{\n\treturn os.Getenv(\"{BUG_VARIABLE}\") == id\n}}\n"
        );
        let path = folder.join(HELPER);
        fs::write(&path, helper).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// A name for executables with these edits; other edits give another name.
pub(super) fn digest(edits: &[Edit]) -> String {
    let mut sha256 = Sha256::new();
    for Edit { file, from, to } in edits {
        for part in [file, from, to] {
            sha256.update(part);
            sha256.update([0]);
        }
    }
    hex::encode(&sha256.finalize()[..6])
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const SOURCE: &str = "// License.\n\npackage store\n\nfunc f() { mode(0600); twice(); twice() }\n";

    fn applied(from: &'static str) -> Result<(String, String), String> {
        let vendor = tempfile::tempdir().unwrap();
        let package = vendor.path().join("k8s.io/x/store");
        fs::create_dir_all(&package).unwrap();
        fs::write(package.join("store.go"), SOURCE).unwrap();
        let to = "mode(0644)";
        let file = "k8s.io/x/store/store.go";
        apply(&[Edit { file, from, to }], vendor.path())?;
        let read = |name| fs::read_to_string(package.join(name)).unwrap();
        Ok((read("store.go"), read(HELPER)))
    }

    #[test]
    fn texts_are_replaced_and_the_helper_is_there() {
        let (source, helper) = applied("mode(0600)").unwrap();
        assert_eq!(source, SOURCE.replace("0600", "0644"));
        assert!(helper.starts_with("package store\n"), "{helper}");
        assert!(helper.contains("os.Getenv(\"TLSBOOT_BUG\") == id"), "{helper}");
    }

    #[rstest]
    #[case::missing("mode(0640)", "0 times")]
    #[case::ambiguous("twice()", "2 times")]
    fn another_source_is_refused(#[case] from: &'static str, #[case] said: &str) {
        let error = applied(from).unwrap_err();
        assert!(error.contains(said) && error.contains(from), "{error}");
    }

    #[test]
    fn other_edits_have_another_name() {
        let edit = |to| Edit { file: "a.go", from: "b", to };
        assert_eq!(digest(&[edit("c")]), digest(&[edit("c")]));
        assert_ne!(digest(&[edit("c")]), digest(&[edit("d")]));
    }
}
