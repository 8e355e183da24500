//! What the endpoint answers: a healthy container runtime on which nothing runs.
//!
//! The messages are those of Kubernetes' `cri-api` (`pkg/apis/runtime/v1/api.proto`). A handful of fields is all
//! a kubelet needs, so they are written in protobuf's wire format by hand: no code generator, no `protoc`.

/// The CRI versions served. Kubelets from 1.24 on prefer `v1`; `v1alpha2` has the same messages; 1.26 removed it.
const VERSIONS: [&str; 2] = ["v1", "v1alpha2"];
/// The version of kubelets up to 1.9, whose package has none in its name (`/runtime.RuntimeService/Version`). They send and
/// expect the same messages.
const UNNAMED: &str = "v1alpha1";

/// The protobuf answer to the call of a gRPC path such as `/runtime.v1.RuntimeService/Version`.
/// `None`: the endpoint has no such method.
pub(super) fn answer(path: &str) -> Option<Vec<u8>> {
    let called = path.strip_prefix("/runtime.")?;
    let (version, method) = match called.split_once('.') {
        Some((version, method)) if VERSIONS.contains(&version) => (version, method),
        Some(_) => return None,
        None => (UNNAMED, called),
    };
    match method {
        "RuntimeService/Version" => Some(runtime_version(version)),
        "RuntimeService/Status" => Some(status()),
        "RuntimeService/RuntimeConfig" => Some(runtime_config()),
        "ImageService/ImageFsInfo" => Some(image_fs_info()),
        // Nothing runs here, so every list is the empty message, and so is the status of an image that isn't there.
        // UpdateRuntimeConfig brings a pod CIDR and wants nothing back.
        "RuntimeService/ListContainers"
        | "RuntimeService/ListContainerStats"
        | "RuntimeService/ListMetricDescriptors"
        | "RuntimeService/ListPodSandbox"
        | "RuntimeService/ListPodSandboxMetrics"
        | "RuntimeService/ListPodSandboxStats"
        | "RuntimeService/UpdateRuntimeConfig"
        | "ImageService/ImageStatus"
        | "ImageService/ListImages" => Some(Vec::new()),
        _ => None,
    }
}

/// `VersionResponse`: version of the kubelet's runtime API, name, version and API version of the runtime.
fn runtime_version(api: &str) -> Vec<u8> {
    [string(1, "0.1.0"), string(2, "tlsboot"), string(3, env!("CARGO_PKG_VERSION")), string(4, api)].concat()
}

/// `StatusResponse`: without both conditions true the Node never becomes Ready.
fn status() -> Vec<u8> {
    let condition = |name| message(1, &[string(1, name), varint(2, 1)].concat());
    message(1, &[condition("RuntimeReady"), condition("NetworkReady")].concat())
}

/// `RuntimeConfigResponse`: the cgroup driver is cgroupfs, so that a kubelet never asks systemd for anything.
fn runtime_config() -> Vec<u8> {
    const CGROUPFS: u64 = 1;
    message(1, &varint(1, CGROUPFS))
}

/// `ImageFsInfoResponse`: images and containers use nothing, on the root file system.
fn image_fs_info() -> Vec<u8> {
    let usage = [
        message(2, &string(1, "/")), // fs_id.mountpoint
        message(3, &[]),             // used_bytes: 0
        message(4, &[]),             // inodes_used: 0
    ]
    .concat();
    [message(1, &usage), message(2, &usage)].concat()
}

fn string(field: u64, value: &str) -> Vec<u8> {
    message(field, value.as_bytes())
}

/// A length-delimited field: wire type 2.
fn message(field: u64, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    push_varint(&mut out, field << 3 | 2);
    push_varint(&mut out, body.len() as u64);
    out.extend_from_slice(body);
    out
}

/// A number or a bool: wire type 0.
fn varint(field: u64, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    push_varint(&mut out, field << 3);
    push_varint(&mut out, value);
    out
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn status_has_both_conditions_on_the_wire() {
        let mut expected = vec![0x0a, 34, 0x0a, 16, 0x0a, 12];
        expected.extend_from_slice(b"RuntimeReady\x10\x01");
        expected.extend_from_slice(&[0x0a, 14 + 2, 0x0a, 12]);
        expected.extend_from_slice(b"NetworkReady\x10\x01");
        expected[1] = (expected.len() - 2) as u8;
        assert_eq!(answer("/runtime.v1.RuntimeService/Status"), Some(expected));
    }

    #[test]
    fn cgroup_driver_is_cgroupfs() {
        let config = answer("/runtime.v1.RuntimeService/RuntimeConfig");
        assert_eq!(config, Some(vec![0x0a, 2, 0x08, 1]));
    }

    #[rstest]
    #[case("v1")]
    #[case("v1alpha2")]
    fn version_names_the_api_that_was_asked(#[case] api: &str) {
        let version = answer(&format!("/runtime.{api}.RuntimeService/Version")).unwrap();
        assert!(version.ends_with(api.as_bytes()));
    }

    #[rstest]
    #[case("")]
    #[case("/runtime.v1.RuntimeService/RunPodSandbox")]
    #[case("/runtime.v1.RuntimeService/GetContainerEvents")]
    #[case("/runtime.v2.RuntimeService/Version")]
    #[case("/grpc.health.v1.Health/Check")]
    fn other_methods_are_not_there(#[case] path: &str) {
        assert_eq!(answer(path), None);
    }

    #[test]
    fn lengths_over_127_take_two_bytes() {
        let field = message(1, &[0; 300]);
        assert_eq!(field[..3], [0x0a, 0xac, 0x02]);
        assert_eq!(field.len(), 303);
    }
}
