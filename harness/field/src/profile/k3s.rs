//! k3s: its agents do not bootstrap by CSRs. The supervisor, on the API server's port, gives each of them its
//! certificates in exchange for a token and a password of the node, and an agent fetches them again at each start.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};

use super::{Judged, Statement};
use crate::probe::Outcome::{self, Fail, Pass, Unsupported};
use tlsboot_core::distribution::{Change, NODE_CERTIFICATES, OWN_KEYS, RENEWS_AT_120_DAYS};
use tlsboot_core::history::event::{NODE_USER_PREFIX, NODES_GROUP};
use tlsboot_core::history::facts::{CertificateFacts, KeyFacts};
use tlsboot_core::time::Shift;
use tlsboot_core::version::Version;
use tlsboot_core::x509::verify::{Usage, chain_of, same_key};

/// The supervisor's answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The HTTP status code.
    pub code: u16,
    /// The certificates in it, in order.
    pub certificates: Vec<CertificateFacts>,
    /// The key for which a certificate was requested.
    pub asked: Option<KeyFacts>,
}

/// As whom the API server knows a client certificate.
#[derive(Clone, Debug, PartialEq)]
pub enum Known {
    /// As this user.
    As {
        /// Its name.
        name: String,
        /// Its groups, where the API server says them.
        groups: Option<Vec<String>>,
    },
    /// Not at all: it answered with this code.
    No(u16),
}

/// A certificate file before and after a restart.
#[derive(Clone, Debug, PartialEq)]
pub struct Restarted {
    /// Before.
    pub before: CertificateFacts,
    /// After.
    pub after: CertificateFacts,
}

/// Everything that was observed of a k3s server.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// When.
    pub at: Timestamp,
    /// k3s' version of Kubernetes.
    pub version: Version,
    /// The node that was played.
    pub node: String,
    /// Its address, as reported to the supervisor.
    pub address: IpAddr,
    /// `server-ca.crt`.
    pub server_ca: CertificateFacts,
    /// `client-ca.crt`.
    pub client_ca: CertificateFacts,
    /// Whether the API server's certificate is signed by the server CA, and whether by the client CA.
    pub api_server_of: (bool, bool),
    /// The hash in `node-token`: `K10HASH::…`.
    pub token_hash: String,
    /// SHA-256 of what `/cacerts` returns to anyone.
    pub cacerts_sha256: String,
    /// A client certificate, requested without credentials.
    pub without_credentials: Answer,
    /// With a wrong token.
    pub wrong_token: Answer,
    /// With the token.
    pub client: Answer,
    /// The same for another node, with a password of its own.
    pub client_of_another: Answer,
    /// A serving certificate, with the token.
    pub serving: Answer,
    /// Again with the token, but with another password for the node.
    pub wrong_password: Answer,
    /// With the node's current certificate, for itself.
    pub by_certificate: Answer,
    /// With it, for another node.
    pub for_another: Answer,
    /// The user that the API server recognizes by the client certificate.
    pub known: Known,
    /// The names of all CSRs after all of this.
    pub csrs: Vec<String>,
    /// The name of a CSR that was created after it, and whether it was found then.
    pub control: bool,
    /// A certificate that had 30 days left.
    pub expiring: Restarted,
    /// A certificate that had [`HUNDRED_DAYS`] left.
    pub in_between: Restarted,
    /// A new certificate.
    pub fresh: Restarted,
}

/// More than the 90 days with which k3s renewed a certificate, less than the 120 with which it does today.
pub const HUNDRED_DAYS: SignedDuration = SignedDuration::from_hours(100 * 24);
const YEAR: SignedDuration = SignedDuration::from_secs(tlsboot_engine::pki::YEAR.as_secs() as i64);
const CA_LIFE: SignedDuration = SignedDuration::from_hours(3650 * 24);
/// Allows for the time between observations, and for leap days in ten years.
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const LEAP: SignedDuration = SignedDuration::from_hours(4 * 24);

type Judge = fn(&Seen) -> Outcome;

