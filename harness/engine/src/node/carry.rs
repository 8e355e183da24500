//! Carrying a connection's bytes between two peers that speak TLS with each other, over a link that can be cut.

use std::time::Duration;

use futures::future::select;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::sync::watch;

use tlsboot_core::history::event::ClosedBy;
use tlsboot_core::scenario::stimulus::CutKind;

/// How much is read at once, in bytes.
pub(super) const CHUNK: usize = 16 << 10;
/// The most that a silent link holds back for one direction of a connection, in bytes.
pub(super) const HELD: usize = 1 << 20;
/// How long one direction may stay open after the other was closed.
const HALF_CLOSED: Duration = Duration::from_secs(2);

/// The state of a link: connected, or cut.
pub(super) type Way = Option<CutKind>;

/// How a connection ended.
#[derive(Clone, Copy)]
pub(super) struct End {
    pub(super) by: ClosedBy,
    /// Reset, not closed in order.
    pub(super) reset: bool,
}

pub(super) async fn is_refused(way: &mut watch::Receiver<Way>) {
    let _ = way.wait_for(|way| *way == Some(CutKind::Refuse)).await;
}

pub(super) async fn is_not_silent(way: &mut watch::Receiver<Way>) {
    let _ = way.wait_for(|way| *way != Some(CutKind::Silence)).await;
}

/// Carries bytes both ways until both sides have closed, or one was reset. Each side comes with its name; `held` is what the
/// client has already sent.
pub(super) async fn carry(
    client: (ClosedBy, &mut (impl AsyncRead + AsyncWrite + Unpin)),
    server: (ClosedBy, &mut (impl AsyncRead + AsyncWrite + Unpin)),
    held: Vec<u8>,
    way: watch::Receiver<Way>,
) -> End {
    let ((client, client_stream), (server, server_stream)) = (client, server);
    let (from_client, to_client) = split(client_stream);
    let (from_server, to_server) = split(server_stream);
    let up = Pump { from: client, to: server, is_client: true };
    let down = Pump { from: server, to: client, is_client: false };
    let up = up.run(from_client, to_server, held, way.clone());
    let down = down.run(from_server, to_client, Vec::new(), way);
    let (first, rest) = select(Box::pin(up), Box::pin(down)).await.factor_first();
    if first.reset {
        return first;
    }
    let rest = tokio::time::timeout(HALF_CLOSED, rest).await;
    End { by: first.by, reset: rest.is_ok_and(|rest| rest.reset) }
}

/// One direction of a connection.
struct Pump {
    from: ClosedBy,
    to: ClosedBy,
    is_client: bool,
}

impl Pump {
    /// Carries bytes one way until `from` closes. While the link is silent, it reads them and holds them back.
    async fn run(
        self,
        mut reader: impl AsyncRead + Unpin,
        mut writer: impl AsyncWrite + Unpin,
        mut held: Vec<u8>,
        mut way: watch::Receiver<Way>,
    ) -> End {
        let by_reader = |reset| End { by: self.from, reset };
        let by_writer = End { by: self.to, reset: true };
        loop {
            held.reserve(CHUNK);
            tokio::select! {
                read = reader.read_buf(&mut held), if held.len() < HELD => match read {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(_) => return by_reader(true),
                },
                () = is_not_silent(&mut way), if !held.is_empty() => {
                    if writer.write_all(&held).await.is_err() {
                        return by_writer;
                    }
                    held.clear();
                }
            }
        }
        let is_silent = *way.borrow() == Some(CutKind::Silence);
        if is_silent && self.is_client {
            // The client has given up; what it sent last never arrives.
            return by_reader(true);
        }
        is_not_silent(&mut way).await;
        let flushed = writer.write_all(&held).await;
        if flushed.is_err() || writer.shutdown().await.is_err() {
            return by_writer;
        }
        by_reader(false)
    }
}
