//! Certificate requests, well-formed and odd: what a kubelet sends, and what an attacker would.

use x509_cert::attr::Attributes;
use x509_cert::der::asn1::{BitString, ObjectIdentifier, OctetString};
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::Extension;
use x509_cert::request::{CertReq, CertReqInfo, ExtensionReq, Version};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::extension;
use super::{AltName, PkiError, PrivateKey, name, node_subject, pem};
use crate::history::facts::Name;
use crate::secret::Secret;

/// Builds a PKCS#10 request. Nothing is checked for sense: hostile requests are the point.
#[derive(Clone, Debug)]
pub struct RequestBuilder {
    subject: Name,
    alt_names: Vec<AltName>,
    usages: Vec<String>,
    ca: Option<bool>,
    extensions: Vec<Extension>,
    key: Option<PrivateKey>,
    broken_signature: bool,
}

impl RequestBuilder {
    /// A request for any subject: any number of O's, any CN or none.
    pub fn new(subject: Name) -> Self {
        Self {
            subject,
            alt_names: Vec::new(),
            usages: Vec::new(),
            ca: None,
            extensions: Vec::new(),
            key: None,
            broken_signature: false,
        }
    }

    /// What the kubelet of `node` asks for (C-08); add alternative names for its serving certificate.
    pub fn node(node: &str) -> Self {
        Self::new(node_subject(node))
    }

    /// Adds subject alternative names of any kind.
    pub fn alt_names(mut self, names: impl IntoIterator<Item = AltName>) -> Self {
        self.alt_names.extend(names);
        self
    }

    /// Asks for key usages and extended key usages, in Kubernetes' words. (The CSR object's `spec.usages` is another thing.)
    pub fn usages(mut self, usages: &[&str]) -> Self {
        self.usages
            .extend(usages.iter().map(|&usage| usage.to_owned()));
        self
    }

    /// Asks for BasicConstraints with this `cA`.
    pub fn ca(mut self, ca: bool) -> Self {
        self.ca = Some(ca);
        self
    }

    /// Asks for any extension, by its dotted OID and DER value.
    pub fn extension(mut self, oid: &str, critical: bool, value: &[u8]) -> Result<Self, PkiError> {
        let refuse = |e: &dyn ToString| PkiError::encode(format!("extension {oid}"), e.to_string());
        let extn_id = ObjectIdentifier::new(oid).map_err(|e| refuse(&e))?;
        let extn_value = OctetString::new(value).map_err(|e| refuse(&e))?;
        self.extensions.push(Extension {
            extn_id,
            critical,
            extn_value,
        });
        Ok(self)
    }

    /// Uses this key again instead of a fresh one.
    pub fn key(mut self, key: PrivateKey) -> Self {
        self.key = Some(key);
        self
    }

    /// Makes the signature wrong: the requester does not prove that it holds the key.
    pub fn broken_signature(mut self) -> Self {
        self.broken_signature = true;
        self
    }

    /// The request in PEM, and the private key in PEM.
    pub fn build(self) -> Result<(String, Secret<String>), PkiError> {
        let extensions = self.requested_extensions()?;
        let key = self.key.map_or_else(PrivateKey::generate, Ok)?;
        let refuse = |e: &dyn ToString| PkiError::encode("certificate request", e.to_string());
        let mut attributes = Attributes::default();
        if !extensions.is_empty() {
            let attribute = ExtensionReq(extensions)
                .try_into()
                .map_err(|e: x509_cert::der::Error| refuse(&e))?;
            attributes.insert(attribute).map_err(|e| refuse(&e))?;
        }
        let info = CertReqInfo {
            version: Version::V1,
            subject: name::write(&self.subject)?,
            public_key: SubjectPublicKeyInfoOwned::from_der(key.spki()).map_err(|e| refuse(&e))?,
            attributes,
        };
        let mut message = info.to_der().map_err(|e| refuse(&e))?;
        if self.broken_signature {
            // A signature over something else is well-formed DER, and wrong.
            message.push(0);
        }
        let request = CertReq {
            info,
            algorithm: key.signature_algorithm()?,
            signature: BitString::from_bytes(&key.sign(&message)?).map_err(|e| refuse(&e))?,
        };
        let der = request.to_der().map_err(|e| refuse(&e))?;
        Ok((pem::write("CERTIFICATE REQUEST", &der), key.pem().clone()))
    }

    fn requested_extensions(&self) -> Result<Vec<Extension>, PkiError> {
        let mut extensions = extension::usages(&self.usages)?;
        if let Some(ca) = self.ca {
            extensions.push(extension::basic_constraints(ca)?);
        }
        extensions.extend(extension::alt_names(&self.alt_names)?);
        extensions.extend(self.extensions.iter().cloned());
        Ok(extensions)
    }
}
