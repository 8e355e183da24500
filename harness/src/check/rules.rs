//! Everything that differs between versions, in one table: behaviour, range of versions, value, source.
//!
//! A scenario says "as this version promises"; the table knows what that is. Where runs and catalogue disagree, the
//! runs are right, and the row says so.

use jiff::{SignedDuration, Timestamp};

use super::Role;
use crate::components::Version;

/// Whose version a row goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The control plane.
    ControlPlane,
    /// The kubelet.
    Kubelet,
}

/// One row: from this minor version on, until the next row of the same behaviour.
#[derive(Clone, Copy, Debug)]
pub struct Row<T: 'static> {
    /// First minor version of Kubernetes 1 that behaves so.
    pub from: u32,
    /// How it behaves.
    pub value: T,
    /// Where that stands.
    pub source: &'static str,
}

/// A behaviour that differs between versions.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour<T: 'static> {
    /// What it is.
    pub name: &'static str,
    /// Whose version decides.
    pub who: Who,
    /// Rows in ascending order.
    pub rows: &'static [Row<T>],
}

impl<T: Copy> Behaviour<T> {
    fn at(&self, minor: u32) -> T {
        self.rows
            .iter()
            .rev()
            .find(|row| row.from <= minor)
            .unwrap_or(&self.rows[0])
            .value
    }
}

/// How a signer sets NotAfter of a certificate that lives shorter than eight hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAfterRule {
    /// signing time + T − 5 min.
    LosesBackdate,
    /// signing time + T.
    Full,
}

/// NotAfter of short certificates.
pub const NOT_AFTER: Behaviour<NotAfterRule> = Behaviour {
    name: "NotAfter of certificates shorter than 8 h",
    who: Who::ControlPlane,
    rows: &[
        Row {
            from: 0,
            value: NotAfterRule::LosesBackdate,
            source: "catalogue S-05; pkg/controller/certificates/authority",
        },
        Row {
            from: 22,
            value: NotAfterRule::Full,
            source: "catalogue S-05; kubernetes#99412",
        },
    ],
};

/// Whether kubelets ask for `key encipherment` with an ECDSA key.
pub const KEY_ENCIPHERMENT: Behaviour<bool> = Behaviour {
    name: "kubelet asks for `key encipherment` with ECDSA keys",
    who: Who::Kubelet,
    rows: &[
        Row {
            from: 0,
            value: true,
            source: "catalogue C-03",
        },
        Row {
            from: 27,
            value: false,
            source: "catalogue C-03; kubernetes#111660",
        },
    ],
};

/// Whether the API server records credential ids of certificates.
pub const CREDENTIAL_IDS: Behaviour<bool> = Behaviour {
    name: "API server records X509SHA256 credential ids",
    who: Who::ControlPlane,
    rows: &[
        Row {
            from: 0,
            value: false,
            source: "catalogue C-07",
        },
        Row {
            from: 32,
            value: true,
            source: "catalogue C-07, T-14; kubernetes#125634",
        },
    ],
};

/// The shortest `--cluster-signing-duration` with which no kubelet can loop, in seconds.
pub const QUICK: Behaviour<i64> = Behaviour {
    name: "shortest signing duration without a loop of renewals, with some room (s)",
    who: Who::ControlPlane,
    rows: &[
        Row {
            from: 0,
            value: 480,
            source: "catalogue 0.1: T > 7m09s",
        },
        Row {
            from: 22,
            value: 135,
            source: "catalogue 0.1: T > 2m09s",
        },
    ],
};

/// The prefix of log lines about the client certificate's manager is not table matter: scenarios match parts of lines.
const BACKDATE: SignedDuration = SignedDuration::from_mins(5);
const SHORT: SignedDuration = SignedDuration::from_hours(8);

/// The rules for one pair of versions.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    control_plane: u32,
    kubelet: u32,
}

impl Rules {
    /// For this control plane with this kubelet.
    pub fn new(control_plane: Version, kubelet: Version) -> Self {
        Self {
            control_plane: control_plane.minor,
            kubelet: kubelet.minor,
        }
    }

    fn of<T: Copy>(&self, behaviour: &Behaviour<T>) -> T {
        behaviour.at(match behaviour.who {
            Who::ControlPlane => self.control_plane,
            Who::Kubelet => self.kubelet,
        })
    }

    /// Usages that the kubelet asks for (catalogue C-03).
    pub fn usages(&self, role: Role) -> Vec<String> {
        let mut usages = vec!["digital signature".to_owned()];
        if self.of(&KEY_ENCIPHERMENT) {
            usages.push("key encipherment".into());
        }
        usages.push(match role {
            Role::Client => "client auth".into(),
            Role::Serving => "server auth".into(),
        });
        usages
    }

    /// Whether requests by certificate carry a credential id (catalogue T-14).
    pub fn credential_ids(&self) -> bool {
        self.of(&CREDENTIAL_IDS)
    }

    /// `quick`: the shortest signing duration that forces rotation but no loop.
    pub fn quick(&self) -> SignedDuration {
        SignedDuration::from_secs(self.of(&QUICK))
    }

    /// NotAfter of a certificate whose NotBefore is known, signed for `duration` (catalogue S-05), by a CA that does
    /// not end before.
    pub fn not_after(&self, not_before: Timestamp, duration: SignedDuration) -> Timestamp {
        let signed = not_before + BACKDATE;
        match self.of(&NOT_AFTER) {
            NotAfterRule::Full if duration < SHORT => signed + duration,
            _ => signed + duration - BACKDATE,
        }
    }

    /// How long before the moment of signing NotBefore lies.
    pub fn backdate(&self) -> SignedDuration {
        BACKDATE
    }

    /// The window in which a kubelet renews: 70 % to 90 % of the whole span from NotBefore (catalogue T-01).
    pub fn rotation_window(
        &self,
        not_before: Timestamp,
        not_after: Timestamp,
    ) -> (Timestamp, Timestamp) {
        let span = not_after.duration_since(not_before);
        let at =
            |share: f64| not_before + SignedDuration::from_secs_f64(span.as_secs_f64() * share);
        (at(0.7), at(0.9))
    }
}
