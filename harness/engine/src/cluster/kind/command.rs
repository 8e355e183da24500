//! The `kind` command.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::config::Plan;
use crate::cluster::ClusterError;
use crate::cluster::docker;
use crate::cluster::error::end_of;
use crate::cluster::shared::file::write_private;
use crate::process::{Exit, Isolation, Process};

/// Runs `kind create cluster`. Its output goes to the logs.
pub(super) async fn create_cluster(
    command: &Path,
    plan: &Plan<'_>,
    run: &Path,
    logs: &Path,
) -> Result<(), ClusterError> {
    let config = run.join("kind.json");
    write_private(&config, &plan.kind_config())?;
    let log = logs.join("kind.log");
    let network = format!("KIND_EXPERIMENTAL_DOCKER_NETWORK={}", plan.cluster);
    let mut args: Vec<OsString> = vec![network.into(), "KIND_EXPERIMENTAL_PROVIDER=docker".into(), command.into()];
    // A retained cluster can show why it failed; it is removed in any case.
    args.extend(["create", "cluster", "--retain", "--wait=0s", "--config"].map(OsString::from));
    args.extend([config.into(), "--kubeconfig".into(), run.join("kind.kubeconfig").into()]);
    let process = Process::start(Path::new("env"), &args, &log, Isolation::Plain, &Default::default())
        .await
        .map_err(|error| failed(&error.to_string()))?;
    match process.exited().await {
        Exit { code: Some(0), .. } => Ok(()),
        exit => {
            let journal = format!("{}-control-plane", plan.cluster);
            let journal =
                docker::exec(&journal, &["journalctl", "--no-pager", "--output", "cat", "--unit", "kubelet"]).await;
            let _ = fs::write(logs.join("control-plane-kubelet.log"), journal.unwrap_or_default());
            Err(failed(&format!("it {exit}; {}", end_of(&log))))
        }
    }
}

fn failed(reason: &str) -> ClusterError {
    ClusterError::Command { command: "kind create cluster".into(), reason: reason.to_owned() }
}

pub(super) fn no_command() -> ClusterError {
    failed("there is no `kind` command: install it (https://kind.sigs.k8s.io, or run `ci/node-image --kind`)")
}

/// The `kind` command: on PATH, or where Go installs it.
pub(super) fn command() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let go = std::env::var_os("HOME").map(|home| PathBuf::from(home).join("go/bin"));
    let mut folders = std::env::split_paths(&path).chain(go);
    folders.find_map(|folder| Some(folder.join("kind")).filter(|file| file.is_file()))
}
