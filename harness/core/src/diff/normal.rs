//! What differs in every run and means nothing: names of nodes, random suffixes, dates, numbers, folders.

use core::net::IpAddr;
use std::collections::BTreeSet;

use crate::history::event::NODE_USER_PREFIX;

/// Stands for what differs in every run.
const ANY: &str = "*";
/// The maximum number of words that tell one log line from another.
const WORDS: usize = 12;

/// The names of a history's nodes, to be replaced in texts.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(BTreeSet<String>);

impl Names {
    pub(super) fn add(&mut self, node: &str) {
        self.0.insert(node.to_owned());
    }

    /// A text in which each node's name is `NODE`.
    pub(super) fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        // longest first, because one name may be the prefix of another
        let mut names: Vec<&String> = self.0.iter().filter(|name| !name.is_empty()).collect();
        names.sort_by_key(|name| std::cmp::Reverse(name.len()));
        for name in names {
            text = replace_word(&text, name, "NODE");
        }
        text
    }

    /// A certificate's common name; the kubelet's self-signed certificate has the time in it, `NODE@1795555525`.
    pub(super) fn common_name(&self, name: Option<&str>) -> String {
        let Some(name) = name else {
            return "none".into();
        };
        match name.rsplit_once('@') {
            Some((node, time)) if time.bytes().all(|byte| byte.is_ascii_digit()) => {
                format!("{}@{ANY}", self.text(node))
            }
            _ => self.text(name),
        }
    }

    /// Who sent a request or made a CSR.
    pub(super) fn user(&self, user: Option<&str>) -> String {
        match user {
            None => "an unauthenticated client".into(),
            Some(user) if user.starts_with(NODE_USER_PREFIX) => "the node".into(),
            Some(user) if user.starts_with("system:bootstrap:") => "a bootstrap token".into(),
            Some(user) => self.text(user),
        }
    }

    /// The message of a log line; `None` for lines that are not klog's.
    pub(super) fn message(&self, line: &str) -> Option<String> {
        let message = klog_message(line)?;
        // structured: what varies comes after the message
        if let Some(rest) = message.strip_prefix('"')
            && let Some((message, _)) = rest.split_once('"')
        {
            return Some(self.text(message));
        }
        Some(self.words(message))
    }

    /// A condition's message, or another text with values in it.
    pub(super) fn words(&self, text: &str) -> String {
        let text = self.text(text);
        let mut words: Vec<&str> = Vec::new();
        for word in text.split_whitespace() {
            let word = if varies(word) { ANY } else { word };
            if word != ANY || words.last() != Some(&ANY) {
                words.push(word);
            }
        }
        if words.len() > WORDS {
            words.truncate(WORDS);
            words.push("…");
        }
        words.join(" ")
    }
}

/// Whether a word of a log line is a value.
fn varies(word: &str) -> bool {
    word.contains(|letter: char| letter.is_ascii_digit() || "/\"'=".contains(letter))
        || without_suffix(word.trim_matches(|letter| "[](),.:;".contains(letter))).is_some()
}

/// What comes before the random part of a name: the part that `generateName` adds (apimachinery's alphabet has no
/// vowels), or the digest in the name of a CSR without rotation.
fn without_suffix(name: &str) -> Option<&str> {
    let (prefix, suffix) = name.rsplit_once('-')?;
    let random = suffix.len() == 5 && suffix.bytes().all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(&byte));
    match name.strip_prefix("node-csr-") {
        Some(_) => Some("node-csr"),
        None => random.then_some(prefix),
    }
}

/// What follows klog's header, `I1124 21:29:46.238840   25502 healthz.go:257] `.
fn klog_message(line: &str) -> Option<&str> {
    let mut letters = line.chars();
    let severity = letters.next()?;
    let dated = letters.next()?.is_ascii_digit();
    let (_, message) = line.split_once("] ").filter(|_| "IWEF".contains(severity) && dated)?;
    Some(message)
}

fn replace_word(text: &str, word: &str, with: &str) -> String {
    let inside = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    let goes_on = |before: &str| before.ends_with(|letter| inside(letter) || letter == '.');
    // a full stop ends a sentence, or continues as a domain
    let begins = |after: &str| after.strip_prefix('.').unwrap_or(after).starts_with(inside);
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let (before, after) = (&rest[..at], &rest[at + word.len()..]);
        replaced.push_str(before);
        let whole = !goes_on(&replaced) && !begins(after);
        replaced.push_str(if whole { with } else { word });
        rest = after;
    }
    replaced + rest
}

/// A CSR's name: `csr-*`, `node-csr-*`, or as it is.
pub(super) fn csr_name(name: &str) -> String {
    without_suffix(name).map_or_else(|| name.to_owned(), |prefix| format!("{prefix}-{ANY}"))
}

