//! Distributions whose nodes get their certificates without CSRs, and everything that differs between releases of k3s,
//! in one table.
//!
//! k3s brings a change to several minor versions at once, so a row names the first release of each of them that has it
//! and, where it is known, the last that lacks it.

use std::fmt;

use crate::version::Version;

/// A distribution whose agents get their certificates from a supervisor, at each start, and create no CSRs
/// (`docs.k3s.io/cli/certificate`; `docs.rke2.io/security/certificates`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// k3s: all of the control plane is one process.
    K3s,
    /// RKE2, which has k3s' supervisor and runs the control plane's components as static pods.
    Rke2,
}

impl Distribution {
    /// By a version as it writes it: `v1.33.4+k3s1`, `v1.33.4+rke2r1`, in the tag of an image `v1.33.4-k3s1`. `None` for
    /// Kubernetes' own and for any other distribution.
    pub fn of(version: &str) -> Option<Self> {
        let is = |part: &str, name: &str| {
            let rest = part.strip_prefix(name);
            rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let mut parts = version.split(['+', '-']).skip(1);
        parts.find_map(|part| match part {
            _ if is(part, "k3s") => Some(Self::K3s),
            _ if is(part, "rke2r") => Some(Self::Rke2),
            _ => None,
        })
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::K3s => "k3s",
            Self::Rke2 => "RKE2",
        })
    }
}

/// Something that changed in k3s.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// What is so since then.
    pub what: &'static str,
    /// Where it came, newest minor version first.
    branches: &'static [Branch],
    /// The source for this.
    pub source: &'static str,
}

/// The releases of one minor version of Kubernetes 1.
#[derive(Clone, Copy, Debug)]
struct Branch {
    minor: u32,
    /// The last patch that is known to lack the change; none where the first that has it is known to be the first.
    lacks: Option<u32>,
    /// The first patch that is known to have it.
    has: u32,
}

const fn first(minor: u32, has: u32) -> Branch {
    Branch { minor, lacks: None, has }
}

const fn between(minor: u32, lacks: u32, has: u32) -> Branch {
    Branch { minor, lacks: Some(lacks), has }
}

impl Change {
    /// Whether a release has it; `None` where that is not known.
    pub fn is_in(&self, version: Version) -> Option<bool> {
        let newest = self.branches.first()?;
        let branch = self.branches.iter().find(|branch| branch.minor == version.minor);
        match branch {
            None => Some(version.minor > newest.minor),
            Some(branch) if version.patch >= branch.has => Some(true),
            Some(Branch { lacks: Some(lacks), .. }) if version.patch > *lacks => None,
            Some(_) => Some(false),
        }
    }

    /// The first releases that have it, for people: `v1.24.1, v1.23.7`.
    pub fn since(&self) -> String {
        let release = |branch: &Branch| match branch.lacks {
            Some(lacks) if lacks.saturating_add(1) < branch.has => {
                format!("v1.{}.{} (not yet in v1.{0}.{lacks})", branch.minor, branch.has)
            }
            _ => format!("v1.{}.{}", branch.minor, branch.has),
        };
        self.branches.iter().map(release).collect::<Vec<_>>().join(", ")
    }
}

/// Each signer has its own CA. What is older is not supported by the provider `k3s`.
pub const CA_BY_SIGNER: Change = Change {
    what: "the signer `kubernetes.io/kubelet-serving` has the server CA; before, all signers have the client CA",
    branches: &[first(21, 1), first(20, 9)],
    source: "k3s#3244, #3446; pkg/daemons/control/server.go at the tags v1.21.0, v1.21.1, v1.20.8, v1.20.9-rc1",
};

/// A flag of `k3s server`.
pub const DISABLE_HELM_CONTROLLER: Change = Change {
    what: "`k3s server` has the flag `--disable-helm-controller`",
    branches: &[first(22, 2)],
    source: "k3s#1445, #3515; v1.21.2+k3s1 ends with `flag provided but not defined`",
};

/// A flag of `k3s server`.
pub const EGRESS_SELECTOR_MODE: Change = Change {
    what: "`k3s server` has the flag `--egress-selector-mode`",
    branches: &[first(24, 1), first(23, 7)],
    source: "k3s#5577, #5603; v1.21.2+k3s1 ends with `flag provided but not defined`",
};

/// A default of the API server's.
pub const BOOTSTRAP_TOKENS: Change = Change {
    what: "bootstrap tokens are accepted without `--kube-apiserver-arg=enable-bootstrap-token-auth=true`",
    branches: &[first(26, 2), first(25, 7), first(24, 11)],
    source: "k3s#6929, #6930; v1.21.2+k3s1 answers 401",
};

