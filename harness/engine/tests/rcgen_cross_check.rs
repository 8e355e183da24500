//! tlsboot's certificate reader and chain verification accept what another generator writes, and the other way round.
//! Its own generator (`pki`) and reader could agree on the same mistake; rcgen is independent of both.

use jiff::{Timestamp, ToSpan};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ED25519, PublicKeyData, SanType, SerialNumber, SignatureAlgorithm, SigningKey,
};
use rstest::rstest;
use sha2::{Digest, Sha256};
use tlsboot_core::history::facts::CertificateFacts;
use tlsboot_core::x509::verify::{Usage, chain, chain_of, same_key};
use tlsboot_core::x509::{AltName, read};
use tlsboot_engine::pki::RequestBuilder;
use tlsboot_engine::secret::Vault;

/// A moment in the validity of everything that is created here.
fn now() -> Timestamp {
    "2026-06-15T12:00:00Z".parse().unwrap()
}

fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2026, 12, 31);
    params
}

fn ca(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = params();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// The content of a kubelet's client certificate.
fn node_params() -> CertificateParams {
    let mut params = params();
    params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
    params.distinguished_name.push(DnType::CommonName, "system:node:n1");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params
}

fn alt_names() -> Vec<SanType> {
    vec![
        SanType::DnsName("n1".try_into().unwrap()),
        SanType::IpAddress([10, 0, 0, 7].into()),
        SanType::IpAddress("fd00::7".parse().unwrap()),
        SanType::Rfc822Name("admin@example.com".try_into().unwrap()),
        SanType::URI("spiffe://cluster/n1".try_into().unwrap()),
    ]
}

fn facts(pem: &str) -> CertificateFacts {
    let [facts] = read::certificates_from_pem(pem.as_bytes()).unwrap().try_into().unwrap();
    facts
}

#[rstest]
#[case(&PKCS_ECDSA_P256_SHA256, "ECDSA", "P-256")]
#[case(&PKCS_ECDSA_P384_SHA384, "ECDSA", "P-384")]
#[case(&PKCS_ED25519, "Ed25519", "")]
fn keys_are_read_right(#[case] algorithm: &'static SignatureAlgorithm, #[case] name: &str, #[case] parameters: &str) {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let facts = facts(&params().self_signed(&key).unwrap().pem());
    assert_eq!((facts.key.algorithm.as_str(), facts.key.parameters.as_str()), (name, parameters));
    assert_eq!(facts.key.spki_sha256, hex::encode(Sha256::digest(key.subject_public_key_info())));
    assert_eq!(
        facts.signature_algorithm,
        match name {
            "Ed25519" => "Ed25519",
            _ if parameters == "P-256" => "ECDSA-SHA256",
            _ => "ECDSA-SHA384",
        }
    );
}

#[test]
fn every_field_of_a_certificate_is_read_right() {
    let (ca, key) = (ca("rcgen CA"), KeyPair::generate().unwrap());
    let mut params = node_params();
    params.subject_alt_names = alt_names();
    params.serial_number = Some(SerialNumber::from_slice(&[0xca, 0xfe, 0x01]));
    let certificate = params.signed_by(&key, &ca).unwrap();
    let facts = facts(&certificate.pem());

    assert_eq!(facts.sha256, hex::encode(Sha256::digest(certificate.der())));
    assert_eq!((facts.version, facts.serial.as_str()), (3, "cafe01"));
    assert_eq!(facts.subject.common_name.as_deref(), Some("system:node:n1"));
    assert_eq!(facts.subject.organizations, ["system:nodes"]);
    assert_eq!(facts.issuer.common_name.as_deref(), Some("rcgen CA"));
    assert_eq!(facts.dns, ["n1"]);
    assert_eq!(facts.ips.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.7", "fd00::7"]);
    assert_eq!(facts.emails, ["admin@example.com"]);
    assert_eq!(facts.uris, ["spiffe://cluster/n1"]);
    assert_eq!(facts.not_before.to_string(), "2026-01-01T00:00:00Z");
    assert_eq!(facts.not_after.to_string(), "2026-12-31T00:00:00Z");
    assert_eq!(facts.key_usage, ["digital signature", "key encipherment"]);
    assert_eq!(facts.ext_key_usage, ["client auth"]);
    assert!(facts.key_usage_critical && !facts.ext_key_usage_critical);
    let issuer = self::facts(&ca.pem());
    assert_eq!(facts.authority_key_id, issuer.subject_key_id);
    assert!(facts.authority_key_id.is_some());
    assert_eq!((issuer.ca, issuer.basic_constraints_critical), (Some(true), true));
    assert_eq!(issuer.key_usage, ["digital signature", "cert sign"]);
}

#[test]
fn a_file_with_certificate_and_key_shows_that_they_belong_together() {
    let key = KeyPair::generate().unwrap();
    let file = params().self_signed(&key).unwrap().pem() + &key.serialize_pem();
    let vault = Vault::new();
    let blocks = vault.pem_file(file.as_bytes()).blocks;
    let labels: Vec<_> = blocks.iter().map(|block| block.label.as_str()).collect();
    assert_eq!(labels, ["CERTIFICATE", "PRIVATE KEY"]);
    assert!(same_key(blocks[0].certificate.as_ref().unwrap(), blocks[1].private_key.as_ref().unwrap()));
    assert!(vault.scan(key.serialize_pem().as_bytes()).is_some(), "the key was not registered as a secret");
}

#[test]
fn a_request_is_read_right() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = node_params().distinguished_name;
    params.subject_alt_names = alt_names();
    let request = read::request(params.serialize_request(&key).unwrap().pem().unwrap().as_bytes()).unwrap();

    assert!(request.signature_valid);
    assert_eq!(request.subject.common_name.as_deref(), Some("system:node:n1"));
    assert_eq!(request.subject.organizations, ["system:nodes"]);
    assert_eq!((request.dns.len(), request.ips.len(), request.emails.len(), request.uris.len()), (1, 2, 1, 1));
    assert_eq!(request.key.spki_sha256, hex::encode(Sha256::digest(key.subject_public_key_info())));
    assert_eq!(request.requested_extensions, ["2.5.29.17"]);
}

#[test]
fn our_requests_are_read_right_by_rcgen() {
    let names = [AltName::Dns("n1".into()), AltName::Ip([10, 0, 0, 7].into())];
    let (pem, _key) = RequestBuilder::node("n1").alt_names(names).build().unwrap();
    let read = CertificateSigningRequestParams::from_pem(&pem).unwrap();
    let subject = &read.params.distinguished_name;
    // Go, and so the kubelet, writes a PrintableString wherever the characters allow it.
    let printable = |text: &str| DnValue::PrintableString(text.try_into().unwrap());
    assert_eq!(subject.get(&DnType::CommonName), Some(&printable("system:node:n1")));
    assert_eq!(subject.get(&DnType::OrganizationName), Some(&printable("system:nodes")));
    assert_eq!(read.params.subject_alt_names, alt_names()[..2]);

    let (broken, _key) = RequestBuilder::node("n1").broken_signature().build().unwrap();
    assert!(CertificateSigningRequestParams::from_pem(&broken).is_err());
}

/// A leaf below an intermediate CA below a root, as PEM facts.
fn three_tiers(root: &CertifiedIssuer<'_, impl SigningKey>) -> [CertificateFacts; 2] {
    let mut params = params();
    params.distinguished_name.push(DnType::CommonName, "intermediate");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let intermediate = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), root).unwrap();
    let leaf = node_params().signed_by(&KeyPair::generate().unwrap(), &intermediate).unwrap();
    [facts(&leaf.pem()), facts(&intermediate.pem())]
}

