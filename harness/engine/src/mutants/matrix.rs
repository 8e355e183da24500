//! The kill matrix: which scenario noticed which mutant, and why. Pure: from results to text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Mutant;
use tlsboot_core::check::{ExpectationVerdict, Outcome, Verdict};
use tlsboot_core::exit::Exit;
use tlsboot_core::result::ComponentResult;

/// The version of the format of `mutants.json`.
pub const FORMAT: u32 = 1;

/// The results of running scenarios on mutants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Matrix {
    /// [`FORMAT`].
    pub format: u32,
    /// tlsboot's own version.
    pub tlsboot: String,
    /// The target: `local::1.37.2`.
    pub target: String,
    /// When it began.
    pub started: Timestamp,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// The executables that the mutants were made from.
    pub components: Vec<ComponentResult>,
    /// The mutants, in the order of the table.
    pub mutants: Vec<Row>,
    /// Whether all scenarios were run: then each must kill a mutant.
    pub complete: bool,
}

/// A mutant, and the results of scenarios on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// The fault.
    pub wrong: String,
    /// Whether it is a fault-free control.
    pub sound: bool,
    /// Why it could not be created, if it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsupported: Option<String>,
    /// One for each scenario that was run.
    pub cells: Vec<Cell>,
}

/// A scenario on a mutant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cell {
    /// The scenario's id.
    pub scenario: String,
    /// Whether the table expects it to decide about the mutant.
    pub expected: bool,
    /// Its outcome.
    pub outcome: Outcome,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// What decided, in words.
    pub why: String,
}

impl Cell {
    /// Judged red: the scenario noticed the fault. An error is not a verdict.
    pub fn kills(&self) -> bool {
        matches!(self.outcome, Outcome::Fail | Outcome::Hang)
    }

    /// Not a result against a fault-free control.
    fn is_sound(&self) -> bool {
        matches!(self.outcome, Outcome::Pass | Outcome::Unsupported)
    }

    /// Does the scenario apply to this version?
    fn was_run(&self) -> bool {
        self.outcome != Outcome::Unsupported
    }
}

impl Row {
    /// A row without cells.
    pub fn of(mutant: &Mutant) -> Self {
        Self {
            id: mutant.id.into(),
            wrong: mutant.wrong.into(),
            sound: mutant.sound,
            unsupported: None,
            cells: Vec::new(),
        }
    }

    /// Was any scenario that applies to this version run on it?
    fn was_run(&self) -> bool {
        self.cells.iter().any(Cell::was_run)
    }

    fn killers(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(|cell| cell.kills())
    }
}

/// A row for each selected mutant and for each of an earlier run, in the table's order. Earlier cells are kept if they
/// were decided and the table still expects the same.
pub fn rows(table: &[Mutant], chosen: &[Mutant], before: &[Row]) -> Vec<Row> {
    let rows = table.iter().filter_map(|mutant| {
        let earlier = before.iter().find(|row| row.id == mutant.id);
        let is_chosen = chosen.iter().any(|chosen| chosen.id == mutant.id);
        let mut row = (is_chosen || earlier.is_some()).then(|| Row::of(mutant))?;
        let cells = earlier.iter().flat_map(|row| &row.cells);
        let decided = cells.filter(|cell| {
            let expected = mutant.scenarios.contains(&cell.scenario.as_str());
            cell.outcome != Outcome::Error && cell.expected == expected
        });
        row.cells = decided.cloned().collect();
        Some(row)
    });
    rows.collect()
}

impl Matrix {
    /// Mutants on which scenarios were run and that none noticed.
    pub fn survivors(&self) -> Vec<&Row> {
        let survives = |row: &&Row| !row.sound && row.was_run() && row.killers().next().is_none();
        self.mutants.iter().filter(survives).collect()
    }

    /// Fault-free controls that a scenario did not pass: then their mutants prove nothing.
    pub fn unsound(&self) -> Vec<(&Row, &Cell)> {
        self.pairs(|row, cell| row.sound && !cell.is_sound())
    }

    /// Pairs of the table in which the scenario did not notice the mutant.
    pub fn missed(&self) -> Vec<(&Row, &Cell)> {
        self.pairs(|row, cell| !row.sound && cell.expected && cell.was_run() && !cell.kills())
    }

    /// Pairs of the table whose scenario applies to other versions.
    fn unsupported(&self) -> Vec<(&Row, &Cell)> {
        self.pairs(|_, cell| cell.expected && !cell.was_run())
    }

