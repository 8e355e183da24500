//! Bootstrap tokens.

use super::Grade;
use super::doctor::Doctor;
use crate::doctor::snapshot::TokenFacts;

impl Doctor<'_> {
    pub(super) fn tokens(&mut self) {
        let Some(tokens) = self.snapshot.tokens.get() else {
            return;
        };
        let now = self.snapshot.taken;
        let ids = |wanted: &dyn Fn(&TokenFacts) -> bool| -> Vec<String> {
            let fitting = tokens.iter().filter(|token| wanted(token));
            fitting.map(|token| token.id.clone()).collect()
        };
        let usable = ids(&|token| token.is_usable(now));
        let expired = ids(&|token| token.expires.is_some_and(|expires| expires <= now));
        let create =
            "kubeadm token create --ttl 24h   # or a Secret of the type bootstrap.kubernetes.io/token in kube-system"
                .to_owned();
        let none_left = if usable.is_empty() {
            "; no other token is usable, so a node whose certificate has expired can't rejoin by a bootstrap token"
        } else {
            ""
        };
        if !expired.is_empty() {
            let says = format!(
                "bootstrap tokens that have expired but still exist: {}. Kubelets that use one get 401; the controller tokencleaner, which removes them, is not running{none_left}",
                expired.join(", ")
            );
            let delete = format!("kubectl -n kube-system delete secret {}", secrets(&expired));
            self.find("tokens.expired", Grade::Warning, expired.clone(), says, [create.clone(), delete]);
        }
        for token in tokens {
            if let Some(defect) = &token.defect {
                let says = format!(
                    "the bootstrap token {} can't be used to authenticate: {defect}. The API server answers 401 without a reason{none_left}",
                    token.id
                );
                let delete = format!("kubectl -n kube-system delete secret bootstrap-token-{}", token.id);
                self.find("tokens.defective", Grade::Warning, [token.id.clone()], says, [delete, create.clone()]);
            }
        }
        if tokens.is_empty() {
            self.find(
                "tokens.none",
                Grade::Warning,
                [],
                "there is no bootstrap token: no node can join by one, nor rejoin when its certificate has expired (tokens in the API server's --token-auth-file can't be seen)",
                [create],
            );
        }
        let forever = ids(&|token| token.is_usable(now) && token.expires.is_none());
        if !forever.is_empty() {
            let says = format!(
                "bootstrap tokens that never expire: {}. Anyone who finds one in an old image can join",
                forever.join(", ")
            );
            self.find("tokens.forever", Grade::Note, forever, says, []);
        }
    }
}

fn secrets(ids: &[String]) -> String {
    let names: Vec<String> = ids.iter().map(|id| format!("bootstrap-token-{id}")).collect();
    names.join(" ")
}
