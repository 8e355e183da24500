//! Compares the decision about each CSR with the expected one. Pure.

use std::collections::BTreeSet;

use serde::Serialize;

use super::corpus::{By, Case};
use super::decision::{Decision, Expected};
use super::rule::Preset;
use tlsboot_core::check::Role;

/// The result of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fate {
    /// The decision.
    pub decision: Decision,
    /// The code and message of a refusal, or the condition's reason and message.
    pub detail: String,
    /// The reason of the approval: who approved it, as far as that can be told.
    pub approved_by: Option<String>,
    /// What the certificate that was issued has and is not its requester's.
    pub foreign: Vec<String>,
}

/// A CSR that must be approved, so that a pending one means something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Control {
    /// Which CSR.
    pub name: &'static str,
    /// For which signer.
    #[serde(skip)]
    pub role: Role,
    /// The reason of its approval.
    pub approved_by: Option<String>,
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
    /// Denied or left pending where Kubernetes' own rules approve: no fault.
    Stricter,
    /// No approver is expected to decide about such, and none did.
    Unjudged,
    /// It stayed pending, and so did what the same approver should approve: nothing is shown.
    Undecided,
    /// Otherwise, and no certificate was issued that should not be.
    Wrong,
    /// Approved and should not have been, but the signer refused it, or the certificate gives nothing foreign.
    Careless,
    /// A certificate was issued with an identity that is not its requester's.
    Hole,
}

/// What is known of those that stay pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// The one approver of these has approved good ones before and after them: it has decided.
    Shown,
    /// It has not, or another one is at work: it may still decide.
    Open,
    /// The policy has no approver for these.
    Unclaimed,
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
    /// What else is to be known.
    pub notes: Vec<String>,
}

impl Judgement {
    /// Whether nothing is found, and something is shown.
    pub fn is_right(&self) -> bool {
        let controls = self.controls.iter().all(|control| control.failure.is_none());
        controls && self.count(Outcome::Right) > 0 && self.cases.iter().all(|case| case.outcome <= Outcome::Unjudged)
    }

    /// How many cases had this outcome.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.cases.iter().filter(|case| case.outcome == outcome).count()
    }
}

/// Judges what was fired, by what each case expects. `serving` is whether an approver of serving CSRs is expected.
pub fn judge(
    run: String,
    server: String,
    fates: Vec<(Case, Fate)>,
    controls: Vec<Control>,
    serving: bool,
    mut notes: Vec<String>,
) -> Judgement {
    let silences = [Role::Client, Role::Serving].map(|role| (role, silence(role, &fates, &controls, serving)));
    let others = serving_approvers(&fates);
    if !serving && !others.is_empty() {
        notes.push(format!(
            "an approver of serving CSRs is here ({}): state its rule in a policy, so that it can be judged. `preset:` knows {}",
            others.into_iter().collect::<Vec<_>>().join(", "),
            Preset::NAMES.join(", ")
        ));
    } else if !serving {
        notes.push("no approver has decided about serving CSRs, and none is expected to: they are not judged".into());
    }
    let cases = fates.into_iter().map(|(case, fate)| {
        let of = |(role, _): &&(Role, Silence)| role_of(&case) == *role;
        let silence = silences.iter().find(of).map_or(Silence::Open, |(_, silence)| *silence);
        Judged {
            id: case.id,
            by: case.by,
            what: case.what,
            outcome: outcome(&case, &fate, silence),
            expected: case.expected,
            fate,
        }
    });
    Judgement { run, server, cases: cases.collect(), controls, notes }
}

/// Whose silence a case would meet. Other signers' CSRs are tried on the approver of client ones.
pub(super) fn role_of(case: &Case) -> Role {
    if case.signer == Role::Serving.signer_name() { Role::Serving } else { Role::Client }
}

fn serving_approvers(fates: &[(Case, Fate)]) -> BTreeSet<String> {
    let serving = fates.iter().filter(|(case, _)| role_of(case) == Role::Serving);
    let decided = serving.filter(|(_, fate)| matches!(fate.decision, Decision::Approve | Decision::Deny));
    decided.map(|(_, fate)| fate.detail.split(':').next().unwrap_or_default().to_owned()).collect()
}

fn silence(role: Role, fates: &[(Case, Fate)], controls: &[Control], serving: bool) -> Silence {
    if role == Role::Serving && !serving {
        return Silence::Unclaimed;
    }
    let controls: Vec<&Control> = controls.iter().filter(|control| control.role == role).collect();
    let all = !controls.is_empty() && controls.iter().all(|control| control.failure.is_none());
    let known: BTreeSet<&str> = controls.iter().filter_map(|control| control.approved_by.as_deref()).collect();
    let of_role = fates.iter().filter(|(case, _)| role_of(case) == role);
    let mut strangers = of_role.filter_map(|(_, fate)| fate.approved_by.as_deref()).filter(|by| !known.contains(by));
    if all && strangers.next().is_none() { Silence::Shown } else { Silence::Open }
}

