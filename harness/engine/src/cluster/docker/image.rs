//! Images: what is asked for, and what is there.

use std::fmt;

use super::docker_blocking;
use crate::cluster::ClusterError;
use crate::say;
use tlsboot_core::result::ComponentResult;
use tlsboot_core::version::Version;

/// An image by its name: `kindest/node:v1.37.2@sha256:…`, `rancher/k3s:v1.37.2-k3s1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image(String);

/// What an image is for, and how it is asked for the version of Kubernetes in it.
pub(in crate::cluster) struct Use<'a> {
    /// As the report calls it.
    pub(in crate::cluster) name: &'static str,
    /// Options and arguments of `docker run`, around the image.
    pub(in crate::cluster) question: (&'a [&'a str], &'a [&'a str]),
    /// Where one can be had that is not here.
    pub(in crate::cluster) remedy: &'a str,
}

/// What k3s appends to Kubernetes' version; `+` is not for tags.
const K3S_SUFFIXES: [&str; 2] = ["-k3s", "+k3s"];

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
    /// Kubernetes' version by the tag, where the tag is one.
    pub fn version(&self) -> Option<Version> {
        let name = self.0.split('@').next().unwrap_or_default();
        let (_, last) = name.rsplit_once('/').unwrap_or(("", name));
        version_in(last.split_once(':')?.1)
    }

    /// Whether the name says which image it is for ever.
    fn is_pinned(&self) -> bool {
        self.0.contains("@sha256:")
    }

    /// Looks the image up, and pulls it where it is missing. Blocks.
    ///
    /// # Errors
    /// When it can't be had, or has another version of Kubernetes in it.
    pub(in crate::cluster) fn find(&self, of: &Use<'_>, version: Version) -> Result<Found, ClusterError> {
        match self.find_here(of, version) {
            Err(ClusterError::Command { reason, .. }) if reason.contains("No such image") => {
                self.pull(of)?;
                self.find_here(of, version)
            }
            found => found,
        }
    }

    /// Looks the image up on this machine. Blocks.
    ///
    /// # Errors
    /// When it is not there, or has another version of Kubernetes in it.
    pub(in crate::cluster) fn find_here(&self, of: &Use<'_>, version: Version) -> Result<Found, ClusterError> {
        let id = docker_blocking(&["image", "inspect", "--format", "{{.Id}}", &self.0])?;
        let (options, args) = of.question;
        let run = ["run", "--rm", "--network", "none"];
        let run: Vec<&str> =
            run.into_iter().chain(options.iter().copied()).chain([id.as_str()]).chain(args.iter().copied()).collect();
        let answer = docker_blocking(&run)
            .map_err(|error| self.unfit(of, &format!("it does not tell its version ({error})")))?;
        match answer.split_whitespace().find_map(version_in) {
            Some(inside) if inside == version => {
                Ok(Found { image: self.clone(), name: of.name, id, version, said: answer })
            }
            Some(inside) => {
                Err(self.unfit(of, &format!("Kubernetes {inside} is in it, not {version}: say --kubernetes {inside}")))
            }
            None => Err(self.unfit(of, &format!("it tells no version, but `{answer}`"))),
        }
    }

    fn pull(&self, of: &Use<'_>) -> Result<(), ClusterError> {
        say!("pulling {self}");
        docker_blocking(&["pull", "--quiet", &self.0])
            .map(drop)
            .map_err(|error| self.unfit(of, &format!("it is not here and can't be pulled ({error}); {}", of.remedy)))
    }

    fn unfit(&self, of: &Use<'_>, reason: &str) -> ClusterError {
        std::io::Error::other(format!("the {} {self} can't be used: {reason}", of.name)).into()
    }
}

fn version_in(word: &str) -> Option<Version> {
    let end = K3S_SUFFIXES.iter().find_map(|suffix| word.find(suffix));
    word.get(..end.unwrap_or(word.len()))?.parse().ok()
}

/// An image that is there.
#[derive(Clone, Debug)]
pub(in crate::cluster) struct Found {
    image: Image,
    name: &'static str,
    /// Its id: from now on it is called so, whatever becomes of the tag meanwhile.
    pub(in crate::cluster) id: String,
    version: Version,
    /// What it said of its version.
    #[cfg_attr(not(feature = "docker"), expect(dead_code))]
    pub(in crate::cluster) said: String,
}

impl Found {
    /// For the report: the id is the SHA-256 of the image's configuration, which names all that is in it.
    pub(in crate::cluster) fn component(&self) -> ComponentResult {
        let warning = if self.image.is_pinned() {
            ""
        } else {
            " (warning: a tag without a digest, which may be another image tomorrow; pin it as NAME@sha256:…, or compare the id)"
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
    #[case::something_else("BusyBox v1.36", None)]
    fn versions_are_found_in_what_images_say(#[case] said: &str, #[case] version: Option<Version>) {
        assert_eq!(said.split_whitespace().find_map(version_in), version);
    }
}
