//! The `tlsboot` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    tlsboot_engine::shim::run_if_asked();
    tlsboot::main()
}
