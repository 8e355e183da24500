//! Whatever bytes a kubelet's file or an API object contains, the readers return facts or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tlsboot_core::x509::read;
use tlsboot_engine::pki::PrivateKey;
use tlsboot_engine::secret::Vault;

fuzz_target!(|bytes: &[u8]| {
    let vault = Vault::new();
    let facts = vault.pem_file(bytes);
    let json = serde_json::to_string(&facts).expect("facts can be written");
    assert_eq!(vault.scan(json.as_bytes()), None, "a private key is in the facts");
    let _ = read::certificate(bytes);
    let _ = read::public_key(bytes);
    let _ = read::certificates_from_pem(bytes);
    let _ = read::request(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = PrivateKey::from_pem(text);
    }
});
