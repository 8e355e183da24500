//! Mutants of the connections from the API server to the kubelets' ports, and of who may use these ports.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::interval;

use super::beside::BEHIND;
use super::flags::{apiserver, config_of, configure, edit_config, kubelet};
use super::mutant::{Mutant, mutant};
use crate::cluster::ClusterError;
use crate::cluster::processes::{Defect, Launch};
use crate::cluster::shared::file::write_private;
use crate::poll::OFTEN;

pub(super) fn mutants() -> Vec<Mutant> {
    vec![
        mutant(
            "reach.foreign-kubelet-authority",
            "The API server verifies kubelets with a CA that signed none of their certificates",
            &["reach.approved-and-rotated-in-use", "reach.wrong-client-certificates"],
            apiserver(|launch| {
                launch.flags.set("kubelet-certificate-authority", launch.pki.join("foreign-ca.crt"));
                Ok(())
            }),
        ),
        mutant(
            "reach.verifies-no-kubelet",
            "The API server accepts any kubelet certificate",
            &[
                "reach.wrong-certificates",
                "reach.self-signed",
                "reach.authority-replaced",
                "reach.another-node-at-the-address",
            ],
            apiserver(|launch| {
                launch.flags.remove("kubelet-certificate-authority");
                Ok(())
            }),
        ),
        mutant(
            "reach.other-address-type",
            "The API server connects to kubelets by name, whatever address types it should prefer",
            &["reach.by-name-and-by-address", "reach.another-node-at-the-address", "reach.ipv6-address"],
            apiserver(|launch| {
                launch.flags.set("kubelet-preferred-address-types", "Hostname");
                Ok(())
            }),
        ),
        mutant(
            "reach.past-the-network",
            "The API server connects to the nodes' addresses directly, where nothing listens",
            &["reach.link-cut"],
            apiserver(|launch| {
                launch.flags.remove("egress-selector-config-file");
                Ok(())
            }),
        ),
        mutant(
            "reach.keeps-client-certificate",
            "The API server keeps using its first kubelet client certificate",
            &["reach.client-certificate-replaced"],
            apiserver(keeps_client_certificate),
        ),
        mutant(
            "reach.foreign-client-authority",
            "The kubelet accepts client certificates of a CA that signed none",
            &["reach.approved-and-rotated-in-use", "reach.without-webhooks"],
            kubelet(|launch| {
                let foreign = json!(launch.pki.join("foreign-ca.crt"));
                setting(launch, "/authentication/x509/clientCAFile", foreign)
            }),
        ),
        mutant(
            "reach.authorizes-everyone",
            "The kubelet allows every authenticated user everything",
            &["reach.webhook-authorization", "reach.finer-authorization", "reach.tokens"],
            kubelet(|launch| configure(launch, "authorization", json!({"mode": "AlwaysAllow"}))),
        ),
        mutant(
            "reach.lets-anyone-in",
            "The kubelet accepts requests without credentials",
            &["reach.without-webhooks", "reach.wrong-client-certificates"],
            kubelet(|launch| setting(launch, "/authentication/anonymous/enabled", json!(true))),
        ),
        mutant(
            "reach.knows-no-tokens",
            "The kubelet does not have bearer tokens reviewed",
            &["reach.tokens", "reach.api-server-away"],
            kubelet(|launch| setting(launch, "/authentication/webhook/enabled", json!(false))),
        ),
        mutant(
            "reach.remembers-nothing",
            "The kubelet does not cache the API server's decisions",
            &["reach.api-server-away"],
            kubelet(|launch| {
                setting(launch, "/authentication/webhook/cacheTTL", json!("1ms"))?;
                setting(launch, "/authorization/webhook", json!({"cacheAuthorizedTTL": "1ms"}))
            }),
        ),
        mutant(
            "reach.resets-at-rotation",
            "All connections to the kubelet's port are reset when its serving certificate is renewed",
            &["reach.two-rotations-in-use"],
            ResetsAtRotation,
        ),
    ]
}

/// Changes one setting of a KubeletConfiguration, by its JSON pointer.
fn setting(launch: &mut Launch<'_>, pointer: &str, value: Value) -> Result<(), ClusterError> {
    let (parent, name) = pointer.rsplit_once('/').unwrap_or_default();
    edit_config(launch, |file, _| {
        if let Some(parent) = file.pointer_mut(parent) {
            parent[name] = value;
        }
        Ok(())
    })
}

fn keeps_client_certificate(launch: &mut Launch<'_>) -> Result<(), ClusterError> {
    for (flag, file) in
        [("kubelet-client-certificate", "kubelet-client.crt"), ("kubelet-client-key", "kubelet-client.key")]
    {
        let (right, kept) = (launch.pki.join(file), launch.pki.join(format!("mutant-{file}")));
        if !kept.exists() {
            write_private(&kept, &fs::read_to_string(&right).map_err(ClusterError::file(&right))?)?;
        }
        launch.flags.set(flag, kept);
    }
    Ok(())
}

/// A proxy on the kubelet's port, which resets all connections when the serving certificate is renewed.
struct ResetsAtRotation;

impl Defect for ResetsAtRotation {
    fn launch(&self, launch: &mut Launch<'_>) -> Result<(), ClusterError> {
        let Some(config) = config_of(launch) else {
            return Ok(());
        };
        let (address, port) = (config.address, config.address.port());
        let link = config.dir.cert_dir().join("kubelet-server-current.pem");
        configure(launch, "address", json!(BEHIND))?;
        let behind = SocketAddr::new(BEHIND.parse().map_err(std::io::Error::other)?, port);
        launch.beside.push(Box::pin(async move {
            if let Err(error) = pass_on(address, behind, link).await {
                tracing::warn!(%error, "a defect ended early");
            }
        }));
        Ok(())
    }
}

async fn pass_on(address: SocketAddr, behind: SocketAddr, link: PathBuf) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let mut connections = JoinSet::new();
    let mut looks = interval(OFTEN);
    let mut known = None;
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (mut client, _) = accepted?;
                connections.spawn(async move {
                    if let Ok(mut kubelet) = TcpStream::connect(behind).await {
                        // Dropping it resets the connection.
                        let _ = client.set_zero_linger();
                        let _ = copy_bidirectional(&mut client, &mut kubelet).await;
                    }
                });
            }
            _ = looks.tick() => {
                let now = fs::read_link(&link).ok();
                if known.is_some() && now.is_some() && now != known {
                    connections.abort_all();
                }
                known = now.or(known);
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}
