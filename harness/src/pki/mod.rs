//! CAs, certificates and requests, the hostile ones too: making, reading and verifying them.
//!
//! Making goes through x509-cert, since rcgen drops a second `O=`; signing goes through rustls, since it takes every key file
//! that is met in the field (SEC1, PKCS#1, PKCS#8); reading goes through x509-parser; chains are judged by webpki.

mod authority;
mod extension;
mod key;
mod name;
pub(crate) mod pem;
pub mod read;
mod request;
mod usage;
pub mod verify;

pub use authority::{Authority, Issued, SignOptions, Validity};
pub use key::PrivateKey;
pub(crate) use key::public_half;
pub use name::{AltName, node_subject};
pub(crate) use pem::{Block, blocks};
pub use request::RequestBuilder;

/// Why a certificate, request or key could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The text is not usable PEM.
    #[error("PEM: {0}")]
    Pem(String),
    /// The bytes are no certificate that we can read.
    #[error("certificate: {0}")]
    Certificate(String),
    /// The bytes are no PKCS#10 request that we can read.
    #[error("certificate request: {0}")]
    Request(String),
    /// The private or public key is of no usable kind, or does not belong to the certificate.
    #[error("key: {0}")]
    Key(String),
    /// A value that was asked for does not fit into a certificate or request.
    #[error("cannot encode {what}: {reason}")]
    Encode {
        /// The offending part, as the caller named it.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl PkiError {
    fn encode(what: impl Into<String>, reason: impl ToString) -> Self {
        Self::Encode { what: what.into(), reason: reason.to_string() }
    }
}