/// A file's name, with `DATE` for a date: `kubelet-client-2026-11-24-21-27-31.pem`.
pub(super) fn file_name(name: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in name.split_inclusive(['-', '.']) {
        let digits = part.trim_end_matches(['-', '.']);
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        match (is_number, parts.last()) {
            (true, Some(&"DATE")) => {}
            (true, _) => parts.push("DATE"),
            (false, Some(&"DATE")) => parts.extend([".", part]),
            (false, _) => parts.push(part),
        }
    }
    parts.concat()
}

/// A link's target: whether it is absolute, and which file it leads to.
pub(super) fn path(path: &str) -> String {
    match path.rsplit_once('/') {
        Some(("", _)) | None => file_name(path),
        Some((folder, name)) if folder.starts_with('/') => format!("/…/{}", file_name(name)),
        Some((_, name)) => format!("…/{}", file_name(name)),
    }
}

/// The kinds of some addresses, each once.
pub(super) fn addresses(ips: &[IpAddr]) -> String {
    let kinds: BTreeSet<&str> = ips.iter().map(|ip| if ip.is_ipv4() { "IPv4" } else { "IPv6" }).collect();
    list(kinds)
}

/// A list for people to read; `none` if it is empty.
pub(super) fn list(items: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.as_ref().to_owned()).collect();
    if items.is_empty() { "none".into() } else { items.join(", ") }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn names() -> Names {
        let mut names = Names::default();
        names.add("n1");
        names.add("n1-a");
        names
    }

    #[rstest]
    #[case("system:node:n1", "system:node:NODE")]
    #[case("n1-a and n1, not n11 nor an1 nor n1.local", "NODE and NODE, not n11 nor an1 nor n1.local")]
    #[case("n1. And n1", "NODE. And NODE")]
    #[case("", "")]
    fn names_are_taken_out_as_whole_words(#[case] text: &str, #[case] normal: &str) {
        assert_eq!(names().text(text), normal);
    }

    #[rstest]
    #[case("kubelet-client-2026-11-24-21-27-31.pem", "kubelet-client-DATE.pem")]
    #[case("kubelet-client-current.pem", "kubelet-client-current.pem")]
    #[case("kubelet.crt", "kubelet.crt")]
    fn dates_are_taken_out_of_file_names(#[case] name: &str, #[case] normal: &str) {
        assert_eq!(file_name(name), normal);
    }

    #[rstest]
    #[case("/tmp/x/pki/kubelet-client-2026-11-24-21-27-31.pem", "/…/kubelet-client-DATE.pem")]
    #[case("kubelet-client-2026-11-24-21-27-31.pem", "kubelet-client-DATE.pem")]
    #[case("../pki/a.pem", "…/a.pem")]
    fn targets_keep_whether_they_are_absolute(#[case] target: &str, #[case] normal: &str) {
        assert_eq!(path(target), normal);
    }

    #[rstest]
    #[case(
        r#"I1124 21:27:31.743132   22596 certificate_controller.go:176] "Finished syncing certificate request" logger="x" csr="csr-88b4p""#,
        Some("Finished syncing certificate request")
    )]
    #[case(
        "I1124 21:29:48.352798       1 csr.go:262] certificate signing request csr-kztfd is approved, waiting to be issued",
        Some("certificate signing request * is approved, waiting to be issued")
    )]
    #[case(
        r#"I1124 21:29:48.336666   25509 certificate_controller.go:174] Finished syncing certificate request "csr-x" (1.5µs)"#,
        Some("Finished syncing certificate request *")
    )]
    #[case("[-]poststarthook/rbac/bootstrap-roles failed: not finished", None)]
    fn messages_are_what_stays_the_same(#[case] line: &str, #[case] message: Option<&str>) {
        assert_eq!(names().message(line).as_deref(), message);
    }

    #[test]
    fn users_and_csrs_are_told_by_kind() {
        assert_eq!(names().user(Some("system:node:n1")), "the node");
        assert_eq!(names().user(Some("system:bootstrap:abcdef")), "a bootstrap token");
        assert_eq!(names().user(None), "an unauthenticated client");
        assert_eq!(csr_name("csr-88b4p"), "csr-*");
        assert_eq!(csr_name("node-csr-abc"), "node-csr-*");
        assert_eq!(csr_name("tlsboot-vffx9"), "tlsboot-*");
        assert_eq!(csr_name("mine-alone"), "mine-alone");
        let own = names().common_name(Some("n1@1795555525"));
        assert_eq!(own, "NODE@*");
    }
}
