//! Reading certificates, requests and PEM files into [facts](crate::history::facts). Never panics, whatever the bytes.

use core::net::IpAddr;

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use x509_parser::asn1_rs::{FromDer, Oid};
use x509_parser::certificate::X509Certificate;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, ParsedExtension, X509Extension};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Name};

use super::{Block, X509Error, blocks, key, name, usage};
use crate::history::facts::{CertificateFacts, KeyFacts, Name, PemBlock, PemFacts, RequestFacts};

/// Reads one DER name.
pub fn name(der: &[u8]) -> Result<Name, X509Error> {
    let (_, name) = X509Name::from_der(der).map_err(|e| X509Error::Certificate(format!("bad DER of a name: {e}")))?;
    Ok(name::read(&name))
}

/// Reads one DER certificate.
pub fn certificate(der: &[u8]) -> Result<CertificateFacts, X509Error> {
    let refuse = |e: String| X509Error::Certificate(e);
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|e| refuse(format!("bad DER: {e}")))?;
    if !rest.is_empty() {
        return Err(refuse(format!("{} bytes after its end", rest.len())));
    }
    let said = Extensions::read(certificate.extensions()).map_err(refuse)?;
    let validity = certificate.validity();
    Ok(CertificateFacts {
        sha256: hex::encode(Sha256::digest(der)),
        serial: serial(certificate.raw_serial()),
        version: certificate.version().0.saturating_add(1),
        subject: name::read(certificate.subject()),
        issuer: name::read(certificate.issuer()),
        dns: said.alt.dns,
        ips: said.alt.ips,
        emails: said.alt.emails,
        uris: said.alt.uris,
        not_before: timestamp(validity.not_before.timestamp()),
        not_after: timestamp(validity.not_after.timestamp()),
        key: key_facts(certificate.public_key()),
        key_usage: said.key_usage,
        key_usage_critical: said.key_usage_critical,
        ext_key_usage: said.ext_key_usage,
        ext_key_usage_critical: said.ext_key_usage_critical,
        ca: said.ca,
        basic_constraints_critical: said.basic_constraints_critical,
        subject_key_id: said.subject_key_id,
        authority_key_id: said.authority_key_id,
        signature_algorithm: signature_algorithm(&certificate.signature_algorithm.algorithm),
        other_extensions: said.other,
        der: STANDARD.encode(der),
    })
}

/// Reads every certificate of a PEM text, in order. Other blocks are skipped. A damaged certificate, or none at all, is
/// an error.
pub fn certificates_from_pem(pem: &[u8]) -> Result<Vec<CertificateFacts>, X509Error> {
    certificate_ders(pem)?.iter().map(|der| certificate(der)).collect()
}

/// The DER of every certificate of a PEM text, in order.
pub fn certificate_ders(pem: &[u8]) -> Result<Vec<Vec<u8>>, X509Error> {
    let mut ders = Vec::new();
    for block in blocks(pem) {
        if block.error.is_some() || block.label == "CERTIFICATE" {
            ders.push(block.der().map_err(X509Error::Pem)?);
        }
    }
    if ders.is_empty() {
        return Err(X509Error::Pem("no CERTIFICATE block".into()));
    }
    Ok(ders)
}

