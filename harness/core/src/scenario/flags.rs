//! Flags of the control plane in scenarios.

use super::Flags;
use super::stimulus::Component;

/// Flags by which tlsboot itself finds and records a component: a cluster without them cannot be driven.
fn own(component: Component) -> &'static [&'static str] {
    match component {
        Component::ApiServer => &[
            "advertise-address",
            "audit-log-path",
            "audit-policy-file",
            "bind-address",
            "etcd-servers",
            "insecure-port",
            "secure-port",
            "tls-cert-file",
            "tls-private-key-file",
            "token-auth-file",
        ],
        Component::ControllerManager => &["bind-address", "controllers", "kubeconfig", "port", "secure-port"],
    }
}

/// What is wrong with the flags of a component.
pub(super) fn wrong_flags(component: Component, flags: &Flags) -> Vec<String> {
    flags.keys().filter_map(|name| wrong_flag(component, name)).collect()
}

fn wrong_flag(component: Component, name: &str) -> Option<String> {
    let is_inner = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'-';
    let is_name = name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(is_inner);
    match name {
        _ if !is_name => {
            Some(format!("{name:?} is not the name of a flag: write it without leading dashes, as in `v`"))
        }
        "controllers" if component == Component::ControllerManager => {
            Some("the flag `controllers` has its own field: write `controllers: [...]` instead".to_owned())
        }
        _ if own(component).contains(&name) => Some(format!(
            "tlsboot needs the flag `{name}` of {} itself: without it the cluster cannot be driven or recorded",
            component.name()
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("client-ca-file", None)]
    #[case("v", None)]
    #[case("secure-port", Some("needs the flag `secure-port` of kube-apiserver itself"))]
    #[case("audit-log-path", Some("recorded"))]
    #[case("--v", Some("without leading dashes"))]
    #[case("v=4", Some("is not the name of a flag"))]
    #[case("", Some("is not the name of a flag"))]
    fn some_flags_are_not_the_scenarios(#[case] name: &str, #[case] says: Option<&str>) {
        let wrong = wrong_flag(Component::ApiServer, name);
        assert_eq!(wrong.is_some(), says.is_some(), "{wrong:?}");
        assert!(wrong.unwrap_or_default().contains(says.unwrap_or_default()));
    }
}
