//! Docker: its command, its images, and what runs create in it.
//!
//! tlsboot runs the `docker` command. kind uses it too, so it exists wherever kind works, with the user's own context,
//! socket and registry credentials. A client library for Docker's API would cost a minute of build time and know none
//! of these.

mod image;
mod resources;

use std::io;
use std::process::{Command, Output, Stdio};

use super::ClusterError;
pub use image::Image;
pub(super) use image::{Found, Use};
#[cfg(feature = "docker")]
pub(super) use resources::LABEL;
pub(super) use resources::{Name, Resources};
pub use resources::{abandoned, sweep};

pub(super) const DOCKER: &str = "docker";

/// Runs a docker command. Returns its output, without the last newline.
pub(super) async fn docker<S: AsRef<str>>(args: &[S]) -> Result<String, ClusterError> {
    let args: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
    let mut command = tokio::process::Command::new(DOCKER);
    command.args(&args).stdin(Stdio::null()).kill_on_drop(true);
    answer(&args, command.output().await)
}

/// The same, for places that cannot wait asynchronously.
pub(super) fn docker_blocking(args: &[&str]) -> Result<String, ClusterError> {
    answer(args, Command::new(DOCKER).args(args).stdin(Stdio::null()).output())
}

/// Runs a command in a container.
pub(super) async fn exec(container: &str, command: &[&str]) -> Result<String, ClusterError> {
    let args: Vec<&str> = ["exec", container].iter().chain(command).copied().collect();
    docker(&args).await
}

fn answer(args: &[&str], output: io::Result<Output>) -> Result<String, ClusterError> {
    let failed = |reason| ClusterError::Command { command: format!("{DOCKER} {}", args.join(" ")), reason };
    let output = output.map_err(|error| {
        failed(match error.kind() {
            io::ErrorKind::NotFound => {
                "there is no such command: install Docker (ci/docker does so on a bare Debian machine)".into()
            }
            _ => error.to_string(),
        })
    })?;
    if output.status.success() {
        let text = String::from_utf8_lossy(&output.stdout);
        return Ok(text.trim_end().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(failed(remedy(said.trim())))
}

/// Docker's message, with what to do about it if that is known.
fn remedy(said: &str) -> String {
    let what = match said {
        _ if said.contains("permission denied") && said.contains("socket") => {
            "; this user may not use Docker's socket; run as root, or join the group of the socket (`sudo usermod -aG docker $USER`, then log in again)"
        }
        _ if said.contains("Cannot connect to the Docker daemon")
            || said.contains("failed to connect to the docker API") =>
        {
            "; start the daemon (`systemctl start docker`, or ci/docker on a bare Debian machine), or point DOCKER_HOST to one"
        }
        _ if said.contains("non-overlapping IPv4 address pool") => {
            "; there are too many Docker networks; `tlsboot gc` removes those of killed runs, `docker network prune` removes all unused ones"
        }
        _ => "",
    };
    format!("{said}{what}")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(
        "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock",
        "usermod -aG docker"
    )]
    #[case(
        "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
        "ci/docker"
    )]
    #[case("could not find an available, non-overlapping IPv4 address pool among the defaults", "tlsboot gc")]
    #[case("No such container: x", "No such container: x")]
    fn errors_say_what_to_do(#[case] said: &str, #[case] advice: &str) {
        let reason = remedy(said);
        assert!(reason.starts_with(said) && reason.contains(advice), "{reason}");
    }

    #[test]
    fn a_missing_command_is_named() {
        let missing = answer(&["version"], Err(io::ErrorKind::NotFound.into()));
        let error = missing.unwrap_err().to_string();
        assert!(error.contains("`docker version`") && error.contains("ci/docker"), "{error}");
    }
}
