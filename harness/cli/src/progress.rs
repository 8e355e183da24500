//! The progress of fetching, building and checking executables, on stderr: bars on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressStyle};

use tlsboot_engine::components::progress::{Progress, ProgressListener, TaskListener, Unit};
use tlsboot_engine::say;

/// How often a long task reports its progress without a terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(15);

/// Bars if stderr is a terminal, otherwise lines.
pub fn on_stderr() -> Progress {
    Progress::to(if stderr().is_terminal() { Output::Bars(MultiProgress::new()) } else { Output::Lines })
}

#[derive(Clone, Debug)]
enum Output {
    Lines,
    Bars(MultiProgress),
}

#[derive(Debug)]
struct Task {
    output: Output,
    bar: ProgressBar,
    label: String,
    unit: Unit,
    started: Instant,
    last_line: Instant,
}

impl ProgressListener for Output {
    /// Prints one line, above any bars.
    fn note(&self, text: &str) {
        self.line(text);
    }

    fn task(&self, label: &str, total: Option<u64>, unit: Unit) -> Box<dyn TaskListener> {
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::no_length(),
        };
        let bar = match self {
            Output::Bars(bars) => bars.add(bar).with_style(style(unit)).with_prefix(label.to_owned()),
            Output::Lines => ProgressBar::hidden(),
        };
        if let Output::Lines = self {
            let size = total.map(|total| format!(" ({})", show(unit, total))).unwrap_or_default();
            self.line(&format!("{label}{size}"));
        }
        let now = Instant::now();
        Box::new(Task { output: self.clone(), bar, label: label.into(), unit, started: now, last_line: now })
    }
}

impl TaskListener for Task {
    fn add(&mut self, more: u64) {
        self.bar.inc(more);
        if self.last_line.elapsed() >= LINE_INTERVAL && matches!(self.output, Output::Lines) {
            self.last_line = Instant::now();
            self.output.line(&format!("{}: {} so far", self.label, show(self.unit, self.bar.position())));
        }
    }

    fn finish(self: Box<Self>) {
        self.bar.finish_and_clear();
        self.output.line(&format!("{}: done in {:.1} s", self.label, self.started.elapsed().as_secs_f32()));
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Output {
    fn line(&self, text: &str) {
        match self {
            Self::Lines => say!("{text}"),
            Self::Bars(bars) => bars.suspend(|| say!("{text}")),
        }
    }
}

fn show(unit: Unit, count: u64) -> String {
    match unit {
        Unit::Bytes => HumanBytes(count).to_string(),
        Unit::Packages => format!("{count} packages"),
    }
}

fn style(unit: Unit) -> ProgressStyle {
    let template = match unit {
        Unit::Bytes => "{prefix} {wide_bar} {bytes}/{total_bytes} {eta}",
        Unit::Packages => "{prefix} {wide_bar} {pos}/{len} packages {elapsed}",
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
