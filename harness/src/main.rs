//! The `tlsboot` command.
fn main() {}
