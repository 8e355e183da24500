//! A model of a cluster that keeps its promises, as a program that can be read: how kubelets bootstrap and renew, what
//! the approver, the signer and the cleaner do, and what recorders see of it. It takes the scenario files of this
//! repository, or writes its own at random, and its histories are judged like recorded ones.
//!
//! | module | what it says |
//! |---|---|
//! | `kubelet` | how a kubelet gets its certificates, uses them and renews them |
//! | `control_plane` | who may ask, what is approved, what is signed, and what is cleaned up |
//! | `stimuli` | what tlsboot does to them |
//! | `cluster` | the clock, and what recorders write down |
//! | `plan` | scenarios at random |
//! | `likeness` | that it is like the real thing |
//! | `faults` | what can go wrong, and the invariant that must notice |
//!
//! `PROPTEST_CASES=N` tries more histories, `PROPTEST_RNG_SEED=N` others.

mod authority;
mod cluster;
mod control_plane;
mod dice;
mod faults;
mod kubelet;
mod likeness;
mod plan;
mod stimuli;

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngSeed, TestRunner};
use rstest::rstest;
use tlsboot_core::check::invariants::ALL;
use tlsboot_core::check::{Judge, Outcome, Verdict, judge_all};
use tlsboot_core::history::write_line;
use tlsboot_core::scenario::{Scenario, load_text};
use tlsboot_core::version::Version;

use crate::cluster::Course;
use crate::dice::Dice;
use crate::faults::{FAULTS, Tape};
use crate::plan::any_plan;

/// The same plans in every run, unless others are asked for.
fn the_same_plans(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { cases };
    let rng_seed = match default.rng_seed {
        RngSeed::Random => RngSeed::Fixed(1),
        given @ RngSeed::Fixed(_) => given,
    };
    ProptestConfig { cases, rng_seed, failure_persistence: None, max_shrink_iters: 200, ..default }
}

/// Keeps a history for people to look at, in the folder `TLSBOOT_MODEL_OUT`.
fn keep(name: &str, course: &Course) {
    let Some(folder) = std::env::var_os("TLSBOOT_MODEL_OUT") else { return };
    let lines: String = course.history.iter().map(|event| write_line(event).unwrap()).collect();
    fs::write(Path::new(&folder).join(format!("{name}.jsonl")), lines).unwrap();
}

/// What is not as it should be in the verdict on a sound cluster.
fn wrong(verdict: &Verdict) -> Vec<String> {
    let broken = verdict.broken().flat_map(|broken| broken.violations.iter().map(move |found| (broken, found)));
    let broken = broken.map(|(broken, found)| format!("{} at seq {}: {}", broken.id, found.seq, found.words));
    let open = verdict.expectations.iter().filter(|verdict| verdict.outcome != Some(Outcome::Pass));
    let open = open.map(|verdict| {
        format!("line {}, {}: {:?}, {:?}", verdict.line, verdict.kind, verdict.outcome, verdict.closest)
    });
    verdict.error.iter().cloned().chain(broken).chain(open).collect()
}

