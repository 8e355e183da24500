//! Events, outcomes and durations in words.

use std::fmt::Write;

use tlsboot_core::check::{Outcome, Role};
use tlsboot_core::history::What;
use tlsboot_core::history::event::{
    Change, ClosedBy, ConnectionState, CsrEvent, FileEvent, FileOp, InboundState, Phase, ProcessEvent, ProcessState,
    ReachEvent, RecorderState, RequestEvent, Via,
};
use tlsboot_core::history::facts::CertificateFacts;

/// An outcome's name.
pub(super) fn outcome(outcome: Outcome) -> &'static str {
    outcome.word()
}

/// Outcomes, worst first.
pub(super) const OUTCOMES: [Outcome; 6] =
    [Outcome::Error, Outcome::Hang, Outcome::Fail, Outcome::Known, Outcome::Unsupported, Outcome::Pass];

/// Whether a person has to look at it.
pub(super) fn is_red(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Fail | Outcome::Hang | Outcome::Error)
}

/// A moment or a short time in seconds, as precisely as its size needs.
pub(super) fn seconds(seconds: f64) -> String {
    match seconds.abs() {
        size if size < 0.00995 => format!("{:.1} ms", seconds * 1000.0),
        size if size < 0.0995 => format!("{:.0} ms", seconds * 1000.0),
        size if size < 9.995 => format!("{seconds:.2} s"),
        size if size < 99.95 => format!("{seconds:.1} s"),
        _ => format!("{seconds:.0} s"),
    }
}

