//! The event types of a history: one JSON object per line, append-only, format 3.
//!
//! Every event says when it *happened* (`at`, from the best available source: the audit log's own timestamp, otherwise
//! the time of recording), when it was *recorded* (`seen`), and its time on the run's monotonic clock (`mono`). Windows
//! between stimuli are defined by `at`; deadlines are measured by `mono`, so a wall clock that is stepped changes no
//! verdict.

use core::net::IpAddr;
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::facts::{CertificateFacts, PemBlock, RequestFacts};
use crate::version::Version;

/// The version of the format that this crate writes. A reader refuses newer ones.
pub const FORMAT: u32 = 3;

/// One line of `history.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Position in the history, starting at 0, without gaps.
    pub seq: u64,
    /// When it happened, by the wall clock of the best source.
    pub at: Timestamp,
    /// When it was recorded, by the recorder's wall clock.
    pub seen: Timestamp,
    /// When it was recorded: microseconds of the monotonic clock since the history began.
    pub mono: u64,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum What {
    /// The history begins: which scenario, on what.
    Begin(Box<Begin>),
    /// A step of the scenario: a stimulus began, took effect, or failed.
    Step(StepEvent),
    /// The time for an expectation is over. Written by the runner, so that judging again needs no clock.
    Deadline(Deadline),
    /// A recorder started, lost events, or stopped.
    Recorder(RecorderEvent),
    /// What the current signer does, after a start or a change of the controller-manager.
    Signing(Signing),
    /// Where a kubelet keeps its files; written before each start.
    Kubelet(KubeletFacts),
    /// A CertificateSigningRequest as the API shows it.
    Csr(Box<CsrEvent>),
    /// An API request, from the audit log.
    Request(Box<RequestEvent>),
    /// A change in a kubelet's directory.
    File(Box<FileEvent>),
    /// What a kubelet presents on its port.
    Presented(Box<Presented>),
    /// A process of the cluster started or ended.
    Process(ProcessEvent),
    /// A connection between a kubelet and the API server, seen on the link between them.
    Connection(ConnectionEvent),
    /// A connection from the API server to a kubelet's port.
    Inbound(InboundEvent),
    /// A request to a kubelet that a stimulus sent, with its answer.
    Reach(Box<ReachEvent>),
    /// Values of metrics that changed since the last scrape.
    Metrics(MetricsEvent),
    /// A Node object as the API shows it.
    Node(NodeEvent),
    /// A line of a component's log that mentions certificates or bootstrapping.
    Log(LogEvent),
    /// How long the cluster's processes have worked, and waited for a processor.
    Load(Load),
    /// When recorders last looked.
    Looked(Looked),
    /// The runner ended the scenario: an invariant is broken for good.
    Ended(Ended),
}

/// The kinds of events that recorders write, each with its recorder.
pub const RECORDED: [(&str, Recorder); 11] = [
    ("csr", Recorder::Csr),
    ("request", Recorder::Audit),
    ("file", Recorder::Files),
    ("presented", Recorder::Presented),
    ("process", Recorder::Process),
    ("connection", Recorder::Link),
    ("inbound", Recorder::Inbound),
    ("reach", Recorder::Reach),
    ("metrics", Recorder::Metrics),
    ("node", Recorder::Node),
    ("log", Recorder::Log),
];

impl What {
    /// Its kind: its key in the history.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Begin(_) => "begin",
            Self::Step(_) => "step",
            Self::Deadline(_) => "deadline",
            Self::Recorder(_) => "recorder",
            Self::Signing(_) => "signing",
            Self::Kubelet(_) => "kubelet",
            Self::Csr(_) => "csr",
            Self::Request(_) => "request",
            Self::File(_) => "file",
            Self::Presented(_) => "presented",
            Self::Process(_) => "process",
            Self::Connection(_) => "connection",
            Self::Inbound(_) => "inbound",
            Self::Reach(_) => "reach",
            Self::Metrics(_) => "metrics",
            Self::Node(_) => "node",
            Self::Log(_) => "log",
            Self::Load(_) => "load",
            Self::Looked(_) => "looked",
            Self::Ended(_) => "ended",
        }
    }

    /// Which recorder sees such events; `None` for what tlsboot itself does.
    pub fn recorder(&self) -> Option<Recorder> {
        RECORDED.iter().find(|(kind, _)| *kind == self.kind()).map(|(_, recorder)| *recorder)
    }
}

