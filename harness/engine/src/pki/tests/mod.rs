//! Reading and verifying ([`x509`](tlsboot_core::x509)), tested on what this module creates.

mod read;
mod verify;
