//! Bytes on their way: from a folder or a web server, counted and hashed as they pass.

use std::env;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use ureq::Agent;
use ureq::http::StatusCode;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use super::progress::Task;
use crate::untrusted::{self, LONGEST};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A server that sends nothing for this long is considered dead.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// A server that sends less than this in so long a time does so on purpose, or might as well: an executable of 30 MB would
/// take a day.
const SLOWEST: Speed = Speed { bytes: 64 << 10, within: Duration::from_secs(120) };
/// Lists of checksums are small; a bigger answer is something else.
const MAX_TEXT: u64 = 1 << 20;
/// No file is larger, in bytes; an endless one is cut off there.
const LARGEST: u64 = 2 << 30;

/// Where files are read from: a folder, or the base of http(s) URLs.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder on this machine.
    Folder(PathBuf),
    /// An http or https URL without a slash at its end. It may hold a user name and password, which are never shown.
    Url(String),
}

/// A file being read.
pub(super) struct Incoming {
    pub(super) reader: Box<dyn Read>,
    /// Its length in bytes, if known in advance.
    pub(super) length: Option<u64>,
}

impl FromStr for Location {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once("://") {
            Some(("http" | "https", host)) if !host.is_empty() => Ok(Self::Url(text.trim_end_matches('/').into())),
            Some(("file", path)) if path.starts_with('/') => Ok(Self::Folder(path.into())),
            None if !text.is_empty() => Ok(Self::Folder(text.into())),
            _ => Err("neither a folder nor an http or https URL"),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.display().fmt(f),
            Self::Url(url) => without_user(url).fmt(f),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}

/// A URL without the user name and password in it.
pub(super) fn without_user(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..authority].rfind('@').map_or(0, |at| at + 1);
    format!("{scheme}://{}", &rest[host..])
}

impl Location {
    /// The full name of a file at this location.
    pub(super) fn name(&self, file: &str) -> String {
        format!("{self}/{file}")
    }

    /// Opens a file; `None` if it does not exist. The error is a reason to show.
    pub(super) fn open(&self, file: &str) -> Result<Option<Incoming>, String> {
        match self {
            Self::Folder(folder) => match File::open(folder.join(file)) {
                Ok(file) => {
                    let length = file.metadata().ok().map(|metadata| metadata.len());
                    Ok(Some(Incoming { reader: Box::new(file.take(LARGEST)), length }))
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(format!("{}: {error}", self.name(file))),
            },
            Self::Url(url) => get(&format!("{url}/{file}")),
        }
    }

    /// Reads a small text; `None` if it does not exist. The error is a reason to show.
    pub(super) fn read_text(&self, file: &str) -> Result<Option<String>, String> {
        let Some(incoming) = self.open(file)? else {
            return Ok(None);
        };
        let mut text = String::new();
        match incoming.reader.take(MAX_TEXT).read_to_string(&mut text) {
            Ok(_) => Ok(Some(text)),
            Err(error) => Err(format!("{}: {error}", self.name(file))),
        }
    }
}

fn get(url: &str) -> Result<Option<Incoming>, String> {
    let shown = without_user(url);
    let failed = |error: ureq::Error| format!("{shown}: {}", error.to_string().replace(url, &shown));
    let response = agent()?.get(url).call().map_err(failed)?;
    match response.status() {
        StatusCode::NOT_FOUND | StatusCode::GONE => Ok(None),
        status if status.is_success() => {
            let body = response.into_body();
            let length = body.content_length();
            let paced = Paced::new(body.into_reader().take(LARGEST), SLOWEST);
            Ok(Some(Incoming { reader: Box::new(paced), length }))
        }
        status => Err(format!("{shown}: {status}")),
    }
}

/// The least that must come in a time.
#[derive(Clone, Copy, Debug)]
struct Speed {
    bytes: u64,
    within: Duration,
}

/// A reader that ends with an error when it is too slow. Only the time spent in waiting for bytes counts.
struct Paced<R> {
    inner: R,
    slowest: Speed,
    waited: Duration,
    came: u64,
}

impl<R: Read> Paced<R> {
    fn new(inner: R, slowest: Speed) -> Self {
        Self { inner, slowest, waited: Duration::ZERO, came: 0 }
    }
}

impl<R: Read> Read for Paced<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let start = Instant::now();
        let count = self.inner.read(buffer)?;
        self.waited += start.elapsed();
        self.came += count as u64;
        let Speed { bytes, within } = self.slowest;
        if count > 0 && self.waited >= within {
            if self.came < bytes {
                let came = format!("only {} bytes came in {} s", self.came, self.waited.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, format!("the server is too slow: {came}")));
            }
            (self.waited, self.came) = (Duration::ZERO, 0);
        }
        Ok(count)
    }
}

