//! Whether clusters in containers can run on this machine, requirement by requirement, for `tlsboot doctor`. Nothing is
//! installed, pulled or left behind. Everything except [`try_link`] blocks.

use super::command::{command, no_command};
use super::network::Network;
use super::provider::{node_image, remedy};
use crate::cluster::ClusterError;
use crate::cluster::docker::{Image, Name, Resources, docker, docker_blocking};
use crate::cluster::shared::dir::RunDir;
use tlsboot_core::version::Version;

/// The Docker daemon's version, if one answers.
///
/// # Errors
/// If none answers, with what to do.
pub fn daemon() -> Result<String, ClusterError> {
    docker_blocking(&["version", "--format", "{{.Server.Version}}"])
}

/// The version that the `kind` command reports.
///
/// # Errors
/// If there is no such command, with where to get it.
pub fn kind() -> Result<String, ClusterError> {
    let command = command().ok_or_else(no_command)?;
    let output = std::process::Command::new(command).arg("version").output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The id of a node image, if it is on this machine.
///
/// # Errors
/// If it is not, or has another version.
pub fn image(image: &Image, version: Version) -> Result<String, ClusterError> {
    Ok(image.find_here(&node_image(&remedy(version)), version)?.id)
}

/// Tries whether a container of this image can reach this machine over a bridge, as a node's kubelet must.
///
/// # Errors
/// If it cannot, with what prevents it.
pub async fn try_link(image: &str) -> Result<(), ClusterError> {
    let dir = RunDir::create()?;
    let name = Name::of(dir.path());
    let resources = Resources::of(name.clone());
    resources.create_network().await?;
    let network = Network::inspect(name.as_str()).await?;
    let [address] = network.add_addresses(1).await?[..] else {
        return Ok(());
    };
    let (container, label) = (name.node("doctor"), name.label());
    let run = ["run", "--detach", "--name", &container, "--label", &label];
    let sleep = ["--network", name.as_str(), "--entrypoint", "sleep", image, "60"];
    let args: Vec<&str> = run.into_iter().chain(sleep).collect();
    docker(&args).await?;
    let tried = network.try_link(&container, address).await;
    let _ = tokio::task::spawn_blocking(move || drop(resources)).await;
    tried
}
