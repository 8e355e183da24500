//! Bugs of Kubernetes that a scenario may meet by chance: in which versions they are, where they are told, and what they
//! explain. What is red for no other reason is *known*, not failed.
//!
//! An invariant recognizes a bug in the history, and says so instead of calling itself broken. An expectation that was
//! not met is explained only if it waited for what the bug kept away, and nothing else about it is wrong.

use super::Violation;
use super::story::Story;
use crate::check::{ExpectationVerdict, Outcome, Role};
use crate::history::event::{Event, What};
use crate::scenario::Step;
use crate::version::Version;

/// A bug of Kubernetes.
#[derive(Clone, Copy, Debug)]
pub struct Bug {
    /// Its name, as in a verdict's `bugs`.
    pub id: &'static str,
    /// What happens, in one sentence.
    pub words: &'static str,
    /// The first minor version of Kubernetes 1 whose kubelets do not have it.
    pub before: u32,
    /// Where it is told, or what fixes it.
    pub link: &'static str,
    /// Where it is in Kubernetes' source, and the scenario that brings it about.
    pub source: &'static str,
}

/// Up to 1.28 every attempt is refused until the certificate expires; from 1.29 on, the API server closes the connection
/// after the first 401, and the renewal is only late.
pub(super) const OLD_CONNECTION: Bug = Bug {
    id: "renewal-over-an-old-connection",
    words: "a kubelet that renews within 90 s of its last renewal uses the connection of that one, and is refused with 401 if the certificate that the connection was opened with has expired",
    before: 36,
    link: "https://github.com/kubernetes/kubernetes/pull/136355",
    source: "staging/src/k8s.io/client-go/transport/cert_rotation.go; catalogue N-16, T-06; field.renewal-over-an-old-connection",
};

/// All of them.
pub const ALL: &[Bug] = &[OLD_CONNECTION];

impl Bug {
    /// The bug of this name.
    pub fn find(id: &str) -> Option<&'static Self> {
        ALL.iter().find(|bug| bug.id == id)
    }

    /// Whether a kubelet has it.
    pub fn is_in(&self, kubelet: Version) -> bool {
        kubelet.minor < self.before
    }
}

/// What differs if the node asks late, or again with its token: everything else about a renewal must be right.
const LATE: [&str; 5] = ["time", "requestor", "groups", "requestedWith", "state"];

/// Whether a bug that was seen explains why an expectation was not met.
pub(super) fn explain(
    story: &Story<'_>,
    events: &[Event],
    seen: &[&Violation],
    expectation: &ExpectationVerdict,
) -> bool {
    let step = story.scenario.steps.get(expectation.step).map(|step| &step.value);
    let Some(node) = step.and_then(awaits_renewal_of) else {
        return false;
    };
    let refused = seen.iter().filter(|violation| violation.bug.as_deref() == Some(OLD_CONNECTION.id));
    let refused = refused.filter_map(|violation| events.get(usize::try_from(violation.seq).ok()?));
    let Some(refused) = refused.into_iter().find(|event| is_of(event, node)) else {
        return false;
    };
    let Some(machine) = story.machines.get(node) else { return false };
    let newest = machine.client.iter().rev().find(|installed| installed.at <= refused.at);
    // A kubelet that asks before it should is another bug.
    let in_time = newest.is_some_and(|newest| {
        let (opens, _) = story.rules.rotation_window(newest.certificate.not_before, newest.certificate.not_after);
        opens <= refused.at
    });
    let late = match (expectation.outcome, expectation.closest.first()) {
        (Some(Outcome::Hang), _) => machine.client.iter().all(|installed| installed.at <= refused.at),
        (Some(Outcome::Fail), Some(closest)) => {
            let fields = closest.mismatches.iter().map(|mismatch| mismatch.field.as_str());
            closest.seq > refused.seq && fields.into_iter().all(|field| LATE.contains(&field))
        }
        _ => false,
    };
    in_time && late
}

/// The node for whose next client certificate a step waits.
fn awaits_renewal_of(step: &Step) -> Option<&str> {
    let Step::Expect(expect) = step else { return None };
    let rotation = expect.rotation.as_ref().filter(|rotation| rotation.role == Role::Client);
    let certificate = expect.certificate.as_ref().filter(|certificate| certificate.role == Role::Client);
    let csr = expect.csr.as_ref().filter(|csr| csr.role == Some(Role::Client));
    rotation.map(|rotation| &*rotation.node).or_else(|| Some(&*certificate?.node)).or_else(|| csr?.node.as_deref())
}

fn is_of(event: &Event, node: &str) -> bool {
    matches!(&event.what, What::Request(request) if request.node.as_deref() == Some(node))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bug_is_told() {
        for bug in ALL {
            assert!(bug.link.starts_with("https://"), "{}", bug.id);
            assert_eq!(Bug::find(bug.id).unwrap().id, bug.id);
        }
        assert!(OLD_CONNECTION.is_in(Version::new(1, 35, 4)));
        assert!(!OLD_CONNECTION.is_in(Version::new(1, 36, 0)));
    }
}
