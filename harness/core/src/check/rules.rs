//! Everything that differs between versions, in one table: behavior, range of versions, value, source.
//!
//! A scenario says "as this version promises"; the table says what that is. Where runs and catalogue disagree, the runs
//! are right, and the row says so.

use jiff::{SignedDuration, Timestamp};

use super::Role;
use crate::time::{Shift, at_share};
use crate::version::Version;

/// Whose version decides which row applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The control plane.
    ControlPlane,
    /// The kubelet.
    Kubelet,
}

/// One row: from this minor version on, until the next row of the same behavior.
#[derive(Clone, Copy, Debug)]
pub struct Row<T: 'static> {
    /// The first minor version of Kubernetes 1 that behaves this way.
    pub from: u32,
    /// How it behaves.
    pub value: T,
    /// The source for this.
    pub source: &'static str,
}

/// A behavior that differs between versions.
#[derive(Clone, Copy, Debug)]
pub struct Behavior<T: 'static> {
    /// What it is.
    pub name: &'static str,
    /// Whose version decides.
    pub who: Who,
    /// Rows in ascending order.
    pub rows: &'static [Row<T>],
    /// Ids of scenarios whose runs show the difference.
    pub shown_by: &'static [&'static str],
}

impl<T: Copy> Behavior<T> {
    fn at(&self, minor: u32) -> T {
        self.rows.iter().rev().find(|row| row.from <= minor).unwrap_or(&self.rows[0]).value
    }
}

/// How a signer sets NotAfter of a certificate that is valid for less than eight hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAfterRule {
    /// signing time + T − 5 min.
    LosesBackdate,
    /// signing time + T.
    Full,
}

/// NotAfter of short certificates.
pub const NOT_AFTER: Behavior<NotAfterRule> = Behavior {
    name: "NotAfter of certificates shorter than 8 h",
    who: Who::ControlPlane,
    rows: &[
        Row {
            from: 0,
            value: NotAfterRule::LosesBackdate,
            source: "catalogue S-05; pkg/controller/certificates/authority",
        },
        Row { from: 22, value: NotAfterRule::Full, source: "catalogue S-05; kubernetes#99412" },
    ],
    shown_by: &["issuance.signing-duration"],
};

/// Whether kubelets request `key encipherment` with an ECDSA key.
pub const KEY_ENCIPHERMENT: Behavior<bool> = Behavior {
    name: "kubelet requests `key encipherment` with ECDSA keys",
    who: Who::Kubelet,
    rows: &[
        Row { from: 0, value: true, source: "catalogue C-03" },
        Row { from: 27, value: false, source: "catalogue C-03; kubernetes#111660" },
    ],
    shown_by: &["rotation.short-signing-duration"],
};

/// Whether the approver and the signer take a kubelet's CSR without `key encipherment`.
pub const WITHOUT_ENCIPHERMENT: Behavior<bool> = Behavior {
    name: "approver and signer accept a kubelet's CSR without `key encipherment`",
    who: Who::ControlPlane,
    rows: &[
        Row { from: 0, value: false, source: "catalogue C-04; pkg/apis/certificates/helpers.go" },
        Row { from: 25, value: true, source: "catalogue C-04; kubernetes#111061" },
    ],
    shown_by: &["issuance.client-certificate"],
};

/// Whether the controller-manager approves serving CSRs.
pub const APPROVES_SERVING: Behavior<bool> = Behavior {
    name: "the controller-manager approves serving CSRs of nodes",
    who: Who::ControlPlane,
    rows: &[
        Row { from: 0, value: true, source: "catalogue P-06; kubernetes#46884" },
        Row { from: 11, value: false, source: "catalogue P-06; kubernetes#62471" },
    ],
    shown_by: &["approval.serving-csr-waits"],
};

/// Whether the API server records credential ids of certificates.
pub const CREDENTIAL_IDS: Behavior<bool> = Behavior {
    name: "API server records X509SHA256 credential ids",
    who: Who::ControlPlane,
    rows: &[
        Row { from: 0, value: false, source: "catalogue C-07" },
        Row { from: 32, value: true, source: "catalogue C-07, T-14; kubernetes#125634" },
    ],
    shown_by: &["rotation.short-signing-duration", "reload.client-certificate-without-restart"],
};

