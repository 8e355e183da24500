//! All mutants: what is wrong, how they are created, and which scenarios must notice.
//!
//! Together they turn every scenario red at least once; a test checks that.

use std::sync::Arc;

use serde_json::json;

use super::approver::{ApproverFault, RogueApprover};
use super::aside::Aside;
use super::beside::Beside;
use super::bugs::{self, bugs};
use super::flags::{self, apiserver, controller_manager, kubelet};
use super::mutant::{Made, Mutant, mutant};
use super::objects::{bound, no_renewals, policy};
use super::reach;
use super::relapse::Relapse;
use super::rules::Rule;
use super::signer::{RogueSigner, SignerFault};
use crate::cluster::processes::Defect;
use tlsboot_core::history::event::NODES_GROUP;
use tlsboot_core::scenario::BootstrapRole;

type Ids = &'static [&'static str];

/// All mutants, in the order of the chain: signer, approver, controller-manager, API server, RBAC, kubelet.
pub fn table() -> Vec<Mutant> {
    [
        sound(),
        signers(),
        approvers(),
        controller_managers(),
        apiservers(),
        cluster_objects(),
        kubelets(),
        beside_kubelets(),
        relapses(),
        asides(),
        reach::mutants(),
        bugs(),
    ]
    .concat()
}

/// The fault-free controls: scenarios of every kind pass on them.
fn sound() -> Vec<Mutant> {
    let sound = |id, wrong, scenarios, defect: Arc<dyn Defect>| Mutant {
        id,
        wrong,
        scenarios,
        sound: true,
        from: 22,
        made: Made::Around(defect),
    };
    vec![
        sound(
            "sound.signer",
            "nothing: the stand-in for the signer, without a fault",
            &[
                "issuance.client-certificate",
                "issuance.serving-certificate",
                "issuance.serving-rules",
                "issuance.ends-with-ca",
                "issuance.expired-ca",
                "issuance.requested-duration",
                "issuance.long-signing-duration",
                "issuance.replaced-ca",
                "issuance.without-signer",
                "approval.other-signers",
                "approval.wrong-organization",
            ],
            Arc::new(RogueSigner(SignerFault::None)),
        ),
        sound(
            "sound.approver",
            "nothing: the stand-in for the approver, without a fault",
            &[
                "approval.first-and-renewal",
                "approval.alternative-names",
                "approval.extra-usages",
                "approval.by-hand-without-approver",
                "approval.serving-csr-waits",
                "rbac.missing-nodeclient-binding",
                "rbac.hand-made-roles",
            ],
            Arc::new(RogueApprover(ApproverFault::None)),
        ),
        bugs::sound(),
    ]
}

