//! The lanes of certificates: their lifetimes, their files, and what is presented.

use std::collections::BTreeMap;

use super::lanes::{named, tooltip};
use super::shape::{Form, Glyph, Lane, Row, Scale, Shape, gather};
use crate::report::{Evidence, words};
use tlsboot_core::check::State;
use tlsboot_core::history::What;
use tlsboot_core::history::event::{CsrEvent, FileEvent, FileOp};
use tlsboot_core::history::facts::CertificateFacts;

/// More certificates than this are only counted.
const MOST_CERTIFICATES: usize = 12;

/// An issued certificate.
struct Issued<'a> {
    certificate: &'a CertificateFacts,
    /// `client 1 of n1`.
    name: String,
    at: f64,
}

/// Each certificate from NotBefore to NotAfter, with the window in which a kubelet renews it and the time in which it
/// was in use.
pub(super) fn lifetimes(evidence: &Evidence, scale: Scale) -> Lane {
    let issued = issued(evidence);
    let uses = uses(evidence, scale);
    let mut rows: Vec<Row> = issued
        .iter()
        .take(MOST_CERTIFICATES)
        .map(|issued| Row {
            label: issued.name.clone(),
            shapes: lifetime(evidence, scale, issued, uses.get(issued.certificate.sha256.as_str())),
        })
        .collect();
    if issued.len() > MOST_CERTIFICATES {
        let rest = issued[MOST_CERTIFICATES..].iter().map(|issued| {
            let title = format!("{}: {}", issued.name, words::certificate(issued.certificate));
            Shape::mark(issued.at, Glyph::Circle, "life", title)
        });
        let label = format!("and {} more", issued.len() - MOST_CERTIFICATES);
        rows.push(Row { label, shapes: gather(rest.collect(), scale) });
    }
    Lane { title: "Certificates", rows }
}

/// In the order of issue, numbered by node and role.
fn issued(evidence: &Evidence) -> Vec<Issued<'_>> {
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    let mut issued: Vec<Issued<'_>> = Vec::new();
    for event in &evidence.events {
        let What::Csr(csr) = &event.what else {
            continue;
        };
        let Some(certificate) = csr.certificates.first() else {
            continue;
        };
        if issued.iter().any(|known| known.certificate.sha256 == certificate.sha256) {
            continue;
        }
        let number = numbers.entry(words::csr_subject(csr)).or_default();
        *number += 1;
        issued.push(Issued { certificate, name: name(csr, *number), at: evidence.seconds(event.at) });
    }
    issued
}

fn name(csr: &CsrEvent, number: usize) -> String {
    match words::csr_subject(csr).split_once(' ') {
        Some((role, of)) => format!("{role} {number} {of}"),
        None => number.to_string(),
    }
}

fn lifetime(evidence: &Evidence, scale: Scale, issued: &Issued<'_>, uses: Option<&Vec<(f64, f64)>>) -> Vec<Shape> {
    let certificate = issued.certificate;
    let (from, to) = (evidence.seconds(certificate.not_before), evidence.seconds(certificate.not_after));
    let title = format!(
        "{} ({})\nissued at {}\nNotBefore {} ({} from the start)\nNotAfter {} ({} from the start)",
        issued.name,
        words::certificate(certificate),
        words::seconds(issued.at),
        certificate.not_before,
        words::seconds(from),
        certificate.not_after,
        words::seconds(to)
    );
    let text = format!("{} until {}", words::short(&certificate.sha256), words::seconds(to));
    // Until it was issued it was only nominally valid: signers backdate certificates (catalogue S-05).
    let mut shapes = vec![
        Shape::bar(from, issued.at, "backdated", title.clone()),
        Shape::bar(issued.at, to, "life", title).text(text),
    ];
    let due = window(evidence, certificate);
    if let Some((early, late)) = due.filter(|(early, late)| *early < scale.end && *late > 0.0) {
        let title = format!(
            "70 % to 90 % of its lifetime: renewal is due from {} to {}",
            words::seconds(early),
            words::seconds(late)
        );
        shapes.push(Shape::bar(early, late, "window", title).form(Form::Band));
    }
    for (from, to) in uses.into_iter().flatten() {
        let title = format!("{} in use from {} to {}", issued.name, words::seconds(*from), words::seconds(*to));
        shapes.push(Shape::bar(*from, *to, "use", title).form(Form::Foot));
    }
    shapes.push(Shape::mark(issued.at, Glyph::Diamond, "life", format!("issued at {}", words::seconds(issued.at))));
    shapes
}

fn window(evidence: &Evidence, certificate: &CertificateFacts) -> Option<(f64, f64)> {
    let mut state = State::default();
    state.apply(evidence.events.first()?);
    let (early, late) = state.rules()?.rotation_window(certificate.not_before, certificate.not_after);
    Some((evidence.seconds(early), evidence.seconds(late)))
}