/// One for the process. As in other programs, proxies come from `HTTPS_PROXY`, `NO_PROXY` and so on, and the
/// certificate authorities from the file `SSL_CERT_FILE` if it is set, instead of Mozilla's.
fn agent() -> Result<&'static Agent, String> {
    static AGENT: OnceLock<Result<Agent, String>> = OnceLock::new();
    let agent = AGENT.get_or_init(|| {
        let roots = match env::var_os("SSL_CERT_FILE") {
            Some(file) => authorities(Path::new(&file))?,
            None => RootCerts::WebPki,
        };
        Ok(Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_per_read(Some(READ_TIMEOUT))
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .user_agent(concat!("tlsboot/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent())
    });
    agent.as_ref().map_err(String::clone)
}

fn authorities(file: &Path) -> Result<RootCerts, String> {
    let error = |error: &dyn fmt::Display| format!("SSL_CERT_FILE={}: {error}", file.display());
    let pem = untrusted::read(file, LONGEST).map_err(|cause| error(&cause))?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(error(&"it contains no certificate"));
    }
    Ok(certificates.into())
}

/// Hashes what is read through it, and reports progress.
pub(super) struct Hashing<'a> {
    inner: &'a mut dyn Read,
    task: Option<&'a mut Task>,
    hasher: Sha256,
    /// The first failure: after it a reader may claim that it has reached the end.
    failed: Option<(io::ErrorKind, String)>,
}

impl<'a> Hashing<'a> {
    pub(super) fn new(inner: &'a mut dyn Read, task: Option<&'a mut Task>) -> Self {
        Self { inner, task, hasher: Sha256::new(), failed: None }
    }

    /// Reads to the end and returns the SHA-256 of everything that was read, hex.
    pub(super) fn finish(mut self) -> io::Result<String> {
        if let Some((kind, text)) = self.failed {
            return Err(io::Error::new(kind, text));
        }
        io::copy(&mut self, &mut io::sink())?;
        Ok(hex::encode(self.hasher.finalize()))
    }
}

impl Read for Hashing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                self.failed = Some((error.kind(), error.to_string()));
            }
        })?;
        self.hasher.update(&buffer[..count]);
        if let Some(task) = &mut self.task {
            task.add(count as u64);
        }
        Ok(count)
    }
}

/// The SHA-256 of a file, hex.
pub(super) fn sha256_of_file(path: &Path, task: Option<&mut Task>) -> io::Result<String> {
    Hashing::new(&mut File::open(path)?, task).finish()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://mirror.example/k8s/", Location::Url("https://mirror.example/k8s".into()))]
    #[case("http://127.0.0.1:80", Location::Url("http://127.0.0.1:80".into()))]
    #[case("/srv/mirror", Location::Folder("/srv/mirror".into()))]
    #[case("file:///srv/mirror", Location::Folder("/srv/mirror".into()))]
    #[case("mirror", Location::Folder("mirror".into()))]
    fn locations(#[case] text: &str, #[case] location: Location) {
        assert_eq!(text.parse(), Ok(location));
    }

    #[rstest]
    #[case("")]
    #[case("ftp://mirror.example")]
    #[case("https://")]
    fn no_locations(#[case] text: &str) {
        assert!(text.parse::<Location>().is_err());
    }

    /// Waits before each of its pieces.
    struct Slow(Duration, usize);

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            std::thread::sleep(self.0);
            Ok(self.1.min(buffer.len()))
        }
    }

    #[test]
    fn a_server_that_is_too_slow_is_given_up() {
        let slowest = Speed { bytes: 1000, within: Duration::from_millis(50) };
        let mut trickle = Paced::new(Slow(Duration::from_millis(5), 1), slowest);
        let error = io::copy(&mut trickle, &mut io::sink()).unwrap_err();
        assert!(error.to_string().starts_with("the server is too slow: only "), "{error}");
        let enough = Paced::new(Slow(Duration::from_millis(5), 1000), slowest);
        assert_eq!(io::copy(&mut enough.take(100_000), &mut io::sink()).unwrap(), 100_000);
    }

    #[rstest]
    #[case("https://user:pass@mirror.example/k8s", "https://mirror.example/k8s")]
    #[case("http://token@[::1]:80", "http://[::1]:80")]
    #[case("https://a:p@ss@mirror.example", "https://mirror.example")]
    #[case("https://mirror.example/@scope?mail=a@b", "https://mirror.example/@scope?mail=a@b")]
    fn a_password_is_never_shown(#[case] text: &str, #[case] shown: &str) {
        let location: Location = text.parse().unwrap();
        assert_eq!(location.to_string(), shown);
        assert_eq!(format!("{location:?}"), format!("Location({shown})"));
        assert_eq!(location.name("SHA256SUMS"), format!("{shown}/SHA256SUMS"));
        if let Err(error) = (Location::Url("http://user:secret@127.0.0.1:1".into())).open("x") {
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
