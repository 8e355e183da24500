//! Hand-made histories, judged by the real judge: a rotation, a failure, a hang, and a run of them.

mod recording;

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::Evidence;
use crate::evidence::{EvidenceFolder, HISTORY, SCENARIO, VERDICT, place};
pub(super) use recording::Recording;
use recording::{csr, fingerprint};
use tlsboot_core::check::{Outcome, Role, Verdict, judge_all};
use tlsboot_core::history::event::{Change, ClosedBy, ConnectionState, Deadline, Phase, ProcessState, StepEvent};
use tlsboot_core::history::{What, write_line};
use tlsboot_core::result::{ComponentResult, RunResult, ScenarioResult};
use tlsboot_core::scenario::{Scenario, load_text};

const TARGET: &str = "local::1.37.2";

const ROTATION: &str = "\
id: rotation.quick
title: A kubelet renews its client certificate in time, with a new key
why: |
  A certificate that is not renewed takes the node out of the cluster.
  The kubelet renews at 70 % to 90 % of its life.
requirements: [T-01, T-02]
cluster:
  signingDuration: quick
nodes: [{name: n1, serverTLSBootstrap: true}]
steps:
  - start: {node: n1}
  - expect: {csr: {node: n1, role: client, state: issued}, name: first}
  - expect: {nodeObject: {node: n1, state: ready}}
  - approve: {node: n1, role: serving}
  # the renewal
  - expect: {rotation: {node: n1, role: client, renews: 1}, within: 3m}
  - expect:
      csr: {node: n1, role: client, number: 2, state: issued}
      within: 3m
";

const FAILING: &str = "\
id: rbac.missing-bootstrapper-binding
title: Without the node-bootstrapper binding a kubelet cannot ask for a certificate
requirements: [A-04]
cluster:
  anonymousAuth: false
  bindings: {nodeBootstrapper: absent}
nodes: [{name: n1}]
steps:
  - start: {node: n1}
  - expect:
      request:
        node: n1
        verb: create
        resource: certificatesigningrequests
        code: 403
        reason: Forbidden
      within: 30s
  - bind: {clusterRole: nodeBootstrapper, to: {user: kubelet-bootstrap}}
  - expect: {csr: {node: n1, role: client, state: issued}}
";

const HANGING: &str = "\
id: approval.no-approver
title: Without the approving controller a CSR stays pending <b>&amp; no one says so</b>
requirements: [A-05]
cluster:
  controllers: [csrsigning]
nodes: [{name: n1}]
steps:
  - start: {node: n1}
  - expect: {request: {node: n1, verb: create, resource: certificatesigningrequests, code: 201}}
  - expect: {csr: {node: n1, role: serving}, within: 20s}
";

/// A bootstrap and one renewal: 64 s, all as expected.
pub(super) fn rotating() -> (ScenarioResult, Evidence) {
    let mut recording = Recording::new("rotation.quick");
    recording.step(3900, 4200, 0, "start");
    recording.process(3950, "kubelet", Some("n1"), 4711, ProcessState::Started);
    recording.presented(4400, None);
    recording.connection(4500, 1, ConnectionState::Opened);
    recording.request(4550, Some("kubelet-bootstrap"), "create", "certificatesigningrequests", 201);
    let client = recording.csr(4560, Role::Client, 1);
    recording.stored(4780, "kubelet-client", &client);
    recording.connection(4800, 1, ConnectionState::Closed { by: ClosedBy::Kubelet });
    recording.connection(4810, 2, ConnectionState::Opened);
    for request in 0..60 {
        recording.request(4900 + request * 37, Some("system:node:n1"), "watch", "pods", 200);
    }
    recording.node(7200, Change::Added, "False");
    recording.node(8100, Change::Modified, "True");
    recording.step(8150, 8300, 3, "approve");
    let serving = recording.csr(8200, Role::Serving, 2);
    recording.stored(8450, "kubelet-server", &serving);
    recording.presented(8600, Some(&serving));
    for second in 12..48 {
        recording.request(second * 1000, Some("system:node:n1"), "update", "leases", 200);
    }
    recording.request(30_100, Some("system:node:n1"), "get", "nodes", 403);
    let renewed = recording.csr(50_000, Role::Client, 3);
    recording.stored(50_230, "kubelet-client", &renewed);
    recording.connection(50_300, 2, ConnectionState::Closed { by: ClosedBy::Kubelet });
    recording.connection(50_310, 3, ConnectionState::Opened);
    case(ROTATION, "scenarios/rotation/quick.yaml", recording)
}

/// The binding was not absent: the request that should be refused was answered with 201.
pub(crate) fn failing() -> (ScenarioResult, Evidence) {
    let mut recording = Recording::new("rbac.missing-bootstrapper-binding");
    recording.step(3900, 4200, 0, "start");
    recording.process(3950, "kubelet", Some("n1"), 4711, ProcessState::Started);
    recording.request(4550, Some("kubelet-bootstrap"), "create", "certificatesigningrequests", 201);
    recording.csr(4560, Role::Client, 1);
    recording.process(
        20_000,
        "kubelet",
        Some("n1"),
        4711,
        ProcessState::Exited { code: Some(1), signal: None, asked: false },
    );
    recording.at(34_200, What::Deadline(Deadline { step: 1 }));
    case(FAILING, "scenarios/rbac/missing-bootstrapper-binding.yaml", recording)
}

