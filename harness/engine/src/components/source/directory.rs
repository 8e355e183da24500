//! A folder of executables: the distribution under test. They are run in place, never copied.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::components::error::{ComponentError, io_error};
use crate::components::fingerprint::{self, Identity};
use crate::components::store::write_atomically;
use crate::components::{Executable, KUBERNETES_ROLES, Role};
use tlsboot_core::version::Version;

/// A kubelet answers `--version` in 0.4 s; a slow disk and a busy machine take longer.
const VERSION_TIMEOUT: Duration = Duration::from_secs(30);

/// The folder given by `--components`.
#[derive(Debug)]
pub(in crate::components) struct Directory {
    folder: PathBuf,
    /// Where the answers of executables are stored, so that they are asked once and not by each test.
    inspected: PathBuf,
}

/// What an executable answered, valid as long as the file is the same.
#[derive(Serialize, Deserialize, PartialEq)]
struct Inspection {
    file: Identity,
    version: String,
    sha256: String,
}

impl Directory {
    /// The folder, which must contain at least one component of Kubernetes. Runs nothing.
    pub(in crate::components) fn open(folder: &Path, cache: &Path) -> Result<Self, ComponentError> {
        let error = |reason: &str| ComponentError::Directory { path: folder.into(), reason: reason.into() };
        let absolute = folder.canonicalize().map_err(|cause| error(&cause.to_string()))?;
        let directory = Self { folder: absolute, inspected: cache.join("inspected") };
        if !KUBERNETES_ROLES.into_iter().any(|role| directory.has(role)) {
            return Err(error("there is no kube-apiserver, kube-controller-manager or kubelet in this folder"));
        }
        Ok(directory)
    }

    /// Whether it has its own executable for the role.
    pub(in crate::components) fn has(&self, role: Role) -> bool {
        self.folder.join(role.name()).is_file()
    }

    /// The Kubernetes version of a role's executable.
    pub(in crate::components) fn version(&self, role: Role) -> Result<Version, ComponentError> {
        let Executable { path, version, .. } = self.executable(role)?;
        Version::of_build(&version).ok_or_else(|| no_version(&path, &format!("it answered {version:?}")))
    }

    /// The executable for a role, if it has one. Runs `--version` unless the answer is already known.
    pub(in crate::components) fn executable(&self, role: Role) -> Result<Executable, ComponentError> {
        let path = self.folder.join(role.name());
        let inspection = self.inspect(&path)?;
        Ok(Executable {
            path,
            version: inspection.version,
            sha256: inspection.sha256,
            origin: format!("directory {}", self.folder.display()),
        })
    }

    fn inspect(&self, path: &Path) -> Result<Inspection, ComponentError> {
        let metadata = path.metadata().map_err(io_error("cannot read", path))?;
        let identity = Identity::of(&metadata);
        // what a wrapper starts may change while the wrapper does not
        let keep = is_elf(path).map_err(io_error("cannot read", path))?;
        // not from the record, which others may have written
        let sha256 = fingerprint::sha256(path).map_err(io_error("cannot read", path))?;
        let is_same = |known: &Inspection| keep && known.file == identity && known.sha256 == sha256;
        if let Some(known) = self.recall(path).filter(is_same) {
            return Ok(known);
        }
        let inspection = Inspection { version: ask_version(path)?, sha256, file: identity };
        if keep {
            self.remember(path, &inspection);
        }
        Ok(inspection)
    }

    fn recall(&self, path: &Path) -> Option<Inspection> {
        serde_json::from_slice(&fs::read(self.record(path)).ok()?).ok()
    }

    /// Best effort: without the record the executable is simply asked again.
    fn remember(&self, path: &Path, inspection: &Inspection) {
        let _ = fs::create_dir_all(&self.inspected);
        let _ = write_atomically(&self.record(path), &serde_json::to_vec(inspection).unwrap_or_default());
    }

    fn record(&self, path: &Path) -> PathBuf {
        let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
        self.inspected.join(hex::encode(&digest[..16]))
    }
}

fn is_elf(path: &Path) -> io::Result<bool> {
    let mut magic = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut magic)?;
    Ok(magic == b"\x7fELF")
}

/// Runs `--version` and returns the version as the component writes it: `v1.33.4+k3s1`, `3.7.0`.
fn ask_version(path: &Path) -> Result<String, ComponentError> {
    let mut child = Command::new(path)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|cause| no_version(path, &format!("it cannot be run: {cause}")))?;
    let (sender, answer) = mpsc::channel();
    if let Some(mut stdout) = child.stdout.take() {
        thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stdout.by_ref().take(1 << 16).read_to_end(&mut text);
            let _ = sender.send(String::from_utf8_lossy(&text).into_owned());
        });
    }
    let text = answer.recv_timeout(VERSION_TIMEOUT);
    // it has closed its output and is about to exit, or its time is up
    let _ = child.kill();
    let _ = child.wait();
    let text = text.map_err(|_| no_version(path, &format!("no answer after {} s", VERSION_TIMEOUT.as_secs())))?;
    let word = text.split_whitespace().find(|word| Version::of_build(word).is_some());
    word.map(|word| word.trim_start_matches('v').to_owned())
        .ok_or_else(|| no_version(path, &format!("it answered {:?}", text.lines().next().unwrap_or_default())))
}

fn no_version(path: &Path, reason: &str) -> ComponentError {
    ComponentError::Directory {
        path: path.into(),
        reason: format!("`--version` does not print a version: {reason}; a wrapper must pass its arguments on"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executable_is_asked_once_until_it_changes() {
        let lab = tempfile::tempdir().unwrap();
        let kubelet = lab.path().join("kubelet");
        fs::write(&kubelet, b"\x7fELF, but nothing that can be run").unwrap();
        let directory = Directory::open(lab.path(), &lab.path().join("cache")).unwrap();
        let path = directory.folder.join("kubelet");
        let known = Inspection {
            file: Identity::of(&path.metadata().unwrap()),
            version: "1.33.4+k3s1".into(),
            sha256: fingerprint::sha256(&path).unwrap(),
        };
        directory.remember(&path, &known);
        assert_eq!(directory.version(Role::Kubelet).unwrap(), Version::new(1, 33, 4));

        let forged = Inspection { sha256: "a".repeat(64), ..known };
        directory.remember(&path, &forged);
        directory.version(Role::Kubelet).unwrap_err();

        fs::write(&kubelet, b"\x7fELF, another").unwrap();
        let error = directory.version(Role::Kubelet).unwrap_err().to_string();
        assert!(error.contains("kubelet: `--version` does not print a version: it cannot be run"), "{error}");
    }
}
