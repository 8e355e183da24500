//! The link between a node and the API server: every connection of the node's kubelet goes through it.
//!
//! It works on TCP, and only carries the TLS between the two. It dials the API server from an address of the node's own, so
//! the audit log's `sourceIPs` identify the node even for requests without an identity.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::carry::{CHUNK, End, HELD, Way, carry, is_not_silent, is_refused};
use crate::observe::Sink;
use crate::task::Task;
use tlsboot_core::history::What;
use tlsboot_core::history::event::{ClosedBy, ConnectionEvent, ConnectionState, Recorder};
use tlsboot_core::scenario::stimulus::CutKind;

const BACKLOG: u32 = 1024;

/// A node's link. Dropping it closes everything.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    open: Arc<AtomicUsize>,
    orders: mpsc::UnboundedSender<Order>,
    _accepting: Task,
}

#[derive(Debug)]
struct Order {
    way: Way,
    done: oneshot::Sender<io::Result<()>>,
}

impl Link {
    /// Opens a node's link on a free port of `listen`, and records what happens on it. Its connections to `upstream`
    /// come from `source`, any port. Both are addresses of this machine. Needs a tokio runtime.
    ///
    /// # Errors
    /// When there is no port to listen on.
    pub fn open(node: String, listen: IpAddr, upstream: SocketAddr, source: IpAddr, sink: Sink) -> io::Result<Self> {
        Self::open_at(node, SocketAddr::new(listen, 0), upstream, source, sink)
    }

    /// The same on a given port.
    ///
    /// # Errors
    /// When the port can't be listened on.
    pub fn open_at(
        node: String,
        listen: SocketAddr,
        upstream: SocketAddr,
        source: IpAddr,
        sink: Sink,
    ) -> io::Result<Self> {
        let keeper = bind(listen)?;
        let address = keeper.local_addr()?;
        let listener = bind(address)?.listen(BACKLOG)?;
        let open = Arc::new(AtomicUsize::new(0));
        let place = Arc::new(Place {
            node,
            upstream,
            source: SocketAddr::new(source, 0),
            sink: sink.clone(),
            open: open.clone(),
        });
        let (orders, incoming) = mpsc::unbounded_channel();
        let accepting = Task::spawn(accept(place, keeper, listener, incoming));
        sink.started(Recorder::Link);
        Ok(Self { address, open, orders, _accepting: accepting })
    }

