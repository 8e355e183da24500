//! Who may bootstrap and renew, and who may too much.

use std::collections::BTreeSet;

use jiff::Timestamp;
use tlsboot_core::check::Role;
use tlsboot_core::history::event::CsrEvent;

use super::certificates::{nodes, short};
use super::csrs::{NODES, condition, is, is_by_node};
use super::doctor::Doctor;
use super::{BindingReport, Grade};
use crate::doctor::snapshot::{Ability, Review, Snapshot, Who};

const BOOTSTRAPPER: &str = "system:node-bootstrapper";
pub(super) const NODE_CLIENT: &str = "system:certificates.k8s.io:certificatesigningrequests:nodeclient";
const SELF_NODE_CLIENT: &str = "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient";

impl Doctor<'_> {
    /// Can a new node ask for a certificate, learn of it, and have it approved?
    pub(super) fn bootstrapping(&mut self) {
        let Some(reviews) = self.snapshot.reviews.get() else {
            return;
        };
        let may = |review: &Review, ability| review.may.contains(&ability);
        let anybody = reviews.iter().find(|review| review.who == Who::Authenticated);
        let tokens = || reviews.iter().filter(|review| matches!(review.who, Who::Token(_)));
        let bound = || reviews.iter().filter(|review| matches!(review.who, Who::Bound(_)));
        let waiting = || {
            let requesters = reviews.iter().filter(|review| matches!(review.who, Who::Requester(_)));
            requesters.filter(|review| !review.groups.iter().any(|group| group == NODES))
        };

        let refused: Vec<String> =
            tokens().filter(|review| !may(review, Ability::Ask)).map(|review| review.who.to_string()).collect();
        let somebody = tokens().chain(bound()).any(|review| may(review, Ability::Ask))
            || anybody.is_some_and(|review| may(review, Ability::Ask));
        if !refused.is_empty() || !somebody {
            let who = match refused.as_slice() {
                [] => "nobody who bootstraps may".to_owned(),
                refused => format!("{} may not", refused.join(", ")),
            };
            self.find(
                "bootstrap.not-bound",
                Grade::Broken,
                refused,
                format!(
                    "{who} ask for certificates: the kubelet of a new node gets 403 on its CSR, and gives up after 5 minutes"
                ),
                [bind("tlsboot-node-bootstrapper", BOOTSTRAPPER, "--group=system:bootstrappers")],
            );
        }

        let blind: Vec<String> = tokens()
            .chain(bound())
            .chain(waiting())
            .filter(|review| may(review, Ability::Ask) && !may(review, Ability::Watch))
            .map(|review| review.who.to_string())
            .collect();
        if !blind.is_empty() {
            let says = format!(
                "{} may create CSRs, but not list and watch them: a kubelet never learns that it has its certificate",
                blind.join(", ")
            );
            let mend = bind("tlsboot-node-bootstrapper", BOOTSTRAPPER, "--group=system:bootstrappers");
            self.find("bootstrap.cannot-watch", Grade::Broken, blind, says, [mend]);
        }

        let askers: Vec<&Review> = tokens().chain(waiting()).filter(|review| may(review, Ability::Ask)).collect();
        let askers = if askers.is_empty() && !bound().any(|review| may(review, Ability::NodeClient)) {
            bound().filter(|review| may(review, Ability::Ask)).collect()
        } else {
            askers
        };
        let unapproved: Vec<String> = askers
            .into_iter()
            .filter(|review| !may(review, Ability::NodeClient))
            .map(|review| review.who.to_string())
            .collect();
        if !unapproved.is_empty() {
            let other = self.other_approver(|csr| !is_by_node(csr));
            let (grade, but) = match &other {
                Some(reason) => {
                    (Grade::Note, format!(" (but another approver approves such CSRs, with the reason {reason})"))
                }
                None => (Grade::Broken, String::new()),
            };
            let says = format!(
                "the first CSR of {} is not approved by Kubernetes: without nodeclient it stays Pending, and says nothing{but}",
                unapproved.join(", ")
            );
            let mend = [bind("tlsboot-nodeclient", NODE_CLIENT, "--group=system:bootstrappers")];
            self.find("bootstrap.not-approved", grade, unapproved, says, mend);
        }
    }

    /// Can a node renew?
    pub(super) fn renewing(&mut self) {
        let review = self.snapshot.reviews.all();
        let Some(node) = review.iter().find(|review| matches!(review.who, Who::Node(_))) else {
            return;
        };
        if !node.may.contains(&Ability::Ask) {
            self.find(
                "renewal.cannot-ask",
                Grade::Broken,
                [],
                "nodes may not create CSRs: the Node authorizer is off, or does not know them. No node can renew its certificate",
                ["kube-apiserver --authorization-mode=Node,RBAC   # on the control plane".to_owned()],
            );
        }
        if node.may.contains(&Ability::SelfNodeClient) {
            return;
        }
        let (grade, but) = match self.other_approver(is_by_node) {
            Some(reason) => {
                (Grade::Note, format!(" (but another approver approves renewals, with the reason {reason})"))
            }
            None => (Grade::Broken, String::new()),
        };
        let first = self.next_renewal();
        let when = first.map_or_else(
            || "at their next rotation, 70 % to 90 % into their certificates' life,".to_owned(),
            |(node, from)| format!("from {} on (the first is {node})", short(from)),
        );
        self.find(
            "renewal.not-approved",
            grade,
            [],
            format!("the group system:nodes lacks selfnodeclient: {when} renewals stay Pending; when the certificates end, the nodes are gone{but}"),
            [bind("tlsboot-selfnodeclient", SELF_NODE_CLIENT, "--group=system:nodes")],
        );
    }

    /// The reason with which somebody else than Kubernetes and people approved a client CSR of this kind.
    fn other_approver(&self, kind: impl Fn(&CsrEvent) -> bool) -> Option<String> {
        let csrs = self.snapshot.csrs.all().iter();
        csrs.filter(|csr| is(csr, Role::Client) && kind(csr))
            .filter_map(|csr| condition(csr, "Approved"))
            .map(|condition| condition.reason.clone())
            .find(|reason| !["AutoApproved", "KubectlApprove"].contains(&reason.as_str()))
    }

    fn next_renewal(&self) -> Option<(String, Timestamp)> {
        let nodes = nodes(self.snapshot);
        let lives = nodes.into_iter().filter_map(|node| {
            let from = node.client?.renews_from?;
            Some((node.name, from))
        });
        lives.min_by_key(|(_, from)| *from)
    }

    /// Who may what nobody in his place should?
    pub(super) fn too_wide(&mut self) {
        let reviews = self.snapshot.reviews.all();
        let of = |who: fn(&Who) -> bool| reviews.iter().find(|review| who(&review.who));
        let anonymous = of(|who| *who == Who::Anonymous);
        let anybody = of(|who| *who == Who::Authenticated);
        if let Some(review) = anonymous {
            let is_off = self.snapshot.anonymous == 401;
            let (grade, effect) = match is_off {
                true => (Grade::Warning, "without effect as long as anonymous authentication is off"),
                false => (Grade::Hole, "whoever reaches the API server needs no credentials at all for it"),
            };
            let wide = wide(review, &BTreeSet::new(), &[]);
            self.wide("anonymous.too-wide", grade, review, &wide, effect);
        }
        let above: BTreeSet<Ability> = anonymous.map(|review| review.may.clone()).unwrap_or_default();
        if let Some(review) = anybody {
            let wide = wide(review, &above, &[]);
            let effect = if wide.contains(&Ability::NodeClient) {
                "whoever has any credentials, a pod's service account too, can get the certificate of any node"
            } else {
                "a pod's service account is enough for it"
            };
            self.wide("authenticated.too-wide", Grade::Hole, review, &wide, effect);
        }
        let above: BTreeSet<Ability> = anybody.map(|review| review.may.clone()).unwrap_or_default();
        if let Some(review) = of(|who| matches!(who, Who::Node(_))) {
            let wide = wide(review, &above, &[Ability::Ask, Ability::SelfNodeClient]);
            let effect = "one node that is taken over takes the others along";
            self.wide("nodes.too-wide", Grade::Hole, review, &wide, effect);
        }
        for review in reviews {
            if let Who::Token(_) | Who::Bound(_) = review.who {
                let wide = wide(review, &above, &[Ability::Ask, Ability::NodeClient, Ability::SelfNodeClient]);
                let effect = "a bootstrap token lies in every machine image that has one";
                self.wide("bootstrap.too-wide", Grade::Hole, review, &wide, effect);
            }
        }
    }

    fn wide(&mut self, id: &'static str, grade: Grade, review: &Review, wide: &[Ability], effect: &str) {
        if wide.is_empty() {
            return;
        }
        let names: Vec<&str> = review.groups.iter().map(String::as_str).collect();
        let mut names = names;
        let user = match &review.who {
            Who::Anonymous => "system:anonymous".to_owned(),
            Who::Bound(subject) => subject.name.clone(),
            _ => String::new(),
        };
        names.push(&user);
        let guilty = self.snapshot.grants.all().iter().filter(|grant| {
            names.contains(&grant.subject.name.as_str()) && grant.abilities.iter().any(|ability| wide.contains(ability))
        });
        let mend: Vec<String> = guilty
            .map(|grant| {
                format!(
                    "kubectl edit clusterrolebinding {}   # take the {} out of its subjects",
                    grant.binding, grant.subject
                )
            })
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let what: Vec<&str> = wide.iter().map(|ability| ability.words()).collect();
        let says = format!("{} may {}: {effect}", review.who, what.join(", "));
        self.find(id, grade, [review.who.to_string()], says, mend);
    }
}

