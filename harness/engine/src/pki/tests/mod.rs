//! Reading and verifying ([`x509`](tlsboot_core::x509)), tried on what this module makes.

mod read;
mod verify;
