//! I-08: no CSR is left alone that the controller-manager should decide, no kubelet asks in a loop, no CSR is deleted before
//! its time, and a kubelet's metrics tell of the certificates that it has (catalogue K-10, K-11, S-10, C-19, T-13).

use jiff::{SignedDuration, Timestamp};

use super::Finding;
use super::issuance::{Decision, role_of};
use super::renewal::WAIT;
use super::spans::{Span, common};
use super::story::{Asked, Machine, Story};
use crate::check::Role;
use crate::history::event::{CsrEvent, Event, KUBELET, MetricsEvent, Recorder};
use crate::scenario::stimulus::admission::Admitted;
use crate::scenario::stimulus::{Component, Step};
use crate::time::Shift;

/// Approval and signing take less than a second each (catalogue S-10): the rest is for a machine that has a lot to do.
const PROMPT: SignedDuration = SignedDuration::from_secs(10);
/// A controller that has just started takes some time until it works.
const START: SignedDuration = SignedDuration::from_secs(5);
/// A controller that lost the API server tries again after 30 s at most, and up to twice as long for jitter (`Reflector` in
/// client-go's tools/cache): the rest is for the start of the API server, and for connections that are given up late.
const RECONNECT: SignedDuration = SignedDuration::from_secs(100);
/// What a kubelet sees of the API and what the recorder sees of it.
const ECHO: SignedDuration = SignedDuration::from_millis(500);
/// The pauses between the attempts of a kubelet to get a certificate (`rotateCerts` in client-go's certificate_manager.go,
/// catalogue K-11), in seconds; the last one repeats.
const PAUSES: [i64; 5] = [2, 4, 8, 16, 32];
/// How long a decided CSR is kept, and one that is not decided (`pkg/controller/certificates/cleaner/cleaner.go`).
const KEPT_DECIDED: SignedDuration = SignedDuration::from_hours(1);
const KEPT_PENDING: SignedDuration = SignedDuration::from_hours(24);
/// Timestamps of the API have whole seconds.
const SECOND: SignedDuration = SignedDuration::from_secs(1);
/// A metric is collected, told and recorded one after the other.
const SCRAPE: f64 = 5.0;

pub(super) fn judge(story: &Story<'_>, finding: &mut Finding) {
    for asked in &story.asked {
        finding.look();
        let decision = Decision { story, asked };
        left_alone(&decision, finding);
        deleted(story, asked, finding);
    }
    for (name, machine) in &story.machines {
        for role in [Role::Client, Role::Serving] {
            repeated(story, name, machine, role, finding);
        }
        if story.unseen(Recorder::Metrics).is_none() && story.visible(name).is_some() {
            metrics(story, name, machine, finding);
        }
    }
}

/// The controller-manager decides at once what it recognizes, and signs at once what is approved.
fn left_alone(decision: &Decision<'_, '_>, finding: &mut Finding) {
    let Decision { story, asked } = decision;
    let (at, csr) = (asked.event.at, asked.csr);
    let approved = asked.with("Approved").map(|(event, _)| event.at);
    let refused = ["Denied", "Failed"].iter().any(|condition| asked.with(condition).is_some());
    let to_approve = decision.unrecognized(csr).is_none()
        && role_of(csr) == Some(Role::Client)
        && decision.is_permitted(csr, at, at)
        && !refused;
    let to_sign = role_of(csr).filter(|role| decision.against_the_rules(csr, *role).is_none() && !refused);
    if to_approve
        && works(story, "csrapproving", Admitted::DecideCsr, at)
        && approved.is_none_or(|approved| approved > at.later(PROMPT))
    {
        late(
            story,
            asked,
            at,
            "it is not approved, though the approver recognizes it and its requestor may have it",
            finding,
        );
    }
    if let (Some(role), Some(approved)) = (to_sign, approved)
        && works(story, "csrsigning", Admitted::IssueCsr, approved)
        && has_ca(story, role, approved)
        && asked.signed().is_none_or(|(event, _)| event.at > approved.later(PROMPT))
    {
        late(story, asked, approved, "it is approved and not signed", finding);
    }
}

