//! The container of a control plane, using testcontainers.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

use testcontainers::core::Mount;
use testcontainers::core::client::docker_client_instance;
use testcontainers::core::logs::LogFrame;
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, ImageExt, TestcontainersError};

use crate::cluster::ClusterError;
use crate::cluster::docker::{LABEL, Name};

/// Makes sure that testcontainers talks to the same daemon as the `docker` command: it knows DOCKER_HOST and the usual
/// sockets, but not the command's contexts, and the command could not remove what testcontainers created in another
/// daemon.
pub(super) async fn is_same_daemon(id: &str) -> Result<(), ClusterError> {
    let client = docker_client_instance().await;
    let client = client.map_err(|error| failed(error.into()))?;
    let info = client.info().await.map_err(std::io::Error::other)?;
    if info.id.as_deref() == Some(id) {
        return Ok(());
    }
    Err(ClusterError::Command {
        command: "docker info".into(),
        reason: "it uses another daemon than testcontainers does: set DOCKER_HOST to the right one (`docker context inspect` shows the address)".into(),
    })
}

/// What a container is made of.
pub(super) struct Plan<'a> {
    pub(super) cluster: &'a Name,
    /// The image's id.
    pub(super) image: &'a str,
    pub(super) args: Vec<String>,
    /// Bind mounts: the folder on this machine and the one in the container.
    pub(super) mounts: &'a [(&'a Path, &'a str)],
    /// Its output goes here.
    pub(super) log: &'a Path,
}

/// A running container. Dropping it removes it.
pub(super) struct Container(ContainerAsync<GenericImage>);

impl Container {
    pub(super) async fn start(plan: Plan<'_>) -> Result<Self, ClusterError> {
        // testcontainers joins the two with a colon, and `sha256:…` is an image's id.
        let (name, tag) = plan.image.split_once(':').unwrap_or((plan.image, "latest"));
        let log = File::create(plan.log).map_err(ClusterError::file(plan.log))?;
        let log = Mutex::new(log);
        let user = rustix::process::geteuid().as_raw();
        let group = rustix::process::getegid().as_raw();
        let mut request = GenericImage::new(name, tag)
            .with_cmd(plan.args)
            .with_container_name(plan.cluster.control_plane())
            .with_label(LABEL, plan.cluster.as_str())
            // So that nodes reach it from distinct addresses on the loopback, which tell them apart.
            .with_network("host")
            .with_userns_mode("host")
            // So that tlsboot can read and remove what it writes. k3s does not need root without an agent.
            .with_user(format!("{user}:{group}"))
            .with_log_consumer(move |frame: &LogFrame| {
                if let Ok(mut log) = log.lock() {
                    let _ = log.write_all(frame.bytes());
                }
            });
        for (here, there) in plan.mounts {
            let here = here.display().to_string();
            request = request.with_mount(Mount::bind_mount(here, *there));
        }
        request.start().await.map(Self).map_err(failed)
    }

    pub(super) async fn is_running(&self) -> Result<bool, ClusterError> {
        self.0.is_running().await.map_err(failed)
    }

    /// Stops the container's processes and starts it again, with the same arguments and files.
    pub(super) async fn restart(&self) -> Result<(), ClusterError> {
        self.0.stop().await.map_err(failed)?;
        self.0.start().await.map_err(failed)
    }

    /// Stops it and removes it with its volumes.
    pub(super) async fn remove(self) -> Result<(), ClusterError> {
        self.0.rm().await.map_err(failed)
    }
}

fn failed(error: TestcontainersError) -> ClusterError {
    ClusterError::Start { name: "the container of k3s".into(), reason: error.to_string() }
}
