//! `tlsboot doctor`: what this machine can do, or the state of a cluster.

use std::fs;
use std::io::stdout;
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::HumanBytes;
use rustix::fs::statvfs;
use rustix::process::{Resource, getrlimit};

use super::existing::{self, ExistingCluster, OutputFormat};
use super::target::TargetOptions;
use super::{Exit, Failure, print};
use tlsboot_core::version::Version;
use tlsboot_engine::cluster::processes::inotify::Instances;
use tlsboot_engine::cluster::processes::try_port;
use tlsboot_engine::cluster::shared::dir::LONGEST_TEMPORARY;
use tlsboot_engine::cluster::shared::dir::abandoned;
use tlsboot_engine::cluster::{ClusterError, ProviderKind, kind};
use tlsboot_engine::components::{Location, Options, Package, Product, Progress, Resolver, Role};
use tlsboot_engine::process::try_sandbox;
use tlsboot_engine::report::colours_wanted;
use tlsboot_engine::report::paint::paint;

/// Check whether this machine can run clusters; or, with --kubeconfig, what would break at a cluster's next rotation.
///
/// For a cluster it reports, without changing anything: who is bound to the bootstrap roles, and whether that is overly
/// permissive; who approves and signs CSRs, and for how long; which bootstrap tokens exist and when they expire (never
/// their values); when each node's certificates expire and are renewed; what would break, and the command that fixes
/// it.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct DoctorCommand {
    #[command(flatten)]
    target: TargetOptions,
    /// Check the cluster of this kubeconfig instead of this machine. Read-only. The cluster has its own versions, so
    /// `--kubernetes` and `--kubelet`, which may come from the environment, are ignored.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig other than the current one; implies --cluster.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Check the cluster that kubectl would use instead of this machine: that of KUBECONFIG, `~/.kube/config`, or this
    /// pod.
    #[arg(long)]
    cluster: bool,
    /// Print the roles that this command needs to look at a cluster, and bindings for a service account, as YAML for
    /// `kubectl apply -f -`; nothing is looked at.
    #[arg(long, conflicts_with_all = ["kubeconfig", "context", "cluster"])]
    rbac: bool,
    /// The format of the findings about a cluster.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    format: OutputFormat,
}

const AFTER_HELP: &str = "\
Examples:
  tlsboot doctor                                    can clusters run on this machine?
  tlsboot doctor --provider kind                    can clusters in containers run on it?
  tlsboot doctor --kubeconfig ~/.kube/config        what would break at the next rotation?
  tlsboot doctor --rbac | kubectl apply -f -        the roles that it needs for that
  tlsboot doctor --kubeconfig F --format json | jq '.findings[] | select(.grade == \"broken\")'

It needs the ClusterRole cluster-admin, or the roles that --rbac prints: list clusterroles, clusterrolebindings, nodes and
certificatesigningrequests; create subjectaccessreviews (they are never stored); in kube-system list secrets, roles and
rolebindings, and get configmaps; in kube-public get configmaps. With the right to get nodes/proxy it also tries whether the
API server reaches each kubelet. It reports what it may not read, with the command that grants the right.

Exit codes for a machine: 0 clusters can run here (possibly with warnings), 3 something that they need is missing.
Exit codes for a cluster: 0 healthy (possibly with warnings), 1 broken, about to break, or a security finding, 2 invalid
command line or kubeconfig, 3 not reachable, or rights are missing and nothing wrong was found.";

/// A finding about one thing.
#[derive(Debug)]
struct Finding {
    grade: Grade,
    about: &'static str,
    found: String,
    /// What to do about it.
    remedy: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    Ok,
    Warning,
    Problem,
}

impl Finding {
    fn new(grade: Grade, about: &'static str, found: impl Into<String>) -> Self {
        let found = found.into();
        Self { grade, about, found, remedy: None }
    }

    fn ok(about: &'static str, found: impl Into<String>) -> Self {
        Self::new(Grade::Ok, about, found)
    }

    fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }
}

pub(super) fn run(command: &DoctorCommand) -> Result<Exit, Failure> {
    if command.rbac {
        return print(tlsboot_field::doctor::RBAC);
    }
    if command.cluster || command.kubeconfig.is_some() || command.context.is_some() {
        let cluster = ExistingCluster { kubeconfig: command.kubeconfig.clone(), context: command.context.clone() };
        return existing::doctor(&cluster, command.format);
    }
    if command.format != OutputFormat::Text {
        return Err(Failure::usage("--format is for clusters: use --kubeconfig or --cluster"));
    }
    machine(command)
}

