//! Making CAs, certificates and requests, the hostile ones too.
//!
//! Making goes through x509-cert, since rcgen drops a second `O=`; signing goes through rustls, since it takes every key file
//! that is met in the field (SEC1, PKCS#1, PKCS#8). Reading is in [`x509`](tlsboot_core::x509).

mod authority;
mod extension;
mod key;
mod request;
#[cfg(test)]
mod tests;

pub use authority::{Authority, Issued, SignOptions, Validity, YEAR};
pub use key::PrivateKey;
pub use request::RequestBuilder;
