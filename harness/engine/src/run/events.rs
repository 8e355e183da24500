//! What a run reports while it is running: the interface between the run and whatever shows it.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use tlsboot_core::result::ScenarioResult;

/// Something that happened to one scenario on one target.
#[derive(Clone, Debug, PartialEq)]
pub struct RunEvent<'a> {
    /// The scenario's id.
    pub scenario: &'a str,
    /// The target's name.
    pub target: &'a str,
    /// What happened.
    pub kind: RunEventKind<'a>,
}

impl<'a> RunEvent<'a> {
    /// An event of a scenario, by its id, on a target, by its name.
    pub fn new(scenario: &'a str, target: &'a str, kind: RunEventKind<'a>) -> Self {
        Self { scenario, target, kind }
    }
}

/// What happened to a scenario. The listener decides what to do about each.
#[derive(Clone, Debug, PartialEq)]
pub enum RunEventKind<'a> {
    /// It begins.
    Started,
    /// It is waiting for something new.
    Waits {
        /// What it is waiting for.
        what: Awaited<'a>,
        /// How long it will wait at most.
        left: Duration,
    },
    /// It has failed, and its cluster runs on until the run is interrupted.
    Kept {
        /// A kubeconfig of the cluster's administrator, which goes away with the cluster.
        kubeconfig: &'a Path,
    },
    /// It has finished: the verdict, and the known failure if there is one.
    Finished(&'a ScenarioResult),
}

/// What a scenario is waiting for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Awaited<'a> {
    /// Its cluster.
    Cluster,
    /// A step to be performed or decided.
    Step {
        /// `expect` or `never`; empty for a stimulus.
        verb: &'static str,
        /// The kind of expectation, or the stimulus.
        word: &'a str,
        /// The step's line in the scenario file.
        line: u64,
    },
}

impl fmt::Display for Awaited<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => f.write_str("the cluster to be ready"),
            Self::Step { verb: "", word, line } => write!(f, "{word} (line {line})"),
            Self::Step { verb, word, line } => write!(f, "{verb} {word} (line {line})"),
        }
    }
}

/// Receives everything that happens in a run, in order for each scenario, from several tasks at a time.
pub trait Listener: Send + Sync {
    /// Handles an event. The scenario waits until it returns.
    fn event(&self, event: &RunEvent<'_>);
}

/// How long a stimulus may take, for those who watch.
pub(super) const STEP: Duration = Duration::from_secs(120);

/// Tells a listener what happens to one scenario on one target.
#[derive(Clone, Copy)]
pub(super) struct Teller<'a> {
    pub(super) listener: &'a dyn Listener,
    /// The scenario's id.
    pub(super) scenario: &'a str,
    /// The target's name.
    pub(super) target: &'a str,
}

impl Teller<'_> {
    pub(super) fn tell(&self, kind: RunEventKind<'_>) {
        self.listener.event(&RunEvent::new(self.scenario, self.target, kind));
    }
}

/// Shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Listener for Silent {
    fn event(&self, _: &RunEvent<'_>) {}
}
