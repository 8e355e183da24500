//! Single faults, each put into the history of a sound cluster: the invariant that it belongs to must be broken by it.

use jiff::{SignedDuration, Timestamp};
use tlsboot_core::check::Role;
use tlsboot_core::history::event::{CsrEvent, FileEvent, FileOp, ProcessEvent, ProcessState, RequestEvent};
use tlsboot_core::history::facts::CertificateFacts;
use tlsboot_core::history::{Event, What};

use crate::cluster::Course;
use crate::dice::Dice;

/// A fault, and the invariant that it breaks.
pub(crate) struct Fault {
    pub(crate) invariant: &'static str,
    pub(crate) words: &'static str,
    /// Puts it into a history; `None` if this one has no place for it.
    pub(crate) put: fn(&mut Tape<'_>) -> Option<()>,
}

macro_rules! faults {
    ($($invariant:literal $words:literal $put:expr;)*) => {
        pub(crate) const FAULTS: &[Fault] = &[$(Fault { invariant: $invariant, words: $words, put: $put }),*];
    };
}

faults! {
    "I-01" "a request is refused with 401" |tape| {
        let place = tape.any(is_settled_work)?;
        let request = tape.request(place);
        (request.user, request.groups, request.credential_id) = (None, Vec::new(), None);
        request.code = 401;
        Some(())
    };
    "I-01" "work is done with the bootstrap token" |tape| {
        let place = tape.any(is_settled_work)?;
        tape.request(place).user = Some("kubelet-bootstrap".into());
        Some(())
    };
    "I-01" "work is done anonymously" |tape| {
        let place = tape.any(is_settled_work)?;
        tape.request(place).user = Some("system:anonymous".into());
        Some(())
    };
    "I-01" "a request is sent with the certificate before" |tape| {
        let (old, new) = tape.any_renewal(Role::Client)?;
        let late = tape.at(new) + SignedDuration::from_secs(16);
        let node = tape.file(new).node.clone();
        let place = tape.any(|tape, place| tape.at(place) > late && is_work(tape, place) && tape.node(place) == Some(&node))?;
        let old = format!("X509SHA256={}", tape.leaf(old)?.sha256);
        let request = tape.request(place);
        // Older API servers do not say which certificate it was.
        *request.credential_id.as_mut()? = old;
        Some(())
    };
    "I-04" "an old pair is removed" |tape| {
        let (old, _) = tape.any_renewal(Role::Client).or_else(|| tape.any_renewal(Role::Serving))?;
        let file = tape.written(old)?;
        tape.later_file(file, |file| (file.op, file.facts) = (FileOp::Deleted, None))
    };
    "I-04" "the pair in use is removed" |tape| {
        let link = tape.any(|tape, place| tape.is_swap(place, Role::Client) || tape.is_swap(place, Role::Serving))?;
        let file = tape.written(link)?;
        tape.later_file(file, |file| (file.op, file.facts) = (FileOp::Deleted, None))
    };
    "I-04" "the link is put back" |tape| {
        let (old, new) = tape.any_renewal(Role::Client).or_else(|| tape.any_renewal(Role::Serving))?;
        let back = tape.file(old).clone();
        tape.later(new, What::File(Box::new(back)))
    };
    "I-04" "the link is removed" |tape| {
        let link = tape.any(|tape, place| tape.is_swap(place, Role::Client) || tape.is_swap(place, Role::Serving))?;
        tape.later_file(link, |file| (file.op, file.facts) = (FileOp::Deleted, None))
    };
    "I-04" "the link becomes a file" |tape| {
        let link = tape.any(|tape, place| tape.is_swap(place, Role::Client) || tape.is_swap(place, Role::Serving))?;
        tape.file(link).facts.as_mut()?.kind = tlsboot_core::history::event::FileKind::File;
        Some(())
    };
    "I-04" "the new link is not renamed" |tape| {
        let place = tape.any(|tape, place| tape.is_file(place, "-updated.pem", FileOp::MovedFrom))?;
        tape.events.remove(place);
        Some(())
    };
    "I-04" "a pair can be read by everyone" |tape| {
        let place = tape.any(|tape, place| tape.is_pair(place))?;
        tape.file(place).facts.as_mut()?.mode = "0644".into();
        Some(())
    };
    "I-04" "a key does not belong to its certificate" |tape| {
        let place = tape.any(|tape, place| tape.is_pair(place))?;
        let facts = tape.file(place).facts.as_mut()?;
        facts.pem.iter_mut().find_map(|block| block.private_key.as_mut())?.spki_sha256 = "0".repeat(64);
        Some(())
    };
    "I-04" "a pair has no key" |tape| {
        let place = tape.any(|tape, place| tape.is_pair(place))?;
        tape.file(place).facts.as_mut()?.pem.retain(|block| block.private_key.is_none());
        Some(())
    };
    "I-04" "a pair is written again" |tape| {
        let place = tape.any(|tape, place| tape.is_pair(place))?;
        let other = tape.hex();
        tape.later_file(place, |file| {
            let blocks = file.facts.iter_mut().flat_map(|facts| &mut facts.pem);
            blocks.filter_map(|block| block.certificate.as_mut()).for_each(|leaf| leaf.sha256.clone_from(&other));
        })
    };
    "I-04" "the kubeconfig names another file" |tape| {
        let place = tape.any(|tape, place| tape.is_file(place, "kubeconfig", FileOp::Modified))?;
        tape.later_file(place, |file| {
            let kubeconfig = file.facts.as_mut().and_then(|facts| facts.kubeconfig.as_mut());
            kubeconfig.unwrap().client_key = Some("/elsewhere/key.pem".into());
        })
    };
    "I-04" "the kubeconfig is removed" |tape| {
        let place = tape.any(|tape, place| tape.is_file(place, "kubeconfig", FileOp::Modified))?;
        tape.later_file(place, |file| (file.op, file.facts) = (FileOp::Deleted, None))
    };
    "I-04" "the self-signed key can be read by everyone" |tape| {
        let place = tape.any(|tape, place| tape.is_file(place, "kubelet.key", FileOp::Modified))?;
        tape.file(place).facts.as_mut()?.mode = "0640".into();
        Some(())
    };
    "I-07" "a kubelet ends on its own" |tape| {
        let state = ProcessState::Exited { code: Some(1), signal: None, asked: false };
        let place = tape.any(|tape, place| tape.is_start(place) && tape.node(place).is_some())?;
        let process = ProcessEvent { state, ..tape.process(place).clone() };
        tape.while_it_runs(place, What::Process(process))
    };
    "I-07" "a kubelet runs as another process" |tape| {
        let place = tape.any(|tape, place| tape.is_start(place) && tape.node(place).is_some())?;
        let process = ProcessEvent { pid: 999_999, ..tape.process(place).clone() };
        tape.while_it_runs(place, What::Process(process))
    };
    "I-07" "a component dies" |tape| {
        let state = ProcessState::Exited { code: None, signal: Some(11), asked: false };
        let place = tape.any(|tape, place| tape.is_start(place) && tape.node(place).is_none())?;
        let process = ProcessEvent { state, ..tape.process(place).clone() };
        tape.while_it_runs(place, What::Process(process))
    };
    "I-10" "a file has a certificate that was never issued" |tape| {
        let place = tape.any(|tape, place| tape.is_pair(place))?;
        let leaf = tape.leaf(place)?.sha256.clone();
        let other = tape.hex();
        let files = tape.events.iter_mut().filter_map(|event| match &mut event.what {
            What::File(file) => Some(file),
            _ => None,
        });
        let blocks = files.flat_map(|file| &mut file.facts).flat_map(|facts| &mut facts.pem);
        let certificates = blocks.filter_map(|block| block.certificate.as_mut());
        certificates.filter(|certificate| certificate.sha256 == leaf).for_each(|found| found.sha256.clone_from(&other));
        Some(())
    };
    "I-10" "a CSR has another certificate than the file" |tape| {
        let place = tape.any(|tape, place| tape.is_pair(place))?;
        let leaf = tape.leaf(place)?.sha256.clone();
        let other = tape.hex();
        let certificates = tape.events.iter_mut().filter_map(|event| csr_of(event)).flat_map(|csr| &mut csr.certificates);
        certificates.filter(|certificate| certificate.sha256 == leaf).for_each(|found| found.sha256.clone_from(&other));
        Some(())
    };
    "I-10" "a file has its certificate before the CSR" |tape| {
        let place = tape.any(|tape, place| tape.is_pair(place))?;
        let leaf = tape.leaf(place)?.sha256.clone();
        for event in &mut tape.events {
            let is_it = |csr: &mut CsrEvent| csr.certificates.iter().any(|certificate| certificate.sha256 == leaf);
            if csr_of(event).is_some_and(is_it) {
                event.at += SignedDuration::from_secs(7);
            }
        }
        Some(())
    };
    "I-10" "a request is sent with a certificate that was never issued" |tape| {
        let place = tape.any(is_settled_work)?;
        let other = format!("X509SHA256={}", tape.hex());
        *tape.request(place).credential_id.as_mut()? = other;
        Some(())
    };
}

/// How long after the first certificate everything is as it will be.
const SETTLED: SignedDuration = SignedDuration::from_secs(20);
/// What is not right for a shorter time may be in the middle of a change.
const LASTING: SignedDuration = SignedDuration::from_secs(3);

fn is_work(tape: &Tape<'_>, place: usize) -> bool {
    matches!(&tape.events[place].what, What::Request(request)
        if request.code == 200 && request.resource != "certificatesigningrequests"
            && request.user.as_deref().is_some_and(|user| user.starts_with("system:node:")))
}

/// A request of a kubelet that has had a certificate for some time.
fn is_settled_work(tape: &Tape<'_>, place: usize) -> bool {
    let first = (0..place).find(|first| tape.is_swap(*first, Role::Client) && tape.node(*first) == tape.node(place));
    is_work(tape, place) && first.is_some_and(|first| tape.at(first) + SETTLED < tape.at(place))
}

fn csr_of(event: &mut Event) -> Option<&mut CsrEvent> {
    match &mut event.what {
        What::Csr(csr) => Some(csr),
        _ => None,
    }
}

/// A history that is about to be changed: as far as it is judged.
pub(crate) struct Tape<'d> {
    pub(crate) events: Vec<Event>,
    dice: &'d mut Dice,
}

