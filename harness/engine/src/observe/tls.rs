//! A TLS client that looks at certificates and trusts any of them, for probes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::secret::Secret;
use tlsboot_core::x509::X509Error;

/// A client certificate with its key, both in PEM.
#[derive(Clone, Debug)]
pub struct ClientIdentity {
    /// The certificate and its chain.
    pub certificate_pem: String,
    /// The private key, as SEC1, PKCS#1 or PKCS#8.
    pub key_pem: Secret<String>,
}

/// Makes a full handshake each time (no resumption), and accepts any certificate whose key the server proves to have.
pub(crate) fn client(identity: Option<&ClientIdentity>) -> Result<TlsConnector, X509Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(AnyChain(provider.clone()));
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| X509Error::Key(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let pem = identity.certificate_pem.as_bytes();
            let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>();
            let chain = chain.map_err(|error| X509Error::Pem(error.to_string()))?;
            let key = PrivateKeyDer::from_pem_slice(identity.key_pem.expose().as_bytes());
            let key = key.map_err(|error| X509Error::Pem(error.to_string()))?;
            let with_identity = builder.with_client_auth_cert(chain, key);
            with_identity.map_err(|error| X509Error::Key(error.to_string()))?
        }
    };
    config.resumption = Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The same without a client certificate, for one handshake: afterwards [`Hints`] has the CAs, DER, from which the
/// server accepts certificates.
pub(super) fn curious_client() -> Result<(TlsConnector, Arc<Hints>), X509Error> {
    let (hints, client) = (Arc::new(Hints::default()), client(None)?);
    let mut config = ClientConfig::clone(client.config());
    config.client_auth_cert_resolver = hints.clone();
    Ok((TlsConnector::from(Arc::new(config)), hints))
}

/// Has no certificate, and records which CAs the server names.
#[derive(Debug, Default)]
pub(super) struct Hints(Mutex<Vec<Vec<u8>>>);

impl Hints {
    /// Returns what was recorded, and clears it.
    pub(super) fn take(&self) -> Vec<Vec<u8>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *kept)
    }
}

impl ResolvesClientCert for Hints {
    fn resolve(&self, root_hint_subjects: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = root_hint_subjects.iter().map(|der| der.to_vec()).collect();
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

pub(crate) async fn connect(client: &TlsConnector, address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::IpAddress(address.ip().into());
    client.connect(name, stream).await
}

/// Accepts any chain, regardless of its signer and names. Signatures of the handshake are still verified.
#[derive(Debug)]
struct AnyChain(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyChain {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, leaf, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, leaf, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
