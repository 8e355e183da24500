//! The kernel's limit on inotify instances, 128 per user by default. A kubelet that gets none exits with `inotify_init:
//! too many open files`, which would look like a failure of the kubelet.

use std::fs;
use std::os::unix::fs::MetadataExt;

/// What one node needs: a kubelet 1.37 has 7 open, and the recorder of its files one.
pub const PER_NODE: usize = 8;
/// The sysctl.
pub const SETTING: &str = "fs.inotify.max_user_instances";
const LIMIT: &str = "/proc/sys/fs/inotify/max_user_instances";

/// How many instances this user may have, and has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instances {
    /// The limit.
    pub limit: usize,
    /// Those in use by processes that this user can inspect.
    pub used: usize,
}

impl Instances {
    /// The current numbers; `None` if /proc does not show them.
    pub fn now() -> Option<Self> {
        let limit = fs::read_to_string(LIMIT).ok()?.trim().parse().ok()?;
        let me = rustix::process::geteuid().as_raw();
        let processes = fs::read_dir("/proc").ok()?.flatten();
        let used = processes
            .filter(|process| process.metadata().is_ok_and(|of| of.uid() == me))
            .filter_map(|process| fs::read_dir(process.path().join("fd")).ok())
            .flat_map(|descriptors| descriptors.flatten())
            .filter(|descriptor| {
                fs::read_link(descriptor.path()).is_ok_and(|to| to.as_os_str() == "anon_inode:inotify")
            })
            .count();
        Some(Self { limit, used })
    }

    /// For how many more nodes there is room.
    pub fn nodes(self) -> usize {
        self.limit.saturating_sub(self.used) / PER_NODE
    }

    /// The command that makes room for this many nodes.
    pub fn remedy(self, nodes: usize) -> String {
        let wanted = (self.used + nodes * PER_NODE).next_power_of_two().max(1024);
        format!("sudo sysctl {SETTING}={wanted}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_instance_is_counted() {
        let _open = inotify::Inotify::init().unwrap();
        let now = Instances::now().unwrap();
        assert!(now.used >= 1 && now.limit >= now.used, "{now:?}");
    }

    #[test]
    fn nodes_are_what_is_left() {
        let instances = Instances { limit: 128, used: 100 };
        assert_eq!(instances.nodes(), 3);
        assert_eq!(instances.remedy(4), format!("sudo sysctl {SETTING}=1024"));
        assert_eq!(Instances { limit: 10, used: 20 }.nodes(), 0);
    }
}
