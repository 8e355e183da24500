//! Whether the controllers of a controller-manager work. Its health check answers before they are started, and until then it
//! exits if the API server is unreachable for 10 s (`WaitForAPIServer`, `cmd/kube-controller-manager/app/controllermanager.go`).
//! What shows that they work are their lists and watches, which begin when all controllers are started: in the API server's
//! audit log. An API server up to 1.21 writes a watch down only when it ends.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use super::tokens::CONTROLLER_MANAGER;
use crate::cluster::ClusterError;
use crate::poll;

/// Controllers by both of their names, and what they watch.
const WATCHED: [([&str; 2], &str); 4] = [
    (["csrapproving", "certificatesigningrequest-approving-controller"], CSRS),
    (["csrsigning", "certificatesigningrequest-signing-controller"], CSRS),
    (["csrcleaner", "certificatesigningrequest-cleaner-controller"], CSRS),
    (["tokencleaner", "token-cleaner-controller"], "secrets"),
];
const CSRS: &str = "certificatesigningrequests";
/// The prefix of its controllers' user names.
const ACCOUNTS: &str = "system:serviceaccount:kube-system:";
/// Controllers that look at all objects, whatever these are for, by the end of their user agents
/// (`cmd/kube-controller-manager/app/core.go`, garbage collector and quota). They may be started before.
const OF_EVERYTHING: [&str; 3] = ["/metadata-informers", ":generic-garbage-collector", ":resourcequota-controller"];
/// The longest line of an audit log, in bytes.
const LONGEST_LINE: usize = 1 << 20;

/// The watches that a process begins.
pub(crate) struct Watches {
    audit_log: PathBuf,
    /// Where the process's own lines begin: those before are another process's.
    read: u64,
    rest: Vec<u8>,
    missing: BTreeSet<&'static str>,
}

impl Watches {
    /// The watches to expect of a controller-manager that is about to be started with this value of `--controllers`.
    pub(crate) fn of(controllers: &str, audit_log: PathBuf) -> io::Result<Self> {
        let read = match fs::metadata(&audit_log) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            found => found?.len(),
        };
        Ok(Self { audit_log, read, rest: Vec::new(), missing: by_controllers(controllers) })
    }

    /// Waits until all of them have begun.
    pub(crate) async fn seen(mut self, patience: Duration) -> Result<(), ClusterError> {
        let look = || {
            let seen = self.look().map_err(ClusterError::file(&self.audit_log));
            async move { seen }
        };
        let seen = poll::until(Instant::now() + patience, poll::OFTEN, look).await?;
        seen.map_err(ClusterError::late("the controllers of kube-controller-manager at work", patience))
    }

    /// Reads what is new. The inner error says what is missing.
    fn look(&mut self) -> io::Result<Result<(), String>> {
        if !self.missing.is_empty()
            && let Ok(mut log) = File::open(&self.audit_log)
        {
            log.seek(SeekFrom::Start(self.read))?;
            self.read += log.read_to_end(&mut self.rest)? as u64;
            let end = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            let rest = self.rest.split_off(end);
            let lines = std::mem::replace(&mut self.rest, rest);
            lines.split(|byte| *byte == b'\n').for_each(|line| self.note(line));
            if self.rest.len() > LONGEST_LINE {
                return Err(io::Error::other("it has a line without an end"));
            }
        }
        Ok(if self.missing.is_empty() {
            Ok(())
        } else {
            let missing: Vec<&str> = self.missing.iter().copied().collect();
            Err(format!("it does not watch {} yet", missing.join(" and ")))
        })
    }

    fn note(&mut self, line: &[u8]) {
        // The recorder of the audit log reports lines that are malformed.
        let Ok(line) = serde_json::from_slice::<Line>(line) else { return };
        let is_its_own = line.user.username == CONTROLLER_MANAGER || line.user.username.starts_with(ACCOUNTS);
        let looks = matches!(line.verb.as_str(), "list" | "watch") && line.response_status.code == 200;
        let is_of_everything = OF_EVERYTHING.iter().any(|end| line.user_agent.ends_with(end));
        if is_its_own && looks && !is_of_everything {
            self.missing.remove(line.object_ref.resource.as_str());
        }
    }
}

