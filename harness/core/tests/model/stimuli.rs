//! What tlsboot does to the cluster, and how that shows.

use jiff::SignedDuration;
use tlsboot_core::check::Role;
use tlsboot_core::history::What;
use tlsboot_core::history::event::{Answer, ClosedBy, FileEvent, FileOp, KubeconfigFacts, KubeletFacts, Recorder};
use tlsboot_core::scenario::stimulus::{Changes, Component, CsrPick, CutKind, Direction, Step};

use crate::cluster::{Cluster, Deed, KILL, TERM};
use crate::control_plane::{Csr, length};
use crate::kubelet::{Act, Kubelet, file_facts};

/// How a stimulus took effect.
pub(crate) struct Done {
    pub(crate) proof: String,
    pub(crate) answer: Option<Answer>,
}

fn proven(proof: impl Into<String>) -> Done {
    Done { proof: proof.into(), answer: None }
}

impl Cluster<'_> {
    pub(crate) fn perform(&mut self, step: &Step) -> Done {
        match step {
            Step::Start(start) => match (&start.node, start.component) {
                (Some(node), _) => self.start_kubelet(node, &start.with),
                (None, component) => self.start_component(component.unwrap(), &start.with),
            },
            Step::Stop(end) | Step::Kill(end) => match (&end.node, end.component) {
                (Some(node), _) => self.end_kubelet(node, matches!(step, Step::Stop(_))),
                (None, component) => self.end_component(component.unwrap()),
            },
            Step::Restart(restart) => match (&restart.node, restart.component) {
                (Some(node), _) => {
                    self.end_kubelet(node, true);
                    self.start_kubelet(node, &restart.with)
                }
                (None, component) => {
                    self.end_component(component.unwrap());
                    self.start_component(component.unwrap(), &restart.with)
                }
            },
            Step::Approve(decide) => self.decide_by_hand(decide.pick(), true),
            Step::Deny(decide) => self.decide_by_hand(decide.pick(), false),
            Step::DeleteCsr(delete) => {
                let csr = self.await_csr(delete.pick(), Csr::exists);
                self.delete_csr(csr);
                self.pass(SignedDuration::from_millis(20));
                proven("it no longer exists")
            }
            Step::Cut(cut) if cut.kind == CutKind::Refuse && cut.direction == Direction::ToApiServer => {
                self.control_plane.cut.push(cut.node.to_string());
                self.closes_all(&cut.node, ClosedBy::Link);
                self.pass(SignedDuration::from_millis(5));
                proven("the link is cut")
            }
            Step::Reconnect(back) if back.direction == Direction::ToApiServer => {
                self.control_plane.cut.retain(|cut| *cut != *back.node);
                proven("the link lets connections through")
            }
            other => panic!("the model knows no `{}` like this", other.word()),
        }
    }

    fn start_kubelet(&mut self, node: &str, with: &Changes) -> Done {
        let is_new = !self.kubelets.contains_key(node);
        let settings = self.scenario.nodes.iter().find(|known| *known.name == *node).unwrap();
        let known = self.kubelets.get(node).map(|kubelet| kubelet.facts.clone());
        let mut facts = known.unwrap_or_else(|| KubeletFacts {
            node: node.to_owned(),
            version: self.kubelet,
            cert_dir: format!("/var/lib/{node}/pki"),
            kubeconfig: format!("/var/lib/{node}/kubeconfig"),
            rotate_certificates: settings.rotate_certificates,
            server_tls_bootstrap: settings.server_tls_bootstrap,
        });
        facts.rotate_certificates = with.rotate_certificates.unwrap_or(facts.rotate_certificates);
        facts.server_tls_bootstrap = with.server_tls_bootstrap.unwrap_or(facts.server_tls_bootstrap);
        self.write(What::Kubelet(facts.clone()));
        self.kubelets.entry(node.to_owned()).or_insert_with(|| Kubelet::new(facts.clone())).facts = facts.clone();
        if is_new {
            self.starts_recording(Recorder::Files);
            self.write(What::File(Box::new(bootstrap_kubeconfig(node))));
            for recorder in [Recorder::Presented, Recorder::Metrics, Recorder::Log] {
                self.starts_recording(recorder);
            }
        }
        let pid = self.starts("kubelet", Some(node));
        self.kubelets.get_mut(node).unwrap().pid = Some(pid);
        self.after(SignedDuration::ZERO, Deed::Probe(node.to_owned()));
        let begin = self.dice.millis(100..500);
        self.after(begin, Deed::Kubelet { node: node.to_owned(), pid, act: Act::Begin });
        proven(format!("the kubelet runs as pid {pid}"))
    }

    fn end_kubelet(&mut self, node: &str, in_order: bool) -> Done {
        let pid = self.kubelets[node].pid.unwrap();
        self.closes_all(node, ClosedBy::Kubelet);
        self.forgets(node);
        self.ends("kubelet", Some(node), pid, (!in_order).then_some(KILL));
        proven(format!("the kubelet (pid {pid}) ended"))
    }

    fn start_component(&mut self, component: Component, with: &Changes) -> Done {
        let name = component.name();
        match component {
            Component::ApiServer => {
                let pid = self.starts(name, None);
                let ready = self.dice.millis(400..3000);
                self.pass(ready);
                self.control_plane.server = Some(pid);
                // Informers of the controller-manager try again after up to a minute and a half.
                self.control_plane.watches_from = self.now + self.dice.millis(100..90_000);
            }
            Component::ControllerManager => {
                if let Some(duration) = with.signing_duration {
                    self.control_plane.duration = length(duration, self.rules);
                    self.write(self.control_plane.signing());
                }
                let pid = self.starts(name, None);
                self.control_plane.manager = Some(pid);
                self.control_plane.watches_from = self.now + self.dice.millis(100..900);
                let ready = self.dice.millis(200..900);
                self.pass(ready);
            }
        }
        proven(format!("{name} is ready"))
    }

    fn end_component(&mut self, component: Component) -> Done {
        let name = component.name();
        let pid = match component {
            Component::ApiServer => {
                for node in self.kubelets.keys().cloned().collect::<Vec<_>>() {
                    self.closes_all(&node, ClosedBy::Kubelet);
                }
                self.control_plane.server.take()
            }
            Component::ControllerManager => self.control_plane.manager.take(),
        };
        self.ends(name, None, pid.unwrap(), Some(TERM));
        proven(format!("{name} ended"))
    }

    /// A person decides, as `kubectl certificate` does.
    fn decide_by_hand(&mut self, pick: CsrPick<'_>, approves: bool) -> Done {
        let csr = self.await_csr(pick, Csr::is_pending);
        let (kind, reason, message) = match approves {
            true => ("Approved", "KubectlApprove", "This CSR was approved by kubectl certificate approve."),
            false => ("Denied", "KubectlDeny", "This CSR was denied by kubectl certificate deny."),
        };
        self.decide(csr, kind, reason, message);
        self.pass(SignedDuration::from_millis(2));
        let object = Some(self.control_plane.csrs[csr].now.name.clone());
        let answer = Answer { code: 200, reason: String::new(), message: String::new(), object };
        Done { proof: format!("it has the condition {kind}"), answer: Some(answer) }
    }

    /// The newest CSR that is meant, as soon as there is one.
    fn await_csr(&mut self, pick: CsrPick<'_>, fits: impl Fn(&Csr) -> bool) -> usize {
        let node = pick.node.expect("the model only knows CSRs of nodes");
        let latest = self.now + SignedDuration::from_hours(2);
        loop {
            if let Some(csr) = self.newest_csr(node, pick.role, &fits) {
                return csr;
            }
            assert!(self.now < latest, "nothing to decide for {node}, {:?}", pick.role.map(Role::word));
            self.proceed();
        }
    }
}

/// What a node has before its kubelet starts.
fn bootstrap_kubeconfig(node: &str) -> FileEvent {
    let kubeconfig = KubeconfigFacts { context: Some("bootstrap".into()), ..KubeconfigFacts::default() };
    let mut facts = file_facts("0600", Vec::new());
    facts.kubeconfig = Some(kubeconfig);
    FileEvent {
        node: node.to_owned(),
        name: "bootstrap-kubeconfig".into(),
        op: FileOp::Present,
        cookie: None,
        facts: Some(facts),
    }
}
