//! Requests to a kubelet's port, as logs, commands and metrics need them: through the API server, or straight to the port.
//! Every result is recorded; the scenario says which one is expected.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsConnector;

use super::request::{client_of, credentials};
use super::{Done, DriveError, Stage};
use crate::cluster::client::{Credentials, USER_AGENT};
use crate::observe::Sink;
use crate::observe::presented::why_not;
use crate::observe::tls::{self, ClientIdentity};
use crate::poll;
use crate::secret::Secret;
use crate::task::Task;
use tlsboot_core::history::What;
use tlsboot_core::history::event::{Answer, ReachEvent, Recorder, Via};
use tlsboot_core::plain::one_line;
use tlsboot_core::scenario::stimulus::reach::Reach;
use tlsboot_core::scenario::stimulus::replace_kubelet_client::ReplaceKubeletClient;
use tlsboot_core::x509::read;

/// An API server gives a kubelet up to 30 s to accept a connection; here everything is on one machine.
const ANSWER: Duration = Duration::from_secs(10);
/// Of an answer's body no more is read, in bytes.
const MOST: usize = 64 << 10;
/// Of a message no more is kept, in characters.
const LONGEST: usize = 400;

pub(super) async fn reach(reach: &Reach, stage: &Stage<'_>) -> Result<Done, DriveError> {
    let sender = Sender::of(reach, stage).await?;
    let sink = &stage.cluster.base().sink;
    sink.started(Recorder::Reach);
    if let Some(pause) = reach.every.and_then(|every| Duration::try_from(every).ok()) {
        let proof = format!("a request to {} every {:#}", reach.node, reach.every.unwrap_or_default());
        let sending = Task::spawn(sender.send_on(pause, sink.clone()));
        stage.beside.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(sending);
        return Ok(Done::proven(proof));
    }
    let patience = reach.retry_for.unwrap_or_default().unsigned_abs();
    let reached = poll::until(Instant::now() + patience, poll::OFTEN, async || {
        let reached = sender.send(sink).await;
        let is_expected = reach.reached.as_ref().is_none_or(|expected| expected.accepts(&reached, stage.state));
        Ok::<_, DriveError>(if is_expected { Ok(reached) } else { Err(reached) })
    });
    let reached = reached.await?.unwrap_or_else(|other| other);
    let answer = reached.code.map(|code| Answer {
        code,
        reason: reached.reason.clone(),
        message: reached.message.clone(),
        object: None,
    });
    let code = reached.code.map_or("no answer".to_owned(), |code| format!("the answer {code}"));
    let proof = format!("a request to {} got {code}", reach.node);
    sink.emit(What::Reach(Box::new(reached)));
    Ok(Done { proof, answer })
}

pub(super) async fn replace_client(replace: &ReplaceKubeletClient, stage: &Stage<'_>) -> Result<Done, DriveError> {
    stage.cluster.base().replace_kubelet_client(&replace.user).await?;
    Ok(Done::proven(format!("the API server's certificate for kubelets is that of {}", replace.user)))
}

/// Sends one request like the other.
struct Sender {
    node: String,
    name: Option<String>,
    path: String,
    way: Way,
}

/// Which way, with what it takes.
enum Way {
    ApiServer(kube::Client),
    Port { address: SocketAddr, client: TlsConnector, token: Option<Secret<String>> },
}

/// What came of a request.
#[derive(Default)]
struct Reply {
    code: Option<u16>,
    body: String,
    certificate: Option<String>,
}

/// The part of a Status object that is told.
#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
}

impl Sender {
    async fn of(reach: &Reach, stage: &Stage<'_>) -> Result<Self, DriveError> {
        let way = match reach.via {
            Via::ApiServer => Way::ApiServer(client_of(&reach.by, stage).await?),
            Via::Port => {
                let (pair, token) = match credentials(&reach.by, stage).await? {
                    Credentials::None => (None, None),
                    Credentials::Token(token) => (None, Some(token)),
                    Credentials::Certificate(pair) => (Some(pair), None),
                    Credentials::CertificateAndToken(pair, token) => (Some(pair), Some(token)),
                };
                let identity = pair.map(|pair| ClientIdentity { certificate_pem: pair.certificate, key_pem: pair.key });
                let address = stage.cluster.nodes().address(&reach.node).await?;
                Way::Port { address, client: tls::client(identity.as_ref())?, token }
            }
        };
        Ok(Self { node: reach.node.to_string(), name: reach.name.clone(), path: reach.path.clone(), way })
    }

