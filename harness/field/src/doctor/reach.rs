//! Whether the API server reaches the kubelets: one request to each, through the API server, as `kubectl logs` sends it.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt, stream};
use http::Request;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::{Api, PostParams};
use tokio::time::timeout;

use super::snapshot::Reached;
use crate::connection::{Connection, Unreachable};

/// Requests at a time.
const AT_A_TIME: usize = 32;
/// For a node behind a dead link; the API server waits longer.
const ANSWER: Duration = Duration::from_secs(5);

/// Asks each node's kubelet whether it is healthy; none where the right to `get nodes/proxy` is missing.
///
/// # Errors
/// When the API server does not answer.
pub async fn reach(
    connection: &Connection,
    nodes: &[String],
) -> Result<Option<BTreeMap<String, Reached>>, Unreachable> {
    if !may(connection).await? {
        return Ok(None);
    }
    let requests = stream::iter(nodes.to_vec()).map(|node| async move {
        let reached = request(connection, &node).await;
        (node, reached)
    });
    Ok(Some(requests.buffer_unordered(AT_A_TIME).collect().await))
}

async fn may(connection: &Connection) -> Result<bool, Unreachable> {
    let attributes = ResourceAttributes {
        verb: Some("get".into()),
        resource: Some("nodes".into()),
        subresource: Some("proxy".into()),
        ..Default::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
    let review = SelfSubjectAccessReview { spec, ..Default::default() };
    match Api::all(connection.client()).create(&PostParams::default(), &review).await {
        Ok(answer) => Ok(answer.status.is_some_and(|status| status.allowed)),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(false),
        Err(error) => Err(connection.unreachable(&error)),
    }
}

async fn request(connection: &Connection, node: &str) -> Reached {
    let path = format!("/api/v1/nodes/{node}/proxy/healthz");
    let failed = |message: String| Reached { code: 0, message };
    let Ok(request) = Request::get(path).body(Vec::new()) else {
        return failed("its name does not fit into a URL".into());
    };
    match timeout(ANSWER, connection.client().request_text(request)).await {
        Ok(Ok(_)) => Reached { code: 200, message: String::new() },
        // The Status of the API server, or what the kubelet wrote.
        Ok(Err(kube::Error::Api(status))) => Reached { code: status.code, message: status.message.clone() },
        Ok(Err(error)) => failed(error.to_string()),
        Err(_) => failed(format!("no answer within {} s", ANSWER.as_secs())),
    }
}
