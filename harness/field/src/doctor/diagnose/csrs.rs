//! The CSRs that exist: what is pending, what was denied, and what should not have been approved.
//!
//! Kubelets ask again and again, and by default an approver sees hundreds of CSRs with one cause. Only the newest of each
//! requester and node counts, and findings are by cause.

use std::collections::{BTreeMap, BTreeSet};

use tlsboot_core::check::Role;
use tlsboot_core::history::event::CsrEvent;

use super::doctor::{Doctor, PATIENCE, sample};
use super::judge::{
    Cause, Judgement, Names, approves, condition, foreign_serving, is, is_by_node, judge, unsignable, was_ready,
};
use super::{ApproverReport, Grade};
use crate::doctor::people::is_bootstrapper;
use crate::doctor::remedy::Remedy;
use crate::doctor::rights::{Ability, Review, Who};
use crate::doctor::snapshot::{NodeFacts, Served, Snapshot};

/// CSRs of one cause.
#[derive(Default)]
struct Group<'a> {
    csrs: Vec<&'a CsrEvent>,
    says: String,
}

impl Group<'_> {
    fn names(&self) -> Vec<String> {
        self.csrs.iter().map(|csr| csr.name.clone()).collect()
    }

    fn requesters(&self) -> String {
        let users: BTreeSet<String> = self.csrs.iter().map(|csr| csr.username.clone()).collect();
        sample(&users.into_iter().collect::<Vec<_>>())
    }

    /// The CSRs and their requesters, as the beginning of a sentence.
    fn who(&self) -> String {
        format!("{} by {}", sample(&self.names()), self.requesters())
    }

    fn is(&self) -> &'static str {
        if self.csrs.len() == 1 { "is" } else { "are" }
    }
}

/// Groups by a key, in the order of the keys.
struct Groups<'a, K>(BTreeMap<K, Group<'a>>);

impl<'a, K: Ord> Groups<'a, K> {
    fn new() -> Self {
        Self(BTreeMap::new())
    }

    fn add(&mut self, key: K, csr: &'a CsrEvent, says: impl Into<String>) {
        let group = self.0.entry(key).or_default();
        if group.csrs.is_empty() {
            group.says = says.into();
        }
        group.csrs.push(csr);
    }
}

/// The newest CSR of each requester for each signer and subject. The key of an older one is thrown away.
pub(super) fn newest<'a>(csrs: impl IntoIterator<Item = &'a CsrEvent>) -> Vec<&'a CsrEvent> {
    let mut newest: BTreeMap<(&str, &str, &str), &CsrEvent> = BTreeMap::new();
    for csr in csrs {
        let subject = csr.request.subject.common_name.as_deref().unwrap_or_default();
        let known = newest.entry((&csr.signer_name, &csr.username, subject)).or_insert(csr);
        if (csr.created, &csr.name) > (known.created, &known.name) {
            *known = csr;
        }
    }
    newest.into_values().collect()
}

/// The last serving CSR of a node's own kubelet.
pub(super) fn last_serving<'a>(snapshot: &'a Snapshot, node: &NodeFacts) -> Option<&'a CsrEvent> {
    let own = |csr: &&CsrEvent| {
        is(csr, Role::Serving)
            && csr.node() == Some(node.name.as_str())
            && csr.request.subject.common_name.as_deref() == Some(csr.username.as_str())
    };
    snapshot.csrs.all().iter().filter(own).max_by_key(|csr| (csr.created, &csr.name))
}

