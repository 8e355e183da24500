//! A scenario on a target, from plan to verdict.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::Api;
use sha2::{Digest, Sha256};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::check::rules::Rules;
use crate::check::{Judge, Next, Outcome, Verdict};
use crate::cluster::{Cluster, Provider};
use crate::drive::{self, Stage};
use crate::history::event::{Begin, Deadline, FORMAT, FileOp, Phase, Recorder, StepEvent};
use crate::history::{Event, What};
use crate::observe::{Sink, log};
use crate::report::LiveProgress;
use crate::result::ScenarioResult;
use crate::scenario::stimulus::{FileAction, FileChange};
use crate::scenario::{Capability, Scenario, Step, requirements_of};
use crate::secret::Vault;
use crate::version::Version;

/// What is tested: a provider with versions.
pub struct Target {
    /// What starts the clusters.
    pub provider: Box<dyn Provider>,
    /// The control plane's version.
    pub kubernetes: Version,
    /// The kubelets' version.
    pub kubelet: Version,
}

/// The name of a target, as in test names: `local::1.37.2`, with `+kubelet-1.35.4` where that differs.
pub fn target_name(provider: &str, kubernetes: Version, kubelet: Version) -> String {
    if kubernetes == kubelet {
        format!("{provider}::{kubernetes}")
    } else {
        format!("{provider}::{kubernetes}+kubelet-{kubelet}")
    }
}

impl Target {
    /// Its name.
    pub fn name(&self) -> String {
        target_name(self.provider.name(), self.kubernetes, self.kubelet)
    }
}

/// Becomes true on SIGINT or SIGTERM: then clusters are ended in order. A second signal ends this process at once, and
/// the kernel takes its processes along.
///
/// # Errors
/// When the signals can't be caught.
pub fn on_interrupt() -> io::Result<watch::Receiver<bool>> {
    let (sender, receiver) = watch::channel(false);
    let mut int = signal(SignalKind::interrupt())?;
    let mut term = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = int.recv() => {}
                _ = term.recv() => {}
            }
            if sender.send_replace(true) {
                std::process::exit(INTERRUPTED);
            }
            eprintln!("interrupted: ending clusters (once more to end at once)");
        }
    });
    Ok(receiver)
}

/// The audit log is written before a request is answered, and read within milliseconds.
const CATCH_UP: Duration = Duration::from_secs(10);
/// What a stimulus may take, for those who watch.
const STEP: Duration = Duration::from_secs(120);
/// The exit code of a process that was interrupted.
const INTERRUPTED: i32 = 130;

/// Runs a scenario; the caller says to `live` how it came out. Always comes back with a result: what goes wrong in the harness is in it, as `error`.
/// `out` is the run's output folder; the evidence goes to a folder of its own in it.
pub async fn run(
    scenario: &Scenario,
    target: &Target,
    out: &Path,
    live: &LiveProgress,
    interrupt: watch::Receiver<bool>,
) -> ScenarioResult {
    live.started(&scenario.id, &target.name());
    let (started, clock) = (Timestamp::now(), Instant::now());
    let mut result = ScenarioResult::new(scenario, &target.name(), started, error("not run".into()));
    if let Some(reason) = scenario.unsupported(target.kubernetes, target.kubelet).or_else(|| {
        let provider = &target.provider;
        lacking(scenario, provider.name(), provider.capabilities())
    }) {
        result.verdict.outcome = Outcome::Unsupported;
        result.unsupported = Some(reason);
    } else {
        let evidence = Evidence::below(out, target, scenario);
        let verdict = match &evidence {
            Ok(evidence) => attempt(scenario, target, evidence, live, interrupt).await,
            Err(error) => Err(format!("the evidence folder below {} can't be made: {error}", out.display())),
        };
        result.verdict = verdict.unwrap_or_else(error);
        if let Ok(evidence) = evidence {
            evidence.close(&mut result);
        }
    }
    result.duration_ms = u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX);
    result
}

fn error(why: String) -> Verdict {
    Verdict { outcome: Outcome::Error, error: Some(why), expectations: Vec::new() }
}

/// What the scenario needs and clusters of a provider that `has` these capabilities can't do.
pub fn lacking(scenario: &Scenario, provider: &str, has: &[Capability]) -> Option<String> {
    let missing = requirements_of(scenario).into_iter().find(|(capability, _)| !has.contains(capability));
    missing.map(|(_, reason)| format!("{provider} clusters can't {reason}"))
}

