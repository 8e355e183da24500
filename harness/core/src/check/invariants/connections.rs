//! I-06: a connection that began with an old client certificate does not outlive it (catalogue T-03, N-16).

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::Finding;
use super::identity::{IDLE, POLL, ROOM};
use super::spans::{Span, common};
use super::story::{CSRS, Machine, Story};
use crate::check::Role;
use crate::check::connections::JUST_BEFORE;
use crate::history::event::KUBELET;
use crate::time::Shift;

pub(super) fn judge(story: &Story<'_>, finding: &mut Finding) {
    for (name, machine) in &story.machines {
        let link = Link { story, name, machine };
        let for_csrs = link.for_csrs();
        for connection in &machine.connections {
            let place = machine.client.partition_point(|installed| installed.at <= connection.opened);
            // What began without any certificate is another matter.
            let Some(successor) = machine.client.get(place).filter(|_| place > 0) else { continue };
            if connection.closed.is_some_and(|closed| closed <= successor.at) {
                continue;
            }
            let noticed = successor.at.later(POLL).later(ROOM);
            let until = match for_csrs.contains(&connection.id) {
                true => link.idle(connection.opened).max(noticed),
                false => noticed,
            };
            if !link.could_close(Span { from: successor.at, to: until.min(story.end) }) {
                continue;
            }
            let lives_on = connection.closed.is_none_or(|closed| closed > until);
            match story.events.iter().find(|event| event.at > until) {
                None if lives_on => finding.open(),
                // It would not have been seen if it had lived on.
                None => {}
                Some(_) if !lives_on => finding.look(),
                Some(event) => {
                    finding.look();
                    let late = until.duration_since(successor.at).as_secs();
                    let words = format!(
                        "connection {} of {name} began with an old certificate and is still open {late} s after its successor \
                         {:.8} was in place",
                        connection.id, successor.certificate.sha256
                    );
                    finding.violate(event, words);
                }
            }
        }
    }
}

/// The link between a kubelet and the API server.
struct Link<'s, 'a> {
    story: &'s Story<'a>,
    name: &'s str,
    machine: &'s Machine<'a>,
}

impl Link<'_, '_> {
    /// When it asked for a client certificate, and how long it waited for the answer.
    fn asked(&self) -> Vec<Span> {
        let csrs = self.story.asked_by(self.machine, Role::Client);
        let waits =
            csrs.into_iter().map(|asked| Span { from: asked.event.at, to: asked.ended.unwrap_or(self.story.end) });
        let requests = self.machine.requests.iter().filter(|(_, request)| request.resource == CSRS);
        let requests = requests.map(|(event, _)| Span { from: event.at, to: event.at });
        let mut all: Vec<Span> = waits.chain(requests).collect();
        all.sort_by_key(|span| span.from);
        all
    }

    /// The connections that may have been opened for a client CSR, by their numbers: the certificate manager has a client of
    /// its own, whose connections are not closed but end when they have been idle. Which of several it is, nothing tells.
    fn for_csrs(&self) -> BTreeSet<u64> {
        let asked = self.asked();
        let is_just_before = |opened: Timestamp| {
            let later = asked.partition_point(|span| span.from < opened);
            asked.get(later).is_some_and(|span| span.from <= opened.later(JUST_BEFORE))
        };
        let own = self.machine.connections.iter().filter(|connection| is_just_before(connection.opened));
        own.map(|connection| connection.id).collect()
    }

    /// When a connection of the certificate manager has been idle for too long.
    fn idle(&self, opened: Timestamp) -> Timestamp {
        let ends = |last: Timestamp| last.later(IDLE).later(ROOM);
        let used =
            self.asked().into_iter().fold(opened, |last, span| match last <= span.to && span.from <= ends(last) {
                true => span.to,
                false => last,
            });
        ends(used)
    }

    /// Whether its kubelet ran and reached the API server all the time.
    fn could_close(&self, time: Span) -> bool {
        let runs = common(&[time], &self.story.runs(KUBELET, Some(self.name)));
        let is_whole = runs == [time] || time.from >= time.to;
        let away = self.story.away(self.name);
        is_whole
            && common(&[time], &away).is_empty()
            && !self.story.explains_loss(Role::Client, self.name, self.machine, time.from)
    }
}
