//! From a requested version to executables.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use super::edits::{Edit, digest};
use super::error::{Attempt, ComponentError};
use super::kind::SourceKind;
use super::progress::Progress;
use super::source::{Build, Directory, FetchError, Mirror, Release, Source};
use super::store::{Installed, Store, versions_in};
use super::transfer::{Location, without_user};
use super::{ComponentSet, DEFAULT_ETCD, Executable, KUBERNETES_ROLES, Package, Product, Role};
use tlsboot_core::version::{Version, VersionRequest};

const RELEASE_URL: &str = "https://dl.k8s.io/release";
const ETCD_RELEASE_URL: &str = "https://github.com/etcd-io/etcd/releases/download";

/// Where to look, and for which etcd.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of a distribution under test.
    pub components: Option<PathBuf>,
    /// The only source for what the distribution lacks; if `None`, all of them, in order.
    pub source: Option<SourceKind>,
    /// The store's folder.
    pub cache: PathBuf,
    /// The mirror.
    pub mirror: Option<Location>,
    /// The base URL of Kubernetes' releases.
    pub release: Location,
    /// The base URL of etcd's releases.
    pub etcd_release: Location,
    /// The Go command: a path, or a name on PATH.
    pub go: PathBuf,
    /// The etcd of a control plane.
    pub etcd: Version,
    /// The changes made to Kubernetes before it is built.
    pub edits: Vec<Edit>,
}

impl Options {
    /// The defaults, with TLSBOOT_CACHE, TLSBOOT_MIRROR, TLSBOOT_RELEASE_URL and TLSBOOT_ETCD_RELEASE_URL.
    pub fn from_env() -> Result<Self, ComponentError> {
        Self::from_variables(|name| env::var_os(name).filter(|value| !value.is_empty()))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, ComponentError> {
        let location = |name: &'static str| -> Result<Option<Location>, ComponentError> {
            let Some(value) = variable(name) else {
                return Ok(None);
            };
            let value = value.to_string_lossy().into_owned();
            match value.parse() {
                Ok(location) => Ok(Some(location)),
                Err(reason) => {
                    Err(ComponentError::Setting { name, value: without_user(&value), reason: reason.into() })
                }
            }
        };
        // the XDG base directory specification says to ignore relative paths
        let cache_home = variable("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let cache = variable("TLSBOOT_CACHE")
            .map(PathBuf::from)
            .or_else(|| Some(cache_home?.join("tlsboot")))
            .or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cache/tlsboot")))
            .ok_or_else(|| ComponentError::Setting {
                name: "TLSBOOT_CACHE",
                value: String::new(),
                reason: "it is empty, and HOME is not set either: set it to a folder for components".into(),
            })?;
        Ok(Self {
            components: None,
            source: None,
            cache: std::path::absolute(&cache).unwrap_or(cache),
            mirror: location("TLSBOOT_MIRROR")?,
            release: location("TLSBOOT_RELEASE_URL")?.unwrap_or_else(|| Location::Url(RELEASE_URL.into())),
            etcd_release: location("TLSBOOT_ETCD_RELEASE_URL")?
                .unwrap_or_else(|| Location::Url(ETCD_RELEASE_URL.into())),
            go: "go".into(),
            etcd: DEFAULT_ETCD,
            edits: Vec::new(),
        })
    }

    /// The same for Kubernetes with these changes: built with Go, in a store of its own.
    pub fn edited(self, edits: Vec<Edit>) -> Self {
        Self {
            components: None,
            source: Some(SourceKind::Build),
            cache: self.cache.join("edited").join(digest(&edits)),
            edits,
            ..self
        }
    }
}

/// Finds executables, and fetches those that the store lacks.
pub struct Resolver {
    options: Options,
    directory: Option<Directory>,
    store: Store,
    sources: Vec<Box<dyn Source>>,
    progress: Progress,
    /// Whether the user was warned that others may write to the store.
    warned: AtomicBool,
}

impl Resolver {
    /// A resolver. Checks that the distribution's folder contains components; runs and fetches nothing.
    pub fn new(options: Options, progress: Progress) -> Result<Self, ComponentError> {
        let directory =
            options.components.as_ref().map(|folder| Directory::open(folder, &options.cache)).transpose()?;
        let mut sources: Vec<Box<dyn Source>> = Vec::new();
        sources.extend(options.mirror.iter().map(|at| Box::new(Mirror { at: at.clone() }) as Box<dyn Source>));
        sources.push(Box::new(Release { kubernetes: options.release.clone(), etcd: options.etcd_release.clone() }));
        sources.push(Box::new(Build { go: options.go.clone(), edits: options.edits.clone() }));
        let store = Store::new(&options.cache);
        Ok(Self { options, directory, store, sources, progress, warned: AtomicBool::new(false) })
    }

