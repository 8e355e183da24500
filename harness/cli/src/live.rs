//! The progress of a run: a line for each running scenario and a total on a terminal, a line for each result elsewhere.

use std::collections::BTreeMap;
use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use tlsboot_core::check::Outcome;
use tlsboot_core::result::ScenarioResult;
use tlsboot_engine::evidence::{LOGS, place};
use tlsboot_engine::report::colours_wanted;
use tlsboot_engine::report::paint::Paint;
use tlsboot_engine::report::terminal;
use tlsboot_engine::run::{Listener, RunEvent, RunEventKind};
use tlsboot_engine::say;
use tlsboot_engine::task::Task;

/// Column widths of ids and targets; longer ones push the rest aside.
const WIDTHS: (usize, usize) = (44, 15);
/// A scenario that runs for longer is worth a line in a log.
const SLOW: Duration = Duration::from_secs(60);
/// How often slow ones are looked for.
const PACE: Duration = Duration::from_secs(5);

/// Shows on stderr how far a run has come, which scenarios are running, and what each is waiting for.
#[derive(Debug)]
pub(super) struct LiveProgress {
    output: Output,
    paint: Paint,
    /// Where evidence is, which says why something is red.
    out: PathBuf,
    tally: Mutex<Tally>,
    running: Mutex<BTreeMap<(String, String), Running>>,
}

#[derive(Debug)]
enum Output {
    Lines,
    /// With the total below the lines of what is running.
    Bars(MultiProgress, ProgressBar),
}

#[derive(Debug)]
struct Running {
    bar: ProgressBar,
    waits: Arc<Mutex<Wait>>,
    since: Instant,
    told: bool,
}

/// What a scenario is waiting for.
#[derive(Debug, Default)]
struct Wait {
    what: String,
    until: Option<Instant>,
}

/// How far the run has come.
#[derive(Debug)]
struct Tally {
    total: usize,
    begun: Instant,
    outcomes: BTreeMap<Outcome, usize>,
}

impl LiveProgress {
    /// Of a run of so many scenarios into this folder: bars if stderr is a terminal, otherwise lines.
    pub(super) fn on_stderr(total: usize, out: &Path) -> Self {
        if !stderr().is_terminal() {
            return Self::with(Output::Lines, total, out);
        }
        let bars = MultiProgress::new();
        let total_bar = bars.add(ProgressBar::new(total as u64));
        let progress = Self::with(Output::Bars(bars, total_bar), total, out);
        progress.show_total();
        progress
    }

    fn with(output: Output, total: usize, out: &Path) -> Self {
        let tally = Tally { total, begun: Instant::now(), outcomes: BTreeMap::new() };
        let paint = Paint(colours_wanted(&stderr()));
        Self { output, paint, out: out.to_owned(), tally: Mutex::new(tally), running: Mutex::default() }
    }

    /// Until the task is dropped, a log learns of scenarios that take long, and the total on a terminal stays true.
    pub(super) fn keep_up(self: &Arc<Self>) -> Task {
        let progress = Arc::clone(self);
        Task::spawn(async move {
            let mut pace = tokio::time::interval(PACE);
            loop {
                pace.tick().await;
                progress.slow(Instant::now()).iter().for_each(|line| progress.line(line, false));
                progress.show_total();
            }
        })
    }

    /// A scenario begins on a target.
    fn started(&self, id: &str, target: &str) {
        let waits: Arc<Mutex<Wait>> = Arc::default();
        let bar = match &self.output {
            Output::Bars(bars, total) => {
                let bar = bars
                    .insert_before(total, ProgressBar::new_spinner())
                    .with_style(style(&waits))
                    .with_prefix(format!("{id} on {target}"));
                bar.enable_steady_tick(Duration::from_millis(200));
                bar
            }
            Output::Lines => ProgressBar::hidden(),
        };
        lock(&self.running).insert(key(id, target), Running { bar, waits, since: Instant::now(), told: false });
    }

    /// It waits for something (`rotation of n1 (line 23)`), for at most `until` from now.
    fn waits(&self, id: &str, target: &str, what: &str, until: Duration) {
        let running = lock(&self.running);
        if let Some(running) = running.get(&key(id, target)) {
            let until = Instant::now().checked_add(until);
            *lock(&running.waits) = Wait { what: format!("waiting for {what}"), until };
        }
    }

