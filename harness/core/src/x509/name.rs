//! Distinguished names and subject alternative names, reading and writing.

use core::net::IpAddr;

use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::{Any, Ia5String, ObjectIdentifier, OctetString, PrintableStringRef, Utf8StringRef};
use x509_cert::der::{self, Decode, Encode};
use x509_cert::ext::pkix::{SubjectAltName, name::GeneralName};
use x509_cert::name::{RdnSequence, RelativeDistinguishedName};
use x509_parser::x509::{AttributeTypeAndValue as ReadAttribute, X509Name};

use super::X509Error;
use crate::history::event::{NODE_USER_PREFIX, NODES_GROUP};
use crate::history::facts::Name;

const COMMON_NAME: &str = "2.5.4.3";
const ORGANIZATION: &str = "2.5.4.10";

/// Attributes that have a short name in RFC 4514 or in everyday use.
const OTHER_ATTRIBUTES: [(&str, &str); 9] = [
    ("SERIALNUMBER", "2.5.4.5"),
    ("C", "2.5.4.6"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("STREET", "2.5.4.9"),
    ("OU", "2.5.4.11"),
    ("UID", "0.9.2342.19200300.100.1.1"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("emailAddress", "1.2.840.113549.1.9.1"),
];

/// The subject that every kubelet must request: `O=system:nodes, CN=system:node:NODE` (C-08).
pub fn node_subject(node: &str) -> Name {
    Name {
        common_name: Some(format!("{NODE_USER_PREFIX}{node}")),
        organizations: vec![NODES_GROUP.into()],
        other: Vec::new(),
    }
}

/// A subject alternative name to put into a request or certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AltName {
    /// A DNS name.
    Dns(String),
    /// An IP address.
    Ip(IpAddr),
    /// An e-mail address.
    Email(String),
    /// A URI.
    Uri(String),
}

/// Reads a name. Like Go, it takes the last CN as the user and every O as a group.
pub fn read(name: &X509Name<'_>) -> Name {
    let mut read = Name::default();
    for attribute in name.iter_attributes() {
        let value = text(attribute);
        match attribute.attr_type().to_id_string().as_str() {
            COMMON_NAME => read.common_name = Some(value),
            ORGANIZATION => read.organizations.push(value),
            oid => {
                let known = OTHER_ATTRIBUTES.iter().find(|(_, known)| *known == oid);
                let word = known.map_or(oid, |(word, _)| word);
                read.other.push(format!("{word}={value}"));
            }
        }
    }
    read
}

fn text(attribute: &ReadAttribute<'_>) -> String {
    match attribute.as_str() {
        Ok(text) => text.into(),
        // Not UTF-8 (BMPString, TeletexString …): RFC 4514 writes such values as "#" and hex.
        Err(_) => format!("#{}", hex::encode(attribute.as_slice())),
    }
}

/// Encodes a name, with one attribute per RDN to keep the order: O, then the others, then CN, as Go does.
pub fn write(name: &Name) -> Result<x509_cert::name::Name, X509Error> {
    let mut rdns = RdnSequence::default();
    for organization in &name.organizations {
        rdns.push(rdn(ORGANIZATION, organization)?);
    }
    for other in &name.other {
        let (word, value) = other
            .split_once('=')
            .ok_or_else(|| X509Error::encode(format!("name attribute {other:?}"), "not KEY=value"))?;
        let known = OTHER_ATTRIBUTES.iter().find(|(known, _)| *known == word);
        rdns.push(rdn(known.map_or(word, |(_, oid)| oid), value)?);
    }
    if let Some(common_name) = &name.common_name {
        rdns.push(rdn(COMMON_NAME, common_name)?);
    }
    rdns.to_der()
        .and_then(|der| x509_cert::name::Name::from_der(&der))
        .map_err(|e| X509Error::encode(format!("name {name:?}"), e))
}

fn rdn(oid: &str, value: &str) -> Result<RelativeDistinguishedName, X509Error> {
    let refuse = |e: String| X509Error::encode(format!("name attribute {oid}={value:?}"), e);
    let oid = ObjectIdentifier::new(oid).map_err(|e| refuse(e.to_string()))?;
    let value = directory_string(value).map_err(|e| refuse(e.to_string()))?;
    RelativeDistinguishedName::try_from(vec![AttributeTypeAndValue { oid, value }]).map_err(|e| refuse(e.to_string()))
}

/// PrintableString if the characters allow it, otherwise UTF8String: the bytes that Go produces.
fn directory_string(value: &str) -> der::Result<Any> {
    match PrintableStringRef::new(value) {
        Ok(printable) => Any::encode_from(&printable),
        Err(_) => Any::encode_from(&Utf8StringRef::new(value)?),
    }
}

/// Encodes subject alternative names in the given order.
pub fn alt_names(names: &[AltName]) -> Result<SubjectAltName, X509Error> {
    let encode = |name: &AltName| -> der::Result<GeneralName> {
        Ok(match name {
            AltName::Dns(dns) => GeneralName::DnsName(Ia5String::new(dns)?),
            AltName::Email(email) => GeneralName::Rfc822Name(Ia5String::new(email)?),
            AltName::Uri(uri) => GeneralName::UniformResourceIdentifier(Ia5String::new(uri)?),
            AltName::Ip(IpAddr::V4(ip)) => GeneralName::IpAddress(OctetString::new(ip.octets())?),
            AltName::Ip(IpAddr::V6(ip)) => GeneralName::IpAddress(OctetString::new(ip.octets())?),
        })
    };
    let encoded = names
        .iter()
        .map(|name| encode(name).map_err(|e| X509Error::encode(format!("subject alternative name {name:?}"), e)));
    Ok(SubjectAltName(encoded.collect::<Result<_, _>>()?))
}
