//! Certificate authorities: tlsboot's own for a test cluster, existing ones from files, and rogue ones.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use p256::elliptic_curve::Generate;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder, CertificateBuilder};
use x509_cert::certificate::{Certificate, TbsCertificate};
use x509_cert::der::asn1::BitString;
use x509_cert::der::{DateTime, Decode, Encode};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::SubjectKeyIdentifier;
use x509_cert::name::Name as EncodedName;
use x509_cert::request::CertReq;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef};
use x509_cert::time::Time;

use super::key::CertificateSigner;
use super::{PrivateKey, extension};
use crate::secret::Secret;
use tlsboot_core::history::facts::Name;
use tlsboot_core::x509::name::{self, AltName};
use tlsboot_core::x509::{X509Error, pem, read};

/// 365 days, the length of a year in Kubernetes: the default of `--cluster-signing-duration`, and of kubeadm's
/// certificates.
pub const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// The validity period of a certificate: whole seconds, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// NotBefore.
    pub not_before: Timestamp,
    /// NotAfter.
    pub not_after: Timestamp,
}

impl Validity {
    /// From five minutes ago, because Kubernetes' signer backdates for clock skew, until `duration` from now.
    pub fn for_next(duration: Duration) -> Self {
        let now = Timestamp::now();
        let length = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        Self {
            not_before: now.saturating_sub(SignedDuration::from_mins(5)).unwrap_or(now),
            not_after: now.saturating_add(length).unwrap_or(Timestamp::MAX),
        }
    }
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct Issued {
    /// PEM, one `CERTIFICATE` block.
    pub certificate_pem: String,
    /// PEM, one `EC PRIVATE KEY` block.
    pub key_pem: Secret<String>,
}

/// How to sign a request. The defaults of [`SignOptions::new`] give what Kubernetes' signer gives (S-07); the other
/// fields are for rogue signers.
#[derive(Clone, Debug)]
pub struct SignOptions {
    /// The certificate's validity.
    pub validity: Validity,
    /// Key usages and extended key usages, in Kubernetes' words.
    pub usages: Vec<String>,
    /// Issue a CA certificate.
    pub ca: bool,
    /// This subject instead of the requested one.
    pub subject: Option<Name>,
    /// These subject alternative names instead of the requested ones.
    pub alt_names: Option<Vec<AltName>>,
    /// Certify a new key that no one holds instead of the requested one.
    pub foreign_key: bool,
    /// This serial number instead of a random one.
    pub serial: Option<[u8; SERIAL]>,
}

impl SignOptions {
    /// Signs what was requested, with the given usages and CA:FALSE.
    pub fn new(validity: Validity, usages: &[&str]) -> Self {
        Self {
            validity,
            usages: usages.iter().map(|&usage| usage.to_owned()).collect(),
            ca: false,
            subject: None,
            alt_names: None,
            foreign_key: false,
            serial: None,
        }
    }
}

/// Bytes of a serial number.
const SERIAL: usize = 16;

/// A certificate authority: a CA certificate and its key.
#[derive(Clone, Debug)]
pub struct Authority {
    certificate_pem: String,
    subject: EncodedName,
    key_id: Option<SubjectKeyIdentifier>,
    key: PrivateKey,
}

impl Authority {
    /// A new self-signed CA with a P-256 key.
    pub fn new(common_name: &str, validity: Validity) -> Result<Self, X509Error> {
        let key = PrivateKey::generate()?;
        let key_id = extension::key_id(key.spki())?;
        let subject = name::write(&common_name_only(common_name))?;
        // Like client-go's NewSelfSignedCACert, which kubeadm uses too.
        let usages = words(&["digital signature", "key encipherment", "cert sign"]);
        let plan = Plan {
            issuer: subject.clone(),
            subject: subject.clone(),
            extensions: extensions(&usages, Some(&key_id), Some(&key_id), &[])?,
        };
        let certificate_pem = plan.certificate(&public_key_info(key.spki())?, validity, &key, random_serial()?)?;
        Ok(Self { certificate_pem, subject, key_id: Some(key_id), key })
    }

