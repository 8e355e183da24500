//! Targets on the command line and in the environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;

use super::components::ComponentOptions;
use super::{Failure, built_in, values};
use tlsboot_core::result::ComponentResult;
use tlsboot_core::version::{Version, VersionRequest};
use tlsboot_engine::cluster::docker::Image;
#[cfg(feature = "docker")]
use tlsboot_engine::cluster::k3s::{K3s, K3sImage};
use tlsboot_engine::cluster::kind::{self, Kind};
use tlsboot_engine::cluster::local::Local;
use tlsboot_engine::cluster::{Provider, ProviderKind};
use tlsboot_engine::components::{ComponentSet, Edit, Executable, Progress, Resolver, Role};
use tlsboot_engine::run::{Target, TargetId};

/// What scenarios run on.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Target")]
pub struct TargetOptions {
    /// Versions of the control plane, separated by commas: 1.37 or 1.37.2. The newest known by default.
    #[arg(long, value_name = "VERSIONS", env = "TLSBOOT_KUBERNETES", value_delimiter = ',')]
    pub kubernetes: Vec<VersionRequest>,
    /// Version of the kubelets, for version skew; the control plane's by default.
    #[arg(long, value_name = "VERSION", env = "TLSBOOT_KUBELET")]
    pub kubelet: Option<VersionRequest>,
    /// What runs the clusters. For an existing cluster, see `tlsboot doctor`, `probe` and `approver`.
    #[arg(long, value_parser = values::provider(), env = "TLSBOOT_PROVIDER", default_value_t)]
    pub provider: ProviderKind,
    /// The node image for `kind`, such as kindest/node:v1.37.2@sha256:…; by default the one that `ci/node-image` builds
    /// for the version.
    #[arg(long, value_name = "IMAGE", env = "TLSBOOT_NODE_IMAGE")]
    pub node_image: Option<Image>,
    /// The image for `k3s`, such as rancher/k3s:v1.37.2-k3s1@sha256:…; by default rancher/k3s of the version.
    #[arg(long, value_name = "IMAGE", env = "TLSBOOT_IMAGE")]
    pub image: Option<Image>,
    /// Where executables come from.
    #[command(flatten)]
    pub components: ComponentOptions,
}

/// A provider, and what its clusters are made of.
type Resolved = (Box<dyn Provider>, Vec<ComponentResult>);

const SKEW: &str = "a node image is one version, of control plane and kubelets: run kind once for each image";

/// A target by its versions, before anything is fetched or started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Its name.
    pub id: TargetId,
    control_plane_request: VersionRequest,
    kubelet_request: VersionRequest,
}

impl TargetOptions {
    /// The targets, without fetching anything: fast enough for listing tests.
    pub fn plan(&self) -> Result<Vec<Planned>, Failure> {
        let resolver = self.resolver(Progress::hidden())?;
        self.check()?;
        let image = self.node_image.as_ref().or(self.image.as_ref());
        let tagged = image.and_then(Image::version);
        let requests = match (self.kubernetes.as_slice(), tagged) {
            ([], Some(version)) => vec![version.into()],
            ([], None) => vec![resolver.default_request().map_err(Failure::error)?],
            (requests, _) => requests.to_vec(),
        };
        let mut planned: Vec<Planned> = Vec::new();
        for request in requests {
            let kubelet_request = self.kubelet.unwrap_or(request);
            let kubernetes = resolver.plan(&request).map_err(Failure::of_components)?;
            let kubelet = resolver.plan(&kubelet_request).map_err(Failure::of_components)?;
            let id = TargetId { provider: self.provider, kubernetes, kubelet };
            if !planned.iter().any(|known| known.id == id) {
                planned.push(Planned { id, control_plane_request: request, kubelet_request });
            }
        }
        Ok(planned)
    }

    /// Checks which options belong together.
    fn check(&self) -> Result<(), Failure> {
        let several = self.kubernetes.len() > 1;
        let untagged = |image: &Option<Image>| {
            image.as_ref().is_some_and(|image| image.version().is_none()) && self.kubernetes.is_empty()
        };
        let wrong = match self.provider {
            ProviderKind::Local | ProviderKind::K3s if self.node_image.is_some() => {
                "--node-image is for --provider kind"
            }
            ProviderKind::Local | ProviderKind::Kind if self.image.is_some() => "--image is for --provider k3s",
            ProviderKind::Kind if self.kubelet.is_some() => SKEW,
            ProviderKind::Kind if self.node_image.is_some() && several => SKEW,
            ProviderKind::Kind if untagged(&self.node_image) => {
                "the tag of --node-image is not a version: give the image's version by --kubernetes, such as 1.37.2"
            }
            ProviderKind::Kind if self.components.components.is_some() => {
                "--components is for --provider local: kind uses the executables in the node image"
            }
            ProviderKind::K3s if self.image.is_some() && several => {
                "a k3s image has one version: run k3s once for each image"
            }
            ProviderKind::K3s if untagged(&self.image) => {
                "the tag of --image is not a version: give the image's version by --kubernetes, such as 1.37.2"
            }
            _ => return Ok(()),
        };
        Err(Failure::usage(wrong))
    }

