//! What a run has in Docker: containers with their volumes, and a network. All of it carries the cluster's name, which
//! shows its owner and run, so the leftovers of a killed run can be told from what another run uses.

use std::collections::BTreeSet;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{docker, docker_blocking};
use crate::cluster::ClusterError;
use crate::cluster::shared::dir;

/// The label of everything that tlsboot creates itself.
pub(in crate::cluster) const LABEL: &str = "tlsboot.cluster";
/// kind's own label for its nodes.
const KIND_LABEL: &str = "io.x-k8s.kind.cluster";

/// A cluster's name: `tlsboot-OWNER-RUN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cluster) struct Name(String);

impl Name {
    /// Derived from the run's folder.
    pub(in crate::cluster) fn of(run: &Path) -> Self {
        Self(format!("{}{}", owner(), short(&run.to_string_lossy())))
    }

    pub(in crate::cluster) fn as_str(&self) -> &str {
        &self.0
    }

    pub(in crate::cluster) fn control_plane(&self) -> String {
        format!("{}-control-plane", self.0)
    }

    pub(in crate::cluster) fn node(&self, node: &str) -> String {
        format!("{}-{node}", self.0)
    }

    pub(in crate::cluster) fn label(&self) -> String {
        format!("{LABEL}={}", self.0)
    }
}

/// The prefix of this user's cluster names on this machine: others may use the same daemon.
fn owner() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let user = rustix::process::geteuid().as_raw();
    let folder = std::env::temp_dir();
    format!("tlsboot-{}-", short(&format!("{host}{user}{}", folder.display())))
}

/// Kubernetes' names are short and have no capital letters.
fn short(text: &str) -> String {
    hex::encode(&Sha256::digest(text.as_bytes())[..4])
}

/// What a cluster has in Docker; dropping it removes all of it. Created before anything that carries the name.
#[derive(Debug)]
pub(in crate::cluster) struct Resources {
    name: Name,
}

impl Resources {
    pub(in crate::cluster) fn of(name: Name) -> Self {
        Self { name }
    }

    /// Creates the cluster's network.
    pub(in crate::cluster) async fn create_network(&self) -> Result<(), ClusterError> {
        let (name, label) = (self.name.as_str(), self.name.label());
        docker(&["network", "create", "--label", &label, name]).await.map(drop)
    }
}

impl Drop for Resources {
    /// Blocks for a second or two; code that drops a cluster has nothing else to wait for.
    fn drop(&mut self) {
        if let Err(error) = remove(self.name.as_str()) {
            tracing::warn!(cluster = self.name.as_str(), %error, "the cluster's containers could not be removed; `tlsboot gc` removes them");
        }
    }
}

/// Removes everything of a cluster. If its creator is killed while a container is being created, the container appears
/// a moment later: then the network cannot be removed, and everything is tried again.
fn remove(cluster: &str) -> Result<(), ClusterError> {
    const TRIES: usize = 5;
    let mut last = Ok(());
    for _ in 0..TRIES {
        let mut containers = BTreeSet::new();
        for label in [LABEL, KIND_LABEL] {
            let filter = format!("label={label}={cluster}");
            let ids = docker_blocking(&["ps", "--all", "--quiet", "--filter", &filter])?;
            containers.extend(ids.lines().map(str::to_owned));
        }
        if !containers.is_empty() {
            let remove = ["rm", "--force", "--volumes"];
            let args: Vec<&str> = remove.into_iter().chain(containers.iter().map(String::as_str)).collect();
            last = docker_blocking(&args).map(drop);
        }
        match docker_blocking(&["network", "rm", cluster]) {
            Err(ClusterError::Command { reason, .. }) if reason.contains("not found") => {
                return last;
            }
            Err(error) => last = Err(error),
            Ok(_) => return last,
        }
    }
    last
}

/// What killed runs of this user left in Docker: the names of clusters.
///
/// # Errors
/// If Docker does not answer.
pub fn abandoned() -> Result<Vec<String>, ClusterError> {
    // First list what exists, then which runs are alive: a run's folder exists before anything in Docker.
    let mut clusters = BTreeSet::new();
    for label in [LABEL, KIND_LABEL] {
        let (filter, format) = (format!("label={label}"), format!("{{{{.Label \"{label}\"}}}}"));
        for objects in [["ps", "--all"].as_slice(), &["network", "ls"]] {
            let options = ["--filter", filter.as_str(), "--format", format.as_str()];
            let args: Vec<&str> = objects.iter().copied().chain(options).collect();
            clusters.extend(docker_blocking(&args)?.lines().map(str::to_owned));
        }
    }
    let living: Vec<Name> = dir::living()?.iter().map(|run| Name::of(run)).collect();
    Ok(of_the_dead(clusters, &owner(), &living))
}

fn of_the_dead(clusters: BTreeSet<String>, owner: &str, living: &[Name]) -> Vec<String> {
    let is_alive = |cluster: &String| living.iter().any(|name| name.as_str() == cluster);
    clusters.into_iter().filter(|cluster| cluster.starts_with(owner) && !is_alive(cluster)).collect()
}

/// Removes what killed runs of this user left in Docker. Returns the names of the clusters.
///
/// # Errors
/// If Docker does not answer, or does not remove something.
pub fn sweep() -> Result<Vec<String>, ClusterError> {
    let abandoned = abandoned()?;
    abandoned.iter().try_for_each(|cluster| remove(cluster))?;
    Ok(abandoned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_suit_kubernetes_and_tell_the_run() {
        let name = Name::of(Path::new("/tmp/tlsboot-run-AbC"));
        assert!(name.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'));
        // A hostname has at most 63 characters.
        assert!(name.control_plane().len() < 50);
        assert_ne!(name, Name::of(Path::new("/tmp/tlsboot-run-abc")));
    }

    #[test]
    fn only_the_dead_of_this_owner_are_swept() {
        let living = Name::of(Path::new("/tmp/tlsboot-run-1"));
        let dead = Name::of(Path::new("/tmp/tlsboot-run-2"));
        let names = [living.as_str(), dead.as_str(), "tlsboot-other-1", "kind"];
        let clusters = names.map(str::to_owned).into();
        let swept = of_the_dead(clusters, &owner(), std::slice::from_ref(&living));
        assert_eq!(swept, [dead.as_str()]);
    }
}