fn signers() -> Vec<Mutant> {
    use SignerFault::*;
    let signer = |id, wrong, scenarios, fault| Mutant { from: 22, ..mutant(id, wrong, scenarios, RogueSigner(fault)) };
    const CLIENT: Ids = &["issuance.client-certificate"];
    vec![
        signer("signer.other-name", "The signer uses another node's name as the subject", CLIENT, OtherName),
        signer("signer.other-organization", "The signer uses another organization", CLIENT, OtherOrganization),
        signer("signer.second-organization", "The signer adds system:masters", CLIENT, SecondOrganization),
        signer("signer.authority", "The signer issues CA certificates: CA:TRUE", CLIENT, Authority),
        signer(
            "signer.no-extended-usage",
            "The signer omits client and server authentication",
            &["issuance.client-certificate", "issuance.serving-certificate"],
            NoExtendedUsage,
        ),
        signer(
            "signer.second-extended-usage",
            "The signer adds client and server authentication to every certificate",
            &["issuance.client-certificate", "issuance.serving-certificate"],
            SecondExtendedUsage,
        ),
        signer(
            "signer.second-key-usage",
            "The signer adds the key usage for signing certificates",
            CLIENT,
            SecondKeyUsage,
        ),
        signer(
            "signer.other-authority",
            "The signer signs with a CA that has the right name and another key",
            CLIENT,
            OtherAuthority,
        ),
        signer(
            "signer.twice-as-long",
            "Certificates are valid for twice the --cluster-signing-duration",
            &[
                "issuance.signing-duration",
                "metrics.certificate-lifetimes",
                "field.expiry-metric",
                "field.api-server-restarts-while-a-csr-waits",
                "field.approved-over-a-dead-connection",
                "field.client-ca-removed-too-early",
                "field.host-name-in-capitals",
                "field.host-name-of-63-characters",
                "field.node-named-by-its-address",
                "field.not-ready-after-a-silent-break",
                "serving.dual-stack",
            ],
            TwiceAsLong,
        ),
        signer(
            "signer.half-as-long",
            "Certificates are valid for half the --cluster-signing-duration",
            CLIENT,
            HalfAsLong,
        ),
        signer(
            "signer.not-backdated",
            "NotBefore is the time of signing",
            &["issuance.client-certificate", "metrics.serving-rotation-age"],
            NotBackdated,
        ),
        signer("signer.clock-ahead", "The signer's clock is ten minutes ahead", CLIENT, ClockAhead),
        signer("signer.clock-behind", "The signer's clock is ten minutes behind", CLIENT, ClockBehind),
        signer("signer.foreign-key", "The certified key is not that of the CSR", CLIENT, ForeignKey),
        signer(
            "signer.first-certificate-again",
            "Every CSR gets the certificate of the first one",
            CLIENT,
            FirstCertificateAgain,
        ),
        signer("signer.client-names", "Client certificates name a host", CLIENT, ClientNames),
        signer(
            "signer.no-serving-names",
            "Serving certificates name no host",
            &["issuance.serving-certificate", "rotation.serving-certificate", "reach.by-name-and-by-address"],
            NoServingNames,
        ),
        signer("signer.chain-appended", "The CA follows the certificate", CLIENT, ChainAppended),
        signer("signer.chain-turned", "The CA comes before the certificate", CLIENT, ChainTurned),
        signer(
            "signer.same-serial",
            "All certificates have the same serial number",
            &["issuance.client-certificate", "reload.client-certificate-without-restart"],
            SameSerial,
        ),
        signer(
            "signer.ignores-requested-duration",
            "A shorter duration that a CSR requests is ignored",
            &["issuance.requested-duration", "metrics.requested-durations"],
            IgnoresRequestedDuration,
        ),
        signer(
            "signer.exceeds-maximum",
            "A longer duration that a CSR requests is granted",
            &["issuance.requested-duration-too-long"],
            ExceedsMaximum,
        ),
        signer(
            "signer.backdates-long-ones",
            "Certificates of eight hours or more keep their full duration after signing",
            &["issuance.long-signing-duration"],
            BackdatesLongOnes,
        ),
        signer(
            "signer.outlives-authority",
            "Certificates outlive the CA",
            &["issuance.ends-with-ca", "recovery.signer-ca-near-its-end"],
            OutlivesAuthority,
        ),
        signer(
            "signer.signs-when-expired",
            "The signer signs with a CA that has expired",
            &["issuance.expired-ca"],
            SignsWhenExpired,
        ),
        signer(
            "signer.fails-when-expired",
            "The signer marks CSRs Failed permanently when its CA has expired",
            &["issuance.expired-ca"],
            FailsWhenExpired,
        ),
        signer(
            "signer.keeps-first-authority",
            "The signer keeps using the CA that it started with",
            &["issuance.replaced-ca"],
            KeepsFirstAuthority,
        ),
        signer("signer.any-signer-name", "The signer signs for any signerName", &["approval.other-signers"], AnySigner),
        signer(
            "signer.without-organization-rule",
            "The signer accepts any organization",
            &["approval.wrong-organization", "approval.two-organizations"],
            Without(Rule::Organization),
        ),
        signer(
            "signer.without-name-rule",
            "The signer accepts any common name",
            &["approval.foreign-common-name"],
            Without(Rule::CommonName),
        ),
        signer(
            "signer.without-names-rule",
            "The signer accepts alternative names of any kind, or none",
            &["issuance.serving-rules", "approval.alternative-names"],
            Without(Rule::AltNames),
        ),
        signer(
            "signer.without-usages-rule",
            "The signer accepts any set of usages",
            &["approval.extra-usages"],
            Without(Rule::Usages),
        ),
    ]
}

