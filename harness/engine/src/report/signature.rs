//! Ed25519 signatures of `result.json`, which holds the hashes of all evidence.
//!
//! Keys are those of `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout`; a signature has the 64 bytes that
//! `openssl pkeyutl -verify -rawin` accepts.

use std::path::{Path, PathBuf};

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use thiserror::Error;

use crate::secret::Secret;
use tlsboot_core::x509;

/// The signature's file name, next to `result.json`.
pub const FILE: &str = "result.json.sig";

/// The bytes before the 32 bytes of an Ed25519 key in its SubjectPublicKeyInfo (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Why a key cannot be used.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read the key {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// It is not a private key for signing.
    #[error(
        "{path} is not an Ed25519 private key in PEM ({reason}); create one with `openssl genpkey -algorithm ed25519 -out KEY`"
    )]
    NotPrivate {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It is not a public key for verifying.
    #[error(
        "{path} is not an Ed25519 public key in PEM ({reason}); get it with `openssl pkey -in KEY -pubout -out PUB`"
    )]
    NotPublic {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// A key to sign with.
#[derive(Debug)]
pub struct SigningKey(Secret<Ed25519KeyPair>);

impl SigningKey {
    /// Reads a PKCS#8 PEM file.
    ///
    /// # Errors
    /// It does not exist, or is not an Ed25519 key.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let not_private = |reason: String| KeyError::NotPrivate { path: path.to_owned(), reason };
        let der = read_block(path, "PRIVATE KEY")?.map(Secret::new).map_err(not_private)?;
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.expose())
            .map(|pair| Self(Secret::new(pair)))
            .map_err(|error| not_private(error.to_string()))
    }

    /// The signature of these bytes.
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.0.expose().sign(bytes).as_ref().to_vec()
    }

    /// The public key for verifying.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.expose().public_key().as_ref().to_vec())
    }
}

/// A key for verifying signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(Vec<u8>);

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo PEM file.
    ///
    /// # Errors
    /// It does not exist, or is not an Ed25519 key.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let not_public = |reason: String| KeyError::NotPublic { path: path.to_owned(), reason };
        let der = read_block(path, "PUBLIC KEY")?.map_err(not_public)?;
        match der.strip_prefix(&SPKI_PREFIX) {
            Some(key) if key.len() == 32 => Ok(Self(key.to_vec())),
            _ => Err(not_public("it is a key of another kind".into())),
        }
    }

    /// Whether the signature is one by this key for these bytes.
    pub fn verifies(&self, bytes: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(bytes, signature).is_ok()
    }
}

/// The only block of a PEM file, or what is wrong with it.
fn read_block(path: &Path, label: &str) -> Result<Result<Vec<u8>, String>, KeyError> {
    let bytes = crate::untrusted::read(path, crate::untrusted::LONGEST)
        .map_err(|source| KeyError::Read { path: path.to_owned(), source })?;
    Ok(match x509::blocks(&bytes).as_slice() {
        [block] if block.error.is_none() && block.label != label => Err(format!("it contains a {}", block.label)),
        [block] => block.der(),
        many => Err(format!("it contains {} blocks", many.len())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // created by `openssl genpkey -algorithm ed25519`, only for these tests
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIHelQGCbVfdnMIRjdCC6uQkFRxS0I9HxlIstaPMOleZy\n-----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAYyz+fmmi9gDAgJsr0a5g7on3Wv49crnS+v68ljT5tns=\n-----END PUBLIC KEY-----\n";
    const SIGNATURE: &str = "8cc1f8efa8cb1fce4a0bddba06c4c0a3679a2c56ea3b7716c5eb28451edce79812edafc91e4812f22f2a57f1d051c0f30e2086d3106b712218abf0e04ba9850a";

    fn files() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (key, public) = (folder.path().join("key"), folder.path().join("pub"));
        std::fs::write(&key, KEY).unwrap();
        std::fs::write(&public, PUBLIC).unwrap();
        (folder, key, public)
    }

    #[test]
    fn openssl_and_we_agree() {
        let (_folder, key, public) = files();
        let key = SigningKey::read(&key).unwrap();
        let public = PublicKey::read(&public).unwrap();
        assert_eq!(key.public(), public);
        assert_eq!(hex::encode(key.sign(b"tlsboot\n")), SIGNATURE);
        assert!(public.verifies(b"tlsboot\n", &hex::decode(SIGNATURE).unwrap()));
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let (_folder, key, public) = files();
        let key = SigningKey::read(&key).unwrap();
        let public = PublicKey::read(&public).unwrap();
        let message = b"a result".to_vec();
        let signature = key.sign(&message);
        for bit in 0..message.len() * 8 {
            let mut other = message.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!public.verifies(&other, &signature));
        }
        for bit in 0..signature.len() * 8 {
            let mut other = signature.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!public.verifies(&message, &other), "bit {bit}");
        }
    }

    #[test]
    fn a_wrong_file_says_what_would_be_right() {
        let (folder, key, public) = files();
        let error = SigningKey::read(&public).unwrap_err().to_string();
        assert!(error.contains("it contains a PUBLIC KEY") && error.contains("genpkey"), "{error}");
        let error = PublicKey::read(&key).unwrap_err().to_string();
        assert!(error.contains("-pubout"), "{error}");
        assert!(!error.contains("MC4CAQAwBQYDK2VwBCIEIHelQGCbVfdnMIRjdCC6uQkFRxS0I9HxlIstaPMOleZy"), "{error}");
        let none = folder.path().join("none");
        assert!(SigningKey::read(&none).unwrap_err().to_string().contains("cannot read"));
    }

    #[test]
    fn a_key_is_never_shown() {
        let (_folder, key, _) = files();
        assert_eq!(format!("{:?}", SigningKey::read(&key).unwrap()), "SigningKey([secret])");
    }
}