proptest! {
    #![proptest_config(the_same_plans(150))]

    #[test]
    fn a_sound_cluster_breaks_no_invariant(plan in any_plan()) {
        let course = cluster::run(&plan.scenario(), plan.kubernetes(), plan.kubelet(), plan.seed);
        let wrong = wrong(&course.verdict);
        if !wrong.is_empty() {
            keep("sound", &course);
        }
        prop_assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

proptest! {
    #![proptest_config(the_same_plans(25))]

    /// A run asks again and again whether it is red for good.
    #[test]
    fn no_beginning_of_a_sound_history_looks_broken(plan in any_plan()) {
        let scenario = plan.scenario();
        let course = cluster::run(&scenario, plan.kubernetes(), plan.kubelet(), plan.seed);
        let mut judge = Judge::new(&scenario);
        let mut dice = Dice::new(plan.seed);
        for event in &course.history[..course.judged] {
            judge.feed(event.clone());
            if dice.below(30) == 0 {
                let broken = judge.broken_for_good();
                if broken.is_some() {
                    keep("beginning", &course);
                }
                prop_assert_eq!(broken, None, "after seq {}", event.seq);
            }
        }
    }
}

/// A long life as evidence, for `ci/bench`: about `TLSBOOT_MODEL_EVENTS` events in the folder `TLSBOOT_MODEL_OUT`.
#[test]
#[ignore = "writes what ci/bench measures"]
fn a_long_life() {
    let var = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let events: u64 = var("TLSBOOT_MODEL_EVENTS").parse().unwrap();
    let nodes: Vec<String> = (0..10).map(|number| format!("n{number}")).collect();
    let mut text =
        "id: model.life\ntitle: A long life\nrequirements: [T-01]\ncluster: {signingDuration: 25m}\nnodes:\n"
            .to_owned();
    nodes.iter().for_each(|node| text.push_str(&format!("  - {{name: {node}}}\n")));
    text.push_str("steps:\n");
    nodes.iter().for_each(|node| text.push_str(&format!("  - start: {{node: {node}}}\n")));
    // Ten nodes write three events in a second.
    text.push_str(&format!(
        "  - stays: {{process: {{component: kube-apiserver, state: running}}, for: {}s}}\n",
        events / 3
    ));
    let version = Version::new(1, 37, 2);
    let course = cluster::run(&load_text("scenario.yaml", &text).unwrap(), version, version, 1);
    assert_eq!(wrong(&course.verdict), [""; 0]);
    keep("history", &course);
    fs::write(Path::new(&var("TLSBOOT_MODEL_OUT")).join("scenario.yaml"), text).unwrap();
}

/// Each fault is put into several histories, each time at a random place.
#[rstest]
fn a_single_fault_breaks_its_invariant(
    #[values("I-01", "I-02", "I-03", "I-04", "I-05", "I-06", "I-07", "I-08", "I-10")] invariant: &str,
) {
    const TIMES: usize = 3;
    let mut runner = TestRunner::new(the_same_plans(200));
    let mut put = vec![0; FAULTS.len()];
    let mut missed = Vec::new();
    let wanted =
        |put: &[usize]| (0..FAULTS.len()).any(|place| FAULTS[place].invariant == invariant && put[place] < TIMES);
    for _ in 0..200 {
        if !wanted(&put) {
            break;
        }
        let plan = any_plan().new_tree(&mut runner).unwrap().current();
        let scenario = plan.scenario();
        let course = cluster::run(&scenario, plan.kubernetes(), plan.kubelet(), plan.seed);
        let mut dice = Dice::new(plan.seed);
        for (place, fault) in FAULTS.iter().enumerate().filter(|(_, fault)| fault.invariant == invariant) {
            let mut tape = Tape::of(&course, &mut dice);
            if put[place] == TIMES || (fault.put)(&mut tape).is_none() {
                continue;
            }
            put[place] += 1;
            let course = Course { history: tape.events(), ..course.clone() };
            let verdict = judge_all(&scenario, course.history.clone());
            if !verdict.broken().any(|broken| broken.id == fault.invariant) {
                keep("missed", &course);
                missed.push(format!("{}: {plan:?}", fault.words));
            }
        }
    }
    let rare = FAULTS.iter().zip(put).filter(|(fault, put)| fault.invariant == invariant && *put < TIMES);
    let rare = rare.map(|(fault, put)| format!("{}: put into {put} histories only", fault.words));
    let wrong: Vec<String> = missed.into_iter().chain(rare).collect();
    assert!(wrong.is_empty(), "{} are not noticed:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_invariant_has_its_faults() {
    for invariant in ALL {
        assert!(FAULTS.iter().any(|fault| fault.invariant == invariant.id), "{}", invariant.id);
    }
}

fn scenario(id: &str) -> Scenario {
    let file = format!("{}.yaml", id.replacen('.', "/", 1));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios").join(file);
    load_text("scenario.yaml", &fs::read_to_string(path).unwrap()).unwrap()
}

/// The model is as the real thing is, as far as the scenarios ask: each of these passes on real clusters.
#[rstest]
fn the_model_passes_real_scenarios(
    #[values(
        "rotation.short-signing-duration",
        "rotation.restart-between-rotations",
        "rotation.restart-with-a-valid-certificate",
        "rotation.serving-certificate",
        "serving.denied-asks-again",
        "recovery.controller-manager-down-at-rotation-time",
        "recovery.link-refused-at-rotation-time"
    )]
    id: &str,
    #[values(17, 21, 24, 28, 31, 35, 37)] minor: u32,
) {
    let scenario = scenario(id);
    let version = Version::new(1, minor, 3);
    if scenario.unsupported(version, version).is_none() {
        let course = cluster::run(&scenario, version, version, u64::from(minor));
        keep(&format!("{id}-1.{minor}"), &course);
        let wrong = wrong(&course.verdict);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
