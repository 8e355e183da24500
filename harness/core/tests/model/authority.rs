//! Keys and certificates: real ones, because the judge verifies chains.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use tlsboot_core::history::event::CsrEvent;
use tlsboot_core::history::facts::{CertificateFacts, KeyFacts, Name};
use tlsboot_core::x509::read;

/// A key, of which the history only knows the public half.
pub(crate) struct Key {
    pair: KeyPair,
    pub(crate) facts: KeyFacts,
}

impl Key {
    /// ECDSA on P-256, as kubelets make them (catalogue C-10).
    pub(crate) fn new() -> Self {
        let pair = KeyPair::generate().unwrap();
        let facts = read::public_key(&pair.subject_public_key_info()).unwrap();
        Self { pair, facts }
    }
}

/// A CA that signs.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pub(crate) facts: CertificateFacts,
}

impl Authority {
    /// One that is valid for a year.
    pub(crate) fn new(name: &str, now: Timestamp) -> Self {
        let mut params =
            params(&common_name(name), now - SignedDuration::from_hours(1), now + SignedDuration::from_hours(8760));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let facts = read::certificate(issuer.der()).unwrap();
        Self { issuer, facts }
    }

    /// What Kubernetes' signer makes of a CSR (catalogue S-04 to S-07): subject, key and alternative names are those that
    /// were requested, the usages those of the CSR's spec. It is no CA, and the serial number has 128 random bits.
    pub(crate) fn sign(
        &self,
        csr: &CsrEvent,
        key: &Key,
        from: Timestamp,
        to: Timestamp,
        serial: [u8; 16],
    ) -> CertificateFacts {
        let asked = &csr.request;
        let mut params = params(&asked.subject, from, to);
        params.subject_alt_names = alternative_names(&asked.dns, &asked.ips);
        for usage in &csr.usages {
            match usage.as_str() {
                "digital signature" => params.key_usages.push(KeyUsagePurpose::DigitalSignature),
                "key encipherment" => params.key_usages.push(KeyUsagePurpose::KeyEncipherment),
                "client auth" => params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth),
                "server auth" => params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth),
                other => panic!("no kubelet asks for `{other}`"),
            }
        }
        params.use_authority_key_identifier_extension = true;
        // By rcgen's own setting there would be a subject key identifier too, which Kubernetes leaves out.
        let mut no_ca = CustomExtension::from_oid_content(&[2, 5, 29, 19], vec![0x30, 0]);
        no_ca.set_criticality(true);
        params.custom_extensions.push(no_ca);
        params.serial_number = Some(SerialNumber::from_slice(&positive(serial)));
        read::certificate(params.signed_by(&key.pair, &self.issuer).unwrap().der()).unwrap()
    }
}

/// What a kubelet makes for its port where none is signed for it: a certificate for a year, of a CA that is only there for it
/// (catalogue K-18).
pub(crate) fn self_signed(node: &str, now: Timestamp) -> Vec<CertificateFacts> {
    let name = |role: &str| format!("{node}{role}@{}", now.as_second());
    let authority = Authority::new(&name("-ca"), now);
    let ends = now + SignedDuration::from_hours(8760);
    let mut params = params(&common_name(&name("")), now - SignedDuration::from_hours(1), ends);
    params.subject_alt_names = alternative_names(&[node.to_owned()], &[]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let signed = params.signed_by(&Key::new().pair, &authority.issuer).unwrap();
    vec![read::certificate(signed.der()).unwrap(), authority.facts]
}

fn params(subject: &Name, from: Timestamp, to: Timestamp) -> CertificateParams {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let seconds = |at: Timestamp| std::time::Duration::from_secs(at.as_second().unsigned_abs());
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for organization in &subject.organizations {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    if let Some(name) = &subject.common_name {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    (params.not_before, params.not_after) = (epoch + seconds(from), epoch + seconds(to));
    params
}

fn common_name(name: &str) -> Name {
    Name { common_name: Some(name.to_owned()), ..Name::default() }
}

fn alternative_names(dns: &[String], ips: &[IpAddr]) -> Vec<SanType> {
    let dns = dns.iter().map(|name| SanType::DnsName(name.as_str().try_into().unwrap()));
    dns.chain(ips.iter().map(|ip| SanType::IpAddress(*ip))).collect()
}

/// DER writes no leading zeros, and the first bit is the sign.
fn positive(mut serial: [u8; 16]) -> [u8; 16] {
    serial[0] = serial[0] & 0x7f | 0x40;
    serial
}
