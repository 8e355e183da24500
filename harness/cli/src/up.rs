//! `tlsboot up`: a cluster to explore.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use clap::{ArgAction, Args};
use jiff::tz::TimeZone;
use rustix::process::{Pid, Signal as Kill, kill_process};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::target::TargetOptions;
use super::{Exit, Failure, print, progress};
use tlsboot_core::check::rules::Rules;
use tlsboot_core::history::event::Event;
use tlsboot_core::scenario::stimulus::Changes;
use tlsboot_core::scenario::{self, Node, Scenario, SigningDuration};
use tlsboot_engine::cluster::Cluster;
use tlsboot_engine::cluster::shared::dir::RunDir;
use tlsboot_engine::cluster::shared::file::write_private;
use tlsboot_engine::drive;
use tlsboot_engine::evidence::{HISTORY, LOGS};
use tlsboot_engine::observe::Sink;
use tlsboot_engine::report::{Follow, count};
use tlsboot_engine::run::Target;
use tlsboot_engine::say;
use tlsboot_engine::secret::Vault;

/// Start a cluster with short-lived certificates, and show what happens in it.
///
/// It has the bindings that kubeadm creates, and nodes that bootstrap with a static token. It runs until Ctrl-C, or
/// until COMMAND exits, and leaves nothing behind.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tlsboot up                                        a node whose certificate is renewed every minute or two
  tlsboot up --nodes 3 --server-tls-bootstrap       three nodes, whose serving CSRs wait for your approval
  tlsboot up -- kubectl get csr --watch             run a command with KUBECONFIG set, and stop when it exits
  tlsboot up --kubernetes 1.33 --out look           keep the history and the logs

Exit codes: that of COMMAND; without one, 0 after Ctrl-C. 3 if the cluster could not be started.")]
pub(super) struct UpCommand {
    #[command(flatten)]
    target: TargetOptions,
    /// How long certificates are signed for, or `quick` for the shortest duration that this version's kubelets can
    /// handle.
    #[arg(long, value_name = "DURATION", default_value = "3m")]
    signing_duration: SigningDuration,
    /// How many nodes: n1, n2, …
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=50))]
    nodes: u8,
    /// Whether requests without credentials are anonymous (403) or refused (401).
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    anonymous_auth: bool,
    /// Let the kubelets also request serving certificates, which are not approved automatically.
    #[arg(long)]
    server_tls_bootstrap: bool,
    /// Keep the history and the logs in this folder; without it they are removed with the cluster.
    #[arg(long, short, value_name = "DIR")]
    out: Option<PathBuf>,
    /// A command to run with KUBECONFIG set.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub(super) fn run(command: &UpCommand) -> Result<Exit, Failure> {
    let planned = command.target.plan()?;
    let [planned] = planned.as_slice() else {
        return Err(Failure::usage("`up` starts one cluster: give one version by --kubernetes"));
    };
    let (target, _) = command.target.resolve(planned, progress::on_stderr())?;
    if let Some(out) = &command.out {
        super::create_out(out)?;
    }
    super::prepare_clusters(command.target.provider)?;
    let runtime = super::runtime()?;
    runtime.block_on(up(command, &target))
}

async fn up(command: &UpCommand, target: &Target) -> Result<Exit, Failure> {
    let mut signals = Signals::catch().map_err(Failure::error)?;
    let folder = RunDir::create().map_err(Failure::error)?;
    let out = command.out.as_deref().unwrap_or(folder.path());
    let (sink, events) = history(out)?;
    let scenario = scenario(command);
    sink.emit(target.id.begin(&scenario, false));
    say!(
        "starting {} with {}; history and logs are in {}",
        target.id.name(),
        count(command.nodes.into(), "node"),
        out.display()
    );
    let telling = tokio::spawn(tell(events, target.id.rules()));
    let starting = target.provider.start(&scenario, sink, out.join(LOGS));
    let cluster = tokio::select! {
        started = starting => started.map_err(|error| Failure::error(format!("the cluster could not be started: {error}")))?,
        () = signals.any() => return Ok(Exit::Interrupted),
    };
    let used = use_until_end(command, &scenario, &*cluster, folder.path(), &mut signals).await;
    telling.abort();
    say!("stopping the cluster");
    tokio::select! {
        () = cluster.stop() => {}
        // The kernel kills the processes; `tlsboot gc` or the next run removes the folder.
        () = signals.any() => std::process::exit(Exit::Interrupted.code().into()),
    }
    used
}