    /// It has failed, and its cluster waits for someone to look at it.
    fn kept(&self, id: &str, target: &str, kubeconfig: &Path) {
        let left = "the cluster to be looked at: Ctrl-C ends it";
        self.waits(id, target, left, Duration::MAX);
        let line = format!(
            "{id} on {target} failed. Its cluster is kept until Ctrl-C, and its logs are in {}:\n  export KUBECONFIG={}",
            self.out.join(place(target, id)).join(LOGS).display(),
            kubeconfig.display()
        );
        self.line(&line, true);
    }

    /// It is over.
    fn finished(&self, result: &ScenarioResult) {
        if let Some(running) = lock(&self.running).remove(&key(&result.id, &result.target)) {
            running.bar.finish_and_clear();
        }
        let line = terminal::line(result, &self.out, WIDTHS, self.paint);
        let (place, left) = {
            let mut tally = lock(&self.tally);
            *tally.outcomes.entry(result.verdict.outcome).or_default() += 1;
            (tally.place(), tally.left(Instant::now()))
        };
        match &self.output {
            Output::Lines => {
                self.line(&format!("{place} {line}{}", left.map_or(String::new(), |left| format!("  ({left})"))), true)
            }
            Output::Bars(..) => self.line(&format!("{place} {line}"), true),
        }
        self.show_total();
    }

    /// A line for each scenario that has been running for long, once.
    fn slow(&self, now: Instant) -> Vec<String> {
        let mut running = lock(&self.running);
        let slow = running.iter_mut().filter(|(_, one)| !one.told && now.duration_since(one.since) >= SLOW);
        slow.map(|((id, target), one)| {
            one.told = true;
            format!("{id} on {target} has been running for a minute, {}", lock(&one.waits).text(now))
        })
        .collect()
    }

    /// Draws the total again.
    fn show_total(&self) {
        let Output::Bars(_, bar) = &self.output else {
            return;
        };
        let tally = lock(&self.tally);
        match tally.done() == tally.total {
            true => bar.finish_and_clear(),
            false => {
                bar.set_style(
                    ProgressStyle::with_template("{bar:24} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar()),
                );
                bar.set_position(tally.done() as u64);
                bar.set_message(tally.words(Instant::now()));
            }
        }
    }

    /// Says a line; above the bars only where it stays true.
    fn line(&self, text: &str, stays: bool) {
        match &self.output {
            Output::Lines => say!("{text}"),
            Output::Bars(bars, _) if stays => bars.suspend(|| say!("{text}")),
            Output::Bars(..) => {}
        }
    }
}

impl Tally {
    fn done(&self) -> usize {
        self.outcomes.values().sum()
    }

    /// `[ 7/75]`
    fn place(&self) -> String {
        format!("[{:>2$}/{}]", self.done(), self.total, self.total.to_string().len())
    }

    /// How long the rest will take if it goes on like this. What is unsupported took no time.
    fn left(&self, now: Instant) -> Option<String> {
        let unsupported = self.outcomes.get(&Outcome::Unsupported).copied().unwrap_or(0);
        let ran = u32::try_from(self.done() - unsupported).ok().filter(|ran| *ran > 0)?;
        let left = u32::try_from(self.total - self.done()).ok().filter(|left| *left > 0)?;
        let seconds = (now.duration_since(self.begun) * left / ran).as_secs();
        Some(match seconds {
            0..60 => "less than a minute left".to_owned(),
            60..7200 => format!("about {} min left", seconds.div_ceil(60)),
            _ => format!("about {} h left", seconds.div_ceil(3600)),
        })
    }

    /// `12/75, 1 fail, 11 pass, about 3 min left`.
    fn words(&self, now: Instant) -> String {
        let counts = self.outcomes.iter().rev().map(|(outcome, count)| format!("{count} {}", outcome.word()));
        let place = format!("{}/{}", self.done(), self.total);
        std::iter::once(place).chain(counts).chain(self.left(now)).collect::<Vec<_>>().join(", ")
    }
}

impl Listener for LiveProgress {
    fn event(&self, event: &RunEvent<'_>) {
        let (id, target) = (event.scenario, event.target);
        match &event.kind {
            RunEventKind::Started => self.started(id, target),
            RunEventKind::Waits { what, left } => self.waits(id, target, &what.to_string(), *left),
            RunEventKind::Kept { kubeconfig } => self.kept(id, target, kubeconfig),
            RunEventKind::Finished(result) => self.finished(result),
        }
    }
}

fn key(id: &str, target: &str) -> (String, String) {
    (id.to_owned(), target.to_owned())
}

/// A thread that panicked while it held the lock leaves nothing that can't be shown.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn style(waits: &Arc<Mutex<Wait>>) -> ProgressStyle {
    let waits = Arc::clone(waits);
    ProgressStyle::with_template("{spinner} {prefix}  {wait} ({elapsed})")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .with_key("wait", move |_: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
            // a line that can't be drawn is drawn again a moment later
            let _ = out.write_str(&lock(&waits).text(Instant::now()));
        })
}

