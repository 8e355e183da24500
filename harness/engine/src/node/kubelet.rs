//! A kubelet's files and flags, by version.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::flags::FlagSet;
use crate::secret::Secret;
use tlsboot_core::check::rules::Rules;
use tlsboot_core::scenario::PortAccess;
use tlsboot_core::version::Version;

/// Where a node's files are: all below one folder.
#[derive(Clone, Debug)]
pub struct NodeDir {
    folder: PathBuf,
    layout: Layout,
}

/// Who chose the files' names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// tlsboot; the kubelet sees them under the same paths.
    Ours,
    /// kubeadm; the kubelet sees them where they always are on its nodes (`cmd/kubeadm/app/constants`).
    Kubeadm,
}

/// The folder of kubeconfigs on kubeadm's nodes.
pub const KUBEADM_DIR: &str = "/etc/kubernetes";

impl NodeDir {
    /// Below this folder.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, layout: Layout::Ours }
    }

    /// Below this folder, of a node that kubeadm joins: [`Self::cert_dir`] is its `/var/lib/kubelet/pki`, and
    /// [`Self::kubeconfigs`] its `/etc/kubernetes`.
    pub fn of_kubeadm(folder: PathBuf) -> Self {
        Self { folder, layout: Layout::Kubeadm }
    }

    /// Whether kubeadm joins the node.
    pub fn is_kubeadms(&self) -> bool {
        self.layout == Layout::Kubeadm
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// `--cert-dir`. The kubelet makes it.
    pub fn cert_dir(&self) -> PathBuf {
        self.folder.join("pki")
    }

    /// The folder of the two kubeconfigs.
    pub fn kubeconfigs(&self) -> PathBuf {
        match self.layout {
            Layout::Ours => self.folder.clone(),
            Layout::Kubeadm => self.folder.join("kubernetes"),
        }
    }

    /// `--kubeconfig`. The kubelet writes it.
    pub fn kubeconfig(&self) -> PathBuf {
        self.kubeconfigs().join(match self.layout {
            Layout::Ours => "kubeconfig",
            Layout::Kubeadm => "kubelet.conf",
        })
    }

    /// What the command prints that a bootstrap kubeconfig names.
    pub fn bootstrap_credential(&self) -> PathBuf {
        self.bootstrap_kubeconfig().with_file_name("bootstrap-credential.json")
    }

    /// `--bootstrap-kubeconfig`.
    pub fn bootstrap_kubeconfig(&self) -> PathBuf {
        self.kubeconfigs().join(match self.layout {
            Layout::Ours => "bootstrap-kubeconfig",
            Layout::Kubeadm => "bootstrap-kubelet.conf",
        })
    }

    /// `--config`.
    pub fn config(&self) -> PathBuf {
        self.folder.join("config.json")
    }

    /// `--root-dir`.
    pub fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// The CRI socket.
    pub fn cri(&self) -> PathBuf {
        self.folder.join("cri.sock")
    }

    /// [`Self::cert_dir`] as the kubelet knows it.
    pub fn cert_dir_of_kubelet(&self) -> PathBuf {
        match self.layout {
            Layout::Ours => self.cert_dir(),
            Layout::Kubeadm => DEFAULT_CERT_DIR.into(),
        }
    }

    /// [`Self::kubeconfig`] as the kubelet knows it.
    pub fn kubeconfig_of_kubelet(&self) -> PathBuf {
        match self.layout {
            Layout::Ours => self.kubeconfig(),
            Layout::Kubeadm => Path::new(KUBEADM_DIR).join("kubelet.conf"),
        }
    }

    /// The file behind a name in the certificate directory: the target of the kubelet's link, as the kubelet sees it.
    pub fn behind(&self, name: &Path) -> PathBuf {
        let path = self.cert_dir().join(name);
        if self.layout == Layout::Ours {
            return path;
        }
        let target = std::fs::read_link(&path).ok();
        let of_kubelet = self.cert_dir_of_kubelet();
        let inside = target.as_ref().and_then(|target| target.strip_prefix(&of_kubelet).ok());
        inside.map_or(path, |inside| self.cert_dir().join(inside))
    }

    /// A file by its name in scenarios, to read or write its content: as [`Self::named`], and through links as
    /// [`Self::behind`].
    pub fn through(&self, name: &str) -> PathBuf {
        let path = self.named(name);
        match path.strip_prefix(self.cert_dir()) {
            Ok(inside) => self.behind(inside),
            Err(_) => path,
        }
    }

    /// A file by its name in scenarios.
    pub fn named(&self, name: &str) -> PathBuf {
        match name {
            "kubeconfig" => self.kubeconfig(),
            "bootstrap-kubeconfig" => self.bootstrap_kubeconfig(),
            other => self.cert_dir().join(other),
        }
    }
}

