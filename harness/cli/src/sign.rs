//! Signing reports, on the command line.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use tlsboot_engine::report::Format;
use tlsboot_engine::report::signature::SigningKey;

/// Whether a report is signed.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct SignOptions {
    /// Sign result.json with this Ed25519 key (PKCS#8 PEM, as created by `openssl genpkey -algorithm ed25519`).
    #[arg(long, value_name = "KEY", env = "TLSBOOT_SIGN")]
    sign: Option<PathBuf>,
}

impl SignOptions {
    /// The key, read before anything is run.
    pub(super) fn load(&self, formats: &[Format]) -> Result<Option<SigningKey>, Failure> {
        let Some(path) = &self.sign else {
            return Ok(None);
        };
        if !formats.contains(&Format::Json) {
            return Err(Failure::usage("--sign signs result.json: add `json` to --format"));
        }
        SigningKey::read(path).map(Some).map_err(Failure::usage)
    }
}
