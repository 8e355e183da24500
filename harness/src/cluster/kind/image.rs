//! The node image: what is asked for, and what is there.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use super::docker::docker_blocking;
use crate::cluster::ClusterError;
use crate::components::Version;
use crate::report::ComponentResult;

/// A node image by its name: `kindest/node:v1.37.2@sha256:…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeImage(String);

impl FromStr for NodeImage {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for NodeImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl NodeImage {
    /// The image that `ci/node-image` builds of a version.
    pub fn built(version: Version) -> Self {
        Self(format!("tlsboot/node:v{version}"))
    }

    /// Kubernetes' version by the tag, where the tag is one.
    pub fn version(&self) -> Option<Version> {
        let name = self.0.split('@').next().unwrap_or_default();
        let (_, last) = name.rsplit_once('/').unwrap_or(("", name));
        last.split_once(':')?.1.parse().ok()
    }

    /// Whether the name says which image it is for ever.
    fn is_pinned(&self) -> bool {
        self.0.contains("@sha256:")
    }

    /// Looks the image up, and pulls it where it is missing. Blocks.
    ///
    /// # Errors
    /// When it can't be had, or has another version of Kubernetes in it.
    pub(super) fn find(&self, version: Version) -> Result<Found, ClusterError> {
        match self.find_here(version) {
            Err(ClusterError::Command { reason, .. }) if reason.contains("No such image") => {
                self.pull(version)?;
                self.find_here(version)
            }
            found => found,
        }
    }

    /// Looks the image up on this machine.
    ///
    /// # Errors
    /// When it is not there, or has another version of Kubernetes in it.
    pub(super) fn find_here(&self, version: Version) -> Result<Found, ClusterError> {
        let id = docker_blocking(&["image", "inspect", "--format", "{{.Id}}", &self.0])?;
        let file = "/kind/version";
        let cat = [
            "run",
            "--rm",
            "--network",
            "none",
            "--entrypoint",
            "cat",
            id.as_str(),
            file,
        ];
        let inside = docker_blocking(&cat)
            .map_err(|error| self.unfit(&format!("it has no {file} ({error})")))?;
        match inside.trim().parse::<Version>() {
            Ok(inside) if inside == version => Ok(Found {
                image: self.clone(),
                id,
                version,
            }),
            _ => Err(self.unfit(&format!(
                "Kubernetes {} is in it, not {version}: say --kubernetes {0}",
                inside.trim().trim_start_matches('v')
            ))),
        }
    }

    fn pull(&self, version: Version) -> Result<(), ClusterError> {
        eprintln!("pulling {self}");
        docker_blocking(&["pull", "--quiet", &self.0])
            .map(drop)
            .map_err(|error| self.unfit(&format!("it is not here and can't be pulled ({error}); build one by `ci/node-image {version}`, or name another by --node-image")))
    }

    fn unfit(&self, reason: &str) -> ClusterError {
        std::io::Error::other(format!("the node image {self} can't be used: {reason}")).into()
    }
}

/// A node image that is there.
#[derive(Clone, Debug)]
pub(super) struct Found {
    image: NodeImage,
    /// Its id: from now on it is called so, whatever becomes of the tag meanwhile.
    pub(super) id: String,
    version: Version,
}

impl Found {
    /// For the report: the id is the SHA-256 of the image's configuration, which names all that is in it.
    pub(super) fn component(&self) -> ComponentResult {
        let warning = if self.image.is_pinned() {
            ""
        } else {
            " (warning: a tag without a digest, which may be another image tomorrow; pin it as NAME@sha256:…, or compare the id)"
        };
        ComponentResult {
            name: "node image".into(),
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
    fn names(#[case] name: &str, #[case] version: Option<Version>, #[case] pinned: bool) {
        let image: NodeImage = name.parse().unwrap();
        assert_eq!((image.version(), image.is_pinned()), (version, pinned));
        let found = Found {
            image,
            id: "sha256:ab".into(),
            version: Version::new(1, 37, 2),
        };
        assert_eq!(found.component().origin.contains("warning"), !pinned);
        assert_eq!(found.component().sha256, "ab");
    }
}
