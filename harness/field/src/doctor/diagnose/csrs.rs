//! The CSRs that there are: what waits, what was denied, and what should not have been approved.

use std::collections::{BTreeMap, BTreeSet};

use tlsboot_core::check::Role;
use tlsboot_core::history::event::{CsrCondition, CsrEvent, NODE_USER_PREFIX, NODES_GROUP};
use tlsboot_core::version::Version;

use super::doctor::{Doctor, PATIENCE};
use super::{ApproverReport, Grade};
use crate::doctor::snapshot::{Ability, NodeFacts, Served, Snapshot, Who};

impl Doctor<'_> {
    /// CSRs that nothing has been decided about, and those that were denied.
    pub(super) fn waiting(&mut self) {
        let snapshot = self.snapshot;
        let is_waiting = |csr: &&CsrEvent| {
            csr.conditions.is_empty()
                && csr.certificates.is_empty()
                && snapshot.taken.duration_since(csr.created) >= PATIENCE
        };
        let waiting = snapshot.csrs.all().iter().filter(is_waiting);
        let (client, serving): (Vec<&CsrEvent>, Vec<&CsrEvent>) = waiting.partition(|csr| is(csr, Role::Client));
        self.waiting_clients(client);
        self.waiting_serving(&serving);
        self.denied();
    }

    fn waiting_clients(&mut self, client: Vec<&CsrEvent>) {
        let (odd, right): (Vec<_>, Vec<_>) = client
            .into_iter()
            .map(|csr| (csr, unrecognised(csr, self.snapshot.version)))
            .partition(|(_, why)| why.is_some());
        for (csr, why) in odd {
            let says = format!(
                "{} of {} is Pending, and Kubernetes' approver will never approve it: {}",
                csr.name,
                csr.username,
                why.unwrap_or_default()
            );
            let mend = format!("kubectl describe csr {}", csr.name);
            self.find("csr.unrecognised", Grade::Warning, [csr.name.clone()], says, [mend]);
        }
        let ignored = right.into_iter().filter(|(csr, _)| self.is_authorised(csr));
        let ignored: Vec<String> = ignored.map(|(csr, _)| csr.name.clone()).collect();
        if ignored.is_empty() {
            return;
        }
        let (are, who) = match ignored.len() {
            1 => ("is", "its requester is"),
            _ => ("are", "their requesters are"),
        };
        let says = format!(
            "{} {are} Pending although {who} authorized: the controller csrapproving of kube-controller-manager is not running",
            ignored.join(", ")
        );
        let mend = [
            "kubectl -n kube-system get pods -l component=kube-controller-manager   # it needs csrapproving among its --controllers".to_owned(),
            format!("kubectl certificate approve {}", ignored.join(" ")),
        ];
        self.find("approver.absent", Grade::Broken, ignored, says, mend);
    }

    fn waiting_serving(&mut self, serving: &[&CsrEvent]) {
        if serving.is_empty() {
            return;
        }
        let names: Vec<String> = serving.iter().map(|csr| csr.name.clone()).collect();
        let nodes: BTreeSet<&str> = serving.iter().filter_map(|csr| csr.node()).collect();
        let is_bare = |node: &NodeFacts| matches!(node.served, Served::Alert(_));
        let bare = self.snapshot.nodes.all().iter().any(|node| nodes.contains(node.name.as_str()) && is_bare(node));
        let grade = if bare { Grade::Broken } else { Grade::Warning };
        let says = format!(
            "serving CSRs of {} are Pending: Kubernetes itself approves none. Until they are approved, these nodes get no new serving certificate, and kubectl logs and exec fail once the old one has expired",
            nodes.into_iter().collect::<Vec<_>>().join(", ")
        );
        let mend = format!("kubectl certificate approve {}", names.join(" "));
        self.find("serving.pending", grade, names, says, [mend]);
    }

    fn denied(&mut self) {
        for csr in self.snapshot.csrs.all() {
            let Some(denied) = condition(csr, "Denied") else {
                continue;
            };
            let says = format!(
                "{} of {} was denied ({}: {}); its kubelet creates a new CSR every 30 seconds",
                csr.name, csr.username, denied.reason, denied.message
            );
            let mend = format!("kubectl describe csr {}", csr.name);
            self.find("csr.denied", Grade::Warning, [csr.name.clone()], says, [mend]);
        }
    }

    /// Whether the requester is authorized for what Kubernetes' approver asks.
    fn is_authorised(&self, csr: &CsrEvent) -> bool {
        let reviews = self.snapshot.reviews.all();
        let review = reviews.iter().find(|review| review.who == Who::Requester(csr.username.clone()));
        let is_self = csr.request.subject.common_name.as_deref() == Some(csr.username.as_str());
        review.is_some_and(|review| {
            review.may.contains(&Ability::NodeClient) || is_self && review.may.contains(&Ability::SelfNodeClient)
        })
    }

    /// What was approved and should not have been.
    pub(super) fn approved(&mut self) {
        let snapshot = self.snapshot;
        let mut unknown = BTreeSet::new();
        for csr in snapshot.csrs.all() {
            let Some(approved) = condition(csr, "Approved") else {
                continue;
            };
            if is(csr, Role::Client) {
                if let Some(why) = unrecognised(csr, snapshot.version) {
                    let what = format!("{} of {}, which Kubernetes would not: {why}", csr.name, csr.username);
                    self.wrongly_approved("approver.too-much", csr, approved, &what);
                }
                continue;
            }
            match foreign_names(csr, snapshot.nodes.all()) {
                Names::Own => {}
                Names::Foreign(foreign) => {
                    let what = format!(
                        "the serving CSR {} of {}, which {foreign}: one node can impersonate another server with it",
                        csr.name, csr.username
                    );
                    self.wrongly_approved("approver.foreign-names", csr, approved, &what);
                }
                Names::OfNoNode(node) => {
                    unknown.insert(node);
                }
            }
        }
        if !unknown.is_empty() && snapshot.nodes.get().is_some() {
            let nodes: Vec<String> = unknown.into_iter().collect();
            self.unknown.push(format!(
                "whether the names in the serving certificates of {} are right: there is no such Node (any more)",
                nodes.join(", ")
            ));
        }
    }

    fn wrongly_approved(&mut self, id: &'static str, csr: &CsrEvent, approved: &CsrCondition, what: &str) {
        let grade = if approved.reason == "KubectlApprove" { Grade::Warning } else { Grade::Hole };
        let mend = [
            format!("kubectl describe csr {}", csr.name),
            "tlsboot approver --allow-writes --kubeconfig …   # what else it approves".into(),
        ];
        let says = format!("{} approved {what}", decider(&approved.reason));
        self.find(id, grade, [csr.name.clone()], says, mend);
    }
}

