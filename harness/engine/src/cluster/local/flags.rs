//! Flags of etcd, kube-apiserver and kube-controller-manager, and the files that they need.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::dialect;
use crate::cluster::shared::client::{Credentials, kubeconfig};
use crate::cluster::shared::file::write_private;
use crate::cluster::shared::settings::{Settings, audit_policy};
use crate::cluster::shared::trust::{PKI, Trust};
use crate::cluster::{ClusterError, Endpoint};
use crate::flags::FlagSet;
use tlsboot_core::check::rules::Rules;
use tlsboot_core::scenario::Flags;
use tlsboot_core::scenario::stimulus::Component;
use tlsboot_core::version::Version;

/// Where the control plane's files are, and its ports.
pub(super) struct Layout<'a> {
    pub(super) dir: &'a Path,
    pub(super) pki: &'a Path,
    pub(super) logs: &'a Path,
    pub(super) apiserver_port: u16,
    pub(super) controller_manager_port: u16,
    /// Of etcd, for the versions that need one.
    pub(super) etcd_port: Option<u16>,
    pub(super) version: Version,
    /// The API group version of EgressSelectorConfiguration, where there is one.
    pub(super) egress_selector: Option<&'static str>,
}

impl Layout<'_> {
    fn rules(&self) -> Rules {
        Rules::new(self.version, self.version)
    }

    /// The socket of the proxy through which the API server reaches the kubelets.
    pub(super) fn egress_socket(dir: &Path) -> PathBuf {
        dir.join("egress.sock")
    }

    fn etcd_url(&self) -> String {
        match self.etcd_port {
            Some(port) => format!("http://127.0.0.1:{port}"),
            None => format!("unix://{}", self.dir.join("etcd.sock").display()),
        }
    }
}

/// Up to 1.21, an API server checks before it starts that etcd is reachable, and does not accept a Unix socket's path as a
/// host (`k8s.io/kubernetes/cmd/kube-apiserver/app/server.go`, preflight).
pub(super) fn wants_etcd_on_a_port(version: Version) -> bool {
    version.minor < 22
}

/// etcd on Unix sockets: it has a port only for old API servers. Without fsync: the cluster lives for minutes.
pub(super) fn etcd(layout: &Layout<'_>) -> FlagSet {
    let client = layout.etcd_url();
    let peer = format!("unix://{}", layout.dir.join("peer.sock").display());
    let flags: [(&str, String); 9] = [
        ("name", "m".into()),
        ("data-dir", layout.dir.join("etcd").display().to_string()),
        ("unsafe-no-fsync", "true".into()),
        ("listen-client-urls", client.clone()),
        ("advertise-client-urls", client),
        ("listen-peer-urls", peer.clone()),
        ("initial-advertise-peer-urls", peer.clone()),
        ("initial-cluster", format!("m={peer}")),
        ("log-level", "warn".into()),
    ];
    flags.into_iter().collect()
}

/// The API server: everything that a bootstrap needs is on, and every request is in the audit log.
pub(super) fn apiserver(layout: &Layout<'_>, settings: &Settings) -> FlagSet {
    let pki = |name: &str| layout.pki.join(name).display().to_string();
    let anonymous = if settings.anonymous_paths.is_empty() {
        ("anonymous-auth", settings.anonymous_auth.to_string())
    } else {
        let file = layout.dir.join(AUTHENTICATION_CONFIG);
        ("authentication-config", file.display().to_string())
    };
    let mut own = vec![
        ("etcd-servers", layout.etcd_url()),
        ("bind-address", "127.0.0.1".into()),
        ("secure-port", layout.apiserver_port.to_string()),
        // No client needs the API server's endpoints here, and a machine may have no other address.
        ("advertise-address", "127.0.0.1".into()),
        ("endpoint-reconciler-type", "none".into()),
        ("tls-cert-file", pki("apiserver.crt")),
        ("tls-private-key-file", pki("apiserver.key")),
        ("client-ca-file", pki("client-ca.crt")),
        ("token-auth-file", pki("tokens.csv")),
        ("enable-bootstrap-token-auth", "true".into()),
        ("service-account-issuer", "https://kubernetes.default.svc".into()),
        ("service-account-key-file", pki("sa.key")),
        ("service-account-signing-key-file", pki("sa.key")),
        ("service-cluster-ip-range", "10.96.0.0/16".into()),
        ("authorization-mode", settings.authorization_mode.join(",")),
        ("enable-admission-plugins", "NodeRestriction".into()),
        ("disable-admission-plugins", "ServiceAccount".into()),
        anonymous,
        ("audit-policy-file", layout.dir.join("audit-policy.json").display().to_string()),
        ("audit-log-path", layout.logs.join("audit.log").display().to_string()),
        ("v", "2".into()),
    ];
    if layout.egress_selector.is_some() {
        let selector = layout.dir.join(EGRESS_SELECTOR).display().to_string();
        own.extend([
            ("egress-selector-config-file", selector),
            ("kubelet-certificate-authority", pki(Trust::KUBELET_CA)),
            ("kubelet-client-certificate", pki("kubelet-client.crt")),
            ("kubelet-client-key", pki("kubelet-client.key")),
            // As kubeadm sets it (`cmd/kubeadm/app/phases/controlplane/manifests.go`), without the types that a Node here does
            // not have.
            ("kubelet-preferred-address-types", "InternalIP,Hostname".into()),
        ]);
    }
    if layout.version.minor < 20 {
        // One file for all versions, at a fixed path.
        own.push(("insecure-port", "0".into()));
    }
    let own = dialect::of(Component::ApiServer, layout.version.minor, own.into_iter().collect());
    with_further(own, layout, settings.flags.get(&Component::ApiServer))
}

