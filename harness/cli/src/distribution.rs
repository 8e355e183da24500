//! `tlsboot distribution`: what a distribution does instead of bootstrapping its nodes by CSRs.

use clap::Args;

use super::existing::OutputFormat;
use super::target::TargetOptions;
#[cfg(not(feature = "docker"))]
use super::{Exit, Failure};

/// Check what a distribution does instead of bootstrapping its own nodes by CSRs.
///
/// k3s: its supervisor issues certificates to agents. tlsboot starts a server in a container, plays the agent, and
/// checks the results against k3s' documentation and source. What only a running agent could show is reported but not
/// judged.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct DistributionCommand {
    #[command(flatten)]
    target: TargetOptions,
    /// The format of the results.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    format: OutputFormat,
}

const AFTER_HELP: &str = "\
Examples:
  tlsboot distribution --provider k3s --image rancher/k3s:v1.37.2-k3s1

Exit codes: 0 every check passed, 1 a check failed, 2 invalid command line, 3 harness error,
130 interrupted.";

#[cfg(not(feature = "docker"))]
pub(super) fn run(command: &DistributionCommand) -> Result<Exit, Failure> {
    let DistributionCommand { target, format: _ } = command;
    let planned = target.plan()?;
    let first = planned.first().ok_or_else(|| Failure::usage("no version"))?;
    target.resolve(first, crate::progress::on_stderr()).map(|_| Exit::Pass)
}

#[cfg(feature = "docker")]
pub(super) use with_docker::run;

#[cfg(feature = "docker")]
mod with_docker {
    use std::io::stdout;

    use serde_json::json;

    use super::{DistributionCommand, OutputFormat};
    use crate::interrupt::on_interrupt;
    use crate::runtime;
    use crate::{Exit, Failure, print, print_json};
    use tlsboot_core::result::ComponentResult;
    use tlsboot_core::scenario::Scenario;
    use tlsboot_engine::cluster::k3s::{K3s, Server};
    use tlsboot_engine::cluster::shared::dir::RunDir;
    use tlsboot_engine::cluster::{Cluster, ClusterError, ProviderKind};
    use tlsboot_engine::evidence::{HISTORY, LOGS};
    use tlsboot_engine::observe::Sink;
    use tlsboot_engine::report::colours_wanted;
    use tlsboot_engine::secret::Vault;
    use tlsboot_field::probe::Outcome;
    use tlsboot_field::profile::k3s::{Seen, judge};
    use tlsboot_field::profile::{Judged, play, text};

    pub(crate) fn run(command: &DistributionCommand) -> Result<Exit, Failure> {
        if command.target.provider != ProviderKind::K3s {
            return Err(Failure::usage(
                "only k3s bootstraps its nodes differently and has a profile: use --provider k3s",
            ));
        }
        let planned = command.target.plan()?;
        let [planned] = planned.as_slice() else {
            return Err(Failure::usage("give one version by --kubernetes"));
        };
        // No node is started, so no kubelet is looked for.
        let k3s = K3s { image: command.target.k3s_image(planned)?, kubelet: None };
        runtime()?.block_on(async {
            let mut interrupt = on_interrupt().map_err(Failure::error)?;
            tokio::select! {
                seen = see(&k3s) => {
                    let seen = seen.map_err(Failure::error)?;
                    report(command.format, &k3s.image.component(), k3s.image.is_stand_in(), &judge(&seen))
                }
                _ = interrupt.wait_for(|interrupted| *interrupted) => Ok(Exit::Interrupted),
            }
        })
    }

    /// Starts a server, plays the agent, and stops the server.
    async fn see(k3s: &K3s) -> Result<Seen, ClusterError> {
        let folder = RunDir::create()?;
        let logs = folder.path().join(LOGS);
        std::fs::create_dir(&logs)?;
        let history = folder.path().join(HISTORY);
        let (sink, _events) = Sink::create(&history, Vault::default())?;
        let scenario = Scenario::of_cluster("profile", Default::default(), Vec::new());
        let server: Server = k3s.server(&scenario, sink, &logs).await?;
        let seen = play::play(&server).await;
        server.stop().await;
        seen
    }

    fn report(
        format: OutputFormat,
        image: &ComponentResult,
        stand_in: bool,
        judged: &[Judged],
    ) -> Result<Exit, Failure> {
        let (is, id) = (&image.origin, &image.sha256);
        let warning = "this image is a stand-in for k3s: the results say nothing about k3s";
        match format {
            OutputFormat::Text => {
                let note = if stand_in { format!("{warning}\n") } else { String::new() };
                let said = text(judged, colours_wanted(&stdout()));
                print(&format!("k3s {}: {is}, {id}\n{note}\n{said}", image.version))?
            }
            OutputFormat::Json => print_json(&json!({"image": image, "standIn": stand_in, "statements": judged}))?,
        };
        let fails = |judged: &Judged| matches!(judged.outcome, Outcome::Fail(_));
        Ok(if judged.iter().any(fails) { Exit::Fail } else { Exit::Pass })
    }
}
