//! `report.html`: one self-contained page, for browsers, mail and archives.

mod first;

use std::collections::BTreeMap;
use std::path::Path;

use minijinja::value::Serde;
use minijinja::{Environment, HtmlEscape, Value};
use serde::Serialize;

use super::failure::Failed;
use super::overview::{headline, ids, known, sentences, targets, unsupported};
use super::{Evidence, ReportError, held, timeline, words};
use crate::cluster::ProviderKind;
use crate::evidence;
use crate::run::TargetId;
use first::{Red, Tile};
use tlsboot_core::check::invariants::{InvariantVerdict, Standing};
use tlsboot_core::check::{ExpectationVerdict, Mismatch, Outcome};
use tlsboot_core::history::event::Phase;
use tlsboot_core::history::{Event, What};
use tlsboot_core::result::{RunResult, ScenarioResult};
use tlsboot_core::scenario::{Level, requirements};

/// In a report of more results than this, what passed has no picture and no list of events: a browser could not show it.
const ALL_DRAWN: usize = 150;
/// This many of the last lines of logs are beside a failure.
const LAST_LINES: usize = 8;
/// With more rows than this, a list of events is not readable.
const MOST_EVENTS: usize = 200;

/// The file's text.
pub(super) fn page(out: &Path, run: &RunResult) -> Result<String, ReportError> {
    render(out, run).map_err(|error| ReportError::Draw { name: "report.html", reason: format!("{error:#}") })
}

fn render(out: &Path, run: &RunResult) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    // names that end in .html are always escaped
    environment.add_template("report.html", include_str!("html/report.html"))?;
    environment.add_template("first.html", include_str!("html/first.html"))?;
    environment.add_template("filter.html", include_str!("html/filter.html"))?;
    environment.add_template("case.html", include_str!("html/case.html"))?;
    environment.add_template("style.css", include_str!("html/style.css"))?;
    environment.add_filter("duration", words::duration);
    environment.add_filter("seconds", words::seconds);
    environment.add_filter("value", |text: &str| words::value(text));
    environment.add_filter("short", |text: &str| words::short(text).to_owned());
    environment.add_filter("prose", prose);
    environment.get_template("report.html")?.render(Serde(Page::of(out, run)))
}

/// A scenario's words, in which backticks mark code.
fn prose(text: &str) -> Value {
    let parts = text.split('`').enumerate().map(|(index, part)| match index % 2 {
        0 => HtmlEscape(part).to_string(),
        _ => format!("<code>{}</code>", HtmlEscape(part)),
    });
    Value::from_safe_string(parts.collect())
}

#[derive(Serialize)]
struct Page<'a> {
    run: &'a RunResult,
    started: String,
    headline: String,
    sentences: Vec<String>,
    red: Vec<Red<'a>>,
    tiles: Vec<Tile<'a>>,
    levels: Vec<&'static str>,
    all_drawn: bool,
    counts: Vec<(&'static str, usize)>,
    targets: Vec<&'a str>,
    chapters: Vec<Chapter<'a>>,
    reasons: Vec<String>,
    known: Vec<String>,
    scenarios: Vec<Section<'a>>,
}

/// A chapter's part of the matrix.
#[derive(Serialize)]
struct Chapter<'a> {
    name: &'a str,
    rows: Vec<MatrixRow<'a>>,
}

#[derive(Serialize)]
struct MatrixRow<'a> {
    /// What filters know it by.
    class: String,
    id: &'a str,
    title: &'a str,
    /// One per target; `None` if the scenario was not selected there.
    cells: Vec<Option<Cell>>,
}

#[derive(Serialize)]
struct Cell {
    outcome: &'static str,
    duration_ms: u64,
    anchor: String,
    reason: Option<String>,
    /// Number of the reason in the list below the matrix.
    note: Option<usize>,
}

