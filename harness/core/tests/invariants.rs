//! Invariants: recorded histories of sound clusters keep them, and each single fault that is put into such a history
//! breaks the one that it should.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use rstest::rstest;
use serde_json::{Value, json};
use tlsboot_core::check::invariants::{ALL, InvariantVerdict, Standing};
use tlsboot_core::check::mutate::{Effort, prove_invariants};
use tlsboot_core::check::{Judge, Next, Outcome, Verdict, judge_all};
use tlsboot_core::history::{Event, parse};
use tlsboot_core::scenario::{Binding, Scenario, load_text};

const ROTATION: &str = "rotation.short-signing-duration";

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn scenario(id: &str) -> Scenario {
    let file = format!("{}.yaml", id.replacen('.', "/", 1));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios").join(file);
    load_text("scenario.yaml", &fs::read_to_string(path).unwrap()).unwrap()
}

/// The recorded history of a whole run on 1.37.2, without its log lines.
fn whole(name: &str) -> (Scenario, String) {
    let folder = fixtures().join("invariants").join(name);
    let read = |file| fs::read_to_string(folder.join(file)).unwrap();
    (load_text("scenario.yaml", &read("scenario.yaml")).unwrap(), read("history.jsonl"))
}

fn recorded(version: &str, id: &str) -> String {
    fs::read_to_string(fixtures().join("diff").join(version).join(format!("{id}.jsonl"))).unwrap()
}

/// The invariants that were broken, each with its first violation.
fn broken(verdict: &Verdict) -> Vec<(&str, &str)> {
    verdict.broken().map(|broken| (broken.id.as_str(), broken.violations[0].words.as_str())).collect()
}

fn of<'a>(verdict: &'a Verdict, id: &str) -> &'a InvariantVerdict {
    verdict.invariants.iter().find(|one| one.id == id).unwrap()
}

#[rstest]
fn recorded_histories_keep_them(
    #[values("1.24.17", "1.28.15", "1.30.14", "1.31.0", "1.32.2", "1.33.13")] version: &str,
    #[values(ROTATION, "issuance.serving-certificate", "approval.another-nodes-name")] id: &str,
) {
    let verdict = judge_all(&scenario(id), parse(&recorded(version, id)).unwrap());
    assert_eq!(broken(&verdict), [], "{version} {id}");
    assert_eq!(verdict.invariants.len(), ALL.len());
}

#[test]
fn a_rotation_gives_them_something_to_look_at() {
    let (scenario, history) = whole("rotation");
    let verdict = judge_all(&scenario, parse(&history).unwrap());
    assert_eq!(verdict.outcome, Outcome::Pass);
    for one in &verdict.invariants {
        assert_eq!(one.standing, Standing::Held, "{one:?}");
        assert!(one.looked > 0, "{one:?}");
    }
}

/// A history in which something is changed, or put in, by its lines' JSON.
struct History(Scenario, Vec<Value>);

impl History {
    fn rotation() -> Self {
        Self::of("rotation")
    }