/// A `--cluster-signing-duration` that is short, but with which no kubelet renews within 15 s of the signing (catalogue 0.1:
/// from 2m09s on, and up to 1.21 from 7m09s on, none renews in a loop), in seconds. What a scenario does first comes before
/// the first renewal, whatever moment the kubelet chooses.
pub const QUICK: Behavior<i64> = Behavior {
    name: "short signing duration with no renewal within 15 s (s)",
    who: Who::ControlPlane,
    rows: &[
        Row { from: 0, value: 480, source: "catalogue 0.1: 70 % of T" },
        Row { from: 22, value: 150, source: "catalogue 0.1: 70 % of T + 5m" },
    ],
    shown_by: &["rotation.short-signing-duration"],
};

/// The exit code of a kubelet that gives up.
pub const FAILURE_CODE: Behavior<i32> = Behavior {
    name: "exit code of a kubelet that gives up",
    who: Who::Kubelet,
    rows: &[
        Row { from: 0, value: 1, source: "die in cmd/kubelet/kubelet.go" },
        Row { from: 10, value: 255, source: "klog.Fatal in cmd/kubelet/app/server.go" },
        Row { from: 21, value: 1, source: "cmd/kubelet/app/server.go" },
    ],
    shown_by: &["approval.without-rotation-denied", "recovery.kubeconfig-garbage-without-bootstrap-kubeconfig"],
};

/// What creates the certificates of Kubernetes' own signers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// The cfssl library: subject key identifiers, 160-bit serial numbers, and NotBefore in whole minutes.
    Cfssl,
    /// Kubernetes' own code: no subject key identifiers, 128-bit serial numbers, and NotBefore in whole seconds.
    Own,
}

/// What creates certificates.
pub const AUTHORITY: Behavior<Authority> = Behavior {
    name: "certificates are created by",
    who: Who::ControlPlane,
    rows: &[
        Row { from: 0, value: Authority::Cfssl, source: "github.com/cloudflare/cfssl/signer, signer/local" },
        Row { from: 17, value: Authority::Own, source: "catalogue S-05, S-07; pkg/controller/certificates/authority" },
    ],
    shown_by: &["approval.without-rotation-automatic"],
};

/// Whether CSRs are in certificates.k8s.io/v1beta1 only.
pub const BETA_CSRS: Behavior<bool> = Behavior {
    name: "CSRs are in certificates.k8s.io/v1beta1 only",
    who: Who::ControlPlane,
    rows: &[
        Row { from: 0, value: true, source: "catalogue C-11" },
        Row { from: 19, value: false, source: "catalogue C-11; kubernetes#91685" },
    ],
    shown_by: &["rotation.short-signing-duration"],
};

/// The API group version of audit events and their policy.
pub const AUDIT_API: Behavior<&str> = Behavior {
    name: "API of audit events",
    who: Who::ControlPlane,
    rows: &[
        Row { from: 0, value: "audit.k8s.io/v1alpha1", source: "staging/src/k8s.io/apiserver/pkg/audit" },
        Row { from: 8, value: "audit.k8s.io/v1beta1", source: "staging/src/k8s.io/apiserver/pkg/audit" },
        Row { from: 12, value: "audit.k8s.io/v1", source: "kubernetes#65891" },
    ],
    shown_by: &["rotation.short-signing-duration"],
};

/// Whether the controller-manager has a port with TLS.
pub const MANAGER_TLS: Behavior<bool> = Behavior {
    name: "kube-controller-manager has a port with TLS, where its metrics are",
    who: Who::ControlPlane,
    rows: &[
        Row { from: 0, value: false, source: "cmd/kube-controller-manager/app/options/options.go" },
        Row { from: 12, value: true, source: "kubernetes#64149" },
    ],
    shown_by: &["rotation.short-signing-duration"],
};

