//! What the nodes of a cluster have in common.

use std::path::Path;

use crate::cluster::Credential;
use crate::observe::Sink;
use tlsboot_core::version::Version;

/// What all nodes of a cluster have in common.
pub(super) struct Common<'a> {
    pub(super) version: Version,
    pub(super) logs: &'a Path,
    pub(super) ca: &'a str,
    pub(super) administrator: &'a Credential,
    pub(super) admin: &'a kube::Client,
    /// The name of its container.
    pub(super) control_plane: &'a str,
    pub(super) sink: &'a Sink,
}
