//! `tlsboot doctor` and `tlsboot approver` find each fault that is introduced into a real cluster, exactly that one;
//! and none in a healthy cluster, before and after.
//!
//! The clusters are local ones, or kind's with TLSBOOT_PROVIDER=kind, and need the same as those of `conformance`. The
//! command under test is this test executable, which becomes `tlsboot` when it is asked to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::{Node, Secret as SecretObject};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams,
    ResourceExt,
};
use libtest_mimic::{Arguments, Failed, Trial};
use rustix::process::{Pid, Signal, kill_process};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde_json::{Value, json};
use tlsboot::target::TargetOptions;
use tlsboot_core::check::Role;
use tlsboot_core::check::rules::Rules;
use tlsboot_core::history::event::{Change, CsrEvent};
use tlsboot_core::scenario::stimulus::{BootstrapRole, Changes, Component};
use tlsboot_core::scenario::{self, BOOTSTRAP_TOKEN, Binding, Bindings, STATIC_TOKEN, Scenario};
use tlsboot_core::version::Version;
use tlsboot_core::x509::AltName;
use tlsboot_engine::cluster::client::{Credentials, client, kubeconfig};
use tlsboot_engine::cluster::{Cluster, ControlPlane, Credential, Ending, ProviderKind};
use tlsboot_engine::components::Progress;
use tlsboot_engine::drive;
use tlsboot_engine::observe::Sink;
use tlsboot_engine::observe::csr::csr_event;
use tlsboot_engine::pki::{Authority, RequestBuilder, Validity};
use tlsboot_engine::secret::Vault;
use tlsboot_field::bootstrap::{client_certificate, create, csr};
use tlsboot_field::connection::Connection;
use tlsboot_field::doctor::diagnose::{Grade, diagnose};
use tlsboot_field::doctor::look::look;
use tlsboot_field::owned::{self, RunId};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

#[path = "faults/differential.rs"]
mod differential;

const BE_TLSBOOT: &str = "TLSBOOT_TEST_BE_TLSBOOT";

