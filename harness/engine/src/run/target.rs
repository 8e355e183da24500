//! What is tested: a provider with versions.

use sha2::{Digest, Sha256};

use crate::cluster::{Provider, ProviderKind};
use tlsboot_core::check::rules::Rules;
use tlsboot_core::history::What;
use tlsboot_core::history::event::{Begin, FORMAT};
use tlsboot_core::scenario::{Capability, Scenario, requirements_of};
use tlsboot_core::version::Version;

/// A target by name, before anything is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetId {
    /// What starts the clusters.
    pub provider: ProviderKind,
    /// The control plane's version.
    pub kubernetes: Version,
    /// The kubelets' version.
    pub kubelet: Version,
}

impl TargetId {
    /// Its name, as in test names: `local::1.37.2`, with `+kubelet-1.35.4` if that differs.
    pub fn name(&self) -> String {
        let Self { provider, kubernetes, kubelet } = self;
        if kubernetes == kubelet {
            format!("{provider}::{kubernetes}")
        } else {
            format!("{provider}::{kubernetes}+kubelet-{kubelet}")
        }
    }

    /// The target of this name, as in a report.
    pub fn of_name(name: &str) -> Option<Self> {
        let (provider, versions) = name.split_once("::")?;
        let (kubernetes, kubelet) = versions.split_once("+kubelet-").unwrap_or((versions, versions));
        Some(Self {
            provider: provider.parse().ok()?,
            kubernetes: kubernetes.parse().ok()?,
            kubelet: kubelet.parse().ok()?,
        })
    }

    /// The rules that apply to these versions.
    pub fn rules(&self) -> Rules {
        Rules::new(self.kubernetes, self.kubelet)
    }

    /// Why the scenario is *unsupported* here, if it is: it is for other versions, or needs what clusters of this
    /// provider cannot do. Known without starting one; the only place where this is decided.
    pub fn unsupported(&self, scenario: &Scenario) -> Option<String> {
        scenario.unsupported(self.kubernetes, self.kubelet).or_else(|| {
            let has = self.provider.capabilities();
            let needs = requirements_of(scenario);
            let missing = needs.iter().find(|(capability, _)| !has.contains(capability));
            let missing = missing.map(|(_, reason)| format!("{} clusters can't {reason}", self.provider.clusters()));
            missing.or_else(|| {
                let reaches = needs.contains_key(&Capability::ReachKubelets);
                (reaches && self.rules().egress_selector().is_none()).then(|| {
                    format!("API servers of {} can't reach kubelets without root: they have no EgressSelectorConfiguration with a Unix socket", self.kubernetes)
                })
            })
        })
    }

    /// The head of a history of this scenario, and whether it goes on after what makes it red.
    pub fn begin(&self, scenario: &Scenario, keep_going: bool) -> What {
        What::Begin(Box::new(Begin {
            format: FORMAT,
            tlsboot: env!("CARGO_PKG_VERSION").into(),
            scenario: scenario.id.clone(),
            scenario_sha256: hex::encode(Sha256::digest(scenario.text.as_bytes())),
            target: self.name(),
            kubernetes: self.kubernetes,
            kubelet: self.kubelet,
            keep_going,
        }))
    }
}

/// A target that is ready to start clusters.
pub struct Target {
    /// Its name.
    pub id: TargetId,
    /// What starts its clusters.
    pub provider: Box<dyn Provider>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use tlsboot_core::scenario::load_text;

    #[test]
    fn a_name_leads_back_to_its_target() {
        for name in ["local::1.37.2", "k3s::1.37.2+kubelet-1.35.4", "kind::1.38.0-alpha.1"] {
            assert_eq!(TargetId::of_name(name).unwrap().name(), name);
        }
        for name in ["cluster::prod", "local::1.37", "local"] {
            assert_eq!(TargetId::of_name(name), None);
        }
    }

    #[test]
    fn kubelets_are_reached_from_the_version_on_that_can_be_told_how() {
        let text = "id: a.b\ntitle: A title\nrequirements: [U-01]\nnodes: [{name: n1}]\nsteps:\n  - reach: {node: n1, reached: {code: 200}}\n";
        let scenario = load_text("a.yaml", text).unwrap();
        let on = |minor| {
            let version = Version::new(1, minor, 0);
            let id = TargetId { provider: ProviderKind::Local, kubernetes: version, kubelet: version };
            id.unsupported(&scenario)
        };
        assert!(on(17).unwrap().contains("1.17.0 can't reach kubelets without root"));
        assert_eq!(on(18), None);
    }
}
