//! I-05: a kubelet presents its newest serving certificate from the moment that it has it, and never one that has expired
//! (catalogue K-18, K-19, T-10, T-11).

use jiff::{SignedDuration, Timestamp};

use super::Finding;
use super::spans::Span;
use super::story::{Installed, Machine, Story, leaf};
use crate::check::Role;
use crate::history::event::{Event, KUBELET, Presented, Recorder};
use crate::scenario::ServingPair;
use crate::scenario::stimulus::replace_serving_pair::ReplaceServingPair;
use crate::time::{Shift, micros};

/// A kubelet has a new certificate in memory as soon as that is stored, and each handshake asks for the newest: the rest is
/// for a machine that has a lot to do.
const SWITCH: SignedDuration = SignedDuration::from_secs(2);
/// What is on disk and what a handshake shows are seen by two recorders.
const ECHO: SignedDuration = SignedDuration::from_secs(1);
/// A process that ends closes its port a moment before.
const END: SignedDuration = SignedDuration::from_secs(5);

const SELF_SIGNED: &str = "kubelet.crt";

pub(super) fn judge(story: &Story<'_>, finding: &mut Finding) {
    for (name, machine) in &story.machines {
        let Some(node) = story.visible(name) else { continue };
        for run in story.runs(KUBELET, Some(name)) {
            let Some(facts) = machine.started(run.from) else { continue };
            let (managed, pair) = (facts.server_tls_bootstrap, node.serving_pair);
            let port = Port { story, name, machine, run, managed, pair };
            port.handshakes(finding);
            if port.managed {
                port.switches(finding);
            }
        }
    }
}

/// A kubelet's port, while one process of the kubelet runs.
struct Port<'s, 'a> {
    story: &'s Story<'a>,
    name: &'s str,
    machine: &'s Machine<'a>,
    run: Span,
    /// Whether the kubelet requests its serving certificates.
    managed: bool,
    pair: ServingPair,
}

impl<'a> Port<'_, 'a> {
    fn seen(&self) -> impl Iterator<Item = (&'a Event, &'a Presented)> {
        let own = |(event, presented): &(&Event, &Presented)| {
            presented.node == *self.name && self.run.from <= event.at && event.at <= self.run.to
        };
        self.story.presented.iter().copied().filter(own)
    }

    /// Each handshake shows what it should, and the port does not close again.
    fn handshakes(&self, finding: &mut Finding) {
        let mut open = false;
        let mut seen = self.seen().peekable();
        while let Some((event, presented)) = seen.next() {
            if self.story.explains_loss(Role::Serving, self.name, self.machine, event.at) {
                continue;
            }
            let wrong = match presented.chain.first() {
                Some(leaf) => {
                    open = true;
                    finding.look();
                    self.wrong(&leaf.sha256, event.at)
                }
                // Nothing is wrong with a port that is not open yet.
                None if !open => None,
                None => {
                    finding.look();
                    let until = seen.peek().map_or(self.run.to, |(next, _)| next.at);
                    let passing = until <= event.at.later(END);
                    let refusal = self.refusal(presented, event.at);
                    if refusal.is_some() && passing && until == self.story.end {
                        finding.open();
                    }
                    refusal.filter(|_| !passing)
                }
            };
            if let Some(wrong) = wrong {
                finding.violate(event, format!("{}: {wrong}", self.name));
            }
        }
    }

    fn wrong(&self, shown: &str, at: Timestamp) -> Option<String> {
        let kept = |name: &str| {
            let contents = self.machine.files.iter().filter(|change| change.file.name == name);
            let mut contents = contents.filter_map(|change| leaf(&change.file.facts.as_ref()?.pem));
            contents.any(|certificate| certificate.sha256 == shown)
        };
        let newest = self.newest(at.later(ECHO));
        match (self.managed, self.pair) {
            (false, ServingPair::Managed) => {
                (!kept(SELF_SIGNED)).then(|| format!("it presents {shown:.8}, which is not the one in {SELF_SIGNED}"))
            }
            (false, ServingPair::FromFile) => (!kept(ReplaceServingPair::CERTIFICATE))
                .then(|| format!("it presents {shown:.8}, which was never in {}", ReplaceServingPair::CERTIFICATE)),
            // Until it has requested the first one (catalogue K-19).
            (true, ServingPair::FromFile) if newest.is_none() && kept(ReplaceServingPair::CERTIFICATE) => None,
            (true, _) => {
                let Some(newest) = newest else {
                    return Some(format!("it presents {shown:.8}, and has no serving certificate"));
                };
                let before = self.newest(newest.at.earlier(SignedDuration::from_micros(1)));
                let is_before = before.is_some_and(|before| before.certificate.sha256 == shown);
                let is_newest = newest.certificate.sha256 == shown;
                match () {
                    () if !is_newest && (!is_before || at > newest.at.later(SWITCH)) => Some(format!(
                        "it presents {shown:.8}, and its newest serving certificate is {:.8}",
                        newest.certificate.sha256
                    )),
                    () if is_newest && newest.certificate.not_after.later(SWITCH) < at => {
                        Some(format!("it presents {shown:.8}, which has expired"))
                    }
                    () => None,
                }
            }
        }
    }

    /// A kubelet without a valid serving certificate refuses with an alert (catalogue T-10); otherwise its port stays open.
    fn refusal(&self, presented: &Presented, at: Timestamp) -> Option<String> {
        let refused = presented.refused.as_deref().unwrap_or("no certificate");
        // A machine that has a lot to do is slow to answer.
        let slow = refused.contains("no answer");
        let without = self.managed
            && self.newest(at.earlier(SWITCH)).is_none_or(|newest| newest.certificate.not_after <= at.later(ECHO));
        (!without && !slow).then(|| format!("its port no longer presents a certificate ({refused})"))
    }

    /// Each new certificate is presented soon after it came.
    fn switches(&self, finding: &mut Finding) {
        let installed = &self.machine.serving;
        for (place, one) in
            installed.iter().enumerate().filter(|(_, one)| self.run.from <= one.at && one.at <= self.run.to)
        {
            let next = installed.get(place.saturating_add(1)).map(|next| next.mono);
            let due = one.mono.saturating_add(micros(SWITCH));
            let looked = self.story.looks.iter().find(|(_, looked)| {
                let at = looked.at.get(&Recorder::Presented).and_then(|nodes| nodes.get(self.name));
                at.is_some_and(|at| *at >= due)
            });
            let looked = looked.filter(|(event, _)| event.at <= self.run.to);
            let Some((looked, _)) = looked else {
                finding.open();
                continue;
            };
            if next.is_some_and(|next| next <= looked.mono)
                || one.certificate.not_after <= looked.at
                || self.story.explains_loss(Role::Serving, self.name, self.machine, looked.at)
            {
                continue;
            }
            finding.look();
            let shown = self.seen().take_while(|(event, _)| event.seq < looked.seq).last();
            let shown = shown.and_then(|(_, presented)| presented.chain.first());
            if shown.is_none_or(|shown| shown.sha256 != one.certificate.sha256) {
                let shown = shown.map_or("none", |shown| &shown.sha256);
                finding.violate(
                    looked,
                    format!(
                        "{}: it presents {shown:.8}, and has had a newer serving certificate for {} s: {:.8}",
                        self.name,
                        looked.at.duration_since(one.at).as_secs(),
                        one.certificate.sha256
                    ),
                );
            }
        }
    }

    /// The serving certificate that it has on disk at a moment.
    fn newest(&self, at: Timestamp) -> Option<&Installed<'a>> {
        self.machine.serving.iter().rev().find(|installed| installed.at <= at)
    }
}
