//! What a kubelet presents on its port (catalogue K-18, T-10, T-11).

use schemars::JsonSchema;
use serde::Deserialize;

use super::compare::{Compare, NONE, list};
use super::{LooksAt, Match, Matcher, Moment, OfEvents, Role};
use crate::history::What;
use crate::history::event::Recorder;
use crate::history::facts::CertificateFacts;
use crate::scenario::stimulus::Need;
use crate::scenario::{Capability, NodeName};

/// What a TLS client sees.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PresentedIs {
    /// The node.
    pub node: NodeName,
    /// What it presents.
    pub shows: Shows,
}

/// What is presented.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Shows {
    /// The serving certificate with this number among the issued ones, starting at 1.
    Certificate(usize),
    /// The certificate that is in this file of the certificate directory now.
    File(String),
    /// The certificate in `kubelet.crt`, which the kubelet signed itself.
    SelfSigned,
    /// Clients are asked for a certificate of the CA with this CN, possibly among others (catalogue N-12).
    #[serde(rename = "clientCA")]
    ClientCa(String),
    /// The handshake is refused with a TLS alert: there is no certificate.
    TlsAlert,
}

impl PresentedIs {
    fn is_in_file(
        &self,
        compare: &mut Compare,
        name: &str,
        leaf: Option<&CertificateFacts>,
        found: &str,
        moment: &Moment<'_>,
    ) {
        let file = moment.state.file(&self.node, name);
        let own = file.and_then(|facts| facts.pem.first()?.certificate.as_ref());
        let same = own.is_some() && leaf == own;
        compare.holds("certificate", same, format!("the one in {name}"), found);
    }
}

impl Matcher for PresentedIs {
    fn recorders(&self) -> &'static [Recorder] {
        &[Recorder::Presented]
    }

    fn can_stay(&self) -> bool {
        true
    }

    fn looks_at(&self) -> LooksAt<'_> {
        LooksAt::Events(self)
    }

    fn needs(&self) -> Vec<Need> {
        let with_client_ca = matches!(self.shows, Shows::ClientCa(_));
        let set_up = (Capability::SetUpKubelets, "give kubelets the signer's CA as clientCAFile");
        with_client_ca.then_some(set_up).into_iter().collect()
    }

    fn nodes(&self) -> Vec<&str> {
        vec![&self.node]
    }
}

impl OfEvents for PresentedIs {
    fn judge(&self, moment: &Moment<'_>) -> Match {
        let What::Presented(presented) = &moment.event.what else { return Match::Other };
        if presented.node != self.node {
            return Match::Other;
        }
        let leaf = presented.chain.first();
        let found = leaf.map(|leaf| leaf.sha256.as_str()).or(presented.refused.as_deref()).unwrap_or(NONE);
        let mut compare = Compare::default();
        match &self.shows {
            Shows::Certificate(number) => {
                let issued = moment.state.issued(&self.node, Role::Serving);
                let expected = issued.get(number.wrapping_sub(1)).map(|(_, certificate)| certificate.sha256.as_str());
                let same = expected.is_some() && leaf.map(|leaf| leaf.sha256.as_str()) == expected;
                compare.holds("certificate", same, format!("serving certificate {number}"), found);
            }
            Shows::File(name) => self.is_in_file(&mut compare, name, leaf, found, moment),
            Shows::SelfSigned => self.is_in_file(&mut compare, "kubelet.crt", leaf, found, moment),
            Shows::ClientCa(name) => {
                let asked = presented.client_cas.contains(name);
                compare.holds("clientCAs", asked, name, list(&presented.client_cas));
            }
            Shows::TlsAlert => {
                let alert = presented.refused.as_deref().is_some_and(|refused| refused.contains("alert"));
                compare.holds("handshake", alert, "refused with a TLS alert", found);
            }
        }
        compare.or_near()
    }
}