    fn of(name: &str) -> Self {
        let (scenario, history) = whole(name);
        Self(scenario, history.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    /// The place of the n-th event, from 0, of which this is true.
    fn find(&self, nth: usize, is_it: impl Fn(&Value) -> bool) -> usize {
        let found = self.1.iter().enumerate().filter(|(_, event)| is_it(&event["what"])).nth(nth);
        found.expect("the history has such an event").0
    }

    fn file(&self, nth: usize, name: &str, op: &str) -> usize {
        self.find(nth, |what| {
            what["file"]["op"] == op && what["file"]["name"].as_str().is_some_and(|known| known.contains(name))
        })
    }

    fn what(&mut self, place: usize) -> &mut Value {
        &mut self.1[place]["what"]
    }

    /// Puts an event in after the one at this place, some milliseconds later.
    fn insert(&mut self, place: usize, millis: i64, what: Value) {
        let mut event = self.1[place].clone();
        let at: Timestamp = event["at"].as_str().unwrap().parse().unwrap();
        event["at"] = json!((at + SignedDuration::from_millis(millis)).to_string());
        event["what"] = what;
        self.1.insert(place + 1, event);
    }

    /// The same, of a scenario that does nothing but start the kubelet and wait, and without the end of the processes.
    fn that_goes_on(name: &str) -> Self {
        let Self(_, mut events) = Self::of(name);
        let is_later_step = |what: &Value| what["step"]["index"].as_u64().is_some_and(|index| index > 0);
        events.retain(|event| event["what"]["process"]["state"]["exited"].is_null() && !is_later_step(&event["what"]));
        let text = "id: a.b\ntitle: A kubelet runs\nwhy: It does.\nrequirements: [T-01]\nnodes: [{name: n1}]\nsteps:\n  - start: {node: n1}\n  - expect:\n      csr: {node: n1, role: client, number: 9}\n";
        Self(load_text("scenario.yaml", text).unwrap(), events)
    }

    /// Takes out all CSRs after the n-th, with the requests and the files that came with them.
    fn stops_asking_after(&mut self, nth: usize) {
        let next = self.find(nth, |what| what["csr"]["change"] == "added");
        let place = self.1[next]["at"].as_str().unwrap().to_owned();
        let later: Vec<String> =
            self.1[next..].iter().filter_map(|event| event["what"]["csr"]["uid"].as_str().map(str::to_owned)).collect();
        self.1.retain(|event| {
            let what = &event["what"];
            let is_later = event["at"].as_str().unwrap() >= &*place;
            let asks = what["request"]["resource"] == "certificatesigningrequests";
            let is_one = what["csr"]["uid"].as_str().is_some_and(|uid| later.iter().any(|known| known == uid));
            !(is_one || (is_later && (asks || !what["file"].is_null())))
        });
    }

    /// The window of this link's first certificate is over soon after that was in place.
    fn renew_soon(&mut self, link: &str) {
        let (created, moved) = (json!("created"), json!("movedTo"));
        let swap =
            self.find(0, |what| what["file"]["name"] == link && [&created, &moved].contains(&&what["file"]["op"]));
        let installed: Timestamp = self.1[swap]["at"].as_str().unwrap().parse().unwrap();
        let certificate = &mut self.what(swap)["file"]["facts"]["pem"][0]["certificate"];
        let not_before: Timestamp = certificate["notBefore"].as_str().unwrap().parse().unwrap();
        let until_then = installed.duration_since(not_before) + SignedDuration::from_secs(10);
        let life = SignedDuration::from_secs(until_then.as_secs() * 10 / 9);
        certificate["notAfter"] = json!((not_before + life).to_string());
    }

    fn judge(self) -> Verdict {
        let (scenario, events) = self.events();
        judge_all(&scenario, events)
    }

    fn events(mut self) -> (Scenario, Vec<Event>) {
        for (seq, event) in self.1.iter_mut().enumerate() {
            event["seq"] = json!(seq);
        }
        let lines: String = self.1.iter().map(|event| format!("{event}\n")).collect();
        (self.0, parse(&lines).unwrap())
    }

    /// The one invariant that this breaks, and in which words.
    #[track_caller]
    fn breaks(self, id: &str, words: &str) {
        let verdict = self.judge();
        let all = broken(&verdict);
        assert!(all.iter().any(|(known, said)| *known == id && said.contains(words)), "{all:?}");
        assert!(matches!(verdict.outcome, Outcome::Fail | Outcome::Error), "{:?}", verdict.outcome);
    }
}

/// Whom the judge calls broken for good after each event, with the place of the first time.
fn broken_for_good(scenario: &Scenario, events: &[Event]) -> Option<(usize, &'static str)> {
    let mut judge = Judge::new(scenario);
    events.iter().enumerate().find_map(|(place, event)| {
        judge.feed(event.clone());
        Some((place, judge.broken_for_good()?))
    })
}

/// What a later event explains must not end a scenario: no part of a sound history is broken for good.
#[rstest]
fn no_beginning_of_a_sound_history_ends_it(#[values("rotation", "serving")] name: &str) {
    let (scenario, history) = whole(name);
    assert_eq!(broken_for_good(&scenario, &parse(&history).unwrap()), None);
}

#[rstest]
fn no_beginning_of_a_recorded_history_ends_it(
    #[values("1.24.17", "1.28.15", "1.33.13")] version: &str,
    #[values(ROTATION, "issuance.serving-certificate", "approval.another-nodes-name")] id: &str,
) {
    assert_eq!(broken_for_good(&scenario(id), &parse(&recorded(version, id)).unwrap()), None);
}

/// A pair vanishes after the second swap, while the third certificate is awaited.
fn with_a_vanished_pair() -> History {
    let mut history = History::rotation();
    let swap = history.file(1, "kubelet-client-current.pem", "movedTo");
    let first = history.file(0, "kubelet-client-2", "created");
    let name = history.what(first)["file"]["name"].clone();
    history.insert(swap, 1, json!({"file": {"node": "n1", "name": name, "op": "deleted"}}));
    history
}

#[test]
fn a_broken_invariant_ends_a_scenario_and_a_rejudge_says_the_same() {
    let mut history = with_a_vanished_pair();
    let gone = history.find(0, |what| what["file"]["op"] == "deleted" && what["file"]["name"] != "kubeconfig");
    let (scenario, events) = with_a_vanished_pair().events();
    let (place, id) = broken_for_good(&scenario, &events).unwrap();
    assert_eq!(id, "I-04");
    let waited = events[place].mono - events[gone].mono;
    assert!((5_000_000..15_000_000).contains(&waited), "{waited}");

    history.insert(place, 0, json!({"ended": {"by": "I-04"}}));
    let (scenario, events) = history.events();
    let mut judge = Judge::new(&scenario);
    events[..=place].iter().for_each(|event| judge.feed(event.clone()));
    assert_ne!(judge.next(), Next::Done);
    judge.feed(events[place + 1].clone());
    assert_eq!(judge.next(), Next::Done);
    let live = judge.verdict();
    assert_eq!((live.outcome, broken(&live)[0].0), (Outcome::Fail, "I-04"));
    assert_eq!(judge_all(&scenario, events), live);
}

/// Also where no expectation has been decided yet.
#[test]
fn an_invariant_that_is_broken_before_all_else_is_a_failure() {
    let mut history = with_a_vanished_pair();
    let (head, _) = history.0.text.split_once("  - expect:").unwrap();
    let text = format!("{head}  - expect: {{certificate: {{node: n1, role: client, number: 3}}, within: 10m}}\n");
    history.0 = load_text("scenario.yaml", &text).unwrap();
    let (scenario, events) = with_a_vanished_pair().events();
    let (place, _) = broken_for_good(&scenario, &events).unwrap();
    history.insert(place, 0, json!({"ended": {"by": "I-04"}}));
    let verdict = history.judge();
    assert_eq!(verdict.expectations[0].outcome, None);
    assert_eq!((verdict.outcome, verdict.error.as_deref()), (Outcome::Fail, None));
}

/// Neither a runner nor an edited history ends a scenario while all is sound.
#[test]
fn a_sound_history_is_not_ended() {
    let mut history = History::rotation();
    let swap = history.file(1, "kubelet-client-current.pem", "movedTo");
    history.insert(swap, 1, json!({"ended": {"by": "I-04"}}));
    assert_eq!(history.judge().outcome, Outcome::Pass);
}

#[test]
fn a_scenario_that_keeps_going_is_not_ended() {
    let mut history = with_a_vanished_pair();
    history.what(0)["begin"]["keepGoing"] = json!(true);
    let (scenario, events) = history.events();
    assert_eq!(broken_for_good(&scenario, &events), None);
    let verdict = judge_all(&scenario, events);
    assert_eq!((verdict.outcome, broken(&verdict)[0].0), (Outcome::Fail, "I-04"));
    assert!(verdict.expectations.iter().all(|one| one.outcome.is_some()), "{verdict:#?}");
}

/// An invariant that no history can break proves nothing.
#[rstest]
fn each_invariant_that_a_history_kept_can_be_broken_by_it(#[values("rotation", "serving")] name: &str) {
    let (scenario, history) = whole(name);
    let events = parse(&history).unwrap();
    let proofs = prove_invariants(&scenario, &events, Effort::First).unwrap();
    let survivors: Vec<_> = proofs.iter().filter(|proof| proof.survives()).collect();
    assert!(survivors.is_empty(), "{survivors:#?}");
    let kept = judge_all(&scenario, events).invariants.into_iter().filter(|one| one.standing == Standing::Held);
    assert_eq!(proofs.len(), kept.count());
}

#[test]
fn a_history_that_does_not_pass_breaks_no_invariant_on_purpose() {
    let (scenario, events) = with_a_vanished_pair().events();
    assert_eq!(prove_invariants(&scenario, &events, Effort::First).unwrap_err().outcome, Outcome::Fail);
}

impl History {
    fn allowing(mut self, id: &str) -> Self {
        let head = format!("allows: {{{id}: for a test}}\nsteps:");
        self.0 = load_text("scenario.yaml", &self.0.text.replacen("steps:", &head, 1)).unwrap();
        self
    }
}

#[test]
fn what_a_scenario_allows_is_no_failure() {
    let verdict = with_a_vanished_pair().allowing("I-04").judge();
    assert_eq!(verdict.outcome, Outcome::Pass, "{:?}", verdict.error);
    let files = of(&verdict, "I-04");
    assert_eq!((files.standing, files.broken, files.reason.as_deref()), (Standing::Allowed, 1, Some("for a test")));
    let (scenario, events) = with_a_vanished_pair().allowing("I-04").events();
    assert_eq!(broken_for_good(&scenario, &events), None);
}

#[test]
fn another_invariant_is_not_allowed() {
    with_a_vanished_pair().allowing("I-01").breaks("I-04", "it was removed");
}

/// What is allowed only shrinks. If something else is red, that is what counts.
#[test]
fn an_exception_that_nothing_needs_is_an_error() {
    let verdict = History::rotation().allowing("I-04").judge();
    assert_eq!(verdict.outcome, Outcome::Error);
    assert_eq!(
        verdict.error.as_deref(),
        Some("I-04 was not broken, but the scenario allows it: remove it from `allows`")
    );
    let mut history = History::rotation().allowing("I-04");
    history.1.retain(|event| event["what"]["file"].is_null());
    assert_ne!(history.judge().outcome, Outcome::Pass);
}

#[test]
fn the_death_of_a_component_is_never_allowed() {
    let mut history = History::rotation().allowing("I-07");
    let second = history.file(1, "kubelet-client-current.pem", "movedTo");
    let died = json!({"process": {"component": "kube-controller-manager", "pid": 7, "state": {"exited": {"code": 2, "asked": false}}}});
    history.insert(second, 1, died);
    let (scenario, events) = history.events();
    assert_eq!(judge_all(&scenario, events.clone()).outcome, Outcome::Error);
    assert_eq!(broken_for_good(&scenario, &events).map(|(_, id)| id), Some("I-07"));
}

/// While an expectation of its exit is open, it is open whose fault it is.
#[test]
fn an_exit_that_may_still_be_expected_is_open() {
    let mut history = History::rotation();
    let expected = "  - expect: {process: {node: n1, state: exited}, after: renewal, within: 10m}\n";
    let before = "  - expect: {process: {node: n1, state: running, starts: 7}, within: 10m}\n";
    let text = history.0.text.clone() + before + "  - stop: {node: n1}\n" + expected;
    history.0 = load_text("scenario.yaml", &text).unwrap();
    let second = history.file(1, "kubelet-client-current.pem", "movedTo");
    let started = history.find(0, |what| what["process"]["component"] == "kubelet");
    let mut ended = history.what(started).clone();
    ended["process"]["state"] = json!({"exited": {"code": 1, "asked": false}});
    history.insert(second, 1, ended);
    let (scenario, events) = history.events();
    assert_eq!(broken_for_good(&scenario, &events), None);
    let verdict = judge_all(&scenario, events);
    let processes = of(&verdict, "I-07");
    assert_eq!((processes.open, processes.broken), (1, 0), "{processes:?}");
}

/// What was requested does not change any more.
#[rstest]
#[case::content("usages: {exactly: [client auth]}", true)]
#[case::state("state: denied", false)]
fn a_csr_with_the_wrong_content_decides(#[case] field: &str, #[case] decides: bool) {
    let mut history = History::rotation();
    let expected = format!("  - expect: {{csr: {{node: n1, role: client, number: 2, {field}}}, within: 10m}}\n");
    history.0 = load_text("scenario.yaml", &(history.0.text.clone() + &expected)).unwrap();
    let created = history.find(1, |what| what["csr"]["change"] == "added");
    let (scenario, events) = history.events();
    let mut judge = Judge::new(&scenario);
    let end = events.iter().position(|event| {
        judge.feed(event.clone());
        judge.next() == Next::Done
    });
    assert_eq!(end, decides.then_some(created));
}

/// The recorded flake of 1.28.15: a second renewal, 60 s after the first, over the connection of the first certificate,
/// which has expired. Six attempts get 401, the certificate runs out, and the node bootstraps again.
fn flake() -> History {
    let history = fs::read_to_string(fixtures().join("invariants/old-connection-1.28.15.jsonl")).unwrap();
    History(History::rotation().0, history.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

const OLD_CONNECTION: &str = "renewal-over-an-old-connection";

#[test]
fn what_follows_from_a_known_bug_is_known() {
    let verdict = flake().judge();
    assert_eq!(
        (verdict.outcome, &verdict.bugs[..]),
        (Outcome::Known, &[OLD_CONNECTION.to_owned()][..]),
        "{verdict:#?}"
    );
    let identity = of(&verdict, "I-01");
    assert_eq!((identity.standing, identity.broken, identity.violations.len()), (Standing::Known, 6, 1));
    assert!(identity.reason.as_deref().unwrap().contains("kubernetes/pull/136355"));
    let (scenario, events) = flake().events();
    assert_eq!(broken_for_good(&scenario, &events), None);
}

fn refused(history: &History) -> usize {
    history
        .find(0, |what| what["request"]["code"] == 401 && what["request"]["resource"] == "certificatesigningrequests")
}

fn change_csr(history: &mut History, change: impl Fn(&mut Value)) {
    let places: Vec<usize> =
        (0..history.1.len()).filter(|place| history.1[*place]["what"]["csr"]["name"] == "csr-mq2xf").collect();
    places.into_iter().for_each(|place| change(&mut history.what(place)["csr"]));
}

/// Each of these is wrong beside the bug, or is not the bug: it stays a failure.
#[rstest]
#[case::a_version_without_it(|history: &mut History| history.what(0)["begin"]["kubelet"] = json!("1.36.0"))]
#[case::another_request(|history: &mut History| {
    let place = refused(history);
    history.what(place)["request"]["resource"] = json!("nodes");
})]
#[case::an_old_certificate_that_is_valid(|history: &mut History| {
    for event in &mut history.1 {
        for pointer in ["/what/file/facts/pem/0/certificate", "/what/csr/certificates/0"] {
            if let Some(certificate) = event.pointer_mut(pointer).filter(|known| known["notAfter"] == "2026-11-27T23:46:21Z") {
                certificate["notAfter"] = json!("2026-11-27T23:58:21Z");
            }
        }
    }
})]
#[case::the_same_key_again(|history: &mut History| {
    let first = history.find(0, |what| what["csr"]["name"] == "csr-9qfc7");
    let key = history.what(first)["csr"]["request"]["key"]["spkiSha256"].clone();
    change_csr(history, |csr| csr["request"]["key"]["spkiSha256"] = key.clone());
})]
#[case::another_invariant(|history: &mut History| {
    let place = refused(history);
    let pair = history.file(0, "kubelet-client-2", "created");
    let name = history.what(pair)["file"]["name"].clone();
    history.insert(place, 1, json!({"file": {"node": "n1", "name": name, "op": "deleted"}}));
})]
#[case::a_renewal_that_was_never_refused(|history: &mut History| {
    history.1.retain(|event| event["what"]["request"]["code"] != 401);
})]
#[case::on_another_node(|history: &mut History| {
    for event in &mut history.1 {
        if event["what"]["request"]["code"] == 401 {
            event["what"]["request"]["node"] = json!("n2");
        }
    }
})]
fn what_does_not_follow_from_it_is_a_failure(#[case] change: impl Fn(&mut History)) {
    let mut history = flake();
    change(&mut history);
    let verdict = history.judge();
    assert_eq!((verdict.outcome, verdict.bugs.len()), (Outcome::Fail, 0), "{verdict:#?}");
}

