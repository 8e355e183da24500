//! Connections from the API server to a kubelet's port, seen on the way between them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::compare::{Compare, NONE};
use super::{LooksAt, Match, Matcher, Moment, OfEvents, Role};
use crate::history::What;
use crate::history::event::{ClosedBy, InboundState, Recorder};
use crate::scenario::stimulus::Need;
use crate::scenario::{Capability, NodeName};

/// A connection that the API server opens to a kubelet's port, or that is closed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Inbound {
    /// The node.
    pub node: NodeName,
    /// It is opened, and the API server asks for this host: a name or an address of the Node.
    #[serde(default)]
    pub host: Option<String>,
    /// It is opened, and the kubelet presents the serving certificate of this number among those issued, from 1.
    #[serde(default)]
    pub certificate: Option<usize>,
    /// It is closed, by this side first.
    #[serde(default)]
    pub closed_by: Option<ClosedBy>,
}

impl Matcher for Inbound {
    fn recorders(&self) -> &'static [Recorder] {
        &[Recorder::Inbound]
    }

    fn looks_at(&self) -> LooksAt<'_> {
        LooksAt::Events(self)
    }

    fn needs(&self) -> Vec<Need> {
        vec![(Capability::ReachKubelets, "show connections from the API server to kubelets")]
    }

    fn nodes(&self) -> Vec<&str> {
        vec![&self.node]
    }

    fn lint(&self) -> Option<String> {
        let opened = self.host.is_some() || self.certificate.is_some();
        (opened && self.closed_by.is_some())
            .then(|| "a connection is opened (`host`, `certificate`) or closed (`closedBy`): expect one of them".into())
    }
}

impl OfEvents for Inbound {
    fn judge(&self, moment: &Moment<'_>) -> Match {
        let What::Inbound(connection) = &moment.event.what else { return Match::Other };
        if connection.node != *self.node {
            return Match::Other;
        }
        let mut compare = Compare::default();
        match (&connection.state, self.closed_by) {
            (InboundState::Closed { by }, Some(wanted)) => {
                compare.holds("closedBy", *by == wanted, word(wanted), word(*by));
            }
            (InboundState::Opened { asked, certificate, .. }, None) => {
                let host = asked.rsplit_once(':').map_or(asked.as_str(), |(host, _)| host);
                let host = host.trim_start_matches('[').trim_end_matches(']');
                compare.text("host", self.host.as_deref(), Some(host));
                if let Some(wanted) = self.certificate {
                    let issued = moment.state.issued(&self.node, Role::Serving);
                    let expected = issued.get(wanted.wrapping_sub(1)).map(|(_, facts)| facts.sha256.as_str());
                    let found = certificate.as_deref();
                    let same = expected.is_some() && found == expected;
                    compare.holds("certificate", same, format!("serving certificate {wanted}"), found.unwrap_or(NONE));
                }
            }
            _ => return Match::Other,
        }
        compare.or_near()
    }
}

fn word(by: ClosedBy) -> &'static str {
    match by {
        ClosedBy::Kubelet => "kubelet",
        ClosedBy::Server => "server",
        ClosedBy::Link => "link",
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::check::State;
    use crate::history::Event;
    use crate::history::event::InboundEvent;

    /// A connection of n1, whatever happens to it.
    fn any() -> Inbound {
        Inbound { node: "n1".into(), host: None, certificate: None, closed_by: None }
    }

    fn judged(wanted: &Inbound, state: InboundState) -> Match {
        let at = Timestamp::UNIX_EPOCH;
        let what = What::Inbound(InboundEvent { node: "n1".into(), id: 1, state });
        let event = Event { seq: 0, at, seen: at, mono: 0, what };
        wanted.judge(&Moment { event: &event, state: &State::default(), past: &[] })
    }

    fn opened(asked: &str) -> InboundState {
        InboundState::Opened { asked: asked.into(), certificate: None, refused: None }
    }

    #[test]
    fn hosts_are_compared_without_port_and_brackets() {
        let wants = |host: &str| Inbound { host: Some(host.into()), ..any() };
        assert_eq!(judged(&wants("n1"), opened("n1:10250")), Match::Yes);
        assert_eq!(judged(&wants("2001:db8::7"), opened("[2001:db8::7]:10250")), Match::Yes);
        assert!(matches!(judged(&wants("n1"), opened("192.0.2.2:10250")), Match::Near(_)));
        assert_eq!(judged(&wants("n1"), InboundState::Closed { by: ClosedBy::Kubelet }), Match::Other);
    }

    #[test]
    fn who_closed_it_counts() {
        let wants = Inbound { closed_by: Some(ClosedBy::Kubelet), ..any() };
        assert_eq!(judged(&wants, InboundState::Closed { by: ClosedBy::Kubelet }), Match::Yes);
        assert!(matches!(judged(&wants, InboundState::Closed { by: ClosedBy::Server }), Match::Near(_)));
        assert_eq!(judged(&wants, opened("n1:1")), Match::Other);
    }

    #[test]
    fn a_certificate_that_was_never_issued_is_not_shown() {
        let wants = Inbound { certificate: Some(1), ..any() };
        assert!(matches!(judged(&wants, opened("n1:1")), Match::Near(_)));
    }
}
