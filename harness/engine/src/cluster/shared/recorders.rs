//! The recorders of a cluster, the same for every provider. Those of a node belong to its [kubelet](super::kubelet).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::base::Base;
use crate::cluster::{ClusterError, Credential};
use crate::observe::metrics::{ClientIdentity, Port};
use crate::observe::{audit, csr, log, metrics, node};
use crate::task::Task;
use tlsboot_core::scenario::stimulus::Component;
use tlsboot_core::scenario::{Capability, Scenario, requirements_of};

/// Where a provider makes all of it available.
pub(crate) struct Sources {
    /// The API server's audit log.
    pub(crate) audit_log: PathBuf,
    /// Which node's requests come from which address.
    pub(crate) nodes: BTreeMap<IpAddr, String>,
    /// The control plane's logs, each with the component's name in the history.
    pub(crate) logs: Vec<(&'static str, PathBuf)>,
    /// Where the API server serves metrics, to the administrator.
    pub(crate) api_server: SocketAddr,
    /// Where the controller-manager serves metrics, to anyone.
    pub(crate) controller_manager: SocketAddr,
}

/// Running recorders. Dropping them stops the recording.
pub(crate) struct Recorders {
    _tasks: Vec<Task>,
}

impl Recorders {
    /// Starts all of them.
    pub(crate) fn start(sources: Sources, scenario: &Scenario, base: &Base) -> Result<Self, ClusterError> {
        let (admin, sink) = (|| base.admin.clone(), || base.sink.clone());
        let scrape = |component: Component, address, port: Port<'_>| {
            metrics::scrape(component.name().to_owned(), None, address, port, sink())
        };
        let manager = if base.rules().manager_has_tls() { Port::Tls(None) } else { Port::Plain };
        let mut tasks = vec![
            csr::watch(admin(), sink()),
            node::watch(admin(), sink()),
            audit::tail(sources.audit_log, sources.nodes, sink()),
            scrape(Component::ControllerManager, sources.controller_manager, manager)?,
        ];
        tasks.extend(
            sources.logs.into_iter().map(|(component, file)| log::tail(file, component.to_owned(), None, sink())),
        );
        // There are many lines: only for a scenario that needs them.
        if requirements_of(scenario).contains_key(&Capability::ApiServerMetrics) {
            let Credential { certificate, key } = base.administrator.clone();
            let administrator = ClientIdentity { certificate_pem: certificate, key_pem: key };
            tasks.push(scrape(Component::ApiServer, sources.api_server, Port::Tls(Some(&administrator)))?);
        }
        Ok(Self { _tasks: tasks })
    }
}
