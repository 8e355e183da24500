//! The `tlsboot` command. Its exit codes are [`Exit`]'s.

mod approver;
mod book;
mod built_in;
pub mod components;
mod diff;
mod distribution;
mod doctor;
mod existing;
mod explain;
mod export;
mod failed;
mod failure;
mod histories;
pub mod interrupt;
mod list;
mod live;
mod merge;
mod mutants;
mod mutate;
mod new;
mod probe;
pub mod progress;
mod queue;
mod rejudge;
mod run;
mod scenarios;
mod sign;
pub mod target;
mod up;
mod values;
mod verify;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use tlsboot_core::exit::Exit;
use tlsboot_core::plain;
use tlsboot_engine::cluster::ProviderKind;

use components::ComponentsCommand;
pub use failure::Failure;
pub use scenarios::{KnownOptions, LibraryOptions, ScenarioOptions};
use tlsboot_engine::say;

/// Do your nodes get, use and renew their certificates the way Kubernetes promises?
///
/// tlsboot starts real clusters, makes every part of kubelet TLS bootstrapping and certificate rotation happen (and
/// fail), records what happened, and judges the record.
#[derive(Debug, Parser)]
#[command(name = "tlsboot", version = built_in::SHORT_VERSION, long_version = built_in::VERSION.as_str(), propagate_version = true, arg_required_else_help = true, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  tlsboot run                                     the core profile on the newest Kubernetes
  tlsboot run 'rotation.*' --kubernetes 1.37,1.33 a chapter, on two versions
  tlsboot run @files T-01 --jobs 4                by tag, by behavior of the catalogue
  tlsboot explain rotation.short-signing-duration what a scenario does, step by step
  tlsboot up -- kubectl get csr --watch           a cluster to look at, with short certificates
  tlsboot rejudge tlsboot-out                     judge the recorded histories again
  tlsboot new site.my-first                       create a scenario from a template
  tlsboot lint my-scenarios/                      check scenario files without running anything
  tlsboot doctor --kubeconfig F                   what would break at that cluster's next rotation?
  tlsboot approver --kubeconfig F --allow-writes  which hostile CSRs does that cluster's approver approve?

Exit codes: 0 all as expected, 1 fail or hang, 2 invalid command line or scenario, 3 harness error, 130 interrupted.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run scenarios on real clusters and report.
    Run(run::RunCommand),
    /// Run scenarios on clusters with one fault each, and report which scenarios notice it.
    Mutants(mutants::MutantsCommand),
    /// Start a cluster with short-lived certificates, and show what happens in it.
    Up(up::UpCommand),
    /// List scenarios, or the behaviors that they show.
    List(list::ListCommand),
    /// Explain a scenario, a behavior of the catalogue, or a word of the scenario language.
    Explain(explain::ExplainCommand),
    /// Create a scenario from a template.
    New(new::NewCommand),
    /// Write the reference pages of the book.
    #[command(hide = true)]
    Book(book::BookCommand),
    /// Write the scenarios that the executable carries into a folder.
    Scenarios(export::ScenariosCommand),
    /// Check scenario files without running anything.
    Lint(scenarios::LintCommand),
    /// Judge recorded histories again: same verdicts, no cluster needed.
    #[command(alias = "check")]
    Rejudge(rejudge::RejudgeCommand),
    /// Compare two runs: what changed in behavior between versions, distributions or machines.
    Diff(diff::DiffCommand),
    /// Merge the output folders of several runs into one report.
    Merge(merge::MergeCommand),
    /// Check a report: hashes, verdicts and signature; and list what it does not prove.
    Verify(verify::VerifyCommand),
    /// Get, list, export and verify Kubernetes' executables.
    Components(ComponentsCommand),
    /// Check whether this machine can run clusters; or, with --kubeconfig, what would break at a cluster's next
    /// rotation.
    Doctor(doctor::DoctorCommand),
    /// Play the node in an existing cluster: authentication, rights, approval, issuance, renewal, denial.
    Probe(probe::ProbeCommand),
    /// Check what a distribution does instead of bootstrapping its own nodes by CSRs.
    #[command(alias = "profile")]
    Distribution(distribution::DistributionCommand),
    /// Fire hostile and malformed CSRs at the approver of a cluster, and see which ones it approves.
    Approver(approver::ApproverCommand),
    /// Remove what killed runs left behind: on this machine, or with --kubeconfig in a cluster.
    Gc(existing::GcCommand),
    /// Print the JSON Schema of scenario files or approver policies, for editors.
    #[command(after_help = "In a scenario file: # yaml-language-server: $schema=../schema.json")]
    Schema {
        /// Which schema.
        #[arg(value_enum, default_value_t)]
        of: SchemaOf,
    },
    /// Print a script that completes tlsboot's command line in a shell.
    #[command(after_help = COMPLETIONS_HELP)]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Files that have a schema.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum SchemaOf {
    /// Scenario files.
    #[default]
    Scenario,
    /// Policies of `tlsboot approver`.
    Policy,
}

const COMPLETIONS_HELP: &str = "\
Examples:
  source <(tlsboot completions bash)
  tlsboot completions zsh > \"${fpath[1]}/_tlsboot\"
  tlsboot completions fish > ~/.config/fish/completions/tlsboot.fish";

/// What a command runs with.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tlsboot_engine::runtime::runtime().map_err(Failure::error)
}