impl<'a> Doctor<'a> {
    /// CSRs that nothing was decided about.
    pub(super) fn pending(&mut self) {
        let snapshot = self.snapshot;
        let is_pending = |csr: &&CsrEvent| {
            csr.conditions.is_empty()
                && csr.certificates.is_empty()
                && snapshot.taken.duration_since(csr.created) >= PATIENCE
        };
        let mut never: Groups<&'static str> = Groups::new();
        let mut foreign: Groups<&'static str> = Groups::new();
        let mut unknown: Groups<&'static str> = Groups::new();
        let (mut ignored, mut refused, mut serving) = (Group::default(), Group::default(), Group::default());
        for csr in newest(snapshot.csrs.all()).into_iter().filter(is_pending) {
            if !is(csr, Role::Client) && !is(csr, Role::Serving) {
                continue;
            }
            match judge(csr, snapshot) {
                Judgement::Unsignable(cause) => never.add(cause.kind, csr, cause.says),
                Judgement::Foreign(cause) => foreign.add(cause.kind, csr, cause.says),
                Judgement::Unknown(cause) => unknown.add(cause.kind, csr, cause.says),
                Judgement::Sound if is(csr, Role::Serving) => serving.csrs.push(csr),
                Judgement::Sound => match self.review_of(csr) {
                    None => unknown.add("rights", csr, "what its requester may do is not known"),
                    Some(review) if approves(csr, snapshot.version, &review.may) => ignored.csrs.push(csr),
                    Some(review) if !review.may(Ability::Ask) => refused.csrs.push(csr),
                    // What its requester lacks is a finding of its own.
                    Some(_) => {}
                },
            }
        }
        for group in never.0.into_values() {
            let says = format!(
                "{} {} Pending, and Kubernetes neither approves nor signs such a CSR: {}",
                group.who(),
                group.is(),
                group.says
            );
            self.find("csr.unrecognized", Grade::Warning, group.names(), says, Remedy::delete(&group.names()));
        }
        for group in foreign.0.into_values() {
            let says = format!("{} {} Pending and must not be approved: {}", group.who(), group.is(), group.says);
            self.find("csr.foreign", Grade::Warning, group.names(), says, Remedy::deny(&group.names()));
        }
        for group in unknown.0.into_values() {
            let says = format!(
                "{} {} Pending, and whether to approve it can't be told from here: {}",
                group.who(),
                group.is(),
                group.says
            );
            self.find("csr.pending", Grade::Warning, group.names(), says, []);
            self.look(format!("kubectl describe csr {}", group.csrs[0].name));
        }
        self.ignored(&ignored);
        self.refused(&refused);
        self.serving_pending(&serving);
    }

    fn ignored(&mut self, group: &Group<'_>) {
        if group.csrs.is_empty() {
            return;
        }
        let says = format!(
            "{} {} Pending although Kubernetes' approver may approve it: the controller csrapproving of kube-controller-manager is not running",
            group.who(),
            group.is()
        );
        let remedies = self.safely(vec![Remedy::StartController { name: "csrapproving" }]);
        self.find("approver.absent", Grade::Broken, group.names(), says, remedies);
    }

    fn refused(&mut self, group: &Group<'_>) {
        if group.csrs.is_empty() {
            return;
        }
        let says = format!("{} {} Pending, and its requester may not create CSRs (any more)", group.who(), group.is());
        self.find("csr.requester-refused", Grade::Warning, group.names(), says, Remedy::delete(&group.names()));
    }

    fn serving_pending(&mut self, group: &Group<'_>) {
        if group.csrs.is_empty() {
            return;
        }
        let nodes: BTreeSet<&str> = group.csrs.iter().filter_map(|csr| csr.node()).collect();
        let is_bare = |node: &NodeFacts| matches!(node.served, Served::Alert(_));
        let bare = self.snapshot.nodes.all().iter().any(|node| nodes.contains(node.name.as_str()) && is_bare(node));
        let grade = if bare { Grade::Broken } else { Grade::Warning };
        let nodes: Vec<String> = nodes.into_iter().map(str::to_owned).collect();
        let says = format!(
            "serving CSRs of {} are Pending: Kubernetes itself approves none, and their names are the nodes' own. Until they are approved, these nodes get no new serving certificate, and kubectl logs and exec fail once the old one has expired",
            sample(&nodes)
        );
        let remedies = self.remedies_of(&["signer.absent"]).into_iter().chain(Remedy::approve(&group.names()));
        self.find("serving.pending", grade, group.names(), says, remedies.collect::<Vec<_>>());
    }