/// The first event of every history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Begin {
    /// [`FORMAT`].
    pub format: u32,
    /// tlsboot's own version.
    pub tlsboot: String,
    /// The scenario's id.
    pub scenario: String,
    /// SHA-256 of the scenario file, in hex.
    pub scenario_sha256: String,
    /// The target's name, as in test names: `local::1.37.2`.
    pub target: String,
    /// The control plane's version.
    pub kubernetes: Version,
    /// The kubelets' version.
    pub kubelet: Version,
    /// Whether the scenario goes on after what makes it red (`--keep-going`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_going: bool,
}

/// Why the runner ended a scenario before its expectations were decided. The judge looks for itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ended {
    /// The invariant that is broken: `I-04`.
    pub by: String,
}

/// What the controller-manager's signer does from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Signing {
    /// `--cluster-signing-duration`, in whole seconds.
    pub duration_seconds: i64,
    /// CA certificates by signerName, DER in base64.
    pub signers: BTreeMap<String, String>,
}

impl Signing {
    /// `--cluster-signing-duration`.
    pub fn duration(&self) -> SignedDuration {
        SignedDuration::from_secs(self.duration_seconds)
    }
}

/// How long the cluster's processes have worked, and how long they were ready to work and no processor was free: sums over
/// all their threads since the history began (`/proc/PID/task/TID/schedstat` of Linux).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Load {
    /// Milliseconds on a processor.
    pub worked_ms: u64,
    /// Milliseconds in the queue for one.
    pub waited_ms: u64,
}

impl Load {
    /// What came since an earlier one.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            worked_ms: self.worked_ms.saturating_sub(earlier.worked_ms),
            waited_ms: self.waited_ms.saturating_sub(earlier.waited_ms),
        }
    }

    /// Whether work took so much longer than on a machine with nothing else to do that what did not come in time, or came
    /// too late, may be the machine's fault. Measured on two cores: everything waits 2 times as long as it works with four
    /// clusters side by side, and 12 times with 16 other processes that are always busy.
    pub fn is_too_high(self) -> bool {
        self.waited_ms >= LEAST_WAIT_MS && self.waited_ms / WAIT_FOR_WORK >= self.worked_ms
    }
}

/// Less than that explains nothing.
const LEAST_WAIT_MS: u64 = 2_000;
/// A machine is too slow from so many times as much waiting as work on.
const WAIT_FOR_WORK: u64 = 8;

/// A step of the scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StepEvent {
    /// Its index in the scenario's `steps`, from 0.
    pub index: usize,
    /// Its keyword in the YAML: `start`, `bind`, …
    pub stimulus: String,
    /// Its name (`name`), if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How far it has come.
    pub phase: Phase,
}

/// How far a stimulus has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum Phase {
    /// It is about to be performed.
    Begin,
    /// It was performed, and this shows that it took effect.
    Done {
        /// The observed effect, for people to read.
        proof: String,
        /// The API server's answer, if the stimulus was a request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answer: Option<Answer>,
    },
    /// It could not be performed, or its effect was not observed: an error of the harness.
    Failed {
        /// Why.
        error: String,
    },
}

/// The API server's answer to a request that a stimulus sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Answer {
    /// HTTP status code.
    pub code: u16,
    /// The `reason` of the Status object, if there is one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The `message` of the Status object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The name of the object that was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
}

/// The time for an expectation is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deadline {
    /// Index of the step that holds the expectation.
    pub step: usize,
}

/// One of the recorders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum Recorder {
    /// Watch of CertificateSigningRequests.
    Csr,
    /// The API server's audit log.
    Audit,
    /// The certificate directories (inotify and snapshots).
    Files,
    /// TLS probes of the kubelets' ports.
    Presented,
    /// The processes' starts and ends.
    Process,
    /// The link in front of the API server.
    Link,
    /// The way from the API server to the kubelets' ports.
    Inbound,
    /// The requests to kubelets that stimuli send.
    Reach,
    /// Metrics of kubelets and the controller-manager.
    Metrics,
    /// Watch of Nodes.
    Node,
    /// The components' logs.
    Log,
}

