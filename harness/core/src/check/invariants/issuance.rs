//! I-02: each certificate obeys its signer's rules, and nothing is approved, denied or signed that should not be (catalogue
//! P-01 to P-06, S-01 to S-09).

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::Finding;
use super::story::{Asked, Story};
use crate::check::Role;
use crate::check::certificate::{Issue, read_der};
use crate::check::compare::Compare;
use crate::history::event::{CsrEvent, Event, NODES_GROUP, Recorder};
use crate::scenario::Binding;
use crate::scenario::stimulus::patch_csr::CsrSubresource;
use crate::scenario::stimulus::{BootstrapRole, CsrPick, RoleRef, Step};
use crate::time::Shift;

/// Components see a change of bindings, flags or CAs some time after it was made.
const ECHO: SignedDuration = SignedDuration::from_secs(5);
/// The reason that the controller-manager gives (catalogue P-01).
const AUTOMATIC: &str = "AutoApproved";
/// Kubernetes' own signers have names that begin like this.
const OWN: &str = "kubernetes.io/";
/// Who may do anything.
const MASTERS: &str = "system:masters";

pub(super) fn judge(story: &Story<'_>, finding: &mut Finding) {
    let mut serials = BTreeMap::new();
    for asked in &story.asked {
        let decision = Decision { story, asked };
        for (condition, wrong) in
            [("Approved", decision.approval()), ("Denied", decision.denial()), ("Failed", decision.failure())]
        {
            if let (Some((event, csr)), Some(wrong)) = (asked.with(condition), wrong) {
                finding.look();
                finding.violate(event, format!("{} {wrong}", csr.name));
            }
        }
        if let Some((event, csr)) =
            asked.signed().filter(|(event, _)| !decision.is_patched(CsrSubresource::Status, event))
        {
            finding.look();
            let mut wrong = decision.certificate(event, csr);
            let twin = csr
                .certificates
                .first()
                .and_then(|own| serials.insert((own.serial.as_str(), &own.issuer.common_name), csr.name.as_str()));
            wrong.extend(twin.map(|twin| format!("its serial number is that of {twin}'s")));
            if !wrong.is_empty() {
                finding.violate(event, format!("the certificate of {}: {}", csr.name, wrong.join("; ")));
            }
        }
    }
}

/// A CSR, and what was decided about it.
pub(super) struct Decision<'s, 'a> {
    pub(super) story: &'s Story<'a>,
    pub(super) asked: &'s Asked<'a>,
}

impl Decision<'_, '_> {
    /// What is wrong with its approval.
    fn approval(&self) -> Option<String> {
        let (event, csr) = self.asked.with("Approved")?;
        if self.is_patched(CsrSubresource::Approval, event) {
            return None;
        }
        let approved = csr.conditions.iter().find(|condition| condition.kind == "Approved")?;
        if approved.reason != AUTOMATIC {
            let approves = |step: &Step| matches!(step, Step::Approve(decide) if self.is_meant(decide.pick()));
            return (!self.is_done(approves, event) && self.is_alone())
                .then(|| format!("was approved with the reason `{}`, and no step did that", approved.reason));
        }
        let why = self.unrecognized(csr).or_else(|| self.unpermitted(csr, event.at))?;
        Some(format!("was approved automatically: {why}"))
    }

    /// Whether only tlsboot and the controller-manager decide here: a cluster of others, whose audit log is not available, may
    /// have an approver of its own.
    fn is_alone(&self) -> bool {
        self.story.unseen(Recorder::Audit).is_none()
    }

    /// The controller-manager denies nothing (catalogue P-05).
    fn denial(&self) -> Option<String> {
        let (event, _) = self.asked.with("Denied")?;
        let denies = |step: &Step| matches!(step, Step::Deny(decide) if self.is_meant(decide.pick()));
        let by_a_step = self.is_done(denies, event) || self.is_patched(CsrSubresource::Approval, event);
        (!by_a_step && self.is_alone()).then(|| "was denied, and no step did that".into())
    }

    /// The signer refuses only what is against its rules (catalogue S-08).
    fn failure(&self) -> Option<String> {
        let (event, csr) = self.asked.with("Failed")?;
        let role = role_of(csr)?;
        let obeys = self.against_the_rules(csr, role).is_none();
        (obeys && !self.is_patched(CsrSubresource::Status, event))
            .then(|| "has the condition Failed, and nothing in it is against the signer's rules".into())
    }

