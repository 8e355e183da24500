//! `tlsboot probe`: plays the node in an existing cluster.

use std::io::stdout;

use clap::Args;
use serde_json::json;

use super::existing::{BootstrapOptions, ExistingCluster, OutputFormat, failure};
use super::interrupt::on_interrupt;
use super::{Exit, Failure, print, print_json, runtime};
use tlsboot_engine::report::colours_wanted;
use tlsboot_engine::say;
use tlsboot_field::connection::{Connection, Unreachable};
use tlsboot_field::owned;
use tlsboot_field::probe::{Outcome, Plan, Probed, play, text};

/// Play the node in an existing cluster: authentication, rights, approval, issuance, renewal, denial.
///
/// Without --allow-writes it creates nothing: it reads, presents credentials that must be refused, and creates CSRs as
/// a dry run, which admission and validation check but which is not stored. With it, a bootstrap client does what a
/// kubelet does: key, CSR, watch, certificate, renewal with the old certificate. Its keys stay in memory.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct ProbeCommand {
    #[command(flatten)]
    cluster: ExistingCluster,
    #[command(flatten)]
    bootstrap: BootstrapOptions,
    /// Create what is needed in the cluster; without it, the probes that need it are unsupported.
    #[arg(long)]
    allow_writes: bool,
    /// The format of the results.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    format: OutputFormat,
}

const AFTER_HELP: &str = "\
Examples:
  tlsboot probe --kubeconfig F                        what can be tested without creating anything
  tlsboot probe --kubeconfig F --allow-writes         the whole lifecycle of a node's certificate, in seconds
  tlsboot probe --kubeconfig F --allow-writes --bootstrap-kubeconfig bootstrap-kubelet.conf
                                                      the same, with your own token
  tlsboot probe --kubeconfig F --format json | jq '.probes[] | select(.outcome == \"fail\")'

Everything that is created has the label tlsboot-run, is listed first, and is removed at the end; after a kill -9, by
`tlsboot gc --kubeconfig F`. Unsupported probes say why.

Exit codes: 0 nothing failed, 1 something failed, 2 invalid command line or kubeconfig, 3 the cluster is not reachable,
130 interrupted.";

pub(super) fn run(command: &ProbeCommand) -> Result<Exit, Failure> {
    runtime()?.block_on(async {
        let connection = command.cluster.open().await?;
        let given = command.bootstrap.open(&connection).await?;
        let plan = Plan::new(&connection, command.allow_writes, given).await.map_err(failure)?;
        if command.allow_writes {
            say!("creating in {}, {}", connection.server(), plan.creates());
        }
        let Some(probed) = play_and_remove(&connection, &plan, command.allow_writes).await? else {
            return Ok(Exit::Interrupted);
        };
        report(command, &connection, &probed)
    })
}

/// `None` if it was interrupted. What was created is removed in any case.
async fn play_and_remove(connection: &Connection, plan: &Plan, writes: bool) -> Result<Option<Vec<Probed>>, Failure> {
    let mut interrupt = on_interrupt().map_err(Failure::error)?;
    let probed: Option<Result<Vec<Probed>, Unreachable>> = tokio::select! {
        probed = play(connection, plan) => Some(probed),
        _ = interrupt.wait_for(|interrupted| *interrupted) => None,
    };
    if writes {
        let removed = owned::remove(&connection.client(), &plan.run).await;
        removed.map_err(Failure::error)?;
    }
    probed.transpose().map_err(failure)
}

fn report(command: &ProbeCommand, connection: &Connection, probed: &[Probed]) -> Result<Exit, Failure> {
    match command.format {
        OutputFormat::Text => print(&text(probed, colours_wanted(&stdout())))?,
        OutputFormat::Json => print_json(&json!({"server": connection.server(), "probes": probed}))?,
    };
    let failed = probed.iter().any(|probed| matches!(probed.outcome, Outcome::Fail(_)));
    Ok(if failed { Exit::Fail } else { Exit::Pass })
}
