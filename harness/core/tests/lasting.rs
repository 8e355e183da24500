//! What must stay so (`stays`): its window, what breaks it, and that someone was looking.

#[path = "common/story.rs"]
mod story;

use rstest::rstest;
use serde_json::{Value, json};
use story::{done, file, kubelet, log, step, story};
use tlsboot_core::check::mutate::{Effort, prove};
use tlsboot_core::check::{Judge, Next, Outcome, Verdict, judge_all};
use tlsboot_core::history::Event;
use tlsboot_core::scenario::{Scenario, load_text};

/// A kubelet is started (at 1 s), becomes so (2 s), is restarted (10 s to 12 s), and another file ends it (30 s).
fn scenario(stays: &str) -> Scenario {
    load(stays).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn load(stays: &str) -> Result<Scenario, Vec<tlsboot_core::scenario::Diagnostic>> {
    let text = format!(
        "\
id: files.stays
title: A file stays
requirements: [K-18]
nodes: [{{name: n1}}]
steps:
  - start: {{node: n1}}
  - stays: {{{stays}}}
  - expect: {{process: {{node: n1, state: running}}, name: runs}}
  - restart: {{node: n1}}
  - expect: {{file: {{node: n1, name: a}}, within: 20s, name: middle}}
  - expect: {{file: {{node: n1, name: b}}, within: 30s}}
  - never: {{process: {{node: n1, state: running, starts: 3}}, control: runs}}
"
    );
    load_text("stays.yaml", &text)
}

const FILE: &str = "file: {node: n1, name: kubelet.crt}";
const PROCESS: &str = "process: {node: n1, state: running}";

/// The recorders look each two seconds but in these, which are left out.
fn looks(but: std::ops::Range<u64>) -> Vec<(u64, Value)> {
    let seconds = (0..40).step_by(2).filter(|second| !but.contains(second));
    let looked = |second| {
        let at = json!({"files": {"n1": second * 1_000_000}, "process": {"cluster": second * 1_000_000}});
        (second, json!({"looked": {"at": at}}))
    };
    seconds.map(looked).collect()
}

fn whole(more: &[(u64, Value)], looks: Vec<(u64, Value)>) -> Vec<Event> {
    let told = [
        (1, step(0, json!("begin"))),
        (1, kubelet(json!("started"))),
        (2, file("kubelet.crt", "created")),
        (2, step(0, done())),
        (3, log()),
        (10, step(3, json!("begin"))),
        (12, step(3, done())),
        (20, file("a", "created")),
        (30, file("b", "created")),
    ];
    let mut events: Vec<_> = told.into_iter().chain(more.to_vec()).chain(looks).collect();
    events.sort_by_key(|(second, _)| *second);
    story("1.37.2", &events)
}

fn verdict(stays: &str, more: &[(u64, Value)], looks: Vec<(u64, Value)>) -> Verdict {
    judge_all(&scenario(stays), whole(more, looks))
}

fn gone() -> Value {
    file("kubelet.crt", "deleted")
}

fn back() -> Value {
    file("kubelet.crt", "created")
}

#[rstest]
#[case::nothing_changes(FILE, vec![], Outcome::Pass)]
#[case::for_a_moment(FILE, vec![(5, gone()), (5, back())], Outcome::Fail)]
#[case::while_the_next_stimulus_runs(FILE, vec![(11, gone())], Outcome::Fail)]
#[case::in_the_last_moment(FILE, vec![(29, gone())], Outcome::Fail)]
#[case::after_the_end(FILE, vec![(31, gone())], Outcome::Pass)]
#[case::after_its_time("file: {node: n1, name: kubelet.crt}, for: 5s", vec![(8, gone())], Outcome::Pass)]
#[case::in_its_time("file: {node: n1, name: kubelet.crt}, for: 5s", vec![(6, gone())], Outcome::Fail)]
#[case::after_what_ends_it("file: {node: n1, name: kubelet.crt}, until: middle", vec![(21, gone())], Outcome::Pass)]
#[case::before_what_ends_it("file: {node: n1, name: kubelet.crt}, until: middle", vec![(19, gone())], Outcome::Fail)]
#[case::never_came("file: {node: n1, name: tls.crt}, within: 5s", vec![(8, json!({"deadline": {"step": 1}}))], Outcome::Fail)]
#[case::another_thing_changes(FILE, vec![(5, file("kubelet.key", "deleted"))], Outcome::Pass)]
#[case::process_ends(PROCESS, vec![(13, kubelet(json!({"exited": {"code": 0, "asked": false}})))], Outcome::Fail)]
fn what_stays_is_so_in_all_of_its_window(
    #[case] stays: &str,
    #[case] more: Vec<(u64, Value)>,
    #[case] outcome: Outcome,
) {
    let verdict = verdict(stays, &more, looks(0..0));
    // Invariants have their own opinion of a file that goes away.
    let worst = verdict.expectations.iter().filter_map(|expectation| expectation.outcome).max();
    assert_eq!(worst, Some(outcome), "{verdict:#?}");
}

/// What becomes so with the last event of a scenario must stay so for two seconds.
#[rstest]
#[case::at_once(30, Outcome::Fail)]
#[case::two_seconds_later(33, Outcome::Pass)]
fn the_shortest_window_has_a_length(#[case] second: u64, #[case] outcome: Outcome) {
    let events = [(30, file("c", "created")), (second, file("c", "deleted"))];
    let text =
        scenario(FILE).text.replace("  - never:", "  - stays: {file: {node: n1, name: c}, within: 30s}\n  - never:");
    let scenario = load_text("stays.yaml", &text).unwrap();
    let verdict = judge_all(&scenario, whole(&events, looks(0..0)));
    assert_eq!(verdict.outcome, outcome, "{verdict:#?}");
}

/// What broke it is shown, with the difference.
#[test]
fn what_broke_it_is_told() {
    let verdict = verdict(FILE, &[(5, gone())], looks(0..0));
    let broken = &verdict.expectations[0];
    assert_eq!((broken.events.len(), broken.closest.len()), (2, 1), "{broken:#?}");
    assert_eq!(broken.closest[0].seq, broken.events[1]);
    assert_eq!(broken.closest[0].mismatches[0].field, "count");
}

#[rstest]
#[case::never(0..40, Some("has not looked at n1"))]
#[case::not_for_a_while(6..24, Some("has not looked at n1 for"))]
#[case::not_at_the_end(30..40, Some("until the end"))]
#[case::for_a_short_while(6..14, None)]
fn a_recorder_that_does_not_look_proves_nothing(#[case] but: std::ops::Range<u64>, #[case] says: Option<&str>) {
    let verdict = verdict(FILE, &[], looks(but));
    let error = verdict.error.clone().unwrap_or_default();
    match says {
        Some(says) => {
            assert_eq!(verdict.outcome, Outcome::Error, "{verdict:#?}");
            assert!(error.contains("line 7: the recorder `files`") && error.contains(says), "{error}");
        }
        None => assert_eq!(verdict.outcome, Outcome::Pass, "{verdict:#?}"),
    }
}

/// What was seen is a failure, also where no one looked before or afterwards.
#[test]
fn what_is_red_stays_red_without_looks() {
    assert_eq!(verdict(FILE, &[(29, gone())], Vec::new()).outcome, Outcome::Fail);
}

/// The next stimulus waits for `for`, and for nothing else.
#[rstest]
#[case::until_the_end(FILE, 2)]
#[case::until_another_one("file: {node: n1, name: kubelet.crt}, until: middle", 2)]
#[case::for_a_time("file: {node: n1, name: kubelet.crt}, for: 5s", 8)]
fn the_scenario_goes_on_beside_it(#[case] stays: &str, #[case] second: u64) {
    let scenario = scenario(stays);
    let mut judge = Judge::new(&scenario);
    let mut at = None;
    for event in whole(&[], looks(0..0)) {
        let (is_step, mono) = (event.what.kind() == "step", event.mono);
        if mono > 2_000_000 && is_step {
            break;
        }
        judge.feed(event);
        if judge.next() == Next::Drive(3) {
            at = at.or(Some(mono / 1_000_000));
        }
    }
    assert_eq!(at, Some(second));
}

/// Live, the scenario ends with the looks after its last event; the runner says when it is too late for them.
#[test]
fn the_end_waits_for_the_looks() {
    let scenario = scenario(FILE);
    let mut judge = Judge::new(&scenario);
    for event in whole(&[], looks(30..40)) {
        judge.feed(event);
    }
    let Next::Wait { step: 1, mono } = judge.next() else { panic!("{:?}", judge.next()) };
    assert_eq!(mono, 45_000_000);
    let last = judge.past().last().unwrap().clone();
    let what = tlsboot_core::history::What::Deadline(tlsboot_core::history::event::Deadline { step: 1 });
    judge.feed(Event { seq: last.seq + 1, mono, what, ..last });
    assert_eq!((judge.next(), judge.verdict().outcome), (Next::Done, Outcome::Error));
}

#[rstest]
#[case::happens("log: {component: kubelet, contains: x}", "something that happens")]
#[case::another_csr("csr: {node: n1, role: client, state: pending}", "say which CSR")]
#[case::both_ends("file: {node: n1, name: a}, for: 5s, until: middle", "exclude each other")]
#[case::unknown_end("file: {node: n1, name: a}, until: nothing", "no step `expect` is called `nothing`")]
fn what_makes_no_sense_is_refused(#[case] stays: &str, #[case] says: &str) {
    let errors = load(stays).unwrap_err();
    assert!(errors.iter().any(|error| error.message.contains(says)), "{errors:?}");
}

#[rstest]
#[case::decided_before(
    "  - expect: {file: {node: n1, name: a}, name: made}\n  - restart: {node: n1}\n  - stays: {file: {node: n1, name: a}, until: made}\n",
    "is decided before this begins"
)]
fn windows_without_length_are_refused(#[case] steps: &str, #[case] says: &str) {
    let head = "id: files.stays\ntitle: A file stays\nrequirements: [K-18]\nnodes: [{name: n1}]\nsteps:\n";
    let errors = load_text("stays.yaml", &format!("{head}  - start: {{node: n1}}\n{steps}")).unwrap_err();
    assert!(errors.iter().any(|error| error.message.contains(says)), "{errors:?}");
}

