//! From a snapshot to findings. Pure: no clock and no IO, so each finding is tested on a snapshot.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::snapshot::{Ability, NodeFacts, Review, Right, Seen, Served, Snapshot, TokenFacts, Who};
use tlsboot_core::check::Role;
use tlsboot_core::check::rules::Rules;
use tlsboot_core::history::event::{CsrEvent, NODE_USER_PREFIX};
use tlsboot_core::history::facts::CertificateFacts;
use tlsboot_core::time::at_share;
use tlsboot_core::version::Version;
use tlsboot_core::x509::verify::{Usage, chain};

/// What was found out about a cluster.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnosis {
    /// When the cluster was looked at.
    pub taken: Timestamp,
    /// The API server's URL.
    pub server: String,
    /// Its version.
    pub version: Option<Version>,
    /// Who is bound to the roles of bootstrapping.
    pub bindings: Vec<BindingReport>,
    /// Who decided about the CSRs that there are.
    pub approvers: Vec<ApproverReport>,
    /// What was signed.
    pub signers: Vec<SignerReport>,
    /// Bootstrap tokens.
    pub tokens: Vec<TokenFacts>,
    /// Nodes and their certificates.
    pub nodes: Vec<NodeReport>,
    /// What is wrong, the worst first.
    pub findings: Vec<Finding>,
    /// What can't be known from here, and where to look instead.
    pub unknown: Vec<String>,
    /// Rights without which some of it could not be looked at.
    pub missing: Vec<Right>,
}

/// Something that an operator should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// A name that stays the same.
    pub id: &'static str,
    /// How bad it is.
    pub grade: Grade,
    /// What it is about: nodes, tokens, CSRs, users.
    pub about: Vec<String>,
    /// What is wrong and what follows from it.
    pub says: String,
    /// Commands that mend it.
    pub mend: Vec<String>,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Grade {
    /// Good to know.
    Note,
    /// Nothing breaks by itself; look at it.
    Warning,
    /// Somebody may do what nobody should.
    Hole,
    /// It is broken, or will be at the next bootstrap or rotation.
    Broken,
}

/// A binding of bootstrapping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BindingReport {
    /// The ClusterRole.
    pub role: String,
    /// Who is bound.
    pub subject: String,
    /// The ClusterRoleBinding.
    pub binding: String,
}

/// Decisions of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApproverReport {
    /// The signerName.
    pub signer: String,
    /// `Approved` or `Denied`.
    pub decision: String,
    /// The condition's reason.
    pub reason: String,
    /// Who decides with this reason.
    pub who: String,
    /// How many CSRs.
    pub csrs: usize,
}

/// What one CA signed for one signerName.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SignerReport {
    /// The signerName.
    pub signer: String,
    /// The issuer's common name.
    pub issuer: String,
    /// How many certificates.
    pub certificates: usize,
    /// The shortest time from NotBefore to NotAfter, in seconds.
    pub shortest: i64,
    /// The longest.
    pub longest: i64,
    /// The longest time from the CSR to NotAfter, in seconds: about `--cluster-signing-duration`, which can't be read.
    pub after_request: i64,
}

/// A node's certificates.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeReport {
    /// Its name.
    pub name: String,
    /// The kubelet's version, as it says.
    pub kubelet: String,
    /// The status of the condition Ready.
    pub ready: String,
    /// Its newest client certificate, where a CSR still shows it.
    pub client: Option<Life>,
    /// What it presents on its port.
    pub serving: Option<Life>,
    /// Why nothing is known of that.
    pub not_served: Option<String>,
}

/// How long a certificate lives.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Life {
    /// NotBefore.
    pub not_before: Timestamp,
    /// NotAfter.
    pub not_after: Timestamp,
    /// When the kubelet asks for the next one: from here on; none for one that it never renews.
    pub renews_from: Option<Timestamp>,
    /// At the latest.
    pub renews_to: Option<Timestamp>,
    /// Subject alternative names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Whether the kubelet made it by itself (catalogue K-18).
    pub self_signed: bool,
}

impl Diagnosis {
    /// The worst of the findings.
    pub fn worst(&self) -> Option<Grade> {
        self.findings.iter().map(|finding| finding.grade).max()
    }
}

/// The built-in approver and signer take milliseconds (catalogue S-10); what waits so long waits for something else.
pub const PATIENCE: SignedDuration = SignedDuration::from_secs(10);

/// Judges a snapshot.
pub fn diagnose(snapshot: &Snapshot) -> Diagnosis {
    let mut doctor = Doctor { snapshot, findings: Vec::new(), unknown: Vec::new() };
    doctor.bootstrapping();
    doctor.renewing();
    doctor.too_wide();
    doctor.waiting();
    doctor.signing();
    doctor.approved();
    doctor.tokens();
    doctor.client_certificates();
    doctor.serving_certificates();
    let Doctor { mut findings, unknown, .. } = doctor;
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.grade));
    Diagnosis {
        taken: snapshot.taken,
        server: snapshot.server.clone(),
        version: snapshot.version,
        bindings: bindings(snapshot),
        approvers: approvers(snapshot),
        signers: signers(snapshot),
        tokens: snapshot.tokens.all().to_vec(),
        nodes: nodes(snapshot),
        findings,
        unknown,
        missing: missing(snapshot),
    }
}

struct Doctor<'a> {
    snapshot: &'a Snapshot,
    findings: Vec<Finding>,
    unknown: Vec<String>,
}

