//! Who may bootstrap and renew, and who may too much.

use std::collections::BTreeSet;

use jiff::Timestamp;
use tlsboot_core::check::Role;
use tlsboot_core::history::event::{CsrEvent, NODES_GROUP};

use super::certificates::{nodes, short};
use super::csrs::{condition, is, is_by_node};
use super::doctor::Doctor;
use super::{BindingReport, Grade};
use crate::doctor::snapshot::{Ability, Grant, Review, Snapshot, Who};
use tlsboot_core::scenario::BootstrapRole;

const BOOTSTRAPPER: &str = BootstrapRole::NodeBootstrapper.cluster_role();
pub(super) const NODE_CLIENT: &str = BootstrapRole::NodeClient.cluster_role();
const SELF_NODE_CLIENT: &str = BootstrapRole::SelfNodeClient.cluster_role();

/// What the API server lets those do who bootstrap: the users that a new node may come as.
struct Bootstrappers<'a> {
    reviews: &'a [Review],
}

impl<'a> Bootstrappers<'a> {
    /// Those who have a bootstrap token.
    fn tokens(&self) -> impl Iterator<Item = &'a Review> + use<'a> {
        self.reviews.iter().filter(|review| matches!(review.who, Who::Token(_)))
    }

    /// Users and groups that a binding lets ask for certificates.
    fn bound(&self) -> impl Iterator<Item = &'a Review> + use<'a> {
        self.reviews.iter().filter(|review| matches!(review.who, Who::Bound(_)))
    }

    /// Those whose first CSR is pending.
    fn waiting(&self) -> impl Iterator<Item = &'a Review> + use<'a> {
        let requesters = self.reviews.iter().filter(|review| matches!(review.who, Who::Requester(_)));
        requesters.filter(|review| !review.groups.iter().any(|group| group == NODES_GROUP))
    }

    /// Whether there is anybody who may create CSRs.
    fn somebody_may_ask(&self) -> bool {
        let anybody = self.reviews.iter().filter(|review| review.who == Who::Authenticated);
        self.tokens().chain(self.bound()).chain(anybody).any(|review| may(review, Ability::Ask))
    }

    /// Those whose first client CSR has to be approved. A bound group counts only where there is no token and no CSR to
    /// show who really bootstraps.
    fn askers(&self) -> Vec<&'a Review> {
        let known: Vec<&Review> =
            self.tokens().chain(self.waiting()).filter(|review| may(review, Ability::Ask)).collect();
        if known.is_empty() && !self.bound().any(|review| may(review, Ability::NodeClient)) {
            self.bound().filter(|review| may(review, Ability::Ask)).collect()
        } else {
            known
        }
    }
}

fn may(review: &Review, ability: Ability) -> bool {
    review.may.contains(&ability)
}

fn names<'a>(reviews: impl IntoIterator<Item = &'a Review>) -> Vec<String> {
    reviews.into_iter().map(|review| review.who.to_string()).collect()
}

