//! The configuration of `kind` and kubeadm: pure, text only.

use std::net::Ipv4Addr;
use std::path::Path;

use serde_json::{Value, json};

use crate::cluster::shared::settings::Settings;
use crate::secret::Secret;
use tlsboot_core::scenario::stimulus::Component;
use tlsboot_core::version::Version;

/// kubeadm's configuration formats, and whether flags are a list in them. kind picks the one that suits the version,
/// and patches for the other one match nothing.
const FORMATS: [(&str, bool); 2] = [("kubeadm.k8s.io/v1beta4", true), ("kubeadm.k8s.io/v1beta3", false)];
/// kubeadm's own `--controllers`: all that are on by default, and two that are not.
const CONTROLLERS: &str = "*,bootstrapsigner,tokencleaner";

/// What the control plane is made of.
pub(super) struct Plan<'a> {
    pub(super) cluster: &'a str,
    pub(super) image: &'a str,
    pub(super) version: Version,
    pub(super) settings: &'a Settings,
    /// The folder of keys, tokens and policies: the same path on this machine, in the node and in the pods.
    pub(super) pki: &'a Path,
    /// kubeadm's patches for the static pods.
    pub(super) patches: &'a Path,
    /// Addresses of this machine by which kubelets reach the API server.
    pub(super) links: &'a [Ipv4Addr],
    /// Whether the signer has a CA of its own.
    pub(super) own_signer: bool,
    /// The token that kubeadm creates, if everything is as kubeadm sets it up.
    pub(super) kubeadm_token: Option<&'a Secret<String>>,
}

/// The ports that kubeadm assigns to the components.
pub(super) const API_SERVER_PORT: u16 = 6443;
pub(super) const CONTROLLER_MANAGER_PORT: u16 = 10257;
/// The audit log's path in the control plane's node and in the API server's pod.
pub(super) const AUDIT_LOG: &str = "/var/log/tlsboot/audit.log";
/// The container runtime of every node image.
pub(super) const RUNTIME: &str = "unix:///run/containerd/containerd.sock";
/// Where kubeadm looks for a CA before it creates one.
const KUBEADM_PKI: &str = "/etc/kubernetes/pki";

impl Plan<'_> {
    /// The configuration of `kind create cluster`. JSON is YAML.
    pub(super) fn kind_config(&self) -> String {
        let mount = |host: &Path, container: &str| json!({"hostPath": host, "containerPath": container});
        let same = |path: &Path| json!({"hostPath": path, "containerPath": path});
        let mut patches: Vec<Value> = Vec::new();
        for (format, list) in FORMATS {
            patches.push(self.cluster_configuration(format, list));
            let mut init = json!({
                "apiVersion": format,
                "kind": "InitConfiguration",
                "patches": {"directory": self.patches},
            });
            if let Some(token) = self.kubeadm_token {
                // Replaces kind's own token; its lifetime, groups and usages are kubeadm's defaults.
                init["bootstrapTokens"] = json!([{"token": token.expose()}]);
            }
            patches.push(init);
        }
        let mut kubelet = json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
        });
        if self.kubeadm_token.is_none() {
            // The control plane's own kubelet gets a certificate from kubeadm for a year; no scenario is about its
            // renewals.
            kubelet["rotateCertificates"] = json!(false);
        }
        if self.version.minor >= 31 {
            // Without it a kubelet refuses cgroup v1 since 1.35.
            kubelet["failCgroupV1"] = json!(false);
        }
        patches.push(kubelet);
        let patches: Vec<String> = patches.iter().map(Value::to_string).collect();
        json!({
            "kind": "Cluster",
            "apiVersion": "kind.x-k8s.io/v1alpha4",
            "name": self.cluster,
            // Certificates do not need pod networking.
            "networking": {"disableDefaultCNI": true, "kubeProxyMode": "none"},
            "nodes": [{
                "role": "control-plane",
                "image": self.image,
                "extraMounts": [
                    same(self.pki),
                    same(self.patches),
                    mount(&self.pki.join("cluster-ca.crt"), &format!("{KUBEADM_PKI}/ca.crt")),
                    mount(&self.pki.join("cluster-ca.key"), &format!("{KUBEADM_PKI}/ca.key")),
                ],
            }],
            "kubeadmConfigPatches": patches,
        })
        .to_string()
    }

    fn cluster_configuration(&self, format: &str, list: bool) -> Value {
        let args = |flags: &[(&str, String)]| -> Value {
            if list {
                flags.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
            } else {
                Value::Object(flags.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect())
            }
        };
        let volume = |name: &str, path: &Path| json!({"name": name, "hostPath": path, "mountPath": path, "pathType": "DirectoryOrCreate"});
        let logs = Path::new(AUDIT_LOG).parent().unwrap_or(Path::new("/"));
        let mut names: Vec<String> = vec!["localhost".into(), Ipv4Addr::LOCALHOST.to_string()];
        names.extend(self.links.iter().map(Ipv4Addr::to_string));
        let mut config = json!({
            "apiVersion": format,
            "kind": "ClusterConfiguration",
            "apiServer": {
                "certSANs": names,
                "extraArgs": args(&self.api_server()),
                "extraVolumes": [volume("tlsboot-pki", self.pki), volume("tlsboot-logs", logs)],
            },
            "controllerManager": {
                "extraArgs": args(&self.controller_manager()),
                "extraVolumes": [volume("tlsboot-pki", self.pki)],
            },
            // The cluster lives for minutes.
            "etcd": {"local": {"extraArgs": args(&[("unsafe-no-fsync", "true".into())])}},
        });
        if list {
            config["dns"] = json!({"disabled": true});
        }
        config
    }

    fn pki(&self, name: &str) -> String {
        self.pki.join(name).display().to_string()
    }

    /// Changes to kubeadm's flags.
    fn api_server(&self) -> Vec<(&'static str, String)> {
        let mut flags = changing_flags(Component::ApiServer, self.settings);
        flags.extend([
            ("token-auth-file", self.pki("tokens.csv")),
            ("audit-policy-file", self.pki("audit-policy.json")),
            ("audit-log-path", AUDIT_LOG.into()),
            ("v", "2".into()),
        ]);
        if self.own_signer {
            flags.push(("client-ca-file", self.pki("client-ca.crt")));
        }
        flags
    }

    fn controller_manager(&self) -> Vec<(&'static str, String)> {
        let mut flags = changing_flags(Component::ControllerManager, self.settings);
        flags.extend([
            // There is only one, and after a restart it should not wait for its own lease to expire.
            ("leader-elect", "false".into()),
            // For the recorder of metrics, which connects from outside.
            ("bind-address", "0.0.0.0".into()),
            ("authorization-always-allow-paths", "/healthz,/readyz,/livez,/metrics".into()),
            ("v", "4".into()),
        ]);
        if self.own_signer {
            flags.push(("cluster-signing-cert-file", self.pki("signer.crt")));
            flags.push(("cluster-signing-key-file", self.pki("signer.key")));
        }
        flags
    }
}