    /// A CA from its files. The key may be SEC1, PKCS#1 (kubeadm's `ca.key`) or PKCS#8. The first certificate of a
    /// bundle is used.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, X509Error> {
        let key = PrivateKey::from_pem(key)?;
        let ders = read::certificate_ders(certificate.as_bytes())?;
        let der = ders.first().ok_or_else(|| X509Error::Pem("no CERTIFICATE block".into()))?;
        let facts = read::certificate(der)?;
        if facts.key != key.facts()? {
            return Err(X509Error::Key(
                "the private key does not belong to the CA certificate; give a matching pair".into(),
            ));
        }
        // Version 1 certificates have no extensions; old self-made CAs are of that kind, and Go accepts them as roots.
        if facts.ca == Some(false) || (facts.ca.is_none() && facts.version == 3) {
            return Err(X509Error::Certificate("it is not a CA certificate (BasicConstraints without CA:TRUE)".into()));
        }
        let certificate = Certificate::from_der(der).map_err(|e| X509Error::Certificate(format!("bad DER: {e}")))?;
        let tbs = certificate.tbs_certificate();
        let key_id = tbs
            .get_extension::<SubjectKeyIdentifier>()
            .map_err(|e| X509Error::Certificate(format!("bad subject key id: {e}")))?
            .map(|(_, id)| id);
        Ok(Self { certificate_pem: pem::write("CERTIFICATE", der), subject: tbs.subject().clone(), key_id, key })
    }

    /// The CA certificate in PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The CA key in PEM, in its original format.
    pub fn key_pem(&self) -> &Secret<String> {
        self.key.pem()
    }

    /// A serving certificate with a new key.
    pub fn issue_server(
        &self,
        common_name: &str,
        alt_names: &[AltName],
        validity: Validity,
    ) -> Result<Issued, X509Error> {
        let usages = words(&["digital signature", "key encipherment", "server auth"]);
        self.issue(&common_name_only(common_name), &usages, alt_names, validity)
    }

    /// A client certificate with a new key: user `common_name` in all of the groups `organizations`, in order.
    pub fn issue_client(
        &self,
        common_name: &str,
        organizations: &[&str],
        validity: Validity,
    ) -> Result<Issued, X509Error> {
        let subject = Name {
            organizations: organizations.iter().map(|&group| group.to_owned()).collect(),
            ..common_name_only(common_name)
        };
        self.issue_client_named(&subject, validity)
    }

    /// A client certificate with a new key, for any subject.
    pub fn issue_client_named(&self, subject: &Name, validity: Validity) -> Result<Issued, X509Error> {
        self.issue(subject, &words(&["digital signature", "key encipherment", "client auth"]), &[], validity)
    }

    fn issue(
        &self,
        subject: &Name,
        usages: &[String],
        alt_names: &[AltName],
        validity: Validity,
    ) -> Result<Issued, X509Error> {
        let key = PrivateKey::generate()?;
        let plan = Plan {
            issuer: self.subject.clone(),
            subject: name::write(subject)?,
            extensions: extensions(usages, None, self.key_id.as_ref(), alt_names)?,
        };
        let certificate_pem = plan.certificate(&public_key_info(key.spki())?, validity, &self.key, random_serial()?)?;
        Ok(Issued { certificate_pem, key_pem: key.pem().clone() })
    }

