//! Lines of the components' logs that mention certificates and bootstrapping.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::Sink;
use super::pace::Pace;
use super::tail::Followed;
use crate::secret::Vault;
use crate::task::Task;
use tlsboot_core::history::What;
use tlsboot_core::history::event::{LogEvent, Recorder};
use tlsboot_core::time::Shift;

const PACE: Pace = Pace { shortest: Duration::from_millis(100), longest: Duration::from_secs(1) };
/// The longest delay between writing and reading a line, on a machine that is not overloaded.
pub const LATEST: Duration = PACE.longest.saturating_add(Duration::from_millis(500));
/// A line that appears older than this when it is read uses another clock than tlsboot.
const OLDEST: i64 = 5_000_000;
/// Longer lines are truncated.
const LONGEST: usize = 1_000;

/// A line with one of these is recorded, in upper or lower case.
pub const WORDS: &[&str] = &[
    "bootstrap",
    "certificate",
    "credential",
    "csr",
    "forbidden",
    // The signature of cluster-info, by which `kubeadm join` verifies a token.
    "jws",
    "kubeconfig",
    "rotat",
    "tls:",
    "tls handshake",
    "unauthorized",
    "x509",
    // The last messages of a component, as Go, cobra and klog write them.
    "command failed",
    "error: ",
    "exiting",
    "failed to run",
    "fatal",
    "panic",
    "shutting down",
    "signal received",
];

/// A line with one of these is not, even if it has one of the [`WORDS`]: flags and API groups that are printed at
/// startup, informers that start and stop, each HTTP request at `-v=6` and above.
pub const NOISE: &[&str] = &[
    "adding groupversion",
    "admission controller(s)",
    "caches are synced",
    "caches populated",
    "container_log_manager.go",
    "controller is disabled",
    "event occurred",
    "exiting watch because",
    "feature gate",
    "] flag: --",
    "listing and watching",
    "requestheader",
    "round_trippers.go",
    "skipping api ",
    "starting reflector",
    "stopping reflector",
    "waiting for caches to sync",
    "watch close",
];

/// Records the lines of a component's log as it grows, with secrets removed and truncated to 1,000 characters, at the
/// time that klog wrote before them, or else at the time of reading. Waits for the file. A line is recorded if it has
/// one of the [`WORDS`] and none of the [`NOISE`]; lines that begin with a tab belong to a dumped structure. A failed
/// TLS handshake with the same reason is recorded at most every five seconds, because tlsboot's own probes cause them.
pub fn tail(path: PathBuf, component: String, node: Option<String>, sink: Sink) -> Task {
    let mut handshakes = Handshakes::default();
    let source = node.clone().unwrap_or_else(|| component.clone());
    let name = format!("the log of {component}");
    let log = Followed { path, name, recorder: Recorder::Log, source, pace: PACE };
    log.follow(sink, move |line, sink| {
        if is_relevant(line) && handshakes.is_new(line) {
            let now = Timestamp::now();
            let what = What::Log(LogEvent {
                component: component.clone(),
                node: node.clone(),
                line: clean(line, sink.vault()),
            });
            sink.emit_at(written_at(line, now).unwrap_or(now), what);
        }
    })
}

/// When klog wrote a line (`I1125 03:51:49.980419 …`), in microseconds, in an unknown time zone: zones differ by
/// quarters of an hour. `None` if the line has no such prefix, or was written long before `now`.
fn written_at(line: &str, now: Timestamp) -> Option<Timestamp> {
    const QUARTER: i64 = 15 * 60 * 1_000_000;
    let (header, time) = line.get(..21)?.split_once(' ')?;
    if !header.starts_with(['I', 'W', 'E', 'F']) {
        return None;
    }
    let (clock, microseconds) = time.split_once('.')?;
    let (minutes, seconds) = clock.split_once(':')?.1.split_once(':')?;
    let [minutes, seconds, microseconds] = [minutes, seconds, microseconds].map(|digits| digits.parse::<i64>().ok());
    let time = (minutes? * 60 + seconds?) * 1_000_000 + microseconds?;
    let age = (now.as_microsecond() - time).rem_euclid(QUARTER);
    (age < OLDEST).then(|| now.earlier(SignedDuration::from_micros(age)))
}