fn approvers() -> Vec<Mutant> {
    use ApproverFault::*;
    let approver = |id, wrong, scenarios, fault| mutant(id, wrong, scenarios, RogueApprover(fault));
    vec![
        approver(
            "approver.everything",
            "The approver approves every CSR",
            &[
                "approval.wrong-organization",
                "approval.foreign-common-name",
                "approval.alternative-names",
                "approval.extra-usages",
            ],
            Everything,
        ),
        approver(
            "approver.serving-too",
            "The approver approves serving certificates",
            &["approval.serving-csr-waits", "serving.waits-for-a-person", "field.serving-csr-pending"],
            ServingToo,
        ),
        approver(
            "approver.other-signers",
            "The approver approves for other signers as well",
            &["approval.other-signers", "issuance.pod-certificates-apart"],
            OtherSigners,
        ),
        approver(
            "approver.no-review",
            "The approver does not check the requestor's permissions",
            &[
                "approval.by-hand-without-binding",
                "approval.server-filled-identity",
                "rbac.hand-made-roles",
                "approval.never-approved",
                "field.start-does-not-wait-for-renewal",
            ],
            NoReview,
        ),
        approver(
            "approver.no-renewals",
            "The approver does not recognize renewals",
            &[
                "approval.first-and-renewal",
                "metrics.renew-errors",
                "recovery.api-server-down-at-rotation-time",
                "recovery.link-refused-at-rotation-time",
            ],
            NoRenewals,
        ),
        approver(
            "approver.once-for-a-node",
            "The approver approves only one CSR per node",
            &["files.link-garbage-blocks-renewal"],
            OncePerNode,
        ),
        approver("approver.slow", "The approver takes ten seconds", &["approval.first-and-renewal"], Slow),
        approver(
            "approver.denies-all",
            "The approver denies CSRs that it should approve",
            &[
                "authentication.no-credentials-anonymous-on",
                "authentication.bootstrap-tokens-off",
                "authentication.no-client-ca",
                "authentication.tokens-written-by-hand",
                "field.underscore-in-the-host-name",
                "field.bundle-as-signing-certificate",
                "field.signer-below-a-root",
                "field.bootstrap-by-certificate",
                "field.bootstrap-by-command",
                "field.policy-refuses-decisions",
                "field.webhook-away-while-a-node-joins",
            ],
            DeniesAll,
        ),
        approver(
            "approver.denies-unpermitted",
            "The approver denies CSRs of requestors without permission",
            &["rbac.missing-nodeclient-binding"],
            DeniesUnpermitted,
        ),
        approver(
            "approver.denies-unrecognised",
            "The approver denies CSRs that it does not recognize",
            &["approval.serving-csr-waits"],
            DeniesUnrecognised,
        ),
        approver(
            "approver.other-reason",
            "The approver uses a reason other than AutoApproved",
            &["rbac.missing-nodeclient-binding"],
            OtherReason,
        ),
        approver(
            "approver.one-message",
            "The approver's message calls renewals first certificates",
            &["approval.first-and-renewal"],
            OneMessage,
        ),
        approver(
            "approver.without-organization-rule",
            "The approver accepts any organization",
            &["approval.two-organizations"],
            Without(Rule::Organization),
        ),
        approver(
            "approver.without-name-rule",
            "The approver accepts any common name",
            &["approval.foreign-common-name"],
            Without(Rule::CommonName),
        ),
        approver(
            "approver.without-names-rule",
            "The approver accepts alternative names",
            &["approval.alternative-names"],
            Without(Rule::AltNames),
        ),
        approver(
            "approver.without-usages-rule",
            "The approver accepts any set of usages",
            &["approval.extra-usages"],
            Without(Rule::Usages),
        ),
        approver(
            "approver.records-events",
            "The approver records an event about each CSR",
            &["approval.no-events"],
            RecordsEvents,
        ),
        approver(
            "approver.wants-a-name",
            "The approver requires a name after system:node:",
            &["approval.empty-node-name"],
            WantsNodeName,
        ),
    ]
}

fn controller_managers() -> Vec<Mutant> {
    vec![
        mutant(
            "controller-manager.no-approver",
            "csrapproving is not running",
            &["approval.without-rotation-automatic"],
            controller_manager(|launch| flags::without(launch, "csrapproving")),
        ),
        mutant(
            "controller-manager.no-signer",
            "csrsigning is not running",
            &["authentication.no-credentials-anonymous-off", "issuance.certificate-written-once"],
            controller_manager(|launch| flags::without(launch, "csrsigning")),
        ),
        mutant(
            "controller-manager.no-token-cleaner",
            "tokencleaner is not running",
            &["authentication.token-cleaner"],
            controller_manager(|launch| flags::without(launch, "tokencleaner")),
        ),
        mutant(
            "controller-manager.approver-always",
            "csrapproving runs although it is switched off",
            &["approval.by-hand-without-approver"],
            controller_manager(|launch| flags::always(launch, "csrapproving")),
        ),
        mutant(
            "controller-manager.signer-always",
            "csrsigning runs although it is switched off",
            &["issuance.without-signer"],
            controller_manager(|launch| flags::always(launch, "csrsigning")),
        ),
        mutant(
            "controller-manager.token-cleaner-always",
            "tokencleaner runs although it is switched off",
            &["authentication.token-cleaner-off"],
            controller_manager(|launch| flags::always(launch, "tokencleaner")),
        ),
        mutant(
            "controller-manager.twice-the-duration",
            "--cluster-signing-duration is doubled",
            &["issuance.signing-duration", "issuance.duration-by-flag"],
            controller_manager(flags::twice_the_signing_duration),
        ),
        mutant(
            "controller-manager.other-authority",
            "The signing CA has the right name and another key",
            &["rbac.binding-to-user"],
            controller_manager(flags::other_authority),
        ),
        mutant(
            "controller-manager.expired-authority",
            "The signing CA has expired",
            &["rbac.binding-to-group"],
            controller_manager(flags::expired_authority),
        ),
        mutant(
            "controller-manager.no-cleaner",
            "csrcleaner is not running",
            &["approval.old-csrs-are-deleted"],
            controller_manager(|launch| flags::without(launch, "csrcleaner")),
        ),
        mutant(
            "controller-manager.one-authority",
            "One CA signs for all signers, whatever the flags say",
            &["field.approved-never-issued", "issuance.ca-by-signer", "field.a-ca-of-its-own-for-serving"],
            controller_manager(flags::one_authority),
        ),
        mutant(
            "controller-manager.hides-its-end",
            "A controller-manager with invalid flags exits with 0",
            &["approval.retired-group-approver", "issuance.ca-flags-exclude-each-other"],
            controller_manager(flags::hides_its_end),
        ),
    ]
}

