//! A node that kubeadm joins: `kubeadm join` runs in its container, systemd starts its kubelet, and tlsboot observes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::Api;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::sleep;

use super::common::Common;
use super::config;
use super::unit::{ended, find, open, result};
use crate::cluster::docker::DOCKER;
use crate::cluster::shared::file::write_private;
use crate::cluster::shared::kubelet::Kubelet;
use crate::cluster::{ClusterError, TokenValue};
use crate::node::KubeletConfig;
use crate::observe::{self, Sink};
use crate::poll;
use crate::process::{Isolation, Process};
use crate::task::Task;
use tlsboot_core::history::event::{KUBELET, ProcessEvent, ProcessState, Recorder};
use tlsboot_core::scenario::Node;
use tlsboot_core::version::Version;
use tlsboot_core::x509::read::certificates_from_pem;

/// The kubelet's unit on kubeadm's nodes.
pub(super) const KUBEADM_UNIT: &str = "kubelet";
const KUBEADM: &str = "kubeadm";

/// What a node needs to join.
pub(super) struct Join {
    version: Version,
    control_plane: String,
    /// The pin of the cluster's CA, as `kubeadm token create --print-join-command` prints it.
    ca_hash: String,
    admin: kube::Client,
    log: PathBuf,
}

impl Join {
    pub(super) fn of(node: &Node, common: &Common<'_>) -> Result<Self, ClusterError> {
        let ca = certificates_from_pem(common.base.endpoint().ca.as_bytes())?;
        let key = ca.first().map(|ca| ca.key.spki_sha256.as_str());
        Ok(Self {
            version: common.version,
            control_plane: common.control_plane.to_owned(),
            ca_hash: format!("sha256:{}", key.unwrap_or_default()),
            admin: common.base.admin(),
            log: common.logs.join(format!("{KUBEADM}-{}.log", node.name)),
        })
    }

    /// Writes kubeadm's configuration, and reads the one that kubeadm has for all kubelets of the cluster.
    pub(super) async fn configure(&self, kubelet: &mut KubeletConfig, token: &TokenValue) -> Result<(), ClusterError> {
        let file = config::join(self.version, &self.control_plane, &token.value, &self.ca_hash);
        write_private(&kubelet.dir.config(), file.expose())?;
        let maps = Api::<ConfigMap>::namespaced(self.admin.clone(), "kube-system");
        let map = maps.get("kubelet-config").await?;
        let text = map.data.unwrap_or_default().remove("kubelet");
        let defaults: KubeletDefaults =
            serde_saphyr::from_str(&text.unwrap_or_default()).map_err(std::io::Error::other)?;
        kubelet.rotate_certificates = defaults.rotate_certificates;
        kubelet.server_tls_bootstrap = defaults.server_tls_bootstrap;
        Ok(())
    }

    /// Runs kubeadm, and records its output, its exit, and each kubelet that runs from now on.
    pub(super) async fn start(self, container: &str, kubelet: &Kubelet, sink: &Sink) -> Result<Joined, ClusterError> {
        let config = kubelet.dir().config();
        let config = config.to_string_lossy();
        let args = [
            "exec",
            container,
            KUBEADM,
            "join",
            "--config",
            &config,
            // As kind joins its workers: in a container, preflight checks report false errors.
            "--skip-phases=preflight",
            // From here on the log shows what discovery waits for.
            "-v=1",
        ]
        .map(OsString::from);
        let program = Path::new(DOCKER);
        let env = Default::default();
        let process = Process::start(program, &args, &self.log, Isolation::Plain, &env)
            .await
            .map_err(|error| ClusterError::Start { name: format!("{KUBEADM} join"), reason: error.to_string() })?;
        let process = Arc::new(process);
        let node = kubelet.name().to_owned();
        let pids = kubelet.pid.clone();
        Ok(Joined {
            _recorders: vec![
                observe::log::tail(self.log, KUBEADM.into(), Some(node.clone()), sink.clone()),
                Task::spawn(watch_kubeadm(Arc::clone(&process), node.clone(), sink.clone())),
                Task::spawn(watch_kubelets(container.to_owned(), node, pids, sink.clone())),
            ],
            process,
        })
    }
}

/// The kubelet settings that a scenario can ask for; those left out are false, as in the kubelet.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct KubeletDefaults {
    rotate_certificates: bool,
    #[serde(rename = "serverTLSBootstrap")]
    server_tls_bootstrap: bool,
}

/// A node that is joining, or has joined.
pub(super) struct Joined {
    // Dropped in this order: what tlsboot stops itself is not an event.
    _recorders: Vec<Task>,
    process: Arc<Process>,
}

impl Joined {
    /// kubeadm's process, or rather that of `docker exec`, which exits with it.
    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }
}

async fn watch_kubeadm(process: Arc<Process>, node: String, sink: Sink) {
    let pid = process.pid();
    let exited = process.exited();
    drop(process);
    let event = ProcessEvent::of(KUBEADM, Some(&node), pid);
    sink.emit(event(ProcessState::Started));
    let exit = exited.await;
    sink.emit(event(ProcessState::Exited { code: exit.code, signal: exit.signal, asked: false }));
}

/// Records each process of the kubelet's unit, which systemd restarts when one exits.
async fn watch_kubelets(container: String, node: String, pids: watch::Sender<u32>, sink: Sink) {
    loop {
        let (pid, handle) = loop {
            match find(&container, KUBEADM_UNIT).await {
                Ok(found) => {
                    if let Some(found) = found.and_then(|pid| Some((pid, open(pid).ok()?))) {
                        break found;
                    }
                }
                Err(error) => {
                    let why = format!("the kubelet of {node} cannot be looked up: {error}");
                    return sink.gap(Recorder::Process, why);
                }
            }
            sleep(poll::SELDOM).await;
        };
        let event = ProcessEvent::of(KUBELET, Some(&node), pid);
        sink.emit(event(ProcessState::Started));
        pids.send_replace(pid);
        ended(handle).await;
        pids.send_replace(0);
        let (code, signal) = result(&container, KUBEADM_UNIT).await;
        sink.emit(event(ProcessState::Exited { code, signal, asked: false }));
    }
}
