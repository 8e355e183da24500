//! Kubelets as processes on this machine: the nodes of [`local`](super::local) and of [`k3s`](super::k3s).

mod cgroup;
mod defect;
pub mod inotify;
mod node;
mod ports;
mod supervised;

pub(crate) use cgroup::has_cgroup_v1;
pub(crate) use defect::begin;
pub use defect::{Defect, Launch, Part};
pub(crate) use node::{Kubelets, Sandbox};
pub(crate) use ports::Port;
pub use ports::{sweep_ports, try_port};
pub(crate) use supervised::{Plan, Supervised};