fn apiservers() -> Vec<Mutant> {
    vec![
        mutant(
            "apiserver.always-allow",
            "--authorization-mode begins with AlwaysAllow",
            &["rbac.bootstrapper-may-nothing-else", "rbac.no-node-authorizer"],
            apiserver(|launch| {
                launch.flags.set("authorization-mode", "AlwaysAllow,RBAC");
                Ok(())
            }),
        ),
        mutant(
            "apiserver.no-node-authorizer",
            "The Node authorizer is off",
            &["approval.first-and-renewal"],
            apiserver(flags::without_node_authorizer),
        ),
        mutant(
            "apiserver.no-node-restriction",
            "NodeRestriction is off",
            &["approval.another-nodes-name", "field.renamed-host"],
            apiserver(|launch| flags::without_admission(launch, "NodeRestriction")),
        ),
        mutant(
            "apiserver.no-subject-restriction",
            "CertificateSubjectRestriction is off",
            &["approval.system-masters"],
            apiserver(|launch| flags::without_admission(launch, "CertificateSubjectRestriction")),
        ),
        mutant(
            "apiserver.no-approval-check",
            "CertificateApproval is off",
            &["rbac.approving-needs-the-signer", "rbac.controller-manager-approves-clients-only"],
            apiserver(|launch| flags::without_admission(launch, "CertificateApproval")),
        ),
        mutant(
            "apiserver.anonymous-flipped",
            "--anonymous-auth is inverted",
            &[
                "authentication.no-credentials-anonymous-on",
                "authentication.no-credentials-anonymous-off",
                "field.first-registration",
            ],
            apiserver(flags::anonymous_flipped),
        ),
        mutant(
            "apiserver.anonymous-everywhere",
            "Anonymous requests are accepted for all paths",
            &["authentication.anonymous-paths"],
            apiserver(flags::anonymous_everywhere),
        ),
        mutant(
            "apiserver.no-certificate-uids",
            "The uid in a certificate's subject is ignored",
            &["authentication.uid-from-certificate"],
            apiserver(|launch| {
                launch.flags.set("feature-gates", "AllowParsingUserUIDFromCertAuth=false");
                Ok(())
            }),
        ),
        Mutant {
            from: 29,
            ..mutant(
                "apiserver.keeps-refused-connections",
                "A connection stays open after a request on it got 401",
                &["field.renewal-over-an-old-connection"],
                apiserver(|launch| {
                    launch.flags.set("feature-gates", "UnauthenticatedHTTP2DOSMitigation=false");
                    Ok(())
                }),
            )
        },
        mutant(
            "apiserver.hides-its-end",
            "An API server with invalid flags exits with 0",
            &["serving.common-name-not-checked"],
            apiserver(flags::hides_its_end),
        ),
        mutant(
            "apiserver.no-bootstrap-tokens",
            "Bootstrap tokens are not enabled",
            &["authentication.bootstrap-token-identity"],
            apiserver(|launch| {
                launch.flags.set("enable-bootstrap-token-auth", "false");
                Ok(())
            }),
        ),
        mutant(
            "apiserver.no-static-tokens",
            "The token file is not configured",
            &["approval.system-masters"],
            apiserver(|launch| {
                launch.flags.remove("token-auth-file");
                Ok(())
            }),
        ),
        mutant(
            "apiserver.other-groups",
            "The token file has other groups",
            &["authentication.static-token-identity"],
            apiserver(flags::other_groups),
        ),
        mutant(
            "apiserver.other-uid",
            "The token file has another uid",
            &["authentication.static-token-identity"],
            apiserver(flags::other_uid),
        ),
        mutant(
            "apiserver.knows-bad-tokens",
            "Invalid and expired tokens are accepted",
            &[
                "authentication.unknown-tokens-anonymous-on",
                "authentication.unknown-tokens-anonymous-off",
                "authentication.defective-bootstrap-tokens",
                "authentication.kubelet-with-expired-token",
                "authentication.kubelet-with-unknown-token",
                "authentication.expired-certificate-and-token",
                "authentication.refused-kubelets-exit",
                "authentication.without-rotation-refused-token",
                "field.expired-bootstrap-token",
            ],
            apiserver(flags::knows_bad_tokens),
        ),
        mutant(
            "apiserver.keeps-bootstrap-tokens",
            "Bootstrap tokens outlive their Secrets",
            &["authentication.deleted-token", "authentication.token-expires-in-use"],
            apiserver(flags::keeps_bootstrap_tokens),
        ),
        mutant(
            "apiserver.distrusts-the-signer",
            "--client-ca-file lacks the signer's CA",
            &["authentication.expired-client-certificate", "authentication.foreign-client-certificate"],
            apiserver(flags::distrusts_the_signer),
        ),
    ]
}

