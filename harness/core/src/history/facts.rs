//! The public facts of certificates, certificate requests and PEM files.
//!
//! These are plain values: they can be written to `history.jsonl`, read back and compared. They never hold secret
//! bytes; of a private key only the public half is described.

use core::net::IpAddr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The content of a certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateFacts {
    /// SHA-256 of the DER, lower-case hex: the value of `X509SHA256=` in the API server's credential id.
    pub sha256: String,
    /// Serial number, lower-case hex without separators and without the sign octet.
    pub serial: String,
    /// X.509 version: 1 or 3.
    pub version: u32,
    /// The subject.
    pub subject: Name,
    /// The issuer.
    pub issuer: Name,
    /// DNS subject alternative names, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<String>,
    /// IP subject alternative names, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<IpAddr>,
    /// E-mail subject alternative names, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emails: Vec<String>,
    /// URI subject alternative names, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uris: Vec<String>,
    /// Start of validity, whole seconds, inclusive.
    #[schemars(with = "String")]
    pub not_before: Timestamp,
    /// End of validity, whole seconds, inclusive.
    #[schemars(with = "String")]
    pub not_after: Timestamp,
    /// The public key.
    pub key: KeyFacts,
    /// Key usages in Kubernetes' own words: `digital signature`, `key encipherment`, …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key_usage: Vec<String>,
    /// Is the KeyUsage extension critical? False when it is absent.
    pub key_usage_critical: bool,
    /// Extended key usages in Kubernetes' own words (`client auth`, `server auth`, …), otherwise the dotted OID.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ext_key_usage: Vec<String>,
    /// Is the ExtendedKeyUsage extension critical? False when it is absent.
    pub ext_key_usage_critical: bool,
    /// `cA` of BasicConstraints; `None` when the extension is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<bool>,
    /// Is the BasicConstraints extension critical? False when it is absent.
    pub basic_constraints_critical: bool,
    /// SubjectKeyIdentifier, lower-case hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_key_id: Option<String>,
    /// AuthorityKeyIdentifier's key identifier, lower-case hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority_key_id: Option<String>,
    /// Signature algorithm as Go names it: `ECDSA-SHA256`, `SHA256-RSA`, …, otherwise the dotted OID.
    pub signature_algorithm: String,
    /// Dotted OIDs of the extensions that no other field describes, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_extensions: Vec<String>,
    /// The whole certificate: base64 of the DER. A certificate is public; chains are verified from this.
    pub der: String,
}

/// A distinguished name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Name {
    /// CN: the Kubernetes user name. If there are several, the last one, as in Go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub common_name: Option<String>,
    /// Every O in order: the Kubernetes groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub organizations: Vec<String>,
    /// All other attributes in order, as `OU=…`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other: Vec<String>,
}

/// A public key, or the public half of a private key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyFacts {
    /// `ECDSA`, `RSA`, `Ed25519`, otherwise the dotted OID.
    pub algorithm: String,
    /// The curve (`P-256`), or the size of the modulus in bits (`2048`); empty if the algorithm has neither.
    pub parameters: String,
    /// SHA-256 of the DER SubjectPublicKeyInfo, lower-case hex. Two equal values are the same key.
    pub spki_sha256: String,
}

/// The content of a PKCS#10 certificate request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestFacts {
    /// The requested subject.
    pub subject: Name,
    /// Requested DNS subject alternative names, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<String>,
    /// Requested IP subject alternative names, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<IpAddr>,
    /// Requested e-mail subject alternative names, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emails: Vec<String>,
    /// Requested URI subject alternative names, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uris: Vec<String>,
    /// The public key to be certified.
    pub key: KeyFacts,
    /// Does the request's signature prove that the requester holds the key?
    pub signature_valid: bool,
    /// Dotted OIDs of all requested extensions, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requested_extensions: Vec<String>,
}

/// The content of a PEM file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PemFacts {
    /// The blocks in file order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<PemBlock>,
}

/// One block of a PEM file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PemBlock {
    /// The label: `CERTIFICATE`, `EC PRIVATE KEY`, …; empty for bytes outside any block.
    pub label: String,
    /// Of a `CERTIFICATE` block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateFacts>,
    /// Of a private key block: only its public half.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<KeyFacts>,
    /// Why the block could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
