//! What is signed, and what cannot be requested.

use jiff::SignedDuration;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use tlsboot_core::history::event::CsrEvent;
use tlsboot_core::history::facts::CertificateFacts;
use tlsboot_core::time::Shift;
use tlsboot_core::x509::node_subject;
use tlsboot_engine::pki::RequestBuilder;

use super::Outcome::{self, Fail, Pass, Unsupported};
use super::player::{CERTIFICATE, Player, Trouble, code};
use crate::bootstrap::issued;

/// Why a duration is not requested.
const DURATIONS: &str = "expirationSeconds exists since 1.22";

impl Player<'_> {
    pub(super) async fn validation(&mut self) -> Result<Outcome, Trouble> {
        let client = self.connection.client();
        let good = self.request(RequestBuilder::node(&self.plan.node()))?;
        if let Some(reason) = self.refuses_good_ones(&client).await? {
            return Ok(reason);
        }
        let with = |change: fn(&mut CertificateSigningRequest)| {
            let mut object = good.clone();
            change(&mut object);
            object
        };
        let odd = [
            ("no usages", with(|csr| csr.spec.usages = None)),
            ("an unknown usage", with(|csr| csr.spec.usages = Some(vec!["none".into()]))),
            ("not PEM", with(|csr| csr.spec.request.0 = b"garbage".to_vec())),
            ("a malformed signer", with(|csr| csr.spec.signer_name = "kubelet".into())),
        ];
        let mut wrong = Vec::new();
        for (what, object) in odd {
            let answer = self.dry(&client, &object).await?;
            if answer.code != 422 {
                wrong.push(format!("{what}: {}", answer.code));
            }
        }
        Ok(match wrong.as_slice() {
            [] => Pass("422 for each, and a good one would be accepted".into()),
            wrong => Fail(wrong.join("; ")),
        })
    }

    pub(super) async fn shortest_duration(&mut self) -> Result<Outcome, Trouble> {
        if self.plan.version.minor < 22 {
            return Ok(Unsupported(DURATIONS.into()));
        }
        let client = self.connection.client();
        if let Some(reason) = self.refuses_good_ones(&client).await? {
            return Ok(reason);
        }
        let mut object = self.request(RequestBuilder::node(&self.plan.node()))?;
        object.spec.expiration_seconds = Some(599);
        Ok(code(&self.dry(&client, &object).await?, &[422]))
    }

    pub(super) async fn client_certificate(&mut self) -> Result<Outcome, Trouble> {
        let (_, event) = self.first()?;
        let faults = faults(event, &self.plan.node());
        Ok(match faults.as_slice() {
            [] => Pass(life(event)),
            faults => Fail(faults.join("; ")),
        })
    }

    pub(super) async fn requested_duration(&mut self) -> Result<Outcome, Trouble> {
        const ASKED: i32 = 600;
        const ROOM: SignedDuration = SignedDuration::from_secs(30);
        if self.plan.version.minor < 22 {
            return Ok(Unsupported(DURATIONS.into()));
        }
        let as_asked = |event: &CsrEvent| {
            let latest = event.created.later(SignedDuration::from_secs(ASKED.into())).later(ROOM);
            event.certificates.first().is_some_and(|leaf| leaf.not_after <= latest)
        };
        let (_, first) = self.first()?;
        if as_asked(first) {
            return Ok(Unsupported(format!(
                "certificates are not valid for longer than that anyway ({})",
                life(first)
            )));
        }
        let client = self.bootstrapper().await?;
        let mut object = self.request(RequestBuilder::node(&self.plan.node()))?;
        object.spec.expiration_seconds = Some(ASKED);
        let answer = self.create(&client, &object).await?;
        let Some(name) = &answer.object else {
            return Ok(code(&answer, &[201]));
        };
        let event = match issued(&client, name, CERTIFICATE).await {
            Ok((_, event)) => event,
            Err(error) => return self.without(error),
        };
        let right = as_asked(&event);
        let said = format!("requested {ASKED} s: {}", life(&event));
        Ok(if right { Pass(said) } else { Fail(said) })
    }
}

fn life(event: &CsrEvent) -> String {
    event.certificates.first().map_or_else(String::new, |leaf| {
        format!(
            "valid from {} s before its CSR to {} s after it",
            event.created.duration_since(leaf.not_before).as_secs(),
            leaf.not_after.duration_since(event.created).as_secs()
        )
    })
}

/// The differences between a client certificate and what Kubernetes' signer issues (catalogue S-07).
fn faults(event: &CsrEvent, node: &str) -> Vec<String> {
    let Some(leaf) = event.certificates.first() else {
        return vec!["there is no certificate".into()];
    };
    let CertificateFacts { dns, ips, emails, uris, .. } = leaf;
    let right = [
        ("its subject is not the requested one", leaf.subject == node_subject(node)),
        ("its key is not the requested one", leaf.key == event.request.key),
        ("its extended usage is not exactly `client auth`", leaf.ext_key_usage == ["client auth"]),
        ("its usage lacks `digital signature`", leaf.key_usage.iter().any(|usage| usage == "digital signature")),
        ("it does not say CA:FALSE", leaf.ca == Some(false)),
        ("it has alternative names", dns.is_empty() && ips.is_empty() && emails.is_empty() && uris.is_empty()),
        ("it was not yet valid at the time of its CSR", leaf.not_before <= event.created),
        ("it had expired at the time of its CSR", leaf.not_after > event.created),
    ];
    let wrong = right.iter().filter(|(_, right)| !right);
    wrong.map(|(fault, _)| (*fault).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap::csr;
    use crate::owned::RunId;
    use tlsboot_core::history::event::{Change, NODE_USER_PREFIX};
    use tlsboot_core::x509::read;
    use tlsboot_engine::observe::csr::csr_event;
    use tlsboot_engine::pki::{Authority, Validity};

    fn issued_for(node: &str, organizations: &[&str]) -> CsrEvent {
        let soon = Validity::for_next(CERTIFICATE);
        let ca = Authority::new("ca", soon).unwrap();
        let user = format!("{NODE_USER_PREFIX}{node}");
        let leaf = ca.issue_client(&user, organizations, soon).unwrap();
        let leaf = read::certificates_from_pem(leaf.certificate_pem.as_bytes()).unwrap().remove(0);
        let (pem, _) = RequestBuilder::node(node).build().unwrap();
        let run = RunId::new();
        let mut event = csr_event(&csr(&run, pem.into_bytes(), "a.b/c", Vec::new(), None), Change::Added);
        event.created = jiff::Timestamp::now();
        event.request.key = leaf.key.clone();
        event.certificates = vec![leaf];
        event
    }

    #[test]
    fn a_certificates_faults_are_named() {
        assert_eq!(faults(&issued_for("n1", &["system:nodes"]), "n1"), Vec::<String>::new());
        let other = faults(&issued_for("n1", &["system:nodes", "system:masters"]), "n1");
        assert_eq!(other, ["its subject is not the requested one"]);
        let mut ca = issued_for("n1", &["system:nodes"]);
        ca.certificates[0].ca = Some(true);
        ca.request.key.spki_sha256 = "other".into();
        assert_eq!(faults(&ca, "n1").len(), 2);
        ca.certificates.clear();
        assert_eq!(faults(&ca, "n1"), ["there is no certificate"]);
    }
}