async fn attempt(
    scenario: &Scenario,
    target: &Target,
    evidence: &Evidence,
    live: &LiveProgress,
    interrupt: watch::Receiver<bool>,
) -> Result<Verdict, String> {
    let (sink, events) = Sink::create(&evidence.history(), evidence.vault.clone())
        .map_err(|error| format!("the history can't be made: {error}"))?;
    sink.emit(What::Begin(Box::new(Begin {
        format: FORMAT,
        tlsboot: env!("CARGO_PKG_VERSION").into(),
        scenario: scenario.id.clone(),
        scenario_sha256: hex::encode(Sha256::digest(scenario.text.as_bytes())),
        target: target.name(),
        kubernetes: target.kubernetes,
        kubelet: target.kubelet,
    })));
    live.waits(&scenario.id, &target.name(), "the cluster to be ready", STEP);
    let starting = target.provider.start(scenario, sink.clone(), evidence.logs());
    let starting = async { starting.await.map_err(|error| format!("the cluster could not be started: {error}")) };
    let cluster = unless(interrupt.clone(), starting).await?;
    let verdict = unless(interrupt, play(scenario, target, &*cluster, &sink, events, live)).await;
    cluster.stop().await;
    verdict
}

/// Stops waiting for something when the run is interrupted.
async fn unless<T>(
    mut interrupt: watch::Receiver<bool>,
    doing: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    tokio::select! {
        done = doing => done,
        _ = interrupt.wait_for(|interrupted| *interrupted) => Err("interrupted".into()),
    }
}

/// Drives and judges until all is decided.
async fn play(
    scenario: &Scenario,
    target: &Target,
    cluster: &dyn Cluster,
    sink: &Sink,
    mut events: mpsc::UnboundedReceiver<Event>,
    live: &LiveProgress,
) -> Result<Verdict, String> {
    // kubeadm has made its own.
    if !scenario.cluster.kubeadm {
        drive::prepare(&scenario.cluster.bindings, &cluster.admin())
            .await
            .map_err(|error| format!("the cluster's bindings could not be made: {error}"))?;
    }
    let mut judge = Judge::new(scenario);
    let rules = Rules::new(target.kubernetes, target.kubelet);
    let mut said = None;
    let mut say = |step: usize, left: Duration| {
        if said.replace(step) != Some(step) {
            live.waits(&scenario.id, &target.name(), &describe(scenario, step), left);
        }
    };
    loop {
        while let Ok(event) = events.try_recv() {
            judge.feed(event);
        }
        match judge.next() {
            Next::Done => return Ok(judge.verdict()),
            Next::Drive(index) => {
                say(index, STEP);
                drive_step(scenario, index, cluster, rules, sink, &mut judge, &mut events).await;
            }
            Next::Wait { step, mono } => {
                let left = Duration::from_micros(mono.saturating_sub(sink.mono()));
                say(step, left);
                match tokio::time::timeout(left, events.recv()).await {
                    Ok(Some(event)) => judge.feed(event),
                    Ok(None) => return Err("the history was closed".into()),
                    Err(_) => {
                        settle(scenario, step, cluster, sink, &mut judge, &mut events).await;
                        sink.emit(What::Deadline(Deadline { step }));
                    }
                }
            }
        }
    }
}

/// Before time runs out for something that must never come: lets the audit log and the components' logs catch up.
async fn settle(
    scenario: &Scenario,
    step: usize,
    cluster: &dyn Cluster,
    sink: &Sink,
    judge: &mut Judge<'_>,
    events: &mut mpsc::UnboundedReceiver<Event>,
) {
    let Step::Never(never) = &scenario.steps[step].value else {
        return;
    };
    let looks_at = |recorder| {
        let mut matchers = never.matchers().into_iter();
        matchers.any(|(_, matcher)| matcher.recorders().contains(&recorder))
    };
    if looks_at(Recorder::Log) {
        let read = tokio::time::Instant::now() + log::LATEST;
        while let Ok(Some(event)) = tokio::time::timeout_at(read, events.recv()).await {
            judge.feed(event);
        }
    }
    if looks_at(Recorder::Audit) {
        audit_catches_up(cluster, sink, judge, events).await;
    }
}

/// A request of our own shows when everything before it has been recorded.
async fn audit_catches_up(
    cluster: &dyn Cluster,
    sink: &Sink,
    judge: &mut Judge<'_>,
    events: &mut mpsc::UnboundedReceiver<Event>,
) {
    let marker = format!("tlsboot-marker-{}", sink.mono());
    let api = Api::<CertificateSigningRequest>::all(cluster.admin());
    let caught_up = async {
        api.get_opt(&marker).await.map_err(|error| error.to_string())?;
        while let Some(event) = events.recv().await {
            let seen = matches!(&event.what, What::Request(request) if request.name == marker);
            judge.feed(event);
            if seen {
                return Ok(());
            }
        }
        Err("the history was closed".to_owned())
    };
    let settled = tokio::time::timeout(CATCH_UP, caught_up)
        .await
        .unwrap_or_else(|_| Err(format!("not within {} s", CATCH_UP.as_secs())));
    if let Err(why) = settled {
        sink.gap(Recorder::Audit, format!("it did not catch up with a request of our own: {why}"));
    }
}

