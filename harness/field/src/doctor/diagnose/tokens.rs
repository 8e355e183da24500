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
            "; no other is usable, so that a node whose certificate has ended can't come back by a bootstrap token"
        } else {
            ""
        };
        if !expired.is_empty() {
            let says = format!(
                "bootstrap tokens that have expired and are still there: {}. Kubelets that have one get 401; the controller tokencleaner, which removes them, does not run{none_left}",
                expired.join(", ")
            );
            let delete = format!("kubectl -n kube-system delete secret {}", secrets(&expired));
            self.find("tokens.expired", Grade::Warning, expired.clone(), says, [create.clone(), delete]);
        }
        for token in tokens {
            if let Some(defect) = &token.defect {
                let says = format!(
                    "nobody can authenticate with the bootstrap token {}: {defect}. The API server answers 401 and does not say why{none_left}",
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
                "there is no bootstrap token: no node can join by one, nor come back when its certificate has ended (tokens in the API server's --token-auth-file can't be seen)",
                [create],
            );
        }
        let forever = ids(&|token| token.is_usable(now) && token.expires.is_none());
        if !forever.is_empty() {
            let says = format!(
                "bootstrap tokens that never expire: {}. Whoever finds one in an old image can join",
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
