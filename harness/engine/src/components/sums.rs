//! `SHA256SUMS`: the list of a folder's files and their SHA-256, as `sha256sum` writes and checks it.
//!
//! In the store, a comment before each file's line says where the file came from; `sha256sum -c` skips it.

use std::collections::BTreeMap;
use std::fmt;

use tlsboot_core::scenario::is_file_name;

/// The list: file name to sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums(BTreeMap<String, Sum>);

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    /// SHA-256, 64 lower-case hex digits.
    pub(super) sha256: String,
    /// Where the file came from; empty if the list does not say.
    pub(super) origin: String,
}

const ORIGIN: &str = "# from ";

impl Sums {
    /// Parses a list. An error says which line is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut sums = Self::default();
        let mut origin = "";
        for (number, line) in text.lines().enumerate() {
            if let Some(rest) = line.strip_prefix(ORIGIN) {
                origin = rest;
            } else if !line.trim().is_empty() && !line.starts_with('#') {
                let (sha256, name) = parse_line(line)
                    .ok_or_else(|| format!("line {} is not of the form \"SHA-256  NAME\"", number + 1))?;
                // Only regular file names are allowed, because listed files are written and removed.
                if is_file_name(name) {
                    sums.insert(name, sha256, origin);
                }
            }
        }
        Ok(sums)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Sum> {
        self.0.get(name)
    }

    pub(super) fn insert(&mut self, name: &str, sha256: String, origin: &str) {
        self.0.insert(name.into(), Sum { sha256, origin: origin.replace('\n', " ") });
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Sum)> {
        self.0.iter().map(|(name, sum)| (name.as_str(), sum))
    }
}

/// `HEX  NAME`, or `HEX *NAME` for binary mode.
fn parse_line(line: &str) -> Option<(String, &str)> {
    let (sha256, name) = line.split_once(' ')?;
    let name = name.strip_prefix([' ', '*']).unwrap_or(name);
    Some((parse_sha256(sha256)?, name)).filter(|_| !name.is_empty())
}

/// 64 hex digits, lower-cased.
pub(super) fn parse_sha256(text: &str) -> Option<String> {
    (text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| text.to_ascii_lowercase())
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut origin = "";
        let mut by_origin: Vec<_> = self.iter().collect();
        by_origin.sort_by_key(|(_, sum)| &sum.origin);
        for (name, sum) in by_origin {
            if sum.origin != origin {
                origin = &sum.origin;
                writeln!(f, "{ORIGIN}{origin}")?;
            }
            writeln!(f, "{}  {name}", sum.sha256)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_back_with_origins() {
        let mut sums = Sums::default();
        sums.insert("kubelet", "a".repeat(64), "release https://dl.k8s.io/release");
        sums.insert("kube", "b".repeat(64), "mirror /srv/mirror");
        sums.insert("other", "c".repeat(64), "");
        let text = sums.to_string();
        assert_eq!(Sums::parse(&text), Ok(sums), "{text}");
    }

    #[test]
    fn what_sha256sum_writes_is_read() {
        let text = format!("{0}  kube\n\n{0} *kube.xz\n", "AB".repeat(32));
        let sums = Sums::parse(&text).unwrap();
        assert_eq!(sums.get("kube.xz").unwrap().sha256, "ab".repeat(32));
    }

    #[test]
    fn files_elsewhere_are_not_in_a_list() {
        let text = ["../other", "/etc/passwd", "a/b", "..", "kube"].map(|name| format!("{}  {name}\n", "a".repeat(64)));
        let sums = Sums::parse(&text.concat()).unwrap();
        assert_eq!(sums.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["kube"]);
    }

    #[test]
    fn a_damaged_list_is_refused_by_line() {
        let error = Sums::parse(&format!("{}  kube\n{}  kube.xz\n", "a".repeat(64), "a".repeat(63))).unwrap_err();
        assert_eq!(error, "line 2 is not of the form \"SHA-256  NAME\"");
        assert!(Sums::parse("<html>not found</html>").is_err());
    }
}
