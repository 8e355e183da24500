//! API requests, as the API server's audit log shows them.
//!
//! The log is JSON, one audit.k8s.io/v1 Event per line, at level Metadata, without the stage RequestReceived.
//!
//! To keep a history small, not every request is recorded. Recorded are
//! - all requests that come through a node's link, recognized by its source address;
//! - requests about the group `certificates.k8s.io` by any user, except the API server's own;
//! - requests of other users that are nodes, use a bootstrap token, or do not belong to the control plane (`system:…`),
//!   and those whose authentication failed. tlsboot's own requests of this kind are left out, by their user agent.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde::de::Error as _;

use super::Sink;
use super::pace::Pace;
use super::tail::Followed;
use crate::cluster::shared::tokens::ADMINISTRATOR;
use crate::task::Task;
use tlsboot_core::history::What;
use tlsboot_core::history::event::{CREDENTIAL_ID, NODE_USER_PREFIX, Recorder, RequestEvent, WHOLE_CLUSTER};
use tlsboot_core::time::Shift;

/// Verdicts wait for it.
const PACE: Pace = Pace::even(Duration::from_millis(15));

/// Records the requests of an audit log as it grows; `nodes` says which node's link has which source address. Waits for
/// the file, and reports that it has started when the file exists. Successive API servers may append to the same file.
/// A file that is truncated or replaced is a gap, and so is a line that cannot be read.
pub fn tail(path: PathBuf, nodes: BTreeMap<IpAddr, String>, sink: Sink) -> Task {
    let mut reader = Reader::new(nodes);
    let log = Followed {
        path,
        name: "the audit log".into(),
        recorder: Recorder::Audit,
        source: WHOLE_CLUSTER.into(),
        pace: PACE,
    };
    log.follow(sink, move |line, sink| reader.record(line, sink))
}

/// Turns lines into events.
struct Reader {
    nodes: BTreeMap<IpAddr, String>,
    /// Requests that were recorded at an earlier stage than their last one.
    early: HashSet<String>,
}

impl Reader {
    fn new(nodes: BTreeMap<IpAddr, String>) -> Self {
        Self { nodes, early: HashSet::new() }
    }

    fn record(&mut self, line: &str, sink: &Sink) {
        match self.read(line) {
            Ok(None) => {}
            Ok(Some((at, mut request))) => {
                // Where the log has whole seconds, the end of one may be still to come.
                let at = at.min(Timestamp::now());
                request.message = sink.vault().scrub(&request.message);
                sink.emit_at(at, What::Request(Box::new(request)));
            }
            Err(error) => {
                let why = format!("a line of the audit log can't be read: {error}");
                sink.gap(Recorder::Audit, why);
            }
        }
    }

    /// The request of a line, if it is to be recorded, at the first stage that shows its status code: ResponseStarted
    /// for watches and failed authentication, ResponseComplete for the rest, Panic if the handler panicked.
    fn read(&mut self, line: &str) -> serde_json::Result<Option<(Timestamp, RequestEvent)>> {
        let line: Line = serde_json::from_str(line)?;
        let complete = match line.stage.as_str() {
            "ResponseComplete" => true,
            "ResponseStarted" | "Panic" => false,
            _ => return Ok(None),
        };
        let Some(code) = line.response_status.as_ref().and_then(|status| status.code) else {
            return Ok(None);
        };
        let fresh =
            if complete { !self.early.remove(&line.audit_id) } else { self.early.insert(line.audit_id.clone()) };
        let node = self.node(&line);
        let wanted = fresh && (node.is_some() || is_of_interest(&line));
        let at = line.at().ok_or_else(|| serde_json::Error::custom("it has no time"))?;
        Ok(wanted.then(|| (at, request(line, node, code))))
    }

    /// The last address is the peer's own; those before it are what a client claims by X-Forwarded-For.
    fn node(&self, line: &Line) -> Option<String> {
        let peer: IpAddr = line.source_ips.last()?.parse().ok()?;
        self.nodes.get(&peer).cloned()
    }
}

