//! What every provider that runs kubelets needs: their configuration, files and recorders.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use tokio::sync::watch;

use super::file::write_private;
use crate::cluster::{ClusterError, Credential, TokenValue};
use crate::node::{BootstrapUser, DEFAULT_CERT_DIR, KubeletConfig, NodeDir, bootstrap_kubeconfig, exec_credential};
use crate::observe::metrics::{ClientIdentity, Port};
use crate::observe::{self, Sink};
use crate::task::Task;
use tlsboot_core::history::What;
use tlsboot_core::history::event::{KUBELET, KubeletFacts};
use tlsboot_core::scenario::stimulus::Changes;
use tlsboot_core::scenario::{BootstrapBy, Node};

/// A kubelet, whatever runs it.
pub(crate) struct Kubelet {
    pub(crate) config: KubeletConfig,
    /// The name of the token that it bootstraps with.
    token: String,
    /// How it shows that it has it.
    bootstrap_by: BootstrapBy,
    /// The certificate that it bootstraps with instead.
    pub(crate) certificate: Option<Credential>,
    log: PathBuf,
    cluster_ca: PathBuf,
    administrator: Credential,
    /// Its process id, for the recorder of what it presents; 0 while there is none.
    pub(crate) pid: watch::Sender<u32>,
    recorders: Vec<Task>,
}

impl Kubelet {
    /// `cluster_ca` is the path of the API server's CA for the kubelet.
    pub(crate) fn new(
        config: KubeletConfig,
        node: &Node,
        log: PathBuf,
        cluster_ca: PathBuf,
        administrator: &Credential,
    ) -> Self {
        Self {
            config,
            token: node.bootstrap.clone(),
            bootstrap_by: node.bootstrap_by,
            certificate: None,
            log,
            cluster_ca,
            administrator: administrator.clone(),
            pid: watch::Sender::new(0),
            recorders: Vec::new(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.config.node
    }

    pub(crate) fn dir(&self) -> &NodeDir {
        &self.config.dir
    }

    /// The name of the token that it bootstraps with.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    pub(crate) fn log(&self) -> &PathBuf {
        &self.log
    }

    /// Everything before a start: settings, files, and events for the history. `server` is the URL of the API server.
    pub(crate) fn prepare(
        &mut self,
        changes: &Changes,
        tokens: &BTreeMap<String, TokenValue>,
        server: &str,
        sink: &Sink,
    ) -> Result<(), ClusterError> {
        self.apply(changes);
        self.write_files(tokens, server)?;
        self.announce(sink)
    }

    /// The events for the history before a start, and its recorders: all of the preparation for a kubelet that is set
    /// up by something else.
    pub(crate) fn announce(&mut self, sink: &Sink) -> Result<(), ClusterError> {
        sink.emit(What::Kubelet(self.facts()));
        self.start_recorders(sink)
    }

    fn apply(&mut self, changes: &Changes) {
        let config = &mut self.config;
        config.rotate_certificates = changes.rotate_certificates.unwrap_or(config.rotate_certificates);
        config.server_tls_bootstrap = changes.server_tls_bootstrap.unwrap_or(config.server_tls_bootstrap);
        if let Some(name) = &changes.host_name {
            name.of_host().clone_into(&mut config.host);
        }
        if let Some(token) = &changes.bootstrap {
            self.token.clone_from(token);
        }
    }

    fn write_files(&self, tokens: &BTreeMap<String, TokenValue>, server: &str) -> Result<(), ClusterError> {
        let dir = &self.config.dir;
        write_private(&dir.config(), &self.config.file().to_string())?;
        match tokens.get(&self.token) {
            Some(token) => {
                let credential = dir.bootstrap_credential();
                let user = match (&self.certificate, self.bootstrap_by) {
                    (Some(Credential { certificate, key }), _) => BootstrapUser::Certificate(certificate, key),
                    (None, BootstrapBy::Command) => {
                        write_private(&credential, exec_credential(&token.value).expose())?;
                        BootstrapUser::Command(&credential)
                    }
                    (None, _) => BootstrapUser::Token(&token.value),
                };
                let kubeconfig = bootstrap_kubeconfig(server, &self.cluster_ca, &user);
                write_private(&dir.bootstrap_kubeconfig(), kubeconfig.expose())
            }
            None => match fs::remove_file(dir.bootstrap_kubeconfig()) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(ClusterError::file(dir.bootstrap_kubeconfig())(error))
                }
                _ => Ok(()),
            },
        }
    }

    fn facts(&self) -> KubeletFacts {
        KubeletFacts {
            node: self.config.node.clone(),
            version: self.config.version,
            cert_dir: if self.config.default_cert_dir {
                DEFAULT_CERT_DIR.into()
            } else {
                self.config.dir.cert_dir_of_kubelet().display().to_string()
            },
            kubeconfig: self.config.dir.kubeconfig_of_kubelet().display().to_string(),
            rotate_certificates: self.config.rotate_certificates,
            server_tls_bootstrap: self.config.server_tls_bootstrap,
        }
    }

    /// Once, before the first start; they continue across restarts.
    fn start_recorders(&mut self, sink: &Sink) -> Result<(), ClusterError> {
        if !self.recorders.is_empty() {
            return Ok(());
        }
        let KubeletConfig { node, dir, address, .. } = &self.config;
        let Credential { certificate, key } = self.administrator.clone();
        let identity = ClientIdentity { certificate_pem: certificate, key_pem: key };
        self.recorders = vec![
            observe::files::watch(node.clone(), dir.clone(), sink.clone())?,
            observe::log::tail(self.log.clone(), KUBELET.into(), Some(node.clone()), sink.clone()),
            observe::presented::probe(node.clone(), *address, sink.clone(), self.pid.subscribe())?,
            observe::metrics::scrape(
                KUBELET.into(),
                Some(node.clone()),
                *address,
                Port::Tls(Some(&identity)),
                sink.clone(),
            )?,
        ];
        Ok(())
    }
}
