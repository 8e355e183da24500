//! A CSR controller in tlsboot's own process, in place of one of the controller-manager's.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, pin_mut};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::Client;
use kube::api::{Api, ListParams, ResourceExt, WatchEvent, WatchParams};

/// What a controller does with a CSR.
#[async_trait]
pub(super) trait Controller: Send + Sync {
    /// Handles the current state of a CSR. Returns whether it must be handled again even if nothing changes.
    async fn take(&self, api: &Api<CertificateSigningRequest>, csr: &CertificateSigningRequest) -> Again;
}

/// Whether a CSR must be handled again even if nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// Wait for a change of it.
    No,
    /// After a pause, as in the controller-manager's work queues.
    Later,
}

const PAUSE: Duration = Duration::from_millis(200);

/// Passes every CSR, and each change of one, to a controller. Never returns.
pub(super) async fn follow(client: Client, controller: impl Controller) {
    let api = Api::<CertificateSigningRequest>::all(client);
    loop {
        // An API server that starts or stops returns errors; then everything is listed again.
        if let Err(error) = once(&api, &controller).await {
            tracing::debug!(%error, "a controller of CSRs lost its watch");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn once(api: &Api<CertificateSigningRequest>, controller: &impl Controller) -> Result<(), kube::Error> {
    let mut waiting = BTreeMap::new();
    let list = api.list(&ListParams::default()).await?;
    let version = list.metadata.resource_version.unwrap_or_default();
    for csr in list.items {
        look(api, controller, csr, &mut waiting).await;
    }
    let events = api.watch(&WatchParams::default(), &version).await?;
    pin_mut!(events);
    let mut pause = tokio::time::interval(PAUSE);
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(WatchEvent::Added(csr) | WatchEvent::Modified(csr))) => look(api, controller, csr, &mut waiting).await,
                Some(Ok(WatchEvent::Deleted(csr))) => {
                    waiting.remove(&csr.name_any());
                }
                Some(Ok(WatchEvent::Bookmark(_))) => {}
                Some(Ok(WatchEvent::Error(status))) => return Err(kube::Error::Api(status)),
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            },
            _ = pause.tick() => {
                for csr in std::mem::take(&mut waiting).into_values() {
                    look(api, controller, csr, &mut waiting).await;
                }
            }
        }
    }
}

async fn look(
    api: &Api<CertificateSigningRequest>,
    controller: &impl Controller,
    csr: CertificateSigningRequest,
    waiting: &mut BTreeMap<String, CertificateSigningRequest>,
) {
    let name = csr.name_any();
    match controller.take(api, &csr).await {
        Again::No => waiting.remove(&name),
        Again::Later => waiting.insert(name, csr),
    };
}

/// Whether a CSR has a condition of this type.
pub(super) fn has(csr: &CertificateSigningRequest, kind: &str) -> bool {
    let status = csr.status.iter();
    let mut conditions = status.flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|condition| condition.type_ == kind)
}

/// Whether a CSR has a certificate.
pub(super) fn is_issued(csr: &CertificateSigningRequest) -> bool {
    let status = csr.status.as_ref();
    let certificate = status.and_then(|status| status.certificate.as_ref());
    certificate.is_some_and(|certificate| !certificate.0.is_empty())
}
