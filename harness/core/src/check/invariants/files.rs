//! I-04: what a kubelet wrote stays as it is, and its links lead to the newest certificate (catalogue K-12 to K-17).

use jiff::SignedDuration;

use super::Finding;
use super::story::{Change, Machine, Story, current, leaf};
use crate::check::Role;
use crate::history::event::{FileFacts, FileKind, FileOp};
use crate::history::facts::PemBlock;
use crate::time::Shift;

/// Between the removal of a link and the rename that brings the new one lie two system calls (catalogue K-16): the rest
/// is for a machine that has a lot to do.
const SWAP: SignedDuration = SignedDuration::from_secs(2);

const KUBECONFIG: &str = "kubeconfig";
const SELF_SIGNED_KEY: &str = "kubelet.key";
/// The key of a bootstrap that is not over; the kubelet removes it afterwards (catalogue K-11).
const BOOTSTRAP_KEY: &str = "kubelet-client.key.tmp";

pub(super) fn judge(story: &Story<'_>, finding: &mut Finding) {
    for machine in story.machines.values() {
        let own = |change: &&Change<'_>| !change.by_tlsboot;
        for (place, change) in machine.files.iter().enumerate().filter(|(_, change)| own(change)) {
            finding.look();
            let after = &machine.files[place.saturating_add(1)..];
            let before = &machine.files[..place];
            let scene = Scene { story, machine, change, before, after };
            if let Some(wrong) = scene.wrong(finding) {
                finding.violate(change.event, format!("{} on {}: {wrong}", change.file.name, change.file.node));
            }
        }
    }
}

/// A change, with what came before and after it on the same machine.
struct Scene<'s, 'a> {
    story: &'s Story<'a>,
    machine: &'s Machine<'a>,
    change: &'s Change<'a>,
    before: &'s [Change<'a>],
    after: &'s [Change<'a>],
}

impl Scene<'_, '_> {
    fn wrong(&self, finding: &mut Finding) -> Option<String> {
        let file = self.change.file;
        let (name, facts) = (file.name.as_str(), file.facts.as_ref());
        match file.op {
            FileOp::Deleted | FileOp::MovedFrom => self.gone(finding),
            _ if is_updated(name) => self.left_over(finding),
            FileOp::MovedTo if is_current(name) => facts.and_then(|facts| self.link(facts)),
            _ if is_dated(name) || name == KUBECONFIG || name == SELF_SIGNED_KEY => {
                let wrong = facts.and_then(|facts| self.content(facts))?;
                match self.next() {
                    // It is being written.
                    Some(next) if next.event.at <= self.change.event.at.later(SWAP) => None,
                    _ if self.is_last() => {
                        finding.open();
                        None
                    }
                    _ => Some(wrong),
                }
            }
            _ => None,
        }
    }

    /// Nothing that a kubelet wrote goes away, but for what is only there for a moment.
    fn gone(&self, finding: &mut Finding) -> Option<String> {
        let name = self.change.file.name.as_str();
        if is_updated(name) || name == BOOTSTRAP_KEY {
            return None;
        }
        if is_current(name) {
            // A regular file in place of the link, from an upgrade or an administrator, is renamed (catalogue K-15).
            let was_a_file =
                self.last().and_then(|last| last.file.facts.as_ref()).is_some_and(|facts| facts.kind == FileKind::File);
            let back = self.next_of(&[FileOp::MovedTo, FileOp::Created]);
            return match back {
                Some(next) if next.event.at <= self.change.event.at.later(SWAP) || was_a_file => None,
                None if self.is_last() => {
                    finding.open();
                    None
                }
                _ => Some("the link was removed, and no other one came in its place".into()),
            };
        }
        Some("it was removed without being asked for".into())
    }

    /// The new link is renamed at once.
    fn left_over(&self, finding: &mut Finding) -> Option<String> {
        let gone = self.next_of(&[FileOp::MovedFrom, FileOp::Deleted]);
        match gone {
            Some(next) if next.event.at <= self.change.event.at.later(SWAP) => None,
            None if self.is_last() => {
                finding.open();
                None
            }
            _ => Some("the new link was not renamed".into()),
        }
    }

