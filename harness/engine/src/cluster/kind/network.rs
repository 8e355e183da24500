//! The cluster's network, and addresses of this machine on it.

use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Duration;

use crate::cluster::ClusterError;
use crate::cluster::docker::{docker, exec};

/// A bridge with an IPv4 subnet.
pub(super) struct Network {
    name: String,
    interface: String,
    subnet: Subnet,
}

/// `172.18.0.0/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Subnet {
    base: Ipv4Addr,
    prefix: u8,
}

/// A connection over a bridge takes less than a millisecond; if the first SYN was dropped, the second one comes after a
/// second.
const REACH: Duration = Duration::from_secs(5);
/// Docker's own rules let containers in, but other rules come before them.
const FIREWALL: &str = "A firewall on this machine drops packets from containers: allow them, for example with `iptables -I INPUT -i br-+ -j ACCEPT`, or with ufw or firewalld rules for Docker's subnets (172.16.0.0/12 and 192.168.0.0/16)";

impl Network {
    pub(super) async fn inspect(name: &str) -> Result<Self, ClusterError> {
        let format = "{{.Id}}{{range .IPAM.Config}} {{.Subnet}}{{end}}";
        let answer = docker(&["network", "inspect", "--format", format, name]).await?;
        let mut words = answer.split_whitespace();
        let id = words.next().unwrap_or_default();
        let subnet = words.find_map(Subnet::parse).ok_or_else(|| ClusterError::Start {
            name: format!("the network {name}"),
            reason: format!("it has no IPv4 subnet: {answer}"),
        })?;
        Ok(Self {
            name: name.to_owned(),
            // Docker's name for the bridge.
            interface: format!("br-{}", id.get(..12).unwrap_or(id)),
            subnet,
        })
    }

    /// Gives this machine this many addresses on the bridge, one for each node: the audit log tells nodes apart by
    /// them. They are removed with the bridge.
    pub(super) async fn add_addresses(&self, count: usize) -> Result<Vec<Ipv4Addr>, ClusterError> {
        let addresses: Vec<Ipv4Addr> = self.subnet.hosts_downwards().take(count).collect();
        for address in &addresses {
            let address = format!("{address}/32");
            let args = ["address", "add", &address, "dev", &self.interface];
            let failed = |reason: String| ClusterError::Command {
                command: format!("ip {}", args.join(" ")),
                reason: format!(
                    "{reason} (it needs root, iproute2, and Docker on this machine itself, not in a virtual one)"
                ),
            };
            let output = tokio::process::Command::new("ip").args(args).stdin(Stdio::null()).output();
            let output = output.await.map_err(|error| failed(error.to_string()))?;
            if !output.status.success() {
                return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
            }
        }
        Ok(addresses)
    }

    /// Tries whether a container can connect to this machine at an address of the bridge. Nothing is sent.
    pub(super) async fn try_link(&self, container: &str, address: Ipv4Addr) -> Result<(), ClusterError> {
        let listener = tokio::net::TcpListener::bind((address, 0)).await?;
        let port = listener.local_addr()?.port();
        // bash is in every node image.
        let connect = format!("exec 3<>/dev/tcp/{address}/{port}");
        let patience = REACH.as_secs().to_string();
        let command = ["timeout", &patience, "bash", "-c", &connect];
        let reached = exec(container, &command).await;
        reached.map(drop).map_err(|error| ClusterError::Command {
            command: format!("connect from the node {container} to this machine"),
            reason: format!(
                "{address}:{port} on the bridge {} is not reachable within {patience} s ({error}), so it would not be for kubelets. {FIREWALL}",
                self.interface
            ),
        })
    }

    pub(super) async fn address_of(&self, container: &str) -> Result<Ipv4Addr, ClusterError> {
        let format = format!("{{{{(index .NetworkSettings.Networks \"{}\").IPAddress}}}}", self.name);
        let address = docker(&["inspect", "--format", &format, container]).await?;
        Ok(address.parse().map_err(std::io::Error::other)?)
    }
}

impl Subnet {
    fn parse(text: &str) -> Option<Self> {
        let (base, prefix) = text.split_once('/')?;
        let prefix = prefix.parse().ok().filter(|prefix| *prefix <= 30)?;
        Some(Self { base: base.parse().ok()?, prefix })
    }

    /// Its host addresses from the last one down; Docker assigns addresses from the first one up.
    fn hosts_downwards(self) -> impl Iterator<Item = Ipv4Addr> {
        let base = u32::from(self.base);
        let broadcast = base | (u32::MAX >> self.prefix);
        (base + 2..broadcast).rev().map(Ipv4Addr::from)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("172.18.0.0/16", "172.18.255.254")]
    #[case("192.168.16.0/20", "192.168.31.254")]
    #[case("10.0.0.0/29", "10.0.0.6")]
    fn addresses_come_from_the_top(#[case] subnet: &str, #[case] first: Ipv4Addr) {
        let subnet = Subnet::parse(subnet).unwrap();
        assert_eq!(subnet.hosts_downwards().next(), Some(first));
    }

    #[rstest]
    #[case("fd00::/64")]
    #[case("172.18.0.0/31")]
    #[case("172.18.0.0")]
    fn others_are_none(#[case] text: &str) {
        assert_eq!(Subnet::parse(text), None);
    }
}
