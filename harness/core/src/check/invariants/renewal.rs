//! I-03: a kubelet renews each certificate on its own: not before 70 % of its lifetime, with a new key, and from 90 % on
//! it asks for the next one again and again until it has it (catalogue T-01, T-02, K-11).

use std::iter;

use jiff::{SignedDuration, Timestamp};

use super::Finding;
use super::spans::{Span, common, without};
use super::story::{Asked, CSRS, Installed, Machine, Story, user_of};
use crate::check::Role;
use crate::history::event::KUBELET;
use crate::time::Shift;

/// For the clock of the CSR in the watch, a second key and a machine that has a lot to do.
const ROOM: SignedDuration = SignedDuration::from_secs(10);
/// The longest pause between two attempts: 32 s and up to 10 % more (`rotateCerts` in client-go's
/// certificate_manager.go, catalogue K-11).
const PAUSE: SignedDuration = SignedDuration::from_millis(35_200);
/// How long a kubelet waits for one CSR (`certificateWaitTimeout` in client-go's certificate_manager.go).
pub(super) const WAIT: SignedDuration = SignedDuration::from_mins(15);
/// A kubelet that starts loads its configuration, registers and learns its addresses before it asks (catalogue T-09).
const START: SignedDuration = SignedDuration::from_secs(30);
/// Until a kubelet gives up a connection that has become silent: 30 s until it asks for a sign of life, and 15 s for the
/// answer (`http2.Transport` in k8s.io/apimachinery/pkg/util/net).
const DEAD: SignedDuration = SignedDuration::from_secs(45);
/// Certificates have whole seconds.
const SECOND: SignedDuration = SignedDuration::from_secs(1);
/// The first status code that is not a success.
const REFUSED: u16 = 300;

pub(super) fn judge(story: &Story<'_>, finding: &mut Finding) {
    for (name, machine) in &story.machines {
        for role in [Role::Client, Role::Serving] {
            let kubelet = Kubelet { story, name, machine, role };
            kubelet.renewals(finding);
            kubelet.overdue(finding);
        }
    }
}

/// A kubelet, and which of its certificates is looked at.
struct Kubelet<'s, 'a> {
    story: &'s Story<'a>,
    name: &'s str,
    machine: &'s Machine<'a>,
    role: Role,
}