/// The statements, with their judges.
pub const STATEMENTS: [(Statement, Judge); 13] = [
    (
        statement(
            "ca.two",
            "servers and clients have different CAs, each self-signed for ten years",
            "docs.k3s.io/cli/certificate, default CA topology",
        ),
        two_cas,
    ),
    (
        statement(
            "ca.api-server",
            "the certificate on the API server's port is signed by the server CA, not by the client CA",
            "docs.k3s.io/cli/certificate, default CA topology",
        ),
        api_server,
    ),
    (
        statement(
            "ca.token",
            "the join token contains the hash of the CAs that the supervisor shows to anyone",
            "docs.k3s.io/cli/token, secure token format",
        ),
        token,
    ),
    (
        statement(
            "supervisor.token-needed",
            "without the token, or with a wrong one, no certificate is issued",
            "k3s: pkg/server/handlers/router.go",
        ),
        token_needed,
    ),
    (
        statement(
            "supervisor.client-certificate",
            "with the token a node gets a client certificate of the client CA for a year, like that of any kubelet, for a key of its own (before 2025: for the server's key, which all nodes share)",
            "k3s: pkg/server/handlers/handlers.go (ClientKubeletCert); k3s#11471",
        ),
        client_certificate,
    ),
    (
        statement(
            "supervisor.serving-certificate",
            "with the token a node gets a serving certificate of the server CA for its name, its address and localhost",
            "k3s: pkg/server/handlers/handlers.go (ServingKubeletCert)",
        ),
        serving_certificate,
    ),
    (
        statement(
            "supervisor.node-password",
            "a node's name is bound to the password that was first sent with it",
            "k3s: pkg/nodepassword; docs.k3s.io/architecture",
        ),
        node_password,
    ),
    (
        statement(
            "supervisor.own-name",
            "a node may renew with its certificate, but only for its own name (before February 2023: with the token only)",
            "k3s: pkg/nodepassword/validate.go; k3s#6663",
        ),
        own_name,
    ),
    (
        statement(
            "supervisor.no-csr",
            "none of this creates a CertificateSigningRequest",
            "k3s: pkg/server/handlers/handlers.go (signAndSend)",
        ),
        no_csr,
    ),
    (
        statement(
            "api.knows-the-node",
            "the API server knows the node by the certificate",
            "k3s: pkg/daemons/control/server.go (client-ca-file)",
        ),
        known,
    ),
    (
        statement(
            "renewal.at-start",
            "at startup k3s renews certificates with less than 120 days left (before May 2025: 90), and keeps newer ones",
            "docs.k3s.io/cli/certificate; k3s#12171",
        ),
        renewal,
    ),
    (
        statement(
            "agent.fetches-at-start",
            "an agent fetches its kubelet's certificates at each start, and only then",
            "k3s: pkg/agent/config/config.go",
        ),
        agent,
    ),
    (
        statement(
            "agent.kubelet",
            "an agent's kubelet has a kubeconfig, no bootstrap kubeconfig, and does not rotate",
            "k3s: pkg/daemons/agent/agent_linux.go",
        ),
        agent,
    ),
];

const fn statement(id: &'static str, title: &'static str, source: &'static str) -> Statement {
    Statement { id, title, source }
}

/// Judges the observations. Pure.
pub fn judge(seen: &Seen) -> Vec<Judged> {
    let judged = |(statement, judge): (Statement, Judge)| Judged { statement, outcome: judge(seen) };
    STATEMENTS.map(judged).into()
}

fn two_cas(seen: &Seen) -> Outcome {
    let (server, client) = (&seen.server_ca, &seen.client_ca);
    let mut wrong = Vec::new();
    if same_key(server, &client.key) {
        wrong.push("they are one and the same key".to_owned());
    }
    for ca in [server, client] {
        let name = common_name(ca);
        if ca.subject != ca.issuer {
            wrong.push(format!("{name} is signed by {}", issuer(ca)));
        }
        let life = ca.not_after.duration_since(ca.not_before);
        if life.earlier(CA_LIFE).abs() > LEAP {
            wrong.push(format!("{name} is valid for {} days", life.as_hours() / 24));
        }
    }
    verdict(wrong, format!("{} and {}", common_name(server), common_name(client)))
}

fn api_server(seen: &Seen) -> Outcome {
    match seen.api_server_of {
        (true, false) => {
            Pass("a client that trusts the server CA connects, one that trusts the client CA does not".into())
        }
        (false, _) => Fail("a client that trusts the server CA can't connect".into()),
        (true, true) => Fail("a client that trusts the client CA also connects".into()),
    }
}

fn token(seen: &Seen) -> Outcome {
    let (said, is) = (&seen.token_hash, &seen.cacerts_sha256);
    match said == is {
        true => Pass(format!("K10{said}")),
        false => Fail(format!("the token has {said}, /cacerts is {is}")),
    }
}

