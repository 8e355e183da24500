//! Which scenarios show which behaviors of the catalogue, and why the rest is not covered.

use super::Scenario;
use super::requirements::{self, Requirement};
use super::uncovered::{UNCOVERED, Uncovered};

/// A behavior and its coverage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage<'a> {
    /// The behavior.
    pub requirement: &'static Requirement,
    /// Ids of the scenarios that show it, in order.
    pub scenarios: Vec<&'a str>,
    /// Why none does, if a reason is given.
    pub reason: Option<&'static str>,
}

/// All behaviors, in the catalogue's order.
pub fn coverage(scenarios: &[Scenario]) -> Vec<Coverage<'_>> {
    requirements::all()
        .map(|requirement| Coverage {
            requirement,
            scenarios: showing(scenarios, requirement.id),
            reason: reason(requirement.id),
        })
        .collect()
}

/// The scenarios that show a behavior.
pub fn showing<'a>(scenarios: &'a [Scenario], id: &str) -> Vec<&'a str> {
    let showing = scenarios.iter().filter(|scenario| scenario.requirements.iter().any(|known| known == id));
    showing.map(|scenario| scenario.id.as_str()).collect()
}

/// Why no scenario shows a behavior, if a reason is given.
pub fn reason(id: &str) -> Option<&'static str> {
    let found = UNCOVERED.iter().find(|uncovered| uncovered.id == id);
    found.map(|uncovered| uncovered.reason)
}

/// What is wrong with the list of uncovered behaviors, given all scenarios: behaviors that are neither covered nor
/// explained, and entries that are no longer true.
pub fn problems(scenarios: &[Scenario]) -> Vec<String> {
    problems_of(scenarios, UNCOVERED)
}

fn problems_of(scenarios: &[Scenario], uncovered: &[Uncovered]) -> Vec<String> {
    let explained = |id: &str| uncovered.iter().any(|known| known.id == id);
    let silent = requirements::all()
        .filter(|requirement| showing(scenarios, requirement.id).is_empty() && !explained(requirement.id))
        .map(|requirement| {
            format!(
                "{} is not covered by any scenario: write one, or explain in uncovered.rs why there is none",
                requirement.id
            )
        });
    let stale = uncovered.iter().enumerate().flat_map(|(index, entry)| {
        let id = entry.id;
        let mut problems = Vec::new();
        if requirements::find(id).is_none() {
            problems.push(format!("uncovered.rs: the catalogue has no {id}"));
        }
        if let [first, ..] = showing(scenarios, id).as_slice() {
            problems.push(format!("uncovered.rs: {id} is covered by {first}: remove its line"));
        }
        if uncovered[..index].iter().any(|known| known.id == id) {
            problems.push(format!("uncovered.rs: {id} is listed twice"));
        }
        if entry.reason.trim().len() < 10 {
            problems.push(format!("uncovered.rs: {id} has no reason"));
        }
        problems
    });
    silent.chain(stale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::load_text;
    use crate::testing::scenarios;

    /// CI requires this: every behavior is covered, or there is a reason why not.
    #[test]
    fn every_behavior_is_covered_or_explained_and_nothing_is_stale() {
        let problems = problems(&scenarios());
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }

    fn scenario(requirements: &str) -> Scenario {
        let text = format!(
            "id: a.b\ntitle: A title\nrequirements: [{requirements}]\nnodes: [{{name: n1}}]\nsteps:\n  - start: {{node: n1}}\n  - expect: {{csr: {{node: n1}}}}\n"
        );
        load_text("a.yaml", &text).unwrap()
    }

    fn all_but(id: &str) -> Scenario {
        let ids: Vec<&str> =
            requirements::all().map(|requirement| requirement.id).filter(|known| *known != id).collect();
        scenario(&ids.join(", "))
    }

    #[test]
    fn what_is_neither_covered_nor_explained_is_a_problem() {
        let problems = problems_of(&[all_but("T-01")], &[]);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("T-01 is not covered by any scenario"));
        let explained = Uncovered { id: "T-01", reason: "needs another world" };
        assert!(problems_of(&[all_but("T-01")], &[explained]).is_empty());
    }

    #[test]
    fn an_entry_that_is_covered_unknown_twice_or_empty_is_a_problem() {
        let entry = |id, reason| Uncovered { id, reason };
        let why = "needs another world";
        let problem = |entries: &[Uncovered]| problems_of(&[all_but("T-01")], entries).join("\n");
        let right = entry("T-01", why);
        assert!(problem(&[right, entry("T-02", why)]).contains("T-02 is covered by a.b"));
        assert!(problem(&[right, entry("Z-99", why)]).contains("the catalogue has no Z-99"));
        assert!(problem(&[right, right]).contains("T-01 is listed twice"));
        assert!(problem(&[entry("T-01", " ")]).contains("T-01 has no reason"));
    }
}
