//! The store: unpacked executables in the user's cache folder, shared by every tlsboot process of the user.
//!
//! ```text
//! kubernetes/v1.37.2/linux-amd64/{kube, kubelet -> kube, …, SHA256SUMS}
//! etcd/v3.7.0/linux-amd64/{etcd, SHA256SUMS}
//! locks/kubernetes-v1.37.2-linux-amd64      held while one is installed
//! staging/kubernetes-v1.37.2-linux-amd64.X  what is on its way; stale if no process holds the lock
//! ```
//!
//! A file belongs to the store if `SHA256SUMS` lists it. That list is replaced by one rename, after the files that it
//! lists were written, synced and renamed into place. A kill at any moment therefore leaves either the old store or the
//! new one.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::error::{ComponentError, io_error};
use super::fingerprint;
use super::progress::{Progress, Unit};
use super::sums::Sums;
use super::transfer::{Hashing, sha256_of_file};
use super::{KUBE, KUBERNETES_ROLES, Package, Product};
use crate::private::PrivateDir;
use tlsboot_core::version::Version;

/// The size limit of an executable, in bytes, so that it cannot fill the disk.
const LARGEST: u64 = 1 << 30;
pub(super) const SUMS_FILE: &str = "SHA256SUMS";
const LOCKS: &str = "locks";
const STAGING: &str = "staging";

/// The store in one folder. Opening it costs nothing; the folder is created at the first installation.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// An installed executable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Its path; the file name selects the component.
    pub path: PathBuf,
    /// Its SHA-256, hex.
    pub sha256: String,
    /// The source that it came from, such as `mirror /srv/mirror`.
    pub origin: String,
}

/// What the store has of one version.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The version.
    pub package: Package,
    /// The executables with their names, sorted.
    pub executables: Vec<Installed>,
    /// The size on disk in bytes.
    pub bytes: u64,
}

/// Files on their way into the store. If it is dropped, nothing remains.
pub(super) struct Stage {
    folder: tempfile::TempDir,
    files: Vec<(String, String)>,
}

/// Why a file did not arrive.
pub(super) enum ReceiveError {
    /// Reading it failed: the source is at fault.
    Read(io::Error),
    /// Writing it failed: no other source would help.
    Write(ComponentError),
}

