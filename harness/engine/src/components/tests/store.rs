//! What all sources share: the store, its locks, its verification, its export.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Barrier;
use std::thread;

use rstest::rstest;

use super::super::export::export;
use super::super::*;
use super::fixtures::*;

#[test]
fn what_is_nowhere_says_where_it_was_sought() {
    let lab = Lab::new();
    let error = error(resolver(lab.options()).executable(Role::Kubelet, &request("1.36.3")));
    let text = error.replace(&lab.path("").display().to_string(), "LAB/").replace(arch(), "ARCH");
    insta::assert_snapshot!(text, @r"
    cannot find kubelet of kubernetes 1.36.3 for linux-ARCH; tried:
      store: it is not in LAB/cache
      mirror: TLSBOOT_MIRROR is not set (to a folder or URL that `tlsboot components export` wrote)
      release: LAB/no-release/v1.36.3/bin/linux/ARCH/kubelet.sha256 does not exist
      build: a Go build needs Go 1.26 or newer on PATH (https://go.dev/dl)
    ");
}

#[test]
fn the_store_alone_fetches_nothing() {
    let lab = Lab::new();
    let mirror = Some(Location::Folder(lab.mirror()));
    let options = Options { source: Some(SourceKind::Store), mirror, ..lab.options() };
    let error = error(resolver(options).resolve(&request("1.37")));
    assert!(error.contains("\n  store: ") && !error.contains("mirror:"), "{error}");
}

#[test]
fn a_source_that_is_asked_for_replaces_what_came_from_another() {
    let lab = Lab::new();
    let options = Options {
        mirror: Some(Location::Folder(lab.mirror())),
        release: Location::Folder(lab.release()),
        ..lab.options()
    };
    resolver(options.clone()).resolve(&request("1.37")).unwrap();
    let only_release = Options { source: Some(SourceKind::Release), ..options.clone() };
    let kubelet = resolver(only_release).executable(Role::Kubelet, &request("1.37")).unwrap();
    assert_eq!(fs::read(&kubelet.path).unwrap(), payload("kubelet"));
    let apiserver = resolver(options).executable(Role::KubeApiserver, &request("1.37")).unwrap();
    assert_eq!(fs::read(&apiserver.path).unwrap(), payload("kube"), "the others stay");
    assert_eq!(lab.store().damaged(KUBERNETES, false, &Progress::hidden()).unwrap(), Vec::<PathBuf>::new());
}

#[test]
fn two_at_once_fetch_once() {
    let lab = Lab::new();
    let server = Server::start(lab.mirror(), None);
    let options = Options { mirror: Some(server.location()), ..lab.options() };
    let start = Barrier::new(4);
    let sets: Vec<_> = thread::scope(|scope| {
        let one = || {
            start.wait();
            resolver(options.clone()).resolve(&request("1.37")).unwrap()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(sets.iter().all(|set| *set == sets[0]));
    assert_eq!((server.requests("kube.xz"), server.requests("etcd.xz")), (1, 1));
}

#[test]
fn what_a_killed_process_left_is_removed_under_the_lock() {
    let lab = Lab::new();
    let staging = lab.path("cache/staging");
    let stale = |version: &str| staging.join(format!("kubernetes-v{version}-linux-{}.AbC", arch()));
    for version in ["1.37.2", "1.36.3", "1.35.4"] {
        write(&stale(version).join("kube"), b"half");
    }
    // another process is installing 1.35.4 now
    let lock = lab.path(&format!("cache/locks/kubernetes-v1.35.4-linux-{}", arch()));
    write(&lock, b"");
    let held = File::open(&lock).unwrap();
    held.lock().unwrap();

    let options = Options { mirror: Some(Location::Folder(lab.mirror())), ..lab.options() };
    resolver(options).resolve(&request("1.37")).unwrap();
    assert!(!stale("1.37.2").exists() && !stale("1.36.3").exists());
    assert!(stale("1.35.4").exists());
}

#[test]
fn files_that_the_list_does_not_name_are_not_in_the_store() {
    let lab = Lab::new();
    // killed between the renames and the list
    let folder = lab.path("cache").join(KUBERNETES.folder());
    write(&folder.join("kube"), b"half");
    symlink("kube", folder.join("kubelet")).unwrap();
    assert_eq!(lab.store().executable(KUBERNETES, "kubelet").unwrap(), None);
    assert!(lab.store().versions(Product::Kubernetes).is_empty());

    let options = Options { mirror: Some(Location::Folder(lab.mirror())), ..lab.options() };
    let set = resolver(options).resolve(&request("1.37")).unwrap();
    assert_eq!(fs::read(set.kubelet.path).unwrap(), payload("kube"));
}

#[test]
fn verify_finds_and_removes_a_damaged_executable() {
    let lab = Lab::new();
    let options = Options { mirror: Some(Location::Folder(lab.mirror())), ..lab.options() };
    let set = resolver(options.clone()).resolve(&request("1.37")).unwrap();
    let store = lab.store();
    let damaged = |package, remove| store.damaged(package, remove, &Progress::hidden()).unwrap();
    assert!(damaged(KUBERNETES, false).is_empty() && damaged(ETCD, false).is_empty());

    change_byte(&set.kubelet.path);
    assert_eq!(damaged(KUBERNETES, false).len(), 4, "kube and its three names");
    assert_eq!(damaged(KUBERNETES, true).len(), 4);
    assert!(store.versions(Product::Kubernetes).is_empty());
    assert!(damaged(ETCD, false).is_empty() && damaged(KUBERNETES, false).is_empty());
    assert_eq!(resolver(options).resolve(&request("1.37")).unwrap(), set);
    assert!(damaged(KUBERNETES, false).is_empty());
}

#[test]
fn an_exported_store_is_a_mirror() {
    let lab = Lab::new();
    let options = Options {
        mirror: Some(Location::Folder(lab.mirror())),
        release: Location::Folder(lab.release()),
        ..lab.options()
    };
    let set = resolver(options).resolve(&request("1.37")).unwrap();
    let exported = lab.path("exported");
    let packed = exported.join(KUBERNETES.folder()).join("kube.xz");
    let export = || export(&lab.store(), &[KUBERNETES, ETCD], &exported, &Progress::hidden());
    export().unwrap();

    let written = packed.metadata().unwrap().modified().unwrap();
    export().unwrap();
    assert_eq!(packed.metadata().unwrap().modified().unwrap(), written, "what is right stays");
    change_byte(&packed);
    export().unwrap();

    let options = Options { mirror: Some(Location::Folder(exported)), cache: lab.path("elsewhere"), ..lab.options() };
    let elsewhere = resolver(options).resolve(&request("1.37")).unwrap();
    assert_eq!(elsewhere.kubelet.sha256, set.kubelet.sha256);
}

#[test]
fn a_damaged_executable_is_not_exported() {
    let lab = Lab::new();
    let options = Options { mirror: Some(Location::Folder(lab.mirror())), ..lab.options() };
    let set = resolver(options).resolve(&request("1.37")).unwrap();
    change_byte(&set.kubelet.path);
    let exported = lab.path("exported");
    let error = error(export(&lab.store(), &[KUBERNETES], &exported, &Progress::hidden()));
    assert!(error.contains("verify --remove"), "{error}");
    assert!(Store::new(&exported).versions(Product::Kubernetes).is_empty());
}

/// What is run is what was installed: neither its bytes nor a link may be replaced.
#[rstest]
#[case::bytes(|path: &Path| write_script(path, "exec /bin/true"))]
#[case::behind_the_link(|path: &Path| write_script(&path.with_file_name("kube"), "exec /bin/true"))]
#[case::link(|path: &Path| {
    fs::remove_file(path).unwrap();
    write_script(&path.with_file_name("elsewhere"), "exec /bin/true");
    symlink("elsewhere", path).unwrap();
})]
#[case::pipe(|path: &Path| {
    fs::remove_file(path).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RUSR).unwrap();
})]
fn an_executable_that_was_exchanged_is_not_run(#[case] exchange: fn(&Path)) {
    let lab = Lab::new();
    let options = Options { mirror: Some(Location::Folder(lab.mirror())), ..lab.options() };
    let set = resolver(options.clone()).resolve(&request("1.37")).unwrap();
    set.kubelet.check_unchanged().unwrap();
    exchange(&set.kubelet.path);
    assert!(set.kubelet.check_unchanged().is_err());
    for options in [options, lab.options()] {
        let error = error(resolver(options).resolve(&request("1.37")));
        assert!(error.contains("/kube"), "{error}");
    }
}