    /// Scenarios that killed nothing; empty unless all of them should.
    pub fn idle(&self) -> BTreeSet<&str> {
        let mutants = || self.mutants.iter().filter(|row| self.complete && !row.sound);
        let killing: BTreeSet<&str> = mutants().flat_map(Row::killers).map(|cell| cell.scenario.as_str()).collect();
        let all = mutants().flat_map(|row| &row.cells).filter(|cell| cell.was_run()).map(|cell| cell.scenario.as_str());
        all.filter(|id| !killing.contains(id)).collect()
    }

    fn pairs(&self, which: impl Fn(&Row, &Cell) -> bool) -> Vec<(&Row, &Cell)> {
        let all = self.mutants.iter().flat_map(|row| row.cells.iter().map(move |cell| (row, cell)));
        all.filter(|(row, cell)| which(row, cell)).collect()
    }

    /// Pass if every mutant was killed, every expected scenario noticed, and the fault-free controls passed; error if
    /// only the harness' own errors prevent that; otherwise fail.
    pub fn exit(&self) -> Exit {
        let against = || self.missed().into_iter().chain(self.unsound()).map(|(_, cell)| cell.outcome);
        let errors_only = against().all(|outcome| outcome == Outcome::Error);
        let survivors = self.survivors();
        let undecided = |row: &&Row| row.cells.iter().any(|cell| cell.outcome == Outcome::Error);
        match () {
            () if !errors_only || !survivors.iter().all(undecided) => Exit::Fail,
            () if against().next().is_some() || !survivors.is_empty() => Exit::Error,
            () if !self.idle().is_empty() => Exit::Fail,
            () => Exit::Pass,
        }
    }

    /// For a terminal: survivors first, then the rest.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let survivors: BTreeSet<&str> = self.survivors().iter().map(|row| row.id.as_str()).collect();
        let (first, rest): (Vec<&Row>, Vec<&Row>) =
            self.mutants.iter().partition(|row| survivors.contains(row.id.as_str()));
        for row in first.into_iter().chain(rest) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{:9} {:36} {}", self.word(row), row.id, row.wrong);
            for cell in &row.cells {
                let _ = writeln!(
                    text,
                    "          {:5} {:>5.1} s  {}: {}",
                    word(cell.outcome),
                    seconds(cell),
                    cell.scenario,
                    cell.why
                );
            }
        }
        text + "\n" + &self.summary()
    }

    fn word(&self, row: &Row) -> &'static str {
        match row {
            row if row.unsupported.is_some() => "not created",
            row if !row.was_run() => "not run",
            row if row.sound && row.cells.iter().all(Cell::is_sound) => "sound",
            row if row.sound => "UNSOUND",
            row if row.killers().next().is_some() => "killed",
            _ => "SURVIVED",
        }
    }

    /// A short summary: how many were killed, and what prevents a pass.
    pub fn summary(&self) -> String {
        let made = || self.mutants.iter().filter(|row| !row.sound && row.was_run());
        let killed = made().filter(|row| row.killers().next().is_some()).count();
        let scenarios: BTreeSet<&str> = made().flat_map(Row::killers).map(|cell| cell.scenario.as_str()).collect();
        let mut text = format!(
            "{killed} of {} mutants killed, by {} scenarios, on {}\n",
            made().count(),
            scenarios.len(),
            self.target
        );
        for row in self.survivors() {
            let _ = writeln!(text, "survived: {} ({})", row.id, row.wrong);
        }
        for (row, cell) in self.missed() {
            let _ = writeln!(
                text,
                "not noticed: {} by {} ({}{})",
                row.id,
                cell.scenario,
                word(cell.outcome),
                after(&cell.why)
            );
        }
        for (row, cell) in self.unsound() {
            let _ = writeln!(
                text,
                "not sound: {} by {} ({}{})",
                row.id,
                cell.scenario,
                word(cell.outcome),
                after(&cell.why)
            );
        }
        for id in self.idle() {
            let _ = writeln!(text, "kills nothing: {id}");
        }
        for (row, cell) in self.unsupported() {
            let _ = writeln!(text, "not run: {} by {} ({})", row.id, cell.scenario, cell.why);
        }
        for row in self.mutants.iter().filter(|row| row.unsupported.is_some()) {
            let _ = writeln!(text, "not created: {} ({})", row.id, row.unsupported.as_deref().unwrap_or_default());
        }
        text
    }

    /// As a page: mutants with the scenarios that killed them, then scenarios with their kills.
    pub fn markdown(&self) -> String {
        let mut page = format!(
            "# Kills\n\nGenerated by `tlsboot mutants` on {}; do not edit. Each mutant is a real cluster with one fault. It is killed if a scenario fails on it.\n\n",
            self.target
        );
        for line in self.summary().lines() {
            let _ = writeln!(page, "- {line}");
        }
        let _ = write!(page, "\n## Mutants\n\n| mutant | fault | killed by | deciding result |\n|---|---|---|---|\n");
        for row in self.mutants.iter().filter(|row| !row.sound) {
            let killers: Vec<&Cell> = row.killers().collect();
            let lines =
                |say: fn(&Cell) -> String| killers.iter().map(|cell| say(cell)).collect::<Vec<_>>().join("<br>");
            let by = match killers.as_slice() {
                [] => self.word(row).to_owned(),
                _ => lines(|cell| format!("`{}` ({})", cell.scenario, word(cell.outcome))),
            };
            let _ = writeln!(
                page,
                "| `{}` | {} | {by} | {} |",
                row.id,
                cell_text(&row.wrong),
                lines(|cell| cell_text(&cell.why))
            );
        }
        let mut kills: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (row, cell) in self.pairs(|row, _| !row.sound) {
            let known = kills.entry(&cell.scenario).or_default();
            known.extend(cell.kills().then(|| format!("`{}`", row.id)));
        }
        let _ = write!(page, "\n## Scenarios\n\n| scenario | mutants killed |\n|---|---|\n");
        for (scenario, mutants) in kills {
            let _ = writeln!(page, "| `{scenario}` | {} |", mutants.join(", "));
        }
        page
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "pass",
        Outcome::Fail => "fail",
        Outcome::Hang => "hang",
        Outcome::Known => "known",
        Outcome::Unsupported => "n/a",
        Outcome::Error => "error",
    }
}

