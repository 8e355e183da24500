//! The lane of the kubelets' ports in use.

use std::collections::BTreeMap;

use super::lanes::{connection_rows, named, tooltip};
use super::shape::{Glyph, Lane, Row, Scale, Shape, gather};
use crate::report::Evidence;
use tlsboot_core::history::What;
use tlsboot_core::history::event::{InboundState, Via};

/// Requests to each kubelet by what came of them, and the API server's connections to it.
pub(super) fn reached(evidence: &Evidence, scale: Scale) -> Lane {
    let mut requests: BTreeMap<String, Vec<Shape>> = BTreeMap::new();
    let mut open: BTreeMap<(&str, u64), Shape> = BTreeMap::new();
    let mut connections: BTreeMap<&str, Vec<Shape>> = BTreeMap::new();
    for event in &evidence.events {
        let now = evidence.seconds(event.at);
        match &event.what {
            What::Reach(reach) => {
                let way = match reach.via {
                    Via::ApiServer => &reach.node,
                    Via::Port => &format!("{}, its port", reach.node),
                };
                let class = match reach.code {
                    _ if reach.succeeded() => "pass",
                    Some(401) => "fail",
                    Some(403) => "hang",
                    _ => "error",
                };
                let mark = Shape::mark(now, Glyph::Circle, class, tooltip(evidence, event));
                requests.entry(way.clone()).or_default().push(mark);
            }
            What::Inbound(connection) => {
                let key = (connection.node.as_str(), connection.id);
                let shapes = connections.entry(&connection.node).or_default();
                match &connection.state {
                    InboundState::Opened { .. } => {
                        let bar = Shape::bar(now, scale.end, "open", tooltip(evidence, event));
                        open.insert(key, bar.text(connection.id.to_string()));
                    }
                    InboundState::Closed { .. } => {
                        if let Some(bar) = open.remove(&key) {
                            let title = format!("{}\n{}", bar.title, tooltip(evidence, event));
                            shapes.push(Shape { to: now, title, ..bar });
                        }
                    }
                    InboundState::Refused { .. } => {
                        shapes.push(Shape::mark(now, Glyph::Cross, "fail", tooltip(evidence, event)));
                    }
                }
            }
            _ => {}
        }
    }
    for ((node, _), bar) in open {
        connections.entry(node).or_default().push(bar);
    }
    let requests: BTreeMap<&str, Vec<Shape>> =
        requests.iter().map(|(way, marks)| (way.as_str(), gather(marks.clone(), scale))).collect();
    let rows = named(requests).into_iter();
    let connections = connections.into_iter().flat_map(|(node, shapes)| {
        let rows = connection_rows(node, shapes, scale).into_iter().enumerate();
        let label = move |index| if index == 0 { format!("{node}, connections") } else { " ".to_owned() };
        rows.map(move |(index, row)| Row { label: label(index), ..row })
    });
    Lane { title: "Reached from the API server", rows: rows.chain(connections).collect() }
}
