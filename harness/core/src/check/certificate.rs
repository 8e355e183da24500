//! Certificates, field by field, as the signer of this version creates them (catalogue S-04 to S-07, C-08).

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;

use super::compare::{Compare, NONE, list};
use super::rules::{Authority, Rules};
use super::{LooksAt, Match, Matcher, Moment, OfEvents, Role, State};
use crate::history::What;
use crate::history::event::{CsrEvent, NODE_USER_PREFIX, NODES_GROUP, Recorder};
use crate::history::facts::CertificateFacts;
use crate::scenario::{NodeName, duration};
use crate::time::Shift;
use crate::x509::{read, verify};

/// A certificate that was issued to a node. Whatever is left out here is checked against Kubernetes' own signer:
/// subject, alternative names, usages, constraints, identifiers, key, chain, serial number and validity.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Certificate {
    /// The node.
    pub node: NodeName,
    /// Which of its certificates.
    pub role: Role,
    /// Its number among the issued ones, starting at 1.
    #[serde(default = "first")]
    pub number: usize,
    /// How long it is valid after signing, if neither the signer's duration nor `expirationSeconds` determines it.
    #[serde(default, deserialize_with = "duration::positive_if_given")]
    #[schemars(schema_with = "duration::schema")]
    pub valid_for: Option<SignedDuration>,
    /// It expires together with the CA that signed it (catalogue S-06).
    #[serde(default, rename = "expiresWithCA")]
    pub expires_with_ca: bool,
}

fn first() -> usize {
    1
}

/// All clocks are the same here, but certificates have whole seconds and events arrive a moment later.
const CLOCK_ROOM: SignedDuration = SignedDuration::from_secs(2);
/// cfssl rounds NotBefore to the nearest minute (`signer.FillTemplate`).
const HALF_A_MINUTE: SignedDuration = SignedDuration::from_secs(30);

impl Matcher for Certificate {
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
        (self.number == 0).then(|| "certificates are counted from 1".into())
    }
}

impl OfEvents for Certificate {
    fn judge(&self, moment: &Moment<'_>) -> Match {
        let What::Csr(event) = &moment.event.what else { return Match::Other };
        let Some(rules) = moment.state.rules() else { return Match::Other };
        let issued = moment.state.issued(&self.node, self.role);
        let Some((csr, certificate)) = issued.get(self.number.wrapping_sub(1)) else { return Match::Other };
        if csr.now.uid != event.uid {
            return Match::Other;
        }
        let at = csr.issued.unwrap_or(moment.event.at);
        let issue = Issue { role: self.role, csr: &csr.now, first_seen: csr.first_seen, at, certificate, rules };
        let mut compare = Compare::default();
        issue.content(&mut compare);
        unique(&mut compare, moment.state, certificate);
        let signers = moment.state.signers.get(self.role.signer_name());
        match signers.and_then(|all| read_der(all.last()?)) {
            Some(ca) => {
                issue.chain(&mut compare, &ca);
                self.validity(&mut compare, moment, &issue, ca.not_after);
            }
            None => {
                compare.holds("issuer", false, "the signer's CA", "no CA of this signer is known");
            }
        }
        compare.or_wrong()
    }
}

impl Certificate {
    fn validity(&self, compare: &mut Compare, moment: &Moment<'_>, issue: &Issue<'_>, ca_ends: Timestamp) {
        let Some(flag) = moment.state.signing else {
            compare.holds("notAfter", false, "determined by the signing duration", "the signing duration is not known");
            return;
        };
        issue.not_before(compare);
        let by_rule = match self.valid_for {
            Some(duration) => issue.rules.not_after(issue.certificate.not_before, duration),
            None => issue.ends(flag),
        };
        let (expected, found) = (if self.expires_with_ca { ca_ends } else { by_rule }, issue.certificate.not_after);
        compare.holds("notAfter", found == expected, expected, found);
        if self.expires_with_ca {
            compare.holds("notAfter", ca_ends < by_rule, format!("the CA to expire before {by_rule}"), ca_ends);
        }
    }
}

/// A certificate of one of the kubelet's signers, and what was asked for.
pub(super) struct Issue<'a> {
    pub(super) role: Role,
    pub(super) csr: &'a CsrEvent,
    /// When the CSR was first seen.
    pub(super) first_seen: Timestamp,
    /// When it was first seen with the certificate.
    pub(super) at: Timestamp,
    pub(super) certificate: &'a CertificateFacts,
    pub(super) rules: Rules,
}