impl<'d> Tape<'d> {
    pub(crate) fn of(course: &Course, dice: &'d mut Dice) -> Self {
        Self { events: course.history[..course.judged].to_vec(), dice }
    }

    /// The events, numbered again.
    pub(crate) fn events(mut self) -> Vec<Event> {
        for (seq, event) in self.events.iter_mut().enumerate() {
            event.seq = seq as u64;
        }
        self.events
    }

    /// One of the places of which this is true, and that are not at the end.
    fn any(&mut self, fits: impl Fn(&Self, usize) -> bool) -> Option<usize> {
        let last = self.events.last()?.at - 4 * LASTING;
        let places: Vec<usize> =
            (0..self.events.len()).filter(|place| self.at(*place) < last && fits(self, *place)).collect();
        (!places.is_empty()).then(|| places[self.dice.below(places.len())])
    }

    fn at(&self, place: usize) -> Timestamp {
        self.events[place].at
    }

    fn hex(&mut self) -> String {
        hex::encode([self.dice.bytes(), self.dice.bytes()].concat())
    }

    fn node(&self, place: usize) -> Option<&String> {
        match &self.events[place].what {
            What::File(file) => Some(&file.node),
            What::Request(request) => request.node.as_ref(),
            What::Process(process) => process.node.as_ref(),
            _ => None,
        }
    }