#[test]
fn a_right_chain_verifies_and_a_wrong_one_does_not() {
    let (root, stranger) = (ca("root"), ca("root"));
    let [leaf, intermediate] = three_tiers(&root);
    let (root, stranger) = (facts(&root.pem()), facts(&stranger.pem()));
    let verify =
        |with: &[CertificateFacts], roots: &[CertificateFacts], at, usage| chain_of(&leaf, with, roots, at, usage);
    let (with, roots) = (std::slice::from_ref(&intermediate), std::slice::from_ref(&root));

    assert_eq!(verify(with, roots, now(), Usage::Client), Ok(()));
    assert_eq!(verify(with, &[stranger.clone(), root.clone()], now(), Usage::Client), Ok(()));

    verify(with, roots, now(), Usage::Server).expect_err("it is a client certificate");
    verify(&[], roots, now(), Usage::Client).expect_err("the intermediate CA is missing");
    verify(with, &[stranger], now(), Usage::Client).expect_err("a CA of the same name, but another key");
    verify(with, roots, now() + (24 * 365).hours(), Usage::Client).expect_err("it has expired");
    verify(with, roots, now() - (24 * 365).hours(), Usage::Client).expect_err("it is not valid yet");
}

#[test]
fn a_certificate_that_no_ca_signed_does_not_verify() {
    let root = ca("root");
    let own_key = KeyPair::generate().unwrap();
    let self_signed = node_params().self_signed(&own_key).unwrap();
    chain(self_signed.der(), &[], &[root.der()], now(), Usage::Client).expect_err("it is self-signed");

    let no_ca = CertifiedIssuer::self_signed(node_params(), own_key).unwrap();
    let below = node_params().signed_by(&KeyPair::generate().unwrap(), &no_ca).unwrap();
    chain(below.der(), &[no_ca.der()], &[root.der()], now(), Usage::Client).expect_err("its issuer is not a CA");

    let mut bytes = node_params().signed_by(&KeyPair::generate().unwrap(), &root).unwrap().der().to_vec();
    assert_eq!(chain(&bytes, &[], &[root.der()], now(), Usage::Client), Ok(()));
    *bytes.last_mut().unwrap() ^= 1;
    chain(&bytes, &[], &[root.der()], now(), Usage::Client).expect_err("its signature is wrong");
}
