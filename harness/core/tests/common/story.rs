//! Histories that are written by hand, with events at whole seconds.

use serde_json::{Value, json};
use tlsboot_core::history::{Event, parse};

/// Events at whole seconds.
pub(crate) fn story(kubernetes: &str, events: &[(u64, Value)]) -> Vec<Event> {
    let begin = json!({"begin": {"format": 1, "tlsboot": "0", "scenario": "files.never", "scenarioSha256": "", "target": "local",
        "kubernetes": kubernetes, "kubelet": kubernetes}});
    let recorder = |name: &str| json!({"recorder": {"recorder": name, "state": "started"}});
    let head = [(0, begin), (0, recorder("files")), (0, recorder("process"))];
    let text: String = head
        .iter()
        .chain(events)
        .enumerate()
        .map(|(seq, (second, what))| {
            let at = format!("2026-11-24T00:00:{second:02}Z");
            format!("{}\n", json!({"seq": seq, "at": at, "seen": at, "mono": second * 1_000_000, "what": what}))
        })
        .collect();
    parse(&text).unwrap()
}

pub(crate) fn step(index: usize, phase: Value) -> Value {
    json!({"step": {"index": index, "stimulus": "x", "phase": phase}})
}

pub(crate) fn done() -> Value {
    json!({"done": {"proof": "seen"}})
}

pub(crate) fn file(name: &str, op: &str) -> Value {
    let mut file = json!({"node": "n1", "name": name, "op": op});
    if op != "deleted" {
        let mode = if name == "kubelet.key" { "0600" } else { "0644" };
        file["facts"] = json!({"kind": "file", "mode": mode, "uid": 0, "size": 1});
    }
    json!({ "file": file })
}

pub(crate) fn log() -> Value {
    json!({"log": {"component": "kubelet", "node": "n1", "line": "certificate"}})
}

pub(crate) fn kubelet(state: Value) -> Value {
    json!({"process": {"component": "kubelet", "node": "n1", "pid": 7, "state": state}})
}
