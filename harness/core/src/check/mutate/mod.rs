//! Whether each expectation of a scenario can fail: its recorded history is changed, one thing at a time, and judged
//! again. A pure function of scenario and history, as judging is.
//!
//! An `expect` must turn red when the events that fulfilled it are dropped, duplicated, or have a field altered. A
//! `never` must turn red when the forbidden thing is put into its window: an event from elsewhere in the history, the
//! whole story of the positive control too early, or an event of the window with the control's fields grafted on. A
//! `stays` must turn red when what became so is undone: at once, in the middle and at the end of its time. An expectation
//! that no change turns red proves nothing.
//!
//! An invariant must be broken by some change of what its recorders saw: see [`prove_invariants`].
//!
//! Each expectation is judged alone, so that another one that turns red first does not hide it. A deadline comes when
//! the history's clock has passed it, or when the scenario moves on to its next stimulus.

mod invariants;

use std::collections::{BTreeSet, HashSet};

use serde::Serialize;
use serde_json::{Map, Value};

pub use invariants::{InvariantProof, prove_invariants};

use super::judge::{Judge, Next, Outcome, Verdict};
use super::{Matcher, judge_all};
use crate::history::event::{
    Change, ClosedBy, ConnectionState, CsrCondition, Deadline, Event, FileEvent, FileOp, InboundState, MetricsEvent,
    Phase, ProcessState, What,
};
use crate::scenario::{Scenario, Step};
use crate::time::Shift;

/// What the changes of a history show about one expectation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// Index of its step.
    pub step: usize,
    /// Line of its step in the scenario file.
    pub line: u64,
    /// Its keyword: `expect`, `stays` or `never`.
    pub word: &'static str,
    /// Its kind: `request`, `csr`, …
    pub kind: String,
    /// How many changes were tried.
    pub tried: usize,
    /// The changes that turned it red, in words.
    pub killed_by: Vec<String>,
}

impl Proof {
    /// Whether no change turned it red.
    pub fn survives(&self) -> bool {
        self.killed_by.is_empty()
    }
}

/// How much is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Stop at the first change that turns an expectation red.
    First,
    /// Every change.
    All,
}

/// Tries to turn each expectation red that a history fulfilled.
///
/// # Errors
/// If the history does not pass unchanged: then there is nothing to turn red.
pub fn prove(scenario: &Scenario, events: &[Event], effort: Effort) -> Result<Vec<Proof>, Verdict> {
    let verdict = judge_all(scenario, events.to_vec());
    if verdict.outcome != Outcome::Pass {
        return Err(verdict);
    }
    let events = until_decided(scenario, events);
    let proofs = verdict.expectations.iter().map(|expectation| {
        let subject = Subject::new(scenario, events, expectation.step);
        let mut proof = Proof {
            step: expectation.step,
            line: expectation.line,
            word: scenario.steps[expectation.step].value.word(),
            kind: expectation.kind.clone(),
            tried: 0,
            killed_by: Vec::new(),
        };
        for (words, changed) in subject.changes() {
            proof.tried += 1;
            if subject.is_red(&changed) && !proof.killed_by.contains(&words) {
                proof.killed_by.push(words);
            }
            if !proof.survives() && (expectation.never || effort == Effort::First) {
                break;
            }
        }
        proof
    });
    Ok(proofs.collect())
}

/// The history without its end, in which the cluster is stopped.
fn until_decided<'a>(scenario: &Scenario, events: &'a [Event]) -> &'a [Event] {
    let mut judge = Judge::new(scenario);
    let end = events.iter().position(|event| {
        judge.feed(event.clone());
        judge.next() == Next::Done
    });
    &events[..end.map_or(events.len(), |end| end + 1)]
}

/// One expectation, with the history that fulfils it.
struct Subject<'a> {
    scenario: &'a Scenario,
    events: &'a [Event],
    index: usize,
    matcher: &'a dyn Matcher,
}

type Changed<'a> = Box<dyn Iterator<Item = (String, Vec<Event>)> + 'a>;

impl<'a> Subject<'a> {
    fn new(scenario: &'a Scenario, events: &'a [Event], index: usize) -> Self {
        let (_, matcher) = scenario.steps[index].value.matchers()[0];
        Self { scenario, events, index, matcher }
    }

    fn is_red(&self, events: &[Event]) -> bool {
        matches!(self.outcome(events).0, Some(Outcome::Fail | Outcome::Hang))
    }

