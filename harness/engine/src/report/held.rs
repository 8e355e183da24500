//! What the invariants say about a history, and about a whole run, for people.

use super::words;
use tlsboot_core::check::invariants::{ALL, Invariant, InvariantVerdict, Standing};
use tlsboot_core::result::{RunResult, ScenarioResult};

/// `I-04 (files)`.
pub(super) fn name(verdict: &InvariantVerdict) -> String {
    match Invariant::find(&verdict.id) {
        Some(invariant) => format!("{} ({})", verdict.id, invariant.name),
        None => verdict.id.clone(),
    }
}

/// The first violation of a result in one sentence, if there is one.
pub(super) fn first(result: &ScenarioResult) -> Option<String> {
    let broken = result.verdict.broken().next()?;
    Some(format!("{}: {}", name(broken), words::clean(&broken.violations.first()?.words)))
}

/// How much an invariant looked at, and what became of it: `54 requests, 1 open`.
pub(super) fn looked(verdict: &InvariantVerdict) -> String {
    let Some(invariant) = Invariant::find(&verdict.id) else {
        return verdict.looked.to_string();
    };
    let looked = invariant.count(verdict.looked);
    match (&verdict.reason, verdict.standing, verdict.open) {
        (Some(reason), Standing::Known | Standing::Allowed, _) => {
            let times = words::count(usize::try_from(verdict.broken).unwrap_or(usize::MAX), "time");
            format!("{looked}, broken {times}, as {}: {}", verdict.standing.word(), words::clean(reason))
        }
        (Some(reason), ..) => format!("nothing is proven: {}", words::clean(reason)),
        (None, Standing::Idle, 0) => format!("no {}: nothing is proven", invariant.units.1),
        (None, _, 0) => looked,
        (None, _, open) => format!("{looked}, {open} open at the end"),
    }
}

/// All invariants of a run in one line, with what those that held looked at; empty if none was judged.
pub(super) fn line(run: &RunResult) -> String {
    let all = || run.scenarios.iter().flat_map(|result| &result.verdict.invariants);
    if all().next().is_none() {
        return String::new();
    }
    let one = |invariant: &Invariant| {
        let of = || all().filter(|verdict| verdict.id == invariant.id);
        let looked = of().map(|verdict| verdict.looked).fold(0, u64::saturating_add);
        let standing = |standing| of().filter(|verdict| verdict.standing == standing).count();
        let looked = format!("{} {}", invariant.id, invariant.count(looked));
        if let broken @ 1.. = standing(Standing::Broken) {
            return format!("{looked} BROKEN in {}", words::count(broken, "scenario"));
        }
        match (standing(Standing::Known), standing(Standing::Allowed)) {
            (0, 0) => looked,
            (0, allowed) => format!("{looked}, broken on purpose in {}", words::count(allowed, "scenario")),
            (known, _) => format!("{looked}, broken by a known bug in {}", words::count(known, "scenario")),
        }
    };
    let all: Vec<String> = ALL.iter().map(one).collect();
    format!("invariants: {}\n", all.join(", "))
}
