//! The `tlsboot` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    tlsboot::shim::run_if_asked();
    tlsboot::cli::main()
}
