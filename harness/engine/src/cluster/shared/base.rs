//! What follows from the keys, tokens and settings of a cluster that tlsboot starts, whatever runs it.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};

use super::client::{Credentials, client, kubeconfig, until_trusted};
use super::settings::{Settings, signing_duration};
use super::tokens::{self, ADMINISTRATOR, MASTERS, OwnTokens};
use super::trust::{Flaw, Trust};
use crate::cluster::{ClusterError, Credential, Endpoint, Proof, TokenValue};
use crate::observe::Sink;
use crate::secret::Secret;
use tlsboot_core::check::rules::Rules;
use tlsboot_core::history::What;
use tlsboot_core::history::event::NODES_GROUP;
use tlsboot_core::scenario::Scenario;
use tlsboot_core::scenario::stimulus::replace_serving_pair::{PairFlaw, ReplaceServingPair};
use tlsboot_core::scenario::stimulus::{Changes, Component};
use tlsboot_core::x509::AltName;

/// The tokens of a scenario and the settings of its control plane, before there is one.
pub(crate) struct Orders {
    pub(crate) tokens: BTreeMap<String, TokenValue>,
    pub(crate) settings: Settings,
    pub(crate) rules: Rules,
    /// tlsboot's own tokens, if the API server gets them.
    pub(crate) own: Option<OwnTokens>,
}

impl Orders {
    pub(crate) fn of(scenario: &Scenario, rules: Rules, sink: &Sink) -> Self {
        let duration = signing_duration(scenario.cluster.signing_duration, rules);
        Self {
            tokens: tokens::values(&scenario.tokens, sink.vault()),
            settings: Settings::new(&scenario.cluster, duration),
            rules,
            own: None,
        }
    }
}

/// What every cluster that tlsboot starts has.
pub struct Base {
    endpoint: Endpoint,
    pub(crate) admin: kube::Client,
    pub(crate) administrator: Credential,
    /// The administrator's credentials.
    credentials: Credentials,
    pub(crate) tokens: BTreeMap<String, TokenValue>,
    pub(crate) sink: Sink,
    rules: Rules,
    settings: Mutex<Settings>,
    trust: Mutex<Trust>,
}

impl Base {
    /// Creates the administrator of a control plane at this URL, and records in the history how its controller-manager
    /// signs. Nothing is requested from it yet.
    pub(crate) async fn new(url: String, trust: Trust, orders: Orders, sink: Sink) -> Result<Self, ClusterError> {
        let endpoint = Endpoint { url, ca: trust.cluster_ca().to_owned(), beta_csrs: orders.rules.beta_csrs() };
        let administrator = trust.client(ADMINISTRATOR, &[MASTERS])?;
        let credentials = match orders.own {
            Some(own) => Credentials::CertificateAndToken(administrator.clone(), own.administrator),
            None => Credentials::Certificate(administrator.clone()),
        };
        let admin = client(&endpoint, &credentials).await?;
        let base = Self {
            endpoint,
            admin,
            administrator,
            credentials,
            tokens: orders.tokens,
            sink,
            rules: orders.rules,
            settings: Mutex::new(orders.settings),
            trust: Mutex::new(trust),
        };
        base.announce_signing().await?;
        Ok(base)
    }

    /// A client of the administrator.
    pub fn admin(&self) -> kube::Client {
        self.admin.clone()
    }

    /// The administrator's kubeconfig, with all credentials in it.
    pub fn admin_kubeconfig(&self) -> Secret<String> {
        kubeconfig(&self.endpoint, &self.credentials)
    }

    /// Where the API server is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// A token of the scenario.
    ///
    /// # Errors
    /// If the scenario has no token of this name.
    pub fn token(&self, name: &str) -> Result<&TokenValue, ClusterError> {
        self.tokens.get(name).ok_or_else(|| ClusterError::Unknown(format!("token `{name}`")))
    }

    /// A client certificate for a node that the API server must refuse.
    ///
    /// # Errors
    /// If it cannot be created.
    pub async fn flawed_certificate(&self, user: &str, flaw: Flaw) -> Result<Credential, ClusterError> {
        self.trust().await.flawed_client(user, &[NODES_GROUP], flaw)
    }

    /// A valid client certificate with a uid in its subject.
    ///
    /// # Errors
    /// If it cannot be created.
    pub async fn certificate_with_uid(&self, user: &str, uid: &str) -> Result<Credential, ClusterError> {
        self.trust().await.client_with_uid(user, uid)
    }

