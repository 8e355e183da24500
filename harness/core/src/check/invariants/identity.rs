//! I-01: a kubelet that has a client certificate uses it, and uses the newest one soon after it came (catalogue T-03,
//! T-14).

use jiff::{SignedDuration, Timestamp};

use super::Finding;
use super::bugs::OLD_CONNECTION;
use super::story::{CSRS, Installed, Machine, Story, user_of};
use crate::check::Role;
use crate::history::event::RequestEvent;
use crate::time::Shift;

/// How often a kubelet looks whether it has a new certificate, to close the connections of the old one
/// (`updateTransport` in `pkg/kubelet/certificate/transport.go`).
pub(super) const POLL: SignedDuration = SignedDuration::from_secs(10);
/// For a machine that has a lot to do.
pub(super) const ROOM: SignedDuration = SignedDuration::from_secs(5);
/// How long the certificate manager's own connection lives without use (`IdleConnTimeout` in
/// `k8s.io/apimachinery/pkg/util/net`). A renewal within that time is sent with the certificate of the one before, and
/// gets 401 if that has expired (catalogue N-16).
pub(super) const IDLE: SignedDuration = SignedDuration::from_secs(90);

const UNAUTHORIZED: u16 = 401;

pub(super) fn judge(story: &Story<'_>, finding: &mut Finding) {
    for (name, machine) in &story.machines {
        let mut last_csr = None;
        for (event, request) in &machine.requests {
            let before = last_csr;
            if request.resource == CSRS {
                last_csr = Some(event.at);
            }
            let Some(newest) = newest(machine, event.at) else { continue };
            // What comes of an overdue renewal is that invariant's business. A certificate of the future is not valid either.
            let is_valid = (newest.certificate.not_before..=newest.certificate.not_after).contains(&event.at);
            if !is_valid || story.explains_loss(Role::Client, name, machine, event.at) {
                continue;
            }
            let is_first = machine.client.first().is_some_and(|first| first.at == newest.at);
            // The certificate manager sends a renewal with what it has: see OLD_CONNECTION.
            if is_fresh(machine, &newest, event.at) && (is_first || request.resource != CSRS) {
                continue;
            }
            finding.look();
            if let Some(wrong) = wrong(story, machine, &newest, request, event.at) {
                let what = [request.verb.as_str(), request.resource.as_str(), request.subresource.as_str()];
                let what = what.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
                let words = format!("the kubelet of {name}, `{what}`: {wrong}");
                let is_known = request.resource == CSRS
                    && request.code == UNAUTHORIZED
                    && OLD_CONNECTION.is_in(story.kubelet)
                    && is_over_an_old_connection(machine, before.max(story.last_answer(machine, event.at)), event.at);
                match is_known {
                    true => finding.meet(&OLD_CONNECTION, event, words),
                    false => finding.violate(event, words),
                }
            }
        }
    }
}

fn wrong(
    story: &Story<'_>,
    machine: &Machine<'_>,
    newest: &Installed<'_>,
    request: &RequestEvent,
    at: Timestamp,
) -> Option<String> {
    if request.code == UNAUTHORIZED {
        return Some(format!("401, with a valid certificate on disk ({:.8})", newest.certificate.sha256));
    }
    let users: Vec<String> = machine.nodes.iter().map(|node| user_of(node)).collect();
    let user = request.user.as_deref().unwrap_or("an unknown user");
    if !users.iter().any(|known| known == user) {
        return Some(format!("it was sent as {user}, with a valid certificate of {} on disk", users.join(" or ")));
    }
    // The certificate manager has a connection of its own, which lives until it has been idle for 90 s: see I-03.
    if !story.rules.credential_ids() || request.resource == CSRS {
        return None;
    }
    let used = request.credential_id.as_deref()?.strip_prefix("X509SHA256=")?;
    let place = machine.client.iter().rposition(|known| known.certificate.sha256 == used && known.at <= at)?;
    let successor = machine.client.get(place.saturating_add(1)).filter(|next| next.at <= at)?;
    (successor.at.later(POLL).later(ROOM) < at).then(|| {
        let late = at.duration_since(successor.at).as_secs();
        format!("it was sent with the certificate {used:.8}, {late} s after its successor was in place")
    })
}

/// Whether a kubelet that had no valid certificate before may not have found out about its new one yet: up to 1.27 it begins
/// to work without one, and in all versions one may expire while the next one waits.
fn is_fresh(machine: &Machine<'_>, newest: &Installed<'_>, at: Timestamp) -> bool {
    let had_one = machine.client.iter().any(|old| old.at < newest.at && at <= old.certificate.not_after);
    !had_one && at <= newest.at.later(POLL).later(ROOM)
}

/// Whether a request of the certificate manager may have used a connection that was opened with a certificate that has
/// expired by now.
fn is_over_an_old_connection(machine: &Machine<'_>, before: Option<Timestamp>, at: Timestamp) -> bool {
    let has_expired = machine.client.iter().any(|old| old.certificate.not_after < at);
    has_expired && before.is_some_and(|before| at.duration_since(before) <= IDLE.later(ROOM))
}

/// The certificate that is in use on disk at a moment.
fn newest<'a>(machine: &Machine<'a>, at: Timestamp) -> Option<Installed<'a>> {
    machine.client.iter().rev().find(|installed| installed.at <= at).copied()
}
