//! The commands that fix a finding. Each is a value, so that a test can carry it out on a snapshot: after it the finding
//! is gone, and no other has appeared.

use std::fmt;

use serde::{Serialize, Serializer};
use tlsboot_core::scenario::BootstrapRole;

use super::rights::{BOOTSTRAPPERS, NAMESPACE, Subject};
use super::token::SECRET_PREFIX;

/// Something that an administrator does. All of a finding's remedies belong together, in this order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remedy {
    /// Bind a role of bootstrapping.
    Bind {
        /// Which.
        role: BootstrapRole,
        /// To whom.
        to: Subject,
    },
    /// Take a subject out of a binding.
    Unbind {
        /// The binding.
        binding: String,
        /// The namespace of a RoleBinding.
        namespace: Option<String>,
        /// The subject.
        subject: Subject,
    },
    /// Give a bootstrap token these extra groups.
    SetTokenGroups {
        /// Its id.
        id: String,
        /// All of them, `system:bootstrappers` excepted, which it always has.
        groups: Vec<String>,
    },
    /// Create a bootstrap token.
    CreateToken {
        /// Its extra groups.
        groups: Vec<String>,
    },
    /// Delete bootstrap tokens.
    DeleteTokens {
        /// Their ids.
        ids: Vec<String>,
    },
    /// Approve CSRs.
    Approve {
        /// Their names.
        csrs: Vec<String>,
    },
    /// Deny CSRs.
    Deny {
        /// Their names.
        csrs: Vec<String>,
    },
    /// Delete CSRs that no one waits for.
    DeleteCsrs {
        /// Their names.
        csrs: Vec<String>,
    },
    /// Have kube-controller-manager run a controller.
    StartController {
        /// `csrapproving`, `csrsigning` or `bootstrapsigner`.
        name: &'static str,
    },
    /// Have the API server trust the CA that signs client certificates.
    TrustSigningCa,
    /// Replace a CA.
    ReplaceCa,
    /// Switch the Node authorizer on.
    NodeAuthorizer,
    /// Have a kubelet replace its client certificate.
    RenewClient {
        /// Its node.
        node: String,
    },
    /// Have a kubelet get a new serving certificate from the cluster.
    RenewServing {
        /// Its node.
        node: String,
        /// What has to be restarted: `kubelet`, or what contains it.
        service: &'static str,
    },
    /// Have a kubelet create a new self-signed certificate.
    RenewSelfSigned {
        /// Its node.
        node: String,
    },
    /// Renew the certificate in a file, where the kubelet's configuration names one.
    RenewFile {
        /// Its node.
        node: String,
    },
    /// Set a clock.
    SetClock {
        /// The node.
        node: String,
    },
    /// Have the API server trust the CA of the kubelets' serving certificates.
    TrustServingCa,
    /// Give the API server another certificate for the kubelets.
    RenewKubeletClient,
    /// Let the API server's user use the kubelets' API.
    BindKubeletApi {
        /// The user, as the kubelet says it.
        user: String,
    },
    /// Have the API server go to the kubelets by address.
    PreferAddresses,
    /// Write the ConfigMap kube-public/cluster-info, with the cluster's CA, and let everyone read it.
    WriteClusterInfo,
}

/// As many names as fit on one command line.
pub const NAMES_IN_A_COMMAND: usize = 50;

impl Remedy {
    /// To approve them; several commands for many.
    pub fn approve(csrs: &[String]) -> Vec<Self> {
        csrs.chunks(NAMES_IN_A_COMMAND).map(|some| Self::Approve { csrs: some.to_vec() }).collect()
    }

    /// To deny them.
    pub fn deny(csrs: &[String]) -> Vec<Self> {
        csrs.chunks(NAMES_IN_A_COMMAND).map(|some| Self::Deny { csrs: some.to_vec() }).collect()
    }