/// How long something took.
pub(super) fn duration(milliseconds: u64) -> String {
    let whole = milliseconds / 1000;
    match whole {
        0..120 => format!("{}.{} s", whole, milliseconds % 1000 / 100),
        120..7200 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// One of something, or many.
pub fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// The longest value that is shown in full.
pub(super) const LONGEST: usize = 400;

/// An untrusted value on one line: control characters are escaped, a very long text is truncated.
pub(super) fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for (index, letter) in text.chars().enumerate() {
        if index == LONGEST {
            clean.push('…');
            break;
        }
        tlsboot_core::plain::push(&mut clean, letter);
    }
    clean
}

/// An untrusted value in a table.
pub(super) fn value(text: &str) -> String {
    if text.is_empty() {
        return "(empty)".to_owned();
    }
    clean(text)
}

/// The first characters of a fingerprint.
pub(super) fn short(fingerprint: &str) -> &str {
    fingerprint.get(..8).unwrap_or(fingerprint)
}

/// What happened, on one line.
pub(super) fn event(what: &What) -> String {
    let text = match what {
        What::Begin(begin) => format!(
            "{} on {}: control plane {}, kubelets {}",
            begin.scenario, begin.target, begin.kubernetes, begin.kubelet
        ),
        What::Step(step) => match &step.phase {
            Phase::Begin => format!("`{}` begins", step.stimulus),
            Phase::Done { proof, answer } => {
                let answer = answer.as_ref().map(|answer| format!(", answered {}", answer.code)).unwrap_or_default();
                format!("`{}` took effect: {proof}{answer}", step.stimulus)
            }
            Phase::Failed { error } => format!("`{}` failed: {error}", step.stimulus),
        },
        What::Deadline(deadline) => format!("the time for step {} has run out", deadline.step),
        What::Ended(ended) => format!("the scenario was ended: {} is broken", clean(&ended.by)),
        What::Recorder(recorder) => match &recorder.state {
            RecorderState::Started => format!("recorder {} started", recorder.recorder),
            RecorderState::Gap(why) => format!("recorder {} may have missed events: {why}", recorder.recorder),
        },
        What::Signing(signing) => {
            format!("certificates are signed for {} s", signing.duration_seconds)
        }
        What::Kubelet(facts) => format!(
            "kubelet of {}: {}, rotateCertificates {}, serverTLSBootstrap {}",
            facts.node, facts.version, facts.rotate_certificates, facts.server_tls_bootstrap
        ),
        What::Csr(csr) => csr_text(csr),
        What::Request(request) => request_text(request),
        What::File(file) => file_text(file),
        What::Presented(presented) => match (presented.chain.first(), &presented.refused) {
            (_, Some(refused)) => format!("{}: no handshake: {refused}", presented.node),
            (Some(leaf), None) => format!("{} presents {}", presented.node, certificate(leaf)),
            (None, None) => format!("{} presents nothing", presented.node),
        },
        What::Process(process) => process_text(process),
        What::Connection(connection) => {
            let state = match connection.state {
                ConnectionState::Opened => "opened",
                ConnectionState::Closed { by } => closed(by),
                ConnectionState::Refused => "refused",
            };
            format!("connection {} of {} {state}", connection.id, connection.node)
        }
        What::Inbound(connection) => {
            let state = match &connection.state {
                InboundState::Opened { asked, certificate: Some(shown), .. } => {
                    format!("opened, as {asked}; the kubelet presents {}", short(shown))
                }
                InboundState::Opened { asked, refused, .. } => {
                    format!("opened, as {asked}; {}", refused.as_deref().unwrap_or("the kubelet presents nothing"))
                }
                InboundState::Closed { by } => closed(*by).to_owned(),
                InboundState::Refused { asked } => format!("refused, as {asked}"),
            };
            format!("connection {} of the API server to {} {state}", connection.id, connection.node)
        }
        What::Reach(reach) => reach_text(reach),
        What::Metrics(metrics) => {
            let mut text = metrics.component.clone();
            for (name, value) in &metrics.values {
                // writing to a String cannot fail
                let _ = write!(text, " {name}={value}");
            }
            text
        }
        What::Node(node) => {
            format!(
                "Node {} {}, Ready {}",
                node.node,
                change(node.change),
                node.ready.as_deref().unwrap_or("not reported")
            )
        }
        What::Log(log) => format!("{}: {}", log.component, log.line),
        What::Looked(looked) => {
            let recorders: Vec<String> = looked.at.keys().map(ToString::to_string).collect();
            format!("recorders have looked: {}", recorders.join(", "))
        }
        What::Load(load) => format!(
            "the cluster's processes have worked for {:.1} s and waited for a processor for {:.1} s",
            load.worked_ms as f64 / 1000.0,
            load.waited_ms as f64 / 1000.0
        ),
    };
    clean(&text)
}

fn closed(by: ClosedBy) -> &'static str {
    match by {
        ClosedBy::Kubelet => "closed by the kubelet",
        ClosedBy::Server => "closed by the API server",
        ClosedBy::Link => "closed by the link",
    }
}

fn reach_text(reach: &ReachEvent) -> String {
    let way = match reach.via {
        Via::ApiServer => " through the API server",
        Via::Port => "",
    };
    let code = reach.code.map_or("not answered".to_owned(), |code| format!("answered {code}"));
    let why = if reach.message.is_empty() { String::new() } else { format!(": {}", reach.message) };
    let took = reach.millis;
    format!("/{} of {}{way} {code}{why} ({took} ms)", reach.path, reach.node)
}

fn change(change: Change) -> &'static str {
    match change {
        Change::Added => "added",
        Change::Modified => "modified",
        Change::Deleted => "deleted",
    }
}

/// How far a CSR has come.
pub(super) fn csr_state(csr: &CsrEvent) -> String {
    let has = |kind: &str| csr.conditions.iter().any(|condition| condition.kind == kind);
    let state = match () {
        () if has("Denied") => "denied",
        () if has("Failed") => "failed",
        () if !csr.certificates.is_empty() => "issued",
        () if has("Approved") => "approved",
        () => "pending",
    };
    if csr.change == Change::Deleted { format!("{state}, deleted") } else { state.to_owned() }
}

/// The requested certificate: `client of n1`.
pub(super) fn csr_subject(csr: &CsrEvent) -> String {
    let role = role(&csr.signer_name).unwrap_or(&csr.signer_name);
    let subject = csr.request.subject.common_name.as_deref().unwrap_or("(no CN)");
    format!("{role} of {}", csr.node().unwrap_or(subject))
}

