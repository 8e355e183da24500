//! From events to a verdict, one event at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::invariants::{self, InvariantVerdict, Standing, Whole};
use super::lasting::Lasting;
use super::{DEFAULT_WITHIN, LooksAt, Match, Matcher, Mismatch, Moment, Never, State, Stays};
use crate::history::event::{Event, Load, Phase, What};
use crate::scenario::{Scenario, Step};
use crate::time::micros;

/// The outcome of a scenario, or of one of its expectations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum Outcome {
    /// Everything as expected.
    Pass,
    /// A failure that is known: by a bug of Kubernetes that the history shows, or, in reports, by a list with reasons.
    Known,
    /// Something other than what was expected happened.
    Fail,
    /// Nothing happened by the deadline: the silent failure.
    Hang,
    /// The target cannot show it.
    Unsupported,
    /// Not decided, or a fault of the harness itself.
    Error,
}

impl Outcome {
    /// Its name: `pass`, `fail`, …
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Known => "known",
            Self::Fail => "fail",
            Self::Hang => "hang",
            Self::Unsupported => "unsupported",
            Self::Error => "error",
        }
    }
}

/// The verdict on a scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// The overall outcome.
    pub outcome: Outcome,
    /// Why it is an error, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Each expectation that applies to these versions, in the order of the steps.
    pub expectations: Vec<ExpectationVerdict>,
    /// Each invariant, by id; empty where nothing was judged as a whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invariants: Vec<InvariantVerdict>,
    /// The bugs of Kubernetes, by id, because of which it is `known` and not `fail`: [`invariants::bugs`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bugs: Vec<String>,
}

impl Verdict {
    /// A verdict on a history of which nothing was judged, and why.
    pub fn without_history(outcome: Outcome, error: Option<String>) -> Self {
        Self { outcome, error, expectations: Vec::new(), invariants: Vec::new(), bugs: Vec::new() }
    }

    /// The invariants that were not kept.
    pub fn broken(&self) -> impl Iterator<Item = &InvariantVerdict> {
        self.invariants.iter().filter(|verdict| verdict.standing == Standing::Broken)
    }
}

/// The verdict on one expectation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExpectationVerdict {
    /// Index of its step.
    pub step: usize,
    /// Line of its step in the scenario file.
    pub line: u64,
    /// Its kind: `request`, `csr`, …
    pub kind: String,
    /// Whether it is about something that must never happen.
    pub never: bool,
    /// Its outcome; `None` if the scenario ended before it was decided.
    pub outcome: Option<Outcome>,
    /// The events that fulfilled it, or for a failure, the event that decided it.
    pub events: Vec<u64>,
    /// What came closest, closest first.
    pub closest: Vec<Closest>,
}

/// An event that came close to an expectation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closest {
    /// The event.
    pub seq: u64,
    /// What differed.
    pub mismatches: Vec<Mismatch>,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum Next {
    /// Perform the step of this index.
    Drive(usize),
    /// Wait for events. When `at` (microseconds of `mono`) has passed, write a deadline event for the step.
    Wait {
        /// The earliest deadline.
        step: usize,
        /// Its time.
        mono: u64,
    },
    /// Everything is decided.
    Done,
}

/// Judges a history against a scenario.
pub struct Judge<'s> {
    scenario: &'s Scenario,
    state: State,
    past: Vec<Event>,
    /// How many of them came before everything was decided: what comes after is the end of the cluster.
    judged: usize,
    verdicts: BTreeMap<usize, ExpectationVerdict>,
    /// What became so and must stay so, by step.
    lasting: BTreeMap<usize, Lasting>,
    /// Steps before this one are done or decided.
    cursor: usize,
    /// Where the current window of expectations begins.
    window: Timestamp,
    /// End of the last stimulus, by `mono`: the zero of deadlines.
    zero: u64,
    /// The same moment by the wall clock.
    zero_at: Timestamp,
    /// The load before the last stimulus began.
    load: Load,
    /// Whether the step at the cursor is in progress.
    driving: bool,
    broken: Option<String>,
    over: bool,
    /// Whether it goes on after what makes it red.
    keep_going: bool,
    /// The only steps that are judged; all of them if `None`.
    only: Option<BTreeSet<usize>>,
}