/// From 1.29 on the renewal is late, and nothing else is wrong: the bug is named all the same.
#[test]
fn a_known_bug_that_makes_nothing_else_red_is_named() {
    let mut history = flake();
    let (head, _) = history.0.text.split_once("  - expect:").unwrap();
    let text =
        format!("{head}  - expect: {{csr: {{node: n1, role: client, number: 3, state: issued}}, within: 10m}}\n");
    history.0 = load_text("scenario.yaml", &text).unwrap();
    let verdict = history.judge();
    assert_eq!(verdict.expectations[0].outcome, Some(Outcome::Pass));
    assert_eq!((verdict.outcome, verdict.bugs.len()), (Outcome::Known, 1), "{verdict:#?}");
}

/// The scenario of the bug breaks the invariant on purpose.
#[test]
fn a_known_bug_may_be_allowed() {
    let verdict = flake().allowing("I-01").judge();
    assert_eq!(of(&verdict, "I-01").standing, Standing::Allowed);
}

fn is_request(what: &Value) -> bool {
    what["request"]["user"] == "system:node:n1" && what["request"]["resource"] != "certificatesigningrequests"
}

#[test]
fn a_pair_that_vanishes_is_noticed() {
    let mut history = History::rotation();
    let swap = history.file(1, "kubelet-client-current.pem", "movedTo");
    let first = history.file(0, "kubelet-client-2", "created");
    let name = history.what(first)["file"]["name"].clone();
    history.insert(swap, 1, json!({"file": {"node": "n1", "name": name, "op": "deleted"}}));
    history.breaks("I-04", "it was removed");
}