fn machine(command: &DoctorCommand) -> Result<Exit, Failure> {
    let options = command.target.components.options().map_err(Failure::usage)?;
    let mut findings = vec![
        cgroups(),
        open_files(),
        inotify(),
        temporary_folder(),
        space("space for clusters", &std::env::temp_dir(), CLUSTER),
    ];
    match command.target.provider {
        ProviderKind::Kind => findings.extend(containers(&command.target)?),
        provider => {
            findings.extend([namespaces(), ports(), space("space for executables", &options.cache, EXECUTABLES)]);
            findings.extend(executables(&command.target, &options)?);
            if provider == ProviderKind::K3s {
                findings.push(docker_daemon(Grade::Problem));
            } else {
                // Containers are optional unless they were asked for.
                findings.extend(container_tools(Grade::Warning));
            }
        }
    }
    findings.push(leftovers());
    let colours = colours_wanted(&stdout());
    let text: String = findings.iter().map(|finding| line(finding, colours)).collect();
    print(&text)?;
    let worst = findings.iter().map(|finding| finding.grade).max();
    Ok(if worst == Some(Grade::Problem) { Exit::Error } else { Exit::Pass })
}

/// What would break every cluster of a run, checked once before the first.
pub(super) fn preflight(provider: ProviderKind) -> Result<(), Failure> {
    let mut findings = vec![open_files(), inotify(), space("space for clusters", &std::env::temp_dir(), CLUSTER)];
    if provider != ProviderKind::Kind {
        findings.extend([namespaces(), ports()]);
    }
    let problem = findings.into_iter().find(|finding| finding.grade == Grade::Problem);
    problem.map_or(Ok(()), |problem| {
        let remedy = problem.remedy.map(|remedy| format!(" → {remedy}")).unwrap_or_default();
        Err(Failure::error(format!("no cluster can run here: {}: {}{remedy}", problem.about, problem.found)))
    })
}

fn line(finding: &Finding, colours: bool) -> String {
    let (word, code) = match finding.grade {
        Grade::Ok => ("ok", "32"),
        Grade::Warning => ("warning", "33"),
        Grade::Problem => ("problem", "1;31"),
    };
    let word = format!("{word:7}");
    let word = paint(code, &word, colours);
    let remedy = finding.remedy.as_ref().map(|remedy| format!("{:33}→ {remedy}\n", ""));
    format!("{word}  {:22}  {}\n{}", finding.about, finding.found, remedy.unwrap_or_default())
}

/// Tries what a kubelet needs. If that fails, the kernel's settings show why.
fn namespaces() -> Finding {
    let about = "user namespaces";
    let Err(error) = try_sandbox() else {
        return Finding::ok(about, "a process ran in its own namespaces");
    };
    let setting = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let remedy = if setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" {
        "AppArmor restricts them: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0 (or run as root)"
    } else if setting("/proc/sys/kernel/unprivileged_userns_clone") == "0" {
        "sudo sysctl kernel.unprivileged_userns_clone=1 (or run as root)"
    } else if setting("/proc/sys/user/max_user_namespaces") == "0" {
        "sudo sysctl user.max_user_namespaces=1000"
    } else {
        "in a container, give it the capability SYS_ADMIN (docker run --privileged), or run outside the container"
    };
    Finding::new(Grade::Problem, about, error.to_string()).remedy(remedy)
}

fn cgroups() -> Finding {
    let about = "cgroups";
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        Finding::ok(about, "version 2")
    } else {
        Finding::ok(about, "version 1: kubelets since 1.35 are configured to accept it (failCgroupV1: false)")
    }
}

/// An etcd needs about a hundred, and a run some for each of its clusters.
const OPEN_FILES: u64 = 1024;

/// Go programs and tlsboot's runs raise their limit to the hard limit.
fn open_files() -> Finding {
    let about = "open files";
    match getrlimit(Resource::Nofile).maximum {
        Some(limit) if limit < OPEN_FILES => {
            Finding::new(Grade::Problem, about, format!("a process may have {limit}, but {OPEN_FILES} are needed"))
                .remedy(format!(
                    "ulimit -Hn {OPEN_FILES}, as root; LimitNOFILE= of a systemd unit; docker run --ulimit"
                ))
        }
        Some(limit) => Finding::ok(about, format!("a process may have {limit}")),
        None => Finding::ok(about, "without limit"),
    }
}

/// As many nodes as `run` starts at the same time by default.
fn inotify() -> Finding {
    let about = "inotify instances";
    let Some(now) = Instances::now() else {
        return Finding::new(Grade::Warning, about, "/proc does not show how many there are");
    };
    let wanted = 2 * std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let found = format!("{} of {} in use, room for {} kubelets", now.used, now.limit, now.nodes());
    match now.nodes() {
        0 => Finding::new(Grade::Problem, about, found).remedy(now.remedy(wanted)),
        nodes if nodes < wanted => Finding::new(Grade::Warning, about, found).remedy(now.remedy(wanted)),
        _ => Finding::ok(about, found),
    }
}

