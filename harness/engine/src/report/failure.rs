//! A scenario that did not come out as expected, explained for people.

use std::collections::{BTreeMap, BTreeSet};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::Evidence;
use super::paint::Paint;
use super::{held, words};
use tlsboot_core::check::invariants::InvariantVerdict;
use tlsboot_core::check::{Closest, DEFAULT_WITHIN, ExpectationVerdict, Mismatch, Outcome};
use tlsboot_core::history::event::{Phase, ProcessState};
use tlsboot_core::history::{Event, What};
use tlsboot_core::result::ScenarioResult;
use tlsboot_core::scenario::Step;

/// More violations of one invariant are only counted.
const MOST_VIOLATIONS: usize = 5;

/// The whole text: outcome, what was expected and observed, position in the YAML, and where the evidence is.
///
/// For a scenario that came out as expected, only the headline.
pub fn text(result: &ScenarioResult, evidence: &Evidence, colours: bool) -> String {
    let paint = Paint(colours);
    let mut parts = vec![headline(result, paint)];
    if let Some(reason) = &result.unsupported {
        parts.push(format!("unsupported: {reason}"));
    }
    if let Some(known) = &result.known {
        parts.push(format!("known: {}", words::clean(&known.to_string())));
    }
    if let Some(error) = &result.verdict.error {
        let step = failed_step(result, evidence, colours);
        parts.push(step.unwrap_or_else(|| format!("error: {}", words::clean(error))));
    }
    for failed in Failed::all(result, evidence) {
        parts.push(block(result, evidence, &failed, paint));
    }
    parts.extend(result.verdict.broken().map(|broken| violations(broken, evidence, paint)));
    parts.extend(deaths(result, evidence, paint));
    parts.extend(not_reached(result));
    if words::is_red(result.verdict.outcome) {
        parts.extend(evidence.problems.iter().map(|problem| format!("note: {problem}")));
        if let Some(folder) = &evidence.folder {
            parts.push(paint.dim(&format!("evidence: {}", folder.display())));
        }
    }
    parts.join("\n\n") + "\n"
}

/// `FAIL rotation.quick on local::1.37.2 after 12.0 s: title`.
fn headline(result: &ScenarioResult, paint: Paint) -> String {
    let outcome = result.verdict.outcome;
    format!(
        "{} {} on {} after {}\n{}",
        paint.outcome(outcome, &words::outcome(outcome).to_uppercase()),
        paint.bold(&result.id),
        result.target,
        words::duration(result.duration_ms),
        words::clean(&result.title)
    )
}

/// The first failure on one line, with the words that decide it: for a log, a list, the message of a JUnit failure.
pub fn one_line(result: &ScenarioResult, evidence: &Evidence) -> String {
    if let Some(error) = &result.verdict.error {
        return words::clean(error);
    }
    match Failed::all(result, evidence).first() {
        Some(failed) => format!("line {}: {}", failed.verdict.line, failed.one_line()),
        None => held::first(result).unwrap_or_else(|| words::outcome(result.verdict.outcome).to_owned()),
    }
}

/// A line has room for this many differences.
const DIFFERENCES: usize = 3;
/// And for values of this many letters.
const LONGEST: usize = 80;

/// An expectation that was not met, with the details.
pub(super) struct Failed<'a> {
    pub(super) verdict: &'a ExpectationVerdict,
    evidence: &'a Evidence,
}

impl<'a> Failed<'a> {
    pub(super) fn all(result: &'a ScenarioResult, evidence: &'a Evidence) -> Vec<Self> {
        let red = |verdict: &&ExpectationVerdict| verdict.outcome.is_some_and(words::is_red);
        let expectations = result.verdict.expectations.iter();
        expectations.filter(red).map(|verdict| Self { verdict, evidence }).collect()
    }

    /// What went wrong, and since when it was waited for. The details follow in a table.
    pub(super) fn sentence(&self) -> String {
        if self.verdict.never || self.decided_by_event() {
            return self.what();
        }
        self.what() + &self.since()
    }

    /// What went wrong, and the details that decide it: all that a line has room for.
    pub(super) fn one_line(&self) -> String {
        match self.decisive() {
            Some(decisive) => format!("{}: {decisive}", self.what()),
            None => self.what(),
        }
    }

