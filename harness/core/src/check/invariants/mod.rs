//! Standing invariants: what must be true of every history, whatever its scenario is about.
//!
//! A scenario asks for what its author thought of, and the first event that fits fulfills an expectation. Invariants are
//! judged beside it, on the whole history, in every scenario and on every provider and version. Each is one module with
//! a pure function, and one line in the list below; its id stands in the catalogue's own table
//! ([`INVARIANTS`](crate::scenario::requirements::INVARIANTS)).
//!
//! What a stimulus explains (a kubelet that was stopped, a file that was damaged, a CA that was replaced), the
//! invariants know from the history itself, by the [`Story`]. An invariant tells how much it looked at: one that looked
//! at nothing proves nothing, and says so.

pub mod bugs;
mod connections;
mod csrs;
mod files;
mod identity;
mod issuance;
mod presented;
mod processes;
mod recorders_agree;
mod renewal;
mod spans;
mod story;

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use self::bugs::Bug;
use super::{ExpectationVerdict, Outcome};
use crate::history::Event;
use crate::history::event::Recorder;
use crate::scenario::Scenario;
use crate::scenario::requirements::{self, Requirement};
use crate::time::micros;

pub(super) use story::Story;

/// One invariant.
#[derive(Clone, Copy, Debug)]
pub struct Invariant {
    /// Its id in the catalogue: `I-01`.
    pub id: &'static str,
    /// Its name, in one or two words.
    pub name: &'static str,
    /// What it looks at and counts, for one and for many: `request`, `requests`.
    pub units: (&'static str, &'static str),
    /// The recorders without which it proves nothing.
    pub recorders: &'static [Recorder],
    judge: fn(&Story<'_>, &mut Finding),
}

impl Invariant {
    /// So much of what it looks at: `1 request`, `54 requests`.
    pub fn count(&self, number: u64) -> String {
        let unit = if number == 1 { self.units.0 } else { self.units.1 };
        format!("{number} {unit}")
    }

    /// The invariant with this id.
    pub fn find(id: &str) -> Option<&'static Self> {
        ALL.iter().find(|known| known.id == id)
    }

    /// What the catalogue says about it.
    pub fn requirement(&self) -> Option<&'static Requirement> {
        requirements::invariant(self.id)
    }
}

macro_rules! invariants {
    ($($id:literal $name:literal ($unit:literal, $units:literal) $module:ident [$($recorder:ident),*],)*) => {
        /// All invariants, by id.
        pub const ALL: &[Invariant] = &[$(Invariant {
            id: $id,
            name: $name,
            units: ($unit, $units),
            recorders: &[$(Recorder::$recorder),*],
            judge: $module::judge,
        },)*];

        /// Their modules, in the same order.
        #[cfg(test)]
        const MODULES: &[&str] = &[$(stringify!($module)),*];
    };
}

invariants! {
    "I-01" "identity" ("request", "requests") identity [Audit, Files],
    "I-02" "issued certificates" ("certificate", "certificates") issuance [Csr],
    "I-03" "renewal" ("renewal", "renewals") renewal [Csr, Files, Audit, Process],
    "I-04" "files" ("file change", "file changes") files [Files],
    "I-05" "presented" ("handshake", "handshakes") presented [Presented, Files, Process],
    "I-06" "connections" ("connection", "connections") connections [Link, Files, Process],
    "I-07" "processes" ("process", "processes") processes [Process],
    "I-08" "CSRs" ("CSR", "CSRs") csrs [Csr, Files, Process],
    "I-10" "recorders agree" ("sighting", "sightings") recorders_agree [Csr, Files],
}

/// The verdict on an invariant in one history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InvariantVerdict {
    /// Its id: `I-01`.
    pub id: String,
    /// How it stands.
    pub standing: Standing,
    /// How much it looked at, in its own unit.
    pub looked: u64,
    /// How much was not over when the history ended, and so is not proven.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub open: u64,
    /// How often it was broken.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub broken: u64,
    /// The first times it was broken, at most [`KEPT`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<Violation>,
    /// Why nothing is proven, or why it may be broken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// How an invariant stands at the end of a history, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// True throughout.
    Held,
    /// There was nothing to look at, or nothing of it was over: nothing is proven.
    Idle,
    /// A recorder that it needs did not run or has a gap: nothing is proven.
    Unproven,
    /// It was not true, because of a bug of Kubernetes that is known for this version.
    Known,
    /// It was not true, as the scenario says at its head.
    Allowed,
    /// It was not true.
    Broken,
}

impl Standing {
    /// Its name: `held`, `idle`, …
    pub fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Idle => "idle",
            Self::Unproven => "unproven",
            Self::Known => "known",
            Self::Allowed => "allowed",
            Self::Broken => "broken",
        }
    }
}

/// Where an invariant was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Violation {
    /// The event that shows it.
    pub seq: u64,
    /// What was wrong, in one sentence.
    pub words: String,
    /// The bug of Kubernetes that shows itself here: [`bugs`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bug: Option<String>,
    /// Whether the ground of all other verdicts is gone: a component of the control plane has died.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fatal: bool,
}

/// More violations of one invariant are only counted.
pub const KEPT: usize = 20;

/// What an invariant finds in a history.
#[derive(Debug, Default)]
pub(super) struct Finding {
    looked: u64,
    open: u64,
    broken: u64,
    /// How often it met a bug that is known.
    met: u64,
    violations: Vec<Violation>,
}

impl Finding {
    /// It looked at one more thing.
    fn look(&mut self) {
        self.looked = self.looked.saturating_add(1);
    }

