//! The progress of a run: a line for each running scenario on a terminal, a line for each change elsewhere.

use std::collections::BTreeMap;
use std::io::{IsTerminal, stderr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use tlsboot_core::result::ScenarioResult;
use tlsboot_engine::report::colours_wanted;
use tlsboot_engine::report::paint::Paint;
use tlsboot_engine::report::terminal;
use tlsboot_engine::run::{Listener, RunEvent, RunEventKind};
use tlsboot_engine::say;

/// Column widths of ids and targets; longer ones push the rest aside.
const WIDTHS: (usize, usize) = (44, 15);

/// Shows on stderr which scenarios are running, and what each is waiting for.
#[derive(Debug)]
pub(super) struct LiveProgress {
    output: Output,
    paint: Paint,
    running: Mutex<BTreeMap<(String, String), Running>>,
}

#[derive(Debug)]
enum Output {
    Lines,
    Bars(MultiProgress),
}

#[derive(Debug)]
struct Running {
    bar: ProgressBar,
    waits: Arc<Mutex<Wait>>,
}

/// What a scenario is waiting for.
#[derive(Debug, Default)]
struct Wait {
    what: String,
    until: Option<Instant>,
}

impl LiveProgress {
    /// Bars if stderr is a terminal, otherwise lines.
    pub(super) fn on_stderr() -> Self {
        Self::with(if stderr().is_terminal() { Output::Bars(MultiProgress::new()) } else { Output::Lines })
    }

    fn with(output: Output) -> Self {
        Self { output, paint: Paint(colours_wanted(&stderr())), running: Mutex::default() }
    }

    /// A scenario begins on a target.
    fn started(&self, id: &str, target: &str) {
        let waits: Arc<Mutex<Wait>> = Arc::default();
        let bar = match &self.output {
            Output::Bars(bars) => {
                let bar = bars
                    .add(ProgressBar::new_spinner())
                    .with_style(style(&waits))
                    .with_prefix(format!("{id} on {target}"));
                bar.enable_steady_tick(Duration::from_millis(200));
                bar
            }
            Output::Lines => ProgressBar::hidden(),
        };
        self.line(&format!("{id} on {target} started"), false);
        lock(&self.running).insert(key(id, target), Running { bar, waits });
    }

    /// It waits for something (`rotation of n1 (line 23)`), for at most `until` from now.
    fn waits(&self, id: &str, target: &str, what: &str, until: Duration) {
        let running = lock(&self.running);
        let Some(running) = running.get(&key(id, target)) else {
            return;
        };
        let wait = Wait { what: format!("waiting for {what}"), until: Instant::now().checked_add(until) };
        let before = std::mem::replace(&mut *lock(&running.waits), wait);
        // called again for the same thing, it has no news for a log
        if before.what != format!("waiting for {what}") {
            self.line(&format!("{id} on {target} waiting for {what}, {} s left", until.as_secs()), false);
        }
    }

    /// It is over.
    fn finished(&self, result: &ScenarioResult) {
        if let Some(running) = lock(&self.running).remove(&key(&result.id, &result.target)) {
            running.bar.finish_and_clear();
        }
        self.line(&terminal::line(result, WIDTHS, self.paint), true);
    }

    /// Says a line; above the bars only where it stays true.
    fn line(&self, text: &str, stays: bool) {
        match &self.output {
            Output::Lines => say!("{text}"),
            Output::Bars(bars) if stays => bars.suspend(|| say!("{text}")),
            Output::Bars(_) => {}
        }
    }
}

impl Listener for LiveProgress {
    fn event(&self, event: &RunEvent<'_>) {
        let (id, target) = (event.scenario, event.target);
        match &event.kind {
            RunEventKind::Started => self.started(id, target),
            RunEventKind::Waits { what, left } => self.waits(id, target, &what.to_string(), *left),
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
    use tlsboot_core::check::{Outcome, Verdict};
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

    #[test]
    fn what_is_over_runs_no_more() {
        let progress = LiveProgress::with(Output::Lines);
        let scenario = Scenario::of_cluster("rotation.quick", Default::default(), Vec::new());
        let verdict = Verdict { outcome: Outcome::Pass, error: None, expectations: Vec::new() };
        let result = ScenarioResult::new(&scenario, "local::1.37.2", jiff::Timestamp::UNIX_EPOCH, verdict);
        let tell = |kind| progress.event(&RunEvent::new(&result.id, &result.target, kind));
        tell(RunEventKind::Started);
        tell(RunEventKind::Waits { what: Awaited::Cluster, left: Duration::from_secs(1) });
        assert_eq!(lock(&progress.running).len(), 1);
        tell(RunEventKind::Finished(&result));
        assert!(lock(&progress.running).is_empty());
    }
}
