//! Key usages and extended key usages in Kubernetes' own words (certificates.k8s.io/v1 `KeyUsage`).

use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::flagset::FlagSet;
use x509_cert::ext::pkix::{ExtendedKeyUsage, KeyUsage, KeyUsages};

use super::X509Error;

/// Key usages in the order of their bits (RFC 5280 4.2.1.3).
const KEY_USAGES: [(&str, KeyUsages); 9] = [
    ("digital signature", KeyUsages::DigitalSignature),
    ("content commitment", KeyUsages::NonRepudiation),
    ("key encipherment", KeyUsages::KeyEncipherment),
    ("data encipherment", KeyUsages::DataEncipherment),
    ("key agreement", KeyUsages::KeyAgreement),
    ("cert sign", KeyUsages::KeyCertSign),
    ("crl sign", KeyUsages::CRLSign),
    ("encipher only", KeyUsages::EncipherOnly),
    ("decipher only", KeyUsages::DecipherOnly),
];

const EXT_KEY_USAGES: [(&str, &str); 12] = [
    ("any", "2.5.29.37.0"),
    ("server auth", "1.3.6.1.5.5.7.3.1"),
    ("client auth", "1.3.6.1.5.5.7.3.2"),
    ("code signing", "1.3.6.1.5.5.7.3.3"),
    ("email protection", "1.3.6.1.5.5.7.3.4"),
    ("ipsec end system", "1.3.6.1.5.5.7.3.5"),
    ("ipsec tunnel", "1.3.6.1.5.5.7.3.6"),
    ("ipsec user", "1.3.6.1.5.5.7.3.7"),
    ("timestamping", "1.3.6.1.5.5.7.3.8"),
    ("ocsp signing", "1.3.6.1.5.5.7.3.9"),
    ("microsoft sgc", "1.3.6.1.4.1.311.10.3.3"),
    ("netscape sgc", "2.16.840.1.113730.4.1"),
];

/// The words for the bits of a KeyUsage extension, bit 0 first.
pub fn key_usage_words(flags: u16) -> Vec<String> {
    let set = KEY_USAGES.iter().enumerate().filter(|(bit, _)| flags >> bit & 1 == 1);
    set.map(|(_, (word, _))| (*word).into()).collect()
}

/// The word for an extended key usage, or its dotted OID.
pub fn ext_key_usage_word(oid: &str) -> String {
    let known = EXT_KEY_USAGES.iter().find(|(_, known)| *known == oid);
    known.map_or(oid, |(word, _)| word).into()
}

/// Sorts words (or dotted OIDs) into the two extensions; each is `None` if no word belongs to it.
pub fn extensions(usages: &[String]) -> Result<(Option<KeyUsage>, Option<ExtendedKeyUsage>), X509Error> {
    let mut bits = FlagSet::<KeyUsages>::default();
    let mut purposes = Vec::new();
    for usage in usages {
        // Kubernetes has two words for the same usage here.
        let word = match usage.as_str() {
            "signing" => "digital signature",
            "s/mime" => "email protection",
            other => other,
        };
        if let Some((_, bit)) = KEY_USAGES.iter().find(|(known, _)| *known == word) {
            bits |= *bit;
            continue;
        }
        let oid = EXT_KEY_USAGES.iter().find(|(known, _)| *known == word).map_or(word, |(_, oid)| oid);
        purposes.push(ObjectIdentifier::new(oid).map_err(|_| {
            X509Error::encode(format!("usage {usage:?}"), "neither a Kubernetes key usage nor a dotted OID")
        })?);
    }
    let bits = (!bits.is_empty()).then_some(KeyUsage(bits));
    let purposes = (!purposes.is_empty()).then_some(ExtendedKeyUsage(purposes));
    Ok((bits, purposes))
}
