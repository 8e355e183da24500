//! The resolver over all of its sources, with small files in place of Kubernetes.

mod fixtures;

use std::fs;
use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::{Barrier, Mutex, PoisonError};
use std::thread;

use rstest::rstest;

use super::export::export;
use super::*;
use fixtures::*;

fn resolver(options: Options) -> Resolver {
    Resolver::new(options, Progress::hidden()).unwrap()
}

fn request(text: &str) -> VersionRequest {
    text.parse().unwrap()
}

fn error(result: Result<impl std::fmt::Debug, ComponentError>) -> String {
    result.unwrap_err().to_string()
}

fn change_byte(path: &Path) {
    let mut content = fs::read(path).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(path, content).unwrap();
}

// ---- mirror ----

#[rstest]
#[case::folder(false)]
#[case::web(true)]
fn a_mirror_serves_once_and_the_store_from_then_on(#[case] web: bool) {
    let lab = Lab::new();
    let mirror = lab.mirror();
    let at = if web {
        Server::start(mirror.clone(), None).location()
    } else {
        Location::Folder(mirror)
    };
    let set = resolver(Options {
        mirror: Some(at.clone()),
        ..lab.options()
    })
    .resolve(&request("1.37"))
    .unwrap();

    assert_eq!(set.kubernetes, VERSION);
    assert_eq!(fs::read(&set.kubelet.path).unwrap(), payload("kube"));
    assert_eq!(
        set.kubelet.path.file_name().unwrap(),
        "kubelet",
        "the name chooses the component"
    );
    assert_eq!(set.kube_apiserver.sha256, sha256(&payload("kube")));
    assert_eq!(set.etcd.sha256, sha256(&payload("etcd")));
    assert_eq!(
        (&*set.etcd.version, set.etcd.origin.clone()),
        ("3.7.0", format!("mirror {at}"))
    );
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
    let options = Options {
        mirror: Some(Location::Folder(mirror)),
        ..lab.options()
    };
    let kubelet = resolver(options)
        .executable(Role::Kubelet, &request("1.37"))
        .unwrap();
    assert_eq!(kubelet.sha256, sha256(&payload("kubelet")));
    let has = |name| lab.store().executable(KUBERNETES, name).unwrap().is_some();
    assert!(
        has("kubelet") && !has("kube-apiserver"),
        "only what was asked for is fetched"
    );
}

#[test]
fn a_wrong_byte_stops_everything_and_leaves_the_store_as_it_was() {
    let lab = Lab::new();
    let mirror = lab.mirror();
    let packed = mirror.join(KUBERNETES.folder()).join("kube.xz");
    change_byte(&packed);
    let options = Options {
        mirror: Some(Location::Folder(mirror)),
        ..lab.options()
    };
    let error = error(resolver(options).resolve(&request("1.37")));
    assert!(
        error.starts_with(&format!("{} is damaged: its SHA-256 is ", packed.display())),
        "{error}"
    );
    assert!(
        error.ends_with("repair it, or choose another source by --source"),
        "{error}"
    );
    assert!(lab.store().list().unwrap().is_empty());
    assert_eq!(lab.staged(), 0);
}

#[test]
fn the_unpacked_file_is_verified_too() {
    let lab = Lab::new();
    let mirror = lab.mirror();
    let list = mirror.join(KUBERNETES.folder()).join("SHA256SUMS");
    let sums = fs::read_to_string(&list)
        .unwrap()
        .replace(&sha256(&payload("kube")), &"0".repeat(64));
    fs::write(&list, sums).unwrap();
    let options = Options {
        mirror: Some(Location::Folder(mirror)),
        ..lab.options()
    };
    let error = error(resolver(options).resolve(&request("1.37")));
    assert!(error.contains("kube.xz unpacked is damaged"), "{error}");
    assert!(lab.store().list().unwrap().is_empty());
}

#[test]
fn a_file_cut_short_in_a_folder_is_damaged() {
    let lab = Lab::new();
    let mirror = lab.mirror();
    let packed = mirror.join(KUBERNETES.folder()).join("kube.xz");
    File::options()
        .write(true)
        .open(&packed)
        .unwrap()
        .set_len(1000)
        .unwrap();
    let options = Options {
        mirror: Some(Location::Folder(mirror)),
        ..lab.options()
    };
    assert!(error(resolver(options).resolve(&request("1.37"))).contains("is damaged"));
    assert!(lab.store().list().unwrap().is_empty());
}