    /// To delete them.
    pub fn delete(csrs: &[String]) -> Vec<Self> {
        csrs.chunks(NAMES_IN_A_COMMAND).map(|some| Self::DeleteCsrs { csrs: some.to_vec() }).collect()
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { role, to } => write!(
                f,
                "kubectl create clusterrolebinding {} --clusterrole={} {}",
                quoted(&binding_name(*role, to)),
                role.cluster_role(),
                quoted(&to.option())
            ),
            Self::Unbind { binding, namespace: None, subject } => {
                write!(f, "kubectl edit clusterrolebinding {}   # remove the {subject} from its subjects", quoted(binding))
            }
            Self::Unbind { binding, namespace: Some(namespace), subject } => write!(
                f,
                "kubectl -n {} edit rolebinding {}   # remove the {subject} from its subjects",
                quoted(namespace),
                quoted(binding)
            ),
            Self::SetTokenGroups { id, groups } => {
                let patch = serde_json::json!({"stringData": {"auth-extra-groups": groups.join(",")}}).to_string();
                write!(
                    f,
                    "kubectl -n {NAMESPACE} patch secret {} --type=merge -p {}",
                    quoted(&format!("{SECRET_PREFIX}{id}")),
                    quoted(&patch)
                )
            }
            Self::CreateToken { groups } => {
                let groups = match groups.as_slice() {
                    [] => String::new(),
                    groups => format!(" --groups={}", quoted(&groups.join(","))),
                };
                write!(
                    f,
                    "kubeadm token create --ttl=24h{groups}   # or a Secret of the type bootstrap.kubernetes.io/token in {NAMESPACE}"
                )
            }
            Self::DeleteTokens { ids } => {
                let names: Vec<String> = ids.iter().map(|id| quoted(&format!("{SECRET_PREFIX}{id}"))).collect();
                write!(f, "kubectl -n {NAMESPACE} delete secret {}", names.join(" "))
            }
            Self::Approve { csrs } => write!(f, "kubectl certificate approve {}", csrs.join(" ")),
            Self::Deny { csrs } => write!(f, "kubectl certificate deny {}", csrs.join(" ")),
            Self::DeleteCsrs { csrs } => write!(f, "kubectl delete csr {}", csrs.join(" ")),
            Self::StartController { name: "csrsigning" } => f.write_str(
                "kube-controller-manager --controllers='*' --cluster-signing-cert-file=CA.crt --cluster-signing-key-file=CA.key   # on the control plane: csrsigning must run and have a valid CA",
            ),
            Self::StartController { name: name @ "bootstrapsigner" } => write!(
                f,
                "kube-controller-manager --controllers='*,{name}'   # on the control plane: it is off unless it is named"
            ),
            Self::StartController { name } => write!(
                f,
                "kube-controller-manager --controllers='*'   # on the control plane: {name} must run (kubectl -n kube-system get pods -l component=kube-controller-manager)"
            ),
            Self::TrustSigningCa => f.write_str(
                "kube-apiserver --client-ca-file=BUNDLE   # on the control plane: BUNDLE holds its CAs of now and, if it is yours, the one in kube-controller-manager's --cluster-signing-cert-file; otherwise sign with one of its CAs",
            ),
            Self::ReplaceCa => f.write_str(
                "kubeadm certs check-expiration   # it does not renew CAs: follow \"Manual Rotation of CA Certificates\" in the Kubernetes documentation",
            ),
            Self::NodeAuthorizer => f.write_str("kube-apiserver --authorization-mode=Node,RBAC   # on the control plane, if it does not have it already"),
            Self::RenewClient { node } => write!(
                f,
                "systemctl restart kubelet   # on {node}; if its certificate has expired, with a bootstrap kubeconfig that has a valid token"
            ),
            Self::RenewServing { node, service } => write!(
                f,
                "systemctl restart {service}   # on {node}; then have the serving CSR of system:node:{node} approved, if its names are the node's"
            ),
            Self::RenewSelfSigned { node } => write!(
                f,
                "rm /var/lib/kubelet/pki/kubelet.crt /var/lib/kubelet/pki/kubelet.key && systemctl restart kubelet   # on {node}: the kubelet never renews this one"
            ),
            Self::RenewFile { node } => write!(
                f,
                "grep -i tlsCertFile /var/lib/kubelet/config.yaml   # on {node}: replace that file and its key, with the names and addresses of {node}, then: systemctl restart kubelet"
            ),
            Self::SetClock { node } => write!(f, "timedatectl   # on {node}, on the control plane and here: set the clock that is wrong, then renew the certificate"),
            Self::TrustServingCa => f.write_str(
                "kube-apiserver --kubelet-certificate-authority=BUNDLE   # on the control plane: BUNDLE holds its CAs of now and, if it is yours, that of the kubelets' serving certificates; it is read at the start only",
            ),
            Self::RenewKubeletClient => f.write_str(
                "kubeadm certs renew apiserver-kubelet-client   # on the control plane; elsewhere replace --kubelet-client-certificate by one of a CA in the kubelets' clientCAFile",
            ),
            Self::BindKubeletApi { user } => write!(
                f,
                "kubectl create clusterrolebinding {} --clusterrole=system:kubelet-api-admin {}",
                quoted(&format!("tlsboot:kubelet-api-admin:{}", user.replace(['/', '%'], "-"))),
                quoted(&format!("--user={user}"))
            ),
            Self::PreferAddresses => f.write_str(
                "kube-apiserver --kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname   # on the control plane, or have it resolve the nodes' names",
            ),
            Self::WriteClusterInfo => f.write_str(
                "kubeadm init phase bootstrap-token   # on the control plane: writes the ConfigMap kube-public/cluster-info, and lets everyone read it",
            ),
        }
    }
}

