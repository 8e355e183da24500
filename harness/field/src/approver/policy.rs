//! What the approver of a cluster should do, as its user specifies it. Strict, as scenario files are.

use std::net::IpAddr;

use jiff::SignedDuration;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::corpus::{Case, ids};
use super::decision::{Decision, Expected};
use tlsboot_core::scenario::Diagnostic;

/// The expected results of CSRs. What it does not name follows Kubernetes' own rules.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(title = "tlsboot approver policy")]
pub struct Policy {
    /// The node that tlsboot plays; a made-up one by default. An approver that looks for a Node object needs an
    /// existing one: tlsboot creates none. tlsboot gets certificates in this name, which are kept only in memory and
    /// discarded.
    #[schemars(with = "Option<String>")]
    pub node: Option<Spanned<String>>,
    /// `auth-extra-groups` of the bootstrap token that tlsboot creates; by default the groups `system:bootstrappers:…`
    /// in the cluster's bindings.
    #[schemars(with = "Option<Vec<String>>")]
    pub bootstrap_groups: Option<Vec<Spanned<String>>>,
    /// The names that the node's serving certificate may contain.
    pub serving: ServingNames,
    /// How long there must have been no decision about any of the CSRs until the remaining ones count as pending; two
    /// seconds by default. The good ones that were sent last have been approved by then.
    #[schemars(with = "Option<String>")]
    pub settle: Option<SignedDuration>,
    /// Decisions other than Kubernetes' own; the last rule that matches a case counts.
    pub expect: Vec<Rule>,
}

/// The names of a serving certificate.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ServingNames {
    /// Host names.
    pub dns: Vec<String>,
    /// Addresses.
    #[schemars(with = "Vec<String>")]
    pub ips: Vec<IpAddr>,
}

/// The expected results of some cases.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// A case (`names.wildcard`), or a glob of cases (`serving.*`). `tlsboot approver --list` shows them.
    #[schemars(with = "String")]
    pub cases: Spanned<String>,
    /// `approve`, `pending`, `deny` or `refused` (by the API server); or a list of acceptable decisions.
    pub decision: Expected,
}

/// The JSON Schema of policies, for editors.
pub fn schema() -> serde_json::Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    generator.into_root_schema_for::<Policy>().to_value()
}

/// Valid groups of bootstrap tokens have this prefix (catalogue A-08).
const GROUPS: &str = "system:bootstrappers:";

impl Policy {
    /// Reads a policy from its text.
    ///
    /// # Errors
    /// Everything that is wrong with it: the first syntax error, or all errors of meaning.
    pub fn read(file: &str, text: &str) -> Result<Self, Vec<Diagnostic>> {
        let policy: Self = serde_saphyr::from_str_with_options(
            text,
            serde_saphyr::options! { with_snippet: false, strict_booleans: true },
        )
        .map_err(|error| {
            let place = error.location();
            let (line, column) = place.map_or((0, 0), |place| (place.line(), place.column()));
            let message = error.to_string();
            let message = message.lines().next().unwrap_or_default();
            let message = message.split(" at line ").next().unwrap_or_default();
            vec![Diagnostic::at(file, text, line, column, message)]
        })?;
        let errors: Vec<Diagnostic> = policy
            .mistakes()
            .into_iter()
            .map(|(line, column, message)| Diagnostic::at(file, text, line, column, message))
            .collect();
        if errors.is_empty() { Ok(policy) } else { Err(errors) }
    }

