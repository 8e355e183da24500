//! Metrics of kubelets and the controller-manager about certificates (catalogue T-13).

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Sink;
use super::pace::Pace;
use super::tls;
pub use super::tls::ClientIdentity;
use crate::task::Task;
use tlsboot_core::history::What;
use tlsboot_core::history::event::{MetricsEvent, Recorder};
use tlsboot_core::x509::X509Error;

const PACE: Pace = Pace { shortest: Duration::from_secs(1), longest: Duration::from_secs(10) };
const PATIENCE: Duration = Duration::from_secs(5);

/// Names with these prefixes are recorded. The controller-manager of 1.37 has none of them: all that it counts about
/// CSRs are the work queues of its controllers.
const PREFIXES: &[&str] = &[
    "apiserver_certificates_registry_csr_",
    "certificate_manager_",
    "kubelet_certificate_manager_",
    "kubelet_server_expiration_renew_errors",
    "kubernetes_feature_enabled{name=\"RotateKubeletServerCertificate\"",
];
/// These count down each second. They are recorded when they increase by more than this (a new certificate) or change
/// to or from `+Inf` (none); counting down is not a change.
const COUNTS_DOWN: &str = "_ttl_seconds";
const JUMP: f64 = 5.0;

/// How a component serves its metrics.
#[derive(Clone, Copy, Debug)]
pub enum Port<'a> {
    /// Over TLS, to this client.
    Tls(Option<&'a ClientIdentity>),
    /// Without.
    Plain,
}

/// Scrapes `https://ADDRESS/metrics` once a second after a change and every ten seconds while the cluster is idle, and
/// records the values that changed, of all metrics about the certificate manager. A gauge that ends with `_ttl_seconds`
/// is recorded at first sight and when it jumps. Kubelets require a client certificate; the controller-manager does
/// not.
///
/// It reports immediately that it has started: a component that cannot be reached or refuses the handshake is normal (a
/// kubelet without a serving certificate cannot be scraped, catalogue T-10), and counters keep their values.
///
/// # Errors
/// If the client certificate cannot be used.
pub fn scrape(
    component: String,
    node: Option<String>,
    address: SocketAddr,
    port: Port<'_>,
    sink: Sink,
) -> Result<Task, X509Error> {
    let client = match port {
        Port::Tls(identity) => Some(tls::client(identity)?),
        Port::Plain => None,
    };
    sink.started(Recorder::Metrics);
    Ok(Task::spawn(async move {
        let mut known = BTreeMap::new();
        let source = node.clone().unwrap_or_else(|| component.clone());
        loop {
            let now = sink.mono();
            let got = tokio::time::timeout(PATIENCE, get(client.as_ref(), address)).await;
            let text = got.map(Result::unwrap_or_default).unwrap_or_default();
            let values = changed(&mut known, parse(&text));
            if !values.is_empty() {
                sink.emit(What::Metrics(MetricsEvent { component: component.clone(), node: node.clone(), values }));
            }
            sink.looked(Recorder::Metrics, &source, now);
            PACE.wait(&sink).await;
        }
    }))
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Uses HTTP/1.0, which needs no more than reading to the end.
async fn get(client: Option<&TlsConnector>, address: SocketAddr) -> io::Result<String> {
    let mut stream: Box<dyn Stream> = match client {
        Some(client) => Box::new(tls::connect(client, address).await?),
        None => Box::new(TcpStream::connect(address).await?),
    };
    let version = env!("CARGO_PKG_VERSION");
    let request = format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\nUser-Agent: tlsboot/{version}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    if head.split(' ').nth(1) != Some("200") {
        let status = head.lines().next().unwrap_or_default();
        return Err(io::Error::other(format!("/metrics: {status}")));
    }
    Ok(body.to_owned())
}

/// Parses Prometheus' text format: `name{labels} value [timestamp]`, one per line.
fn parse(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter(|line| PREFIXES.iter().any(|prefix| line.starts_with(prefix)))
        .filter_map(|line| {
            // Label values may contain blanks and braces; the value comes after the last brace.
            let end = line.rfind('}').map(|brace| brace + 1);
            let (name, rest) = line.split_at(end.or_else(|| line.find(' '))?);
            let value = rest.split_whitespace().next()?;
            Some((name.to_owned(), value.to_owned()))
        })
        .collect()
}

/// The values that are worth recording, and what is known from now on.
fn changed(known: &mut BTreeMap<String, String>, now: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let changed = now.clone().into_iter().filter(|(name, value)| {
        let before = known.get(name);
        match before {
            Some(before) if is_countdown(name) => jumps(before, value),
            _ => before != Some(value),
        }
    });
    let changed = changed.collect();
    known.extend(now);
    changed
}

fn is_countdown(name: &str) -> bool {
    let bare = name.split('{').next().unwrap_or_default();
    bare.ends_with(COUNTS_DOWN)
}

fn jumps(before: &str, now: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().unwrap_or(f64::NAN);
    let (before, now) = (number(before), number(now));
    before.is_infinite() != now.is_infinite() || now - before > JUMP
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const TEXT: &str = "\
# HELP kubelet_certificate_manager_client_ttl_seconds [ALPHA] Gauge of the TTL
# TYPE kubelet_certificate_manager_client_ttl_seconds gauge
kubelet_certificate_manager_client_ttl_seconds 131
kubelet_certificate_manager_client_expiration_renew_errors 0
kubelet_certificate_manager_server_rotation_seconds_bucket{le=\"60\"} 0
kubelet_certificate_manager_server_rotation_seconds_bucket{le=\"+Inf\"} 1
kubelet_certificate_manager_server_ttl_seconds +Inf
kubelet_server_expiration_renew_errors 2 1700000000000
kubernetes_build_info{major=\"1\"} 1
workqueue_adds_total{name=\"DynamicCABundle-csr-controller\"} 4
";

    #[test]
    fn only_certificate_metrics_are_read() {
        let values = parse(TEXT);
        assert_eq!(values.len(), 6);
        assert_eq!(values["kubelet_certificate_manager_client_ttl_seconds"], "131");
        let bucket = "kubelet_certificate_manager_server_rotation_seconds_bucket{le=\"+Inf\"}";
        assert_eq!(values[bucket], "1");
        assert_eq!(values["kubelet_server_expiration_renew_errors"], "2");
    }

    #[rstest]
    #[case("131", "130", false)]
    #[case("131", "10", false)]
    #[case("10", "14", false)]
    #[case("10", "131", true)]
    #[case("3", "+Inf", true)]
    #[case("+Inf", "131", true)]
    #[case("+Inf", "+Inf", false)]
    fn countdown_is_no_change(#[case] before: &str, #[case] now: &str, #[case] worth: bool) {
        let name = "kubelet_certificate_manager_client_ttl_seconds";
        let of = |value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let mut known = BTreeMap::new();
        assert_eq!(changed(&mut known, of(before)).len(), 1);
        assert_eq!(changed(&mut known, of(now)).len(), usize::from(worth));
        assert_eq!(known[name], now);
    }

    #[test]
    fn other_values_are_recorded_when_they_change() {
        let mut known = BTreeMap::new();
        assert_eq!(changed(&mut known, parse(TEXT)).len(), 6);
        assert!(changed(&mut known, parse(TEXT)).is_empty());
        let later = TEXT.replace("renew_errors 2", "renew_errors 3");
        let values = changed(&mut known, parse(&later));
        assert_eq!(
            values.into_iter().collect::<Vec<_>>(),
            [("kubelet_server_expiration_renew_errors".into(), "3".into())]
        );
    }
}
