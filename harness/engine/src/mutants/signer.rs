//! A signer that replaces the controller-manager's `csrsigning`: it behaves the same (catalogue S-01 to S-11), except
//! for one fault. It signs as Kubernetes 1.22 and later do.

use std::path::PathBuf;
use std::sync::Mutex;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};
use kube::api::{Api, Patch, PatchParams, ResourceExt};
use serde_json::json;

use super::follow::{Again, Controller, has, is_issued};
use super::rules::{Rule, broken};
use super::stand_in::{Log, without_controller};
use crate::cluster::ClusterError;
use crate::cluster::processes::{Defect, Launch, Part};
use crate::pki::{Authority, SignOptions, Validity, YEAR};
use tlsboot_core::check::Role;
use tlsboot_core::history::facts::{Name, RequestFacts};
use tlsboot_core::time::Shift;
use tlsboot_core::x509::{AltName, X509Error, read};

/// What is wrong with a signer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignerFault {
    /// Nothing: it shows that the substitution itself is not a fault.
    None,
    OtherName,
    OtherOrganization,
    SecondOrganization,
    Authority,
    NoExtendedUsage,
    SecondExtendedUsage,
    SecondKeyUsage,
    OtherAuthority,
    TwiceAsLong,
    HalfAsLong,
    NotBackdated,
    ClockAhead,
    ClockBehind,
    ForeignKey,
    FirstCertificateAgain,
    ClientNames,
    NoServingNames,
    ChainAppended,
    ChainTurned,
    SameSerial,
    IgnoresRequestedDuration,
    ExceedsMaximum,
    BackdatesLongOnes,
    OutlivesAuthority,
    SignsWhenExpired,
    FailsWhenExpired,
    KeepsFirstAuthority,
    AnySigner,
    Without(Rule),
}

/// A cluster with this signer.
#[derive(Debug)]
pub(super) struct RogueSigner(pub(super) SignerFault);

const SIGNERS: [(&str, Option<Role>); 3] = [
    ("kubernetes.io/kube-apiserver-client-kubelet", Some(Role::Client)),
    ("kubernetes.io/kubelet-serving", Some(Role::Serving)),
    ("kubernetes.io/kube-apiserver-client", None),
];
const BACKDATE: SignedDuration = SignedDuration::from_mins(5);
const SKEW: SignedDuration = SignedDuration::from_mins(10);
const SHORT: SignedDuration = SignedDuration::from_hours(8);
const SHORTEST: SignedDuration = SignedDuration::from_mins(10);

impl Defect for RogueSigner {
    fn launch(&self, launch: &mut Launch<'_>) -> Result<(), ClusterError> {
        if !matches!(launch.part, Part::ControllerManager) || !without_controller(launch, "csrsigning") {
            return Ok(());
        }
        let file = |launch: &Launch<'_>, flag: &str| PathBuf::from(launch.flags.get(flag).unwrap_or_default());
        let duration = launch.flags.get("cluster-signing-duration").unwrap_or_default().to_owned();
        let signer = Signer {
            fault: self.0,
            certificate: file(launch, "cluster-signing-cert-file"),
            key: file(launch, "cluster-signing-key-file"),
            duration: duration
                .parse()
                .map_err(|error| std::io::Error::other(format!("--cluster-signing-duration={duration}: {error}")))?,
            first_authority: Mutex::default(),
            first_certificate: Mutex::default(),
            log: Log::of(launch),
        };
        let admin = launch.admin.clone();
        launch.beside.push(Box::pin(super::follow::follow(admin, signer)));
        Ok(())
    }
}

struct Signer {
    fault: SignerFault,
    certificate: PathBuf,
    key: PathBuf,
    duration: SignedDuration,
    first_authority: Mutex<Option<Authority>>,
    first_certificate: Mutex<Option<String>>,
    log: Log,
}

/// The decision about a CSR.
enum Decision {
    Issue(String),
    Fail(String),
    Wait(String),
}

