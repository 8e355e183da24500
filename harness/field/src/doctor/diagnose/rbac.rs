//! Who may bootstrap and renew, and who may too much.

use std::collections::BTreeSet;

use jiff::Timestamp;
use tlsboot_core::check::Role;
use tlsboot_core::history::event::{CsrEvent, NODE_USER_PREFIX, NODES_GROUP};
use tlsboot_core::scenario::BootstrapRole;

use super::doctor::{Doctor, sample, short};
use super::judge::{Judgement, condition, is, is_by_node, judge};
use super::nodes::{nodes, own_way};
use super::{BindingReport, Grade};
use crate::doctor::people::STRANGER;
use crate::doctor::remedy::{Remedy, kubeadm_group};
use crate::doctor::rights::{
    AUTHENTICATED, Ability, BOOTSTRAPPERS, Grant, Review, SERVICE_ACCOUNTS, Subject, Who, abilities,
};
use crate::doctor::snapshot::Snapshot;

/// The bindings that give too much, and to whom.
struct Cause<'a> {
    about: BTreeSet<String>,
    who: Vec<&'a Review>,
    what: BTreeSet<Ability>,
    guilty: Vec<&'a Grant>,
}

impl<'a> Cause<'a> {
    fn add(&mut self, review: &'a Review, what: BTreeSet<Ability>, guilty: Vec<&'a Grant>) {
        self.who.push(review);
        self.what.extend(what);
        let new = guilty.into_iter().filter(|grant| !self.guilty.contains(grant)).collect::<Vec<_>>();
        self.guilty.extend(new);
    }
}

/// What the API server lets those do who bootstrap: the users that a new node may come as.
struct Bootstrappers<'a> {
    reviews: &'a [Review],
}

impl<'a> Bootstrappers<'a> {
    /// Those who have a bootstrap token.
    fn tokens(&self) -> impl Iterator<Item = &'a Review> + use<'a> {
        self.reviews.iter().filter(|review| matches!(review.who, Who::Token(_)))
    }

    /// Users, groups and service accounts that a binding lets bootstrap. All service accounts together are never meant to.
    fn bound(&self) -> impl Iterator<Item = &'a Review> + use<'a> {
        let is_meant = |who: &Who| matches!(who, Who::Bound(subject) if *subject != Subject::group(SERVICE_ACCOUNTS));
        self.reviews.iter().filter(move |review| is_meant(&review.who))
    }

    /// Whether anyone of them may create CSRs.
    fn may_ask(&self) -> bool {
        self.tokens().chain(self.bound()).any(|review| review.may(Ability::Ask))
    }

    /// Whether everyone may create CSRs.
    fn everyone_may_ask(&self) -> bool {
        self.reviews.iter().any(|review| review.who == Who::Authenticated && review.may(Ability::Ask))
    }

    /// Those whose first client CSR has to be approved. A bound subject counts only where there is no token and no CSR to
    /// show who really bootstraps.
    fn askers(&self, waiting: &[&'a Review]) -> Vec<&'a Review> {
        let known = self.tokens().chain(waiting.iter().copied());
        let known: Vec<&Review> = known.filter(|review| review.may(Ability::Ask)).collect();
        if known.is_empty() && !self.bound().any(|review| review.may(Ability::NodeClient)) {
            self.bound().filter(|review| review.may(Ability::Ask)).collect()
        } else {
            known
        }
    }
}

fn names<'a>(reviews: impl IntoIterator<Item = &'a Review>) -> Vec<String> {
    let names: BTreeSet<String> = reviews.into_iter().map(|review| review.who.to_string()).collect();
    names.into_iter().collect()
}

impl<'a> Doctor<'a> {
    /// Can a new node create a CSR, see what becomes of it, and have it approved?
    pub(super) fn bootstrapping(&mut self) {
        let Some(reviews) = self.snapshot.reviews.get() else {
            return;
        };
        let bootstrappers = Bootstrappers { reviews };
        if self.bootstraps_otherwise() {
            return;
        }
        self.asking(&bootstrappers);
        self.watching(&bootstrappers);
        self.first_approval(&bootstrappers);
    }

