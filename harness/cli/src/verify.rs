//! `tlsboot verify`: check a report without its cluster.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;

use super::{Exit, Failure, print};
use tlsboot_core::plain::one_line;
use tlsboot_engine::report::ReportError;
use tlsboot_engine::report::signature::PublicKey;
use tlsboot_engine::report::verify::{Verification, verify};

/// Check a report: hashes of all evidence, verdicts judged again, and its signature; and list what it does not prove.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tlsboot verify tlsboot-out                      hashes and verdicts only
  tlsboot verify tlsboot-out --key pub.pem        also the signature, as a third party would

Keys and signed reports:
  openssl genpkey -algorithm ed25519 -out key.pem     a signing key, created once
  openssl pkey -in key.pem -pubout -out pub.pem       the public key, for everyone who verifies
  tlsboot run --sign key.pem                          a signed report

Exit codes: 0 all matches, 1 something was changed or damaged, 2 no report or no key.")]
pub(super) struct VerifyCommand {
    /// The output folder of a run or a merge.
    #[arg(value_name = "REPORT", default_value = "tlsboot-out")]
    report: PathBuf,
    /// The signer's Ed25519 public key, in PEM.
    #[arg(long, value_name = "PUB")]
    key: Option<PathBuf>,
}

pub(super) fn run(command: &VerifyCommand) -> Result<Exit, Failure> {
    let key = command.key.as_deref().map(PublicKey::read).transpose();
    let key = key.map_err(Failure::usage)?;
    let verification = verify(&command.report, key.as_ref()).map_err(|error| match error {
        // It was a report once.
        ReportError::Malformed { .. } => Failure { exit: Exit::Fail, error: error.into() },
        _ => Failure::usage(error),
    })?;
    print(&text(&verification))?;
    Ok(if verification.findings.is_empty() { Exit::Pass } else { Exit::Fail })
}

fn text(verification: &Verification) -> String {
    let mut text = String::new();
    for finding in &verification.findings {
        let _ = writeln!(text, "WRONG  {}", one_line(finding));
    }
    let verdict = match verification.findings.len() {
        0 => "Everything matches.".to_owned(),
        1 => "One thing does not match: the report was changed or damaged.".to_owned(),
        many => format!("{many} things do not match: the report was changed or damaged."),
    };
    let list = |items: &[String]| {
        let lines: Vec<String> = items
            .iter()
            .map(|item| format!("  - {}\n", item.lines().map(one_line).collect::<Vec<_>>().join("\n")))
            .collect();
        lines.concat()
    };
    let _ = write!(
        text,
        "{verdict}\n\nChecked:\n{}\nNot proven by this report:\n{}",
        list(&verification.checked),
        list(&verification.not_proven)
    );
    text
}
