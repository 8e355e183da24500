//! Bootstrap tokens.

use super::Grade;
use super::doctor::{Doctor, sample};
use crate::doctor::remedy::Remedy;
use crate::doctor::rights::{AUTHENTICATED, Ability, SERVICE_ACCOUNTS, Subject, UNAUTHENTICATED, Who};
use crate::doctor::snapshot::TokenFacts;

impl Doctor<'_> {
    pub(super) fn tokens(&mut self) {
        let Some(all) = self.snapshot.tokens.get() else {
            return;
        };
        let now = self.snapshot.taken;
        let tokens: Vec<&TokenFacts> = all.iter().filter(|token| token.authenticates).collect();
        let ids = |wanted: &dyn Fn(&TokenFacts) -> bool| -> Vec<String> {
            let fitting = tokens.iter().filter(|token| wanted(token));
            fitting.map(|token| token.id.clone()).collect()
        };
        let usable = ids(&|token| token.is_usable(now));
        let expired = ids(&|token| token.defect.is_none() && token.expires.is_some_and(|expires| expires <= now));
        // Without a usable one a new one comes first.
        let (none_left, new) = match usable.as_slice() {
            [] => (
                "; no other token is usable, so a node whose certificate has expired can't rejoin by a bootstrap token",
                self.new_token(),
            ),
            _ => ("", Some(Vec::new())),
        };
        let replaced = |ids: &[String]| match &new {
            Some(new) => new.iter().cloned().chain([Remedy::DeleteTokens { ids: ids.to_vec() }]).collect(),
            None => Vec::new(),
        };
        if !expired.is_empty() {
            let says = format!(
                "bootstrap tokens that have expired but still exist: {}. Kubelets that use one get 401; the controller tokencleaner, which removes them, is not running{none_left}",
                sample(&expired)
            );
            self.find("tokens.expired", Grade::Warning, expired.clone(), says, replaced(&expired));
        }
        for token in &tokens {
            if let Some(defect) = &token.defect {
                let says = format!(
                    "the bootstrap token {} can't be used to authenticate: {defect}. The API server answers 401 without a reason{none_left}",
                    token.id
                );
                let id = token.id.clone();
                self.find("tokens.defective", Grade::Warning, [id.clone()], says, replaced(&[id]));
            }
        }
        if tokens.is_empty() && !self.bootstraps_without_tokens() && !self.bootstraps_otherwise() {
            self.find(
                "tokens.none",
                Grade::Warning,
                [],
                "there is no bootstrap token: no node can join by one, nor rejoin when its certificate has expired (tokens in the API server's --token-auth-file can't be seen)",
                new.clone().unwrap_or_default(),
            );
            if new.is_none() {
                self.look(
                    "kubectl get clusterrolebindings -o wide | grep bootstrapper   # the group that a new token needs"
                        .to_owned(),
                );
            }
        }
        let forever = ids(&|token| token.is_usable(now) && token.expires.is_none());
        if !forever.is_empty() {
            let says = format!(
                "bootstrap tokens that never expire: {}. Anyone who finds one in an old image can join",
                sample(&forever)
            );
            self.find("tokens.forever", Grade::Note, forever, says, []);
        }
    }

    /// Whether users or service accounts that are not bootstrap tokens may bootstrap. That everyone may is a hole, and no
    /// way to bootstrap.
    fn bootstraps_without_tokens(&self) -> bool {
        let everyone = [SERVICE_ACCOUNTS, AUTHENTICATED, UNAUTHENTICATED].map(Subject::group);
        self.snapshot.reviews.all().iter().any(|review| {
            matches!(&review.who, Who::Bound(subject)
                if !subject.name.starts_with("system:bootstrappers") && !everyone.contains(subject))
                && review.may(Ability::Ask)
        })
    }
}