impl Wait {
    fn text(&self, now: Instant) -> String {
        match self.until {
            _ if self.what.is_empty() => "starts".into(),
            Some(until) => format!("{}, {} s left", self.what, until.saturating_duration_since(now).as_secs()),
            None => self.what.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tlsboot_core::check::Verdict;
    use tlsboot_core::scenario::Scenario;
    use tlsboot_engine::run::Awaited;

    #[test]
    fn time_left_counts_down_and_stops_at_zero() {
        let now = Instant::now();
        let wait = Wait {
            what: "waiting for rotation of n1 (line 23)".into(),
            until: now.checked_add(Duration::from_secs(87)),
        };
        assert_eq!(wait.text(now), "waiting for rotation of n1 (line 23), 87 s left");
        assert_eq!(wait.text(now + Duration::from_secs(200)), "waiting for rotation of n1 (line 23), 0 s left");
        assert_eq!(Wait::default().text(now), "starts");
    }

    fn result(outcome: Outcome) -> ScenarioResult {
        let scenario = Scenario::of_cluster("rotation.quick", Default::default(), Vec::new());
        let verdict = Verdict::without_history(outcome, None);
        ScenarioResult::new(&scenario, "local::1.37.2", jiff::Timestamp::UNIX_EPOCH, verdict)
    }

    #[test]
    fn what_is_over_runs_no_more() {
        let progress = LiveProgress::with(Output::Lines, 2, Path::new("nowhere"));
        let result = result(Outcome::Pass);
        let tell = |kind| progress.event(&RunEvent::new(&result.id, &result.target, kind));
        tell(RunEventKind::Started);
        tell(RunEventKind::Waits { what: Awaited::Cluster, left: Duration::from_secs(1) });
        assert_eq!(lock(&progress.running).len(), 1);
        tell(RunEventKind::Finished(&result));
        assert!(lock(&progress.running).is_empty());
        assert_eq!(lock(&progress.tally).place(), "[1/2]");
    }

    #[test]
    fn a_log_learns_once_of_what_takes_long() {
        let progress = LiveProgress::with(Output::Lines, 1, Path::new("nowhere"));
        progress.started("rotation.quick", "local::1.37.2");
        progress.waits("rotation.quick", "local::1.37.2", "rotation (line 23)", Duration::from_secs(180));
        let now = Instant::now();
        assert!(progress.slow(now).is_empty());
        let later = now + SLOW;
        let [line] = progress.slow(later).try_into().unwrap();
        assert!(
            line.starts_with("rotation.quick on local::1.37.2 has been running for a minute, waiting for rotation"),
            "{line}"
        );
        assert!(progress.slow(later).is_empty());
    }

    #[test]
    fn the_rest_takes_as_long_as_what_ran() {
        let begun = Instant::now();
        let mut tally = Tally { total: 75, begun, outcomes: BTreeMap::new() };
        let after = |tally: &Tally, seconds| tally.left(begun + Duration::from_secs(seconds));
        assert_eq!(after(&tally, 10), None);
        tally.outcomes = [(Outcome::Unsupported, 25)].into();
        assert_eq!(after(&tally, 10), None, "nothing has run yet");
        tally.outcomes.extend([(Outcome::Pass, 9), (Outcome::Fail, 1)]);
        assert_eq!(after(&tally, 10).unwrap(), "less than a minute left");
        assert_eq!(after(&tally, 60).unwrap(), "about 4 min left");
        assert_eq!(after(&tally, 3600).unwrap(), "about 4 h left");
        let words = tally.words(begun + Duration::from_secs(60));
        assert_eq!(words, "35/75, 25 unsupported, 1 fail, 9 pass, about 4 min left");
        tally.outcomes.insert(Outcome::Pass, 49);
        assert_eq!(after(&tally, 60), None);
    }
}