fn ports() -> Finding {
    let about = "ports on 127.0.0.1";
    match try_port() {
        Ok(port) => Finding::ok(about, format!("{port} is free, for example")),
        Err(error) if error.kind() == std::io::ErrorKind::Other => {
            Finding::new(Grade::Problem, about, error.to_string())
                .remedy("stop what listens there: ss -ltnp 'sport >= :20000 and sport <= :32000'")
        }
        // The folder of their lock files; there is a finding about temporary files too.
        Err(error) => Finding::new(Grade::Problem, about, error.to_string()),
    }
}

fn temporary_folder() -> Finding {
    let about = "temporary folder";
    let folder = std::env::temp_dir();
    let shown = folder.display().to_string();
    if let Err(error) = tempfile::tempdir() {
        return Finding::new(Grade::Problem, about, format!("{shown}: {error}"))
            .remedy("set TMPDIR to a writable folder");
    }
    if shown.len() > LONGEST_TEMPORARY {
        return Finding::new(Grade::Problem, about, format!("{shown}: too long for the paths of Unix sockets"))
            .remedy("set TMPDIR to a folder with a shorter path, such as /tmp");
    }
    Finding::ok(about, shown)
}

/// Mostly etcd's files: 64 MB of write-ahead log, allocated at the start.
const CLUSTER: u64 = 500 << 20;
/// With less, etcd exits at its start.
const LEAST: u64 = 100 << 20;
/// Kubernetes and etcd of one version, and the same again while they are fetched.
const EXECUTABLES: u64 = 1 << 30;

fn space(about: &'static str, folder: &Path, wanted: u64) -> Finding {
    // The folder may not exist yet.
    let Some(there) = folder.ancestors().find(|folder| folder.exists()) else {
        return Finding::new(Grade::Warning, about, format!("{} does not exist", folder.display()));
    };
    let free = match statvfs(there) {
        Ok(stat) => stat.f_bavail.saturating_mul(stat.f_frsize),
        Err(error) => {
            return Finding::new(Grade::Warning, about, format!("{}: {error}", there.display()));
        }
    };
    let found = format!("{} free in {}", HumanBytes(free), folder.display());
    if free >= wanted {
        return Finding::ok(about, found);
    }
    let grade = if free < LEAST { Grade::Problem } else { Grade::Warning };
    Finding::new(grade, about, format!("{found}; at least {} is recommended", HumanBytes(wanted)))
        .remedy("make room, or choose another folder (TMPDIR, TLSBOOT_CACHE)")
}

/// Where each version's executables are or would come from; nothing is fetched.
fn executables(target: &TargetOptions, options: &Options) -> Result<Vec<Finding>, Failure> {
    let resolver = Resolver::new(options.clone(), Progress::hidden()).map_err(Failure::error)?;
    let mut wanted: Vec<(Role, Package)> = Vec::new();
    for planned in target.plan()? {
        let kubernetes = |version: Version| Package { product: Product::Kubernetes, version };
        wanted.push((Role::KubeApiserver, kubernetes(planned.id.kubernetes)));
        wanted.push((Role::KubeControllerManager, kubernetes(planned.id.kubernetes)));
        wanted.push((Role::Kubelet, kubernetes(planned.id.kubelet)));
    }
    let etcd = Package { product: Product::Etcd, version: options.etcd };
    wanted.push((Role::Etcd, etcd));
    if let Some(folder) = &options.components {
        wanted.retain(|(role, _)| !folder.join(role.name()).exists());
    }
    let mut packages: Vec<(Package, Vec<Role>)> = Vec::new();
    for (role, package) in wanted {
        match packages.iter_mut().find(|(known, _)| *known == package) {
            Some((_, roles)) => roles.push(role),
            None => packages.push((package, vec![role])),
        }
    }
    let mut findings = Vec::new();
    if let Some(folder) = &options.components {
        findings.push(Finding::ok("distribution", folder.display().to_string()));
    }
    for (package, roles) in packages {
        findings.push(of_package(package, &roles, &resolver, options)?);
    }
    Ok(findings)
}

