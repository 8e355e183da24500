//! Up to 1.18 the API server serves CSRs only in certificates.k8s.io/v1beta1, where they differ little from v1 except
//! in name. A client of such a server uses v1 internally and v1beta1 on the wire.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use http::uri::PathAndQuery;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, StreamBody};
use kube::client::{Body, ClientBuilder, DynBody};
use serde_json::{Value, json};
use tower::ServiceBuilder;

use tlsboot_core::check::Role;
use tlsboot_core::history::event::{NODE_USER_PREFIX, NODES_GROUP};
use tlsboot_core::x509::read;

const V1: &str = "certificates.k8s.io/v1";
const BETA: &str = "certificates.k8s.io/v1beta1";

/// A client of an API server that does not serve v1 CSRs.
pub(crate) fn client(config: kube::Config) -> Result<kube::Client, kube::Error> {
    let layer = ServiceBuilder::new().map_request(request).map_response(response);
    Ok(ClientBuilder::try_from(config)?.with_layer(&layer).build())
}

fn request(request: Request<Body>) -> Request<Body> {
    let (mut parts, body) = request.into_parts();
    parts.uri = uri(parts.uri);
    // kube has the whole body before it sends anything.
    let body = match body.collect_bytes().now_or_never() {
        Some(Ok(bytes)) => {
            let text = String::from_utf8_lossy(&bytes);
            let renamed = text.replace(&format!("\"{V1}\""), &format!("\"{BETA}\""));
            Body::from(renamed.into_bytes())
        }
        _ => Body::empty(),
    };
    Request::from_parts(parts, body)
}

fn uri(uri: Uri) -> Uri {
    let mut parts = uri.clone().into_parts();
    let path = parts.path_and_query.as_ref().map_or("", PathAndQuery::as_str);
    let renamed = path.replacen(&format!("/apis/{V1}/"), &format!("/apis/{BETA}/"), 1);
    parts.path_and_query = renamed.parse().ok();
    Uri::from_parts(parts).unwrap_or(uri)
}

/// An answer, or each event of a watch, is a line.
fn response(response: Response<Box<DynBody>>) -> Response<Box<DynBody>> {
    response.map(|body| {
        let mut lines = Lines::default();
        let pieces = body.into_data_stream().map_ok(Some);
        let pieces = pieces.chain(stream::iter([Ok(None)])).map_ok(move |piece| {
            http_body::Frame::data(match piece {
                Some(bytes) => lines.whole(&bytes),
                None => lines.rest(),
            })
        });
        Box::new(StreamBody::new(pieces)) as Box<DynBody>
    })
}

/// Splits a stream into lines and converts them to v1.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// The lines that are complete so far.
    fn whole(&mut self, bytes: &[u8]) -> Bytes {
        self.begun.extend_from_slice(bytes);
        let end = self.begun.iter().rposition(|byte| *byte == b'\n');
        let rest = self.begun.split_off(end.map_or(0, |end| end + 1));
        let whole = std::mem::replace(&mut self.begun, rest);
        whole.split_inclusive(|byte| *byte == b'\n').flat_map(line).collect()
    }

    /// What follows the last complete line.
    fn rest(&mut self) -> Bytes {
        line(&std::mem::take(&mut self.begun)).into()
    }
}

fn line(line: &[u8]) -> Vec<u8> {
    let speaks_beta = line.windows(BETA.len()).any(|part| part == BETA.as_bytes());
    let Some(mut value) = speaks_beta.then(|| serde_json::from_slice(line).ok()).flatten() else {
        return line.to_vec();
    };
    update(&mut value);
    format!("{value}\n").into_bytes()
}

/// Converts a CSR, or a list or watch event with CSRs in it, to v1.
fn update(value: &mut Value) {
    let Some(fields) = value.as_object_mut() else {
        return;
    };
    fields.get_mut("object").into_iter().for_each(update);
    let items = fields.get_mut("items").and_then(Value::as_array_mut);
    items.into_iter().flatten().for_each(update);
    if value["apiVersion"] == BETA {
        value["apiVersion"] = json!(V1);
    }
    if value["spec"]["request"].is_string() {
        update_csr(value);
    }
}

fn update_csr(csr: &mut Value) {
    if csr["spec"]["signerName"].is_null() {
        csr["spec"]["signerName"] = json!(signer_name(&csr["spec"]));
    }
    let conditions = csr.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten() {
        // It either exists or does not.
        if condition["status"].is_null() {
            condition["status"] = json!("True");
        }
    }
}