/// The rule for requests that did not come through a node's link.
fn is_of_interest(line: &Line) -> bool {
    let user = line.user.username.as_str();
    if line.object_ref.api_group == "certificates.k8s.io" {
        return user != "system:apiserver";
    }
    // Any user that records events: that none are recorded about CSRs can only be shown where it would be seen
    // (catalogue C-20).
    if line.verb == "create" && line.object_ref.resource == "events" {
        return true;
    }
    // The token cleaner's work (catalogue A-11).
    if line.verb == "delete" && line.object_ref.name.starts_with("bootstrap-token-") {
        return true;
    }
    let is_control_plane =
        user.starts_with("system:") && !user.starts_with(NODE_USER_PREFIX) && !user.starts_with("system:bootstrap:");
    // Up to 1.10 events do not name the user agent.
    let is_ours = match line.user_agent.as_str() {
        "" => user == ADMINISTRATOR,
        agent => agent.starts_with("tlsboot"),
    };
    !is_control_plane && !is_ours
}

fn request(line: Line, node: Option<String>, code: u16) -> RequestEvent {
    let (user, object) = (line.user, line.object_ref);
    let status = line.response_status.unwrap_or_default();
    let credential = user.extra.get(CREDENTIAL_ID).and_then(|ids| ids.first());
    RequestEvent {
        audit_id: line.audit_id,
        node,
        credential_id: credential.cloned(),
        user: (!user.username.is_empty()).then_some(user.username),
        groups: user.groups,
        verb: line.verb,
        path: first_part(&line.request_uri, '?'),
        group: object.api_group,
        resource: object.resource,
        subresource: object.subresource,
        name: object.name,
        namespace: object.namespace,
        code,
        reason: status.reason,
        message: status.message,
        user_agent: first_part(&line.user_agent, ' '),
    }
}

fn first_part(text: &str, end: char) -> String {
    text.split(end).next().unwrap_or_default().to_owned()
}

/// A line of the log, as far as it is used.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(rename = "auditID")]
    audit_id: String,
    stage: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    #[serde(default)]
    user: User,
    #[serde(rename = "sourceIPs", default)]
    source_ips: Vec<String>,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: ObjectRef,
    response_status: Option<Status>,
    request_received_timestamp: Option<Timestamp>,
    /// Up to 1.8 there is only this, in whole seconds.
    timestamp: Option<Timestamp>,
}