impl Store {
    /// The store in the folder `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The executable `name`, if it was installed.
    ///
    /// # Errors
    /// If its bytes, or those of the target if it is a link, differ from what was installed.
    pub fn executable(&self, package: Package, name: &str) -> Result<Option<Installed>, ComponentError> {
        let sums = self.sums(package)?;
        let Some(sum) = sums.get(name) else {
            return Ok(None);
        };
        let path = self.folder(package).join(name);
        match fingerprint::sha256(&path) {
            Ok(sha256) if sha256 == sum.sha256 => Ok(Some(Installed { path, sha256, origin: sum.origin.clone() })),
            Ok(_) => Err(ComponentError::DamagedStore(format!("\n  {}", path.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("cannot read", &path)(error)),
        }
    }

    /// Where users other than this one and root could replace executables: a folder of this version that another user
    /// owns, or that others may write to.
    pub(super) fn shared(&self, package: Package) -> Option<PathBuf> {
        let folder = self.folder(package);
        let folders = folder.ancestors().take_while(|folder| folder.starts_with(&self.root));
        let is_shared = |folder: &&Path| {
            folder.metadata().is_ok_and(|found| {
                let is_foreign = ![0, rustix::process::geteuid().as_raw()].contains(&found.uid());
                is_foreign || found.mode() & 0o022 != 0
            })
        };
        folders.into_iter().find(is_shared).map(Path::to_owned)
    }

    /// The versions of which it has executables for this machine, in no particular order.
    pub fn versions(&self, product: Product) -> Vec<Version> {
        versions_in(&self.root, product)
    }

    /// Everything that it has for this machine, sorted.
    pub fn list(&self) -> Result<Vec<Listing>, ComponentError> {
        let mut packages: Vec<_> = [Product::Kubernetes, Product::Etcd]
            .into_iter()
            .flat_map(|product| self.versions(product).into_iter().map(move |version| Package { product, version }))
            .collect();
        packages.sort();
        packages.into_iter().map(|package| self.listing(package)).collect()
    }

    /// What it has of one version; an empty list is not an error.
    pub(super) fn listing(&self, package: Package) -> Result<Listing, ComponentError> {
        let folder = self.folder(package);
        let mut listing = Listing { package, executables: Vec::new(), bytes: 0 };
        for (name, sum) in self.sums(package)?.iter() {
            let path = folder.join(name);
            listing.bytes += path.symlink_metadata().map(|metadata| metadata.len()).unwrap_or(0);
            listing.executables.push(Installed { path, sha256: sum.sha256.clone(), origin: sum.origin.clone() });
        }
        Ok(listing)
    }

    /// Reads every byte of a version and returns the executables that differ from what was installed. With `remove`
    /// they are removed from the store, so that they are fetched again when needed.
    pub fn damaged(&self, package: Package, remove: bool, progress: &Progress) -> Result<Vec<PathBuf>, ComponentError> {
        // reading needs no lock, so that a store without write access can be verified
        let _lock = remove.then(|| self.lock(package, progress)).transpose()?;
        let listing = self.listing(package)?;
        let mut task = progress.task(&format!("verifying {package}"), Some(listing.bytes), Unit::Bytes);
        let mut read: Vec<(PathBuf, Option<String>)> = Vec::new();
        let mut damaged = Vec::new();
        for Installed { path, sha256, .. } in listing.executables {
            // the target of several links is read once
            let target = path.canonicalize().unwrap_or_else(|_| path.clone());
            let actual = match read.iter().find(|(known, _)| *known == target) {
                Some((_, actual)) => actual.clone(),
                None => {
                    let actual = sha256_of_file(&target, Some(&mut task)).ok();
                    read.push((target, actual.clone()));
                    actual
                }
            };
            if actual.as_ref() != Some(&sha256) {
                damaged.push(path);
            }
        }
        task.finish();
        if remove && !damaged.is_empty() {
            self.forget(package, &damaged)?;
        }
        Ok(damaged)
    }

    fn forget(&self, package: Package, paths: &[PathBuf]) -> Result<(), ComponentError> {
        let mut sums = self.sums(package)?;
        for name in paths.iter().filter_map(|path| path.file_name()?.to_str()) {
            sums.remove(name);
        }
        let folder = self.folder(package);
        if sums.iter().next().is_some() {
            write_sums(&folder, &sums)?;
        } else {
            // without a list the version is not in the store
            remove_file(&folder.join(SUMS_FILE))?;
        }
        paths.iter().try_for_each(|path| remove_file(path))
    }

    /// Waits until no other process is installing this version. The lock is released with the file, at the latest with
    /// the process. Removes what killed processes have left, of this and of every other version that is not being
    /// installed now.
    pub(super) fn lock(&self, package: Package, progress: &Progress) -> Result<File, ComponentError> {
        let path = self.root.join(LOCKS).join(package.key());
        let lock = open_lock(&path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                progress.note(&format!("waiting for another tlsboot that is installing {package}"));
                lock.lock().map_err(io_error("cannot lock", &path))?;
            }
            Err(TryLockError::Error(error)) => return Err(io_error("cannot lock", &path)(error)),
        }
        self.sweep(Some(package));
        Ok(lock)
    }

    /// Removes what killed installations left. Returns what was removed.
    pub fn remove_stale(&self) -> Vec<PathBuf> {
        self.sweep(None)
    }

    /// Removes stale staging folders and nothing else. Best effort: one that cannot be removed does no harm.
    fn sweep(&self, locked: Option<Package>) -> Vec<PathBuf> {
        let mut removed = Vec::new();
        for entry in fs::read_dir(self.root.join(STAGING)).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let key = name.to_str().and_then(|name| name.rsplit_once('.')).map(|(key, _)| key);
            let Some(package) = key.and_then(Package::from_key) else {
                continue;
            };
            // held until the folder is deleted
            let _lock = match open_lock(&self.root.join(LOCKS).join(package.key())) {
                _ if locked == Some(package) => None,
                Ok(lock) if lock.try_lock().is_ok() => Some(lock),
                _ => continue,
            };
            if PrivateDir::open(&entry.path()).and_then(|folder| folder.remove()).is_ok() {
                removed.push(entry.path());
            }
        }
        removed
    }

    /// An empty stage for a version whose lock the caller holds.
    pub(super) fn stage(&self, package: Package) -> Result<Stage, ComponentError> {
        let staging = self.root.join(STAGING);
        make_folder(&staging).map_err(io_error("cannot make", &staging))?;
        let folder = tempfile::Builder::new()
            .prefix(&format!("{}.", package.key()))
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(&staging)
            .map_err(io_error("cannot write", &staging))?;
        Ok(Stage { folder, files: Vec::new() })
    }

