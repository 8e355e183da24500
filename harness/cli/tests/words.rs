//! `ci/words` keeps settled words settled.

use std::fs;
use std::process::Command;

fn words(name: &str, text: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    fs::write(&file, text).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../ci/words");
    let output = Command::new(script).arg(&file).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), said.replace(&file.display().to_string(), name))
}

#[test]
fn a_phrase_is_found_across_lines_and_its_replacement_is_named() {
    let (code, said) = words("a.md", "A module that is to\nbe had.\n");
    assert_eq!((code, said.as_str()), (Some(1), "a.md:1: 'to be had': write available\n"));
}

#[test]
fn code_is_not_prose() {
    assert_eq!(words("a.md", "Say `nobody`.\n```sh\nrun --as nobody\n```\n[x](nobody.md)\n").0, Some(0));
    assert_eq!(words("a.yaml", "title: All is well\nsteps:\n  - submit: {as: nobody}\n").0, Some(0));
    assert_eq!(words("a.rs", "fn nobody() {}\n").0, Some(0));
}

#[test]
fn prose_in_scenarios_and_in_rust_is_read() {
    for (name, text) in [
        ("a.yaml", "title: Nobody approves\n"),
        ("a.yaml", "title: x\nwhy: |\n  First.\n  Nobody approves.\nsteps: []\n"),
        ("a.yaml", "steps:\n  # Nobody approves.\n"),
        ("a.rs", "/// Nobody approves.\n"),
        ("a.rs", "let text = \"nobody approves\";\n"),
    ] {
        assert_eq!(words(name, text).0, Some(1), "{text}");
    }
}
