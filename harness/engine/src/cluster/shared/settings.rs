//! The settings of a control plane that tlsboot starts, whatever runs it.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::cluster::ClusterError;
use crate::pki::YEAR;
use tlsboot_core::check::Role;
use tlsboot_core::check::rules::Rules;
use tlsboot_core::scenario::stimulus::{Changes, Component};
use tlsboot_core::scenario::{Cluster, Flags, SigningDuration};

/// The flag for how long certificates are valid, and its name up to 1.18.
const SIGNING_DURATION: [&str; 2] = ["cluster-signing-duration", "experimental-cluster-signing-duration"];

/// What can change while the cluster is running.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) anonymous_auth: bool,
    pub(crate) authorization_mode: Vec<String>,
    pub(crate) signing_duration: SignedDuration,
    pub(crate) controllers: Vec<String>,
    pub(crate) anonymous_paths: Vec<String>,
    pub(crate) flags: BTreeMap<Component, Flags>,
}

impl Settings {
    pub(crate) fn new(cluster: &Cluster, signing_duration: SignedDuration) -> Self {
        Self {
            anonymous_auth: cluster.anonymous_auth,
            authorization_mode: cluster.authorization_mode.clone(),
            signing_duration,
            controllers: cluster.controllers.clone(),
            anonymous_paths: cluster.anonymous_paths.clone(),
            flags: cluster.flags.clone(),
        }
    }

    /// A control plane's own `--controllers`, without the certificate and token controllers that the scenario does not
    /// name.
    pub(crate) fn controllers_of(&self, own: &str) -> String {
        let ours = Cluster::default().controllers;
        let off = ours.iter().filter(|name| !self.controllers.contains(name));
        let off: Vec<&String> = off.collect();
        // The first mention of a name counts, so a controller that is switched off must not be named before
        // (`IsControllerEnabled` in staging/src/k8s.io/controller-manager/app/helper.go).
        let is_off = |name: &&str| off.iter().any(|off| off == name);
        let on = own.split(',').filter(|name| !is_off(name));
        let on: Vec<&str> = on.collect();
        off.iter().fold(on.join(","), |all, name| format!("{all},-{name}"))
    }

    /// How long certificates are valid according to the controller-manager's flags: the scenario's own flags take
    /// precedence over its settings, and if it removes the flag, Kubernetes' default applies.
    pub(crate) fn certificates_last(&self) -> Result<SignedDuration, ClusterError> {
        let flags = self.flags.get(&Component::ControllerManager);
        let given = flags.and_then(|flags| SIGNING_DURATION.iter().find_map(|name| flags.get_key_value(*name)));
        match given {
            None => Ok(self.signing_duration),
            Some((_, value)) if value.is_empty() => Ok(SignedDuration::try_from(YEAR).unwrap_or(SignedDuration::MAX)),
            Some((name, value)) => {
                Ok(value.parse().map_err(|error| std::io::Error::other(format!("--{name}={value}: {error}")))?)
            }
        }
    }

    /// Where the controller-manager finds the CA that signs for a role.
    pub(crate) fn signer(&self, role: Role) -> Signer<'_> {
        let flags = self.flags.get(&Component::ControllerManager);
        let flag = |name: &str| flags.and_then(|flags| flags.get(name)).map(String::as_str);
        let of_role = flag(match role {
            Role::Client => "cluster-signing-kubelet-client-cert-file",
            Role::Serving => "cluster-signing-kubelet-serving-cert-file",
        });
        match of_role.filter(|path| !path.is_empty()).or(flag("cluster-signing-cert-file")) {
            None => Signer::Own,
            Some("") => Signer::Absent,
            Some(path) => Signer::File(path),
        }
    }

    /// Applies the changes of a component's start.
    pub(crate) fn apply(&mut self, component: Component, changes: &Changes, rules: Rules) {
        if let Some(flags) = &changes.flags {
            self.flags.insert(component, flags.clone());
        }
        if let Some(duration) = changes.signing_duration {
            self.signing_duration = signing_duration(duration, rules);
        }
        self.anonymous_auth = changes.anonymous_auth.unwrap_or(self.anonymous_auth);
        if let Some(controllers) = &changes.controllers {
            self.controllers.clone_from(controllers);
        }
    }
}

/// Where the CA is that signs for a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signer<'a> {
    /// The one that tlsboot created.
    Own,
    /// In this file, whose path may begin with `{pki}`.
    File(&'a str),
    /// Nothing signs for the role.
    Absent,
}

pub(crate) fn signing_duration(asked: SigningDuration, rules: Rules) -> SignedDuration {
    match asked {
        SigningDuration::Quick => rules.quick(),
        SigningDuration::Length(length) => length,
    }
}

/// The audit policy: everything except the control plane's own housekeeping and that of these users.
pub(crate) fn audit_policy(housekeepers: &[String], rules: Rules) -> Value {
    let mut quiet = vec!["system:apiserver".to_owned()];
    quiet.extend_from_slice(housekeepers);
    json!({
        "apiVersion": rules.audit_api(),
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "users": quiet},
            {"level": "None", "nonResourceURLs": ["/readyz*", "/livez*"]},
            {"level": "Metadata"},
        ],
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::none(&[], Some(135))]
    #[case::another(&[("v", "6")], Some(135))]
    #[case::replaced(&[("cluster-signing-duration", "1h30m")], Some(5400))]
    #[case::by_its_old_name(&[("experimental-cluster-signing-duration", "10m0s")], Some(600))]
    #[case::taken_away(&[("cluster-signing-duration", "")], Some(365 * 24 * 3600))]
    #[case::wrong(&[("cluster-signing-duration", "soon")], None)]
    fn certificates_last_as_the_flags_in_force_say(#[case] flags: &[(&str, &str)], #[case] seconds: Option<i64>) {
        let mut settings = Settings::new(&Cluster::default(), SignedDuration::from_secs(135));
        let flags = flags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        settings.flags.insert(Component::ControllerManager, flags);
        assert_eq!(settings.certificates_last().ok().map(|duration| duration.as_secs()), seconds);
    }

    #[rstest]
    #[case::none(&[], Signer::Own, Signer::Own)]
    #[case::one_for_all(&[("cluster-signing-cert-file", "/a")], Signer::File("/a"), Signer::File("/a"))]
    #[case::one_for_a_role(&[("cluster-signing-kubelet-serving-cert-file", "/b")], Signer::Own, Signer::File("/b"))]
    #[case::only_for_a_role(
        &[("cluster-signing-cert-file", ""), ("cluster-signing-kubelet-client-cert-file", "/c")],
        Signer::File("/c"),
        Signer::Absent
    )]
    fn who_signs_is_as_the_flags_in_force_say(
        #[case] flags: &[(&str, &str)],
        #[case] client: Signer<'_>,
        #[case] serving: Signer<'_>,
    ) {
        let mut settings = Settings::new(&Cluster::default(), SignedDuration::from_hours(1));
        let flags = flags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        settings.flags.insert(Component::ControllerManager, flags);
        assert_eq!((settings.signer(Role::Client), settings.signer(Role::Serving)), (client, serving));
    }
}
