//! `ci/format` checks every Rust file, including those that `cargo fmt` does not find.

use std::fs;
use std::path::Path;
use std::process::Command;

/// `cargo fmt` does not see a module that a macro declares: for months it missed the matchers, and CI was green.
#[test]
fn an_unformatted_file_that_only_a_macro_declares_turns_it_red() {
    let folder = tempfile::tempdir().unwrap();
    let git = Command::new("git").args(["init", "--quiet"]).current_dir(&folder).status().unwrap();
    assert!(git.success());
    fs::write(folder.path().join("lib.rs"), "declare!(hidden);\n").unwrap();

    fs::write(folder.path().join("hidden.rs"), "fn hidden() {}\n").unwrap();
    assert_eq!(format(folder.path()), Some(0));
    fs::write(folder.path().join("hidden.rs"), "fn   hidden ( ) { }\n").unwrap();
    assert_eq!(format(folder.path()), Some(1));
}

#[test]
fn a_folder_without_rust_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Command::new("git").args(["init", "--quiet"]).current_dir(&folder).status().unwrap().success());
    assert_eq!(format(folder.path()), Some(2));
}

fn format(folder: &Path) -> Option<i32> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../ci/format");
    Command::new(script).arg(folder).output().unwrap().status.code()
}
