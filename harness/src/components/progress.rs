//! Progress on stderr: bars on a terminal, plain lines elsewhere, nothing for a library's caller who wants none.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressStyle};

/// How often a long task without a terminal says where it is.
const LINE_INTERVAL: Duration = Duration::from_secs(15);

/// Where progress is shown. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Progress(Output);

#[derive(Clone, Debug)]
enum Output {
    Hidden,
    Lines,
    Bars(MultiProgress),
}

/// What a task counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Shown as KiB, MiB and so on.
    Bytes,
    /// Go packages of a build.
    Packages,
}

/// One thing under way; it ends when dropped, or with a line of success by [`Task::finish`].
#[derive(Debug)]
pub struct Task {
    output: Output,
    bar: ProgressBar,
    label: String,
    unit: Unit,
    started: Instant,
    last_line: Instant,
}

impl Progress {
    /// Bars if stderr is a terminal, else lines.
    pub fn on_stderr() -> Self {
        Self(if stderr().is_terminal() { Output::Bars(MultiProgress::new()) } else { Output::Lines })
    }

    /// Shows nothing.
    pub fn hidden() -> Self {
        Self(Output::Hidden)
    }

    /// Says one line, above any bars.
    pub fn note(&self, text: &str) {
        self.0.line(text);
    }

    /// Begins a task of `total` units, if that is known.
    pub fn task(&self, label: &str, total: Option<u64>, unit: Unit) -> Task {
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::no_length(),
        };
        let bar = match &self.0 {
            Output::Bars(bars) => bars.add(bar).with_style(unit.style()).with_prefix(label.to_owned()),
            Output::Lines | Output::Hidden => ProgressBar::hidden(),
        };
        if let Output::Lines = &self.0 {
            let size = total.map(|total| format!(" ({})", unit.show(total))).unwrap_or_default();
            self.0.line(&format!("{label}{size}"));
        }
        let now = Instant::now();
        Task { output: self.0.clone(), bar, label: label.into(), unit, started: now, last_line: now }
    }
}

impl Task {
    /// `more` units are done.
    pub fn add(&mut self, more: u64) {
        self.bar.inc(more);
        if self.last_line.elapsed() >= LINE_INTERVAL && matches!(self.output, Output::Lines) {
            self.last_line = Instant::now();
            self.output.line(&format!("{}: {} so far", self.label, self.unit.show(self.bar.position())));
        }
    }

    /// Ends the task well.
    pub fn finish(self) {
        let Self { output, label, started, .. } = &self;
        self.bar.finish_and_clear();
        output.line(&format!("{label}: done in {:.1} s", started.elapsed().as_secs_f32()));
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
            Self::Hidden => {}
            Self::Lines => eprintln!("{text}"),
            Self::Bars(bars) => bars.suspend(|| eprintln!("{text}")),
        }
    }
}

impl Unit {
    fn show(self, count: u64) -> String {
        match self {
            Self::Bytes => HumanBytes(count).to_string(),
            Self::Packages => format!("{count} packages"),
        }
    }

    fn style(self) -> ProgressStyle {
        let template = match self {
            Self::Bytes => "{prefix} {wide_bar} {bytes}/{total_bytes} {eta}",
            Self::Packages => "{prefix} {wide_bar} {pos}/{len} packages {elapsed}",
        };
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
    }
}