/// Whether a kubelet takes all of its configuration from a file.
pub const KUBELET_FILE: Behavior<bool> = Behavior {
    name: "kubelet's `--config` knows `rotateCertificates` and `serverTLSBootstrap`",
    who: Who::Kubelet,
    rows: &[
        Row { from: 0, value: false, source: "pkg/kubelet/apis/kubeletconfig/v1beta1/types.go" },
        Row { from: 11, value: true, source: "pkg/kubelet/apis/kubeletconfig/v1beta1/types.go" },
    ],
    shown_by: &["rotation.short-signing-duration"],
};

/// The flag for the controller-manager's port without TLS, which is open by default; none where there is no such port.
pub const PLAIN_PORT: Behavior<Option<&str>> = Behavior {
    name: "kube-controller-manager's flag for its port without TLS",
    who: Who::ControlPlane,
    rows: &[
        Row { from: 0, value: Some("port"), source: "cmd/kube-controller-manager/app/options/options.go" },
        Row {
            from: 22,
            value: None,
            source: "cmd/kube-controller-manager/app/options/options.go (no effect from here on)",
        },
    ],
    shown_by: &["rotation.short-signing-duration"],
};

/// The API group version of EgressSelectorConfiguration with a Unix socket, by which tlsboot's API servers reach the kubelets;
/// none where there is none yet.
pub const EGRESS_SELECTOR: Behavior<Option<&str>> = Behavior {
    name: "EgressSelectorConfiguration with HTTPConnect over a Unix socket",
    who: Who::ControlPlane,
    rows: &[
        Row { from: 0, value: None, source: "staging/src/k8s.io/apiserver/pkg/server/egressselector/config.go" },
        Row { from: 18, value: Some("apiserver.k8s.io/v1beta1"), source: "KEP-1281; catalogue U-01" },
    ],
    shown_by: &["reach.approved-and-rotated-in-use"],
};

/// One row of the table in words: a behavior, for a range of versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The behavior.
    pub behavior: &'static str,
    /// Whose version decides.
    pub who: Who,
    /// The first minor version that behaves this way; `None` for the oldest row.
    pub from: Option<u32>,
    /// The first minor version that no longer behaves this way; `None` for the newest row.
    pub until: Option<u32>,
    /// How it behaves.
    pub value: String,
    /// The source for this.
    pub source: &'static str,
    /// Ids of scenarios whose runs show it.
    pub shown_by: &'static [&'static str],
}

/// The whole table, for people to read.
pub fn table() -> Vec<Line> {
    fn lines<T: Copy>(behavior: &Behavior<T>, words: fn(T) -> String) -> Vec<Line> {
        let rows = behavior.rows;
        let line = |(index, row): (usize, &Row<T>)| Line {
            behavior: behavior.name,
            who: behavior.who,
            from: Some(row.from).filter(|_| index > 0),
            until: rows.get(index + 1).map(|next| next.from),
            value: words(row.value),
            source: row.source,
            shown_by: behavior.shown_by,
        };
        rows.iter().enumerate().map(line).collect()
    }
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let not_after = |rule| match rule {
        NotAfterRule::LosesBackdate => "signing time + T − 5 min".to_owned(),
        NotAfterRule::Full => "signing + T".to_owned(),
    };
    let authority = |authority| match authority {
        Authority::Cfssl => {
            "cfssl: a subject key identifier, a 160-bit serial number, NotBefore in whole minutes".to_owned()
        }
        Authority::Own => {
            "Kubernetes: no subject key identifier, a 128-bit serial number, NotBefore in whole seconds".to_owned()
        }
    };
    [
        lines(&NOT_AFTER, not_after),
        lines(&KEY_ENCIPHERMENT, yes),
        lines(&WITHOUT_ENCIPHERMENT, yes),
        lines(&APPROVES_SERVING, yes),
        lines(&CREDENTIAL_IDS, yes),
        lines(&QUICK, |seconds| seconds.to_string()),
        lines(&AUTHORITY, authority),
        lines(&BETA_CSRS, yes),
        lines(&FAILURE_CODE, |code| code.to_string()),
        lines(&AUDIT_API, str::to_owned),
        lines(&MANAGER_TLS, yes),
        lines(&KUBELET_FILE, yes),
        lines(&PLAIN_PORT, |flag| flag.map_or_else(|| "no".to_owned(), |flag| format!("`--{flag}`"))),
        lines(&EGRESS_SELECTOR, |version| version.unwrap_or("no").to_owned()),
    ]
    .concat()
}