    /// Its store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The version to test by default: the distribution's, or else the newest known Kubernetes.
    pub fn default_request(&self) -> Result<VersionRequest, ComponentError> {
        let distribution = self.distribution(&KUBERNETES_ROLES)?.map(|(_, version)| version.into());
        let Version { major, minor, .. } = Version::known()[0];
        Ok(distribution.unwrap_or(VersionRequest::Minor { major, minor }))
    }

    /// The version that [`Resolver::resolve`] will use, without fetching anything, in a few milliseconds: the
    /// distribution's if that is asked for, else the newest patch in the store or the mirror's folder, else the known
    /// one. (A distribution's executable that was never seen before is run once to get its version.)
    pub fn plan(&self, request: &VersionRequest) -> Result<Version, ComponentError> {
        Ok(self.choose(&KUBERNETES_ROLES, request)?.version)
    }

    /// The executables of a cluster, fetched if necessary.
    ///
    /// If the distribution's version is asked for, everything that the distribution has is used, including its etcd.
    pub fn resolve(&self, request: &VersionRequest) -> Result<ComponentSet, ComponentError> {
        let choice = self.choose(&KUBERNETES_ROLES, request)?;
        Ok(ComponentSet {
            kubernetes: choice.version,
            kube_apiserver: self.take(&choice, Role::KubeApiserver)?,
            kube_controller_manager: self.take(&choice, Role::KubeControllerManager)?,
            kubelet: self.take(&choice, Role::Kubelet)?,
            etcd: self.take(&choice, Role::Etcd)?,
        })
    }

    /// One component of a version, fetched if necessary: a kubelet older than its control plane, for example.
    pub fn executable(&self, role: Role, request: &VersionRequest) -> Result<Executable, ComponentError> {
        self.take(&self.choose(&[role], request)?, role)
    }

    /// etcd, in the version of the options, fetched if necessary.
    pub fn etcd(&self) -> Result<Executable, ComponentError> {
        self.obtain(Package { product: Product::Etcd, version: self.options.etcd }, &[Role::Etcd], Role::Etcd)
    }

    fn choose<'a>(&'a self, roles: &'a [Role], request: &VersionRequest) -> Result<Choice<'a>, ComponentError> {
        match self.distribution(roles)?.filter(|(_, version)| request.matches(*version)) {
            Some((directory, version)) => Ok(Choice { roles, version, directory: Some(directory) }),
            None => Ok(Choice { roles, version: self.newest(request)?, directory: None }),
        }
    }

    /// The distribution, and the version of the first of these roles that it has.
    fn distribution(&self, roles: &[Role]) -> Result<Option<(&Directory, Version)>, ComponentError> {
        let Some(directory) = &self.directory else {
            return Ok(None);
        };
        let Some(role) = roles.iter().find(|role| directory.has(**role)) else {
            return Ok(None);
        };
        Ok(Some((directory, directory.version(*role)?)))
    }

    fn newest(&self, request: &VersionRequest) -> Result<Version, ComponentError> {
        if let Some(version) = request.exact() {
            return Ok(version);
        }
        let mut local = self.store.versions(Product::Kubernetes);
        if let Some(Location::Folder(mirror)) = &self.options.mirror {
            local.extend(versions_in(mirror, Product::Kubernetes));
        }
        let newest = local.into_iter().filter(|version| request.matches(*version)).max();
        newest.or_else(|| request.known()).ok_or(ComponentError::UnknownMinor(*request))
    }

    fn take(&self, choice: &Choice<'_>, role: Role) -> Result<Executable, ComponentError> {
        let from_directory = |role: Role| choice.directory.filter(|directory| directory.has(role));
        if let Some(directory) = from_directory(role) {
            return directory.executable(role);
        }
        match role.product() {
            Product::Etcd => self.etcd(),
            product @ Product::Kubernetes => {
                let lacking: Vec<_> =
                    choice.roles.iter().copied().filter(|role| from_directory(*role).is_none()).collect();
                self.obtain(Package { product, version: choice.version }, &lacking, role)
            }
        }
    }

    /// A role's executable from the store; if it is missing, all of `roles` are fetched first.
    fn obtain(&self, package: Package, roles: &[Role], role: Role) -> Result<Executable, ComponentError> {
        let stored = match self.stored(package, role)? {
            Some(stored) => Some(stored),
            None => {
                self.install(package, roles)?;
                self.stored(package, role)?
            }
        };
        if let Some(folder) = self.store.shared(package)
            && !self.warned.swap(true, Ordering::Relaxed)
        {
            self.progress.note(&format!(
                "warning: other users may change the executables in {}: run `chmod go-w` on it, or set TLSBOOT_CACHE to your own folder",
                folder.display()
            ));
        }
        let Installed { path, sha256, origin } = stored.ok_or_else(|| ComponentError::Unavailable {
            what: format!("{role} of {package}"),
            attempts: vec![Attempt { source: SourceKind::Store, reason: "it was just removed".into() }],
        })?;
        Ok(Executable { path, version: package.version.to_string(), sha256, origin })
    }

