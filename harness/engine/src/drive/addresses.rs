//! A Node's addresses, set as a cloud controller does (catalogue T-12, C-09).

use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use super::{Done, DriveError, Stage, until};
use tlsboot_core::scenario::stimulus::set_addresses::SetAddresses;

pub(super) async fn set(change: &SetAddresses, stage: &Stage<'_>) -> Result<Done, DriveError> {
    let nodes = Api::<Node>::all(stage.cluster.base().admin());
    let wanted = json!(change.addresses);
    let mut patch = json!({"status": {"addresses": wanted}});
    if let Some(other) = &change.port_of {
        let port = stage.cluster.nodes().address(other).await?.port();
        patch["status"]["daemonEndpoints"] = json!({"kubeletEndpoint": {"Port": port}});
    }
    // The kubelet registers its Node when it is ready to.
    let proof = until(async || {
        if nodes.get_opt(&change.node).await?.is_none() {
            return Ok(Err(format!("there is no Node {} yet", change.node)));
        }
        let patched = nodes.patch_status(&change.node, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        let found = patched.status.and_then(|status| status.addresses);
        let found: Value = serde_json::to_value(found).map_err(std::io::Error::other)?;
        Ok(if found == wanted {
            Ok(format!("the Node's addresses are {found}"))
        } else {
            Err(format!("the Node's addresses are {found}"))
        })
    })
    .await?;
    Ok(Done::proven(proof))
}