fn of_package(package: Package, roles: &[Role], resolver: &Resolver, options: &Options) -> Result<Finding, Failure> {
    let about = "executables";
    let mut stored = true;
    for role in roles {
        match resolver.store().executable(package, role.name()) {
            Ok(found) => stored &= found.is_some(),
            Err(error) => return Ok(Finding::new(Grade::Problem, about, error.to_string())),
        }
    }
    if stored {
        return Ok(Finding::ok(about, format!("{package}, in the store")));
    }
    let get = match package.product {
        Product::Kubernetes => format!("tlsboot components get {}", package.version),
        Product::Etcd => "tlsboot components get".to_owned(),
    };
    Ok(match &options.mirror {
        Some(Location::Folder(mirror)) if mirror.join(package.folder()).is_dir() => {
            Finding::ok(about, format!("{package}, in the mirror {}", mirror.display()))
        }
        Some(mirror) => {
            Finding::new(Grade::Warning, about, format!("{package}: not in the store, perhaps in the mirror {mirror}"))
                .remedy(get)
        }
        None => {
            let build = match go(&options.go) {
                Some(path) => format!("built with {}", path.display()),
                None => "not built: there is no Go".to_owned(),
            };
            let found =
                format!("{package}: not in the store; will be downloaded from the official release, or else {build}");
            Finding::new(Grade::Warning, about, found).remedy(get)
        }
    })
}

fn go(command: &Path) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let mut places = std::env::split_paths(&folders).map(|folder| folder.join(command));
    places.find(|path| path.is_file())
}

/// The two commands that clusters in containers need.
fn container_tools(missing: Grade) -> Vec<Finding> {
    vec![docker_daemon(missing), tool("kind", missing, kind::doctor::kind(), |version| version)]
}

fn docker_daemon(missing: Grade) -> Finding {
    tool("docker", missing, kind::doctor::daemon(), |version| format!("the daemon answers, version {version}"))
}

/// The error's remedy is part of its text.
fn tool(
    about: &'static str,
    missing: Grade,
    found: Result<String, ClusterError>,
    words: impl Fn(String) -> String,
) -> Finding {
    match found {
        Ok(found) => Finding::ok(about, words(found)),
        Err(error) => {
            let finding = Finding::new(missing, about, error.to_string());
            match missing {
                Grade::Warning => finding.remedy("only clusters in containers need it"),
                _ => finding,
            }
        }
    }
}

/// Everything that clusters in containers need.
fn containers(target: &TargetOptions) -> Result<Vec<Finding>, Failure> {
    let mut findings = vec![if rustix::process::geteuid().is_root() {
        Finding::ok("user", "root")
    } else {
        Finding::new(Grade::Warning, "user", "not root: scenarios with nodes are unsupported")
            .remedy("run tlsboot as root")
    }];
    findings.extend(container_tools(Grade::Problem));
    if findings.iter().any(|finding| finding.grade == Grade::Problem) {
        return Ok(findings);
    }
    for planned in target.plan()? {
        let image = target.image(&planned);
        match kind::doctor::image(&image, planned.id.kubernetes) {
            Ok(id) => {
                findings.push(Finding::ok("node image", format!("{image} is {id}")));
                findings.extend(link(&id)?);
            }
            Err(error) => {
                findings.push(Finding::new(Grade::Warning, "node image", format!("{image}: {error}")).remedy(format!(
                    "it will be pulled if possible; ci/node-image {} builds one",
                    planned.id.kubernetes
                )))
            }
        }
    }
    Ok(findings)
}

/// Tries the route from a container to this machine. Only root can give the bridge an address for that.
fn link(image: &str) -> Result<Option<Finding>, Failure> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let about = "containers to here";
    let tried = super::runtime()?.block_on(kind::doctor::try_link(image));
    Ok(Some(match tried {
        Ok(()) => Finding::ok(about, "a container reached this machine over a bridge"),
        Err(error) => Finding::new(Grade::Problem, about, error.to_string()),
    }))
}

fn leftovers() -> Finding {
    let about = "leftovers";
    match abandoned() {
        Ok(left) if left.is_empty() => Finding::ok(about, "no leftovers of killed runs"),
        Ok(left) => {
            let names: Vec<String> = left.iter().map(|path| path.display().to_string()).collect();
            Finding::new(Grade::Warning, about, names.join(", ")).remedy("tlsboot gc")
        }
        Err(error) => Finding::new(Grade::Warning, about, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line_and_its_remedy_another() {
        let finding = Finding::new(Grade::Warning, "leftovers", "a folder").remedy("tlsboot gc");
        let text = line(&finding, false);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(lines, ["warning  leftovers               a folder", "→ tlsboot gc"]);
        assert!(!line(&Finding::ok("x", "y"), false).contains('\x1b'));
        assert!(line(&Finding::ok("x", "y"), true).starts_with("\x1b[32mok"));
    }

    #[test]
    fn too_little_space_is_a_warning_with_a_remedy() {
        let enough = space("space", Path::new("/tmp/not/there/yet"), 1);
        assert_eq!(enough.grade, Grade::Ok);
        let little = space("space", Path::new("/tmp"), u64::MAX);
        assert!(little.grade >= Grade::Warning);
        assert!(little.remedy.is_some());
    }
}