    /// Whether nothing here is made for bootstrapping by CSRs: EKS, k3s and others give nodes their certificates in other
    /// ways. What could not be looked at may show it.
    pub(super) fn bootstraps_otherwise(&self) -> bool {
        let snapshot = self.snapshot;
        let (Some(grants), Some(csrs), Some(tokens), Some(nodes)) =
            (snapshot.grants.get(), snapshot.csrs.get(), snapshot.tokens.get(), snapshot.nodes.get())
        else {
            return false;
        };
        let is_made_for_it = |grant: &Grant| {
            let abilities = grant.abilities();
            BootstrapRole::ALL.iter().any(|role| role.cluster_role() == grant.role)
                || abilities.contains(&Ability::NodeClient) && !abilities.contains(&Ability::Everything)
        };
        let distribution = nodes.iter().any(|node| own_way(&node.kubelet).is_some());
        let sign = !tokens.is_empty() || csrs.iter().any(|csr| is(csr, Role::Client));
        !nodes.is_empty() && !sign && (distribution || !grants.iter().any(is_made_for_it))
    }

    fn asking(&mut self, bootstrappers: &Bootstrappers<'_>) {
        let refused: Vec<&Review> = bootstrappers.tokens().filter(|review| !review.may(Ability::Ask)).collect();
        // Whom no one has looked at may be allowed to.
        let all_seen = self.snapshot.grants.get().is_some() && self.snapshot.tokens.get().is_some();
        if refused.is_empty() && (bootstrappers.may_ask() || bootstrappers.everyone_may_ask() || !all_seen) {
            return;
        }
        let (who, remedies) = match refused.as_slice() {
            [] => ("no bootstrap user may".to_owned(), self.binding_kubeadm_group()),
            refused => (format!("{} may not", sample(&names(refused.iter().copied()))), self.enabling(refused)),
        };
        let says =
            format!("{who} create CSRs: the kubelet of a new node gets 403 on its CSR, and gives up after 5 minutes");
        self.find("bootstrap.not-bound", Grade::Broken, names(refused), says, remedies);
    }

    /// Lets those bootstrap who have a token of kubeadm's kind.
    fn binding_kubeadm_group(&self) -> Vec<Remedy> {
        let group = Subject::group(&kubeadm_group());
        let roles = [BootstrapRole::NodeBootstrapper, BootstrapRole::NodeClient];
        self.safely(roles.map(|role| Remedy::Bind { role, to: group.clone() }).to_vec())
    }

    fn watching(&mut self, bootstrappers: &Bootstrappers<'_>) {
        let waiting = self.waiting();
        let all = bootstrappers.tokens().chain(bootstrappers.bound()).chain(waiting);
        let blind: Vec<&Review> =
            all.filter(|review| review.may(Ability::Ask) && !review.may(Ability::Watch)).collect();
        if blind.is_empty() {
            return;
        }
        let says = format!(
            "{} may create CSRs, but not list and watch them: a kubelet never learns that its certificate was issued",
            sample(&names(blind.iter().copied()))
        );
        let remedies = self.enabling(&blind);
        self.find("bootstrap.cannot-watch", Grade::Broken, names(blind), says, remedies);
    }

    fn first_approval(&mut self, bootstrappers: &Bootstrappers<'_>) {
        let askers = bootstrappers.askers(&self.waiting());
        let unapproved: Vec<&Review> = askers.into_iter().filter(|review| !review.may(Ability::NodeClient)).collect();
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
            sample(&names(unapproved.iter().copied()))
        );
        let remedies = self.enabling(&unapproved);
        self.find("bootstrap.not-approved", grade, names(unapproved), says, remedies);
    }

