//! What a node may do, and what it may not.

use std::collections::BTreeSet;

use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::api::Api;
use tlsboot_core::history::event::{Answer, NODE_USER_PREFIX, NODES_GROUP};
use tlsboot_core::history::facts::Name;
use tlsboot_core::x509::node_subject;
use tlsboot_engine::pki::RequestBuilder;

use super::Outcome::{self, Fail, Pass, Unsupported};
use super::player::{Player, Trouble, code};
use crate::doctor::rights::Ability;
use tlsboot_core::scenario::BootstrapRole;

impl Player<'_> {
    pub(super) async fn built_in_roles(&mut self) -> Result<Outcome, Trouble> {
        let wanted = [
            (BootstrapRole::NodeBootstrapper, vec![Ability::Ask, Ability::Watch]),
            (BootstrapRole::NodeClient, vec![Ability::NodeClient]),
            (BootstrapRole::SelfNodeClient, vec![Ability::SelfNodeClient]),
        ];
        let api = Api::<ClusterRole>::all(self.connection.client());
        let mut wrong = Vec::new();
        for (role, abilities) in wanted {
            let name = role.cluster_role();
            let abilities = BTreeSet::from_iter(abilities);
            match api.get_opt(name).await {
                Ok(Some(role)) => {
                    let has = Ability::of_rules(role.rules.as_deref().unwrap_or_default());
                    if has != abilities {
                        let has: Vec<&str> = has.iter().map(|ability| ability.words()).collect();
                        wrong.push(format!("{name} allows to {}", has.join(", ")));
                    }
                }
                Ok(None) => wrong.push(format!("{name} does not exist")),
                Err(kube::Error::Api(status)) if status.code == 403 => {
                    return Ok(Unsupported(status.message.clone()));
                }
                Err(error) => return Err(self.reach(error)),
            }
        }
        Ok(match wrong.as_slice() {
            [] => Pass("all three".into()),
            wrong => Fail(wrong.join("; ")),
        })
    }

    pub(super) async fn system_masters(&mut self) -> Result<Outcome, Trouble> {
        let subject = Name { organizations: vec!["system:masters".into()], ..node_subject(&self.plan.node()) };
        let mut object = self.request(RequestBuilder::new(subject))?;
        object.spec.signer_name = "kubernetes.io/kube-apiserver-client".into();
        let client = self.connection.client();
        if let Some(reason) = self.refuses_good_ones(&client).await? {
            return Ok(reason);
        }
        Ok(code(&self.dry(&client, &object).await?, &[403]))
    }

    pub(super) async fn node_authorizer(&mut self) -> Result<Outcome, Trouble> {
        let answer = self.as_node(&self.plan.node()).await?;
        Ok(code(&answer, &[201]))
    }

    pub(super) async fn node_restriction(&mut self) -> Result<Outcome, Trouble> {
        if self.plan.version.minor < 31 {
            return Ok(Unsupported("NodeRestriction checks the names in CSRs since 1.31".into()));
        }
        let own = self.as_node(&self.plan.node()).await?;
        if own.code != 201 {
            return Ok(Unsupported(format!("a node's own CSR is also refused: {}", own.message)));
        }
        Ok(code(&self.as_node("tlsboot-another-node").await?, &[403]))
    }

    /// Requests a certificate for any node in the name of the node, as a dry run.
    async fn as_node(&self, asked: &str) -> Result<Answer, Trouble> {
        let user = format!("{NODE_USER_PREFIX}{}", self.plan.node());
        let groups = [NODES_GROUP, "system:authenticated"];
        let client = self.connection.impersonating(&user, &groups);
        let client = client.map_err(|error| self.reach(error))?;
        let answer = self.dry(&client, &self.request(RequestBuilder::node(asked))?).await?;
        if answer.code == 403 && answer.message.contains("impersonate") {
            return Err(Trouble::Reason(format!("it needs the right to impersonate: {}", answer.message)));
        }
        Ok(answer)
    }
}
