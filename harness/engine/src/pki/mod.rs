//! Creating CAs, certificates and requests, including hostile ones.
//!
//! They are built with x509-cert, because rcgen drops a second `O=`, and signed with rustls, because it reads every key
//! format found in practice (SEC1, PKCS#1, PKCS#8). Reading is in [`x509`](tlsboot_core::x509).

mod authority;
mod extension;
mod key;
mod request;
#[cfg(test)]
mod tests;

pub use authority::{Authority, Issued, SignOptions, Validity, YEAR};
pub use key::PrivateKey;
pub use request::RequestBuilder;