#[test]
fn a_broken_connection_leads_to_the_next_source() {
    let lab = Lab::new();
    let mirror = Server::start(lab.mirror(), Some("kube.xz"));
    let options = Options {
        mirror: Some(mirror.location()),
        ..lab.options()
    };
    let only_mirror = Options {
        source: Some(SourceKind::Mirror),
        ..options.clone()
    };
    let error = error(resolver(only_mirror).resolve(&request("1.37")));
    assert!(
        error.contains("mirror: ") && error.contains("kube.xz: "),
        "{error}"
    );
    assert!(lab.store().list().unwrap().is_empty());

    let release = Location::Folder(lab.release());
    let set = resolver(Options {
        release: release.clone(),
        ..options
    })
    .resolve(&request("1.37"))
    .unwrap();
    assert_eq!(set.kubelet.origin, format!("release {release}"));
    assert!(set.etcd.origin.starts_with("mirror "));
}

// ---- release ----

#[test]
fn the_release_brings_one_file_a_component() {
    let lab = Lab::new();
    let server = Server::start(lab.release(), None);
    let options = Options {
        release: server.location(),
        etcd_release: server.location(),
        ..lab.options()
    };
    let kubelet = resolver(options.clone())
        .executable(Role::Kubelet, &request("1.37.2"))
        .unwrap();
    assert_eq!(kubelet.sha256, sha256(&payload("kubelet")));
    assert_eq!(
        (
            server.requests("/kubelet"),
            server.requests("/kube-apiserver")
        ),
        (1, 0)
    );

    let set = resolver(options).resolve(&request("1.37")).unwrap();
    assert_eq!(set.kubelet, kubelet);
    assert_eq!(
        fs::read(set.kube_apiserver.path).unwrap(),
        payload("kube-apiserver")
    );
    assert_eq!(
        set.etcd.sha256,
        sha256(&payload("etcd")),
        "etcd, not etcdctl, is taken from the archive"
    );
    assert_eq!(
        (
            server.requests("/kubelet"),
            server.requests("/kube-apiserver")
        ),
        (1, 1)
    );
}

#[rstest]
#[case::executable("v1.37.2/bin/linux/ARCH/kubelet")]
#[case::archive("v3.7.0/etcd-v3.7.0-linux-ARCH.tar.gz")]
fn a_wrong_byte_in_the_release(#[case] file: &str) {
    let lab = Lab::new();
    let release = lab.release();
    change_byte(&release.join(file.replace("ARCH", arch())));
    let server = Server::start(release, None);
    let options = Options {
        release: server.location(),
        etcd_release: server.location(),
        ..lab.options()
    };
    let error = error(resolver(options).resolve(&request("1.37")));
    assert!(
        error.starts_with(&server.location().to_string()) && error.contains(" is damaged: "),
        "{error}"
    );
    assert_eq!(lab.staged(), 0);
}

#[test]
fn a_page_in_place_of_a_checksum_is_no_checksum() {
    let lab = Lab::new();
    let release = lab.release();
    write(
        &release.join(format!("v{VERSION}/bin/linux/{}/kubelet.sha256", arch())),
        b"<html>log in first</html>",
    );
    let options = Options {
        release: Location::Folder(release),
        ..lab.options()
    };
    let error = error(resolver(options).executable(Role::Kubelet, &request("1.37")));
    assert!(
        error.ends_with("kubelet.sha256 is damaged: it holds no SHA-256"),
        "{error}"
    );
}

// ---- build ----

#[test]
fn a_go_build_is_installed_like_any_source() {
    let _serial = run_programs();
    let lab = Lab::new();
    let go = lab.path("go");
    write_script(
        &go,
        "case $1 in env) echo go1.26.8 ;; list) echo a; echo b ;; \
         build) test -s main.go -a -s go.mod -a -s go.sum || exit 3; echo a >&2; echo built > kube ;; esac",
    );
    let options = Options {
        go,
        source: Some(SourceKind::Build),
        ..lab.options()
    };
    let kubelet = resolver(options)
        .executable(Role::Kubelet, &request("1.37.2"))
        .unwrap();
    assert_eq!(fs::read_to_string(&kubelet.path).unwrap(), "built\n");
    assert_eq!(kubelet.origin, "build go1.26.8");
    assert_eq!(lab.staged(), 0);
}

#[test]
fn a_failed_go_build_says_what_go_said() {
    let _serial = run_programs();
    let lab = Lab::new();
    let go = lab.path("go");
    write_script(
        &go,
        "case $1 in build) echo k8s.io/api >&2; echo './main.go:3:1: no luck' >&2; exit 1 ;; esac",
    );
    let options = Options {
        go,
        source: Some(SourceKind::Build),
        ..lab.options()
    };
    let error = error(resolver(options).executable(Role::Kubelet, &request("1.37.2")));
    assert!(
        error.ends_with("build: go build: exit status: 1:\n    ./main.go:3:1: no luck"),
        "{error}"
    );
}

// ---- what every source shares ----

