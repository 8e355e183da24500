//! What a scenario can do to a cluster. Each stimulus is one module with its fields and what must be known about it
//! before a run; two that differ only in their action share one. A new stimulus is one new file, its `mod` line and one
//! line in the list below. `drive` performs them.

pub mod admission;
pub mod bind;
pub mod create_cluster_role;
pub mod create_token;
mod csr_pick;
pub mod cut;
pub mod damage;
pub mod decide;
pub mod delete_csr;
pub mod delete_node;
pub mod delete_token;
mod effects;
pub mod end;
pub mod expire_token;
pub mod get;
mod identity;
pub mod join;
mod names;
pub mod patch_csr;
mod process;
pub mod reach;
pub mod reconnect;
pub mod replace_ca;
pub mod replace_kubelet_client;
pub mod replace_serving_pair;
pub mod restart;
mod role;
pub mod set_addresses;
pub mod start;
pub mod submit;
pub mod unbind;
pub mod wait_for_expiry;

use schemars::JsonSchema;
use serde::Deserialize;

pub use csr_pick::CsrPick;
pub use cut::{CutKind, Direction};
pub use effects::Effects;
pub use identity::{Identity, UserAndToken, UserAndUid};
pub use names::Names;
pub use process::{Changes, Component, Process};
pub use role::{BootstrapRole, RoleRef};

use crate::check::answer::AnswerIs;
use crate::check::{Expectation, Matcher, Never, Stays};
use crate::history::What;
use crate::scenario::Capability;

/// Something that a cluster must be able to do, and the words for what cannot be done without it: "…, or it can't …".
pub type Need = (Capability, &'static str);

/// What must be known about a stimulus before a run.
pub trait Stimulus: std::fmt::Debug + Send + Sync {
    /// What is wrong with it in its scenario.
    fn lint(&self, _names: &Names<'_>) -> Vec<String> {
        Vec::new()
    }

    /// What the cluster must be able to do.
    fn needs(&self) -> Vec<Need> {
        Vec::new()
    }

    /// Records what it changes.
    ///
    /// # Errors
    /// Why it certainly changes nothing, given the steps before it.
    fn effect<'a>(&'a self, _effects: &mut Effects<'a>) -> Result<(), String> {
        Ok(())
    }

    /// The name by which other steps refer to what it created.
    fn name(&self) -> Option<&str> {
        None
    }

    /// What the API server must answer to the request that it sends.
    fn answer(&self) -> Option<&AnswerIs> {
        None
    }

    /// What must come of it, where it says so itself.
    fn expected(&self) -> Option<Expectation> {
        let answer = self.answer().cloned()?;
        Some(Expectation { answer: Some(answer), ..Expectation::default() })
    }

    /// Whether a recorder shows its effect. The step is not done before that: the expectations that follow are judged
    /// by the state that the history shows.
    fn is_recorded(&self) -> bool {
        false
    }

    /// Whether this event shows its effect.
    fn is_recorded_by(&self, _what: &What) -> bool {
        false
    }
}