/// The whole command. The first thing in `main`, after the shim.
pub fn main() -> ExitCode {
    init_tracing();
    // One provider for all of TLS; with two, kube would refuse to choose.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Run(command) => run::run(command),
        Command::Mutants(command) => mutants::run(command),
        Command::Up(command) => up::run(&command),
        Command::List(command) => list::run(&command),
        Command::New(command) => new::run(&command),
        Command::Scenarios(command) => export::run(&command),
        Command::Lint(command) => scenarios::lint(&command),
        Command::Rejudge(command) => rejudge::run(&command),
        Command::Diff(command) => diff::run(&command),
        Command::Merge(command) => merge::run(&command),
        Command::Verify(command) => verify::run(&command),
        Command::Components(command) => {
            components::run(&command, &mut std::io::stdout()).map(|()| Exit::Pass).map_err(Failure::of_components)
        }
        Command::Doctor(command) => doctor::run(&command),
        Command::Probe(command) => probe::run(&command),
        Command::Distribution(command) => distribution::run(&command),
        Command::Approver(command) => approver::run(&command),
        Command::Gc(command) if command.is_about_a_cluster() => existing::gc(&command),
        Command::Gc(_) => gc(),
        Command::Explain(command) => explain::run(&command),
        Command::Book(command) => book::run(command),
        Command::Schema { of } => schema(of),
        Command::Completions { shell } => completions(shell),
    };
    let exit = done.unwrap_or_else(|failure| {
        say!("{} {}", paint("error:", "31;1"), plain::lines(&failure.to_string(), colours()));
        failure.exit
    });
    ExitCode::from(exit.code())
}

/// Checks whether clusters of this provider can run on this machine, and removes what killed runs left.
fn prepare_clusters(provider: ProviderKind) -> Result<(), Failure> {
    use tlsboot_engine::cluster::shared::dir;
    dir::check_temporary().map_err(Failure::usage)?;
    doctor::preflight(provider)?;
    if let Err(error) = dir::sweep() {
        tracing::warn!(%error, "the leftovers of killed runs could not be removed");
    }
    Ok(())
}

/// Creates the folder of `--out`.
fn create_out(out: &Path) -> Result<(), Failure> {
    not_reserved(out)?;
    std::fs::create_dir_all(out).map_err(|error| Failure::usage(format!("--out {}: {error}", out.display())))
}

/// Whether a report may be written there.
fn not_reserved(out: &Path) -> Result<(), Failure> {
    if tlsboot_engine::cluster::shared::dir::is_reserved(out) {
        return Err(Failure::usage(format!(
            "--out {}: `tlsboot gc` would mistake it for a run's temporary folder: choose another",
            out.display()
        )));
    }
    Ok(())
}

/// Writes a text for people to standard output. It may contain untrusted text.
fn print(text: &str) -> Result<Exit, Failure> {
    print_as_is(&plain::lines(text, tlsboot_engine::report::colours_wanted(&std::io::stdout())))
}

/// Writes a value for programs to standard output, as JSON.
fn print_json(value: &impl serde::Serialize) -> Result<Exit, Failure> {
    print_as_is(&json(value)?)
}

/// A value for programs, as JSON that ends with a line break.
fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value).map(|json| json + "\n").map_err(Failure::error)
}

/// Writes a command's output to standard output. A reader that has enough (`tlsboot list | head`) is not an error.
fn print_as_is(text: &str) -> Result<Exit, Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::error(format!("standard output: {error}")))
        }
        _ => Ok(Exit::Pass),
    }
}

fn schema(of: SchemaOf) -> Result<Exit, Failure> {
    print_as_is(&schema_of(of)?)
}

fn schema_of(of: SchemaOf) -> Result<String, Failure> {
    let schema = match of {
        SchemaOf::Scenario => tlsboot_core::scenario::schema::schema(),
        SchemaOf::Policy => tlsboot_field::approver::policy::schema(),
    };
    json(&schema)
}

fn completions(shell: clap_complete::Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tlsboot", &mut script);
    print_as_is(&String::from_utf8_lossy(&script))
}

fn gc() -> Result<Exit, Failure> {
    use std::fmt::Write;
    use tlsboot_engine::components::{Options, Store};

    // Containers first: they use folders. Without Docker there are none.
    let clusters = tlsboot_engine::cluster::docker::sweep().unwrap_or_else(|error| {
        tracing::info!(%error, "Docker does not answer");
        Vec::new()
    });
    let runs = tlsboot_engine::cluster::shared::dir::sweep().map_err(Failure::error)?;
    let mut removed = runs.removed;
    let options = Options::from_env().map_err(Failure::usage)?;
    removed.extend(Store::new(&options.cache).remove_stale());
    let ports = tlsboot_engine::cluster::processes::sweep_ports();
    let mut text = String::new();
    for path in &removed {
        let _ = writeln!(text, "removed {}", path.display());
    }
    for cluster in clusters {
        let _ = writeln!(text, "removed the containers and the network {cluster}");
    }
    match &ports {
        Ok(0) if text.is_empty() => text.push_str("nothing was left behind\n"),
        Ok(0) | Err(_) => {}
        Ok(ports) => {
            let _ = writeln!(text, "removed {ports} port lock files");
        }
    }
    for (path, why) in runs.left {
        let _ = writeln!(text, "not removed: {}: {why}", path.display());
    }
    print(&text)?;
    ports.map(|_| Exit::Pass).map_err(Failure::error)
}

fn init_tracing() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("TLSBOOT_LOG").unwrap_or_else(|_| EnvFilter::new("warn,kube_client=off"));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false)
        .try_init();
}

/// Whether to use colors on standard error.
fn colours() -> bool {
    tlsboot_engine::report::colours_wanted(&std::io::stderr())
}

fn paint(text: &str, code: &str) -> String {
    tlsboot_engine::report::paint::paint(code, text, colours())
}
