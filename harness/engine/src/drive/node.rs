//! Deletes a Node object, as an administrator or a cloud controller does.

use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, DeleteParams};
use tlsboot_core::scenario::stimulus::delete_node::DeleteNode;

use super::{Done, DriveError, Stage, until};

pub(super) async fn delete(delete: &DeleteNode, stage: &Stage<'_>) -> Result<Done, DriveError> {
    let nodes = Api::<Node>::all(stage.cluster.base().admin());
    let name = &delete.node;
    let uid = nodes.get(name).await?.metadata.uid;
    nodes.delete(name, &DeleteParams::default()).await?;
    let proof = until(async || {
        let left = nodes.get_opt(name).await?.filter(|node| node.metadata.uid == uid);
        Ok(match left {
            None => Ok(format!("the Node {name} with uid {} no longer exists", uid.as_deref().unwrap_or("none"))),
            Some(_) => Err(format!("the Node {name} still exists")),
        })
    });
    Ok(Done::proven(proof.await?))
}
