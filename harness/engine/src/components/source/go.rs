//! The Go command, run in a build folder.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::FetchError;
use crate::components::arch;
use crate::components::error::{ComponentError, io_error};

/// The number of lines of a failed command that an error shows.
const SHOWN_LINES: usize = 12;

/// Go in a build folder.
pub(super) struct Go<'a> {
    pub(super) go: &'a Path,
    pub(super) folder: &'a Path,
    /// Where it takes modules from: the module cache, whose files cannot be changed, or copies.
    pub(super) modules: &'static str,
}

impl Go<'_> {
    /// `go1.26.8`.
    pub(super) fn version(&self) -> Result<String, FetchError> {
        fs::create_dir_all(self.folder).map_err(io_error("cannot make", self.folder))?;
        let output = self.run(&["env", "GOVERSION"])?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Result<Output, FetchError> {
        let mut command = self.set(Command::new(self.go));
        let output = command.args(arguments).output().map_err(not_started)?;
        succeeded(&format!("go {}", arguments.join(" ")), output)
    }

    pub(super) fn set(&self, mut command: Command) -> Command {
        command
            .current_dir(self.folder)
            // ignore a workspace around the cache folder
            .env("GOWORK", "off")
            // removed with the stage
            .env("GOTMPDIR", self.folder)
            .env("GOOS", "linux")
            .env("GOARCH", arch())
            .stdin(Stdio::null());
        command
    }

    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), ComponentError> {
        let path = self.folder.join(name);
        fs::write(&path, text).map_err(io_error("cannot write", &path))
    }
}

/// The output of a command or, if it failed, its last lines as the reason.
pub(super) fn succeeded(command: &str, output: Output) -> Result<Output, FetchError> {
    if output.status.success() {
        return Ok(output);
    }
    let lines = |bytes: &[u8]| -> Vec<String> { String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect() };
    let mut said = lines(&output.stderr);
    if said.is_empty() {
        // `go mod download -json` prints its error there
        said = lines(&output.stdout);
    }
    Err(FetchError::Unavailable(format!("{command}: {}:{}", output.status, last_lines(&said))))
}

pub(super) fn not_started(error: std::io::Error) -> FetchError {
    FetchError::Unavailable(match error.kind() {
        ErrorKind::NotFound => "a Go build needs Go 1.26 or newer on PATH (https://go.dev/dl)".into(),
        _ => format!("go cannot be run: {error}"),
    })
}

pub(super) fn last_lines(lines: &[String]) -> String {
    let shown = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
    shown.iter().map(|line| format!("\n    {line}")).collect()
}