/// A scenario, on all its targets.
#[derive(Serialize)]
struct Section<'a> {
    class: String,
    id: &'a str,
    title: &'a str,
    why: String,
    level: String,
    /// Id, statement and source.
    requirements: Vec<(&'a str, &'static str, &'static str)>,
    cases: Vec<Value>,
}

/// A scenario on one target.
#[derive(Serialize)]
struct Case<'a> {
    result: &'a ScenarioResult,
    outcome: &'static str,
    open: bool,
    anchor: String,
    error: Option<String>,
    problems: Vec<String>,
    lines: Vec<Line<'a>>,
    failures: Vec<Failure>,
    violations: Vec<Violated>,
    held: Vec<Held>,
    timeline: Option<Value>,
    events: Vec<Row>,
    left_out: usize,
    /// The last lines of logs that the history has, if it is red.
    last_lines: Vec<Row>,
    /// Paths from the report to files of the evidence, each with its hash.
    files: Vec<(String, &'a str)>,
    /// The command that runs it again, if tlsboot can start such a target.
    again: Option<String>,
}

/// A line of the scenario file.
#[derive(Serialize)]
struct Line<'a> {
    number: usize,
    text: &'a str,
    /// The name and class of the verdict on the step that begins here.
    outcome: Option<&'static str>,
    /// A remark about it.
    note: String,
    /// The observed effect of a stimulus.
    proof: String,
}

#[derive(Serialize)]
struct Failure {
    outcome: &'static str,
    line: u64,
    sentence: String,
    meanwhile: Option<String>,
    closest: Vec<Shown>,
}

#[derive(Serialize)]
struct Shown {
    event: Option<Row>,
    seq: u64,
    mismatches: Vec<Mismatch>,
}

/// An invariant that was not kept.
#[derive(Serialize)]
struct Violated {
    name: String,
    words: String,
    event: Option<Row>,
}

/// A row of the table of invariants.
#[derive(Serialize)]
struct Held {
    id: String,
    standing: &'static str,
    outcome: &'static str,
    looked: String,
    statement: &'static str,
}

/// An event in words.
#[derive(Serialize)]
struct Row {
    seq: u64,
    seconds: f64,
    kind: &'static str,
    text: String,
}

impl<'a> Page<'a> {
    fn of(out: &Path, run: &'a RunResult) -> Self {
        let of = |outcome: Outcome| run.scenarios.iter().filter(|result| result.verdict.outcome == outcome).count();
        let counts = words::OUTCOMES.iter().map(|outcome| (words::outcome(*outcome), of(*outcome)));
        Self {
            run,
            started: run.started.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
            headline: headline(run),
            sentences: sentences(run),
            red: first::red(out, run),
            tiles: first::tiles(run),
            levels: levels(run),
            all_drawn: run.scenarios.len() <= ALL_DRAWN,
            counts: counts.filter(|(_, count)| *count > 0).collect(),
            targets: targets(run),
            chapters: chapters(run),
            reasons: unsupported(run).into_iter().map(|(reason, _)| reason).collect(),
            known: known(run),
            scenarios: ids(run).into_iter().map(|id| Section::of(out, run, id)).collect(),
        }
    }
}

fn chapters(run: &RunResult) -> Vec<Chapter<'_>> {
    let reasons = unsupported(run);
    let mut chapters: BTreeMap<&str, Vec<MatrixRow<'_>>> = BTreeMap::new();
    for id in ids(run) {
        let of = |target: &str| run.scenarios.iter().find(|result| result.id == id && result.target == target);
        let cells =
            targets(run).into_iter().map(|target| of(target).map(|result| Cell::of(result, &reasons))).collect();
        let title = run.scenarios.iter().find(|result| result.id == id).map_or("", |result| result.title.as_str());
        chapters.entry(first::chapter(id)).or_default().push(MatrixRow { class: class(run, id), id, title, cells });
    }
    chapters.into_iter().map(|(name, rows)| Chapter { name, rows }).collect()
}

