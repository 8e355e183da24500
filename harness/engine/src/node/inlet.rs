//! The connections from the API server to the kubelets' ports: each goes through this proxy, is recorded, and can be cut.
//!
//! It is an HTTP CONNECT proxy on a Unix socket, which an EgressSelectorConfiguration (KEP-1281) tells the API server to use.
//! So it knows the name or address that the API server wants to reach, and needs neither root nor a resolver. It only carries
//! the TLS between the two.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::uri::Authority;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::carry::{End, Way, carry, is_not_silent, is_refused};
use crate::observe::{Sink, presented};
use crate::task::Task;
use tlsboot_core::history::What;
use tlsboot_core::history::event::{ClosedBy, InboundEvent, InboundState, Presented, Recorder};
use tlsboot_core::plain::one_line;
use tlsboot_core::scenario::stimulus::CutKind;

/// The most that is read of a CONNECT's head, in bytes: it has about a hundred.
const LONGEST_HEAD: usize = 4096;
/// How long to wait for it: an API server sends it at once.
const HEAD: Duration = Duration::from_secs(10);

/// A node's port, as the API server reaches it.
#[derive(Debug)]
pub struct Inlet {
    node: String,
    kubelet: SocketAddr,
    way: watch::Sender<Way>,
    open: watch::Sender<usize>,
    next: AtomicU64,
    sink: Sink,
}

impl Inlet {
    /// The port of the node's kubelet, on this machine.
    pub fn new(node: String, kubelet: SocketAddr, sink: Sink) -> Self {
        let (way, open) = (watch::Sender::new(None), watch::Sender::new(0));
        Self { node, kubelet, way, open, next: AtomicU64::new(1), sink }
    }

    /// How many connections of API servers are open now, through to the kubelet.
    pub fn open_connections(&self) -> usize {
        *self.open.borrow()
    }

    /// Cuts the path to the port, as [`Link::cut`](super::link::Link::cut) cuts the kubelet's own. The cut has taken effect
    /// when this returns.
    pub async fn cut(&self, kind: CutKind) {
        self.way.send_replace(Some(kind));
        if kind == CutKind::Refuse {
            let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
        }
    }

    /// Restores the path.
    pub fn mend(&self) {
        self.way.send_replace(None);
    }

    fn emit(&self, id: u64, state: InboundState) {
        self.sink.emit(What::Inbound(InboundEvent { node: self.node.clone(), id, state }));
    }

    /// One connection, from the answer to its CONNECT on.
    async fn connection(&self, asked: &Authority, mut server: UnixStream) {
        let id = self.next.fetch_add(1, Ordering::SeqCst);
        let mut order = self.way.subscribe();
        let reached = tokio::select! {
            biased;
            () = is_refused(&mut order) => Err(io::ErrorKind::ConnectionRefused.into()),
            reached = self.dial() => reached,
            // A client sends nothing before it is answered, so this is its end.
            _ = server.read_u8() => Err(io::ErrorKind::UnexpectedEof.into()),
        };
        let (mut kubelet, shown) = match reached {
            Ok(reached) => reached,
            Err(error) => {
                self.emit(id, InboundState::Refused { asked: asked.to_string() });
                return refuse(server, &error.kind().to_string()).await;
            }
        };
        self.open.send_modify(|open| *open += 1);
        let certificate = shown.chain.first().map(|leaf| leaf.sha256.clone());
        self.emit(id, InboundState::Opened { asked: asked.to_string(), certificate, refused: shown.refused });
        let carrying = async {
            let answered = server.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await;
            if answered.is_err() {
                return End { by: ClosedBy::Server, reset: true };
            }
            let way = self.way.subscribe();
            carry((ClosedBy::Server, &mut server), (ClosedBy::Kubelet, &mut kubelet), Vec::new(), way).await
        };
        let end = tokio::select! {
            biased;
            () = is_refused(&mut order) => End { by: ClosedBy::Link, reset: true },
            end = carrying => end,
        };
        if end.reset {
            let _ = kubelet.set_zero_linger();
        }
        drop((server, kubelet));
        self.emit(id, InboundState::Closed { by: end.by });
        self.open.send_modify(|open| *open -= 1);
    }

