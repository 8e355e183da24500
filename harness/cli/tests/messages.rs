//! What the command says, word for word: each `--help`, and the errors that users meet. No cluster is started here.
//!
//! After a change of words: `TRYCMD=overwrite cargo test --workspace --test messages`, and read the diff.

use std::process::Command;

/// The folder of a test that must not find anything: no kubeconfig, no cache.
const NOWHERE: &str = "/nonexistent";

#[test]
fn the_command_says_what_it_said() {
    if has_settings() {
        return without_settings();
    }
    let cases = trycmd::TestCases::new();
    cases.env("HOME", NOWHERE).env("XDG_CACHE_HOME", NOWHERE).env("KUBECONFIG", "").env("NO_COLOR", "1");
    cases.case("tests/messages/*.md");
}

fn settings() -> impl Iterator<Item = String> {
    std::env::vars().map(|(name, _)| name).filter(|name| name.starts_with("TLSBOOT_"))
}

fn has_settings() -> bool {
    settings().next().is_some()
}

/// trycmd cannot remove variables, so this program runs itself again without them.
fn without_settings() {
    let mut again = Command::new(std::env::current_exe().unwrap());
    for name in settings() {
        again.env_remove(name);
    }
    let status = again.arg("--nocapture").status().unwrap();
    assert!(status.success());
}
