//! The container of a control plane, by testcontainers.

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

/// Makes sure that testcontainers talks to the daemon that the `docker` command talks to: it knows DOCKER_HOST and the
/// usual sockets, but not the command's contexts, and what the one made the other could not remove.
pub(super) async fn is_same_daemon(id: &str) -> Result<(), ClusterError> {
    let client = docker_client_instance().await;
    let client = client.map_err(|error| failed(error.into()))?;
    let info = client.info().await.map_err(std::io::Error::other)?;
    if info.id.as_deref() == Some(id) {
        return Ok(());
    }
    Err(ClusterError::Command {
        command: "docker info".into(),
        reason: "it tells of another daemon than the one that testcontainers finds: set DOCKER_HOST to the one that is meant (`docker context inspect` shows the address)".into(),
    })
}

/// What a container is made of.
pub(super) struct Plan<'a> {
    pub(super) cluster: &'a Name,
    /// The image's id.
    pub(super) image: &'a str,
    pub(super) args: Vec<String>,
    /// Folders here and there.
    pub(super) mounts: &'a [(&'a Path, &'a str)],
    /// What it says goes here.
    pub(super) log: &'a Path,
}

/// A running container. Dropping it removes it.
pub(super) struct Container(ContainerAsync<GenericImage>);

impl Container {
    pub(super) async fn start(plan: Plan<'_>) -> Result<Self, ClusterError> {
        // It puts the two together by a colon, and `sha256:…` is an image's id.
        let (name, tag) = plan.image.split_once(':').unwrap_or((plan.image, "latest"));
        let log = File::create(plan.log).map_err(ClusterError::file(plan.log))?;
        let log = Mutex::new(log);
        let user = rustix::process::geteuid().as_raw();
        let group = rustix::process::getegid().as_raw();
        let mut request = GenericImage::new(name, tag)
            .with_cmd(plan.args)
            .with_container_name(plan.cluster.control_plane())
            .with_label(LABEL, plan.cluster.as_str())
            // So that nodes reach it as they are told apart, each from an address of its own on the loopback.
            .with_network("host")
            .with_userns_mode("host")
            // What it writes is ours to read and remove. k3s needs no root without an agent.
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

    /// Ends what runs in it, and starts it again, with the same arguments and files.
    pub(super) async fn restart(&self) -> Result<(), ClusterError> {
        self.0.stop().await.map_err(failed)?;
        self.0.start().await.map_err(failed)
    }

    /// Ends and removes it with its volumes.
    pub(super) async fn remove(self) -> Result<(), ClusterError> {
        self.0.rm().await.map_err(failed)
    }
}

fn failed(error: TestcontainersError) -> ClusterError {
    ClusterError::Start { name: "the container of k3s".into(), reason: error.to_string() }
}
