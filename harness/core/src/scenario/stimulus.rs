//! What a scenario can do to a cluster: the parameters of each stimulus. `drive` has the deeds.

use core::net::IpAddr;

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::Deserialize;

use super::model::{Binding, Flags, SigningDuration};
use crate::check::Role;

/// A node's kubelet or a component of the control plane.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Process {
    /// The node.
    #[serde(default)]
    pub node: Option<String>,
    /// The component.
    #[serde(default)]
    pub component: Option<Component>,
    /// What is different from now on; for `start` and `restart`.
    #[serde(default)]
    pub with: Changes,
    /// A component that can't start so: it is waited for until it has exited by itself, not until it is ready.
    #[serde(default)]
    pub exits: bool,
}

/// A component of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
pub enum Component {
    /// The API server.
    #[serde(rename = "kube-apiserver")]
    ApiServer,
    /// The controller-manager, which approves and signs.
    #[serde(rename = "kube-controller-manager")]
    ControllerManager,
}

impl Component {
    /// The executable's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
        }
    }
}

/// What is different after a start.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Changes {
    /// `rotateCertificates` of the kubelet.
    pub rotate_certificates: Option<bool>,
    /// `serverTLSBootstrap` of the kubelet.
    #[serde(rename = "serverTLSBootstrap")]
    pub server_tls_bootstrap: Option<bool>,
    /// The token in the node's bootstrap kubeconfig; `none` takes the file away.
    pub bootstrap: Option<String>,
    /// `--cluster-signing-duration` of the controller-manager.
    pub signing_duration: Option<SigningDuration>,
    /// `--anonymous-auth` of the API server.
    pub anonymous_auth: Option<bool>,
    /// The controllers of the controller-manager that run.
    pub controllers: Option<Vec<String>>,
    /// The component's further flags, in place of those before.
    pub flags: Option<Flags>,
}

/// A binding to make.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bind {
    /// `nodeBootstrapper`, `nodeClient`, `selfNodeClient`, or a ClusterRole's name.
    pub role: String,
    /// Whom to bind.
    pub to: Binding,
}

/// A binding to remove: tlsboot's, or else kubeadm's.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Unbind {
    /// As in `bind`.
    pub role: String,
}

/// The ClusterRole behind one of the three words, or the name itself.
pub fn cluster_role(word: &str) -> &str {
    match word {
        "nodeBootstrapper" => "system:node-bootstrapper",
        "nodeClient" => "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        "selfNodeClient" => "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        other => other,
    }
}

/// The binding that `kubeadm init` makes of a ClusterRole of bootstrapping (catalogue D-01).
pub fn kubeadm_binding(role: &str) -> Option<&'static str> {
    match role {
        "system:node-bootstrapper" => Some("kubeadm:kubelet-bootstrap"),
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient" => {
            Some("kubeadm:node-autoapprove-bootstrap")
        }
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient" => {
            Some("kubeadm:node-autoapprove-certificate-rotation")
        }
        _ => None,
    }
}

/// A ClusterRole made by hand, with one rule of the group `certificates.k8s.io`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterRole {
    /// Its name.
    pub name: String,
    /// Verbs, as `create`.
    pub verbs: Vec<String>,
    /// Resources, as `certificatesigningrequests/nodeclient`.
    pub resources: Vec<String>,
}

/// Which CSR is meant: the newest that fits and is in the state that the stimulus needs.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CsrPick {
    /// Asked for this node.
    pub node: Option<String>,
    /// `client` or `serving`.
    pub role: Option<Role>,
    /// The one that the step `submit` of this name made.
    pub submitted: Option<String>,
    /// Who decides, for `approve` and `deny`; any answer is an answer then. The administrator by default, who must succeed.
    pub by: Option<Identity>,
}

/// A token of the scenario.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenName {
    /// Its name.
    pub token: String,
}

/// A node of the scenario.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeName {
    /// Its name.
    pub node: String,
}

/// Who sends a request.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Identity {
    /// Nobody: no credentials at all.
    Anonymous,
    /// The administrator, of `system:masters`.
    Admin,
    /// The bearer of a token.
    Token(String),
    /// The node, with the client certificate that its kubelet uses now.
    Node(String),
    /// A certificate of the right CA that has expired, for this user.
    ExpiredCertificate(String),
    /// A certificate of a CA that the API server does not know, for this user.
    ForeignCertificate(String),
    /// An expired certificate of the right CA and a good token, both in the same request.
    ExpiredCertificateAndToken(UserAndToken),
    /// A valid certificate with a uid in its subject (catalogue N-07).
    CertificateWithUid(UserAndUid),
    /// The administrator, who impersonates this user.
    Impersonated(String),
}

/// A user by certificate, and a token.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserAndToken {
    /// The certificate's user.
    pub user: String,
    /// The token.
    pub token: String,
}

/// A user by certificate, with a uid.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserAndUid {
    /// The certificate's user.
    pub user: String,
    /// The value of the subject's attribute 1.3.6.1.4.1.57683.2.
    pub uid: String,
}