    fn request(&mut self, place: usize) -> &mut RequestEvent {
        match &mut self.events[place].what {
            What::Request(request) => request,
            other => panic!("{other:?}"),
        }
    }

    fn process(&mut self, place: usize) -> &mut ProcessEvent {
        match &mut self.events[place].what {
            What::Process(process) => process,
            other => panic!("{other:?}"),
        }
    }

    fn file(&mut self, place: usize) -> &mut FileEvent {
        match &mut self.events[place].what {
            What::File(file) => file,
            other => panic!("{other:?}"),
        }
    }

    fn leaf(&self, place: usize) -> Option<&CertificateFacts> {
        match &self.events[place].what {
            What::File(file) => file.facts.as_ref()?.pem.iter().find_map(|block| block.certificate.as_ref()),
            _ => None,
        }
    }

    fn is_start(&self, place: usize) -> bool {
        matches!(&self.events[place].what, What::Process(process) if process.state == ProcessState::Started)
    }

    fn is_file(&self, place: usize, end: &str, op: FileOp) -> bool {
        matches!(&self.events[place].what, What::File(file) if file.name.ends_with(end) && file.op == op && file.name != "bootstrap-kubeconfig")
    }

    /// The link moves to a new certificate.
    fn is_swap(&self, place: usize, role: Role) -> bool {
        self.is_file(place, &format!("{}-current.pem", role.file_prefix()), FileOp::MovedTo)
    }