/// How a kubelet is configured.
#[derive(Clone, Debug)]
pub struct KubeletConfig {
    /// Its version.
    pub version: Version,
    /// The Node's name.
    pub node: String,
    /// The name of its host, `--hostname-override`, from which the kubelet derives the Node's name.
    pub host: String,
    /// Where its files are.
    pub dir: NodeDir,
    /// Where it listens.
    pub address: SocketAddr,
    /// The URL of its CRI endpoint.
    pub runtime: String,
    /// `rotateCertificates`.
    pub rotate_certificates: bool,
    /// `serverTLSBootstrap`.
    pub server_tls_bootstrap: bool,
    /// The CA of the clients that may read its metrics.
    pub client_ca: PathBuf,
    /// Whether there is a bootstrap kubeconfig.
    pub bootstrap: bool,
    /// Whether `--cert-dir` is left out.
    pub default_cert_dir: bool,
    /// Whether `tlsCertFile` and `tlsPrivateKeyFile` name `tls.crt` and `tls.key` in the certificate directory.
    pub tls_cert_file: bool,
    /// Whether a cloud controller gives the Node its addresses.
    pub external_cloud_provider: bool,
    /// Whether `failCgroupV1` is left out.
    pub default_fail_cgroup_v1: bool,
    /// Who may use its port.
    pub access: PortAccess,
    /// Whether it runs as root, and not in a user namespace.
    pub is_root: bool,
}

impl KubeletConfig {
    /// The KubeletConfiguration. What a certificate suite does not need is switched off, and without root, none is needed
    /// (KubeletInUserNamespace). Fields that a version does not know yet are left out, because it would refuse them.
    pub fn file(&self) -> Value {
        let mut config = json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "rotateCertificates": self.rotate_certificates,
            "serverTLSBootstrap": self.server_tls_bootstrap,
            "address": self.address.ip(),
            "port": self.address.port(),
            "healthzPort": 0,
            "readOnlyPort": 0,
            "authentication": {
                "anonymous": {"enabled": self.access.anonymous},
                "webhook": {"enabled": self.access.token_review},
                "x509": {"clientCAFile": self.client_ca},
            },
            "authorization": {"mode": self.access.authorization.word()},
            "cgroupsPerQOS": false,
            "enforceNodeAllocatable": [],
            "failSwapOn": false,
            "makeIPTablesUtilChains": false,
            "nodeStatusUpdateFrequency": "1s",
            "volumePluginDir": self.dir.path().join("volume-plugins"),
            "evictionHard": {"memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%", "nodefs.inodesFree": "0%"},
            "imageGCHighThresholdPercent": 100,
        });
        if self.version.minor >= 23 {
            config["logging"] = json!({"verbosity": 4});
        }
        if !self.is_root && self.knows_user_namespaces() {
            config["featureGates"] = json!({"KubeletInUserNamespace": true});
        }
        if self.version.minor == 11 {
            // On by default from 1.12 on; without it, `serverTLSBootstrap` is refused.
            config["featureGates"] = json!({"RotateKubeletServerCertificate": self.server_tls_bootstrap});
        }
        if self.version.minor >= 27 {
            config["containerRuntimeEndpoint"] = json!(self.runtime);
        }
        if self.tls_cert_file {
            config["tlsCertFile"] = json!(self.dir.named("tls.crt"));
            config["tlsPrivateKeyFile"] = json!(self.dir.named("tls.key"));
        }
        if self.version.minor >= 31 && !self.default_fail_cgroup_v1 {
            config["failCgroupV1"] = json!(false);
        }
        config
    }

    /// Whether it has the gate `KubeletInUserNamespace` (`pkg/features/kube_features.go`).
    pub fn knows_user_namespaces(&self) -> bool {
        self.version.minor >= 22
    }

    fn has_file(&self) -> bool {
        Rules::new(self.version, self.version).has_kubelet_file()
    }

    /// What is in [`Self::file`], as flags: for kubelets up to 1.10, which know no such file or not all of its fields
    /// (`cmd/kubelet/app/options/options.go`).
    fn set_instead_of_file(&self, flags: &mut FlagSet) {
        let named = |name: &str| self.dir.named(name).display().to_string();
        let given = [
            ("address", self.address.ip().to_string()),
            ("port", self.address.port().to_string()),
            ("healthz-port", "0".into()),
            ("read-only-port", "0".into()),
            // Otherwise it listens on 4194, of which a machine has only one.
            ("cadvisor-port", "0".into()),
            ("anonymous-auth", self.access.anonymous.to_string()),
            ("authentication-token-webhook", self.access.token_review.to_string()),
            ("client-ca-file", self.client_ca.display().to_string()),
            ("authorization-mode", self.access.authorization.word().into()),
            ("cgroups-per-qos", "false".into()),
            ("enforce-node-allocatable", String::new()),
            ("fail-swap-on", "false".into()),
            ("make-iptables-util-chains", "false".into()),
            ("node-status-update-frequency", "1s".into()),
            ("volume-plugin-dir", self.dir.path().join("volume-plugins").display().to_string()),
            ("eviction-hard", String::new()),
            ("image-gc-high-threshold", "100".into()),
            // Otherwise it looks for one.
            ("cloud-provider", String::new()),
            ("rotate-certificates", self.rotate_certificates.to_string()),
            // Serving bootstrap has no flag of its own: the gate is the switch.
            (
                "feature-gates",
                format!(
                    "RotateKubeletClientCertificate={},RotateKubeletServerCertificate={}",
                    self.rotate_certificates, self.server_tls_bootstrap
                ),
            ),
        ];
        given.into_iter().for_each(|(name, value)| flags.set(name, value));
        if self.tls_cert_file {
            flags.set("tls-cert-file", named("tls.crt"));
            flags.set("tls-private-key-file", named("tls.key"));
        }
    }

    /// The flags.
    pub fn flags(&self) -> FlagSet {
        let mut flags: FlagSet = [("root-dir", self.dir.root())].into_iter().collect();
        if self.has_file() {
            flags.set("config", self.dir.config());
        } else {
            self.set_instead_of_file(&mut flags);
        }
        if !self.default_cert_dir {
            flags.set("cert-dir", self.dir.cert_dir());
        }
        flags.set("kubeconfig", self.dir.kubeconfig());
        if self.bootstrap {
            flags.set("bootstrap-kubeconfig", self.dir.bootstrap_kubeconfig());
        }
        flags.set("hostname-override", &self.host);
        if self.version.minor < 23 {
            flags.set("v", "4");
        }
        if self.external_cloud_provider {
            flags.set("cloud-provider", "external");
        }
        if self.version.minor < 27 {
            flags.set("container-runtime-endpoint", &self.runtime);
            flags.set("container-runtime", "remote");
        }
        flags
    }
}

