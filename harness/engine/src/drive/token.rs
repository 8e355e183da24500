//! Creates, deletes and expires the Secrets of bootstrap tokens.

use k8s_openapi::api::core::v1::Secret as SecretObject;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use super::{Done, DriveError, Stage};
use crate::cluster::shared::tokens::secret as token_secret;
use tlsboot_core::time::Shift;

pub(super) async fn create(name: &str, stage: &Stage<'_>) -> Result<Done, DriveError> {
    let token = stage.cluster.base().token(name)?;
    let secret = token_secret(token, jiff::Timestamp::now()).ok_or_else(|| {
        DriveError::Nothing(format!("the token `{name}` is unknown to the API server: it has no Secret"))
    })?;
    let secret: SecretObject = serde_json::from_value(secret).map_err(std::io::Error::other)?;
    let made = api(stage).create(&PostParams::default(), &secret).await?;
    Ok(Done::proven(format!("Secret {} has uid {}", object(&token.id), made.metadata.uid.unwrap_or_default())))
}

pub(super) async fn delete(name: &str, stage: &Stage<'_>) -> Result<Done, DriveError> {
    let secret = object(&stage.cluster.base().token(name)?.id);
    api(stage).delete(&secret, &DeleteParams::default()).await?;
    match api(stage).get_opt(&secret).await? {
        None => Ok(Done::proven(format!("Secret {secret} no longer exists"))),
        Some(_) => Err(DriveError::Nothing(format!("Secret {secret} still exists"))),
    }
}

pub(super) async fn expire(name: &str, stage: &Stage<'_>) -> Result<Done, DriveError> {
    let secret = object(&stage.cluster.base().token(name)?.id);
    let past = jiff::Timestamp::now().earlier(jiff::SignedDuration::from_secs(1));
    let patch = json!({"stringData": {"expiration": past.to_string()}});
    api(stage).patch(&secret, &PatchParams::default(), &Patch::Merge(&patch)).await?;
    Ok(Done::proven(format!("Secret {secret} has the expiration {past}")))
}

fn api(stage: &Stage<'_>) -> Api<SecretObject> {
    Api::namespaced(stage.cluster.base().admin(), "kube-system")
}

fn object(id: &str) -> String {
    format!("bootstrap-token-{id}")
}