const KEPT_CLOSEST: usize = 3;

impl<'s> Judge<'s> {
    /// A judge that has seen no events yet.
    pub fn new(scenario: &'s Scenario) -> Self {
        let mut judge = Self {
            scenario,
            state: State::default(),
            past: Vec::new(),
            judged: 0,
            verdicts: BTreeMap::new(),
            lasting: BTreeMap::new(),
            cursor: 0,
            window: Timestamp::MIN,
            zero: 0,
            zero_at: Timestamp::MIN,
            load: Load::default(),
            driving: false,
            broken: None,
            over: false,
            keep_going: false,
            only: None,
        };
        for (index, step) in scenario.steps.iter().enumerate() {
            if let Some(judged) = Judged::of(&step.value) {
                judge.verdicts.insert(
                    index,
                    ExpectationVerdict {
                        step: index,
                        line: step.referenced.line(),
                        kind: judged.kind.to_owned(),
                        never: judged.never.is_some(),
                        outcome: None,
                        events: Vec::new(),
                        closest: Vec::new(),
                    },
                );
            }
        }
        judge
    }

    /// A judge of one expectation alone: the outcome of the others does not end the scenario. Those that it depends on
    /// are kept: the one it comes `after`, the ones beside a `never` without a duration of its own, and those that end the
    /// time of a `stays`.
    pub fn of_one(scenario: &'s Scenario, index: usize) -> Self {
        let mut judge = Self::new(scenario);
        let mut only = BTreeSet::new();
        let mut needed = vec![index];
        while let Some(index) = needed.pop() {
            let Some(judged) = Judged::of(&scenario.steps[index].value) else {
                continue;
            };
            if !only.insert(index) {
                continue;
            }
            needed.extend(judged.after.and_then(|name| scenario.step_named(name)));
            if judged.never.is_some_and(|never| never.duration.is_none()) {
                needed.extend(companions(scenario, index));
            }
            if let Some(stays) = judged.stays.filter(|stays| stays.duration.is_none()) {
                let until = stays.until.as_deref().and_then(|name| scenario.step_named(name));
                let last = (0..scenario.steps.len()).rev().take_while(|step| scenario.steps[*step].value.is_judged());
                let last = last.filter(|step| !matches!(scenario.steps[*step].value, Step::Stays(_)));
                needed.extend(until.map_or_else(|| last.collect(), |step| vec![step]));
            }
        }
        judge.only = Some(only);
        judge
    }

    /// The state after the events so far.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The events so far.
    pub fn past(&self) -> &[Event] {
        &self.past
    }

    /// Whether what must stay so became so, and its time has not ended yet.
    pub(super) fn stays_now(&self, index: usize) -> bool {
        let now = self.past.last().map_or(0, |event| event.mono);
        let lasting = self.lasting.get(&index).filter(|_| self.is_open(index));
        lasting.is_some_and(|lasting| lasting.end().is_none_or(|end| now < end))
    }

    /// Takes the next event.
    pub fn feed(&mut self, event: Event) {
        self.state.apply(&event);
        self.past.push(event);
        if self.over {
            return;
        }
        self.judged = self.past.len();
        let event = self.past[self.past.len() - 1].clone();
        match &event.what {
            What::Begin(begin) => {
                self.keep_going = begin.keep_going;
                self.leave_out_other_versions();
            }
            What::Step(step) => self.stimulus(step.index, &step.phase, &event),
            What::Ended(_) => self.over = self.broken_for_good().is_some(),
            _ => {}
        }
        self.judge_group(&event);
        self.judge_what_stays(&event);
        if let What::Deadline(deadline) = &event.what {
            self.deadline(deadline.step);
        }
        self.advance(&event);
    }

    /// What is to be done next.
    pub fn next(&self) -> Next {
        if self.over {
            return Next::Done;
        }
        if self.scenario.steps.get(self.cursor).is_some_and(|step| !step.value.is_judged()) {
            return Next::Drive(self.cursor);
        }
        let lasting = self.lasting.keys().copied().filter(|index| *index < self.cursor);
        self.group()
            .chain(lasting)
            .filter(|index| self.is_open(*index))
            .filter_map(|index| Some((index, self.deadline_of(index)?)))
            .min_by_key(|(_, mono)| *mono)
            .map_or(Next::Done, |(step, mono)| Next::Wait { step, mono })
    }

