//! A Go build from the modules of Kubernetes and etcd: the last resort, which needs only Go and a module proxy.
//!
//! The Go programs are part of this crate. For some versions go.mod and go.sum are included, so that every module is
//! checked against a pinned checksum; for others `go mod tidy` creates them, and Go's checksum database verifies the
//! modules.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use serde::Deserialize;

use super::go::{Go, last_lines, not_started};
use super::{FetchError, Source, SourceKind, openapi};
use crate::components::edits::{self, Edit};
use crate::components::error::io_error;
use crate::components::progress::{Progress, Unit};
use crate::components::store::Stage;
use crate::components::{KUBE, Package, Product, Role};
use crate::shim;
use tlsboot_core::version::Version;

const KUBERNETES_MODULE: &str = "k8s.io/kubernetes";
const ETCD_MODULE: &str = "go.etcd.io/etcd/server/v3";
macro_rules! pinned {
    ($product:ident, $version:expr, $folder:literal) => {
        Pinned {
            package: Package { product: Product::$product, version: $version },
            go_mod: include_str!(concat!("../../../../../kubernetes/", $folder, "/go.mod")),
            go_sum: include_str!(concat!("../../../../../kubernetes/", $folder, "/go.sum")),
        }
    };
}

/// The versions whose modules are pinned here.
const PINNED: [Pinned; 4] = [
    pinned!(Kubernetes, Version::new(1, 37, 2), "v1.37.2"),
    pinned!(Kubernetes, Version::new(1, 33, 13), "v1.33.13"),
    pinned!(Kubernetes, Version::new(1, 28, 15), "v1.28.15"),
    pinned!(Etcd, Version::new(3, 7, 0), "etcd"),
];

struct Pinned {
    package: Package,
    go_mod: &'static str,
    go_sum: &'static str,
}

/// The Go command.
pub(in crate::components) struct Build {
    /// Its path, or its name on PATH.
    pub(in crate::components) go: PathBuf,
    /// The changes made before the build.
    pub(in crate::components) edits: Vec<Edit>,
}

impl Source for Build {
    fn kind(&self) -> SourceKind {
        SourceKind::Build
    }

    fn fetch(
        &self,
        package: Package,
        _roles: &[Role],
        stage: &mut Stage,
        progress: &Progress,
    ) -> Result<String, FetchError> {
        let changed = !self.edits.is_empty() || openapi::is_missing(package);
        let go = Go {
            go: &self.go,
            folder: &stage.folder().join("build"),
            modules: if changed { "-mod=vendor" } else { "-mod=readonly" },
        };
        let version = go.version()?;
        go.write_module(package, progress)?;
        if changed {
            go.run(&["mod", "vendor"])?;
            edits::apply(&self.edits, &go.folder.join("vendor")).map_err(FetchError::Unavailable)?;
        }
        if openapi::is_missing(package) {
            openapi::generate(&go, package, progress)?;
        }
        let name = match package.product {
            Product::Kubernetes => KUBE,
            Product::Etcd => Role::Etcd.name(),
        };
        go.build(package, name, progress)?;

        let built = go.folder.join(name);
        let mut file = fs::File::open(&built).map_err(io_error("cannot read", &built))?;
        let sha256 = stage.receive(name, &mut file).map_err(|error| FetchError::receiving(error, name, name))?;
        if package.product == Product::Kubernetes {
            stage.link_roles(&sha256)?;
        }
        Ok(format!("{} {version}", self.kind()))
    }
}

