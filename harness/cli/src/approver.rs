//! `tlsboot approver`: hostile and malformed CSRs for a cluster's approver.

use std::io::stdout;
use std::path::PathBuf;

use clap::Args;

use super::existing::{BootstrapOptions, ExistingCluster, OutputFormat, failure};
use super::interrupt::on_interrupt;
use super::{Exit, Failure, colours, print, print_json, runtime};
use tlsboot_core::version::Version;
use tlsboot_engine::report::colours_wanted;
use tlsboot_engine::say;
use tlsboot_engine::untrusted::{self, LONGEST};
use tlsboot_field::approver::corpus::{Subjects, corpus};
use tlsboot_field::approver::fire::{FireError, Fired, Plan, fire};
use tlsboot_field::approver::judge::{Judgement, judge};
use tlsboot_field::approver::policy::Policy;
use tlsboot_field::approver::words;
use tlsboot_field::connection::Connection;
use tlsboot_field::owned;

/// Fire hostile and malformed CSRs at the approver of a cluster, and see which ones it approves.
///
/// Some seventy CSRs: of foreign signers, in other nodes' names, with wildcards, hundreds of names, a CA's constraints,
/// weak keys, from expired tokens, …. The expected result of each follows from Kubernetes' own rules, or from the
/// policy that you write. tlsboot creates a bootstrap token, gets a certificate with it as a kubelet does, and sends
/// everything in the names of nodes that do not exist. Between the first and the last CSR it sends good ones: a CSR
/// that stays Pending shows something only if those are approved.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct ApproverCommand {
    #[command(flatten)]
    cluster: ExistingCluster,
    #[command(flatten)]
    bootstrap: BootstrapOptions,
    /// What the approver is expected to do, where that differs from Kubernetes' own rules.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Create what is needed in the cluster; without it, only print what would be created.
    #[arg(long)]
    allow_writes: bool,
    /// List the CSRs and the expected result of each, without any cluster.
    #[arg(long, conflicts_with_all = ["kubeconfig", "allow_writes"])]
    list: bool,
    /// The format of the results.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    format: OutputFormat,
}

const AFTER_HELP: &str = "\
Examples:
  tlsboot approver --list                             the CSRs, and what Kubernetes does with each
  tlsboot approver --kubeconfig F                     what would be created in the cluster
  tlsboot approver --kubeconfig F --allow-writes      send the CSRs
  tlsboot approver --kubeconfig F --allow-writes --policy P.yaml

A policy for an approver of serving certificates that denies invalid CSRs (schema: `tlsboot schema policy`):
  node: worker-7                        # an existing Node, if the approver looks for it
  serving: {dns: [worker-7], ips: [192.0.2.7]}
  settle: 10s                           # for a slow approver
  expect:                               # the last matching rule counts
    - {cases: 'serving.*', decision: [deny, pending]}
    - {cases: 'names.*', decision: [deny, pending]}
    - {cases: serving.rightful, decision: approve}

Everything that is created has the label tlsboot-run and is removed at the end; after a kill -9, by
`tlsboot gc --kubeconfig F`. Certificates that were issued to hostile CSRs cannot be used: their keys were never
stored. The kubeconfig's user needs to create and delete Secrets in kube-system (not with --bootstrap-kubeconfig) and
to list and delete CSRs.

Exit codes: 0 all as expected, 1 unexpected decisions, or good CSRs are not approved, 2 invalid command line,
kubeconfig or policy, 3 the cluster is not reachable or refuses, 130 interrupted.";

pub(super) fn run(command: &ApproverCommand) -> Result<Exit, Failure> {
    let policy = policy(command)?;
    if command.list {
        return list(&policy);
    }
    runtime()?.block_on(async {
        let connection = command.cluster.open().await?;
        let given = command.bootstrap.open(&connection).await?;
        let plan = Plan::new(&connection, &policy, given).await.map_err(failure)?;
        if !command.allow_writes {
            return Err(Failure::usage(format!(
                "this creates things in {}, {}\n  Add --allow-writes to do it.",
                connection.server(),
                plan.creates()
            )));
        }
        say!("creating in {}, {}", connection.server(), plan.creates());
        let (run, server) = (plan.run.clone(), connection.server());
        let Some(fired) = fire_and_remove(&connection, plan).await? else {
            return Ok(Exit::Interrupted);
        };
        report(command, &judge(run.to_string(), server, fired.fates, fired.controls))
    })
}

fn policy(command: &ApproverCommand) -> Result<Policy, Failure> {
    let Some(path) = &command.policy else {
        return Ok(Policy::default());
    };
    let name = path.display().to_string();
    let text =
        untrusted::read_text(path, LONGEST).map_err(|error| Failure::usage(format!("--policy {name}: {error}")))?;
    Policy::read(&name, &text).map_err(|errors| {
        let drawn: Vec<String> = errors.iter().map(|error| error.render(colours())).collect();
        Failure::usage(format!("the policy is invalid\n{}", drawn.join("\n\n")))
    })
}

fn list(policy: &Policy) -> Result<Exit, Failure> {
    let subjects = Subjects {
        node: "n".into(),
        other: "o".into(),
        dns: policy.serving.dns.clone(),
        ips: policy.serving.ips.clone(),
    };
    let newest = Version::known()[0];
    let lines: String = corpus(&subjects, newest)
        .iter()
        .map(|case| {
            let (expected, by) = (policy.expected(case).to_string(), case.by.words());
            format!("{:28} {expected:16} by {by}: {}\n", case.id, case.what)
        })
        .collect();
    print(&lines)
}

/// `None` if it was interrupted. What was created is removed in any case.
async fn fire_and_remove(connection: &Connection, plan: Plan) -> Result<Option<Fired>, Failure> {
    let mut interrupt = on_interrupt().map_err(Failure::error)?;
    let run = plan.run.clone();
    let fired = tokio::select! {
        fired = fire(connection, plan) => Some(fired),
        _ = interrupt.wait_for(|interrupted| *interrupted) => None,
    };
    let removed = owned::remove(&connection.client(), &run).await;
    let fired = match fired {
        None => None,
        Some(Ok(fired)) => Some(fired),
        Some(Err(FireError::Unreachable(error))) => return Err(failure(error)),
        Some(Err(error)) => return Err(Failure::error(error)),
    };
    removed.map_err(Failure::error)?;
    Ok(fired)
}

fn report(command: &ApproverCommand, judgement: &Judgement) -> Result<Exit, Failure> {
    match command.format {
        OutputFormat::Text => print(&words::text(judgement, colours_wanted(&stdout())))?,
        OutputFormat::Json => print_json(judgement)?,
    };
    Ok(if judgement.is_right() { Exit::Pass } else { Exit::Fail })
}
