//! The catalogue's behaviours, which scenarios name.

/// A behaviour that Kubernetes promises or shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Its id in the catalogue.
    pub id: &'static str,
    /// What it is.
    pub statement: &'static str,
}

/// The behaviour with this id.
pub fn find(id: &str) -> Option<&'static Requirement> {
    REQUIREMENTS.iter().find(|requirement| requirement.id == id)
}

/// All behaviours, by chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "A-01",
        statement: "Static token file format",
    },
    Requirement {
        id: "A-02",
        statement: "Unknown, malformed or wrong token → 401 even with anonymous auth on",
    },
    Requirement {
        id: "A-03",
        statement: "No credentials vs. bad credentials differ",
    },
    Requirement {
        id: "A-04",
        statement: "Known user without the binding → 403",
    },
    Requirement {
        id: "A-05",
        statement: "With create permission → 201",
    },
    Requirement {
        id: "A-06",
        statement: "CSR for signer `kubernetes.io/kube-apiserver-client` with O containing `system:masters` → 403",
    },
    Requirement {
        id: "A-07",
        statement: "Bootstrap token Secret, required shape",
    },
    Requirement {
        id: "A-08",
        statement: "Each defect → 401, no hint in the body",
    },
    Requirement {
        id: "A-09",
        statement: "Identity of a bootstrap token",
    },
    Requirement {
        id: "A-10",
        statement: "Positive token cache of 10 s",
    },
    Requirement {
        id: "A-11",
        statement: "tokencleaner deletes expired tokens",
    },
    Requirement {
        id: "A-12",
        statement: "Expired or foreign-CA client certificate → 401 at HTTP level",
    },
    Requirement {
        id: "A-13",
        statement: "Expired client cert + valid bearer token → authenticated as the token",
    },
    Requirement {
        id: "A-14",
        statement: "Anonymous auth can be limited to paths",
    },
    Requirement {
        id: "A-15",
        statement: "A kubelet without a valid cert talks as `system:anonymous`",
    },
    Requirement {
        id: "R-01",
        statement: "ClusterRole `system:node-bootstrapper`",
    },
    Requirement {
        id: "R-02",
        statement: "ClusterRoles `system:certificates.k8s.io:certificatesigningrequests:nodeclient` and `…:selfnodeclient`",
    },
    Requirement {
        id: "R-03",
        statement: "There is no built-in `…:selfnodeserver` role, in any version",
    },
    Requirement {
        id: "R-04",
        statement: "No default bindings",
    },
    Requirement {
        id: "R-05",
        statement: "Nodes may create/get/list/watch CSRs through the Node authorizer",
    },
    Requirement {
        id: "R-06",
        statement: "Approving needs two permissions (≥1.18)",
    },
    Requirement {
        id: "R-07",
        statement: "KCM's own rights",
    },
    Requirement {
        id: "R-08",
        statement: "The approver reviews the identity frozen in the CSR",
    },
    Requirement {
        id: "R-09",
        statement: "Late RBAC still approves an existing CSR",
    },
    Requirement {
        id: "C-01",
        statement: "Name",
    },
    Requirement {
        id: "C-02",
        statement: "signerName",
    },
    Requirement {
        id: "C-03",
        statement: "Usages sent by the kubelet",
    },
    Requirement {
        id: "C-04",
        statement: "Control plane ≥1.25 accepts both usage sets",
    },
    Requirement {
        id: "C-05",
        statement: "Usages exactness",
    },
    Requirement {
        id: "C-06",
        statement: "Identity fields are server-filled",
    },
    Requirement {
        id: "C-07",
        statement: "`spec.extra` carries the requester's credential id ≥1.32",
    },
    Requirement {
        id: "C-08",
        statement: "Request content, client",
    },
    Requirement {
        id: "C-09",
        statement: "Serving CSR needs addresses",
    },
    Requirement {
        id: "C-10",
        statement: "Key",
    },
    Requirement {
        id: "C-11",
        statement: "API version",
    },
    Requirement {
        id: "C-12",
        statement: "v1 validation at create (422 Invalid)",
    },
    Requirement {
        id: "C-13",
        statement: "`spec.expirationSeconds`",
    },
    Requirement {
        id: "C-14",
        statement: "Spec is immutable, silently",
    },
    Requirement {
        id: "C-15",
        statement: "Conditions",
    },
    Requirement {
        id: "C-16",
        statement: "`status.certificate` is write-once",
    },
    Requirement {
        id: "C-17",
        statement: "Server sets timestamps",
    },
    Requirement {
        id: "C-18",
        statement: "kubectl conditions",
    },
    Requirement {
        id: "C-19",
        statement: "Garbage collection (csrcleaner)",
    },
    Requirement {
        id: "C-20",
        statement: "No events",
    },
    Requirement {
        id: "C-21",
        statement: "Metrics in the apiserver",
    },
    Requirement {
        id: "C-22",
        statement: "CA file per signer must hold exactly one certificate",
    },
    Requirement {
        id: "P-01",
        statement: "Approved condition",
    },
    Requirement {
        id: "P-02",
        statement: "nodeclient recognition",
    },
    Requirement {
        id: "P-03",
        statement: "CN `system:node:` with an empty node name is approved and signed",
    },
    Requirement {
        id: "P-04",
        statement: "selfnodeclient",
    },
    Requirement {
        id: "P-05",
        statement: "The built-in approver never denies",
    },
    Requirement {
        id: "P-06",
        statement: "Serving CSRs are never auto-approved since 1.11",
    },
    Requirement {
        id: "P-07",
        statement: "`--insecure-experimental-approve-all-kubelet-csrs-for-group`",
    },
    Requirement {
        id: "P-08",
        statement: "A CSR with a certificate or with Approved/Denied is not touched",
    },
    Requirement {
        id: "S-01",
        statement: "Signers",
    },
    Requirement {
        id: "S-02",
        statement: "CA flags",
    },
    Requirement {
        id: "S-03",
        statement: "Duration flag",
    },
    Requirement {
        id: "S-04",
        statement: "Effective TTL ≥1.22",
    },
    Requirement {
        id: "S-05",
        statement: "Backdating",
    },
    Requirement {
        id: "S-06",
        statement: "NotAfter is clamped to the CA's NotAfter",
    },
    Requirement {
        id: "S-07",
        statement: "Certificate fields",
    },
    Requirement {
        id: "S-08",
        statement: "Failed condition (≥1.19)",
    },
    Requirement {
        id: "S-09",
        statement: "Serving signer rules",
    },
    Requirement {
        id: "S-10",
        statement: "Latency",
    },
    Requirement {
        id: "S-11",
        statement: "Signed cert is returned PEM in `status.certificate`",
    },
    Requirement {
        id: "K-01",
        statement: "Flags/fields",
    },
    Requirement {
        id: "K-02",
        statement: "Order with rotateCertificates (≥1.14)",
    },
    Requirement {
        id: "K-03",
        statement: "Two code paths",
    },
    Requirement {
        id: "K-04",
        statement: "The kubeconfig is written BEFORE any certificate exists (≥1.14, rotation on)",
    },
    Requirement {
        id: "K-05",
        statement: "Kubeconfig content",
    },
    Requirement {
        id: "K-06",
        statement: "Which credential is used at start",
    },
    Requirement {
        id: "K-07",
        statement: "Bootstrap token is used only while there is no valid cert",
    },
    Requirement {
        id: "K-08",
        statement: "Legacy path timings (rotate=false)",
    },
    Requirement {
        id: "K-09",
        statement: "Legacy path persistence",
    },
    Requirement {
        id: "K-10",
        statement: "Waiting (rotation path)",
    },
    Requirement {
        id: "K-11",
        statement: "Retry cadence after any failed attempt",
    },
    Requirement {
        id: "K-12",
        statement: "Never-approved bootstrap: the kubelet does NOT exit",
    },
    Requirement {
        id: "K-13",
        statement: "Rejected bootstrap (401 or 403 on create): the kubelet exits after 5 min",
    },
    Requirement {
        id: "K-14",
        statement: "Client cert files (≥1.11)",
    },
    Requirement {
        id: "K-15",
        statement: "Old PEM files are never deleted",
    },
    Requirement {
        id: "K-16",
        statement: "Symlink swap is not atomic",
    },
    Requirement {
        id: "K-17",
        statement: "Serving cert files",
    },
    Requirement {
        id: "K-18",
        statement: "Self-signed default (no serverTLSBootstrap, no tlsCertFile)",
    },
    Requirement {
        id: "K-19",
        statement: "Store look-up order",
    },
    Requirement {
        id: "K-20",
        statement: "kubeconfig with embedded cert (kubeadm control plane first start)",
    },
    Requirement {
        id: "K-21",
        statement: "Default cert dir",
    },
    Requirement {
        id: "K-22",
        statement: "Log lines (V=2) to match",
    },
    Requirement {
        id: "K-23",
        statement: "First CSR needs create + list + watch",
    },
    Requirement {
        id: "T-01",
        statement: "Deadline",
    },
    Requirement {
        id: "T-02",
        statement: "Renewal CSR",
    },
    Requirement {
        id: "T-03",
        statement: "Connections are closed on rotation (≥1.8)",
    },
    Requirement {
        id: "T-04",
        statement: "Expiry with pending renewal: no immediate exit",
    },
    Requirement {
        id: "T-05",
        statement: "After that exit, a restart recovers iff a usable bootstrap kubeconfig is present",
    },
    Requirement {
        id: "T-06",
        statement: "Server down at rotation time",
    },
    Requirement {
        id: "T-07",
        statement: "Server down past expiry",
    },
    Requirement {
        id: "T-08",
        statement: "Kubelet restarted with valid cert",
    },
    Requirement {
        id: "T-09",
        statement: "Serving CSR timing",
    },
    Requirement {
        id: "T-10",
        statement: "While no serving cert exists (pending/denied/expired)",
    },
    Requirement {
        id: "T-11",
        statement: "Serving cert switches without restart",
    },
    Requirement {
        id: "T-12",
        statement: "Address change → new serving CSR",
    },
    Requirement {
        id: "T-13",
        statement: "Kubelet metrics",
    },
    Requirement {
        id: "T-14",
        statement: "apiserver side of rotation (≥1.32)",
    },
    Requirement {
        id: "T-15",
        statement: "A 401/403/404 or an 'unexpected server error' never stops the loop",
    },
    Requirement {
        id: "T-16",
        statement: "External edits",
    },
    Requirement {
        id: "T-17",
        statement: "Heartbeat failures",
    },
    Requirement {
        id: "N-01",
        statement: "1.31",
    },
    Requirement {
        id: "N-02",
        statement: "1.31",
    },
    Requirement {
        id: "N-03",
        statement: "1.31",
    },
    Requirement {
        id: "N-04",
        statement: "1.31/1.32/1.34",
    },
    Requirement {
        id: "N-05",
        statement: "1.32",
    },
    Requirement {
        id: "N-06",
        statement: "early 1.32.x",
    },
    Requirement {
        id: "N-07",
        statement: "1.33",
    },
    Requirement {
        id: "N-08",
        statement: "1.33",
    },
    Requirement {
        id: "N-09",
        statement: "1.34",
    },
    Requirement {
        id: "N-10",
        statement: "1.34/1.35/1.37",
    },
    Requirement {
        id: "N-11",
        statement: "1.35",
    },
    Requirement {
        id: "N-12",
        statement: "1.36",
    },
    Requirement {
        id: "N-13",
        statement: "1.37/1.38-dev",
    },
    Requirement {
        id: "N-14",
        statement: "KEP-4872",
    },
    Requirement {
        id: "N-15",
        statement: "RotateKubeletServerCertificate is still beta (K-01). Default durations (1 year, 70–90 %) unchanged. No bootstrap-token semantic change (HIST). KCM controllers got long names (`certificatesigningrequest-{signing,approving,cleaner}-controller`, `token-cleaner-controller`, `bootstrap-signer-controller`; SRCnew; 1.28 and the old names as aliases are BELIEF)",
    },
    Requirement {
        id: "D-01",
        statement: "kubeadm bindings",
    },
    Requirement {
        id: "D-02",
        statement: "kubeadm files",
    },
    Requirement {
        id: "D-03",
        statement: "kubelet-finalize (init)",
    },
    Requirement {
        id: "D-04",
        statement: "ControlPlaneKubeletLocalMode",
    },
    Requirement {
        id: "D-05",
        statement: "kind",
    },
    Requirement {
        id: "D-06",
        statement: "k3s agents do not use kubelet TLS bootstrap",
    },
    Requirement {
        id: "D-07",
        statement: "k3s control plane for an external kubelet — defaults already fit",
    },
    Requirement {
        id: "D-08",
        statement: "k3s consequences",
    },
];