const BOOTSTRAPPER: &str = "system:node-bootstrapper";
const NODE_CLIENT: &str = "system:certificates.k8s.io:certificatesigningrequests:nodeclient";
const SELF_NODE_CLIENT: &str = "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient";

impl Doctor<'_> {
    fn find(
        &mut self,
        id: &'static str,
        grade: Grade,
        about: impl IntoIterator<Item = String>,
        says: impl Into<String>,
        mend: impl IntoIterator<Item = String>,
    ) {
        self.findings.push(Finding {
            id,
            grade,
            about: about.into_iter().collect(),
            says: says.into(),
            mend: mend.into_iter().collect(),
        });
    }

    /// Can a new node ask for a certificate, learn of it, and have it approved?
    fn bootstrapping(&mut self) {
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
    fn renewing(&mut self) {
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
    fn too_wide(&mut self) {
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

    /// CSRs that nobody decides about.
    fn waiting(&mut self) {
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

    /// Does somebody sign what is approved, and with a CA that counts?
    fn signing(&mut self) {
        let snapshot = self.snapshot;
        let unsigned: Vec<&CsrEvent> = snapshot
            .csrs
            .all()
            .iter()
            .filter(|csr| condition(csr, "Approved").is_some() && csr.certificates.is_empty())
            .collect();
        let stuck: Vec<&&CsrEvent> = unsigned
            .iter()
            .filter(|csr| condition(csr, "Failed").is_none())
            .filter(|csr| snapshot.taken.duration_since(csr.created) >= PATIENCE)
            .collect();
        if !stuck.is_empty() {
            let names: Vec<String> = stuck.iter().map(|csr| csr.name.clone()).collect();
            let signers: BTreeSet<&str> = stuck.iter().map(|csr| csr.signer_name.as_str()).collect();
            let signers: Vec<&str> = signers.into_iter().collect();
            let says = format!(
                "nobody signs for {}: {} approved and not issued; the controller csrsigning does not run, has no key, or its CA has expired",
                signers.join(" and "),
                names.join(", ")
            );
            let mend = ["kubectl -n kube-system logs -l component=kube-controller-manager | grep -i sign   # it needs --cluster-signing-cert-file and --cluster-signing-key-file".to_owned()];
            self.find("signer.absent", Grade::Broken, names, says, mend);
        }
        for csr in &unsigned {
            if let Some(failed) = condition(csr, "Failed") {
                self.find(
                    "signer.refused",
                    Grade::Warning,
                    [csr.name.clone()],
                    format!("{} was approved, and the signer refused it: {}", csr.name, failed.message),
                    [format!("kubectl describe csr {}", csr.name)],
                );
            }
        }
        self.trust();
        self.ca_life();
        if snapshot.csrs.get().is_some_and(|csrs| !csrs.iter().any(|csr| condition(csr, "Approved").is_some())) {
            self.unknown.push(
                "who approves and signs, and for how long: the API has no decided CSR (they are deleted an hour after approval)".into(),
            );
        }
    }

    fn trust(&mut self) {
        let snapshot = self.snapshot;
        let Some(cas) = snapshot.client_cas.get() else {
            return;
        };
        if cas.is_empty() {
            self.unknown.push(
                "whether the API server trusts what is signed: it publishes no --client-ca-file (ConfigMap kube-system/extension-apiserver-authentication)".into(),
            );
            return;
        }
        let roots: Vec<Vec<u8>> = cas.iter().filter_map(der).collect();
        let roots: Vec<&[u8]> = roots.iter().map(Vec::as_slice).collect();
        let mut strangers = BTreeMap::new();
        for csr in snapshot.csrs.all().iter().filter(|csr| is(csr, Role::Client)) {
            let Some(leaf) = csr.certificates.first() else {
                continue;
            };
            let is_current = leaf.not_before <= snapshot.taken && snapshot.taken <= leaf.not_after;
            let others: Vec<Vec<u8>> = csr.certificates[1..].iter().filter_map(der).collect();
            let others: Vec<&[u8]> = others.iter().map(Vec::as_slice).collect();
            let trusted =
                der(leaf).is_some_and(|leaf| chain(&leaf, &others, &roots, snapshot.taken, Usage::Client).is_ok());
            if is_current && !trusted {
                strangers.insert(csr.name.clone(), name_of(&leaf.issuer));
            }
        }
        if let Some(issuer) = strangers.values().next().cloned() {
            let trusted: Vec<String> = cas.iter().map(|ca| name_of(&ca.subject)).collect();
            let names: Vec<String> = strangers.into_keys().collect();
            let says = format!(
                "client certificates are signed by a CA that the API server does not trust ({issuer}; it trusts {}): every node that renews gets 401 and is gone",
                trusted.join(", ")
            );
            let mend = ["kube-controller-manager --cluster-signing-cert-file=CA.crt --cluster-signing-key-file=CA.key   # on the control plane: a CA that is in kube-apiserver's --client-ca-file, or add this one there".to_owned()];
            self.find("signer.wrong-ca", Grade::Broken, names, says, mend);
        }
    }

    fn ca_life(&mut self) {
        const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);
        let snapshot = self.snapshot;
        let cas = snapshot.client_cas.all();
        let issuers: BTreeSet<String> = snapshot
            .csrs
            .all()
            .iter()
            .filter(|csr| is(csr, Role::Client))
            .filter_map(|csr| Some(name_of(&csr.certificates.first()?.issuer)))
            .collect();
        for ca in cas {
            let name = name_of(&ca.subject);
            let signs = issuers.contains(&name) || cas.len() == 1;
            let left = ca.not_after.duration_since(snapshot.taken);
            let span = ca.not_after.duration_since(ca.not_before);
            if !signs || left > SOON || (left.is_positive() && span < SOON * 2) {
                continue;
            }
            let (grade, says) = if left.is_negative() {
                (
                    Grade::Broken,
                    format!(
                        "the CA {name} has ended at {}: nothing is signed any more, and no certificate of it counts",
                        short(ca.not_after)
                    ),
                )
            } else {
                (
                    Grade::Warning,
                    format!(
                        "the CA {name} ends at {}: certificates can't be signed for longer than that",
                        short(ca.not_after)
                    ),
                )
            };
            let mend = ["kubeadm certs check-expiration   # CAs are not renewed by it: see the manual rotation of CA certificates in Kubernetes' documentation".to_owned()];
            self.find("ca.ends", grade, [name], says, mend);
        }
    }

    /// What was approved and should not have been.
    fn approved(&mut self) {
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

    fn tokens(&mut self) {
        let Some(tokens) = self.snapshot.tokens.get() else {
            return;
        };
        let now = self.snapshot.taken;
        let ids = |wanted: &dyn Fn(&TokenFacts) -> bool| -> Vec<String> {
            let fitting = tokens.iter().filter(|token| wanted(token));
            fitting.map(|token| token.id.clone()).collect()
        };
        let usable = ids(&|token| token.is_usable(now));
        let expired = ids(&|token| token.expires.is_some_and(|expires| expires <= now));
        let create =
            "kubeadm token create --ttl 24h   # or a Secret of the type bootstrap.kubernetes.io/token in kube-system"
                .to_owned();
        let none_left = if usable.is_empty() {
            "; no other is usable, so that a node whose certificate has ended can't come back by a bootstrap token"
        } else {
            ""
        };
        if !expired.is_empty() {
            let says = format!(
                "bootstrap tokens that have expired and are still there: {}. Kubelets that have one get 401; the controller tokencleaner, which removes them, does not run{none_left}",
                expired.join(", ")
            );
            let delete = format!("kubectl -n kube-system delete secret {}", secrets(&expired));
            self.find("tokens.expired", Grade::Warning, expired.clone(), says, [create.clone(), delete]);
        }
        for token in tokens {
            if let Some(defect) = &token.defect {
                let says = format!(
                    "nobody can authenticate with the bootstrap token {}: {defect}. The API server answers 401 and does not say why{none_left}",
                    token.id
                );
                let delete = format!("kubectl -n kube-system delete secret bootstrap-token-{}", token.id);
                self.find("tokens.defective", Grade::Warning, [token.id.clone()], says, [delete, create.clone()]);
            }
        }
        if tokens.is_empty() {
            self.find(
                "tokens.none",
                Grade::Warning,
                [],
                "there is no bootstrap token: no node can join by one, nor come back when its certificate has ended (tokens in the API server's --token-auth-file can't be seen)",
                [create],
            );
        }
        let forever = ids(&|token| token.is_usable(now) && token.expires.is_none());
        if !forever.is_empty() {
            let says = format!(
                "bootstrap tokens that never expire: {}. Whoever finds one in an old image can join",
                forever.join(", ")
            );
            self.find("tokens.forever", Grade::Note, forever, says, []);
        }
    }

    fn client_certificates(&mut self) {
        let snapshot = self.snapshot;
        let pending: BTreeSet<&str> = snapshot
            .csrs
            .all()
            .iter()
            .filter(|csr| is(csr, Role::Client) && csr.certificates.is_empty())
            .filter_map(CsrEvent::node)
            .collect();
        let mut without = 0;
        for node in nodes(snapshot) {
            let Some(life) = &node.client else {
                without += 1;
                continue;
            };
            if pending.contains(node.name.as_str()) || !is_overdue(life, snapshot.taken) {
                continue;
            }
            let says = format!(
                "{} should have renewed its client certificate by {}, and has not asked; it ends at {}",
                node.name,
                short(life.renews_to.unwrap_or(life.not_after)),
                short(life.not_after)
            );
            let mend = [format!(
                "systemctl restart kubelet   # on {}; then: journalctl -u kubelet | grep certificate_manager",
                node.name
            )];
            self.find("node.renewal-overdue", Grade::Broken, [node.name.clone()], says, mend);
        }
        if without > 0 && snapshot.csrs.get().is_some() {
            self.unknown.push(format!(
                "when the client certificates of {without} nodes end: their CSRs are gone from the API (an hour after approval). On the node: openssl x509 -noout -enddate -in /var/lib/kubelet/pki/kubelet-client-current.pem"
            ));
        }
    }

    fn serving_certificates(&mut self) {
        let snapshot = self.snapshot;
        let waiting: BTreeSet<&str> = snapshot
            .csrs
            .all()
            .iter()
            .filter(|csr| is(csr, Role::Serving) && csr.certificates.is_empty())
            .filter_map(CsrEvent::node)
            .collect();
        let mut unreachable = Vec::new();
        for node in snapshot.nodes.all() {
            match &node.served {
                Served::Unreachable(why) => unreachable.push((node.name.clone(), why.clone())),
                Served::Alert(alert) if !waiting.contains(node.name.as_str()) => self.find(
                    "serving.none",
                    Grade::Broken,
                    [node.name.clone()],
                    format!("{} has no serving certificate (TLS alert: {alert}), and no CSR of it waits: kubectl logs and exec fail there", node.name),
                    [format!("journalctl -u kubelet | grep -i 'serving\\|certificate'   # on {}", node.name)],
                ),
                Served::Alert(_) => {}
                Served::Certificate(certificate) => self.served(node, certificate),
            }
        }
        if let Some((name, why)) = unreachable.first() {
            self.unknown.push(format!(
                "what {} of the nodes serve: their port can't be reached from here ({name}: {why})",
                unreachable.len()
            ));
        }
    }

    fn served(&mut self, node: &NodeFacts, certificate: &CertificateFacts) {
        let life = life(certificate);
        let now = self.snapshot.taken;
        let mend = if life.self_signed {
            format!(
                "rm /var/lib/kubelet/pki/kubelet.crt /var/lib/kubelet/pki/kubelet.key && systemctl restart kubelet   # on {}: the kubelet never renews this one",
                node.name
            )
        } else {
            format!("systemctl restart kubelet   # on {}; then approve its serving CSR", node.name)
        };
        // Nine tenths and half of what is left then: a kubelet that renews has done so.
        let late = at_share(life.not_before, life.not_after, 0.95);
        if now > life.not_after {
            let says = format!(
                "the certificate that {} serves has ended at {}: kubectl logs and exec fail there",
                node.name,
                short(life.not_after)
            );
            self.find("serving.expired", Grade::Broken, [node.name.clone()], says, [mend]);
        } else if now > late {
            let never = if life.self_signed {
                ", and the kubelet does not renew it"
            } else {
                ", and should long have been renewed"
            };
            let says = format!("the certificate that {} serves ends at {}{never}", node.name, short(life.not_after));
            self.find("serving.ends", Grade::Broken, [node.name.clone()], says, [mend]);
        }
        let lacking: Vec<String> =
            node.addresses.iter().filter(|ip| !certificate.ips.contains(ip)).map(ToString::to_string).collect();
        if !life.self_signed && !lacking.is_empty() {
            let says = format!(
                "the certificate that {} serves lacks its addresses {}: an API server with --kubelet-certificate-authority refuses it",
                node.name,
                lacking.join(", ")
            );
            self.find(
                "serving.names",
                Grade::Warning,
                [node.name.clone()],
                says,
                ["kubectl get csr   # its kubelet has asked for a new one, or will".to_owned()],
            );
        }
    }
}

const NODES: &str = "system:nodes";

fn is(csr: &CsrEvent, role: Role) -> bool {
    csr.signer_name == role.signer_name()
}

fn is_by_node(csr: &CsrEvent) -> bool {
    csr.groups.iter().any(|group| group == NODES)
}

fn condition<'a>(csr: &'a CsrEvent, kind: &str) -> Option<&'a tlsboot_core::history::event::CsrCondition> {
    csr.conditions.iter().find(|condition| condition.kind == kind)
}

fn bind(name: &str, role: &str, to: &str) -> String {
    format!("kubectl create clusterrolebinding {name} --clusterrole={role} {to}")
}

fn secrets(ids: &[String]) -> String {
    let names: Vec<String> = ids.iter().map(|id| format!("bootstrap-token-{id}")).collect();
    names.join(" ")
}

fn wide(review: &Review, above: &BTreeSet<Ability>, right: &[Ability]) -> Vec<Ability> {
    if review.may.contains(&Ability::Everything) && !above.contains(&Ability::Everything) {
        return vec![Ability::Everything];
    }
    let may = review.may.difference(above).copied();
    // Watching CSRs shows public things only.
    may.filter(|ability| *ability != Ability::Watch && !right.contains(ability)).collect()
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

fn der(certificate: &CertificateFacts) -> Option<Vec<u8>> {
    STANDARD.decode(&certificate.der).ok()
}

fn name_of(name: &tlsboot_core::history::facts::Name) -> String {
    name.common_name.clone().unwrap_or_else(|| name.organizations.join(","))
}

/// As people read it: to the second, in UTC.
pub(super) fn short(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

fn life(certificate: &CertificateFacts) -> Life {
    let issuer = name_of(&certificate.issuer);
    // `<host>-ca@<unix time>` (catalogue K-18).
    let self_signed = issuer.rsplit_once("-ca@").is_some_and(|(_, time)| time.parse::<u64>().is_ok());
    let any = Version::new(1, 37, 0);
    let (from, to) = Rules::new(any, any).rotation_window(certificate.not_before, certificate.not_after);
    let names = certificate.dns.iter().cloned();
    Life {
        not_before: certificate.not_before,
        not_after: certificate.not_after,
        renews_from: (!self_signed).then_some(from),
        renews_to: (!self_signed).then_some(to),
        names: names.chain(certificate.ips.iter().map(ToString::to_string)).collect(),
        self_signed,
    }
}

/// Half of the time between the latest moment of renewal and the end has gone by.
fn is_overdue(life: &Life, now: Timestamp) -> bool {
    life.renews_to.is_some_and(|to| now > at_share(to, life.not_after, 0.5))
}

fn bindings(snapshot: &Snapshot) -> Vec<BindingReport> {
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

/// Who decides with a condition's reason.
fn decider(reason: &str) -> String {
    match reason {
        "AutoApproved" => "kube-controller-manager".into(),
        "KubectlApprove" | "KubectlDeny" => "a person, by kubectl".into(),
        other => format!("an approver with the reason `{other}`"),
    }
}

fn approvers(snapshot: &Snapshot) -> Vec<ApproverReport> {
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

fn signers(snapshot: &Snapshot) -> Vec<SignerReport> {
    let mut reports: BTreeMap<(String, String), SignerReport> = BTreeMap::new();
    for csr in snapshot.csrs.all() {
        let Some(leaf) = csr.certificates.first() else {
            continue;
        };
        let span = leaf.not_after.duration_since(leaf.not_before).as_secs();
        let issuer = name_of(&leaf.issuer);
        let report = reports.entry((csr.signer_name.clone(), issuer.clone())).or_insert(SignerReport {
            signer: csr.signer_name.clone(),
            issuer,
            certificates: 0,
            shortest: span,
            longest: span,
            after_request: 0,
        });
        report.certificates += 1;
        report.shortest = report.shortest.min(span);
        report.longest = report.longest.max(span);
        let after = leaf.not_after.duration_since(csr.created).as_secs();
        report.after_request = report.after_request.max(after);
    }
    reports.into_values().collect()
}

fn nodes(snapshot: &Snapshot) -> Vec<NodeReport> {
    let mut newest: BTreeMap<&str, &CertificateFacts> = BTreeMap::new();
    for csr in snapshot.csrs.all().iter().filter(|csr| is(csr, Role::Client)) {
        let (Some(node), Some(leaf)) = (csr.node(), csr.certificates.first()) else {
            continue;
        };
        let known = newest.entry(node).or_insert(leaf);
        if leaf.not_before > known.not_before {
            *known = leaf;
        }
    }
    let reports = snapshot.nodes.all().iter().map(|node| {
        let (serving, not_served) = match &node.served {
            Served::Certificate(certificate) => (Some(life(certificate)), None),
            Served::Alert(alert) => (None, Some(format!("none (TLS alert: {alert})"))),
            Served::Unreachable(why) => (None, Some(format!("not reachable: {why}"))),
        };
        NodeReport {
            name: node.name.clone(),
            kubelet: node.kubelet.clone(),
            ready: node.ready.clone(),
            client: newest.get(node.name.as_str()).map(|leaf| life(leaf)),
            serving,
            not_served,
        }
    });
    reports.collect()
}

fn missing(snapshot: &Snapshot) -> Vec<Right> {
    fn of<T>(seen: &Seen<T>) -> Option<Right> {
        seen.missing().cloned()
    }
    let all = [
        of(&snapshot.grants),
        of(&snapshot.reviews),
        of(&snapshot.csrs),
        of(&snapshot.tokens),
        of(&snapshot.nodes),
        of(&snapshot.client_cas),
    ];
    all.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;

    use super::super::snapshot::{Grant, Subject};
    use super::*;
    use tlsboot_core::history::event::{Change, CsrCondition};
    use tlsboot_core::x509::{AltName, read};
    use tlsboot_engine::pki::{Authority, Issued, RequestBuilder, Validity};

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn facts(issued: &Issued) -> CertificateFacts {
        of_pem(&issued.certificate_pem)
    }

    fn of_pem(pem: &str) -> CertificateFacts {
        read::certificates_from_pem(pem.as_bytes()).unwrap().remove(0)
    }

    fn condition(kind: &str, reason: &str) -> CsrCondition {
        CsrCondition {
            kind: kind.into(),
            status: "True".into(),
            reason: reason.into(),
            message: "said so".into(),
            last_update_time: None,
            last_transition_time: None,
        }
    }

    fn csr(role: Role, user: &str, request: RequestBuilder) -> CsrEvent {
        let node = user.starts_with(NODE_USER_PREFIX);
        let any = Version::new(1, 37, 0);
        CsrEvent {
            change: Change::Added,
            name: "csr-a".into(),
            uid: "u".into(),
            resource_version: "1".into(),
            labels: Default::default(),
            created: Timestamp::now() - SignedDuration::from_mins(1),
            signer_name: role.signer_name().into(),
            username: user.into(),
            user_uid: String::new(),
            groups: vec![if node { NODES } else { "system:bootstrappers" }.into()],
            extra: Default::default(),
            usages: Rules::new(any, any).usages(role),
            expiration_seconds: None,
            request: read::request(request.build().unwrap().0.as_bytes()).unwrap(),
            conditions: Vec::new(),
            certificates: Vec::new(),
        }
    }

    fn may(who: Who, groups: &[&str], may: &[Ability]) -> Review {
        Review { who, groups: groups.iter().map(|&group| group.into()).collect(), may: may.iter().copied().collect() }
    }

    fn token(id: &str) -> TokenFacts {
        TokenFacts {
            id: id.into(),
            expires: Some(Timestamp::now() + SignedDuration::from_hours(5)),
            groups: vec!["system:bootstrappers".into()],
            defect: None,
        }
    }

    /// A cluster as kubeadm makes it, with one node that has renewed and serves a signed certificate.
    fn healthy() -> Snapshot {
        let ca = Authority::new("kubernetes", Validity::for_next(DAY * 3650)).unwrap();
        let user = "system:node:n1";
        let client = ca.issue_client(user, &[NODES], Validity::for_next(DAY * 365)).unwrap();
        let names = [AltName::Dns("n1".into()), AltName::Ip([192, 0, 2, 7].into())];
        let served = ca.issue_server(user, &names, Validity::for_next(DAY * 365)).unwrap();
        let mut renewal = csr(Role::Client, user, RequestBuilder::node("n1"));
        renewal.conditions = vec![condition("Approved", "AutoApproved")];
        renewal.certificates = vec![facts(&client)];
        let mut serving = csr(Role::Serving, user, RequestBuilder::node("n1").alt_names(names));
        serving.name = "csr-s".into();
        serving.conditions = vec![condition("Approved", "KubectlApprove")];
        serving.certificates = vec![facts(&served)];
        let bootstrapper = || {
            let abilities = [Ability::Ask, Ability::Watch, Ability::NodeClient];
            may(Who::Token("abcdef".into()), &["system:bootstrappers"], &abilities)
        };
        Snapshot {
            taken: Timestamp::now(),
            server: "https://127.0.0.1:6443".into(),
            version: Some(Version::new(1, 37, 2)),
            anonymous: 403,
            grants: Seen::Is(vec![]),
            reviews: Seen::Is(vec![
                may(Who::Anonymous, &["system:unauthenticated"], &[]),
                may(Who::Authenticated, &["system:authenticated"], &[]),
                may(Who::Node("n1".into()), &[NODES], &[Ability::Ask, Ability::Watch, Ability::SelfNodeClient]),
                bootstrapper(),
                Review { who: Who::Requester("system:bootstrap:abcdef".into()), ..bootstrapper() },
            ]),
            csrs: Seen::Is(vec![renewal, serving]),
            tokens: Seen::Is(vec![token("abcdef")]),
            nodes: Seen::Is(vec![NodeFacts {
                name: "n1".into(),
                kubelet: "v1.37.2".into(),
                ready: "True".into(),
                host_names: vec!["n1".into()],
                addresses: vec![[192, 0, 2, 7].into()],
                served: Served::Certificate(Box::new(facts(&served))),
            }]),
            client_cas: Seen::Is(vec![of_pem(ca.certificate_pem())]),
        }
    }

    fn ids(snapshot: &Snapshot) -> Vec<(&'static str, Grade)> {
        let findings = diagnose(snapshot).findings;
        findings.iter().map(|finding| (finding.id, finding.grade)).collect()
    }

    /// Changes one thing of a healthy cluster.
    fn with(change: impl FnOnce(&mut Snapshot)) -> Vec<(&'static str, Grade)> {
        let mut snapshot = healthy();
        change(&mut snapshot);
        ids(&snapshot)
    }

    fn list<T>(seen: &mut Seen<Vec<T>>) -> &mut Vec<T> {
        match seen {
            Seen::Is(list) => list,
            Seen::Refused(right) => panic!("{right}"),
        }
    }

    fn abilities(snapshot: &mut Snapshot, who: fn(&Who) -> bool) -> Vec<&mut BTreeSet<Ability>> {
        let reviews = list(&mut snapshot.reviews).iter_mut();
        reviews.filter(|review| who(&review.who)).map(|review| &mut review.may).collect()
    }

    #[test]
    fn a_healthy_cluster_has_no_finding_and_nothing_unknown() {
        let diagnosis = diagnose(&healthy());
        assert_eq!(diagnosis.findings, []);
        assert_eq!(diagnosis.unknown, Vec::<String>::new());
        assert_eq!(diagnosis.missing, []);
        let client = diagnosis.nodes[0].client.as_ref().unwrap();
        assert!(client.renews_from.unwrap() < client.renews_to.unwrap());
        assert_eq!(diagnosis.signers.len(), 2);
        let deciders: Vec<&str> = diagnosis.approvers.iter().map(|approver| approver.who.as_str()).collect();
        assert_eq!(deciders, ["kube-controller-manager", "a person, by kubectl"]);
    }

    fn is_token(who: &Who) -> bool {
        matches!(who, Who::Token(_))
    }

    fn is_new(who: &Who) -> bool {
        matches!(who, Who::Token(_) | Who::Requester(_))
    }

    fn is_node(who: &Who) -> bool {
        matches!(who, Who::Node(_))
    }

    fn is_anonymous(who: &Who) -> bool {
        *who == Who::Anonymous
    }

    fn is_anybody(who: &Who) -> bool {
        *who == Who::Authenticated
    }

    #[rstest]
    #[case(is_token, Ability::Ask, "bootstrap.not-bound")]
    #[case(is_new, Ability::Watch, "bootstrap.cannot-watch")]
    #[case(is_new, Ability::NodeClient, "bootstrap.not-approved")]
    #[case(is_node, Ability::Ask, "renewal.cannot-ask")]
    #[case(is_node, Ability::SelfNodeClient, "renewal.not-approved")]
    fn a_right_that_lacks_breaks(#[case] who: fn(&Who) -> bool, #[case] ability: Ability, #[case] id: &str) {
        let found = with(|snapshot| {
            for may in abilities(snapshot, who) {
                assert!(may.remove(&ability));
            }
        });
        assert_eq!(found, [(id, Grade::Broken)]);
    }

    #[test]
    fn where_another_approver_approves_the_built_in_ones_right_is_not_needed() {
        let found = with(|snapshot| {
            abilities(snapshot, is_node)[0].remove(&Ability::SelfNodeClient);
            list(&mut snapshot.csrs)[0].conditions[0].reason = "ByMachineApprover".into();
        });
        assert_eq!(found, [("renewal.not-approved", Grade::Note)]);
    }

    #[rstest]
    #[case(is_anonymous, Ability::ReadSecrets, 403, "anonymous.too-wide", Grade::Hole)]
    #[case(is_anonymous, Ability::Ask, 401, "anonymous.too-wide", Grade::Warning)]
    #[case(is_anybody, Ability::NodeClient, 403, "authenticated.too-wide", Grade::Hole)]
    #[case(is_node, Ability::NodeClient, 403, "nodes.too-wide", Grade::Hole)]
    #[case(is_token, Ability::Everything, 403, "bootstrap.too-wide", Grade::Hole)]
    fn a_right_too_many_is_a_hole(
        #[case] who: fn(&Who) -> bool,
        #[case] ability: Ability,
        #[case] anonymous: u16,
        #[case] id: &str,
        #[case] grade: Grade,
    ) {
        let found = with(|snapshot| {
            snapshot.anonymous = anonymous;
            abilities(snapshot, who)[0].insert(ability);
        });
        assert_eq!(found, [(id, grade)]);
    }

    #[test]
    fn the_binding_that_gives_too_much_is_named() {
        let mut snapshot = healthy();
        abilities(&mut snapshot, is_anybody)[0].insert(Ability::NodeClient);
        list(&mut snapshot.grants).push(Grant {
            binding: "wide".into(),
            role: NODE_CLIENT.into(),
            subject: Subject { kind: "Group".into(), name: "system:authenticated".into(), namespace: None },
            abilities: BTreeSet::from([Ability::NodeClient]),
        });
        let finding = &diagnose(&snapshot).findings[0];
        assert!(finding.mend[0].starts_with("kubectl edit clusterrolebinding wide "), "{finding:?}");
    }

    #[rstest]
    #[case::nobody_approves(Role::Client, "n1", &[], 60, &[("approver.absent", Grade::Broken)])]
    #[case::it_has_just_come(Role::Client, "n1", &[], 2, &[])]
    #[case::nobody_signs(Role::Client, "n1", &["Approved"], 60, &[("signer.absent", Grade::Broken)])]
    #[case::refused(Role::Client, "n1", &["Approved", "Failed"], 60, &[("signer.refused", Grade::Warning)])]
    #[case::denied(Role::Client, "n1", &["Denied"], 60, &[("csr.denied", Grade::Warning)])]
    #[case::serving(Role::Serving, "n1", &[], 60, &[("serving.pending", Grade::Warning)])]
    fn a_csr_that_gets_nowhere(
        #[case] role: Role,
        #[case] node: &str,
        #[case] conditions: &[&str],
        #[case] age: i64,
        #[case] findings: &[(&str, Grade)],
    ) {
        let found = with(|snapshot| {
            let user = match role {
                Role::Client => "system:bootstrap:abcdef",
                Role::Serving => "system:node:n1",
            };
            let names = match role {
                Role::Client => vec![],
                Role::Serving => vec![AltName::Ip([192, 0, 2, 7].into())],
            };
            let mut waiting = csr(role, user, RequestBuilder::node(node).alt_names(names));
            waiting.created = snapshot.taken - SignedDuration::from_secs(age);
            waiting.conditions = conditions.iter().map(|kind| condition(kind, "AutoApproved")).collect();
            list(&mut snapshot.csrs).push(waiting);
        });
        assert_eq!(found, findings);
    }

    #[test]
    fn a_csr_that_is_no_kubelets_is_told_from_one_that_nobody_approves() {
        let found = with(|snapshot| {
            let odd = RequestBuilder::node("n1").alt_names([AltName::Dns("x".into())]);
            list(&mut snapshot.csrs).push(csr(Role::Client, "system:bootstrap:abcdef", odd));
        });
        assert_eq!(found, [("csr.unrecognised", Grade::Warning)]);
    }

    #[rstest]
    #[case::foreign_host(AltName::Dns("www.example.com".into()), "system:node:n1", "ByRogue", &[("approver.foreign-names", Grade::Hole)])]
    #[case::by_hand(AltName::Dns("www.example.com".into()), "system:node:n1", "KubectlApprove", &[("approver.foreign-names", Grade::Warning)])]
    #[case::own(AltName::Ip([192, 0, 2, 7].into()), "system:node:n1", "ByRogue", &[])]
    #[case::requester(AltName::Ip([192, 0, 2, 7].into()), "system:node:n2", "ByRogue", &[("approver.foreign-names", Grade::Hole)])]
    fn names_that_are_not_the_nodes(
        #[case] name: AltName,
        #[case] user: &str,
        #[case] reason: &str,
        #[case] findings: &[(&str, Grade)],
    ) {
        let found = with(|snapshot| {
            let serving = &mut list(&mut snapshot.csrs)[1];
            let mut other = csr(Role::Serving, user, RequestBuilder::node("n1").alt_names([name]));
            other.conditions = vec![condition("Approved", reason)];
            other.certificates = serving.certificates.clone();
            *serving = other;
        });
        assert_eq!(found, findings);
    }

    #[test]
    fn an_approver_that_takes_what_is_no_kubelets_is_a_hole() {
        let found = with(|snapshot| {
            list(&mut snapshot.csrs)[0].request.subject.organizations.push("system:masters".into());
            list(&mut snapshot.csrs)[0].conditions[0].reason = "ByRogue".into();
        });
        assert_eq!(found, [("approver.too-much", Grade::Hole)]);
    }

    #[test]
    fn certificates_of_a_ca_that_does_not_count() {
        let found = with(|snapshot| {
            let other = Authority::new("another", Validity::for_next(DAY * 3650)).unwrap();
            snapshot.client_cas = Seen::Is(vec![of_pem(other.certificate_pem())]);
        });
        assert_eq!(found, [("signer.wrong-ca", Grade::Broken)]);
    }

    #[rstest]
    #[case::soon(20, &[("ca.ends", Grade::Warning)])]
    #[case::late(40, &[])]
    fn a_ca_that_ends(#[case] days: i64, #[case] findings: &[(&str, Grade)]) {
        let found = with(|snapshot| {
            let ca = &mut list(&mut snapshot.client_cas)[0];
            ca.not_before = snapshot.taken - SignedDuration::from_hours(24 * 3000);
            ca.not_after = snapshot.taken + SignedDuration::from_hours(24 * days);
        });
        assert_eq!(found, findings);
    }

    #[rstest]
    #[case::none(&[], "tokens.none")]
    #[case::expired(&[(-1, None)], "tokens.expired")]
    #[case::one_of_two_expired(&[(-1, None), (5, None)], "tokens.expired")]
    #[case::defective(&[(5, Some("broken"))], "tokens.defective")]
    fn tokens_that_are_no_use(#[case] tokens: &[(i64, Option<&str>)], #[case] id: &str) {
        let found = with(|snapshot| {
            let made = tokens.iter().map(|(hours, defect)| TokenFacts {
                expires: Some(snapshot.taken + SignedDuration::from_hours(*hours)),
                defect: defect.map(str::to_owned),
                ..token("abcdef")
            });
            snapshot.tokens = Seen::Is(made.collect());
        });
        assert_eq!(found, [(id, Grade::Warning)]);
    }

    fn served(snapshot: &mut Snapshot) -> &mut CertificateFacts {
        match &mut list(&mut snapshot.nodes)[0].served {
            Served::Certificate(certificate) => certificate,
            other => panic!("{other:?}"),
        }
    }

    #[rstest]
    #[case::fresh(1, 100, "kubernetes", &[])]
    #[case::late_but_not_yet(92, 8, "kubernetes", &[])]
    #[case::should_have_been_renewed(97, 3, "kubernetes", &[("serving.ends", Grade::Broken)])]
    #[case::never_renewed(97, 3, "n1-ca@1795557838", &[("serving.ends", Grade::Broken)])]
    #[case::ended(100, -1, "kubernetes", &[("serving.expired", Grade::Broken)])]
    fn what_a_node_serves_ends(
        #[case] since: i64,
        #[case] left: i64,
        #[case] issuer: &str,
        #[case] findings: &[(&str, Grade)],
    ) {
        let found = with(|snapshot| {
            let taken = snapshot.taken;
            let certificate = served(snapshot);
            certificate.not_before = taken - SignedDuration::from_hours(since);
            certificate.not_after = taken + SignedDuration::from_hours(left);
            certificate.issuer.common_name = Some(issuer.into());
        });
        assert_eq!(found, findings);
    }

    #[test]
    fn a_node_that_serves_no_address_of_its_own() {
        let found = with(|snapshot| served(snapshot).ips.clear());
        assert_eq!(found, [("serving.names", Grade::Warning)]);
        let found = with(|snapshot| {
            let certificate = served(snapshot);
            certificate.ips.clear();
            certificate.issuer.common_name = Some("n1-ca@1795557838".into());
        });
        assert_eq!(found, []);
    }

    #[test]
    fn a_node_that_serves_nothing() {
        let alert = |snapshot: &mut Snapshot| {
            list(&mut snapshot.nodes)[0].served = Served::Alert("internal error".into());
        };
        assert_eq!(with(alert), [("serving.none", Grade::Broken)]);
        let found = with(|snapshot| {
            alert(snapshot);
            let mut waiting = csr(Role::Serving, "system:node:n1", RequestBuilder::node("n1"));
            waiting.name = "csr-w".into();
            list(&mut snapshot.csrs).push(waiting);
        });
        assert_eq!(found, [("serving.pending", Grade::Broken)]);
    }

    #[test]
    fn a_renewal_that_did_not_come() {
        let found = with(|snapshot| {
            let taken = snapshot.taken;
            let leaf = &mut list(&mut snapshot.csrs)[0].certificates[0];
            leaf.not_before = taken - SignedDuration::from_hours(98);
            leaf.not_after = taken + SignedDuration::from_hours(2);
        });
        assert!(found.contains(&("node.renewal-overdue", Grade::Broken)), "{found:?}");
    }

    #[test]
    fn what_may_not_be_looked_at_is_named_and_nothing_is_made_up() {
        let mut snapshot = healthy();
        let right = Right { verb: "list".into(), resource: "x".into(), namespace: None, for_what: "y".into() };
        snapshot.grants = Seen::Refused(right.clone());
        snapshot.reviews = Seen::Refused(right.clone());
        snapshot.csrs = Seen::Refused(right.clone());
        snapshot.tokens = Seen::Refused(right.clone());
        snapshot.nodes = Seen::Refused(right.clone());
        snapshot.client_cas = Seen::Refused(right);
        let diagnosis = diagnose(&snapshot);
        assert_eq!(diagnosis.findings, []);
        assert_eq!(diagnosis.missing.len(), 6);
    }

    #[test]
    fn a_snapshot_can_be_written_down_and_read_back() {
        let snapshot = healthy();
        let json = serde_json::to_string(&snapshot).unwrap();
        let read: Snapshot = serde_json::from_str(&json).unwrap();
        assert_eq!(diagnose(&read), diagnose(&snapshot));
    }
}
