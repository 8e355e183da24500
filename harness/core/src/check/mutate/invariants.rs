//! Whether each invariant that a history kept can be broken by it: the history is changed, one thing at a time, and judged
//! as a whole again.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::{Effort, alterations, fresh, json, leaves, undone, until_decided};
use crate::check::invariants::{self, Invariant, Standing};
use crate::check::{Outcome, Verdict, judge_all};
use crate::history::Event;
use crate::scenario::Scenario;

/// What the changes of a history show about one invariant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InvariantProof {
    /// Its id: `I-04`.
    pub invariant: &'static str,
    /// Its name.
    pub name: &'static str,
    /// How many changes were tried.
    pub tried: usize,
    /// The changes that broke it, in words.
    pub killed_by: Vec<String>,
}

impl InvariantProof {
    /// Whether no change broke it.
    pub fn survives(&self) -> bool {
        self.killed_by.is_empty()
    }
}

/// How many events of a kind are changed, from the last one back: what comes first is often not judged yet.
const OF_A_KIND: usize = 40;

/// Tries to break each invariant that a history kept. One that looked at nothing is not tried.
///
/// # Errors
/// If the history does not pass unchanged.
pub fn prove_invariants(scenario: &Scenario, events: &[Event], effort: Effort) -> Result<Vec<InvariantProof>, Verdict> {
    let verdict = judge_all(scenario, events.to_vec());
    if verdict.outcome != Outcome::Pass {
        return Err(verdict);
    }
    let events = until_decided(scenario, events);
    let held = verdict.invariants.iter().filter(|one| one.standing == Standing::Held);
    let proofs = held.filter_map(|one| Invariant::find(&one.id)).map(|invariant| {
        let mut proof =
            InvariantProof { invariant: invariant.id, name: invariant.name, tried: 0, killed_by: Vec::new() };
        for (words, changed) in changes(invariant, events) {
            proof.tried += 1;
            let broken = invariants::judge(scenario, &changed, &verdict.expectations).invariants;
            let broken = broken.iter().any(|one| one.id == invariant.id && one.standing == Standing::Broken);
            if broken && !proof.killed_by.contains(&words) {
                proof.killed_by.push(words);
            }
            if !proof.survives() && effort == Effort::First {
                break;
            }
        }
        proof
    });
    Ok(proofs.collect())
}

type Changes<'a> = Box<dyn Iterator<Item = (String, Vec<Event>)> + 'a>;

/// What its recorders saw: undone, seen again, seen late, altered in a field, and not seen at all.
fn changes<'a>(invariant: &'static Invariant, events: &'a [Event]) -> Changes<'a> {
    let mut kinds: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, event) in events.iter().enumerate().rev() {
        if event.what.recorder().is_some_and(|recorder| invariant.recorders.contains(&recorder)) {
            let places = kinds.entry(event.what.kind()).or_default();
            places.push(place);
        }
    }
    let sample: Vec<(&str, usize)> =
        kinds.iter().flat_map(|(kind, places)| places.iter().take(OF_A_KIND).map(|place| (*kind, *place))).collect();
    let told = |what: &str, kind: &str| format!("a `{kind}` {what}");
    let undone = sample.clone().into_iter().flat_map(move |(kind, place)| {
        undone(&events[place]).into_iter().map(move |event| (told("undone", kind), with(events, place, event)))
    });
    let again = sample
        .clone()
        .into_iter()
        .map(move |(kind, place)| (told("of something else", kind), with(events, place, fresh(&events[place]))));
    let stale = kinds.clone().into_iter().flat_map(move |(kind, places)| {
        let first = places.into_iter().rev().take(OF_A_KIND);
        first.map(move |place| (told("again at the end", kind), with(events, events.len() - 1, events[place].clone())))
    });
    let dropped = kinds.into_iter().map(move |(kind, places)| {
        let gone: BTreeSet<usize> = places.into_iter().collect();
        let left = events.iter().enumerate().filter(|(place, _)| !gone.contains(place));
        (format!("all of `{kind}` dropped"), numbered(left.map(|(_, event)| event.clone()).collect()))
    });
    let one_dropped = sample.clone().into_iter().map(move |(kind, place)| {
        let mut left = events.to_vec();
        left.remove(place);
        (told("dropped", kind), numbered(left))
    });
    let altered = sample.into_iter().flat_map(move |(kind, place)| {
        altered(&events[place]).map(move |(field, event)| {
            let mut changed = events.to_vec();
            changed[place] = event;
            (format!("{} of a `{kind}` altered", field.trim_start_matches('/')), changed)
        })
    });
    Box::new(undone.chain(one_dropped).chain(again).chain(stale).chain(altered).chain(dropped))
}

/// With an event more, right after the one at a place.
fn with(events: &[Event], place: usize, event: Event) -> Vec<Event> {
    let beside = &events[place];
    let mut changed = events.to_vec();
    changed.insert(place + 1, Event { at: beside.at, seen: beside.seen, mono: beside.mono, ..event });
    numbered(changed)
}

fn numbered(mut events: Vec<Event>) -> Vec<Event> {
    for (seq, event) in (0..).zip(&mut events) {
        event.seq = seq;
    }
    events
}

/// The event with another value in each of its fields, and the field.
fn altered(event: &Event) -> impl Iterator<Item = (String, Event)> + use<> {
    let document = json(&event.what);
    let mut fields = Vec::new();
    leaves(&document, String::new(), &mut |pointer, value: &Value| {
        fields.extend(alterations(value).into_iter().map(|new| (pointer.to_owned(), new)));
    });
    let event = event.clone();
    fields.into_iter().filter_map(move |(pointer, new)| {
        let mut document = document.clone();
        *document.pointer_mut(&pointer)? = new;
        let what = serde_json::from_value(document).ok()?;
        Some((pointer, Event { what, ..event.clone() }))
    })
}