/// How long before the signing time NotBefore lies, in all versions (catalogue S-05).
const BACKDATE: SignedDuration = SignedDuration::from_mins(5);
/// A certificate that is valid for less than this keeps its full duration after signing.
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
        Self { control_plane: control_plane.minor, kubelet: kubelet.minor }
    }

    fn of<T: Copy>(&self, behavior: &Behavior<T>) -> T {
        behavior.at(match behavior.who {
            Who::ControlPlane => self.control_plane,
            Who::Kubelet => self.kubelet,
        })
    }

    /// Usages that the kubelet requests (catalogue C-03).
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

    /// Whether the approver and the signer take these usages of a kubelet's CSR (catalogue C-04, C-05).
    pub fn accepts_usages(&self, role: Role, usages: &[String]) -> bool {
        let own = match role {
            Role::Client => "client auth",
            Role::Serving => "server auth",
        };
        let is = |wanted: &[&str]| {
            wanted.len() == usages.len() && wanted.iter().all(|one| usages.iter().any(|usage| usage == one))
        };
        is(&["digital signature", "key encipherment", own])
            || (self.of(&WITHOUT_ENCIPHERMENT) && is(&["digital signature", own]))
    }

    /// Whether the controller-manager approves serving CSRs of nodes (catalogue P-06).
    pub fn approves_serving(&self) -> bool {
        self.of(&APPROVES_SERVING)
    }

    /// Whether requests with a certificate carry a credential id (catalogue T-14).
    pub fn credential_ids(&self) -> bool {
        self.of(&CREDENTIAL_IDS)
    }

    /// The exit code of a kubelet that gives up.
    pub fn failure_code(&self) -> i32 {
        self.of(&FAILURE_CODE)
    }

    /// The API group version of audit events and their policy.
    pub fn audit_api(&self) -> &'static str {
        self.of(&AUDIT_API)
    }

    /// Whether the controller-manager has a port with TLS.
    pub fn manager_has_tls(&self) -> bool {
        self.of(&MANAGER_TLS)
    }

    /// Whether the kubelet takes all of its configuration from a file.
    pub fn has_kubelet_file(&self) -> bool {
        self.of(&KUBELET_FILE)
    }

    /// The flag for the controller-manager's port without TLS, where it has one.
    pub fn plain_port(&self) -> Option<&'static str> {
        self.of(&PLAIN_PORT)
    }

    /// What creates certificates.
    pub fn authority(&self) -> Authority {
        self.of(&AUTHORITY)
    }

    /// The API group version of EgressSelectorConfiguration, where an API server can reach kubelets by one.
    pub fn egress_selector(&self) -> Option<&'static str> {
        self.of(&EGRESS_SELECTOR)
    }

    /// Whether the API server does not serve CSRs in certificates.k8s.io/v1.
    pub fn beta_csrs(&self) -> bool {
        self.of(&BETA_CSRS)
    }

    /// `quick`: a short signing duration that forces a rotation, but none within 15 s of the signing.
    pub fn quick(&self) -> SignedDuration {
        SignedDuration::from_secs(self.of(&QUICK))
    }

    /// NotAfter of a certificate whose NotBefore is known, signed for `duration` (catalogue S-05), by a CA that does
    /// not expire before it.
    pub fn not_after(&self, not_before: Timestamp, duration: SignedDuration) -> Timestamp {
        let signed = not_before.later(BACKDATE);
        match self.of(&NOT_AFTER) {
            NotAfterRule::Full if duration < SHORT => signed.later(duration),
            _ => signed.later(duration).earlier(BACKDATE),
        }
    }

    /// How long before signing NotBefore lies.
    pub fn backdate(&self) -> SignedDuration {
        BACKDATE
    }

    /// The window in which a kubelet renews: 70 % to 90 % of the whole span from NotBefore (catalogue T-01).
    pub fn rotation_window(&self, not_before: Timestamp, not_after: Timestamp) -> (Timestamp, Timestamp) {
        let at = |share| at_share(not_before, not_after, share);
        (at(0.7), at(0.9))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn rules(control_plane: u32, kubelet: u32) -> Rules {
        Rules::new(Version::new(1, control_plane, 0), Version::new(1, kubelet, 0))
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// The table of catalogue 0.1, for a signing at 12:00.
    #[rstest]
    #[case::short_today(37, "3m", "2026-01-01T12:03:00Z")]
    #[case::just_short(22, "7h59m59s", "2026-01-01T19:59:59Z")]
    #[case::long_today(37, "8h", "2026-01-01T19:55:00Z")]
    #[case::short_before(21, "8m", "2026-01-01T12:03:00Z")]
    #[case::long_before(21, "8760h", "2027-01-01T11:55:00Z")]
    fn not_after_goes_by_version_and_length(#[case] minor: u32, #[case] length: &str, #[case] ends: &str) {
        let not_before = at("2026-01-01T11:55:00Z");
        assert_eq!(rules(minor, minor).not_after(not_before, length.parse().unwrap()), at(ends));
    }

    #[rstest]
    #[case(26, true)]
    #[case(27, false)]
    fn usages_go_by_the_kubelet(#[case] kubelet: u32, #[case] encipherment: bool) {
        let usages = rules(37, kubelet).usages(Role::Client);
        assert_eq!(usages.contains(&"key encipherment".to_owned()), encipherment);
        assert!(usages.ends_with(&["client auth".to_owned()]));
        assert!(rules(37, kubelet).usages(Role::Serving).ends_with(&["server auth".to_owned()]));
    }

    #[rstest]
    #[case(31, false)]
    #[case(32, true)]
    fn credential_ids_go_by_the_control_plane(#[case] control_plane: u32, #[case] recorded: bool) {
        assert_eq!(rules(control_plane, 24).credential_ids(), recorded);
    }

    #[test]
    fn the_table_for_people_is_whole_and_without_gaps() {
        let behaviors = include_str!("rules.rs")
            .lines()
            .filter(|line| line.starts_with("pub const") && line.contains(": Behavior<"))
            .count();
        let table = table();
        let mut names: Vec<&str> = table.iter().map(|line| line.behavior).collect();
        names.dedup();
        assert_eq!(names.len(), behaviors, "a behavior is not in `table`");
        for pair in table.windows(2).filter(|pair| pair[0].behavior == pair[1].behavior) {
            assert_eq!(pair[0].until, pair[1].from);
            assert!(pair[0].value != pair[1].value, "{}", pair[0].behavior);
        }
        assert!(table.iter().all(|line| !line.source.is_empty() && !line.shown_by.is_empty()));
    }

    proptest! {
        /// With `quick` no renewal is due before signing, in any version, so no kubelet renews in a loop; and it is due
        /// within two minutes.
        #[test]
        fn quick_never_loops(minor in 17_u32..40) {
            let rules = rules(minor, minor);
            let not_before = at("2026-01-01T11:55:00Z");
            let signed = not_before + rules.backdate();
            let (from, to) = rules.rotation_window(not_before, rules.not_after(not_before, rules.quick()));
            prop_assert!(from > signed && to < signed + SignedDuration::from_mins(3), "{from} {to}");
        }

        /// The window lies within the certificate's lifetime, however long that is.
        #[test]
        fn the_window_lies_inside(seconds in 1_i64..1_000_000_000) {
            let (from, to) = (at("2026-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z") + SignedDuration::from_secs(seconds));
            let (opens, closes) = rules(37, 37).rotation_window(from, to);
            prop_assert!(from < opens && opens < closes && closes < to);
        }
    }
}
