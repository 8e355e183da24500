//! The arguments of `k3s server`: pure, text only. Names and defaults are those of k3s' documentation
//! (`docs.k3s.io/cli/server`) and of its `pkg/cli/cmds/server.go` and `pkg/daemons/control/server.go`.

use crate::cluster::shared::settings::Settings;
use tlsboot_core::check::rules::Rules;
use tlsboot_core::distribution::{Change, DISABLE_HELM_CONTROLLER, EGRESS_SELECTOR_MODE};
use tlsboot_core::version::Version;

/// k3s' own state, in the container: the default of `--data-dir`.
pub(super) const DATA: &str = "/var/lib/rancher/k3s";
/// The files for the control plane, in the container.
pub(super) const CONFIG: &str = "/etc/tlsboot";
/// Where the control plane's logs go, in the container.
pub(super) const LOGS: &str = "/var/log/tlsboot";
/// The file of static tokens, and the audit policy.
pub(super) const TOKENS: &str = "tokens.csv";
pub(super) const AUDIT_POLICY: &str = "audit-policy.json";
pub(super) const AUDIT_LOG: &str = "audit.log";

/// k3s' own `--controllers`, from which those that a scenario leaves out are removed.
const CONTROLLERS: &str = "*,tokencleaner";
/// Packaged components: none of them concerns certificates, and without nodes they cannot run.
const PACKAGED: &str = "coredns,servicelb,traefik,local-storage,metrics-server";

/// What differs from cluster to cluster.
pub(super) struct Plan<'a> {
    pub(super) version: Version,
    /// The port of the API server and k3s' supervisor; the next one is kube-apiserver's own.
    pub(super) port: u16,
    pub(super) controller_manager_port: u16,
    pub(super) settings: &'a Settings,
}

/// The arguments of the image, whose entry point is `/bin/k3s`.
pub(super) fn server(plan: &Plan<'_>) -> Vec<String> {
    let mut args: Vec<String> = vec!["server".into()];
    // The nodes are tlsboot's kubelets: no kubelet, no container runtime, no pod network here.
    let bare = [
        "disable-agent",
        "disable-scheduler",
        "disable-cloud-controller",
        "disable-kube-proxy",
        "disable-network-policy",
    ];
    args.extend(bare.map(|flag| format!("--{flag}")));
    // k3s ends if it does not know a flag.
    let since = |change: Change, flag: &str| (change.is_in(plan.version) == Some(true)).then(|| flag.to_owned());
    args.extend(since(DISABLE_HELM_CONTROLLER, "--disable-helm-controller"));
    // Otherwise the API server connects to kubelets through tunnels of agents that do not exist.
    args.extend(since(EGRESS_SELECTOR_MODE, "--egress-selector-mode=disabled"));
    let flags = [
        ("bind-address", "127.0.0.1".to_owned()),
        ("https-listen-port", plan.port.to_string()),
        // Otherwise it looks for the interface of the default route, which a machine may not have.
        ("node-ip", "127.0.0.1".into()),
        ("data-dir", DATA.into()),
        ("write-kubeconfig", format!("{DATA}/k3s.yaml")),
        ("disable", PACKAGED.into()),
        ("flannel-backend", "none".into()),
        ("v", "2".into()),
    ];
    args.extend(flags.map(|(name, value)| match name {
        "v" => format!("-{name}={value}"),
        _ => format!("--{name}={value}"),
    }));
    let of = |component: &str, flags: Vec<(&str, String)>| -> Vec<String> {
        let flag = |(name, value)| format!("--{component}-arg={name}={value}");
        flags.into_iter().map(flag).collect()
    };
    args.extend(of("kube-apiserver", api_server(plan.settings)));
    args.extend(of("kube-controller-manager", controller_manager(plan)));
    args
}

/// Changes to the flags that k3s gives to kube-apiserver: a flag of the same name replaces k3s' own.
fn api_server(settings: &Settings) -> Vec<(&'static str, String)> {
    vec![
        ("anonymous-auth", settings.anonymous_auth.to_string()),
        ("authorization-mode", settings.authorization_mode.join(",")),
        // k3s' own default since `BOOTSTRAP_TOKENS`.
        ("enable-bootstrap-token-auth", "true".into()),
        ("token-auth-file", format!("{CONFIG}/{TOKENS}")),
        ("audit-policy-file", format!("{CONFIG}/{AUDIT_POLICY}")),
        ("audit-log-path", format!("{LOGS}/{AUDIT_LOG}")),
        // An endpoint on the loopback is refused, and is not needed.
        ("endpoint-reconciler-type", "none".into()),
    ]
}

