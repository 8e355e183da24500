//! Certificate requests, well-formed and malformed: what a kubelet sends, and what an attacker would.

use x509_cert::attr::Attributes;
use x509_cert::der::asn1::{BitString, ObjectIdentifier, OctetString};
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::Extension;
use x509_cert::request::{CertReq, CertReqInfo, ExtensionReq, Version};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::PrivateKey;
use super::extension;
use crate::secret::Secret;
use tlsboot_core::history::facts::Name;
use tlsboot_core::x509::{AltName, X509Error, name, node_subject, pem};

/// Builds a PKCS#10 request. Nothing is checked: hostile requests are the purpose.
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

    /// What the kubelet of `node` requests (C-08); add alternative names for its serving certificate.
    pub fn node(node: &str) -> Self {
        Self::new(node_subject(node))
    }

    /// Adds subject alternative names of any kind.
    pub fn alt_names(mut self, names: impl IntoIterator<Item = AltName>) -> Self {
        self.alt_names.extend(names);
        self
    }

    /// Requests key usages and extended key usages, in Kubernetes' words. (The CSR object's `spec.usages` is separate.)
    pub fn usages(mut self, usages: &[&str]) -> Self {
        self.usages.extend(usages.iter().map(|&usage| usage.to_owned()));
        self
    }

    /// Requests BasicConstraints with this `cA`.
    pub fn ca(mut self, ca: bool) -> Self {
        self.ca = Some(ca);
        self
    }

    /// Requests any extension, by its dotted OID and DER value.
    pub fn extension(mut self, oid: &str, critical: bool, value: &[u8]) -> Result<Self, X509Error> {
        let refuse = |e: &dyn ToString| X509Error::encode(format!("extension {oid}"), e.to_string());
        let extn_id = ObjectIdentifier::new(oid).map_err(|e| refuse(&e))?;
        let extn_value = OctetString::new(value).map_err(|e| refuse(&e))?;
        self.extensions.push(Extension { extn_id, critical, extn_value });
        Ok(self)
    }

    /// Uses this key instead of a new one.
    pub fn key(mut self, key: PrivateKey) -> Self {
        self.key = Some(key);
        self
    }

    /// Makes the signature wrong: the requester does not prove possession of the key.
    pub fn broken_signature(mut self) -> Self {
        self.broken_signature = true;
        self
    }

    /// The request in PEM, and the private key in PEM.
    pub fn build(self) -> Result<(String, Secret<String>), X509Error> {
        let extensions = self.requested_extensions()?;
        let key = self.key.map_or_else(PrivateKey::generate, Ok)?;
        let refuse = |e: &dyn ToString| X509Error::encode("certificate request", e.to_string());
        let mut attributes = Attributes::default();
        if !extensions.is_empty() {
            let attribute = ExtensionReq(extensions).try_into().map_err(|e: x509_cert::der::Error| refuse(&e))?;
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
            // A signature over something else is well-formed DER, but wrong.
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

    fn requested_extensions(&self) -> Result<Vec<Extension>, X509Error> {
        let mut extensions = extension::usages(&self.usages)?;
        if let Some(ca) = self.ca {
            extensions.push(extension::basic_constraints(ca)?);
        }
        extensions.extend(extension::alt_names(&self.alt_names)?);
        extensions.extend(self.extensions.iter().cloned());
        Ok(extensions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tlsboot_core::x509::read;

    #[test]
    fn node_request_is_what_the_kubelet_sends() {
        let (pem, key) = RequestBuilder::node("n1").build().unwrap();
        let facts = read::request(pem.as_bytes()).unwrap();
        assert_eq!(facts.subject, node_subject("n1"));
        assert!(facts.signature_valid);
        assert!(facts.requested_extensions.is_empty() && facts.dns.is_empty());
        assert!(key.expose().starts_with("-----BEGIN EC PRIVATE KEY-----"));
        assert_eq!(facts.key, PrivateKey::from_pem(key.expose()).unwrap().facts().unwrap());
    }

    #[test]
    fn hostile_request_keeps_all_it_asks_for() {
        let subject = Name {
            common_name: Some("system:node:ü\0x".into()),
            organizations: vec!["system:nodes".into(), "system:masters".into()],
            other: vec!["OU=a=b".into(), "1.2.3.4=x".into()],
        };
        let (pem, _) = RequestBuilder::new(subject.clone())
            .alt_names([
                AltName::Dns("evil".into()),
                AltName::Ip("fd00::1".parse().unwrap()),
                AltName::Email("a@b".into()),
                AltName::Uri("spiffe://x".into()),
            ])
            .usages(&["cert sign", "any"])
            .ca(true)
            .extension("1.2.3.5", true, &[5, 0])
            .unwrap()
            .build()
            .unwrap();
        let facts = read::request(pem.as_bytes()).unwrap();
        assert_eq!(facts.subject, subject);
        assert_eq!(facts.requested_extensions, ["2.5.29.15", "2.5.29.37", "2.5.29.19", "2.5.29.17", "1.2.3.5"]);
        assert_eq!((facts.dns, facts.emails), (vec!["evil".into()], vec!["a@b".into()]));
        assert_eq!((facts.uris, facts.ips), (vec!["spiffe://x".into()], vec!["fd00::1".parse().unwrap()]));
        assert!(facts.signature_valid);
    }

    #[test]
    fn empty_subject_is_possible() {
        let (pem, _) = RequestBuilder::new(Name::default()).build().unwrap();
        assert_eq!(read::request(pem.as_bytes()).unwrap().subject, Name::default());
    }

    #[test]
    fn signature_can_be_broken_and_key_reused() {
        let key = PrivateKey::generate().unwrap();
        let (good, _) = RequestBuilder::node("n1").key(key.clone()).build().unwrap();
        let (bad, _) = RequestBuilder::node("n1").key(key).broken_signature().build().unwrap();
        let (good, bad) = (read::request(good.as_bytes()).unwrap(), read::request(bad.as_bytes()).unwrap());
        assert!(good.signature_valid && !bad.signature_valid);
        assert_eq!(good.key, bad.key);
    }

    #[test]
    fn what_cannot_be_encoded_is_named() {
        let error = RequestBuilder::node("n1").alt_names([AltName::Dns("ü".into())]).build().unwrap_err();
        assert!(error.to_string().contains("ü"), "{error}");
        let error = RequestBuilder::node("n1").usages(&["client-auth"]).build().unwrap_err();
        assert!(error.to_string().contains("client-auth"), "{error}");
    }
}