    /// Why the approver should not take it for that of a kubelet (catalogue P-02, P-04, P-06).
    pub(super) fn unrecognized(&self, csr: &CsrEvent) -> Option<String> {
        let rules = &self.story.rules;
        match role_of(csr) {
            None => Some(format!("its signer is {}", csr.signer_name)),
            Some(Role::Serving) if !rules.approves_serving() => Some("it is for a serving certificate".into()),
            Some(role) => self.against_the_rules(csr, role),
        }
    }

    /// What of a kubelet's CSR neither approver nor signer takes (catalogue P-02, S-08, S-09).
    pub(super) fn against_the_rules(&self, csr: &CsrEvent, role: Role) -> Option<String> {
        let request = &csr.request;
        let names = match role {
            Role::Client => !request.dns.is_empty() || !request.ips.is_empty(),
            Role::Serving => request.dns.is_empty() && request.ips.is_empty(),
        };
        let why = match () {
            () if request.subject.organizations != [NODES_GROUP] => "its organization is not system:nodes",
            () if csr.node().is_none() => "its common name does not begin with system:node:",
            () if names && role == Role::Client => "it asks for alternative names",
            () if names => "it asks for no alternative name",
            () if !request.emails.is_empty() || !request.uris.is_empty() => "it asks for e-mail addresses or URIs",
            () if !self.story.rules.accepts_usages(role, &csr.usages) => "its usages are not those of a kubelet",
            () => return None,
        };
        Some(why.into())
    }

    /// Why its requestor may not have it approved (catalogue P-01, P-04, R-02).
    fn unpermitted(&self, csr: &CsrEvent, at: Timestamp) -> Option<String> {
        // Up to 1.10 the roles for serving CSRs come with a feature gate.
        let from = self.asked.event.at.earlier(ECHO);
        let permitted = role_of(csr) != Some(Role::Client) || self.is_permitted(csr, from, at);
        (!permitted).then(|| format!("{} is not bound to a role that allows it", csr.username))
    }

    /// Whether the requestor of a client CSR may have it approved at some time.
    pub(super) fn is_permitted(&self, csr: &CsrEvent, from: Timestamp, to: Timestamp) -> bool {
        let is_self = csr.request.subject.common_name.as_deref() == Some(&csr.username);
        let roles = [Some(BootstrapRole::NodeClient), is_self.then_some(BootstrapRole::SelfNodeClient)];
        csr.groups.iter().any(|group| group == MASTERS)
            || roles.into_iter().flatten().any(|role| self.is_bound(role, csr, from, to))
    }

    /// Whether the requestor was bound to this role at some time.
    fn is_bound(&self, role: BootstrapRole, csr: &CsrEvent, from: Timestamp, to: Timestamp) -> bool {
        let is_meant = |binding: &Binding| match binding {
            Binding::Absent => false,
            Binding::User(user) => *user == csr.username,
            Binding::Group(group) => csr.groups.contains(group),
        };
        let cluster = &self.story.scenario.cluster;
        let mut bound = match cluster.kubeadm {
            true => csr.groups.iter().any(|group| group == role.kubeadm_group()),
            false => cluster.bindings.present().any(|(other, binding)| other == role && is_meant(binding)),
        };
        for deed in self.story.deeds.iter().filter(|deed| deed.from <= to) {
            match deed.step {
                Step::Bind(bind) if self.allows(&bind.cluster_role, role) && is_meant(&bind.to) => bound = true,
                Step::Unbind(unbind) if self.allows(&unbind.cluster_role, role) && deed.is_over(from) => bound = false,
                _ => {}
            }
        }
        bound
    }

    /// Whether a ClusterRole allows what this one allows.
    fn allows(&self, named: &RoleRef, role: BootstrapRole) -> bool {
        let resource = role.cluster_role().rsplit_once(':').map_or("", |(_, subresource)| subresource);
        let made = self.story.deeds.iter().filter_map(|deed| match deed.step {
            Step::CreateClusterRole(made) if made.name == named.cluster_role() => Some(made),
            _ => None,
        });
        let mut resources = made.flat_map(|made| &made.resources);
        named.cluster_role() == role.cluster_role()
            || named.cluster_role() == "cluster-admin"
            || resources.any(|made| made.ends_with(&format!("/{resource}")) || made.ends_with('*'))
    }