impl Serialize for Remedy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One name for each role and subject, so that a second binding does not collide with the first.
pub fn binding_name(role: BootstrapRole, to: &Subject) -> String {
    let role = match role {
        BootstrapRole::NodeBootstrapper => "node-bootstrapper",
        BootstrapRole::NodeClient => "nodeclient",
        BootstrapRole::SelfNodeClient => "selfnodeclient",
    };
    let to = match &to.namespace {
        Some(namespace) => format!("{namespace}:{}", to.name),
        None => to.name.clone(),
    };
    // A name of an RBAC object is a segment of a path.
    format!("tlsboot:{role}:{}", to.replace(['/', '%'], "-"))
}

/// The extra group that kubeadm's tokens have and its bindings name (catalogue D-01).
pub fn kubeadm_group() -> String {
    format!("{BOOTSTRAPPERS}:kubeadm:default-node-token")
}

/// A word for a shell. Names of users and bindings may have any characters in them.
fn quoted(word: &str) -> String {
    let harmless = |letter: char| letter.is_ascii_alphanumeric() || "_-.,:/@=+".contains(letter);
    if !word.is_empty() && word.chars().all(harmless) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_the_cluster_are_quoted() {
        let to = Subject::user("a'; rm -rf /; '");
        let command = Remedy::Bind { role: BootstrapRole::NodeClient, to }.to_string();
        assert!(command.contains(r"'--user=a'\''; rm -rf /; '\'''"), "{command}");
        let to = Subject::user("system:serviceaccount:infra:boot");
        let command = Remedy::Bind { role: BootstrapRole::NodeClient, to }.to_string();
        assert!(command.ends_with("--serviceaccount=infra:boot"), "{command}");
    }

    #[test]
    fn two_bindings_of_one_role_have_different_names() {
        let name = |to| binding_name(BootstrapRole::NodeClient, &to);
        assert_ne!(name(Subject::group("a")), name(Subject::group("b")));
        assert!(!name(Subject::user("a/b%c")).contains(['/', '%']));
    }

    #[test]
    fn many_names_take_several_commands() {
        let names: Vec<String> = (0..120).map(|index| format!("csr-{index}")).collect();
        assert_eq!(Remedy::approve(&names).len(), 3);
    }
}
