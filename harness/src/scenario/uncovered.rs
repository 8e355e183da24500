//! Behaviours that no scenario shows, each with the reason. A behaviour that is covered, or is not in the catalogue, must
//! not stand here: whoever writes its scenario takes its line away.

/// A behaviour without a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uncovered {
    /// Its id in the catalogue.
    pub id: &'static str,
    /// Why no scenario shows it.
    pub reason: &'static str,
}

macro_rules! uncovered {
    ($($id:literal $reason:literal)*) => {
        &[$(Uncovered { id: $id, reason: $reason }),*]
    };
}

/// All of them, in the catalogue's order.
pub const UNCOVERED: &[Uncovered] = uncovered! {
    "A-13" "no scenario yet: no stimulus sends a certificate and a token in one request"
    "A-14" "no scenario yet: a cluster can't be given an AuthenticationConfiguration"
    "R-07" "no scenario yet: nothing reads the rights of a built-in role"
    "C-14" "no scenario yet: no stimulus updates a CSR through its main resource"
    "C-16" "no scenario yet: no stimulus writes status.certificate"
    "C-17" "no scenario yet: the history does not hold the times of conditions"
    "C-19" "takes an hour at least: the controller has no flag for its pauses"
    "C-20" "no recorder looks at Events, so that there are none would be green by accident"
    "C-21" "no recorder looks at the API server's metrics"
    "P-07" "it is about flags of a binary: no cluster is needed to see that one is gone"
    "S-02" "no scenario yet: the flags for the signers' CAs can't be varied"
    "K-08" "no scenario yet: a kubelet without rotation and with a refused token"
    "K-12" "no scenario yet: it takes five minutes, so it belongs to the profile slow"
    "K-13" "no scenario yet: it takes five minutes, so it belongs to the profile slow"
    "K-20" "no scenario yet: no stimulus writes a kubeconfig with an embedded certificate"
    "K-21" "each kubelet gets a certificate directory of its own, so the default is never used"
    "K-23" "no scenario yet: a role that lacks list and watch"
    "T-07" "no scenario yet: it takes the time of a whole certificate with the API server away"
    "T-12" "needs a cloud provider or a second address that comes and goes: a kubelet's addresses are fixed at its start"
    "T-17" "true up to 1.23 only, and no control plane of 1.23 or older is run"
    "N-01" "no scenario yet: a kubelet can't be given tlsCertFile and tlsPrivateKeyFile"
    "N-02" "needs a node with names but without any IP address, which only a cloud provider makes"
    "N-04" "no scenario yet: it is about reading Nodes and pods, not about certificates"
    "N-05" "no scenario names it; what it says is shown as C-07 and T-14"
    "N-06" "a fault of single patch releases, of which none that has it is run"
    "N-07" "no scenario yet: no stimulus makes a certificate with that attribute"
    "N-08" "no scenario yet: log texts are nobody's promise"
    "N-09" "no recorder sees fsync, and no scenario yet changes the addresses of a Node"
    "N-10" "another resource with its own signers: nothing of it concerns a kubelet"
    "N-11" "needs a machine with cgroup v1; where there is none a kubelet can't be seen to refuse it"
    "N-12" "no recorder looks at the CA names that a kubelet offers"
    "N-13" "an interface of a Go library: no cluster shows it"
    "N-14" "no release that tlsboot knows does it"
    "N-15" "a summary of what other behaviours say one by one"
    "D-01" "needs kubeadm: local clusters make the same bindings themselves"
    "D-03" "needs kubeadm init, of which only a finished node is seen"
    "D-04" "needs kubeadm with several control-plane nodes"
    "D-05" "no scenario yet: it needs Docker and the provider kind"
    "D-06" "needs k3s, whose agents make no CSRs"
    "D-07" "needs k3s, whose control plane no provider starts"
    "D-08" "needs k3s, whose control plane no provider starts"
};