/// A CSR that tlsboot creates. What is left out is as the kubelet would have it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Submit {
    /// The step's name, for `answer` and `submitted`.
    #[serde(rename = "as")]
    pub name: String,
    /// Who asks.
    pub by: Identity,
    /// `client` or `serving`: gives signerName, usages and subject.
    pub role: Role,
    /// The node that it is for; gives the CN.
    pub node: String,
    /// Another signerName.
    #[serde(default)]
    pub signer_name: Option<String>,
    /// Another CN.
    #[serde(default)]
    pub common_name: Option<String>,
    /// Other O's.
    #[serde(default)]
    pub organizations: Option<Vec<String>>,
    /// DNS names.
    #[serde(default)]
    pub dns: Vec<String>,
    /// IP addresses.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub ips: Vec<IpAddr>,
    /// URIs.
    #[serde(default)]
    pub uris: Vec<String>,
    /// E-mail addresses.
    #[serde(default)]
    pub emails: Vec<String>,
    /// Other usages than the kubelet's.
    #[serde(default)]
    pub usages: Option<Vec<String>>,
    /// `spec.expirationSeconds`.
    #[serde(default)]
    pub expiration_seconds: Option<i32>,
    /// Whom it claims to come from, in fields that are the API server's to fill (catalogue C-06).
    #[serde(default)]
    pub claims: Option<Claims>,
}

/// A change of a CSR. Any answer is an answer.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PatchCsr {
    /// The step's name, for `answer`.
    #[serde(rename = "as")]
    pub name: String,
    /// Who changes it.
    pub by: Identity,
    /// Asked for this node.
    #[serde(default)]
    pub node: Option<String>,
    /// `client` or `serving`.
    #[serde(default)]
    pub role: Option<Role>,
    /// The one that the step `submit` of this name made.
    #[serde(default)]
    pub submitted: Option<String>,
    /// `approval` or `status`; the object itself by default.
    #[serde(default)]
    pub subresource: Option<CsrSubresource>,
    /// What it is to have, as a JSON merge patch.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub patch: serde_json::Value,
    /// Send the whole changed object by PUT (the verb `update`) instead of a PATCH (the verb `patch`).
    #[serde(default)]
    pub put: bool,
}

/// A subresource of a CSR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CsrSubresource {
    /// Where approvers write.
    Approval,
    /// Where signers write.
    Status,
}

/// A Node's addresses, all of them from now on.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetAddresses {
    /// The node.
    pub node: String,
    /// `status.addresses`.
    pub addresses: Vec<Address>,
}

/// An address of a Node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Address {
    /// `Hostname`, `InternalDNS`, `InternalIP`, `ExternalDNS` or `ExternalIP`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The address.
    pub address: String,
}

/// `spec.username`, `spec.uid` and `spec.groups` as a client may send them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Claims {
    /// `spec.username`.
    pub username: String,
    /// `spec.uid`.
    pub uid: String,
    /// `spec.groups`.
    pub groups: Vec<String>,
}

/// A GET request.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Get {
    /// The step's name, for `answer`.
    #[serde(rename = "as")]
    pub name: String,
    /// Who asks.
    pub by: Identity,
    /// The path, as `/api/v1/nodes/n1`.
    pub path: String,
    /// Ask again and again until this is the answer.
    #[serde(default)]
    pub until: Option<Until>,
}

/// An answer that comes only after some time.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Until {
    /// The HTTP status code.
    pub code: u16,
    /// When the last request is sent, from the first; its answer counts, whatever it is.
    #[schemars(with = "String")]
    pub within: SignedDuration,
}

/// A change of a kubelet's file.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileChange {
    /// The node.
    pub node: String,
    /// `kubeconfig`, `bootstrap-kubeconfig`, or a name in the certificate directory.
    pub name: String,
    /// What to do to it.
    pub action: FileAction,
}

/// What can be done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum FileAction {
    /// Remove it (a link, not its target).
    Delete,
    /// Cut it in the middle (through a link).
    Truncate,
    /// Leave it with no content (through a link).
    Empty,
    /// Write something into it that it should not hold (through a link).
    Garbage,
    /// Put a plain file with the same content in a link's place.
    Plain,
    /// Point a link to a file that does not exist.
    Dangle,
    /// Put another private key behind the certificate (through a link).
    ForeignKey,
    /// Put a new certificate and its key in the place of `tls.crt` and `tls.key`.
    NewPair,
}

/// A cut of a link.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cut {
    /// The node.
    pub node: String,
    /// How connections fail.
    #[serde(default)]
    pub how: CutKind,
}

/// How a cut link behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CutKind {
    /// Connections are closed, new ones refused: as when the API server is down.
    #[default]
    Refuse,
    /// Connections stay, but nothing comes through any more: as when a cable is cut.
    Silence,
}

/// A certificate whose end is waited for.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expiry {
    /// The node.
    pub node: String,
    /// Which of its certificates; the one behind the link when the step begins.
    pub role: Role,
}

/// Another CA for the signer.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplaceCa {
    /// How long the new CA is valid from now.
    #[schemars(with = "String")]
    pub valid: SignedDuration,
}
