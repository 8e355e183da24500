//! What a control plane that we start is told, whatever starts it.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::{Value, json};

use tlsboot_core::check::rules::Rules;
use tlsboot_core::scenario::stimulus::{Changes, Component};
use tlsboot_core::scenario::{Cluster, Flags, SigningDuration};

/// What can change while the cluster lives.
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

    /// A control plane's own `--controllers`, without those of certificates and tokens that the scenario does not name.
    pub(crate) fn controllers_of(&self, own: &str) -> String {
        let ours = Cluster::default().controllers;
        let off = ours.iter().filter(|name| !self.controllers.contains(name));
        let off: Vec<&String> = off.collect();
        // The first mention of a name counts, so one that is off must not be named before (`IsControllerEnabled` in
        // staging/src/k8s.io/controller-manager/app/helper.go).
        let is_off = |name: &&str| off.iter().any(|off| off == name);
        let on = own.split(',').filter(|name| !is_off(name));
        let on: Vec<&str> = on.collect();
        off.iter().fold(on.join(","), |all, name| format!("{all},-{name}"))
    }

    /// Takes over what a start changes.
    pub(crate) fn apply(&mut self, changes: &Changes, rules: Rules) {
        if let Some(duration) = changes.signing_duration {
            self.signing_duration = signing_duration(duration, rules);
        }
        self.anonymous_auth = changes.anonymous_auth.unwrap_or(self.anonymous_auth);
        if let Some(controllers) = &changes.controllers {
            self.controllers.clone_from(controllers);
        }
    }
}

pub(crate) fn signing_duration(asked: SigningDuration, rules: Rules) -> SignedDuration {
    match asked {
        SigningDuration::Quick => rules.quick(),
        SigningDuration::Length(length) => length,
    }
}

/// The audit policy: everything but the control plane's own housekeeping, and that of these users.
pub(crate) fn audit_policy(housekeepers: &[String]) -> Value {
    let mut quiet = vec!["system:apiserver".to_owned()];
    quiet.extend_from_slice(housekeepers);
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "users": quiet},
            {"level": "None", "nonResourceURLs": ["/readyz*", "/livez*"]},
            {"level": "Metadata"},
        ],
    })
}