impl Go<'_> {
    /// The program, go.mod and go.sum of the version.
    fn write_module(&self, package: Package, progress: &Progress) -> Result<(), FetchError> {
        for (name, text) in program(package) {
            self.write(name, text)?;
        }
        if package.product == Product::Kubernetes && lacks_sorting(package.version) {
            let folder = self.folder.join("none");
            fs::create_dir_all(&folder).map_err(io_error("cannot make", &folder))?;
            self.write("none/go.mod", "module vbom.ml/util\n")?;
        }
        match PINNED.iter().find(|pinned| pinned.package == package) {
            Some(pinned) => {
                self.write("go.mod", pinned.go_mod)?;
                self.write("go.sum", pinned.go_sum)?;
            }
            None => {
                let task = progress.task(&format!("finding the modules of {package}"), None, Unit::Packages);
                let go_mod = match package.product {
                    Product::Kubernetes => kubernetes_go_mod(package.version, &self.upstream_go_mod(package.version)?),
                    Product::Etcd => etcd_go_mod(package.version),
                };
                self.write("go.mod", &go_mod)?;
                match (package.product, package.version.minor) {
                    // The tests of modules that are not built here need modules that no longer exist.
                    (Product::Kubernetes, ..16) => self.run(&["mod", "tidy", "-e"])?,
                    _ => self.run(&["mod", "tidy"])?,
                };
                task.finish();
            }
        }
        Ok(())
    }

    /// Kubernetes' own go.mod.
    fn upstream_go_mod(&self, version: Version) -> Result<String, FetchError> {
        #[derive(Deserialize)]
        struct Module {
            #[serde(rename = "GoMod")]
            go_mod: PathBuf,
        }
        let output = self.run(&["mod", "download", "-json", &format!("{KUBERNETES_MODULE}@v{version}")])?;
        let module: Module = serde_json::from_slice(&output.stdout)
            .map_err(|error| FetchError::Unavailable(format!("go mod download -json: {error}")))?;
        Ok(fs::read_to_string(&module.go_mod).map_err(io_error("cannot read", &module.go_mod))?)
    }

    fn build(&self, package: Package, name: &str, progress: &Progress) -> Result<(), FetchError> {
        let packages = self.run(&["list", self.modules, "-deps", "."])?;
        let total = BufReader::new(&*packages.stdout).lines().count();
        if package.product == Product::Kubernetes {
            progress.note("a Go build of Kubernetes takes about 10 minutes on 2 cores, once per version");
        }
        let label = format!("building {package} with Go");
        let mut task = progress.task(&label, Some(total as u64), Unit::Packages);
        // A build takes minutes: it must not outlive a tlsboot that was killed.
        let mut child = self
            .set(shim::dies_with_us(self.go))
            .args(["build", self.modules, "-trimpath", "-buildvcs=false"])
            .args(["-v", "-ldflags", &ldflags(package), "-o", name, "."])
            .env("CGO_ENABLED", if needs_c(package) { "1" } else { "0" })
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(not_started)?;
        let mut said = Vec::new();
        for line in
            child.stderr.take().into_iter().flat_map(|stderr| BufReader::new(stderr).lines()).map_while(Result::ok)
        {
            // -v names each package when it is compiled
            match line.contains(char::is_whitespace) {
                false => task.add(1),
                true => said.push(line),
            }
        }
        let status = child.wait().map_err(not_started)?;
        if !status.success() {
            return Err(FetchError::Unavailable(format!("go build: {status}:{}", last_lines(&said))));
        }
        task.finish();
        Ok(())
    }
}

/// The files of the program to build.
fn program(package: Package) -> Vec<(&'static str, &'static str)> {
    match package.product {
        Product::Etcd => vec![("main.go", include_str!("../../../../../kubernetes/etcd/main.go"))],
        Product::Kubernetes => vec![
            ("main.go", include_str!("../../../../../kubernetes/main.go")),
            match package.version.minor {
                ..23 => ("run.go", include_str!("../../../../../kubernetes/run_before_1.23.go")),
                _ => ("run.go", include_str!("../../../../../kubernetes/run.go")),
            },
        ],
    }
}

/// What the release scripts of Kubernetes set (hack/lib/version.sh), as far as the programs need it.
fn ldflags(package: Package) -> String {
    let Package { product, version } = package;
    match product {
        Product::Etcd => "-s -w".into(),
        Product::Kubernetes => format!(
            "-s -w -X k8s.io/component-base/version.gitVersion=v{version} \
             -X k8s.io/kubernetes/pkg/version.gitVersion=v{version} \
             -X k8s.io/component-base/version.gitMajor={} -X k8s.io/component-base/version.gitMinor={}",
            version.major, version.minor
        ),
    }
}

/// tlsboot's go.mod for a Kubernetes version. From Kubernetes' own go.mod it takes the language version and the
/// compatibility settings; its libraries, which are folders in its repository, are replaced by the published modules of
/// the same release.
fn kubernetes_go_mod(version: Version, upstream: &str) -> String {
    let mut go_mod = "module tlsboot.local/kube\n\n".to_owned();
    let mut in_godebug = false;
    for line in upstream.lines() {
        in_godebug |= line.starts_with("godebug (");
        if in_godebug || line.starts_with("go ") || line.starts_with("godebug ") {
            go_mod += &format!("{line}\n");
        }
        in_godebug &= line != ")";
    }
    go_mod += &format!("\nrequire {KUBERNETES_MODULE} v{version}\n");
    if version.minor < 23 {
        // The version of that time assumes the map layout of its own Go, and crashes with today's.
        go_mod += "require github.com/modern-go/reflect2 v1.0.2\n";
    }
    go_mod += "\nreplace (\n";
    if lacks_sorting(version) {
        go_mod += "\tvbom.ml/util => ./none\n";
    }
    let libraries =
        upstream.lines().filter_map(|line| line.split_once(" => ./staging/src/")).map(|(_, name)| name.trim());
    for library in libraries {
        go_mod += &format!("\t{library} => {library} v{}\n", Version { major: 0, ..version });
    }
    go_mod + ")\n"
}