/// Reads a PEM certificate request, well-formed or hostile; a wrong signature is a fact, not an error.
pub fn request(pem: &[u8]) -> Result<RequestFacts, X509Error> {
    let der = request_der(pem)?;
    let refuse = |e: String| X509Error::Request(e);
    let (rest, request) = X509CertificationRequest::from_der(&der).map_err(|e| refuse(format!("bad DER: {e}")))?;
    if !rest.is_empty() {
        return Err(refuse(format!("{} bytes after its end", rest.len())));
    }
    let info = &request.certification_request_info;
    let mut requested_extensions = Vec::new();
    let mut alt = AltNames::default();
    for attribute in info.iter_attributes() {
        if let ParsedCriAttribute::ExtensionRequest(requested) = attribute.parsed_attribute() {
            for extension in &requested.extensions {
                requested_extensions.push(extension.oid.to_id_string());
                match extension.parsed_extension() {
                    ParsedExtension::SubjectAlternativeName(names) => {
                        alt.add(&names.general_names).map_err(refuse)?;
                    }
                    ParsedExtension::ParseError { error } if is_described(extension) => {
                        return Err(refuse(format!("extension {}: {error}", extension.oid)));
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(RequestFacts {
        subject: name::read(&info.subject),
        dns: alt.dns,
        ips: alt.ips,
        emails: alt.emails,
        uris: alt.uris,
        key: key_facts(&info.subject_pki),
        signature_valid: request.verify_signature().is_ok(),
        requested_extensions,
    })
}

/// The DER of a PEM certificate request.
pub fn request_der(pem: &[u8]) -> Result<Vec<u8>, X509Error> {
    let blocks = blocks(pem);
    let block = blocks
        .iter()
        .find(|block| block.label == "CERTIFICATE REQUEST")
        .ok_or_else(|| X509Error::Pem("no CERTIFICATE REQUEST block".into()))?;
    block.der().map_err(X509Error::Pem)
}

/// Reads any file as PEM and never fails: damage is reported in its block. Of a private key, only the facts of its
/// public half are kept. If the file may hold secrets, also register them.
pub fn pem_file(bytes: &[u8]) -> PemFacts {
    PemFacts { blocks: blocks(bytes).iter().map(pem_block).collect() }
}

fn pem_block(block: &Block) -> PemBlock {
    let mut facts = PemBlock { label: block.label.clone(), ..PemBlock::default() };
    let outcome = if block.is_private_key() {
        key::public_half(block)
            .and_then(|spki| public_key(&spki))
            .map(|key| facts.private_key = Some(key))
            .map_err(|e| e.to_string())
    } else if block.label == "CERTIFICATE" {
        block
            .der()
            .and_then(|der| certificate(&der).map_err(|e| e.to_string()))
            .map(|certificate| facts.certificate = Some(certificate))
    } else {
        block.der().map(drop)
    };
    facts.error = outcome.err();
    facts
}

/// Reads a DER SubjectPublicKeyInfo.
pub fn public_key(spki: &[u8]) -> Result<KeyFacts, X509Error> {
    match SubjectPublicKeyInfo::from_der(spki) {
        Ok(([], key)) => Ok(key_facts(&key)),
        Ok(_) => Err(X509Error::Key("bytes after the public key's end".into())),
        Err(e) => Err(X509Error::Key(format!("bad DER: {e}"))),
    }
}

fn key_facts(key: &SubjectPublicKeyInfo<'_>) -> KeyFacts {
    let (algorithm, parameters) = match key.algorithm.algorithm.to_id_string().as_str() {
        "1.2.840.10045.2.1" => ("ECDSA".into(), curve(key)),
        "1.2.840.113549.1.1.1" => ("RSA".into(), modulus_bits(key)),
        "1.3.101.112" => ("Ed25519".into(), String::new()),
        oid => (oid.into(), String::new()),
    };
    KeyFacts { algorithm, parameters, spki_sha256: hex::encode(Sha256::digest(key.raw)) }
}

fn curve(key: &SubjectPublicKeyInfo<'_>) -> String {
    let parameters = key.algorithm.parameters.as_ref();
    let oid = parameters.and_then(|any| any.as_oid().ok()).map(|oid| oid.to_id_string());
    match oid.as_deref() {
        Some("1.2.840.10045.3.1.7") => "P-256".into(),
        Some("1.3.132.0.34") => "P-384".into(),
        Some("1.3.132.0.35") => "P-521".into(),
        Some("1.3.132.0.33") => "P-224".into(),
        other => other.unwrap_or_default().into(),
    }
}

fn modulus_bits(key: &SubjectPublicKeyInfo<'_>) -> String {
    let Ok(PublicKey::RSA(rsa)) = key.parsed() else {
        return String::new();
    };
    let significant = rsa.modulus.iter().skip_while(|byte| **byte == 0);
    let top = significant.clone().next().map_or(0, |byte| byte.leading_zeros() as usize);
    (significant.count() * 8).saturating_sub(top).to_string()
}

fn serial(raw: &[u8]) -> String {
    match raw {
        [0, rest @ ..] if !rest.is_empty() => hex::encode(rest),
        whole => hex::encode(whole),
    }
}

/// The year 9999 (RFC 5280's "no well-defined expiration date") ends a day after what jiff can hold: the bounds
/// saturate.
fn timestamp(seconds: i64) -> Timestamp {
    let bound = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_second(seconds).unwrap_or(bound)
}

fn signature_algorithm(oid: &Oid<'_>) -> String {
    let oid = oid.to_id_string();
    match oid.as_str() {
        "1.2.840.10045.4.3.2" => "ECDSA-SHA256",
        "1.2.840.10045.4.3.3" => "ECDSA-SHA384",
        "1.2.840.10045.4.3.4" => "ECDSA-SHA512",
        "1.2.840.113549.1.1.5" => "SHA1-RSA",
        "1.2.840.113549.1.1.11" => "SHA256-RSA",
        "1.2.840.113549.1.1.12" => "SHA384-RSA",
        "1.2.840.113549.1.1.13" => "SHA512-RSA",
        "1.3.101.112" => "Ed25519",
        other => other,
    }
    .into()
}

#[derive(Default)]
struct AltNames {
    dns: Vec<String>,
    ips: Vec<IpAddr>,
    emails: Vec<String>,
    uris: Vec<String>,
    /// Were there names of a kind for which the facts have no field?
    others: bool,
}

impl AltNames {
    fn add(&mut self, names: &[GeneralName<'_>]) -> Result<(), String> {
        for name in names {
            match name {
                GeneralName::DNSName(dns) => self.dns.push((*dns).into()),
                GeneralName::RFC822Name(email) => self.emails.push((*email).into()),
                GeneralName::URI(uri) => self.uris.push((*uri).into()),
                GeneralName::IPAddress(octets) => self.ips.push(ip(octets)?),
                GeneralName::Invalid(..) => return Err("invalid subject alternative name".into()),
                _ => self.others = true,
            }
        }
        Ok(())
    }
}

fn ip(octets: &[u8]) -> Result<IpAddr, String> {
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        return Ok(v4.into());
    }
    let v6 =
        <[u8; 16]>::try_from(octets).map_err(|_| format!("IP subject alternative name of {} bytes", octets.len()))?;
    Ok(v6.into())
}

#[derive(Default)]
struct Extensions {
    alt: AltNames,
    key_usage: Vec<String>,
    key_usage_critical: bool,
    ext_key_usage: Vec<String>,
    ext_key_usage_critical: bool,
    ca: Option<bool>,
    basic_constraints_critical: bool,
    subject_key_id: Option<String>,
    authority_key_id: Option<String>,
    other: Vec<String>,
}

impl Extensions {
    fn read(extensions: &[X509Extension<'_>]) -> Result<Self, String> {
        let mut said = Self::default();
        for extension in extensions {
            said.add(extension).map_err(|e| format!("extension {}: {e}", extension.oid))?;
        }
        Ok(said)
    }

    fn add(&mut self, extension: &X509Extension<'_>) -> Result<(), String> {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                self.alt.add(&names.general_names)?;
                if self.alt.others {
                    self.other.push(extension.oid.to_id_string());
                }
            }
            ParsedExtension::KeyUsage(usage) => {
                self.key_usage = usage::key_usage_words(usage.flags);
                self.key_usage_critical = extension.critical;
            }
            ParsedExtension::ExtendedKeyUsage(_) => {
                // x509-parser sorts the purposes; their order is read from the extension itself.
                let (_, purposes) = <Vec<Oid<'_>>>::from_der(extension.value).map_err(|e| e.to_string())?;
                let words = purposes.iter().map(|oid| usage::ext_key_usage_word(&oid.to_id_string()));
                self.ext_key_usage = words.collect();
                self.ext_key_usage_critical = extension.critical;
            }
            ParsedExtension::BasicConstraints(constraints) => {
                self.ca = Some(constraints.ca);
                self.basic_constraints_critical = extension.critical;
            }
            ParsedExtension::SubjectKeyIdentifier(id) => self.subject_key_id = Some(hex::encode(id.0)),
            ParsedExtension::AuthorityKeyIdentifier(authority) => {
                self.authority_key_id = authority.key_identifier.as_ref().map(|id| hex::encode(id.0));
            }
            ParsedExtension::ParseError { error } if is_described(extension) => {
                return Err(error.to_string());
            }
            _ => self.other.push(extension.oid.to_id_string()),
        }
        Ok(())
    }
}

/// Do the facts have fields for this extension?
fn is_described(extension: &X509Extension<'_>) -> bool {
    let described = ["2.5.29.14", "2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.35", "2.5.29.37"];
    described.contains(&extension.oid.to_id_string().as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::empty("", &["the file is empty"])]
    #[case::garbage("\u{0}\u{1}hello", &["no PEM block"])]
    #[case::no_end("-----BEGIN CERTIFICATE-----\nAAAA\n", &["truncated: no END line"])]
    #[case::body("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", &["the block is empty"])]
    #[case::base64("-----BEGIN X-----\n!!!!\n-----END X-----\n", &["bad base64"])]
    #[case::labels("-----BEGIN X-----\nAAAA\n-----END Y-----\n", &["does not match"])]
    #[case::boundary("-----BEGIX X-----\nAAAA\n-----END X-----\n", &["damaged BEGIN", "without BEGIN"])]
    #[case::key("-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n", &["cannot use"])]
    #[case::der("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &["bad DER"])]
    fn damage_is_named(#[case] file: &str, #[case] errors: &[&str]) {
        let blocks = pem_file(file.as_bytes()).blocks;
        assert_eq!(blocks.len(), errors.len(), "{blocks:?}");
        for (block, error) in blocks.iter().zip(errors) {
            assert!(block.error.as_ref().unwrap().contains(error), "{block:?}");
        }
    }

    #[rstest]
    #[case(&[0, 0x80], "80")]
    #[case(&[0], "00")]
    #[case(&[1, 2], "0102")]
    fn serial_has_no_sign_octet(#[case] raw: &[u8], #[case] hex: &str) {
        assert_eq!(serial(raw), hex);
    }

    #[test]
    fn year_9999_saturates() {
        assert_eq!(timestamp(253_402_300_799), Timestamp::MAX);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            let _ = (certificate(&bytes), request(&bytes), public_key(&bytes), certificates_from_pem(&bytes));
            prop_assert!(!pem_file(&bytes).blocks.is_empty());
        }
    }
}
