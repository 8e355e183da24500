//! The YAML model of a scenario file. Strict: an unknown key is an error.
//!
//! These are the raw types; [`super::Scenario`] is what has been validated. The words are Kubernetes' own.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::stimulus::{BootstrapRole, Component, Step};
use super::{NodeName, duration, schema};
use crate::history::event::NODES_GROUP;
use crate::name::{UnknownName, by_name};
use crate::version::Versions;

/// A scenario: a cluster, its nodes, and what happens step by step.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "tlsboot scenario")]
pub struct RawScenario {
    /// Unique id, `chapter.name-in-words`, the same as the file's path below `scenarios/`.
    #[schemars(schema_with = "schema::id")]
    pub id: Spanned<String>,
    /// What the scenario shows, as a sentence that is true of a conforming cluster, with at most 90 characters.
    #[schemars(schema_with = "schema::title")]
    pub title: String,
    /// Why it matters and how it works, for `tlsboot explain`.
    #[serde(default)]
    pub why: String,
    /// Ids of the catalogue's behaviors that it shows.
    #[schemars(schema_with = "schema::requirements")]
    pub requirements: Vec<Spanned<String>>,
    /// Whether a conforming cluster must, should or may behave this way.
    #[serde(default)]
    pub level: Level,
    /// The smallest profile that includes it.
    #[serde(default)]
    pub profile: Profile,
    /// Further tags to select it by (`@rotation`); its chapter is always one.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Control-plane versions to which it applies, such as `>=1.31`; all by default.
    #[serde(default)]
    #[schemars(schema_with = "schema::versions")]
    pub kubernetes: Option<Versions>,
    /// Kubelet versions to which it applies; all by default.
    #[serde(default)]
    #[schemars(schema_with = "schema::versions")]
    pub kubelet: Option<Versions>,
    /// How long each `expect` waits at most, unless it has its own `within`; one minute by default.
    #[serde(default, deserialize_with = "duration::positive_if_given")]
    #[schemars(schema_with = "duration::schema")]
    pub within: Option<SignedDuration>,
    /// Invariants that it breaks on purpose, by id, each with the reason: `{I-01: …}`. One that is not broken is an error.
    #[serde(default)]
    #[schemars(schema_with = "schema::allows")]
    pub allows: BTreeMap<String, Spanned<String>>,
    /// The cluster.
    #[serde(default)]
    pub cluster: Cluster,
    /// Tokens in addition to the predefined ones, `staticToken` and `bootstrapToken`.
    #[serde(default)]
    pub tokens: BTreeMap<String, Token>,
    /// The nodes.
    #[serde(default)]
    pub nodes: Vec<Node>,
    /// What happens, in order: stimuli, and what must follow from them.
    #[schemars(with = "Vec<Step>")]
    pub steps: Vec<Spanned<Step>>,
}

/// How strong a promise is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Level {
    /// Kubernetes promises it: a cluster without it is broken.
    #[default]
    Must,
    /// Usual behavior that a distribution may have reason to change.
    Should,
    /// Good to know.
    Info,
}

impl Level {
    /// Its name: `must`, `should` or `info`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Must => "must",
            Self::Should => "should",
            Self::Info => "info",
        }
    }
}

/// A set of scenarios by cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Profile {
    /// The main promises, in minutes.
    #[default]
    Core,
    /// Everything that takes no longer than a few minutes each.
    Full,
    /// Also what takes a quarter of an hour or more.
    Slow,
}

impl Profile {
    /// All of them, the smallest first.
    pub const ALL: &[Self] = &[Self::Core, Self::Full, Self::Slow];

    /// Its name in scenario files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Full => "full",
            Self::Slow => "slow",
        }
    }
}

impl std::fmt::Display for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Profile {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        by_name("profile", Self::ALL, Self::name, text)
    }
}