impl Cell {
    fn of(result: &ScenarioResult, reasons: &[(String, Vec<String>)]) -> Self {
        let reason = result.unsupported.clone();
        Self {
            outcome: words::outcome(result.verdict.outcome),
            duration_ms: result.duration_ms,
            anchor: anchor(result),
            note: reasons.iter().position(|(known, _)| Some(known) == reason.as_ref()).map(|index| index + 1),
            reason,
        }
    }
}

/// The levels that occur, strongest first.
fn levels(run: &RunResult) -> Vec<&'static str> {
    let all = [Level::Must, Level::Should, Level::Info].into_iter();
    all.filter(|level| run.scenarios.iter().any(|result| result.level == *level)).map(Level::word).collect()
}

/// What filters know a scenario by: its outcomes, its level and its chapter.
fn class(run: &RunResult, id: &str) -> String {
    let results = || run.scenarios.iter().filter(|result| result.id == id);
    let outcomes = words::OUTCOMES.iter().filter(|outcome| results().any(|one| one.verdict.outcome == **outcome));
    let mut names: Vec<String> = outcomes.map(|outcome| format!("has-{}", words::outcome(*outcome))).collect();
    if results().any(|result| words::is_red(result.verdict.outcome)) {
        names.push("has-red".into());
    }
    names.extend(results().next().map(|result| format!("has-{}", result.level.word())));
    names.push(format!("of-{}", first::chapter(id)));
    names.join(" ")
}

/// An anchor in the page; characters that no id needs are left out.
fn anchor(result: &ScenarioResult) -> String {
    let name = format!("{}--{}", result.id, result.target);
    name.chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || ".-".contains(letter) { letter } else { '_' })
        .collect()
}

impl<'a> Section<'a> {
    fn of(out: &Path, run: &'a RunResult, id: &'a str) -> Self {
        let results: Vec<&ScenarioResult> = run.scenarios.iter().filter(|result| result.id == id).collect();
        let mut why = String::new();
        // Only one history at a time is in memory: a run may have hundreds.
        let cases = results
            .iter()
            .map(|result| {
                let evidence = Evidence::read(out, result);
                if let Some(scenario) = &evidence.scenario {
                    why.clone_from(&scenario.why);
                }
                let drawn = run.scenarios.len() <= ALL_DRAWN || result.verdict.outcome != Outcome::Pass;
                Value::from(Serde(Case::of(result, &evidence, drawn)))
            })
            .collect();
        let first = results[0];
        let requirement = |id: &'a String| {
            let found = requirements::find(id);
            (id.as_str(), found.map_or("", |found| found.statement), found.map_or("", |found| found.source))
        };
        Self {
            class: class(run, id),
            id,
            title: &first.title,
            why,
            level: first.level.word().to_owned(),
            requirements: first.requirements.iter().map(requirement).collect(),
            cases,
        }
    }
}

impl<'a> Case<'a> {
    /// Without its picture and its events if it is not `drawn`.
    fn of(result: &'a ScenarioResult, evidence: &'a Evidence, drawn: bool) -> Self {
        let outcome = result.verdict.outcome;
        let told = evidence.events.iter().filter(|event| is_told(&event.what));
        let told: Vec<Row> = told.filter(|_| drawn).filter_map(|event| Row::of(evidence, event.seq)).collect();
        Self {
            result,
            outcome: words::outcome(outcome),
            open: words::is_red(outcome),
            anchor: anchor(result),
            error: result.verdict.error.as_deref().map(words::clean),
            problems: evidence.problems.clone(),
            lines: lines(result, evidence),
            failures: Failed::all(result, evidence).iter().map(|failed| Failure::of(failed, evidence)).collect(),
            violations: Violated::all(result, evidence),
            held: result.verdict.invariants.iter().map(Held::of).collect(),
            timeline: timeline::svg(result, evidence).filter(|_| drawn).map(Value::from_safe_string),
            left_out: told.len().saturating_sub(MOST_EVENTS),
            events: told.into_iter().take(MOST_EVENTS).collect(),
            last_lines: last_lines(outcome, evidence),
            files: files(result),
            again: again(result),
        }
    }
}

