//! Certificates, requests and keys as they are found: read into facts, and verified. Damage is named, never a panic.
//!
//! Reading goes through x509-parser, since real files are odder than builders allow; chains are judged by webpki. Names and
//! usages are here in both directions, so that what is written is what is read.

pub mod key;
pub mod name;
pub mod pem;
pub mod read;
pub mod usage;
pub mod verify;

pub use name::{AltName, node_subject};
pub use pem::{Block, blocks};

/// Why a certificate, request or key could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum X509Error {
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

impl X509Error {
    /// A value that does not fit into a certificate or request.
    pub fn encode(what: impl Into<String>, reason: impl ToString) -> Self {
        Self::Encode { what: what.into(), reason: reason.to_string() }
    }
}
