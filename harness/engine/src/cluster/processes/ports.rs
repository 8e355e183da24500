//! Ports that no other process takes between choosing and listening.
//!
//! All tlsboot processes of a user share a folder of lock files, one per port; a port is leased by its lock and tested
//! by listening. The range lies below the kernel's ephemeral ports, so outgoing connections do not use them. A lock is
//! released with its process, however that ends.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::private::PrivateDir;

const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;

/// A port that is leased while this lives.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) number: u16,
    _lock: File,
}

impl Port {
    /// Leases a free port on 127.0.0.1.
    pub(crate) fn lease() -> io::Result<Self> {
        find(&std::env::temp_dir(), Self::try_lease)
    }

    /// Leases two consecutive ports: k3s takes the port after its own automatically.
    #[cfg(feature = "docker")]
    pub(crate) fn lease_pair() -> io::Result<[Self; 2]> {
        find(&std::env::temp_dir(), |locks, number| {
            Ok(match (Self::try_lease(locks, number)?, Self::try_lease(locks, number + 1)?) {
                (Some(first), Some(second)) => Some([first, second]),
                _ => None,
            })
        })
    }

    fn try_lease(locks: &PrivateDir, number: u16) -> io::Result<Option<Self>> {
        let lock = locks.open_or_create_file(&number.to_string())?;
        let is_free = is_ours(&lock) && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok();
        Ok(is_free.then_some(Self { number, _lock: lock }))
    }
}

fn find<T>(temporary: &Path, lease: impl Fn(&PrivateDir, u16) -> io::Result<Option<T>>) -> io::Result<T> {
    let locks = locks(temporary)?;
    // Runs start at different ports, so that they rarely try the same one.
    let start = (std::process::id() as u16).wrapping_mul(131) % (LAST - FIRST);
    for step in 0..LAST - FIRST {
        if let Some(leased) = lease(&locks, FIRST + (start + step) % (LAST - FIRST))? {
            return Ok(leased);
        }
    }
    Err(io::Error::other(format!("no free port between {FIRST} and {LAST} on 127.0.0.1")))
}

/// Whether a port can be leased here: returns one that can.
///
/// # Errors
/// If none is free, or their folder cannot be written to.
pub fn try_port() -> io::Result<u16> {
    Port::lease().map(|port| port.number)
}

/// Removes the lock files of ports that are not leased. Returns how many there were.
///
/// # Errors
/// If their folder cannot be read.
pub fn sweep_ports() -> io::Result<usize> {
    sweep_in(&std::env::temp_dir())
}

fn sweep_in(temporary: &Path) -> io::Result<usize> {
    let locks = locks(temporary)?;
    let mut removed = 0;
    for name in locks.names()? {
        let is_port =
            name.parse().is_ok_and(|number: u16| (FIRST..=LAST).contains(&number) && number.to_string() == name);
        // Removed under its lock: a process that opened it before sees in `is_ours` that it was deleted.
        let lock = is_port.then(|| locks.open_file(&name).ok()).flatten().filter(is_ours);
        removed += usize::from(lock.is_some() && locks.remove_file(&name).is_ok());
    }
    Ok(removed)
}

/// Takes the lock, if no other process has it and the file has not been removed in the meantime.
fn is_ours(lock: &File) -> bool {
    lock.try_lock().is_ok() && lock.metadata().is_ok_and(|metadata| metadata.nlink() > 0)
}

fn locks(temporary: &Path) -> io::Result<PrivateDir> {
    PrivateDir::ensure(&temporary.join(format!("tlsboot-ports-{}", rustix::process::geteuid().as_raw())))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    use super::*;

    /// A folder of temporary files, and the path of the locks in it.
    fn lab() -> (tempfile::TempDir, PathBuf) {
        let lab = tempfile::tempdir().unwrap();
        let path = lab.path().join(format!("tlsboot-ports-{}", rustix::process::geteuid().as_raw()));
        (lab, path)
    }

    fn lease(temporary: &Path) -> io::Result<Port> {
        find(temporary, Port::try_lease)
    }

    #[test]
    fn a_leased_port_is_locked_and_its_lock_removed_afterwards() {
        let (lab, path) = lab();
        let port = lease(lab.path()).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(sweep_in(lab.path()).unwrap(), 0);
        assert_ne!(lease(lab.path()).unwrap().number, port.number);
        drop(port);
        assert_eq!(sweep_in(lab.path()).unwrap(), 2);
        assert_eq!(fs::read_dir(path).unwrap().count(), 0);
    }

    #[test]
    fn a_link_in_the_place_of_the_folder_is_refused() {
        let (lab, path) = lab();
        let elsewhere = lab.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("20000"), "kept").unwrap();
        symlink(&elsewhere, path).unwrap();
        for error in [lease(lab.path()).map(drop).unwrap_err(), sweep_in(lab.path()).map(drop).unwrap_err()] {
            assert!(error.to_string().contains("set TMPDIR to your own folder"), "{error}");
        }
        assert_eq!(fs::read_dir(elsewhere).unwrap().count(), 1);
    }

    /// Another user can put these there if the umask allows it.
    #[test]
    fn nothing_is_made_behind_a_link_and_only_locks_are_removed() {
        let (lab, path) = lab();
        fs::create_dir(&path).unwrap();
        let elsewhere = lab.path().join("nologin");
        for number in FIRST..=LAST {
            symlink(&elsewhere, path.join(number.to_string())).unwrap();
        }
        lease(lab.path()).unwrap_err();
        assert!(!elsewhere.exists());
        for name in ["notes", "+20000", "020000", "19999"] {
            fs::write(path.join(name), "kept").unwrap();
        }
        assert_eq!(sweep_in(lab.path()).unwrap(), 0);
        assert!(path.join("notes").exists() && path.join("+20000").exists() && path.join("19999").exists());
    }

    #[cfg(feature = "docker")]
    #[test]
    fn pairs_stand_side_by_side_and_are_nobody_elses() {
        let pairs = [Port::lease_pair().unwrap(), Port::lease_pair().unwrap()];
        for [first, second] in &pairs {
            assert_eq!(first.number + 1, second.number);
        }
        let [[_, one], [other, _]] = &pairs;
        assert!(one.number < other.number || pairs[1][1].number < pairs[0][0].number);
    }
}
