//! What tlsboot creates in an existing cluster: all of it carries the run's id, so that all of it can be found and
//! removed, by the run itself or, if the run was killed, by `tlsboot gc --kubeconfig`.

use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::Secret as SecretObject;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, PostParams, ResourceExt};
use kube::core::Resource;
use serde::de::DeserializeOwned;

use crate::connection::{Connection, Unreachable};
use tlsboot_engine::cluster::TokenValue;
use tlsboot_engine::cluster::shared::tokens::{random_hex, random_token, secret as token_secret};

/// The label with the run's id.
pub const LABEL: &str = "tlsboot-run";
/// The annotation that identifies the process that created it: host, pid and start time of the process.
const OWNER: &str = "tlsboot-owner";
/// What another machine created is left alone for this long: no run takes longer.
const ANOTHER_MACHINES: SignedDuration = SignedDuration::from_hours(1);

/// A run's id: ten letters and digits, so that it can be part of any name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunId(String);

impl RunId {
    /// A new one.
    pub fn new() -> Self {
        Self(random_hex()[..10].to_owned())
    }

    /// Metadata for an object of this run.
    pub fn meta(&self) -> ObjectMeta {
        ObjectMeta {
            labels: Some(BTreeMap::from([(LABEL.to_owned(), self.0.clone())])),
            annotations: Some(BTreeMap::from([(OWNER.to_owned(), Owner::this().to_string())])),
            ..Default::default()
        }
    }

    /// The label selector of this run's objects.
    pub fn selector(&self) -> String {
        format!("{LABEL}={}", self.0)
    }
}

impl Default for RunId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The kubeconfig's user may not create one.
    #[error(
        "the Secret of a bootstrap token cannot be created in kube-system: {0}\n  The kubeconfig's user needs to create, list and delete Secrets there, and to list and delete CSRs."
    )]
    Refused(String),
    /// The API server does not answer, or not as expected.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The Secret could not be generated.
    #[error("the Secret of a bootstrap token: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// Creates a bootstrap token of this run, with these extra groups.
///
/// # Errors
/// If the cluster refuses.
pub async fn create_token(
    connection: &Connection,
    run: &RunId,
    groups: &[String],
    expires: SignedDuration,
) -> Result<TokenValue, TokenError> {
    let token = random_token(groups, expires);
    let secret = token_secret(&token, Timestamp::now()).unwrap_or_default();
    let mut secret: SecretObject = serde_json::from_value(secret)?;
    let meta = run.meta();
    secret.metadata.labels = meta.labels;
    secret.metadata.annotations = meta.annotations;
    let api = Api::<SecretObject>::namespaced(connection.client(), "kube-system");
    match api.create(&PostParams::default(), &secret).await {
        Ok(_) => Ok(token),
        Err(kube::Error::Api(status)) if status.code == 403 => Err(TokenError::Refused(status.message.clone())),
        Err(error) => Err(connection.unreachable(&error).into()),
    }
}

/// Objects of a run are still in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not everything could be removed:\n  {}\n  To see what is left: kubectl get clusterrolebindings,csr -l {selector}; kubectl -n kube-system get secrets -l {selector}",
    left.join("\n  ")
)]
pub struct NotRemoved {
    /// What is left, each with the reason.
    pub left: Vec<String>,
    /// The label selector that finds it.
    pub selector: String,
}

/// Removes everything of a run. Continues after an error, and reports what is left.
///
/// # Errors
/// What could not be removed, and why.
pub async fn remove(client: &kube::Client, run: &RunId) -> Result<Vec<String>, NotRemoved> {
    remove_where(client, &run.selector(), |_| true).await
}

/// Removes what runs left behind whose process has exited.
///
/// # Errors
/// What could not be removed, and why.
pub async fn sweep(client: &kube::Client) -> Result<Vec<String>, NotRemoved> {
    let now = Timestamp::now();
    remove_where(client, LABEL, |meta| {
        let owner = meta.annotations.as_ref().and_then(|notes| notes.get(OWNER));
        let created = meta.creation_timestamp.as_ref();
        let age = created.map_or(SignedDuration::MAX, |at| now.duration_since(at.0));
        is_abandoned(owner.map(String::as_str), age, &Owner::this().host, start_of)
    })
    .await
}