    fn what(&self) -> String {
        let verdict = self.verdict;
        let thing = self.thing();
        match verdict.outcome {
            Some(Outcome::Hang) => format!("no matching {thing} within {}", self.waited()),
            _ if verdict.never => format!("there must be no {thing}, but one was observed"),
            _ if self.is_broken() => format!("the {thing} was as expected, but did not stay so"),
            _ if self.decided_by_event() => format!("a {thing} was observed, but it is not as expected"),
            _ if !verdict.events.is_empty() => {
                format!("only {} of {} matching {thing} within {}", verdict.events.len(), self.times(), self.waited())
            }
            _ => format!("a {thing} was observed, but none matched within {}", self.waited()),
        }
    }

    /// `code: expected 401, found 403`; the event that must not be; or the process whose end explains the silence.
    fn decisive(&self) -> Option<String> {
        let shown = self.shown();
        let event = match shown.first() {
            Some(Closest { mismatches, .. }) if !mismatches.is_empty() => return Some(differences(mismatches)),
            Some(closest) => self.evidence.event(closest.seq)?,
            None => ended(self.evidence, [self.verdict]).next()?,
        };
        Some(short(&words::event(&event.what), words::LONGEST))
    }

    /// What was observed instead, if nothing came close.
    pub(super) fn meanwhile(&self) -> Option<String> {
        let (from, to) = self.window()?;
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let mut last = None;
        for event in &self.evidence.events {
            let is_news = !matches!(
                event.what,
                What::Begin(_)
                    | What::Step(_)
                    | What::Deadline(_)
                    | What::Ended(_)
                    | What::Recorder(_)
                    | What::Load(_)
                    | What::Looked(_)
            );
            if is_news && event.mono >= from && event.mono <= to {
                *counts.entry(event.what.kind()).or_default() += 1;
                last = Some(event);
            }
        }
        let Some(last) = last else {
            return Some("there was no other event in that time".into());
        };
        let counts: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let when = words::seconds(self.evidence.seconds(last.at));
        Some(format!(
            "events in that time: {}; the last one at {when} (seq {}): {}",
            counts.join(", "),
            last.seq,
            words::event(&last.what)
        ))
    }

    /// The events to show: those that came closest, or the one that must not have happened.
    pub(super) fn shown(&self) -> Vec<Closest> {
        if !self.verdict.closest.is_empty() {
            return self.verdict.closest.clone();
        }
        let unwanted = self.verdict.events.iter().filter(|_| self.verdict.never);
        unwanted.map(|seq| Closest { seq: *seq, mismatches: Vec::new() }).collect()
    }

    /// `` `csr` of n1 ``.
    fn thing(&self) -> String {
        let kind = &self.verdict.kind;
        let nodes = self.step().and_then(Step::matcher).map(|(_, matcher)| matcher.nodes());
        match nodes.as_deref() {
            Some([first, ..]) => format!("`{kind}` of {first}"),
            _ => format!("`{kind}`"),
        }
    }

    fn step(&self) -> Option<&Step> {
        Some(&self.evidence.scenario.as_ref()?.steps.get(self.verdict.step)?.value)
    }

    /// Whether it became so, but did not stay so.
    fn is_broken(&self) -> bool {
        matches!(self.step(), Some(Step::Stays(_))) && self.verdict.events.len() > 1
    }

    fn times(&self) -> u32 {
        match self.step() {
            Some(Step::Expect(expect)) => expect.times.unwrap_or(1),
            _ => 1,
        }
    }

    fn decided_by_event(&self) -> bool {
        let last = self.verdict.events.last();
        last.is_some() && self.verdict.closest.first().map(|closest| &closest.seq) == last
    }

    fn waited(&self) -> String {
        let limit = match self.step() {
            Some(Step::Expect(expect)) => expect.within.unwrap_or(DEFAULT_WITHIN),
            Some(Step::Stays(stays)) => stays.within.unwrap_or(DEFAULT_WITHIN),
            _ => DEFAULT_WITHIN,
        };
        words::seconds(limit.as_secs_f64())
    }

    fn since(&self) -> String {
        let stimulus = self.evidence.stimulus_of(self.verdict.step);
        let line = stimulus.and_then(|index| self.evidence.step_line(index));
        let (Some(line), Some((from, _))) = (line, self.window()) else {
            return String::new();
        };
        format!(" (from {}, after `{}`)", words::seconds(from as f64 / 1e6), words::clean(&line))
    }

