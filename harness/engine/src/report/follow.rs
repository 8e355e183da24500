//! What happens in a cluster, one line for each change that matters to a person who watches.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::words;
use tlsboot_core::check::rules::Rules;
use tlsboot_core::history::event::{CsrEvent, Event, FileEvent, ProcessState, RecorderState, What};

/// Describes a history as it grows: each change once.
#[derive(Debug)]
pub struct Follow {
    rules: Rules,
    zone: TimeZone,
    said: BTreeMap<String, String>,
}

impl Follow {
    /// For these versions, with times in this zone.
    pub fn new(rules: Rules, zone: TimeZone) -> Self {
        Self { rules, zone, said: BTreeMap::new() }
    }

    /// The description of the next event, if there is one.
    pub fn line(&mut self, event: &Event) -> Option<String> {
        let (thing, text) = self.tell(&event.what)?;
        if self.said.insert(thing, text.clone()).as_ref() == Some(&text) {
            return None;
        }
        Some(format!("{}  {}", self.time(event.at), words::clean(&text)))
    }

    /// What an event is about, and its new state.
    fn tell(&self, what: &What) -> Option<(String, String)> {
        let general = || words::event(what);
        match what {
            What::Csr(csr) => Some((csr.uid.clone(), self.csr(csr))),
            What::File(file) => link(file),
            What::Presented(presented) => match &presented.refused {
                // Nothing is listening: the process' own lines say why.
                Some(refused) if !refused.contains("alert") => None,
                _ => Some((format!("port of {}", presented.node), general())),
            },
            What::Node(node) => {
                let thing = format!("Node {}", node.node);
                let ready = node.ready.as_deref().unwrap_or("not reported");
                Some((thing.clone(), format!("{thing}: Ready {ready}")))
            }
            What::Process(process) => match process.state {
                ProcessState::Exited { asked: true, .. } => None,
                _ => Some((format!("{} {:?}", process.component, process.node), general())),
            },
            What::Request(request)
                if request.code >= 400
                    && request.verb == "create"
                    && request.resource == "certificatesigningrequests" =>
            {
                Some((request.audit_id.clone(), general()))
            }
            What::Recorder(recorder) if matches!(recorder.state, RecorderState::Gap(_)) => {
                Some((recorder.recorder.to_string(), general()))
            }
            _ => None,
        }
    }

    fn csr(&self, csr: &CsrEvent) -> String {
        let state = words::csr_state(csr);
        let text = format!("{}, {}, requested by {}: {state}", csr.name, words::csr_subject(csr), csr.username);
        match csr.certificates.first() {
            Some(leaf) if state == "issued" => {
                let (from, to) = self.rules.rotation_window(leaf.not_before, leaf.not_after);
                format!(
                    "{text} until {}, renewal due from {} to {}",
                    self.time(leaf.not_after),
                    self.time(from),
                    self.time(to)
                )
            }
            _ => text,
        }
    }

    fn time(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%H:%M:%S").to_string()
    }
}

/// Where the link to the current certificate points.
fn link(file: &FileEvent) -> Option<(String, String)> {
    let target = file.facts.as_ref()?.target.as_ref()?;
    let target = target.rsplit('/').next().unwrap_or(target);
    let thing = format!("{}: {}", file.node, file.name);
    let text = format!("{thing} → {target}");
    file.name.ends_with("-current.pem").then_some((thing, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;
    use tlsboot_core::version::Version;

    #[test]
    fn each_change_is_said_once() {
        let version = Version::new(1, 37, 2);
        let mut follow = Follow::new(Rules::new(version, version), TimeZone::UTC);
        let (_, evidence) = fixture::rotating();
        let events = &evidence.events;
        let once: Vec<String> = events.iter().filter_map(|event| follow.line(event)).collect();
        assert!(
            once.iter().any(|line| line.contains("issued until") && line.contains("renewal due from")),
            "{once:#?}"
        );
        assert!(
            once.iter().any(|line| line.contains("kubelet-client-current.pem → kubelet-client-01.pem")),
            "{once:#?}"
        );
        let csrs = once.iter().filter(|line| line.contains("requested by") && line.contains("pending"));
        let names: Vec<&str> = csrs.filter_map(|line| line.split([' ', ',']).nth(2)).collect();
        let mut different = names.clone();
        different.dedup();
        assert_eq!(names, different);
    }
}
