//! Choosing scenarios on the command line.

use super::requirements;
use super::{Profile, Scenario};
use crate::name::{similar, similar_id};

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

/// What was probably meant, as a remark.
fn near(wrong: &str, scenarios: &[Scenario]) -> String {
    let tags = || scenarios.iter().flat_map(|scenario| &scenario.tags).map(String::as_str);
    let meant = match wrong.strip_prefix('@') {
        Some(tag) => similar(tag, tags()).map(|tag| format!("@{tag}")),
        None if is_behavior(wrong) => return behaviors_of(wrong),
        None => similar_id(wrong, scenarios.iter().map(|scenario| scenario.id.as_str())),
    };
    meant.map_or_else(String::new, |meant| format!(" (did you mean `{meant}`?)"))
}

/// Whether it is written like a behavior's id: `T-01`.
fn is_behavior(word: &str) -> bool {
    word.split_once('-').is_some_and(|(chapter, number)| {
        chapter.len() == 1 && !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
    })
}

/// Which behaviors there are in the chapter of one that no scenario shows.
fn behaviors_of(wrong: &str) -> String {
    if requirements::find(&wrong.to_ascii_uppercase()).is_some() {
        return " (none of them shows this behavior)".into();
    }
    let chapter = wrong.split('-').next().unwrap_or_default().to_ascii_uppercase();
    let mut ids = requirements::all().map(|known| known.id).filter(|id| id.split('-').next() == Some(&*chapter));
    match (ids.next(), ids.last()) {
        (Some(first), Some(last)) => format!(" (the behaviors of this chapter are {first} to {last})"),
        _ => String::new(),
    }
}
