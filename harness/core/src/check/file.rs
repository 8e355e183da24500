//! Names in the certificate directory, and the kubeconfig (catalogue K-04, K-05, K-14 to K-18).

use schemars::JsonSchema;
use serde::Deserialize;

use super::compare::{Compare, NONE, list};
use super::{LooksAt, Match, Matcher, OfState, Role, State};
use crate::history::event::{Event, FileFacts, FileKind, Recorder, What};
use crate::history::facts::PemBlock;
use crate::scenario::stimulus::Need;
use crate::scenario::{Capability, NodeName};

/// A file, link or directory. Evaluated after every event; fulfilled when all of it is true at the same time.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct File {
    /// The node.
    pub node: NodeName,
    /// `kubeconfig`, or a name in the certificate directory; `*` matches anything.
    pub name: String,
    /// How many names match; 1 by default, 0 for none.
    #[serde(default = "one")]
    pub count: usize,
    /// What kind of file it is.
    #[serde(default)]
    pub kind: Option<FileKind>,
    /// Permission bits, as in `"0600"`.
    #[serde(default)]
    pub mode: Option<String>,
    /// The name in the certificate directory that a link points to, by an absolute path; `*` matches anything.
    #[serde(default)]
    pub points_to: Option<String>,
    /// Labels of the PEM blocks, in order.
    #[serde(default)]
    pub blocks: Option<Vec<String>>,
    /// The node's certificate in it, by role and number of issue; the key next to it must belong to it.
    #[serde(default)]
    pub holds: Option<Holds>,
    /// A certificate that is signed by its own key or by a temporary CA (catalogue K-18), with its key in the file of
    /// the same name ending in `.key`.
    #[serde(default)]
    pub self_signed: Option<bool>,
    /// The kubeconfig refers to `kubelet-client-current.pem` for certificate and key, and embeds no data.
    #[serde(default)]
    pub refers_to_link: Option<bool>,
}

/// A certificate of the node.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Holds {
    /// Which certificate.
    pub role: Role,
    /// Its number among the issued ones, starting at 1.
    pub certificate: usize,
}

fn one() -> usize {
    1
}

impl Matcher for File {
    fn recorders(&self) -> &'static [Recorder] {
        &[Recorder::Files]
    }

    fn can_stay(&self) -> bool {
        true
    }

    fn looks_at(&self) -> LooksAt<'_> {
        LooksAt::State(self)
    }

    fn needs(&self) -> Vec<Need> {
        vec![(Capability::NodeFiles, "show a kubelet's files")]
    }

    fn nodes(&self) -> Vec<&str> {
        vec![&self.node]
    }

    fn lint(&self) -> Option<String> {
        let says = self.kind.is_some()
            || self.mode.is_some()
            || self.points_to.is_some()
            || self.blocks.is_some()
            || self.holds.is_some();
        (self.count == 0 && says).then(|| "what does not exist (`count: 0`) has no kind, mode or content".into())
    }
}

impl OfState for File {
    fn holds(&self, state: &State) -> Match {
        let found: Vec<(&str, &FileFacts)> = state
            .files
            .iter()
            .filter(|((node, name), _)| *node == self.node && glob_match::glob_match(&self.name, name))
            .map(|((_, name), facts)| (name.as_str(), facts))
            .collect();
        let mut compare = Compare::default();
        let names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
        compare.holds("count", found.len() == self.count, format!("{} × {}", self.count, self.name), list(&names));
        for (name, facts) in found {
            self.one(&mut compare, name, facts, state);
        }
        compare.or_near()
    }

    fn is_changed_by(&self, event: &Event) -> bool {
        match &event.what {
            What::File(file) => {
                file.node == self.node && (self.self_signed.is_some() || glob_match::glob_match(&self.name, &file.name))
            }
            // The event that says which certificate was issued, or who signed it, may be recorded later than the file
            // that holds it.
            What::Csr(_) => self.holds.is_some() || self.self_signed.is_some(),
            What::Kubelet(kubelet) => {
                kubelet.node == self.node && (self.points_to.is_some() || self.refers_to_link.is_some())
            }
            _ => false,
        }
    }
}