/// Something has not come in time, unless the CSR or the history ended before that.
fn late(story: &Story<'_>, asked: &Asked<'_>, since: Timestamp, words: &str, finding: &mut Finding) {
    let due = since.later(PROMPT);
    let gone = asked.ended.is_some_and(|ended| ended < due && asked.signed().is_none());
    match story.events.iter().find(|event| event.at > due) {
        _ if gone => {}
        None => finding.open(),
        Some(event) => {
            let seconds = PROMPT.as_secs();
            finding.violate(event, format!("{}: {words}, {seconds} s later", asked.csr.name));
        }
    }
}

/// Whether this controller of the controller-manager worked from a moment on, for as long as it may take, and admission let
/// it write. What was refused is tried again later and later.
fn works(story: &Story<'_>, controller: &str, writes: Admitted, at: Timestamp) -> bool {
    let needed = Span { from: at.earlier(START), to: at.later(PROMPT).min(story.end) };
    let within = |runs: Vec<Span>| runs.iter().any(|run| run.from <= needed.from && needed.to <= run.to);
    let manager = Component::ControllerManager;
    let mut controllers = Some(&story.scenario.cluster.controllers);
    let mut other_flags =
        story.scenario.cluster.flags.get(&manager).is_some_and(|flags| flags.contains_key("controllers"));
    let mut disturbed = false;
    for deed in story.deeds.iter().filter(|deed| deed.from <= needed.to) {
        let with = match deed.step {
            Step::Start(start) if start.component == Some(manager) => &start.with,
            Step::Restart(restart) if restart.component == Some(manager) => &restart.with,
            // Who may have a CSR approved changes: what was refused before is tried again later and later (catalogue R-09).
            Step::Bind(_) | Step::Unbind(_) | Step::ReplaceCa(_) => {
                disturbed |= !deed.is_over(needed.from);
                continue;
            }
            _ => continue,
        };
        controllers = with.controllers.as_ref().or(controllers);
        other_flags |= with.flags.as_ref().is_some_and(|flags| flags.contains_key("controllers"));
    }
    let is_on = controllers.is_some_and(|names| names.iter().any(|name| name == controller || name == "*"));
    is_on
        && !other_flags
        && !disturbed
        && common(&[needed], &story.refused(writes)).is_empty()
        && within(story.runs(manager.name(), None))
        && is_reached(story, &needed)
}

/// Whether the API server was there, and for so long that the controllers have found it again.
fn is_reached(story: &Story<'_>, needed: &Span) -> bool {
    let runs = story.runs(Component::ApiServer.name(), None);
    runs.iter().enumerate().any(|(place, run)| {
        let found = if place == 0 { run.from } else { run.from.later(RECONNECT) };
        found <= needed.from && needed.to <= run.to
    })
}

/// Whether the signer had a CA that has not expired.
fn has_ca(story: &Story<'_>, role: Role, at: Timestamp) -> bool {
    let signing = story.signing.iter().rev().find(|(from, _)| *from <= at);
    let ca =
        signing.and_then(|(_, signing)| crate::check::certificate::read_der(signing.signers.get(role.signer_name())?));
    ca.is_some_and(|ca| ca.not_before < at && at.later(PROMPT) < ca.not_after)
}

/// The cleaner deletes what has been decided for an hour, what has been pending for a day, and what has expired.
fn deleted(story: &Story<'_>, asked: &Asked<'_>, finding: &mut Finding) {
    let Some((event, csr)) = asked.deleted() else { return };
    let by_a_step =
        story.deeds.iter().any(|deed| matches!(deed.step, Step::DeleteCsr(_)) && deed.is_near(event.at, START));
    if by_a_step || is_old(csr, event.at.later(SECOND)) {
        return;
    }
    finding.violate(event, format!("{} was deleted before its time, and no step did that", csr.name));
}

fn is_old(csr: &CsrEvent, at: Timestamp) -> bool {
    let expired = csr.certificates.iter().any(|certificate| certificate.not_after <= at);
    let decided = csr.conditions.iter().any(|condition| {
        let updated = condition.last_update_time.unwrap_or(csr.created);
        at.duration_since(updated) >= KEPT_DECIDED
    });
    let pending = csr.conditions.is_empty() && at.duration_since(csr.created) >= KEPT_PENDING;
    expired || decided || pending
}

