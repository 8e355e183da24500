//! Certificates, requests and keys as found in the wild: read into facts, and verified. Damage is reported, and never
//! causes a panic.
//!
//! Reading uses x509-parser, because real files are stranger than builders allow; webpki judges chains. Names and
//! usages are handled here in both directions, so that what is written is what is read.

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
    /// The bytes are not a certificate that tlsboot can read.
    #[error("certificate: {0}")]
    Certificate(String),
    /// The bytes are not a PKCS#10 request that tlsboot can read.
    #[error("certificate request: {0}")]
    Request(String),
    /// The private or public key is of an unsupported kind, or does not belong to the certificate.
    #[error("key: {0}")]
    Key(String),
    /// A requested value does not fit into a certificate or request.
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