    /// Sends one request after another, and records what comes of each.
    async fn send_on(self, pause: Duration, sink: Sink) {
        let mut ticks = interval(pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let reached = self.send(&sink).await;
            sink.emit(What::Reach(Box::new(reached)));
        }
    }

    async fn send(&self, sink: &Sink) -> ReachEvent {
        let begun = Instant::now();
        let replied = timeout(ANSWER, async {
            match &self.way {
                Way::ApiServer(client) => self.through_api_server(client).await,
                Way::Port { address, client, token } => self.to_port(*address, client, token.as_ref()).await,
            }
        });
        let late = || Err(format!("no answer within {} s", ANSWER.as_secs()));
        let millis = |begun: Instant| u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (reply, status) = match replied.await.unwrap_or_else(|_| late()) {
            Ok(reply) => {
                let status = told(&reply);
                (reply, status)
            }
            Err(why) => (Reply::default(), Status { message: why, ..Status::default() }),
        };
        let clean = |text: &str| one_line(&sink.vault().scrub(text)).chars().take(LONGEST).collect();
        ReachEvent {
            node: self.node.clone(),
            name: self.name.clone(),
            via: match self.way {
                Way::ApiServer(_) => Via::ApiServer,
                Way::Port { .. } => Via::Port,
            },
            path: self.path.clone(),
            code: reply.code,
            reason: clean(&status.reason),
            message: clean(status.message.trim()),
            certificate: reply.certificate,
            millis: millis(begun),
        }
    }

    async fn through_api_server(&self, client: &kube::Client) -> Result<Reply, String> {
        let path = format!("/api/v1/nodes/{}/proxy/{}", self.node, self.path);
        let request = http::Request::get(path).body(Body::empty()).map_err(|error| error.to_string())?;
        let answer = client.send(request).await.map_err(|error| chain(&error))?;
        let code = Some(answer.status().as_u16());
        // A longer answer is not a refusal, and its body is not needed.
        let body = Limited::new(answer.into_body(), MOST).collect().await.map(|body| body.to_bytes());
        let body = String::from_utf8_lossy(&body.unwrap_or_default()).into_owned();
        Ok(Reply { code, body, certificate: None })
    }

    /// By HTTP/1.0, which needs no more than reading to the end.
    async fn to_port(
        &self,
        address: SocketAddr,
        client: &TlsConnector,
        token: Option<&Secret<String>>,
    ) -> Result<Reply, String> {
        let mut stream = tls::connect(client, address).await.map_err(|error| why_not(&error))?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let certificate = chain.first().and_then(|leaf| read::certificate(leaf).ok()).map(|leaf| leaf.sha256);
        let bearer = token.map(|token| format!("Authorization: Bearer {}\r\n", token.expose())).unwrap_or_default();
        let request =
            format!("GET /{} HTTP/1.0\r\nHost: {address}\r\nUser-Agent: {USER_AGENT}\r\n{bearer}\r\n", self.path);
        let mut answer = Vec::new();
        stream.write_all(request.as_bytes()).await.map_err(|error| why_not(&error))?;
        let most = u64::try_from(MOST).unwrap_or(u64::MAX);
        stream.take(most).read_to_end(&mut answer).await.map_err(|error| why_not(&error))?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        Ok(Reply { code: Some(code.ok_or("the answer has no status code")?), body: body.to_owned(), certificate })
    }
}

/// What a refusal says: a Status object, or a line of text.
fn told(reply: &Reply) -> Status {
    if reply.code.is_some_and(|code| (200..300).contains(&code)) {
        return Status::default();
    }
    let status = serde_json::from_str(&reply.body).ok().filter(|status: &Status| status.kind == "Status");
    status.unwrap_or_else(|| Status { message: reply.body.clone(), ..Status::default() })
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(code: u16, body: &str) -> (String, String) {
        let status = told(&Reply { code: Some(code), body: body.into(), certificate: None });
        (status.reason, status.message)
    }

    #[test]
    fn a_refusal_is_told_and_a_success_is_not() {
        let status = r#"{"kind":"Status","reason":"ServiceUnavailable","message":"error trying to reach service"}"#;
        assert_eq!(words(503, status), ("ServiceUnavailable".into(), "error trying to reach service".into()));
        assert_eq!(words(401, "Unauthorized"), (String::new(), "Unauthorized".into()));
        assert_eq!(words(200, "ok"), (String::new(), String::new()));
        assert_eq!(words(500, r#"{"kind":"Pod"}"#).1, r#"{"kind":"Pod"}"#);
    }
}
