//! `tlsboot approver`: hostile and malformed CSRs for a cluster's approver.

use std::io::stdout;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::existing::{BootstrapOptions, ExistingCluster, OutputFormat, failure};
use super::interrupt::on_interrupt;
use super::{Exit, Failure, colours, print, print_json, runtime};
use tlsboot_core::version::Version;
use tlsboot_engine::report::colours_wanted;
use tlsboot_engine::say;
use tlsboot_engine::untrusted::{self, LONGEST};
use tlsboot_field::approver::corpus::{Neighbour, Subjects, corpus};
use tlsboot_field::approver::decision::Expected;
use tlsboot_field::approver::fire::{FireError, Fired, Plan, fire};
use tlsboot_field::approver::judge::{Judgement, judge};
use tlsboot_field::approver::policy::Policy;
use tlsboot_field::approver::words;
use tlsboot_field::connection::Connection;
use tlsboot_field::owned;

/// Fire hostile and malformed CSRs at the approver of a cluster, and see which ones it approves.
///
/// Some hundred CSRs: of foreign signers, in other nodes' names, with wildcards, hundreds of names, a CA's constraints,
/// weak keys, of expired tokens, …. The expected result of each follows from Kubernetes' own rules, or from the
/// approver's rule and your expectations in a policy. tlsboot makes a bootstrap token, gets a certificate with it as a kubelet does, and sends
/// the CSRs. Before the first and after the last of them it sends good ones: only where the same approver approves those
/// does a pending one show anything. What counts is what was issued: a certificate with a foreign identity is a hole, one
/// that was approved and refused by the signer, or that gives nothing, is careless, and to be stricter than Kubernetes is
/// not a fault.
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

A policy for an approver of serving certificates (schema: `tlsboot schema policy`):
  preset: postfinance/kubelet-csr-approver
  rule: {hostNames: '^worker-[0-9]+$', addresses: [192.0.2.0/24]}
  node: worker-7                        # a Node that is there, if the approver looks for it
  serving: {dns: [worker-7], ips: [192.0.2.7]}
  neighbour: {name: worker-8, dns: [worker-8], ips: [192.0.2.8]}
  patience: 2m                          # an approver that a cron job runs every minute
  expect:                               # other decisions; the last one for a case counts
    - {cases: names.own-prefix-alone, decision: [approve, deny]}

Everything that is created has the label tlsboot-run and is removed at the end; after a kill -9, by
`tlsboot gc --kubeconfig F`. Certificates that were issued to hostile CSRs cannot be used: their keys were never
stored. The kubeconfig's user needs to create and delete Secrets in kube-system (not with --bootstrap-kubeconfig) and
to list and delete CSRs.

Exit codes: 0 nothing found, 1 unexpected decisions, or undecided cases, 2 a wrong command line,
kubeconfig or policy, 3 the cluster can't be reached or refuses, 130 interrupted.";

pub(super) fn run(command: &ApproverCommand) -> Result<Exit, Failure> {
    let policy = policy(command)?;
    if command.list {
        return list(&policy, command.format);
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
        let (run, server, serving) = (plan.run.clone(), connection.server(), plan.serving);
        let Some(fired) = fire_and_remove(&connection, plan).await? else {
            return Ok(Exit::Interrupted);
        };
        report(command, &judge(run.to_string(), server, fired.fates, fired.controls, serving, fired.notes))
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

/// A CSR, before it is sent.
#[derive(Serialize)]
struct Listed {
    id: &'static str,
    expected: Expected,
    by: &'static str,
    what: &'static str,
}

fn list(policy: &Policy, format: OutputFormat) -> Result<Exit, Failure> {
    let subjects = Subjects {
        dns: policy.serving.dns.clone(),
        neighbour: Neighbour::beside("worker-7", &policy.serving.ips),
        ips: policy.serving.ips.clone(),
        ..Subjects::example()
    };
    let newest = Version::known()[0];
    let cases: Vec<Listed> = corpus(&subjects, &policy.rule(), newest)
        .into_iter()
        .map(|case| policy.apply(case))
        .map(|case| Listed { id: case.id, by: case.by.words(), what: case.what, expected: case.expected })
        .collect();
    match format {
        OutputFormat::Json => print_json(&cases),
        OutputFormat::Text => {
            let line = |Listed { id, expected, by, what }: &Listed| {
                format!("{id:28} {:24} by {by}: {what}\n", expected.to_string())
            };
            print(&cases.iter().map(line).collect::<String>())
        }
    }
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
