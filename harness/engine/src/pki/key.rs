//! Private keys in every format that Kubernetes components write.

use std::sync::Arc;

use p256::ecdsa::signature::Keypair;
use p256::elliptic_curve::Generate;
use p256::pkcs8::LineEnding;
use rustls::SignatureScheme;
use rustls::sign::SigningKey;
use x509_cert::der::asn1::{AnyRef, Null, ObjectIdentifier};
use x509_cert::spki::{self, AlgorithmIdentifierOwned, Document, DynSignatureAlgorithmIdentifier, EncodePublicKey};

use crate::secret::Secret;
use tlsboot_core::history::facts::KeyFacts;
use tlsboot_core::x509::{Block, X509Error, blocks, key, read};

/// The signature schemes for certificates, by kind of key: the same that Go's `x509` chooses.
const SCHEMES: [(SignatureScheme, &str); 4] = [
    (SignatureScheme::ECDSA_NISTP256_SHA256, "1.2.840.10045.4.3.2"),
    (SignatureScheme::ECDSA_NISTP384_SHA384, "1.2.840.10045.4.3.3"),
    (SignatureScheme::RSA_PKCS1_SHA256, RSA_SHA256),
    (SignatureScheme::ED25519, "1.3.101.112"),
];
const RSA_SHA256: &str = "1.2.840.113549.1.1.11";

/// A private key and its public half.
#[derive(Clone, Debug)]
pub struct PrivateKey {
    signing: Arc<dyn SigningKey>,
    spki: Vec<u8>,
    pem: Secret<String>,
}

impl PrivateKey {
    /// A new ECDSA P-256 key in the format that the kubelet writes, `EC PRIVATE KEY` (C-10).
    pub fn generate() -> Result<Self, X509Error> {
        let key = p256::SecretKey::try_generate()
            .map_err(|e| X509Error::Key(format!("no randomness from the system: {e}")))?;
        let pem = key.to_sec1_pem(LineEnding::LF).map_err(|e| X509Error::Key(e.to_string()))?;
        Self::from_pem(&pem)
    }

    /// Reads the first private key of a PEM text: SEC1, PKCS#1 or PKCS#8; ECDSA P-256 or P-384, RSA from 2048 bits, Ed25519.
    pub fn from_pem(pem: &str) -> Result<Self, X509Error> {
        let block = blocks(pem.as_bytes())
            .into_iter()
            .find(Block::is_private_key)
            .ok_or_else(|| X509Error::Pem("no PRIVATE KEY block".into()))?;
        let (signing, spki) = key::load(&block)?;
        Ok(Self { signing, spki, pem: Secret::new(pem.to_owned()) })
    }

    /// The PEM text that the key came from.
    pub fn pem(&self) -> &Secret<String> {
        &self.pem
    }

    /// What can be shown of the key in public.
    pub fn facts(&self) -> Result<KeyFacts, X509Error> {
        read::public_key(&self.spki)
    }

    /// DER SubjectPublicKeyInfo of the public half.
    pub(super) fn spki(&self) -> &[u8] {
        &self.spki
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, X509Error> {
        self.signer()?.sign(message).map_err(|e| X509Error::Key(format!("cannot sign: {e}")))
    }

    /// The algorithm of the signatures of [`sign`](Self::sign).
    pub(super) fn signature_algorithm(&self) -> Result<AlgorithmIdentifierOwned, X509Error> {
        let scheme = self.signer()?.scheme();
        let known = SCHEMES.iter().find(|(known, _)| *known == scheme);
        let (_, oid) = known.ok_or_else(|| X509Error::Key(format!("unknown scheme {scheme:?}")))?;
        // RFC 4055: RSA identifiers carry a NULL, the others nothing.
        let parameters = (*oid == RSA_SHA256).then(|| AnyRef::from(Null).into());
        let oid = ObjectIdentifier::new(oid).map_err(|e| X509Error::Key(e.to_string()))?;
        Ok(AlgorithmIdentifierOwned { oid, parameters })
    }

    fn signer(&self) -> Result<Box<dyn rustls::sign::Signer>, X509Error> {
        self.signing
            .choose_scheme(&SCHEMES.map(|(scheme, _)| scheme))
            .ok_or_else(|| X509Error::Key("no signature scheme for this kind of key".into()))
    }
}

/// A key in the form that x509-cert's certificate builder needs.
pub(super) struct CertificateSigner<'a>(pub(super) &'a PrivateKey);

/// A DER SubjectPublicKeyInfo, for the same builder.
#[derive(Clone)]
pub(super) struct PublicHalf(Vec<u8>);

impl EncodePublicKey for PublicHalf {
    fn to_public_key_der(&self) -> spki::Result<Document> {
        Ok(Document::try_from(self.0.as_slice())?)
    }
}

impl Keypair for CertificateSigner<'_> {
    type VerifyingKey = PublicHalf;

    fn verifying_key(&self) -> PublicHalf {
        PublicHalf(self.0.spki.clone())
    }
}

impl DynSignatureAlgorithmIdentifier for CertificateSigner<'_> {
    fn signature_algorithm_identifier(&self) -> spki::Result<AlgorithmIdentifierOwned> {
        self.0.signature_algorithm().map_err(|_| spki::Error::KeyMalformed)
    }
}