/// Creates the history and the folder of logs; existing files are kept.
fn history(out: &Path) -> Result<(Sink, mpsc::UnboundedReceiver<Event>), Failure> {
    let wrong = |error: std::io::Error| Failure::usage(format!("--out {}: {error}", out.display()));
    std::fs::create_dir_all(out.join(LOGS)).map_err(wrong)?;
    let file = out.join(HISTORY);
    if file.exists() {
        return Err(Failure::usage(format!("{} already exists: choose another folder by --out", file.display())));
    }
    Sink::create(&file, Vault::new()).map_err(wrong)
}

fn scenario(command: &UpCommand) -> Scenario {
    let node =
        |number| Node { server_tls_bootstrap: command.server_tls_bootstrap, ..Node::named(format!("n{number}")) };
    let cluster = scenario::Cluster {
        signing_duration: command.signing_duration,
        anonymous_auth: command.anonymous_auth,
        ..Default::default()
    };
    Scenario::of_cluster("up", cluster, (1..=command.nodes).map(node).collect())
}

async fn tell(mut events: mpsc::UnboundedReceiver<Event>, rules: Rules) {
    let mut follow = Follow::new(rules, TimeZone::system());
    while let Some(event) = events.recv().await {
        if let Some(line) = follow.line(&event) {
            say!("{line}");
        }
    }
}

/// From a ready control plane to the end of its use: Ctrl-C, or the exit of the command.
async fn use_until_end(
    command: &UpCommand,
    scenario: &Scenario,
    cluster: &dyn Cluster,
    folder: &Path,
    signals: &mut Signals,
) -> Result<Exit, Failure> {
    let kubeconfig = folder.join("admin.kubeconfig");
    let preparing = prepare(scenario, cluster, &kubeconfig);
    tokio::select! {
        prepared = preparing => prepared?,
        () = signals.any() => return Ok(Exit::Interrupted),
    }
    if command.command.is_empty() {
        print(&format!("export KUBECONFIG={}\n", kubeconfig.display()))?;
        say!("Ctrl-C stops the cluster");
        signals.any().await;
        return Ok(Exit::Pass);
    }
    run_command(&command.command, &kubeconfig, signals).await
}

async fn prepare(scenario: &Scenario, cluster: &dyn Cluster, kubeconfig: &Path) -> Result<(), Failure> {
    drive::prepare(&scenario.cluster.bindings, &cluster.base().admin()).await.map_err(Failure::error)?;
    write_private(kubeconfig, cluster.base().admin_kubeconfig().expose()).map_err(Failure::error)?;
    for node in &scenario.nodes {
        cluster.nodes().start(&node.name, &Changes::default()).await.map_err(Failure::error)?;
    }
    Ok(())
}

/// How long a command may take to exit when it is asked to.
const GOODBYE: Duration = Duration::from_secs(10);

/// The command handles Ctrl-C itself, as in a shell; SIGTERM is passed on.
async fn run_command(command: &[String], kubeconfig: &Path, signals: &mut Signals) -> Result<Exit, Failure> {
    let mut child = tokio::process::Command::new(&command[0])
        .args(&command[1..])
        .env("KUBECONFIG", kubeconfig)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Failure::usage(format!("`{}` cannot be started: {error}", command[0])))?;
    let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
    tokio::select! {
        ended = child.wait() => return ended.map(exit).map_err(Failure::error),
        _ = signals.term.recv() => {}
    }
    if let Some(pid) = pid {
        // A command that has exited in the meantime needs no signal.
        let _ = kill_process(pid, Kill::TERM);
    }
    let _ = tokio::time::timeout(GOODBYE, child.wait()).await;
    Ok(Exit::Interrupted)
}

/// As shells report it: the code, or 128 plus the signal number.
fn exit(status: ExitStatus) -> Exit {
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    Exit::Command(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
}

/// SIGINT and SIGTERM, caught from the start.
struct Signals {
    int: Signal,
    term: Signal,
}

impl Signals {
    fn catch() -> std::io::Result<Self> {
        Ok(Self { int: signal(SignalKind::interrupt())?, term: signal(SignalKind::terminate())? })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
        }
    }
}