    /// A denial is a decision. It is a finding where the CSR was right: then the approver's rule is wrong, or the Node.
    pub(super) fn denied(&mut self) {
        let snapshot = self.snapshot;
        let mut groups: Groups<(&str, bool, &str)> = Groups::new();
        // A newer one that is not right changes nothing about the denial.
        let right = |csr: &&CsrEvent| {
            (is(csr, Role::Serving) || is(csr, Role::Client))
                && matches!(judge(csr, snapshot), Judgement::Sound | Judgement::Unknown(_))
        };
        for csr in newest(snapshot.csrs.all().iter().filter(right)) {
            let Some(denied) = condition(csr, "Denied") else {
                continue;
            };
            let serving = is(csr, Role::Serving);
            let is_bare =
                |node: &NodeFacts| Some(node.name.as_str()) == csr.node() && matches!(node.served, Served::Alert(_));
            let bare = serving && snapshot.nodes.all().iter().any(is_bare);
            groups.add((&csr.signer_name, bare, &denied.reason), csr, &denied.message);
        }
        for ((_, bare, reason), group) in groups.0 {
            let serving = is(group.csrs[0], Role::Serving);
            let again = if group.csrs.iter().any(|csr| is_by_node(csr)) {
                "; a kubelet asks again every 30 seconds or more seldom"
            } else {
                ""
            };
            let effect = if bare {
                ": these nodes serve no certificate at all, and kubectl logs and exec fail there"
            } else {
                ""
            };
            let kind = if serving { "serving" } else { "client" };
            let says = format!(
                "the {kind} CSRs {} were denied ({reason}: {}), although nothing in them is wrong for Kubernetes{again}{effect}",
                group.who(),
                group.says
            );
            let (id, grade) = if bare { ("serving.denied", Grade::Broken) } else { ("csr.denied", Grade::Warning) };
            self.find(id, grade, group.names(), says, []);
            self.look(format!(
                "kubectl describe csr {}   # then the approver's log: its rule, or the Node's names and addresses",
                group.csrs[0].name
            ));
        }
    }

    /// What the API server's authorizer said of a CSR's requester. Nodes are alike: one stands for those not asked about.
    pub(super) fn review_of(&self, csr: &CsrEvent) -> Option<&'a Review> {
        let reviews = self.snapshot.reviews.all();
        let own = reviews.iter().find(|review| review.who == Who::Requester(csr.username.clone()));
        own.or_else(|| {
            let alike = |review: &&Review| matches!(review.who, Who::Node(_)) && is_by_node(csr);
            reviews.iter().find(alike)
        })
    }

    /// What was approved and should not have been.
    pub(super) fn approved(&mut self) {
        let snapshot = self.snapshot;
        let mut groups: Groups<(&'static str, std::cmp::Reverse<Grade>, &str, &str)> = Groups::new();
        let mut of_no_node = BTreeSet::new();
        for csr in snapshot.csrs.all() {
            let Some(approved) = condition(csr, "Approved") else {
                continue;
            };
            let found = if is(csr, Role::Client) {
                self.approved_client(csr)
            } else if is(csr, Role::Serving) {
                self.approved_serving(csr).unwrap_or_else(|cause| {
                    of_no_node.extend((cause.kind == "no-node").then(|| csr.username.clone()));
                    None
                })
            } else {
                self.approved_other(csr)
            };
            if let Some((id, grade, cause)) = found {
                groups.add((id, std::cmp::Reverse(grade), &approved.reason, cause.kind), csr, cause.says);
            }
        }
        for ((id, std::cmp::Reverse(grade), reason, _), group) in groups.0 {
            let outcome = match group.csrs.iter().filter(|csr| !csr.certificates.is_empty()).count() {
                0 => "nothing was issued for it",
                _ => "and a certificate was issued",
            };
            let says = format!("{} approved {}; {outcome}: {}", decider(reason), group.who(), group.says);
            self.find(id, grade, group.names(), says, []);
            self.look(format!("kubectl describe csr {}", group.csrs[0].name));
            if id.starts_with("approver.") {
                self.look("tlsboot approver --allow-writes --kubeconfig …   # what else it approves".to_owned());
            }
        }
        if !of_no_node.is_empty() {
            let users: Vec<String> = of_no_node.into_iter().collect();
            self.unknown.push(format!(
                "whether the names in the serving certificates of {} are right: there is no such Node (any more)",
                sample(&users)
            ));
        }
    }

    fn approved_client(&self, csr: &CsrEvent) -> Option<(&'static str, Grade, Cause)> {
        let snapshot = self.snapshot;
        if let Some(cause) = unsignable(csr, snapshot.version) {
            let grade = if csr.certificates.is_empty() { Grade::Warning } else { Grade::Hole };
            return Some(("approver.too-much", grade, cause));
        }
        let name = csr.request.subject.common_name.as_deref().unwrap_or_default();
        if csr.username.starts_with("system:node:") {
            let says = format!("it asks for the identity {name}, and its requester is another node");
            return (name != csr.username).then_some((
                "approver.another-node",
                Grade::Hole,
                Cause { kind: "another-node", says },
            ));
        }
        let node =
            snapshot.nodes.all().iter().find(|node| Some(node.name.as_str()) == csr.node() && was_ready(node, csr))?;
        let says = format!(
            "it is a certificate of {}, a Node that was there and Ready: either its kubelet has bootstrapped again, or someone with bootstrap credentials acts as it",
            node.name
        );
        Some(("bootstrap.of-a-ready-node", Grade::Warning, Cause { kind: "ready-node", says }))
    }

    fn approved_serving(&self, csr: &CsrEvent) -> Result<Option<(&'static str, Grade, Cause)>, Cause> {
        let snapshot = self.snapshot;
        let Some(leaf) = csr.certificates.first() else {
            if let Some(cause) = unsignable(csr, snapshot.version) {
                return Ok(Some(("approver.too-much", Grade::Warning, cause)));
            }
            let found = foreign_serving(csr, &Names::requested(csr), &snapshot.nodes)?;
            return Ok(found.map(|cause| ("approver.foreign-names", grade_of(&cause), cause)));
        };
        let others = leaf.subject.organizations.iter().filter(|group| *group != "system:nodes");
        let others: Vec<String> = others.chain(&leaf.emails).chain(&leaf.uris).take(5).cloned().collect();
        if !others.is_empty() {
            let says = format!("the certificate names {}", others.join(", "));
            return Ok(Some(("approver.foreign-names", Grade::Hole, Cause { kind: "others", says })));
        }
        let found = foreign_serving(csr, &Names::issued(leaf), &snapshot.nodes)?;
        Ok(found.map(|cause| ("approver.foreign-names", grade_of(&cause), cause)))
    }

    fn approved_other(&self, csr: &CsrEvent) -> Option<(&'static str, Grade, Cause)> {
        let cause = self.of_another_signer(csr)?;
        let refused = condition(csr, "Failed").is_some();
        Some(("signer.not-for-nodes", if refused { Grade::Warning } else { Grade::Hole }, cause))
    }

    /// Nodes and those who bootstrap have no business with other signers.
    fn of_another_signer(&self, csr: &CsrEvent) -> Option<Cause> {
        let waits = || self.waiting().iter().any(|review| review.user == csr.username);
        let bootstraps = is_bootstrapper(&csr.username, &csr.groups, self.snapshot.grants.all()) || waits();
        if !(is_by_node(csr) || bootstraps) {
            return None;
        }
        let kind = if bootstraps { "bootstrapper" } else { "node" };
        let name = csr.request.subject.common_name.as_deref().unwrap_or_default();
        let says = format!(
            "{} with the credentials of a {kind} can become {name:?} by the signer {}, which is not one of the kubelet's",
            csr.username, csr.signer_name
        );
        Some(Cause { kind, says })
    }

    /// CSRs for other signers that are pending, and whose requesters have no business with them.
    pub(super) fn pending_for_others(&mut self) {
        let mut groups: Groups<&'static str> = Groups::new();
        let kubelets = [Role::Client, Role::Serving].map(Role::signer_name);
        let all = self.snapshot.csrs.all().iter();
        for csr in all.filter(|csr| csr.conditions.is_empty() && !kubelets.contains(&csr.signer_name.as_str())) {
            if let Some(cause) = self.of_another_signer(csr) {
                groups.add(cause.kind, csr, cause.says);
            }
        }
        for group in groups.0.into_values() {
            let says = format!("{} {} Pending and must not be approved: {}", group.who(), group.is(), group.says);
            self.find("csr.not-for-nodes", Grade::Warning, group.names(), says, Remedy::deny(&group.names()));
        }
    }
}