const AUTHENTICATION_CONFIG: &str = "authentication.json";
const EGRESS_SELECTOR: &str = "egress.json";

/// The controller-manager: only the controllers of certificates and tokens.
pub(super) fn controller_manager(layout: &Layout<'_>, settings: &Settings) -> FlagSet {
    let pki = |name: &str| layout.pki.join(name).display().to_string();
    let named = settings.controllers.iter().map(String::as_str);
    let mut controllers: Vec<&str> =
        named.filter(|name| dialect::knows_controller(layout.version.minor, name)).collect();
    if layout.version.minor < 21 {
        // If the API server is not up yet, controllers wait for the Secrets of their own accounts instead of requesting
        // tokens, and the process exits if those are not created (`shouldTurnOnDynamicClient` in controllermanager.go).
        controllers.push("serviceaccount-token");
    }
    let mut own = vec![
        ("kubeconfig", layout.dir.join("controller-manager.kubeconfig").display().to_string()),
        // The permissions belong to the controllers' own accounts.
        ("use-service-account-credentials", "true".into()),
        ("service-account-private-key-file", pki("sa.key")),
        ("bind-address", "127.0.0.1".into()),
        ("secure-port", layout.controller_manager_port.to_string()),
        ("leader-elect", "false".into()),
        ("controllers", controllers.join(",")),
        ("cluster-signing-cert-file", pki("signer.crt")),
        ("cluster-signing-key-file", pki("signer.key")),
        ("cluster-signing-duration", format!("{}s", settings.signing_duration.as_secs())),
        ("authorization-always-allow-paths", "/healthz,/readyz,/livez,/metrics".into()),
        ("v", "4".into()),
    ];
    let rules = layout.rules();
    if let Some(port) = rules.plain_port().filter(|_| rules.manager_has_tls()) {
        own.push((port, "0".into()));
    }
    let own = dialect::of(Component::ControllerManager, layout.version.minor, own.into_iter().collect());
    with_further(own, layout, settings.flags.get(&Component::ControllerManager))
}

/// tlsboot's own flags, replaced or extended by the scenario's.
fn with_further(own: FlagSet, layout: &Layout<'_>, further: Option<&Flags>) -> FlagSet {
    let mut flags = own;
    let pki = layout.pki.display().to_string();
    for (name, value) in further.into_iter().flatten() {
        match value.as_str() {
            "" => flags.remove(name),
            value => flags.set(name, value.replace(PKI, &pki)),
        }
    }
    flags
}

/// The controller-manager's kubeconfig, the audit policy, and the AuthenticationConfiguration.
pub(super) fn write_files(
    layout: &Layout<'_>,
    settings: &Settings,
    endpoint: &Endpoint,
    controller_manager: &Credentials,
) -> Result<(), ClusterError> {
    let kubeconfig = kubeconfig(endpoint, controller_manager);
    write_private(&layout.dir.join("controller-manager.kubeconfig"), kubeconfig.expose())?;
    write_private(&layout.dir.join("audit-policy.json"), &audit_policy(&[], layout.rules()).to_string())?;
    let paths = settings.anonymous_paths.iter();
    let conditions: Vec<_> = paths.map(|path| json!({"path": path})).collect();
    let authentication = json!({
        "apiVersion": "apiserver.config.k8s.io/v1beta1",
        "kind": "AuthenticationConfiguration",
        "anonymous": {"enabled": true, "conditions": conditions},
    });
    write_private(&layout.dir.join(AUTHENTICATION_CONFIG), &authentication.to_string())?;
    let Some(version) = layout.egress_selector else { return Ok(()) };
    let selector = json!({
        "apiVersion": version,
        "kind": "EgressSelectorConfiguration",
        "egressSelections": [{"name": "cluster", "connection": {
            "proxyProtocol": "HTTPConnect",
            "transport": {"uds": {"udsName": Layout::egress_socket(layout.dir)}},
        }}],
    });
    write_private(&layout.dir.join(EGRESS_SELECTOR), &selector.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_flags_replace_and_take_away() {
        let layout = Layout {
            dir: Path::new("/run"),
            pki: Path::new("/run/pki"),
            logs: Path::new("/logs"),
            apiserver_port: 1,
            controller_manager_port: 2,
            etcd_port: None,
            version: Version::new(1, 37, 2),
            egress_selector: None,
        };
        let further =
            Flags::from([("a".into(), String::new()), ("b".into(), "{pki}/b.crt".into()), ("c".into(), "new".into())]);
        let own: FlagSet = [("a", "1"), ("b", "2"), ("d", "4")].into_iter().collect();
        let flags = with_further(own.clone(), &layout, Some(&further));
        assert_eq!(flags.args(), ["--d=4", "--b=/run/pki/b.crt", "--c=new"]);
        assert_eq!(with_further(own, &layout, None).args(), ["--a=1", "--b=2", "--d=4"]);
    }
}