#[test]
fn a_link_that_is_put_back_is_noticed() {
    let mut history = History::rotation();
    let (first, second) = (
        history.file(0, "kubelet-client-current.pem", "movedTo"),
        history.file(1, "kubelet-client-current.pem", "movedTo"),
    );
    let back = history.what(first).clone();
    history.insert(second, 1_500, back);
    history.breaks("I-04", "a newer one was written");
}

#[test]
fn a_link_that_stays_away_is_noticed() {
    let mut history = History::rotation();
    let swap = history.file(1, "kubelet-client-current.pem", "movedTo");
    history.1.remove(swap);
    history.breaks("I-04", "no other one came in its place");
}

#[test]
fn a_new_link_that_is_left_over_is_noticed() {
    let mut history = History::rotation();
    let gone = history.file(0, "kubelet-client-updated.pem", "movedFrom");
    history.1.remove(gone);
    history.breaks("I-04", "not renamed");
}

#[rstest]
#[case::mode("/file/facts/mode", json!("0644"), "its mode is 0644")]
#[case::key("/file/facts/pem/1/privateKey/spkiSha256", json!("00"), "do not belong together")]
fn a_pair_that_is_not_right_is_noticed(#[case] field: &str, #[case] value: Value, #[case] words: &str) {
    let mut history = History::rotation();
    let written = history.file(1, "kubelet-client-2", "modified");
    *history.what(written).pointer_mut(field).unwrap() = value;
    history.breaks("I-04", words);
}

#[test]
fn a_pair_that_is_written_again_is_noticed() {
    let mut history = History::rotation();
    let (written, swap) =
        (history.file(0, "kubelet-client-2", "modified"), history.file(1, "kubelet-client-current.pem", "movedTo"));
    let mut again = history.what(written).clone();
    again["file"]["facts"]["pem"][0]["certificate"]["sha256"] = json!("ab".repeat(32));
    history.insert(swap, 1, again);
    history.breaks("I-04", "changed after it had been written");
}

#[test]
fn a_kubeconfig_that_points_elsewhere_is_noticed() {
    let mut history = History::rotation();
    let (last, swap) = (
        history.find(0, |what| what["file"]["name"] == "kubeconfig"),
        history.file(1, "kubelet-client-current.pem", "movedTo"),
    );
    let mut other = history.what(last).clone();
    other["file"]["op"] = json!("modified");
    other["file"]["facts"]["kubeconfig"]["clientCertificate"] = json!("/elsewhere.pem");
    history.insert(swap, 1, other);
    history.breaks("I-04", "does not have certificate and key from");
}

#[test]
fn a_stray_401_is_noticed() {
    let mut history = History::rotation();
    let place = history.find(80, is_request);
    let request = &mut history.what(place)["request"];
    request["code"] = json!(401);
    request.as_object_mut().unwrap().remove("user");
    history.breaks("I-01", "401, with a valid certificate");
}

#[test]
fn a_request_of_somebody_else_is_noticed() {
    let mut history = History::rotation();
    let second = history.file(1, "kubelet-client-current.pem", "movedTo");
    let place = history.find(0, is_request);
    let mut request = history.what(place).clone();
    request["request"]["user"] = json!("kubelet-bootstrap");
    history.insert(second, 1, request);
    history.breaks("I-01", "it was sent as kubelet-bootstrap");
}

#[test]
fn a_client_that_goes_on_with_the_old_certificate_is_noticed() {
    let mut history = History::rotation();
    let (first, second) = (history.find(0, is_request), history.file(1, "kubelet-client-current.pem", "movedTo"));
    let request = history.what(first).clone();
    history.insert(second, 16_000, request);
    history.breaks("I-01", "16 s after its successor was in place");
}