impl Recorder {
    /// Whether it looks at each node or component on its own.
    pub fn looks_at_each(self) -> bool {
        matches!(self, Self::Files | Self::Presented | Self::Metrics | Self::Log)
    }

    /// How long it may be between two of its looks. Twice its longest pause and more, because machines are slow at times.
    pub fn longest_silence(self) -> SignedDuration {
        SignedDuration::from_secs(if self == Self::Metrics { 30 } else { 15 })
    }
}

impl std::fmt::Display for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Csr => "csr",
            Self::Audit => "audit",
            Self::Files => "files",
            Self::Presented => "presented",
            Self::Process => "process",
            Self::Link => "link",
            Self::Inbound => "inbound",
            Self::Reach => "reach",
            Self::Metrics => "metrics",
            Self::Node => "node",
            Self::Log => "log",
        })
    }
}

/// A recorder reports its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecorderEvent {
    /// Which one.
    pub recorder: Recorder,
    /// Its state.
    pub state: RecorderState,
}

/// The state of a recorder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum RecorderState {
    /// It records from now on.
    Started,
    /// It may have missed events, and why. What needs this recorder can no longer pass.
    Gap(String),
}

/// When recorders last looked: what had happened until then, and what they can see, is in the history before this event.
/// It is what shows that nothing changed: a history in which nothing changes looks the same as one that is no longer written.
/// Recorders through which everything passes (the link, the way to the kubelets' ports, requests of stimuli) need not look.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Looked {
    /// By recorder and by what it looks at (a node, a component, or the [`WHOLE_CLUSTER`]): microseconds of `mono`.
    pub at: BTreeMap<Recorder, BTreeMap<String, u64>>,
}

/// What a recorder looks at that has only one source for all nodes.
pub const WHOLE_CLUSTER: &str = "cluster";

/// Where a kubelet keeps its files, and how it was started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KubeletFacts {
    /// The node's name.
    pub node: String,
    /// The kubelet's version.
    pub version: Version,
    /// `--cert-dir`, absolute.
    pub cert_dir: String,
    /// `--kubeconfig`, absolute.
    pub kubeconfig: String,
    /// `rotateCertificates`.
    pub rotate_certificates: bool,
    /// `serverTLSBootstrap`.
    pub server_tls_bootstrap: bool,
}

/// How an API object changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum Change {
    /// First seen.
    Added,
    /// Seen again, with different content.
    Modified,
    /// Deleted.
    Deleted,
}

/// A CertificateSigningRequest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CsrEvent {
    /// How it changed.
    pub change: Change,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// `metadata.creationTimestamp`, whole seconds.
    #[schemars(with = "String")]
    pub created: Timestamp,
    /// `metadata.labels`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// `spec.signerName`; before 1.18, which introduced it, the one that 1.18 would have set.
    pub signer_name: String,
    /// `spec.username`.
    pub username: String,
    /// `spec.uid`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user_uid: String,
    /// `spec.groups`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// `spec.extra`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, Vec<String>>,
    /// `spec.usages`, in the order sent.
    pub usages: Vec<String>,
    /// `spec.expirationSeconds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration_seconds: Option<i32>,
    /// What `spec.request` asks for.
    pub request: RequestFacts,
    /// `status.conditions`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<CsrCondition>,
    /// `status.certificate`: the leaf, followed by what the signer added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateFacts>,
}

/// A condition of a CSR.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CsrCondition {
    /// `Approved`, `Denied` or `Failed`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, always, since 1.19.
    pub status: String,
    /// `reason`, for machines.
    pub reason: String,
    /// `message`, for people.
    pub message: String,
    /// `lastUpdateTime`, whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub last_update_time: Option<Timestamp>,
    /// `lastTransitionTime`, whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub last_transition_time: Option<Timestamp>,
}

