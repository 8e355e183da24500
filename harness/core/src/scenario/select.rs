//! Choosing scenarios on the command line.

use super::{Profile, Scenario};

/// Why a selector selects nothing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum SelectError {
    /// It matches nothing.
    #[error("`{0}` selects no scenario; `tlsboot list` shows all{1}")]
    Nothing(String, String),
    /// Nothing was chosen at all.
    #[error("no scenario is selected: the folder is empty, or this profile contains none")]
    Empty,
}

/// One selector: an id, a glob of ids, a tag (`@rotation`), or a catalogue id (`T-01`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(pub String);

impl Selector {
    fn fits(&self, scenario: &Scenario) -> bool {
        match self.0.strip_prefix('@') {
            Some(tag) => scenario.tags.iter().any(|known| known == tag),
            None => {
                glob_match::glob_match(&self.0, &scenario.id)
                    || scenario.requirements.iter().any(|id| id.eq_ignore_ascii_case(&self.0))
            }
        }
    }
}

/// The scenarios that match any of the selectors; without selectors, those of the profile and the smaller ones.
///
/// # Errors
/// A selector that matches nothing, or an empty selection: zero scenarios are never run.
pub fn select<'a>(
    scenarios: &'a [Scenario],
    selectors: &[Selector],
    profile: Profile,
) -> Result<Vec<&'a Scenario>, SelectError> {
    for selector in selectors {
        if !scenarios.iter().any(|scenario| selector.fits(scenario)) {
            return Err(SelectError::Nothing(selector.0.clone(), near(&selector.0, scenarios)));
        }
    }
    let chosen: Vec<_> = scenarios
        .iter()
        .filter(|scenario| match selectors {
            [] => scenario.profile <= profile,
            _ => selectors.iter().any(|selector| selector.fits(scenario)),
        })
        .collect();
    if chosen.is_empty() { Err(SelectError::Empty) } else { Ok(chosen) }
}

fn near(wrong: &str, scenarios: &[Scenario]) -> String {
    let words: Vec<&str> = wrong.split(['.', '-']).filter(|word| word.len() > 3).collect();
    let close = scenarios
        .iter()
        .map(|scenario| &scenario.id)
        .max_by_key(|id| words.iter().filter(|word| id.contains(**word)).count());
    match close {
        Some(id) if words.iter().any(|word| id.contains(*word)) => {
            format!(" (did you mean `{id}`?)")
        }
        _ => String::new(),
    }
}
