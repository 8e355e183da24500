//! Reading and verifying ([`x509`](crate::x509)), tried on what this module makes.

mod read;
mod verify;