/// The same for kube-controller-manager. No `cluster-signing-cert-file`: k3s sets a CA for each signer, and with both
/// it does not start (catalogue S-02).
fn controller_manager(plan: &Plan<'_>) -> Vec<(&'static str, String)> {
    let duration = plan.settings.signing_duration.as_secs();
    let mut flags = vec![
        ("cluster-signing-duration", format!("{duration}s")),
        ("controllers", controllers(plan.settings)),
        ("leader-elect", "false".into()),
        // Several clusters run on the same machine.
        ("secure-port", plan.controller_manager_port.to_string()),
        ("authorization-always-allow-paths", "/healthz,/readyz,/livez,/metrics".into()),
        // Nodes get no pods. Otherwise the controller `nodeipam` of 1.21 waits ten seconds before its first look at them,
        // and the controllers after it are started only then.
        ("allocate-node-cidrs", "false".into()),
    ];
    if let Some(port) = Rules::new(plan.version, plan.version).plain_port() {
        flags.push((port, "0".into()));
    }
    flags
}

/// The controllers of a cluster with these settings.
pub(super) fn controllers(settings: &Settings) -> String {
    settings.controllers_of(CONTROLLERS)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use rstest::rstest;

    use super::*;
    use tlsboot_core::scenario::Cluster;

    fn args(change: impl FnOnce(&mut Cluster)) -> Vec<String> {
        args_of(Version::new(1, 37, 2), change)
    }

    fn args_of(version: Version, change: impl FnOnce(&mut Cluster)) -> Vec<String> {
        let mut cluster = Cluster::default();
        change(&mut cluster);
        let settings = Settings::new(&cluster, SignedDuration::from_secs(135));
        server(&Plan { version, port: 20_000, controller_manager_port: 20_007, settings: &settings })
    }

    #[rstest]
    #[case::helm("--disable-helm-controller", 22, 2)]
    #[case::egress("--egress-selector-mode=disabled", 24, 1)]
    #[case::egress_in_an_older_minor("--egress-selector-mode=disabled", 23, 7)]
    fn a_flag_is_given_from_the_release_on_that_knows_it(#[case] flag: &str, #[case] minor: u32, #[case] patch: u32) {
        let has = |patch| args_of(Version::new(1, minor, patch), |_| {}).contains(&flag.to_owned());
        assert_eq!((has(patch - 1), has(patch)), (false, true));
    }

    #[rstest]
    #[case(21, true)]
    #[case(22, false)]
    fn the_plain_port_is_shut_where_there_is_one(#[case] minor: u32, #[case] shut: bool) {
        let args = args_of(Version::new(1, minor, 2), |_| {});
        assert_eq!(args.contains(&"--kube-controller-manager-arg=port=0".to_owned()), shut);
    }

    #[rstest]
    #[case::agent("--disable-agent")]
    #[case::port("--https-listen-port=20000")]
    #[case::loopback("--bind-address=127.0.0.1")]
    #[case::signing_duration("--kube-controller-manager-arg=cluster-signing-duration=135s")]
    #[case::static_tokens("--kube-apiserver-arg=token-auth-file=/etc/tlsboot/tokens.csv")]
    #[case::audit("--kube-apiserver-arg=audit-log-path=/var/log/tlsboot/audit.log")]
    #[case::anonymous("--kube-apiserver-arg=anonymous-auth=true")]
    #[case::authorizers("--kube-apiserver-arg=authorization-mode=Node,RBAC")]
    #[case::controllers("--kube-controller-manager-arg=controllers=*,tokencleaner")]
    #[case::bootstrap_tokens("--kube-apiserver-arg=enable-bootstrap-token-auth=true")]
    #[case::at_once("--kube-controller-manager-arg=allocate-node-cidrs=false")]
    #[case::side_by_side("--kube-controller-manager-arg=secure-port=20007")]
    fn what_a_scenario_needs_is_said(#[case] arg: &str) {
        let args = args(|_| {});
        assert!(args.contains(&arg.to_owned()), "{arg} in {args:?}");
        assert_eq!(args[0], "server");
    }

    #[test]
    fn a_scenario_decides() {
        let args = args(|cluster| {
            cluster.anonymous_auth = false;
            cluster.authorization_mode = vec!["RBAC".into()];
            cluster.controllers = vec!["csrsigning".into(), "csrcleaner".into()];
        });
        for arg in [
            "--kube-apiserver-arg=anonymous-auth=false",
            "--kube-apiserver-arg=authorization-mode=RBAC",
            "--kube-controller-manager-arg=controllers=*,-csrapproving,-tokencleaner",
        ] {
            assert!(args.contains(&arg.to_owned()), "{arg} in {args:?}");
        }
    }

    #[test]
    fn no_flag_keeps_the_controller_manager_from_starting() {
        // k3s has a CA for each signer, and kube-controller-manager refuses to start with both.
        let args = args(|_| {});
        let both = "cluster-signing-cert-file";
        assert!(!args.iter().any(|arg| arg.contains(both)), "{args:?}");
    }
}