impl File {
    fn one(&self, compare: &mut Compare, name: &str, facts: &FileFacts, state: &State) {
        let field = |word: &str| format!("{name}: {word}");
        if let Some(kind) = self.kind {
            compare.holds(&field("kind"), facts.kind == kind, kind.word(), facts.kind.word());
        }
        compare.same(&field("mode"), self.mode.as_ref(), &facts.mode);
        if let Some(pattern) = &self.points_to {
            let cert_dir = state.kubelets.get(&*self.node).map_or("", |kubelet| kubelet.cert_dir.as_str());
            let target = facts.target.as_deref().unwrap_or(NONE);
            let inside = target.strip_prefix(cert_dir).and_then(|rest| rest.strip_prefix('/'));
            let fits = !cert_dir.is_empty() && inside.is_some_and(|inside| glob_match::glob_match(pattern, inside));
            compare.holds(&field("pointsTo"), fits, format!("{cert_dir}/{pattern}"), target);
        }
        let labels: Vec<String> = facts.pem.iter().map(|block| block.label.clone()).collect();
        if let Some(blocks) = &self.blocks {
            compare.holds(&field("blocks"), labels == *blocks, list(blocks), list(&labels));
        }
        if let Some(holds) = &self.holds {
            let issued = state.issued(&self.node, holds.role);
            let expected =
                issued.get(holds.certificate.wrapping_sub(1)).map(|(_, certificate)| certificate.sha256.as_str());
            let inside = certificate_of(&facts.pem);
            let same = expected.is_some() && expected == inside.map(|certificate| certificate.sha256.as_str());
            let words = format!("{} certificate {}", holds.role.word(), holds.certificate);
            compare.holds(&field("certificate"), same, words, inside.map_or(NONE, |certificate| &certificate.sha256));
            let own_key =
                key_of(&facts.pem).is_some_and(|key| inside.is_some_and(|certificate| certificate.key == *key));
            compare.holds(&field("key"), own_key, "the certificate's own", "another, or none");
        }
        if self.self_signed == Some(true) {
            let certificate = certificate_of(&facts.pem);
            let foreign = certificate.is_some_and(|certificate| {
                state.signers.values().flatten().all(|ca| *ca != certificate.der)
                    && !state.csrs.iter().any(|csr| csr.now.certificates.contains(certificate))
            });
            compare.holds(
                &field("certificate"),
                foreign,
                "one that no signer of the cluster made",
                "none, or an issued one",
            );
            let key_name = name.strip_suffix(".crt").map(|stem| format!("{stem}.key")).unwrap_or_default();
            let key = state.file(&self.node, &key_name).and_then(|facts| key_of(&facts.pem));
            let own = key.is_some_and(|key| certificate.is_some_and(|certificate| certificate.key == *key));
            compare.holds(&field("key"), own, format!("the certificate's own, in {key_name}"), "another, or none");
        }
        if let Some(refers) = self.refers_to_link {
            let cert_dir = state.kubelets.get(&*self.node).map_or("", |kubelet| kubelet.cert_dir.as_str());
            let link = format!("{cert_dir}/{}-current.pem", Role::Client.file_prefix());
            let found = facts.kubeconfig.clone().unwrap_or_default();
            let does = found.client_certificate.as_deref() == Some(&link)
                && found.client_key.as_deref() == Some(&link)
                && !found.embedded;
            let path = |path: &Option<String>| path.clone().unwrap_or_else(|| NONE.to_owned());
            let words = format!(
                "certificate {}, key {}, embedded data: {}",
                path(&found.client_certificate),
                path(&found.client_key),
                if found.embedded { "some" } else { NONE }
            );
            compare.holds(&field("refersToLink"), does == refers, link, words);
        }
    }
}

fn certificate_of(blocks: &[PemBlock]) -> Option<&crate::history::facts::CertificateFacts> {
    blocks.iter().find_map(|block| block.certificate.as_ref())
}

fn key_of(blocks: &[PemBlock]) -> Option<&crate::history::facts::KeyFacts> {
    blocks.iter().find_map(|block| block.private_key.as_ref())
}