    /// The outcome of the expectation when it is judged alone, and the positions of the events that decided it.
    fn outcome(&self, events: &[Event]) -> (Option<Outcome>, Vec<usize>) {
        let (verdict, places) = replay(Judge::of_one(self.scenario, self.index), events);
        let mut all = verdict.expectations.into_iter();
        let Some(own) = all.find(|own| own.step == self.index) else {
            return (None, Vec::new());
        };
        let decided = own.events.iter();
        let decided = decided.filter_map(|seq| places.get(*seq as usize).copied().flatten());
        (own.outcome, decided.collect())
    }

    fn changes(&'a self) -> Changed<'a> {
        match &self.scenario.steps[self.index].value {
            Step::Never(never) => self.intrusions(&never.control, never.after.as_deref()),
            Step::Stays(_) => self.relapses(),
            _ => {
                let (_, decided) = self.outcome(self.events);
                let places = self.places(&decided);
                let decided_first = decided.first().copied();
                Box::new(
                    std::iter::once(("dropped".to_owned(), self.dropped(decided)))
                        .chain(self.doubled(&places))
                        .chain(self.altered(places))
                        .chain(self.planted(decided_first)),
                )
            }
        }
    }

    /// The events that an expectation depends on: those that fulfilled it, or for an expectation about the state, the
    /// last events that made it true.
    fn places(&self, decided: &[usize]) -> Vec<usize> {
        let speaks = |event: &Event| self.is_own(event) || self.matcher.recorders().is_empty();
        if decided.iter().any(|place| speaks(&self.events[*place])) {
            return decided.to_vec();
        }
        let end = decided.last().map_or(0, |last| last + 1);
        let own = (0..end).rev().filter(|place| self.is_own(&self.events[*place]));
        own.take(LAST).collect()
    }

    /// Whether the event comes from a recorder that the expectation needs, and concerns it.
    fn is_own(&self, event: &Event) -> bool {
        let recorder = event.what.recorder();
        recorder.is_some_and(|recorder| self.matcher.recorders().contains(&recorder))
            && self.matcher.looks_at().is_changed_by(event)
    }

    // --- expect ---

    /// Without the events that fulfilled it, and without those that would do so in their place.
    fn dropped(&self, mut decided: Vec<usize>) -> Vec<Event> {
        let mut events = self.events.to_vec();
        for _ in 0..ROUNDS {
            let gone: HashSet<usize> = decided.into_iter().collect();
            let goes = |(place, event): (usize, &Event)| gone.contains(&place) && self.is_own(event);
            let before = events.len();
            let keep: Vec<bool> = events.iter().enumerate().map(|item| !goes(item)).collect();
            let mut keep = keep.into_iter();
            events.retain(|_| keep.next().unwrap_or(true));
            if events.len() == before {
                break;
            }
            let (outcome, next) = self.outcome(&events);
            if outcome != Some(Outcome::Pass) {
                return events;
            }
            decided = next;
        }
        // It evaluates the state, or very many events.
        events.retain(|event| !self.is_own(event));
        events
    }

    fn doubled(&'a self, places: &[usize]) -> Changed<'a> {
        let places = places.to_vec();
        Box::new(places.into_iter().filter(|place| self.is_own(&self.events[*place])).map(|place| {
            let mut events = self.events.to_vec();
            events.insert(place, fresh(&self.events[place]));
            ("doubled".to_owned(), events)
        }))
    }

    /// Each field of the events that it depends on, altered wherever this history has the same value.
    fn altered(&'a self, places: Vec<usize>) -> Changed<'a> {
        let mut seen = BTreeSet::new();
        let mut fields = Vec::new();
        for place in places {
            let what = json(&self.events[place].what);
            leaves(&what, String::new(), &mut |pointer, value| {
                if seen.insert(format!("{pointer}={value}")) {
                    fields.push((pointer.to_owned(), value.clone()));
                }
            });
        }
        let documents: Vec<Value> = self.events.iter().map(|event| json(&event.what)).collect();
        Box::new(fields.into_iter().flat_map(move |(pointer, value)| {
            let mut values: Vec<Value> = alterations(&value).to_vec();
            // A word of a closed set can only become another word of that set.
            let others = documents.iter().filter_map(|document| document.pointer(&pointer));
            values.extend(others.filter(|other| **other != value && other.is_string()).take(LAST).cloned());
            let documents = &documents;
            let changed: Vec<_> = values
                .into_iter()
                .filter_map(|new| {
                    let mut events = self.events.to_vec();
                    let meant = documents
                        .iter()
                        .zip(&mut events)
                        .filter(|(document, _)| document.pointer(&pointer) == Some(&value));
                    for (document, event) in meant {
                        let mut document = document.clone();
                        *document.pointer_mut(&pointer)? = new.clone();
                        event.what = serde_json::from_value(document).ok()?;
                    }
                    Some((format!("{} altered", pointer.trim_start_matches('/')), events))
                })
                .collect();
            changed
        }))
    }

    /// An event from elsewhere in the history, inserted where the expectation was fulfilled: for an `expect` that
    /// something is absent.
    fn planted(&'a self, place: Option<usize>) -> Changed<'a> {
        let own = self.events.iter().enumerate().filter(|(_, event)| self.is_own(event));
        Box::new(own.filter_map(move |(from, event)| {
            let place = place.filter(|place| *place != from && *place > 0)?;
            Some(("an event from elsewhere inserted there".to_owned(), self.inserted(place, vec![event.clone()])))
        }))
    }

    // --- stays ---

    /// What became so, undone within its time.
    fn relapses(&'a self) -> Changed<'a> {
        let mut judge = Judge::of_one(self.scenario, self.index);
        let mut window: Option<(usize, usize)> = None;
        for (place, event) in self.events.iter().enumerate() {
            judge.feed(event.clone());
            if judge.stays_now(self.index) {
                window = Some((window.map_or(place + 1, |(from, _)| from), place + 1));
            }
        }
        let Some((from, end)) = window else { return Box::new(std::iter::empty()) };
        let places = [
            ("undone as soon as it was so", from),
            ("undone in the middle of its time", from.midpoint(end)),
            ("undone at the end of its time", end.max(from + 1) - 1),
        ];
        Box::new(places.into_iter().flat_map(move |(words, place)| {
            let own = |known: &usize| self.is_own(&self.events[*known]);
            let before: Vec<usize> = (0..place).rev().filter(own).take(LAST).collect();
            let opposite = before.clone().into_iter().flat_map(|known| undone(&self.events[known]));
            let another = before.into_iter().map(|known| fresh(&self.events[known]));
            // For what must stay away.
            let elsewhere = (0..self.events.len()).filter(own).take(ROUNDS).map(|known| self.events[known].clone());
            let intruders = opposite.chain(another).chain(elsewhere).chain(self.under_its_name());
            intruders.map(|event| (words.to_owned(), self.inserted(place, vec![event]))).collect::<Vec<_>>()
        }))
    }

    /// A file from elsewhere in the history, under the name that must stay away.
    fn under_its_name(&self) -> Option<Event> {
        let file: Value = serde_saphyr::from_str(&self.scenario.text).ok()?;
        let name = file.get("steps")?.get(self.index)?.pointer("/stays/file/name")?.as_str()?.replace(['*', '?'], "x");
        self.events.iter().find_map(|event| match &event.what {
            What::File(file) if file.facts.is_some() && self.matcher.nodes().contains(&file.node.as_str()) => {
                let file = FileEvent { name: name.clone(), ..(**file).clone() };
                Some(Event { what: What::File(Box::new(file)), ..event.clone() })
            }
            _ => None,
        })
    }

    // --- never ---

    /// The forbidden thing, put into the window: when the stimulus is done, at the end of the window, and during the
    /// stimulus.
    fn intrusions(&'a self, control: &str, after: Option<&str>) -> Changed<'a> {
        let Some(window) = self.window(after) else {
            return Box::new(std::iter::empty());
        };
        let control = self.scenario.step_named(control);
        let shown = control.map(|control| Subject::new(self.scenario, self.events, control));
        let control_places = shown
            .map(|shown| {
                let (_, decided) = shown.outcome(self.events);
                (shown.places(&decided), decided.last().copied().unwrap_or(0))
            })
            .unwrap_or_default();
        let (places, until) = control_places;
        let own: Vec<&Event> = self.events.iter().filter(|event| self.is_own(event)).collect();
        let mut intruders: Vec<(String, Vec<Event>)> = Vec::new();
        intruders.extend(
            places
                .iter()
                .map(|place| ("the control's event in its window".to_owned(), vec![self.events[*place].clone()])),
        );
        intruders.extend(
            own.iter().map(|event| ("an event from elsewhere in its window".to_owned(), vec![(*event).clone()])),
        );
        intruders.push(("the control's story in its window".to_owned(), self.story(window[0], until)));
        intruders.push(("the control's end in its window".to_owned(), self.end_of_story(until, &places)));
        intruders.extend(own.iter().map(|event| ("another one of its kind".to_owned(), vec![fresh(event)])));
        let renamed = places.iter().flat_map(|place| self.renamed(control, &self.events[*place]));
        intruders.extend(renamed.map(|event| ("the control's event with its names".to_owned(), vec![event])));
        intruders.extend(
            own.iter().flat_map(|event| undone(event)).map(|event| ("one of its kind, undone".to_owned(), vec![event])),
        );
        let decided = own.iter().flat_map(|event| decided(event));
        intruders.extend(decided.map(|event| ("one of its kind, decided otherwise".to_owned(), vec![event])));
        let grafts = move || {
            let base: Vec<&Event> = own.clone();
            let scions: Vec<&Event> = places.iter().map(|place| &self.events[*place]).collect();
            base.into_iter()
                .flat_map(move |base| scions.clone().into_iter().flat_map(move |scion| grafts(base, scion)))
                .map(|event| ("an event of its window with the control's fields".to_owned(), vec![event]))
        };
        let everywhere = move |(words, intruder): (String, Vec<Event>)| {
            window.map(|place| (words.clone(), self.inserted(place, intruder.clone())))
        };
        Box::new(intruders.into_iter().chain(std::iter::once_with(grafts).flatten()).flat_map(everywhere))
    }

    /// Where something could be inserted: after the end of the stimulus above (or of its `after`), before the next
    /// stimulus, and after the start of the one above: what happens during the stimulus counts.
    fn window(&self, after: Option<&str>) -> Option<[usize; 3]> {
        let stimulus = (0..self.index).rev().find(|index| !self.scenario.steps[*index].value.is_judged())?;
        let is = |event: &Event, index: usize, begins: bool| matches!(&event.what, What::Step(step) if step.index == index && matches!(step.phase, Phase::Begin) == begins);
        let mut begin = self.events.iter().position(|event| is(event, stimulus, true))? + 1;
        let mut from = self.events.iter().position(|event| is(event, stimulus, false))? + 1;
        if let Some(after) = after.and_then(|name| self.scenario.step_named(name)) {
            let (_, decided) = Subject::new(self.scenario, self.events, after).outcome(self.events);
            from = from.max(*decided.last()? + 1);
            begin = from;
        }
        let next = (self.index..self.scenario.steps.len()).find(|index| !self.scenario.steps[*index].value.is_judged());
        let until = next.and_then(|next| self.events.iter().position(|event| is(event, next, true)));
        // The last event before the window's end, by the clock of the one that decided it.
        let end = until.unwrap_or(self.events.len());
        let for_seconds = match &self.scenario.steps[self.index].value {
            Step::Never(never) => never.duration,
            _ => None,
        };
        let zero = &self.events[from - 1];
        let in_time = |event: &Event| {
            for_seconds.is_none_or(|length| event.at.duration_since(zero.at) < length && event.at >= zero.at)
        };
        let last = (from..end).rev().find(|place| in_time(&self.events[*place]));
        Some([from, last.unwrap_or(from).max(from), begin])
    }

    /// What was recorded from the window on until the control was decided; or, if the control came before, from its
    /// stimulus on.
    fn story(&self, from: usize, until: usize) -> Vec<Event> {
        let from = if from <= until {
            from
        } else {
            (0..until).rev().find(|place| matches!(self.events[*place].what, What::Step(_))).unwrap_or(0)
        };
        let observed = self.events[from..=until].iter().filter(|event| event.what.recorder().is_some());
        observed.cloned().collect()
    }

    /// The control's events, and the certificates that were issued until then, without the events that led to them.
    fn end_of_story(&self, until: usize, places: &[usize]) -> Vec<Event> {
        let is_issued = |event: &Event| matches!(&event.what, What::Csr(csr) if !csr.certificates.is_empty());
        let issued = (0..until).filter(|place| is_issued(&self.events[*place]) && !places.contains(place));
        issued.chain(places.iter().copied()).map(|place| self.events[place].clone()).collect()
    }

    /// The control's event with the names of the `never` in it: in the same fields as the control's, or in place of the
    /// scenario's nodes.
    fn renamed(&self, control: Option<usize>, event: &Event) -> Vec<Event> {
        let file: Value = serde_saphyr::from_str(&self.scenario.text).unwrap_or_default();
        let words = |index: usize, step: &str| {
            let step = file.get("steps")?.get(index)?.get(step)?.as_object()?;
            step.values().find_map(Value::as_object).cloned()
        };
        let has = control.and_then(|control| words(control, "expect")).unwrap_or_default();
        let mut events = Vec::new();
        for (field, wanted) in words(self.index, "never").unwrap_or_default() {
            let nodes = self.scenario.nodes.iter().map(|node| &*node.name);
            let known = has.get(&field).and_then(Value::as_str).into_iter();
            let known = known.chain(nodes.filter(|_| field == "node"));
            for (known, wanted) in known.zip(std::iter::repeat(wanted.as_str())) {
                let mut what = json(&event.what);
                replace(&mut what, known, wanted.unwrap_or(known));
                if let Ok(what) = serde_json::from_value(what) {
                    events.push(Event { what, ..fresh(event) });
                }
            }
        }
        events
    }

    fn inserted(&self, place: usize, intruder: Vec<Event>) -> Vec<Event> {
        let mut events = self.events.to_vec();
        let beside = self.events[place - 1].clone();
        let at = |event: Event| Event { at: beside.at, seen: beside.seen, mono: beside.mono, ..event };
        events.splice(place..place, intruder.into_iter().map(at));
        events
    }
}

/// How many events are changed where there could be very many.
const LAST: usize = 4;
/// How often the events that take the place of dropped ones are dropped as well.
const ROUNDS: usize = 40;

/// Judges a changed history as a run would: with a deadline as soon as the time is over. Also returns the position in
/// `events` of each event that was judged.
fn replay(mut judge: Judge<'_>, events: &[Event]) -> (Verdict, Vec<Option<usize>>) {
    let mut places = Vec::new();
    for (place, event) in events.iter().enumerate() {
        if matches!(event.what, What::Deadline(_)) {
            continue;
        }
        while let Next::Wait { step, mono } = judge.next() {
            if event.mono <= mono && !matches!(event.what, What::Step(_)) {
                break;
            }
            feed_deadline(&mut judge, step);
            places.push(None);
        }
        if judge.next() == Next::Done {
            break;
        }
        feed(&mut judge, event.clone());
        places.push(Some(place));
    }
    while let Next::Wait { step, .. } = judge.next() {
        feed_deadline(&mut judge, step);
    }
    (judge.verdict(), places)
}

fn feed(judge: &mut Judge<'_>, event: Event) {
    let seq = judge.past().len() as u64;
    judge.feed(Event { seq, ..event });
}

fn feed_deadline(judge: &mut Judge<'_>, step: usize) {
    if let Some(last) = judge.past().last() {
        let what = What::Deadline(Deadline { step });
        let event = Event { what, ..last.clone() };
        feed(judge, event);
    }
}

fn json(what: &What) -> Value {
    serde_json::to_value(what).unwrap_or(Value::Null)
}

/// The event, as one about another object with the same content.
fn fresh(event: &Event) -> Event {
    let mut event = event.clone();
    match &mut event.what {
        What::Csr(csr) => {
            csr.uid.push_str("-again");
            csr.name = format!("csr-{}", &csr.name.chars().rev().take(5).collect::<String>());
        }
        What::Process(process) => process.pid += 1,
        What::Connection(connection) => connection.id += 1000,
        What::Inbound(connection) => connection.id += 1000,
        What::File(file) => {
            // Another name that matches the same pattern, if the name has a date in it.
            file.name = file.name.replacen("2-", "3-", 1);
        }
        _ => {}
    }
    event
}

/// The CSR of an event, once with each condition that exists.
fn decided(event: &Event) -> Vec<Event> {
    let What::Csr(csr) = &event.what else {
        return Vec::new();
    };
    let with = |kind: &str| {
        let mut csr = csr.clone();
        csr.conditions.push(CsrCondition {
            kind: kind.to_owned(),
            status: "True".to_owned(),
            reason: String::new(),
            message: String::new(),
            last_update_time: None,
            last_transition_time: None,
        });
        Event { what: What::Csr(csr), ..event.clone() }
    };
    ["Approved", "Denied", "Failed"].map(with).into()
}

/// The opposite of what the event tells about the same thing.
fn undone(event: &Event) -> Vec<Event> {
    let mut what = event.what.clone();
    match &mut what {
        What::File(file) => (file.op, file.facts) = (FileOp::Deleted, None),
        What::Process(process) => {
            process.state = ProcessState::Exited { code: Some(1), signal: None, asked: false };
        }
        What::Connection(connection) => connection.state = ConnectionState::Closed { by: ClosedBy::Kubelet },
        What::Inbound(connection) => connection.state = InboundState::Closed { by: ClosedBy::Kubelet },
        What::Node(node) => (node.change, node.ready) = (Change::Deleted, None),
        What::Csr(csr) => csr.change = Change::Deleted,
        What::Request(request) => {
            (request.code, request.user, request.credential_id) = (401, None, None);
        }
        What::Presented(presented) => {
            presented.chain.clear();
            presented.client_cas.clear();
            presented.refused = Some("no handshake".into());
        }
        What::Metrics(metrics) => {
            let far = |value: &str| {
                What::Metrics(MetricsEvent {
                    values: metrics.values.keys().map(|name| (name.clone(), value.to_owned())).collect(),
                    ..metrics.clone()
                })
            };
            return ["1e18", "-1e18"].map(|value| Event { what: far(value), ..event.clone() }).into();
        }
        _ => {}
    }
    vec![Event { what, ..event.clone() }]
}

/// `base` with one or two of the fields in which `scion` differs.
fn grafts(base: &Event, scion: &Event) -> Vec<Event> {
    let (Value::Object(base_what), Value::Object(scion_what)) = (json(&base.what), json(&scion.what)) else {
        return Vec::new();
    };
    let (Some((kind, base_fields)), Some((other, scion_fields))) = (base_what.iter().next(), scion_what.iter().next())
    else {
        return Vec::new();
    };
    let (Some(base_fields), Some(scion_fields)) = (base_fields.as_object(), scion_fields.as_object()) else {
        return Vec::new();
    };
    if kind != other {
        return Vec::new();
    }
    let differing: Vec<&String> =
        scion_fields.keys().filter(|field| base_fields.get(*field) != scion_fields.get(*field)).collect();
    let mut grafted = Vec::new();
    for (first, one) in differing.iter().enumerate() {
        for two in &differing[first..] {
            let mut fields: Map<String, Value> = base_fields.clone();
            for field in [one, two] {
                fields.insert((*field).clone(), scion_fields[*field].clone());
            }
            let what = serde_json::json!({ kind.clone(): fields });
            if let Ok(what) = serde_json::from_value(what) {
                grafted.push(Event { what, ..base.clone() });
            }
        }
    }
    grafted
}

/// Calls `visit` for each value that is not a list or an object, with its JSON pointer.
fn leaves(value: &Value, pointer: String, found: &mut impl FnMut(&str, &Value)) {
    let deeper = |key: &str| format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| leaves(value, deeper(key), found)),
        Value::Array(items) => {
            found(&pointer, value);
            items.iter().enumerate().for_each(|(key, value)| leaves(value, deeper(&key.to_string()), found));
        }
        _ => found(&pointer, value),
    }
}

/// Other values of the same type.
fn alterations(value: &Value) -> Vec<Value> {
    match value {
        Value::Bool(value) => vec![Value::Bool(!value)],
        Value::Number(number) => number
            .as_i64()
            .map(|number| vec![number.wrapping_add(1).into(), number.wrapping_add(100_000).into()])
            .unwrap_or_default(),
        Value::String(text) => match text.parse::<jiff::Timestamp>() {
            Ok(time) => vec![changed(time).to_string().into()],
            Err(_) => vec![format!("{text}~").into(), "0".into(), "1e18".into()],
        },
        Value::Array(items) if items.is_empty() => Vec::new(),
        Value::Array(_) => vec![Value::Array(Vec::new())],
        Value::Null | Value::Object(_) => Vec::new(),
    }
}

/// An hour later, or earlier at the end of time.
fn changed(time: jiff::Timestamp) -> jiff::Timestamp {
    let hour = jiff::SignedDuration::from_hours(1);
    if time.later(hour) == time { time.earlier(hour) } else { time.later(hour) }
}

/// Replaces `from` by `to` in each text that equals it, or ends with it after a colon.
fn replace(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(|value| replace(value, from, to)),
        Value::Array(items) => items.iter_mut().for_each(|value| replace(value, from, to)),
        Value::String(text) => {
            if let Some(before) = text.strip_suffix(from).filter(|before| before.is_empty() || before.ends_with(':')) {
                *text = format!("{before}{to}");
            }
        }
        _ => {}
    }
}