impl Line {
    /// When the request was received; the end of its second where only that is known, so that it does not come before what
    /// caused it.
    fn at(&self) -> Option<Timestamp> {
        let end = |second: Timestamp| second.later(SignedDuration::from_millis(999));
        self.request_received_timestamp.or_else(|| self.timestamp.map(end))
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct User {
    username: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    api_group: String,
    resource: String,
    subresource: String,
    name: String,
    namespace: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    code: Option<u16>,
    reason: String,
    message: String,
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// Unmodified lines of a 1.37.2 API server.
    const CREATE: &str = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"cfa621cb-9445-4401-b50e-effb07e026a6","stage":"ResponseComplete","requestURI":"/apis/certificates.k8s.io/v1/certificatesigningrequests","verb":"create","user":{"username":"kubelet-bootstrap","uid":"kb","groups":["system:bootstrappers","system:authenticated"]},"sourceIPs":["127.0.0.1"],"userAgent":"kubelet/v0.0.0 (linux/amd64) kubernetes/$Format","objectRef":{"resource":"certificatesigningrequests","apiGroup":"certificates.k8s.io","apiVersion":"v1"},"responseStatus":{"metadata":{},"code":201},"requestReceivedTimestamp":"2026-11-24T03:50:42.577460Z","stageTimestamp":"2026-11-24T03:50:42.579546Z","annotations":{"authorization.k8s.io/decision":"allow"}}"#;
    const WATCH: &str = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"2e71fc91-13b3-4826-9a23-19edc83dff5f","stage":"ResponseStarted","requestURI":"/api/v1/services?allowWatchBookmarks=true\u0026watch=true","verb":"watch","user":{"username":"system:node:n1","groups":["system:nodes","system:authenticated"],"extra":{"authentication.kubernetes.io/credential-id":["X509SHA256=6837260c2052301cfb78b1e79a54996fbfde1ff272bd8f88fc2d5914b479aa90"]}},"sourceIPs":["127.0.1.1"],"userAgent":"kubelet/v0.0.0 (linux/amd64) kubernetes/$Format","objectRef":{"resource":"services","apiVersion":"v1"},"responseStatus":{"metadata":{},"code":200},"requestReceivedTimestamp":"2026-11-24T03:50:42.813802Z","stageTimestamp":"2026-11-24T03:50:42.815960Z"}"#;
    const UNAUTHORIZED: &str = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"a78d8efe-564d-485a-b784-6306b8644696","stage":"ResponseStarted","requestURI":"/api/v1/nodes/n1","verb":"get","user":{},"sourceIPs":["127.0.1.1"],"userAgent":"curl/7.88.1","objectRef":{"resource":"nodes","name":"n1","apiVersion":"v1"},"responseStatus":{"metadata":{},"status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401},"requestReceivedTimestamp":"2026-11-24T03:55:53.041495Z","stageTimestamp":"2026-11-24T03:55:53.041756Z"}"#;
    const FORBIDDEN: &str = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"6181bcf6-32b5-4506-8d10-4d78dcd94623","stage":"ResponseComplete","requestURI":"/api/v1/nodes/n1","verb":"get","user":{"username":"kubelet-bootstrap","uid":"kb","groups":["system:bootstrappers","system:authenticated"]},"sourceIPs":["127.0.0.1"],"userAgent":"curl/7.88.1","objectRef":{"resource":"nodes","name":"n1","apiVersion":"v1"},"responseStatus":{"metadata":{},"status":"Failure","message":"nodes \"n1\" is forbidden: User \"kubelet-bootstrap\" cannot get resource \"nodes\" in API group \"\" at the cluster scope","reason":"Forbidden","details":{"name":"n1","kind":"nodes"},"code":403},"requestReceivedTimestamp":"2026-11-24T03:55:53.053240Z","stageTimestamp":"2026-11-24T03:55:53.053710Z"}"#;
    const CONTROL_PLANE: &str = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"4bbcabbf-6c2c-41f7-a822-b57c53fdb4bf","stage":"ResponseComplete","requestURI":"/api/v1/limitranges?watch=true","verb":"watch","user":{"username":"system:apiserver","groups":["system:authenticated","system:masters"]},"sourceIPs":["127.0.0.1"],"userAgent":"kube-apiserver/v0.0.0 (linux/amd64) kubernetes/$Format","objectRef":{"resource":"limitranges","apiVersion":"v1"},"responseStatus":{"metadata":{},"code":200},"requestReceivedTimestamp":"2026-11-24T03:50:40.418774Z","stageTimestamp":"2026-11-24T03:55:50.420125Z"}"#;

    fn reader() -> Reader {
        Reader::new(BTreeMap::from([([127, 0, 1, 1].into(), "n1".to_owned())]))
    }

    fn read(line: &str) -> Option<(Timestamp, RequestEvent)> {
        reader().read(line).unwrap()
    }

    #[test]
    fn creation_of_a_csr() {
        let (at, request) = read(CREATE).unwrap();
        assert_eq!(at.to_string(), "2026-11-24T03:50:42.57746Z");
        assert_eq!(request.user.as_deref(), Some("kubelet-bootstrap"));
        assert_eq!((request.verb.as_str(), request.code), ("create", 201));
        assert_eq!(request.resource, "certificatesigningrequests");
        assert_eq!((request.node, request.credential_id), (None, None));
        assert_eq!(request.user_agent, "kubelet/v0.0.0");
    }

    #[test]
    fn watch_is_recorded_once_at_its_start() {
        let mut reader = reader();
        let (_, request) = reader.read(WATCH).unwrap().unwrap();
        assert_eq!(request.node.as_deref(), Some("n1"));
        assert_eq!(request.path, "/api/v1/services");
        assert!(request.credential_id.unwrap().starts_with("X509SHA256=6837"));
        let end = WATCH.replace("ResponseStarted", "ResponseComplete");
        assert_eq!(reader.read(&end).unwrap(), None);
        assert!(reader.early.is_empty());
    }

    #[test]
    fn failed_authentication_has_no_user() {
        let (_, request) = read(UNAUTHORIZED).unwrap();
        assert_eq!((request.user, request.code), (None, 401));
        assert_eq!(request.reason, "Unauthorized");
        assert_eq!(request.node.as_deref(), Some("n1"));
    }

    #[test]
    fn refusal_carries_its_message() {
        let (_, request) = read(FORBIDDEN).unwrap();
        assert_eq!((request.code, request.reason.as_str()), (403, "Forbidden"));
        assert!(request.message.contains("cannot get resource"));
    }

    const DELETE_TOKEN: &str = r#"{"auditID":"d1","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/kube-system/secrets/bootstrap-token-4fbaff","verb":"delete","user":{"username":"system:serviceaccount:kube-system:token-cleaner"},"sourceIPs":["127.0.0.1"],"userAgent":"kube-controller-manager/v0.0.0","objectRef":{"resource":"secrets","namespace":"kube-system","name":"bootstrap-token-4fbaff"},"responseStatus":{"code":200},"requestReceivedTimestamp":"2026-11-24T04:38:05.428073Z"}"#;

    #[rstest]
    #[case::control_plane(CONTROL_PLANE.into(), false)]
    #[case::by_tlsboot(FORBIDDEN.replace("curl/7.88.1", "tlsboot/0.1.0"), false)]
    #[case::csr_by_tlsboot(CREATE.replace("kubelet/v0.0.0", "tlsboot/0.1.0"), true)]
    #[case::api_server_itself(CREATE.replace("kubelet-bootstrap", "system:apiserver"), false)]
    #[case::bootstrap_token(FORBIDDEN.replace("kubelet-bootstrap", "system:bootstrap:abcdef"), true)]
    #[case::service_account(FORBIDDEN.replace("kubelet-bootstrap", "system:serviceaccount:a:b"), false)]
    #[case::signer(CREATE.replace("kubelet-bootstrap", "system:serviceaccount:kube-system:certificate-controller"), true)]
    #[case::token_cleaner(DELETE_TOKEN.into(), true)]
    #[case::claimed_address(CONTROL_PLANE.replace(r#"["127.0.0.1"]"#, r#"["127.0.1.1","127.0.0.1"]"#), false)]
    #[case::received(CREATE.replace("ResponseComplete", "RequestReceived"), false)]
    #[case::panic(CREATE.replace("ResponseComplete", "Panic"), true)]
    fn rule(#[case] line: String, #[case] recorded: bool) {
        assert_eq!(read(&line).is_some(), recorded);
    }

    /// A line of a 1.8.0 API server, shortened: whole seconds, and no user agent.
    const OF_1_8: &str = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1beta1","metadata":{"creationTimestamp":"2026-11-27T22:37:41Z"},"level":"Metadata","timestamp":"2026-11-27T22:37:41Z","auditID":"8ae58145-04ea-4a1a-86b7-66e356d7f267","stage":"ResponseComplete","requestURI":"/apis/certificates.k8s.io/v1beta1/certificatesigningrequests","verb":"create","user":{"username":"kubelet-bootstrap","uid":"10001","groups":["system:bootstrappers"]},"sourceIPs":["127.0.1.1"],"objectRef":{"resource":"certificatesigningrequests","apiGroup":"certificates.k8s.io","apiVersion":"v1beta1"},"responseStatus":{"metadata":{},"code":201}}"#;

    #[test]
    fn an_old_line_has_the_end_of_its_second() {
        let (at, request) = read(OF_1_8).unwrap();
        assert_eq!(at.to_string(), "2026-11-27T22:37:41.999Z");
        assert_eq!((request.code, request.node.as_deref()), (201, Some("n1")));
    }

    #[rstest]
    #[case::ours(ADMINISTRATOR, false)]
    #[case::others("jane", true)]
    fn without_a_user_agent_the_user_tells(#[case] user: &str, #[case] recorded: bool) {
        let line = OF_1_8.replace("certificates.k8s.io", "rbac").replace("kubelet-bootstrap", user);
        assert_eq!(read(&line.replace("127.0.1.1", "127.0.0.1")).is_some(), recorded);
    }

    #[test]
    fn a_line_without_a_time_is_an_error() {
        assert!(reader().read(&OF_1_8.replace(r#""timestamp":"2026-11-27T22:37:41Z","#, "")).is_err());
    }

    #[test]
    fn torn_line_is_an_error() {
        assert!(reader().read(&CREATE[..300]).is_err());
    }
}