fn outcome(case: &Case, fate: &Fate, silence: Silence) -> Outcome {
    let (expected, decision) = (&case.expected, fate.decision);
    if decision == Decision::Approve && !expected.allows(Decision::Approve) {
        return if fate.foreign.is_empty() { Outcome::Careless } else { Outcome::Hole };
    }
    if fate.foreign.iter().any(|what| what.contains("CA")) {
        return Outcome::Hole;
    }
    if decision == Decision::Pending {
        match silence {
            _ if *expected == Expected::one(Decision::Refused) => return Outcome::Wrong,
            Silence::Shown => {}
            Silence::Open => return Outcome::Undecided,
            Silence::Unclaimed => return Outcome::Unjudged,
        }
    }
    if expected.allows(decision) {
        return Outcome::Right;
    }
    // The API server should have refused it, or the policy says in so many words what is to become of it.
    let is_owed = case.stated || *expected == Expected::one(Decision::Refused);
    if is_owed { Outcome::Wrong } else { Outcome::Stricter }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::approver::corpus::{Subjects, corpus};
    use crate::approver::rule::Rule;
    use tlsboot_core::version::Version;

    fn case(id: &str) -> Case {
        let cases = corpus(&Subjects::example(), &Rule::default(), Version::new(1, 37, 0));
        cases.into_iter().find(|case| case.id == id).unwrap()
    }

    fn fate(decision: Decision, foreign: &[&str]) -> Fate {
        let foreign = foreign.iter().map(|&what| what.to_owned()).collect();
        let approved_by = (decision == Decision::Approve).then(|| "Known".to_owned());
        Fate { decision, detail: "Known: said".into(), approved_by, foreign }
    }

    #[rstest]
    #[case::as_it_should(Decision::Pending, Decision::Pending, Silence::Shown, Outcome::Right)]
    #[case::nothing_is_ever_approved(Decision::Pending, Decision::Pending, Silence::Open, Outcome::Undecided)]
    #[case::not_yet_approved(Decision::Approve, Decision::Pending, Silence::Open, Outcome::Undecided)]
    #[case::no_approver(Decision::Pending, Decision::Pending, Silence::Unclaimed, Outcome::Unjudged)]
    #[case::approved_too_much(Decision::Pending, Decision::Approve, Silence::Shown, Outcome::Careless)]
    #[case::approved_by_the_one_that_should_not_be(
        Decision::Pending,
        Decision::Approve,
        Silence::Unclaimed,
        Outcome::Careless
    )]
    #[case::refused_needs_no_control(Decision::Refused, Decision::Refused, Silence::Open, Outcome::Right)]
    #[case::denied_instead(Decision::Pending, Decision::Deny, Silence::Shown, Outcome::Stricter)]
    #[case::not_approved(Decision::Approve, Decision::Pending, Silence::Shown, Outcome::Stricter)]
    #[case::not_even_refused(Decision::Refused, Decision::Pending, Silence::Open, Outcome::Wrong)]
    fn outcomes(
        #[case] expected: Decision,
        #[case] decision: Decision,
        #[case] silence: Silence,
        #[case] wanted: Outcome,
    ) {
        let case = Case { expected: Expected::one(expected), ..case("name.none") };
        assert_eq!(outcome(&case, &fate(decision, &[]), silence), wanted);
        let is_issued = decision == Decision::Approve;
        if is_issued {
            assert_eq!(outcome(&case, &fate(decision, &["the group system:masters"]), silence), Outcome::Hole);
        }
        let stated = Case { stated: true, ..case };
        let wanted = if wanted == Outcome::Stricter { Outcome::Wrong } else { wanted };
        assert_eq!(outcome(&stated, &fate(decision, &[]), silence), wanted);
    }

    fn control(role: Role, failure: Option<&str>) -> Control {
        let approved_by = failure.is_none().then(|| "Known".to_owned());
        Control { name: "good", role, approved_by, failure: failure.map(str::to_owned) }
    }

    #[test]
    fn silence_counts_only_beside_a_control_of_the_same_approver() {
        let fates = vec![(case("names.wildcard"), fate(Decision::Pending, &[]))];
        let of = |fates: &[(Case, Fate)], controls: &[Control]| silence(Role::Serving, fates, controls, true);
        assert_eq!(of(&fates, &[control(Role::Client, None)]), Silence::Open);
        let both = [control(Role::Serving, None), control(Role::Serving, None)];
        assert_eq!(of(&fates, &both), Silence::Shown);
        assert_eq!(of(&fates, &[control(Role::Serving, None), control(Role::Serving, Some("dead"))]), Silence::Open);
        let mut other = fate(Decision::Approve, &[]);
        other.approved_by = Some("Stranger".into());
        let two = vec![fates[0].clone(), (case("names.all"), other)];
        assert_eq!(of(&two, &both), Silence::Open);
        assert_eq!(silence(Role::Serving, &fates, &both, false), Silence::Unclaimed);
    }

    #[test]
    fn where_nothing_was_fired_nothing_is_right() {
        let judged = |fates, controls| judge(String::new(), String::new(), fates, controls, false, Vec::new());
        assert!(!judged(Vec::new(), Vec::new()).is_right());
        let unjudged = vec![(case("names.wildcard"), fate(Decision::Pending, &[]))];
        assert!(!judged(unjudged.clone(), Vec::new()).is_right());
        let some = judged(vec![(case("names.wildcard"), fate(Decision::Deny, &[]))], Vec::new());
        assert!(some.notes[0].contains("preset:"), "{:?}", some.notes);
    }
}