impl<'a> Kubelet<'_, 'a> {
    /// Each CSR that comes while a certificate is in use is a renewal of that.
    fn renewals(&self, finding: &mut Finding) {
        for asked in self.story.asked_by(self.machine, self.role) {
            let at = asked.event.at;
            let last = self.machine.installed(self.role).iter().rev().find(|installed| installed.at <= at);
            let Some(last) = last.filter(|last| at <= last.certificate.not_after) else { continue };
            if self.story.explains_loss(self.role, self.name, self.machine, at) {
                continue;
            }
            finding.look();
            if let Some(wrong) = self.wrong(asked, last) {
                let role = self.role.word();
                finding.violate(asked.event, format!("{}, the {role} CSR of {}: {wrong}", asked.csr.name, self.name));
            }
        }
    }

    fn wrong(&self, asked: &Asked<'_>, last: &Installed<'_>) -> Option<String> {
        let (at, csr) = (asked.event.at, asked.csr);
        let node = csr.node()?;
        if csr.username != user_of(node) {
            return Some(format!("{} asked, not the node, which has a valid certificate", csr.username));
        }
        let spki = &csr.request.key.spki_sha256;
        let mut others =
            self.story.asked.iter().filter(|other| other.csr.uid != csr.uid && other.event.seq < asked.event.seq);
        if let Some(other) = others.find(|other| other.csr.request.key.spki_sha256 == *spki) {
            return Some(format!("its key is that of {}, not a new one", other.csr.name));
        }
        if self.rotates(at) == Some(false) {
            return Some("this kubelet's configuration says that it renews nothing".into());
        }
        let (opens, _) = self.story.rules.rotation_window(last.certificate.not_before, last.certificate.not_after);
        (at.later(SECOND) < opens && !self.is_early_for_a_reason(asked, last)).then(|| {
            let early = opens.duration_since(at).as_secs();
            format!("it came {early} s before 70 % of the lifetime of {:.8} were over", last.certificate.sha256)
        })
    }

    /// A certificate that no longer has what the kubelet needs is replaced at once (catalogue T-12), and so is one that was
    /// embedded in its kubeconfig (catalogue K-20).
    fn is_early_for_a_reason(&self, asked: &Asked<'_>, last: &Installed<'_>) -> bool {
        let (request, certificate) = (&asked.csr.request, last.certificate);
        let other_names = request.subject.common_name != certificate.subject.common_name
            || request.dns.iter().any(|name| !certificate.dns.contains(name))
            || request.ips.iter().any(|address| !certificate.ips.contains(address));
        let embedded = self.role == Role::Client && !self.story.issued.contains_key(certificate.sha256.as_str());
        other_names || embedded
    }

    /// Whether the kubelet was started to renew this certificate, where that is known.
    fn rotates(&self, at: Timestamp) -> Option<bool> {
        self.machine.started(at).map(|facts| match self.role {
            Role::Client => facts.rotate_certificates,
            Role::Serving => facts.server_tls_bootstrap,
        })
    }

    /// No certificate is past its window without an attempt to renew it, as long as the kubelet could try.
    fn overdue(&self, finding: &mut Finding) {
        let attempts = self.attempts();
        let installed = self.machine.installed(self.role);
        let ends = installed.iter().skip(1).map(|next| next.at).chain(iter::once(self.story.end));
        for (one, end) in installed.iter().zip(ends) {
            let (opens, closes) =
                self.story.rules.rotation_window(one.certificate.not_before, one.certificate.not_after);
            let window = Span { from: opens.max(one.at), to: end };
            for span in self.able(window) {
                self.overdue_within(span, window.from, closes, one, &attempts, finding);
            }
        }
    }

    fn overdue_within(
        &self,
        span: Span,
        opened: Timestamp,
        closes: Timestamp,
        one: &Installed<'_>,
        attempts: &[Span],
        finding: &mut Finding,
    ) {
        let mut due = closes.max(one.at).later(ROOM).max(self.first_due(span, opened));
        for attempt in attempts.iter().filter(|attempt| opened <= attempt.from && attempt.from <= span.to) {
            if attempt.from > due {
                break;
            }
            due = due.max(attempt.to.later(PAUSE).later(ROOM));
        }
        // A kubelet reads its client certificate again for each renewal, and does not get as far as the API server.
        if self.story.explains_loss(self.role, self.name, self.machine, due) {
            return;
        }
        if due >= span.to {
            if span.to == self.story.end {
                finding.open();
            }
            return;
        }
        let Some(event) = self.story.events.iter().find(|event| event.at >= due) else { return };
        finding.look();
        let (role, late) = (self.role.word(), due.duration_since(closes).as_secs());
        let words = format!(
            "the {role} certificate {:.8} of {}: no CSR for the next one {late} s after 90 % of its lifetime were over",
            one.certificate.sha256, self.name
        );
        finding.violate(event, words);
    }

    /// When something must have come at the latest after a time in which nothing could.
    fn first_due(&self, able: Span, opened: Timestamp) -> Timestamp {
        match able.from > opened {
            true if self.story.starts_kubelet(self.name, able.from) => able.from.later(START),
            true => able.from.later(DEAD).later(PAUSE).later(ROOM),
            false => able.from,
        }
    }

    /// When it could ask for a certificate: it ran, was started to, knew its addresses, and the API server was there.
    fn able(&self, window: Span) -> Vec<Span> {
        let started = self.machine.starts.iter().map(|(at, _)| *at);
        let ends = started.clone().skip(1).chain(iter::once(self.story.end));
        let told =
            started.zip(ends).filter(|(from, _)| self.rotates(*from) == Some(true)).map(|(from, to)| Span { from, to });
        let told: Vec<Span> = told.collect();
        let able = common(&common(&[window], &told), &self.story.runs(KUBELET, Some(self.name)));
        let able = without(&able, &self.story.away(self.name));
        match self.role {
            Role::Client => able,
            Role::Serving => common(&able, &self.story.addressed(&self.machine.nodes)),
        }
    }

    /// From when to when it was busy with an attempt: with a CSR until that was decided, or with a request that was refused.
    fn attempts(&self) -> Vec<Span> {
        let waits = self.story.asked_by(self.machine, self.role).into_iter().map(|asked| {
            let from = asked.event.at;
            Span { from, to: asked.ended.unwrap_or(self.story.end).min(from.later(WAIT)) }
        });
        let refused = self
            .machine
            .requests
            .iter()
            .filter(|(_, request)| request.resource == CSRS && request.verb == "create" && request.code >= REFUSED);
        let refused = refused.map(|(event, _)| Span { from: event.at, to: event.at });
        let mut all: Vec<Span> = waits.chain(refused).collect();
        all.sort_by_key(|attempt| attempt.from);
        all
    }
}
