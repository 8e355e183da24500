//! One test for each scenario and target, listed at run time: `local::1.37.2::rbac.missing-bootstrapper-binding`.
//!
//! TLSBOOT_KUBERNETES, TLSBOOT_KUBELET, TLSBOOT_PROFILE, TLSBOOT_SCENARIOS, TLSBOOT_KNOWN, TLSBOOT_KEEP_GOING and the component variables
//! choose what is listed, like the options of the same names of `tlsboot run`. TLSBOOT_OUT is the folder for evidence.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use libtest_mimic::{Arguments, Failed, Trial};
use tlsboot::progress;
use tlsboot::target::{Planned, TargetOptions};
use tlsboot::{KnownOptions, ScenarioOptions};
use tlsboot_core::check::Outcome;
use tlsboot_core::scenario::{Profile, Scenario};
use tlsboot_engine::report::{Evidence, failure};
use tlsboot_engine::run::{Ran, Runner, Silent};

/// Options come only from the environment: the command line belongs to the test runner.
#[derive(Clone, Debug, Parser)]
struct Environment {
    #[command(flatten)]
    scenarios: ScenarioOptions,
    #[command(flatten)]
    target: TargetOptions,
    #[command(flatten)]
    known: KnownOptions,
    /// The folder for evidence.
    #[arg(long, env = "TLSBOOT_OUT", default_value = "target/tlsboot")]
    out: PathBuf,
    /// Go on in a scenario after what makes it red.
    #[arg(long, env = "TLSBOOT_KEEP_GOING")]
    keep_going: bool,
}

fn main() -> ExitCode {
    tlsboot_engine::shim::run_if_asked();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments = Arguments::from_args();
    let trials = match Environment::try_parse_from(["conformance"]) {
        Ok(environment) => list(&Arc::new(environment.at_workspace_root())),
        Err(error) => vec![failing("environment", error.to_string())],
    };
    libtest_mimic::run(&arguments, trials).exit_code()
}

impl Environment {
    /// Tests run in their package's folder, but paths are relative to the workspace's.
    fn at_workspace_root(mut self) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
        for path in self.scenarios.library.folder.iter_mut().chain([&mut self.out]) {
            *path = root.join(&*path);
        }
        self
    }
}

/// Never fails: what cannot be loaded becomes a failing test, or it would be missed.
fn list(environment: &Arc<Environment>) -> Vec<Trial> {
    let library = environment.scenarios.library.load();
    let broken =
        library.errors.iter().map(|error| failing(&format!("scenario_parses::{}", error.file), error.render(false)));
    let planned = match environment.target.plan() {
        Ok(planned) => planned,
        Err(error) => return broken.chain([failing("targets", error.to_string())]).collect(),
    };
    let profile = environment.scenarios.profile;
    let mut trials: Vec<Trial> = broken.collect();
    for target in planned {
        trials.extend(library.scenarios.iter().map(|scenario| trial(scenario, target, profile, environment)));
    }
    if trials.is_empty() {
        trials.push(failing("scenarios", "no scenario is listed".into()));
    }
    trials
}

/// What the target cannot show, or is in a larger profile, is ignored; if it is run anyway, it says why and fails.
fn trial(scenario: &Scenario, target: Planned, profile: Profile, environment: &Arc<Environment>) -> Trial {
    let name = format!("{}::{}", target.id.name(), scenario.id);
    let unsupported = target.id.unsupported(scenario);
    let ignored = unsupported.is_some() || scenario.profile > profile;
    let (scenario, environment) = (scenario.clone(), Arc::clone(environment));
    Trial::test(name, move || match unsupported {
        Some(reason) => Err(Failed::from(format!("unsupported: {reason}"))),
        None => run(&scenario, &target, &environment),
    })
    .with_ignored_flag(ignored)
}

fn failing(name: &str, message: String) -> Trial {
    Trial::test(name.to_owned(), move || Err(Failed::from(message)))
}

fn run(scenario: &Scenario, target: &Planned, environment: &Environment) -> Result<(), Failed> {
    let known = environment.known.load(&environment.scenarios).map_err(|error| error.to_string())?;
    let (target, _) = environment.target.resolve(target, progress::on_stderr()).map_err(|error| error.to_string())?;
    let runtime = tlsboot_engine::runtime::runtime()?;
    std::fs::create_dir_all(&environment.out)?;
    let Ran { result, stale } = runtime.block_on(async {
        let runner = Runner {
            out: environment.out.clone(),
            known,
            listener: Arc::new(Silent),
            interrupt: tlsboot::interrupt::on_interrupt()?,
            keep_going: environment.keep_going,
            keep: false,
        };
        Ok::<_, std::io::Error>(runner.run(scenario, &target).await)
    })?;
    if let Some(stale) = stale {
        return Err(Failed::from(format!("stale known failure: {stale}")));
    }
    if matches!(result.verdict.outcome, Outcome::Pass | Outcome::Known) {
        return Ok(());
    }
    let evidence = Evidence::read(&environment.out, &result);
    // nextest takes the message for its JUnit report from a line with this prefix.
    let why = failure::one_line(&result, &evidence);
    tlsboot_engine::say!("Error: {} {}: {why}", result.verdict.outcome.word(), scenario.id);
    Err(Failed::from(failure::text(&result, &evidence, false)))
}
