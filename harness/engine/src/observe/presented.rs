//! The certificate that a kubelet actually presents on its port, by TLS handshakes.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::looks::QUIET;
use super::pace::Pace;
use super::{Sink, tls};
use crate::task::Task;
use tlsboot_core::history::What;
use tlsboot_core::history::event::{Presented, Recorder};
use tlsboot_core::x509::{X509Error, read};

const PACE: Pace = Pace { shortest: Duration::from_millis(250), longest: Duration::from_secs(2) };
/// A kubelet that sends nothing for this long is not answering.
const PATIENCE: Duration = Duration::from_secs(2);

/// Handshakes with a kubelet while it runs, four times a second after a change and every two seconds while the cluster
/// is idle, and records what it presents when that or the process has changed; the first handshake after each start is
/// therefore always recorded. `process` is the running kubelet's id, 0 for none. Every handshake is a full one, without
/// a client certificate. Any chain is accepted.
///
/// # Errors
/// If no TLS client can be created.
pub fn probe(
    node: String,
    address: SocketAddr,
    sink: Sink,
    mut process: watch::Receiver<u32>,
) -> Result<Task, X509Error> {
    let (client, hints) = tls::curious_client()?;
    sink.started(Recorder::Presented);
    Ok(Task::spawn(async move {
        let mut last = None;
        loop {
            let pid = *process.borrow_and_update();
            let now = sink.mono();
            if pid != 0 {
                let seen = (pid, look(&client, &hints, &node, address).await);
                // What a process presents that exits in the meantime cannot be attributed.
                let is_current = *process.borrow() == pid;
                if is_current && last.as_ref() != Some(&seen) {
                    sink.emit(What::Presented(Box::new(seen.1.clone())));
                    last = Some(seen);
                }
            }
            sink.looked(Recorder::Presented, &node, now);
            let pace = if pid == 0 { Pace::even(QUIET) } else { PACE };
            let changed = tokio::select! {
                changed = process.changed() => changed,
                () = pace.wait(&sink) => Ok(()),
            };
            if changed.is_err() {
                return;
            }
        }
    }))
}

/// One handshake, outside any history.
///
/// # Errors
/// If no TLS client can be created.
pub async fn once(node: &str, address: SocketAddr) -> Result<Presented, X509Error> {
    let (client, hints) = tls::curious_client()?;
    Ok(look(&client, &hints, node, address).await)
}

async fn look(client: &TlsConnector, hints: &tls::Hints, node: &str, address: SocketAddr) -> Presented {
    let seen = timeout(PATIENCE, tls::connect(client, address)).await;
    let (chain, refused) = match seen {
        Ok(Ok(stream)) => {
            let (_, session) = stream.get_ref();
            let chain = session.peer_certificates().unwrap_or_default();
            let facts: Result<_, _> = chain.iter().map(|der| read::certificate(der)).collect();
            match facts {
                Ok(facts) => (facts, None),
                Err(error) => (Vec::new(), Some(format!("unreadable {error}"))),
            }
        }
        Ok(Err(error)) => (Vec::new(), Some(why_not(&error))),
        Err(_) => (Vec::new(), Some("no handshake: no answer within 2 s".into())),
    };
    let client_cas = hints.take().iter().map(|der| ca_name(der)).collect();
    Presented { node: node.to_owned(), chain, refused, client_cas }
}

fn ca_name(der: &[u8]) -> String {
    let name = read::name(der).ok().and_then(|name| name.common_name);
    name.unwrap_or_else(|| "unreadable".into())
}

/// Why there was no handshake, without ports and other numbers that differ each time.
pub(crate) fn why_not(error: &io::Error) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
    match tls {
        Some(rustls::Error::AlertReceived(alert)) => {
            format!("tls alert: {}", words(&format!("{alert:?}")))
        }
        Some(other) => format!("no handshake: {other}"),
        None => format!("no handshake: {}", error.kind()),
    }
}

/// `InternalError` as `internal error`.
fn words(camel: &str) -> String {
    let mut words = String::new();
    for letter in camel.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use rustls::ServerConfig;
    use rustls::crypto::ring;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::server::{ClientHello, ResolvesServerCert};
    use rustls::sign::CertifiedKey;
    use tokio::net::TcpListener;
    use tokio::sync::mpsc::UnboundedReceiver;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::pki::{Authority, Validity};
    use crate::secret::Vault;
    use tlsboot_core::history::Event;

    /// Presents the certificate in it; a TLS alert if it is empty, as a kubelet without a serving certificate does.
    #[derive(Clone, Debug, Default)]
    struct Shown(Arc<Mutex<Option<Arc<CertifiedKey>>>>);

    impl ResolvesServerCert for Shown {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            self.0.lock().unwrap().clone()
        }
    }

    impl Shown {
        fn show(&self, authority: &Authority) -> String {
            let validity = Validity::for_next(Duration::from_secs(60));
            let issued = authority.issue_server("system:node:n1", &[], validity).unwrap();
            let chain = CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(issued.key_pem.expose().as_bytes()).unwrap();
            let sha256 = read::certificate(&chain).unwrap().sha256;
            let provider = ring::default_provider();
            let key = CertifiedKey::from_der(vec![chain], key, &provider).unwrap();
            *self.0.lock().unwrap() = Some(Arc::new(key));
            sha256
        }
    }

    async fn next(events: &mut UnboundedReceiver<Event>) -> Presented {
        loop {
            let event = timeout(Duration::from_secs(5), events.recv()).await;
            if let What::Presented(presented) = event.unwrap().unwrap().what {
                return *presented;
            }
        }
    }

    #[tokio::test]
    async fn changes_and_starts_are_recorded() {
        let shown = Shown::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(shown.clone()));
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let _ = acceptor.accept(stream).await;
            }
        });
        let dir = tempfile::tempdir().unwrap();
        let (sink, mut events) = Sink::create(&dir.path().join("history"), Vault::new()).unwrap();
        let (process, pid) = watch::channel(0);
        let _task = probe("n1".into(), address, sink, pid).unwrap();

        process.send(7).unwrap();
        let alert = next(&mut events).await;
        assert!(alert.refused.unwrap().starts_with("tls alert: "));
        let ca = Authority::new("ca", Validity::for_next(Duration::from_secs(60))).unwrap();
        let first = shown.show(&ca);
        assert_eq!(next(&mut events).await.chain[0].sha256, first);
        process.send(8).unwrap();
        assert_eq!(next(&mut events).await.chain[0].sha256, first);
        server.abort();
        let _ = server.await;
        let refused = next(&mut events).await.refused;
        assert_eq!(refused.as_deref(), Some("no handshake: connection refused"));
    }

    #[test]
    fn alerts_in_words() {
        assert_eq!(words("InternalError"), "internal error");
        assert_eq!(words("HandshakeFailure"), "handshake failure");
    }
}
