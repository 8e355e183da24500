//! What older control planes call the flags of today's, in one table. tlsboot's own flags are written down once, by their
//! newest names.

use crate::flags::FlagSet;
use tlsboot_core::scenario::stimulus::Component::{self, ApiServer, ControllerManager};

/// A flag that older versions of a component do not take.
struct Row {
    component: Component,
    flag: &'static str,
    /// The first minor version of Kubernetes 1 that takes it.
    from: u32,
    /// How to say the same before.
    before: Before,
    /// The source for this.
    #[cfg_attr(not(test), expect(dead_code, reason = "for readers, and for the test that there is one"))]
    source: &'static str,
}

/// What an older version gets instead of a flag.
enum Before {
    /// Nothing: it behaves so, or has nothing of the kind.
    Nothing,
    /// The same value by this name.
    Name(&'static str),
}

const fn row(component: Component, flag: &'static str, from: u32, before: Before, source: &'static str) -> Row {
    Row { component, flag, from, before, source }
}

const APISERVER: &str = "cmd/kube-apiserver/app/options/options.go";
const MANAGER: &str = "cmd/kube-controller-manager/app/options; the port with TLS came with 1.12";

const ROWS: [Row; 10] = [
    row(ApiServer, "endpoint-reconciler-type", 9, Before::Nothing, APISERVER),
    row(ApiServer, "enable-bootstrap-token-auth", 8, Before::Name("experimental-bootstrap-token-auth"), APISERVER),
    row(ApiServer, "enable-admission-plugins", 10, Before::Name("admission-control"), "kubernetes#58123"),
    row(ApiServer, "disable-admission-plugins", 10, Before::Nothing, "kubernetes#58123"),
    row(ApiServer, "service-account-issuer", 12, Before::Nothing, "gate TokenRequest, on from 1.12"),
    row(ApiServer, "service-account-signing-key-file", 12, Before::Nothing, "gate TokenRequest, on from 1.12"),
    row(ControllerManager, "bind-address", 12, Before::Name("address"), MANAGER),
    row(ControllerManager, "secure-port", 12, Before::Name("port"), MANAGER),
    row(ControllerManager, "authorization-always-allow-paths", 12, Before::Nothing, MANAGER),
    row(
        ControllerManager,
        "cluster-signing-duration",
        19,
        Before::Name("experimental-cluster-signing-duration"),
        "kubernetes#91154",
    ),
];

/// A feature gate that tlsboot has on everywhere, and that older versions have off.
const GATES: [(Component, &str, std::ops::Range<u32>); 2] = [
    // The approver looks at CSRs for serving certificates only with it (catalogue P-06, up to 1.10). Not on the API server,
    // which would make the role selfnodeserver with it.
    (ControllerManager, "RotateKubeletServerCertificate=true", 7..12),
    (ApiServer, "AdvancedAuditing=true", 7..8),
];

/// Today's flags, as this minor version takes them.
pub(super) fn of(component: Component, minor: u32, flags: FlagSet) -> FlagSet {
    let mut flags = flags;
    for row in ROWS.iter().filter(|row| row.component == component && minor < row.from) {
        let Some(value) = flags.get(row.flag).map(str::to_owned) else { continue };
        flags.remove(row.flag);
        match row.before {
            Before::Nothing => {}
            Before::Name(name) => flags.set(name, value),
        }
    }
    for (_, gate, _) in GATES.iter().filter(|(of, _, minors)| *of == component && minors.contains(&minor)) {
        flags.set("feature-gates", gate);
    }
    flags
}

/// Whether a controller-manager knows a controller; one that does not refuses to start.
pub(super) fn knows_controller(minor: u32, name: &str) -> bool {
    // `cmd/kube-controller-manager/app/controllermanager.go`, NewControllerInitializers
    name != "csrcleaner" || minor >= 9
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn args(component: Component, minor: u32, given: &[(&str, &str)]) -> Vec<String> {
        let flags = of(component, minor, given.iter().copied().collect()).args();
        flags.into_iter().map(|arg| arg.into_string().unwrap()).collect()
    }

    #[rstest]
    #[case::new_name(37, &["--cluster-signing-duration=1h", "--secure-port=1"])]
    #[case::old_duration(18, &["--secure-port=1", "--experimental-cluster-signing-duration=1h"])]
    #[case::without_tls(10, &["--port=1", "--experimental-cluster-signing-duration=1h", "--feature-gates=RotateKubeletServerCertificate=true"])]
    fn flags_have_the_names_of_their_version(#[case] minor: u32, #[case] expected: &[&str]) {
        let given = [("cluster-signing-duration", "1h"), ("secure-port", "1")];
        assert_eq!(args(ControllerManager, minor, &given), expected);
    }

    #[rstest]
    #[case(12, &["--enable-admission-plugins=NodeRestriction", "--endpoint-reconciler-type=none", "--service-account-issuer=x"])]
    #[case(9, &["--endpoint-reconciler-type=none", "--admission-control=NodeRestriction"])]
    #[case(8, &["--admission-control=NodeRestriction"])]
    #[case(7, &["--admission-control=NodeRestriction", "--feature-gates=AdvancedAuditing=true"])]
    fn an_api_server_gets_what_it_knows(#[case] minor: u32, #[case] expected: &[&str]) {
        let given = [
            ("enable-admission-plugins", "NodeRestriction"),
            ("endpoint-reconciler-type", "none"),
            ("service-account-issuer", "x"),
        ];
        assert_eq!(args(ApiServer, minor, &given), expected);
    }

    #[test]
    fn every_row_has_a_source() {
        assert!(ROWS.iter().all(|row| !row.source.is_empty()));
        assert!(
            knows_controller(9, "csrcleaner")
                && !knows_controller(8, "csrcleaner")
                && knows_controller(8, "csrsigning")
        );
    }
}
