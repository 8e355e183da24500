//! The code that judges a history is pure. The crate's own docs say so; these tests keep it true.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Crates that do IO, talk to clusters, or parse command lines.
const FOREIGN: [&str; 12] = [
    "tokio",
    "kube",
    "kube-client",
    "k8s-openapi",
    "clap",
    "rustix",
    "hyper",
    "ureq",
    "inotify",
    "tempfile",
    "indicatif",
    "testcontainers",
];

/// Modules of the standard library that access the outside world.
const OUTSIDE: [&str; 8] =
    ["std::fs", "std::net", "std::process", "std::env", "std::os", "std::thread", "Instant::now", "SystemTime::now"];

#[test]
fn it_depends_on_nothing_that_does_io() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--package", "tlsboot-core", "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .args(["--locked", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"tlsboot-core") && names.contains(&"x509-parser"), "{tree}");
    let found: Vec<_> = names.iter().filter(|name| FOREIGN.contains(name)).collect();
    assert!(found.is_empty(), "tlsboot-core depends on {found:?}");
}

#[test]
fn its_code_names_nothing_of_the_outside_world() {
    let mut found = Vec::new();
    for file in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let text = fs::read_to_string(&file).unwrap();
        // Unit tests are at the end of a file, and read the repository.
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let lines = code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
        for (number, line) in lines {
            if OUTSIDE.iter().any(|outside| line.contains(outside)) || line.contains("Timestamp::now") {
                found.push(format!("{}:{}: {}", file.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// All files except those that are only for unit tests.
fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths
        .filter(|path| !["testing.rs", "tests.rs", "tests"].iter().any(|name| path.ends_with(name)))
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}