fn cluster_objects() -> Vec<Mutant> {
    const BOOTSTRAPPER: &str = BootstrapRole::NodeBootstrapper.cluster_role();
    const NODE_CLIENT: &str = BootstrapRole::NodeClient.cluster_role();
    const SERVING_APPROVER: &str = "system:certificates.k8s.io:kubelet-serving-approver";
    let group = |id, wrong, scenarios, role, group| mutant(id, wrong, scenarios, bound(role, "Group", group));
    let late = |mutant: Mutant| Mutant { from: 36, ..mutant };
    vec![
        group(
            "rbac.all-may-ask",
            "system:authenticated is bound to system:node-bootstrapper",
            &[
                "rbac.binding-to-group",
                "rbac.missing-bootstrapper-binding",
                "rbac.missing-bootstrapper-binding-anonymous",
                "walk.seed-1.8",
                "rbac.create-without-watch",
            ],
            BOOTSTRAPPER,
            "system:authenticated",
        ),
        group(
            "rbac.all-are-approved",
            "system:authenticated is bound to nodeclient",
            &["rbac.missing-nodeclient-binding"],
            NODE_CLIENT,
            "system:authenticated",
        ),
        group(
            "rbac.nodes-are-bootstrappers",
            "system:nodes is bound to nodeclient, so renewals need no selfnodeclient",
            &["rbac.hand-made-roles", "rbac.missing-selfnodeclient-binding"],
            NODE_CLIENT,
            NODES_GROUP,
        ),
        group(
            "rbac.anonymous-admin",
            "system:unauthenticated is bound to cluster-admin",
            &["authentication.no-credentials-anonymous-on"],
            "cluster-admin",
            "system:unauthenticated",
        ),
        group(
            "rbac.bootstrappers-are-nodes",
            "system:bootstrappers is bound to system:node",
            &["rbac.bootstrapper-may-nothing-else"],
            "system:node",
            "system:bootstrappers",
        ),
        group(
            "rbac.nodes-see-all",
            "system:nodes is bound to system:node",
            &["rbac.own-node-only"],
            "system:node",
            NODES_GROUP,
        ),
        group(
            "rbac.all-approve-serving",
            "system:authenticated may approve for kubelet-serving",
            &["rbac.approving-needs-the-signer"],
            SERVING_APPROVER,
            "system:authenticated",
        ),
        mutant(
            "rbac.no-renewals",
            "The built-in ClusterRole selfnodeclient allows something else",
            &["approval.first-and-renewal"],
            no_renewals(),
        ),
        late(mutant(
            "policy.fills-signer-name",
            "A policy fills in a missing signerName",
            &["issuance.validation"],
            policy(
                "object.spec.signerName == ''",
                "[JSONPatch{op: 'add', path: '/spec/signerName', value: 'kubernetes.io/kube-apiserver-client-kubelet'}]",
                json!({"signerName": ""}),
            ),
        )),
        late(mutant(
            "policy.lengthens-short-lives",
            "A policy raises shorter requested durations to ten minutes",
            &["issuance.requested-duration-too-short"],
            policy(
                "has(object.spec.expirationSeconds) && object.spec.expirationSeconds < 600",
                "[JSONPatch{op: 'replace', path: '/spec/expirationSeconds', value: 600}]",
                json!({"signerName": "kubernetes.io/kube-apiserver-client-kubelet", "expirationSeconds": 599}),
            ),
        )),
    ]
}