    /// The history ended before this could be judged.
    fn open(&mut self) {
        self.open = self.open.saturating_add(1);
    }

    fn violate(&mut self, event: &Event, words: String) {
        self.add(Violation { seq: event.seq, words, bug: None, fatal: false });
    }

    /// It is not true, because of a bug of Kubernetes. Only the first time is kept.
    fn meet(&mut self, bug: &Bug, event: &Event, words: String) {
        if self.met == 0 {
            self.violations.push(Violation { seq: event.seq, words, bug: Some(bug.id.to_owned()), fatal: false });
        }
        self.met = self.met.saturating_add(1);
    }

    /// Nothing else that the history shows proves anything.
    fn die(&mut self, event: &Event, words: String) {
        self.add(Violation { seq: event.seq, words, bug: None, fatal: true });
    }

    fn add(&mut self, violation: Violation) {
        self.broken = self.broken.saturating_add(1);
        if self.broken <= KEPT as u64 {
            self.violations.push(violation);
        }
    }
}

/// What a history shows as a whole.
#[derive(Default)]
pub(super) struct Whole {
    pub(super) invariants: Vec<InvariantVerdict>,
    /// The bugs of Kubernetes that it shows.
    pub(super) bugs: Vec<String>,
    /// Whether they explain each expectation that was not met.
    pub(super) explained: bool,
}

/// Judges the events of a history by all invariants, given what became of the scenario's own expectations.
pub(super) fn judge(scenario: &Scenario, events: &[Event], expectations: &[ExpectationVerdict]) -> Whole {
    let Some(story) = Story::of(scenario, events, expectations) else {
        return Whole::default();
    };
    let invariants: Vec<_> = ALL.iter().map(|invariant| verdict(invariant, &story)).collect();
    let met: Vec<&Violation> =
        invariants.iter().flat_map(|verdict| &verdict.violations).filter(|violation| violation.bug.is_some()).collect();
    let red = |verdict: &&ExpectationVerdict| matches!(verdict.outcome, Some(Outcome::Fail | Outcome::Hang));
    let explained = expectations.iter().filter(red).all(|verdict| bugs::explain(&story, events, &met, verdict));
    let bugs: BTreeSet<&String> = met.iter().filter_map(|violation| violation.bug.as_ref()).collect();
    let bugs = bugs.into_iter().cloned().collect();
    Whole { invariants, bugs, explained }
}

/// What explains a violation is recorded before this time is over: recorders see the same moment at different times.
const SETTLED: SignedDuration = SignedDuration::from_secs(5);

/// The invariant that these events break for good, whatever comes after them.
pub(super) fn broken_for_good(
    scenario: &Scenario,
    events: &[Event],
    expectations: &[ExpectationVerdict],
) -> Option<&'static str> {
    let now = events.last()?.mono;
    let is_settled = |violation: &Violation| {
        let shown = usize::try_from(violation.seq).ok().and_then(|seq| events.get(seq));
        shown.is_some_and(|event| event.mono.saturating_add(micros(SETTLED)) <= now)
    };
    let verdicts = judge(scenario, events, expectations).invariants;
    let counts = |verdict: &InvariantVerdict, violation: &Violation| {
        violation.fatal || verdict.standing == Standing::Broken && violation.bug.is_none()
    };
    let broken = ALL.iter().zip(verdicts).find(|(_, verdict)| {
        verdict.violations.iter().any(|violation| counts(verdict, violation) && is_settled(violation))
    });
    broken.map(|(invariant, _)| invariant.id)
}

fn verdict(invariant: &Invariant, story: &Story<'_>) -> InvariantVerdict {
    let mut finding = Finding::default();
    let reason = invariant.recorders.iter().find_map(|recorder| story.unseen(*recorder));
    if reason.is_none() {
        (invariant.judge)(story, &mut finding);
    }
    let allowed =
        story.scenario.allows.get(invariant.id).filter(|_| finding.broken.saturating_add(finding.met) > 0).cloned();
    let standing = match () {
        () if reason.is_some() => Standing::Unproven,
        () if allowed.is_some() => Standing::Allowed,
        () if finding.broken > 0 => Standing::Broken,
        () if finding.met > 0 => Standing::Known,
        () if finding.looked == 0 => Standing::Idle,
        () => Standing::Held,
    };
    let met = finding.violations.iter().find_map(|violation| Bug::find(violation.bug.as_deref()?));
    let known = met.filter(|_| standing == Standing::Known).map(|bug| format!("{} ({})", bug.words, bug.link));
    let Finding { looked, open, broken, met, violations } = finding;
    let broken = broken.saturating_add(met);
    InvariantVerdict {
        id: invariant.id.to_owned(),
        standing,
        looked,
        open,
        broken,
        violations,
        reason: reason.or(allowed).or(known),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{ALL, MODULES};
    use crate::scenario::requirements::INVARIANTS;
    use crate::testing::modules_with;

    #[test]
    fn every_module_is_in_the_list_and_every_id_in_the_catalogue() {
        let listed: BTreeSet<String> = MODULES.iter().map(|module| (*module).to_owned()).collect();
        assert_eq!(modules_with("check/invariants", "pub(super) fn judge(story: &Story"), listed);
        let ids: Vec<&str> = ALL.iter().map(|invariant| invariant.id).collect();
        let catalogue: Vec<&str> = INVARIANTS.requirements.iter().map(|requirement| requirement.id).collect();
        assert_eq!(ids, catalogue);
        assert!(ids.is_sorted());
    }
}
