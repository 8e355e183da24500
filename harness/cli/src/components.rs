//! `tlsboot components …`, and the options by which other commands choose components.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use indicatif::HumanBytes;

use super::{progress, values};
use tlsboot_core::version::{Version, VersionRequest};
use tlsboot_engine::components::{
    ComponentError, DEFAULT_ETCD, Executable, Listing, Options, Package, Product, Progress, Resolver, Role, SourceKind,
    Store, export,
};

/// Which components to use; for `#[command(flatten)]`.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Executables")]
pub struct ComponentOptions {
    /// A distribution under test: a folder with kube-apiserver, kube-controller-manager, kubelet, and optionally its
    /// own etcd. Wrapper scripts work too. Versions are read by running the executables with --version
    #[arg(long, value_name = "DIR", env = "TLSBOOT_COMPONENTS", global = true)]
    pub components: Option<PathBuf>,
    /// Take what is not in DIR only from this source [default: the first one that has it, in this order]
    #[arg(long, value_parser = values::source(), env = "TLSBOOT_SOURCE", global = true)]
    pub source: Option<SourceKind>,
}

/// `tlsboot components`: the executables of Kubernetes and etcd that clusters are made of.
#[derive(Args, Clone, Debug)]
pub struct ComponentsCommand {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    options: ComponentOptions,
    /// The etcd version to get or export
    #[arg(long, value_name = "VERSION", default_value_t = DEFAULT_ETCD, global = true)]
    etcd: Version,
}

#[derive(Subcommand, Clone, Debug)]
enum Action {
    /// List what the store has
    List,
    /// Fetch versions into the store, and show their executables
    Get {
        /// Such as 1.37 or 1.37.2 [default: the distribution's, or else the newest known]
        versions: Vec<VersionRequest>,
        /// Only the kubelet, which is all that version skew needs of another version
        #[arg(long)]
        kubelet: bool,
    },
    /// Write a mirror for a machine without network access; set TLSBOOT_MIRROR to the folder there
    Export {
        /// The folder, created if it does not exist; existing content is kept
        dir: PathBuf,
        /// What to export, fetched if necessary [default: everything in the store]
        versions: Vec<VersionRequest>,
    },
    /// Verify every byte in the store
    Verify {
        /// Remove damaged versions, so that they are fetched again when needed
        #[arg(long)]
        remove: bool,
    },
}

impl ComponentOptions {
    /// These options, with the environment for the rest: see [`Options::from_env`].
    pub fn options(&self) -> Result<Options, ComponentError> {
        Ok(Options { components: self.components.clone(), source: self.source, ..Options::from_env()? })
    }

    /// A resolver that shows its progress on stderr.
    pub fn resolver(&self) -> Result<Resolver, ComponentError> {
        Resolver::new(self.options()?, progress::on_stderr())
    }
}

/// Runs `tlsboot components …`; its output goes to `out`.
pub fn run(command: &ComponentsCommand, out: &mut dyn Write) -> Result<(), ComponentError> {
    let options = Options { etcd: command.etcd, ..command.options.options()? };
    let progress = progress::on_stderr();
    let resolver = Resolver::new(options, progress.clone())?;
    let text = match &command.action {
        Action::List => list(resolver.store())?,
        Action::Get { versions, kubelet } => get(&resolver, versions, *kubelet)?,
        Action::Export { dir, versions } => {
            let packages = packages_to_export(&resolver, versions, command.etcd)?;
            export(resolver.store(), &packages, dir, &progress)?;
            format!("{} versions are in {}: set TLSBOOT_MIRROR to it\n", packages.len(), dir.display())
        }
        Action::Verify { remove } => verify(resolver.store(), *remove, &progress)?,
    };
    match out.write_all(text.as_bytes()) {
        // `tlsboot components list | head` is not an error
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(ComponentError::Io { doing: "cannot write to", path: "standard output".into(), cause: error })
        }
        _ => Ok(()),
    }
}

fn list(store: &Store) -> Result<String, ComponentError> {
    let listings = store.list()?;
    let mut text = String::new();
    for Listing { package, executables, bytes } in &listings {
        let origin = executables.first().map_or("", |executable| &executable.origin);
        let names: Vec<_> = executables.iter().filter_map(|executable| executable.path.file_name()?.to_str()).collect();
        let size = HumanBytes(*bytes).to_string();
        text += &format!(
            "{:<11}{:<9}{size:>11}  {}  ({origin})\n",
            package.product.name(),
            package.version.to_string(),
            names.join(" ")
        );
    }
    let total: u64 = listings.iter().map(|listing| listing.bytes).sum();
    Ok(text + &format!("{} in {}\n", HumanBytes(total), store.root().display()))
}

fn get(resolver: &Resolver, versions: &[VersionRequest], kubelet_only: bool) -> Result<String, ComponentError> {
    let mut text = String::new();
    for request in requested(resolver, versions)? {
        let executables = if kubelet_only {
            vec![resolver.executable(Role::Kubelet, &request)?]
        } else {
            let all = resolver.resolve(&request)?;
            vec![all.kube_apiserver, all.kube_controller_manager, all.kubelet, all.etcd]
        };
        for Executable { path, version, sha256, origin } in executables {
            text += &format!("{sha256}  {}  {version}  ({origin})\n", path.display());
        }
    }
    Ok(text)
}

fn requested(resolver: &Resolver, versions: &[VersionRequest]) -> Result<Vec<VersionRequest>, ComponentError> {
    if versions.is_empty() { Ok(vec![resolver.default_request()?]) } else { Ok(versions.to_vec()) }
}

fn packages_to_export(
    resolver: &Resolver,
    versions: &[VersionRequest],
    etcd: Version,
) -> Result<Vec<Package>, ComponentError> {
    let stored = || -> Result<Vec<Package>, ComponentError> {
        Ok(resolver.store().list()?.into_iter().map(|listing| listing.package).collect())
    };
    if versions.is_empty() && !stored()?.is_empty() {
        return stored();
    }
    let mut packages = vec![Package { product: Product::Etcd, version: etcd }];
    for request in requested(resolver, versions)? {
        packages.push(Package { product: Product::Kubernetes, version: resolver.resolve(&request)?.kubernetes });
    }
    Ok(packages)
}

fn verify(store: &Store, remove: bool, progress: &Progress) -> Result<String, ComponentError> {
    let mut damaged = Vec::new();
    let listings = store.list()?;
    for listing in &listings {
        damaged.extend(store.damaged(listing.package, remove, progress)?);
    }
    let names: String = damaged.iter().map(|path| format!("\n  {}", path.display())).collect();
    match (damaged.is_empty(), remove) {
        (true, _) => Ok(format!("{} versions in {}: all intact\n", listings.len(), store.root().display())),
        (false, true) => Ok(format!("removed because they were damaged:{names}\n")),
        (false, false) => Err(ComponentError::DamagedStore(names)),
    }
}