    /// Whether a step that decides CSRs means this one.
    fn is_meant(&self, pick: CsrPick<'_>) -> bool {
        let csr = self.asked.csr;
        pick.node.is_none_or(|node| csr.node() == Some(node))
            && pick.role.is_none_or(|role| csr.signer_name == role.signer_name())
            && pick.submitted.is_none_or(|_| self.asked.by_tlsboot)
    }

    /// Whether a step was doing this when the event came.
    fn is_done(&self, does: impl Fn(&Step) -> bool, event: &Event) -> bool {
        self.story.deeds.iter().any(|deed| does(deed.step) && deed.is_near(event.at, ECHO))
    }

    fn is_patched(&self, subresource: CsrSubresource, event: &Event) -> bool {
        self.is_done(|step| matches!(step, Step::PatchCsr(patch) if patch.subresource == Some(subresource)), event)
    }

    /// What is wrong with its certificate.
    fn certificate(&self, event: &Event, csr: &CsrEvent) -> Vec<String> {
        let has = |kind: &str| csr.conditions.iter().any(|condition| condition.kind == kind);
        if !has("Approved") || has("Denied") || has("Failed") {
            return vec!["it was signed, and the CSR is not approved".into()];
        }
        let (Some(certificate), Some(role)) = (csr.certificates.first(), role_of(csr)) else {
            let foreign = !csr.signer_name.starts_with(OWN);
            return foreign
                .then(|| format!("no signer of Kubernetes has the name {}", csr.signer_name))
                .into_iter()
                .collect();
        };
        let issue =
            Issue { role, csr, first_seen: self.asked.event.at, at: event.at, certificate, rules: self.story.rules };
        let mut compare = Compare::default();
        issue.content(&mut compare);
        issue.not_before(&mut compare);
        let mut wrong: Vec<String> = words(compare).collect();
        let usages = self.story.rules.accepts_usages(role, &csr.usages);
        wrong.extend((!usages).then(|| "it was signed, and the CSR's usages are not those of a kubelet".into()));
        wrong.extend(self.by_no_signer(&issue));
        wrong
    }

    /// Why none of the CAs and durations in force when it was signed fit: what is wrong by the newest.
    fn by_no_signer(&self, issue: &Issue<'_>) -> Vec<String> {
        let from = self.asked.with("Approved").map_or(issue.at, |(event, _)| event.at).earlier(ECHO);
        let signing = &self.story.signing;
        // Of a cluster of others, flags and CAs are not known.
        if signing.is_empty() {
            return Vec::new();
        }
        let first = signing.iter().rposition(|(at, _)| *at <= from).unwrap_or(0);
        let in_force = signing.get(first..).unwrap_or_default().iter().take_while(|(at, _)| *at <= issue.at);
        let mut wrong = vec!["no signer was running".into()];
        for (_, signing) in in_force {
            let Some(ca) = signing.signers.get(issue.role.signer_name()).and_then(|der| read_der(der)) else {
                wrong = vec![format!("{} has no CA", issue.role.signer_name())];
                continue;
            };
            let mut compare = Compare::default();
            issue.chain(&mut compare, &ca);
            let (ends, found) = (issue.ends(signing.duration()).min(ca.not_after), issue.certificate.not_after);
            compare.holds("notAfter", found == ends, ends, found);
            compare.holds("CA", issue.first_seen <= ca.not_after.later(ECHO), "valid", "expired");
            wrong = words(compare).collect();
            if wrong.is_empty() {
                break;
            }
        }
        wrong
    }
}

fn words(compare: Compare) -> impl Iterator<Item = String> {
    compare.0.into_iter().map(|one| format!("{} is {}, expected: {}", one.field, one.found, one.expected))
}

/// Which of a kubelet's certificates a CSR is for.
pub(super) fn role_of(csr: &CsrEvent) -> Option<Role> {
    [Role::Client, Role::Serving].into_iter().find(|role| role.signer_name() == csr.signer_name)
}