/// The n-th CSR, from 0, in the event that shows it first.
fn csr(history: &mut History, nth: usize) -> &mut Value {
    let place = history.find(nth, |what| what["csr"]["change"] == "added");
    &mut history.what(place)["csr"]
}

/// The events of the n-th CSR, from 0, in order.
fn events_of_csr(history: &mut History, nth: usize) -> Vec<&mut Value> {
    let uid = csr(history, nth)["uid"].clone();
    history.1.iter_mut().filter_map(|event| event["what"].get_mut("csr")).filter(|csr| csr["uid"] == uid).collect()
}

#[rstest]
#[case::names("/certificates/0/dns", json!(["n1.example"]), "dns is [n1.example], expected: []")]
#[case::key("/certificates/0/key/spkiSha256", json!("77".repeat(32)), "key is 7777")]
#[case::user("/certificates/0/subject/commonName", json!("system:node:n2"), "subject.commonName is system:node:n2")]
#[case::group("/certificates/0/subject/organizations", json!(["system:nodes", "system:masters"]), "subject.organizations is")]
#[case::authority("/certificates/0/ca", json!(true), "basicConstraints is CA:true")]
#[case::end("/certificates/0/notAfter", json!("2026-11-28T09:54:39Z"), "notAfter is 2026-11-28T09:54:39Z, expected: 2026-11-28T09:44:39Z")]
#[case::begin("/certificates/0/notBefore", json!("2026-11-28T09:42:24Z"), "notBefore is")]
#[case::another_ca("/certificates/0/authorityKeyId", json!("00"), "authorityKeyIdentifier is 00")]
#[case::forged("/certificates/0/der", json!("MAA="), "chain is")]
#[case::serial("/certificates/0/serial", json!("0"), "serial is 0")]
#[case::unapproved("/conditions", json!([]), "it was signed, and the CSR is not approved")]
fn a_certificate_that_is_not_right_is_noticed(#[case] field: &str, #[case] value: Value, #[case] words: &str) {
    let mut history = History::rotation();
    let signed = events_of_csr(&mut history, 1).pop().unwrap();
    if field.ends_with("dns") {
        signed["certificates"][0]["dns"] = value;
    } else {
        *signed.pointer_mut(field).unwrap() = value;
    }
    history.breaks("I-02", words);
}

#[test]
fn a_serial_number_that_was_used_before_is_noticed() {
    let mut history = History::rotation();
    let serial = events_of_csr(&mut history, 0).pop().unwrap()["certificates"][0]["serial"].clone();
    events_of_csr(&mut history, 1).pop().unwrap()["certificates"][0]["serial"] = serial;
    history.breaks("I-02", "its serial number is that of csr-l8pbn's");
}

#[test]
fn a_certificate_of_no_signer_is_noticed() {
    let mut history = History::rotation();
    let signing = history.find(0, |what| !what["signing"].is_null());
    history.what(signing)["signing"]["signers"] = json!({});
    history.breaks("I-02", "has no CA");
}

fn condition(kind: &str, reason: &str) -> Value {
    let at = "2026-11-28T09:42:24Z";
    json!({"type": kind, "status": "True", "reason": reason, "message": "", "lastUpdateTime": at, "lastTransitionTime": at})
}

/// What was decided about the n-th CSR, and not by a step.
#[rstest]
#[case::by_another("rotation", 1, "Approved", "Mine", "approved with the reason `Mine`, and no step did that")]
#[case::of_the_approver(
    "serving",
    1,
    "Approved",
    "AutoApproved",
    "approved automatically: it is for a serving certificate"
)]
#[case::denied("rotation", 1, "Denied", "Mine", "was denied, and no step did that")]
#[case::failed("rotation", 1, "Failed", "SignerValidationFailure", "nothing in it is against the signer's rules")]
fn a_decision_of_somebody_else_is_noticed(
    #[case] name: &str,
    #[case] nth: usize,
    #[case] kind: &str,
    #[case] reason: &str,
    #[case] words: &str,
) {
    let mut history = History::of(name);
    let added = history.find(nth, |what| what["csr"]["change"] == "added");
    let mut decided = history.what(added).clone();
    decided["csr"]["change"] = json!("modified");
    decided["csr"]["conditions"] = json!([condition(kind, reason)]);
    history.insert(added, 0, decided);
    history.breaks("I-02", words);
}

/// A step explains what becomes of the CSRs that it means, and of no others.
#[test]
fn a_decision_beside_that_of_a_step_is_noticed() {
    let mut history = History::of("serving");
    let begins = history.find(0, |what| what["step"]["stimulus"] == "approve" && what["step"]["phase"] == "begin");
    let client = history.find(0, |what| what["csr"]["signerName"] == "kubernetes.io/kube-apiserver-client-kubelet");
    let mut other = history.what(client).clone();
    other["csr"]["uid"] = json!("another");
    other["csr"]["name"] = json!("csr-other");
    let mut approved = other.clone();
    approved["csr"]["change"] = json!("modified");
    approved["csr"]["conditions"] = json!([condition("Approved", "Mine")]);
    history.insert(begins, 1, approved);
    history.insert(begins, 0, other);
    history.breaks("I-02", "csr-other was approved with the reason `Mine`, and no step did that");
}

#[rstest]
#[case::organization("/request/subject/organizations", json!(["system:masters"]), "its organization is not system:nodes")]
#[case::usages("/usages", json!(["digital signature", "client auth", "server auth"]), "its usages are not those of a kubelet")]
#[case::signer("/signerName", json!("kubernetes.io/kube-apiserver-client"), "its signer is kubernetes.io/kube-apiserver-client")]
fn an_approval_of_what_is_no_csr_of_a_kubelet_is_noticed(
    #[case] field: &str,
    #[case] value: Value,
    #[case] words: &str,
) {
    let mut history = History::rotation();
    for csr in events_of_csr(&mut history, 1) {
        *csr.pointer_mut(field).unwrap() = value.clone();
    }
    history.breaks("I-02", words);
}

#[test]
fn an_approval_without_permission_is_noticed() {
    let mut history = History::rotation();
    history.0.cluster.bindings.self_node_client = Binding::Absent;
    history.breaks("I-02", "csr-swds7 was approved automatically: system:node:n1 is not bound");
}

#[test]
fn a_renewal_by_somebody_else_is_noticed() {
    let mut history = History::rotation();
    csr(&mut history, 1)["username"] = json!("kubelet-bootstrap");
    history.breaks("I-03", "kubelet-bootstrap asked, not the node");
}

