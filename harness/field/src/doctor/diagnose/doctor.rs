//! What all subjects share: the findings as they are collected, and how names and times are written in them.

use jiff::{SignedDuration, Timestamp};
use tlsboot_core::history::facts::Name;

use super::{Finding, Grade};
use crate::doctor::remedy::Remedy;
use crate::doctor::snapshot::Snapshot;

/// The built-in approver and signer take milliseconds (catalogue S-10); a CSR that is pending for so long is pending for
/// another reason.
pub const PATIENCE: SignedDuration = SignedDuration::from_secs(10);

pub(super) struct Doctor<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) findings: Vec<Finding>,
    pub(super) unknown: Vec<String>,
}

impl<'a> Doctor<'a> {
    pub(super) fn new(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, findings: Vec::new(), unknown: Vec::new() }
    }

    pub(super) fn find(
        &mut self,
        id: &'static str,
        grade: Grade,
        about: impl IntoIterator<Item = String>,
        says: impl Into<String>,
        remedies: impl IntoIterator<Item = Remedy>,
    ) {
        let mut about: Vec<String> = about.into_iter().collect();
        let count = about.len();
        about.truncate(ABOUT);
        let remedies = remedies.into_iter().collect();
        self.findings.push(Finding { id, grade, count, about, says: says.into(), remedies, look: Vec::new() });
    }

    /// The remedies of earlier findings, which have to come first.
    pub(super) fn remedies_of(&self, ids: &[&str]) -> Vec<Remedy> {
        let findings = self.findings.iter().filter(|finding| ids.contains(&finding.id));
        findings.flat_map(|finding| finding.remedies.iter().cloned()).collect()
    }

    /// Where to look for more about the last finding.
    pub(super) fn look(&mut self, command: String) {
        if let Some(last) = self.findings.last_mut() {
            last.look.push(command);
        }
    }
}

/// How many names a finding lists.
const ABOUT: usize = 100;

/// The first three of some names, and how many more there are.
pub(super) fn sample(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// As people read it: to the second, in UTC.
pub(in crate::doctor) fn short(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// A subject or an issuer in one word.
pub(super) fn name_of(name: &Name) -> String {
    name.common_name.clone().unwrap_or_else(|| name.organizations.join(","))
}
