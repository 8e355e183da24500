//! X.509 extensions as Kubernetes' signer and the kubelet write them.

use x509_cert::der::Encode;
use x509_cert::der::asn1::OctetString;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, BasicConstraints, SubjectKeyIdentifier};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use tlsboot_core::x509::{AltName, X509Error, name, usage};

/// Wraps an extension's value.
pub(super) fn extension<T: AssociatedOid + Encode>(value: &T, critical: bool) -> Result<Extension, X509Error> {
    let extn_value =
        value.to_der().and_then(OctetString::new).map_err(|e| X509Error::encode(format!("extension {}", T::OID), e))?;
    Ok(Extension { extn_id: T::OID, critical, extn_value })
}

/// KeyUsage (critical) and ExtendedKeyUsage (not critical), each only if a word requires it.
pub(super) fn usages(words: &[String]) -> Result<Vec<Extension>, X509Error> {
    let (bits, purposes) = usage::extensions(words)?;
    let bits = bits.map(|bits| extension(&bits, true));
    let purposes = purposes.map(|purposes| extension(&purposes, false));
    bits.into_iter().chain(purposes).collect()
}

/// BasicConstraints, critical.
pub(super) fn basic_constraints(ca: bool) -> Result<Extension, X509Error> {
    extension(&BasicConstraints { ca, path_len_constraint: None }, true)
}

/// AuthorityKeyIdentifier with the issuer's key id.
pub(super) fn authority_key_id(issuer: &SubjectKeyIdentifier) -> Result<Extension, X509Error> {
    extension(&AuthorityKeyIdentifier { key_identifier: Some(issuer.0.clone()), ..Default::default() }, false)
}

/// SubjectAltName; omitted if there are no names.
pub(super) fn alt_names(names: &[AltName]) -> Result<Option<Extension>, X509Error> {
    if names.is_empty() {
        return Ok(None);
    }
    extension(&name::alt_names(names)?, false).map(Some)
}

/// The identifier of a key: SHA-1 of its bits, as in Go (RFC 5280 4.2.1.2, method 1).
pub(super) fn key_id(spki: &[u8]) -> Result<SubjectKeyIdentifier, X509Error> {
    SubjectPublicKeyInfoRef::try_from(spki)
        .and_then(|spki| SubjectKeyIdentifier::try_from(spki).map_err(Into::into))
        .map_err(|e| X509Error::Key(e.to_string()))
}