/// The flags that can change while the cluster is running.
pub(super) fn changing_flags(component: Component, settings: &Settings) -> Vec<(&'static str, String)> {
    match component {
        Component::ApiServer => vec![("anonymous-auth", settings.anonymous_auth.to_string())],
        Component::ControllerManager => vec![
            ("cluster-signing-duration", format!("{}s", settings.signing_duration.as_secs())),
            ("controllers", settings.controllers_of(CONTROLLERS)),
        ],
    }
}

/// kubeadm's patch of the API server's pod. Its probes are requests without credentials: if those are refused, the
/// kubelet would kill it again and again.
pub(super) fn api_server_patch(anonymous_auth: bool) -> Option<(&'static str, Value)> {
    let probes = json!({"name": "kube-apiserver", "livenessProbe": null, "readinessProbe": null, "startupProbe": null});
    (!anonymous_auth).then(|| ("kube-apiserver+strategic.json", json!({"spec": {"containers": [probes]}})))
}

/// The configuration of `kubeadm join` on a node that reaches the API server by the control plane's name.
pub(super) fn join(version: Version, control_plane: &str, token: &Secret<String>, ca_hash: &str) -> Secret<String> {
    let [(newer, _), (older, _)] = FORMATS;
    let config = json!({
        // v1beta4 exists since 1.31; `kubeadm.k8s.io` in kubeadm's change log.
        "apiVersion": if version.minor >= 31 { newer } else { older },
        "kind": "JoinConfiguration",
        "discovery": {"bootstrapToken": {
            "apiServerEndpoint": format!("{control_plane}:{API_SERVER_PORT}"),
            "token": token.expose(),
            "caCertHashes": [ca_hash],
        }},
        "nodeRegistration": {"criSocket": RUNTIME},
    });
    Secret::new(config.to_string())
}

