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
    "N-06" "a fault that comes by chance: on 1.32.2 serving.only-with-server-tls-bootstrap was red by it once, and no scenario brings it about each time"
    "D-03" "needs kubeadm init, of which only a finished node is seen"
    "D-04" "needs kubeadm with several control-plane nodes"
    "D-05" "kind's clusters get a token and nodes of tlsboot's own here"
    "D-06" "needs k3s, whose agents make no CSRs"
    "D-07" "needs k3s, whose control plane no provider starts"
    "D-08" "needs k3s, whose control plane no provider starts"
};