    /// Makes a target ready to start clusters; fetches what is missing. Blocks.
    pub fn resolve(&self, planned: &Planned, progress: Progress) -> Result<(Target, Vec<ComponentResult>), Failure> {
        let (provider, used): Resolved = match planned.id.provider {
            ProviderKind::Local => {
                let (local, used) = self.local(planned, progress)?;
                (Box::new(local), used)
            }
            ProviderKind::Kind => self.kind(planned)?,
            #[cfg(feature = "docker")]
            ProviderKind::K3s => {
                let (k3s, used) = self.k3s(planned, progress)?;
                (Box::new(k3s), used)
            }
            #[cfg(not(feature = "docker"))]
            ProviderKind::K3s => {
                return Err(Failure::error(
                    "this tlsboot was built without support for k3s: build it with the default features",
                ));
            }
        };
        Ok((Target { id: planned.id, provider }, used))
    }

    fn kind(&self, planned: &Planned) -> Result<Resolved, Failure> {
        let kind = Kind::find(&self.image(planned), planned.id.kubernetes).map_err(Failure::error)?;
        let used = vec![kind.component()];
        Ok((Box::new(kind), used))
    }

    /// The node image of a target of `kind`.
    pub(super) fn image(&self, planned: &Planned) -> Image {
        let built = || kind::built_image(planned.id.kubernetes);
        self.node_image.clone().unwrap_or_else(built)
    }

    /// The image of k3s.
    #[cfg(feature = "docker")]
    pub(super) fn k3s_image(&self, planned: &Planned) -> Result<K3sImage, Failure> {
        K3sImage::find(self.image.clone(), planned.id.kubernetes).map_err(Failure::error)
    }

    /// The provider for k3s, and what it uses.
    #[cfg(feature = "docker")]
    fn k3s(&self, planned: &Planned, progress: Progress) -> Result<(K3s, Vec<ComponentResult>), Failure> {
        let image = self.k3s_image(planned)?;
        let kubelet = self
            .resolver(progress)?
            .executable(Role::Kubelet, &planned.kubelet_request)
            .map_err(Failure::of_components)?;
        let used = vec![image.component(), component(Role::Kubelet, &kubelet)];
        let k3s = K3s { image, kubelet: Some((kubelet, planned.id.kubelet)) };
        Ok((k3s, used))
    }

    /// The provider of plain processes, and the executables that it uses.
    pub(super) fn local(
        &self,
        planned: &Planned,
        progress: Progress,
    ) -> Result<(Local, Vec<ComponentResult>), Failure> {
        let resolver = self.resolver(progress)?;
        let components = resolver.resolve(&planned.control_plane_request).map_err(Failure::of_components)?;
        let kubelet = if planned.id.kubelet == planned.id.kubernetes {
            components.kubelet.clone()
        } else {
            resolver.executable(Role::Kubelet, &planned.kubelet_request).map_err(Failure::of_components)?
        };
        let used = used(&components, &kubelet);
        let local = Local { components, kubelet, kubelet_version: planned.id.kubelet, defect: None };
        Ok((local, used))
    }

    /// The folder of a version's executables with these changes, built if necessary.
    pub(super) fn edited(&self, version: Version, edits: Vec<Edit>, progress: Progress) -> Result<PathBuf, Failure> {
        let options = self.components.options().map_err(Failure::usage)?;
        let resolver = Resolver::new(options.edited(edits), progress).map_err(Failure::of_components)?;
        let kubelet = resolver.executable(Role::Kubelet, &version.into()).map_err(Failure::of_components)?;
        let folder = kubelet.path.parent().unwrap_or(Path::new("/"));
        Ok(folder.to_owned())
    }

    fn resolver(&self, progress: Progress) -> Result<Resolver, Failure> {
        Resolver::new(self.components.options().map_err(Failure::usage)?, progress).map_err(Failure::of_components)
    }
}

fn used(components: &ComponentSet, kubelet: &Executable) -> Vec<ComponentResult> {
    let all = [
        (Role::Etcd, &components.etcd),
        (Role::KubeApiserver, &components.kube_apiserver),
        (Role::KubeControllerManager, &components.kube_controller_manager),
        (Role::Kubelet, kubelet),
    ];
    all.map(|(role, executable)| component(role, executable)).into()
}

fn component(role: Role, executable: &Executable) -> ComponentResult {
    ComponentResult {
        name: role.name().into(),
        version: executable.version.clone(),
        sha256: executable.sha256.clone(),
        origin: executable.origin.clone(),
    }
}

/// Facts about this machine that a reader of a report needs.
pub(super) fn environment() -> BTreeMap<String, String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let release = read("/etc/os-release");
    let os = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .unwrap_or("unknown")
        .trim_matches('"')
        .to_owned();
    let cgroups = if std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists() { "v2" } else { "v1" };
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let user = if rustix::process::geteuid().is_root() { "root" } else { "an ordinary user" };
    [
        ("os", os),
        ("kernel", read("/proc/sys/kernel/osrelease")),
        ("architecture", std::env::consts::ARCH.into()),
        ("cgroups", cgroups.into()),
        ("user", user.into()),
        ("cpus", cpus.to_string()),
        ("commit", built_in::COMMIT.into()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