/// When each certificate (by SHA-256) was the one that a `…-current.pem` pointed to.
fn uses(evidence: &Evidence, scale: Scale) -> BTreeMap<String, Vec<(f64, f64)>> {
    let mut uses: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for link in links(evidence, scale) {
        if let Some(sha256) = link.sha256 {
            uses.entry(sha256).or_default().push((link.from, link.to));
        }
    }
    uses
}

/// A time in which a node's link `…-current.pem` pointed to one target, or did not exist.
struct LinkSpan {
    node: String,
    name: String,
    from: f64,
    to: f64,
    /// `None` if there was no link.
    target: Option<String>,
    sha256: Option<String>,
}

fn links(evidence: &Evidence, scale: Scale) -> Vec<LinkSpan> {
    let mut spans: Vec<LinkSpan> = Vec::new();
    for event in &evidence.events {
        let What::File(file) = &event.what else {
            continue;
        };
        if !is_link(file) {
            continue;
        }
        let now = evidence.seconds(event.at);
        let facts = file.facts.as_ref().filter(|_| !matches!(file.op, FileOp::Deleted | FileOp::MovedFrom));
        let span = LinkSpan {
            node: file.node.clone(),
            name: file.name.clone(),
            from: now,
            to: scale.end,
            target: facts.map(|facts| facts.target.clone().unwrap_or_else(|| "a regular file".into())),
            sha256: facts
                .and_then(|facts| Some(facts.pem.iter().find_map(|block| block.certificate.as_ref())?.sha256.clone())),
        };
        match spans.iter_mut().rev().find(|known| known.node == span.node && known.name == span.name) {
            Some(before) if before.target == span.target && before.sha256 == span.sha256 => {}
            Some(before) => {
                before.to = now;
                spans.push(span);
            }
            None => spans.push(span),
        }
    }
    spans
}

fn is_link(file: &FileEvent) -> bool {
    file.name.ends_with("-current.pem")
}

/// The links of each node and the gaps between them, and what else happened in its directory.
pub(super) fn files(evidence: &Evidence, scale: Scale) -> Lane {
    let mut rows: BTreeMap<String, Vec<Shape>> = BTreeMap::new();
    for span in links(evidence, scale) {
        let took = words::seconds(span.to - span.from);
        let shape = match &span.target {
            Some(target) => {
                let title = format!(
                    "{} → {target} from {} to {}",
                    span.name,
                    words::seconds(span.from),
                    words::seconds(span.to)
                );
                Shape::bar(span.from, span.to, "link", title).text(format!("→ {}", stamp(target)))
            }
            None => Shape::bar(
                span.from,
                span.to,
                "fail",
                format!("{}: no link for {took} from {}", span.name, words::seconds(span.from)),
            ),
        };
        let label = format!("{} {}", span.node, span.name.trim_end_matches(".pem").trim_start_matches("kubelet-"));
        rows.entry(label).or_default().push(shape);
    }
    let mut others: BTreeMap<String, Vec<Shape>> = BTreeMap::new();
    for event in &evidence.events {
        let What::File(file) = &event.what else {
            continue;
        };
        let (glyph, class) = match file.op {
            FileOp::Present | FileOp::Attributes => (Glyph::Circle, "neutral"),
            FileOp::Created => (Glyph::Triangle, "pass"),
            FileOp::Modified => (Glyph::Circle, "approved"),
            FileOp::MovedFrom | FileOp::MovedTo => (Glyph::Diamond, "pending"),
            FileOp::Deleted => (Glyph::Cross, "fail"),
        };
        let mark = Shape::mark(evidence.seconds(event.at), glyph, class, tooltip(evidence, event));
        others.entry(format!("{} changes", file.node)).or_default().push(mark);
    }
    let links = rows.into_iter().map(|(label, shapes)| Row { label, shapes });
    let changes = others.into_iter().map(|(label, marks)| Row { label, shapes: gather(marks, scale) });
    Lane { title: "Files", rows: links.chain(changes).collect() }
}

/// The part of a file's name that distinguishes it from the others.
fn stamp(target: &str) -> &str {
    let name = target.rsplit('/').next().unwrap_or(target);
    name.trim_start_matches("kubelet-client-").trim_start_matches("kubelet-server-").trim_end_matches(".pem")
}

/// What each kubelet presents on its port.
pub(super) fn presented(evidence: &Evidence, scale: Scale) -> Lane {
    let mut rows: BTreeMap<&str, Vec<Shape>> = BTreeMap::new();
    for event in &evidence.events {
        let What::Presented(presented) = &event.what else {
            continue;
        };
        let now = evidence.seconds(event.at);
        let bars = rows.entry(&presented.node).or_default();
        if let Some(bar) = bars.last_mut() {
            bar.to = now;
        }
        let (class, text) = match (presented.chain.first(), &presented.refused) {
            (Some(leaf), None) => ("life", words::short(&leaf.sha256).to_owned()),
            (_, Some(refused)) => ("fail", words::clean(refused)),
            (None, None) => ("neutral", "nothing".into()),
        };
        bars.push(Shape::bar(now, scale.end, class, tooltip(evidence, event)).text(text));
    }
    Lane { title: "Presented", rows: named(rows) }
}