async fn drive_step(
    scenario: &Scenario,
    index: usize,
    cluster: &dyn Cluster,
    rules: Rules,
    sink: &Sink,
    judge: &mut Judge<'_>,
    events: &mut mpsc::UnboundedReceiver<Event>,
) {
    let step = &scenario.steps[index].value;
    let name = match step {
        Step::Submit(submit) => Some(submit.name.clone()),
        Step::PatchCsr(change) => Some(change.name.clone()),
        Step::Get(get) => Some(get.name.clone()),
        _ => None,
    };
    let say =
        |phase| sink.emit(What::Step(StepEvent { index, stimulus: step.word().into(), name: name.clone(), phase }));
    say(Phase::Begin);
    let stage = Stage { cluster, state: judge.state(), rules };
    let mut done = drive::perform(step, &stage).await.map_err(|error| error.to_string());
    if let (Ok(_), Step::File(change)) = (&done, step)
        && let Err(why) = recorded(change, judge, events).await
    {
        done = Err(why);
    }
    say(match done {
        Ok(done) => Phase::Done { proof: done.proof, answer: done.answer },
        Err(error) => Phase::Failed { error: sink.vault().scrub(&error) },
    });
}

/// Waits until the change of a file is in the history: what follows is judged by how the history says that things stand.
async fn recorded(
    change: &FileChange,
    judge: &mut Judge<'_>,
    events: &mut mpsc::UnboundedReceiver<Event>,
) -> Result<(), String> {
    let goes = change.action == FileAction::Delete;
    let is_it = |event: &Event| match &event.what {
        What::File(file) if file.node == change.node && file.name == change.name => {
            goes == (file.op == FileOp::Deleted || file.facts.is_none())
        }
        _ => false,
    };
    let seen = async {
        while let Some(event) = events.recv().await {
            let seen = is_it(&event);
            judge.feed(event);
            if seen {
                return Ok(());
            }
        }
        Err("the history was closed".to_owned())
    };
    tokio::time::timeout(CATCH_UP, seen).await.unwrap_or_else(|_| {
        Err(format!(
            "{} was changed, but the recorder of files has not seen it within {} s",
            change.name,
            CATCH_UP.as_secs()
        ))
    })
}

fn describe(scenario: &Scenario, index: usize) -> String {
    let step = &scenario.steps[index];
    let kind = match &step.value {
        Step::Expect(expect) => expect.matchers().first().map(|(kind, _)| format!("expect {kind}")),
        Step::Never(never) => never.matchers().first().map(|(kind, _)| format!("never {kind}")),
        stimulus => Some(stimulus.word().to_owned()),
    };
    format!("{} (line {})", kind.unwrap_or_default(), step.referenced.line())
}

/// The folder of one scenario's evidence.
struct Evidence {
    out: PathBuf,
    folder: PathBuf,
    vault: Vault,
}

impl Evidence {
    fn below(out: &Path, target: &Target, scenario: &Scenario) -> io::Result<Self> {
        let folder = PathBuf::from(target.name().replace("::", "-")).join(&scenario.id);
        let evidence = Self { out: out.to_owned(), folder, vault: Vault::new() };
        let path = evidence.path();
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        fs::create_dir_all(evidence.logs())?;
        fs::write(path.join("scenario.yaml"), &scenario.text)?;
        Ok(evidence)
    }

    fn path(&self) -> PathBuf {
        self.out.join(&self.folder)
    }

    fn history(&self) -> PathBuf {
        self.path().join("history.jsonl")
    }

    fn logs(&self) -> PathBuf {
        self.path().join("logs")
    }

    /// Writes the verdict, looks for secrets in everything that was written, and takes the hashes.
    fn close(self, result: &mut ScenarioResult) {
        match self.vault.scan_dir(&self.path()) {
            Ok(leaks) if leaks.is_empty() => {}
            Ok(leaks) => {
                let places: Vec<String> = leaks
                    .iter()
                    .map(|leak| format!("{} at byte {} ({})", leak.file.display(), leak.offset, leak.what))
                    .collect();
                result.verdict = error(format!("the evidence holds secrets: {}", places.join(", ")));
            }
            Err(failure) => result.verdict = error(format!("the evidence can't be searched for secrets: {failure}")),
        }
        let written = serde_json::to_vec_pretty(&result.verdict)
            .map_err(io::Error::other)
            .and_then(|json| fs::write(self.path().join("verdict.json"), json));
        match written.and_then(|()| hashes(&self.path())) {
            Ok(hashes) => result.hashes = hashes,
            Err(failure) => result.verdict = error(format!("the evidence can't be written: {failure}")),
        }
        result.evidence = Some(self.folder.display().to_string());
    }
}

/// SHA-256 of every file below a folder, by its path in it.
pub fn hashes(folder: &Path) -> io::Result<std::collections::BTreeMap<String, String>> {
    let mut all = std::collections::BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
            all.insert(name, hex::encode(Sha256::digest(fs::read(&path)?)));
        }
    }
    Ok(all)
}