    /// Where the kubelet has to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections are open now, through to the API server.
    pub fn open_connections(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Cuts the link. The cut has taken effect when this returns.
    ///
    /// [`CutKind::Refuse`]: open connections are reset, and connecting is refused as if nothing listened; the port stays
    /// reserved meanwhile, and attempts are not recorded. [`CutKind::Silence`]: connections stay, new ones are accepted, and
    /// no data comes through. What is sent is held back, up to 1 MiB for each direction of a connection, and delivered
    /// after [`Link::mend`], as TCP does when a cable is plugged in again.
    ///
    /// # Errors
    /// When the port can't be listened on again (from `Refuse` to `Silence`).
    pub async fn cut(&self, kind: CutKind) -> io::Result<()> {
        self.order(Some(kind)).await
    }

    /// Restores the link.
    ///
    /// # Errors
    /// When the port can't be listened on again.
    pub async fn mend(&self) -> io::Result<()> {
        self.order(None).await
    }

    async fn order(&self, way: Way) -> io::Result<()> {
        let ended = || io::Error::other("the link's task has ended");
        let (done, answer) = oneshot::channel();
        let sent = self.orders.send(Order { way, done });
        sent.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

/// Takes a port, even if another socket of tlsboot's has it.
fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// What all connections of a link share.
struct Place {
    node: String,
    upstream: SocketAddr,
    source: SocketAddr,
    sink: Sink,
    open: Arc<AtomicUsize>,
}

impl Place {
    fn emit(&self, id: u64, state: ConnectionState) {
        self.sink.emit(What::Connection(ConnectionEvent { node: self.node.clone(), id, state }));
    }
}

/// Accepts connections and orders. The keeper is bound and never listens: it holds the port while nothing listens, so that
/// connecting is refused and no other process gets the port.
async fn accept(
    place: Arc<Place>,
    keeper: TcpSocket,
    listener: TcpListener,
    mut orders: mpsc::UnboundedReceiver<Order>,
) {
    let mut listener = Some(listener);
    let (way, _) = watch::channel(None);
    let mut connections = JoinSet::new();
    let mut id = 0;
    loop {
        tokio::select! {
            biased;
            order = orders.recv() => {
                let Some(order) = order else { return };
                way.send_replace(order.way);
                let outcome = if order.way == Some(CutKind::Refuse) {
                    listener = None;
                    while connections.join_next().await.is_some() {}
                    Ok(())
                } else if listener.is_none() {
                    listen_again(&keeper).map(|again| listener = Some(again))
                } else {
                    Ok(())
                };
                let _ = order.done.send(outcome);
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            kubelet = next(listener.as_ref()) => {
                id += 1;
                connections.spawn(connection(place.clone(), id, kubelet, way.subscribe()));
            }
        }
    }
}

fn listen_again(keeper: &TcpSocket) -> io::Result<TcpListener> {
    bind(keeper.local_addr()?)?.listen(BACKLOG)
}

/// The next connection. Without a listener there is none.
async fn next(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // For example, too many open files: the connection waits in the queue.
            Err(error) => {
                tracing::warn!(%error, "a link can't accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(place: Arc<Place>, id: u64, mut kubelet: TcpStream, mut way: watch::Receiver<Way>) {
    let mut order = way.clone();
    let mut held = Vec::new();
    let dialled = tokio::select! {
        biased;
        () = is_refused(&mut order) => None,
        dialled = dial(&place, &mut kubelet, &mut held, &mut way) => dialled.ok(),
    };
    let Some(mut server) = dialled else {
        let _ = kubelet.set_zero_linger();
        drop(kubelet);
        return place.emit(id, ConnectionState::Refused);
    };
    place.open.fetch_add(1, Ordering::SeqCst);
    place.emit(id, ConnectionState::Opened);
    let end = tokio::select! {
        biased;
        () = is_refused(&mut order) => End { by: ClosedBy::Link, reset: true },
        end = carry((ClosedBy::Kubelet, &mut kubelet), (ClosedBy::Server, &mut server), held, way) => end,
    };
    if end.reset {
        let _ = kubelet.set_zero_linger();
        let _ = server.set_zero_linger();
    }
    drop((kubelet, server));
    place.open.fetch_sub(1, Ordering::SeqCst);
    place.emit(id, ConnectionState::Closed { by: end.by });
}

/// Connects to the API server, unless the link is silent. An error if the kubelet gave up before.
async fn dial(
    place: &Place,
    kubelet: &mut TcpStream,
    held: &mut Vec<u8>,
    way: &mut watch::Receiver<Way>,
) -> io::Result<TcpStream> {
    loop {
        held.reserve(CHUNK);
        tokio::select! {
            biased;
            () = is_not_silent(way) => break,
            read = kubelet.read_buf(held), if held.len() < HELD => {
                if read? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
    }
    let socket = TcpSocket::new_v4()?;
    socket.bind(place.source)?;
    let server = socket.connect(place.upstream).await?;
    server.set_nodelay(true)?;
    kubelet.set_nodelay(true)?;
    Ok(server)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;
    use tokio::sync::mpsc::UnboundedReceiver;

    use super::*;
    use crate::secret::Vault;
    use tlsboot_core::history::Event;

    struct Lab {
        link: Link,
        events: UnboundedReceiver<Event>,
        peers: mpsc::UnboundedReceiver<SocketAddr>,
        _dir: tempfile::TempDir,
        _echo: Task,
    }

    async fn lab() -> Lab {
        let dir = tempfile::tempdir().unwrap();
        let (sink, events) = Sink::create(&dir.path().join("history"), Vault::new()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = listener.local_addr().unwrap();
        let (seen, peers) = mpsc::unbounded_channel();
        let echo = Task::spawn(async move {
            loop {
                let (mut stream, peer) = listener.accept().await.unwrap();
                seen.send(peer).unwrap();
                tokio::spawn(async move {
                    let (mut reader, mut writer) = stream.split();
                    let _ = tokio::io::copy(&mut reader, &mut writer).await;
                });
            }
        });
        let source = [127, 0, 1, 9].into();
        let link = Link::open("n1".into(), [127, 0, 0, 1].into(), upstream, source, sink).unwrap();
        Lab { link, events, peers, _dir: dir, _echo: echo }
    }

    impl Lab {
        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.link.address()).await.unwrap()
        }

        async fn next(&mut self) -> (u64, ConnectionState) {
            loop {
                let event = tokio::time::timeout(Duration::from_secs(5), self.events.recv());
                if let What::Connection(event) = event.await.unwrap().unwrap().what {
                    return (event.id, event.state);
                }
            }
        }
    }

    async fn ping(stream: &mut TcpStream) -> io::Result<()> {
        stream.write_all(b"ping").await?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await?;
        assert_eq!(&answer, b"ping");
        Ok(())
    }

    const BY_KUBELET: ConnectionState = ConnectionState::Closed { by: ClosedBy::Kubelet };
    const BY_LINK: ConnectionState = ConnectionState::Closed { by: ClosedBy::Link };

    #[tokio::test]
    async fn carries_from_the_source_address() {
        let mut lab = lab().await;
        let mut stream = lab.connect().await;
        ping(&mut stream).await.unwrap();
        assert_eq!(lab.peers.recv().await.unwrap().ip().to_string(), "127.0.1.9");
        assert_eq!(lab.next().await, (1, ConnectionState::Opened));
        assert_eq!(lab.link.open_connections(), 1);
        stream.write_all(b"last").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"last");
        assert_eq!(lab.next().await, (1, BY_KUBELET));
        assert_eq!(lab.link.open_connections(), 0);
    }

    #[tokio::test]
    async fn refusing_resets_and_keeps_the_port() {
        let mut lab = lab().await;
        let mut stream = lab.connect().await;
        ping(&mut stream).await.unwrap();
        lab.link.cut(CutKind::Refuse).await.unwrap();
        assert_eq!(lab.link.open_connections(), 0);
        let error = stream.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let error = TcpStream::connect(lab.link.address()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(TcpListener::bind(lab.link.address()).await.is_err());
        lab.link.mend().await.unwrap();
        ping(&mut lab.connect().await).await.unwrap();
        assert_eq!(lab.next().await, (1, ConnectionState::Opened));
        assert_eq!(lab.next().await, (1, BY_LINK));
        assert_eq!(lab.next().await, (2, ConnectionState::Opened));
    }

    #[tokio::test]
    async fn silence_holds_everything_back() {
        let mut lab = lab().await;
        let mut stream = lab.connect().await;
        ping(&mut stream).await.unwrap();
        assert_eq!(lab.next().await, (1, ConnectionState::Opened));
        lab.link.cut(CutKind::Silence).await.unwrap();
        let mut fresh = lab.connect().await;
        for stream in [&mut stream, &mut fresh] {
            let silent = tokio::time::timeout(Duration::from_millis(50), ping(stream));
            assert!(silent.await.is_err());
        }
        assert_eq!(lab.link.open_connections(), 1);
        lab.link.mend().await.unwrap();
        for stream in [&mut stream, &mut fresh] {
            let mut late = [0; 4];
            stream.read_exact(&mut late).await.unwrap();
            assert_eq!(&late, b"ping");
        }
        assert_eq!(lab.next().await, (2, ConnectionState::Opened));
    }

    #[tokio::test]
    async fn giving_up_in_silence_is_seen() {
        let mut lab = lab().await;
        let mut stream = lab.connect().await;
        ping(&mut stream).await.unwrap();
        lab.link.cut(CutKind::Silence).await.unwrap();
        let fresh = lab.connect().await;
        drop(stream);
        assert_eq!(lab.next().await, (1, ConnectionState::Opened));
        assert_eq!(lab.next().await, (1, BY_KUBELET));
        drop(fresh);
        assert_eq!(lab.next().await, (2, ConnectionState::Refused));
    }

    #[tokio::test]
    async fn absent_server_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (sink, mut events) = Sink::create(&dir.path().join("history"), Vault::new()).unwrap();
        let upstream = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let source = [127, 0, 1, 9].into();
        let link =
            Link::open("n1".into(), [127, 0, 0, 1].into(), upstream.local_addr().unwrap(), source, sink).unwrap();
        let mut stream = TcpStream::connect(link.address()).await.unwrap();
        assert!(stream.read(&mut [0]).await.is_err());
        events.recv().await.unwrap();
        let What::Connection(event) = events.recv().await.unwrap().what else {
            panic!("a refused connection is an event");
        };
        assert_eq!(event.state, ConnectionState::Refused);
    }
}
