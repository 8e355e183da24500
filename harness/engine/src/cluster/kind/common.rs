//! What the parts of a cluster have in common.

use std::path::Path;
use std::sync::Arc;

use crate::cluster::shared::base::Base;
use tlsboot_core::version::Version;

/// What the parts of a cluster have in common.
pub(super) struct Common<'a> {
    pub(super) version: Version,
    pub(super) logs: &'a Path,
    /// The name of the control plane's container.
    pub(super) control_plane: &'a str,
    pub(super) base: &'a Arc<Base>,
}
