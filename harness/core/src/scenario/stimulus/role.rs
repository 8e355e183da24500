//! The bootstrap ClusterRoles, and how steps name them.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// A built-in ClusterRole of TLS bootstrapping (catalogue ).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BootstrapRole {
    /// Whose subjects may create CSRs.
    NodeBootstrapper,
    /// Whose subjects' first client certificates are approved.
    NodeClient,
    /// Whose subjects' renewals are approved.
    SelfNodeClient,
}

impl BootstrapRole {
    /// All of them, in the order in which a node needs them.
    pub const ALL: [Self; 3] = [Self::NodeBootstrapper, Self::NodeClient, Self::SelfNodeClient];

    /// Its name in scenarios.
    pub fn word(self) -> &'static str {
        match self {
            Self::NodeBootstrapper => "nodeBootstrapper",
            Self::NodeClient => "nodeClient",
            Self::SelfNodeClient => "selfNodeClient",
        }
    }

    /// The ClusterRole's name.
    pub const fn cluster_role(self) -> &'static str {
        match self {
            Self::NodeBootstrapper => "system:node-bootstrapper",
            Self::NodeClient => "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
            Self::SelfNodeClient => "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        }
    }

    /// The group to which `kubeadm init` binds it (catalogue D-01).
    pub fn kubeadm_group(self) -> &'static str {
        match self {
            Self::NodeBootstrapper | Self::NodeClient => "system:bootstrappers:kubeadm:default-node-token",
            Self::SelfNodeClient => "system:nodes",
        }
    }

    /// The ClusterRoleBinding that `kubeadm init` creates for it (catalogue D-01).
    pub fn kubeadm_binding(self) -> &'static str {
        match self {
            Self::NodeBootstrapper => "kubeadm:kubelet-bootstrap",
            Self::NodeClient => "kubeadm:node-autoapprove-bootstrap",
            Self::SelfNodeClient => "kubeadm:node-autoapprove-certificate-rotation",
        }
    }
}

/// A ClusterRole, as a step names it: by the short name of one of the three, or by its own name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoleRef {
    /// A bootstrap role.
    Bootstrap(BootstrapRole),
    /// Another one, by name.
    Named(String),
}

impl RoleRef {
    /// The ClusterRole's name.
    pub fn cluster_role(&self) -> &str {
        match self {
            Self::Bootstrap(role) => role.cluster_role(),
            Self::Named(name) => name,
        }
    }

    /// The binding that kubeadm creates for it, if it does.
    pub fn kubeadm_binding(&self) -> Option<&'static str> {
        match self {
            Self::Bootstrap(role) => Some(role.kubeadm_binding()),
            Self::Named(_) => None,
        }
    }
}

impl From<BootstrapRole> for RoleRef {
    fn from(role: BootstrapRole) -> Self {
        Self::Bootstrap(role)
    }
}

impl FromStr for RoleRef {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let known = BootstrapRole::ALL.into_iter().find(|role| [role.word(), role.cluster_role()].contains(&text));
        Ok(known.map_or_else(|| Self::Named(text.to_owned()), Self::Bootstrap))
    }
}

impl fmt::Display for RoleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bootstrap(role) => role.word(),
            Self::Named(name) => name,
        })
    }
}

impl<'de> Deserialize<'de> for RoleRef {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_the_same_by_its_word_and_by_its_name() {
        for role in BootstrapRole::ALL {
            for text in [role.word(), role.cluster_role()] {
                assert_eq!(text.parse(), Ok(RoleRef::Bootstrap(role)));
            }
        }
        assert_eq!("approver".parse(), Ok(RoleRef::Named("approver".into())));
    }
}
