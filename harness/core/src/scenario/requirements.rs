//! The catalogue: every behavior of kubelet TLS bootstrapping and rotation that a conforming cluster shows, as one true
//! sentence each, with its source. Scenarios name these ids; `tlsboot list --requirements` shows which scenario covers
//! what.

use super::Level;

/// A behavior that Kubernetes promises or shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Its id: the chapter's letter and a number.
    pub id: &'static str,
    /// Whether a conforming cluster must, should or may behave this way.
    pub level: Level,
    /// The versions to which it applies, such as `>=1.22`; empty for all that tlsboot runs.
    pub versions: &'static str,
    /// What is true, in one sentence.
    pub statement: &'static str,
    /// The source: files of Kubernetes' repository, pull requests (`#99412`), KEPs.
    pub source: &'static str,
}

/// Behaviors about the same subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chapter {
    /// The letter that its ids begin with.
    pub letter: char,
    /// Its subject.
    pub heading: &'static str,
    /// Its behaviors, by id.
    pub requirements: &'static [Requirement],
}

/// The behavior with this id.
pub fn find(id: &str) -> Option<&'static Requirement> {
    all().find(|requirement| requirement.id == id)
}

/// The invariant with this id.
pub fn invariant(id: &str) -> Option<&'static Requirement> {
    INVARIANTS.requirements.iter().find(|requirement| requirement.id == id)
}

/// Whether this is the id of a custom behavior, such as a distribution's: `X-` and a name.
pub fn is_own(id: &str) -> bool {
    let is_inner = |letter: u8| letter.is_ascii_alphanumeric() || b"-.".contains(&letter);
    id.strip_prefix("X-").is_some_and(|name| !name.is_empty() && name.bytes().all(is_inner))
}

/// All behaviors, chapter by chapter.
pub fn all() -> impl Iterator<Item = &'static Requirement> {
    CHAPTERS.iter().flat_map(|chapter| chapter.requirements)
}

/// What must be true of every history, whatever its scenario is about: no scenario names these ids, because all of them
/// are judged by all of these. See [`crate::check::invariants`].
pub const INVARIANTS: Chapter = Chapter {
    letter: 'I',
    heading: "Invariants of every history",
    requirements: &[
        Requirement {
            id: "I-01",
            level: Level::Must,
            versions: "",
            statement: "Once a node has a client certificate, its kubelet sends no request without one, none is refused with 401 while the newest one is valid, and none but a renewal is sent with an older one 15 s after a newer one was in place (the last part since 1.32, where the API server records which certificate it was).",
            source: "pkg/kubelet/certificate/transport.go; staging/src/k8s.io/apiserver/pkg/authentication/request/x509/x509.go; #138763",
        },
        Requirement {
            id: "I-02",
            level: Level::Must,
            versions: "",
            statement: "Each certificate of a kubelet's signer obeys the rules of its version: names, usages and key of its CSR, constraints, a serial number of its own, a chain to the signer's CA, and the life that flag, CSR and CA determine; nothing is signed that is not approved, nothing approved automatically that is not a client CSR of a kubelet whose requestor may have it, and no CSR is denied or fails without a reason.",
            source: "pkg/controller/certificates/authority; pkg/controller/certificates/signer/signer.go; pkg/controller/certificates/approver/sarapprove.go",
        },
        Requirement {
            id: "I-03",
            level: Level::Must,
            versions: "",
            statement: "A node renews each of its certificates itself, with a new key, and not before 70 % of its lifetime unless it needs other names; none is past 90 % of its lifetime without a CSR for its successor, or one attempt after the other, while its kubelet runs and can reach the API server.",
            source: "staging/src/k8s.io/client-go/util/certificate/certificate_manager.go; #138763",
        },
        Requirement {
            id: "I-04",
            level: Level::Must,
            versions: "",
            statement: "Nothing that a kubelet wrote goes away or changes on its own: each pair is complete, belongs together and has mode 0600, the link is only missing during its swap and leads to the newest pair, and the kubeconfig points to the link.",
            source: "staging/src/k8s.io/client-go/util/certificate/certificate_store.go; pkg/kubelet/certificate/bootstrap/bootstrap.go",
        },
        Requirement {
            id: "I-05",
            level: Level::Must,
            versions: "",
            statement: "A kubelet that requests its serving certificates presents the newest one at each handshake, soon after it is stored, none before it has one, and none that has expired; any other presents its self-signed one or the one from its file; once a port presents a certificate, it goes on.",
            source: "pkg/kubelet/kubelet.go; pkg/kubelet/certificate/kubelet.go; cmd/kubelet/app/server.go",
        },
        Requirement {
            id: "I-06",
            level: Level::Must,
            versions: "",
            statement: "A kubelet closes each connection to the API server that began with an old client certificate within 15 s after the new one was in place; those of its certificate manager end when they have been idle for 90 s.",
            source: "pkg/kubelet/certificate/transport.go; k8s.io/apimachinery/pkg/util/net/http.go",
        },
        Requirement {
            id: "I-07",
            level: Level::Must,
            versions: "",
            statement: "No kubelet and no component of the control plane ends or is replaced by another process unless the scenario asks for it or expects it.",
            source: "the harness starts every process once; a component that ends on its own has crashed",
        },
        Requirement {
            id: "I-08",
            level: Level::Must,
            versions: "",
            statement: "A CSR that the approver recognizes and whose requestor may have it is approved at once, and one that is approved is signed at once, while the controller-manager works; a kubelet waits for each CSR, and longer before each next one, until it has a certificate; no CSR is deleted before its time; and a kubelet's metrics tell how long the certificates last that it has.",
            source: "pkg/controller/certificates; pkg/controller/certificates/cleaner/cleaner.go; staging/src/k8s.io/client-go/util/certificate/certificate_manager.go",
        },
        Requirement {
            id: "I-10",
            level: Level::Must,
            versions: "",
            statement: "Certificate directory and audit log know no certificate that no CSR has, and none before its CSR has it.",
            source: "staging/src/k8s.io/client-go/util/certificate/certificate_manager.go; pkg/controller/certificates/signer/signer.go",
        },
    ],
};

