//! Bounded answers: each request has a deadline, and each body a size limit. The server is untrusted.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use kube::client::{Body, ClientBuilder};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tower::{BoxError, Service};

/// How long a request may take, to the last byte of its answer.
pub(super) const ANSWER: Duration = Duration::from_secs(30);
/// The largest answer, in bytes: four times that of five hundred Nodes with a long list of images each.
const LARGEST: u64 = 64 << 20;

/// A client whose answers are bounded. A watch has no deadline: it ends when its reader does.
pub(super) fn client(config: kube::Config) -> Result<kube::Client, kube::Error> {
    with(config, ANSWER, LARGEST)
}

fn with(config: kube::Config, within: Duration, largest: u64) -> Result<kube::Client, kube::Error> {
    let layer = tower::layer::layer_fn(move |inner| Bounded { inner, within, largest });
    Ok(ClientBuilder::try_from(config)?.with_layer(&layer).build())
}

/// Why an answer was not read to its end.
#[derive(Debug, thiserror::Error)]
enum Unbounded {
    #[error("there was no complete answer within {} s", .0.as_secs())]
    Late(Duration),
    #[error("the answer is larger than {} MiB", .0 >> 20)]
    Long(u64),
}

struct Bounded<S> {
    inner: S,
    within: Duration,
    largest: u64,
}

impl<S, B> Service<Request<Body>> for Bounded<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<BoundedBody<B>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (within, largest) = (self.within, self.largest);
        let is_watch = request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"));
        let deadline = Instant::now() + within;
        let answer = self.inner.call(request);
        async move {
            let response = timeout_at(deadline, answer).await.map_err(|_| Unbounded::Late(within))??;
            let deadline = (!is_watch).then(|| Box::pin(sleep_until(deadline)));
            Ok(response.map(|inner| BoundedBody { inner, deadline, within, left: largest, largest }))
        }
        .boxed()
    }
}

struct BoundedBody<B> {
    inner: B,
    deadline: Option<Pin<Box<Sleep>>>,
    within: Duration,
    left: u64,
    largest: u64,
}

impl<B> http_body::Body for BoundedBody<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(deadline) = &mut self.deadline
            && deadline.poll_unpin(context).is_ready()
        {
            return Poll::Ready(Some(Err(Unbounded::Late(self.within).into())));
        }
        let frame = match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
            None => return Poll::Ready(None),
            Some(frame) => frame.map_err(Into::into)?,
        };
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        Poll::Ready(Some(match self.left.checked_sub(length) {
            Some(left) => {
                self.left = left;
                Ok(frame)
            }
            None => Err(Unbounded::Long(self.largest).into()),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use rstest::rstest;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers with this again and again, with a pause in between.
    async fn server(head: &'static str, piece: &'static [u8], pause: Duration) -> kube::Config {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut request = [0; 4096];
                    let _ = stream.read(&mut request).await;
                    let _ = stream.write_all(head.as_bytes()).await;
                    while stream.write_all(piece).await.is_ok() {
                        tokio::time::sleep(pause).await;
                    }
                });
            }
        });
        kube::Config::new(format!("http://{address}").parse().unwrap())
    }

    const ENDLESS: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";

    #[rstest]
    #[case::without_end(ENDLESS, &[b' '; 4096], 0, "larger than 1 MiB")]
    #[case::a_byte_at_a_time(ENDLESS, b" ", 20, "within 1 s")]
    #[case::no_head("", b"", 20, "within 1 s")]
    #[tokio::test]
    async fn an_answer_ends(
        #[case] head: &'static str,
        #[case] piece: &'static [u8],
        #[case] pause: u64,
        #[case] words: &str,
    ) {
        let config = server(head, piece, Duration::from_millis(pause)).await;
        let client = with(config, Duration::from_secs(1), 1 << 20).unwrap();
        let error = client.request_text(Request::get("/version").body(Vec::new()).unwrap()).await.unwrap_err();
        assert!(super::super::chain(&error).contains(words), "{error:?}");
    }
}
