//! What `kubeadm join` discovers the cluster by: the ConfigMap kube-public/cluster-info.

use tlsboot_core::x509::verify::{Usage, chain_of};

use super::Grade;
use super::doctor::{Doctor, sample};
use crate::doctor::remedy::Remedy;
use crate::doctor::snapshot::{ClusterInfo, Served};

impl Doctor<'_> {
    pub(super) fn discovery(&mut self) {
        let now = self.snapshot.taken;
        let Some(info) = self.snapshot.cluster_info.get() else {
            return;
        };
        let tokens = self.snapshot.tokens.all().iter();
        let signing: Vec<String> = tokens
            .filter(|token| token.signs && token.defect.is_none() && token.expires.is_none_or(|expires| expires > now))
            .map(|token| token.id.clone())
            .collect();
        match info {
            Some(info) => {
                self.discovered(info);
                self.signed(info, signing);
            }
            None if signing.is_empty() => {}
            None => self.find(
                "cluster-info.none",
                Grade::Note,
                [],
                format!(
                    "the bootstrap tokens {} are for signing cluster-info, but the ConfigMap kube-public/cluster-info does not exist: kubeadm join can't discover the cluster by a token",
                    sample(&signing)
                ),
                [Remedy::WriteClusterInfo],
            ),
        }
    }

    /// Whether a node that believes cluster-info reaches this cluster.
    fn discovered(&mut self, info: &ClusterInfo) {
        let says = match &info.answers {
            _ if info.server.is_empty() || info.cas.is_empty() => {
                Some((Grade::Broken, "cluster-info.unusable", "has no server, or no CA".to_owned()))
            }
            Served::Certificate(leaf) => {
                let verified = chain_of(leaf, &info.chain, &info.cas, self.snapshot.taken, Usage::Server);
                verified.err().map(|error| {
                    let says =
                        format!("has a CA that does not verify the certificate of its server {}: {error}", info.server);
                    (Grade::Broken, "cluster-info.ca", says)
                })
            }
            Served::Alert(why) | Served::Unreachable(why) => {
                let says = format!("names the server {}, which can't be reached from here: {why}", info.server);
                Some((Grade::Warning, "cluster-info.server", says))
            }
        };
        if let Some((grade, id, says)) = says {
            let says = format!("the ConfigMap kube-public/cluster-info {says}. kubeadm join believes it");
            self.find(id, grade, [], says, [Remedy::WriteClusterInfo]);
        }
        match info.anonymous {
            200 => {}
            401 => self.find(
                "cluster-info.not-public",
                Grade::Note,
                [],
                "anonymous requests are rejected, so kubeadm join can't discover the cluster by a token, only by a file",
                [],
            ),
            code => self.find(
                "cluster-info.not-public",
                Grade::Warning,
                [],
                format!("who has no certificate yet may not read the ConfigMap kube-public/cluster-info ({code}): kubeadm join can't discover the cluster by a token. Hardening guides do that on purpose: then join with --discovery-file"),
                [Remedy::WriteClusterInfo],
            ),
        }
    }

    fn signed(&mut self, info: &ClusterInfo, signing: Vec<String>) {
        let (unsigned, wrong): (Vec<String>, Vec<String>) = signing
            .into_iter()
            .filter(|id| info.signatures.get(id) != Some(&true))
            .partition(|id| !info.signatures.contains_key(id));
        let says = match (unsigned.as_slice(), wrong.as_slice()) {
            ([], []) => return,
            ([], wrong) => format!("the signatures of the bootstrap tokens {} do not match", sample(wrong)),
            (unsigned, _) => format!("there is no signature of the bootstrap tokens {}", sample(unsigned)),
        };
        let all = unsigned.into_iter().chain(wrong);
        self.find(
            "cluster-info.unsigned",
            Grade::Warning,
            all,
            format!("in the ConfigMap kube-public/cluster-info {says}: kubeadm join with such a token waits in vain; the controller bootstrapsigner is not running"),
            [Remedy::StartController { name: "bootstrapsigner" }],
        );
    }
}
