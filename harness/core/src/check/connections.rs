//! Connections between a kubelet and the API server, observed on the link between them (catalogue T-03).

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;

use super::compare::Compare;
use super::{LooksAt, Match, Matcher, Moment, OfEvents, Role};
use crate::history::event::{ClosedBy, ConnectionState, Recorder, What};
use crate::scenario::stimulus::Need;
use crate::scenario::{Capability, NodeName};
use crate::time::Shift;

/// After it gets a new client certificate, the kubelet closes the connections that it opened before, and opens new
/// ones.
///
/// Runs show one exception that the catalogue does not mention: the certificate manager sends each renewal on a
/// connection of its own, which is not closed but times out after 90 s without use. Connections that were opened for a
/// client CSR therefore do not count. Serving CSRs are sent on the connection of all other requests, which does count.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Connections {
    /// The node.
    pub node: NodeName,
    /// The client certificate with which all of them were opened, by its number among the issued ones, starting at 2.
    pub certificate: usize,
}

/// A connection for a CSR is opened just before it.
pub(super) const JUST_BEFORE: SignedDuration = SignedDuration::from_secs(1);

/// A connection, as far as the history shows.
struct Span {
    opened: Timestamp,
    closed: Option<(Timestamp, ClosedBy)>,
}

impl Matcher for Connections {
    fn recorders(&self) -> &'static [Recorder] {
        &[Recorder::Link, Recorder::Csr]
    }

    fn looks_at(&self) -> LooksAt<'_> {
        LooksAt::Events(self)
    }

    fn needs(&self) -> Vec<Need> {
        vec![(Capability::Link, "show connections")]
    }

    fn nodes(&self) -> Vec<&str> {
        vec![&self.node]
    }

    fn lint(&self) -> Option<String> {
        (self.certificate < 2).then(|| {
            "the first certificate replaces no other, so there are no old connections: name the second or a later one"
                .into()
        })
    }
}

impl OfEvents for Connections {
    fn judge(&self, moment: &Moment<'_>) -> Match {
        let What::Connection(_) = &moment.event.what else {
            return Match::Other;
        };
        let issued = moment.state.issued(&self.node, Role::Client);
        let renewal = issued.get(self.certificate.wrapping_sub(1));
        let Some(since) = renewal.and_then(|(csr, _)| csr.issued) else {
            return Match::Other;
        };
        let spans = self.spans(moment);
        let csrs = moment.state.csrs_of(&self.node, Role::Client);
        let for_csrs: Vec<Timestamp> = csrs
            .filter_map(|csr| {
                let asked = self.asked(moment, csr.first_seen);
                let just_before = asked.earlier(JUST_BEFORE)..=asked;
                let opened = spans.values().map(|span| span.opened);
                opened.filter(|opened| just_before.contains(opened)).max()
            })
            .collect();
        let is_old = |span: &&Span| {
            let open_then = span.closed.is_none_or(|(at, _)| at >= since);
            span.opened < since && open_then && !for_csrs.contains(&span.opened)
        };
        let words = |ids: Vec<&u64>| super::compare::list(&ids);
        let old = || spans.iter().filter(|(_, span)| is_old(span));
        let open: Vec<&u64> = old().filter(|(_, span)| span.closed.is_none()).map(|(id, _)| id).collect();
        let by_others: Vec<&u64> = old()
            .filter(|(_, span)| span.closed.is_some_and(|(_, by)| by != ClosedBy::Kubelet))
            .map(|(id, _)| id)
            .collect();
        let new = spans.values().filter(|span| span.opened >= since && span.closed.is_none()).count();
        let mut compare = Compare::default();
        compare
            .holds("old connections", old().count() > 0, "at least one", "none")
            .holds("old connections", open.is_empty(), "all closed", format!("still open: {}", words(open)))
            .holds("closed by", by_others.is_empty(), "the kubelet", format!("others: {}", words(by_others)))
            .holds("new connections", new > 0, "at least one", new);
        compare.or_near()
    }
}

impl Connections {
    /// When the API server received the request for a CSR. The CSR is observed a little later, and connections may be
    /// opened in between.
    fn asked(&self, moment: &Moment<'_>, seen: Timestamp) -> Timestamp {
        let requests = moment.past.iter().filter_map(|event| match &event.what {
            What::Request(request) => Some((event.at, request)),
            _ => None,
        });
        let creates = requests.filter(|(at, request)| {
            (seen.earlier(JUST_BEFORE)..=seen).contains(at)
                && request.node.as_deref() == Some(&*self.node)
                && request.verb == "create"
                && request.resource == "certificatesigningrequests"
        });
        creates.map(|(at, _)| at).max().unwrap_or(seen)
    }

    fn spans(&self, moment: &Moment<'_>) -> BTreeMap<u64, Span> {
        let mut spans = BTreeMap::new();
        for event in moment.past {
            match &event.what {
                What::Connection(connection) if connection.node == self.node => match connection.state {
                    ConnectionState::Opened => {
                        spans.insert(connection.id, Span { opened: event.at, closed: None });
                    }
                    ConnectionState::Closed { by } => {
                        if let Some(span) = spans.get_mut(&connection.id) {
                            span.closed = Some((event.at, by));
                        }
                    }
                    ConnectionState::Refused => {}
                },
                _ => {}
            }
        }
        spans
    }
}