    /// From the end of the stimulus to the deadline, or to the history's end, in microseconds of `mono`.
    fn window(&self) -> Option<(u64, u64)> {
        let stimulus = self.evidence.stimulus_of(self.verdict.step);
        let from = stimulus.and_then(|index| {
            self.evidence.events.iter().find(|event| {
                matches!(&event.what, What::Step(step) if step.index == index && matches!(step.phase, Phase::Done { .. }))
            })
        });
        let end = self.evidence.deadline(self.verdict.step).or(self.evidence.events.last())?;
        Some((from.map_or(0, |event| event.mono), end.mono))
    }
}

fn block(result: &ScenarioResult, evidence: &Evidence, failed: &Failed<'_>, paint: Paint) -> String {
    let label = if failed.verdict.outcome == Some(Outcome::Hang) { "no match" } else { "expected here" };
    let remark = Remark { step: failed.verdict.step, line: failed.verdict.line, message: failed.sentence(), label };
    let mut text = snippet(result, evidence, &remark, paint.0);
    if failed.verdict.outcome == Some(Outcome::Hang)
        && let Some(sentence) = failed.meanwhile()
    {
        text.push_str(&format!("\n  {sentence}"));
    }
    for closest in failed.shown() {
        text.push_str(&format!("\n  {}", event_line(evidence, closest.seq, paint)));
        text.push_str(&table(&closest, paint));
    }
    text
}

/// `code: expected 401, found 403; reason: expected Unauthorized, found Forbidden`.
fn differences(mismatches: &[Mismatch]) -> String {
    let value = |text: &str| short(&words::value(text), LONGEST);
    let one = |found: &Mismatch| {
        format!("{}: expected {}, found {}", words::clean(&found.field), value(&found.expected), value(&found.found))
    };
    let mut all: Vec<String> = mismatches.iter().take(DIFFERENCES).map(one).collect();
    if let more @ 1.. = mismatches.len().saturating_sub(DIFFERENCES) {
        all.push(format!("and {more} more"));
    }
    all.join("; ")
}

/// The text, cut to this many letters.
fn short(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// An invariant that was not kept, with the events that show it.
fn violations(broken: &InvariantVerdict, evidence: &Evidence, paint: Paint) -> String {
    let times = words::count(usize::try_from(broken.broken).unwrap_or(usize::MAX), "time");
    let mut text = format!("{} was broken {times}, whatever this scenario is about:", held::name(broken));
    for violation in broken.violations.iter().take(MOST_VIOLATIONS) {
        text.push_str(&format!("\n  {}", words::clean(&violation.words)));
        text.push_str(&format!("\n    {}", event_line(evidence, violation.seq, paint)));
    }
    let more = broken.broken.saturating_sub(MOST_VIOLATIONS as u64);
    if more > 0 {
        text.push_str(&format!("\n  … and {more} more"));
    }
    text
}

/// Processes that exited on their own, other than those that an expectation is about: usually the cause of everything
/// else.
fn deaths(result: &ScenarioResult, evidence: &Evidence, paint: Paint) -> Option<String> {
    let told = &result.verdict.expectations;
    let violations = || result.verdict.broken().flat_map(|broken| &broken.violations);
    let ended = ended(evidence, told).filter(|event| violations().all(|violation| violation.seq != event.seq));
    let lines: Vec<String> = ended.map(|event| event_line(evidence, event.seq, paint)).collect();
    (!lines.is_empty() && words::is_red(result.verdict.outcome)).then(|| lines.join("\n"))
}

/// Exits of processes that were not asked for and that these expectations do not show.
fn ended<'a>(
    evidence: &'a Evidence,
    told: impl IntoIterator<Item = &'a ExpectationVerdict>,
) -> impl Iterator<Item = &'a Event> {
    let seqs = |verdict: &'a ExpectationVerdict| {
        let closest = verdict.closest.iter().map(|closest| closest.seq);
        verdict.events.iter().copied().chain(closest)
    };
    let told: BTreeSet<u64> = told.into_iter().flat_map(seqs).collect();
    let on_its_own = |what: &What| matches!(what, What::Process(process) if matches!(process.state, ProcessState::Exited { asked: false, .. }));
    evidence.events.iter().filter(move |event| on_its_own(&event.what) && !told.contains(&event.seq))
}

