//! What the executable carries: the scenario files, and which commit it was built from.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

fn main() {
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let scenarios = package.join("scenarios");
    let list = scenario_list(&scenarios).unwrap_or_else(|error| panic!("{}: {error}", scenarios.display()));
    fs::write(out.join("scenarios.rs"), list).expect("the output folder is writable");
    println!("cargo:rerun-if-changed=scenarios");
    println!("cargo:rustc-env=TLSBOOT_COMMIT={}", commit(&package));
}

/// A slice of all scenario files: the path below `scenarios`, and the text.
fn scenario_list(scenarios: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    for chapter in fs::read_dir(scenarios)? {
        let chapter = chapter?.path();
        if chapter.is_dir() {
            for file in fs::read_dir(chapter)? {
                files.push(file?.path());
            }
        }
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let mut list = String::from("&[\n");
    for file in files {
        let name = file.strip_prefix(scenarios).expect("it is below the folder");
        let _ = writeln!(list, "({:?}, include_str!({:?})),", name.display().to_string(), file.display().to_string());
    }
    list.push(']');
    Ok(list)
}

/// The commit and its date, as in `1a2b3c4d5e6f 2026-11-28`: of the variable of this name, of git, of a packaged crate.
fn commit(package: &Path) -> String {
    println!("cargo:rerun-if-env-changed=TLSBOOT_COMMIT");
    if let Ok(given) = env::var("TLSBOOT_COMMIT") {
        return given;
    }
    let git = |args: &[&str]| {
        let output = Command::new("git").arg("-C").arg(package).args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    // A checkout below another repository is not part of it.
    let tracked = git(&["ls-files", "--error-unmatch", "build.rs"]).is_some();
    if let Some(commit) = git(&["show", "-s", "--abbrev=12", "--format=%h %cs", "HEAD"]).filter(|_| tracked) {
        for file in ["HEAD", "logs/HEAD"] {
            if let Some(path) = git(&["rev-parse", "--path-format=absolute", "--git-path", file]) {
                println!("cargo:rerun-if-changed={path}");
            }
        }
        return commit;
    }
    let packaged = fs::read_to_string(package.join(".cargo_vcs_info.json")).unwrap_or_default();
    let sha = packaged.split("\"sha1\": \"").nth(1).and_then(|rest| rest.get(..12));
    sha.unwrap_or("unknown commit").to_owned()
}
