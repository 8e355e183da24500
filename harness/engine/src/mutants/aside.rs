//! Defects beside the subject of every scenario: all that is expected is there, and something else is not as it must be,
//! some of it only once. No expectation notices them. Invariants do.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use http::header::USER_AGENT;
use k8s_openapi::api::core::v1::Node as NodeObject;
use kube::Client;
use kube::api::Api;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::beside::{Node, embed, next_link};
use super::flags::{CLIENT_LINK, config_of};
use crate::cluster::ClusterError;
use crate::cluster::client::direct;
use crate::cluster::processes::{Defect, Launch, Part};
use crate::pki::{Authority, Validity, YEAR};

/// What goes wrong on a node, while its kubelet is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aside {
    /// The bootstrap kubeconfig is removed, some time after the bootstrap.
    BootstrapKubeconfigGoes,
    /// The self-signed serving pair is removed, some time after the bootstrap.
    SelfSignedPairGoes,
    /// The kubeconfig embeds the certificate, some time after the bootstrap.
    KubeconfigChanges,
    /// There is a pair that no CSR was created for.
    ForeignPair,
    /// The old pair is removed, some time after a rotation.
    OldPairGoes,
    /// The old pair gets the content of the new one, some time after a rotation.
    OldPairChanges,
    /// The link leads to the old pair for a moment, some time after a rotation.
    LinkGoesBack,
    /// A client of the kubelet goes on with the old certificate.
    OldCertificateIsUsed,
    /// One request has a token that the API server does not know.
    StrayToken,
    /// One request is sent as the bootstrap user.
    AsBootstrapper,
    /// One request is sent without credentials.
    WithoutCredentials,
}

/// Longer than what the kubelet does at a time.
const LATER: Duration = Duration::from_millis(1_500);
const OFTEN: Duration = Duration::from_secs(1);
/// What kubelets begin with when they say who they are.
const KUBELET: HeaderValue = HeaderValue::from_static("kubelet/v0.0.0 (mutant)");

impl Defect for Aside {
    fn launch(&self, launch: &mut Launch<'_>) -> Result<(), ClusterError> {
        let (Part::Kubelet { pid, .. }, Some(config)) = (&launch.part, config_of(launch)) else {
            return Ok(());
        };
        let node = Node { dir: config.dir.clone(), name: config.node.clone(), pid: pid.clone() };
        let what = *self;
        launch.beside.push(Box::pin(async move {
            if let Err(error) = happen(what, &node).await {
                tracing::warn!(?what, %error, "a defect ended early");
            }
        }));
        Ok(())
    }
}

async fn happen(what: Aside, node: &Node) -> Result<(), ClusterError> {
    let first = next_link(&node.dir, None).await?;
    let (pki, staging) = (node.dir.cert_dir(), node.dir.path().join("aside"));
    let link = pki.join(CLIENT_LINK);
    match what {
        Aside::BootstrapKubeconfigGoes => {
            tokio::time::sleep(LATER).await;
            return Ok(fs::remove_file(node.dir.bootstrap_kubeconfig())?);
        }
        Aside::SelfSignedPairGoes => {
            tokio::time::sleep(LATER).await;
            fs::remove_file(pki.join("kubelet.crt"))?;
            return Ok(fs::remove_file(pki.join("kubelet.key"))?);
        }
        Aside::KubeconfigChanges => {
            tokio::time::sleep(LATER).await;
            return Ok(embed(&node.dir.kubeconfig(), &link, &staging)?);
        }
        Aside::ForeignPair => {
            tokio::time::sleep(LATER).await;
            return foreign_pair(&node.name, &pki, &staging);
        }
        _ => {}
    }
    let old = fs::read(&first)?;
    let second = next_link(&node.dir, Some(&first)).await?;
    tokio::time::sleep(LATER).await;
    match what {
        Aside::OldPairGoes => fs::remove_file(first)?,
        Aside::OldPairChanges => fs::write(first, fs::read(second)?)?,
        Aside::LinkGoesBack => {
            lead(&link, &first, &staging)?;
            tokio::time::sleep(OFTEN).await;
            lead(&link, &second, &staging)?;
        }
        Aside::OldCertificateIsUsed => loop {
            ask(node, pair(&old)).await?;
            tokio::time::sleep(OFTEN).await;
        },
        Aside::StrayToken => ask(node, json!({"token": "a-token-of-nobody"})).await?,
        Aside::AsBootstrapper => {
            let bootstrap: Value = read(&node.dir.bootstrap_kubeconfig())?;
            ask(node, bootstrap["users"][0]["user"].clone()).await?;
        }
        Aside::WithoutCredentials => ask(node, json!({})).await?,
        _ => {}
    }
    Ok(())
}

/// The link leads somewhere else at once, as after a rotation.
fn lead(link: &Path, target: &Path, staging: &Path) -> io::Result<()> {
    symlink(target, staging)?;
    fs::rename(staging, link)
}

/// A pair of this node, from an authority that the cluster does not know.
fn foreign_pair(node: &str, pki: &Path, staging: &Path) -> Result<(), ClusterError> {
    let authority = Authority::new("mutant", Validity::for_next(YEAR))?;
    let issued = authority.issue_client(&format!("system:node:{node}"), &["system:nodes"], Validity::for_next(YEAR))?;
    fs::write(staging, issued.certificate_pem + issued.key_pem.expose())?;
    fs::set_permissions(staging, fs::Permissions::from_mode(0o600))?;
    Ok(fs::rename(staging, pki.join("kubelet-client-2026-01-01-00-00-00.pem"))?)
}

/// The user of a certificate and its key.
fn pair(pem: &[u8]) -> Value {
    let pem = STANDARD.encode(pem);
    json!({"client-certificate-data": pem, "client-key-data": pem})
}

/// One request on the node's link, with these credentials, as if the kubelet had sent it. What the answer is does not
/// matter.
async fn ask(node: &Node, user: Value) -> Result<(), ClusterError> {
    let mut config = direct(&read(&node.dir.kubeconfig())?, None)?;
    config.auth_info = serde_json::from_value(user).map_err(io::Error::other)?;
    config.headers.push((USER_AGENT, KUBELET));
    let nodes = Api::<NodeObject>::all(Client::try_from(config)?);
    if let Err(error) = nodes.get_opt(&node.name).await {
        tracing::debug!(%error, "a request of a mutant was refused");
    }
    Ok(())
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, ClusterError> {
    let text = fs::read_to_string(path).map_err(ClusterError::file(path))?;
    Ok(serde_saphyr::from_str(&text).map_err(io::Error::other)?)
}
