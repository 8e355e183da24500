//! Ports that nobody else takes between choosing and listening.
//!
//! All tlsboot processes of a user share a folder of lock files, one a port; a port is leased by its lock and tried by
//! listening. The range lies below the kernel's ephemeral ports, so outgoing connections don't take them. A lock goes
//! with its process, however that ends.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;

/// A port that is ours while this lives.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) number: u16,
    _lock: File,
}

impl Port {
    /// Leases a free port on 127.0.0.1.
    pub(crate) fn lease() -> io::Result<Self> {
        find(Self::try_lease)
    }

    /// Leases two, one after the other: k3s takes the port after its own by itself.
    #[cfg(feature = "docker")]
    pub(crate) fn lease_pair() -> io::Result<[Self; 2]> {
        find(|number| {
            Ok(match (Self::try_lease(number)?, Self::try_lease(number + 1)?) {
                (Some(first), Some(second)) => Some([first, second]),
                _ => None,
            })
        })
    }

    fn try_lease(number: u16) -> io::Result<Option<Self>> {
        let lock = File::options().create(true).truncate(false).write(true).open(folder()?.join(number.to_string()))?;
        let is_free = is_ours(&lock) && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok();
        Ok(is_free.then_some(Self { number, _lock: lock }))
    }
}

fn find<T>(lease: impl Fn(u16) -> io::Result<Option<T>>) -> io::Result<T> {
    // Runs start at different places, so that they rarely try the same port.
    let start = (std::process::id() as u16).wrapping_mul(131) % (LAST - FIRST);
    for step in 0..LAST - FIRST {
        if let Some(leased) = lease(FIRST + (start + step) % (LAST - FIRST))? {
            return Ok(leased);
        }
    }
    Err(io::Error::other(format!("no free port between {FIRST} and {LAST} on 127.0.0.1")))
}

/// Whether a port can be leased here: one that can.
///
/// # Errors
/// When none is free, or their folder can't be written.
pub fn try_port() -> io::Result<u16> {
    Port::lease().map(|port| port.number)
}

/// Removes the lock files of ports that nobody leases. Answers with how many there were.
///
/// # Errors
/// When their folder can't be read.
pub fn sweep_ports() -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(folder()?)? {
        let path = entry?.path();
        // Removed under its lock: whoever opened it before sees in `is_ours` that it is gone.
        let lock = File::open(&path).ok().filter(is_ours);
        removed += usize::from(lock.is_some() && fs::remove_file(&path).is_ok());
    }
    Ok(removed)
}

/// Takes the lock, if nobody has it and the file has not been removed meanwhile.
fn is_ours(lock: &File) -> bool {
    lock.try_lock().is_ok() && lock.metadata().is_ok_and(|metadata| metadata.nlink() > 0)
}

fn folder() -> io::Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("tlsboot-ports-{}", rustix::process::geteuid().as_raw()));
    match fs::create_dir(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(io::Error::new(error.kind(), format!("{}: {error}", folder.display())))
        }
        _ => Ok(folder),
    }
}

#[cfg(all(test, feature = "docker"))]
mod tests {
    use super::*;

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