fn last_lines(outcome: Outcome, evidence: &Evidence) -> Vec<Row> {
    let is_log = |event: &&Event| words::is_red(outcome) && matches!(event.what, What::Log(_));
    let mut last: Vec<Row> = evidence
        .events
        .iter()
        .rev()
        .filter(is_log)
        .take(LAST_LINES)
        .filter_map(|event| Row::of(evidence, event.seq))
        .collect();
    last.reverse();
    last
}

/// The result names files, and may be from elsewhere: a link leads to evidence and nowhere else.
fn files(result: &ScenarioResult) -> Vec<(String, &str)> {
    let place = evidence::place(&result.target, &result.id);
    let is_inside = |name: &str| {
        let mut parts = Path::new(name).components();
        evidence::has(Path::new(name)) && parts.all(|part| matches!(part, std::path::Component::Normal(_)))
    };
    let has_evidence = result.evidence.as_ref() == Some(&place);
    let files = result.hashes.iter().filter(|(name, _)| has_evidence && is_inside(name));
    files.map(|(name, hash)| (format!("{place}/{name}"), hash.as_str())).collect()
}

/// The command that runs a scenario again on the same versions.
fn again(result: &ScenarioResult) -> Option<String> {
    let TargetId { provider, kubernetes, kubelet } = TargetId::of_name(&result.target)?;
    let mut command = format!("tlsboot run {} --kubernetes {kubernetes}", result.id);
    if kubelet != kubernetes {
        command.push_str(&format!(" --kubelet {kubelet}"));
    }
    if provider != ProviderKind::Local {
        command.push_str(&format!(" --provider {provider}"));
    }
    Some(command)
}

/// The events that tell the story; the rest is in the history.
fn is_told(what: &What) -> bool {
    !matches!(
        what,
        What::Request(_)
            | What::Log(_)
            | What::Metrics(_)
            | What::Connection(_)
            | What::Inbound(_)
            | What::Recorder(_)
            | What::Load(_)
            | What::Looked(_)
    )
}

impl Row {
    fn of(evidence: &Evidence, seq: u64) -> Option<Self> {
        let event = evidence.event(seq)?;
        Some(Self {
            seq,
            seconds: evidence.seconds(event.at),
            kind: event.what.kind(),
            text: words::event(&event.what),
        })
    }
}

impl Failure {
    fn of(failed: &Failed<'_>, evidence: &Evidence) -> Self {
        let outcome = failed.verdict.outcome.unwrap_or(Outcome::Error);
        let shown = failed.shown().into_iter().map(|closest| Shown {
            event: Row::of(evidence, closest.seq),
            seq: closest.seq,
            mismatches: closest.mismatches,
        });
        Self {
            outcome: words::outcome(outcome),
            line: failed.verdict.line,
            sentence: failed.sentence(),
            meanwhile: failed.meanwhile().filter(|_| outcome == Outcome::Hang),
            closest: shown.collect(),
        }
    }
}

impl Violated {
    fn all(result: &ScenarioResult, evidence: &Evidence) -> Vec<Self> {
        let of = |broken: &InvariantVerdict| {
            let name = held::name(broken);
            let violations = broken.violations.iter();
            let rows = violations.map(|violation| Self {
                name: name.clone(),
                words: words::clean(&violation.words),
                event: Row::of(evidence, violation.seq),
            });
            rows.collect::<Vec<_>>()
        };
        result.verdict.broken().flat_map(of).collect()
    }
}

impl Held {
    fn of(verdict: &InvariantVerdict) -> Self {
        let outcome = match verdict.standing {
            Standing::Held => Outcome::Pass,
            Standing::Idle | Standing::Unproven => Outcome::Unsupported,
            Standing::Known | Standing::Allowed => Outcome::Known,
            Standing::Broken => Outcome::Fail,
        };
        Self {
            id: held::name(verdict),
            standing: verdict.standing.word(),
            outcome: words::outcome(outcome),
            looked: held::looked(verdict),
            statement: requirements::invariant(&verdict.id).map_or("", |found| found.statement),
        }
    }
}