fn main() -> ExitCode {
    tlsboot_engine::shim::run_if_asked();
    if std::env::var_os(BE_TLSBOOT).is_some() {
        return tlsboot::main();
    }
    let _ = ring::default_provider().install_default();
    let on_runtime = |name: &str, test: fn() -> Result<(), Failed>| Trial::test(name, test);
    let mut trials = vec![
        on_runtime("doctor_finds_each_fault", || block_on(doctor())),
        on_runtime("doctor_says_what_the_api_server_answers", || block_on(doctor_and_api_server())),
        on_runtime("the_approver_kit_finds_each_fault", || block_on(approver())),
    ];
    match options(None).map(|options| options.provider) {
        // Its executables can be others, too.
        Ok(ProviderKind::Local) => {
            trials
                .push(on_runtime("the_approver_kit_misses_node_restriction", || block_on(without_node_restriction())));
        }
        // The faults need a control plane whose components can be stopped.
        Ok(ProviderKind::K3s) => trials.clear(),
        Ok(ProviderKind::Kind) | Err(_) => {}
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn block_on(test: impl Future<Output = Result<(), Failed>>) -> Result<(), Failed> {
    tlsboot_engine::runtime::runtime()?.block_on(test)
}

// --- the doctor -------------------------------------------------------------------------------------------------------

async fn doctor() -> Result<(), Failed> {
    let lab = Lab::start(None).await?;
    lab.cluster.nodes().start("n1", &Changes::default()).await?;
    lab.finds(&[]).await?;
    lab.command_agrees(0, "healthy")?;
    lab.rights_are_named().await?;

    lab.bindings().await?;
    lab.wide_bindings().await?;
    lab.tokens().await?;
    lab.serving().await?;
    lab.approving_and_signing().await?;
    lab.foreign_ca().await?;

    lab.finds(&[]).await?;
    lab.cluster.stop().await;
    lab.command_agrees(3, "cannot be reached")
}

async fn doctor_and_api_server() -> Result<(), Failed> {
    let controllers = [CONTROLLERS, &["clusterrole-aggregation"]].concat();
    let lab = Lab::start_with(None, &controllers).await?;
    let connection = Connection::open(Some(&lab.kubeconfig), None).await?;
    differential::agree(&connection, lab.cluster.base().endpoint(), lab.version).await?;
    lab.cluster.stop().await;
    Ok(())
}

/// A missing binding, and the doctor's finding for it.
const BINDINGS: [(BootstrapRole, &str); 3] = [
    (BootstrapRole::NodeBootstrapper, "bootstrap.not-bound"),
    (BootstrapRole::NodeClient, "bootstrap.not-approved"),
    (BootstrapRole::SelfNodeClient, "renewal.not-approved"),
];

impl Lab {
    async fn bindings(&self) -> Result<(), Failed> {
        let bindings = Api::<ClusterRoleBinding>::all(self.admin());
        for (role, finding) in BINDINGS {
            let name = format!("tlsboot:{}", role.cluster_role());
            let mut binding = bindings.get(&name).await?;
            bindings.delete(&name, &DeleteParams::default()).await?;
            self.finds(&[finding]).await?;
            self.command_agrees(1, finding)?;
            binding.metadata.resource_version = None;
            binding.metadata.uid = None;
            bindings.create(&PostParams::default(), &binding).await?;
            self.finds(&[]).await?;
        }
        Ok(())
    }

    async fn wide_bindings(&self) -> Result<(), Failed> {
        let bindings = Api::<ClusterRoleBinding>::all(self.admin());
        let faults = [
            (BINDINGS[0].0.cluster_role(), "system:unauthenticated", "anonymous.too-wide"),
            ("cluster-admin", "system:unauthenticated", "anonymous.too-wide"),
            (BINDINGS[1].0.cluster_role(), "system:authenticated", "authenticated.too-wide"),
            (BINDINGS[1].0.cluster_role(), "system:nodes", "nodes.too-wide"),
            ("cluster-admin", "system:bootstrappers", "bootstrap.too-wide"),
        ];
        for (role, group, finding) in faults {
            let wide = json!({
                "metadata": {"name": "wide"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}],
            });
            let wide = serde_json::from_value(wide)?;
            bindings.create(&PostParams::default(), &wide).await?;
            self.finds(&[finding]).await?;
            bindings.delete("wide", &DeleteParams::default()).await?;
            self.finds(&[]).await?;
        }
        Ok(())
    }

    /// The token cleaner is off in this cluster.
    async fn tokens(&self) -> Result<(), Failed> {
        let secrets = Api::<SecretObject>::namespaced(self.admin(), "kube-system");
        let name = format!("bootstrap-token-{}", self.cluster.base().token(BOOTSTRAP_TOKEN)?.id);
        let good = secrets.get(&name).await?;
        let past = (Timestamp::now() - SignedDuration::from_mins(1)).to_string();
        let faults = [
            (json!({"stringData": {"expiration": past}}), "tokens.expired"),
            (json!({"stringData": {"expiration": "tomorrow"}}), "tokens.defective"),
            (json!({"stringData": {"expiration": "", "token-id": "zzzzzz"}}), "tokens.defective"),
        ];
        for (patch, finding) in faults {
            let patch = Patch::Merge(&patch);
            secrets.patch(&name, &PatchParams::default(), &patch).await?;
            self.finds(&[finding]).await?;
        }
        secrets.delete(&name, &DeleteParams::default()).await?;
        self.finds(&["tokens.none"]).await?;
        let mut again = good;
        again.metadata.resource_version = None;
        again.metadata.uid = None;
        secrets.create(&PostParams::default(), &again).await?;
        self.finds(&[]).await
    }

    /// A Node whose kubelet is a TLS server of this test.
    async fn serving(&self) -> Result<(), Failed> {
        let shown = Shown::default();
        let address = serve(shown.clone()).await?;
        self.create_node("n2", address).await?;
        let ca = Authority::new("a-serving-ca", Validity::for_next(HOUR))?;
        let now = Timestamp::now();
        let from = |since: i64, left: i64| Validity {
            not_before: now - SignedDuration::from_mins(since),
            not_after: now + SignedDuration::from_mins(left),
        };
        // An API server sends no request to an address of the loopback.
        const BEHIND: &str = "reach.failed";
        self.finds(&[BEHIND, "serving.none"]).await?;
        let mine = || vec![AltName::Dns("n2".into()), AltName::Ip(address.ip())];
        shown.show(&ca, mine(), from(59, 2))?;
        self.finds(&[BEHIND, "serving.ends"]).await?;
        self.command_agrees(1, "systemctl restart kubelet   # on n2")?;
        shown.show(&ca, mine(), from(60, -1))?;
        self.finds(&[BEHIND, "serving.expired"]).await?;
        shown.show(&ca, vec![AltName::Dns("n2".into())], from(1, 60))?;
        self.finds(&[BEHIND, "serving.names"]).await?;
        shown.show(&ca, mine(), from(1, 60))?;
        self.finds(&[BEHIND]).await?;
        Api::<Node>::all(self.admin()).delete("n2", &DeleteParams::default()).await?;
        Ok(())
    }

    async fn approving_and_signing(&self) -> Result<(), Failed> {
        let run = RunId::new();
        let manager = Component::ControllerManager;
        self.control_plane()?.end(manager, Ending::Stop).await?;
        self.ask(&run, Role::Client, RequestBuilder::node("n3")).await?;
        self.finds(&["approver.absent"]).await?;
        let with = |controllers: &[&str]| Changes {
            controllers: Some(controllers.iter().map(|&name| name.into()).collect()),
            ..Default::default()
        };
        self.control_plane()?.start(manager, &with(&["csrapproving"])).await?;
        self.finds(&["signer.absent"]).await?;
        self.control_plane()?.end(manager, Ending::Stop).await?;
        self.control_plane()?.start(manager, &with(CONTROLLERS)).await?;
        self.finds(&[]).await?;
        // A CSR that is not a kubelet's stays Pending. To deny it is right, to deny a sound one is not.
        let odd = RequestBuilder::node("n3").alt_names([AltName::Dns("n3".into())]);
        let name = self.ask(&run, Role::Client, odd).await?;
        self.finds(&["csr.unrecognized"]).await?;
        decide(&self.admin(), &name, "Denied", "ByTest").await?;
        self.finds(&[]).await?;
        let node = self.node_client("n1", &run).await?;
        self.finds(&["bootstrap.of-a-ready-node"]).await?;
        self.remove(&run).await?;
        let sound = RequestBuilder::node("n1").alt_names(self.names_of("n1").await?);
        let name = self.ask_as(&node, &run, Role::Serving, sound).await?;
        self.finds(&["serving.pending"]).await?;
        decide(&self.admin(), &name, "Denied", "ByTest").await?;
        self.finds(&["csr.denied"]).await?;
        self.remove(&run).await?;
        let foreign = RequestBuilder::node("n1").alt_names([AltName::Dns("www.example.com".into())]);
        self.ask_as(&node, &run, Role::Serving, foreign).await?;
        self.finds(&["csr.foreign"]).await?;
        self.remove(&run).await?;
        self.finds(&[]).await?;
        // An approver that checks nothing.
        let rogue = Rogue::start(self.admin(), |_| true);
        let odd = RequestBuilder::node("n3").alt_names([AltName::Dns("n3".into())]);
        self.ask(&run, Role::Client, odd).await?;
        self.finds(&["approver.too-much", "signer.refused"]).await?;
        self.remove(&run).await?;
        let foreign = RequestBuilder::node("n1").alt_names([AltName::Dns("www.example.com".into())]);
        self.ask_as(&node, &run, Role::Serving, foreign).await?;
        self.finds(&["approver.foreign-names"]).await?;
        rogue.stop();
        self.remove(&run).await?;
        self.finds(&[]).await
    }

    /// What a node's serving certificate has to name: the node and its addresses.
    async fn names_of(&self, name: &str) -> Result<Vec<AltName>, Failed> {
        let status = Api::<Node>::all(self.admin()).get(name).await?.status.unwrap_or_default();
        let addresses = status.addresses.unwrap_or_default();
        let ips = addresses.iter().filter_map(|one| Some(AltName::Ip(one.address.parse().ok()?)));
        Ok(std::iter::once(AltName::Dns(name.into())).chain(ips).collect())
    }

    /// The signer's CA is replaced by one that the API server does not know.
    async fn foreign_ca(&self) -> Result<(), Failed> {
        let pki = self.pki()?;
        let read = |name: &str| fs::read_to_string(pki.join(name));
        let (key, certificate) = (read("signer.key")?, read("signer.crt")?);
        let foreign = Authority::new("a-foreign-ca", Validity::for_next(HOUR))?;
        fs::write(pki.join("signer.key"), foreign.key_pem().expose())?;
        fs::write(pki.join("signer.crt"), foreign.certificate_pem())?;
        let run = RunId::new();
        self.signs_with(&run, "a-foreign-ca").await?;
        self.finds(&["signer.wrong-ca"]).await?;
        fs::write(pki.join("signer.key"), key)?;
        fs::write(pki.join("signer.crt"), certificate)?;
        self.signs_with(&run, "tlsboot-signer-ca-1").await?;
        self.remove(&run).await
    }

    /// The folder of the cluster's keys, identified by its CA.
    fn pki(&self) -> Result<PathBuf, Failed> {
        let ca = self.cluster.base().endpoint().ca.clone();
        let runs = fs::read_dir(std::env::temp_dir())?;
        let mut folders = runs.flatten().map(|run| run.path().join("pki"));
        let is_ours = |folder: &PathBuf| fs::read_to_string(folder.join("cluster-ca.crt")).ok() == Some(ca.clone());
        Ok(folders.find(is_ours).ok_or("no folder of keys")?)
    }

    /// Waits until the controller-manager uses the CA.
    async fn signs_with(&self, run: &RunId, issuer: &str) -> Result<(), Failed> {
        let client = self.bootstrapper().await?;
        let deadline = Instant::now() + WITHIN;
        loop {
            let (_, event) = client_certificate(&client, "n3", self.rules, run, WITHIN).await?;
            let by = event.certificates[0].issuer.common_name.clone();
            if by.as_deref() == Some(issuer) {
                return Ok(());
            }
            self.remove(run).await?;
            if Instant::now() > deadline {
                return Err(format!("signed by {by:?}, not by {issuer}").into());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn rights_are_named(&self) -> Result<(), Failed> {
        let token = self.cluster.base().token(STATIC_TOKEN)?.value.clone();
        let path = self.folder.path().join("bootstrapper.kubeconfig");
        let file = kubeconfig(self.cluster.base().endpoint(), &Credentials::Token(token));
        fs::write(&path, file.expose())?;
        let output = tlsboot(&path, &["doctor"])?;
        expect(&output, 3, "list secrets in kube-system")?;
        expect(&output, 3, "kubectl create clusterrole tlsboot-doctor-1 --verb=list")?;
        // Where a good CSR is refused too, a refusal shows nothing.
        let probing = self.probes_as(&self.acting_as("tlsboot-stranger")?, &[])?;
        for id in ["approval.system-masters", "issuance.shortest-duration"] {
            assert!(probing.outcomes("unsupported").contains(id), "{probing:?}");
        }
        self.printed_roles_are_enough().await
    }

    /// What `doctor --rbac` prints is all that it needs.
    async fn printed_roles_are_enough(&self) -> Result<(), Failed> {
        let printed = Command::new("/proc/self/exe").env(BE_TLSBOOT, "1").args(["doctor", "--rbac"]).output()?;
        for document in String::from_utf8(printed.stdout)?.split("---\n") {
            let object: DynamicObject = serde_saphyr::from_str(document)?;
            let types = object.types.clone().ok_or("an object without a kind")?;
            let kind = ApiResource::from_gvk(&GroupVersionKind::try_from(&types)?);
            let api: Api<DynamicObject> = match object.namespace() {
                Some(namespace) => Api::namespaced_with(self.admin(), &namespace, &kind),
                None => Api::all_with(self.admin(), &kind),
            };
            api.create(&PostParams::default(), &object).await?;
        }
        let kubeconfig = self.acting_as("system:serviceaccount:kube-system:tlsboot-doctor")?;
        let deadline = Instant::now() + WITHIN;
        loop {
            let healthy = expect(&tlsboot(&kubeconfig, &["doctor"])?, 0, "healthy");
            if healthy.is_ok() || Instant::now() > deadline {
                return healthy;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The path of a kubeconfig of the administrator who acts as someone else.
    fn acting_as(&self, user: &str) -> Result<PathBuf, Failed> {
        let mut kubeconfig: Value = serde_saphyr::from_str(&fs::read_to_string(&self.kubeconfig)?)?;
        kubeconfig["users"][0]["user"]["as"] = json!(user);
        let path = self.folder.path().join(format!("as-{}", user.replace(':', "-")));
        fs::write(&path, kubeconfig.to_string())?;
        Ok(path)
    }
}

// --- the approver kit -------------------------------------------------------------------------------------------------

async fn approver() -> Result<(), Failed> {
    let lab = Lab::start(None).await?;
    // The positive control: Kubernetes' own approver decides everything by Kubernetes' own rules.
    let none = BTreeSet::new();
    let good = lab.fires(&[])?;
    good.is(0, &none, &[])?;
    lab.is_clean().await?;

    // The probes that create nothing really create nothing, and the others clean up.
    let reading = lab.probes(&[])?;
    reading.is(0, "fail", &[])?;
    assert!(reading.outcomes("unsupported").contains("bootstrap.first-certificate"));
    lab.is_clean().await?;
    let writing = lab.probes(&["--allow-writes"])?;
    writing.is(0, "fail", &[])?;
    // There are no nodes here.
    writing.is(0, "unsupported", &["serving.first-certificate", "serving.reached"])?;
    lab.is_clean().await?;

    lab.given(&good).await?;

    // Without --allow-writes nothing is sent, and the plan is printed.
    let refused = tlsboot(&lab.kubeconfig, &["approver"])?;
    expect(&refused, 2, "Add --allow-writes")?;
    lab.is_clean().await?;

    lab.stand_ins().await?;

    lab.killed().await?;

    // Nothing is approved: Pending CSRs show nothing.
    let manager = Component::ControllerManager;
    lab.control_plane()?.end(manager, Ending::Stop).await?;
    let undecided = lab.fires(&[])?;
    if undecided.code != 1 || undecided.outcomes("undecided").is_empty() || !undecided.outcomes("hole").is_empty() {
        return Err(format!("{undecided:?}").into());
    }
    lab.is_clean().await?;
    lab.cluster.stop().await;
    Ok(())
}

/// A kube-apiserver without NodeRestriction: a wrapper script, as a distribution under test may have.
async fn without_node_restriction() -> Result<(), Failed> {
    let folder = tempfile::Builder::new().prefix("tb").tempdir()?;
    let planned = options(None)?.plan().map_err(|error| error.to_string())?;
    let first = planned.first().ok_or("no target")?;
    let (_, used) = options(None)?.resolve(first, Progress::hidden()).map_err(|error| error.to_string())?;
    let real = real_path("kube-apiserver", first.id.kubernetes)?;
    assert!(used.iter().any(|component| component.name == "kube-apiserver"));
    let script = format!(
        "#!/bin/sh\nfor arg; do shift; case $arg in --enable-admission-plugins=*) ;; *) set -- \"$@\" \"$arg\" ;; esac; done\nexec {} \"$@\"\n",
        real.display()
    );
    let wrapper = folder.path().join("kube-apiserver");
    fs::write(&wrapper, script)?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
    let lab = Lab::start(Some(folder.path())).await?;
    let restricted = [
        "renewal.another-node",
        "renewal.upper-case",
        "renewal.empty",
        "renewal.administrator",
        "serving.another-node",
    ];
    lab.fires(&[])?.is(1, &BTreeSet::new(), &restricted)?;
    lab.probes(&[])?.is(1, "fail", &["security.node-restriction"])?;
    lab.cluster.stop().await;
    Ok(())
}

/// The rule of the stand-ins: it compares the names with the node's own.
const RULE: &str = "\
node: worker-7
serving: {dns: [worker-7], ips: [192.0.2.7]}
rule: {serving: true, namesOf: node, mostNames: 1, longestExpirationSeconds: 86400, otherwise: [deny, pending]}
settle: 3s
";

/// A stand-in for an approver of serving CSRs: what it does, when, and which finding must give it away. Those without
/// any are sound.
struct StandIn {
    name: &'static str,
    decides: fn(&Asked) -> Option<bool>,
    pace: Pace,
    /// A case and its outcome.
    found: Option<(&'static str, &'static str)>,
}

/// When a stand-in acts.
#[derive(Clone, Copy)]
enum Pace {
    AtOnce,
    /// So long after the CSR came.
    Late(Duration),
    /// On all that there are, from time to time.
    Periodic(Duration),
    Never,
}

/// A CSR, and what is in it.
struct Asked {
    event: CsrEvent,
}

impl Asked {
    fn is_own_name(&self) -> bool {
        self.event.request.dns.iter().all(|name| name == "worker-7")
    }

    fn is_own_address(&self) -> bool {
        self.event.request.ips.iter().all(|ip| ip.to_canonical() == IpAddr::from([192, 0, 2, 7]))
    }

    fn is_counted(&self) -> bool {
        self.event.request.dns.len() <= 1
    }

    /// The subject, the requester, what else is in the CSR, and its life.
    fn is_by_node(&self) -> bool {
        let CsrEvent { request, username, .. } = &self.event;
        request.subject.common_name.as_ref() == Some(username)
            && request.subject.organizations == ["system:nodes"]
            && request.emails.is_empty()
            && request.uris.is_empty()
            && request.dns.len() + request.ips.len() > 0
            && self.event.groups.iter().any(|group| group == "system:nodes")
    }

    fn is_short(&self) -> bool {
        self.event.expiration_seconds.is_none_or(|seconds| seconds <= 86_400)
    }

    fn has_usages(&self) -> bool {
        let usages: BTreeSet<&str> = self.event.usages.iter().map(String::as_str).collect();
        usages.contains("digital signature")
            && usages.contains("server auth")
            && usages.iter().all(|usage| ["digital signature", "server auth", "key encipherment"].contains(usage))
    }

    fn is_sound(&self) -> bool {
        self.is_by_node()
            && self.is_short()
            && self.has_usages()
            && self.is_own_name()
            && self.is_own_address()
            && self.is_counted()
    }

    fn is_sound_but_for_names(&self) -> bool {
        self.is_by_node() && self.is_short() && self.has_usages()
    }
}

const STAND_INS: &[StandIn] = &[
    StandIn { name: "sound, denies", decides: |asked| Some(asked.is_sound()), pace: Pace::AtOnce, found: None },
    StandIn {
        name: "sound, leaves the others",
        decides: |asked| asked.is_sound().then_some(true),
        pace: Pace::AtOnce,
        found: None,
    },
    StandIn {
        name: "sound and periodic",
        decides: |asked| asked.is_sound().then_some(true),
        pace: Pace::Periodic(Duration::from_secs(5)),
        found: None,
    },
    StandIn {
        name: "approves everything, late",
        decides: |_| Some(true),
        pace: Pace::Late(Duration::from_secs(6)),
        found: Some(("names.other-identity-alone", "hole")),
    },
    StandIn {
        name: "approves everything, periodically",
        decides: |_| Some(true),
        pace: Pace::Periodic(Duration::from_secs(7)),
        found: Some(("names.other-identity-alone", "hole")),
    },
    StandIn {
        name: "dead",
        decides: |_| None,
        pace: Pace::Never,
        found: Some(("names.other-identity-alone", "undecided")),
    },
    StandIn {
        name: "looks at the first name only",
        decides: |asked| {
            let own = asked.event.request.dns.first().is_none_or(|name| name == "worker-7");
            Some(asked.is_sound_but_for_names() && asked.is_own_address() && own)
        },
        pace: Pace::AtOnce,
        found: Some(("names.other-node", "hole")),
    },
    StandIn {
        name: "counts names, and looks at none",
        decides: |asked| Some(asked.is_sound_but_for_names() && asked.is_own_address() && asked.is_counted()),
        pace: Pace::AtOnce,
        found: Some(("names.other-node-alone", "hole")),
    },
    StandIn {
        name: "takes what begins with the node's name",
        decides: |asked| {
            let prefix = asked.event.request.dns.iter().all(|name| name.starts_with("worker-7"));
            Some(asked.is_sound_but_for_names() && asked.is_own_address() && asked.is_counted() && prefix)
        },
        pace: Pace::AtOnce,
        found: Some(("names.own-prefix-alone", "hole")),
    },
    StandIn {
        name: "takes any address of its network",
        decides: |asked| {
            let near = |ip: &IpAddr| ip.to_canonical().to_string().starts_with("192.0.2.");
            let near = asked.event.request.ips.iter().all(near);
            Some(asked.is_sound_but_for_names() && asked.is_own_name() && asked.is_counted() && near)
        },
        pace: Pace::AtOnce,
        found: Some(("names.other-address-alone", "hole")),
    },
    StandIn {
        name: "takes any usage",
        decides: |asked| {
            let names = asked.is_own_name() && asked.is_own_address() && asked.is_counted();
            Some(asked.is_by_node() && asked.is_short() && names)
        },
        pace: Pace::AtOnce,
        found: Some(("serving.client-auth-too", "careless")),
    },
    StandIn {
        name: "takes any life",
        decides: |asked| {
            let names = asked.is_own_name() && asked.is_own_address() && asked.is_counted();
            Some(asked.is_by_node() && asked.has_usages() && names)
        },
        pace: Pace::AtOnce,
        found: Some(("serving.too-long", "careless")),
    },
    StandIn {
        name: "does not know kubelets up to 1.26",
        decides: |asked| Some(asked.is_sound() && asked.event.usages.len() == 2),
        pace: Pace::AtOnce,
        found: Some(("serving.key-encipherment", "wrong")),
    },
];

/// Acts on serving CSRs as the stand-in does.
async fn stand_in(client: kube::Client, is: &'static StandIn) {
    let api = Api::<CertificateSigningRequest>::all(client.clone());
    let mut came: BTreeMap<String, Instant> = BTreeMap::new();
    loop {
        let all = api.list(&ListParams::default()).await;
        for csr in all.map(|all| all.items).unwrap_or_default() {
            let asked = Asked { event: csr_event(&csr, Change::Added) };
            let since = came.entry(asked.event.name.clone()).or_insert_with(Instant::now).elapsed();
            let is_due = match is.pace {
                Pace::AtOnce | Pace::Periodic(_) => true,
                Pace::Late(after) => since >= after,
                Pace::Never => false,
            };
            if !is_due || asked.event.signer_name != Role::Serving.signer_name() || !asked.event.conditions.is_empty() {
                continue;
            }
            if let Some(approves) = (is.decides)(&asked) {
                let kind = if approves { "Approved" } else { "Denied" };
                let _ = decide(&client, &asked.event.name, kind, "ByStandIn").await;
            }
        }
        let pause = match is.pace {
            Pace::Periodic(period) => period,
            _ => POLL,
        };
        tokio::time::sleep(pause).await;
    }
}

impl Lab {
    /// Each stand-in that is at fault is found, and the sound ones have no finding.
    async fn stand_ins(&self) -> Result<(), Failed> {
        let policy = self.folder.path().join("rule.yaml");
        fs::write(&policy, RULE)?;
        let policy = policy.display().to_string();
        for is in STAND_INS {
            let acting = Rogue(tokio::spawn(stand_in(self.admin(), is)));
            let fired = self.fires(&["--policy", &policy]);
            acting.stop();
            let fired = fired?;
            let findings = |outcome| (outcome, fired.outcomes(outcome));
            let findings = ["hole", "careless", "wrong", "undecided", "unjudged"].map(findings);
            let is_as_wanted = match is.found {
                None => fired.code == 0 && findings.iter().all(|(_, ids)| ids.is_empty()),
                Some((id, outcome)) => fired.code == 1 && fired.outcomes(outcome).contains(id),
            };
            if !is_as_wanted || fired.outcomes("right").len() < 20 {
                return Err(
                    format!("{}: {} {findings:?} {:#}", is.name, fired.code, fired.judgement["controls"]).into()
                );
            }
            self.is_clean().await?;
        }
        // Without a policy it is said that there is one, and what is wrong with it: no false alarm for a sound one.
        for (is, code) in [(&STAND_INS[0], 0), (&STAND_INS[3], 1)] {
            let acting = Rogue(tokio::spawn(stand_in(self.admin(), is)));
            let fired = self.fires(&[]);
            acting.stop();
            let fired = fired?;
            let notes = fired.judgement["notes"].to_string();
            if fired.code != code
                || !notes.contains("state its rule in a policy")
                || !fired.outcomes("wrong").is_empty()
            {
                return Err(format!("{} without a policy: {} {notes}", is.name, fired.code).into());
            }
        }
        Ok(())
    }

    fn fires(&self, args: &[&str]) -> Result<Firing, Failed> {
        let mut all = vec!["approver", "--allow-writes", "--format", "json"];
        all.extend(args);
        let output = tlsboot(&self.kubeconfig, &all)?;
        let judgement = serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {output:?}"))?;
        Ok(Firing { code: output.status.code().unwrap_or(-1), judgement })
    }

    fn probes(&self, args: &[&str]) -> Result<Probing, Failed> {
        self.probes_as(&self.kubeconfig, args)
    }

    fn probes_as(&self, kubeconfig: &Path, args: &[&str]) -> Result<Probing, Failed> {
        let mut all = vec!["probe", "--format", "json"];
        all.extend(args);
        let output = tlsboot(kubeconfig, &all)?;
        let found: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {output:?}"))?;
        Ok(Probing {
            code: output.status.code().unwrap_or(-1),
            probes: found["probes"].as_array().cloned().unwrap_or_default(),
        })
    }

    /// With a bootstrap kubeconfig no token is created, and what needs one is unsupported or left out.
    async fn given(&self, good: &Firing) -> Result<(), Failed> {
        let made = [
            "authentication.deleted-token",
            "authentication.expired-token",
            "serving.first-certificate",
            "serving.reached",
        ];
        let path = self.bootstrap_kubeconfig(BOOTSTRAP_TOKEN)?;
        let given = ["--allow-writes", "--bootstrap-kubeconfig", &path];
        let probed = self.probes(&given)?;
        probed.is(0, "fail", &[])?;
        probed.is(0, "unsupported", &made)?;

        let fired = self.fires(&given[1..])?;
        fired.is(0, &BTreeSet::new(), &[])?;
        let (all, sent) = (good.ids(|_| true), fired.ids(|_| true));
        let left_out: Vec<&String> = all.difference(&sent).collect();
        assert_eq!(left_out, ["identity.expired-token"]);

        // There is no id to compare with.
        let path = self.bootstrap_kubeconfig(STATIC_TOKEN)?;
        let probed = self.probes(&["--allow-writes", "--bootstrap-kubeconfig", &path])?;
        let unsupported = [&made[..], &["authentication.token-identity"]].concat();
        probed.is(0, "unsupported", &unsupported)?;
        self.is_clean().await
    }

    /// A killed run leaves objects that gc removes; those of a live run are left alone.
    async fn killed(&self) -> Result<(), Failed> {
        let policy = self.folder.path().join("slow.yaml");
        fs::write(&policy, "settle: 10m\n")?;
        let mut child = command(&self.kubeconfig, &["approver", "--allow-writes", "--policy"])
            .arg(&policy)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let deadline = Instant::now() + WITHIN;
        while self.left().await?.len() < 20 {
            if Instant::now() > deadline {
                return Err("the run did not create anything".into());
            }
            tokio::time::sleep(POLL).await;
        }
        expect(&tlsboot(&self.kubeconfig, &["gc"])?, 0, "nothing was left behind")?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.ok_or("no pid")?, Signal::KILL)?;
        child.wait()?;
        if self.left().await?.is_empty() {
            return Err("a killed run should leave something, or this shows nothing".into());
        }
        expect(&tlsboot(&self.kubeconfig, &["gc"])?, 0, "removed Secret bootstrap-token-")?;
        self.is_clean().await
    }

    async fn left(&self) -> Result<Vec<String>, Failed> {
        let labelled = ListParams::default().labels(owned::LABEL);
        let csrs = Api::<CertificateSigningRequest>::all(self.admin());
        let secrets = Api::<SecretObject>::namespaced(self.admin(), "kube-system");
        let (csrs, secrets) = (csrs.list(&labelled).await?, secrets.list(&labelled).await?);
        let names = csrs.items.iter().map(ResourceExt::name_any);
        Ok(names.chain(secrets.items.iter().map(ResourceExt::name_any)).collect())
    }

    async fn is_clean(&self) -> Result<(), Failed> {
        match self.left().await? {
            left if left.is_empty() => Ok(()),
            left => Err(format!("left in the cluster: {left:?}").into()),
        }
    }
}

/// The output of `tlsboot approver`.
#[derive(Debug)]
struct Firing {
    code: i32,
    judgement: Value,
}

impl Firing {
    fn ids(&self, fits: impl Fn(&Value) -> bool) -> BTreeSet<String> {
        let cases = self.judgement["cases"].as_array().into_iter().flatten();
        cases.filter(|case| fits(case)).filter_map(|case| Some(case["id"].as_str()?.to_owned())).collect()
    }

    fn outcomes(&self, outcome: &str) -> BTreeSet<String> {
        self.ids(|case| case["outcome"] == outcome)
    }

    /// These are holes, those are wrong, and all the rest is right.
    fn is(&self, code: i32, holes: &BTreeSet<String>, wrong: &[&str]) -> Result<(), Failed> {
        let wrong: BTreeSet<String> = wrong.iter().map(|&id| id.to_owned()).collect();
        let seen = (self.code, self.outcomes("hole"), self.outcomes("wrong"), self.outcomes("undecided"));
        if seen == (code, holes.clone(), wrong.clone(), BTreeSet::new()) && self.outcomes("right").len() > 20 {
            return Ok(());
        }
        Err(format!(
            "should be {code} with holes {holes:?} and wrong {wrong:?}; is {seen:?}: {:#}",
            self.judgement["controls"]
        )
        .into())
    }
}

/// The output of `tlsboot probe`.
#[derive(Debug)]
struct Probing {
    code: i32,
    probes: Vec<Value>,
}

impl Probing {
    fn outcomes(&self, outcome: &str) -> BTreeSet<&str> {
        let probes = self.probes.iter();
        probes.filter(|probe| probe["outcome"] == outcome).filter_map(|probe| probe["id"].as_str()).collect()
    }

    /// Exactly these have the outcome, and some pass.
    fn is(&self, code: i32, outcome: &str, ids: &[&str]) -> Result<(), Failed> {
        let right = self.code == code
            && self.outcomes(outcome) == ids.iter().copied().collect()
            && self.outcomes("pass").len() > 5;
        if right {
            return Ok(());
        }
        Err(format!("should be {code}, {outcome} {ids:?}; is {} {:#?}", self.code, self.probes).into())
    }
}

// --- the lab ----------------------------------------------------------------------------------------------------------

/// A cluster, and its kubeconfig.
struct Lab {
    cluster: Box<dyn Cluster>,
    rules: Rules,
    version: Version,
    kubeconfig: PathBuf,
    folder: tempfile::TempDir,
}

const HOUR: Duration = Duration::from_secs(3600);
/// How long a change may take until it is observed; the longest is the time limit for CSRs.
const WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
/// Without the token cleaner, so that expired tokens are kept.
const CONTROLLERS: &[&str] = &["csrsigning", "csrapproving", "csrcleaner"];

/// Options come only from the environment: the command line belongs to the test runner.
#[derive(Debug, Parser)]
struct Environment {
    #[command(flatten)]
    target: TargetOptions,
}

fn options(components: Option<&Path>) -> Result<TargetOptions, Failed> {
    let mut args = vec!["faults".into()];
    if let Some(folder) = components {
        args.extend(["--components".into(), folder.as_os_str().to_owned()]);
    }
    Ok(Environment::try_parse_from(args)?.target)
}

/// The path of an executable in the store.
fn real_path(name: &str, version: Version) -> Result<PathBuf, Failed> {
    use tlsboot_engine::components::{Package, Product, Store};
    let options = options(None)?.components.options()?;
    let package = Package { product: Product::Kubernetes, version };
    let found = Store::new(&options.cache).executable(package, name)?;
    Ok(found.ok_or("not in the store")?.path)
}

impl Lab {
    fn control_plane(&self) -> Result<&dyn ControlPlane, Failed> {
        self.cluster.control_plane().ok_or_else(|| "the control plane's components cannot be stopped".into())
    }

    async fn start(components: Option<&Path>) -> Result<Self, Failed> {
        Self::start_with(components, CONTROLLERS).await
    }

    async fn start_with(components: Option<&Path>, controllers: &[&str]) -> Result<Self, Failed> {
        let options = options(components)?;
        let planned = options.plan().map_err(|error| error.to_string())?;
        let first = planned.first().ok_or("no target")?;
        let resolved = options.resolve(first, Progress::hidden());
        let (target, _) = resolved.map_err(|error| error.to_string())?;
        let folder = tempfile::Builder::new().prefix("tb").tempdir()?;
        let logs = folder.path().join("logs");
        fs::create_dir(&logs)?;
        let (sink, _) = Sink::create(&folder.path().join("history.jsonl"), Vault::new())?;
        let settings = scenario::Cluster {
            controllers: controllers.iter().map(|&name| name.into()).collect(),
            // As kubeadm has it: kubelets' self-signed certificates are accepted.
            flags: BTreeMap::from([(
                Component::ApiServer,
                BTreeMap::from([("kubelet-certificate-authority".to_owned(), String::new())]),
            )]),
            // So that it can be replaced.
            signer_ca_valid_for: Some(SignedDuration::from_hours(24 * 365)),
            ..Default::default()
        };
        let node = scenario::Node { bootstrap: STATIC_TOKEN.into(), ..scenario::Node::named("n1") };
        let scenario = Scenario::of_cluster("faults", settings, vec![node]);
        let cluster = target.provider.start(&scenario, sink, logs).await?;
        drive::prepare(&bindings(), &cluster.base().admin()).await?;
        forget_other_tokens(cluster.as_ref()).await?;
        let kubeconfig = folder.path().join("kubeconfig");
        fs::write(&kubeconfig, cluster.base().admin_kubeconfig().expose())?;
        Ok(Self { cluster, rules: target.id.rules(), version: target.id.kubernetes, kubeconfig, folder })
    }

    fn admin(&self) -> kube::Client {
        self.cluster.base().admin()
    }

    /// Waits until the doctor finds exactly these; notes do not count.
    async fn finds(&self, ids: &[&str]) -> Result<(), Failed> {
        let connection = Connection::open(Some(&self.kubeconfig), None).await?;
        let wanted: BTreeSet<&str> = ids.iter().copied().collect();
        let deadline = Instant::now() + WITHIN;
        loop {
            // A machine under heavy load may not answer in time, but does so later.
            let seen = match look(&connection).await {
                Ok(snapshot) => {
                    let diagnosis = diagnose(&snapshot);
                    let found = diagnosis.findings.iter();
                    let found: BTreeSet<&str> =
                        found.filter(|finding| finding.grade > Grade::Note).map(|finding| finding.id).collect();
                    if found == wanted && diagnosis.missing.is_empty() {
                        return Ok(());
                    }
                    format!("finds {:#?}", diagnosis.findings)
                }
                Err(error) => error.to_string(),
            };
            if Instant::now() > deadline {
                return Err(format!("should find {wanted:?}: {seen}").into());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn command_agrees(&self, code: i32, words: &str) -> Result<(), Failed> {
        expect(&tlsboot(&self.kubeconfig, &["doctor"])?, code, words)
    }

    /// The path of a kubeconfig with this token.
    fn bootstrap_kubeconfig(&self, token: &str) -> Result<String, Failed> {
        let path = self.folder.path().join(format!("bootstrap-{token}"));
        let token = Credentials::Token(self.cluster.base().token(token)?.value.clone());
        let text = kubeconfig(self.cluster.base().endpoint(), &token);
        fs::write(&path, text.expose())?;
        Ok(path.display().to_string())
    }

    async fn bootstrapper(&self) -> Result<kube::Client, Failed> {
        let token = self.cluster.base().token(STATIC_TOKEN)?.value.clone();
        Ok(client(self.cluster.base().endpoint(), &Credentials::Token(token)).await?)
    }

    async fn node_client(&self, node: &str, run: &RunId) -> Result<kube::Client, Failed> {
        let bootstrapper = self.bootstrapper().await?;
        let got = client_certificate(&bootstrapper, node, self.rules, run, WITHIN).await?;
        let credential: Credential = got.0;
        Ok(client(self.cluster.base().endpoint(), &Credentials::Certificate(credential)).await?)
    }

    async fn ask(&self, run: &RunId, role: Role, request: RequestBuilder) -> Result<String, Failed> {
        self.ask_as(&self.bootstrapper().await?, run, role, request).await
    }

    async fn ask_as(
        &self,
        client: &kube::Client,
        run: &RunId,
        role: Role,
        request: RequestBuilder,
    ) -> Result<String, Failed> {
        let (pem, _) = request.build()?;
        let object = csr(run, pem.into_bytes(), role.signer_name(), self.rules.usages(role), None);
        let answer = create(client, &object, &PostParams::default()).await?;
        answer.object.ok_or_else(|| answer.message.into())
    }

    async fn remove(&self, run: &RunId) -> Result<(), Failed> {
        owned::remove(&self.admin(), run).await?;
        Ok(())
    }

    async fn create_node(&self, name: &str, address: SocketAddr) -> Result<(), Failed> {
        let nodes = Api::<Node>::all(self.admin());
        let node = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        nodes.create(&PostParams::default(), &node).await?;
        let status = json!({"status": {
            "addresses": [{"type": "InternalIP", "address": address.ip().to_string()}, {"type": "Hostname", "address": name}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": address.port()}},
        }});
        let patch = Patch::Merge(&status);
        nodes.patch_status(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }
}

/// kubeadm has created one for joining its nodes.
async fn forget_other_tokens(cluster: &dyn Cluster) -> Result<(), Failed> {
    let secrets = Api::<SecretObject>::namespaced(cluster.base().admin(), "kube-system");
    let ours = format!("bootstrap-token-{}", cluster.base().token(BOOTSTRAP_TOKEN)?.id);
    let tokens = ListParams::default().fields("type=bootstrap.kubernetes.io/token");
    for token in secrets.list(&tokens).await?.items {
        if token.name_any() != ours {
            let name = token.name_any();
            secrets.delete(&name, &DeleteParams::default()).await?;
        }
    }
    Ok(())
}

/// As kubeadm creates them.
fn bindings() -> Bindings {
    let group = |name: &str| Binding::Group(name.into());
    Bindings {
        node_bootstrapper: group("system:bootstrappers"),
        node_client: group("system:bootstrappers"),
        self_node_client: group("system:nodes"),
    }
}

/// This executable as tlsboot.
fn command(kubeconfig: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    let (name, rest) = args.split_first().unwrap_or((&"--help", &[]));
    command.env(BE_TLSBOOT, "1").arg(name).arg("--kubeconfig").arg(kubeconfig).args(rest).stdin(Stdio::null());
    command
}

fn tlsboot(kubeconfig: &Path, args: &[&str]) -> Result<Output, Failed> {
    Ok(command(kubeconfig, args).output()?)
}

fn expect(output: &Output, code: i32, words: &str) -> Result<(), Failed> {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.code() == Some(code) && said.contains(words) {
        return Ok(());
    }
    Err(format!("expected exit code {code} and {words:?}, got {:?} and {said}", output.status).into())
}

/// An approver that approves too much.
struct Rogue(tokio::task::JoinHandle<()>);

impl Rogue {
    fn start(client: kube::Client, approves: fn(&CertificateSigningRequest) -> bool) -> Self {
        Self(tokio::spawn(async move {
            let api = Api::<CertificateSigningRequest>::all(client.clone());
            loop {
                let all = api.list(&ListParams::default()).await;
                for csr in all.map(|all| all.items).unwrap_or_default() {
                    let status = csr.status.clone().unwrap_or_default();
                    if status.conditions.is_none_or(|conditions| conditions.is_empty()) && approves(&csr) {
                        // Kubernetes' own approver may have been faster, or the run may have removed it.
                        let _ = decide(&client, &csr.name_any(), "Approved", "ByRogue").await;
                    }
                }
                tokio::time::sleep(POLL).await;
            }
        }))
    }

    fn stop(self) {
        self.0.abort();
    }
}

async fn decide(client: &kube::Client, name: &str, kind: &str, reason: &str) -> Result<(), kube::Error> {
    let api = Api::<CertificateSigningRequest>::all(client.clone());
    let condition = json!({"type": kind, "status": "True", "reason": reason, "message": "by a test"});
    let patch = json!({"status": {"conditions": [condition]}});
    api.patch_approval(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
    Ok(())
}

/// What the TLS server presents; a TLS alert if it is empty, as from a kubelet without a serving certificate.
#[derive(Clone, Debug, Default)]
struct Shown(Arc<Mutex<Option<Arc<CertifiedKey>>>>);

impl Shown {
    fn show(&self, ca: &Authority, names: Vec<AltName>, validity: Validity) -> Result<(), Failed> {
        let issued = ca.issue_server("system:node:n2", &names, validity)?;
        let chain =
            CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).map_err(|error| error.to_string())?;
        let key =
            PrivateKeyDer::from_pem_slice(issued.key_pem.expose().as_bytes()).map_err(|error| error.to_string())?;
        let key = CertifiedKey::from_der(vec![chain], key, &ring::default_provider())?;
        *self.0.lock().map_err(|error| error.to_string())? = Some(Arc::new(key));
        Ok(())
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.lock().ok()?.clone()
    }
}

async fn serve(shown: Shown) -> Result<SocketAddr, Failed> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let config = rustls::ServerConfig::builder().with_no_client_auth().with_cert_resolver(Arc::new(shown));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let _ = acceptor.accept(stream).await;
            });
        }
    });
    Ok(address)
}