macro_rules! stimuli {
    ($($(#[$doc:meta])* $word:literal $stimulus:ident($module:ident::$fields:ident),)*) => {
        /// One step: a stimulus, or what must follow from the stimuli before it.
        ///
        /// Expectations beside each other are judged at the same time: all of them count from the start of the stimulus
        /// above them. The next stimulus comes when all of them are decided.
        #[derive(Clone, Debug, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub enum Step {
            $($(#[$doc])* #[serde(rename = $word)] $stimulus(Box<$module::$fields>),)*
            /// Something must follow, in time.
            #[serde(rename = "expect")]
            Expect(Box<Expectation>),
            /// Something must not follow.
            #[serde(rename = "never")]
            Never(Box<Never>),
            /// Something must become so, in time, and stay so.
            #[serde(rename = "stays")]
            Stays(Box<Stays>),
        }

        impl Step {
            /// Its keyword in the YAML.
            pub fn word(&self) -> &'static str {
                match self {
                    $(Self::$stimulus(_) => $word,)*
                    Self::Expect(_) => "expect",
                    Self::Never(_) => "never",
                    Self::Stays(_) => "stays",
                }
            }

            /// What it does; `None` if it is judged.
            pub fn stimulus(&self) -> Option<&dyn Stimulus> {
                match self {
                    $(Self::$stimulus(stimulus) => Some(&**stimulus),)*
                    Self::Expect(_) | Self::Never(_) | Self::Stays(_) => None,
                }
            }
        }

        /// The keywords of the stimuli.
        pub const STIMULI: &[&str] = &[$($word),*];

        /// Their modules, in the same order.
        #[cfg(test)]
        const MODULES: &[&str] = &[$(stringify!($module)),*];
    };
}

stimuli! {
    /// Start a node's kubelet or a component of the control plane.
    "start" Start(start::Start),
    /// Stop a node's kubelet or a component with SIGTERM, and wait until it has exited.
    "stop" Stop(end::End),
    /// Kill a node's kubelet or a component with SIGKILL.
    "kill" Kill(end::End),
    /// Stop a node's kubelet or a component and start it again; `with` changes how it is started.
    "restart" Restart(restart::Restart),
    /// Run `kubeadm join` on a node, with the node's token for discovery and bootstrap. Its exit is an event.
    "join" Join(join::Join),
    /// Bind a ClusterRole to a user or group.
    "bind" Bind(bind::Bind),
    /// Remove the binding of a ClusterRole that tlsboot created, or else the one that kubeadm created.
    "unbind" Unbind(unbind::Unbind),
    /// Create a ClusterRole.
    "createClusterRole" CreateClusterRole(create_cluster_role::CreateClusterRole),
    /// Have admission refuse requests: a webhook that is away, or a policy.
    "refuse" Refuse(admission::Refuse),
    /// Admit again what `refuse` had refused.
    "admit" Admit(admission::Admit),
    /// Approve a CSR, as `kubectl certificate approve` does.
    "approve" Approve(decide::Decide),
    /// Deny a CSR, as `kubectl certificate deny` does.
    "deny" Deny(decide::Decide),
    /// Delete a CSR.
    "deleteCSR" DeleteCsr(delete_csr::DeleteCsr),
    /// Create a bootstrap token's Secret.
    "createToken" CreateToken(create_token::CreateToken),
    /// Delete a bootstrap token's Secret.
    "deleteToken" DeleteToken(delete_token::DeleteToken),
    /// Make a bootstrap token expire now.
    "expireToken" ExpireToken(expire_token::ExpireToken),
    /// Create a CSR.
    "submit" Submit(submit::Submit),
    /// Change a CSR by a JSON merge patch.
    "patchCSR" PatchCsr(patch_csr::PatchCsr),
    /// Set a Node's addresses, as a cloud controller does.
    "setAddresses" SetAddresses(set_addresses::SetAddresses),
    /// Delete a Node object, as `kubectl delete node` does. The kubelet keeps running.
    "deleteNode" DeleteNode(delete_node::DeleteNode),
    /// Send a GET request to the API server.
    "get" Get(get::Get),
    /// Send a GET request to a kubelet's port, through the API server or straight to it: once, or again and again.
    "reach" Reach(reach::Reach),
    /// Damage a file of a kubelet.
    "damage" Damage(damage::Damage),
    /// Replace the certificate and key that a kubelet serves from files.
    "replaceServingPair" ReplaceServingPair(replace_serving_pair::ReplaceServingPair),
    /// Replace the certificate and key with which the API server goes to kubelets, on disk.
    "replaceKubeletClient" ReplaceKubeletClient(replace_kubelet_client::ReplaceKubeletClient),
    /// Cut the link between a kubelet and the API server.
    "cut" Cut(cut::Cut),
    /// Restore the link between a kubelet and the API server.
    "reconnect" Reconnect(reconnect::Reconnect),
    /// Wait until the certificate that a node has on disk has expired.
    "waitForExpiry" WaitForExpiry(wait_for_expiry::WaitForExpiry),
    /// Give the signer another CA, and the API server the bundle of both.
    "replaceCA" ReplaceCa(replace_ca::ReplaceCa),
}

impl Step {
    /// Whether it is judged rather than performed.
    pub fn is_judged(&self) -> bool {
        self.stimulus().is_none()
    }

    /// The kinds of expectation that it names, with their matchers; valid only with exactly one if it is judged.
    pub fn matchers(&self) -> Vec<(&'static str, &dyn Matcher)> {
        match self {
            Self::Expect(expect) => expect.matchers(),
            Self::Never(never) => never.matchers(),
            Self::Stays(stays) => stays.matchers(),
            _ => Vec::new(),
        }
    }

    /// The kind of expectation that it names, with its matcher; `None` if it is not judged.
    pub fn matcher(&self) -> Option<(&'static str, &dyn Matcher)> {
        self.matchers().into_iter().next()
    }

    /// Its keyword, and the kind of thing that it expects: `start`, `expect csr`.
    pub fn heading(&self) -> String {
        match self.matcher() {
            Some((kind, _)) => format!("{} {kind}", self.word()),
            None => self.word().to_owned(),
        }
    }

    /// The name by which other steps refer to it, or to what it created.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Expect(expect) => expect.name.as_deref(),
            Self::Stays(stays) => stays.name.as_deref(),
            step => step.stimulus().and_then(Stimulus::name),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{MODULES, STIMULI};
    use crate::testing::modules_with;

    /// A module with a stimulus that is not in the list would be dead code.
    #[test]
    fn every_module_with_a_stimulus_is_in_the_list() {
        let listed: BTreeSet<String> = MODULES.iter().map(|module| (*module).to_owned()).collect();
        assert_eq!(modules_with("scenario/stimulus", "impl Stimulus for "), listed);
        assert_eq!(STIMULI.iter().collect::<BTreeSet<_>>().len(), MODULES.len());
    }
}
