//! Created chains, verified.

use jiff::{Timestamp, ToSpan};

use crate::pki::{Authority, RequestBuilder, SignOptions, Validity};
use tlsboot_core::history::facts::CertificateFacts;
use tlsboot_core::x509::{read, verify::*};

fn validity() -> Validity {
    Validity { not_before: "2026-01-01T00:00:00Z".parse().unwrap(), not_after: "2026-01-02T00:00:00Z".parse().unwrap() }
}

fn during() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn facts(pem: &str) -> CertificateFacts {
    read::certificates_from_pem(pem.as_bytes()).unwrap().remove(0)
}

fn client_of(ca: &Authority) -> CertificateFacts {
    facts(&ca.issue_client("u", &["g"], validity()).unwrap().certificate_pem)
}

#[test]
fn accepts_within_validity_only() {
    let ca = Authority::new("ca", validity()).unwrap();
    let (leaf, roots) = (client_of(&ca), [facts(ca.certificate_pem())]);
    let at = |at| chain_of(&leaf, &[], &roots, at, Usage::Client);
    assert_eq!(at(validity().not_before), Ok(()));
    assert_eq!(at(during()), Ok(()));
    assert_eq!(at(validity().not_after), Ok(()));
    assert!(at(validity().not_before - 1.second()).is_err());
    assert!(at(validity().not_after + 1.second()).is_err());
    assert!(at("1969-01-01T00:00:00Z".parse().unwrap()).unwrap_err().to_string().contains("1970"));
}

#[test]
fn refuses_wrong_usage_and_wrong_ca() {
    let ca = Authority::new("ca", validity()).unwrap();
    // The same name, another key: the CA was replaced.
    let other = Authority::new("ca", validity()).unwrap();
    let (leaf, ca, other) = (client_of(&ca), facts(ca.certificate_pem()), facts(other.certificate_pem()));
    assert!(chain_of(&leaf, &[], std::slice::from_ref(&ca), during(), Usage::Server).is_err());
    assert!(chain_of(&leaf, &[], std::slice::from_ref(&other), during(), Usage::Client).is_err());
    assert!(chain_of(&leaf, &[], &[], during(), Usage::Client).is_err());
    assert_eq!(chain_of(&leaf, &[], &[other, ca], during(), Usage::Client), Ok(()));
}

#[test]
fn expired_ca_is_named() {
    let stale = Validity { not_after: during(), ..validity() };
    let ca = Authority::new("ca", stale).unwrap();
    let (leaf, root) = (client_of(&ca), facts(ca.certificate_pem()));
    let error = chain_of(&leaf, &[], &[root], during() + 1.second(), Usage::Client).unwrap_err();
    assert!(error.to_string().contains("CA certificate 0: valid from 2026-01-01T00:00:00Z"), "{error}");
}

#[test]
fn goes_through_an_intermediate() {
    let root = Authority::new("root", validity()).unwrap();
    let (request, key) = RequestBuilder::new(facts(root.certificate_pem()).subject).build().unwrap();
    let mut options = SignOptions::new(validity(), &["cert sign"]);
    options.ca = true;
    options.subject = Some(tlsboot_core::x509::node_subject("intermediate"));
    let intermediate = root.sign_request(&request, &options).unwrap();
    let issuing = Authority::from_pem(&intermediate, key.expose()).unwrap();
    let (leaf, roots) = (client_of(&issuing), [facts(root.certificate_pem())]);
    assert!(chain_of(&leaf, &[], &roots, during(), Usage::Client).is_err());
    assert_eq!(chain_of(&leaf, &[facts(&intermediate)], &roots, during(), Usage::Client), Ok(()));
}

#[test]
fn garbage_is_an_error() {
    assert!(chain(b"junk", &[b"junk"], &[b"junk"], during(), Usage::Client).is_err());
    let ca = Authority::new("ca", validity()).unwrap();
    let leaf = CertificateFacts { der: "?".into(), ..client_of(&ca) };
    assert!(chain_of(&leaf, &[], &[], during(), Usage::Client).unwrap_err().to_string().contains("base64"));
}
