//! What a certificate gives to the one who asked for it. What counts is what was issued, not what was asked for: the signer
//! leaves out a CA's constraints, and Go writes an IPv4 address in one form only. Pure.

use std::net::IpAddr;

use super::corpus::{By, Case, Subjects};
use tlsboot_core::check::Role;
use tlsboot_core::history::event::NODES_GROUP;
use tlsboot_core::history::facts::CertificateFacts;
use tlsboot_core::x509::node_subject;

/// All that is in a certificate and is not its requester's, in words; none where it does no harm.
pub fn foreign(case: &Case, subjects: &Subjects, leaf: &CertificateFacts) -> Vec<String> {
    let mut foreign = Vec::new();
    if leaf.ca == Some(true) {
        foreign.push("a CA's constraints".to_owned());
    }
    if case.signer == Role::Serving.signer_name() {
        // Whose name is that of the node, in whatever groups, has got nothing new.
        if !matches!(case.by, By::Node | By::NodeWithoutGroup) {
            foreign.push("the name of a node that is not its requester".to_owned());
        }
        serving(subjects, leaf, &mut foreign);
    } else {
        client(case, leaf, &mut foreign);
    }
    foreign
}

fn serving(subjects: &Subjects, leaf: &CertificateFacts, foreign: &mut Vec<String>) {
    if leaf.subject.common_name != node_subject(&subjects.node).common_name {
        foreign.push(format!("the common name {:?}", leaf.subject.common_name.as_deref().unwrap_or_default()));
    }
    let own_name = |name: &&String| {
        // No client takes an empty one for the name of a server.
        name.is_empty() || std::iter::once(&subjects.node).chain(&subjects.dns).any(|own| same_name(own, name))
    };
    foreign.extend(leaf.dns.iter().filter(|name| !own_name(name)).take(5).map(|name| format!("DNS:{name}")));
    let own_address = |ip: &&IpAddr| subjects.ips.iter().any(|own| own.to_canonical() == ip.to_canonical());
    foreign.extend(leaf.ips.iter().filter(|ip| !own_address(ip)).map(|ip| format!("IP:{ip}")));
    foreign.extend(leaf.emails.iter().map(|email| format!("email:{email}")));
    foreign.extend(leaf.uris.iter().map(|uri| format!("URI:{uri}")));
    let client = leaf.ext_key_usage.iter().filter(|usage| *usage != "server auth");
    foreign.extend(client.map(|usage| format!("the usage {usage}")));
    groups(leaf, foreign);
}

/// A client certificate that Kubernetes' own rules would not have approved. A bootstrapper may have any node's name.
fn client(case: &Case, leaf: &CertificateFacts, foreign: &mut Vec<String>) {
    let name = leaf.subject.common_name.as_deref().unwrap_or_default();
    if case.signer != Role::Client.signer_name() {
        foreign.push(format!("the user {name:?} by the signer {}", case.signer));
    } else if case.by != By::Bootstrap || !name.starts_with("system:node:") {
        foreign.push(format!("the user {name:?}"));
    }
    groups(leaf, foreign);
    foreign.extend(leaf.dns.iter().map(|name| format!("DNS:{name}")));
    foreign.extend(leaf.ips.iter().map(|ip| format!("IP:{ip}")));
    foreign.extend(leaf.emails.iter().map(|email| format!("email:{email}")));
    foreign.extend(leaf.uris.iter().map(|uri| format!("URI:{uri}")));
    let server = leaf.ext_key_usage.iter().filter(|usage| *usage != "client auth");
    foreign.extend(server.map(|usage| format!("the usage {usage}")));
}

fn groups(leaf: &CertificateFacts, foreign: &mut Vec<String>) {
    let others = leaf.subject.organizations.iter().filter(|group| *group != NODES_GROUP);
    foreign.extend(others.map(|group| format!("the group {group}")));
}

/// Host names know no case, and a dot at the end changes nothing.
fn same_name(one: &str, other: &str) -> bool {
    one.trim_end_matches('.').eq_ignore_ascii_case(other.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;

    use super::*;
    use crate::approver::corpus::corpus;
    use crate::approver::rule::Rule;
    use tlsboot_core::version::Version;
    use tlsboot_core::x509::{AltName, read};
    use tlsboot_engine::pki::{Authority, RequestBuilder, SignOptions, Validity};

    fn of(id: &str, request: RequestBuilder, usages: &[&str]) -> Vec<String> {
        let subjects = Subjects::example();
        let cases = corpus(&subjects, &Rule::default(), Version::new(1, 37, 0));
        let case = cases.iter().find(|case| case.id == id).unwrap();
        let soon = Validity::for_next(Duration::from_secs(3600));
        let (pem, _) = request.build().unwrap();
        let issued = Authority::new("ca", soon).unwrap().sign_request(&pem, &SignOptions::new(soon, usages)).unwrap();
        foreign(case, &subjects, &read::certificates_from_pem(issued.as_bytes()).unwrap()[0])
    }

    #[rstest]
    #[case::own(&["worker-7"], &["192.0.2.7"], &[])]
    #[case::own_as_it_can_be_written(&["WORKER-7", "worker-7."], &["::ffff:192.0.2.7"], &[])]
    #[case::own_and_more(&["worker-70"], &[], &["DNS:worker-70"])]
    #[case::below_its_own(&["worker-7.example.net"], &[], &["DNS:worker-7.example.net"])]
    #[case::a_wildcard(&["*"], &[], &["DNS:*"])]
    #[case::a_neighbour(&["worker-8"], &["192.0.2.8"], &["DNS:worker-8", "IP:192.0.2.8"])]
    fn names_of_a_serving_certificate(#[case] dns: &[&str], #[case] ips: &[&str], #[case] wanted: &[&str]) {
        let names = dns.iter().map(|name| AltName::Dns((*name).to_owned()));
        let names = names.chain(ips.iter().map(|ip| AltName::Ip(ip.parse().unwrap())));
        let request = RequestBuilder::node("worker-7").alt_names(names.collect::<Vec<_>>());
        assert_eq!(of("names.wildcard", request, &["digital signature", "server auth"]), wanted);
    }

    #[test]
    fn a_node_s_name_is_foreign_to_others() {
        let own = || RequestBuilder::node("worker-7").alt_names([AltName::Dns("worker-7".into())]);
        assert_eq!(of("serving.rightful", own(), &["server auth"]), [""; 0]);
        assert_eq!(of("serving.by-bootstrapper", own(), &["server auth"]).len(), 1);
    }

    #[test]
    fn what_a_client_certificate_gives() {
        let any = || RequestBuilder::node("worker-8");
        assert_eq!(of("usages.any", any(), &["client auth"]), [""; 0]);
        assert_eq!(of("usages.any", any(), &["client auth", "server auth"]), ["the usage server auth"]);
        assert_eq!(of("renewal.another-node", any(), &["client auth"]).len(), 1);
        assert_eq!(of("signer.api-client", any(), &["client auth"]).len(), 1);
    }
}