/// How an agent may authenticate to the supervisor.
pub const NODE_CERTIFICATES: Change = Change {
    what: "the supervisor accepts a node's certificate; before, the join token only",
    branches: &[first(26, 2), first(25, 7), first(24, 11)],
    source: "k3s#6663; v1.21.2+k3s1 answers 403",
};

/// Whose the keys of nodes are.
pub const OWN_KEYS: Change = Change {
    what: "an agent's certificates are for keys of its own; before, for one key of the server's that all nodes share",
    branches: &[between(32, 0, 2), between(31, 3, 7), between(30, 7, 11)],
    source: "k3s#11471, #12011, #12012; pkg/server/handlers/handlers.go",
};

/// When k3s renews its own certificates at a start.
pub const RENEWS_AT_120_DAYS: Change = Change {
    what: "at a start, certificates with less than 120 days left are renewed; before, those with less than 90",
    branches: &[first(33, 1), first(32, 5), first(31, 9), first(30, 13)],
    source: "k3s#12171, #12232; docs.k3s.io/cli/certificate",
};

/// All of them.
pub const CHANGES: [Change; 7] = [
    CA_BY_SIGNER,
    DISABLE_HELM_CONTROLLER,
    EGRESS_SELECTOR_MODE,
    BOOTSTRAP_TOKENS,
    NODE_CERTIFICATES,
    OWN_KEYS,
    RENEWS_AT_120_DAYS,
];

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::k3s("v1.33.4+k3s1", Some(Distribution::K3s))]
    #[case::in_a_tag("v1.33.4-k3s1", Some(Distribution::K3s))]
    #[case::candidate("v1.33.4-rc1+k3s2", Some(Distribution::K3s))]
    #[case::candidate_in_a_tag("v1.33.4-rc1-k3s2", Some(Distribution::K3s))]
    #[case::rke2("v1.33.4+rke2r1", Some(Distribution::Rke2))]
    #[case::candidate_of_rke2("v1.33.4-rc2+rke2r1", Some(Distribution::Rke2))]
    #[case::kubernetes("v1.33.4", None)]
    #[case::pre_release("v1.34.0-alpha.1", None)]
    #[case::others("v1.33.4-eks-3abbec1", None)]
    #[case::only_like_it("v1.33.4+k3sish", None)]
    #[case::without_a_number("v1.33.4+k3s", None)]
    #[case::not_a_suffix("k3s1", None)]
    #[case::empty("", None)]
    fn distributions_by_version(#[case] version: &str, #[case] distribution: Option<Distribution>) {
        assert_eq!(Distribution::of(version), distribution);
    }

    #[rstest]
    #[case::older_minor(23, 17, Some(false))]
    #[case::before(30, 7, Some(false))]
    #[case::unknown(30, 8, None)]
    #[case::still_unknown(30, 10, None)]
    #[case::first(30, 11, Some(true))]
    #[case::another_branch(32, 0, Some(false))]
    #[case::newest_branch(32, 2, Some(true))]
    #[case::newer_minor(33, 0, Some(true))]
    fn a_change_is_in_a_release_or_not(#[case] minor: u32, #[case] patch: u32, #[case] is_in: Option<bool>) {
        assert_eq!(OWN_KEYS.is_in(Version::new(1, minor, patch)), is_in);
    }

    #[test]
    fn a_minor_between_two_branches_goes_by_its_own_row() {
        assert_eq!(EGRESS_SELECTOR_MODE.is_in(Version::new(1, 24, 0)), Some(false));
        assert_eq!(EGRESS_SELECTOR_MODE.is_in(Version::new(1, 23, 7)), Some(true));
        assert_eq!(EGRESS_SELECTOR_MODE.is_in(Version::new(1, 22, 17)), Some(false));
    }

    #[test]
    fn every_row_is_in_order_and_has_a_source() {
        for change in CHANGES {
            assert!(!change.branches.is_empty() && !change.source.is_empty(), "{}", change.what);
            assert!(change.branches.is_sorted_by(|a, b| a.minor == b.minor + 1), "{}", change.what);
            assert!(change.branches.iter().all(|one| one.lacks.is_none_or(|lacks| lacks < one.has)), "{}", change.what);
        }
    }

    #[test]
    fn first_releases_are_said() {
        assert_eq!(EGRESS_SELECTOR_MODE.since(), "v1.24.1, v1.23.7");
        assert_eq!(
            OWN_KEYS.since(),
            "v1.32.2 (not yet in v1.32.0), v1.31.7 (not yet in v1.31.3), v1.30.11 (not yet in v1.30.7)"
        );
    }
}