macro_rules! chapters {
    ($($letter:literal $heading:literal { $($id:literal $level:ident $versions:literal $statement:literal $source:literal)* })*) => {
        &[$(Chapter {
            letter: $letter,
            heading: $heading,
            requirements: &[$(Requirement {
                id: $id,
                level: Level::$level,
                versions: $versions,
                statement: $statement,
                source: $source,
            }),*],
        }),*]
    };
}

/// The whole catalogue.
pub const CHAPTERS: &[Chapter] = chapters! {
'A' "Authentication of the bootstrap request" {
    "A-01" Must ""
        "A line of the static token file holds token, user, uid and, quoted in one field, groups; a line of fewer than three fields keeps the API server from starting, the last of two lines with the same token wins, and the file is only read at startup."
        "staging/src/k8s.io/apiserver/pkg/authentication/token/tokenfile/tokenfile.go"
    "A-02" Must ""
        "A bearer token that is unknown, malformed or wrong in its second half gets 401 Unauthorized, even when anonymous authentication is on."
        "pkg/kubeapiserver/authenticator/config.go; staging/src/k8s.io/apiserver/pkg/authentication/request/bearertoken/bearertoken.go"
    "A-03" Must ""
        "A request without credentials is anonymous, not invalid: it gets 403 as system:anonymous when anonymous authentication is on, and 401 when it is off."
        "staging/src/k8s.io/apiserver/pkg/authentication/request/bearertoken/bearertoken.go; #89069"
    "A-04" Must ""
        "A user that the API server knows but that may not create CertificateSigningRequests gets 403 Forbidden, and the message names the user, the verb and the resource."
        "staging/src/k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go"
    "A-05" Must ""
        "A user that may create CertificateSigningRequests gets 201 for any subject that no admission plugin forbids: creating a CSR is not the same as getting it approved."
        "pkg/registry/certificates/certificates/strategy.go"
    "A-06" Must ">=1.18"
        "A CSR for the signer kubernetes.io/kube-apiserver-client with the organization system:masters is rejected with 403 when it is created."
        "plugin/pkg/admission/certificates/subjectrestriction/admission.go"
    "A-07" Must ""
        "A bootstrap token is a Secret bootstrap-token-ID of type bootstrap.kubernetes.io/token in kube-system with token-id, token-secret and usage-bootstrap-authentication \"true\"; the API server accepts it only with --enable-bootstrap-token-auth."
        "plugin/pkg/auth/authenticator/token/bootstrap/bootstrap.go; staging/src/k8s.io/cluster-bootstrap/token/api/types.go; #41281"
    "A-08" Must ""
        "Any single defect of a bootstrap token's Secret (type, usage, id, secret, an expiration in the past or unparsable, being deleted, a group outside system:bootstrappers:) leads to 401, without a hint at which one."
        "plugin/pkg/auth/authenticator/token/bootstrap/bootstrap.go"
    "A-09" Must ""
        "A bootstrap token authenticates as system:bootstrap:ID with no uid, in the groups system:bootstrappers, those of auth-extra-groups, and system:authenticated."
        "plugin/pkg/auth/authenticator/token/bootstrap/bootstrap.go; #50933"
    "A-10" Must ""
        "A token that was accepted may still be accepted for up to 10 s after its Secret is deleted or expires, and never longer; a rejection is not cached."
        "pkg/kubeapiserver/options/authentication.go; staging/src/k8s.io/apiserver/pkg/authentication/token/cache"
    "A-11" Must ""
        "The tokencleaner controller, which is off unless --controllers names it, deletes expired bootstrap tokens; authentication rejects them in either case."
        "pkg/controller/bootstrap/tokencleaner.go; cmd/kube-controller-manager/app/controllermanager.go"
    "A-12" Must ""
        "A client certificate that has expired or comes from an unknown CA gets 401 over an established connection: the TLS handshake does not fail, and the request is not anonymous."
        "staging/src/k8s.io/apiserver/pkg/authentication/request/x509/x509.go"
    "A-13" Info ""
        "A request with an expired client certificate and a valid bearer token is authenticated by the token."
        "staging/src/k8s.io/apiserver/pkg/authentication/request/union/union.go"
    "A-14" Info ">=1.31"
        "Anonymous authentication can be limited to certain paths by the AuthenticationConfiguration; everywhere else a request without credentials then gets 401."
        "staging/src/k8s.io/apiserver/pkg/authentication/request/anonymous/anonymous.go; #124917, #127009, #131654"
    "A-15" Must ""
        "Before it has a certificate, a kubelet uses the bootstrap token only for the CSR: its other requests carry no identity."
        "pkg/kubelet/certificate/transport.go; cmd/kubelet/app/server.go"
}
'R' "RBAC" {
    "R-01" Must ""
        "The built-in ClusterRole system:node-bootstrapper allows create, get, list and watch on certificatesigningrequests, and nothing else."
        "plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go"
    "R-02" Must ""
        "The built-in ClusterRoles …:nodeclient and …:selfnodeclient allow create on certificatesigningrequests/nodeclient and /selfnodeclient, which are names for access reviews and not endpoints."
        "plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go"
    "R-03" Must ""
        "There is no built-in role selfnodeserver, and a custom one that is bound has no effect: serving CSRs stay pending."
        "plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go; #62471"
    "R-04" Must ""
        "Kubernetes does not bind the three bootstrap roles to any subject: that is up to the installer of the cluster."
        "plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go (ClusterRoleBindings)"
    "R-05" Must ""
        "With the Node authorizer a node may create and read CertificateSigningRequests without any binding; with RBAC alone it may not."
        "plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go (NodeRules)"
    "R-06" Must ""
        "Approving a CSR needs update on certificatesigningrequests/approval and the verb approve on its signer; signing needs update on /status and the verb sign."
        "plugin/pkg/admission/certificates/approval; plugin/pkg/admission/certificates/signing; #88246"
    "R-07" Must ""
        "kube-controller-manager may approve only for the signer kubernetes.io/kube-apiserver-client-kubelet: it could not approve a serving CSR."
        "plugin/pkg/auth/authorizer/rbac/bootstrappolicy/controller_policy.go"
    "R-08" Should ""
        "The approver reviews the user, groups and extra that were stored in the CSR when it was created, not what they are by then."
        "pkg/controller/certificates/approver/sarapprove.go (authorize)"
    "R-09" Must ""
        "A CSR that is recognized but not permitted is retried at growing intervals, so that a binding added later still gets it approved; one that is not recognized is left alone."
        "pkg/controller/certificates/certificate_controller.go"
}
'C' "CertificateSigningRequest objects" {
    "C-01" Must ""
        "A kubelet with rotation on names its CSRs csr- plus five random characters; one with rotation off names its only CSR node-csr- plus a digest of key and subject."
        "pkg/kubelet/certificate/bootstrap/bootstrap.go (digestedName); staging/src/k8s.io/client-go/util/certificate/csr/csr.go"
    "C-02" Must ""
        "The kubelet asks the signer kubernetes.io/kube-apiserver-client-kubelet for its client certificate and kubernetes.io/kubelet-serving for its serving certificate."
        "pkg/kubelet/certificate/kubelet.go; #91685"
    "C-03" Must ""
        "The kubelet requests digital signature and client auth or server auth, and up to 1.26 also key encipherment."
        "staging/src/k8s.io/client-go/util/certificate/certificate_manager.go; #111660"
    "C-04" Must ">=1.25"
        "The control plane accepts usages with and without key encipherment; up to 1.24 only those with it."
        "pkg/apis/certificates/helpers.go; #111061"
    "C-05" Must ""
        "A CSR with one usage too many is not recognized by the approver and is marked Failed by the signer."
        "pkg/apis/certificates/helpers.go"
    "C-06" Must ""
        "The API server fills in username, uid, groups and extra of a CSR from the authenticated request, whatever the client sent, and clears its status."
        "pkg/registry/certificates/certificates/strategy.go (PrepareForCreate)"
    "C-07" Must ">=1.32"
        "A CSR sent with a client certificate carries that certificate's SHA-256 in spec.extra as authentication.kubernetes.io/credential-id; one sent with a token does not."
        "staging/src/k8s.io/apiserver/pkg/authentication/request/x509/x509.go; #125634"
    "C-08" Must ""
        "The kubelet's subject is O=system:nodes, CN=system:node:NAME; a client CSR has no subject alternative names, a serving CSR has those of the Node's addresses."
        "pkg/kubelet/certificate/kubelet.go; #65594"
    "C-09" Must ""
        "The kubelet creates no serving CSR before it knows its addresses; from 1.31 on at least one of them must be an IP address."
        "pkg/kubelet/certificate/kubelet.go (newGetTemplateFn); #125813"
    "C-10" Must ""
        "Each CSR of a kubelet with rotation on has a new ECDSA P-256 key."
        "staging/src/k8s.io/client-go/util/certificate/certificate_manager.go (generateCSR)"
    "C-11" Must ">=1.22"
        "The API serves CertificateSigningRequest in certificates.k8s.io/v1 only."
        "staging/src/k8s.io/client-go/util/certificate/csr/csr.go; #91685"
    "C-12" Must ""
        "The API server rejects with 422 a CSR without signerName or usages, with an unknown or repeated usage, or with a request that is not valid PKCS#10."
        "pkg/apis/certificates/validation/validation.go"
    "C-13" Must ">=1.22"
        "spec.expirationSeconds below 600 is rejected with 422, and the kubelet never sets the field."
        "pkg/apis/certificates/validation/validation.go; KEP-2784; #99494"
    "C-14" Must ""
        "An update that changes the spec or status of a CSR through its main resource gets 200, and changes only the metadata."
        "pkg/registry/certificates/certificates/strategy.go"
    "C-15" Must ">=1.19"
        "Approved and Denied are mutually exclusive, no condition can be removed, and Approved and Denied can only be set through /approval."
        "pkg/apis/certificates/validation/validation.go; #90191"
    "C-16" Must ""
        "status.certificate can be written once, through /status, as PEM certificates without headers."
        "pkg/apis/certificates/validation/validation.go"
    "C-17" Info ""
        "The API server fills in the timestamps of a condition that is sent without them."
        "pkg/registry/certificates/certificates/strategy.go (populateConditionTimestamps)"
    "C-18" Info ""
        "kubectl shows a CSR as Pending, Approved, Approved,Issued, Denied or Approved,Failed."
        "pkg/printers/internalversion/printers.go"
    "C-19" Must ""
        "The csrcleaner controller runs once an hour and deletes issued, denied and failed CSRs after an hour, pending ones after a day, and those whose certificate has expired."
        "pkg/controller/certificates/cleaner/cleaner.go"
    "C-20" Info ""
        "No events are recorded for CSRs."
        "pkg/controller/certificates/certificate_controller.go"
    "C-21" Info ">=1.22"
        "The API server counts requested and honored durations by signer in apiserver_certificates_registry_csr_requested_duration_total and …_honored_duration_total."
        "pkg/registry/certificates/certificates/storage/metrics.go; KEP-2784"
    "C-22" Must ""
        "A signer's CA file must hold exactly one certificate, and is reloaded when it changes."
        "pkg/controller/certificates/signer/ca_provider.go; #86816"
}
'P' "Approval" {
    "P-01" Must ""
        "kube-controller-manager approves with the reason AutoApproved and a message that distinguishes a first certificate (nodeclient) from a renewal (selfnodeclient)."
        "pkg/controller/certificates/approver/sarapprove.go"
    "P-02" Must ""
        "A client CSR is recognized only with exactly O=system:nodes, a CN that begins with system:node:, the exact usages, the right signer and no subject alternative name; any other stays pending."
        "pkg/apis/certificates/helpers.go; pkg/controller/certificates/approver/sarapprove.go"
    "P-03" Info ""
        "A bootstrap user's CSR for the CN system:node: with an empty node name is approved and signed."
        "pkg/apis/certificates/helpers.go"
    "P-04" Must ""
        "A CSR counts as a renewal (selfnodeclient) only when its CN is the requestor's own user name."
        "pkg/controller/certificates/approver/sarapprove.go"
    "P-05" Must ""
        "The built-in approver never denies: what it does not approve stays pending."
        "pkg/controller/certificates/approver/sarapprove.go"
    "P-06" Must ">=1.11"
        "Serving CSRs are never approved by kube-controller-manager."
        "#62471; pkg/controller/certificates/approver/sarapprove.go"
    "P-07" Info ">=1.13"
        "The flag --insecure-experimental-approve-all-kubelet-csrs-for-group no longer exists."
        "#45619; pkg/controller/certificates/approver"
    "P-08" Must ""
        "The approver does not touch a CSR that has a certificate or is already approved or denied."
        "pkg/controller/certificates/approver/sarapprove.go"
}
'S' "Issuance" {
    "S-01" Must ""
        "kube-controller-manager signs approved CSRs of four signers (kube-apiserver-client, kube-apiserver-client-kubelet, kubelet-serving, legacy-unknown), and no other."
        "pkg/controller/certificates/signer/signer.go"
    "S-02" Must ">=1.19"
        "The signing CA is set for all signers or for each of them; both at once keep kube-controller-manager from starting, and a signer without a CA leaves its CSRs approved but not issued."
        "cmd/kube-controller-manager/app/options/csrsigningcontroller.go; cmd/kube-controller-manager/app/certificates.go; #90822"
    "S-03" Must ">=1.19"
        "--cluster-signing-duration sets how long certificates are signed for, 8760h by default, and is the maximum for a CSR."
        "pkg/controller/certificates/signer/config/v1alpha1/defaults.go; #91154, #108476"
    "S-04" Must ">=1.22"
        "A certificate is valid for as long as spec.expirationSeconds requests, but no longer than the signer's duration."
        "pkg/controller/certificates/signer/signer.go (duration); KEP-2784"
    "S-05" Must ""
        "NotBefore is five minutes before the signing; from 1.22 on a certificate of less than eight hours keeps its full duration after the signing, while longer ones, and all before 1.22, expire five minutes early."
        "pkg/controller/certificates/authority/policies.go; #99412"
    "S-06" Must ""
        "NotAfter is never later than that of the CA, and an expired CA signs nothing: the CSR stays approved."
        "pkg/controller/certificates/authority/authority.go"
    "S-07" Must ""
        "A signed certificate has X.509 version 3, a random serial number, the CSR's subject, critical key usages, exactly the extended key usage requested, critical CA:FALSE, and the CA's key id."
        "pkg/controller/certificates/authority/authority.go; pkg/controller/certificates/authority/policies.go; #84677"
    "S-08" Must ">=1.19"
        "An approved CSR that breaks its signer's rules gets the condition Failed with the reason SignerValidationFailure, and is never retried."
        "pkg/controller/certificates/signer/signer.go; #90191"
    "S-09" Must ""
        "The serving signer requires O=system:nodes, the CN's prefix, at least one DNS name or IP address and no other kind of name; whether the names are the node's own is up to the approver."
        "pkg/apis/certificates/helpers.go"
    "S-10" Should ""
        "With the bindings in place a CSR is issued within about a second of its creation."
        "pkg/controller/certificates/certificate_controller.go"
    "S-11" Must ""
        "The certificate is delivered as PEM in status.certificate, by the built-in signers as a single leaf."
        "pkg/controller/certificates/signer/signer.go; #88744"
}
'K' "Kubelet: configuration, start and files" {
    "K-01" Must ""
        "rotateCertificates and serverTLSBootstrap are off in the kubelet unless they are set; the bootstrap kubeconfig can only be set with --bootstrap-kubeconfig."
        "cmd/kubelet/app/options/options.go; pkg/kubelet/apis/config/validation/validation.go; #103172"
    "K-02" Must ""
        "A kubelet with rotation on does not wait for its certificate: it continues its startup, and its health check answers, while the CSR is pending."
        "cmd/kubelet/app/server.go (buildKubeletClientConfig); #69890"
    "K-03" Must ""
        "Without rotateCertificates the kubelet waits for its first certificate before it continues; with it, a background manager gets the certificate."
        "cmd/kubelet/app/server.go; pkg/kubelet/certificate/bootstrap/bootstrap.go"
    "K-04" Must ""
        "A kubelet with rotation on writes its kubeconfig, mode 0600, before it has any certificate, with kubelet-client-current.pem as certificate and key."
        "pkg/kubelet/certificate/bootstrap/bootstrap.go"
    "K-05" Must ""
        "The kubeconfig has one cluster default-cluster with the bootstrap kubeconfig's server and CA, the user default-auth and the context default-context."
        "pkg/kubelet/certificate/bootstrap/bootstrap.go"
    "K-06" Must ""
        "A kubelet whose kubeconfig loads at startup and has no expired certificate ignores the bootstrap kubeconfig; otherwise it needs it, and exits if the file is missing."
        "pkg/kubelet/certificate/bootstrap/bootstrap.go (isClientConfigStillValid)"
    "K-07" Must ""
        "A kubelet that started with a valid kubeconfig never reads the bootstrap kubeconfig until it is restarted."
        "cmd/kubelet/app/server.go (buildClientCertificateManager)"
    "K-08" Info ""
        "Without rotation, a kubelet with a rejected token polls the API server's health for a minute, then fails to create the CSR and exits."
        "pkg/kubelet/certificate/bootstrap/bootstrap.go"
    "K-09" Info ""
        "Without rotation, the key is kept in kubelet-client.key.tmp until a certificate matches it, so a restart resumes the same CSR, and a denied one blocks until it is deleted."
        "pkg/kubelet/certificate/bootstrap/bootstrap.go"
    "K-10" Must ""
        "A kubelet with rotation on watches a CSR for up to 15 minutes and then creates another; a denied, failed or deleted one ends the wait at once."
        "staging/src/k8s.io/client-go/util/certificate/certificate_manager.go; staging/src/k8s.io/client-go/util/certificate/csr/csr.go"
    "K-11" Must ""
        "Failed attempts are repeated after 2, 4, 8 and 16 s and then every 32 s without end, each with a new CSR and a new key."
        "staging/src/k8s.io/client-go/util/certificate/certificate_manager.go"
    "K-12" Must ""
        "A kubelet whose first CSR is never approved does not exit; after five minutes it logs every ten seconds that the server is not responsive."
        "pkg/kubelet/certificate/transport.go"
    "K-13" Must ""
        "A kubelet whose CSR is rejected with 401 or 403 exits after five minutes without a certificate; one that cannot reach an API server never does."
        "pkg/kubelet/certificate/transport.go; #59316"
    "K-14" Must ""
        "Each client certificate is a new file kubelet-client-DATE.pem, mode 0600, with the certificate first and then the EC key, and kubelet-client-current.pem is a symlink to it with an absolute target."
        "staging/src/k8s.io/client-go/util/certificate/certificate_store.go"
    "K-15" Must ""
        "The kubelet never deletes an old certificate file."
        "staging/src/k8s.io/client-go/util/certificate/certificate_store.go"
    "K-16" Must ""
        "The symlink is swapped by creating …-updated.pem, removing …-current.pem and renaming; a crash in between is repaired at the next start, and a regular file in place of the symlink stops rotation."
        "staging/src/k8s.io/client-go/util/certificate/certificate_store.go (updateSymlink, recover)"
    "K-17" Must ""
        "Serving certificates are stored like client certificates, under the names kubelet-server-DATE.pem and kubelet-server-current.pem."
        "staging/src/k8s.io/client-go/util/certificate/certificate_store.go"
    "K-18" Must ""
        "Without serverTLSBootstrap and tlsCertFile the kubelet creates a self-signed kubelet.crt, once, valid for a year, and never renews it."
        "cmd/kubelet/app/server.go (InitializeTLS); staging/src/k8s.io/client-go/util/cert/cert.go"
    "K-19" Info ""
        "The kubelet looks for a certificate in …-current.pem first, then in the configured pair of files, then in PREFIX.crt and PREFIX.key."
        "staging/src/k8s.io/client-go/util/certificate/certificate_store.go"
    "K-20" Info ""
        "A certificate embedded in the kubeconfig is copied to the certificate directory and renewed at once."
        "staging/src/k8s.io/client-go/util/certificate/certificate_manager.go (getCurrentCertificateOrBootstrap)"
    "K-21" Info ""
        "The certificate directory is /var/lib/kubelet/pki by default."
        "cmd/kubelet/app/options/options.go"
    "K-22" Should ""
        "At verbosity 2 the log says when the kubelet starts to rotate, which deadline it drew, and how long it waits."
        "staging/src/k8s.io/client-go/util/certificate/certificate_manager.go"
    "K-23" Must ""
        "For its first certificate a kubelet needs create, list and watch on CSRs; without list and watch it does not see the result."
        "staging/src/k8s.io/client-go/util/certificate/csr/csr.go"
    "K-24" Must ""
        "A kubelet registers its Node once, when it starts: after the Node is deleted it keeps running with its certificate, gets 404 for its status updates, and registers again only at its next start."
        "pkg/kubelet/kubelet_node_status.go (registerWithAPIServer, tryUpdateNodeStatus)"
}
'T' "Rotation and expiry" {
    "T-01" Must ""
        "A kubelet requests its next certificate at a random moment between 70 % and 90 % of the current one's span from NotBefore to NotAfter."
        "staging/src/k8s.io/client-go/util/certificate/certificate_manager.go (nextRotationDeadline)"
    "T-02" Must ""
        "The node itself requests its renewal, as system:node:NAME in system:nodes; without the selfnodeclient binding the CSR stays pending."
        "pkg/controller/certificates/approver/sarapprove.go"
    "T-03" Must ""
        "After a rotation the kubelet closes its connections to the API server within ten seconds and opens new ones with the new certificate."
        "pkg/kubelet/certificate/transport.go; #49899, #114367"
    "T-04" Must ""
        "A kubelet whose certificate expires while its renewal is pending does not exit at once: its requests become anonymous, and five minutes later it exits if it considers the server healthy."
        "pkg/kubelet/certificate/transport.go; staging/src/k8s.io/client-go/util/certificate/certificate_manager.go"
    "T-05" Must ""
        "A restart after expiry recovers the node if the bootstrap kubeconfig is there and its token is valid, and not otherwise."
        "pkg/kubelet/certificate/bootstrap/bootstrap.go"
    "T-06" Must ""
        "A kubelet that cannot reach the API server at rotation time keeps running, counts each failure, and renews when the server is back and the certificate is still valid."
        "staging/src/k8s.io/client-go/util/certificate/certificate_manager.go (rotateCerts)"
    "T-07" Must ""
        "A kubelet whose certificate expires while the API server is away does not exit until the server is back and rejects it."
        "pkg/kubelet/certificate/transport.go"
    "T-08" Must ""
        "A kubelet restarted with a valid certificate creates no CSR until its rotation, whose deadline it draws again."
        "staging/src/k8s.io/client-go/util/certificate/certificate_manager.go"
    "T-09" Must ""
        "The serving CSR follows when the client certificate works and the Node's addresses are known; a second one may follow when these change."
        "pkg/kubelet/certificate/kubelet.go; #130362, #130348"
    "T-10" Must ""
        "A kubelet with serverTLSBootstrap and no certificate yet accepts connections on its port but answers each handshake with a TLS alert; registration does not depend on it."
        "pkg/kubelet/kubelet.go; staging/src/k8s.io/client-go/util/certificate/certificate_manager.go"
    "T-11" Must ""
        "The serving certificate changes without a restart, for each new handshake; while a renewal is pending the old one is served until it expires."
        "pkg/kubelet/kubelet.go (GetCertificate)"
    "T-12" Must ""
        "A missing address or organization, or another CN in the current certificate, leads to a new CSR; one address too many does not."
        "staging/src/k8s.io/client-go/util/certificate/certificate_manager.go (certSatisfiesTemplate); #69991"
    "T-13" Should ">=1.19"
        "The kubelet exposes the remaining seconds of its certificates, its failed renewals, and the age at which serving certificates were replaced as kubelet_certificate_manager_* metrics."
        "pkg/kubelet/certificate/kubelet.go; #84534, #84614, #91148"
    "T-14" Must ">=1.32"
        "The audit log shows in user.extra which certificate a request was made with (authentication.kubernetes.io/credential-id), and that changes at rotation."
        "staging/src/k8s.io/apiserver/pkg/authentication/request/x509/x509.go; #125634"
    "T-15" Must ""
        "A 401, 403, 404 or other rejection of a renewal never ends the attempts."
        "staging/src/k8s.io/client-go/util/certificate/certificate_manager.go (updateServerError)"
    "T-16" Must ""
        "A running kubelet does not watch its certificate files: a changed or deleted symlink has no effect until a restart, and the next rotation writes it again."
        "staging/src/k8s.io/client-go/util/certificate/certificate_store.go"
    "T-17" Info ""
        "Failed heartbeats made a kubelet close its connections up to 1.23; from 1.24 on they do so only with DISABLE_HTTP2 in its environment."
        "cmd/kubelet/app/server.go; #104844, #108107"
}
'U' "The kubelet's port in use" {
    "U-01" Must ""
        "The API server reaches a kubelet at the first of --kubelet-preferred-address-types that its Node has and at the port that its Node names, through the egress selector cluster where there is one."
        "pkg/kubelet/client/kubelet_client.go (GetConnectionInfo); pkg/util/node/node.go; KEP-1281"
    "U-02" Must ""
        "Until its first serving certificate is issued, a kubelet with serverTLSBootstrap refuses every handshake with the alert internal error, and a request through the API server gets 503 with that alert in its message."
        "pkg/kubelet/server/server.go; staging/src/k8s.io/apimachinery/pkg/util/proxy/upgradeaware.go"
    "U-03" Must ""
        "A kubelet can be reached as soon as its serving certificate is issued, without a restart of either side."
        "pkg/kubelet/certificate/kubelet.go; pkg/kubelet/client/kubelet_client.go"
    "U-04" Must ""
        "With --kubelet-certificate-authority the API server reaches a kubelet only if its certificate has not expired, chains to a CA of that file, and has the name or the address by which it was asked for among its subject alternative names; otherwise the answer is 503 with the reason that Go's x509 library gives."
        "pkg/kubelet/client/kubelet_client.go (transportConfig); staging/src/k8s.io/client-go/transport/transport.go; #73356, kubeadm#1602"
    "U-05" Must ""
        "Without --kubelet-certificate-authority the API server verifies nothing: it accepts any kubelet certificate, including a self-signed one."
        "pkg/kubelet/client/kubelet_client.go (transportConfig)"
    "U-06" Must ""
        "A rotation of the serving certificate fails no request to the kubelet's port and closes no connection to it; connections that are opened later see the new certificate."
        "pkg/kubelet/certificate/kubelet.go; pkg/kubelet/server/server.go"
    "U-07" Info ""
        "The API server keeps using an open connection to a kubelet after the certificate that the connection was opened with has expired: only new connections fail."
        "pkg/kubelet/client/kubelet_client.go (makeTransport)"
    "U-08" Must ""
        "The API server reads --kubelet-client-certificate and its key again for new connections, without a restart; connections that are open keep the certificate that they were opened with."
        "staging/src/k8s.io/client-go/transport/transport.go (cachingCertificateLoader); #79083"
    "U-09" Info ""
        "The API server reads --kubelet-certificate-authority only when it starts."
        "pkg/kubelet/client/kubelet_client.go (makeTransport)"
    "U-10" Must ""
        "A client certificate that has expired or is of another CA than clientCAFile gets 401 from a kubelet, and the handshake does not fail; a kubelet uses a changed clientCAFile without a restart."
        "cmd/kubelet/app/auth.go; staging/src/k8s.io/apiserver/pkg/authentication/request/x509/x509.go"
    "U-11" Must ""
        "A request to a kubelet without credentials gets 401 where anonymous authentication is off, and is system:anonymous where it is on, which authorization by webhook then refuses with 403."
        "cmd/kubelet/app/auth.go; pkg/kubelet/server/server.go (InstallAuthFilter)"
    "U-12" Must ""
        "With authorization by webhook a kubelet has the API server decide by a SubjectAccessReview of nodes/proxy, nodes/stats, nodes/metrics or nodes/log, and answers 403 if that is not allowed; the ClusterRole system:kubelet-api-admin allows all of them."
        "pkg/kubelet/server/auth.go; plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go"
    "U-13" Must ">=1.33"
        "nodes/healthz, nodes/pods and nodes/configz each allow what their name says, without the rest of nodes/proxy."
        "pkg/kubelet/server/auth.go; KEP-2862"
    "U-14" Must ""
        "With webhook authentication a kubelet has the API server review bearer tokens, both ServiceAccount and bootstrap tokens; without it every token gets 401."
        "cmd/kubelet/app/auth.go; pkg/kubelet/apis/config/types.go"
    "U-15" Must ""
        "While the API server is down, a kubelet uses the decisions that it has cached, and rejects users whose authentication or authorization is not cached."
        "staging/src/k8s.io/apiserver/plugin/pkg/authorizer/webhook/webhook.go; pkg/kubelet/apis/config/v1beta1/defaults.go"
    "U-16" Info ""
        "With authorization mode AlwaysAllow, any client certificate of a CA in clientCAFile allows everything on a kubelet's port, including another node's."
        "cmd/kubelet/app/auth.go"
    "U-17" Info ""
        "The API server accepts one node's serving certificate for another node if both have the address that it connects to."
        "pkg/kubelet/client/kubelet_client.go; KEP-4872"
}
'N' "Newer versions" {
    "N-01" Info ">=1.31"
        "A kubelet with tlsCertFile and tlsPrivateKeyFile reloads changed files without a restart (gate ReloadKubeletServerCertificateFile)."
        "#124574, #133654"
    "N-02" Must ">=1.31"
        "A kubelet without any IP address creates no serving CSR, even if it has DNS names."
        "pkg/kubelet/certificate/kubelet.go; #125813"
    "N-03" Must ">=1.31"
        "A node that creates a CSR for another node's CN is rejected with 403 by NodeRestriction; bootstrap users are not."
        "plugin/pkg/admission/noderestriction/admission.go (admitCSR); #126441, #126015"
    "N-04" Must ">=1.32"
        "A node may get, list and watch only its own Node object and the pods bound to it."
        "plugin/pkg/auth/authorizer/node/node_authorizer.go; KEP-4601; #125571, #132656"
    "N-05" Must ">=1.32"
        "Users authenticated by certificate have a credential id: X509SHA256= and the SHA-256 of the certificate."
        "staging/src/k8s.io/apiserver/pkg/authentication/request/x509/x509.go; #125634"
    "N-06" Info ">=1.32, <1.33"
        "The first patch releases of 1.32 may fail to create a serving CSR after a restart of the kubelet."
        "#130348, #130356"
    "N-07" Info ">=1.33"
        "A user's uid may come from the certificate's subject attribute 1.3.6.1.4.1.57683.2, which the kubelet never requests."
        "staging/src/k8s.io/apiserver/pkg/authentication/request/x509/x509.go (AllowParsingUserUIDFromCertAuth)"
    "N-08" Info ">=1.33"
        "The certificate manager writes structured log lines that name the signer."
        "staging/src/k8s.io/client-go/util/certificate/certificate_manager.go"
    "N-09" Info ">=1.34"
        "The kubelet flushes certificate files to disk, and takes its serving addresses from the Node that it watches."
        "staging/src/k8s.io/client-go/util/certificate/certificate_store.go; #130362"
    "N-10" Info ">=1.34"
        "PodCertificateRequests are a separate resource with their own signers, and change nothing for kubelets."
        "KEP-4317"
    "N-11" Info ">=1.35"
        "A kubelet refuses to start on a machine with cgroup v1 unless failCgroupV1 is false."
        "KEP-4569; #134298"
    "N-12" Info ">=1.36"
        "A change of the kubelet's clientCAFile also changes the CA names that it sends to TLS clients."
        "#136762, #132922"
    "N-13" Info ">=1.37"
        "client-go's certificate manager lets its user choose the key type; the kubelet's stays ECDSA P-256."
        "#138999"
    "N-14" Info ">=1.37"
        "A future API server may check that a kubelet's serving certificate is for the node it connects to; no release that tlsboot knows does so by default."
        "KEP-4872"
    "N-15" Info ""
        "RotateKubeletServerCertificate is still beta, certificates are valid for a year by default, and the rotation window has never changed."
        "pkg/features/kube_features.go; staging/src/k8s.io/client-go/util/certificate/certificate_manager.go"
    "N-16" Info ">=1.29"
        "The API server closes a connection on which it answered 401 (gate UnauthenticatedHTTP2DOSMitigation), so that a kubelet that renews over one with an expired certificate succeeds at its third attempt."
        "staging/src/k8s.io/apiserver/pkg/endpoints/filters/authentication.go; staging/src/k8s.io/client-go/transport/cert_rotation.go"
}
'D' "Distributions" {
    "D-01" Should ""
        "kubeadm binds system:node-bootstrapper and nodeclient to system:bootstrappers:kubeadm:default-node-token, and selfnodeclient to system:nodes."
        "cmd/kubeadm/app/phases/bootstraptoken/node/tlsbootstrap.go"
    "D-02" Should ""
        "kubeadm join deletes bootstrap-kubelet.conf once the node has its certificate, so a node whose certificate has expired cannot recover by a restart."
        "cmd/kubeadm/app/cmd/phases/join/kubelet.go"
    "D-03" Info ""
        "kubeadm init rewrites the first node's kubelet.conf to point to kubelet-client-current.pem."
        "cmd/kubeadm/app/cmd/phases/init/kubeletfinalize.go; #84118, #124419, #126913"
    "D-04" Info ">=1.31"
        "A kubelet of a control-plane node bootstraps against the API server of its own machine (ControlPlaneKubeletLocalMode)."
        "cmd/kubeadm/app/features/features.go"
    "D-05" Should ""
        "The nodes of a kind cluster bootstrap through kubeadm, with the token that kind gives to every cluster, and without serverTLSBootstrap."
        "kind: pkg/cluster/internal/kubeadm/config.go"
    "D-06" Info ""
        "k3s agents do not bootstrap by CSR: they get their certificates from the k3s supervisor."
        "k3s: pkg/agent/config/config.go"
    "D-07" Info ""
        "The k3s control plane serves an external kubelet as soon as the bootstrap bindings exist."
        "k3s: pkg/daemons/control/server.go"
    "D-08" Info ""
        "In k3s client and serving certificates come from different CAs, so a kubelet needs the client CA to verify callers and the server CA to verify the API server."
        "k3s: pkg/daemons/control/server.go"
}
};

