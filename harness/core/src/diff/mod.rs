//! What changed in behavior between two versions, distributions or runs, from their histories and verdicts. Pure.
//!
//! Each side is one run, or several runs of the same target: what differs among those is noise, not a change.

mod features;
mod normal;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

pub use features::{Aspect, Features, Interval, Key};
pub use text::text;

use crate::check::Outcome;
use crate::check::invariants::{InvariantVerdict, Standing};

/// A scenario as one run saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// The scenario's id.
    pub scenario: String,
    /// Its outcome.
    pub outcome: Outcome,
    /// How each invariant stands.
    pub invariants: Vec<InvariantVerdict>,
    /// What its history contains.
    pub features: Features,
}

/// One side of a comparison.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Side {
    /// Its name for people: the name of the target.
    pub name: String,
    /// One run, or several of the same target.
    pub runs: Vec<Vec<Recorded>>,
}

impl Side {
    /// Whether both have a scenario in common: otherwise there is nothing to compare.
    pub fn shares_scenarios_with(&self, other: &Self) -> bool {
        let (mine, others) = (by_scenario(self), by_scenario(other));
        mine.keys().any(|id| others.contains_key(id))
    }
}

/// What changed from A to B.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diff {
    /// The version of this format.
    pub format: u32,
    /// The name of A.
    pub a: String,
    /// The name of B.
    pub b: String,
    /// How many runs A and B have: with one each, some changes may be chance.
    pub runs: (usize, usize),
    /// How many scenarios both have.
    pub compared: usize,
    /// Scenarios whose outcome changed, or that only one side has.
    pub verdicts: Vec<VerdictChange>,
    /// Invariants whose standing changed.
    pub invariants: Vec<StandingChange>,
    /// What was requested, issued, written or logged differently.
    pub changes: Vec<Change>,
    /// What took longer or shorter, beyond noise.
    pub timing: Vec<TimingChange>,
}

/// A scenario whose outcome changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerdictChange {
    /// The scenario.
    pub scenario: String,
    /// In A; `None` if it was not run.
    pub before: Option<Outcome>,
    /// In B; `None` if it was not run.
    pub after: Option<Outcome>,
    /// Whether it passed and no longer does. If B cannot show it or did not run it, that is not a regression.
    pub regression: bool,
}

/// An invariant that stands differently in scenarios that both sides have.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StandingChange {
    /// Its id: `I-04`.
    pub invariant: String,
    /// In A.
    pub before: Standing,
    /// In B.
    pub after: Standing,
    /// The scenarios in which this is so.
    pub scenarios: Vec<String>,
    /// Whether it was kept and no longer is.
    pub regression: bool,
}

/// Values of one field that only one side has.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// What it is about.
    pub aspect: Aspect,
    /// The subject.
    pub subject: String,
    /// The field; empty if the whole subject exists on one side only.
    pub field: &'static str,
    /// Only in A.
    pub before: Vec<String>,
    /// Only in B.
    pub after: Vec<String>,
    /// The scenarios in which this was seen.
    pub scenarios: Vec<String>,
}

/// Something that took a different time.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TimingChange {
    /// What.
    pub interval: Interval,
    /// In A.
    pub before: Samples,
    /// In B.
    pub after: Samples,
}

/// Measured values: seconds, or shares for [`Interval::Renewal`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Samples {
    /// How many.
    pub count: usize,
    /// The smallest.
    pub min: f64,
    /// The median.
    pub median: f64,
    /// The largest.
    pub max: f64,
}

/// The version of the JSON that [`Diff`] is written as.
pub const FORMAT: u32 = 2;

/// A subject that one side does not have at all.
const SEEN: &str = "seen";

impl Diff {
    /// Whether a scenario passed and no longer does, or kept an invariant and no longer does.
    pub fn is_regression(&self) -> bool {
        self.verdicts.iter().any(|change| change.regression) || self.invariants.iter().any(|change| change.regression)
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.verdicts.is_empty() && self.invariants.is_empty() && self.changes.is_empty() && self.timing.is_empty()
    }
}

