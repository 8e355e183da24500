//! Secrets: a type that cannot be printed, and a vault that finds secret values where they must not be.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aho_corasick::{AhoCorasick, MatchKind};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};

use tlsboot_core::history::facts::PemFacts;
use tlsboot_core::x509::{self, Block, key, read};

const HIDDEN: &str = "[secret]";
/// Shorter values would be found everywhere.
const SHORTEST_SECRET: usize = 8;
/// Shorter base64 lines of a key are its tail, and therefore guessable or public.
const SHORTEST_KEY_LINE: usize = 40;
/// What every private key in PEM contains, registered or not.
const KEY_MARKER: &str = "PRIVATE KEY-----";

/// A value that must never be shown: it has no `Serialize`, and prints as `[secret]`.
#[derive(Clone)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps a secret value.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, for the only code that needs it.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl<T> fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl<T> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

/// A secret found where it must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// The file it is in.
    pub file: PathBuf,
    /// The position in the file, in bytes.
    pub offset: u64,
    /// What was found: `token`, `private key` …, never the value.
    pub what: &'static str,
}

/// A folder could not be searched for leaks.
#[derive(Debug, thiserror::Error)]
#[error("cannot search {} for secrets: {source}", path.display())]
pub struct ScanError {
    path: PathBuf,
    source: io::Error,
}

/// All secret values of a run. Clones share the same values.
///
/// A value is found in plain text and inside base64 (a kubeconfig's `client-key-data`, a Secret's `data`) at any
/// alignment, with the standard and the URL alphabet, and with JSON's escaping.
#[derive(Clone)]
pub struct Vault(Arc<Mutex<Registry>>);

struct Registry {
    /// What to look for, and its name.
    patterns: Vec<(String, &'static str)>,
    /// Built from `patterns` at the first search after a registration.
    searcher: Option<Arc<Searcher>>,
}

struct Searcher {
    automaton: AhoCorasick,
    names: Vec<&'static str>,
}

const TOKEN: &str = "token";
const KEY: &str = "private key";
const KEY_BLOCK: &str = "PRIVATE KEY block";

impl Default for Vault {
    fn default() -> Self {
        let mut registry = Registry { patterns: Vec::new(), searcher: None };
        registry.add(KEY_MARKER, KEY_BLOCK);
        Self(Arc::new(Mutex::new(registry)))
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault")
    }
}

impl Vault {
    /// An empty vault. It already finds `PRIVATE KEY-----`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a secret: a PEM text with private keys, or a token. Of a key, every base64 line is registered that is
    /// not public; of a token, the whole and its secret last part (bootstrap token, JWT). Values under 8 characters are
    /// not registered: they would be found everywhere.
    pub fn register(&self, secret: &str) {
        if secret.contains(KEY_MARKER) {
            x509::blocks(secret.as_bytes()).iter().for_each(|block| self.register_block(block));
            return;
        }
        let mut registry = self.lock();
        for line in secret.lines().map(str::trim) {
            registry.add(line, TOKEN);
            if let Some(part) = secret_part(line) {
                registry.add(part, TOKEN);
            }
        }
    }

    /// Reads any file as PEM ([`read::pem_file`]) and registers every private key in it, readable or not.
    pub fn pem_file(&self, bytes: &[u8]) -> PemFacts {
        x509::blocks(bytes).iter().for_each(|block| self.register_block(block));
        read::pem_file(bytes)
    }

    /// Registers the lines of a private key block, readable or not; other blocks contain nothing secret.
    fn register_block(&self, block: &Block) {
        if !block.is_private_key() {
            return;
        }
        // A key file repeats its public half, which certificates show with the same bytes.
        let public = key::public_half(block).unwrap_or_default();
        let mut registry = self.lock();
        for line in block.lines.iter().filter(|line| line.len() >= SHORTEST_KEY_LINE) {
            if !is_within(&public, line) {
                registry.add(line, KEY);
            }
        }
    }

    /// The first secret in some bytes, by kind; also any private key block.
    pub fn scan(&self, bytes: &[u8]) -> Option<&'static str> {
        let searcher = self.searcher();
        searcher.automaton.find(bytes).map(|found| searcher.names[found.pattern()])
    }

    /// Every secret in the files under `dir`, ordered by path. Links are not followed.
    ///
    /// # Errors
    /// If a folder or file cannot be read: it may contain an undetected secret.
    pub fn scan_dir(&self, dir: &Path) -> Result<Vec<Leak>, ScanError> {
        let searcher = self.searcher();
        let mut leaks = Vec::new();
        for file in files(dir)? {
            let bytes = std::fs::read(&file).map_err(at(&file))?;
            leaks.extend(searcher.automaton.find_iter(&bytes).map(|found| Leak {
                file: file.clone(),
                offset: found.start() as u64,
                what: searcher.names[found.pattern()],
            }));
        }
        Ok(leaks)
    }