    fn mistakes(&self) -> Vec<(u64, u64, String)> {
        let mut mistakes = Vec::new();
        let mut wrong = |at: &Spanned<String>, message: String| {
            mistakes.push((at.referenced.line(), at.referenced.column(), message));
        };
        if let Some(node) = &self.node
            && !is_node_name(&node.value)
        {
            wrong(node, format!("`{}` is not a valid Node name", node.value));
        }
        for group in self.bootstrap_groups.iter().flatten() {
            if !group.value.starts_with(GROUPS) {
                wrong(
                    group,
                    format!("`{}`: a bootstrap token can only have groups that begin with {GROUPS}", group.value),
                );
            }
        }
        let ids = ids();
        for rule in &self.expect {
            let pattern = &rule.cases.value;
            if !ids.iter().any(|id| glob_match::glob_match(pattern, id)) {
                wrong(&rule.cases, format!("no case is called `{pattern}`; `tlsboot approver --list` shows them"));
            }
        }
        let rightful = self.expect.iter().rfind(|rule| glob_match::glob_match(&rule.cases.value, "serving.rightful"));
        if let Some(rule) = rightful
            && rule.decision.allows(Decision::Approve)
            && self.serving.dns.is_empty()
            && self.serving.ips.is_empty()
        {
            wrong(
                &rule.cases,
                "to expect a serving CSR to be approved, set the names that it may contain: `serving: {dns: […], ips: […]}`".into(),
            );
        }
        mistakes
    }

    /// The right decisions for a case.
    pub fn expected(&self, case: &Case) -> Expected {
        let rule = self.expect.iter().rfind(|rule| glob_match::glob_match(&rule.cases.value, case.id));
        rule.map_or_else(|| case.expected.clone(), |rule| rule.decision.clone())
    }
}

/// A lower-case DNS subdomain, as `pkg/apis/core/validation` requires for Nodes.
fn is_node_name(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::approver::corpus::{Subjects, corpus};
    use tlsboot_core::version::Version;

    const WHOLE: &str = "\
node: worker-7
bootstrapGroups: [system:bootstrappers:kubeadm:default-node-token]
serving: {dns: [worker-7], ips: [192.0.2.7, '2001:db8::7']}
settle: 5s
expect:
  - {cases: 'serving.*', decision: [pending, deny]}
  - {cases: serving.rightful, decision: approve}
";

    #[test]
    fn the_last_rule_for_a_case_counts_and_kubernetes_rules_for_the_rest() {
        let policy = Policy::read("p.yaml", WHOLE).unwrap();
        let subjects = Subjects { node: "a".into(), other: "b".into(), dns: vec![], ips: vec![] };
        let cases = corpus(&subjects, Version::new(1, 37, 0));
        let of = |id| policy.expected(cases.iter().find(|case| case.id == id).unwrap()).to_string();
        assert_eq!(of("serving.rightful"), "approve");
        assert_eq!(of("serving.ca"), "pending or deny");
        assert_eq!(of("name.none"), "pending");
        assert_eq!(policy.settle, Some(SignedDuration::from_secs(5)));
    }

    #[rstest]
    #[case::unknown_key("nodes: x\n", 1, 1, "nodes")]
    #[case::unknown_decision("expect:\n  - {cases: 'name.*', decision: forbid}\n", 2, 33, "`forbid` is not a decision")]
    #[case::nothing_is_right("expect:\n  - {cases: 'name.*', decision: []}\n", 2, 33, "the list is empty")]
    #[case::unknown_case("expect:\n  - {cases: 'nome.*', decision: deny}\n", 2, 13, "no case is called `nome.*`")]
    #[case::foreign_group("bootstrapGroups: ['system:masters']\n", 1, 19, "begin with system:bootstrappers:")]
    #[case::node_name("node: Worker\n", 1, 7, "not a valid Node name")]
    #[case::serving_without_names(
        "expect:\n  - {cases: serving.rightful, decision: approve}\n",
        2,
        13,
        "set the names that it may contain"
    )]
    fn mistakes_have_their_place(#[case] text: &str, #[case] line: u64, #[case] column: u64, #[case] words: &str) {
        let errors = Policy::read("p.yaml", text).unwrap_err();
        assert_eq!((errors[0].line, errors[0].column), (line, column), "{}", errors[0]);
        assert!(errors[0].message.contains(words), "{}", errors[0]);
    }

    #[test]
    fn the_schema_takes_what_the_reader_takes() {
        let validator = jsonschema::validator_for(&schema()).unwrap();
        let whole: serde_json::Value = serde_saphyr::from_str(WHOLE).unwrap();
        assert!(validator.is_valid(&whole));
        assert!(!validator.is_valid(&serde_json::json!({"nodes": "x"})));
        assert!(!validator.is_valid(&serde_json::json!({"expect": [{"cases": "x", "decision": "forbid"}]})));
    }
}
