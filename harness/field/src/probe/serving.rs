//! The node's serving certificate. Kubernetes itself approves none (catalogue P-06): whether the cluster has another
//! approver that does is shown by what it approved for its own nodes.

use std::time::Duration;

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams, ResourceExt};
use tlsboot_core::check::Role;
use tlsboot_core::history::event::{Change, CsrEvent};
use tlsboot_core::x509::AltName;
use tlsboot_engine::cluster::client::Credentials;
use tlsboot_engine::observe::csr::csr_event;
use tlsboot_engine::pki::RequestBuilder;
use tlsboot_engine::report::count;
use tokio::time::Instant;

use super::Outcome::{self, Fail, Pass, Unsupported};
use super::player::{CERTIFICATE, Player, Trouble};
use crate::bootstrap::{NoCertificate, certificate};
use crate::doctor::diagnose::{Obstacle, obstacle};
use crate::doctor::reach::reach;

/// How long an approver is waited for of which nothing is known.
const UNKNOWN: Duration = Duration::from_secs(10);

impl Player<'_> {
    pub(super) async fn serving_certificate(&mut self) -> Result<Outcome, Trouble> {
        let approver = self.serving_approver().await?;
        let client = self.client(&Credentials::Certificate(self.first()?.0.clone()))?;
        let request = RequestBuilder::node(&self.plan.node()).alt_names([AltName::Dns(self.plan.node())]);
        let (within, begin) = (if approver.is_some() { CERTIFICATE } else { UNKNOWN }, Instant::now());
        let got = certificate(&client, Role::Serving, request, self.rules, &self.plan.run, within).await;
        Ok(match (got, approver) {
            (Ok((_, event)), _) => Pass(format!("{} within {} ms", event.name, begin.elapsed().as_millis())),
            (Err(NoCertificate::Api(error)), _) => return Err(self.reach(error)),
            // One that looks for a Node object, or into the DNS, is right to deny it.
            (Err(error @ NoCertificate::Denied { .. }), _) => {
                Unsupported(format!("{error}: an approver decides, and approves none for a node that is not there"))
            }
            (Err(error @ NoCertificate::Waits { .. }), Some(reason)) => Fail(format!(
                "{error}, and others were approved here ({reason}): the approver does not run, or waits for a Node object"
            )),
            (Err(error @ NoCertificate::Waits { state: "pending", .. }), None) => Unsupported(format!(
                "{error}, and none of another node was ever approved here: Kubernetes itself approves no serving CSR"
            )),
            (Err(error), _) => Fail(error.to_string()),
        })
    }

    /// Also in a cluster where nothing may be created: what `kubectl logs` needs.
    pub(super) async fn reached(&mut self) -> Result<Outcome, Trouble> {
        let nodes = match Api::<Node>::all(self.connection.client()).list(&ListParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 403 => return Ok(Unsupported(status.message.clone())),
            nodes => nodes.map_err(|error| self.reach(error))?,
        };
        let names: Vec<String> = nodes.items.iter().map(ResourceExt::name_any).collect();
        let reached = match reach(self.connection, &names).await {
            Ok(Some(reached)) => reached,
            Ok(None) => return Ok(Unsupported("it takes the right to get nodes/proxy".into())),
            Err(error) => return Err(Trouble::Unreachable(error)),
        };
        let refused = reached.iter().filter_map(|(name, answer)| {
            obstacle(answer).map(|obstacle| (format!("{name}: {} {}", answer.code, answer.message), obstacle))
        });
        let (network, others): (Vec<_>, Vec<_>) =
            refused.partition(|(_, obstacle)| matches!(obstacle, Obstacle::Network | Obstacle::Other));
        let say = |refused: &[(String, Obstacle)]| {
            let lines: Vec<&str> = refused.iter().take(3).map(|(says, _)| says.as_str()).collect();
            format!("{} of {} not reached: {}", refused.len(), count(names.len(), "node"), lines.join("; "))
        };
        Ok(match (others.as_slice(), network.as_slice()) {
            ([], []) if names.is_empty() => Unsupported("there are no nodes".into()),
            ([], []) => Pass(count(names.len(), "node")),
            // A node that is off is not a matter of certificates.
            ([], network) => Unsupported(say(network)),
            (others, _) => Fail(say(others)),
        })
    }

    /// The reason with which a serving CSR was approved here, if one was.
    async fn serving_approver(&self) -> Result<Option<String>, Trouble> {
        let serving = format!("spec.signerName={}", Role::Serving.signer_name());
        let api = Api::<CertificateSigningRequest>::all(self.connection.client());
        let list = api.list(&ListParams::default().fields(&serving).limit(500)).await;
        let list = match list {
            Err(kube::Error::Api(status)) if status.code == 403 => return Ok(None),
            list => list.map_err(|error| self.reach(error))?,
        };
        let events = list.items.iter().map(|csr| csr_event(csr, Change::Added));
        Ok(events.filter_map(|event| approved_because(&event)).next())
    }
}

fn approved_because(event: &CsrEvent) -> Option<String> {
    let approved = event.conditions.iter().find(|condition| condition.kind == "Approved");
    approved.map(|condition| condition.reason.clone())
}
