//! The CRI endpoint of a kubelet that needs no container runtime.
//!
//! A kubelet exits when no container runtime answers on its `containerRuntimeEndpoint`, and its Node stays NotReady
//! while the runtime's status is not good. Nothing of TLS bootstrapping needs a container, so [`CriServer`] plays
//! a healthy runtime on which nothing runs: version, status, cgroup driver, image file system, and empty lists.
//! Every other method gets gRPC's UNIMPLEMENTED.
//!
//! Why not tonic or hyper: older kubelets (1.24 and 1.28 do, 1.31 does not) send the socket's path as `:authority`,
//! as their grpc-go did. That is no valid authority, and Rust's h2 refuses the call with PROTOCOL_ERROR, with no way to
//! turn that off. So the HTTP/2 connection here is our own, for all versions: `frame` and `http2`, with HPACK from
//! `loona-hpack`, which decodes headers without judging them.
//!
//! What kubelets were seen to call (1.24, 1.28, 1.33, 1.37): Version, Status, RuntimeConfig (not the older two),
//! ListPodSandbox, ListContainers, ListContainerStats, ListImages, ImageStatus (the older two), ImageFsInfo.

mod frame;
mod http2;
mod messages;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fs, io};

use tokio::net::UnixListener;
use tokio::task::{JoinHandle, JoinSet};

/// Connections at a time; a kubelet opens two, one a service.
const MAX_CONNECTIONS: usize = 32;
/// Methods that are counted, so that a client can't make the counts grow without end; the CRI has some 40.
const MAX_METHODS: usize = 200;

type Calls = Arc<Mutex<BTreeMap<String, u64>>>;

/// A CRI endpoint on a Unix socket. Dropping it ends all its connections and removes the socket.
#[derive(Debug)]
pub struct CriServer {
    socket: PathBuf,
    calls: Calls,
    task: JoinHandle<()>,
}

impl CriServer {
    /// Listens on `socket`, which only this user may then connect to (mode 0600).
    ///
    /// Needs a tokio runtime. Fails where the socket can't be made: its folder is missing, something is there
    /// already, or its path is longer than the 107 bytes that Linux allows.
    pub fn serve(socket: PathBuf) -> io::Result<Self> {
        let listener = UnixListener::bind(&socket)?;
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o600))?;
        let calls = Calls::default();
        let task = tokio::spawn(accept(listener, Arc::clone(&calls)));
        Ok(Self { socket, calls, task })
    }

    /// The socket; a kubelet wants it as `unix://` and this path.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// How often each method was called so far, by its gRPC path, such as `/runtime.v1.RuntimeService/Version`.
    /// Methods that the endpoint lacks are in it too.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for CriServer {
    fn drop(&mut self) {
        self.task.abort();
        if let Err(error) = fs::remove_file(&self.socket) {
            tracing::debug!(socket = %self.socket.display(), %error, "the CRI socket was gone already");
        }
    }
}

/// Serves every connection in a task; they all end with this one.
async fn accept(listener: UnixListener, calls: Calls) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= MAX_CONNECTIONS {
            connections.join_next().await;
        }
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let calls = Arc::clone(&calls);
                    connections.spawn(async move {
                        let answer = |path: &str| {
                            count(&calls, path);
                            messages::answer(path)
                        };
                        if let Err(error) = http2::serve(stream, answer).await {
                            tracing::debug!(%error, "a CRI connection ended");
                        }
                    });
                }
                // Out of file descriptors, most likely. The error stays until one is free, so don't spin.
                Err(error) => {
                    tracing::warn!(%error, "can't accept a CRI connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

fn count(calls: &Calls, path: &str) {
    let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(count) = calls.get_mut(path) {
        *count += 1;
    } else if calls.len() < MAX_METHODS {
        calls.insert(path.to_owned(), 1);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn the_socket_is_private_and_goes_with_the_server() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("cri.sock");
        let server = CriServer::serve(socket.clone()).unwrap();
        assert_eq!(fs::metadata(server.socket()).unwrap().permissions().mode() & 0o777, 0o600);

        let mut client = UnixStream::connect(&socket).await.unwrap();
        client.read_u8().await.unwrap();
        drop(server);
        assert!(!socket.exists());
        let mut rest = Vec::new();
        // Reset or closed, but over.
        let _ = client.read_to_end(&mut rest).await;
    }

    #[tokio::test]
    async fn nothing_is_taken_from_another_server() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("cri.sock");
        let _first = CriServer::serve(socket.clone()).unwrap();
        assert_eq!(CriServer::serve(socket.clone()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert!(socket.exists());
    }

    #[tokio::test]
    async fn a_bad_client_does_not_hurt_the_next_one() {
        let dir = tempfile::tempdir().unwrap();
        let server = CriServer::serve(dir.path().join("cri.sock")).unwrap();
        let mut bad = UnixStream::connect(server.socket()).await.unwrap();
        bad.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut goodbye = Vec::new();
        bad.read_to_end(&mut goodbye).await.unwrap();
        assert!(goodbye.ends_with(b"it doesn't speak HTTP/2"));

        let mut next = UnixStream::connect(server.socket()).await.unwrap();
        next.write_all(&http2::tests::request("/runtime.v1.RuntimeService/Status")).await.unwrap();
        next.shutdown().await.unwrap();
        let mut answer = Vec::new();
        next.read_to_end(&mut answer).await.unwrap();
        assert!(answer.windows(12).any(|bytes| bytes == b"RuntimeReady"));
        assert_eq!(server.calls(), BTreeMap::from([("/runtime.v1.RuntimeService/Status".to_owned(), 1)]));
    }

    #[test]
    fn counts_do_not_grow_without_end() {
        let calls = Calls::default();
        (0..2 * MAX_METHODS).for_each(|i| count(&calls, &i.to_string()));
        assert_eq!(calls.lock().unwrap().len(), MAX_METHODS);
    }
}