    /// The verdict on the events so far. What is undecided is an error: a history that was cut off proves nothing.
    pub fn verdict(&self) -> Verdict {
        let expectations: Vec<_> = self.verdicts.values().cloned().collect();
        let Whole { invariants, bugs, explained } = self.whole(&expectations);
        let stands = |standing| invariants.iter().any(|verdict| verdict.standing == standing);
        let own = expectations.iter().filter_map(|verdict| verdict.outcome).max();
        let is_red = matches!(own, Some(Outcome::Fail | Outcome::Hang));
        let worst = match own {
            _ if stands(Standing::Broken) => own.map_or(Outcome::Fail, |own| own.max(Outcome::Fail)),
            _ if is_red && explained => Outcome::Known,
            Some(Outcome::Pass) if stands(Standing::Known) => Outcome::Known,
            own => own.unwrap_or(Outcome::Error),
        };
        let undecided = expectations.iter().any(|verdict| verdict.outcome.is_none());
        let death = || invariants.iter().flat_map(|verdict| &verdict.violations).find(|violation| violation.fatal);
        let error = self.broken.clone().or_else(|| death().map(|death| death.words.clone())).or_else(|| {
            if is_red || stands(Standing::Broken) {
                self.too_slow()
            } else if expectations.is_empty() {
                Some("no expectation of this scenario applies to these versions".into())
            } else if let Some(silent) = self.silent() {
                Some(silent)
            } else if undecided {
                Some("the history ends before every expectation is decided".into())
            } else {
                self.unproven().or_else(|| self.needless(&invariants))
            }
        });
        let outcome = if error.is_some() { Outcome::Error } else { worst };
        let bugs = if outcome == Outcome::Known { bugs } else { Vec::new() };
        Verdict { outcome, error, expectations, invariants, bugs }
    }

    /// An invariant that a scenario says it breaks, and that was kept: what is allowed would otherwise only grow.
    fn needless(&self, invariants: &[InvariantVerdict]) -> Option<String> {
        let kept = |verdict: &&InvariantVerdict| matches!(verdict.standing, Standing::Held | Standing::Idle);
        let kept = invariants.iter().filter(kept).find(|verdict| self.scenario.allows.contains_key(&verdict.id))?;
        Some(format!("{} was not broken, but the scenario allows it: remove it from `allows`", kept.id))
    }

    /// What must be true of every history, of this one. A judge of one expectation does not ask.
    fn whole(&self, expectations: &[ExpectationVerdict]) -> Whole {
        match self.only {
            Some(_) => Whole::default(),
            None => invariants::judge(self.scenario, &self.past[..self.judged], expectations),
        }
    }