#[async_trait]
impl Controller for Signer {
    async fn take(&self, api: &Api<CertificateSigningRequest>, csr: &CertificateSigningRequest) -> Again {
        if !has(csr, "Approved") || has(csr, "Denied") || has(csr, "Failed") || is_issued(csr) {
            return Again::No;
        }
        let known = SIGNERS.iter().find(|(name, _)| *name == csr.spec.signer_name);
        let role = match (known, self.fault) {
            (Some((_, role)), _) => *role,
            (None, SignerFault::AnySigner) => None,
            (None, _) => return Again::No,
        };
        let decision = self.decide(role, csr).unwrap_or_else(|error| Decision::Wait(error.to_string()));
        let status = match decision {
            Decision::Issue(certificate) => {
                json!({"certificate": k8s_openapi::ByteString(certificate.into_bytes())})
            }
            Decision::Fail(message) => json!({"conditions": with_failed(csr, message)}),
            Decision::Wait(why) => {
                self.log.line(&format!("refusing to sign {}: {why}", csr.name_any()));
                return Again::Later;
            }
        };
        let patch = Patch::Merge(json!({"status": status}));
        match api.patch_status(&csr.name_any(), &PatchParams::default(), &patch).await {
            Ok(_) => Again::No,
            Err(error) => {
                self.log.line(&format!("{} could not be written: {error}", csr.name_any()));
                Again::Later
            }
        }
    }
}

impl Signer {
    fn decide(&self, role: Option<Role>, csr: &CertificateSigningRequest) -> Result<Decision, X509Error> {
        let asked = read::request(&csr.spec.request.0)?;
        let without = match self.fault {
            SignerFault::Without(rule) => Some(rule),
            _ => None,
        };
        if let Some(why) = role.and_then(|role| broken(role, csr, &asked, without)) {
            return Ok(Decision::Fail(why));
        }
        let authority = self.authority()?;
        let ends = read::certificates_from_pem(authority.certificate_pem().as_bytes())?[0].not_after;
        let now = Timestamp::now();
        if ends <= now {
            match self.fault {
                SignerFault::SignsWhenExpired => {}
                SignerFault::FailsWhenExpired => {
                    return Ok(Decision::Fail("the CA has expired".into()));
                }
                // The controller-manager's words, which operators search for.
                _ => {
                    return Ok(Decision::Wait("refusing to sign a certificate that expired in the past".into()));
                }
            }
        }
        let validity = self.validity(csr, now, ends);
        self.sign(role, csr, &asked, &authority, validity).map(Decision::Issue)
    }

    /// The CA in its files now.
    fn authority(&self) -> Result<Authority, X509Error> {
        let from_files = || {
            let read = |path: &PathBuf| {
                std::fs::read_to_string(path).map_err(|error| X509Error::Pem(format!("{}: {error}", path.display())))
            };
            Authority::from_pem(&read(&self.certificate)?, &read(&self.key)?)
        };
        match self.fault {
            SignerFault::OtherAuthority => {
                let named = from_files()?;
                let facts = read::certificates_from_pem(named.certificate_pem().as_bytes())?;
                let name = facts[0].subject.common_name.clone().unwrap_or_default();
                kept(&self.first_authority, || Authority::new(&name, Validity::for_next(YEAR)))
            }
            SignerFault::KeepsFirstAuthority => kept(&self.first_authority, from_files),
            _ => from_files(),
        }
    }

    fn validity(&self, csr: &CertificateSigningRequest, now: Timestamp, authority_ends: Timestamp) -> Validity {
        let asked = csr.spec.expiration_seconds.map(|seconds| SignedDuration::from_secs(seconds.into()));
        let duration = match (asked, self.fault) {
            (None, _) | (_, SignerFault::IgnoresRequestedDuration) => self.duration,
            (Some(asked), SignerFault::ExceedsMaximum) => asked,
            (Some(asked), _) => asked.min(self.duration).max(SHORTEST.min(self.duration)),
        };
        let duration = match self.fault {
            SignerFault::TwiceAsLong => duration * 2,
            SignerFault::HalfAsLong => duration / 2,
            _ => duration,
        };
        let (now, authority_ends) = match self.fault {
            SignerFault::ClockAhead => (now.later(SKEW), authority_ends),
            SignerFault::ClockBehind => (now.earlier(SKEW), authority_ends),
            SignerFault::OutlivesAuthority | SignerFault::SignsWhenExpired => (now, Timestamp::MAX),
            _ => (now, authority_ends),
        };
        let keeps_all = duration < SHORT || self.fault == SignerFault::BackdatesLongOnes;
        let not_after = if keeps_all { now.later(duration) } else { now.later(duration).earlier(BACKDATE) };
        Validity {
            not_before: if self.fault == SignerFault::NotBackdated { now } else { now.earlier(BACKDATE) },
            not_after: not_after.min(authority_ends),
        }
    }