/// The user name in the kubelet's certificate: the node authorizer's prefix.
pub const NODE_USER_PREFIX: &str = "system:node:";
/// The group in the kubelet's certificate (`user.NodesGroup` in `k8s.io/apiserver/pkg/authentication/user`).
pub const NODES_GROUP: &str = "system:nodes";
/// The name of the kubelet as a component, in events of processes, logs and metrics.
pub const KUBELET: &str = "kubelet";

impl CsrEvent {
    /// The node for which the certificate is requested: the CN without `system:node:`.
    pub fn node(&self) -> Option<&str> {
        self.request.subject.common_name.as_deref()?.strip_prefix(NODE_USER_PREFIX)
    }

    /// The requestor's credential id (`X509SHA256=…`), recorded by API servers since 1.32 (catalogue C-07).
    pub fn credential_id(&self) -> Option<&str> {
        self.extra.get(CREDENTIAL_ID)?.first().map(String::as_str)
    }
}

/// The key under which API servers since 1.32 store the credential id in a user's `extra`.
pub const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// An API request, from the audit log, at the stage that shows its status code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestEvent {
    /// `auditID`.
    pub audit_id: String,
    /// The node whose link it came through, known even if the request carries no identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// `user.username`; `None` if authentication failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// `user.groups`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The credential id, since 1.32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_id: Option<String>,
    /// `create`, `watch`, …; the HTTP verb in lower case for paths that are not resources.
    pub verb: String,
    /// `requestURI` without its query.
    pub path: String,
    /// `objectRef.apiGroup`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// `objectRef.resource`; empty for paths that are not resources.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resource: String,
    /// `objectRef.subresource`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subresource: String,
    /// `objectRef.name`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// `objectRef.namespace`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// `responseStatus.code`.
    pub code: u16,
    /// `responseStatus.reason`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// `responseStatus.message`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// `userAgent`, its first word.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user_agent: String,
}

/// A change in a kubelet's directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileEvent {
    /// The node.
    pub node: String,
    /// `kubeconfig`, or a name in the certificate directory.
    pub name: String,
    /// What happened to the name.
    pub op: FileOp,
    /// inotify's cookie, which pairs `movedFrom` with `movedTo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<u32>,
    /// What was found under the name right afterwards; `None` if there was nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<FileFacts>,
}

/// What happened to a name in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum FileOp {
    /// It existed when the recorder started.
    Present,
    /// A new name.
    Created,
    /// A writer closed the file, or truncated it.
    Modified,
    /// Mode, owner or times changed.
    Attributes,
    /// The name was taken away by a rename.
    MovedFrom,
    /// The name was given by a rename.
    MovedTo,
    /// The name was deleted.
    Deleted,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileFacts {
    /// File, link or directory.
    pub kind: FileKind,
    /// Permission bits, as in `0600`.
    pub mode: String,
    /// Owner, as seen from outside the node's namespaces.
    pub uid: u32,
    /// Size in bytes.
    pub size: u64,
    /// A link's target, exactly as stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The PEM blocks of a file (through the link, for a link): certificates and the public halves of keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pem: Vec<PemBlock>,
    /// A kubeconfig's references, for the file `kubeconfig`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<KubeconfigFacts>,
}

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A symbolic link.
    Link,
    /// A directory.
    Directory,
}

impl FileKind {
    /// Its name: `file`, `link` or `directory`.
    pub fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Link => "link",
            Self::Directory => "directory",
        }
    }
}

/// The public content of a kubeconfig.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KubeconfigFacts {
    /// `clusters[0].cluster.server`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Name of the current context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Name of the first user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// `users[0].user.client-certificate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<String>,
    /// `users[0].user.client-key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key: Option<String>,
    /// Whether certificate or key are embedded as data.
    pub embedded: bool,
    /// Why it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a kubelet presents on its port, recorded when it changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Presented {
    /// The node.
    pub node: String,
    /// The chain, leaf first; empty where the handshake failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<CertificateFacts>,
    /// The TLS alert with which the kubelet refused, or why there was no handshake at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// The CAs from which it asks clients for a certificate, by CN.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub client_cas: Vec<String>,
}

/// A process of the cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProcessEvent {
    /// The executable: `kubelet`, `kube-apiserver`, …
    pub component: String,
    /// The node, for a kubelet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Its process id, as seen from outside the node's namespaces.
    pub pid: u32,
    /// Started or ended.
    pub state: ProcessState,
}