/// The control plane. The defaults are Kubernetes' own, with the bindings that kubeadm creates.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Cluster {
    /// `--anonymous-auth` of the API server.
    pub anonymous_auth: bool,
    /// `--authorization-mode` of the API server.
    pub authorization_mode: Vec<String>,
    /// Who is bound to the bootstrap roles.
    pub bindings: Bindings,
    /// Everything is as kubeadm sets it up: its bindings (and no others), its token (`kubeadmToken`), cluster-info, and
    /// the kubelets' configuration. Nodes are joined by `join`.
    pub kubeadm: bool,
    /// `--cluster-signing-duration`. `quick` is a short one with which a kubelet of this version renews no sooner
    /// than 15 s after the signing.
    pub signing_duration: SigningDuration,
    /// How long the signing CA is valid from now; one year by default.
    #[serde(rename = "signerCAValidFor", deserialize_with = "duration::positive_if_given")]
    #[schemars(schema_with = "duration::schema")]
    pub signer_ca_valid_for: Option<SignedDuration>,
    /// The controllers of kube-controller-manager that run.
    pub controllers: Vec<String>,
    /// The only paths that allow anonymous requests, by an AuthenticationConfiguration (catalogue A-14); needs
    /// Kubernetes 1.32 and the default `anonymousAuth`.
    pub anonymous_paths: Vec<String>,
    /// Further flags by component, without the dashes. An empty value removes tlsboot's own flag of that name. `{pki}`
    /// is the folder of the cluster's keys (`signer.crt`, `signer.key`, `client-ca.crt`, `cluster-ca.crt`; `serving-ca`
    /// and `intermediate-ca`, each with `.crt` and `.key`).
    #[schemars(with = "BTreeMap<String, BTreeMap<String, String>>")]
    pub flags: BTreeMap<Component, Flags>,
}

/// Flags by name, without the dashes.
pub type Flags = BTreeMap<String, String>;

impl Default for Cluster {
    fn default() -> Self {
        Self {
            anonymous_auth: true,
            authorization_mode: vec!["Node".into(), "RBAC".into()],
            bindings: Bindings::default(),
            kubeadm: false,
            signing_duration: SigningDuration::Length(SignedDuration::from_hours(1)),
            signer_ca_valid_for: None,
            controllers: ["csrsigning", "csrapproving", "csrcleaner", "tokencleaner"].map(String::from).to_vec(),
            anonymous_paths: Vec::new(),
            flags: BTreeMap::new(),
        }
    }
}

/// The duration for which certificates are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String", extend("pattern" = "^(quick|([0-9]+(h|m|s|ms))+)$"))]
pub enum SigningDuration {
    /// By the rule of the version: a short duration that forces a rotation, but none within 15 s.
    Quick,
    /// Exactly this duration.
    Length(SignedDuration),
}

impl std::str::FromStr for SigningDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "quick" => Ok(Self::Quick),
            other => duration::above_zero(other).map(Self::Length).map_err(|wrong| format!("{wrong}; or use `quick`")),
        }
    }
}

impl<'de> Deserialize<'de> for SigningDuration {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Who is bound to the three bootstrap roles.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Bindings {
    /// `system:node-bootstrapper`: who may create CSRs.
    pub node_bootstrapper: Binding,
    /// `…:nodeclient`: whose first client certificate is approved.
    pub node_client: Binding,
    /// `…:selfnodeclient`: whose renewal is approved.
    pub self_node_client: Binding,
}

impl Default for Bindings {
    fn default() -> Self {
        let bootstrappers = || Binding::Group("system:bootstrappers".into());
        Self {
            node_bootstrapper: bootstrappers(),
            node_client: bootstrappers(),
            self_node_client: Binding::Group(NODES_GROUP.into()),
        }
    }
}

impl Bindings {
    /// Those that exist.
    pub fn present(&self) -> impl Iterator<Item = (BootstrapRole, &Binding)> {
        BootstrapRole::ALL.into_iter().map(|role| (role, self.of(role))).filter(|(_, to)| **to != Binding::Absent)
    }

    fn of(&self, role: BootstrapRole) -> &Binding {
        match role {
            BootstrapRole::NodeBootstrapper => &self.node_bootstrapper,
            BootstrapRole::NodeClient => &self.node_client,
            BootstrapRole::SelfNodeClient => &self.self_node_client,
        }
    }
}

/// The subject of a binding.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Binding {
    /// There is no binding.
    Absent,
    /// A user.
    User(String),
    /// A group.
    Group(String),
}