#[cfg(test)]
mod tests {
    use semver::VersionReq;

    use super::*;

    #[test]
    fn ids_are_their_chapters_letter_and_numbers_from_one_without_gaps() {
        for chapter in CHAPTERS {
            for (index, requirement) in chapter.requirements.iter().enumerate() {
                assert_eq!(requirement.id, format!("{}-{:02}", chapter.letter, index + 1));
            }
        }
        let mut letters: Vec<char> = CHAPTERS.iter().map(|chapter| chapter.letter).collect();
        letters.sort_unstable();
        letters.dedup();
        assert_eq!(letters.len(), CHAPTERS.len(), "two chapters have the same letter");
        assert_eq!(all().count(), 147);
    }

    #[test]
    fn every_behavior_is_a_sentence_with_a_source_and_a_range_that_can_be_read() {
        for Requirement { id, statement, source, versions, .. } in all() {
            assert!(statement.ends_with('.') && statement.len() > 20 && !statement.contains("  "), "{id}: {statement}");
            assert!(!source.is_empty(), "{id} has no source");
            assert!(versions.is_empty() || VersionReq::parse(versions).is_ok(), "{id}: {versions}");
        }
    }

    #[test]
    fn a_behavior_is_found_by_its_id() {
        assert_eq!(find("T-01").map(|found| found.id), Some("T-01"));
        assert_eq!(find("T-1"), None);
    }
}