#[test]
fn an_exchanged_executable_can_be_removed() {
    let lab = Lab::new();
    let options = Options { mirror: Some(Location::Folder(lab.mirror())), ..lab.options() };
    let set = resolver(options.clone()).resolve(&request("1.37")).unwrap();
    change_byte(&set.kubelet.path);
    let said = error(resolver(options.clone()).resolve(&request("1.37")));
    assert!(said.contains("tlsboot components verify --remove"), "{said}");
    lab.store().damaged(KUBERNETES, true, &Progress::hidden()).unwrap();
    assert_eq!(resolver(options).resolve(&request("1.37")).unwrap(), set);
}

#[test]
fn others_can_not_write_to_a_new_store_and_one_that_they_can_write_to_is_named() {
    let lab = Lab::new();
    let options = Options { mirror: Some(Location::Folder(lab.mirror())), ..lab.options() };
    resolver(options).resolve(&request("1.37")).unwrap();
    assert_eq!(lab.store().shared(KUBERNETES), None);
    let folder = lab.path("cache/kubernetes");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(lab.store().shared(KUBERNETES), Some(folder));
}

/// A list is as easily changed as the files next to it.
#[test]
fn a_list_that_names_a_file_elsewhere_can_not_have_it_removed() {
    let lab = Lab::new();
    let options = Options { mirror: Some(Location::Folder(lab.mirror())), ..lab.options() };
    resolver(options).resolve(&request("1.37")).unwrap();
    write(&lab.path("thesis"), b"x");
    let list = lab.path("cache").join(KUBERNETES.folder()).join("SHA256SUMS");
    let sums = fs::read_to_string(&list).unwrap();
    let forged = [lab.path("thesis").display().to_string(), "../../../../thesis".into()];
    fs::write(&list, forged.iter().fold(sums, |sums, name| format!("{sums}{}  {name}\n", "a".repeat(64)))).unwrap();
    lab.store().damaged(KUBERNETES, true, &Progress::hidden()).unwrap();
    assert!(lab.path("thesis").exists());
}

/// `TLSBOOT_CACHE` may be a folder that also holds other things.
#[test]
fn only_what_an_installation_left_is_stale() {
    let lab = Lab::new();
    let stale = format!("kubernetes-v1.37.2-linux-{}.AbCdEf", arch());
    for name in ["my.project", "notes", "kubernetes-v1.37.2.AbCdEf", &stale] {
        write(&lab.path("cache/staging").join(name).join("file"), b"x");
    }
    assert_eq!(lab.store().remove_stale(), [lab.path("cache/staging").join(&stale)]);
    assert_eq!(lab.staged(), 3);
}