/// The scenario file with the verdicts at its lines.
fn lines<'a>(result: &ScenarioResult, evidence: &'a Evidence) -> Vec<Line<'a>> {
    let Some(scenario) = &evidence.scenario else {
        return Vec::new();
    };
    let mut lines: Vec<Line<'a>> = scenario
        .text
        .lines()
        .enumerate()
        .map(|(index, text)| Line { number: index + 1, text, outcome: None, note: String::new(), proof: String::new() })
        .collect();
    for (index, step) in scenario.steps.iter().enumerate() {
        let place = usize::try_from(step.referenced.line()).ok().and_then(|line| lines.get_mut(line.checked_sub(1)?));
        let Some(line) = place else { continue };
        let verdict = result.verdict.expectations.iter().find(|verdict| verdict.step == index);
        let (outcome, note, proof) = match verdict {
            Some(verdict) => of_expectation(evidence, verdict),
            None if step.value.is_judged() => {
                (Some("unsupported"), "not applicable".into(), "it is for other versions".into())
            }
            None => of_stimulus(evidence, index),
        };
        line.outcome = outcome;
        line.proof = proof;
        line.note = note;
    }
    lines
}

fn of_expectation(evidence: &Evidence, verdict: &ExpectationVerdict) -> (Option<&'static str>, String, String) {
    let Some(outcome) = verdict.outcome.map(words::outcome) else {
        return (Some("undecided"), "not decided".into(), String::new());
    };
    let event = verdict.events.last().and_then(|seq| evidence.event(*seq));
    let at = event.or_else(|| evidence.deadline(verdict.step));
    let note = at.map(|event| format!("{outcome} at {}", words::seconds(evidence.seconds(event.at))));
    let proof = event.map(|event| words::event(&event.what));
    (Some(outcome), note.unwrap_or_else(|| outcome.into()), proof.unwrap_or_default())
}