/// The certificate directory of a kubelet without `--cert-dir` (`cmd/kubelet/app/options`, catalogue K-21).
pub const DEFAULT_CERT_DIR: &str = "/var/lib/kubelet/pki";

/// A kubeconfig with a client certificate in it, as `kubeadm init` used to write it.
pub fn embedding_kubeconfig(server: &str, ca_file: &Path, certificate: &str, key: &Secret<String>) -> Secret<String> {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "kubernetes", "cluster": {"server": server, "certificate-authority": ca_file}}],
        "users": [{"name": "node", "user": {
            "client-certificate-data": STANDARD.encode(certificate),
            "client-key-data": STANDARD.encode(key.expose()),
        }}],
        "contexts": [{"name": "node", "context": {"cluster": "kubernetes", "user": "node"}}],
        "current-context": "node",
    });
    Secret::new(config.to_string())
}

/// How a bootstrap kubeconfig shows who it is.
pub enum BootstrapUser<'a> {
    /// By a token.
    Token(&'a Secret<String>),
    /// By a command that prints this file, an ExecCredential.
    Command(&'a Path),
    /// By a client certificate and its key.
    Certificate(&'a str, &'a Secret<String>),
}

/// What a command prints that gives a token (`client.authentication.k8s.io/v1`).
pub fn exec_credential(token: &Secret<String>) -> Secret<String> {
    let status = json!({"token": token.expose()});
    Secret::new(json!({"apiVersion": EXEC, "kind": "ExecCredential", "status": status}).to_string())
}

const EXEC: &str = "client.authentication.k8s.io/v1";

/// A bootstrap kubeconfig, as administrators write it.
pub fn bootstrap_kubeconfig(server: &str, ca_file: &Path, user: &BootstrapUser<'_>) -> Secret<String> {
    let user = match user {
        BootstrapUser::Token(token) => json!({"token": token.expose()}),
        BootstrapUser::Command(file) => json!({"exec": {
            "apiVersion": EXEC,
            "command": "/bin/cat",
            "args": [file],
            "interactiveMode": "Never",
        }}),
        BootstrapUser::Certificate(certificate, key) => json!({
            "client-certificate-data": STANDARD.encode(certificate),
            "client-key-data": STANDARD.encode(key.expose()),
        }),
    };
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bootstrap", "cluster": {"server": server, "certificate-authority": ca_file}}],
        "users": [{"name": "kubelet-bootstrap", "user": user}],
        "contexts": [{"name": "bootstrap", "context": {"cluster": "bootstrap", "user": "kubelet-bootstrap"}}],
        "current-context": "bootstrap",
    });
    Secret::new(config.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_a_joined_kubelet_mean_its_own_paths() {
        let folder = tempfile::tempdir().unwrap();
        let dir = NodeDir::of_kubeadm(folder.path().to_owned());
        std::fs::create_dir(dir.cert_dir()).unwrap();
        let link = Path::new("kubelet-client-current.pem");
        let target = Path::new(DEFAULT_CERT_DIR).join("kubelet-client-1.pem");
        std::os::unix::fs::symlink(target, dir.cert_dir().join(link)).unwrap();
        assert_eq!(dir.behind(link), dir.cert_dir().join("kubelet-client-1.pem"));
        // What is not a link, or points elsewhere, is left to the system.
        let other = Path::new("kubelet.crt");
        assert_eq!(dir.behind(other), dir.cert_dir().join(other));
        assert_eq!(NodeDir::new(folder.path().to_owned()).behind(link), dir.cert_dir().join(link));
    }
}