    /// The text with every registered value replaced by `[secret]`. Unregistered key blocks are kept, for the scan to
    /// find.
    pub fn scrub(&self, text: &str) -> String {
        let searcher = self.searcher();
        let mut clean = String::with_capacity(text.len());
        searcher.automaton.replace_all_with(text, &mut clean, |found, value, clean| {
            let known = searcher.names[found.pattern()] != KEY_BLOCK;
            clean.push_str(if known { HIDDEN } else { value });
            true
        });
        clean
    }

    fn searcher(&self) -> Arc<Searcher> {
        let mut registry = self.lock();
        let Registry { patterns, searcher } = &mut *registry;
        searcher.get_or_insert_with(|| Arc::new(Searcher::new(patterns))).clone()
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        // No panic can leave the list half-changed: every push is atomic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    fn add(&mut self, value: &str, what: &'static str) {
        if value.len() < SHORTEST_SECRET || self.patterns.iter().any(|(known, _)| known == value) {
            return;
        }
        self.searcher = None;
        self.patterns.push((value.into(), what));
        for form in forms(value) {
            self.patterns.push((form, what));
        }
    }
}

impl Searcher {
    fn new(patterns: &[(String, &'static str)]) -> Self {
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(patterns.iter().map(|(pattern, _)| pattern));
        Self {
            // The builder fails only past 2^31 states, gigabytes of secrets.
            automaton: automaton.expect("the secrets of a run fit into memory"),
            names: patterns.iter().map(|(_, what)| *what).collect(),
        }
    }
}

/// The part of a token that proves something: a bootstrap token's secret, a JWT's signature. The other parts are
/// public.
fn secret_part(token: &str) -> Option<&str> {
    match token.split('.').collect::<Vec<_>>()[..] {
        [id, secret] if id.len() == 6 && secret.len() == 16 => Some(secret),
        [_, _, signature] => Some(signature),
        _ => None,
    }
}

/// The other forms of a value: with JSON's optional `\/`, and inside base64.
fn forms(value: &str) -> Vec<String> {
    let mut forms = Vec::new();
    let escaped = serde_json::Value::from(value).to_string();
    let escaped = escaped.trim_matches('"');
    if escaped != value {
        forms.push(escaped.into());
    }
    if value.contains('/') {
        forms.push(escaped.replace('/', "\\/"));
    }
    for lead in 0..3 {
        let mut bytes = vec![0; lead];
        bytes.extend_from_slice(value.as_bytes());
        // Only the characters that depend on nothing but the value.
        let inner = (lead * 8).div_ceil(6)..bytes.len() * 8 / 6;
        let standard = STANDARD.encode(&bytes)[inner.clone()].to_owned();
        let url = URL_SAFE.encode(&bytes)[inner].to_owned();
        if url != standard {
            forms.push(url);
        }
        forms.push(standard);
    }
    forms
}

/// Does a base64 line contain nothing but bytes of `public`?
fn is_within(public: &[u8], line: &str) -> bool {
    let Ok(bytes) = STANDARD.decode(line) else {
        return false;
    };
    !public.is_empty() && public.windows(bytes.len().max(1)).any(|window| window == bytes)
}

fn files(dir: &Path) -> Result<Vec<PathBuf>, ScanError> {
    let mut files = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).map_err(at(&dir))? {
            let entry = entry.map_err(at(&dir))?;
            let kind = entry.file_type().map_err(at(&entry.path()))?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

fn at(path: &Path) -> impl Fn(io::Error) -> ScanError {
    let path = path.to_owned();
    move |source| ScanError { path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rstest::rstest;

    use super::*;
    use crate::pki::PrivateKey;

    const BOOTSTRAP: &str = "abcdef.0123456789abcdef";

    #[test]
    fn secret_never_prints() {
        let secret = Secret::new("hidden");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "[secret] [secret] Some([secret])");
        assert_eq!(*secret.expose(), "hidden");
    }

    #[rstest]
    #[case::whole("Authorization: Bearer abcdef.0123456789abcdef\n")]
    #[case::secret_part("token-secret: 0123456789abcdef")]
    #[case::base64("token-secret: MDEyMzQ1Njc4OWFiY2RlZg==")]
    fn token_is_found(#[case] text: &str) {
        let vault = Vault::new();
        vault.register(BOOTSTRAP);
        assert_eq!(vault.clone().scan(text.as_bytes()), Some("token"));
        assert!(!vault.scrub(text).contains("0123456789abcdef"));
        assert_eq!(vault.scan(vault.scrub(text).as_bytes()), None);
    }

    #[test]
    fn token_id_is_public() {
        let vault = Vault::new();
        vault.register(BOOTSTRAP);
        assert_eq!(vault.scan(b"system:bootstrap:abcdef bootstrap-token-abcdef"), None);
        assert_eq!(vault.scrub("user abcdef, Bearer abcdef.0123456789abcdef!"), "user abcdef, Bearer [secret]!");
    }

    #[test]
    fn signature_of_a_jwt_is_secret() {
        let vault = Vault::new();
        vault.register("eyJhbGciOiJ9.eyJpc3MiOiJr.c2lnbmF0dXJl");
        assert_eq!(vault.scrub("eyJhbGciOiJ9.eyJpc3MiOiJr."), "eyJhbGciOiJ9.eyJpc3MiOiJr.");
        assert_eq!(vault.scrub("sig=c2lnbmF0dXJl"), "sig=[secret]");
    }

    #[rstest]
    fn base64_is_found_at_any_alignment(#[values(0, 1, 2, 3, 4)] lead: usize, #[values("", "x", "xy")] tail: &str) {
        let vault = Vault::new();
        vault.register("p\u{fe}\u{ff}>>??/\"quoted");
        let text = format!("{}p\u{fe}\u{ff}>>??/\"quoted{tail}", "_".repeat(lead));
        assert_eq!(vault.scan(STANDARD.encode(&text).as_bytes()), Some("token"));
        assert_eq!(vault.scan(URL_SAFE.encode(&text).as_bytes()), Some("token"));
        assert_eq!(vault.scan(serde_json::to_string(&text).unwrap().as_bytes()), Some("token"));
        assert_eq!(vault.scan(text.as_bytes()), Some("token"));
    }

    #[test]
    fn key_is_found_in_every_form() {
        let vault = Vault::new();
        let key = PrivateKey::generate().unwrap();
        let pem = key.pem().expose();
        vault.register(pem);
        let first = pem.lines().nth(1).unwrap();
        let one_line: String = pem.lines().filter(|line| !line.contains('-')).collect();
        let escaped = first.replace('/', "\\/");
        for text in [first, &one_line, &escaped, &STANDARD.encode(first), &STANDARD.encode(format!(" {first}"))] {
            assert_eq!(vault.scan(text.as_bytes()), Some("private key"), "{text}");
        }
    }

    #[test]
    fn unregistered_key_block_is_found_but_not_hidden() {
        let vault = Vault::new();
        let pem = PrivateKey::generate().unwrap().pem().expose().clone();
        assert_eq!(vault.scan(pem.as_bytes()), Some("PRIVATE KEY block"));
        assert_eq!(vault.scan(STANDARD.encode(&pem).as_bytes()), Some("PRIVATE KEY block"));
        assert_eq!(vault.scrub(&pem), pem);
    }

    /// The tail of a PKCS#8 file is the public key, which the certificate shows too: not a leak.
    #[test]
    fn public_half_is_no_secret() {
        use p256::pkcs8::{EncodePrivateKey, LineEnding};
        let vault = Vault::new();
        let key = PrivateKey::generate().unwrap();
        let pem = p256::SecretKey::from_sec1_pem(key.pem().expose()).unwrap().to_pkcs8_pem(LineEnding::LF).unwrap();
        vault.register(&pem);
        let lines: Vec<_> = pem.lines().collect();
        assert_eq!(vault.scan(lines[1].as_bytes()), Some("private key"));
        assert!(lines[3].len() >= SHORTEST_KEY_LINE);
        assert_eq!(vault.scan(lines[3].as_bytes()), None);
    }

    #[test]
    fn short_and_empty_values_are_not_taken() {
        let vault = Vault::new();
        vault.register("");
        vault.register("a.b");
        vault.register("my.kubelet-bootstrap");
        assert_eq!(vault.scrub("a.b, kubelet-bootstrap"), "a.b, kubelet-bootstrap");
    }

    #[test]
    fn folder_is_searched_and_places_are_told() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(dir.path().join("clean.log"), "nothing").unwrap();
        fs::write(dir.path().join("sub/b.log"), [b"\xff\xfe token ".as_slice(), BOOTSTRAP.as_bytes()].concat())
            .unwrap();
        fs::write(dir.path().join("a.pem"), "-----BEGIN RSA PRIVATE KEY-----\n").unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("loop")).unwrap();
        let vault = Vault::new();
        vault.register(BOOTSTRAP);
        let leak = |file: &str, offset, what| Leak { file: dir.path().join(file), offset, what };
        let expected = vec![leak("a.pem", 15, "PRIVATE KEY block"), leak("sub/b.log", 9, "token")];
        assert_eq!(vault.scan_dir(dir.path()).unwrap(), expected);
        assert!(vault.scan_dir(&dir.path().join("missing")).unwrap_err().to_string().contains("missing"));
    }
}