async fn remove_where(
    client: &kube::Client,
    selector: &str,
    meant: impl Fn(&ObjectMeta) -> bool,
) -> Result<Vec<String>, NotRemoved> {
    let mut removed = Vec::new();
    let mut left = Vec::new();
    // Permissions first, then credentials, then what was requested with them.
    let bindings = Api::<ClusterRoleBinding>::all(client.clone());
    remove_kind(&bindings, selector, &meant, &mut removed, &mut left).await;
    let secrets = Api::<SecretObject>::namespaced(client.clone(), "kube-system");
    remove_kind(&secrets, selector, &meant, &mut removed, &mut left).await;
    let csrs = Api::<CertificateSigningRequest>::all(client.clone());
    remove_kind(&csrs, selector, &meant, &mut removed, &mut left).await;
    if left.is_empty() { Ok(removed) } else { Err(NotRemoved { left, selector: selector.to_owned() }) }
}

async fn remove_kind<K>(
    api: &Api<K>,
    selector: &str,
    meant: &impl Fn(&ObjectMeta) -> bool,
    removed: &mut Vec<String>,
    left: &mut Vec<String>,
) where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + fmt::Debug,
{
    let kind = K::kind(&());
    let found = match api.list(&ListParams::default().labels(selector)).await {
        Ok(found) => found,
        Err(error) => {
            left.push(format!("{kind}s cannot be listed: {error}"));
            return;
        }
    };
    for object in found.items.iter().filter(|object| meant(object.meta())) {
        let name = object.name_any();
        match api.delete(&name, &DeleteParams::default()).await {
            Ok(_) => removed.push(format!("{kind} {name}")),
            // The token cleaner was faster.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => left.push(format!("{kind} {name} was not removed: {error}")),
        }
    }
}

/// Which process created something.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owner {
    host: String,
    pid: u32,
    start: u64,
}

impl Owner {
    fn this() -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let pid = std::process::id();
        Self { host: host.trim().to_owned(), pid, start: start_of(pid).unwrap_or_default() }
    }

    fn read(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        Some(Self {
            host: words.next()?.to_owned(),
            pid: words.next()?.parse().ok()?,
            start: words.next()?.parse().ok()?,
        })
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.host, self.pid, self.start)
    }
}

/// When a process started, in clock ticks since the machine did; `None` if it is not running.
fn start_of(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which may contain spaces and parentheses: field 22 of the whole.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Whether the process that created something has exited: known on its own machine, guessed by age on others.
fn is_abandoned(owner: Option<&str>, age: SignedDuration, host: &str, start_of: impl Fn(u32) -> Option<u64>) -> bool {
    match owner.and_then(Owner::read) {
        Some(owner) if owner.host == host => start_of(owner.pid) != Some(owner.start),
        _ => age > ANOTHER_MACHINES,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::runs(Some("here 7 100"), 0, false)]
    #[case::dead(Some("here 8 100"), 0, true)]
    #[case::pid_of_another_process_now(Some("here 7 99"), 0, true)]
    #[case::elsewhere_and_young(Some("there 8 100"), 600, false)]
    #[case::elsewhere_and_old(Some("there 8 100"), 7200, true)]
    #[case::nothing_known(None, 7200, true)]
    #[case::nothing_known_and_young(None, 1, false)]
    fn only_dead_runs_are_swept(#[case] owner: Option<&str>, #[case] age: i64, #[case] abandoned: bool) {
        let starts = |pid| (pid == 7).then_some(100);
        let age = SignedDuration::from_secs(age);
        assert_eq!(is_abandoned(owner, age, "here", starts), abandoned);
    }

    #[test]
    fn this_process_is_not_abandoned() {
        let owner = Owner::this();
        assert_eq!(Owner::read(&owner.to_string()), Some(owner.clone()));
        assert!(owner.start > 0);
        assert!(!is_abandoned(Some(&owner.to_string()), SignedDuration::ZERO, &owner.host, start_of));
    }
}
