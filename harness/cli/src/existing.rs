//! What the commands for existing clusters have in common.

use std::io::stdout;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Exit, Failure, print, print_json, runtime};
use tlsboot_core::plain::one_line;
use tlsboot_engine::report::colours_wanted;
use tlsboot_field::connection::{Bootstrap, Connection, Unreachable};
use tlsboot_field::doctor::diagnose::{Diagnosis, Grade, diagnose};
use tlsboot_field::doctor::{look, words};
use tlsboot_field::owned;

/// The format of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputFormat {
    /// For people to read.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Which cluster.
#[derive(Clone, Debug, Args)]
pub(super) struct ExistingCluster {
    /// The kubeconfig of the cluster; by default the one that kubectl would use: that of KUBECONFIG, `~/.kube/config`,
    /// or the service account of this pod. If its user's credentials come from a command (`exec`), the command is run.
    #[arg(long, value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig other than the current one.
    #[arg(long, value_name = "NAME")]
    pub(super) context: Option<String>,
}

impl ExistingCluster {
    pub(super) async fn open(&self) -> Result<Connection, Failure> {
        Connection::open(self.kubeconfig.as_deref(), self.context.as_deref()).await.map_err(failure)
    }
}

/// How a node that has no certificate authenticates.
#[derive(Debug, Args)]
pub(super) struct BootstrapOptions {
    /// Begin with the user of this bootstrap kubeconfig, as your own kubelets do. Then no token is created, so the
    /// kubeconfig's user needs no rights on Secrets, and what needs tokens that can be created and deleted is left out.
    #[arg(long, value_name = "FILE")]
    bootstrap_kubeconfig: Option<PathBuf>,
}

impl BootstrapOptions {
    pub(super) async fn open(&self, connection: &Connection) -> Result<Option<Bootstrap>, Failure> {
        match &self.bootstrap_kubeconfig {
            Some(path) => connection.bootstrap(path).await.map(Some).map_err(failure),
            None => Ok(None),
        }
    }
}

/// An unusable kubeconfig is an invalid command line; a cluster that does not answer is an error.
pub(super) fn failure(error: Unreachable) -> Failure {
    match error {
        Unreachable::Kubeconfig { .. } | Unreachable::NoKubeconfig => Failure::usage(error),
        other => Failure::error(other),
    }
}

/// `tlsboot doctor --kubeconfig`.
pub(super) fn doctor(cluster: &ExistingCluster, format: OutputFormat) -> Result<Exit, Failure> {
    let (diagnosis, context) = runtime()?.block_on(async {
        let connection = cluster.open().await?;
        let snapshot = look::look(&connection).await.map_err(failure)?;
        Ok::<_, Failure>((diagnose(&snapshot), connection.context().to_owned()))
    })?;
    match format {
        OutputFormat::Text => print(&words::text(&diagnosis, &context, colours_wanted(&stdout())))?,
        OutputFormat::Json => print_json(&diagnosis)?,
    };
    Ok(exit(&diagnosis))
}

/// Remove what killed runs left behind: on this machine, or with --kubeconfig in a cluster.
#[derive(Debug, Args)]
#[command(
    after_help = "In a cluster it removes everything with the label tlsboot-run whose process has exited. What another machine created is kept \
for an hour."
)]
pub(super) struct GcCommand {
    /// Clean up in the cluster of this kubeconfig instead of on this machine.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig other than the current one; implies --cluster.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Clean up in the cluster that kubectl would use: that of KUBECONFIG, `~/.kube/config`, or this pod.
    #[arg(long)]
    cluster: bool,
}

impl GcCommand {
    /// Whether a cluster is meant rather than this machine.
    pub(super) fn is_about_a_cluster(&self) -> bool {
        self.cluster || self.kubeconfig.is_some() || self.context.is_some()
    }
}

/// `tlsboot gc --kubeconfig`.
pub(super) fn gc(command: &GcCommand) -> Result<Exit, Failure> {
    let cluster = ExistingCluster { kubeconfig: command.kubeconfig.clone(), context: command.context.clone() };
    let removed = runtime()?.block_on(async {
        let connection = cluster.open().await?;
        let version = connection.client().apiserver_version().await;
        version.map_err(|error| failure(connection.unreachable(&error)))?;
        let swept = owned::sweep(&connection.client()).await;
        swept.map_err(Failure::error)
    })?;
    let lines: String = removed.iter().map(|what| format!("removed {}\n", one_line(what))).collect();
    print(if lines.is_empty() { "nothing was left behind\n" } else { &lines })
}

fn exit(diagnosis: &Diagnosis) -> Exit {
    match diagnosis.worst() {
        Some(Grade::Broken | Grade::Hole) => Exit::Fail,
        _ if !diagnosis.missing.is_empty() => Exit::Error,
        _ => Exit::Pass,
    }
}