fn token_needed(seen: &Seen) -> Outcome {
    let mut wrong = Vec::new();
    let refused = [("without credentials", &seen.without_credentials), ("with a wrong token", &seen.wrong_token)];
    for (how, answer) in refused {
        if answer.code != 401 && answer.code != 403 || !answer.certificates.is_empty() {
            wrong.push(format!("{how}: {}", said(answer)));
        }
    }
    // A refusal that everyone would get shows nothing.
    if seen.client.code != 200 {
        wrong.push(format!("with the right one: {}", said(&seen.client)));
    }
    verdict(
        wrong,
        format!(
            "{} without credentials, {} with a wrong token, 200 with the right one",
            seen.without_credentials.code, seen.wrong_token.code
        ),
    )
}

/// What is not known of a release cannot be judged.
fn unknown(change: &Change, seen: &Seen) -> Outcome {
    Unsupported(format!("whether v{} has it is not known; since {}: {}", seen.version, change.since(), change.what))
}

fn client_certificate(seen: &Seen) -> Outcome {
    let Some(own_key) = OWN_KEYS.is_in(seen.version) else { return unknown(&OWN_KEYS, seen) };
    let (Some(leaf), Some(of_another)) =
        (seen.client.certificates.first(), seen.client_of_another.certificates.first())
    else {
        return Fail(format!("{}; for another node {}", said(&seen.client), said(&seen.client_of_another)));
    };
    let mut wrong = issued(seen, leaf, &seen.client, &seen.client_ca, Usage::Client);
    if !own_key && !same_key(leaf, &of_another.key) {
        wrong.push("another node's is for another key".into());
    }
    let user = format!("{NODE_USER_PREFIX}{}", seen.node);
    if leaf.subject.common_name.as_deref() != Some(&user) || leaf.subject.organizations != [NODES_GROUP] {
        wrong.push(format!("its subject is {}, groups {:?}", common_name(leaf), leaf.subject.organizations));
    }
    let key = if own_key { "for the requested key" } else { "for the key that all nodes share" };
    verdict(wrong, format!("{user}, until {}, {key}", leaf.not_after))
}

fn serving_certificate(seen: &Seen) -> Outcome {
    if OWN_KEYS.is_in(seen.version).is_none() {
        return unknown(&OWN_KEYS, seen);
    }
    let Some(leaf) = seen.serving.certificates.first() else {
        return Fail(said(&seen.serving));
    };
    let mut wrong = issued(seen, leaf, &seen.serving, &seen.server_ca, Usage::Server);
    let has = |name: &str| leaf.dns.iter().any(|dns| dns == name);
    if !has(&seen.node) || !has("localhost") || !leaf.ips.contains(&seen.address) {
        wrong.push(format!("it is for {:?} and {:?}", leaf.dns, leaf.ips));
    }
    if leaf.subject.common_name.as_deref() != Some(&seen.node) {
        wrong.push(format!("its common name is {}", common_name(leaf)));
    }
    verdict(wrong, format!("{:?}, {:?}, until {}", leaf.dns, leaf.ips, leaf.not_after))
}

/// What must be true of both certificates.
fn issued(seen: &Seen, leaf: &CertificateFacts, answer: &Answer, ca: &CertificateFacts, usage: Usage) -> Vec<String> {
    let mut wrong = Vec::new();
    if let Err(why) = chain_of(leaf, &[], std::slice::from_ref(ca), seen.at, usage) {
        wrong.push(format!("it is not valid for {}: {why}", common_name(ca)));
    }
    let is_requested = answer.asked.as_ref().is_some_and(|key| same_key(leaf, key));
    match (OWN_KEYS.is_in(seen.version), is_requested) {
        (Some(true), false) => wrong.push("its key is not the requested one".into()),
        (Some(false), true) => wrong.push("its key is the requested one, not the server's".into()),
        _ => {}
    }
    let left = leaf.not_after.duration_since(seen.at);
    if left.earlier(YEAR).abs() > HOUR {
        wrong.push(format!("it has {} days left", left.as_hours() / 24));
    }
    wrong
}

fn node_password(seen: &Seen) -> Outcome {
    match (seen.client.code, seen.wrong_password.code) {
        (200, 401 | 403) => Pass(format!("{} with another password", seen.wrong_password.code)),
        (200, _) => Fail(format!("with another password: {}", said(&seen.wrong_password))),
        _ => Fail(format!("with the first one: {}", said(&seen.client))),
    }
}

