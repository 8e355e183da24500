//! Writing evidence.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{HISTORY, LOGS, SCENARIO, VERDICT, hashes, make_room, place};
use crate::secret::{Leak, ScanError, Vault};
use crate::untrusted::Folder;
use tlsboot_core::check::Verdict;
use tlsboot_core::scenario::Scenario;

/// The folder of one scenario's evidence while it is being written.
#[derive(Debug)]
pub struct EvidenceWriter {
    out: PathBuf,
    place: String,
    vault: Vault,
}

/// Evidence that proves nothing, or that must not be shown.
#[derive(Debug, Error)]
pub enum CloseError {
    /// It contains a secret.
    #[error("the evidence contains secrets: {}", places(.0))]
    Secrets(Vec<Leak>),
    /// It may contain a secret.
    #[error("the evidence cannot be searched for secrets: {0}")]
    Unsearched(#[from] ScanError),
    /// The verdict or the hashes are incomplete.
    #[error("the evidence cannot be written: {0}")]
    Write(#[from] io::Error),
}

impl EvidenceWriter {
    /// An empty folder for a scenario on a target, below a run's output folder; older evidence there is removed.
    ///
    /// # Errors
    /// If a file or folder cannot be created, or there is something else at its path.
    pub fn create(out: &Path, target: &str, scenario: &Scenario) -> io::Result<Self> {
        let evidence = Self { out: out.to_owned(), place: place(target, &scenario.id), vault: Vault::new() };
        make_room(out, &evidence.place)?;
        fs::create_dir_all(evidence.logs())?;
        fs::write(evidence.path().join(SCENARIO), &scenario.text)?;
        Ok(evidence)
    }

    /// Its path below the run's output folder.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The folder itself.
    pub fn path(&self) -> PathBuf {
        self.out.join(&self.place)
    }

    /// The path for the history.
    pub fn history(&self) -> PathBuf {
        self.path().join(HISTORY)
    }

    /// The path for the components' logs.
    pub fn logs(&self) -> PathBuf {
        self.path().join(LOGS)
    }

    /// The secrets that must not be in it.
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Searches everything that was written for secrets.
    ///
    /// # Errors
    /// If there is one, or there may be.
    pub fn search(&self) -> Result<(), CloseError> {
        match self.vault.scan_dir(&self.path())? {
            leaks if leaks.is_empty() => Ok(()),
            leaks => Err(CloseError::Secrets(leaks)),
        }
    }

    /// Writes the verdict, and computes the hashes of all files.
    ///
    /// # Errors
    /// If the verdict cannot be written, or a file cannot be read.
    pub fn close(&self, verdict: &Verdict) -> Result<BTreeMap<String, String>, CloseError> {
        let json = serde_json::to_vec_pretty(verdict).map_err(io::Error::other)?;
        fs::write(self.path().join(VERDICT), json)?;
        Ok(hashes(&Folder::open(&self.path())?)?)
    }
}

fn places(leaks: &[Leak]) -> String {
    let places: Vec<String> =
        leaks.iter().map(|leak| format!("{} at byte {} ({})", leak.file.display(), leak.offset, leak.what)).collect();
    places.join(", ")
}
