//! Node objects, as the API shows them.

use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};

use super::Sink;
use super::watch::{Recorded, record};
use crate::task::Task;
use tlsboot_core::history::What;
use tlsboot_core::history::event::{Change, NodeEvent, Recorder};

/// Records every Node, and each change of its condition Ready or its IP addresses. Reports that it has started when the
/// first list has been read and the watch is open.
pub fn watch(client: Client, sink: Sink) -> Task {
    let api: Api<Node> = Api::all(client);
    Task::spawn(record(api, sink))
}

impl Recorded for Node {
    const RECORDER: Recorder = Recorder::Node;

    fn event(&self, change: Change, before: Option<&Self>) -> Option<What> {
        let event = node_event(self, change);
        let same = before.is_some_and(|before| node_event(before, change) == event);
        (change == Change::Deleted || !same).then_some(What::Node(event))
    }

    /// Heartbeats change a Node all the time; only the recorded fields count.
    fn may_skip(&self, before: Option<&Self>) -> bool {
        before.is_some() && self.event(Change::Modified, before).is_some()
    }
}

fn node_event(node: &Node, change: Change) -> NodeEvent {
    let status = node.status.clone().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready");
    let addresses = status.addresses.unwrap_or_default().into_iter();
    NodeEvent {
        change,
        node: node.metadata.name.clone().unwrap_or_default(),
        ready: ready.map(|ready| ready.status),
        addresses: addresses
            .filter(|address| matches!(address.type_.as_str(), "InternalIP" | "ExternalIP"))
            .filter_map(|address| address.address.parse().ok())
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(ready: &str, heartbeat: &str) -> Node {
        serde_json::from_value(json!({
            "metadata": {"name": "n1"},
            "status": {
                "conditions": [{"type": "Ready", "status": ready, "lastHeartbeatTime": heartbeat}],
                "addresses": [{"type": "InternalIP", "address": "192.0.2.2"}, {"type": "Hostname", "address": "n1"}],
            },
        }))
        .unwrap()
    }

    #[test]
    fn heartbeats_are_no_events() {
        let first = node("False", "2026-01-01T00:00:00Z");
        let later = node("False", "2026-01-01T00:00:10Z");
        let ready = node("True", "2026-01-01T00:00:20Z");
        let Some(What::Node(event)) = first.event(Change::Added, None) else {
            panic!("a new node is an event");
        };
        assert_eq!((event.ready.as_deref(), event.addresses.len()), (Some("False"), 1));
        assert_eq!(later.event(Change::Modified, Some(&first)), None);
        assert!(ready.event(Change::Modified, Some(&later)).is_some());
        assert!(later.event(Change::Deleted, Some(&later)).is_some());
    }
}
