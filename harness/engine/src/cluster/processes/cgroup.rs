//! Which cgroup version this machine has: since 1.35 a kubelet refuses to start on version 1 unless it is configured to
//! accept it.

/// The kubelet's own check: whether the unified hierarchy is mounted at its usual path.
pub(crate) fn has_cgroup_v1() -> bool {
    const CGROUP2_SUPER_MAGIC: i64 = 0x6367_7270;
    rustix::fs::statfs("/sys/fs/cgroup").is_ok_and(|found| found.f_type != CGROUP2_SUPER_MAGIC)
}
