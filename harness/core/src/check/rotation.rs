//! Renewals: when a kubelet requests its next certificate, and as whom (catalogue T-01, T-02, C-07, C-10).

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;

use super::compare::{Compare, NONE};
use super::state::CsrState;
use super::{LooksAt, Match, Matcher, Moment, OfEvents, Role};
use crate::history::What;
use crate::history::event::{Change, NODE_USER_PREFIX, NODES_GROUP, Recorder};
use crate::history::facts::CertificateFacts;
use crate::scenario::NodeName;
use crate::time::Shift;

/// A renewal: a CSR of the node itself, between 70 % and 90 % of its certificate's lifetime, with a new key.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rotation {
    /// The node.
    pub node: NodeName,
    /// Which certificate is renewed.
    pub role: Role,
    /// The number of the certificate that is renewed, among the issued ones, starting at 1.
    pub renews: usize,
    /// The window is not checked: the renewal has another reason than age.
    #[serde(default)]
    pub any_time: bool,
}

/// How long an idle connection of a kubelet lives (`IdleConnTimeout` in k8s.io/apimachinery/pkg/util/net).
const IDLE: SignedDuration = SignedDuration::from_secs(90);
/// From the kubelet's timer to the CSR in the watch: one key and one request, no waiting.
const REACTION: SignedDuration = SignedDuration::from_secs(2);
/// Two more attempts, after 2 s and 4 s plus up to 10 % (`rotateCerts` in client-go's certificate_manager.go). Seen on
/// 1.33.13: a renewal 88 s after the previous one was sent over that one's connection, whose certificate had expired,
/// and got 401. The kubelet closed that connection during the second attempt; the third one succeeded.
const RETRIES: SignedDuration = SignedDuration::from_millis(6_600);

impl Matcher for Rotation {
    fn recorders(&self) -> &'static [Recorder] {
        &[Recorder::Csr]
    }

    fn looks_at(&self) -> LooksAt<'_> {
        LooksAt::Events(self)
    }

    fn subjects(&self) -> Vec<&str> {
        vec![&self.node]
    }

    fn lint(&self) -> Option<String> {
        (self.renews == 0).then(|| "certificates are counted from 1".into())
    }
}

impl OfEvents for Rotation {
    fn judge(&self, moment: &Moment<'_>) -> Match {
        let What::Csr(csr) = &moment.event.what else { return Match::Other };
        if csr.change != Change::Added || csr.node() != Some(&self.node) || csr.signer_name != self.role.signer_name() {
            return Match::Other;
        }
        let state = moment.state;
        let Some(rules) = state.rules() else { return Match::Other };
        let issued = state.issued(&self.node, self.role);
        let Some((renewed, certificate)) = issued.get(self.renews.wrapping_sub(1)) else { return Match::Other };
        // The first CSR after that of the certificate is the renewal; later ones are retries.
        let next = state.csrs_of(&self.node, self.role).skip_while(|known| known.now.uid != renewed.now.uid).nth(1);
        if next.is_none_or(|next| next.now.uid != csr.uid) {
            return Match::Other;
        }
        let mut compare = Compare::default();
        compare.text("requestor", Some(&format!("{NODE_USER_PREFIX}{}", self.node)), Some(&csr.username)).holds(
            "groups",
            csr.groups.iter().any(|group| group == NODES_GROUP),
            "system:nodes included",
            super::compare::list(&csr.groups),
        );
        if !self.any_time {
            // Requested in time over an old connection, whose certificate the API server no longer accepts.
            let first_try = usable(&issued[..self.renews], moment.event.at.earlier(RETRIES));
            let refused = self.role == Role::Client && first_try.iter().any(|one| one.not_after < moment.event.at);
            let late = if refused { REACTION.later(RETRIES) } else { REACTION };
            let (from, to) = rules.rotation_window(certificate.not_before, certificate.not_after);
            compare.holds(
                "time",
                moment.event.at >= from && moment.event.at <= to.later(late),
                format!("between {from} and {to}, 70 % to 90 % of the previous certificate's lifetime"),
                moment.event.at,
            );
        }
        let before = state.csrs.iter().filter(|known| known.now.uid != csr.uid);
        let reused = before.filter(|known| known.now.request.key.spki_sha256 == csr.request.key.spki_sha256).count();
        compare.holds("key", reused == 0, "a new one", "the key of an earlier CSR");
        if rules.credential_ids() {
            let allowed: Vec<String> = match self.role {
                Role::Client => usable(&issued[..self.renews], moment.event.at).into_iter().map(id).collect(),
                Role::Serving => {
                    state.issued(&self.node, Role::Client).iter().map(|(_, certificate)| id(certificate)).collect()
                }
            };
            let found = csr.credential_id().unwrap_or(NONE);
            compare.holds("credential", allowed.iter().any(|id| id == found), super::compare::list(&allowed), found);
        }
        compare.or_wrong()
    }
}

/// The certificates with which a renewal may be requested: the one that is renewed, and earlier ones as long as the
/// connection of the previous renewal was not idle for 90 s. Seen on 1.33.13: a second renewal 21 s after the first was
/// sent over the first one's connection, and so with its certificate.
fn usable<'a>(issued: &[(&CsrState, &'a CertificateFacts)], renewal: Timestamp) -> Vec<&'a CertificateFacts> {
    let mut allowed = Vec::new();
    let mut next = renewal;
    for (csr, certificate) in issued.iter().rev() {
        allowed.push(*certificate);
        if next.duration_since(csr.first_seen) > IDLE.later(REACTION) {
            break;
        }
        next = csr.first_seen;
    }
    allowed
}

fn id(certificate: &CertificateFacts) -> String {
    format!("X509SHA256={}", certificate.sha256)
}