/// Compares two sides. Behavior is compared in the scenarios that both have, so that a different selection is not a
/// change.
pub fn diff(a: &Side, b: &Side) -> Diff {
    let (in_a, in_b) = (by_scenario(a), by_scenario(b));
    let all: BTreeSet<&str> = in_a.keys().chain(in_b.keys()).copied().collect();
    let verdicts = all.iter().filter_map(|id| {
        let of = |side: &BTreeMap<&str, Seen<'_>>| side.get(id).map(|seen| seen.outcome);
        verdict_change(id, of(&in_a), of(&in_b))
    });
    let both: Vec<(&str, &Seen<'_>, &Seen<'_>)> = in_a
        .iter()
        .filter_map(|(id, seen)| Some((*id, seen, in_b.get(id)?)))
        .filter(|(_, a, b)| !a.runs.is_empty() && !b.runs.is_empty())
        .collect();
    Diff {
        format: FORMAT,
        a: a.name.clone(),
        b: b.name.clone(),
        runs: (a.runs.len(), b.runs.len()),
        compared: both.len(),
        verdicts: verdicts.collect(),
        invariants: standings(&in_a, &in_b),
        changes: changes(&both),
        timing: timing(&both),
    }
}

/// What the runs of one side show about a scenario.
struct Seen<'a> {
    /// The worst outcome of the runs.
    outcome: Outcome,
    /// The worst standing of each invariant.
    standings: BTreeMap<&'a str, Standing>,
    /// One entry for each run that has a history.
    runs: Vec<&'a Features>,
}

fn by_scenario(side: &Side) -> BTreeMap<&str, Seen<'_>> {
    let mut all: BTreeMap<&str, Seen<'_>> = BTreeMap::new();
    for recorded in side.runs.iter().flatten() {
        let first = || Seen { outcome: recorded.outcome, standings: BTreeMap::new(), runs: Vec::new() };
        let seen = all.entry(&recorded.scenario).or_insert_with(first);
        seen.outcome = seen.outcome.max(recorded.outcome);
        for invariant in &recorded.invariants {
            let standing = seen.standings.entry(&invariant.id).or_insert(invariant.standing);
            *standing = invariant.standing.max(*standing);
        }
        if !recorded.features.facts.is_empty() {
            seen.runs.push(&recorded.features);
        }
    }
    all
}

fn verdict_change(id: &str, before: Option<Outcome>, after: Option<Outcome>) -> Option<VerdictChange> {
    (before != after).then(|| VerdictChange {
        scenario: id.to_owned(),
        before,
        after,
        regression: before == Some(Outcome::Pass)
            && matches!(after, Some(Outcome::Known | Outcome::Fail | Outcome::Hang | Outcome::Error)),
    })
}

/// The invariants that stand differently. One that only one side was judged by is no change.
fn standings(a: &BTreeMap<&str, Seen<'_>>, b: &BTreeMap<&str, Seen<'_>>) -> Vec<StandingChange> {
    let mut all: BTreeMap<(&str, Standing, Standing), Vec<String>> = BTreeMap::new();
    for (scenario, of_a) in a {
        let Some(of_b) = b.get(scenario) else { continue };
        for (invariant, before) in &of_a.standings {
            if let Some(after) = of_b.standings.get(invariant).filter(|after| *after != before) {
                all.entry((invariant, *before, *after)).or_default().push((*scenario).to_owned());
            }
        }
    }
    let change = |((invariant, before, after), scenarios): ((&str, Standing, Standing), Vec<String>)| StandingChange {
        invariant: invariant.to_owned(),
        before,
        after,
        scenarios,
        regression: after == Standing::Broken,
    };
    all.into_iter().map(change).collect()
}

/// The changes of each scenario; those that are the same in several scenarios are listed once.
fn changes(both: &[(&str, &Seen<'_>, &Seen<'_>)]) -> Vec<Change> {
    type What = (Key, Vec<String>, Vec<String>);
    let mut all: BTreeMap<What, Vec<String>> = BTreeMap::new();
    for (id, a, b) in both {
        for change in changes_of(&a.runs, &b.runs) {
            all.entry(change).or_default().push((*id).to_owned());
        }
    }
    let change = |((key, before, after), scenarios): (What, Vec<String>)| Change {
        aspect: key.aspect,
        subject: key.subject,
        field: key.field,
        before,
        after,
        scenarios,
    };
    all.into_iter().map(change).collect()
}

