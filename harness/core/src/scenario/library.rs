//! The scenarios of many files.

use std::collections::BTreeMap;

use super::{Diagnostic, Scenario, load_text};

/// All scenarios of some files, and what is wrong with those that could not be loaded.
#[derive(Debug, Default)]
pub struct Library {
    /// Scenarios in the order of their ids.
    pub scenarios: Vec<Scenario>,
    /// Errors. A file with an error is never silently left out of a run.
    pub errors: Vec<Diagnostic>,
}

impl Library {
    /// Loads files, each given by its display name and its text, or the reason why it cannot be read. A file that is
    /// given twice counts once; an id that two files use is an error.
    pub fn of(files: impl IntoIterator<Item = (String, Result<String, String>)>) -> Self {
        let mut library = Self::default();
        let mut places: BTreeMap<String, String> = BTreeMap::new();
        for (name, text) in files {
            let loaded = text
                .map_err(|reason| vec![Diagnostic::whole(&name, format!("cannot be read: {reason}"))])
                .and_then(|text| load_text(&name, &text));
            match loaded {
                Ok(scenario) => match places.insert(scenario.id.clone(), name.clone()) {
                    Some(other) if other != name => {
                        let twice = format!("the id `{}` is already used in {other}", scenario.id);
                        library.errors.push(Diagnostic::whole(&name, twice));
                    }
                    Some(_) => {}
                    None => library.scenarios.push(scenario),
                },
                Err(errors) => library.errors.extend(errors),
            }
        }
        library.scenarios.sort_by(|a, b| a.id.cmp(&b.id));
        library
    }
}