/// `csr at 3.21 s (seq 42): …`
fn event_line(evidence: &Evidence, seq: u64, paint: Paint) -> String {
    match evidence.event(seq) {
        Some(event) => format!(
            "{} at {} (seq {seq}): {}",
            paint.bold(event.what.kind()),
            words::seconds(evidence.seconds(event.at)),
            words::event(&event.what)
        ),
        None => format!("event of seq {seq}"),
    }
}

fn table(closest: &Closest, paint: Paint) -> String {
    if closest.mismatches.is_empty() {
        return String::new();
    }
    let rows: Vec<[String; 3]> = closest
        .mismatches
        .iter()
        .map(|found| [&found.field, &found.expected, &found.found].map(|text| words::value(text)))
        .collect();
    let head = ["field", "expected", "found"].map(String::from);
    // a long value must not push the columns after it out of sight
    let width =
        |column: usize| rows.iter().chain([&head]).map(|row| row[column].chars().count().min(60)).max().unwrap_or(0);
    let line = |row: &[String; 3]| format!("\n    {:<2$}  {:<3$}  {4}", row[0], row[1], width(0), width(1), row[2]);
    let mut text = paint.dim(&line(&head));
    rows.iter().for_each(|row| text.push_str(&line(row)));
    text
}

/// The step that the harness could not perform.
fn failed_step(result: &ScenarioResult, evidence: &Evidence, colours: bool) -> Option<String> {
    let (index, error) = evidence.events.iter().rev().find_map(|event| match &event.what {
        What::Step(step) => match &step.phase {
            Phase::Failed { error } => Some((step.index, error)),
            _ => None,
        },
        _ => None,
    })?;
    let line = evidence.scenario.as_ref()?.steps.get(index)?.referenced.line();
    let message = format!("this step failed: {}", words::clean(error));
    Some(snippet(result, evidence, &Remark { step: index, line, message, label: "failed here" }, colours))
}

/// A remark about a step.
struct Remark {
    step: usize,
    /// Its line in the scenario file.
    line: u64,
    message: String,
    label: &'static str,
}

/// The lines of a step in its file, underlined.
fn snippet(result: &ScenarioResult, evidence: &Evidence, remark: &Remark, colours: bool) -> String {
    let Remark { step, line, message, label } = remark;
    let scenario = evidence.scenario.as_ref();
    let Some(source) = scenario.and_then(|scenario| step_text(&scenario.text, *line, next_line(evidence, *step)))
    else {
        return format!("error: {message}\n --> {}:{line}", result.file);
    };
    let first = source.lines().next().unwrap_or_default();
    let start = first.len() - first.trim_start().trim_start_matches("- ").len();
    let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
    let snippet = Snippet::source(source.as_str())
        .path(result.file.as_str())
        .line_start(usize::try_from(*line).unwrap_or(1))
        .fold(false)
        .annotation(AnnotationKind::Primary.span(start..first.trim_end().len()).label(*label));
    renderer.render(&[Level::ERROR.primary_title(message).element(snippet)])
}

/// The first line of the next step.
fn next_line(evidence: &Evidence, step: usize) -> Option<u64> {
    let next = evidence.scenario.as_ref()?.steps.get(step + 1)?;
    Some(next.referenced.line())
}