/// The signer of a CSR that names none, as up to 1.17: the one that 1.18 assigns to it (`DefaultSignerNameFromSpec` in
/// `pkg/apis/certificates/v1beta1/defaults.go`).
fn signer_name(spec: &Value) -> &'static str {
    let usages = spec["usages"].as_array().into_iter().flatten();
    let usages: BTreeSet<&str> = usages.filter_map(Value::as_str).collect();
    let used_for = |what| usages == BTreeSet::from(["digital signature", "key encipherment", what]);
    let pem = STANDARD.decode(spec["request"].as_str().unwrap_or_default());
    let request = pem.ok().and_then(|pem| read::request(&pem).ok());
    let of_a_node = request.filter(|request| {
        let name = request.subject.common_name.as_deref().unwrap_or_default();
        request.subject.organizations == [NODES_GROUP]
            && name.starts_with(NODE_USER_PREFIX)
            && request.emails.is_empty()
            && request.uris.is_empty()
    });
    match of_a_node.map(|request| request.dns.len() + request.ips.len()) {
        Some(0) if used_for("client auth") => Role::Client.signer_name(),
        Some(1..) if used_for("server auth") => Role::Serving.signer_name(),
        _ => "kubernetes.io/legacy-unknown",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::pki::RequestBuilder;
    use tlsboot_core::x509::AltName;

    #[test]
    fn only_csrs_are_asked_for_under_the_old_name() {
        let renamed = |text: &str| uri(text.parse().unwrap()).to_string();
        assert_eq!(
            renamed("https://h:1/apis/certificates.k8s.io/v1/certificatesigningrequests?watch=1"),
            "https://h:1/apis/certificates.k8s.io/v1beta1/certificatesigningrequests?watch=1"
        );
        for other in
            ["https://h:1/apis/rbac.authorization.k8s.io/v1/clusterroles", "https://h:1/version", "https://h:1/"]
        {
            assert_eq!(renamed(other), other);
        }
    }

    #[tokio::test]
    async fn what_is_sent_says_the_old_name() {
        let text = r#"{"apiVersion":"certificates.k8s.io/v1","kind":"CertificateSigningRequest"}"#;
        let sent = request(Request::post("/").body(Body::from(text.as_bytes().to_vec())).unwrap());
        let sent = sent.into_body().collect_bytes().await.unwrap();
        assert_eq!(sent, text.replace("/v1", "/v1beta1"));
    }

    fn csr(organization: &str, names: &[AltName], usages: &[&str]) -> Value {
        let subject = tlsboot_core::history::facts::Name {
            common_name: Some("system:node:n1".into()),
            organizations: vec![organization.into()],
            ..Default::default()
        };
        let (request, _) = RequestBuilder::new(subject).alt_names(names.to_vec()).build().unwrap();
        json!({
            "apiVersion": BETA,
            "kind": "CertificateSigningRequest",
            "spec": {"request": STANDARD.encode(request), "usages": usages},
            "status": {"conditions": [{"type": "Approved"}]},
        })
    }

    const CLIENT: [&str; 3] = ["key encipherment", "digital signature", "client auth"];
    const SERVING: [&str; 3] = ["digital signature", "key encipherment", "server auth"];

    #[rstest]
    #[case::client("system:nodes", false, CLIENT, "kubernetes.io/kube-apiserver-client-kubelet")]
    #[case::serving("system:nodes", true, SERVING, "kubernetes.io/kubelet-serving")]
    #[case::client_with_a_name("system:nodes", true, CLIENT, "kubernetes.io/legacy-unknown")]
    #[case::serving_without("system:nodes", false, SERVING, "kubernetes.io/legacy-unknown")]
    #[case::other_group("nodes", false, CLIENT, "kubernetes.io/legacy-unknown")]
    fn a_csr_has_the_signer_that_1_18_would_give_it(
        #[case] organization: &str,
        #[case] named: bool,
        #[case] usages: [&str; 3],
        #[case] signer: &str,
    ) {
        let names = [AltName::Dns("n1".into())];
        let csr = csr(organization, &names[..usize::from(named)], &usages);
        for mut value in
            [csr.clone(), json!({"type": "ADDED", "object": csr}), json!({"apiVersion": BETA, "items": [csr]})]
        {
            update(&mut value);
            let found =
                [value.pointer("/object"), value.pointer("/items/0")].into_iter().flatten().next().unwrap_or(&value);
            assert_eq!(found["spec"]["signerName"], signer);
            assert_eq!(found["status"]["conditions"][0]["status"], "True");
            assert!(!value.to_string().contains(BETA));
        }
    }

    proptest! {
        /// However a stream is split, the result is the same.
        #[test]
        fn a_stream_may_be_cut_anywhere(cuts in prop::collection::vec(1_usize..60, 1..20), is_ended: bool) {
            let text = format!("{}{{\"a\":\"certificates.k8s.io/v\"}}{}", format!("{{\"apiVersion\":\"{BETA}\"}}\nok\n").repeat(3), if is_ended { "\n" } else { "" });
            let mut lines = Lines::default();
            let mut out = Vec::new();
            let mut rest = text.as_bytes();
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                out.extend_from_slice(&lines.whole(now));
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            out.extend_from_slice(&lines.rest());
            prop_assert_eq!(String::from_utf8(out).unwrap(), text.replace(BETA, V1));
        }
    }
}
