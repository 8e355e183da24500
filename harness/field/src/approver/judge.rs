//! Compares the decision about each CSR with the expected one. Pure.

use serde::Serialize;

use super::corpus::{By, Case};
use super::decision::{Decision, Expected};

/// The result of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fate {
    /// The decision.
    pub decision: Decision,
    /// The code and message of a refusal, or the condition's reason and message.
    pub detail: String,
    /// Whether a CA certificate was issued, which no signer for kubelets may do.
    pub is_ca: bool,
}

/// A CSR that must be approved, so that a pending one means something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Control {
    /// Which CSR.
    pub name: &'static str,
    /// Why it was not approved and issued, if so.
    pub failure: Option<String>,
}

/// The judgement of one case.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    /// The case.
    pub id: &'static str,
    /// Who sent it.
    pub by: By,
    /// What is unusual about it.
    pub what: &'static str,
    /// The right decisions.
    pub expected: Expected,
    /// Its result.
    pub fate: Fate,
    /// The judgement.
    pub outcome: Outcome,
}

/// The outcome of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// As expected.
    Right,
    /// It stayed Pending as expected, but so did a good CSR: this proves nothing.
    Undecided,
    /// Wrong decision, but no one gains access.
    Wrong,
    /// Approved although it should not have been, or a CA certificate was issued.
    Hole,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judgement {
    /// The run's id.
    pub run: String,
    /// The API server's URL.
    pub server: String,
    /// The positive controls.
    pub controls: Vec<Control>,
    /// Case by case.
    pub cases: Vec<Judged>,
}

impl Judgement {
    /// Whether everything is as expected.
    pub fn is_right(&self) -> bool {
        let controls = self.controls.iter().all(|control| control.failure.is_none());
        controls && !self.cases.is_empty() && self.cases.iter().all(|case| case.outcome == Outcome::Right)
    }

    /// How many cases had this outcome.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.cases.iter().filter(|case| case.outcome == outcome).count()
    }
}

/// Judges the results by what each case expects.
pub fn judge(run: String, server: String, fates: Vec<(Case, Fate)>, controls: Vec<Control>) -> Judgement {
    let controlled = !controls.is_empty() && controls.iter().all(|control| control.failure.is_none());
    let cases = fates.into_iter().map(|(case, fate)| Judged {
        id: case.id,
        by: case.by,
        what: case.what,
        outcome: outcome(&case.expected, &fate, controlled),
        expected: case.expected,
        fate,
    });
    Judgement { run, server, cases: cases.collect(), controls }
}

fn outcome(expected: &Expected, fate: &Fate, controlled: bool) -> Outcome {
    let decision = fate.decision;
    if fate.is_ca || decision == Decision::Approve && !expected.allows(Decision::Approve) {
        Outcome::Hole
    } else if !expected.allows(decision) {
        Outcome::Wrong
    } else if decision == Decision::Pending && !controlled {
        Outcome::Undecided
    } else {
        Outcome::Right
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::as_it_should(Decision::Pending, Decision::Pending, true, Outcome::Right)]
    #[case::nothing_is_ever_approved(Decision::Pending, Decision::Pending, false, Outcome::Undecided)]
    #[case::approved_too_much(Decision::Pending, Decision::Approve, true, Outcome::Hole)]
    #[case::refused_needs_no_control(Decision::Refused, Decision::Refused, false, Outcome::Right)]
    #[case::denied_instead(Decision::Pending, Decision::Deny, true, Outcome::Wrong)]
    #[case::not_approved(Decision::Approve, Decision::Pending, true, Outcome::Wrong)]
    #[case::not_even_refused(Decision::Refused, Decision::Pending, true, Outcome::Wrong)]
    fn outcomes(
        #[case] expected: Decision,
        #[case] decision: Decision,
        #[case] controlled: bool,
        #[case] wanted: Outcome,
    ) {
        let mut fate = Fate { decision, detail: String::new(), is_ca: false };
        assert_eq!(outcome(&Expected::one(expected), &fate, controlled), wanted);
        fate.is_ca = true;
        assert_eq!(outcome(&Expected::one(expected), &fate, controlled), Outcome::Hole);
    }

    #[test]
    fn where_nothing_was_fired_nothing_is_right() {
        let judged = |controls| judge(String::new(), String::new(), Vec::new(), controls);
        assert!(!judged(Vec::new()).is_right());
    }
}