/// Aspect and subject of facts.
type Subject = (Aspect, String);

fn subjects(run: &Features) -> BTreeSet<Subject> {
    run.facts.keys().map(|key| (key.aspect, key.subject.clone())).collect()
}

fn changes_of(a: &[&Features], b: &[&Features]) -> Vec<(Key, Vec<String>, Vec<String>)> {
    let ever = |runs: &[&Features]| -> BTreeSet<Subject> { runs.iter().flat_map(|run| subjects(run)).collect() };
    let (of_a, of_b) = (ever(a), ever(b));
    let mut changes = Vec::new();
    for subject in of_a.symmetric_difference(&of_b) {
        let in_a = of_a.contains(subject);
        let side = if in_a { a } else { b };
        // what only some runs have is noise
        if side.iter().all(|run| subjects(run).contains(subject)) {
            let (key, values) = whole_subject(side, subject);
            changes.push(if in_a { (key, values, Vec::new()) } else { (key, Vec::new(), values) });
        }
    }
    let keys: BTreeSet<&Key> = a
        .iter()
        .chain(b)
        .flat_map(|run| run.facts.keys())
        .filter(|key| {
            let subject = (key.aspect, key.subject.clone());
            of_a.contains(&subject) && of_b.contains(&subject)
        })
        .collect();
    for key in keys {
        let (always_a, ever_a) = always_and_ever(a, key);
        let (always_b, ever_b) = always_and_ever(b, key);
        let only = |always: BTreeSet<String>, others: &BTreeSet<String>| -> Vec<String> {
            always.difference(others).cloned().collect()
        };
        let (before, after) = (only(always_a, &ever_b), only(always_b, &ever_a));
        if !before.is_empty() || !after.is_empty() {
            changes.push((key.clone(), before, after));
        }
    }
    changes
}

/// A subject that only one side has: shown by its values if it has one field, otherwise as a whole.
fn whole_subject(side: &[&Features], subject: &Subject) -> (Key, Vec<String>) {
    let of_subject = |key: &&Key| (key.aspect, &key.subject) == (subject.0, &subject.1);
    let fields: Vec<&Key> = side[0].facts.keys().filter(of_subject).collect();
    match fields.as_slice() {
        [one] => {
            let (always, _) = always_and_ever(side, one);
            ((*one).clone(), always.into_iter().collect())
        }
        _ => {
            let key = Key { aspect: subject.0, subject: subject.1.clone(), field: "" };
            (key, vec![SEEN.to_owned()])
        }
    }
}

/// The values of a field in all runs of a side, and in any run.
fn always_and_ever(runs: &[&Features], key: &Key) -> (BTreeSet<String>, BTreeSet<String>) {
    let none = BTreeSet::new();
    let mut sets = runs.iter().map(|run| run.facts.get(key).unwrap_or(&none));
    let first = sets.next().cloned().unwrap_or_default();
    sets.fold((first.clone(), first), |(always, ever), set| (&always & set, &ever | set))
}

/// Times are pooled over all scenarios: the more there are, the less noise.
fn timing(both: &[(&str, &Seen<'_>, &Seen<'_>)]) -> Vec<TimingChange> {
    let mut pooled: BTreeMap<Interval, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
    for (_, a, b) in both {
        for (interval, values) in a.runs.iter().flat_map(|run| &run.samples) {
            pooled.entry(*interval).or_default().0.extend(values);
        }
        for (interval, values) in b.runs.iter().flat_map(|run| &run.samples) {
            pooled.entry(*interval).or_default().1.extend(values);
        }
    }
    pooled
        .into_iter()
        .filter_map(|(interval, (a, b))| {
            let (before, after) = (Samples::of(a)?, Samples::of(b)?);
            let apart = before.max < after.min || after.max < before.min;
            let noise = interval.noise(before.median.max(after.median));
            let differs = apart && (before.median - after.median).abs() > noise;
            differs.then_some(TimingChange { interval, before, after })
        })
        .collect()
}

impl Samples {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        Some(Self {
            count: values.len(),
            min: *values.first()?,
            median: *values.get(values.len() / 2)?,
            max: *values.last()?,
        })
    }
}
