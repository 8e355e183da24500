//! The Go build as a source of components, with a script in place of Go.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

/// A machine with a `go` of these shell commands, and an empty store.
struct Machine(TempDir);

impl Machine {
    fn with_go(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let go = folder.path().join("go");
        // Under another name first: a file that is being written cannot be run.
        let text = format!("#!/bin/sh\n{script}\n");
        fs::write(&go, text).unwrap();
        fs::set_permissions(&go, Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    fn get(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tlsboot"));
        command
            .args(["components", "get", "1.37.2", "--source", "build"])
            .env("PATH", format!("{}:/usr/bin:/bin", self.0.path().display()))
            .env("TLSBOOT_CACHE", self.store())
            .env_remove("TLSBOOT_MIRROR")
            .stdin(Stdio::null());
        command
    }

    fn store(&self) -> PathBuf {
        self.0.path().join("store")
    }
}

/// As `go build … -o FILE .` does it.
const BUILDS: &str = "case $1 in env) echo go1.26.8 ;; list) echo a; echo b ;; build)
  test -s main.go -a -s go.mod -a -s go.sum || exit 3
  for word; do test \"$before\" = -o && file=$word; before=$word; done
  echo a >&2; echo built > \"$file\" ;; esac";

#[test]
fn what_go_builds_is_installed() {
    let machine = Machine::with_go(BUILDS);
    let ran = machine.get().output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    let arch = match std::env::consts::ARCH {
        "aarch64" => "linux-arm64",
        _ => "linux-amd64",
    };
    let folder = machine.store().join("kubernetes/v1.37.2").join(arch);
    let kubelet = fs::read_to_string(folder.join("kubelet")).unwrap();
    assert_eq!(kubelet, "built\n");
    assert_eq!(staged(&machine.store()), 0);
}

#[test]
fn a_failed_build_says_what_go_said() {
    let script = "case $1 in build) echo k8s.io/api >&2; echo './main.go:3:1: no luck' >&2; exit 1 ;; esac";
    let ran = Machine::with_go(script).get().output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(3), "{said}");
    let reason = "go build: exit status: 1:\n    ./main.go:3:1: no luck";
    assert!(said.contains(reason), "{said}");
}

#[test]
fn a_killed_get_takes_its_build_along() {
    let script = "case $1 in build) echo $$ > \"$GOTMPDIR/../../pid\"; exec sleep 600 ;; esac";
    let machine = Machine::with_go(script);
    let mut get = machine.get().stderr(Stdio::null()).spawn().unwrap();
    let file = machine.store().join("staging/pid");
    let pid: u32 = wait_for(|| fs::read_to_string(&file).ok()?.trim().parse().ok());
    let go = PathBuf::from(format!("/proc/{pid}/cmdline"));
    // The script reports its pid just before it becomes the command.
    wait_for(|| fs::read_to_string(&go).ok()?.contains("600").then_some(()));
    get.kill().unwrap();
    get.wait().unwrap();
    // A zombie no longer has a command line, and a process that has been reaped has no file.
    wait_for(|| fs::read(&go).unwrap_or_default().is_empty().then_some(()));
}

/// Folders that a source has begun and not finished.
fn staged(store: &Path) -> usize {
    fs::read_dir(store.join("staging")).map_or(0, Iterator::count)
}

fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "it did not come in time");
        std::thread::sleep(Duration::from_millis(10));
    }
}
