//! What is created can be read back.

use std::time::Duration;

use proptest::prelude::*;

use crate::pki::{Authority, Issued, PrivateKey, RequestBuilder, Validity};
use crate::secret::Vault;
use tlsboot_core::history::facts::PemFacts;
use tlsboot_core::x509::{AltName, pem, read::*};

fn issued() -> Issued {
    let validity = Validity::for_next(Duration::from_secs(60));
    let ca = Authority::new("ca", validity).unwrap();
    ca.issue_server("s", &[AltName::Dns("a".into()), AltName::Ip([127, 0, 0, 1].into())], validity).unwrap()
}

/// As the kubelet writes it: certificate first, then the key (K-14).
fn kubelet_file() -> String {
    let issued = issued();
    issued.certificate_pem + issued.key_pem.expose()
}

#[test]
fn kubelet_file_gives_both_halves() {
    let (file, vault) = (kubelet_file(), Vault::new());
    let facts = vault.pem_file(file.as_bytes());
    let [certificate, key] = &facts.blocks[..] else { panic!("{facts:?}") };
    let (certificate, key) = (certificate.certificate.as_ref().unwrap(), key.private_key.as_ref().unwrap());
    assert_eq!(&certificate.key, key);
    let json = serde_json::to_string(&facts).unwrap();
    assert_eq!(vault.scan(json.as_bytes()), None);
    assert_eq!(serde_json::from_str::<PemFacts>(&json).unwrap(), facts);
    let body = file.lines().rev().nth(3).unwrap();
    assert_eq!(vault.scan(body.as_bytes()), Some("private key"));
}

#[test]
fn truncated_key_is_still_a_secret() {
    let file = kubelet_file();
    let cut = file.rfind("-----END").unwrap();
    let vault = Vault::new();
    let blocks = vault.pem_file(&file.as_bytes()[..cut]).blocks;
    assert_eq!(blocks[1].error.as_deref(), Some("PEM: truncated: no END line"));
    let line = file[..cut].lines().rev().nth(1).unwrap();
    assert_eq!(vault.scan(line.as_bytes()), Some("private key"));
}

#[test]
fn text_between_blocks_is_skipped() {
    let file = format!("subject=CN=x\n{}\n# the key\n", kubelet_file()).replace('\n', "\r\n");
    let blocks = pem_file(file.as_bytes()).blocks;
    assert_eq!(blocks.len(), 2);
    assert!(blocks.iter().all(|block| block.error.is_none()));
}

#[test]
fn a_key_whose_file_lost_its_line_ends_stays_secret() {
    let key = PrivateKey::generate().unwrap();
    let joined = key.pem().expose().replace('\n', "");
    let body = joined.split("-----").nth(2).unwrap().to_owned();
    let vault = Vault::new();
    let facts = vault.pem_file(joined.as_bytes());
    let written = format!("{facts:?}");
    assert!(!written.contains(&body[..40]), "{written}");
    assert!(vault.scan(body.as_bytes()).is_some());
}

proptest! {
    #[test]
    fn damaged_der_is_survived(changes: Vec<(prop::sample::Index, u8)>, cut: prop::sample::Index) {
        thread_local! {
            static DER: [Vec<u8>; 2] = [
                certificate_ders(issued().certificate_pem.as_bytes()).unwrap().remove(0),
                request_der(RequestBuilder::node("n").ca(true).build().unwrap().0.as_bytes()).unwrap(),
            ];
        }
        for mut der in DER.with(Clone::clone) {
            for (index, byte) in &changes {
                let at = index.index(der.len());
                der[at] = *byte;
            }
            for label in ["CERTIFICATE", "CERTIFICATE REQUEST", "PRIVATE KEY"] {
                let whole = pem::write(label, &der);
                let _ = (certificate(&der), request(whole.as_bytes()));
                let file = &whole.as_bytes()[..cut.index(whole.len())];
                prop_assert!(!pem_file(file).blocks.is_empty());
            }
        }
    }
}
