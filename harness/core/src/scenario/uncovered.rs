//! Behaviors that no scenario shows, each with the reason. A behavior that is covered, or is not in the catalogue, must
//! not be listed here: remove its line when you write its scenario.

/// A behavior without a scenario.
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
    "N-06" "happens by chance: on 1.32.2 serving.only-with-server-tls-bootstrap failed because of it once, and no scenario can provoke it every time"
    "D-03" "needs kubeadm init, of which only the finished node is seen"
    "D-04" "needs kubeadm with several control-plane nodes"
    "D-05" "the clusters of the provider kind get a token and nodes of tlsboot's own"
    "D-06" "needs a real k3s, whose agents create no CSRs; `tlsboot distribution` checks it"
    "D-07" "needs a real k3s; the provider k3s has only been tested on a stand-in"
    "D-08" "needs a real k3s; the provider k3s has only been tested on a stand-in"
};