/// A token that a kubelet may bootstrap with.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Token {
    /// How the API server knows it.
    pub kind: TokenKind,
    /// The user name of a static token; `kubelet-bootstrap` by default.
    #[serde(default)]
    pub user: Option<String>,
    /// Groups of the static token, or the `auth-extra-groups` of a bootstrap token.
    #[serde(default)]
    pub groups: Vec<String>,
    /// `expiration` of a bootstrap token, relative to the start of the cluster; negative for the past.
    #[serde(default, deserialize_with = "duration::signed_if_given")]
    #[schemars(schema_with = "duration::signed_schema")]
    pub expires: Option<SignedDuration>,
    /// One thing that is wrong with it.
    #[serde(default)]
    pub defect: Option<TokenDefect>,
}

/// How a token is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TokenKind {
    /// The API server's `--token-auth-file`.
    Static,
    /// A Secret `bootstrap-token-ID` in `kube-system`.
    Bootstrap,
}

/// What is wrong with a token (catalogue ).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TokenDefect {
    /// The API server does not know it at all.
    Unknown,
    /// It does not have the form of a token that the API server knows.
    Malformed,
    /// The token secret differs from the one in the Secret.
    WrongSecret,
    /// The Secret has another type than `bootstrap.kubernetes.io/token`.
    WrongType,
    /// `usage-bootstrap-authentication` is missing.
    NoUsage,
    /// `token-id` differs from the Secret's name.
    WrongId,
    /// `expiration` is not a time.
    UnparsableExpiration,
    /// An extra group that does not begin with `system:bootstrappers:`.
    ForeignGroup,
    /// An extra group of `system:bootstrappers:…` with a capital letter.
    GroupForm,
    /// The second half in the Secret ends with a newline, as `echo` without `-n` makes it.
    Newline,
    /// `expiration` is there and empty. That is no defect to the API server: the token does not expire.
    EmptyExpiration,
}

/// A node: one kubelet.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Node {
    /// Its hostname. The Node's name is the same in lower case.
    pub name: NodeName,
    /// The token in its bootstrap kubeconfig, or `none` for a kubelet without one.
    #[serde(default = "default_bootstrap")]
    pub bootstrap: String,
    /// How that kubeconfig shows who it is.
    #[serde(default)]
    pub bootstrap_by: BootstrapBy,
    /// `rotateCertificates`.
    #[serde(default = "yes")]
    pub rotate_certificates: bool,
    /// `serverTLSBootstrap`.
    #[serde(default, rename = "serverTLSBootstrap")]
    pub server_tls_bootstrap: bool,
    /// A kubeconfig that exists before the first start and embeds a client certificate of the node, as `kubeadm init`
    /// used to write it (catalogue K-20).
    #[serde(default)]
    pub embedded_certificate: Option<EmbeddedCertificate>,
    /// `--cert-dir`.
    #[serde(default)]
    pub cert_dir: CertDir,
    /// Where the certificate and key that the kubelet presents on its port come from.
    #[serde(default)]
    pub serving_pair: ServingPair,
    /// `--cloud-provider`.
    #[serde(default)]
    pub cloud_provider: CloudProvider,
    /// `failCgroupV1`, since Kubernetes 1.31.
    #[serde(default, rename = "failCgroupV1")]
    pub fail_cgroup_v1: FailCgroupV1,
    /// Who may use its port.
    #[serde(default)]
    pub access: PortAccess,
    /// Variables of the kubelet's environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

impl Node {
    /// A node with defaults for everything else.
    pub fn named(name: impl Into<NodeName>) -> Self {
        Self {
            name: name.into(),
            bootstrap: default_bootstrap(),
            bootstrap_by: BootstrapBy::default(),
            rotate_certificates: yes(),
            server_tls_bootstrap: false,
            embedded_certificate: None,
            cert_dir: CertDir::default(),
            serving_pair: ServingPair::default(),
            cloud_provider: CloudProvider::default(),
            fail_cgroup_v1: FailCgroupV1::default(),
            access: PortAccess::default(),
            env: BTreeMap::new(),
        }
    }
}

