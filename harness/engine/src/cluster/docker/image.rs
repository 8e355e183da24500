//! Images: what was asked for, and what exists.

use std::fmt;

use super::docker_blocking;
use crate::cluster::ClusterError;
use crate::say;
use tlsboot_core::distribution::Distribution;
use tlsboot_core::result::ComponentResult;
use tlsboot_core::version::Version;

/// An image by its name: `kindest/node:v1.37.2@sha256:…`, `rancher/k3s:v1.37.2-k3s1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image(String);

/// What an image is for, and how it reports the version of Kubernetes in it.
pub(in crate::cluster) struct Use<'a> {
    /// Its name in the report.
    pub(in crate::cluster) name: &'static str,
    /// Options and arguments of `docker run`, around the image.
    pub(in crate::cluster) question: (&'a [&'a str], &'a [&'a str]),
    /// Where to get one if it is missing.
    pub(in crate::cluster) remedy: &'a str,
}

/// What k3s and RKE2 append to Kubernetes' version; `+` is not allowed in tags.
const SUFFIXES: [&str; 4] = ["-k3s", "+k3s", "-rke2r", "+rke2r"];

impl From<String> for Image {
    fn from(name: String) -> Self {
        Self(name)
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Image {
    /// Kubernetes' version according to the tag, if the tag is a version.
    pub fn version(&self) -> Option<Version> {
        let name = self.0.split('@').next().unwrap_or_default();
        let (_, last) = name.rsplit_once('/').unwrap_or(("", name));
        version_in(last.split_once(':')?.1)
    }

    /// The distribution according to the tag, if it is one that creates no CSRs for its nodes.
    pub(in crate::cluster) fn distribution(&self) -> Option<Distribution> {
        let name = self.0.split('@').next().unwrap_or_default();
        let (_, last) = name.rsplit_once('/').unwrap_or(("", name));
        Distribution::of(last.split_once(':')?.1)
    }

    /// Whether the name identifies one image permanently.
    fn is_pinned(&self) -> bool {
        self.0.contains("@sha256:")
    }

    /// Looks up the image, and pulls it if it is missing. Blocks.
    ///
    /// # Errors
    /// If it is not available, or contains another version of Kubernetes.
    pub(in crate::cluster) fn find(&self, of: &Use<'_>, version: Version) -> Result<Found, ClusterError> {
        match self.find_here(of, version) {
            Err(ClusterError::Command { reason, .. }) if reason.contains("No such image") => {
                self.pull(of)?;
                self.find_here(of, version)
            }
            found => found,
        }
    }

    /// Looks up the image on this machine. Blocks.
    ///
    /// # Errors
    /// If it does not exist, or contains another version of Kubernetes.
    pub(in crate::cluster) fn find_here(&self, of: &Use<'_>, version: Version) -> Result<Found, ClusterError> {
        let id = docker_blocking(&["image", "inspect", "--format", "{{.Id}}", &self.0])?;
        let (options, args) = of.question;
        let run = ["run", "--rm", "--network", "none"];
        let run: Vec<&str> =
            run.into_iter().chain(options.iter().copied()).chain([id.as_str()]).chain(args.iter().copied()).collect();
        let answer = docker_blocking(&run)
            .map_err(|error| self.unfit(of, &format!("it does not report its version ({error})")))?;
        match answer.split_whitespace().find_map(version_in) {
            Some(inside) if inside == version => {
                Ok(Found { image: self.clone(), name: of.name, id, version, said: answer })
            }
            Some(inside) => {
                Err(self
                    .unfit(of, &format!("it contains Kubernetes {inside}, not {version}: use --kubernetes {inside}")))
            }
            None => Err(self.unfit(of, &format!("it reports `{answer}`, which is not a version"))),
        }
    }

    fn pull(&self, of: &Use<'_>) -> Result<(), ClusterError> {
        say!("pulling {self}");
        docker_blocking(&["pull", "--quiet", &self.0]).map(drop).map_err(|error| {
            self.unfit(of, &format!("it is not on this machine and cannot be pulled ({error}); {}", of.remedy))
        })
    }

    fn unfit(&self, of: &Use<'_>, reason: &str) -> ClusterError {
        std::io::Error::other(format!("the {} {self} cannot be used: {reason}", of.name)).into()
    }
}

fn version_in(word: &str) -> Option<Version> {
    let end = SUFFIXES.iter().find_map(|suffix| word.find(suffix));
    word.get(..end.unwrap_or(word.len()))?.parse().ok()
}

/// An existing image.
#[derive(Clone, Debug)]
pub(in crate::cluster) struct Found {
    image: Image,
    name: &'static str,
    /// Its id, which is used from now on, whatever happens to the tag.
    pub(in crate::cluster) id: String,
    version: Version,
    /// The version that it reported.
    #[cfg_attr(not(feature = "docker"), expect(dead_code))]
    pub(in crate::cluster) said: String,
}

impl Found {
    /// For the report: the id is the SHA-256 of the image's configuration, which covers all of its content.
    pub(in crate::cluster) fn component(&self) -> ComponentResult {
        let warning = if self.image.is_pinned() {
            ""
        } else {
            " (warning: a tag without a digest may point to another image tomorrow; pin it as NAME@sha256:…, or compare the id)"
        };
        ComponentResult {
            name: self.name.into(),
            version: format!("v{}", self.version),
            sha256: self.id.trim_start_matches("sha256:").to_owned(),
            origin: format!("{}{warning}", self.image),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("kindest/node:v1.37.2@sha256:0123", Some(Version::new(1, 37, 2)), true)]
    #[case("tlsboot/node:v1.33.13", Some(Version::new(1, 33, 13)), false)]
    #[case("localhost:5000/node", None, false)]
    #[case("localhost:5000/node:v1.37.2", Some(Version::new(1, 37, 2)), false)]
    #[case("node:latest", None, false)]
    #[case("rancher/k3s:v1.37.2-k3s1", Some(Version::new(1, 37, 2)), false)]
    #[case("rancher/k3s:latest", None, false)]
    #[case("rancher/rke2-runtime:v1.33.4-rke2r1", Some(Version::new(1, 33, 4)), false)]
    fn names(#[case] name: &str, #[case] version: Option<Version>, #[case] pinned: bool) {
        let image = Image::from(name.to_owned());
        assert_eq!((image.version(), image.is_pinned()), (version, pinned));
        let found = Found {
            image,
            name: "node image",
            id: "sha256:ab".into(),
            version: Version::new(1, 37, 2),
            said: "v1.37.2".into(),
        };
        assert_eq!(found.component().origin.contains("warning"), !pinned);
        assert_eq!(found.component().sha256, "ab");
    }

    #[rstest]
    #[case::kind("v1.37.2", Some(Version::new(1, 37, 2)))]
    #[case::k3s("k3s version v1.37.2+k3s1 (0123abc)\ngo version go1.26.8", Some(Version::new(1, 37, 2)))]
    #[case::rke2("rke2 version v1.33.4+rke2r1 (0123abc)", Some(Version::new(1, 33, 4)))]
    #[case::something_else("BusyBox v1.36", None)]
    fn versions_are_found_in_what_images_say(#[case] said: &str, #[case] version: Option<Version>) {
        assert_eq!(said.split_whitespace().find_map(version_in), version);
    }
}
