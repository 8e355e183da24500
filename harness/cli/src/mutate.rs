//! `tlsboot rejudge --mutate`: whether each expectation can fail, and each invariant be broken.

use std::fmt::Write;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde::Serialize;

use super::histories::{histories, load};
use super::{Exit, Failure, print, print_json};
use tlsboot_core::check::Verdict;
use tlsboot_core::check::mutate::{Effort, InvariantProof, Proof, prove, prove_invariants};
use tlsboot_engine::evidence::EvidenceFolder;

/// The results for one history.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Tried {
    scenario: String,
    target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_judged: Option<String>,
    expectations: Vec<Proof>,
    /// Those that the history kept.
    invariants: Vec<InvariantProof>,
}

impl Tried {
    /// Whether no change turned one of its expectations red, or broke one of its invariants.
    fn survives(&self) -> bool {
        self.expectations.iter().any(Proof::survives) || self.invariants.iter().any(InvariantProof::survives)
    }
}

/// Changes the histories of these folders, and reports which expectations no change turned red. With `json`, everything
/// that turned each of them red.
pub(super) fn run(folders: &[PathBuf], json: bool) -> Result<Exit, Failure> {
    let folders = histories(folders)?;
    let effort = if json { Effort::All } else { Effort::First };
    let (next, tried) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || -> Result<(), Failure> {
        while let Some(folder) = folders.get(next.fetch_add(1, Ordering::Relaxed)) {
            let one = try_one(folder, effort)?;
            tried.lock().unwrap_or_else(|broken| broken.into_inner()).push(one);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> =
            (0..thread::available_parallelism().map_or(1, NonZero::get)).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|_| Err(Failure::error("a worker panicked"))))
    })?;
    let mut tried = tried.into_inner().unwrap_or_else(|broken| broken.into_inner());
    tried.sort_by(|a, b| (&a.target, &a.scenario).cmp(&(&b.target, &b.scenario)));
    if json {
        print_json(&tried)?
    } else {
        print(&words(&tried))?
    };
    let survived = tried.iter().any(Tried::survives);
    Ok(match tried.iter().any(|one| one.not_judged.is_some()) {
        true => Exit::Error,
        false if survived => Exit::Fail,
        false => Exit::Pass,
    })
}

fn try_one(folder: &Path, effort: Effort) -> Result<Tried, Failure> {
    let evidence =
        EvidenceFolder::open(folder).map_err(|error| Failure::usage(format!("{}: {error}", folder.display())))?;
    let (scenario, events) = load(&evidence)?;
    let target = match events.first().map(|event| &event.what) {
        Some(tlsboot_core::history::What::Begin(begin)) => begin.target.clone(),
        _ => String::new(),
    };
    let proven = || -> Result<_, Verdict> {
        Ok((prove(&scenario, &events, effort)?, prove_invariants(&scenario, &events, effort)?))
    };
    let (not_judged, (expectations, invariants)) = match proven() {
        Ok(proofs) => (None, proofs),
        Err(verdict) => {
            (Some(format!("without any change its verdict is {}", verdict.outcome.word())), Default::default())
        }
    };
    Ok(Tried { scenario: scenario.id, target, not_judged, expectations, invariants })
}

/// Survivors first, then a line for each history.
fn words(tried: &[Tried]) -> String {
    let mut text = String::new();
    for one in tried {
        for proof in one.expectations.iter().filter(|proof| proof.survives()) {
            let _ = writeln!(
                text,
                "survived  {} on {}, line {}: {} {}, after {} changes",
                one.scenario, one.target, proof.line, proof.word, proof.kind, proof.tried
            );
        }
        for proof in one.invariants.iter().filter(|proof| proof.survives()) {
            let _ = writeln!(
                text,
                "survived  {} on {}, {} {}, after {} changes",
                one.scenario, one.target, proof.invariant, proof.name, proof.tried
            );
        }
        if let Some(why) = &one.not_judged {
            let _ = writeln!(text, "error     {} on {}: {why}", one.scenario, one.target);
        }
    }
    let (mut all, mut red) = (0, 0);
    let (mut held, mut broken) = (0, 0);
    for one in tried.iter().filter(|one| one.not_judged.is_none()) {
        let killed = one.expectations.iter().filter(|proof| !proof.survives()).count();
        let fallen = one.invariants.iter().filter(|proof| !proof.survives()).count();
        let changes = one.expectations.iter().map(|proof| proof.tried);
        let changes: usize = changes.chain(one.invariants.iter().map(|proof| proof.tried)).sum();
        (held, broken) = (held + one.invariants.len(), broken + fallen);
        let _ = writeln!(
            text,
            "{killed:3} of {:3} expectations turn red, {fallen} of {} invariants  {} on {} ({changes} changes)",
            one.expectations.len(),
            one.invariants.len(),
            one.scenario,
            one.target
        );
        (all, red) = (all + one.expectations.len(), red + killed);
    }
    let _ = writeln!(text, "{red} of {all} expectations of {} histories can fail", tried.len());
    let _ = writeln!(text, "{broken} of {held} invariants that these histories kept can be broken by them");
    text
}