/// An address that no Node has may have been the node's when it was approved; what another server is called, hardly.
fn grade_of(cause: &Cause) -> Grade {
    if cause.kind == "addresses" { Grade::Note } else { Grade::Hole }
}

/// What decides with a condition's reason. It names a program, not a person: a script may use kubectl too.
pub(super) fn decider(reason: &str) -> String {
    match reason {
        "AutoApproved" => "kube-controller-manager".into(),
        "KubectlApprove" | "KubectlDeny" => "kubectl certificate (a person or a script)".into(),
        other => format!("an approver with the reason `{other}`"),
    }
}

pub(super) fn approvers(snapshot: &Snapshot) -> Option<Vec<ApproverReport>> {
    let mut counts: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
    for csr in snapshot.csrs.get()? {
        for decision in csr.conditions.iter().filter(|condition| condition.kind != "Failed") {
            let count = counts.entry((&csr.signer_name, &decision.kind, &decision.reason)).or_default();
            *count = count.saturating_add(1);
        }
    }
    let reports = counts.into_iter().map(|((signer, decision, reason), csrs)| ApproverReport {
        who: decider(reason),
        signer: signer.to_owned(),
        decision: decision.to_owned(),
        reason: reason.to_owned(),
        csrs,
    });
    Some(reports.collect())
}
