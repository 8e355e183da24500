//! Cuts and restores the link between a kubelet and the API server.

use super::{Done, DriveError, Stage};
use tlsboot_core::scenario::stimulus::cut::Cut;

pub(super) async fn cut(cut: &Cut, stage: &Stage<'_>) -> Result<Done, DriveError> {
    Ok(Done::proven(stage.cluster.nodes().cut(&cut.node, cut.kind).await?))
}

pub(super) async fn reconnect(node: &str, stage: &Stage<'_>) -> Result<Done, DriveError> {
    Ok(Done::proven(stage.cluster.nodes().mend(node).await?))
}