fn own_name(seen: &Seen) -> Outcome {
    let Some(may) = NODE_CERTIFICATES.is_in(seen.version) else { return unknown(&NODE_CERTIFICATES, seen) };
    let mut wrong = Vec::new();
    let own = &seen.by_certificate;
    let is_as_said = match may {
        true => own.code == 200,
        false => matches!(own.code, 401 | 403) && own.certificates.is_empty(),
    };
    if !is_as_said {
        wrong.push(format!("for itself: {}", said(own)));
    }
    if seen.for_another.code < 400 || !seen.for_another.certificates.is_empty() {
        wrong.push(format!("for another node: {}", said(&seen.for_another)));
    }
    verdict(wrong, format!("{} for itself, {} for another node", own.code, seen.for_another.code))
}

fn no_csr(seen: &Seen) -> Outcome {
    match (seen.csrs.as_slice(), seen.control) {
        ([], true) => Pass("there are none; one that was created afterwards is found".into()),
        ([], false) => Fail("one that was created afterwards is not found either".into()),
        (csrs, _) => Fail(format!("there are {}", csrs.join(", "))),
    }
}

fn known(seen: &Seen) -> Outcome {
    let user = format!("{NODE_USER_PREFIX}{}", seen.node);
    match &seen.known {
        Known::As { name, groups } => {
            let is_node = groups.as_ref().is_none_or(|groups| groups.iter().any(|group| group == NODES_GROUP));
            let of = groups.as_ref().map_or_else(String::new, |groups| format!(" of {groups:?}"));
            match *name == user && is_node {
                true => Pass(format!("as {name}{of}")),
                false => Fail(format!("as {name}{of}")),
            }
        }
        Known::No(code) => Fail(format!("it refuses the certificate ({code})")),
    }
}

fn renewal(seen: &Seen) -> Outcome {
    let Some(early) = RENEWS_AT_120_DAYS.is_in(seen.version) else { return unknown(&RENEWS_AT_120_DAYS, seen) };
    let mut wrong = Vec::new();
    let Restarted { before, after } = &seen.expiring;
    let left = |facts: &CertificateFacts| facts.not_after.duration_since(seen.at);
    if left(after).earlier(YEAR).abs() > HOUR {
        wrong.push(format!("the one that expired on {} now expires on {}", before.not_after, after.not_after));
    }
    let is_renewed = seen.in_between.before.sha256 != seen.in_between.after.sha256;
    match (early, is_renewed) {
        (true, false) => wrong.push("one with 100 days left was kept".into()),
        (false, true) => wrong.push("one with 100 days left was renewed".into()),
        _ => {}
    }
    if seen.fresh.before.sha256 != seen.fresh.after.sha256 {
        wrong.push("a new one was also renewed".into());
    }
    // k3s' documentation says that keys are reused; its source, where it was available, creates new ones.
    let key = match same_key(after, &before.key) {
        true => "the same key",
        false => "a new key",
    };
    let in_between = if early { "renewed" } else { "kept" };
    verdict(
        wrong,
        format!(
            "from {} to {}, with {key}; one with 100 days left was {in_between}, a new one was kept",
            before.not_after, after.not_after
        ),
    )
}

fn agent(_: &Seen) -> Outcome {
    Unsupported("this needs a running agent, which requires privileges and a container runtime".into())
}

fn verdict(wrong: Vec<String>, right: String) -> Outcome {
    match wrong.is_empty() {
        true => Pass(right),
        false => Fail(wrong.join("; ")),
    }
}

fn said(answer: &Answer) -> String {
    format!("{} and {} certificates", answer.code, answer.certificates.len())
}

fn common_name(facts: &CertificateFacts) -> &str {
    facts.subject.common_name.as_deref().unwrap_or_default()
}