impl ProcessEvent {
    /// Creates the events of one process from its states.
    pub fn of(component: &str, node: Option<&str>, pid: u32) -> impl Fn(ProcessState) -> What + Send + use<> {
        let (component, node) = (component.to_owned(), node.map(str::to_owned));
        move |state| What::Process(Self { component: component.clone(), node: node.clone(), pid, state })
    }
}

/// Started or ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum ProcessState {
    /// It is running.
    Started,
    /// It exited.
    Exited {
        /// Exit code; `None` if a signal ended it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<i32>,
        /// The signal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<i32>,
        /// Whether tlsboot ended it (a stimulus, or the end of the run).
        asked: bool,
    },
}

/// A connection on a node's link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConnectionEvent {
    /// The node whose link it is.
    pub node: String,
    /// Number of the connection on this link, starting at 1.
    pub id: u64,
    /// What happened.
    pub state: ConnectionState,
}

/// What happened to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum ConnectionState {
    /// Open in both directions.
    Opened,
    /// Closed; by whom.
    Closed {
        /// Who closed first.
        by: ClosedBy,
    },
    /// The link was cut, or the API server was not running.
    Refused,
}

/// Who closed a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum ClosedBy {
    /// The kubelet.
    Kubelet,
    /// The API server.
    Server,
    /// The link, because of a stimulus.
    Link,
}

/// A connection from the API server to a kubelet's port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InboundEvent {
    /// The node.
    pub node: String,
    /// Number of the connection to this node, from 1.
    pub id: u64,
    /// What happened.
    pub state: InboundState,
}

/// What happened to a connection from the API server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum InboundState {
    /// Open in both directions.
    Opened {
        /// `HOST:PORT` as the API server asked for it.
        asked: String,
        /// SHA-256 of the certificate that the kubelet presents at this moment, by a handshake of tlsboot's own; none where
        /// the handshake failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        certificate: Option<String>,
        /// Why that handshake failed, as in [`Presented::refused`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<String>,
    },
    /// Closed; by whom.
    Closed {
        /// Who closed first.
        by: ClosedBy,
    },
    /// The way was cut or the kubelet not there.
    Refused {
        /// `HOST:PORT` as the API server asked for it.
        asked: String,
    },
}

/// A request to a kubelet that a stimulus sent, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReachEvent {
    /// The node.
    pub node: String,
    /// The name of the stimulus, where it sends one request after another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which way it went.
    pub via: Via,
    /// The path at the kubelet, without the first slash.
    pub path: String,
    /// The HTTP status code; none where no answer came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// The Status object's reason, where the answer is one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The Status object's message, the beginning of a refusal's body, or why no answer came.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// SHA-256 of the certificate that the kubelet showed; known only where the request went straight to its port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// From the sending to the answer, in milliseconds.
    pub millis: u64,
}

impl ReachEvent {
    /// Whether the kubelet did what was asked: the answer is 2xx.
    pub fn succeeded(&self) -> bool {
        self.code.is_some_and(|code| (200..300).contains(&code))
    }
}

/// Which way a request goes to a kubelet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum Via {
    /// Through the API server, as `kubectl get --raw /api/v1/nodes/NAME/proxy/PATH` sends it.
    #[default]
    ApiServer,
    /// Straight to the kubelet's port.
    Port,
}

/// Metrics that changed. Values are strings as exposed, because `+Inf` is one of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MetricsEvent {
    /// `kubelet` or `kube-controller-manager`.
    pub component: String,
    /// The node, for a kubelet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// `name{labels}` to value.
    pub values: BTreeMap<String, String>,
}

/// A Node object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeEvent {
    /// How it changed.
    pub change: Change,
    /// Its name.
    pub node: String,
    /// The condition Ready: `True`, `False`, `Unknown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<String>,
    /// IP addresses of its status.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
}

/// A line of a component's log, with secrets removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogEvent {
    /// `kubelet`, `kube-controller-manager`, …
    pub component: String,
    /// The node, for a kubelet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The line.
    pub line: String,
}