/// `rejudge --mutate` undoes it everywhere in its window.
#[rstest]
#[case(FILE)]
#[case(PROCESS)]
#[case("file: {node: n1, name: kubelet.crt}, until: middle")]
#[case("file: {node: n1, name: kubelet.crt}, for: 5s")]
fn it_can_be_turned_red_in_all_of_its_window(#[case] stays: &str) {
    let proofs = prove(&scenario(stays), &whole(&[], looks(0..0)), Effort::All).unwrap();
    let words = &proofs[0].killed_by;
    for place in ["undone as soon as it was so", "undone in the middle of its time", "undone at the end of its time"] {
        assert!(words.iter().any(|known| known == place), "{place}: {words:?}");
    }
}

fn ended_at(scenario: &Scenario, events: Vec<Event>) -> (Option<u64>, Verdict) {
    let mut judge = Judge::new(scenario);
    let mut end = None;
    for event in events {
        let second = event.mono / 1_000_000;
        judge.feed(event);
        if judge.next() == Next::Done {
            end = end.or(Some(second));
        }
    }
    (end, judge.verdict())
}

/// With `--keep-going` the other expectations are judged, too; the verdict is the same.
#[test]
fn it_goes_on_if_it_is_told_so() {
    let text = scenario(FILE).text.replace("name: b}, within: 30s", "name: c}, within: 30s");
    let scenario = load_text("stays.yaml", &text).unwrap();
    let mut events = whole(&[(5, gone()), (39, json!({"deadline": {"step": 5}}))], looks(0..0));
    let (end, verdict) = ended_at(&scenario, events.clone());
    assert_eq!((end, verdict.outcome), (Some(5), Outcome::Fail));
    let undecided = verdict.expectations.iter().filter(|one| one.outcome.is_none()).count();
    assert_eq!(undecided, 3, "{verdict:#?}");
    let tlsboot_core::history::What::Begin(begin) = &mut events[0].what else { panic!() };
    begin.keep_going = true;
    let (end, verdict) = ended_at(&scenario, events);
    assert_eq!((end, verdict.outcome), (Some(39), Outcome::Fail), "{verdict:#?}");
    assert!(verdict.expectations.iter().all(|one| one.outcome.is_some()), "{verdict:#?}");
}