    /// Connects to the kubelet, unless the path is silent, and checks which certificate it presents now: TLS 1.3 hides that
    /// from a proxy.
    async fn dial(&self) -> io::Result<(TcpStream, Presented)> {
        is_not_silent(&mut self.way.subscribe()).await;
        let kubelet = TcpStream::connect(self.kubelet).await?;
        kubelet.set_nodelay(true)?;
        let shown = presented::once(&self.node, self.kubelet).await.map_err(io::Error::other)?;
        Ok((kubelet, shown))
    }
}

/// The proxy of one API server. Dropping it closes everything.
#[derive(Debug)]
pub struct Proxy {
    _accepting: Task,
}

impl Proxy {
    /// Listens on a Unix socket for an API server that wants to reach these nodes, and records what it does. Needs a tokio
    /// runtime.
    ///
    /// # Errors
    /// When the socket can't be made; its path may have 107 bytes.
    pub fn open(socket: &Path, inlets: Vec<Arc<Inlet>>, sink: &Sink) -> io::Result<Self> {
        let listener = UnixListener::bind(socket)?;
        sink.started(Recorder::Inbound);
        Ok(Self { _accepting: Task::spawn(accept(listener, inlets.into())) })
    }
}

/// Where a host and a port lead. All nodes are on this machine: every address leads there, and so does every node's name,
/// with or without a domain; the port tells the kubelets apart.
fn find<'a>(inlets: &'a [Arc<Inlet>], asked: &Authority) -> Option<&'a Inlet> {
    let host = asked.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let is_named = |inlet: &Arc<Inlet>| {
        let domain = host.strip_prefix(&inlet.node.to_ascii_lowercase());
        domain.is_some_and(|domain| domain.is_empty() || domain.starts_with('.'))
    };
    let is_there = host.parse::<IpAddr>().is_ok() || inlets.iter().any(is_named);
    let inlet = inlets.iter().find(|inlet| Some(inlet.kubelet.port()) == asked.port_u16());
    inlet.filter(|_| is_there).map(AsRef::as_ref)
}

async fn accept(listener: UnixListener, inlets: Arc<[Arc<Inlet>]>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((server, _)) => {
                    connections.spawn(serve(server, Arc::clone(&inlets)));
                }
                // For example, too many open files: the connection waits in the queue.
                Err(error) => {
                    tracing::warn!(%error, "the proxy between the API server and the kubelets can't accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
}

async fn serve(mut server: UnixStream, inlets: Arc<[Arc<Inlet>]>) {
    let Ok(Ok(asked)) = timeout(HEAD, head(&mut server)).await else {
        return refuse(server, "this proxy answers CONNECT HOST:PORT only").await;
    };
    match find(&inlets, &asked) {
        Some(inlet) => inlet.connection(&asked, server).await,
        None => refuse(server, &format!("no kubelet is at {}", one_line(asked.as_str()))).await,
    }
}

/// Reads the head of a CONNECT, and returns the host and port that it names.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Authority> {
    let wrong = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    let mut head = Vec::new();
    // Byte by byte, so that nothing behind it is consumed.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == LONGEST_HEAD {
            return Err(wrong("too long"));
        }
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).map_err(|_| wrong("not UTF-8"))?;
    let mut words = head.split(' ');
    match (words.next(), words.next()) {
        (Some("CONNECT"), Some(asked)) => asked.parse().map_err(|_| wrong("no HOST:PORT")),
        _ => Err(wrong("no CONNECT")),
    }
}