impl Doctor<'_> {
    /// Can a new node create a CSR, see what becomes of it, and have it approved?
    pub(super) fn bootstrapping(&mut self) {
        let Some(reviews) = self.snapshot.reviews.get() else {
            return;
        };
        let bootstrappers = Bootstrappers { reviews };
        self.asking(&bootstrappers);
        self.watching(&bootstrappers);
        self.first_approval(&bootstrappers);
    }

    fn asking(&mut self, bootstrappers: &Bootstrappers<'_>) {
        let refused = names(bootstrappers.tokens().filter(|review| !may(review, Ability::Ask)));
        if refused.is_empty() && bootstrappers.somebody_may_ask() {
            return;
        }
        let who = match refused.as_slice() {
            [] => "no bootstrap user may".to_owned(),
            refused => format!("{} may not", refused.join(", ")),
        };
        let says =
            format!("{who} create CSRs: the kubelet of a new node gets 403 on its CSR, and gives up after 5 minutes");
        let mend = bind("tlsboot-node-bootstrapper", BOOTSTRAPPER, "--group=system:bootstrappers");
        self.find("bootstrap.not-bound", Grade::Broken, refused, says, [mend]);
    }

    fn watching(&mut self, bootstrappers: &Bootstrappers<'_>) {
        let all = bootstrappers.tokens().chain(bootstrappers.bound()).chain(bootstrappers.waiting());
        let blind = names(all.filter(|review| may(review, Ability::Ask) && !may(review, Ability::Watch)));
        if blind.is_empty() {
            return;
        }
        let says = format!(
            "{} may create CSRs, but not list and watch them: a kubelet never learns that its certificate was issued",
            blind.join(", ")
        );
        let mend = bind("tlsboot-node-bootstrapper", BOOTSTRAPPER, "--group=system:bootstrappers");
        self.find("bootstrap.cannot-watch", Grade::Broken, blind, says, [mend]);
    }

    fn first_approval(&mut self, bootstrappers: &Bootstrappers<'_>) {
        let askers = bootstrappers.askers();
        let unapproved = names(askers.into_iter().filter(|review| !may(review, Ability::NodeClient)));
        if unapproved.is_empty() {
            return;
        }
        let (grade, but) = match self.other_approver(|csr| !is_by_node(csr)) {
            Some(reason) => {
                (Grade::Note, format!(" (but another approver approves such CSRs, with the reason {reason})"))
            }
            None => (Grade::Broken, String::new()),
        };
        let says = format!(
            "Kubernetes does not approve the first CSR of {}: without nodeclient it stays Pending, without a message{but}",
            unapproved.join(", ")
        );
        let mend = bind("tlsboot-nodeclient", NODE_CLIENT, "--group=system:bootstrappers");
        self.find("bootstrap.not-approved", grade, unapproved, says, [mend]);
    }

    /// Can a node renew its client certificate?
    pub(super) fn renewing(&mut self) {
        let reviews = self.snapshot.reviews.all();
        let Some(node) = reviews.iter().find(|review| matches!(review.who, Who::Node(_))) else {
            return;
        };
        if !may(node, Ability::Ask) {
            self.find(
                "renewal.cannot-ask",
                Grade::Broken,
                [],
                "nodes may not create CSRs: the Node authorizer is off, or does not recognize them. No node can renew its certificate",
                ["kube-apiserver --authorization-mode=Node,RBAC   # on the control plane".to_owned()],
            );
        }
        if may(node, Ability::SelfNodeClient) {
            return;
        }
        let (grade, but) = match self.other_approver(is_by_node) {
            Some(reason) => {
                (Grade::Note, format!(" (but another approver approves renewals, with the reason {reason})"))
            }
            None => (Grade::Broken, String::new()),
        };
        let when = match self.next_renewal() {
            Some((node, from)) => format!("from {} (first on {node})", short(from)),
            None => "from their next rotation, at 70 % to 90 % of their certificates' lifetime".to_owned(),
        };
        self.find(
            "renewal.not-approved",
            grade,
            [],
            format!("the group {NODES_GROUP} lacks selfnodeclient: {when}, renewals stay Pending, and when the certificates expire, the nodes are lost{but}"),
            [bind("tlsboot-selfnodeclient", SELF_NODE_CLIENT, "--group=system:nodes")],
        );
    }

    /// The reason given by an approver other than Kubernetes' own and kubectl for approving a client CSR of this kind.
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

    /// Who may do more than is safe?
    pub(super) fn too_wide(&mut self) {
        let reviews = self.snapshot.reviews.all();
        let of = |who: fn(&Who) -> bool| reviews.iter().find(|review| who(&review.who));
        let anonymous = of(|who| *who == Who::Anonymous);
        let anybody = of(|who| *who == Who::Authenticated);
        let of_anonymous = anonymous.map(|review| review.may.clone()).unwrap_or_default();
        let of_anybody = anybody.map(|review| review.may.clone()).unwrap_or_default();
        if let Some(review) = anonymous {
            let (grade, effect) = match self.snapshot.anonymous {
                401 => (Grade::Warning, "this has no effect as long as anonymous authentication is off"),
                _ => (Grade::Hole, "no credentials are needed for it"),
            };
            self.wide("anonymous.too-wide", grade, review, &wide(review, &BTreeSet::new(), &[]), effect);
        }
        if let Some(review) = anybody {
            let wide = wide(review, &of_anonymous, &[]);
            let effect = if wide.contains(&Ability::NodeClient) {
                "with any credentials, even those of a pod's service account, one can get the certificate of any node"
            } else {
                "the credentials of a pod's service account are enough for it"
            };
            self.wide("authenticated.too-wide", Grade::Hole, review, &wide, effect);
        }
        if let Some(review) = of(|who| matches!(who, Who::Node(_))) {
            let wide = wide(review, &of_anybody, &[Ability::Ask, Ability::SelfNodeClient]);
            let effect = "one compromised node compromises the others";
            self.wide("nodes.too-wide", Grade::Hole, review, &wide, effect);
        }
        for review in reviews {
            if let Who::Token(_) | Who::Bound(_) = review.who {
                let right = [Ability::Ask, Ability::NodeClient, Ability::SelfNodeClient];
                let wide = wide(review, &of_anybody, &right);
                let effect = "every machine image with a bootstrap token in it gives this right away";
                self.wide("bootstrap.too-wide", Grade::Hole, review, &wide, effect);
            }
        }
    }

    fn wide(&mut self, id: &'static str, grade: Grade, review: &Review, wide: &[Ability], effect: &str) {
        if wide.is_empty() {
            return;
        }
        let user = match &review.who {
            Who::Anonymous => "system:anonymous",
            Who::Bound(subject) => &subject.name,
            _ => "",
        };
        let names: Vec<&str> = review.groups.iter().map(String::as_str).chain([user]).collect();
        let guilty = self.snapshot.grants.all().iter().filter(|grant| {
            names.contains(&grant.subject.name.as_str()) && grant.abilities.iter().any(|ability| wide.contains(ability))
        });
        let mend: BTreeSet<String> = guilty
            .map(|Grant { binding, subject, .. }| {
                format!("kubectl edit clusterrolebinding {binding}   # remove the {subject} from its subjects")
            })
            .collect();
        let what: Vec<&str> = wide.iter().map(|ability| ability.words()).collect();
        let says = format!("{} may {}: {effect}", review.who, what.join(", "));
        self.find(id, grade, [review.who.to_string()], says, mend);
    }
}

fn bind(name: &str, role: &str, to: &str) -> String {
    format!("kubectl create clusterrolebinding {name} --clusterrole={role} {to}")
}

/// What somebody may do beyond what those above may, and beyond what is right for them.
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
