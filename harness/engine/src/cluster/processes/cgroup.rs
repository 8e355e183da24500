//! Which cgroups this machine has: from 1.35 on a kubelet refuses to start on version 1 unless it is told otherwise.

/// As the kubelet looks: whether the unified hierarchy is mounted at its place.
pub(crate) fn has_cgroup_v1() -> bool {
    const CGROUP2_SUPER_MAGIC: i64 = 0x6367_7270;
    rustix::fs::statfs("/sys/fs/cgroup").is_ok_and(|found| found.f_type != CGROUP2_SUPER_MAGIC)
}