/// A CNI configuration, with plugins that no pod ever calls: with one, containerd reports that its network is ready.
pub(super) fn cni() -> Value {
    json!({"cniVersion": "0.3.1", "name": "tlsboot", "plugins": [{"type": "loopback"}]})
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use rstest::rstest;

    use super::*;
    use tlsboot_core::scenario;

    fn settings() -> Settings {
        Settings::new(&scenario::Cluster::default(), SignedDuration::from_secs(135))
    }

    fn config(settings: &Settings, version: Version, own_signer: bool) -> (Value, Vec<Value>) {
        let plan = Plan {
            cluster: "tlsboot-1",
            image: "tlsboot/node:v1.37.2",
            version,
            settings,
            pki: Path::new("/run/pki"),
            patches: Path::new("/run/patches"),
            links: &[Ipv4Addr::new(172, 18, 255, 254)],
            own_signer,
            kubeadm_token: None,
        };
        let config: Value = serde_json::from_str(&plan.kind_config()).unwrap();
        let patches = config["kubeadmConfigPatches"].as_array().unwrap();
        let patches = patches.iter().map(|patch| serde_json::from_str(patch.as_str().unwrap()).unwrap());
        (config.clone(), patches.collect())
    }

    fn flag(patch: &Value, component: &str, name: &str) -> Option<String> {
        match &patch[component]["extraArgs"] {
            Value::Array(list) => {
                list.iter().find(|flag| flag["name"] == name).map(|flag| flag["value"].as_str().unwrap().to_owned())
            }
            map => map.get(name).map(|value| value.as_str().unwrap().to_owned()),
        }
    }

    #[test]
    fn the_control_plane_gets_our_ca_and_folders() {
        let (config, _) = config(&settings(), Version::new(1, 37, 2), false);
        let mounts = config["nodes"][0]["extraMounts"].to_string();
        for path in ["/run/pki", "/run/patches", "/etc/kubernetes/pki/ca.crt", "/etc/kubernetes/pki/ca.key"] {
            assert!(mounts.contains(&format!("\"containerPath\":\"{path}\"")), "{path} in {mounts}");
        }
    }

    #[rstest]
    #[case(0)]
    #[case(2)]
    fn flags_are_the_same_in_both_formats(#[case] patch: usize) {
        let (_, patches) = config(&settings(), Version::new(1, 37, 2), true);
        let patch = &patches[patch];
        let of = |component, name| flag(patch, component, name);
        assert_eq!(of("controllerManager", "cluster-signing-duration").as_deref(), Some("135s"));
        assert_eq!(of("controllerManager", "cluster-signing-key-file").as_deref(), Some("/run/pki/signer.key"));
        assert_eq!(of("controllerManager", "controllers").as_deref(), Some("*,bootstrapsigner,tokencleaner"));
        assert_eq!(of("apiServer", "client-ca-file").as_deref(), Some("/run/pki/client-ca.crt"));
        assert_eq!(of("apiServer", "anonymous-auth").as_deref(), Some("true"));
        assert!(patch["apiServer"]["certSANs"].to_string().contains("172.18.255.254"));
    }

    #[rstest]
    #[case(Version::new(1, 31, 0), "kubeadm.k8s.io/v1beta4")]
    #[case(Version::new(1, 30, 14), "kubeadm.k8s.io/v1beta3")]
    fn a_join_is_by_token_and_pinned_ca(#[case] version: Version, #[case] format: &str) {
        let token = Secret::new("abcdef.0123456789abcdef".to_owned());
        let join = join(version, "c-control-plane", &token, "sha256:00");
        let join: Value = serde_json::from_str(join.expose()).unwrap();
        assert_eq!(join["apiVersion"], format);
        assert_eq!(
            join["discovery"]["bootstrapToken"],
            json!({
                "apiServerEndpoint": "c-control-plane:6443",
                "token": token.expose(),
                "caCertHashes": ["sha256:00"],
            })
        );
    }

    #[test]
    fn kubeadm_makes_the_token_and_chooses_the_kubelets_defaults() {
        let token = Secret::new("abcdef.0123456789abcdef".to_owned());
        let (_, without) = config(&settings(), Version::new(1, 37, 2), false);
        let plan = |kubeadm_token| {
            Plan {
                cluster: "tlsboot-1",
                image: "tlsboot/node:v1.37.2",
                version: Version::new(1, 37, 2),
                settings: &settings(),
                pki: Path::new("/run/pki"),
                patches: Path::new("/run/patches"),
                links: &[],
                own_signer: false,
                kubeadm_token,
            }
            .kind_config()
        };
        let with = plan(Some(&token));
        assert!(with.contains(token.expose()) && !with.contains("rotateCertificates"));
        assert!(without.iter().any(|patch| patch["rotateCertificates"] == false));
        assert!(!plan(None).contains("bootstrapTokens"));
    }

    #[test]
    fn kubeadms_ca_signs_unless_another_is_wanted() {
        let (_, patches) = config(&settings(), Version::new(1, 37, 2), false);
        assert_eq!(flag(&patches[0], "controllerManager", "cluster-signing-key-file"), None);
        assert_eq!(flag(&patches[0], "apiServer", "client-ca-file"), None);
    }

    #[rstest]
    #[case(37, true)]
    #[case(30, false)]
    fn old_kubelets_do_not_know_the_word_for_cgroup_v1(#[case] minor: u32, #[case] said: bool) {
        let (_, patches) = config(&settings(), Version::new(1, minor, 0), false);
        assert_eq!(patches.iter().any(|patch| patch["failCgroupV1"] == false), said);
    }

    #[rstest]
    #[case(&["csrsigning", "csrapproving", "csrcleaner", "tokencleaner"], "*,bootstrapsigner,tokencleaner")]
    #[case(&["csrsigning", "csrcleaner"], "*,bootstrapsigner,-csrapproving,-tokencleaner")]
    fn controllers_are_taken_away(#[case] wanted: &[&str], #[case] flag: &str) {
        let mut settings = settings();
        settings.controllers = wanted.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(settings.controllers_of(CONTROLLERS), flag);
    }

    #[test]
    fn probes_go_where_anonymous_requests_are_refused() {
        assert_eq!(api_server_patch(true), None);
        let (_, patch) = api_server_patch(false).unwrap();
        assert!(patch["spec"]["containers"][0]["livenessProbe"].is_null());
        assert_eq!(patch["spec"]["containers"][0]["name"], "kube-apiserver");
    }
}
