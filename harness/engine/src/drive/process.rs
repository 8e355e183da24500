//! Start, stop, kill and restart kubelets and components.

use super::{Done, DriveError, Stage};
use crate::cluster::Ending;
use tlsboot_core::scenario::stimulus::Process;

pub(super) async fn start(process: &Process, stage: &Stage<'_>) -> Result<Done, DriveError> {
    let proof = match (&process.node, process.component) {
        (Some(node), _) => stage.cluster.start_node(node, &process.with).await?,
        (None, Some(component)) if process.exits => stage.cluster.fail_component(component, &process.with).await?,
        (None, Some(component)) => stage.cluster.start_component(component, &process.with).await?,
        (None, None) => return Err(neither()),
    };
    Ok(Done::proven(proof))
}

pub(super) async fn end(process: &Process, ending: Ending, stage: &Stage<'_>) -> Result<Done, DriveError> {
    let proof = match (&process.node, process.component) {
        (Some(node), _) => stage.cluster.end_node(node, ending).await?,
        (None, Some(component)) => stage.cluster.end_component(component, ending).await?,
        (None, None) => return Err(neither()),
    };
    Ok(Done::proven(proof))
}

pub(super) async fn restart(process: &Process, stage: &Stage<'_>) -> Result<Done, DriveError> {
    let ended = end(process, Ending::Stop, stage).await?;
    let started = start(process, stage).await?;
    Ok(Done::proven(format!("{}; {}", ended.proof, started.proof)))
}

pub(super) async fn join(node: &str, stage: &Stage<'_>) -> Result<Done, DriveError> {
    Ok(Done::proven(stage.cluster.join_node(node).await?))
}

fn neither() -> DriveError {
    DriveError::Nothing("neither a node nor a component is named".into())
}