fn after(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(": {why}") }
}

#[allow(clippy::cast_precision_loss, reason = "tenths of seconds of some minutes")]
fn seconds(cell: &Cell) -> f64 {
    cell.duration_ms as f64 / 1000.0
}

fn cell_text(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// What decided a verdict, in one line.
pub fn why(verdict: &Verdict) -> String {
    if let Some(error) = &verdict.error {
        return cut(error, 4 * LONGEST);
    }
    let red = |expectation: &&ExpectationVerdict| matches!(expectation.outcome, Some(Outcome::Fail | Outcome::Hang));
    let Some(red) = verdict.expectations.iter().find(red) else {
        let violated = verdict.broken().find_map(|broken| Some((broken, broken.violations.first()?)));
        return violated.map_or_else(String::new, |(broken, first)| format!("{}: {}", broken.id, short(&first.words)));
    };
    let place = format!("line {}, {}", red.line, red.kind);
    match red.closest.first() {
        _ if red.never => format!("{place}: happened, but must never happen"),
        None => format!("{place}: did not happen"),
        Some(closest) => {
            let differences = closest.mismatches.iter().take(DIFFERENCES);
            let words: Vec<String> = differences
                .map(|mismatch| {
                    format!("{} {} instead of {}", mismatch.field, short(&mismatch.found), short(&mismatch.expected))
                })
                .collect();
            format!("{place}: {}", words.join("; "))
        }
    }
}

const DIFFERENCES: usize = 2;
const LONGEST: usize = 60;

fn short(text: &str) -> String {
    cut(text, LONGEST)
}

fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tlsboot_core::check::{Closest, Mismatch};

    fn cell(scenario: &str, outcome: Outcome) -> Cell {
        Cell {
            scenario: scenario.into(),
            expected: true,
            outcome,
            duration_ms: 1234,
            why: "line 3, csr: did not happen".into(),
        }
    }

    fn row(id: &str, sound: bool, cells: Vec<Cell>) -> Row {
        Row { id: id.into(), wrong: "something".into(), sound, unsupported: None, cells }
    }

    fn matrix(mutants: Vec<Row>) -> Matrix {
        Matrix {
            format: FORMAT,
            tlsboot: String::new(),
            target: "local::1.37.2".into(),
            started: Timestamp::UNIX_EPOCH,
            duration_ms: 0,
            components: Vec::new(),
            mutants,
            complete: true,
        }
    }

    #[test]
    fn all_killed_is_good() {
        let all = matrix(vec![
            row("m", false, vec![cell("a", Outcome::Fail), cell("b", Outcome::Hang)]),
            row("sound", true, vec![cell("a", Outcome::Pass)]),
        ]);
        assert_eq!(all.exit(), Exit::Pass);
        assert!(all.summary().starts_with("1 of 1 mutants killed, by 2 scenarios"));
    }

    #[test]
    fn survivors_come_first_and_fail() {
        let all = matrix(vec![
            row("dead", false, vec![cell("a", Outcome::Fail)]),
            row("alive", false, vec![cell("a", Outcome::Pass)]),
        ]);
        assert_eq!(all.exit(), Exit::Fail);
        assert!(all.text().starts_with("SURVIVED  alive"));
    }

    #[test]
    fn what_was_not_run_has_not_survived() {
        let all = matrix(vec![row("m", false, Vec::new())]);
        assert!(all.survivors().is_empty());
        assert!(all.text().starts_with("not run   m"), "{}", all.text());
    }

    #[test]
    fn scenarios_about_other_versions_say_nothing() {
        let all = matrix(vec![
            row("m", false, vec![cell("a", Outcome::Fail), cell("old", Outcome::Unsupported)]),
            row("n", false, vec![cell("old", Outcome::Unsupported)]),
            row("sound", true, vec![cell("old", Outcome::Unsupported)]),
        ]);
        assert_eq!(all.exit(), Exit::Pass);
        assert!(all.idle().is_empty() && all.survivors().is_empty());
        let summary = all.summary();
        assert!(summary.starts_with("1 of 1 mutants killed"), "{summary}");
        assert!(summary.contains("not run: n by old (line 3"), "{summary}");
    }

    #[test]
    fn an_error_is_no_kill() {
        let all = matrix(vec![row("m", false, vec![cell("a", Outcome::Error)])]);
        assert_eq!((all.survivors().len(), all.exit()), (1, Exit::Error));
    }

    #[test]
    fn a_pair_of_the_table_that_does_not_hold_fails_though_the_mutant_died() {
        let all = matrix(vec![
            row("m", false, vec![cell("a", Outcome::Fail), cell("b", Outcome::Pass)]),
            row("n", false, vec![cell("b", Outcome::Fail)]),
        ]);
        assert_eq!((all.survivors().len(), all.missed().len(), all.exit()), (0, 1, Exit::Fail));
    }

    #[test]
    fn a_stand_in_that_is_noticed_fails() {
        let all = matrix(vec![
            row("m", false, vec![cell("a", Outcome::Fail)]),
            row("sound", true, vec![cell("a", Outcome::Fail)]),
        ]);
        assert_eq!(all.exit(), Exit::Fail);
        assert!(all.summary().contains("not sound: sound by a"));
    }

    #[test]
    fn a_scenario_that_kills_nothing_fails_where_all_were_run() {
        let mut unexpected = cell("idle", Outcome::Pass);
        unexpected.expected = false;
        let mut all = matrix(vec![row("m", false, vec![cell("a", Outcome::Fail), unexpected])]);
        assert_eq!(all.idle(), BTreeSet::from(["idle"]));
        assert_eq!(all.exit(), Exit::Fail);
        all.complete = false;
        assert_eq!(all.exit(), Exit::Pass);
    }

    #[test]
    fn what_was_decided_stays_and_errors_are_run_again() {
        let table = crate::mutants::table();
        let mutant = table.iter().find(|mutant| !mutant.sound).unwrap();
        let [first, ..] = mutant.scenarios else { panic!("no scenario") };
        let before = [row(mutant.id, false, vec![cell(first, Outcome::Fail), cell("gone", Outcome::Fail)])];
        let kept = rows(&table, &table[..2], &before);
        assert_eq!(kept.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), [table[0].id, table[1].id, mutant.id]);
        assert_eq!(kept[2].cells, [cell(first, Outcome::Fail)]);
        let before = [row(mutant.id, false, vec![cell(first, Outcome::Error)])];
        assert!(rows(&table, &[], &before)[0].cells.is_empty());
    }

    #[test]
    fn pages_are_tables() {
        let page = matrix(vec![row("m", false, vec![cell("a", Outcome::Fail)])]).markdown();
        assert!(page.contains("| `m` | something | `a` (fail) | line 3, csr: did not happen |"), "{page}");
        assert!(page.contains("| `a` | `m` |"), "{page}");
    }

    #[test]
    fn what_decided_is_said() {
        let mut expectation = ExpectationVerdict {
            step: 1,
            line: 7,
            kind: "certificate".into(),
            never: false,
            outcome: Some(Outcome::Fail),
            events: vec![3],
            closest: vec![Closest {
                seq: 3,
                mismatches: vec![Mismatch {
                    field: "basicConstraints".into(),
                    expected: "CA:false".into(),
                    found: "CA:true".into(),
                }],
            }],
        };
        let verdict = |expectation: &ExpectationVerdict| Verdict {
            outcome: Outcome::Fail,
            error: None,
            expectations: vec![expectation.clone()],
            invariants: Vec::new(),
            bugs: Vec::new(),
        };
        assert_eq!(why(&verdict(&expectation)), "line 7, certificate: basicConstraints CA:true instead of CA:false");
        expectation.never = true;
        assert_eq!(why(&verdict(&expectation)), "line 7, certificate: happened, but must never happen");
        expectation.never = false;
        expectation.closest.clear();
        assert_eq!(why(&verdict(&expectation)), "line 7, certificate: did not happen");
    }
}
