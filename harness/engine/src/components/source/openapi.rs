//! Code that the modules of Kubernetes up to 1.23 lack: their API server's OpenAPI definitions, which were generated in
//! a checkout. Kubernetes' own generator creates them from the sources that the program is built from.

use std::fs;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use super::FetchError;
use super::go::{Go, not_started, succeeded};
use crate::components::error::{ComponentError, io_error};
use crate::components::progress::{Progress, Unit};
use crate::components::{Package, Product};
use crate::shim;

/// The generator. go.mod pins one for all of these versions.
const GENERATOR: &str = "k8s.io/kube-openapi/cmd/openapi-gen";
/// The package that it creates.
const DEFINITIONS: &str = "k8s.io/kubernetes/pkg/generated/openapi";
/// The library of their types, and its name before 1.22.
const TYPES: &str = "k8s.io/kube-openapi/pkg/validation/spec";
const OLD_TYPES: &str = "github.com/go-openapi/spec";
/// What marks a type, or a package of types, that has a definition.
const MARK: &str = "// +k8s:openapi-gen=true";

/// Whether a version's module lacks them.
pub(super) fn is_missing(package: Package) -> bool {
    package.product == Product::Kubernetes && package.version.minor < 24
}

/// Writes them into the `vendor` folder.
pub(super) fn generate(go: &Go<'_>, package: Package, progress: &Progress) -> Result<(), FetchError> {
    let label = format!("generating the OpenAPI definitions of {package}");
    let task = progress.task(&label, None, Unit::Packages);
    let mut command = go.set(shim::dies_with_us(&generator(go)?));
    let (folder, file) = (format!("vendor/{DEFINITIONS}"), "zz_generated.openapi.go");
    command
        .args(["--output-dir", &folder, "--output-file", file])
        .args(["--output-pkg", DEFINITIONS])
        // No license header, and the API violations that it reports are history.
        .args(["--go-header-file", "/dev/null"])
        .args(["--report-filename", "violations"])
        .args(packages(go)?)
        .env("GOFLAGS", go.modules)
        // The generator does not support aliases.
        .env("GODEBUG", "gotypesalias=0");
    let output = command.output().map_err(not_started)?;
    succeeded("openapi-gen", output)?;
    if package.version.minor < 22 {
        let path = go.folder.join(&folder).join(file);
        let text = fs::read_to_string(&path).map_err(io_error("cannot read", &path))?;
        go.write(&format!("{folder}/{file}"), &text.replace(TYPES, OLD_TYPES))?;
    }
    task.finish();
    Ok(())
}

/// Builds the generator, in its own folder with its own modules.
fn generator(go: &Go<'_>) -> Result<PathBuf, FetchError> {
    let folder = go.folder.join("openapi-gen");
    fs::create_dir_all(&folder).map_err(io_error("cannot make", &folder))?;
    let go = Go { folder: &folder, modules: "-mod=readonly", ..*go };
    go.write("go.mod", include_str!("../../../../../kubernetes/openapi-gen/go.mod"))?;
    go.write("go.sum", include_str!("../../../../../kubernetes/openapi-gen/go.sum"))?;
    let name = "openapi-gen";
    go.run(&["build", go.modules, "-o", name, GENERATOR])?;
    Ok(folder.join(name))
}

/// The packages of the program that have types with definitions.
fn packages(go: &Go<'_>) -> Result<Vec<String>, FetchError> {
    let format = "{{.ImportPath}}\t{{.Dir}}";
    let listed = go.run(&["list", go.modules, "-deps", "-f", format, "."])?;
    let mut packages = Vec::new();
    for line in listed.stdout.lines().map_while(Result::ok) {
        if let Some((package, folder)) = line.split_once('\t')
            && is_marked(Path::new(folder))?
        {
            packages.push(package.to_owned());
        }
    }
    Ok(packages)
}

fn is_marked(folder: &Path) -> Result<bool, ComponentError> {
    let read = |error| io_error("cannot read", folder)(error);
    for entry in fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if path.extension().is_some_and(|extension| extension == "go") {
            let text = fs::read_to_string(&path).map_err(io_error("cannot read", &path))?;
            if text.lines().any(|line| line.starts_with(MARK)) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use tlsboot_core::version::Version;

    #[rstest]
    #[case::package("// +k8s:openapi-gen=true\n\npackage v1\n", true)]
    #[case::kind("package intstr\n\n// +k8s:openapi-gen=true\ntype A int\n", true)]
    #[case::generator("package gen\n\nconst mark = \"+k8s:openapi-gen=true\"\n", false)]
    #[case::refused("// +k8s:openapi-gen=false\n\npackage v1\n", false)]
    fn marks_are_comments(#[case] text: &str, #[case] expected: bool) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("README.md"), MARK).unwrap();
        fs::write(folder.path().join("a.go"), text).unwrap();
        assert_eq!(is_marked(folder.path()).unwrap(), expected);
    }

    #[test]
    fn modules_have_them_from_1_24_on() {
        let kubernetes = |minor| Package { product: Product::Kubernetes, version: Version::new(1, minor, 0) };
        assert!(is_missing(kubernetes(23)) && !is_missing(kubernetes(24)));
    }
}