fn bind(name: &str, role: &str, to: &str) -> String {
    format!("kubectl create clusterrolebinding {name} --clusterrole={role} {to}")
}

fn wide(review: &Review, above: &BTreeSet<Ability>, right: &[Ability]) -> Vec<Ability> {
    if review.may.contains(&Ability::Everything) && !above.contains(&Ability::Everything) {
        return vec![Ability::Everything];
    }
    let may = review.may.difference(above).copied();
    // Watching CSRs shows public things only.
    may.filter(|ability| *ability != Ability::Watch && !right.contains(ability)).collect()
}

pub(super) fn bindings(snapshot: &Snapshot) -> Vec<BindingReport> {
    let special = [Ability::Ask, Ability::NodeClient, Ability::SelfNodeClient];
    let grants = snapshot.grants.all().iter().filter(|grant| {
        !grant.abilities.contains(&Ability::Everything)
            && !grant.abilities.contains(&Ability::ReadSecrets)
            && grant.abilities.iter().any(|ability| special.contains(ability))
    });
    let mut reports: Vec<BindingReport> = grants
        .map(|grant| BindingReport {
            role: grant.role.clone(),
            subject: grant.subject.to_string(),
            binding: grant.binding.clone(),
        })
        .collect();
    reports.sort_by(|a, b| (&a.role, &a.subject).cmp(&(&b.role, &b.subject)));
    reports
}