/// Who may use a kubelet's port: `authentication` and `authorization` of its configuration. By default, every client
/// certificate of the cluster's CA allows everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PortAccess {
    /// `authentication.anonymous.enabled`.
    pub anonymous: bool,
    /// `authentication.webhook.enabled`: bearer tokens are reviewed by the API server.
    pub token_review: bool,
    /// `authorization.mode`.
    pub authorization: AuthorizationMode,
}

/// `authorization.mode` of a kubelet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum AuthorizationMode {
    /// Every authenticated user may do everything.
    #[default]
    AlwaysAllow,
    /// The API server decides, by SubjectAccessReviews.
    Webhook,
}

impl AuthorizationMode {
    /// Its word in the kubelet's configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::AlwaysAllow => "AlwaysAllow",
            Self::Webhook => "Webhook",
        }
    }
}

/// What a bootstrap kubeconfig shows the API server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum BootstrapBy {
    /// The token.
    #[default]
    Token,
    /// The token, which a command prints (`exec`, an ExecCredential of v1: kubelets from 1.22 on).
    Command,
    /// A client certificate of the static token's user and groups.
    Certificate,
    /// The same, which expired an hour ago.
    ExpiredCertificate,
}

impl BootstrapBy {
    /// Whether it is a client certificate, which only a static token's user can have.
    pub fn is_certificate(self) -> bool {
        matches!(self, Self::Certificate | Self::ExpiredCertificate)
    }
}

/// Where a kubelet keeps its certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CertDir {
    /// In the node's own folder, by the flag.
    #[default]
    Explicit,
    /// The flag is left out: in `/var/lib/kubelet/pki`, which is lost here when the process exits (catalogue K-21).
    Default,
}

/// Where a kubelet's serving certificate and its key come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ServingPair {
    /// The kubelet signs its own, or requests one with `serverTLSBootstrap`.
    #[default]
    Managed,
    /// From `tlsCertFile` and `tlsPrivateKeyFile`: a pair signed by the cluster's CA, `tls.crt` and `tls.key` in the
    /// certificate directory (catalogue N-01).
    FromFile,
}

/// What sets a Node's addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CloudProvider {
    /// The kubelet: the flag is left out.
    #[default]
    None,
    /// A cloud controller: `external`. The addresses are set by `setAddresses` (catalogue T-12).
    External,
}

/// Whether a kubelet refuses to start on a machine with cgroup v1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum FailCgroupV1 {
    /// `false`, so that it starts on any machine.
    #[default]
    Disabled,
    /// The field is left out: Kubernetes' default applies (catalogue N-11).
    Unset,
}

/// The validity of an embedded certificate, from the start of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EmbeddedCertificate {
    /// When it becomes valid; negative for the past.
    #[serde(deserialize_with = "duration::signed")]
    #[schemars(schema_with = "duration::signed_schema")]
    pub not_before: SignedDuration,
    /// When it expires.
    #[serde(deserialize_with = "duration::signed")]
    #[schemars(schema_with = "duration::signed_schema")]
    pub not_after: SignedDuration,
}

fn default_bootstrap() -> String {
    STATIC_TOKEN.into()
}

fn yes() -> bool {
    true
}

/// The predefined static token: user `kubelet-bootstrap`, uid 10001, group `system:bootstrappers`, as in the seed
/// document.
pub const STATIC_TOKEN: &str = "staticToken";
/// The predefined bootstrap token: a Secret with the extra group `system:bootstrappers:tlsboot`.
pub const BOOTSTRAP_TOKEN: &str = "bootstrapToken";
/// The token that `kubeadm init` creates, in a cluster with `kubeadm`.
pub const KUBEADM_TOKEN: &str = "kubeadmToken";
/// The group of kubeadm's tokens, to which kubeadm binds the bootstrap roles (catalogue D-01).
pub const KUBEADM_GROUP: &str = "system:bootstrappers:kubeadm:default-node-token";
/// The word for a node without a bootstrap kubeconfig.
pub const NO_TOKEN: &str = "none";
