//! The components of the control plane, which kubeadm has set up.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::common::Common;
use super::static_pod::StaticPod;
use crate::cluster::shared::base::Base;
use crate::cluster::{ClusterError, ControlPlane, Ending, Proof};
use tlsboot_core::scenario::stimulus::{Changes, Component};

pub(super) struct KindControlPlane {
    base: Arc<Base>,
    address: Ipv4Addr,
    pods: Mutex<BTreeMap<Component, StaticPod>>,
}

impl KindControlPlane {
    /// Takes over the components that are already running, at this address of their container.
    pub(super) async fn attach(common: &Common<'_>, address: Ipv4Addr) -> Result<Self, ClusterError> {
        let mut pods = BTreeMap::new();
        for component in [Component::ApiServer, Component::ControllerManager] {
            pods.insert(component, StaticPod::attach(component, common).await?);
        }
        Ok(Self { base: Arc::clone(common.base), address, pods: Mutex::new(pods) })
    }

    pub(super) fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The files of the components' logs.
    pub(super) async fn logs(&self) -> Vec<(&'static str, PathBuf)> {
        let pods = self.pods.lock().await;
        pods.iter().map(|(component, pod)| (component.name(), pod.log().to_owned())).collect()
    }

    /// Stops reading their logs.
    pub(super) async fn close(&self) {
        for pod in self.pods.lock().await.values_mut() {
            pod.close();
        }
    }
}

#[async_trait]
impl ControlPlane for KindControlPlane {
    async fn start(&self, component: Component, changes: &Changes) -> Result<Proof, ClusterError> {
        let mut pods = self.pods.lock().await;
        let pod = pods.get_mut(&component).ok_or_else(|| ClusterError::Unknown(component.name().into()))?;
        if pod.is_started() {
            return Err(ClusterError::Running(component.name().into()));
        }
        let settings = self.base.change(component, changes).await?;
        let pid = pod.start(&settings, &self.base.admin, self.address, &self.base.sink).await?;
        Ok(Proof::Ready { component, pid })
    }

    async fn end(&self, component: Component, ending: Ending) -> Result<Proof, ClusterError> {
        let mut pods = self.pods.lock().await;
        let pod = pods.get_mut(&component).ok_or_else(|| ClusterError::Unknown(component.name().into()))?;
        match ending {
            Ending::Stop => Ok(Proof::Ended { what: component.name(), pid: pod.stop().await?, exit: None }),
            Ending::Kill => Err(ClusterError::Unsupported(
                "kill a component permanently: it is a static pod, which its kubelet restarts at once",
            )),
        }
    }
}