/// `client` or `serving`, for the kubelet's two signers.
pub(super) fn role(signer_name: &str) -> Option<&'static str> {
    match signer_name {
        name if name == Role::Client.signer_name() => Some("client"),
        name if name == Role::Serving.signer_name() => Some("serving"),
        _ => None,
    }
}

fn csr_text(csr: &CsrEvent) -> String {
    format!("{} ({}) by {}: {}", csr.name, csr_subject(csr), csr.username, csr_state(csr))
}

fn request_text(request: &RequestEvent) -> String {
    let who = request.user.as_deref().unwrap_or("unauthenticated");
    let mut what = match request.resource.as_str() {
        "" => request.path.clone(),
        resource => resource.to_owned(),
    };
    for part in [&request.subresource, &request.name] {
        if !part.is_empty() {
            what = format!("{what}/{part}");
        }
    }
    let node = request.node.as_ref().map(|node| format!("{node}: ")).unwrap_or_default();
    let mut text = format!("{node}{who} {} {what} → {}", request.verb, request.code);
    if !request.reason.is_empty() {
        text = format!("{text} {}", request.reason);
    }
    text
}

fn file_text(file: &FileEvent) -> String {
    let mut text = format!("{}: {} {}", file.node, file.name, file_op(file.op));
    if let Some(facts) = &file.facts {
        text = format!("{text}, mode {}", facts.mode);
        if let Some(target) = &facts.target {
            text = format!("{text}, → {target}");
        }
        if let Some(leaf) = facts.pem.iter().find_map(|block| block.certificate.as_ref()) {
            text = format!("{text}, holds {}", certificate(leaf));
        }
    }
    text
}

/// What happened to a name.
pub(super) fn file_op(op: FileOp) -> &'static str {
    match op {
        FileOp::Present => "already existed",
        FileOp::Created => "created",
        FileOp::Modified => "written",
        FileOp::Attributes => "attributes changed",
        FileOp::MovedFrom => "moved away",
        FileOp::MovedTo => "moved here",
        FileOp::Deleted => "deleted",
    }
}

/// A short description of a certificate.
pub(super) fn certificate(leaf: &CertificateFacts) -> String {
    format!(
        "{} (sha256 {}, until {})",
        leaf.subject.common_name.as_deref().unwrap_or("a certificate without CN"),
        short(&leaf.sha256),
        leaf.not_after
    )
}

fn process_text(process: &ProcessEvent) -> String {
    let whose = process.node.as_ref().map(|node| format!(" of {node}")).unwrap_or_default();
    format!("{}{whose}, pid {}, {}", process.component, process.pid, process_state(&process.state))
}

/// The state of a process.
pub(super) fn process_state(state: &ProcessState) -> String {
    let ProcessState::Exited { code, signal, asked } = state else {
        return "started".to_owned();
    };
    let how = match (code, signal) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    };
    format!("{how}{}", if *asked { ", as asked" } else { " on its own" })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(0.0004, "0.4 ms")]
    #[case(0.042, "42 ms")]
    #[case(0.0999, "0.10 s")]
    #[case(3.2141, "3.21 s")]
    #[case(42.46, "42.5 s")]
    #[case(132.4, "132 s")]
    fn moments(#[case] value: f64, #[case] text: &str) {
        assert_eq!(seconds(value), text);
    }

    #[rstest]
    #[case(950, "0.9 s")]
    #[case(119_900, "119.9 s")]
    #[case(192_000, "3 min 12 s")]
    #[case(7_260_000, "2 h 1 min")]
    fn lengths(#[case] value: u64, #[case] text: &str) {
        assert_eq!(duration(value), text);
    }

    #[test]
    fn a_log_cannot_steer_a_terminal() {
        assert_eq!(clean("a\x1b[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
        assert_eq!(clean(&"x".repeat(1000)).chars().count(), LONGEST + 1);
    }
}