/// A kubelet waits for each CSR, and longer and longer before the next one, until it has a certificate.
fn repeated(story: &Story<'_>, name: &str, machine: &Machine<'_>, role: Role, finding: &mut Finding) {
    let runs = story.runs(KUBELET, Some(name));
    let run_of = |at: Timestamp| runs.iter().position(|run| run.from <= at && at <= run.to);
    let own = story.asked_by(machine, role);
    let mut failed: usize = 0;
    for (before, next) in own.iter().zip(own.iter().skip(1)) {
        let (from, to) = (before.event.at, next.event.at);
        let fresh = run_of(from) != run_of(to)
            || before.csr.request.dns != next.csr.request.dns
            || before.csr.request.ips != next.csr.request.ips
            || before.csr.request.subject != next.csr.request.subject
            || story.explains_loss(role, name, machine, to)
            || is_in_use(machine, role, before, to);
        if fresh {
            failed = 0;
            continue;
        }
        let pause =
            PAUSES.get(failed).or(PAUSES.last()).copied().map_or(SignedDuration::ZERO, SignedDuration::from_secs);
        failed = failed.saturating_add(1);
        let waited = from.later(WAIT);
        let ended = before.ended.filter(|ended| *ended <= to).unwrap_or(waited).min(waited);
        if to.later(ECHO) < ended.later(pause) {
            let words = match ended > to {
                true => format!("{} is not decided yet", before.csr.name),
                false => format!("{} ended {} ms ago", before.csr.name, to.duration_since(ended).as_millis()),
            };
            finding.violate(
                next.event,
                format!("{name} asks again for a {} certificate, and {words}: {}", role.word(), next.csr.name),
            );
        }
    }
}

/// Whether the kubelet has put the certificate of a CSR in use.
fn is_in_use(machine: &Machine<'_>, role: Role, asked: &Asked<'_>, at: Timestamp) -> bool {
    let signed = asked.signed().and_then(|(_, csr)| csr.certificates.first());
    let mut installed = machine.installed(role).iter().filter(|installed| installed.at <= at.later(ECHO));
    signed.is_some_and(|signed| installed.any(|installed| installed.certificate.sha256 == signed.sha256))
}

/// The metrics of how long its certificates last are those of the certificates that it has on disk.
fn metrics(story: &Story<'_>, name: &str, machine: &Machine<'_>, finding: &mut Finding) {
    let own = story
        .metrics
        .iter()
        .filter(|(_, metrics)| metrics.component == KUBELET && metrics.node.as_deref() == Some(name));
    for (event, metrics) in own {
        for (role, metric) in [
            (Role::Client, "kubelet_certificate_manager_client_ttl_seconds"),
            (Role::Serving, "kubelet_certificate_manager_server_ttl_seconds"),
        ] {
            if story.explains_loss(role, name, machine, event.at) {
                continue;
            }
            if let Some(wrong) = wrong_lifetime(event, metrics, metric, machine, role) {
                finding.violate(event, format!("{name}: {metric} is {wrong}"));
            }
        }
    }
}

fn wrong_lifetime(
    event: &Event,
    metrics: &MetricsEvent,
    metric: &str,
    machine: &Machine<'_>,
    role: Role,
) -> Option<String> {
    let told = metrics.values.get(metric)?;
    let value = told.replace("Inf", "inf").parse::<f64>().ok();
    let near = |ends: Option<Timestamp>| match ends.map(|ends| ends.duration_since(event.at).as_secs_f64()) {
        Some(left) if left > SCRAPE => value.is_some_and(|value| (value - left).abs() <= SCRAPE),
        // Without a valid certificate it is +Inf (catalogue T-13).
        Some(left) if left < -SCRAPE => value == Some(f64::INFINITY),
        Some(_) => true,
        None => value == Some(f64::INFINITY),
    };
    let room = SignedDuration::from_secs_f64(SCRAPE);
    let known = machine.installed(role);
    let newest =
        |at: Timestamp| known.iter().rev().find(|installed| installed.at <= at).map(|one| one.certificate.not_after);
    let moments = [event.at.earlier(room), event.at, event.at.later(SECOND)];
    let allowed: Vec<Option<Timestamp>> = moments.into_iter().map(newest).collect();
    if allowed.iter().any(|ends| near(*ends)) {
        return None;
    }
    let ends =
        newest(event.at).map_or_else(|| "it has none".to_owned(), |ends| format!("that certificate ends at {ends}"));
    Some(format!("{told}, and {ends}"))
}