/// A step's lines, or the first few if there are many.
fn step_text(text: &str, line: u64, next: Option<u64>) -> Option<String> {
    const MOST: usize = 12;
    let first = usize::try_from(line).ok()?.checked_sub(1)?;
    let after = next.and_then(|next| usize::try_from(next).ok()).map_or(usize::MAX, |next| next - 1);
    let mut lines: Vec<&str> = text.lines().skip(first).take(after.saturating_sub(first).clamp(1, MOST)).collect();
    while lines.len() > 1 && lines.last().is_some_and(|last| last.trim().is_empty() || last.trim().starts_with('#')) {
        lines.pop();
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn not_reached(result: &ScenarioResult) -> Option<String> {
    let lines: Vec<String> = result
        .verdict
        .expectations
        .iter()
        .filter(|verdict| verdict.outcome.is_none())
        .map(|verdict| verdict.line.to_string())
        .collect();
    (!lines.is_empty() && words::is_red(result.verdict.outcome)).then(|| {
        let (what, line) = (words::count(lines.len(), "expectation"), if lines.len() == 1 { "line" } else { "lines" });
        format!("{what} not decided ({line} {}): the scenario ended first", lines.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_failure_shows_what_came_instead() {
        let (result, evidence) = fixture::failing();
        insta::assert_snapshot!(text(&result, &evidence, false));
    }

    #[test]
    fn a_hang_says_how_long_nothing_came() {
        let (result, evidence) = fixture::hanging();
        insta::assert_snapshot!(text(&result, &evidence, false));
    }

    #[test]
    fn a_step_that_could_not_be_done_has_its_place() {
        let (result, evidence) = fixture::broken();
        insta::assert_snapshot!(text(&result, &evidence, false));
    }

    #[test]
    fn what_must_never_come_and_came_is_shown() {
        let (mut result, evidence) = fixture::failing();
        let verdict = &mut result.verdict.expectations[0];
        (verdict.never, verdict.events) = (true, vec![11]);
        verdict.closest.clear();
        let text = text(&result, &evidence, false);
        assert!(text.contains("there must be no `request` of n1, but one was observed"), "{text}");
        assert!(text.contains("request at 4.55 s (seq 11)"), "{text}");
    }

    #[test]
    fn a_process_that_ended_by_itself_is_told_once() {
        let (mut result, evidence) = fixture::failing();
        result.verdict.invariants.clear();
        let death = "kubelet of n1, pid 4711, exited with code 1 on its own";
        assert_eq!(text(&result, &evidence, false).matches(death).count(), 1);
        let ended = evidence
            .events
            .iter()
            .find(|event| matches!(&event.what, What::Process(process) if process.state != ProcessState::Started));
        result.verdict.expectations[0].events = vec![ended.unwrap().seq];
        assert!(!text(&result, &evidence, false).contains(death));
    }

    #[test]
    fn an_event_that_decides_is_told_from_one_that_is_near() {
        let (mut result, evidence) = fixture::failing();
        let verdict = &mut result.verdict.expectations[0];
        verdict.events = vec![verdict.closest[0].seq];
        let text = text(&result, &evidence, false);
        assert!(text.contains("was observed, but it is not as expected"), "{text}");
    }

    #[test]
    fn one_line_has_the_words_that_decide() {
        let line = |(result, evidence): (ScenarioResult, Evidence)| one_line(&result, &evidence);
        let near = "line 10: a `request` of n1 was observed, but none matched within 30.0 s: \
                    code: expected 403, found 201; reason: expected Forbidden, found (empty)";
        assert_eq!(line(fixture::failing()), near);
        assert_eq!(line(fixture::hanging()), "line 10: no matching `csr` within 20.0 s");
        assert!(line(fixture::broken()).ends_with("`start` could not be performed: no free port below 65536"));

        let (mut unwanted, evidence) = fixture::failing();
        let verdict = &mut unwanted.verdict.expectations[0];
        (verdict.never, verdict.events) = (true, vec![11]);
        verdict.closest.clear();
        let said = line((unwanted, evidence));
        assert!(said.contains("but one was observed: n1: kubelet-bootstrap create"), "{said}");

        let (mut silent, evidence) = fixture::failing();
        let verdict = &mut silent.verdict.expectations[0];
        (verdict.outcome, verdict.closest) = (Some(Outcome::Hang), Vec::new());
        let said = line((silent, evidence));
        assert!(said.contains("within 30.0 s: kubelet of n1, pid 4711, exited with code 1 on its own"), "{said}");
    }

    #[test]
    fn a_line_has_room_for_some_differences_and_letters() {
        let mismatch = |field: &str| Mismatch { field: field.into(), expected: "é".repeat(200), found: String::new() };
        let said = differences(&["a", "b", "c", "d", "e"].map(mismatch));
        assert!(said.ends_with("; and 2 more"), "{said}");
        assert!(said.starts_with(&format!("a: expected {}…, found (empty); b:", "é".repeat(80))), "{said}");
    }

    #[test]
    fn colours_only_where_wanted() {
        let (result, evidence) = fixture::hanging();
        assert!(text(&result, &evidence, true).contains("\x1b["));
        assert!(!text(&result, &evidence, false).contains('\x1b'));
    }

    #[test]
    fn without_evidence_it_still_says_where() {
        let (result, _) = fixture::hanging();
        let text = text(&result, &Evidence::default(), false);
        assert!(text.contains("scenarios/approval/no-approver.yaml:10"), "{text}");
    }

    #[test]
    fn what_passed_has_a_headline_only() {
        let (result, evidence) = fixture::rotating();
        assert_eq!(text(&result, &evidence, false).lines().count(), 2);
    }
}
