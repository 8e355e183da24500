//! Small replacements for mirrors, releases and web servers.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use flate2::{Compression, write::GzEncoder};
use lzma_rust2::{XzOptions, XzWriter};
use sha2::{Digest, Sha256};

use super::super::*;
use tlsboot_core::version::*;

pub(super) const VERSION: Version = Version::new(1, 37, 2);
pub(super) const KUBERNETES: Package = Package { product: Product::Kubernetes, version: VERSION };
pub(super) const ETCD: Package = Package { product: Product::Etcd, version: DEFAULT_ETCD };

/// A folder for each test, and options that access nothing else.
pub(super) struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    pub(super) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn options(&self) -> Options {
        Options {
            components: None,
            source: None,
            cache: self.path("cache"),
            mirror: None,
            release: Location::Folder(self.path("no-release")),
            etcd_release: Location::Folder(self.path("no-etcd-release")),
            go: self.path("no-go"),
            etcd: DEFAULT_ETCD,
            edits: Vec::new(),
        }
    }

    pub(super) fn store(&self) -> Store {
        Store::new(self.path("cache"))
    }

    /// What is on its way into the store.
    pub(super) fn staged(&self) -> usize {
        fs::read_dir(self.path("cache/staging")).map_or(0, |entries| entries.count())
    }

    /// A mirror with Kubernetes 1.37.2 as one executable, and etcd.
    pub(super) fn mirror(&self) -> PathBuf {
        let mirror = self.path("mirror");
        write_mirror_file(&mirror, KUBERNETES, "kube", payload("kube"));
        write_mirror_file(&mirror, ETCD, "etcd", payload("etcd"));
        mirror
    }

    /// The official release's layout with Kubernetes 1.37.2 and etcd.
    pub(super) fn release(&self) -> PathBuf {
        let release = self.path("release");
        for role in KUBERNETES_ROLES {
            let file = format!("v{VERSION}/bin/linux/{}/{role}", arch());
            let content = payload(role.name());
            write(&release.join(format!("{file}.sha256")), sha256(&content).as_bytes());
            write(&release.join(file), &content);
        }
        let archive_name = format!("etcd-v{DEFAULT_ETCD}-linux-{}", arch());
        let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (name, content) in [("etcdctl", payload("etcdctl")), ("etcd", payload("etcd"))] {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o755);
            archive.append_data(&mut header, format!("{archive_name}/{name}"), &*content).unwrap();
        }
        let archive = archive.into_inner().unwrap().finish().unwrap();
        let folder = release.join(format!("v{DEFAULT_ETCD}"));
        write(&folder.join("SHA256SUMS"), format!("{}  {archive_name}.tar.gz\n", sha256(&archive)).as_bytes());
        write(&folder.join(format!("{archive_name}.tar.gz")), &archive);
        release
    }
}

/// 300 kB that do not compress to nothing, different for each name.
pub(super) fn payload(name: &str) -> Vec<u8> {
    let mut state = name.bytes().fold(7u64, |state, byte| state.wrapping_mul(31) + u64::from(byte));
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    };
    (0..300_000).map(|_| next()).collect()
}

pub(super) fn sha256(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}

pub(super) fn write(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

pub(super) fn write_script(path: &Path, text: &str) {
    write(path, format!("#!/bin/sh\n{text}\n").as_bytes());
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

pub(super) fn write_mirror_file(mirror: &Path, package: Package, name: &str, content: Vec<u8>) {
    let mut packer = XzWriter::new(Vec::new(), XzOptions::with_preset(0)).unwrap();
    packer.write_all(&content).unwrap();
    let packed = packer.finish().unwrap();
    let folder = mirror.join(package.folder());
    let known = fs::read_to_string(folder.join("SHA256SUMS")).unwrap_or_default();
    let sums = format!("{known}{}  {name}\n{}  {name}.xz\n", sha256(&content), sha256(&packed));
    write(&folder.join("SHA256SUMS"), sums.as_bytes());
    write(&folder.join(format!("{name}.xz")), &packed);
}

/// Serves a folder on a loopback port until the process ends.
pub(super) struct Server {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Sends whole files; if the name ends in `cut_off`, only the first half, with the length of the whole.
    pub(super) fn start(folder: PathBuf, cut_off: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (folder, log) = (folder.clone(), Arc::clone(&log));
                thread::spawn(move || serve(stream, &folder, cut_off, &log));
            }
        });
        Self { url, requests }
    }

    pub(super) fn location(&self) -> Location {
        self.url.parse().unwrap()
    }

    /// How often a file of this name was requested.
    pub(super) fn requests(&self, name: &str) -> usize {
        self.requests.lock().unwrap().iter().filter(|path| path.ends_with(name)).count()
    }
}

fn serve(mut stream: TcpStream, folder: &Path, cut_off: Option<&str>, log: &Mutex<Vec<String>>) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    lines.find(String::is_empty)?;
    log.lock().unwrap().push(path.clone());
    let Ok(content) = fs::read(folder.join(&path[1..])) else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok();
    };
    let cut = cut_off.is_some_and(|name| path.ends_with(name));
    let sent = if cut { &content[..content.len() / 2] } else { &content };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", content.len());
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(sent)).ok()
}

pub(super) fn resolver(options: Options) -> Resolver {
    Resolver::new(options, Progress::hidden()).unwrap()
}

pub(super) fn request(text: &str) -> VersionRequest {
    text.parse().unwrap()
}

pub(super) fn error(result: Result<impl std::fmt::Debug, ComponentError>) -> String {
    result.unwrap_err().to_string()
}

pub(super) fn change_byte(path: &Path) {
    let mut content = fs::read(path).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(path, content).unwrap();
}

/// Tests that run programs which they have just written take turns: a concurrent fork would hold the file open.
pub(super) fn run_programs() -> impl Drop {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