/// The last lines of a log that explain a component's state: relevant ones, and klog's errors. For the evidence of a
/// failure; `None` if the log cannot be read.
pub fn last_lines(path: &Path, count: usize, vault: &Vault) -> Vec<String> {
    let bytes = end_of(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let is_error = |line: &str| line.starts_with(['E', 'F']) && !line.starts_with("FLAG");
    let mut lines: Vec<String> = text
        .lines()
        .rev()
        .filter(|line| is_relevant(line) || is_error(line))
        .take(count)
        .map(|line| clean(line, vault))
        .collect();
    lines.reverse();
    lines
}

/// As much of a file's end as is worth reading.
fn end_of(path: &Path) -> std::io::Result<Vec<u8>> {
    const WORTH_READING: u64 = 512 << 10;
    let mut file = std::fs::File::open(path)?;
    let start = file.metadata()?.len().saturating_sub(WORTH_READING);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn is_relevant(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| line.contains(word));
    !line.starts_with(['\t', ' ']) && has(WORDS) && !has(NOISE)
}

/// Secrets are removed before truncating, so that no half of one is left.
fn clean(line: &str, vault: &Vault) -> String {
    vault.scrub(line).chars().take(LONGEST).collect()
}

/// When each reason for a failed handshake was last recorded.
#[derive(Default)]
struct Handshakes(HashMap<String, Instant>);

impl Handshakes {
    const QUIET: Duration = Duration::from_secs(5);
    /// As in net/http: `http: TLS handshake error from 127.0.0.1:49152: no serving certificate available`.
    const PREFIX: &str = "TLS handshake error from ";

    fn is_new(&mut self, line: &str) -> bool {
        let Some((_, rest)) = line.split_once(Self::PREFIX) else {
            return true;
        };
        let reason = rest.split_once(": ").map_or(rest, |(_, reason)| reason);
        let now = Instant::now();
        let last = self.0.get(reason);
        let new = last.is_none_or(|last| now.duration_since(*last) >= Self::QUIET);
        if new {
            self.0.insert(reason.to_owned(), now);
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::utc("I1125 03:51:49.980419       1 x.go:1] y", "2026-11-25T03:51:50Z", Some(19_581))]
    #[case::elsewhere("E1125 09:36:49.980419       1 x.go:1] y", "2026-11-25T03:51:50Z", Some(19_581))]
    #[case::over_the_hour("W1125 03:59:59.000000       1 x.go:1] y", "2026-11-25T04:00:01Z", Some(2_000_000))]
    #[case::another_clock("I1125 03:51:20.000000       1 x.go:1] y", "2026-11-25T03:51:50Z", None)]
    #[case::clock_ahead("I1125 03:51:51.000000       1 x.go:1] y", "2026-11-25T03:51:50Z", None)]
    #[case::no_klog("Error: unknown flag: --client-ca", "2026-11-25T03:51:50Z", None)]
    #[case::json(r#"{"level":"info","ts":"2026-11-25T03:51:50Z"}"#, "2026-11-25T03:51:50Z", None)]
    fn klog_says_when(#[case] line: &str, #[case] now: Timestamp, #[case] age: Option<i64>) {
        let at = age.map(|age| now.earlier(SignedDuration::from_micros(age)));
        assert_eq!(written_at(line, now), at);
    }

    #[rstest]
    #[case(
        r#"I1124 03:50:42.572880       1 server.go:1036] "Client rotation is on, will bootstrap in background""#,
        true
    )]
    #[case(r#"I1124 03:50:43.574902       1 transport.go:147] "Certificate rotation detected, shutting down client connections to start using new credentials""#, true)]
    #[case(r#"I1124 03:50:42.114828   32469 certificate_controller.go:120] "Starting certificate controller" name="csrapproving""#, true)]
    #[case(
        "I0101 00:00:00.000000       1 certificate_manager.go:283] kubernetes.io/kubelet-serving: Rotating certificates",
        true
    )]
    #[case(r#"E0101 00:00:00.000000       1 run.go:72] "command failed" err="failed to run Kubelet: …""#, true)]
    #[case("Error: unknown flag: --insecure-experimental-approve-all-kubelet-csrs-for-group", true)]
    #[case("\trotateCertificates: true", false)]
    #[case(r#"I0101 00:00:00.000000       1 flags.go:64] FLAG: --cert-dir="/pki""#, false)]
    #[case(
        "I0101 00:00:00.000000       1 reflector.go:255] Listing and watching *v1.CertificateSigningRequest from k8s.io",
        false
    )]
    #[case(r#"I1124 03:50:42.114186   32469 controllermanager.go:689] "Warning: controller is disabled" controller="podcertificaterequest-cleaner-controller""#, false)]
    #[case(r#"I1124 03:50:42.813910       1 kuberuntime_manager.go:315] "Container runtime initialized""#, false)]
    fn filter(#[case] line: &str, #[case] relevant: bool) {
        assert_eq!(is_relevant(line), relevant);
    }

    #[test]
    fn handshakes_do_not_flood() {
        let mut handshakes = Handshakes::default();
        let line =
            |port: u16, why: &str| format!("I0101 log.go:32] http: TLS handshake error from 127.0.0.1:{port}: {why}");
        assert!(handshakes.is_new(&line(1, "no serving certificate available")));
        assert!(!handshakes.is_new(&line(2, "no serving certificate available")));
        assert!(handshakes.is_new(&line(3, "EOF")));
        assert!(handshakes.is_new("another line") && handshakes.is_new("another line"));
    }

    #[test]
    fn last_lines_are_clean_and_few() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let vault = Vault::new();
        vault.register("abcdef.0123456789abcdef");
        let long = "x".repeat(2 * LONGEST);
        let text =
            format!("nothing\ncertificate one\nE0101 bad {long}\nI0101 fine\ncsr token abcdef.0123456789abcdef\n");
        std::fs::write(&path, text).unwrap();
        let lines = last_lines(&path, 2, &vault);
        assert!(lines[0].starts_with("E0101 bad x") && lines[0].len() == LONGEST);
        assert_eq!(lines[1], "csr token [secret]");
        assert!(last_lines(&dir.path().join("missing"), 2, &vault).is_empty());
    }
}
