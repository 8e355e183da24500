//! Defects of a moment: everything is right, and some seconds later something is not, for a second or for good. They are
//! what `stays` is for: an expectation that is fulfilled once does not notice them.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::Node as NodeObject;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, ResourceExt};
use rustix::process::Signal;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde_json::json;

use super::beside::{BEHIND, Node, answer, next_link, pair_in};
use super::flags::{CLIENT_LINK, config_of, configure};
use super::follow::{Again, Controller, follow, has};
use crate::cluster::ClusterError;
use crate::cluster::processes::{Defect, Launch, Part};

/// What goes wrong some seconds after it was right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relapse {
    /// The client certificate's link is gone for a moment, some time after each change.
    LinkVanishes,
    /// Keys become readable, some time after they were written.
    KeysOpenUp,
    /// A kubelet that started with a certificate is killed some time later.
    KubeletDies,
    /// The port presents nothing for a moment, some time after each new serving certificate.
    PortGoesDark,
    /// The Node is reported as not ready, some time after it was ready.
    NodeFlaps,
    /// A CSR that the signer marked Failed is deleted.
    FailedGoes,
}

/// Longer than what fulfills an expectation once; shorter than what a scenario calls lasting.
const LATER: Duration = Duration::from_millis(1_500);
/// How long something is wrong. Recorders that are not notified look four times a second.
const MOMENT: Duration = Duration::from_millis(800);
const OFTEN: Duration = Duration::from_millis(200);

impl Defect for Relapse {
    fn launch(&self, launch: &mut Launch<'_>) -> Result<(), ClusterError> {
        let admin = launch.admin.clone();
        if *self == Self::FailedGoes {
            if matches!(launch.part, Part::ControllerManager) {
                launch.beside.push(Box::pin(follow(admin, Deleter)));
            }
            return Ok(());
        }
        let Part::Kubelet { pid, .. } = &launch.part else {
            return Ok(());
        };
        let pid = pid.clone();
        let Some(config) = config_of(launch) else {
            return Ok(());
        };
        let node = Node { dir: config.dir.clone(), name: config.node.clone(), pid };
        let address = config.address;
        let what = *self;
        if what == Self::PortGoesDark {
            configure(launch, "address", json!(BEHIND))?;
        }
        launch.beside.push(Box::pin(async move {
            let done = match what {
                Self::LinkVanishes => link_vanishes(node).await,
                Self::KeysOpenUp => keys_open_up(node).await,
                Self::KubeletDies => kubelet_dies(node).await,
                Self::PortGoesDark => port_goes_dark(node, address).await,
                Self::NodeFlaps => node_flaps(&node.name, &admin).await,
                Self::FailedGoes => Ok(()),
            };
            if let Err(error) = done {
                tracing::warn!(?what, %error, "a defect ended early");
            }
        }));
        Ok(())
    }
}

async fn link_vanishes(node: Node) -> Result<(), ClusterError> {
    let link = node.dir.cert_dir().join(CLIENT_LINK);
    let aside = node.dir.path().join("aside");
    let mut before = None;
    loop {
        let target = next_link(&node.dir, before.as_deref()).await?;
        tokio::time::sleep(LATER).await;
        fs::rename(&link, &aside)?;
        tokio::time::sleep(OFTEN).await;
        fs::rename(&aside, &link)?;
        before = Some(target);
    }
}

async fn keys_open_up(node: Node) -> Result<(), ClusterError> {
    let mut before = None;
    loop {
        let target = next_link(&node.dir, before.as_deref()).await?;
        tokio::time::sleep(LATER).await;
        fs::set_permissions(&target, fs::Permissions::from_mode(0o644))?;
        before = Some(target);
    }
}

async fn kubelet_dies(node: Node) -> Result<(), ClusterError> {
    if fs::symlink_metadata(node.dir.cert_dir().join(CLIENT_LINK)).is_ok() {
        tokio::time::sleep(2 * LATER).await;
        node.signal(Signal::KILL)?;
    }
    Ok(())
}

/// Once ready, it is reported as not ready; the kubelet corrects that with its next report.
async fn node_flaps(name: &str, admin: &Client) -> Result<(), ClusterError> {
    let nodes = Api::<NodeObject>::all(admin.clone());
    loop {
        tokio::time::sleep(OFTEN).await;
        let found = nodes.get_opt(name).await.ok().flatten().and_then(|node| node.status);
        let conditions = found.and_then(|status| status.conditions).unwrap_or_default();
        if conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True") {
            break;
        }
    }
    tokio::time::sleep(LATER).await;
    let condition = json!({"type": "Ready", "status": "False", "reason": "Relapse", "message": "for a moment"});
    let patch = Patch::Strategic(json!({"status": {"conditions": [condition]}}));
    nodes.patch_status(name, &PatchParams::default(), &patch).await?;
    Ok(())
}

/// Deletes what the signer marked Failed.
struct Deleter;

#[async_trait]
impl Controller for Deleter {
    async fn take(&self, api: &Api<CertificateSigningRequest>, csr: &CertificateSigningRequest) -> Again {
        if has(csr, "Failed") {
            tokio::time::sleep(OFTEN).await;
            if let Err(error) = api.delete(&csr.name_any(), &DeleteParams::default()).await {
                tracing::debug!(%error, "a failed CSR was not deleted");
            }
        }
        Again::No
    }
}

async fn port_goes_dark(node: Node, address: SocketAddr) -> Result<(), ClusterError> {
    let shown = Flickering { file: node.dir.cert_dir().join("kubelet-server-current.pem"), since: Mutex::default() };
    let config = ServerConfig::builder().with_no_client_auth().with_cert_resolver(Arc::new(shown));
    answer(address, config).await
}

/// The certificate in a file, but for a moment some time after it is another one.
#[derive(Debug)]
struct Flickering {
    file: PathBuf,
    since: Mutex<Option<(Vec<u8>, Instant)>>,
}

impl Flickering {
    fn is_dark(&self, pem: &[u8]) -> bool {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        match &*since {
            Some((known, since)) if known == pem => (LATER..LATER + MOMENT).contains(&since.elapsed()),
            _ => {
                *since = Some((pem.to_owned(), Instant::now()));
                false
            }
        }
    }
}

impl ResolvesServerCert for Flickering {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let pem = fs::read(&self.file).ok()?;
        if self.is_dark(&pem) { None } else { pair_in(&pem).map(Arc::new) }
    }
}