    /// Those without a certificate whose sound first CSR is pending.
    pub(super) fn waiting(&self) -> Vec<&'a Review> {
        let snapshot = self.snapshot;
        let sound = |csr: &&CsrEvent| {
            csr.conditions.is_empty()
                && is(csr, Role::Client)
                && !csr.username.starts_with(NODE_USER_PREFIX)
                && matches!(judge(csr, snapshot), Judgement::Sound)
        };
        let users: BTreeSet<&str> = snapshot.csrs.all().iter().filter(sound).map(|csr| csr.username.as_str()).collect();
        let reviews = snapshot.reviews.all().iter();
        reviews.filter(|review| matches!(&review.who, Who::Requester(user) if users.contains(user.as_str()))).collect()
    }

    /// What lets those bootstrap who lack something for it, in the narrowest way: a token gets the group that has it all,
    /// or the token's own group gets the roles; anyone else gets them as the user or service account that it is.
    fn enabling(&self, lacking: &[&Review]) -> Vec<Remedy> {
        let mut remedies = BTreeSet::new();
        for review in lacking {
            let token = self.token_of(review);
            if let (Some(token), Some(group)) = (token, self.ready_group()) {
                let extra = token.groups.iter().filter(|group| *group != BOOTSTRAPPERS).cloned();
                let groups = extra.chain([group]).collect::<BTreeSet<_>>().into_iter().collect();
                remedies.insert(Remedy::SetTokenGroups { id: token.id.clone(), groups });
                continue;
            }
            let to = narrowest(review);
            if !(review.may(Ability::Ask) && review.may(Ability::Watch)) {
                remedies.insert(Remedy::Bind { role: BootstrapRole::NodeBootstrapper, to: to.clone() });
            }
            if !review.may(Ability::NodeClient) {
                remedies.insert(Remedy::Bind { role: BootstrapRole::NodeClient, to });
            }
        }
        self.safely(remedies.into_iter().collect())
    }

    /// The existing token that a review is about.
    fn token_of(&self, review: &Review) -> Option<&'a crate::doctor::snapshot::TokenFacts> {
        let id = review.user.strip_prefix("system:bootstrap:")?;
        self.snapshot.tokens.all().iter().find(|token| token.id == id)
    }

    /// A group that tokens can have, and that may do all that bootstrapping takes, and no more.
    fn ready_group(&self) -> Option<String> {
        let grants = self.snapshot.grants.all();
        let groups: BTreeSet<&str> = grants
            .iter()
            .filter(|grant| grant.subject.kind == "Group" && grant.subject.name.starts_with("system:bootstrappers:"))
            .map(|grant| grant.subject.name.as_str())
            .collect();
        let is_right = |group: &&str| {
            let groups = [(*group).to_owned(), BOOTSTRAPPERS.to_owned(), AUTHENTICATED.to_owned()];
            let may = abilities(grants, STRANGER, &groups);
            let needed = [Ability::Ask, Ability::Watch, Ability::NodeClient];
            needed.iter().all(|ability| may.contains(ability)) && may.len() == needed.len()
        };
        groups.into_iter().find(is_right).map(str::to_owned)
    }

    /// A new token whose group may do what bootstrapping takes. None where the bindings can't be seen: what to bind is not
    /// known then.
    pub(super) fn new_token(&self) -> Option<Vec<Remedy>> {
        self.snapshot.grants.get()?;
        if let Some(group) = self.ready_group() {
            return Some(vec![Remedy::CreateToken { groups: vec![group] }]);
        }
        let group = kubeadm_group();
        let groups = [group.clone(), BOOTSTRAPPERS.to_owned(), AUTHENTICATED.to_owned()];
        let may = abilities(self.snapshot.grants.all(), STRANGER, &groups);
        let mut remedies = Vec::new();
        let to = Subject::group(&group);
        if !(may.contains(&Ability::Ask) && may.contains(&Ability::Watch)) {
            remedies.push(Remedy::Bind { role: BootstrapRole::NodeBootstrapper, to: to.clone() });
        }
        if !may.contains(&Ability::NodeClient) {
            remedies.push(Remedy::Bind { role: BootstrapRole::NodeClient, to });
        }
        // What a new token may not get.
        let of_anyone = abilities(self.snapshot.grants.all(), STRANGER, &[AUTHENTICATED.to_owned()]);
        let needed = [Ability::Ask, Ability::Watch, Ability::NodeClient, Ability::SelfNodeClient];
        let wide = may.difference(&of_anyone).copied().filter(|ability| !needed.contains(ability)).collect();
        let narrower = self.taking_away(&self.guilty(STRANGER, &groups, &wide));
        let (mut remedies, mut all) = (self.safely(remedies), narrower);
        all.retain(|remedy| !remedies.contains(remedy));
        remedies.extend(all);
        remedies.push(Remedy::CreateToken { groups: Vec::new() });
        Some(remedies)
    }

    /// Before Kubernetes' approver may approve more than before, or runs again: the signer has to run, and the pending
    /// CSRs that it would then approve and should not have to be denied. What it may approve more has to be approved.
    pub(super) fn safely(&self, remedies: Vec<Remedy>) -> Vec<Remedy> {
        let snapshot = self.snapshot;
        let opens = |remedy: &Remedy| match remedy {
            Remedy::Bind { role, .. } => *role != BootstrapRole::NodeBootstrapper,
            Remedy::StartController { name } => *name == "csrapproving",
            _ => false,
        };
        if !remedies.iter().any(opens) {
            return remedies;
        }
        let hostile = |csr: &&CsrEvent| {
            csr.conditions.is_empty() && is(csr, Role::Client) && matches!(judge(csr, snapshot), Judgement::Foreign(_))
        };
        let hostile: Vec<String> = snapshot.csrs.all().iter().filter(hostile).map(|csr| csr.name.clone()).collect();
        let mut all = self.remedies_of(&["signer.absent"]);
        let then = Remedy::deny(&hostile).into_iter().chain(self.remedies_of(&["approver.absent"])).chain(remedies);
        for remedy in then {
            if !all.contains(&remedy) {
                all.push(remedy);
            }
        }
        all
    }

    /// Can a node renew its client certificate?
    pub(super) fn renewing(&mut self) {
        let reviews = self.snapshot.reviews.all();
        let Some(node) = reviews.iter().find(|review| matches!(review.who, Who::Node(_))) else {
            return;
        };
        if self.bootstraps_otherwise() {
            return self.note_otherwise();
        }
        if !node.may(Ability::Ask) {
            self.find(
                "renewal.cannot-ask",
                Grade::Broken,
                [],
                "nodes may not create CSRs: the Node authorizer is off, or does not recognize them. No node can renew its certificate",
                [Remedy::NodeAuthorizer],
            );
        }
        if node.may(Ability::SelfNodeClient) {
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
        let bind = Remedy::Bind { role: BootstrapRole::SelfNodeClient, to: Subject::group(NODES_GROUP) };
        let remedies = self.safely(vec![bind]);
        self.find(
            "renewal.not-approved",
            grade,
            [],
            format!("the group {NODES_GROUP} lacks selfnodeclient: {when}, renewals stay Pending, and when the certificates expire, the nodes are lost{but}"),
            remedies,
        );
    }

    fn note_otherwise(&mut self) {
        let ways: BTreeSet<&str> = self.snapshot.nodes.all().iter().filter_map(|node| own_way(&node.kubelet)).collect();
        let how = match ways.first() {
            Some(way) => (*way).to_owned(),
            None => "if they should, bind the bootstrap roles and create a bootstrap token".to_owned(),
        };
        self.find(
            "bootstrap.by-other-means",
            Grade::Note,
            [],
            format!("nothing shows that nodes bootstrap by CSRs here (no token, no CSR, no binding for it): {how}"),
            [],
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
        let nodes = nodes(self.snapshot).unwrap_or_default();
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
        let anyone = of(|who| *who == Who::Authenticated);
        if let Some(review) = anonymous {
            let (grade, effect) = match self.snapshot.anonymous {
                401 => (Grade::Warning, "this has no effect as long as anonymous authentication is off"),
                _ => (Grade::Hole, "no credentials are needed for it"),
            };
            self.wide("anonymous.too-wide", grade, &[review], None, &[], effect);
        }
        if let Some(review) = anyone {
            let effect = if self.beyond(review, anonymous, &[]).contains(&Ability::NodeClient) {
                "with any credentials, even those of a pod's service account, one can get the certificate of any node"
            } else {
                "the credentials of a pod's service account are enough for it"
            };
            self.wide("authenticated.too-wide", Grade::Hole, &[review], anonymous, &[], effect);
        }
        if let Some(review) = of(|who| matches!(who, Who::Node(_))) {
            let right = [Ability::Ask, Ability::SelfNodeClient];
            let effect = "one compromised node compromises the others";
            self.wide("nodes.too-wide", Grade::Hole, &[review], anyone, &right, effect);
        }
        let bootstrapping = reviews.iter().filter(|review| matches!(review.who, Who::Token(_) | Who::Bound(_)));
        let everyone = Who::Bound(Subject::group(SERVICE_ACCOUNTS));
        let (pods, images): (Vec<&Review>, Vec<&Review>) = bootstrapping.partition(|review| review.who == everyone);
        self.wide("bootstrap.too-wide", Grade::Hole, &pods, anyone, &[], "every pod has such an account");
        let right = [Ability::Ask, Ability::NodeClient, Ability::SelfNodeClient];
        let effect = "every machine image with such credentials in it gives this right away";
        self.wide("bootstrap.too-wide", Grade::Hole, &images, anyone, &right, effect);
    }

    /// What these may do too much. The same bindings are one cause, however many have too much by them.
    fn wide(
        &mut self,
        id: &'static str,
        grade: Grade,
        reviews: &[&'a Review],
        above: Option<&Review>,
        right: &[Ability],
        effect: &str,
    ) {
        let mut causes: Vec<Cause<'a>> = Vec::new();
        for review in reviews {
            let what = self.beyond(review, above, right);
            if what.is_empty() {
                continue;
            }
            let guilty = self.guilty(&review.user, &review.groups, &what);
            let bindings = guilty.iter().map(|grant| format!("binding {}", grant.binding)).collect::<BTreeSet<_>>();
            let about = if bindings.is_empty() { BTreeSet::from([review.who.to_string()]) } else { bindings };
            match causes.iter_mut().find(|cause| cause.about == about) {
                Some(known) => known.add(review, what, guilty),
                None => causes.push(Cause { about, who: vec![review], what, guilty }),
            }
        }
        for Cause { about, who, what, guilty } in causes {
            let words = match what.contains(&Ability::Everything) {
                true => Ability::Everything.words().to_owned(),
                false => what.iter().map(|ability| ability.words()).collect::<Vec<_>>().join(", "),
            };
            let says = format!("{} may {words}: {effect}", sample(&names(who)));
            let remedies = self.taking_away(&guilty);
            self.find(id, grade, about, says, remedies);
            if guilty.is_empty() {
                self.look("kubectl get clusterrolebindings -o wide   # no binding that can be seen gives this; the API server's authorizer does".to_owned());
            }
        }
    }

    /// What someone may do that is not right for them: those above them may not, or they may even when it has been taken
    /// from those above. One hole does not hide another.
    fn beyond(&self, review: &Review, above: Option<&Review>, right: &[Ability]) -> BTreeSet<Ability> {
        let is_above = |grant: &&Grant| above.is_some_and(|above| grant.subject.is(&above.user, &above.groups));
        let own = self.snapshot.grants.all().iter().filter(|grant| !is_above(grant));
        let own = abilities(own, &review.user, &review.groups);
        let is_theirs = |ability: Ability| own.contains(&ability) || above.is_none_or(|above| !above.may(ability));
        // Watching CSRs shows public things only.
        let is_right = |ability: Ability| ability == Ability::Watch || right.contains(&ability);
        let may = review.may.iter().copied();
        may.filter(|&ability| is_theirs(ability) && !is_right(ability)).collect()
    }

    /// The bindings that give a user some of these abilities, or a part of one.
    fn guilty(&self, user: &str, groups: &[String], wide: &BTreeSet<Ability>) -> Vec<&'a Grant> {
        let parts: BTreeSet<_> = wide.iter().flat_map(|ability| ability.needs().concat()).collect();
        let grants = self.snapshot.grants.all().iter().filter(|grant| grant.subject.is(user, groups));
        grants.filter(|grant| grant.permissions.iter().any(|permission| parts.contains(permission))).collect()
    }

    /// Takes subjects out of bindings, after the roles that they need have been bound to those who need them.
    fn taking_away(&self, guilty: &[&Grant]) -> Vec<Remedy> {
        let grants = self.snapshot.grants.all();
        let is_taken = |grant: &Grant| {
            guilty.iter().any(|other| {
                (&other.binding, &other.namespace, &other.subject) == (&grant.binding, &grant.namespace, &grant.subject)
            })
        };
        let left: Vec<Grant> = grants.iter().filter(|grant| !is_taken(grant)).cloned().collect();
        let (mut first, mut remedies) = (Vec::new(), BTreeSet::new());
        let mut only_everyone_asked = false;
        let waiting = self.waiting();
        for review in self.snapshot.reviews.all() {
            let (before, after) =
                (abilities(grants, &review.user, &review.groups), abilities(&left, &review.user, &review.groups));
            let lost = |ability: Ability| before.contains(&ability) && !after.contains(&ability);
            match &review.who {
                Who::Authenticated => {
                    only_everyone_asked =
                        lost(Ability::Ask) && !Bootstrappers { reviews: self.snapshot.reviews.all() }.may_ask()
                }
                Who::Node(_) => {
                    // Whether the Node authorizer would allow it too can't be seen.
                    if lost(Ability::Ask) || lost(Ability::Watch) {
                        first.push(Remedy::NodeAuthorizer);
                    }
                    if lost(Ability::SelfNodeClient) {
                        let to = Subject::group(NODES_GROUP);
                        remedies.insert(Remedy::Bind { role: BootstrapRole::SelfNodeClient, to });
                    }
                }
                Who::Token(_) | Who::Bound(_) | Who::Requester(_) if !review.user.starts_with(NODE_USER_PREFIX) => {
                    // Not all pods bootstrap, nor does everyone who asks for a certificate.
                    let is_other = matches!(review.who, Who::Requester(_)) && !waiting.contains(&review);
                    if is_other || review.who == Who::Bound(Subject::group(SERVICE_ACCOUNTS)) {
                        continue;
                    }
                    let to = narrowest(review);
                    if lost(Ability::Ask) || lost(Ability::Watch) {
                        remedies.insert(Remedy::Bind { role: BootstrapRole::NodeBootstrapper, to: to.clone() });
                    }
                    if lost(Ability::NodeClient) {
                        remedies.insert(Remedy::Bind { role: BootstrapRole::NodeClient, to });
                    }
                }
                _ => {}
            }
        }
        if only_everyone_asked && !self.bootstraps_otherwise() {
            first.extend(self.binding_kubeadm_group());
        }
        remedies.extend(guilty.iter().map(|grant| Remedy::Unbind {
            binding: grant.binding.clone(),
            namespace: grant.namespace.clone(),
            subject: grant.subject.clone(),
        }));
        first.into_iter().chain(remedies).collect()
    }
}

/// To whom a role is bound that this user lacks: the group of the token's that the fewest have, or the user.
fn narrowest(review: &Review) -> Subject {
    if let Who::Bound(subject) = &review.who {
        return subject.clone();
    }
    let extra = review.groups.iter().find(|group| group.starts_with("system:bootstrappers:"));
    let common = review.groups.iter().find(|group| *group == BOOTSTRAPPERS);
    match extra.or(common) {
        Some(group) => Subject::group(group),
        None => Subject::user(&review.user),
    }
}

pub(super) fn bindings(snapshot: &Snapshot) -> Option<Vec<BindingReport>> {
    let special = [Ability::Ask, Ability::NodeClient, Ability::SelfNodeClient];
    let grants = snapshot.grants.get()?.iter().filter(|grant| {
        let abilities = grant.abilities();
        !abilities.contains(&Ability::Everything)
            && !abilities.contains(&Ability::ReadSecrets)
            && abilities.iter().any(|ability| special.contains(ability))
    });
    let mut reports: Vec<BindingReport> = grants
        .map(|grant| BindingReport {
            role: grant.role.clone(),
            subject: grant.subject.to_string(),
            binding: grant.binding.clone(),
        })
        .collect();
    reports.sort_by(|a, b| (&a.role, &a.subject).cmp(&(&b.role, &b.subject)));
    Some(reports)
}