fn issuer(facts: &CertificateFacts) -> &str {
    facts.issuer.common_name.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;

    use super::*;
    use tlsboot_core::x509::{AltName, read};
    use tlsboot_engine::pki::{Authority, Issued, Validity};

    const DAY: u64 = 24 * 3600;

    fn facts(pem: &str) -> CertificateFacts {
        read::certificates_from_pem(pem.as_bytes()).unwrap().remove(0)
    }

    fn days(days: u64) -> Validity {
        Validity::for_next(Duration::from_secs(days * DAY))
    }

    fn answer(issued: &Issued) -> Answer {
        let leaf = facts(&issued.certificate_pem);
        Answer { code: 200, asked: Some(leaf.key.clone()), certificates: vec![leaf] }
    }

    fn refused(code: u16) -> Answer {
        Answer { code, ..Answer::default() }
    }

    fn sound() -> Seen {
        let server = Authority::new("k3s-server-ca@1", days(3650)).unwrap();
        let client = Authority::new("k3s-client-ca@1", days(3650)).unwrap();
        let (node, address) = ("n1", IpAddr::from([127, 0, 1, 1]));
        let names = [AltName::Dns(node.into()), AltName::Dns("localhost".into()), AltName::Ip(address)];
        let of_node = |validity| client.issue_client("system:node:n1", &["system:nodes"], validity).unwrap();
        let first = answer(&of_node(days(365)));
        let serving = server.issue_server(node, &names, days(365)).unwrap();
        let fresh = first.certificates[0].clone();
        let renewed = fresh.clone();
        let aged = |days: i64| {
            let mut aged = fresh.clone();
            aged.not_after = Timestamp::now() + SignedDuration::from_hours(days * 24);
            aged.sha256 = format!("of {days} days");
            aged
        };
        let (expiring, in_between) = (aged(30), aged(100));
        Seen {
            at: Timestamp::now(),
            version: Version::new(1, 37, 2),
            node: node.into(),
            address,
            server_ca: facts(server.certificate_pem()),
            client_ca: facts(client.certificate_pem()),
            api_server_of: (true, false),
            token_hash: "ab".into(),
            cacerts_sha256: "ab".into(),
            without_credentials: refused(401),
            wrong_token: refused(401),
            client: first,
            client_of_another: answer(&client.issue_client("system:node:n2", &["system:nodes"], days(365)).unwrap()),
            serving: answer(&serving),
            wrong_password: refused(403),
            by_certificate: answer(&of_node(days(365))),
            for_another: refused(400),
            known: Known::As { name: "system:node:n1".into(), groups: Some(vec!["system:nodes".into()]) },
            csrs: Vec::new(),
            control: true,
            expiring: Restarted { before: expiring, after: renewed.clone() },
            in_between: Restarted { before: in_between, after: renewed },
            fresh: Restarted { before: fresh.clone(), after: fresh },
        }
    }

    fn failed(seen: &Seen) -> Vec<&'static str> {
        let judged = judge(seen);
        let fails = |judged: &&Judged| matches!(judged.outcome, Fail(_));
        judged.iter().filter(fails).map(|judged| judged.statement.id).collect()
    }

    #[test]
    fn what_is_as_said_holds() {
        assert_eq!(failed(&sound()), [""; 0]);
        let open = judge(&sound()).iter().filter(|judged| matches!(judged.outcome, Unsupported(_))).count();
        assert_eq!(open, 2);
    }

    /// v1.21.2+k3s1, as it is.
    fn old() -> Seen {
        let mut seen = sound();
        seen.version = Version::new(1, 21, 2);
        let shared = answer(&seen_shared());
        seen.client.asked.clone_from(&shared.asked);
        seen.serving.asked = shared.asked;
        seen.client_of_another.certificates = seen.client.certificates.clone();
        seen.by_certificate = refused(403);
        seen.for_another = refused(403);
        seen.known = Known::As { name: "system:node:n1".into(), groups: None };
        seen.in_between.after = seen.in_between.before.clone();
        seen
    }

    /// A pair whose key no node has.
    fn seen_shared() -> Issued {
        Authority::new("another", days(1)).unwrap().issue_client("x", &[], days(1)).unwrap()
    }

    #[test]
    fn an_old_release_is_judged_by_what_it_promised() {
        assert_eq!(failed(&old()), [""; 0]);
        let mut as_today = sound();
        as_today.version = old().version;
        let wrong = [
            "supervisor.client-certificate",
            "supervisor.serving-certificate",
            "supervisor.own-name",
            "renewal.at-start",
        ];
        assert_eq!(failed(&as_today), wrong);
        let mut as_before = old();
        as_before.version = sound().version;
        assert_eq!(failed(&as_before), wrong);
    }

    #[test]
    fn what_is_not_known_of_a_release_is_not_judged() {
        let mut seen = sound();
        seen.version = Version::new(1, 31, 5);
        let open: Vec<_> = judge(&seen)
            .into_iter()
            .filter(|judged| matches!(&judged.outcome, Unsupported(said) if said.contains("v1.31.5")))
            .map(|judged| judged.statement.id)
            .collect();
        assert_eq!(open, ["supervisor.client-certificate", "supervisor.serving-certificate"]);
    }

    #[rstest]
    #[case::keys_of_their_own("supervisor.client-certificate", |seen: &mut Seen| seen.client_of_another = sound().client)]
    #[case::any_renewal("supervisor.own-name", |seen: &mut Seen| seen.by_certificate = seen.client.clone())]
    #[case::renewed_early("renewal.at-start", |seen: &mut Seen| seen.in_between.after.sha256.clear())]
    #[case::known_as_another("api.knows-the-node", |seen: &mut Seen| seen.known = Known::As { name: "system:node:n2".into(), groups: None })]
    fn each_statement_about_an_old_release_can_fail(#[case] id: &str, #[case] change: fn(&mut Seen)) {
        let mut seen = old();
        change(&mut seen);
        let failed = failed(&seen);
        assert!(failed.contains(&id), "{failed:?}");
    }

    #[rstest]
    #[case::one_ca("ca.two", |seen: &mut Seen| seen.client_ca = seen.server_ca.clone())]
    #[case::short_lived_ca("ca.two", |seen: &mut Seen| seen.server_ca.not_after = seen.at + YEAR)]
    #[case::intermediate_ca("ca.two", |seen: &mut Seen| seen.server_ca.issuer.common_name = Some("root".into()))]
    #[case::client_ca_serves("ca.api-server", |seen: &mut Seen| seen.api_server_of = (true, true))]
    #[case::unknown_ca_serves("ca.api-server", |seen: &mut Seen| seen.api_server_of = (false, false))]
    #[case::another_hash("ca.token", |seen: &mut Seen| seen.token_hash = "cd".into())]
    #[case::open_door("supervisor.token-needed", |seen: &mut Seen| seen.without_credentials = seen.client.clone())]
    #[case::any_token("supervisor.token-needed", |seen: &mut Seen| seen.wrong_token = seen.client.clone())]
    #[case::closed_door("supervisor.token-needed", |seen: &mut Seen| seen.client = refused(401))]
    #[case::other_group("supervisor.client-certificate", |seen: &mut Seen| seen.client.certificates[0].subject.organizations.clear())]
    #[case::other_key("supervisor.client-certificate", |seen: &mut Seen| seen.client.asked = seen.serving.asked.clone())]
    #[case::short_lived("supervisor.client-certificate", |seen: &mut Seen| seen.client.certificates[0].not_after = seen.at + HOUR)]
    #[case::of_the_server_ca("supervisor.client-certificate", |seen: &mut Seen| seen.client_ca = seen.server_ca.clone())]
    #[case::no_address("supervisor.serving-certificate", |seen: &mut Seen| seen.serving.certificates[0].ips.clear())]
    #[case::no_name("supervisor.serving-certificate", |seen: &mut Seen| seen.serving.certificates[0].dns.clear())]
    #[case::any_password("supervisor.node-password", |seen: &mut Seen| seen.wrong_password = seen.client.clone())]
    #[case::no_renewal_by_certificate("supervisor.own-name", |seen: &mut Seen| seen.by_certificate = refused(403))]
    #[case::any_name("supervisor.own-name", |seen: &mut Seen| seen.for_another = seen.client.clone())]
    #[case::a_csr("supervisor.no-csr", |seen: &mut Seen| seen.csrs.push("csr-1".into()))]
    #[case::blind("supervisor.no-csr", |seen: &mut Seen| seen.control = false)]
    #[case::unknown("api.knows-the-node", |seen: &mut Seen| seen.known = Known::No(401))]
    #[case::known_as_another("api.knows-the-node", |seen: &mut Seen| seen.known = Known::As { name: "system:node:n2".into(), groups: Some(vec!["system:nodes".into()]) })]
    #[case::without_the_group("api.knows-the-node", |seen: &mut Seen| seen.known = Known::As { name: "system:node:n1".into(), groups: Some(Vec::new()) })]
    #[case::refused("supervisor.client-certificate", |seen: &mut Seen| seen.client_of_another = refused(500))]
    #[case::renewed_late("renewal.at-start", |seen: &mut Seen| seen.in_between.after = seen.in_between.before.clone())]
    #[case::not_renewed("renewal.at-start", |seen: &mut Seen| seen.expiring.after = seen.expiring.before.clone())]
    #[case::all_renewed("renewal.at-start", |seen: &mut Seen| seen.fresh.after.sha256.clear())]
    fn each_statement_can_fail(#[case] id: &str, #[case] change: fn(&mut Seen)) {
        let mut seen = sound();
        change(&mut seen);
        let failed = failed(&seen);
        assert!(failed.contains(&id), "{failed:?}");
    }
}