    fn sign(
        &self,
        role: Option<Role>,
        csr: &CertificateSigningRequest,
        asked: &RequestFacts,
        authority: &Authority,
        validity: Validity,
    ) -> Result<String, X509Error> {
        let usages: Vec<&str> = csr.spec.usages.iter().flatten().map(String::as_str).collect();
        let mut options = SignOptions::new(validity, &usages);
        if role == Some(Role::Client) {
            options.alt_names = Some(Vec::new());
        }
        self.spoil(&mut options, asked);
        let leaf = authority.sign_request(&String::from_utf8_lossy(&csr.spec.request.0), &options)?;
        Ok(match self.fault {
            SignerFault::FirstCertificateAgain => kept(&self.first_certificate, || Ok(leaf))?,
            SignerFault::ChainAppended => leaf + authority.certificate_pem(),
            SignerFault::ChainTurned => authority.certificate_pem().to_owned() + &leaf,
            _ => leaf,
        })
    }

    fn spoil(&self, options: &mut SignOptions, asked: &RequestFacts) {
        let renamed = |change: fn(&mut Name)| {
            let mut name = asked.subject.clone();
            change(&mut name);
            Some(name)
        };
        match self.fault {
            SignerFault::OtherName => {
                options.subject = renamed(|name| name.common_name = Some("system:node:another".into()))
            }
            SignerFault::OtherOrganization => {
                options.subject = renamed(|name| name.organizations = vec!["system:authenticated-nodes".into()])
            }
            SignerFault::SecondOrganization => {
                options.subject = renamed(|name| name.organizations.push("system:masters".into()))
            }
            SignerFault::Authority => options.ca = true,
            SignerFault::NoExtendedUsage => options.usages.retain(|usage| !usage.ends_with(" auth")),
            SignerFault::SecondExtendedUsage => {
                options.usages.extend(["client auth", "server auth"].map(String::from));
                options.usages.dedup();
            }
            SignerFault::SecondKeyUsage => options.usages.push("cert sign".into()),
            SignerFault::ForeignKey => options.foreign_key = true,
            SignerFault::ClientNames => options.alt_names = Some(vec![AltName::Dns("n1.example".into())]),
            SignerFault::NoServingNames => options.alt_names = Some(Vec::new()),
            SignerFault::SameSerial => options.serial = Some([0x51; 16]),
            _ => {}
        }
    }
}

/// The first certificate, which is never signed again.
fn kept<T: Clone>(place: &Mutex<Option<T>>, make: impl FnOnce() -> Result<T, X509Error>) -> Result<T, X509Error> {
    let mut place = place.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    match &*place {
        Some(first) => Ok(first.clone()),
        None => Ok(place.insert(make()?).clone()),
    }
}

