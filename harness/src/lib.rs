//! tlsboot
