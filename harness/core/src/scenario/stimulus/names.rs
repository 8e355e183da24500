//! What a step may name, and the errors for what it may not.

use super::{Changes, Step};
use crate::history::event::NODE_USER_PREFIX;
use crate::scenario::load::ready_tokens;
use crate::scenario::model::{NO_TOKEN, RawScenario, STATIC_TOKEN, ServingPair, TokenKind};

/// The names that exist in a scenario. Each check returns what is wrong, if anything.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    scenario: &'a RawScenario,
    /// The keyword of the step that asks.
    pub(super) word: &'static str,
}

impl<'a> Names<'a> {
    pub(in crate::scenario) fn of(scenario: &'a RawScenario, word: &'static str) -> Self {
        Self { scenario, word }
    }

    /// Whether kubeadm sets the cluster up.
    pub fn kubeadm(&self) -> bool {
        self.scenario.cluster.kubeadm
    }

    /// A node must be one of the scenario's.
    pub fn node(&self, name: &str) -> Option<String> {
        let nodes = &self.scenario.nodes;
        if nodes.iter().any(|node| *node.name == *name) {
            return None;
        }
        let known: Vec<&str> = nodes.iter().map(|node| &*node.name).collect();
        Some(format!("there is no node `{name}`; the scenario has [{}]", known.join(", ")))
    }

    /// A node for which certificates are issued must be one of the scenario's, or one that a step `submit` or a
    /// `hostName` names.
    pub fn subject(&self, name: &str) -> Option<String> {
        let renamed = |changes: &Changes| changes.host_name.as_ref().is_some_and(|host| **host == *name);
        let is_made = self.scenario.steps.iter().any(|step| match &step.value {
            Step::Start(start) => renamed(&start.with),
            Step::Restart(restart) => renamed(&restart.with),
            Step::Submit(submit) => {
                let user = submit.common_name.as_deref().and_then(|user| user.strip_prefix(NODE_USER_PREFIX));
                submit.node == name || user == Some(name)
            }
            _ => false,
        });
        if is_made { None } else { self.node(name) }
    }

    /// The serving certificate of the node must come from a file.
    pub fn serving_pair_of(&self, name: &str) -> Option<String> {
        let node = self.scenario.nodes.iter().find(|node| *node.name == *name)?;
        let issued = node.serving_pair == ServingPair::Managed;
        issued.then(|| {
            format!("the serving certificate of `{name}` does not come from a file: set `servingPair: fromFile`")
        })
    }

    /// A token must be a predefined one, or one of the scenario's, or `none`.
    pub fn token(&self, name: &str) -> Option<String> {
        let ready = ready_tokens(self.scenario.cluster.kubeadm);
        if name == NO_TOKEN || ready.contains_key(name) || self.scenario.tokens.contains_key(name) {
            return None;
        }
        let ready: Vec<&str> = ready.keys().map(String::as_str).collect();
        Some(format!("there is no token `{name}`: define it under `tokens`, or use {}", ready.join(" or ")))
    }

    /// A token that can be created and deleted while the API server runs.
    pub fn bootstrap_token(&self, name: &str) -> Vec<String> {
        let kind = self.scenario.tokens.get(name).map(|token| token.kind);
        let is_static = kind == Some(TokenKind::Static) || name == STATIC_TOKEN;
        let too_late = "the static token file is read only once, when the API server starts: this works only with bootstrap \
                        tokens";
        self.token(name).into_iter().chain(is_static.then(|| too_late.to_owned())).collect()
    }

    /// Requests to a kubelet that are spoken of must be sent by a step of this name.
    pub fn reached(&self, name: &str) -> Option<String> {
        let is_it = |step: &Step| matches!(step, Step::Reach(reach) if reach.name.as_deref() == Some(name));
        if self.scenario.steps.iter().any(|step| is_it(&step.value)) {
            return None;
        }
        Some(format!("no step `reach` is called `{name}` (`name: {name}`, with `every`)"))
    }

    /// A CSR that tlsboot creates must be created by a step of this name.
    pub fn submitted(&self, name: &str) -> Option<String> {
        let is_it = |step: &Step| matches!(step, Step::Submit(_)) && step.name() == Some(name);
        if self.scenario.steps.iter().any(|step| is_it(&step.value)) {
            return None;
        }
        Some(format!("no step `submit` is called `{name}` (`name: {name}`)"))
    }
}