fn with_failed(csr: &CertificateSigningRequest, message: String) -> Vec<CertificateSigningRequestCondition> {
    let conditions = csr.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let failed = CertificateSigningRequestCondition {
        type_: "Failed".into(),
        status: "True".into(),
        reason: Some("SignerValidationFailure".into()),
        message: Some(message),
        ..Default::default()
    };
    conditions.cloned().chain([failed]).collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use k8s_openapi::api::certificates::v1::CertificateSigningRequestSpec;
    use rstest::rstest;

    use super::*;
    use crate::pki::RequestBuilder;
    use tlsboot_core::history::facts::CertificateFacts;

    const HOUR: SignedDuration = SignedDuration::from_hours(1);

    fn signer(fault: SignerFault) -> (Signer, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::new("ca", Validity::for_next(YEAR)).unwrap();
        let (certificate, key) = (dir.path().join("ca.crt"), dir.path().join("ca.key"));
        std::fs::write(&certificate, authority.certificate_pem()).unwrap();
        std::fs::write(&key, authority.key_pem().expose()).unwrap();
        let log = Log::at(dir.path().join("log"));
        let signer = Signer {
            fault,
            certificate,
            key,
            duration: HOUR,
            first_authority: Mutex::default(),
            first_certificate: Mutex::default(),
            log,
        };
        (signer, dir)
    }

    fn csr(seconds: Option<i32>) -> CertificateSigningRequest {
        CertificateSigningRequest {
            spec: CertificateSigningRequestSpec {
                request: ByteString(RequestBuilder::node("n1").build().unwrap().0.into_bytes()),
                usages: Some(vec!["digital signature".into(), "client auth".into()]),
                expiration_seconds: seconds,
                ..Default::default()
            },
            ..Default::default()
        }
    }

    fn issued(signer: &Signer, csr: &CertificateSigningRequest) -> Vec<CertificateFacts> {
        match signer.decide(Some(Role::Client), csr).unwrap() {
            Decision::Issue(pem) => read::certificates_from_pem(pem.as_bytes()).unwrap(),
            Decision::Fail(why) | Decision::Wait(why) => panic!("{why}"),
        }
    }

    #[test]
    fn without_a_fault_it_signs_as_kubernetes_does() {
        let (signer, _dir) = signer(SignerFault::None);
        let certificate = issued(&signer, &csr(None)).remove(0);
        let life = certificate.not_after.duration_since(certificate.not_before);
        assert_eq!(life, HOUR + BACKDATE);
        assert_eq!(
            (certificate.ca, certificate.ext_key_usage.as_slice()),
            (Some(false), &["client auth".to_owned()][..])
        );
        assert!(certificate.dns.is_empty());
    }

    #[rstest]
    #[case::none(SignerFault::None, Some(600), 15)]
    #[case::too_long(SignerFault::None, Some(86400), 65)]
    #[case::ignored(SignerFault::IgnoresRequestedDuration, Some(600), 65)]
    #[case::exceeded(SignerFault::ExceedsMaximum, Some(7200), 125)]
    #[case::twice(SignerFault::TwiceAsLong, None, 125)]
    #[case::half(SignerFault::HalfAsLong, None, 35)]
    #[case::not_backdated(SignerFault::NotBackdated, None, 60)]
    fn lives_as_long_as_the_fault_says(#[case] fault: SignerFault, #[case] asked: Option<i32>, #[case] minutes: i64) {
        let (signer, _dir) = signer(fault);
        let certificate = issued(&signer, &csr(asked)).remove(0);
        let life = certificate.not_after.duration_since(certificate.not_before);
        assert_eq!(life, SignedDuration::from_mins(minutes));
    }

    #[test]
    fn faults_of_the_second_certificate_show_at_the_second() {
        let (same, _dir) = signer(SignerFault::SameSerial);
        let (again, _dir) = signer(SignerFault::FirstCertificateAgain);
        let two = |signer: &Signer| [issued(signer, &csr(None)).remove(0), issued(signer, &csr(None)).remove(0)];
        let [first, second] = two(&same);
        assert_eq!(first.serial, second.serial);
        assert_ne!(first.key, second.key);
        let [first, second] = two(&again);
        assert_eq!(first, second);
    }

    #[test]
    fn chains_have_two_certificates() {
        let (appended, _dir) = signer(SignerFault::ChainAppended);
        let (turned, _dir) = signer(SignerFault::ChainTurned);
        let authorities =
            |signer: &Signer| -> Vec<_> { issued(signer, &csr(None)).iter().map(|facts| facts.ca).collect() };
        assert_eq!(authorities(&appended), [Some(false), Some(true)]);
        assert_eq!(authorities(&turned), [Some(true), Some(false)]);
    }
}
