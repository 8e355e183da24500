//! `replaceKubeletClient`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Need, Stimulus};
use crate::scenario::Capability;

/// The user of the new certificate in `--kubelet-client-certificate`; its key is replaced as well.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplaceKubeletClient {
    /// The user; another one than before shows in what kubelets answer which certificate is in use. The first one is
    /// `kube-apiserver-kubelet-client`.
    pub user: String,
}

impl Stimulus for ReplaceKubeletClient {
    fn needs(&self) -> Vec<Need> {
        vec![(Capability::ReachKubelets, "replace the certificate with which the API server goes to kubelets")]
    }
}