/// Nothing is approved, so no serving certificate is ever requested.
pub(super) fn hanging() -> (ScenarioResult, Evidence) {
    let mut recording = Recording::new("approval.no-approver");
    recording.step(3900, 4200, 0, "start");
    recording.process(3950, "kubelet", Some("n1"), 4711, ProcessState::Started);
    recording.request(4550, Some("kubelet-bootstrap"), "create", "certificatesigningrequests", 201);
    recording.at(4560, csr(Role::Client, 1, Change::Added, &[], &[]));
    recording.request(9000, None, "get", "nodes", 401);
    recording.at(24_200, What::Deadline(Deadline { step: 2 }));
    case(HANGING, "scenarios/approval/no-approver.yaml", recording)
}

/// The harness could not perform a step.
pub(super) fn broken() -> (ScenarioResult, Evidence) {
    let mut recording = Recording::new("rotation.quick");
    let step = |phase| What::Step(StepEvent { index: 0, stimulus: "start".into(), name: None, phase });
    recording.at(3900, step(Phase::Begin));
    recording.at(4000, step(Phase::Failed { error: "no free port below 65536".into() }));
    let (mut result, evidence) = case(ROTATION, "scenarios/rotation/quick.yaml", recording);
    result.target = "local::1.24.17".into();
    (result, evidence)
}

fn unsupported() -> ScenarioResult {
    let (mut result, _) = failing();
    let reason = "the target `cluster` can't set anonymous authentication";
    result.target = "cluster::prod".into();
    result.verdict = Verdict::without_history(Outcome::Unsupported, None);
    result.unsupported = Some(reason.into());
    result.evidence = None;
    result.duration_ms = 0;
    result
}

fn case(text: &str, file: &str, mut recording: Recording) -> (ScenarioResult, Evidence) {
    let scenario: Scenario = load_text(file, text).unwrap_or_else(|errors| panic!("{}", errors[0].render(false)));
    if let What::Begin(begin) = &mut recording.events[0].what {
        begin.scenario_sha256 = hex::encode(Sha256::digest(text.as_bytes()));
    }
    let verdict = judge_all(&scenario, recording.events.clone());
    let last = recording.events.last().unwrap();
    let result = ScenarioResult {
        duration_ms: last.mono / 1000 + 500,
        evidence: Some(place(TARGET, &scenario.id)),
        hashes: BTreeMap::from([(HISTORY.into(), fingerprint(9))]),
        ..ScenarioResult::new(&scenario, TARGET, recording.start, verdict)
    };
    let evidence = Evidence {
        folder: Some("OUT".into()),
        scenario: Some(scenario),
        events: recording.events,
        problems: Vec::new(),
    };
    (result, evidence)
}

fn cases() -> Vec<(ScenarioResult, Evidence)> {
    let mut broken = broken();
    broken.0.evidence = Some(crate::evidence::place(&broken.0.target, &broken.0.id));
    vec![hanging(), failing(), rotating(), broken]
}

/// A run with every outcome.
pub(crate) fn run() -> RunResult {
    let mut scenarios: Vec<ScenarioResult> = cases().into_iter().map(|(result, _)| result).collect();
    scenarios.push(unsupported());
    RunResult {
        format: tlsboot_core::result::FORMAT,
        tlsboot: "0.1.0".into(),
        run: "20261124-030000-1".into(),
        started: "2026-11-24T03:00:00Z".parse().unwrap(),
        duration_ms: 130_000,
        environment: BTreeMap::from([("os".into(), "Debian 12".into()), ("cpus".into(), "2".into())]),
        components: vec![ComponentResult {
            name: "kubelet".into(),
            version: "v1.37.2".into(),
            sha256: fingerprint(7),
            origin: "https://dl.k8s.io/<release>".into(),
        }],
        scenarios,
        interrupted: false,
        not_started: 0,
        stale: Vec::new(),
        shards: Vec::new(),
    }
}

/// The run's output folder with its evidence.
pub(super) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (result, evidence) in cases() {
        let place = folder.path().join(result.evidence.unwrap());
        std::fs::create_dir_all(&place).unwrap();
        let history: String = evidence.events.iter().map(|event| write_line(event).unwrap()).collect();
        std::fs::write(place.join(HISTORY), history).unwrap();
        std::fs::write(place.join(SCENARIO), evidence.scenario.unwrap().text).unwrap();
    }
    folder
}

/// The run, with its verdicts written into the folder and the hashes of its files.
pub(super) fn verifiable(folder: &std::path::Path) -> RunResult {
    let mut run = run();
    for result in &mut run.scenarios {
        let Some(evidence) = &result.evidence else {
            continue;
        };
        let place = folder.join(evidence);
        let verdict = serde_json::to_vec_pretty(&result.verdict).unwrap();
        std::fs::write(place.join(VERDICT), verdict).unwrap();
        result.hashes = EvidenceFolder::open(&place).unwrap().hashes().unwrap();
    }
    run
}
