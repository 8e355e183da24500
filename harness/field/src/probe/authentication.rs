//! Which user the API server authenticates a request as.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::Secret as SecretObject;
use kube::api::{Api, DeleteParams};
use tlsboot_core::history::event::{Change, NODE_USER_PREFIX, NODES_GROUP};
use tlsboot_engine::cluster::Credential;
use tlsboot_engine::cluster::client::Credentials;
use tlsboot_engine::cluster::shared::tokens::random_token;
use tlsboot_engine::observe::csr::csr_event;
use tlsboot_engine::pki::{Authority, RequestBuilder, Validity};
use tlsboot_engine::secret::Secret;
use tokio::time::Instant;

use super::Outcome::{self, Fail, Pass, Unsupported};
use super::player::{CERTIFICATE, FORGOTTEN, GIVEN, Player, STRANGER, TOKEN_LIFE, Trouble, code};
use crate::owned::create_token;

impl Player<'_> {
    pub(super) async fn no_credentials(&mut self) -> Result<Outcome, Trouble> {
        let answer = self.get(&Credentials::None).await?;
        Ok(code(&answer, &[401, 403]))
    }

    pub(super) async fn unknown_token(&mut self) -> Result<Outcome, Trouble> {
        let token = random_token(&[], TOKEN_LIFE).value;
        Ok(code(&self.get(&Credentials::Token(token)).await?, &[401]))
    }

    pub(super) async fn malformed_token(&mut self) -> Result<Outcome, Trouble> {
        let token = Secret::new("no-token-at-all".to_owned());
        Ok(code(&self.get(&Credentials::Token(token)).await?, &[401]))
    }

    pub(super) async fn foreign_certificate(&mut self) -> Result<Outcome, Trouble> {
        let soon = Validity::for_next(CERTIFICATE);
        let user = format!("{NODE_USER_PREFIX}{}", self.plan.node());
        let issued = Authority::new("tlsboot-foreign-ca", soon)?.issue_client(&user, &[NODES_GROUP], soon)?;
        let foreign = Credential { certificate: issued.certificate_pem, key: issued.key_pem };
        Ok(code(&self.get(&Credentials::Certificate(foreign)).await?, &[401]))
    }

    pub(super) async fn expired_token(&mut self) -> Result<Outcome, Trouble> {
        if self.plan.given.is_some() {
            return Ok(Unsupported(GIVEN.into()));
        }
        let past = SignedDuration::from_mins(-1);
        let token = create_token(self.connection, &self.plan.run, &self.plan.groups, past);
        let token = token.await?.value;
        Ok(code(&self.get(&Credentials::Token(token)).await?, &[401]))
    }

    pub(super) async fn token_identity(&mut self) -> Result<Outcome, Trouble> {
        let client = self.bootstrapper().await?;
        let id = match (&self.plan.given, &self.token) {
            (Some(given), _) => given.token_id.clone(),
            (None, token) => token.as_ref().map(|token| token.id.clone()),
        };
        let Some(id) = id else {
            return Ok(Unsupported("the bootstrap kubeconfig has no bootstrap token".into()));
        };
        let mut object = self.request(RequestBuilder::node(&self.plan.node()))?;
        object.spec.signer_name = STRANGER.into();
        object.spec.username = Some("system:admin".into());
        let answer = self.create(&client, &object).await?;
        let Some(name) = &answer.object else {
            return Ok(code(&answer, &[201]));
        };
        let api = Api::<CertificateSigningRequest>::all(self.connection.client());
        let made = api.get(name).await.map_err(|error| self.reach(error))?;
        let event = csr_event(&made, Change::Added);
        let wanted: BTreeSet<&str> = self
            .plan
            .groups
            .iter()
            .map(String::as_str)
            .chain(["system:bootstrappers", "system:authenticated"])
            .collect();
        let groups: BTreeSet<&str> = event.groups.iter().map(String::as_str).collect();
        let said = format!("{} with {}", event.username, event.groups.join(", "));
        // Only its creator knows which other groups a given token has.
        let in_groups = match self.plan.given {
            Some(_) => groups.is_superset(&wanted),
            None => groups == wanted,
        };
        let right = in_groups && event.username == format!("system:bootstrap:{id}");
        Ok(if right { Pass(said) } else { Fail(said) })
    }

    pub(super) async fn deleted_token(&mut self) -> Result<Outcome, Trouble> {
        let before = match self.token {
            Some(_) => self.get(&self.credentials()).await?,
            None if self.plan.given.is_some() => return Ok(Unsupported(GIVEN.into())),
            None => return Err(Trouble::Reason("there is no token".into())),
        };
        if before.code == 401 {
            return Err(Trouble::Reason("the token was not accepted before that either".into()));
        }
        let secrets = Api::<SecretObject>::namespaced(self.connection.client(), "kube-system");
        let id = self.token.as_ref().map(|token| token.id.clone()).unwrap_or_default();
        let name = format!("bootstrap-token-{id}");
        let deleted = secrets.delete(&name, &DeleteParams::default()).await;
        deleted.map_err(|error| self.reach(error))?;
        let begin = Instant::now();
        let last = self.until(FORGOTTEN, |answer| answer.code == 401).await?;
        let after = begin.elapsed();
        Ok(match last {
            Ok(_) => Pass(format!("401 after {:.1} s", after.as_secs_f64())),
            Err(answer) => Fail(format!("still {} after {} s", answer.code, after.as_secs())),
        })
    }
}