    /// A pair is complete.
    fn is_pair(&self, place: usize) -> bool {
        self.is_file(place, ".pem", FileOp::Modified)
    }

    /// Two swaps of the same link, one after the other.
    fn any_renewal(&mut self, role: Role) -> Option<(usize, usize)> {
        let before = |tape: &Self, new: usize| {
            (0..new).rev().find(|old| tape.is_swap(*old, role) && tape.node(*old) == tape.node(new))
        };
        let new = self.any(|tape, place| tape.is_swap(place, role) && before(tape, place).is_some())?;
        Some((before(self, new)?, new))
    }

    /// Where the pair was written to which a link leads.
    fn written(&self, link: usize) -> Option<usize> {
        let leaf = self.leaf(link)?;
        (0..self.events.len())
            .find(|place| self.is_pair(*place) && self.leaf(*place).is_some_and(|found| found.sha256 == leaf.sha256))
    }

    /// The same file changes once more, some time after that.
    fn later_file(&mut self, place: usize, change: impl FnOnce(&mut FileEvent)) -> Option<()> {
        let mut file = self.file(place).clone();
        file.op = FileOp::Modified;
        change(&mut file);
        self.later(place, What::File(Box::new(file)))
    }

    /// Something happens some time after that, and before the end.
    fn later(&mut self, place: usize, what: What) -> Option<()> {
        let (from, last) = (self.at(place) + LASTING, self.events.last()?.at - LASTING);
        let after = self.any(|tape, after| after > place && (from..last).contains(&tape.at(after)))?;
        self.insert(after, what);
        Some(())
    }

    /// Something happens while the process still runs that was started there.
    fn while_it_runs(&mut self, start: usize, what: What) -> Option<()> {
        let started = self.process(start).clone();
        let ends = self.events.iter().skip(start + 1).position(|event| {
            matches!(&event.what, What::Process(process)
                if process.component == started.component && process.node == started.node)
        });
        let end = ends.map_or(self.events.len(), |ends| start + 1 + ends);
        let first = self.events.iter().position(|event| matches!(event.what, What::Step(_)))?;
        let after = self.any(|_, after| after > start.max(first) && after + 1 < end)?;
        self.insert(after, what);
        Some(())
    }

    fn insert(&mut self, after: usize, what: What) {
        let event = Event { what, ..self.events[after].clone() };
        self.events.insert(after + 1, event);
    }
}