#[test]
fn a_renewal_before_its_time_is_noticed() {
    let mut history = History::rotation();
    let swap = history.file(0, "kubelet-client-current.pem", "movedTo");
    history.what(swap)["file"]["facts"]["pem"][0]["certificate"]["notAfter"] = json!("2026-11-28T10:43:53Z");
    history.breaks("I-03", "before 70 % of the lifetime of 9ecd6d26");
}

#[test]
fn a_renewal_with_the_old_key_is_noticed() {
    let mut history = History::rotation();
    let key = csr(&mut history, 0)["request"]["key"].clone();
    csr(&mut history, 1)["request"]["key"] = key;
    history.breaks("I-03", "its key is that of csr-l8pbn");
}

#[test]
fn a_renewal_of_a_kubelet_that_was_not_to_renew_is_noticed() {
    let mut history = History::rotation();
    let started = history.find(0, |what| !what["kubelet"].is_null());
    history.what(started)["kubelet"]["rotateCertificates"] = json!(false);
    history.breaks("I-03", "says that it renews nothing");
}

/// The bug of kubernetes#138763 for the serving certificate, and its like for the client's.
#[rstest]
#[case::client(
    "rotation",
    1,
    "kubelet-client-current.pem",
    "the client certificate 9ecd6d26 of n1: no CSR for the next one"
)]
#[case::serving(
    "serving",
    3,
    "kubelet-server-current.pem",
    "the serving certificate 092d7d41 of n1: no CSR for the next one"
)]
fn a_renewal_that_never_comes_is_noticed(
    #[case] name: &str,
    #[case] csrs: usize,
    #[case] link: &str,
    #[case] words: &str,
) {
    let mut history = History::of(name);
    history.stops_asking_after(csrs);
    history.renew_soon(link);
    history.breaks("I-03", words);
}

/// A CSR is denied, and the kubelet does not ask again.
#[test]
fn a_kubelet_that_gives_up_after_a_denial_is_noticed() {
    let mut history = History::that_goes_on("rotation");
    history.stops_asking_after(1);
    history.renew_soon("kubelet-client-current.pem");
    let first = history.find(0, |what| what["csr"]["change"] == "added");
    let swap = history.file(0, "kubelet-client-current.pem", "movedTo");
    let mut denied = history.what(first).clone();
    denied["csr"]["uid"] = json!("another");
    denied["csr"]["name"] = json!("csr-22222");
    denied["csr"]["username"] = json!("system:node:n1");
    denied["csr"]["request"]["key"]["spkiSha256"] = json!("77".repeat(32));
    denied["csr"]["conditions"] = json!([{"type": "Denied", "status": "True", "reason": "KubectlDeny", "message": "", "lastUpdateTime": "2026-11-28T09:41:56Z", "lastTransitionTime": "2026-11-28T09:41:56Z"}]);
    history.insert(swap, 8_000, denied);
    history.breaks("I-03", "no CSR for the next one");
}

/// What explains that no renewal comes.
#[rstest]
#[case::without_its_kubelet("kubelet")]
#[case::without_an_api_server("kube-apiserver")]
#[case::after_the_end("nothing")]
fn a_renewal_that_cannot_come_is_not_missed(#[case] component: &str) {
    let mut history = History::that_goes_on("rotation");
    history.stops_asking_after(1);
    let swap = history.file(0, "kubelet-client-current.pem", "movedTo");
    if component == "nothing" {
        // The window is open, and not over.
        history.what(swap)["file"]["facts"]["pem"][0]["certificate"]["notAfter"] = json!("2026-11-28T09:45:00Z");
    } else {
        history.renew_soon("kubelet-client-current.pem");
        let started = history.find(0, |what| what["process"]["component"] == component);
        let mut ended = history.what(started).clone();
        ended["process"]["state"] = json!({"exited": {"code": 0, "asked": true}});
        history.insert(swap, 1, ended);
    }
    let verdict = history.judge();
    assert_eq!(of(&verdict, "I-03").violations, []);
    assert_eq!(of(&verdict, "I-03").open, u64::from(component == "nothing"));
}

/// Its certificate expired while the next one waited for its approval: until it finds out about that one, within 10 s, it
/// goes on with the old one. Seen on 1.28.15.
/// Seen on 1.37.2 in `field.certificate-of-the-future`.
#[test]
fn a_401_of_a_certificate_that_is_not_valid_yet_is_explained() {
    let mut history = History::rotation();
    let second = history.file(1, "kubelet-client-current.pem", "movedTo");
    history.what(second)["file"]["facts"]["pem"][0]["certificate"]["notBefore"] = json!("2026-11-28T10:42:20Z");
    let place = history.find(0, is_request);
    let mut refused = history.what(place).clone();
    refused["request"]["code"] = json!(401);
    refused["request"].as_object_mut().unwrap().remove("user");
    history.insert(second, 9_000, refused);
    assert_eq!(of(&history.judge(), "I-01").violations, []);
}

#[rstest]
#[case::of_others("pods", 0)]
#[case::of_the_certificate_manager("certificatesigningrequests", 1)]
fn a_401_right_after_a_late_renewal_is_explained(#[case] resource: &str, #[case] broken: usize) {
    let mut history = History::rotation();
    let first = history.file(0, "kubelet-client-current.pem", "movedTo");
    history.what(first)["file"]["facts"]["pem"][0]["certificate"]["notAfter"] = json!("2026-11-28T09:42:20Z");
    let second = history.file(1, "kubelet-client-current.pem", "movedTo");
    let place = history.find(0, is_request);
    let mut refused = history.what(place).clone();
    refused["request"]["code"] = json!(401);
    refused["request"]["resource"] = json!(resource);
    refused["request"].as_object_mut().unwrap().remove("user");
    history.insert(second, 9_000, refused);
    assert_eq!(of(&history.judge(), "I-01").violations.len(), broken);
}

/// After the clock was set back. Seen in `field.certificate-of-the-future`.
#[test]
fn a_certificate_that_is_not_valid_yet_is_no_identity() {
    let refused = || {
        let mut history = History::rotation();
        let request = history.1.iter().rposition(|event| is_request(&event["what"])).unwrap();
        history.what(request)["request"]["code"] = json!(401);
        history
    };
    assert_ne!(of(&refused().judge(), "I-01").violations, []);
    let mut history = refused();
    for swap in [0, 1] {
        let swap = history.file(swap, "kubelet-client-current.pem", "movedTo");
        history.what(swap)["file"]["facts"]["pem"][0]["certificate"]["notBefore"] = json!("2036-11-28T09:42:20Z");
    }
    assert_eq!(of(&history.judge(), "I-01").violations, []);
}

