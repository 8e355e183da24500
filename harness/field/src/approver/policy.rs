//! What the approver of a cluster should do, as its user specifies it. Strict, as scenario files are.

use std::net::IpAddr;

use jiff::SignedDuration;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::corpus::{Case, ids};
use super::decision::{Decision, Expected};
use super::rule::{Preset, Rule};
use tlsboot_core::scenario::Diagnostic;

/// The expected results of CSRs. What it does not name follows Kubernetes' own rules.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(title = "tlsboot approver policy")]
pub struct Policy {
    /// An approver whose rule is known; `rule` says what is otherwise here.
    pub preset: Option<Preset>,
    /// What the approver promises. The cases follow from it.
    pub rule: Rule,
    /// The node that tlsboot plays; a made-up one by default. An approver that looks for a Node object needs one that is
    /// there: tlsboot makes none. Where it gets no certificate by bootstrapping, its CSRs are sent by impersonation. It gets certificates in this name, which are in memory only and thrown away.
    #[schemars(with = "Option<String>")]
    pub node: Option<Spanned<String>>,
    /// `auth-extra-groups` of the bootstrap token that tlsboot creates; by default the groups `system:bootstrappers:…`
    /// in the cluster's bindings.
    #[schemars(with = "Option<Vec<String>>")]
    pub bootstrap_groups: Option<Vec<Spanned<String>>>,
    /// The two names in which the good bootstrap CSRs are sent, before all others and after them; by default `node` and a
    /// made-up one. An approver with an inventory knows others.
    #[schemars(with = "Option<[String; 2]>")]
    pub new_nodes: Option<[Spanned<String>; 2]>,
    /// What the node's serving certificate rightfully names. By default, the addresses of its Node object if there is one.
    pub serving: ServingNames,
    /// Another node, whose names this one must not get. By default one that is there, or else one that is made up: the next
    /// by name and address.
    pub neighbour: Option<NeighbourNames>,
    /// How long nothing must have been decided about any of the CSRs until those that are left count as pending; ten
    /// seconds by default. The good ones that were sent last have been approved by then.
    #[schemars(with = "Option<String>")]
    pub settle: Option<SignedDuration>,
    /// How long a good CSR may take until it is approved; 30 seconds by default. An approver that a cron job runs takes longer.
    #[schemars(with = "Option<String>")]
    pub patience: Option<SignedDuration>,
    /// Decisions other than Kubernetes' own; of those that name a case, the last one counts.
    pub expect: Vec<Expectation>,
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

/// Another node.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NeighbourNames {
    /// Its name.
    #[schemars(with = "String")]
    pub name: Spanned<String>,
    /// Its host names.
    #[serde(default)]
    pub dns: Vec<String>,
    /// Its addresses.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub ips: Vec<IpAddr>,
}

/// The expected result of some cases.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expectation {
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
        let neighbour = self.neighbour.as_ref().map(|neighbour| &neighbour.name);
        let others = self.new_nodes.iter().flatten().chain(neighbour);
        for node in others.filter(|node| !is_node_name(&node.value)) {
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
        let rule = self.rule();
        let mut errors = rule.mistakes();
        let outside = rule.excludes(&self.serving.dns, &self.serving.ips);
        if !outside.is_empty() {
            errors
                .push(format!("the rule allows none of {}, which `serving` has as the node's own", outside.join(", ")));
        }
        if rule.most_names.is_some_and(|most| self.serving.dns.len() > usize::from(most)) {
            errors.push("`serving` has more host names than the rule's mostNames".into());
        }
        mistakes.extend(errors.into_iter().map(|error| (1, 1, error)));
        mistakes
    }

    /// The rule that the approver has here.
    pub fn rule(&self) -> Rule {
        let rule = self.rule.clone().or(self.preset.map(Preset::rule).unwrap_or_default());
        // Said by expecting it, as long as there were no rules.
        let rightful = self.expect.iter().rfind(|rule| glob_match::glob_match(&rule.cases.value, "serving.rightful"));
        let expected = rightful.map(|rule| rule.decision.allows(Decision::Approve));
        Rule { serving: rule.serving.or(expected), ..rule }
    }

    /// The case, with what the policy says is right.
    pub fn apply(&self, case: Case) -> Case {
        let rule = self.expect.iter().rfind(|rule| glob_match::glob_match(&rule.cases.value, case.id));
        match rule {
            Some(rule) => Case { expected: rule.decision.clone(), stated: true, ..case },
            None => case,
        }
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
        let cases = corpus(&Subjects::example(), &policy.rule(), Version::new(1, 37, 0));
        let of = |id| policy.apply(cases.iter().find(|case| case.id == id).unwrap().clone()).expected.to_string();
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
    #[case::a_rule_that_no_one_can_have("rule: {hostNames: '('}\n", 1, 1, "hostNames is not a regular expression")]
    #[case::its_own_names_are_outside(
        "rule: {addresses: [198.51.100.0/24]}\nserving: {ips: [192.0.2.7]}\n",
        1,
        1,
        "allows none of 192.0.2.7"
    )]
    #[case::unknown_preset("preset: mine\n", 1, 9, "mine")]
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