    /// Signs a PEM request and returns the certificate in PEM. The request's signature is not checked: the API server
    /// did that.
    pub fn sign_request(&self, request: &str, options: &SignOptions) -> Result<String, X509Error> {
        let der = read::request_der(request.as_bytes())?;
        let asked = CertReq::from_der(&der).map_err(|e| X509Error::Request(format!("bad DER: {e}")))?.info;
        let alt_names = match &options.alt_names {
            Some(names) => names.clone(),
            None => requested_alt_names(request)?,
        };
        let spki = match options.foreign_key {
            true => public_key_info(PrivateKey::generate()?.spki())?,
            false => asked.public_key,
        };
        let ca_key_id = match options.ca {
            true => Some(extension::key_id(&spki.to_der().map_err(key_error)?)?),
            false => None,
        };
        let plan = Plan {
            issuer: self.subject.clone(),
            subject: options.subject.as_ref().map_or(Ok(asked.subject), name::write)?,
            extensions: extensions(&options.usages, ca_key_id.as_ref(), self.key_id.as_ref(), &alt_names)?,
        };
        let serial = match options.serial {
            Some(octets) => serial(octets)?,
            None => random_serial()?,
        };
        plan.certificate(&spki, options.validity, &self.key, serial)
    }
}

fn requested_alt_names(request: &str) -> Result<Vec<AltName>, X509Error> {
    let asked = read::request(request.as_bytes())?;
    // By kind, in the order in which Go writes them.
    let dns = asked.dns.into_iter().map(AltName::Dns);
    let emails = asked.emails.into_iter().map(AltName::Email);
    let ips = asked.ips.into_iter().map(AltName::Ip);
    let uris = asked.uris.into_iter().map(AltName::Uri);
    Ok(dns.chain(emails).chain(ips).chain(uris).collect())
}

/// The extensions of a certificate in the order in which Go writes them (S-07). A CA is recognized by its own key id.
fn extensions(
    usages: &[String],
    ca_key_id: Option<&SubjectKeyIdentifier>,
    issuer_key_id: Option<&SubjectKeyIdentifier>,
    alt_names: &[AltName],
) -> Result<Vec<Extension>, X509Error> {
    let mut extensions = extension::usages(usages)?;
    extensions.push(extension::basic_constraints(ca_key_id.is_some())?);
    if let Some(id) = ca_key_id {
        extensions.push(extension::extension(id, false)?);
    }
    if let Some(id) = issuer_key_id {
        extensions.push(extension::authority_key_id(id)?);
    }
    extensions.extend(extension::alt_names(alt_names)?);
    Ok(extensions)
}