    /// The invariant that is broken, whatever is recorded from now on: nothing that is left can turn the verdict green.
    /// Every invariant is judged on the whole history, so this is to be asked now and then. A judge of one expectation,
    /// and one that goes on after what is red, never say so.
    pub fn broken_for_good(&self) -> Option<&'static str> {
        if self.only.is_some() || self.keep_going {
            return None;
        }
        let expectations: Vec<_> = self.verdicts.values().cloned().collect();
        invariants::broken_for_good(self.scenario, &self.past, &expectations)
    }

    fn is_red(&self) -> bool {
        self.verdicts.values().any(|verdict| matches!(verdict.outcome, Some(Outcome::Fail | Outcome::Hang)))
    }

    /// A failure of the harness itself ends the scenario.
    pub fn give_up(&mut self, why: String) {
        self.broken.get_or_insert(why);
        self.over = true;
    }

    fn stimulus(&mut self, index: usize, phase: &Phase, event: &Event) {
        if index != self.cursor {
            return self.give_up(format!(
                "step {index} was done while step {} was next: this history belongs to another scenario",
                self.cursor
            ));
        }
        match phase {
            Phase::Begin => {
                self.driving = true;
                self.window = event.at;
                self.load = self.state.load;
                self.refuse_what_is_there(event);
            }
            Phase::Done { .. } if self.driving => {
                self.zero = event.mono;
                self.zero_at = event.at;
                self.cursor += 1;
                self.driving = false;
                self.judge_what_stands(event);
            }
            Phase::Done { .. } => self.give_up(format!("step {index} ended without having begun")),
            // Something that is red was needed for it.
            Phase::Failed { .. } if self.is_red() => self.over = true,
            Phase::Failed { error } => {
                let step = &self.scenario.steps[index];
                self.give_up(format!(
                    "line {}: `{}` could not be performed: {error}",
                    step.referenced.line(),
                    step.value.word()
                ));
            }
        }
    }

    /// A `never` fails at once if it was already true before its time began.
    fn refuse_what_is_there(&mut self, event: &Event) {
        let there = self.group().find(|index| {
            let judged = Judged::of(&self.scenario.steps[*index].value);
            judged.is_some_and(|judged| {
                self.is_open(*index)
                    && judged.never.is_some()
                    && judged.after.is_none()
                    && matches!(judged.matcher.looks_at(), LooksAt::Events(matcher) if matcher.already(&self.state))
            })
        });
        let Some(verdict) = there.and_then(|index| self.verdicts.get_mut(&index)) else {
            return;
        };
        verdict.events.push(event.seq);
        verdict.outcome = Some(Outcome::Fail);
        self.over = !self.keep_going;
    }

    /// The expectations that are judged now: those after the stimulus that runs or ran last.
    fn group(&self) -> Range<usize> {
        let steps = &self.scenario.steps;
        let first = if self.driving { self.cursor + 1 } else { self.cursor };
        let length = steps.iter().skip(first).take_while(|step| step.value.is_judged()).count();
        first..first + length
    }

    fn judge_group(&mut self, event: &Event) {
        for index in self.group() {
            if self.over {
                return;
            }
            if self.is_open(index) && !self.lasting.contains_key(&index) && self.counts(index, event) {
                let found = self.look(index, event);
                self.take(index, found, event);
            }
        }
    }

    fn is_open(&self, index: usize) -> bool {
        self.verdicts.get(&index).is_some_and(|verdict| verdict.outcome.is_none())
    }

    /// Whether the event lies in the expectation's window.
    fn counts(&self, index: usize, event: &Event) -> bool {
        let Some(judged) = Judged::of(&self.scenario.steps[index].value) else {
            return false;
        };
        let in_time = match judged.never.map(|never| never.duration) {
            // What must not happen may be reported late: what counts is when it happened.
            Some(_) if self.driving => true,
            Some(duration) => {
                duration.is_none_or(|duration| self.zero_at.saturating_add(duration).is_ok_and(|end| event.at <= end))
            }
            None => self.deadline_of(index).is_none_or(|mono| event.mono <= mono),
        };
        in_time && self.comes_after(judged.after, event) && event.at >= self.window
    }

    /// Whether the event comes after the one that fulfilled the expectation of this name.
    fn comes_after(&self, name: Option<&str>, event: &Event) -> bool {
        let Some(name) = name else {
            return true;
        };
        self.scenario
            .step_named(name)
            .and_then(|step| self.verdicts.get(&step))
            .filter(|verdict| verdict.outcome == Some(Outcome::Pass) || self.lasting.contains_key(&verdict.step))
            .and_then(|verdict| verdict.events.last())
            .is_some_and(|seq| {
                self.past[*seq as usize].at < event.at || *seq < event.seq && self.past[*seq as usize].at == event.at
            })
    }

    /// What an event says about an expectation. The state is evaluated after every event about the cluster; for a
    /// `never`, only after events that can have changed it.
    fn look(&self, index: usize, event: &Event) -> Match {
        let Some(judged) = Judged::of(&self.scenario.steps[index].value) else {
            return Match::Other;
        };
        match judged.matcher.looks_at() {
            LooksAt::Events(matcher) => matcher.judge(&Moment { event, state: &self.state, past: &self.past }),
            LooksAt::State(matcher) => {
                let is_news = match judged.never {
                    Some(_) => matcher.is_changed_by(event),
                    None => !matches!(
                        event.what,
                        What::Begin(_) | What::Step(_) | What::Recorder(_) | What::Load(_) | What::Looked(_)
                    ),
                };
                if is_news { matcher.holds(&self.state) } else { Match::Other }
            }
        }
    }

    /// The state that exists when the stimulus is done, and that must never exist.
    fn judge_what_stands(&mut self, done: &Event) {
        for index in self.group() {
            let Some(judged) = Judged::of(&self.scenario.steps[index].value) else {
                continue;
            };
            let counts = judged.never.is_some() && self.is_open(index) && self.comes_after(judged.after, done);
            if let (true, LooksAt::State(matcher)) = (counts, judged.matcher.looks_at()) {
                self.take(index, matcher.holds(&self.state), done);
            }
        }
    }

    /// Records what an event says about an expectation.
    fn take(&mut self, index: usize, found: Match, event: &Event) {
        let Some(judged) = Judged::of(&self.scenario.steps[index].value) else {
            return;
        };
        let Some(verdict) = self.verdicts.get_mut(&index) else {
            return;
        };
        match (found, judged.never) {
            (Match::Other, _) => {}
            (Match::Unknown(why), _) => {
                let why = format!("line {}: {why}", verdict.line);
                self.give_up(why);
            }
            (Match::Yes, None) if judged.stays.is_some() => {
                verdict.events.push(event.seq);
                verdict.closest.clear();
                let duration = judged.stays.and_then(|stays| stays.duration);
                self.lasting.insert(index, Lasting::since(event, duration));
            }
            (Match::Yes, None) => {
                verdict.events.push(event.seq);
                if verdict.events.len() >= judged.times {
                    verdict.outcome = Some(Outcome::Pass);
                    verdict.closest.clear();
                }
            }
            (Match::Yes, Some(_)) => {
                verdict.events.push(event.seq);
                verdict.outcome = Some(Outcome::Fail);
                self.over = !self.keep_going;
            }
            (Match::Wrong(mismatches), None) => {
                verdict.events.push(event.seq);
                verdict.closest.insert(0, Closest { seq: event.seq, mismatches });
                verdict.outcome = Some(Outcome::Fail);
                self.over = !self.keep_going;
            }
            (Match::Near(mismatches), None) => note_closest(&mut verdict.closest, event.seq, mismatches),
            (Match::Near(_) | Match::Wrong(_), Some(_)) => {}
        }
    }

    fn deadline(&mut self, index: usize) {
        let Some(judged) = self.scenario.steps.get(index).and_then(|step| Judged::of(&step.value)) else {
            return;
        };
        let silent = self.lasting.contains_key(&index).then(|| self.silent()).flatten();
        let Some(verdict) = self.verdicts.get_mut(&index).filter(|verdict| verdict.outcome.is_none()) else {
            return;
        };
        if let Some(silent) = silent {
            return self.give_up(silent);
        }
        verdict.outcome = Some(match judged.never {
            Some(_) => Outcome::Pass,
            None if verdict.closest.is_empty() && verdict.events.is_empty() => Outcome::Hang,
            None => Outcome::Fail,
        });
        self.over = verdict.outcome != Some(Outcome::Pass) && !self.keep_going;
    }

    /// Moves on when the group is decided. A `never` without a duration of its own is decided with the others.
    fn advance(&mut self, event: &Event) {
        if self.over || self.driving {
            return;
        }
        if self.cursor >= self.scenario.steps.len() {
            self.over = self.lasting.keys().all(|index| !self.is_open(*index));
            return;
        }
        let group = self.group();
        let open: Vec<usize> =
            group.clone().filter(|index| self.is_open(*index) && !self.goes_on_beside(*index)).collect();
        let only_companions = open.iter().all(|index| self.deadline_of(*index).is_none());
        if only_companions {
            for index in open {
                if let Some(verdict) = self.verdicts.get_mut(&index) {
                    verdict.outcome = Some(Outcome::Pass);
                }
            }
            self.cursor = group.end;
            if self.cursor >= self.scenario.steps.len() {
                self.end(event);
            }
        }
    }

    /// What must stay so until the end of the scenario has come to the end of its time.
    fn end(&mut self, event: &Event) {
        self.lasting.values_mut().for_each(|lasting| lasting.end_at_last(event));
        self.over = self.lasting.keys().all(|index| !self.is_open(*index));
    }

    /// Whether the scenario goes on although this is not decided: it became so, and stays so until further notice.
    fn goes_on_beside(&self, index: usize) -> bool {
        let Some(judged) = Judged::of(&self.scenario.steps[index].value) else {
            return false;
        };
        self.lasting.contains_key(&index) && judged.stays.is_some_and(|stays| stays.duration.is_none())
    }

    /// What became so is no longer so, or has stayed so for its time while all recorders were looking.
    fn judge_what_stays(&mut self, event: &Event) {
        let open: Vec<usize> = self.lasting.keys().copied().filter(|index| self.is_open(*index)).collect();
        for index in open {
            let Some(judged) = Judged::of(&self.scenario.steps[index].value) else {
                continue;
            };
            let until = judged.stays.and_then(|stays| stays.until.as_deref());
            let until = until.and_then(|name| self.verdicts.get(&self.scenario.step_named(name)?));
            let until = until.filter(|until| until.outcome == Some(Outcome::Pass));
            let end = until.and_then(|until| self.past.get(*until.events.last()? as usize));
            let moment = Moment { event, state: &self.state, past: &self.past };
            let (Some(lasting), Some(verdict)) = (self.lasting.get_mut(&index), self.verdicts.get_mut(&index)) else {
                continue;
            };
            if let Some(end) = end {
                lasting.end_with(end);
            }
            match lasting.broken(judged.matcher, &moment) {
                Some(Match::Near(mismatches) | Match::Wrong(mismatches)) => {
                    verdict.events.push(event.seq);
                    verdict.closest.insert(0, Closest { seq: event.seq, mismatches });
                    verdict.outcome = Some(Outcome::Fail);
                    self.over = !self.keep_going;
                }
                Some(Match::Unknown(why)) => {
                    let why = format!("line {}: {why}", verdict.line);
                    self.give_up(why);
                }
                _ => {
                    lasting.attend(judged.matcher, &self.state, event.mono);
                    if lasting.is_proven(judged.matcher, &self.state) {
                        verdict.outcome = Some(Outcome::Pass);
                    }
                }
            }
        }
    }

    /// That something stayed so is not proven by recorders that did not look.
    fn silent(&self) -> Option<String> {
        self.lasting.iter().find_map(|(index, lasting)| {
            let step = &self.scenario.steps[*index];
            let (_, matcher) = step.value.matcher()?;
            let silence = lasting.silence(matcher, &self.state)?;
            Some(format!("line {}: {silence}, so nothing is proven", step.referenced.line()))
        })
    }

    /// When the time for an expectation is over, by `mono`; `None` for a `never` that is decided with the others.
    fn deadline_of(&self, index: usize) -> Option<u64> {
        let within = match &self.scenario.steps[index].value {
            Step::Expect(expect) => Some(expect.within.unwrap_or(DEFAULT_WITHIN)),
            Step::Never(never) => never.duration,
            Step::Stays(stays) if !self.lasting.contains_key(&index) => Some(stays.within.unwrap_or(DEFAULT_WITHIN)),
            Step::Stays(stays) => {
                let (_, matcher) = stays.matchers().into_iter().next()?;
                let patience = micros(Lasting::patience(matcher));
                return self.lasting.get(&index)?.end().map(|end| end.saturating_add(patience));
            }
            _ => None,
        }?;
        if self.driving {
            return Some(u64::MAX);
        }
        Some(self.zero.saturating_add(micros(within)))
    }

    /// Expectations for other versions do not apply.
    fn leave_out_other_versions(&mut self) {
        let Some(begin) = &self.state.begin else {
            return;
        };
        let (kubernetes, kubelet) = (begin.kubernetes, begin.kubelet);
        let scenario = self.scenario;
        let only = &self.only;
        self.verdicts.retain(|index, _| {
            scenario.applies(&scenario.steps[*index].value, kubernetes, kubelet)
                && only.as_ref().is_none_or(|only| only.contains(index))
        });
    }

    /// On a machine that is too slow, what came too late or not at all says nothing about the cluster. What counts is the time
    /// from the last stimulus on: what was decided before that is green.
    fn too_slow(&self) -> Option<String> {
        let load = self.state.load.since(self.load);
        let seconds = |ms: u64| format!("{}.{} s", ms / 1000, ms % 1000 / 100);
        load.is_too_high().then(|| {
            format!(
                "the machine was too slow for this verdict: since the last stimulus the cluster's processes have worked for {} \
                 and waited for a processor for {}. Run fewer scenarios at a time (`--jobs`), or on a machine that has less \
                 to do",
                seconds(load.worked_ms),
                seconds(load.waited_ms)
            )
        })
    }

    /// A recorder that did not run or missed events proves nothing. Neither does a `never` whose positive control, or
    /// whose `after`, is for other versions.
    fn unproven(&self) -> Option<String> {
        self.verdicts.iter().find_map(|(index, verdict)| {
            let judged = Judged::of(&self.scenario.steps[*index].value)?;
            let left_out = |name: &&str| {
                let step = self.scenario.step_named(name);
                step.is_none_or(|step| !self.verdicts.contains_key(&step))
            };
            let control = judged.never.map(|never| never.control.as_str()).filter(|_| self.only.is_none());
            if let Some(name) = control.into_iter().chain(judged.after).find(left_out) {
                return Some(format!(
                    "line {}: `{name}` is for other versions, so nothing is proven on this one",
                    verdict.line
                ));
            }
            judged.matcher.recorders().iter().find_map(|recorder| {
                if let Some(why) = self.state.gaps.get(recorder) {
                    return Some(format!(
                        "the recorder `{recorder}` may have missed events ({why}), so nothing is proven"
                    ));
                }
                (!self.state.recording.contains(recorder))
                    .then(|| format!("the recorder `{recorder}` never started, so nothing is proven"))
            })
        })
    }
}