    /// The executable in the store, if it came from the requested source.
    fn stored(&self, package: Package, role: Role) -> Result<Option<Installed>, ComponentError> {
        let wanted = |installed: &Installed| match self.options.source {
            None | Some(SourceKind::Store) => true,
            Some(kind) => installed.origin.split(' ').next() == Some(kind.name()),
        };
        Ok(self.store.executable(package, role.name())?.filter(wanted))
    }

    /// Fetches those of the roles that the store lacks, from the first source that has them.
    fn install(&self, package: Package, roles: &[Role]) -> Result<(), ComponentError> {
        let mut attempts = vec![Attempt {
            source: SourceKind::Store,
            reason: format!("it is not in {}", self.store.root().display()),
        }];
        if self.options.source == Some(SourceKind::Store) {
            return Err(unavailable(package, roles, attempts));
        }
        let _lock = self.store.lock(package, &self.progress)?;
        // another process may have fetched it while this one waited
        let mut lacking = Vec::new();
        for role in roles {
            if self.stored(package, *role)?.is_none() {
                lacking.push(*role);
            }
        }
        if lacking.is_empty() {
            return Ok(());
        }
        if self.options.mirror.is_none() && self.allows(SourceKind::Mirror) {
            attempts.push(Attempt {
                source: SourceKind::Mirror,
                reason: "TLSBOOT_MIRROR is not set (to a folder or URL that `tlsboot components export` wrote)".into(),
            });
        }
        let allowed = self.sources.iter().filter(|source| self.allows(source.kind()));
        for source in allowed {
            let mut outcome = self.fetch(&**source, package, &lacking);
            if let Err(FetchError::Interrupted(reason)) = &outcome {
                self.progress.note(&format!("{reason}; trying again"));
                outcome = self.fetch(&**source, package, &lacking);
            }
            let reason = match outcome {
                Ok(()) => return Ok(()),
                Err(FetchError::Fatal(error)) => return Err(error),
                Err(FetchError::Unavailable(reason) | FetchError::Interrupted(reason)) => reason,
            };
            let source = source.kind();
            self.progress.note(&format!("no {package} from {source}: {reason}"));
            attempts.push(Attempt { source, reason });
        }
        Err(unavailable(package, &lacking, attempts))
    }

    fn fetch(&self, source: &dyn Source, package: Package, roles: &[Role]) -> Result<(), FetchError> {
        let mut stage = self.store.stage(package)?;
        let origin = source.fetch(package, roles, &mut stage, &self.progress)?;
        Ok(self.store.commit(package, stage, &origin)?)
    }

    fn allows(&self, kind: SourceKind) -> bool {
        self.options.source.is_none_or(|only| only == kind)
    }
}

/// A version, and the distribution if it is the distribution's version.
struct Choice<'a> {
    /// The requested components.
    roles: &'a [Role],
    version: Version,
    directory: Option<&'a Directory>,
}

fn unavailable(package: Package, roles: &[Role], attempts: Vec<Attempt>) -> ComponentError {
    let names: Vec<_> = roles.iter().map(|role| role.name()).collect();
    ComponentError::Unavailable { what: format!("{} of {package}", names.join(", ")), attempts }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn options(variables: &[(&str, &str)]) -> Result<Options, ComponentError> {
        Options::from_variables(|name| {
            let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
            Some(value.into())
        })
    }

    #[rstest]
    #[case(&[("HOME", "/home/a")], "/home/a/.cache/tlsboot")]
    #[case(&[("HOME", "/home/a"), ("XDG_CACHE_HOME", "/var/cache")], "/var/cache/tlsboot")]
    #[case::ignored(&[("HOME", "/home/a"), ("XDG_CACHE_HOME", "cache")], "/home/a/.cache/tlsboot")]
    #[case(&[("XDG_CACHE_HOME", "/var/cache"), ("TLSBOOT_CACHE", "/store")], "/store")]
    fn the_store_is_in_the_cache_folder(#[case] variables: &[(&str, &str)], #[case] cache: &str) {
        assert_eq!(options(variables).unwrap().cache, PathBuf::from(cache));
    }

    #[rstest]
    #[case(&[], "TLSBOOT_CACHE=: it is empty, and HOME is not set either: set it to a folder for components")]
    #[case(&[("HOME", "/home/a"), ("TLSBOOT_MIRROR", "ftp://mirror.example")],
        "TLSBOOT_MIRROR=ftp://mirror.example: neither a folder nor an http or https URL")]
    fn a_wrong_setting_is_named(#[case] variables: &[(&str, &str)], #[case] message: &str) {
        assert_eq!(options(variables).unwrap_err().to_string(), message);
    }

    #[test]
    fn a_resolver_can_be_shared_by_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Resolver>();
    }
}
