//! Starts, stops, kills and restarts kubelets and components.

use super::{Done, DriveError, Stage};
use crate::cluster::{ClusterError, ControlPlane, Ending};
use tlsboot_core::scenario::stimulus::restart::Restart;
use tlsboot_core::scenario::stimulus::start::Start;
use tlsboot_core::scenario::stimulus::{Changes, Process};

pub(super) async fn start(start: &Start, stage: &Stage<'_>) -> Result<Done, DriveError> {
    if let (Some(component), true) = (start.component, start.exits) {
        return Ok(Done::proven(control_plane(stage)?.fail(component, &start.with).await?));
    }
    begin(start.process(), &start.with, stage).await
}

pub(super) async fn restart(restart: &Restart, stage: &Stage<'_>) -> Result<Done, DriveError> {
    let ended = end(restart.process(), Ending::Stop, stage).await?;
    let started = begin(restart.process(), &restart.with, stage).await?;
    Ok(Done::proven(format!("{}; {}", ended.proof, started.proof)))
}

pub(super) async fn end(process: Process<'_>, ending: Ending, stage: &Stage<'_>) -> Result<Done, DriveError> {
    let proof = match (process.node, process.component) {
        (Some(node), _) => stage.cluster.nodes().end(node, ending).await?,
        (None, Some(component)) => control_plane(stage)?.end(component, ending).await?,
        (None, None) => return Err(neither()),
    };
    Ok(Done::proven(proof))
}

pub(super) async fn join(node: &str, stage: &Stage<'_>) -> Result<Done, DriveError> {
    Ok(Done::proven(stage.cluster.nodes().join(node).await?))
}

async fn begin(process: Process<'_>, with: &Changes, stage: &Stage<'_>) -> Result<Done, DriveError> {
    let proof = match (process.node, process.component) {
        (Some(node), _) => stage.cluster.nodes().start(node, with).await?,
        (None, Some(component)) => control_plane(stage)?.start(component, with).await?,
        (None, None) => return Err(neither()),
    };
    Ok(Done::proven(proof))
}

fn control_plane<'a>(stage: &'a Stage<'_>) -> Result<&'a dyn ControlPlane, DriveError> {
    let control_plane = stage.cluster.control_plane();
    control_plane.ok_or_else(|| ClusterError::Unsupported("restart the control plane").into())
}

fn neither() -> DriveError {
    DriveError::Nothing("the step names neither a node nor a component".into())
}