fn kubelets() -> Vec<Mutant> {
    vec![
        mutant(
            "kubelet.rotation-off",
            "rotateCertificates is off",
            &["approval.denied", "approval.killed-while-pending"],
            kubelet(|launch| flags::configure(launch, "rotateCertificates", json!(false))),
        ),
        mutant(
            "kubelet.rotation-on",
            "rotateCertificates is on",
            &["files.legacy-mode", "approval.without-rotation-pending"],
            kubelet(|launch| flags::configure(launch, "rotateCertificates", json!(true))),
        ),
        mutant(
            "kubelet.no-serving-request",
            "serverTLSBootstrap is off",
            &[
                "serving.waits-for-a-person",
                "authentication.credential-id",
                "field.addresses-come-late",
                "field.serving-csr-again-after-a-quarter-of-an-hour",
                "field.serving-csr-with-a-name-only",
                "issuance.kubelet-keys",
                "serving.addresses-of-the-registered-node",
                "serving.needs-an-ip-address",
            ],
            kubelet(|launch| flags::configure(launch, "serverTLSBootstrap", json!(false))),
        ),
        mutant(
            "kubelet.serving-request",
            "serverTLSBootstrap is on",
            &["serving.only-with-server-tls-bootstrap"],
            kubelet(|launch| flags::configure(launch, "serverTLSBootstrap", json!(true))),
        ),
        mutant(
            "kubelet.other-name",
            "--hostname-override has another value",
            &["rbac.missing-nodeclient-binding"],
            kubelet(|launch| {
                launch.flags.set("hostname-override", "another");
                Ok(())
            }),
        ),
        mutant(
            "kubelet.other-cert-dir",
            "--cert-dir has another value",
            &["files.only-after-approval", "files.default-certificate-directory"],
            kubelet(|launch| {
                let given = launch.flags.get("cert-dir");
                let elsewhere = given.map(|dir| format!("{dir}-elsewhere"));
                let own = || flags::config_of(launch).map(|config| config.dir.cert_dir());
                let own = || own().unwrap_or_default().display().to_string();
                launch.flags.set("cert-dir", elsewhere.unwrap_or_else(own));
                Ok(())
            }),
        ),
        mutant(
            "kubelet.hung",
            "The kubelet does nothing",
            &["rbac.missing-bootstrapper-binding"],
            kubelet(|launch| flags::shell(launch, "exec sleep infinity")),
        ),
        mutant(
            "kubelet.exits-silently",
            "The kubelet exits at once without a message",
            &["files.self-signed-serving-pair"],
            kubelet(|launch| flags::shell(launch, "exit 0")),
        ),
        mutant(
            "kubelet.hides-its-end",
            "A wrapper around the kubelet exits with 0, whatever the kubelet's exit code is",
            &[
                "approval.without-rotation-denied",
                "recovery.client-file-empty",
                "recovery.client-file-foreign-key",
                "recovery.client-file-garbage",
                "recovery.client-file-truncated",
                "recovery.kubeconfig-garbage-without-bootstrap-kubeconfig",
                "recovery.expired-without-bootstrap-kubeconfig",
                "recovery.rotation-off-old-csr-in-the-way",
                "recovery.expired-while-the-api-server-is-away",
                "recovery.client-file-without-key",
            ],
            kubelet(|launch| flags::shell(launch, r#"trap 'kill $child' TERM; "$@" & child=$!; wait $child; exit 0"#)),
        ),
        mutant(
            "kubelet.forgets",
            "The certificates are deleted before each start",
            &[
                "recovery.deleted-node",
                "rotation.restart-with-a-valid-certificate",
                "recovery.kubeconfig-deleted",
                "recovery.kubeconfig-empty",
                "recovery.kubeconfig-garbage",
                "field.neither-renews-nor-exits",
            ],
            kubelet(flags::forgets),
        ),
        mutant(
            "kubelet.cleans-up",
            "A wrapper removes unreadable client certificates",
            &["recovery.client-file-garbage"],
            kubelet(flags::cleans_up),
        ),
        mutant(
            "kubelet.restores-the-link",
            "A wrapper points the link to the newest certificate at each start",
            &["recovery.client-file-deleted", "recovery.client-file-dangling"],
            kubelet(flags::restores_the_link),
        ),
        mutant(
            "kubelet.loses-its-token",
            "The bootstrap kubeconfig is deleted after the first start",
            &["recovery.expired-while-off", "field.certificates-lost-at-reboot"],
            kubelet(flags::loses_its_token),
        ),
        mutant(
            "kubelet.forgets-its-kubeconfig",
            "The kubeconfig is deleted before each start",
            &["field.certificate-of-the-future", "field.embedded-certificate-expires", "files.embedded-certificate"],
            kubelet(flags::forgets_its_kubeconfig),
        ),
        mutant(
            "kubelet.works-on-copies",
            "The kubelet uses copies of its CA bundle and its serving pair, made when it starts",
            &["reload.client-ca-file", "reload.tls-cert-file", "reach.client-authority-replaced"],
            kubelet(flags::works_on_copies),
        ),
        mutant(
            "kubelet.without-its-environment",
            "DISABLE_HTTP2 does not reach the kubelet",
            &["recovery.heartbeats-close-connections"],
            kubelet(|launch| flags::shell(launch, r#"unset DISABLE_HTTP2; exec "$@""#)),
        ),
        mutant(
            "kubelet.takes-cgroup-v1",
            "failCgroupV1 is off",
            &["recovery.cgroup-v1-refused"],
            kubelet(|launch| flags::configure(launch, "failCgroupV1", json!(false))),
        ),
        mutant(
            "kubelet.no-serving-gate",
            "The feature gate RotateKubeletServerCertificate is off",
            &["rotation.a-year-by-default"],
            kubelet(|launch| {
                launch.flags.set("feature-gates", "RotateKubeletServerCertificate=false");
                Ok(())
            }),
        ),
        mutant(
            "kubelet.logs-json",
            "The kubelet logs JSON",
            &["metrics.structured-log"],
            kubelet(|launch| {
                let logging = json!({"verbosity": 4, "format": "json"});
                flags::configure(launch, "logging", logging)
            }),
        ),
    ]
}

/// Right once, and then wrong.
fn relapses() -> Vec<Mutant> {
    use Relapse::*;
    vec![
        mutant(
            "relapse.link-vanishes",
            "The client certificate's link is gone for a moment, after a while",
            &["files.only-after-approval", "rotation.client-twice"],
            LinkVanishes,
        ),
        mutant(
            "relapse.keys-open-up",
            "Files with keys become readable for everyone, after a while",
            &["files.only-after-approval"],
            KeysOpenUp,
        ),
        mutant(
            "relapse.kubelet-dies",
            "A kubelet that started with a certificate dies after a while",
            &["files.only-after-approval", "rotation.restart-with-a-valid-certificate"],
            KubeletDies,
        ),
        mutant(
            "relapse.port-goes-dark",
            "The port presents nothing for a moment, some time after each new serving certificate",
            &["approval.serving-csr-waits", "rotation.serving-twice"],
            PortGoesDark,
        ),
        mutant(
            "relapse.node-flaps",
            "A Node that was ready is reported as not ready, after a while",
            &["rotation.serving-twice", "rotation.first-certificate-expires", "reach.approved-and-rotated-in-use"],
            NodeFlaps,
        ),
        mutant(
            "relapse.failed-goes",
            "A CSR that the signer marked Failed is deleted at once",
            &["issuance.serving-rules", "approval.wrong-organization"],
            FailedGoes,
        ),
    ]
}

fn beside_kubelets() -> Vec<Mutant> {
    use Beside::*;
    vec![
        mutant(
            "files.readable-keys",
            "Files with keys have mode 0644",
            &["files.only-after-approval", "files.rotation-swaps-the-link"],
            ReadableKeys,
        ),
        mutant(
            "files.plain-file",
            "The link is a regular file",
            &["files.only-after-approval", "files.rotation-swaps-the-link"],
            PlainFile,
        ),
        mutant("files.relative-link", "The link has a relative target", &["files.only-after-approval"], RelativeLink),
        mutant(
            "files.leaves-updated",
            "The link kubelet-client-updated.pem is not removed",
            &["files.only-after-approval"],
            LeavesUpdated,
        ),
        mutant("files.key-apart", "The key is in a separate file", &["files.only-after-approval"], KeyApart),
        mutant(
            "files.deletes-old",
            "Files of earlier certificates are deleted",
            &["rotation.client-twice", "rotation.restart-between-rotations", "field.key-pairs-pile-up"],
            DeletesOld,
        ),
        mutant(
            "files.embeds",
            "The kubeconfig embeds the certificate instead of referring to the link",
            &["files.only-after-approval"],
            Embeds,
        ),
        mutant(
            "files.heals-the-link",
            "A damaged link or certificate is repaired after a second",
            &[
                "files.link-deleted-blocks-renewal",
                "files.link-dangling-blocks-renewal",
                "files.plain-file-in-place-of-the-link",
                "field.plain-file-in-place-of-the-link",
            ],
            HealsTheLink,
        ),
        mutant(
            "files.self-signed-pair",
            "A self-signed pair always exists",
            &["files.no-self-signed-pair-with-server-tls-bootstrap", "files.self-signed-serving-pair"],
            SelfSigned,
        ),
        mutant(
            "kubelet.second-request",
            "A second CSR is created a few seconds after each start",
            &["rotation.restart-with-a-valid-certificate", "approval.without-rotation-pending"],
            SecondRequest,
        ),
        mutant(
            "kubelet.many-requests",
            "The kubelet creates CSRs in a loop",
            &[
                "recovery.client-file-deleted",
                "recovery.link-deleted-after-a-restart",
                "rotation.off-nothing-renews",
                "walk.seed-1.7",
            ],
            ManyRequests,
        ),
        mutant(
            "kubelet.early-renewal",
            "The kubelet renews as soon as it has a certificate",
            &[
                "rotation.short-signing-duration",
                "rotation.restart-between-rotations",
                "field.expired-with-a-bootstrap-kubeconfig",
            ],
            EarlyRenewal,
        ),
        mutant(
            "kubelet.same-key",
            "The kubelet renews with the old key",
            &["rotation.short-signing-duration", "recovery.controller-manager-down-at-rotation-time"],
            SameKey,
        ),
        mutant(
            "kubelet.late-renewal",
            "The kubelet is suspended past the time of its renewal",
            &["rotation.short-signing-duration"],
            LateRenewal,
        ),
        mutant(
            "kubelet.hangs-after-its-request",
            "The kubelet hangs after its first CSR",
            &["approval.denied", "approval.deleted-while-pending", "serving.denied-asks-again"],
            HangsAfterFirst,
        ),
        mutant(
            "kubelet.ends-at-renewal",
            "The kubelet needs a restart to use a new certificate",
            &["reload.client-certificate-without-restart"],
            EndsAtRenewal,
        ),
        mutant(
            "kubelet.keeps-connections",
            "Connections to the API server outlive the certificate that they were opened with",
            &["reload.client-certificate-without-restart", "field.old-connections-after-rotation"],
            KeepsConnections,
        ),
        mutant(
            "kubelet.old-serving-certificate",
            "The port presents the first serving certificate forever",
            &[
                "rotation.serving-twice",
                "reload.serving-certificate-without-restart",
                "serving.expired-while-waiting",
                "field.addresses-added-after-approval",
                "field.serving-rotations-go-on",
                "serving.addresses-change",
                "reach.two-rotations-in-use",
                "reach.connection-outlives-its-certificate",
            ],
            OldServing,
        ),
    ]
}

/// All that their scenario expects is there: an invariant must notice them.
fn asides() -> Vec<Mutant> {
    use Aside::*;
    let aside = |id, wrong, defect| mutant(id, wrong, &["rotation.first-certificate-expires"], defect);
    vec![
        aside("aside.bootstrap-kubeconfig-goes", "The bootstrap kubeconfig is removed", BootstrapKubeconfigGoes),
        aside("aside.self-signed-pair-goes", "The self-signed serving pair is removed", SelfSignedPairGoes),
        aside("aside.kubeconfig-changes", "The kubeconfig embeds the certificate, after a while", KubeconfigChanges),
        aside("aside.foreign-pair", "There is a pair that no CSR was created for", ForeignPair),
        aside("aside.old-pair-goes", "The old pair is removed soon after a rotation", OldPairGoes),
        aside("aside.old-pair-changes", "The old pair gets the content of the new one", OldPairChanges),
        aside("aside.link-goes-back", "The link leads to the old pair for a moment, after a rotation", LinkGoesBack),
        aside(
            "aside.old-certificate-is-used",
            "A client of the kubelet goes on with the old certificate, after a rotation",
            OldCertificateIsUsed,
        ),
        aside("aside.stray-token", "One request has a token that the API server does not know", StrayToken),
        aside("aside.as-bootstrapper", "One request is sent as the bootstrap user, after a rotation", AsBootstrapper),
        aside("aside.without-credentials", "One request is sent without credentials", WithoutCredentials),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::library;
    use tlsboot_core::scenario::Capability;
    use tlsboot_core::scenario::{Scenario, requirements_of};
    use tlsboot_core::version::{Version, Versions};

    fn scenarios() -> Vec<Scenario> {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios"));
        let library = library::load(&[folder.to_owned()]);
        assert!(library.errors.is_empty());
        library.scenarios
    }

    #[test]
    fn ids_are_unique_and_sentences_are_there() {
        let table = table();
        let ids: BTreeSet<&str> = table.iter().map(|mutant| mutant.id).collect();
        assert_eq!(ids.len(), table.len());
        assert!(table.iter().all(|mutant| !mutant.wrong.is_empty() && !mutant.scenarios.is_empty()));
    }

    #[test]
    fn every_scenario_of_the_table_exists() {
        let known = scenarios();
        for mutant in table() {
            for id in mutant.scenarios {
                assert!(known.iter().any(|scenario| scenario.id == *id), "{}: there is no scenario `{id}`", mutant.id);
            }
        }
    }

    /// The version that KILLS.md is about.
    const KILLED_ON: Version = Version::new(1, 37, 2);

    #[test]
    fn the_page_of_kills_has_every_pair() {
        let page = include_str!("../../../../scenarios/KILLS.md");
        assert!(page.contains(&format!("on local::{KILLED_ON}")));
        let about = |versions: &Option<Versions>| versions.as_ref().is_none_or(|range| range.contains(KILLED_ON));
        let known = scenarios();
        let mut missing = Vec::new();
        for mutant in table().iter().filter(|mutant| !mutant.sound) {
            let begin = format!("| `{}` | {} |", mutant.id, mutant.wrong);
            let row = page.lines().find(|line| line.starts_with(&begin));
            let expected = known.iter().filter(|scenario| {
                mutant.scenarios.contains(&scenario.id.as_str())
                    && about(&scenario.kubernetes)
                    && about(&scenario.kubelet)
            });
            let unkilled = expected.filter(|scenario| {
                let killer = format!("`{}` (", scenario.id);
                !row.is_some_and(|row| row.contains(&killer))
            });
            missing.extend(unkilled.map(|scenario| format!("{} × {}", mutant.id, scenario.id)));
        }
        assert!(missing.is_empty(), "run them (`tlsboot mutants --resume`) and copy its KILLS.md: {missing:?}");
    }

    #[test]
    fn every_scenario_has_a_mutant_that_turns_it_red() {
        let table = table();
        let killing: BTreeSet<&str> =
            table.iter().filter(|mutant| !mutant.sound).flat_map(|mutant| mutant.scenarios).copied().collect();
        // Mutants are clusters of the provider `local`, which has no kubeadm.
        let has_kubeadm = |scenario: &Scenario| requirements_of(scenario).contains_key(&Capability::Kubeadm);
        let idle: Vec<String> = scenarios()
            .into_iter()
            .filter(|scenario| !has_kubeadm(scenario))
            .map(|scenario| scenario.id)
            .filter(|id| !killing.contains(id.as_str()))
            .collect();
        assert!(idle.is_empty(), "add a mutant for a new scenario, or the scenario to one: {idle:?}");
    }
}
