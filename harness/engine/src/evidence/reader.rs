//! Reading the evidence of a run: for reports, `rejudge`, `diff`, `merge` and `verify`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{HISTORY, SCENARIO, VERDICT, hashes, place};
use crate::untrusted::{Folder, LONGEST, LONGEST_HISTORY};
use tlsboot_core::check::{Verdict, judge_all};
use tlsboot_core::history::event::Begin;
use tlsboot_core::history::{self, Event, HistoryError, What};
use tlsboot_core::result::ScenarioResult;
use tlsboot_core::scenario::{Diagnostic, Scenario, load_text};

/// Why evidence cannot be used. The paths of files are relative to their folder, which the caller knows.
#[derive(Debug, Error)]
pub enum EvidenceError {
    /// The folder cannot be opened.
    #[error("the evidence folder cannot be opened: {0}")]
    Folder(#[source] io::Error),
    /// A result names a folder other than its own.
    #[error("its evidence is not where a run puts it, {place}: {found}")]
    Elsewhere {
        /// Where it belongs.
        place: String,
        /// Where it is according to the result.
        found: String,
    },
    /// A file cannot be read.
    #[error("{name}: {source}")]
    Read {
        /// Which one.
        name: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The scenario is invalid.
    #[error("{SCENARIO}: {}", each(.0))]
    Scenario(Vec<Diagnostic>),
    /// The history is damaged.
    #[error("{HISTORY}: {0}")]
    History(#[from] HistoryError),
    /// The verdict is damaged.
    #[error("{VERDICT}: {0}")]
    Verdict(#[source] serde_json::Error),
}

fn each(errors: &[Diagnostic]) -> String {
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    errors.join("; ")
}

/// A folder of evidence, which is untrusted: links in it are not followed, and the amount that is read is limited.
#[derive(Debug)]
pub struct EvidenceFolder(Folder);

/// Evidence, judged again.
#[derive(Clone, Debug)]
pub struct Rejudged {
    /// The scenario.
    pub scenario: Scenario,
    /// The head of the history.
    pub begin: Option<Begin>,
    /// The verdict.
    pub verdict: Verdict,
}

impl EvidenceFolder {
    /// Opens a folder that the user named.
    ///
    /// # Errors
    /// If it does not exist.
    pub fn open(path: &Path) -> Result<Self, EvidenceError> {
        Folder::open(path).map(Self).map_err(EvidenceError::Folder)
    }

    /// The evidence of a result in a run's output folder; `None` if nothing was run.
    ///
    /// # Errors
    /// If it does not exist, or is not where a run puts it.
    pub fn of(out: &Path, result: &ScenarioResult) -> Option<Result<Self, EvidenceError>> {
        let found = result.evidence.as_ref()?;
        let place = place(&result.target, &result.id);
        if *found != place {
            return Some(Err(EvidenceError::Elsewhere { place, found: found.clone() }));
        }
        let folder = Folder::open(out).and_then(|out| out.folder(Path::new(&place)));
        Some(folder.map(Self).map_err(EvidenceError::Folder))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The folder itself, for other files in it.
    pub fn folder(&self) -> &Folder {
        &self.0
    }

    /// The scenario. Errors in it name the file `file`.
    ///
    /// # Errors
    /// If it cannot be read or is invalid.
    pub fn scenario(&self, file: &str) -> Result<Scenario, EvidenceError> {
        load_text(file, &self.text(SCENARIO, LONGEST)?).map_err(EvidenceError::Scenario)
    }

    /// The history.
    ///
    /// # Errors
    /// If it cannot be read or is damaged.
    pub fn history(&self) -> Result<Vec<Event>, EvidenceError> {
        Ok(history::parse(&self.text(HISTORY, LONGEST_HISTORY)?)?)
    }

    /// The verdict that was recorded.
    ///
    /// # Errors
    /// If it cannot be read or is damaged.
    pub fn verdict(&self) -> Result<Verdict, EvidenceError> {
        serde_json::from_str(&self.text(VERDICT, LONGEST)?).map_err(EvidenceError::Verdict)
    }

    /// SHA-256 of every file, in hex, by its path in the folder.
    ///
    /// # Errors
    /// If one cannot be read, or is not a regular file.
    pub fn hashes(&self) -> io::Result<BTreeMap<String, String>> {
        hashes(&self.0)
    }

    /// Judges the history again.
    ///
    /// # Errors
    /// If the scenario or the history cannot be read.
    pub fn rejudge(&self) -> Result<Rejudged, EvidenceError> {
        let scenario = self.scenario(SCENARIO)?;
        let events = self.history()?;
        let begin = events.first().and_then(|event| match &event.what {
            What::Begin(begin) => Some((**begin).clone()),
            _ => None,
        });
        let verdict = judge_all(&scenario, events);
        Ok(Rejudged { scenario, begin, verdict })
    }

    fn text(&self, name: &'static str, longest: u64) -> Result<String, EvidenceError> {
        self.0.read_text(name, longest).map_err(|source| EvidenceError::Read { name, source })
    }
}

/// The folders with a history among these folders and below them, sorted. Links below them are not followed.
///
/// # Errors
/// The first folder that can't be read.
pub fn find(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        if folder.join(HISTORY).symlink_metadata().is_ok() {
            found.push(folder);
            continue;
        }
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn histories_are_found_below_a_folder_and_links_are_not_followed() {
        let out = tempfile::tempdir().unwrap();
        for place in ["local-1.37.2/rbac.b", "local-1.37.2/rbac.a", "kind-1.37.2/rbac.a"] {
            fs::create_dir_all(out.path().join(place)).unwrap();
            fs::write(out.path().join(place).join(HISTORY), "").unwrap();
        }
        fs::create_dir(out.path().join("empty")).unwrap();
        symlink(".", out.path().join("empty/again")).unwrap();
        let found = find(out.path()).unwrap();
        let names: Vec<_> = found.iter().map(|path| path.strip_prefix(out.path()).unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["kind-1.37.2/rbac.a", "local-1.37.2/rbac.a", "local-1.37.2/rbac.b"]);
        assert!(find(&out.path().join("empty/again/nothing")).is_err());
    }
}
