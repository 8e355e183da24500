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
    "D-06" "it is about k3s' own agents, which `tlsboot distribution` checks; a scenario does not name a distribution"
    "D-07" "a scenario does not name a distribution; all of them show it with `--provider k3s`, core on the real v1.21.2+k3s1"
    "D-08" "a scenario does not name a distribution; `tlsboot distribution` checks the CAs, and scenarios show it with `--provider k3s`"
};