pub(super) fn is(csr: &CsrEvent, role: Role) -> bool {
    csr.signer_name == role.signer_name()
}

pub(super) fn is_by_node(csr: &CsrEvent) -> bool {
    csr.groups.iter().any(|group| group == NODES_GROUP)
}

pub(super) fn condition<'a>(csr: &'a CsrEvent, kind: &str) -> Option<&'a CsrCondition> {
    csr.conditions.iter().find(|condition| condition.kind == kind)
}

/// Why Kubernetes' approver does not take a client CSR for one of a kubelet (catalogue P-02, C-04).
pub fn unrecognised(csr: &CsrEvent, version: Option<Version>) -> Option<String> {
    let request = &csr.request;
    if request.subject.organizations != [NODES_GROUP] {
        return Some(format!(
            "its organizations are {:?} instead of [\"system:nodes\"]",
            request.subject.organizations
        ));
    }
    let name = request.subject.common_name.as_deref().unwrap_or_default();
    if !name.starts_with(NODE_USER_PREFIX) {
        return Some(format!("its common name {name:?} does not begin with system:node:"));
    }
    if !(request.dns.is_empty() && request.ips.is_empty() && request.emails.is_empty() && request.uris.is_empty()) {
        return Some("it asks for subject alternative names".into());
    }
    let usages: BTreeSet<&str> = csr.usages.iter().map(String::as_str).collect();
    let with = BTreeSet::from(["digital signature", "key encipherment", "client auth"]);
    let without = BTreeSet::from(["digital signature", "client auth"]);
    let newer = version.is_none_or(|version| version.minor >= 25);
    let right = usages == with || newer && usages == without;
    (!right).then(|| format!("its usages are {:?}", csr.usages))
}

/// The names in a serving CSR.
enum Names {
    /// They are its node's.
    Own,
    /// Some are not, as the rest of a sentence.
    Foreign(String),
    /// There is no Node of this name to compare with.
    OfNoNode(String),
}

fn foreign_names(csr: &CsrEvent, nodes: &[NodeFacts]) -> Names {
    let name = csr.request.subject.common_name.as_deref().unwrap_or_default();
    if name != csr.username {
        return Names::Foreign(format!("names {name:?}, not its requester"));
    }
    let node = csr.node().unwrap_or_default();
    let Some(node) = nodes.iter().find(|known| known.name == node) else {
        return Names::OfNoNode(node.to_owned());
    };
    let hosts = csr.request.dns.iter().filter(|dns| **dns != node.name && !node.host_names.contains(dns));
    let addresses = csr.request.ips.iter().filter(|ip| !node.addresses.contains(ip));
    let foreign: Vec<String> = hosts.cloned().chain(addresses.map(ToString::to_string)).take(5).collect();
    match foreign.as_slice() {
        [] => Names::Own,
        foreign => Names::Foreign(format!("names {}, which are not {}'s", foreign.join(", "), node.name)),
    }
}

/// Who decides with a condition's reason.
fn decider(reason: &str) -> String {
    match reason {
        "AutoApproved" => "kube-controller-manager".into(),
        "KubectlApprove" | "KubectlDeny" => "a person, by kubectl".into(),
        other => format!("an approver with the reason `{other}`"),
    }
}

pub(super) fn approvers(snapshot: &Snapshot) -> Vec<ApproverReport> {
    let mut counts: BTreeMap<(String, String, String), usize> = BTreeMap::new();
    for csr in snapshot.csrs.all() {
        for decision in csr.conditions.iter().filter(|condition| condition.kind != "Failed") {
            let key = (csr.signer_name.clone(), decision.kind.clone(), decision.reason.clone());
            *counts.entry(key).or_default() += 1;
        }
    }
    let reports = counts.into_iter().map(|((signer, decision, reason), csrs)| ApproverReport {
        who: decider(&reason),
        signer,
        decision,
        reason,
        csrs,
    });
    reports.collect()
}