impl Issue<'_> {
    /// What is in it, but for its time and its issuer.
    pub(super) fn content(&self, compare: &mut Compare) {
        let (csr, certificate) = (self.csr, self.certificate);
        compare.holds("certificates", csr.certificates.len() == 1, 1, csr.certificates.len());
        self.names(compare);
        usages(compare, csr, certificate, self.role);
        constraints(compare, self.rules.authority(), certificate);
        serial(compare, self.rules.authority(), certificate);
        compare.holds(
            "key",
            certificate.key == csr.request.key,
            format!("the one of the CSR ({})", csr.request.key.spki_sha256),
            &certificate.key.spki_sha256,
        );
    }

    fn names(&self, compare: &mut Compare) {
        let (subject, request) = (&self.certificate.subject, &self.csr.request);
        let user = self.csr.node().map(|node| format!("{NODE_USER_PREFIX}{node}"));
        let user = user.as_deref().unwrap_or("one that begins with system:node:");
        compare
            .holds("version", self.certificate.version == 3, 3, self.certificate.version)
            .text("subject.commonName", Some(user), subject.common_name.as_deref())
            .set("subject.organizations", Some(&[NODES_GROUP.to_owned()]), &subject.organizations)
            .holds("subject", subject.other.is_empty(), "only CN and O", list(&subject.other));
        let (dns, ips) = match self.role {
            Role::Client => (Vec::new(), Vec::new()),
            Role::Serving => (request.dns.clone(), request.ips.clone()),
        };
        let certificate = self.certificate;
        compare
            .holds("dns", certificate.dns == dns, list(&dns), list(&certificate.dns))
            .holds("ips", certificate.ips == ips, list(&ips), list(&certificate.ips))
            .holds("emails", certificate.emails.is_empty(), NONE, list(&certificate.emails))
            .holds("uris", certificate.uris.is_empty(), NONE, list(&certificate.uris));
        if self.role == Role::Serving {
            compare.holds("dns, ips", !(dns.is_empty() && ips.is_empty()), "at least one", NONE);
        }
    }

    /// It is one of this CA.
    pub(super) fn chain(&self, compare: &mut Compare, ca: &CertificateFacts) {
        let certificate = self.certificate;
        compare.text("authorityKeyIdentifier", ca.subject_key_id.as_deref(), certificate.authority_key_id.as_deref());
        let usage = match self.role {
            Role::Client => verify::Usage::Client,
            Role::Serving => verify::Usage::Server,
        };
        let at = certificate.not_before.max(ca.not_before);
        let chain = verify::chain_of(certificate, &[], std::slice::from_ref(ca), at, usage);
        compare.holds(
            "chain",
            chain.is_ok(),
            "chains to the signer's CA",
            chain.err().map(|error| error.to_string()).unwrap_or_default(),
        );
    }

    /// It is valid from five minutes before its signing.
    pub(super) fn not_before(&self, compare: &mut Compare) {
        let signed = self.certificate.not_before.later(self.rules.backdate());
        let room = match self.rules.authority() {
            Authority::Cfssl => CLOCK_ROOM.later(HALF_A_MINUTE),
            Authority::Own => CLOCK_ROOM,
        };
        let (earliest, latest) = (self.first_seen.earlier(room), self.at.later(room));
        compare.holds(
            "notBefore",
            (earliest..=latest).contains(&signed),
            format!("5 min before signing, which was between {earliest} and {latest}"),
            self.certificate.not_before,
        );
        if self.rules.authority() == Authority::Cfssl {
            let by_the_minute = self.certificate.not_before.as_second() % 60 == 0;
            compare.holds("notBefore", by_the_minute, "a whole minute", self.certificate.not_before);
        }
    }

    /// When it ends, by the controller-manager's flag and the duration that the CSR asks for (catalogue S-04), if its CA
    /// does not end before.
    pub(super) fn ends(&self, flag: SignedDuration) -> Timestamp {
        let asked = self.csr.expiration_seconds.map(|seconds| SignedDuration::from_secs(seconds.into()));
        let duration = asked.map_or(flag, |asked| asked.min(flag));
        self.rules.not_after(self.certificate.not_before, duration)
    }
}

fn usages(compare: &mut Compare, csr: &CsrEvent, certificate: &CertificateFacts, role: Role) {
    let extended = match role {
        Role::Client => "client auth",
        Role::Serving => "server auth",
    };
    let key_usage: Vec<String> = csr.usages.iter().filter(|usage| *usage != extended).cloned().collect();
    compare
        .set("keyUsage", Some(&key_usage), &certificate.key_usage)
        .holds("keyUsage", certificate.key_usage_critical, "critical", "not critical")
        .set("extendedKeyUsage", Some(&[extended.to_owned()]), &certificate.ext_key_usage)
        .holds("extendedKeyUsage", !certificate.ext_key_usage_critical, "not critical", "critical");
}

fn constraints(compare: &mut Compare, authority: Authority, certificate: &CertificateFacts) {
    let ca = certificate.ca.map_or("no BasicConstraints".to_owned(), |ca| format!("CA:{ca}"));
    compare
        .holds("basicConstraints", certificate.ca == Some(false), "CA:false", ca)
        .holds("basicConstraints", certificate.basic_constraints_critical, "critical", "not critical")
        .holds("extensions", certificate.other_extensions.is_empty(), "no others", list(&certificate.other_extensions));
    match (authority, certificate.subject_key_id.as_deref()) {
        (Authority::Own, id) => compare.text("subjectKeyIdentifier", Some(NONE), id),
        (Authority::Cfssl, id) => compare.holds("subjectKeyIdentifier", id.is_some(), "one", NONE),
    };
}

fn serial(compare: &mut Compare, authority: Authority, certificate: &CertificateFacts) {
    let digits = certificate.serial.trim_start_matches('0').len();
    let bits = match authority {
        Authority::Cfssl => 160,
        Authority::Own => 128,
    };
    compare.holds("serial", (1..=bits / 4).contains(&digits), format!("positive, below 2^{bits}"), &certificate.serial);
}

fn unique(compare: &mut Compare, state: &State, certificate: &CertificateFacts) {
    let twins = state
        .csrs
        .iter()
        .filter_map(|csr| csr.now.certificates.first())
        .filter(|other| other.serial == certificate.serial && other.issuer == certificate.issuer)
        .count();
    compare.holds("serial", twins == 1, "unique", format!("{} on {twins} certificates", certificate.serial));
}

/// A CA of a history's `signing`.
pub(super) fn read_der(base64_der: &str) -> Option<CertificateFacts> {
    use base64::Engine;
    let der = base64::engine::general_purpose::STANDARD.decode(base64_der).ok()?;
    read::certificate(&der).ok()
}
