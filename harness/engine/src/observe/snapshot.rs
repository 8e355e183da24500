//! The state of a file at one moment: kind, mode, owner, and the public part of its content.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use serde::Deserialize;

use crate::secret::Vault;
use tlsboot_core::history::event::{FileFacts, FileKind, KubeconfigFacts};
use tlsboot_core::history::facts::PemBlock;

/// No certificate file is longer. Longer files are recorded without their content.
const LONGEST: u64 = 1 << 20;

/// A name in a certificate directory, with the content of the file `behind` it; `None` if there is nothing.
pub(super) fn certificate_file(path: &Path, behind: &Path, vault: &Vault) -> Option<FileFacts> {
    let facts = file(path)?;
    let pem = match (facts.kind, content(behind)) {
        (FileKind::Directory, _) => Vec::new(),
        (_, Ok(bytes)) => vault.pem_file(&bytes).blocks,
        (_, Err(error)) => vec![PemBlock { error: Some(format!("cannot be read: {error}")), ..PemBlock::default() }],
    };
    Some(FileFacts { pem, ..facts })
}

/// A kubeconfig; `None` if there is nothing.
pub(super) fn kubeconfig_file(path: &Path) -> Option<FileFacts> {
    let facts = file(path)?;
    let said = content(path).map_err(|error| format!("cannot be read: {error}"));
    let kubeconfig = said
        .and_then(|bytes| kubeconfig(&bytes))
        .unwrap_or_else(|error| KubeconfigFacts { error: Some(error), ..KubeconfigFacts::default() });
    Some(FileFacts { kubeconfig: Some(kubeconfig), ..facts })
}

/// The kind of the name itself. A socket or a pipe counts as a file without content.
fn file(path: &Path) -> Option<FileFacts> {
    let found = fs::symlink_metadata(path).ok()?;
    let kind = if found.is_symlink() {
        FileKind::Link
    } else if found.is_dir() {
        FileKind::Directory
    } else {
        FileKind::File
    };
    let target = fs::read_link(path).ok();
    Some(FileFacts {
        kind,
        mode: format!("{:04o}", found.mode() & 0o7777),
        uid: found.uid(),
        size: found.size(),
        target: target.map(|target| target.to_string_lossy().into_owned()),
        pem: Vec::new(),
        kubeconfig: None,
    })
}

/// Reads a file, through links. Never waits for a writer, as opening a pipe would.
fn content(path: &Path) -> io::Result<Vec<u8>> {
    let no_waiting = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut options = fs::OpenOptions::new();
    let file = options.read(true).custom_flags(no_waiting).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() || found.len() > LONGEST {
        return Err(io::Error::other("not a regular file, or larger than 1 MiB"));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads the public content of a kubeconfig. The parser's own messages are dropped: they quote the file.
fn kubeconfig(bytes: &[u8]) -> Result<KubeconfigFacts, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text")?;
    let config: Kubeconfig = serde_saphyr::from_str(text).map_err(|_| "it is not a kubeconfig in YAML")?;
    let cluster = config.clusters.unwrap_or_default().into_iter().next();
    let user = config.users.unwrap_or_default().into_iter().next();
    let user = user.unwrap_or_default();
    let credentials = user.user.unwrap_or_default();
    Ok(KubeconfigFacts {
        server: cluster.and_then(|cluster| cluster.cluster?.server),
        context: config.current_context,
        user: user.name,
        client_certificate: credentials.client_certificate,
        client_key: credentials.client_key,
        embedded: credentials.client_certificate_data.is_some() || credentials.client_key_data.is_some(),
        error: None,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Kubeconfig {
    clusters: Option<Vec<NamedCluster>>,
    users: Option<Vec<NamedUser>>,
    current_context: Option<String>,
}

#[derive(Deserialize)]
struct NamedCluster {
    cluster: Option<Cluster>,
}

#[derive(Deserialize)]
struct Cluster {
    server: Option<String>,
}

#[derive(Default, Deserialize)]
struct NamedUser {
    name: Option<String>,
    user: Option<Credentials>,
}

/// For secrets only whether they are set.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Credentials {
    client_certificate: Option<String>,
    client_key: Option<String>,
    client_certificate_data: Option<serde::de::IgnoredAny>,
    client_key_data: Option<serde::de::IgnoredAny>,
}