fn common_name_only(common_name: &str) -> Name {
    Name { common_name: Some(common_name.into()), ..Name::default() }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn key_error(e: impl ToString) -> X509Error {
    X509Error::Key(e.to_string())
}

fn public_key_info(spki: &[u8]) -> Result<SubjectPublicKeyInfoOwned, X509Error> {
    SubjectPublicKeyInfoOwned::from_der(spki).map_err(key_error)
}

/// Everything that a certificate says besides its key, validity and serial number.
struct Plan {
    issuer: EncodedName,
    subject: EncodedName,
    extensions: Vec<Extension>,
}

impl Plan {
    fn certificate(
        self,
        spki: &SubjectPublicKeyInfoOwned,
        validity: Validity,
        signer: &PrivateKey,
        serial: SerialNumber,
    ) -> Result<String, X509Error> {
        let refuse = |e: x509_cert::builder::Error| X509Error::encode("certificate", e);
        let validity = x509_cert::time::Validity::new(time(validity.not_before)?, time(validity.not_after)?);
        let mut builder = CertificateBuilder::new(self, serial, validity, spki.clone()).map_err(refuse)?;
        let message = builder.finalize(&CertificateSigner(signer)).map_err(refuse)?;
        let signature =
            BitString::from_bytes(&signer.sign(&message)?).map_err(|e| X509Error::encode("signature", e))?;
        let certificate = builder.assemble(signature, &CertificateSigner(signer)).map_err(refuse)?;
        let der = certificate.to_der().map_err(|e| X509Error::encode("certificate", e))?;
        Ok(pem::write("CERTIFICATE", &der))
    }
}

impl BuilderProfile for Plan {
    fn get_issuer(&self, _subject: &EncodedName) -> EncodedName {
        self.issuer.clone()
    }

    fn get_subject(&self) -> EncodedName {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        _key: SubjectPublicKeyInfoRef<'_>,
        _issuer_key: SubjectPublicKeyInfoRef<'_>,
        _tbs: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        Ok(self.extensions.clone())
    }
}

/// 126 random bits, always 16 bytes: positive and below 2^128, as in Kubernetes' signer (S-07).
fn random_serial() -> Result<SerialNumber, X509Error> {
    let octets =
        <[u8; SERIAL]>::try_generate().map_err(|e| key_error(format!("no randomness from the system: {e}")))?;
    serial(octets)
}

fn serial(mut octets: [u8; SERIAL]) -> Result<SerialNumber, X509Error> {
    octets[0] = octets[0] & 0x7f | 0x40;
    SerialNumber::new(&octets).map_err(|e| X509Error::encode("serial number", e))
}

fn time(at: Timestamp) -> Result<Time, X509Error> {
    let refuse = |e: &dyn ToString| X509Error::encode(format!("time {at}"), e.to_string());
    let seconds = u64::try_from(at.as_second()).map_err(|_| refuse(&"before 1970"))?;
    DateTime::from_unix_duration(Duration::from_secs(seconds)).map(Time::from).map_err(|e| refuse(&e))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::pki::RequestBuilder;
    use tlsboot_core::history::facts::CertificateFacts;
    use tlsboot_core::x509::{node_subject, verify};

    const HOUR: Duration = Duration::from_secs(3600);

    fn facts(pem: &str) -> CertificateFacts {
        read::certificates_from_pem(pem.as_bytes()).unwrap().remove(0)
    }

    fn authority() -> Authority {
        Authority::new("kubernetes", Validity::for_next(HOUR)).unwrap()
    }

    #[test]
    fn ca_is_as_client_go_makes_it() {
        let ca = facts(authority().certificate_pem());
        assert_eq!(ca.version, 3);
        assert_eq!((ca.ca, ca.basic_constraints_critical), (Some(true), true));
        assert_eq!(ca.key_usage, ["digital signature", "key encipherment", "cert sign"]);
        assert!(ca.key_usage_critical);
        assert_eq!(ca.subject, ca.issuer);
        assert!(ca.subject_key_id.is_some());
        assert_eq!(ca.subject_key_id, ca.authority_key_id);
        assert_eq!((ca.key.algorithm.as_str(), ca.key.parameters.as_str()), ("ECDSA", "P-256"));
    }

    #[test]
    fn client_keeps_every_organization_in_order() {
        let ca = authority();
        let groups = ["system:nodes", "system:masters", "a,b=c"];
        let issued = ca.issue_client("system:node:n1", &groups, Validity::for_next(HOUR)).unwrap();
        let client = facts(&issued.certificate_pem);
        assert_eq!(client.subject.organizations, groups);
        assert_eq!(client.subject.common_name.as_deref(), Some("system:node:n1"));
        assert_eq!(client.ext_key_usage, ["client auth"]);
        let key = PrivateKey::from_pem(issued.key_pem.expose()).unwrap();
        assert!(verify::same_key(&client, &key.facts().unwrap()));
    }

    #[test]
    fn server_has_its_names() {
        let names = [
            AltName::Dns("localhost".into()),
            AltName::Ip("127.0.0.1".parse().unwrap()),
            AltName::Ip("::1".parse().unwrap()),
        ];
        let issued = authority().issue_server("kube-apiserver", &names, Validity::for_next(HOUR)).unwrap();
        let server = facts(&issued.certificate_pem);
        assert_eq!(server.dns, ["localhost"]);
        assert_eq!(server.ips, ["127.0.0.1", "::1"].map(|ip| ip.parse::<std::net::IpAddr>().unwrap()));
        assert_eq!(server.ext_key_usage, ["server auth"]);
    }

    /// S-07, field by field.
    #[test]
    fn signs_as_kubernetes_does() {
        let ca = authority();
        let (request, _) = RequestBuilder::node("n1").ca(true).usages(&["cert sign"]).build().unwrap();
        let validity = Validity::for_next(HOUR);
        let options = SignOptions::new(validity, &["digital signature", "client auth"]);
        let signed = facts(&ca.sign_request(&request, &options).unwrap());
        let asked = read::request(request.as_bytes()).unwrap();
        assert_eq!(signed.subject, node_subject("n1"));
        assert_eq!(signed.key, asked.key);
        assert_eq!((signed.ca, signed.basic_constraints_critical), (Some(false), true));
        assert_eq!(
            (signed.key_usage.as_slice(), signed.key_usage_critical),
            (&["digital signature".to_owned()][..], true)
        );
        assert_eq!(
            (signed.ext_key_usage.as_slice(), signed.ext_key_usage_critical),
            (&["client auth".to_owned()][..], false)
        );
        assert_eq!(signed.subject_key_id, None);
        assert_eq!(signed.authority_key_id, facts(ca.certificate_pem()).subject_key_id);
        assert_eq!(signed.not_after.as_second(), validity.not_after.as_second());
        assert!(signed.dns.is_empty() && signed.other_extensions.is_empty());
        assert_eq!(signed.serial.len(), 32);
        let again = facts(&ca.sign_request(&request, &options).unwrap());
        assert_ne!(signed.serial, again.serial);
    }

    #[test]
    fn rogue_options_work() {
        let ca = authority();
        let asked_for = AltName::Dns("n1".into());
        let (request, key) = RequestBuilder::node("n1").alt_names([asked_for]).build().unwrap();
        let mut options = SignOptions::new(Validity::for_next(HOUR), &["client auth", "1.2.3.4"]);
        assert_eq!(facts(&ca.sign_request(&request, &options).unwrap()).dns, ["n1"]);
        options.subject = Some(node_subject("n2"));
        options.alt_names = Some(vec![AltName::Uri("spiffe://n2".into()), AltName::Email("a@b".into())]);
        options.ca = true;
        options.foreign_key = true;
        options.serial = Some([0x41; SERIAL]);
        let rogue = facts(&ca.sign_request(&request, &options).unwrap());
        assert_eq!(rogue.serial, "41".repeat(SERIAL));
        let key = PrivateKey::from_pem(key.expose()).unwrap().facts().unwrap();
        assert_eq!(rogue.subject, node_subject("n2"));
        assert_eq!((rogue.uris, rogue.emails, rogue.dns), (vec!["spiffe://n2".into()], vec!["a@b".into()], vec![]));
        assert_eq!((rogue.ca, rogue.ext_key_usage), (Some(true), vec!["client auth".into(), "1.2.3.4".into()]));
        assert!(rogue.subject_key_id.is_some());
        assert_ne!(rogue.key, key);
    }

    #[test]
    fn ca_comes_back_from_its_files() {
        let ca = authority();
        let back = Authority::from_pem(ca.certificate_pem(), ca.key_pem().expose()).unwrap();
        let issued = back.issue_client("u", &[], Validity::for_next(HOUR)).unwrap();
        assert_eq!(facts(&issued.certificate_pem).issuer.common_name.as_deref(), Some("kubernetes"));
    }

    #[rstest]
    #[case::key_of_another(authority().key_pem().expose().clone(), "matching pair")]
    #[case::no_key("hello".into(), "no PRIVATE KEY block")]
    #[case::garbage("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".into(), "cannot use")]
    #[case::encrypted("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n".into(), "encrypted")]
    fn unusable_ca_key_is_refused(#[case] key: String, #[case] why: &str) {
        let error = Authority::from_pem(authority().certificate_pem(), &key).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn leaf_is_refused_as_ca() {
        let leaf = authority().issue_client("u", &[], Validity::for_next(HOUR)).unwrap();
        let error = Authority::from_pem(&leaf.certificate_pem, leaf.key_pem.expose()).unwrap_err().to_string();
        assert!(error.contains("not a CA certificate"), "{error}");
    }
}