/// Whether a value of `--controllers` enables a controller: the first mention of its name counts (`IsControllerEnabled` in
/// staging/src/k8s.io/controller-manager/app/helper.go). The token cleaner is off by default.
fn by_controllers(value: &str) -> BTreeSet<&'static str> {
    let entries: Vec<&str> = value.split(',').map(str::trim).collect();
    let is_on = |names: &[&str; 2], watched: &str| {
        let named = entries.iter().find_map(|entry| match entry.strip_prefix('-') {
            Some(off) => names.contains(&off).then_some(false),
            None => names.contains(entry).then_some(true),
        });
        named.unwrap_or(watched == CSRS && entries.contains(&"*"))
    };
    WATCHED.iter().filter(|(names, watched)| is_on(names, watched)).map(|(_, watched)| *watched).collect()
}

/// A line of an audit log, as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    verb: String,
    user: User,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: Object,
    #[serde(default)]
    response_status: Status,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
struct Object {
    #[serde(default)]
    resource: String,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("csrsigning,csrapproving", &[CSRS])]
    #[case("csrsigning,tokencleaner", &[CSRS, "secrets"])]
    #[case("*", &[CSRS])]
    #[case("*,tokencleaner,-csrcleaner", &[CSRS, "secrets"])]
    #[case("*,-csrsigning,-csrapproving,-certificatesigningrequest-cleaner-controller", &[])]
    #[case("nodelifecycle", &[])]
    #[case("", &[])]
    fn what_is_watched_goes_by_the_controllers(#[case] value: &str, #[case] watched: &[&str]) {
        assert_eq!(by_controllers(value).into_iter().collect::<Vec<_>>(), watched);
    }

    fn line(user: &str, verb: &str, code: u16) -> String {
        let line = serde_json::json!({
            "stage": "ResponseStarted", "verb": verb, "user": {"username": user},
            "objectRef": {"resource": CSRS, "apiGroup": "certificates.k8s.io"}, "responseStatus": {"code": code},
        });
        format!("{line}\n")
    }

    #[test]
    fn only_its_own_watches_of_this_start_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        fs::write(&path, line(CONTROLLER_MANAGER, "watch", 200)).unwrap();
        let mut watches = Watches::of("csrsigning", path.clone()).unwrap();
        assert_eq!(watches.look().unwrap(), Err("it does not watch certificatesigningrequests yet".into()));
        let mut log = fs::OpenOptions::new().append(true).open(&path).unwrap();
        let others =
            [("tlsboot-admin", "watch", 200), (CONTROLLER_MANAGER, "get", 200), (CONTROLLER_MANAGER, "watch", 403)];
        for (user, verb, code) in others {
            log.write_all(line(user, verb, code).as_bytes()).unwrap();
            assert!(watches.look().unwrap().is_err(), "{user} {verb} {code}");
        }
        let whole = line("system:serviceaccount:kube-system:certificate-controller", "watch", 200);
        let (first, last) = whole.split_at(20);
        log.write_all(first.as_bytes()).unwrap();
        assert!(watches.look().unwrap().is_err());
        log.write_all(last.as_bytes()).unwrap();
        assert_eq!(watches.look().unwrap(), Ok(()));
    }

    #[rstest]
    #[case::its_list("list", "k3s/v1.21.2+k3s1 (linux/amd64) k3s/5a67e8d/shared-informers", true)]
    #[case::its_watch("watch", "kube-controller-manager/v1.37.2 (linux/amd64) kubernetes/0/shared-informers", true)]
    #[case::quota_and_garbage("watch", "k3s/v1.21.2+k3s1 (linux/amd64) k3s/5a67e8d/metadata-informers", false)]
    #[case::garbage_by_its_account(
        "list",
        "k3s/v1 (linux/amd64) k3s/0/system:serviceaccount:kube-system:generic-garbage-collector",
        false
    )]
    fn what_looks_at_all_objects_shows_nothing(#[case] verb: &str, #[case] agent: &str, #[case] counts: bool) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let mut watches = Watches::of("*", path.clone()).unwrap();
        let line = line(CONTROLLER_MANAGER, verb, 200).replacen('{', &format!("{{\"userAgent\":\"{agent}\","), 1);
        fs::write(&path, line).unwrap();
        assert_eq!(watches.look().unwrap().is_ok(), counts);
    }

    #[test]
    fn without_such_a_controller_there_is_nothing_to_wait_for() {
        let mut watches = Watches::of("nodelifecycle", "/no/such/file".into()).unwrap();
        assert_eq!(watches.look().unwrap(), Ok(()));
    }
}
