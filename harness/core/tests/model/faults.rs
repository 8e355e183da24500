//! Single faults, each put into the history of a sound cluster: the invariant that it belongs to must be broken by it.

use jiff::{SignedDuration, Timestamp};
use tlsboot_core::check::Role;
use tlsboot_core::history::event::{
    Change, ClosedBy, ConnectionState, CsrCondition, CsrEvent, FileEvent, FileKind, FileOp, Presented, ProcessEvent,
    ProcessState, RequestEvent,
};
use tlsboot_core::history::facts::CertificateFacts;
use tlsboot_core::history::{Event, What};
use tlsboot_core::time::at_share;

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
    "I-02" "a certificate is of another CA" |tape| {
        let other = tape.hex();
        tape.any_certificate(|leaf| leaf.authority_key_id = Some(other.clone()))
    };
    "I-02" "a certificate lasts too long" |tape| {
        tape.any_certificate(|leaf| leaf.not_after += SignedDuration::from_hours(1))
    };
    "I-02" "a certificate is that of a CA" |tape| tape.any_certificate(|leaf| leaf.ca = Some(true));
    "I-02" "a client certificate may also serve, and the other way round" |tape| {
        tape.any_certificate(|leaf| leaf.ext_key_usage = vec!["client auth".into(), "server auth".into()])
    };
    "I-02" "a certificate has another group" |tape| {
        tape.any_certificate(|leaf| leaf.subject.organizations.push("system:masters".into()))
    };
    "I-02" "a certificate is for another key" |tape| {
        let other = tape.hex();
        tape.any_certificate(|leaf| leaf.key.spki_sha256.clone_from(&other))
    };
    "I-02" "a serial number is used twice" |tape| {
        let first = tape.any(is_issued)?;
        let (uid, serial) = (tape.csr(first).uid.clone(), tape.csr(first).certificates[0].serial.clone());
        let second = tape.any(|tape, place| is_issued(tape, place) && tape.csr(place).uid != uid)?;
        let uid = tape.csr(second).uid.clone();
        tape.each_csr(&uid, |csr| csr.certificates.iter_mut().for_each(|leaf| leaf.serial.clone_from(&serial)))
    };
    "I-02" "a certificate is signed without approval" |tape| {
        let place = tape.any(is_issued)?;
        let uid = tape.csr(place).uid.clone();
        tape.each_csr(&uid, |csr| csr.conditions.clear())
    };
    "I-02" "a serving certificate is approved automatically" |tape| {
        let place = tape.any(|tape, place| {
            matches!(&tape.events[place].what, What::Csr(csr)
                if csr.change == Change::Added && csr.signer_name == Role::Serving.signer_name())
        })?;
        let mut csr = tape.csr(place).clone();
        let any = tape.any(is_decided)?;
        let approved = CsrCondition { kind: "Approved".into(), reason: "AutoApproved".into(), ..tape.csr(any).conditions[0].clone() };
        (csr.change, csr.conditions) = (Change::Modified, vec![approved]);
        tape.insert(place, What::Csr(Box::new(csr)));
        Some(())
    };
    "I-02" "a renewal is approved by someone else" |tape| {
        let place = tape.any(|tape, place| is_decided(tape, place) && tape.csr(place).signer_name == Role::Client.signer_name())?;
        let uid = tape.csr(place).uid.clone();
        tape.each_csr(&uid, |csr| csr.conditions.iter_mut().for_each(|condition| condition.reason = "KubectlApprove".into()))
    };
    "I-02" "a CSR is denied by no one" |tape| {
        let place = tape.any(|tape, place| is_issued(tape, place) && tape.csr(place).signer_name == Role::Client.signer_name())?;
        let uid = tape.csr(place).uid.clone();
        tape.each_csr(&uid, |csr| {
            csr.certificates.clear();
            csr.conditions.iter_mut().for_each(|condition| condition.kind = "Denied".into());
        })
    };
    "I-03" "a certificate is renewed too early" |tape| {
        let place = tape.any(is_renewal)?;
        let mut csr = tape.csr(place).clone();
        let (name, key) = (tape.hex(), tape.hex());
        (csr.name, csr.uid, csr.request.key.spki_sha256) = (format!("csr-{name:.5}"), name, key);
        let node = csr.node()?.to_owned();
        let role = if csr.signer_name == Role::Client.signer_name() { Role::Client } else { Role::Serving };
        // Two fifths of a lifetime are over at least 10 % before the window opens.
        let early = tape.any(|tape, place| {
            let link = (0..place).rev().find(|link| tape.is_swap(*link, role) && tape.node(*link) == Some(&node));
            let leaf = link.and_then(|link| tape.leaf(link));
            leaf.is_some_and(|leaf| at_share(leaf.not_before, leaf.not_after, 0.6) > tape.at(place))
        })?;
        tape.insert(early, What::Csr(Box::new(csr)));
        Some(())
    };
    "I-03" "a certificate is renewed with its old key" |tape| {
        let place = tape.any(is_renewal)?;
        let csr = tape.csr(place).clone();
        let before = (0..place).rev().find_map(|before| match &tape.events[before].what {
            What::Csr(other) if other.signer_name == csr.signer_name && other.node() == csr.node() && other.uid != csr.uid => {
                Some(other.request.key.clone())
            }
            _ => None,
        })?;
        tape.each_csr(&csr.uid, |csr| csr.request.key.clone_from(&before));
        Some(())
    };
    "I-03" "a certificate is renewed by someone else" |tape| {
        let place = tape.any(is_renewal)?;
        let uid = tape.csr(place).uid.clone();
        tape.each_csr(&uid, |csr| csr.username = "system:node:elsewhere".into());
        Some(())
    };
    "I-03" "a kubelet renews that was told not to" |tape| {
        let place = tape.any(is_renewal)?;
        let node = tape.csr(place).node()?.to_owned();
        for event in &mut tape.events {
            match &mut event.what {
                What::Kubelet(facts) if facts.node == node => {
                    (facts.rotate_certificates, facts.server_tls_bootstrap) = (false, false);
                }
                _ => {}
            }
        }
        Some(())
    };
    "I-03" "a kubelet no longer renews its client certificate" |tape| tape.stops_renewing(Role::Client);
    "I-03" "a kubelet no longer renews its serving certificate" |tape| tape.stops_renewing(Role::Serving);
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
        tape.file(link).facts.as_mut()?.kind = FileKind::File;
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
    "I-05" "a port shows the certificate before" |tape| {
        let (old, new) = tape.any_renewal(Role::Serving)?;
        let leaf = tape.leaf(old)?.clone();
        tape.shows_later(new, vec![leaf])
    };
    "I-05" "a port shows a certificate that was never there" |tape| {
        let place = tape.any(|tape, place| tape.shown(place).is_some_and(|shown| !shown.chain.is_empty()))?;
        let mut leaf = tape.shown(place)?.chain[0].clone();
        leaf.sha256 = tape.hex();
        tape.shows_later(place, vec![leaf])
    };
    "I-05" "a port shows nothing any more" |tape| {
        let place = tape.any(|tape, place| tape.shown(place).is_some_and(|shown| !shown.chain.is_empty()))?;
        tape.shows_later(place, Vec::new())
    };
    "I-05" "a new serving certificate is not shown" |tape| {
        let place = tape.any(|tape, place| tape.is_swap(place, Role::Serving))?;
        let (leaf, node) = (tape.leaf(place)?.clone(), tape.node(place)?.clone());
        let at = tape.at(place);
        if tape.is_disturbed(at, at + 10 * LASTING) || leaf.not_after < at + 10 * LASTING {
            return None;
        }
        tape.events.retain(|event| match &event.what {
            What::Presented(shown) => shown.node != node || shown.chain.first().is_none_or(|shown| shown.sha256 != leaf.sha256),
            _ => true,
        });
        Some(())
    };
    "I-06" "a connection outlives its certificate" |tape| {
        let place = tape.any(|tape, place| {
            let What::Connection(closed) = &tape.events[place].what else { return false };
            let at = tape.at(place);
            let opened = tape.events.iter().find(|event| {
                matches!(&event.what, What::Connection(open)
                    if open.node == closed.node && open.id == closed.id && open.state == ConnectionState::Opened)
            });
            let Some(opened) = opened.map(|opened| opened.at) else { return false };
            // Those for CSRs are closed when they have been idle.
            let for_csrs = tape.events.iter().any(|event| {
                let near = opened <= event.at + 2 * LASTING && event.at <= opened + 2 * LASTING;
                let asks = match &event.what {
                    What::Csr(csr) => csr.node() == Some(&closed.node),
                    What::Request(request) => {
                        request.node.as_ref() == Some(&closed.node) && request.resource == "certificatesigningrequests"
                    }
                    _ => false,
                };
                near && asks
            });
            let renewed = (0..place).rev().find(|swap| tape.is_swap(*swap, Role::Client) && tape.node(*swap) == Some(&closed.node));
            let first = (0..place).find(|swap| tape.is_swap(*swap, Role::Client) && tape.node(*swap) == Some(&closed.node));
            let by_kubelet = closed.state == ConnectionState::Closed { by: ClosedBy::Kubelet };
            let is_old = renewed.zip(first).is_some_and(|(renewed, first)| {
                tape.at(first) < opened && opened < tape.at(renewed) && at < tape.at(renewed) + SignedDuration::from_secs(11)
            });
            by_kubelet && is_old && !for_csrs && !tape.is_disturbed(at - SETTLED, at + SETTLED)
        })?;
        tape.events.remove(place);
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
    "I-08" "a CSR is not approved" |tape| {
        let place = tape.any(is_prompt)?;
        tape.stays_as_it_is(place)
    };
    "I-08" "a CSR is approved and not signed" |tape| {
        let place = tape.any(is_prompt)?;
        let uid = tape.csr(place).uid.clone();
        let approved = (place..tape.events.len()).find(|place| {
            matches!(&tape.events[*place].what, What::Csr(csr) if csr.uid == uid && !csr.conditions.is_empty())
        })?;
        tape.stays_as_it_is(approved)
    };
    "I-08" "a CSR is deleted before its time" |tape| {
        let place = tape.any(is_issued)?;
        let mut csr = tape.csr(place).clone();
        csr.change = Change::Deleted;
        tape.later(place, What::Csr(Box::new(csr)))
    };
    "I-08" "a kubelet asks again and again" |tape| {
        let place = tape.any(is_prompt)?;
        let mut csr = tape.csr(place).clone();
        (csr.uid, csr.name, csr.request.key.spki_sha256) = (tape.hex(), "csr-again".into(), tape.hex());
        tape.insert(place, What::Csr(Box::new(csr)));
        Some(())
    };
    "I-08" "a metric tells of another certificate" |tape| {
        let place = tape.any(|tape, place| matches!(&tape.events[place].what, What::Metrics(_)))?;
        let What::Metrics(metrics) = &mut tape.events[place].what else { return None };
        metrics.values.values_mut().for_each(|value| *value = "86000000".into());
        Some(())
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

/// The first sight of a CSR by which a certificate is renewed.
fn is_renewal(tape: &Tape<'_>, place: usize) -> bool {
    let What::Csr(csr) = &tape.events[place].what else { return false };
    let role = if csr.signer_name == Role::Client.signer_name() { Role::Client } else { Role::Serving };
    let link =
        (0..place).rev().find(|link| tape.is_swap(*link, role) && tape.node(*link).map(String::as_str) == csr.node());
    let leaf = link.and_then(|link| tape.leaf(link));
    csr.change == Change::Added && leaf.is_some_and(|leaf| tape.at(place) < leaf.not_after)
}

fn is_decided(tape: &Tape<'_>, place: usize) -> bool {
    matches!(&tape.events[place].what, What::Csr(csr) if !csr.conditions.is_empty())
}

/// A CSR with its certificate.
fn is_issued(tape: &Tape<'_>, place: usize) -> bool {
    matches!(&tape.events[place].what, What::Csr(csr) if !csr.certificates.is_empty())
}

/// The first sight of a client CSR that is approved and signed at once.
fn is_prompt(tape: &Tape<'_>, place: usize) -> bool {
    let What::Csr(csr) = &tape.events[place].what else { return false };
    let at = tape.at(place);
    let long = SignedDuration::from_secs(70);
    csr.change == Change::Added
        && csr.signer_name == Role::Client.signer_name()
        && !tape.is_disturbed(at - long, at + SETTLED)
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

    /// From a renewal on, nothing more is heard of that node's CSRs for this role, and its link stays as it is. The
    /// history goes on until after the end of the window.
    fn stops_renewing(&mut self, role: Role) -> Option<()> {
        let since = self.any(|tape, place| {
            let What::Csr(csr) = &tape.events[place].what else { return false };
            let old = (0..place)
                .rev()
                .find(|link| tape.is_swap(*link, role) && tape.node(*link).map(String::as_str) == csr.node());
            let leaf = old.and_then(|old| tape.leaf(old));
            let goes_on = |leaf: &CertificateFacts| {
                let late = at_share(leaf.not_before, leaf.not_after, 0.9) + SETTLED;
                tape.events.last().is_some_and(|last| late < last.at && !tape.is_disturbed(tape.at(place), late))
            };
            csr.change == Change::Added && csr.signer_name == role.signer_name() && leaf.is_some_and(goes_on)
        })?;
        let (from, node) = (self.at(since) - SignedDuration::from_millis(500), self.csr(since).node()?.to_owned());
        self.events.retain(|event| {
            let is_renewal = match &event.what {
                What::Csr(csr) => csr.signer_name == role.signer_name() && csr.node() == Some(&node),
                What::File(file) => file.node == node && file.name.starts_with(role.file_prefix()),
                What::Request(request) => {
                    request.node.as_ref() == Some(&node) && request.resource == "certificatesigningrequests"
                }
                _ => false,
            };
            !is_renewal || event.at < from
        });
        Some(())
    }

    /// Whether something is done between these moments.
    fn is_disturbed(&self, from: Timestamp, to: Timestamp) -> bool {
        let disturbs =
            |what: &What| matches!(what, What::Step(step) if !["approve", "deny"].contains(&step.stimulus.as_str()));
        self.events.iter().any(|event| disturbs(&event.what) && (from..to).contains(&event.at))
    }

    /// A certificate is another one than it should be, in its CSR.
    fn any_certificate(&mut self, change: impl Fn(&mut CertificateFacts)) -> Option<()> {
        let place = self.any(is_issued)?;
        let uid = self.csr(place).uid.clone();
        self.each_csr(&uid, |csr| csr.certificates.iter_mut().for_each(&change))
    }

    /// Nothing more becomes of a CSR.
    fn stays_as_it_is(&mut self, place: usize) -> Option<()> {
        let uid = self.csr(place).uid.clone();
        let mut seen = 0;
        self.events.retain(|event| {
            seen += 1;
            !matches!(&event.what, What::Csr(csr) if csr.uid == uid && seen - 1 > place)
        });
        Some(())
    }

    fn shown(&self, place: usize) -> Option<&Presented> {
        match &self.events[place].what {
            What::Presented(shown) => Some(shown),
            _ => None,
        }
    }

    /// A port shows something else some time after that, and while its kubelet still runs.
    fn shows_later(&mut self, place: usize, chain: Vec<CertificateFacts>) -> Option<()> {
        let node = match &self.events[place].what {
            What::Presented(shown) => shown.node.clone(),
            _ => self.node(place)?.clone(),
        };
        let from = self.at(place) + LASTING;
        let after = self.any(|tape, after| {
            let at = tape.at(after);
            after > place && at > from && !tape.is_disturbed(from, at + 3 * LASTING)
        })?;
        // What it shows later on would be right again.
        let until = self.at(after) + 3 * LASTING;
        let is_known = |event: &Event| matches!(&event.what, What::Presented(shown) if shown.node == node);
        if self.events[after + 1..].iter().any(|event| is_known(event) && event.at < until) {
            return None;
        }
        let refused = chain.is_empty().then(|| "tls alert: internal error".to_owned());
        self.insert(after, What::Presented(Box::new(Presented { node, chain, refused, client_cas: Vec::new() })));
        Some(())
    }

    fn csr(&self, place: usize) -> &CsrEvent {
        match &self.events[place].what {
            What::Csr(csr) => csr,
            other => panic!("{other:?}"),
        }
    }

    fn each_csr(&mut self, uid: &str, change: impl Fn(&mut CsrEvent)) -> Option<()> {
        self.events.iter_mut().filter_map(csr_of).filter(|csr| csr.uid == uid).for_each(change);
        Some(())
    }

    fn insert(&mut self, after: usize, what: What) {
        let event = Event { what, ..self.events[after].clone() };
        self.events.insert(after + 1, event);
    }
}
