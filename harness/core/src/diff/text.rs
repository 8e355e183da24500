//! A comparison for people to read.

use std::fmt::Write;

use super::{Aspect, Change, Diff, Interval, Samples, StandingChange, TimingChange, VerdictChange};
use crate::check::Outcome;
use crate::check::invariants::Invariant;

/// More scenarios than this are only counted.
const NAMED: usize = 3;
/// More values than this are only counted, where they are too many to read one by one.
const VALUES: usize = 8;

/// Verdicts first, then what changed by aspect, then timing, and a summary line.
pub fn text(diff: &Diff) -> String {
    let mut text = format!("A: {}\nB: {}\n", diff.a, diff.b);
    if !diff.verdicts.is_empty() {
        text.push_str("\nVerdicts\n");
        diff.verdicts.iter().for_each(|change| text.push_str(&verdict(change)));
    }
    if !diff.invariants.is_empty() {
        text.push_str("\nInvariants\n");
        diff.invariants.iter().for_each(|change| text.push_str(&standing(change, diff.compared)));
    }
    let mut last: Option<Aspect> = None;
    for change in &diff.changes {
        if last.replace(change.aspect) != Some(change.aspect) {
            let _ = write!(text, "\n{}\n", change.aspect.words());
        }
        text.push_str(&of_change(change, diff.compared));
    }
    if !diff.timing.is_empty() {
        text.push_str("\nTiming, beyond noise\n");
        diff.timing.iter().for_each(|change| text.push_str(&timing(change)));
    }
    let _ = write!(text, "\n{}\n", summary(diff));
    text
}

fn verdict(change: &VerdictChange) -> String {
    let word = |outcome: Option<Outcome>| outcome.map_or("not run", Outcome::word);
    let remark = if change.regression { "  REGRESSION" } else { "" };
    format!("  {}: {} → {}{remark}\n", change.scenario, word(change.before), word(change.after))
}

fn standing(change: &StandingChange, compared: usize) -> String {
    let name = Invariant::find(&change.invariant).map_or("", |invariant| invariant.name);
    let remark = if change.regression { "  REGRESSION" } else { "" };
    let (before, after) = (change.before.word(), change.after.word());
    let places = places(&change.scenarios, compared);
    format!("  {} {name}: {before} → {after}  ({places}){remark}\n", change.invariant)
}

/// In which scenarios.
fn places(scenarios: &[String], compared: usize) -> String {
    match scenarios.len() {
        all if all == compared && all > 1 => "in all scenarios".to_owned(),
        few if few <= NAMED => scenarios.join(", "),
        many => format!("in {many} scenarios"),
    }
}

fn of_change(change: &Change, compared: usize) -> String {
    let mut text = format!("  {}", change.subject);
    if !change.field.is_empty() {
        let _ = write!(text, ": {}", change.field);
    }
    let _ = writeln!(text, "  ({})", places(&change.scenarios, compared));
    for (sign, values) in [('-', &change.before), ('+', &change.after)] {
        // A long list of log lines is better read in the JSON; here its size is enough.
        let shown = match change.aspect {
            Aspect::Logs | Aspect::OtherRequests => VALUES,
            _ => values.len(),
        };
        for value in values.iter().take(shown) {
            let _ = writeln!(text, "    {sign} {value}");
        }
        if values.len() > shown {
            let _ = writeln!(text, "    {sign} … and {} more", values.len() - shown);
        }
    }
    text
}

fn timing(change: &TimingChange) -> String {
    let TimingChange { interval, before, after } = change;
    format!("  {}: {} → {}\n", interval.words(), samples(*interval, before), samples(*interval, after))
}

fn samples(interval: Interval, samples: &Samples) -> String {
    let value = |value: f64| match interval {
        Interval::Renewal => format!("{:.0} %", value * 100.0),
        _ => format!("{value:.2} s"),
    };
    match samples.count {
        1 => value(samples.median),
        count => format!("{} ({} to {}, {count} times)", value(samples.median), value(samples.min), value(samples.max)),
    }
}

fn summary(diff: &Diff) -> String {
    let count = |number: usize, what: &str| match number {
        1 => format!("1 {what}"),
        many => format!("{many} {what}s"),
    };
    let compared = count(diff.compared, "scenario");
    if diff.is_empty() {
        return format!("nothing changed in {compared}");
    }
    let regressions = diff.verdicts.iter().filter(|change| change.regression).count();
    let verdicts = diff.verdicts.len() - regressions;
    let mut parts = vec![count(regressions, "regression")];
    if verdicts > 0 {
        parts.push(count(verdicts, "changed verdict"));
    }
    parts.push(count(diff.changes.len(), "change"));
    parts.push(count(diff.timing.len(), "changed time"));
    let chance = match diff.runs {
        (1, 1) => {
            "\none run per side: some of this may be chance; add further runs with --also to keep only what is not"
        }
        _ => "",
    };
    format!("{} in {compared}{chance}", parts.join(", "))
}
