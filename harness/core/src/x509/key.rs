//! Private keys, as far as reading a file needs them: their public half.

use std::sync::Arc;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;

use super::{Block, X509Error};

/// The public half of a private key block, as DER SubjectPublicKeyInfo.
///
/// # Errors
/// The same as those of [`load`].
pub fn public_half(block: &Block) -> Result<Vec<u8>, X509Error> {
    load(block).map(|(_, spki)| spki)
}

/// The key of a private key block, ready to sign, and its public half as DER SubjectPublicKeyInfo.
///
/// # Errors
/// The block is damaged, encrypted, or of a kind that rustls cannot sign with.
pub fn load(block: &Block) -> Result<(Arc<dyn SigningKey>, Vec<u8>), X509Error> {
    let der = block.der().map_err(X509Error::Pem)?;
    let der = match block.label.as_str() {
        "EC PRIVATE KEY" => PrivateKeyDer::Sec1(der.into()),
        "RSA PRIVATE KEY" => PrivateKeyDer::Pkcs1(der.into()),
        "PRIVATE KEY" => PrivateKeyDer::Pkcs8(der.into()),
        "ENCRYPTED PRIVATE KEY" => {
            return Err(X509Error::Key("it is encrypted; store it without a passphrase".into()));
        }
        other => {
            return Err(X509Error::Key(format!("{other:?} is not a known private key format")));
        }
    };
    // rustls' own error names only the last kind that it tried.
    let signing = any_supported_type(&der).map_err(|_| {
        let kinds = "ECDSA P-256 or P-384, RSA from 2048 bits, or Ed25519";
        X509Error::Key(format!("cannot use the {:?} block as {kinds}", block.label))
    })?;
    let spki = signing.public_key().ok_or_else(|| X509Error::Key("the public half cannot be derived".into()))?.to_vec();
    Ok((signing, spki))
}