/// Puts in a handshake of n1, some milliseconds after an event.
fn shows(history: &mut History, place: usize, millis: i64, sha256: Option<&str>) {
    let first = history.find(0, |what| !what["presented"]["chain"].is_null());
    let mut shown = history.what(first).clone();
    match sha256 {
        Some(sha256) => shown["presented"]["chain"][0]["sha256"] = json!(sha256),
        None => shown["presented"] = json!({"node": "n1", "refused": "tls alert: internal error"}),
    }
    history.insert(place, millis, shown);
}

#[test]
fn another_certificate_than_the_self_signed_one_is_noticed() {
    let mut history = History::rotation();
    let second = history.file(1, "kubelet-client-current.pem", "movedTo");
    shows(&mut history, second, 1, Some(&"ab".repeat(32)));
    history.breaks("I-05", "it presents abababab, which is not the one in kubelet.crt");
}

#[test]
fn a_port_that_presents_nothing_any_more_is_noticed() {
    let mut history = History::rotation();
    let second = history.file(1, "kubelet-client-current.pem", "movedTo");
    shows(&mut history, second, 1, None);
    history.breaks("I-05", "its port no longer presents a certificate (tls alert: internal error)");
}

#[rstest]
#[case::before_the_first("kubelet-client-current.pem", "and has no serving certificate")]
#[case::last_weeks("kubelet-server-current.pem", "and its newest serving certificate is 092d7d41")]
fn a_serving_certificate_that_is_not_the_newest_is_noticed(#[case] after: &str, #[case] words: &str) {
    let mut history = History::of("serving");
    let place = history.find(0, |what| what["file"]["name"] == after && !what["file"]["facts"].is_null());
    shows(&mut history, place, 10, Some(&"ab".repeat(32)));
    history.breaks("I-05", words);
}

/// When the recorder looked again after the second serving certificate came, which must be shown.
fn looks_again(history: &mut History) -> usize {
    let second = history.file(1, "kubelet-server-current.pem", "movedTo");
    let mono = history.1[second]["mono"].as_u64().unwrap();
    history.insert(second, 3_000, json!({"looked": {"at": {"presented": {"n1": mono + 2_500_000}}}}));
    second
}

#[test]
fn a_kubelet_that_goes_on_with_its_old_serving_certificate_is_noticed() {
    let mut history = History::that_goes_on("serving");
    looks_again(&mut history);
    history.breaks("I-05", "it presents 092d7d41, and has had a newer serving certificate for 3 s: 0f49391c");
}

#[test]
fn the_old_serving_certificate_may_be_shown_for_a_moment() {
    let mut history = History::that_goes_on("serving");
    let second = looks_again(&mut history);
    let sha256 = history.what(second)["file"]["facts"]["pem"][0]["certificate"]["sha256"].as_str().unwrap().to_owned();
    shows(&mut history, second, 2_000, Some(&sha256));
    shows(&mut history, second, 100, Some("092d7d41"));
    let first = history.file(0, "kubelet-server-current.pem", "movedTo");
    history.what(first)["file"]["facts"]["pem"][0]["certificate"]["sha256"] = json!("092d7d41");
    let early = history.find(0, |what| !what["presented"]["chain"].is_null());
    history.what(early)["presented"]["chain"][0]["sha256"] = json!("092d7d41");
    assert_eq!(of(&history.judge(), "I-05").violations, []);
}

#[test]
fn an_expired_serving_certificate_is_noticed() {
    let mut history = History::of("serving");
    let first = history.file(0, "kubelet-server-current.pem", "movedTo");
    let certificate = &mut history.what(first)["file"]["facts"]["pem"][0]["certificate"];
    certificate["notAfter"] = json!("2026-11-28T09:42:00Z");
    let sha256 = certificate["sha256"].as_str().unwrap().to_owned();
    let later = history.file(0, "kubelet-client-current.pem", "movedTo");
    shows(&mut history, later, 1, Some(&sha256));
    history.breaks("I-05", "which has expired");
}

#[rstest]
#[case::approved(0, "csr-swds7: it is not approved, though the approver recognizes it")]
#[case::signed(1, "csr-swds7: it is approved and not signed, 10 s later")]
fn a_csr_that_is_left_alone_is_noticed(#[case] decided: usize, #[case] words: &str) {
    let mut history = History::that_goes_on("rotation");
    history.stops_asking_after(2);
    let uid = csr(&mut history, 1)["uid"].clone();
    let mut seen = 0;
    history.1.retain(|event| {
        let is_it = event["what"]["csr"]["uid"] == uid && event["what"]["csr"]["change"] == "modified";
        seen += usize::from(is_it);
        !is_it || seen <= decided
    });
    history.breaks("I-08", words);
}

#[test]
fn a_csr_of_which_the_controller_manager_cannot_know_is_not_missed() {
    let mut history = History::that_goes_on("rotation");
    history.stops_asking_after(2);
    let uid = csr(&mut history, 1)["uid"].clone();
    history.1.retain(|event| event["what"]["csr"]["uid"] != uid || event["what"]["csr"]["change"] == "added");
    history.0.cluster.controllers.retain(|name| name != "csrapproving");
    assert_eq!(of(&history.judge(), "I-08").violations, []);
}

#[rstest]
#[case::too_early("2026-11-28T09:41:38Z", Some("csr-l8pbn was deleted before its time"))]
#[case::an_hour_later("2026-11-28T08:42:00Z", None)]
fn a_csr_that_is_deleted_before_its_time_is_noticed(#[case] approved: &str, #[case] words: Option<&str>) {
    let mut history = History::rotation();
    let mut deleted = events_of_csr(&mut history, 0).pop().unwrap().clone();
    deleted["change"] = json!("deleted");
    deleted["conditions"][0]["lastUpdateTime"] = json!(approved);
    let second = history.file(1, "kubelet-client-current.pem", "movedTo");
    history.insert(second, 1, json!({"csr": deleted}));
    match words {
        Some(words) => history.breaks("I-08", words),
        None => assert_eq!(of(&history.judge(), "I-08").violations, []),
    }
}

/// Puts in another CSR of n1 for a client certificate, some milliseconds after an event.
fn asks(history: &mut History, place: usize, millis: i64, name: &str, conditions: &[Value]) {
    let mut another = csr(history, 1).clone();
    another["name"] = json!(name);
    another["uid"] = json!(name);
    another["request"]["key"]["spkiSha256"] = json!(name);
    another["conditions"] = json!(conditions);
    history.insert(place, millis, json!({"csr": another}));
}

