//! Cuts and restores the link between a kubelet and the API server.

use super::{Done, DriveError, Stage};
use tlsboot_core::scenario::stimulus::cut::Cut;
use tlsboot_core::scenario::stimulus::reconnect::Reconnect;

pub(super) async fn cut(cut: &Cut, stage: &Stage<'_>) -> Result<Done, DriveError> {
    Ok(Done::proven(stage.cluster.nodes().cut(&cut.node, cut.direction, cut.kind).await?))
}

pub(super) async fn reconnect(reconnect: &Reconnect, stage: &Stage<'_>) -> Result<Done, DriveError> {
    Ok(Done::proven(stage.cluster.nodes().mend(&reconnect.node, reconnect.direction).await?))
}
