//! An approver's rule: what it promises, as its user states it or as its own documents do. The cases follow from it.

use std::net::IpAddr;

use ipnet::IpNet;
use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;

use super::decision::{Decision, Expected};

/// What an approver promises. What is not said is open: neither is wrong.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rule {
    /// Whether it decides about serving CSRs. If so, what the node may rightfully have must be approved, or nothing is
    /// shown by what stays pending.
    pub serving: Option<bool>,
    /// A regular expression, of which each host name must have a match.
    pub host_names: Option<String>,
    /// Prefixes, such as `192.0.2.0/24`, one of which each address must have.
    pub addresses: Option<Vec<String>>,
    /// Whose names count.
    pub names_of: Option<NamesOf>,
    /// The largest number of host names in one CSR.
    pub most_names: Option<u16>,
    /// The largest `expirationSeconds`.
    pub longest_expiration_seconds: Option<i32>,
    /// What becomes of a serving CSR that is not to be approved: `deny`, `pending`; either where nothing is said.
    pub otherwise: Option<Expected>,
}

/// Where an approver looks for the names that a node may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum NamesOf {
    /// In `status.addresses` of the Node object.
    Node,
    /// In a Machine object, or another inventory.
    Machine,
    /// In the DNS.
    Dns,
    /// Nowhere: it takes what the CSR says.
    Request,
}

/// Approvers whose rule is known, from their documents and sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Preset {
    /// Kubernetes' own, which approves no serving CSR (pkg/controller/certificates/approver/sarapprove.go).
    #[serde(rename = "kube-controller-manager")]
    ControllerManager,
    /// With its defaults: one host name, which begins with the node's and resolves; 367 days; denies the others.
    #[serde(rename = "postfinance/kubelet-csr-approver")]
    Postfinance,
    /// It looks at the subject, the requester and the usages, and at no name.
    #[serde(rename = "alex1989hu/kubelet-serving-cert-approver")]
    Alex1989hu,
    /// It compares the names with those of the Machine.
    #[serde(rename = "openshift/cluster-machine-approver")]
    Openshift,
    /// A cloud's controller: it compares the names with those of the Node object.
    #[serde(rename = "cloud-controller-manager")]
    Cloud,
}

impl Preset {
    /// Their names, as policies have them.
    pub const NAMES: [&'static str; 5] = [
        "kube-controller-manager",
        "postfinance/kubelet-csr-approver",
        "alex1989hu/kubelet-serving-cert-approver",
        "openshift/cluster-machine-approver",
        "cloud-controller-manager",
    ];

    /// The rule.
    pub fn rule(self) -> Rule {
        let serving = |names_of, otherwise| Rule {
            serving: Some(true),
            names_of: Some(names_of),
            otherwise: Some(otherwise),
            ..Rule::default()
        };
        let pending = Expected::one(Decision::Pending);
        match self {
            Self::ControllerManager => Rule { serving: Some(false), ..Rule::default() },
            Self::Postfinance => Rule {
                most_names: Some(1),
                longest_expiration_seconds: Some(367 * 24 * 3600),
                ..serving(NamesOf::Dns, Expected::one(Decision::Deny))
            },
            Self::Alex1989hu => serving(NamesOf::Request, pending),
            Self::Openshift => serving(NamesOf::Machine, pending),
            Self::Cloud => serving(NamesOf::Node, Expected::either(Decision::Pending, Decision::Deny)),
        }
    }
}

impl Rule {
    /// What this one says, and else what the other says.
    pub fn or(self, other: Self) -> Self {
        Self {
            serving: self.serving.or(other.serving),
            host_names: self.host_names.or(other.host_names),
            addresses: self.addresses.or(other.addresses),
            names_of: self.names_of.or(other.names_of),
            most_names: self.most_names.or(other.most_names),
            longest_expiration_seconds: self.longest_expiration_seconds.or(other.longest_expiration_seconds),
            otherwise: self.otherwise.or(other.otherwise),
        }
    }

    /// What becomes of a serving CSR that is not to be approved.
    pub fn rejected(&self) -> Expected {
        self.otherwise.clone().unwrap_or_else(|| Expected::either(Decision::Pending, Decision::Deny))
    }

    /// What is wrong with it.
    pub fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if let Some(Err(error)) = self.host_names.as_deref().map(Regex::new) {
            let error = error.to_string();
            let last = error.lines().last().unwrap_or_default();
            mistakes.push(format!("hostNames is not a regular expression: {last}"));
        }
        for prefix in self.addresses.iter().flatten() {
            if prefix.parse::<IpNet>().is_err() {
                mistakes.push(format!("addresses: `{prefix}` is not a prefix such as 192.0.2.0/24"));
            }
        }
        if self.longest_expiration_seconds.is_some_and(|longest| !(600..i32::MAX).contains(&longest)) {
            mistakes.push("longestExpirationSeconds: the API server takes no less than 600".into());
        }
        if self
            .otherwise
            .as_ref()
            .is_some_and(|otherwise| otherwise.allows(Decision::Approve) || otherwise.allows(Decision::Refused))
        {
            mistakes
                .push("otherwise: `pending`, `deny`, or both; the API server's refusals are not the approver's".into());
        }
        mistakes
    }

    /// Which of these names the rule itself never allows.
    pub fn excludes(&self, dns: &[String], ips: &[IpAddr]) -> Vec<String> {
        let pattern = self.host_names.as_deref().and_then(|pattern| Regex::new(pattern).ok());
        let prefixes: Option<Vec<IpNet>> =
            self.addresses.as_ref().map(|all| all.iter().filter_map(|prefix| prefix.parse().ok()).collect());
        let names = dns.iter().filter(|name| pattern.as_ref().is_some_and(|pattern| !pattern.is_match(name)));
        let addresses =
            ips.iter().filter(|ip| prefixes.as_ref().is_some_and(|all| !all.iter().any(|prefix| prefix.contains(*ip))));
        names.cloned().chain(addresses.map(ToString::to_string)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_policy_says_counts_before_its_preset() {
        let own = Rule { most_names: Some(3), ..Rule::default() };
        let rule = own.or(Preset::Postfinance.rule());
        assert_eq!((rule.most_names, rule.serving), (Some(3), Some(true)));
        assert_eq!(rule.rejected().to_string(), "deny");
        assert_eq!(Rule::default().rejected().to_string(), "pending or deny");
    }

    #[test]
    fn names_outside_of_the_rule_are_told() {
        let rule = Rule {
            host_names: Some("^worker-[0-9]+$".into()),
            addresses: Some(vec!["192.0.2.0/24".into(), "2001:db8::/32".into()]),
            ..Rule::default()
        };
        assert!(rule.mistakes().is_empty());
        let ips = ["192.0.2.8", "2001:db8::8", "203.0.113.9"].map(|ip| ip.parse().unwrap());
        assert_eq!(rule.excludes(&["worker-8".into(), "db-1".into()], &ips), ["db-1", "203.0.113.9"]);
    }

    #[test]
    fn presets_have_the_names_that_are_advised() {
        for name in Preset::NAMES {
            serde_json::from_value::<Preset>(name.into()).unwrap();
        }
        let bad = Rule {
            host_names: Some("(".into()),
            addresses: Some(vec!["192.0.2.0".into()]),
            longest_expiration_seconds: Some(5),
            otherwise: Some(Expected::one(Decision::Approve)),
            ..Rule::default()
        };
        assert_eq!(bad.mistakes().len(), 4);
    }
}