/// The API server takes its error message from the status line.
async fn refuse(mut server: impl AsyncWrite + Unpin, why: &str) {
    let answer = format!("HTTP/1.1 502 {why}\r\nContent-Length: 0\r\n\r\n");
    // The client may be gone.
    let _ = server.write_all(answer.as_bytes()).await;
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use tokio::io::AsyncBufReadExt;
    use tokio::net::TcpListener;
    use tokio::sync::mpsc::UnboundedReceiver;

    use super::*;
    use crate::secret::Vault;
    use tlsboot_core::history::Event;

    struct Lab {
        dir: tempfile::TempDir,
        inlet: Arc<Inlet>,
        events: UnboundedReceiver<Event>,
        port: u16,
        _proxy: Proxy,
        _echo: Task,
    }

    async fn lab() -> Lab {
        let dir = tempfile::tempdir().unwrap();
        let (sink, events) = Sink::create(&dir.path().join("history"), Vault::new()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let kubelet = listener.local_addr().unwrap();
        let echo = Task::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut reader, mut writer) = stream.split();
                    let _ = tokio::io::copy(&mut reader, &mut writer).await;
                });
            }
        });
        let inlet = Arc::new(Inlet::new("n1".into(), kubelet, sink.clone()));
        let proxy = Proxy::open(&dir.path().join("egress.sock"), vec![Arc::clone(&inlet)], &sink).unwrap();
        Lab { dir, inlet, events, port: kubelet.port(), _proxy: proxy, _echo: echo }
    }

    impl Lab {
        /// The stream and the status line of the answer.
        async fn connect(&self, host: &str) -> (tokio::io::BufReader<UnixStream>, String) {
            let mut stream = UnixStream::connect(self.dir.path().join("egress.sock")).await.unwrap();
            let head = format!("CONNECT {host}:{} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", self.port);
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut reader = tokio::io::BufReader::new(stream);
            let mut status = String::new();
            reader.read_line(&mut status).await.unwrap();
            let mut blank = String::new();
            while blank != "\r\n"
                && reader
                    .read_line({
                        blank.clear();
                        &mut blank
                    })
                    .await
                    .unwrap()
                    > 0
            {}
            (reader, status)
        }

        async fn next(&mut self) -> (u64, InboundState) {
            loop {
                let event = timeout(Duration::from_secs(5), self.events.recv());
                if let What::Inbound(event) = event.await.unwrap().unwrap().what {
                    return (event.id, event.state);
                }
            }
        }
    }

    #[rstest]
    #[case::name("n1", true)]
    #[case::upper_case("N1", true)]
    #[case::domain("n1.example.com", true)]
    #[case::address("192.0.2.2", true)]
    #[case::ipv6("[2001:db8::7]", true)]
    #[case::another("n10", false)]
    #[tokio::test]
    async fn it_leads_by_name_and_by_address(#[case] host: &str, #[case] leads: bool) {
        let mut lab = lab().await;
        let (mut stream, status) = lab.connect(host).await;
        if !leads {
            assert!(status.starts_with("HTTP/1.1 502 no kubelet is at"), "{status}");
            return;
        }
        assert_eq!(status, "HTTP/1.1 200 Connection established\r\n");
        stream.write_all(b"ping").await.unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"ping");
        let (id, opened) = lab.next().await;
        assert!(matches!(opened, InboundState::Opened { asked, .. } if asked.starts_with(host)));
        drop(stream);
        assert_eq!(lab.next().await, (id, InboundState::Closed { by: ClosedBy::Server }));
    }

    #[tokio::test]
    async fn a_cut_closes_and_refuses_until_it_is_mended() {
        let mut lab = lab().await;
        let (mut stream, _) = lab.connect("n1").await;
        lab.next().await;
        lab.inlet.cut(CutKind::Refuse).await;
        assert_eq!(lab.inlet.open_connections(), 0);
        assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
        assert_eq!(lab.next().await.1, InboundState::Closed { by: ClosedBy::Link });
        let (_, status) = lab.connect("n1").await;
        assert_eq!(status, "HTTP/1.1 502 connection refused\r\n");
        assert!(matches!(lab.next().await.1, InboundState::Refused { .. }));
        lab.inlet.mend();
        assert!(lab.connect("n1").await.1.contains(" 200 "));
    }

    #[tokio::test]
    async fn silence_holds_back() {
        let lab = lab().await;
        let (mut stream, _) = lab.connect("n1").await;
        lab.inlet.cut(CutKind::Silence).await;
        stream.write_all(b"ping").await.unwrap();
        let mut answer = [0; 4];
        let silent = timeout(Duration::from_millis(300), stream.read_exact(&mut answer)).await;
        assert!(silent.is_err());
        lab.inlet.mend();
        timeout(Duration::from_secs(5), stream.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(&answer, b"ping");
    }

    #[rstest]
    #[case::another_method("GET / HTTP/1.1\r\n\r\n")]
    #[case::no_port("CONNECT n1\u{1b}[2J HTTP/1.1\r\n\r\n")]
    #[case::nothing("\r\n\r\n")]
    #[tokio::test]
    async fn anything_else_is_refused(#[case] head: &str) {
        let lab = lab().await;
        let mut stream = UnixStream::connect(lab.dir.path().join("egress.sock")).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    }
}