/// Up to 1.19 the modules require one that no longer exists at its address. Only kubectl uses it: an empty one is
/// enough.
fn lacks_sorting(version: Version) -> bool {
    version.minor < 20
}

/// Up to 1.16 a kubelet that is built without cgo exits at once: it has no cAdvisor.
fn needs_c(package: Package) -> bool {
    package.product == Product::Kubernetes && package.version.minor < 17
}

fn etcd_go_mod(version: Version) -> String {
    format!("module tlsboot.local/etcd\n\ngo 1.26.0\n\nrequire {ETCD_MODULE} v{version}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPSTREAM: &str = "\
// generated
module k8s.io/kubernetes

go 1.26.0

godebug default=go1.26

require (
\tgithub.com/kylelemons/godebug v1.1.0 // indirect
)

replace (
\tk8s.io/api => ./staging/src/k8s.io/api
\tk8s.io/kubelet => ./staging/src/k8s.io/kubelet
)
";

    #[test]
    fn go_mod_replaces_the_libraries_in_the_repository() {
        assert_eq!(
            kubernetes_go_mod(Version::new(1, 37, 2), UPSTREAM),
            "module tlsboot.local/kube\n\ngo 1.26.0\ngodebug default=go1.26\n\
             \nrequire k8s.io/kubernetes v1.37.2\n\n\
             replace (\n\tk8s.io/api => k8s.io/api v0.37.2\n\tk8s.io/kubelet => k8s.io/kubelet v0.37.2\n)\n"
        );
    }

    #[test]
    fn a_block_of_compatibility_settings_is_kept() {
        let upstream =
            UPSTREAM.replace("godebug default=go1.26", "godebug (\n\tdefault=go1.24\n\tx509negativeserial=1\n)");
        let go_mod = kubernetes_go_mod(Version::new(1, 34, 4), &upstream);
        assert!(
            go_mod.contains("go 1.26.0\ngodebug (\n\tdefault=go1.24\n\tx509negativeserial=1\n)\n\nrequire k8s"),
            "{go_mod}"
        );
    }

    #[test]
    fn a_pre_release_takes_the_libraries_of_its_tag() {
        let go_mod = kubernetes_go_mod("1.38.0-alpha.1".parse().unwrap(), UPSTREAM);
        assert!(go_mod.contains("k8s.io/api => k8s.io/api v0.38.0-alpha.1\n"), "{go_mod}");
    }

    #[test]
    fn before_1_23_maps_are_read_by_a_newer_library() {
        let reads_maps = |patch| kubernetes_go_mod(patch, UPSTREAM).contains("reflect2");
        assert!(reads_maps(Version::new(1, 22, 15)));
        assert!(!reads_maps(Version::new(1, 23, 17)));
    }

    #[test]
    fn before_1_17_kubelets_need_c() {
        for (minor, old) in [(16, true), (17, false)] {
            let version = Version::new(1, minor, 0);
            let package = |product| Package { product, version };
            assert_eq!(needs_c(package(Product::Kubernetes)), old);
            assert!(!needs_c(package(Product::Etcd)));
        }
    }

    #[test]
    fn pinned_modules_are_of_their_version() {
        for Pinned { package, go_mod, go_sum } in PINNED {
            let module = match package.product {
                Product::Kubernetes => KUBERNETES_MODULE,
                Product::Etcd => ETCD_MODULE,
            };
            assert!(go_mod.contains(&format!("{module} v{}\n", package.version)), "{package}");
            assert!(go_sum.contains(&format!("{module} v{} h1:", package.version)), "{package}");
        }
    }

    #[test]
    fn an_error_shows_the_last_lines() {
        let lines: Vec<_> = (1..=20).map(|number| number.to_string()).collect();
        assert!(last_lines(&lines).starts_with("\n    9\n"));
        assert!(last_lines(&lines).ends_with("\n    20"));
    }
}
