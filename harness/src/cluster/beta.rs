//! Up to 1.18 the API server has CSRs in certificates.k8s.io/v1beta1 only, which differ from those of v1 in little but
//! their name (`staging/src/k8s.io/api/certificates`). So a client of such a server speaks v1 inside, and v1beta1 on the wire.

use bytes::Bytes;
use futures::FutureExt;
use http::uri::PathAndQuery;
use http::{Request, Response, Uri};
use http_body_util::BodyExt;
use kube::client::{Body, ClientBuilder, DynBody};
use tower::ServiceBuilder;

const V1: &str = "certificates.k8s.io/v1";
const BETA: &str = "certificates.k8s.io/v1beta1";

/// A client of an API server that has no CSRs of v1.
pub(super) fn client(config: kube::Config) -> Result<kube::Client, kube::Error> {
    let layer = ServiceBuilder::new()
        .map_request(request)
        .map_response(response);
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
    let path = parts
        .path_and_query
        .as_ref()
        .map_or("", PathAndQuery::as_str);
    let renamed = path.replacen(&format!("/apis/{V1}/"), &format!("/apis/{BETA}/"), 1);
    parts.path_and_query = renamed.parse().ok();
    Uri::from_parts(parts).unwrap_or(uri)
}

fn response(response: Response<Box<DynBody>>) -> Response<Box<DynBody>> {
    response.map(|body| {
        let mut renaming = Renaming::default();
        let body = body.map_frame(move |frame| frame.map_data(|bytes| renaming.pass(&bytes)));
        Box::new(body) as Box<DynBody>
    })
}

/// Renames in a stream, which may be cut anywhere.
#[derive(Default)]
struct Renaming {
    /// What may be the beginning of the old name. JSON never ends so.
    held: Vec<u8>,
}

impl Renaming {
    fn pass(&mut self, bytes: &[u8]) -> Bytes {
        let mut rest = std::mem::take(&mut self.held);
        rest.extend_from_slice(bytes);
        let mut passed = Vec::with_capacity(rest.len());
        let mut at = 0;
        while let Some(left) = rest.get(at..).filter(|left| !left.is_empty()) {
            if left.starts_with(BETA.as_bytes()) {
                passed.extend_from_slice(V1.as_bytes());
                at += BETA.len();
            } else if BETA.as_bytes().starts_with(left) {
                self.held = left.to_vec();
                break;
            } else {
                passed.push(left[0]);
                at += 1;
            }
        }
        passed.into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_csrs_are_asked_for_under_the_old_name() {
        let renamed = |text: &str| uri(text.parse().unwrap()).to_string();
        assert_eq!(
            renamed("https://h:1/apis/certificates.k8s.io/v1/certificatesigningrequests?watch=1"),
            "https://h:1/apis/certificates.k8s.io/v1beta1/certificatesigningrequests?watch=1"
        );
        for other in [
            "https://h:1/apis/rbac.authorization.k8s.io/v1/clusterroles",
            "https://h:1/version",
            "https://h:1/",
        ] {
            assert_eq!(renamed(other), other);
        }
    }

    #[tokio::test]
    async fn what_is_sent_says_the_old_name() {
        let text = r#"{"apiVersion":"certificates.k8s.io/v1","kind":"CertificateSigningRequest"}"#;
        let sent = request(
            Request::post("/")
                .body(Body::from(text.as_bytes().to_vec()))
                .unwrap(),
        );
        let sent = sent.into_body().collect_bytes().await.unwrap();
        assert_eq!(sent, text.replace("/v1", "/v1beta1"));
    }

    proptest! {
        /// However a stream is cut, the same comes out.
        #[test]
        fn a_stream_may_be_cut_anywhere(cuts in prop::collection::vec(1_usize..30, 1..20)) {
            let text = format!(r#"{{"apiVersion":"{BETA}","a":"certificates.k8s.io/v"}}{}"#, "\n").repeat(4);
            let mut renaming = Renaming::default();
            let mut out = Vec::new();
            let mut rest = text.as_bytes();
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                out.extend_from_slice(&renaming.pass(now));
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(String::from_utf8(out).unwrap(), text.replace(BETA, V1));
        }
    }
}
