//! What each source provides, and how it fails.

use std::fs::{self, File};

use rstest::rstest;

use super::super::*;
use super::fixtures::*;

#[rstest]
#[case::folder(false)]
#[case::web(true)]
fn a_mirror_serves_once_and_the_store_from_then_on(#[case] web: bool) {
    let lab = Lab::new();
    let mirror = lab.mirror();
    let at = if web { Server::start(mirror.clone(), None).location() } else { Location::Folder(mirror) };
    let set = resolver(Options { mirror: Some(at.clone()), ..lab.options() }).resolve(&request("1.37")).unwrap();

    assert_eq!(set.kubernetes, VERSION);
    assert_eq!(fs::read(&set.kubelet.path).unwrap(), payload("kube"));
    assert_eq!(set.kubelet.path.file_name().unwrap(), "kubelet", "the name chooses the component");
    assert_eq!(set.kube_apiserver.sha256, sha256(&payload("kube")));
    assert_eq!(set.etcd.sha256, sha256(&payload("etcd")));
    assert_eq!((&*set.etcd.version, set.etcd.origin.clone()), ("3.7.0", format!("mirror {at}")));
    assert_eq!(lab.staged(), 0);

    let again = resolver(lab.options()).resolve(&request("1.37.2")).unwrap();
    assert_eq!(again, set);
}

#[test]
fn a_mirror_may_have_one_file_a_component() {
    let lab = Lab::new();
    let mirror = lab.path("mirror");
    for role in KUBERNETES_ROLES {
        write_mirror_file(&mirror, KUBERNETES, role.name(), payload(role.name()));
    }
    let options = Options { mirror: Some(Location::Folder(mirror)), ..lab.options() };
    let kubelet = resolver(options).executable(Role::Kubelet, &request("1.37")).unwrap();
    assert_eq!(kubelet.sha256, sha256(&payload("kubelet")));
    let has = |name| lab.store().executable(KUBERNETES, name).unwrap().is_some();
    assert!(has("kubelet") && !has("kube-apiserver"), "only what was asked for is fetched");
}

#[test]
fn a_wrong_byte_stops_everything_and_leaves_the_store_as_it_was() {
    let lab = Lab::new();
    let mirror = lab.mirror();
    let packed = mirror.join(KUBERNETES.folder()).join("kube.xz");
    change_byte(&packed);
    let options = Options { mirror: Some(Location::Folder(mirror)), ..lab.options() };
    let error = error(resolver(options).resolve(&request("1.37")));
    assert!(error.starts_with(&format!("{} is damaged: its SHA-256 is ", packed.display())), "{error}");
    assert!(error.ends_with("repair it, or choose another source by --source"), "{error}");
    assert!(lab.store().list().unwrap().is_empty());
    assert_eq!(lab.staged(), 0);
}

#[test]
fn the_unpacked_file_is_verified_too() {
    let lab = Lab::new();
    let mirror = lab.mirror();
    let list = mirror.join(KUBERNETES.folder()).join("SHA256SUMS");
    let sums = fs::read_to_string(&list).unwrap().replace(&sha256(&payload("kube")), &"0".repeat(64));
    fs::write(&list, sums).unwrap();
    let options = Options { mirror: Some(Location::Folder(mirror)), ..lab.options() };
    let error = error(resolver(options).resolve(&request("1.37")));
    assert!(error.contains("kube.xz unpacked is damaged"), "{error}");
    assert!(lab.store().list().unwrap().is_empty());
}

#[test]
fn a_file_cut_short_in_a_folder_is_damaged() {
    let lab = Lab::new();
    let mirror = lab.mirror();
    let packed = mirror.join(KUBERNETES.folder()).join("kube.xz");
    File::options().write(true).open(&packed).unwrap().set_len(1000).unwrap();
    let options = Options { mirror: Some(Location::Folder(mirror)), ..lab.options() };
    assert!(error(resolver(options).resolve(&request("1.37"))).contains("is damaged"));
    assert!(lab.store().list().unwrap().is_empty());
}

#[test]
fn a_broken_connection_leads_to_the_next_source() {
    let lab = Lab::new();
    let mirror = Server::start(lab.mirror(), Some("kube.xz"));
    let options = Options { mirror: Some(mirror.location()), ..lab.options() };
    let only_mirror = Options { source: Some(SourceKind::Mirror), ..options.clone() };
    let error = error(resolver(only_mirror).resolve(&request("1.37")));
    assert!(error.contains("mirror: ") && error.contains("kube.xz: "), "{error}");
    assert_eq!(mirror.requests("kube.xz"), 2, "it is tried once more");
    assert!(lab.store().list().unwrap().is_empty());

    let release = Location::Folder(lab.release());
    let set = resolver(Options { release: release.clone(), ..options }).resolve(&request("1.37")).unwrap();
    assert_eq!(set.kubelet.origin, format!("release {release}"));
    assert!(set.etcd.origin.starts_with("mirror "));
}

#[test]
fn the_release_brings_one_file_a_component() {
    let lab = Lab::new();
    let server = Server::start(lab.release(), None);
    let options = Options { release: server.location(), etcd_release: server.location(), ..lab.options() };
    let kubelet = resolver(options.clone()).executable(Role::Kubelet, &request("1.37.2")).unwrap();
    assert_eq!(kubelet.sha256, sha256(&payload("kubelet")));
    assert_eq!((server.requests("/kubelet"), server.requests("/kube-apiserver")), (1, 0));

    let set = resolver(options).resolve(&request("1.37")).unwrap();
    assert_eq!(set.kubelet, kubelet);
    assert_eq!(fs::read(set.kube_apiserver.path).unwrap(), payload("kube-apiserver"));
    assert_eq!(set.etcd.sha256, sha256(&payload("etcd")), "etcd, not etcdctl, is taken from the archive");
    assert_eq!((server.requests("/kubelet"), server.requests("/kube-apiserver")), (1, 1));
}

#[rstest]
#[case::executable("v1.37.2/bin/linux/ARCH/kubelet")]
#[case::archive("v3.7.0/etcd-v3.7.0-linux-ARCH.tar.gz")]
fn a_wrong_byte_in_the_release(#[case] file: &str) {
    let lab = Lab::new();
    let release = lab.release();
    change_byte(&release.join(file.replace("ARCH", arch())));
    let server = Server::start(release, None);
    let options = Options { release: server.location(), etcd_release: server.location(), ..lab.options() };
    let error = error(resolver(options).resolve(&request("1.37")));
    assert!(error.starts_with(&server.location().to_string()) && error.contains(" is damaged: "), "{error}");
    assert_eq!(lab.staged(), 0);
}

#[test]
fn a_page_in_place_of_a_checksum_is_no_checksum() {
    let lab = Lab::new();
    let release = lab.release();
    write(&release.join(format!("v{VERSION}/bin/linux/{}/kubelet.sha256", arch())), b"<html>log in first</html>");
    let options = Options { release: Location::Folder(release), ..lab.options() };
    let error = error(resolver(options).executable(Role::Kubelet, &request("1.37")));
    assert!(error.ends_with("kubelet.sha256 is damaged: it holds no SHA-256"), "{error}");
}
