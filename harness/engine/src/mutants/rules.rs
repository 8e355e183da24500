//! What Kubernetes' own signer and approver require of a CSR (catalogue P-02, S-08, S-09), and how to skip a rule.

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;

use tlsboot_core::check::Role;
use tlsboot_core::history::event::{NODE_USER_PREFIX, NODES_GROUP};
use tlsboot_core::history::facts::RequestFacts;

/// A rule for the content of a CSR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// The organization is exactly `system:nodes`.
    Organization,
    /// The common name begins with `system:node:`.
    CommonName,
    /// The alternative names are of the right kinds.
    AltNames,
    /// The usages are exactly the kubelet's.
    Usages,
}

/// The first rule that a node's CSR breaks, in the signer's words; `without` is a rule to skip.
pub(super) fn broken(
    role: Role,
    csr: &CertificateSigningRequest,
    asked: &RequestFacts,
    without: Option<Rule>,
) -> Option<String> {
    let usages = csr.spec.usages.as_deref().unwrap_or_default();
    let broken = [
        (Rule::Organization, organization(asked)),
        (Rule::CommonName, common_name(asked)),
        (Rule::AltNames, alt_names(role, asked)),
        (Rule::Usages, set_of_usages(role, usages)),
    ];
    let mut broken = broken.into_iter().filter(|(rule, _)| Some(*rule) != without);
    broken.find_map(|(_, broken)| broken)
}

fn organization(asked: &RequestFacts) -> Option<String> {
    let right = asked.subject.organizations == [NODES_GROUP];
    (!right).then(|| "subject organization is not system:nodes".into())
}

fn common_name(asked: &RequestFacts) -> Option<String> {
    let name = asked.subject.common_name.as_deref().unwrap_or_default();
    let right = name.starts_with(NODE_USER_PREFIX);
    (!right).then(|| "subject common name does not begin with system:node:".into())
}

fn alt_names(role: Role, asked: &RequestFacts) -> Option<String> {
    let hosts = [("DNS", asked.dns.is_empty()), ("IP", asked.ips.is_empty())];
    let others = [("Email", asked.emails.is_empty()), ("URI", asked.uris.is_empty())];
    let forbidden = match role {
        Role::Client => [hosts, others].concat(),
        Role::Serving if asked.dns.is_empty() && asked.ips.is_empty() => {
            return Some("DNS or IP subjectAltName is required".into());
        }
        Role::Serving => others.to_vec(),
    };
    let (kind, _) = forbidden.into_iter().find(|(_, none)| !none)?;
    Some(format!("{kind} subjectAltNames are not allowed"))
}

fn set_of_usages(role: Role, usages: &[String]) -> Option<String> {
    let extended = match role {
        Role::Client => "client auth",
        Role::Serving => "server auth",
    };
    let sets = [vec!["digital signature", extended], vec!["digital signature", "key encipherment", extended]];
    let mut sorted: Vec<&str> = usages.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let right = sets.into_iter().any(|mut set| {
        set.sort_unstable();
        set == sorted
    });
    (!right).then(|| format!("usages did not match {usages:?}"))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use k8s_openapi::api::certificates::v1::CertificateSigningRequestSpec;
    use rstest::rstest;

    use super::*;
    use crate::pki::RequestBuilder;
    use tlsboot_core::x509::{AltName, node_subject, read};

    fn csr(usages: &[&str]) -> CertificateSigningRequest {
        CertificateSigningRequest {
            spec: CertificateSigningRequestSpec {
                request: ByteString(Vec::new()),
                usages: Some(usages.iter().map(|&usage| usage.to_owned()).collect()),
                ..Default::default()
            },
            ..Default::default()
        }
    }

    fn asked(builder: RequestBuilder) -> RequestFacts {
        read::request(builder.build().unwrap().0.as_bytes()).unwrap()
    }

    #[rstest]
    #[case::client(Role::Client, RequestBuilder::node("n1"), &["client auth", "digital signature"], None)]
    #[case::old_client(Role::Client, RequestBuilder::node("n1"), &["digital signature", "key encipherment", "client auth"], None)]
    #[case::named_client(Role::Client, RequestBuilder::node("n1").alt_names([AltName::Uri("a:b".into())]), &["client auth", "digital signature"], Some("URI subjectAltNames are not allowed"))]
    #[case::serving(Role::Serving, RequestBuilder::node("n1").alt_names([AltName::Dns("n1".into())]), &["server auth", "digital signature"], None)]
    #[case::nameless_serving(Role::Serving, RequestBuilder::node("n1"), &["server auth", "digital signature"], Some("DNS or IP subjectAltName is required"))]
    #[case::both(Role::Client, RequestBuilder::node("n1"), &["client auth", "server auth", "digital signature"], Some("usages did not match"))]
    fn says_what_is_broken(
        #[case] role: Role,
        #[case] builder: RequestBuilder,
        #[case] usages: &[&str],
        #[case] expected: Option<&str>,
    ) {
        let found = broken(role, &csr(usages), &asked(builder), None);
        match expected {
            None => assert_eq!(found, None),
            Some(expected) => assert!(found.unwrap().contains(expected)),
        }
    }

    #[test]
    fn a_rule_can_be_left_out() {
        let mut subject = node_subject("n1");
        subject.organizations.push("system:masters".into());
        let (csr, asked) = (csr(&["client auth", "digital signature"]), asked(RequestBuilder::new(subject)));
        assert!(broken(Role::Client, &csr, &asked, None).is_some());
        assert!(broken(Role::Client, &csr, &asked, Some(Rule::Usages)).is_some());
        assert_eq!(broken(Role::Client, &csr, &asked, Some(Rule::Organization)), None);
    }
}