/// Outcome, note and proof.
fn of_stimulus(evidence: &Evidence, index: usize) -> (Option<&'static str>, String, String) {
    let last = evidence.events.iter().rev().find_map(|event| match &event.what {
        What::Step(step) if step.index == index => Some((&step.phase, words::seconds(evidence.seconds(event.at)))),
        _ => None,
    });
    match last {
        Some((Phase::Done { proof, .. }, at)) => (Some("stimulus"), format!("done at {at}"), words::clean(proof)),
        Some((Phase::Failed { error }, at)) => (Some("error"), format!("failed at {at}"), words::clean(error)),
        Some((Phase::Begin, at)) => (Some("error"), format!("begun at {at}"), String::new()),
        None => (Some("undecided"), "not reached".into(), String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn html() -> String {
        let folder = fixture::folder();
        page(folder.path(), &fixture::run()).unwrap()
    }

    #[test]
    fn nothing_comes_from_elsewhere() {
        let html = html();
        for forbidden in ["<link", "<script", "src=", "@import", "url("] {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
    }

    #[test]
    fn values_are_escaped() {
        let html = html();
        assert!(html.contains("&lt;b&gt;&amp;amp; no one says so"), "the title is data");
        assert!(html.contains("https:&#x2f;&#x2f;dl.k8s.io&#x2f;&lt;release&gt;"), "the origin is data");
    }

    #[test]
    fn every_outcome_reason_and_line_is_there() {
        let html = html();
        for part in [
            "1 error, 1 hang, 1 fail, 1 unsupported, 1 pass",
            "can&#x27;t set anonymous authentication",
            "no free port below 65536",
            "nodeBootstrapper: absent",
            "no matching",
            "may not create CertificateSigningRequests",
        ] {
            assert!(html.contains(part), "`{part}` is missing");
        }
    }

    #[test]
    fn backticks_mark_code_in_a_scenarios_words() {
        let drawn = prose("by `--client-ca-file` <b> of `kube-apiserver`").to_string();
        assert_eq!(drawn, "by <code>--client-ca-file</code> &lt;b&gt; of <code>kube-apiserver</code>");
        assert_eq!(prose("an odd ` & one").to_string(), "an odd <code> &amp; one</code>");
    }

    #[test]
    fn links_lead_somewhere() {
        let html = html();
        for target in html.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(html.contains(&format!("id=\"{target}\"")), "#{target}");
        }
    }

    #[test]
    fn the_first_screen_has_the_verdict_and_what_is_red() {
        let html = html();
        let place = |part: &str| html.find(part).unwrap_or_else(|| panic!("`{part}` is missing"));
        let sentence = place("Kubernetes 1.37.2 keeps 2 of 4 tested promises");
        let red = place("code: expected 403, found 201; reason: expected Forbidden, found (empty)</li>");
        assert!(sentence < red && red < place("<table class=\"matrix\">"));
    }

    #[test]
    fn filters_know_every_scenario_by_outcome_level_and_chapter() {
        let run = fixture::run();
        assert_eq!(class(&run, "rotation.quick"), "has-error has-pass has-red has-must of-rotation");
        let html = html();
        for id in ["only-red", "only-hang", "only-must", "only-chapter-rbac"] {
            assert!(html.contains(&format!("id=\"{id}\"")) && html.contains(&format!("#{id}:checked")), "{id}");
        }
    }

    #[test]
    fn links_lead_to_evidence_only() {
        let (mut result, _) = fixture::failing();
        let names = ["history.jsonl", "logs/n1/kubelet.log", "logs/../../../secret", "/etc/passwd", "x"];
        result.hashes = names.map(|name| (name.to_owned(), "ab".to_owned())).into();
        let links: Vec<String> = files(&result).into_iter().map(|(link, _)| link).collect();
        let place = "local-1.37.2/rbac.missing-bootstrapper-binding";
        assert_eq!(links, [format!("{place}/history.jsonl"), format!("{place}/logs/n1/kubelet.log")]);
        result.evidence = Some("javascript:alert(1)".into());
        assert!(files(&result).is_empty());
    }

    #[test]
    fn a_case_says_how_it_is_run_again() {
        let (mut result, _) = fixture::failing();
        result.target = "kind::1.37.2".into();
        let id = "rbac.missing-bootstrapper-binding";
        assert_eq!(again(&result).unwrap(), format!("tlsboot run {id} --kubernetes 1.37.2 --provider kind"));
        result.target = "cluster::prod".into();
        assert_eq!(again(&result), None);
    }

    #[test]
    fn many_results_still_fit_into_a_browser() {
        let folder = fixture::folder();
        let mut run = fixture::run();
        let results = run.scenarios.clone();
        run.scenarios = (0..750)
            .map(|number| {
                let mut result = results[if number % 50 == 0 { 1 } else { 2 }].clone();
                result.id = format!("{}-{number}", result.id);
                result
            })
            .collect();
        for result in &mut run.scenarios {
            let place = folder.path().join(result.evidence.as_ref().unwrap());
            let again = evidence::place(&result.target, &result.id);
            let copy = folder.path().join(&again);
            std::fs::create_dir(&copy).unwrap();
            for name in [evidence::HISTORY, evidence::SCENARIO] {
                std::fs::copy(place.join(name), copy.join(name)).unwrap();
            }
            result.evidence = Some(again);
        }
        let html = page(folder.path(), &run).unwrap();
        assert!(html.len() < 8_000_000, "{} bytes", html.len());
        assert!(html.contains("has 750 results"), "it says what is left out");
        assert!(html.contains("<svg"), "what is red is drawn");
    }

    #[test]
    fn missing_evidence_is_said() {
        let html = page(Path::new("nowhere"), &fixture::run()).unwrap();
        assert!(html.contains("the evidence folder cannot be opened"));
    }
}
