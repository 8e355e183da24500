//! Which version a request resolves to, and a distribution's folder.

use rstest::rstest;

use super::super::*;
use super::fixtures::*;
use tlsboot_core::version::*;

#[test]
fn a_minor_is_the_newest_patch_on_this_machine() {
    let lab = Lab::new();
    let mirror = lab.path("mirror");
    let plan = |text: &str| {
        let options = Options { mirror: Some(Location::Folder(mirror.clone())), ..lab.options() };
        resolver(options).plan(&request(text)).map(|version| version.to_string())
    };
    assert_eq!(plan("1.36").unwrap(), "1.36.3", "from the table");
    for patch in [9, 10] {
        let package = Package { product: Product::Kubernetes, version: Version::new(1, 36, patch) };
        write_mirror_file(&mirror, package, "kube", payload("kube"));
    }
    assert_eq!(plan("1.36").unwrap(), "1.36.10");
    assert_eq!(plan("1.36.1").unwrap(), "1.36.1");
    assert_eq!(
        error(plan("1.99")),
        "no patch release of Kubernetes 1.99 is known here, only of 1.15 to 1.37: ask for one by its full version, such as 1.99.0"
    );
}

#[test]
fn a_distribution_is_run_where_it_is() {
    let _serial = run_programs();
    let lab = Lab::new();
    let distribution = lab.path("distribution");
    write_script(&distribution.join("kube-apiserver"), "echo Kubernetes v1.33.4+k3s1");
    write_script(&distribution.join("kubelet"), "echo Kubernetes v1.32.9+k3s1");
    let options = Options {
        components: Some(distribution.clone()),
        mirror: Some(Location::Folder(lab.mirror())),
        ..lab.options()
    };
    write_mirror_file(
        &lab.path("mirror"),
        Package { product: Product::Kubernetes, version: Version::new(1, 33, 4) },
        "kube",
        payload("kube 1.33.4"),
    );
    let resolver = resolver(options);
    assert_eq!(resolver.default_request().unwrap(), request("1.33.4"));
    assert_eq!(resolver.plan(&request("1.33")).unwrap(), Version::new(1, 33, 4));

    let set = resolver.resolve(&request("1.33")).unwrap();
    assert_eq!(set.kubernetes, Version::new(1, 33, 4));
    assert_eq!(set.kube_apiserver.version, "1.33.4+k3s1");
    assert!(set.kube_apiserver.path.starts_with(distribution.canonicalize().unwrap()));
    assert!(set.kube_apiserver.origin.starts_with("directory "));
    assert_eq!(set.kubelet.version, "1.32.9+k3s1", "a distribution's own mix is taken as it is");
    assert_eq!(set.kube_controller_manager.sha256, sha256(&payload("kube 1.33.4")), "what it lacks is its version");
    assert!(set.etcd.origin.starts_with("mirror "));

    let skewed = resolver.executable(Role::Kubelet, &request("1.37")).unwrap();
    assert!(skewed.origin.starts_with("mirror "), "another version is another source's");
    assert_eq!(resolver.executable(Role::Kubelet, &request("1.32")).unwrap(), set.kubelet);
}

#[rstest]
#[case::no_version("echo no such flag", "it answered \"no such flag\"")]
#[case::nothing("exit 1", "it answered \"\"")]
fn an_executable_that_does_not_say_its_version(#[case] script: &str, #[case] reason: &str) {
    let _serial = run_programs();
    let lab = Lab::new();
    write_script(&lab.path("kubelet"), script);
    let options = Options { components: Some(lab.path("")), ..lab.options() };
    let error = error(resolver(options).plan(&request("1.33")));
    assert!(error.contains("kubelet: `--version` does not print a version: ") && error.contains(reason), "{error}");
}

#[test]
fn a_folder_without_components_is_refused() {
    let lab = Lab::new();
    let refuse = |folder: PathBuf| {
        let options = Options { components: Some(folder), ..lab.options() };
        Resolver::new(options, Progress::hidden()).err().unwrap().to_string()
    };
    assert!(
        refuse(lab.path("")).ends_with("there is no kube-apiserver, kube-controller-manager or kubelet in this folder")
    );
    assert!(refuse(lab.path("none")).contains("No such file"));
}
