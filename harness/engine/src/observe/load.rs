//! How long the cluster's processes work, and wait for a processor: so that a machine which is too slow is not taken for a
//! cluster that is.
//!
//! The kernel counts both for each thread (`/proc/PID/task/TID/schedstat`). A kernel that does not, or a thread that has
//! ended since the last look, makes the sums smaller, never larger.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::Sink;
use crate::task::Task;
use tlsboot_core::history::What;
use tlsboot_core::history::event::{Load, Recorder, WHOLE_CLUSTER};

/// Looking costs less than a millisecond.
const PACE: Duration = Duration::from_secs(1);
/// Less is told with what comes after it.
const TOLD_MS: u64 = 250;

/// Records the load of the processes that the history says to run.
pub fn record(sink: Sink) -> Task {
    Task::spawn(async move {
        let mut looks = interval(PACE);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut counts, mut told) = (Counts::default(), Load::default());
        loop {
            looks.tick().await;
            let now = sink.mono();
            // The end of a process is recorded by its parent, who waits for it.
            if counts.look(&sink.processes()) {
                sink.looked(Recorder::Process, WHOLE_CLUSTER, now);
            }
            let load = counts.load();
            if load.since(told).waited_ms >= TOLD_MS {
                sink.emit(What::Load(load));
                told = load;
            }
        }
    })
}

/// What the kernel has counted, in nanoseconds.
#[derive(Debug, Default)]
struct Counts {
    worked: u64,
    waited: u64,
    /// By thread, as of the last look.
    threads: BTreeMap<u32, (u64, u64)>,
}

impl Counts {
    /// Whether all of them are there.
    fn look(&mut self, processes: &BTreeSet<u32>) -> bool {
        let threads: BTreeMap<u32, (u64, u64)> = processes.iter().flat_map(|process| threads_of(*process)).collect();
        for (thread, (worked, waited)) in &threads {
            let (before, waited_before) = self.threads.get(thread).copied().unwrap_or_default();
            self.worked += worked.saturating_sub(before);
            self.waited += waited.saturating_sub(waited_before);
        }
        self.threads = threads;
        processes.iter().all(|process| Path::new("/proc").join(process.to_string()).exists())
    }

    fn load(&self) -> Load {
        Load { worked_ms: self.worked / 1_000_000, waited_ms: self.waited / 1_000_000 }
    }
}

/// What the kernel has counted for each thread of a process; nothing where there is none.
fn threads_of(process: u32) -> Vec<(u32, (u64, u64))> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let counted = |thread: fs::DirEntry| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        Some((thread.file_name().to_str()?.parse().ok()?, counts_in(&text)?))
    };
    threads.filter_map(counted).collect()
}

/// Time on a processor, then time in the queue for one (`proc_pid_schedstat` of the kernel's `fs/proc/base.c`).
fn counts_in(text: &str) -> Option<(u64, u64)> {
    let mut numbers = text.split_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_counted_once() {
        let me = BTreeSet::from([std::process::id()]);
        let mut counts = Counts::default();
        counts.look(&me);
        let first = counts.load();
        counts.look(&me);
        assert!(counts.load().since(first).worked_ms < 1_000, "{first:?} {:?}", counts.load());
        counts.look(&BTreeSet::new());
        assert!(counts.threads.is_empty());
    }

    #[test]
    fn lines_of_the_kernel_are_read() {
        assert_eq!(counts_in("470730 103460 2\n"), Some((470_730, 103_460)));
        assert_eq!((counts_in(""), counts_in("1 x 2")), (None, None));
    }
}