    /// The pair for a node's `tlsCertFile`, signed by the cluster's CA unless it has a flaw.
    ///
    /// # Errors
    /// If it cannot be created.
    pub async fn serving_pair(&self, replace: &ReplaceServingPair) -> Result<Credential, ClusterError> {
        let dns = replace.dns.clone().unwrap_or_else(|| vec![replace.node.to_string()]);
        let names = dns.into_iter().map(AltName::Dns).chain(replace.ips.iter().copied().map(AltName::Ip));
        let names: Vec<AltName> = names.collect();
        let flaw = replace.flaw.map(|flaw| match flaw {
            PairFlaw::Expired => Flaw::Expired,
            PairFlaw::ForeignCa => Flaw::ForeignCa,
        });
        self.trust().await.serving_pair(&replace.node, &names, flaw)
    }

    /// Writes another pair, for this user, with which the API server goes to kubelets.
    ///
    /// # Errors
    /// When it can't be made or written.
    pub async fn replace_kubelet_client(&self, user: &str) -> Result<(), ClusterError> {
        self.trust().await.replace_kubelet_client(user)
    }

    pub(crate) async fn trust(&self) -> MutexGuard<'_, Trust> {
        self.trust.lock().await
    }

    pub(crate) async fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().await
    }

    /// The rules of the versions at hand.
    pub(crate) fn rules(&self) -> Rules {
        self.rules
    }

    /// The settings that a component is started with from now on: the existing ones, with the changes of this start.
    /// For a controller-manager the history records how it will sign; nothing is signed until it runs.
    pub(crate) async fn change(&self, component: Component, changes: &Changes) -> Result<Settings, ClusterError> {
        let settings = {
            let mut settings = self.settings.lock().await;
            settings.apply(component, changes, self.rules);
            settings.clone()
        };
        if component == Component::ControllerManager {
            self.announce_signing().await?;
        }
        Ok(settings)
    }

    /// Creates the Secrets of the scenario's bootstrap tokens.
    pub(crate) async fn create_tokens(&self) -> Result<(), ClusterError> {
        tokens::create(&self.tokens, &self.admin).await
    }

    /// Records in the history how certificates are signed from now on, according to the current flags and files.
    async fn announce_signing(&self) -> Result<(), ClusterError> {
        let settings = self.settings.lock().await;
        let signing = self.trust.lock().await.signing(settings.certificates_last()?, |role| settings.signer(role))?;
        self.sink.emit(What::Signing(signing));
        Ok(())
    }

    /// Gives the signer another CA, which the API server trusts in addition to the earlier ones, and waits until it
    /// does. For clusters with [`Capability::ReplaceCa`](tlsboot_core::scenario::Capability::ReplaceCa).
    ///
    /// # Errors
    /// If the CA cannot be created, or the API server does not load it in time.
    pub async fn replace_ca(&self, valid: Duration) -> Result<Proof, ClusterError> {
        let credential = self.trust.lock().await.replace_signer(valid)?;
        self.announce_signing().await?;
        until_trusted(&self.endpoint, credential).await?;
        Ok(Proof::Trusted)
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::secret::Vault;
    use tlsboot_core::history::Event;
    use tlsboot_core::scenario::SigningDuration;
    use tlsboot_core::version::Version;

    #[tokio::test]
    async fn the_history_knows_how_each_controller_manager_signs() {
        let folder = tempfile::tempdir().unwrap();
        let (sink, mut events) = Sink::create(&folder.path().join("history"), Vault::new()).unwrap();
        let version = Version::new(1, 37, 2);
        let orders =
            Orders::of(&Scenario::of_cluster("s", Default::default(), Vec::new()), Rules::new(version, version), &sink);
        let trust = Trust::create(folder.path().join("pki"), None, sink.vault().clone()).unwrap();
        let mut told = || -> Vec<i64> {
            let signing = |event: Event| match event.what {
                What::Signing(signing) => Some(signing.duration_seconds),
                _ => None,
            };
            std::iter::from_fn(|| events.try_recv().ok()).filter_map(signing).collect()
        };

        let base = Base::new("https://127.0.0.1:1".into(), trust, orders, sink).await.unwrap();
        assert_eq!(told().len(), 1, "the first one");
        let shorter = SigningDuration::Length(SignedDuration::from_mins(10));
        let changes = Changes { signing_duration: Some(shorter), ..Default::default() };
        base.change(Component::ApiServer, &changes).await.unwrap();
        assert_eq!(told(), Vec::<i64>::new(), "an API server signs nothing");
        base.change(Component::ControllerManager, &changes).await.unwrap();
        assert_eq!(told(), [600]);
        let flags = [("cluster-signing-duration".to_owned(), "20m".to_owned())].into_iter().collect();
        let changes = Changes { flags: Some(flags), ..Default::default() };
        base.change(Component::ControllerManager, &changes).await.unwrap();
        assert_eq!(told(), [1200], "a flag comes before a setting");
    }
}