    fn link(&self, facts: &FileFacts) -> Option<String> {
        if facts.kind != FileKind::Link {
            return Some(format!("it is a {}, not a link", facts.kind.word()));
        }
        if let Some(wrong) = wrong_pair(&facts.pem) {
            return Some(wrong);
        }
        let role = role_of(&self.change.file.name)?;
        let written = |change: &&Change<'_>| {
            is_dated(&change.file.name) && role_of(&change.file.name) == Some(role) && change.file.op != FileOp::Deleted
        };
        let newest =
            self.before.iter().rev().filter(written).find_map(|change| leaf(&change.file.facts.as_ref()?.pem))?;
        let (shown, found) = (leaf(&facts.pem)?, newest);
        (shown.sha256 != found.sha256 && shown.not_before < found.not_before).then(|| {
            format!("it leads to the certificate {:.8}, and a newer one was written: {:.8}", shown.sha256, found.sha256)
        })
    }

    fn content(&self, facts: &FileFacts) -> Option<String> {
        let name = self.change.file.name.as_str();
        if facts.kind == FileKind::File && facts.mode != "0600" {
            return Some(format!("its mode is {}, not 0600", facts.mode));
        }
        match name {
            KUBECONFIG => self.kubeconfig(facts),
            SELF_SIGNED_KEY => None,
            _ => wrong_pair(&facts.pem).or_else(|| self.rewritten(facts)),
        }
    }

    /// A pair that was complete does not change any more.
    fn rewritten(&self, facts: &FileFacts) -> Option<String> {
        let before = self.last().filter(|last| !last.by_tlsboot)?.file.facts.as_ref()?;
        let is_other = wrong_pair(&before.pem).is_none() && before.pem != facts.pem;
        // A file name has the time in seconds: two certificates of the same second have the same one.
        let is_new = |sha256: &str| {
            let others = self.before.iter().filter(|change| is_dated(&change.file.name));
            let others = others.filter(|change| change.file.name != self.change.file.name);
            let mut elsewhere = others.filter_map(|change| leaf(&change.file.facts.as_ref()?.pem));
            self.story.issued.contains_key(sha256) && !elsewhere.any(|known| known.sha256 == sha256)
        };
        (is_other && !is_new(&leaf(&facts.pem)?.sha256)).then(|| "its content changed after it had been written".into())
    }

    /// What a kubelet writes after its bootstrap points to the link (catalogue K-12).
    fn kubeconfig(&self, facts: &FileFacts) -> Option<String> {
        let found = facts.kubeconfig.as_ref()?;
        if let Some(error) = &found.error {
            return Some(format!("it cannot be read: {error}"));
        }
        let link = format!("{}/{}", self.machine.starts.last()?.1.cert_dir, current(Role::Client));
        let leads = |path: &Option<String>| path.as_deref() == Some(link.as_str());
        (!leads(&found.client_certificate) || !leads(&found.client_key))
            .then(|| format!("its user does not have certificate and key from {link}"))
    }

    /// The next change of this kind of the same file.
    fn next_of(&self, ops: &[FileOp]) -> Option<&Change<'_>> {
        self.after.iter().find(|other| other.file.name == self.change.file.name && ops.contains(&other.file.op))
    }

    fn next(&self) -> Option<&Change<'_>> {
        self.after.iter().find(|other| other.file.name == self.change.file.name)
    }

    fn last(&self) -> Option<&Change<'_>> {
        self.before.iter().rev().find(|other| other.file.name == self.change.file.name)
    }

    /// Whether the history ends before this must be over.
    fn is_last(&self) -> bool {
        self.story.end < self.change.event.at.later(SWAP)
    }
}

fn wrong_pair(pem: &[PemBlock]) -> Option<String> {
    let key = pem.iter().find_map(|block| block.private_key.as_ref());
    match (leaf(pem), key) {
        (Some(certificate), Some(key)) if certificate.key.spki_sha256 == key.spki_sha256 => None,
        (Some(_), Some(_)) => Some("certificate and key do not belong together".into()),
        (None, Some(_)) => Some("there is no certificate in it".into()),
        (Some(_), None) => Some("there is no key in it".into()),
        (None, None) => Some("there is neither certificate nor key in it".into()),
    }
}

fn role_of(name: &str) -> Option<Role> {
    [Role::Client, Role::Serving].into_iter().find(|role| name.starts_with(role.file_prefix()))
}

fn is_current(name: &str) -> bool {
    [Role::Client, Role::Serving].into_iter().any(|role| name == current(role))
}

fn is_updated(name: &str) -> bool {
    role_of(name).is_some_and(|role| name == format!("{}-updated.pem", role.file_prefix()))
}

/// `kubelet-client-2026-11-24-04-22-17.pem`: a pair of its own (catalogue K-14).
fn is_dated(name: &str) -> bool {
    let dated = |role: Role| name.strip_prefix(role.file_prefix())?.strip_prefix('-')?.strip_suffix(".pem");
    role_of(name).and_then(dated).is_some_and(|date| date.starts_with(|first: char| first.is_ascii_digit()))
}