    /// Moves a stage's files into the store. The caller holds the version's lock.
    pub(super) fn commit(&self, package: Package, stage: Stage, origin: &str) -> Result<(), ComponentError> {
        let folder = self.folder(package);
        make_folder(&folder).map_err(io_error("cannot make", &folder))?;
        let mut sums = self.sums(package)?;
        for (name, sha256) in stage.files {
            let target = folder.join(&name);
            fs::rename(stage.folder.path().join(&name), &target).map_err(io_error("cannot write", &target))?;
            sums.insert(&name, sha256, origin);
        }
        sync_folder(&folder)?;
        write_sums(&folder, &sums)
    }

    fn sums(&self, package: Package) -> Result<Sums, ComponentError> {
        read_sums(&self.folder(package))
    }

    fn folder(&self, package: Package) -> PathBuf {
        self.root.join(package.folder())
    }
}

impl Stage {
    /// Where a build may write files in addition to the received ones.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes an executable, synced to disk, and returns its SHA-256, hex.
    pub(super) fn receive(&mut self, name: &str, incoming: &mut dyn Read) -> Result<String, ReceiveError> {
        let path = self.folder.path().join(name);
        let write_error = |error| ReceiveError::Write(io_error("cannot write", &path)(error));
        let mut file =
            File::options().write(true).create(true).truncate(true).mode(0o755).open(&path).map_err(write_error)?;
        let mut hashing = Hashing::new(incoming, None);
        let mut buffer = vec![0; 1 << 17];
        let mut length = 0;
        loop {
            match hashing.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    length += count as u64;
                    if length > LARGEST {
                        let what = format!("it is larger than {} MiB, and none of these executables is", LARGEST >> 20);
                        return Err(ReceiveError::Read(io::Error::new(io::ErrorKind::FileTooLarge, what)));
                    }
                    file.write_all(&buffer[..count]).map_err(write_error)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ReceiveError::Read(error)),
            }
        }
        file.sync_all().map_err(write_error)?;
        let sha256 = hashing.finish().map_err(ReceiveError::Read)?;
        self.files.push((name.into(), sha256.clone()));
        Ok(sha256)
    }

    /// Links `name` to the executable `target` received before, which acts by the name it is called by.
    fn link(&mut self, name: &str, target: &str, sha256: &str) -> Result<(), ComponentError> {
        let path = self.folder.path().join(name);
        symlink(target, &path).map_err(io_error("cannot write", &path))?;
        self.files.push((name.into(), sha256.into()));
        Ok(())
    }

    /// Links every Kubernetes component to the received executable that contains them all.
    pub(super) fn link_roles(&mut self, sha256: &str) -> Result<(), ComponentError> {
        KUBERNETES_ROLES.into_iter().try_for_each(|role| self.link(role.name(), KUBE, sha256))
    }
}

/// The versions of a product that a folder with the store's layout has for this machine, in no particular order.
pub(super) fn versions_in(root: &Path, product: Product) -> Vec<Version> {
    let entries = fs::read_dir(root.join(product.name())).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.strip_prefix('v')?.parse().ok())
        .filter(|&version| root.join(Package { product, version }.folder()).join(SUMS_FILE).is_file())
        .collect()
}

/// Reads a folder's list; a missing one is empty.
pub(super) fn read_sums(folder: &Path) -> Result<Sums, ComponentError> {
    let path = folder.join(SUMS_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => Sums::parse(&text).map_err(|reason| ComponentError::Checksums {
            file: path.display().to_string(),
            reason: format!("{reason}; remove the file: what it listed is then written again"),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Sums::default()),
        Err(error) => Err(io_error("cannot read", &path)(error)),
    }
}

/// Replaces a folder's list by one rename.
pub(super) fn write_sums(folder: &Path, sums: &Sums) -> Result<(), ComponentError> {
    let path = folder.join(SUMS_FILE);
    write_atomically(&path, sums.to_string().as_bytes())
}

/// Replaces a file by one rename, after its new content is on disk.
pub(super) fn write_atomically(path: &Path, content: &[u8]) -> Result<(), ComponentError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".").permissions(readable()).tempfile_in(folder)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(io_error("cannot write", path))
}

fn readable() -> fs::Permissions {
    fs::Permissions::from_mode(0o644)
}

/// Creates a folder and its parents. Other users may not write to them, whatever the umask: their content is run.
fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path)
}

/// Removes a file; a missing one is not an error.
fn remove_file(path: &Path) -> Result<(), ComponentError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("cannot remove", path)(error)),
        _ => Ok(()),
    }
}

/// Makes renames in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), ComponentError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error("cannot sync", folder))
}

fn open_lock(path: &Path) -> Result<File, ComponentError> {
    path.parent()
        .map_or(Ok(()), make_folder)
        .and_then(|()| File::options().read(true).write(true).create(true).truncate(false).open(path))
        .map_err(io_error("cannot write", path))
}
