//! The CSRs that there are: what waits, what was denied, and what should not have been approved.

use std::collections::{BTreeMap, BTreeSet};

use tlsboot_core::check::Role;
use tlsboot_core::history::event::{CsrCondition, CsrEvent, NODE_USER_PREFIX};
use tlsboot_core::version::Version;

use super::doctor::{Doctor, PATIENCE};
use super::{ApproverReport, Grade};
use crate::doctor::snapshot::{Ability, NodeFacts, Served, Snapshot, Who};

impl Doctor<'_> {
    /// CSRs that nobody decides about.
    pub(super) fn waiting(&mut self) {
        let snapshot = self.snapshot;
        let old = |csr: &&CsrEvent| snapshot.taken.duration_since(csr.created) >= PATIENCE;
        let waiting: Vec<&CsrEvent> = snapshot
            .csrs
            .all()
            .iter()
            .filter(|csr| csr.conditions.is_empty() && csr.certificates.is_empty())
            .filter(old)
            .collect();
        let (client, serving): (Vec<&CsrEvent>, Vec<&CsrEvent>) =
            waiting.into_iter().partition(|csr| is(csr, Role::Client));

        let mut ignored = Vec::new();
        for csr in client {
            if let Some(why) = unrecognised(csr, snapshot.version) {
                self.find(
                    "csr.unrecognised",
                    Grade::Warning,
                    [csr.name.clone()],
                    format!(
                        "{} of {} waits, and Kubernetes' approver will never approve it: {why}",
                        csr.name, csr.username
                    ),
                    [format!("kubectl describe csr {}", csr.name)],
                );
            } else if self.is_authorised(csr) {
                ignored.push(csr);
            }
        }
        if !ignored.is_empty() {
            let names: Vec<String> = ignored.iter().map(|csr| csr.name.clone()).collect();
            let says = format!(
                "nobody approves: {} wait{} although the requester has the right; the controller csrapproving of kube-controller-manager does not run",
                names.join(", "),
                if names.len() == 1 { "s" } else { "" }
            );
            let mend = [
                "kubectl -n kube-system get pods -l component=kube-controller-manager   # it needs csrapproving among its --controllers".to_owned(),
                format!("kubectl certificate approve {}", names.join(" ")),
            ];
            self.find("approver.absent", Grade::Broken, names, says, mend);
        }

        if !serving.is_empty() {
            let names: Vec<String> = serving.iter().map(|csr| csr.name.clone()).collect();
            let bare = |csr: &&CsrEvent| {
                let node = snapshot.nodes.all().iter().find(|node| Some(node.name.as_str()) == csr.node());
                node.is_some_and(|node| matches!(node.served, Served::Alert(_)))
            };
            let grade = if serving.iter().any(bare) { Grade::Broken } else { Grade::Warning };
            let nodes: BTreeSet<&str> = serving.iter().filter_map(|csr| csr.node()).collect();
            let nodes: Vec<&str> = nodes.into_iter().collect();
            self.find(
                "serving.pending",
                grade,
                names.clone(),
                format!(
                    "serving CSRs of {} wait: Kubernetes itself approves none. Until somebody does, these nodes serve nothing new, and kubectl logs and exec fail once the old certificate has ended",
                    nodes.join(", ")
                ),
                [format!("kubectl certificate approve {}", names.join(" "))],
            );
        }

        for csr in snapshot.csrs.all() {
            if let Some(denied) = condition(csr, "Denied") {
                self.find(
                    "csr.denied",
                    Grade::Warning,
                    [csr.name.clone()],
                    format!(
                        "{} of {} was denied ({}: {}); its kubelet asks again, with a new CSR every half minute",
                        csr.name, csr.username, denied.reason, denied.message
                    ),
                    [format!("kubectl describe csr {}", csr.name)],
                );
            }
        }
    }

    /// Whether Kubernetes' approver would approve, as far as rights go.
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
            let by_hand = approved.reason == "KubectlApprove";
            let grade = if by_hand { Grade::Warning } else { Grade::Hole };
            let by = decider(&approved.reason);
            if is(csr, Role::Client) {
                if let Some(why) = unrecognised(csr, snapshot.version) {
                    let says =
                        format!("{by} approved {} of {}, which Kubernetes would not: {why}", csr.name, csr.username);
                    let mend = [
                        format!("kubectl describe csr {}", csr.name),
                        "tlsboot approver --allow-writes --kubeconfig …   # what else it approves".into(),
                    ];
                    self.find("approver.too-much", grade, [csr.name.clone()], says, mend);
                }
                continue;
            }
            match foreign_names(csr, snapshot.nodes.all()) {
                Ok(None) => {}
                Ok(Some(foreign)) => {
                    let says = format!(
                        "{by} approved the serving CSR {} of {}, which {foreign}: with it one node can pass for another server",
                        csr.name, csr.username
                    );
                    let mend = [
                        format!("kubectl describe csr {}", csr.name),
                        "tlsboot approver --allow-writes --kubeconfig …   # what else it approves".into(),
                    ];
                    self.find("approver.foreign-names", grade, [csr.name.clone()], says, mend);
                }
                Err(node) => {
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
}

pub(super) const NODES: &str = "system:nodes";

pub(super) fn is(csr: &CsrEvent, role: Role) -> bool {
    csr.signer_name == role.signer_name()
}

pub(super) fn is_by_node(csr: &CsrEvent) -> bool {
    csr.groups.iter().any(|group| group == NODES)
}

pub(super) fn condition<'a>(csr: &'a CsrEvent, kind: &str) -> Option<&'a CsrCondition> {
    csr.conditions.iter().find(|condition| condition.kind == kind)
}

/// Why Kubernetes' approver does not take a client CSR for one of a kubelet (catalogue P-02, C-04).
pub fn unrecognised(csr: &CsrEvent, version: Option<Version>) -> Option<String> {
    let request = &csr.request;
    if request.subject.organizations != [NODES] {
        return Some(format!("its organizations are {:?} and not [\"system:nodes\"]", request.subject.organizations));
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

/// What a serving CSR names that is not its node's own; the node's name where there is no such Node.
fn foreign_names(csr: &CsrEvent, nodes: &[NodeFacts]) -> Result<Option<String>, String> {
    let name = csr.request.subject.common_name.as_deref().unwrap_or_default();
    if name != csr.username {
        return Ok(Some(format!("names {name:?}, not its requester")));
    }
    let node = csr.node().unwrap_or_default();
    let Some(node) = nodes.iter().find(|known| known.name == node) else {
        return Err(node.to_owned());
    };
    let hosts = csr.request.dns.iter().filter(|dns| **dns != node.name && !node.host_names.contains(dns));
    let addresses = csr.request.ips.iter().filter(|ip| !node.addresses.contains(ip));
    let foreign: Vec<String> = hosts.cloned().chain(addresses.map(ToString::to_string)).take(5).collect();
    Ok((!foreign.is_empty()).then(|| format!("names {}, which are not {}'s", foreign.join(", "), node.name)))
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