#[test]
fn a_second_csr_beside_the_first_is_noticed() {
    let mut history = History::that_goes_on("rotation");
    history.stops_asking_after(1);
    let place = history.file(0, "kubelet-client-current.pem", "movedTo");
    let first = csr(&mut history, 0).clone();
    history.0.cluster.controllers.clear();
    for (millis, name) in [(15_000, "csr-22222"), (10_000, "csr-swds7")] {
        let mut another = first.clone();
        another["name"] = json!(name);
        another["uid"] = json!(name);
        history.insert(place, millis, json!({"csr": another}));
    }
    history.breaks("I-08", "n1 asks again for a client certificate, and csr-swds7 is not decided yet: csr-22222");
}

#[rstest]
#[case::too_soon(1_000, 3_000, Some("csr-22222 ended 1000 ms ago: csr-33333"))]
#[case::as_fast_as_before(2_100, 4_300, Some("csr-33333 ended 2200 ms ago: csr-44444"))]
#[case::slower(2_100, 6_300, None)]
fn a_kubelet_that_asks_in_a_loop_is_noticed(#[case] second: i64, #[case] third: i64, #[case] words: Option<&str>) {
    let mut history = History::that_goes_on("rotation");
    history.stops_asking_after(2);
    let place = history.file(1, "kubelet-client-current.pem", "movedTo");
    let denied = [condition("Denied", "Mine")];
    asks(&mut history, place, 10_000 + third, "csr-44444", &denied);
    asks(&mut history, place, 10_000 + second, "csr-33333", &denied);
    asks(&mut history, place, 10_000, "csr-22222", &denied);
    match words {
        Some(words) => history.breaks("I-08", words),
        None => assert_eq!(of(&history.judge(), "I-08").violations, []),
    }
}

#[rstest]
#[case::of_another(
    "7",
    "kubelet_certificate_manager_client_ttl_seconds is 7, and that certificate ends at 2026-11-28T09:4"
)]
#[case::of_none("+Inf", "kubelet_certificate_manager_client_ttl_seconds is +Inf, and that certificate ends at")]
fn a_metric_that_tells_of_another_certificate_is_noticed(#[case] value: &str, #[case] words: &str) {
    const METRIC: &str = "kubelet_certificate_manager_client_ttl_seconds";
    let mut history = History::rotation();
    let place = history.find(1, |what| !what["metrics"]["values"][METRIC].is_null());
    history.what(place)["metrics"]["values"][METRIC] = json!(value);
    history.breaks("I-08", words);
}

#[test]
fn a_connection_that_outlives_its_certificate_is_noticed() {
    let mut history = History::rotation();
    let second = history.file(1, "kubelet-client-current.pem", "movedTo");
    let before = &history.1[..second];
    let opened = |event: &&Value| event["what"]["connection"]["state"] == "opened";
    let id = before.iter().rev().filter(opened).map(|event| event["what"]["connection"]["id"].clone());
    let ids: Vec<Value> = id.collect();
    // Those that were open are closed right after that: now they are not.
    history.1.retain(|event| {
        let connection = &event["what"]["connection"];
        !(connection["state"]["closed"].is_object() && ids.contains(&connection["id"]))
    });
    history.breaks("I-06", "began with an old certificate and is still open 15 s after its successor 73a7f720");
}

#[test]
fn a_kubelet_that_ends_by_itself_is_noticed() {
    let mut history = History::rotation();
    let second = history.file(1, "kubelet-client-current.pem", "movedTo");
    let started = history.find(0, |what| what["process"]["component"] == "kubelet");
    let mut ended = history.what(started).clone();
    ended["process"]["state"] = json!({"exited": {"code": 1, "asked": false}});
    history.insert(second, 1, ended);
    history.breaks("I-07", "the kubelet of n1 ended on its own, with code 1");
}

#[test]
fn a_component_that_dies_makes_every_verdict_an_error() {
    let mut history = History::rotation();
    let second = history.file(1, "kubelet-client-current.pem", "movedTo");
    let died = json!({"process": {"component": "kube-controller-manager", "pid": 7, "state": {"exited": {"code": 2, "asked": false}}}});
    history.insert(second, 1, died);
    let verdict = history.judge();
    assert_eq!(verdict.outcome, Outcome::Error);
    assert_eq!(verdict.error.unwrap(), "kube-controller-manager ended on its own, with code 2");
}

/// Seen at a load of 13 on two cores: the controller-manager gives up before the API server is ready.
#[test]
fn a_component_that_gives_up_while_the_cluster_starts_is_no_death() {
    let mut history = History::rotation();
    let started = history.find(0, |what| what["process"]["component"] == "kube-controller-manager");
    let again = history.what(started).clone();
    let mut ended = again.clone();
    ended["process"]["state"] = json!({"exited": {"code": 1, "asked": false}});
    history.insert(started, 2, again);
    history.insert(started, 1, ended);
    let verdict = history.judge();
    assert_eq!(verdict.outcome, Outcome::Pass, "{:?}", verdict.error);
}

#[test]
fn another_process_in_its_place_is_noticed() {
    let mut history = History::rotation();
    let second = history.file(1, "kubelet-client-current.pem", "movedTo");
    history.insert(
        second,
        1,
        json!({"process": {"component": "kubelet", "node": "n1", "pid": 99999, "state": "started"}}),
    );
    history.breaks("I-07", "has not ended");
}

#[test]
fn a_certificate_that_nobody_issued_is_noticed() {
    let mut history = History::rotation();
    for place in [history.file(1, "kubelet-client-2", "created"), history.file(1, "kubelet-client-2", "modified")] {
        history.what(place)["file"]["facts"]["pem"][0]["certificate"]["sha256"] = json!("cd".repeat(32));
    }
    history.breaks("I-10", "no CSR has this certificate");
}

#[test]
fn a_recorder_with_a_gap_proves_nothing() {
    let mut history = History::rotation();
    history.insert(1, 0, json!({"recorder": {"recorder": "files", "state": {"gap": "inotify's queue was full"}}}));
    let verdict = history.judge();
    let files = of(&verdict, "I-04");
    assert_eq!(files.standing, Standing::Unproven);
    assert!(files.reason.as_deref().unwrap().contains("inotify's queue was full"));
    assert_eq!(of(&verdict, "I-07").standing, Standing::Held);
}

#[test]
fn one_that_looked_at_nothing_says_so() {
    let mut history = History::rotation();
    history.1.retain(|event| event["what"]["file"].is_null());
    assert_eq!(of(&history.judge(), "I-04").standing, Standing::Idle);
}
