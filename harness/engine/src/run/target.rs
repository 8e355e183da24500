//! What is tested: a provider with versions.

use sha2::{Digest, Sha256};

use crate::cluster::{Provider, ProviderKind};
use tlsboot_core::check::rules::Rules;
use tlsboot_core::history::What;
use tlsboot_core::history::event::{Begin, FORMAT};
use tlsboot_core::scenario::{Scenario, requirements_of};
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

    /// The rules that apply to these versions.
    pub fn rules(&self) -> Rules {
        Rules::new(self.kubernetes, self.kubelet)
    }

    /// Why the scenario is *unsupported* here, if it is: it is for other versions, or needs what clusters of this
    /// provider cannot do. Known without starting one; the only place where this is decided.
    pub fn unsupported(&self, scenario: &Scenario) -> Option<String> {
        scenario.unsupported(self.kubernetes, self.kubelet).or_else(|| {
            let has = self.provider.capabilities();
            let missing = requirements_of(scenario).into_iter().find(|(capability, _)| !has.contains(capability));
            missing.map(|(_, reason)| format!("{} clusters can't {reason}", self.provider.clusters()))
        })
    }

    /// The head of a history of this scenario.
    pub fn begin(&self, scenario: &Scenario) -> What {
        What::Begin(Box::new(Begin {
            format: FORMAT,
            tlsboot: env!("CARGO_PKG_VERSION").into(),
            scenario: scenario.id.clone(),
            scenario_sha256: hex::encode(Sha256::digest(scenario.text.as_bytes())),
            target: self.name(),
            kubernetes: self.kubernetes,
            kubelet: self.kubelet,
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
