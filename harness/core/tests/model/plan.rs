//! What happens to a cluster, at random: its versions, its nodes, and what is done to them. A plan becomes a scenario
//! file, because stimuli are what explains a history.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use proptest::prelude::*;
use tlsboot_core::scenario::{Scenario, load_text};
use tlsboot_core::version::Version;

/// A scenario, and everything that chance decides about its course.
#[derive(Clone)]
pub(crate) struct Plan {
    kubernetes: u32,
    /// How many minor versions older the kubelets are.
    skew: u32,
    signing: Signing,
    nodes: Vec<Node>,
    deeds: Vec<(Deed, u32)>,
    pub(crate) seed: u64,
}

/// For how long the signer signs.
#[derive(Clone, Copy, Debug)]
enum Signing {
    /// Several renewals in some minutes.
    Short,
    /// Renewals with time for what may go wrong.
    Medium,
    /// One renewal at most.
    Hour,
    /// None.
    Day,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    by_static_token: bool,
    rotates: bool,
    serves_by_csr: bool,
}

/// What is done, before some seconds pass.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Restart,
    /// The kubelet is away for a while.
    Stop,
    RestartManager,
    /// The controller-manager is away for a while.
    StopManager,
    /// The API server is away for a while.
    StopServer,
    /// A node cannot reach the API server for a while.
    Cut,
    Approve,
    Deny,
}

impl Plan {
    pub(crate) fn kubernetes(&self) -> Version {
        Version::new(1, self.kubernetes, 3)
    }

    pub(crate) fn kubelet(&self) -> Version {
        Version::new(1, self.kubernetes - self.skew, 3)
    }

    pub(crate) fn scenario(&self) -> Scenario {
        let text = self.to_string();
        load_text("model.yaml", &text).unwrap_or_else(|errors| panic!("{text}\n{errors:?}"))
    }

    /// In seconds. Up to 1.21 five minutes of it are lost (catalogue S-05).
    fn signing_duration(&self) -> u32 {
        // Up to 1.35 a renewal within 90 s of the last one goes over an old connection, and gets 401 where the certificate
        // of that one has expired (catalogue N-16).
        let short = if self.kubelet().minor < 36 { 270 } else { 150 };
        let lost = if self.kubernetes < 22 { 300 } else { 0 };
        lost + match self.signing() {
            Signing::Short => short,
            Signing::Medium => 1500,
            Signing::Hour => 3600,
            Signing::Day => 86_400,
        }
    }

    /// No certificate may expire, because of what is done, before it can be renewed.
    fn signing(&self) -> Signing {
        let is_calm = |deed: &Deed| matches!(deed, Deed::Restart | Deed::Approve | Deed::Deny);
        match self.signing {
            _ if self.nodes.iter().any(|node| !node.rotates) => Signing::Day,
            Signing::Short if !self.deeds.iter().all(|(deed, _)| is_calm(deed)) => Signing::Medium,
            wanted => wanted,
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "id: model.plan\ntitle: A cluster keeps its promises\nrequirements: [T-01]")?;
        writeln!(f, "cluster: {{signingDuration: {}s}}\nnodes:", self.signing_duration())?;
        for (number, node) in self.nodes.iter().enumerate() {
            let bootstrap = if node.by_static_token { "staticToken" } else { "bootstrapToken" };
            let Node { rotates, serves_by_csr, .. } = node;
            writeln!(
                f,
                "  - {{name: n{number}, bootstrap: {bootstrap}, rotateCertificates: {rotates}, serverTLSBootstrap: {serves_by_csr}}}"
            )?;
        }
        f.write_str("steps:\n")?;
        for number in 0..self.nodes.len() {
            writeln!(f, "  - start: {{node: n{number}}}")?;
        }
        let wait = |component: &str, seconds: u32| {
            format!("  - stays: {{process: {{component: {component}, state: running}}, for: {seconds}s}}\n")
        };
        let (server, manager) = ("kube-apiserver", "kube-controller-manager");
        f.write_str(&wait(server, 20))?;
        let mut approved = BTreeSet::new();
        for (number, (deed, seconds)) in self.deeds.iter().enumerate() {
            let node = number % self.nodes.len();
            // A kubelet asks for a serving certificate only if it is told to.
            let serves = (0..self.nodes.len())
                .map(|other| (node + other) % self.nodes.len())
                .find(|node| self.nodes[*node].serves_by_csr);
            let short = 1 + seconds % 40;
            let mut steps = String::new();
            match deed {
                Deed::Restart => writeln!(steps, "  - restart: {{node: n{node}}}")?,
                Deed::Stop => {
                    write!(steps, "  - stop: {{node: n{node}}}\n{}  - start: {{node: n{node}}}\n", wait(server, short))?
                }
                Deed::RestartManager => writeln!(steps, "  - restart: {{component: {manager}}}")?,
                Deed::StopManager => write!(
                    steps,
                    "  - stop: {{component: {manager}}}\n{}  - start: {{component: {manager}}}\n",
                    wait(server, short)
                )?,
                Deed::StopServer => write!(
                    steps,
                    "  - stop: {{component: {server}}}\n{}  - start: {{component: {server}}}\n",
                    wait(manager, short)
                )?,
                Deed::Cut => write!(
                    steps,
                    "  - cut: {{node: n{node}}}\n{}  - reconnect: {{node: n{node}}}\n",
                    wait(server, short)
                )?,
                Deed::Approve | Deed::Deny => {
                    let word = if matches!(deed, Deed::Approve) { "approve" } else { "deny" };
                    // With a certificate that lasts, it does not ask again so soon.
                    let asks = |node: &usize| {
                        matches!(self.signing(), Signing::Short | Signing::Medium) || !approved.contains(node)
                    };
                    if let Some(node) = serves.filter(asks) {
                        if matches!(deed, Deed::Approve) {
                            approved.insert(node);
                        }
                        writeln!(steps, "  - {word}: {{node: n{node}, role: serving}}")?;
                    }
                }
            }
            f.write_str(&steps)?;
            if !steps.is_empty() {
                f.write_str(&wait(server, *seconds))?;
            }
        }
        Ok(())
    }
}

/// For whom a test fails: the scenario file, and what cannot be seen in it.
impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with kubelets {}, seed {}\n{self}", self.kubernetes(), self.kubelet(), self.seed)
    }
}

pub(crate) fn any_plan() -> impl Strategy<Value = Plan> {
    let signing = prop_oneof![
        4 => Just(Signing::Short),
        3 => Just(Signing::Medium),
        1 => Just(Signing::Hour),
        1 => Just(Signing::Day),
    ];
    let node = (any::<bool>(), prop::bool::weighted(0.9), prop::bool::weighted(0.6))
        .prop_map(|(by_static_token, rotates, serves_by_csr)| Node { by_static_token, rotates, serves_by_csr });
    let deed = prop_oneof![
        3 => Just(Deed::Approve),
        1 => Just(Deed::Deny),
        1 => Just(Deed::Restart),
        1 => Just(Deed::Stop),
        1 => Just(Deed::RestartManager),
        1 => Just(Deed::StopManager),
        1 => Just(Deed::StopServer),
        1 => Just(Deed::Cut),
    ];
    (
        17_u32..=37,
        0_u32..=2,
        signing,
        prop::collection::vec(node, 1..4),
        prop::collection::vec((deed, 5_u32..200), 1..8),
        any::<u64>(),
    )
        .prop_map(|(kubernetes, skew, signing, nodes, deeds, seed)| Plan {
            kubernetes,
            skew: skew.min(kubernetes - 17),
            signing,
            nodes,
            deeds,
            seed,
        })
}
