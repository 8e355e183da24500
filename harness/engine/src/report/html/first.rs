//! The first screen of the page: what was found, what is red, and how each chapter came out.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::{anchor, words};
use crate::report::{Evidence, failure};
use tlsboot_core::check::Outcome;
use tlsboot_core::result::RunResult;

/// Something red, on one line.
#[derive(Serialize)]
pub(super) struct Red<'a> {
    outcome: &'static str,
    id: &'a str,
    target: &'a str,
    anchor: String,
    why: String,
}

/// Everything that is red, worst first.
pub(super) fn red<'a>(out: &Path, run: &'a RunResult) -> Vec<Red<'a>> {
    let red = words::OUTCOMES
        .iter()
        .filter(|outcome| words::is_red(**outcome))
        .flat_map(|outcome| run.scenarios.iter().filter(move |result| result.verdict.outcome == *outcome));
    red.map(|result| Red {
        outcome: words::outcome(result.verdict.outcome),
        id: &result.id,
        target: &result.target,
        anchor: anchor(result),
        why: failure::one_line(result, &Evidence::read(out, result)),
    })
    .collect()
}

/// A chapter's counts.
#[derive(Serialize)]
pub(super) struct Tile<'a> {
    name: &'a str,
    /// The class of its worst outcome.
    worst: &'static str,
    counts: Vec<String>,
}

pub(super) fn tiles(run: &RunResult) -> Vec<Tile<'_>> {
    let mut chapters: BTreeMap<&str, BTreeMap<usize, usize>> = BTreeMap::new();
    for result in &run.scenarios {
        let rank = words::OUTCOMES.iter().position(|outcome| *outcome == result.verdict.outcome).unwrap_or(0);
        *chapters.entry(chapter(&result.id)).or_default().entry(rank).or_default() += 1;
    }
    let tile = |(name, counts): (_, BTreeMap<usize, usize>)| {
        // What is unsupported is not worse than what passed.
        let judged = counts.keys().map(|rank| words::OUTCOMES[*rank]).find(|one| *one != Outcome::Unsupported);
        let words = counts.iter().map(|(rank, count)| format!("{count} {}", words::outcome(words::OUTCOMES[*rank])));
        Tile { name, worst: words::outcome(judged.unwrap_or(Outcome::Unsupported)), counts: words.collect() }
    };
    chapters.into_iter().map(tile).collect()
}

/// The chapter of a scenario: the first part of its id.
pub(super) fn chapter(id: &str) -> &str {
    id.split('.').next().unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn what_is_red_comes_first_and_says_why() {
        let folder = fixture::folder();
        let run = fixture::run();
        let red = red(folder.path(), &run);
        let outcomes: Vec<&str> = red.iter().map(|one| one.outcome).collect();
        assert_eq!(outcomes, ["error", "hang", "fail"]);
        assert!(red[2].why.ends_with("code: expected 403, found 201; reason: expected Forbidden, found (empty)"));
    }

    #[test]
    fn a_tile_has_the_color_of_the_worst() {
        let run = fixture::run();
        let tiles = tiles(&run);
        let tile = |name| tiles.iter().find(|tile| tile.name == name).unwrap();
        assert_eq!((tile("rbac").worst, tile("rbac").counts.join(", ").as_str()), ("fail", "1 fail, 1 unsupported"));
        assert_eq!((tile("rotation").worst, tile("approval").worst), ("error", "hang"));
    }
}