/// Judges a whole history.
pub fn judge_all(scenario: &Scenario, events: Vec<Event>) -> Verdict {
    let mut judge = Judge::new(scenario);
    for event in events {
        judge.feed(event);
    }
    judge.verdict()
}

/// What `expect`, `stays` and `never` have in common.
struct Judged<'a> {
    kind: &'static str,
    matcher: &'a dyn Matcher,
    after: Option<&'a str>,
    times: usize,
    never: Option<&'a Never>,
    stays: Option<&'a Stays>,
}

impl<'a> Judged<'a> {
    fn of(step: &'a Step) -> Option<Self> {
        let (kind, matcher) = step.matcher()?;
        let judged = Self { kind, matcher, after: None, times: 1, never: None, stays: None };
        Some(match step {
            Step::Never(never) => Self { after: never.after.as_deref(), never: Some(never), ..judged },
            Step::Stays(stays) => Self { after: stays.after.as_deref(), stays: Some(stays), ..judged },
            Step::Expect(expect) => {
                let times = expect.times.unwrap_or(1).max(1) as usize;
                Self { after: expect.after.as_deref(), times, ..judged }
            }
            _ => return None,
        })
    }
}

/// The expectations beside a step.
fn companions(scenario: &Scenario, index: usize) -> impl Iterator<Item = usize> {
    let judged = |index: &usize| scenario.steps[*index].value.is_judged();
    let before = (0..index).rev().take_while(judged);
    let behind = (index + 1..scenario.steps.len()).take_while(judged);
    before.chain(behind).filter(|index| matches!(scenario.steps[*index].value, Step::Expect(_)))
}

fn note_closest(closest: &mut Vec<Closest>, seq: u64, mismatches: Vec<Mismatch>) {
    let same = closest.iter_mut().find(|known| known.mismatches == mismatches);
    match same {
        Some(known) => known.seq = seq,
        None => closest.push(Closest { seq, mismatches }),
    }
    closest.sort_by_key(|known| (known.mismatches.len(), u64::MAX - known.seq));
    closest.truncate(KEPT_CLOSEST);
}
