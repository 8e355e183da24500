//! I-07: no process of the cluster ends, or is started, without tlsboot's doing.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Finding;
use super::story::{Story, exited_on_its_own};
use crate::check::{ExpectationVerdict, Outcome};
use crate::history::event::{KUBELET, ProcessEvent, ProcessState};
use crate::scenario::stimulus::Step;

/// `kubeadm` is a command, and its end is its purpose.
const KUBEADM: &str = "kubeadm";

pub(super) fn judge(story: &Story<'_>, finding: &mut Finding) {
    let mut running: BTreeMap<(&str, Option<&str>), u32> = BTreeMap::new();
    // On a slow machine a component gives up while the cluster starts, and tlsboot starts it again.
    let begun = story.deeds.first().map_or(Timestamp::MAX, |deed| deed.from);
    for (event, process) in story.processes.iter().filter(|(_, process)| process.component != KUBEADM) {
        let key = (process.component.as_str(), process.node.as_deref());
        match &process.state {
            ProcessState::Started => {
                finding.look();
                let before = running.insert(key, process.pid);
                if let Some(before) = before.filter(|pid| *pid != process.pid) {
                    let words = format!("{} runs as pid {}, and {before} has not ended", name(process), process.pid);
                    finding.violate(event, words);
                }
            }
            ended => {
                running.remove(&key);
                let explained = event.at < begun
                    || !exited_on_its_own(ended)
                    || is_started_by_tlsboot(story, process, event.at)
                    || joins_later(story, process, event.at);
                let words = || format!("{} ended on its own{}", name(process), how(ended));
                match is_expected(story, process, event.seq) {
                    _ if explained => {}
                    Expected::Yes => {}
                    Expected::Open => finding.open(),
                    Expected::No if process.node.is_some() => finding.violate(event, words()),
                    Expected::No => finding.die(event, words()),
                }
            }
        }
    }
}

/// While a component starts, it may give up for want of an API server, and tlsboot starts it again.
fn is_started_by_tlsboot(story: &Story<'_>, process: &ProcessEvent, at: Timestamp) -> bool {
    let starts = |step: &Step| match step {
        Step::Start(start) => process.node.is_none() && start.component.is_some(),
        Step::Restart(restart) => process.node.is_none() && restart.component.is_some(),
        Step::ReplaceCa(_) => process.node.is_none(),
        _ => false,
    };
    story.deeds.iter().any(|deed| starts(deed.step) && deed.covers(at))
}

/// Whether a scenario expects the exit of a process.
#[derive(PartialEq, Eq)]
enum Expected {
    /// And it came.
    Yes,
    /// An expectation that is not decided yet may be about it.
    Open,
    No,
}

/// A process that a scenario expects to exit, and that did, exits for the scenario's own reason.
fn is_expected(story: &Story<'_>, process: &ProcessEvent, seq: u64) -> Expected {
    let expects = |verdict: &&ExpectationVerdict| {
        let step = story.scenario.steps.get(verdict.step).map(|step| &step.value);
        let expected = match step {
            Some(Step::Expect(expect)) => expect.process.as_ref(),
            Some(Step::Stays(stays)) => stays.process.as_ref(),
            _ => None,
        };
        expected.is_some_and(|expected| expected.is_exit_of(process))
    };
    let about_it = || story.expectations.iter().filter(expects);
    // The state is judged, so another event than the exit itself may have fulfilled it.
    let met = |verdict: &ExpectationVerdict| {
        verdict.outcome == Some(Outcome::Pass) && verdict.events.last().is_some_and(|decided| *decided >= seq)
    };
    match () {
        () if about_it().any(met) => Expected::Yes,
        () if about_it().any(|verdict| verdict.outcome.is_none()) => Expected::Open,
        () => Expected::No,
    }
}

/// systemd starts kubeadm's kubelet again and again until `kubeadm join` has written its configuration.
fn joins_later(story: &Story<'_>, process: &ProcessEvent, at: Timestamp) -> bool {
    let joins = |step: &Step| matches!(step, Step::Join(join) if process.node.as_deref() == Some(&*join.node));
    let asked = story.scenario.steps.iter().filter(|step| joins(&step.value)).count();
    let begun = || story.deeds.iter().filter(|deed| joins(deed.step));
    process.component == KUBELET && (begun().count() < asked || begun().any(|deed| at <= deed.from || deed.covers(at)))
}

/// `the kubelet of n1`, or the component's name.
fn name(process: &ProcessEvent) -> String {
    match &process.node {
        Some(node) => format!("the {} of {node}", process.component),
        None => process.component.clone(),
    }
}

fn how(state: &ProcessState) -> String {
    match state {
        ProcessState::Exited { code: Some(code), .. } => format!(", with code {code}"),
        ProcessState::Exited { signal: Some(signal), .. } => format!(", by signal {signal}"),
        _ => String::new(),
    }
}
