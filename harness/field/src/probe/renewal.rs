//! The lifecycle of a node's client certificate: the first one, its use, its renewal, and a denial.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::{Api, Patch, PatchParams};
use tlsboot_core::history::event::{CsrEvent, NODE_USER_PREFIX};
use tlsboot_engine::cluster::client::Credentials;
use tlsboot_engine::pki::RequestBuilder;
use tokio::time::Instant;

use super::Outcome::{self, Fail, Pass, Unsupported};
use super::player::{CERTIFICATE, Player, STRANGER, Trouble, code};
use crate::bootstrap::{NoCertificate, client_certificate, issued};

impl Player<'_> {
    pub(super) async fn first_certificate(&mut self) -> Result<Outcome, Trouble> {
        let client = self.bootstrapper().await?;
        let (node, begin) = (self.plan.node(), Instant::now());
        let got = client_certificate(&client, &node, self.rules, &self.plan.run, CERTIFICATE).await;
        Ok(match got {
            Ok(first) => {
                let said = approval(&first.1, begin.elapsed());
                self.first = Some(first);
                Pass(said)
            }
            Err(error) => self.without(error)?,
        })
    }

    pub(super) async fn certificate_works(&mut self) -> Result<Outcome, Trouble> {
        let credential = self.first()?.0.clone();
        let answer = self.get(&Credentials::Certificate(credential)).await?;
        Ok(code(&answer, &[200]))
    }

    pub(super) async fn renewal(&mut self) -> Result<Outcome, Trouble> {
        let (credential, first) = self.first()?;
        let client = self.client(&Credentials::Certificate(credential.clone()))?;
        let (node, begin) = (self.plan.node(), Instant::now());
        let got = client_certificate(&client, &node, self.rules, &self.plan.run, CERTIFICATE).await;
        let renewed = match got {
            Ok((_, renewed)) => renewed,
            Err(error) => return self.without(error),
        };
        let mut wrong = Vec::new();
        if renewed.username != format!("{NODE_USER_PREFIX}{node}") {
            wrong.push(format!("it was requested by {}", renewed.username));
        }
        if renewed.request.key == first.request.key {
            wrong.push("it has the old key".to_owned());
        }
        let old = first.certificates.first().map(|leaf| format!("X509SHA256={}", leaf.sha256));
        if self.rules.credential_ids() && renewed.credential_id() != old.as_deref() {
            wrong.push(format!("the API server saw the credential {:?}", renewed.credential_id()));
        }
        Ok(match wrong.as_slice() {
            [] => Pass(approval(&renewed, begin.elapsed())),
            wrong => Fail(wrong.join("; ")),
        })
    }

    pub(super) async fn denied(&mut self) -> Result<Outcome, Trouble> {
        let client = self.bootstrapper().await?;
        let mut object = self.request(RequestBuilder::node(&self.plan.node()))?;
        object.spec.signer_name = STRANGER.into();
        let answer = self.create(&client, &object).await?;
        let Some(name) = &answer.object else {
            return Ok(code(&answer, &[201]));
        };
        let condition = serde_json::json!({
            "type": "Denied", "status": "True", "reason": "TlsbootProbe", "message": "tlsboot plays a node whose CSR is denied",
        });
        let patch = serde_json::json!({"status": {"conditions": [condition]}});
        let api = Api::<CertificateSigningRequest>::all(self.connection.client());
        let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
        let deny = api.patch_approval(name, &params, &patch);
        let (denied, waited) = tokio::join!(deny, issued(&client, name, CERTIFICATE));
        match denied {
            Err(kube::Error::Api(status)) if status.code == 403 => {
                return Ok(Unsupported(format!("it needs the right to deny: {}", status.message)));
            }
            Err(error) => return Err(self.reach(error)),
            Ok(_) => {}
        }
        Ok(match waited {
            Err(NoCertificate::Denied { reason, .. }) if reason == "TlsbootProbe" => Pass("the watch showed it".into()),
            Err(error) => self.without(error)?,
            Ok(_) => Fail("it was denied, but has a certificate".into()),
        })
    }
}

fn approval(event: &CsrEvent, took: Duration) -> String {
    let conditions: BTreeMap<&str, &str> =
        event.conditions.iter().map(|condition| (condition.kind.as_str(), condition.message.as_str())).collect();
    let message = conditions.get("Approved").copied().unwrap_or_default();
    format!("{} within {} ms: {message}", event.name, took.as_millis())
}