#[test]
fn what_is_nowhere_says_where_it_was_sought() {
    let lab = Lab::new();
    let error = error(resolver(lab.options()).executable(Role::Kubelet, &request("1.36.3")));
    let text = error
        .replace(&lab.path("").display().to_string(), "LAB/")
        .replace(arch(), "ARCH");
    insta::assert_snapshot!(text, @r"
    kubelet of kubernetes 1.36.3 for linux-ARCH is not to be had:
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
    let options = Options {
        source: Some(SourceKind::Store),
        mirror,
        ..lab.options()
    };
    let error = error(resolver(options).resolve(&request("1.37")));
    assert!(
        error.contains("\n  store: ") && !error.contains("mirror:"),
        "{error}"
    );
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
    let only_release = Options {
        source: Some(SourceKind::Release),
        ..options.clone()
    };
    let kubelet = resolver(only_release)
        .executable(Role::Kubelet, &request("1.37"))
        .unwrap();
    assert_eq!(fs::read(&kubelet.path).unwrap(), payload("kubelet"));
    let apiserver = resolver(options)
        .executable(Role::KubeApiserver, &request("1.37"))
        .unwrap();
    assert_eq!(
        fs::read(&apiserver.path).unwrap(),
        payload("kube"),
        "the others stay"
    );
    assert_eq!(
        lab.store()
            .damaged(KUBERNETES, false, &Progress::hidden())
            .unwrap(),
        Vec::<PathBuf>::new()
    );
}

#[test]
fn two_at_once_fetch_once() {
    let lab = Lab::new();
    let server = Server::start(lab.mirror(), None);
    let options = Options {
        mirror: Some(server.location()),
        ..lab.options()
    };
    let start = Barrier::new(4);
    let sets: Vec<_> = thread::scope(|scope| {
        let one = || {
            start.wait();
            resolver(options.clone()).resolve(&request("1.37")).unwrap()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(sets.iter().all(|set| *set == sets[0]));
    assert_eq!(
        (server.requests("kube.xz"), server.requests("etcd.xz")),
        (1, 1)
    );
}

#[test]
fn what_a_killed_process_left_is_removed_under_the_lock() {
    let lab = Lab::new();
    let staging = lab.path("cache/staging");
    let stale = |version: &str| staging.join(format!("kubernetes-v{version}-linux-{}.AbC", arch()));
    for version in ["1.37.2", "1.36.3", "1.35.4"] {
        write(&stale(version).join("kube"), b"half");
    }
    // another process installs 1.35.4 now
    let lock = lab.path(&format!("cache/locks/kubernetes-v1.35.4-linux-{}", arch()));
    write(&lock, b"");
    let held = File::open(&lock).unwrap();
    held.lock().unwrap();

    let options = Options {
        mirror: Some(Location::Folder(lab.mirror())),
        ..lab.options()
    };
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

    let options = Options {
        mirror: Some(Location::Folder(lab.mirror())),
        ..lab.options()
    };
    let set = resolver(options).resolve(&request("1.37")).unwrap();
    assert_eq!(fs::read(set.kubelet.path).unwrap(), payload("kube"));
}

#[test]
fn verify_finds_and_removes_a_damaged_executable() {
    let lab = Lab::new();
    let options = Options {
        mirror: Some(Location::Folder(lab.mirror())),
        ..lab.options()
    };
    let set = resolver(options.clone()).resolve(&request("1.37")).unwrap();
    let store = lab.store();
    let damaged = |package, remove| store.damaged(package, remove, &Progress::hidden()).unwrap();
    assert!(damaged(KUBERNETES, false).is_empty() && damaged(ETCD, false).is_empty());

    change_byte(&set.kubelet.path);
    assert_eq!(
        damaged(KUBERNETES, false).len(),
        4,
        "kube and its three names"
    );
    assert_eq!(damaged(KUBERNETES, true).len(), 4);
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
    let export = || {
        export(
            &lab.store(),
            &[KUBERNETES, ETCD],
            &exported,
            &Progress::hidden(),
        )
    };
    export().unwrap();

    let written = packed.metadata().unwrap().modified().unwrap();
    export().unwrap();
    assert_eq!(
        packed.metadata().unwrap().modified().unwrap(),
        written,
        "what is right stays"
    );
    change_byte(&packed);
    export().unwrap();

    let options = Options {
        mirror: Some(Location::Folder(exported)),
        cache: lab.path("elsewhere"),
        ..lab.options()
    };
    let elsewhere = resolver(options).resolve(&request("1.37")).unwrap();
    assert_eq!(elsewhere.kubelet.sha256, set.kubelet.sha256);
}

#[test]
fn a_damaged_executable_is_not_exported() {
    let lab = Lab::new();
    let options = Options {
        mirror: Some(Location::Folder(lab.mirror())),
        ..lab.options()
    };
    let set = resolver(options).resolve(&request("1.37")).unwrap();
    change_byte(&set.kubelet.path);
    let exported = lab.path("exported");
    let error = error(export(
        &lab.store(),
        &[KUBERNETES],
        &exported,
        &Progress::hidden(),
    ));
    assert!(error.contains("verify --remove"), "{error}");
    assert!(super::store::versions_in(&exported, Product::Kubernetes).is_empty());
}

// ---- versions ----

#[test]
fn a_minor_is_the_newest_patch_on_this_machine() {
    let lab = Lab::new();
    let mirror = lab.path("mirror");
    let plan = |text: &str| {
        let options = Options {
            mirror: Some(Location::Folder(mirror.clone())),
            ..lab.options()
        };
        resolver(options)
            .plan(&request(text))
            .map(|version| version.to_string())
    };
    assert_eq!(plan("1.36").unwrap(), "1.36.3", "from the table");
    for patch in [9, 10] {
        let package = Package {
            product: Product::Kubernetes,
            version: Version::new(1, 36, patch),
        };
        write_mirror_file(&mirror, package, "kube", payload("kube"));
    }
    assert_eq!(plan("1.36").unwrap(), "1.36.10");
    assert_eq!(plan("1.36.1").unwrap(), "1.36.1");
    assert_eq!(
        error(plan("1.99")),
        "no patch release of Kubernetes 1.99 is known here: ask for one by its full version, such as 1.99.0"
    );
}

// ---- a distribution's folder ----

/// Tests that run programs which they have just written take turns: a fork elsewhere would hold the file open.
fn run_programs() -> impl Drop {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_distribution_is_run_where_it_is() {
    let _serial = run_programs();
    let lab = Lab::new();
    let distribution = lab.path("distribution");
    write_script(
        &distribution.join("kube-apiserver"),
        "echo Kubernetes v1.33.4+k3s1",
    );
    write_script(
        &distribution.join("kubelet"),
        "echo Kubernetes v1.32.9+k3s1",
    );
    let options = Options {
        components: Some(distribution.clone()),
        mirror: Some(Location::Folder(lab.mirror())),
        ..lab.options()
    };
    write_mirror_file(
        &lab.path("mirror"),
        Package {
            product: Product::Kubernetes,
            version: Version::new(1, 33, 4),
        },
        "kube",
        payload("kube 1.33.4"),
    );
    let resolver = resolver(options);
    assert_eq!(resolver.default_request().unwrap(), request("1.33.4"));
    assert_eq!(
        resolver.plan(&request("1.33")).unwrap(),
        Version::new(1, 33, 4)
    );

    let set = resolver.resolve(&request("1.33")).unwrap();
    assert_eq!(set.kubernetes, Version::new(1, 33, 4));
    assert_eq!(set.kube_apiserver.version, "1.33.4+k3s1");
    assert!(
        set.kube_apiserver
            .path
            .starts_with(distribution.canonicalize().unwrap())
    );
    assert!(set.kube_apiserver.origin.starts_with("directory "));
    assert_eq!(
        set.kubelet.version, "1.32.9+k3s1",
        "a distribution's own mix is taken as it is"
    );
    assert_eq!(
        set.kube_controller_manager.sha256,
        sha256(&payload("kube 1.33.4")),
        "what it lacks is its version"
    );
    assert!(set.etcd.origin.starts_with("mirror "));

    let skewed = resolver
        .executable(Role::Kubelet, &request("1.37"))
        .unwrap();
    assert!(
        skewed.origin.starts_with("mirror "),
        "another version is another source's"
    );
    assert_eq!(
        resolver
            .executable(Role::Kubelet, &request("1.32"))
            .unwrap(),
        set.kubelet
    );
}

#[rstest]
#[case::no_version("echo no such flag", "it answered \"no such flag\"")]
#[case::nothing("exit 1", "it answered \"\"")]
fn an_executable_that_does_not_say_its_version(#[case] script: &str, #[case] reason: &str) {
    let _serial = run_programs();
    let lab = Lab::new();
    write_script(&lab.path("kubelet"), script);
    let options = Options {
        components: Some(lab.path("")),
        ..lab.options()
    };
    let error = error(resolver(options).plan(&request("1.33")));
    assert!(
        error.contains("kubelet: `--version` gives no version: ") && error.contains(reason),
        "{error}"
    );
}

#[test]
fn a_folder_without_components_is_refused() {
    let lab = Lab::new();
    let refuse = |folder: PathBuf| {
        let options = Options {
            components: Some(folder),
            ..lab.options()
        };
        Resolver::new(options, Progress::hidden())
            .err()
            .unwrap()
            .to_string()
    };
    assert!(refuse(lab.path("")).ends_with(
        "there is no kube-apiserver, kube-controller-manager or kubelet in this folder"
    ));
    assert!(refuse(lab.path("none")).contains("No such file"));
}
