//! Reading scenario files: strict, the errors of all files at once, each with line and column.

use std::collections::{BTreeMap, BTreeSet};

use serde_saphyr::Spanned;

use super::flags::wrong_flags;
use super::model::{
    BOOTSTRAP_TOKEN, Bindings, BootstrapBy, KUBEADM_GROUP, KUBEADM_TOKEN, NO_TOKEN, Node, RawScenario, STATIC_TOKEN,
    Token, TokenKind,
};
use super::stimulus::{Effects, Names, Stimulus};
use super::vocabulary::wrong_controller;
use super::{Diagnostic, Scenario, Step, names, requirements};
use crate::check::invariants::{self, Invariant};
use crate::check::{Matcher, Stays};
use crate::history::event::Recorder;
use crate::plain::one_line;

/// Reads one scenario from its text.
///
/// # Errors
/// Everything that is wrong with it: the first syntax error, or all errors of meaning.
pub fn load_text(file: &str, text: &str) -> Result<Scenario, Vec<Diagnostic>> {
    let mut raw: RawScenario = serde_saphyr::from_str_with_options(
        text,
        serde_saphyr::options! { with_snippet: false, strict_booleans: true },
    )
    .map_err(|error| {
        let place = error.location();
        let (line, column) = place.map_or((0, 0), |place| (place.line(), place.column()));
        vec![Diagnostic::at(file, text, line, column, first_line(&error.to_string()))]
    })?;
    raw.steps = with_answers(raw.steps);
    for step in &mut raw.steps {
        match &mut step.value {
            Step::Expect(expect) => expect.within = expect.within.or(raw.within),
            Step::Stays(stays) => stays.within = stays.within.or(raw.within),
            _ => {}
        }
    }
    let mut lint = Lint { file, text, raw: &raw, errors: Vec::new() };
    lint.header();
    lint.steps();
    if !lint.errors.is_empty() {
        return Err(lint.errors);
    }
    let chapter = raw.id.value.split('.').next().unwrap_or_default().to_owned();
    let tags = std::iter::once(chapter).chain(raw.tags).collect();
    let mut tokens = ready_tokens(raw.cluster.kubeadm);
    tokens.extend(raw.tokens);
    Ok(Scenario {
        id: raw.id.value,
        title: raw.title,
        why: raw.why,
        requirements: raw.requirements.into_iter().map(|id| id.value).collect(),
        level: raw.level,
        profile: raw.profile,
        tags,
        kubernetes: raw.kubernetes,
        kubelet: raw.kubelet,
        allows: raw.allows.into_iter().map(|(id, reason)| (id, reason.value)).collect(),
        cluster: raw.cluster,
        tokens,
        nodes: raw.nodes,
        steps: raw.steps,
        file: file.to_owned(),
        text: text.to_owned(),
    })
}

/// The steps; an answer that a step must get becomes an expectation after it.
fn with_answers(steps: Vec<Spanned<Step>>) -> Vec<Spanned<Step>> {
    let with_answer = |step: Spanned<Step>| {
        let expected = step.value.stimulus().and_then(Stimulus::expected);
        let expected = expected.map(|expect| Spanned { value: Step::Expect(Box::new(expect)), ..step });
        [Some(step), expected].into_iter().flatten()
    };
    steps.into_iter().flat_map(with_answer).collect()
}

/// What kind of thing is expected, and which recorder would see it.
fn kind_of(matchers: &[(&'static str, &dyn Matcher)]) -> Option<(&'static str, &'static [Recorder])> {
    matchers.first().map(|(kind, matcher)| (*kind, matcher.recorders()))
}

/// serde-saphyr repeats the position after the message; we show it ourselves.
fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or(message);
    let cut = line.find(" at line ").unwrap_or(line.len());
    line[..cut].to_owned()
}

/// Every scenario's tokens. kubeadm's token exists where kubeadm creates it.
pub(super) fn ready_tokens(kubeadm: bool) -> BTreeMap<String, Token> {
    let ready =
        |kind, groups: &str| Token { kind, user: None, groups: vec![groups.into()], expires: None, defect: None };
    let mut tokens = BTreeMap::from([
        (STATIC_TOKEN.to_owned(), ready(TokenKind::Static, "system:bootstrappers")),
        (BOOTSTRAP_TOKEN.to_owned(), ready(TokenKind::Bootstrap, "system:bootstrappers:tlsboot")),
    ]);
    if kubeadm {
        let token = ready(TokenKind::Bootstrap, KUBEADM_GROUP);
        tokens.insert(KUBEADM_TOKEN.to_owned(), token);
    }
    tokens
}

/// Everything about a scenario that can be wrong although its YAML is right.
struct Lint<'a> {
    file: &'a str,
    text: &'a str,
    raw: &'a RawScenario,
    errors: Vec<Diagnostic>,
}

impl Lint<'_> {
    fn error(&mut self, line: u64, column: u64, message: impl Into<String>) {
        self.errors.push(Diagnostic::at(self.file, self.text, line, column, message));
    }

    fn header(&mut self) {
        let raw = self.raw;
        let id = &raw.id;
        let place = (id.referenced.line(), id.referenced.column());
        if !names::is_id(&id.value) {
            self.error(
                place.0,
                place.1,
                format!("`{}` is not an id: write `chapter.name-in-words`, in lower case", id.value),
            );
        }
        if raw.title.trim().is_empty() {
            self.error(place.0, place.1, "the title is empty: say what the scenario shows");
        }
        if raw.title != one_line(&raw.title) {
            self.error(place.0, place.1, "the title has more than one line or contains invisible characters");
        }
        if raw.requirements.is_empty() {
            self.error(place.0, place.1, "`requirements` is empty: name the catalogue's behaviors that it shows");
        }
        for (id, reason) in &raw.allows {
            let (line, column) = (reason.referenced.line(), reason.referenced.column());
            if Invariant::find(id).is_none() {
                let known: Vec<&str> = invariants::ALL.iter().map(|invariant| invariant.id).collect();
                self.error(line, column, format!("there is no invariant `{id}`: write one of {}", known.join(", ")));
            }
            if reason.value.trim().is_empty() || reason.value != one_line(&reason.value) {
                self.error(line, column, format!("say in one line why the scenario breaks `{id}`"));
            }
        }
        for requirement in &raw.requirements {
            if requirements::find(&requirement.value).is_none() && !requirements::is_own(&requirement.value) {
                let message = format!(
                    "the catalogue has no behavior `{}`; `tlsboot list --requirements` shows all",
                    requirement.value
                );
                self.error(requirement.referenced.line(), requirement.referenced.column(), message);
            }
        }
        let mut names = BTreeSet::new();
        for node in &raw.nodes {
            if !names.insert(&*node.name) {
                self.error(place.0, place.1, format!("two nodes are called `{}`", node.name));
            }
            if let Some(wrong) = names::wrong_node(node.name.of_host()) {
                self.error(place.0, place.1, wrong);
            }
            if let Some(wrong) = self.names("nodes").token(&node.bootstrap) {
                self.error(place.0, place.1, wrong);
            }
            if let Some(wrong) = self.bootstrap_by(node) {
                self.error(place.0, place.1, wrong);
            }
        }
        let controllers = raw.cluster.controllers.iter().filter_map(|entry| wrong_controller(entry));
        let flags = raw.cluster.flags.iter().flat_map(|(component, flags)| wrong_flags(*component, flags));
        for wrong in controllers.chain(flags) {
            self.error(place.0, place.1, wrong);
        }
        if raw.cluster.kubeadm {
            self.kubeadm(place);
        }
    }

    /// A certificate has the user and groups of a token; those of a bootstrap token are only the token's.
    fn bootstrap_by(&self, node: &Node) -> Option<String> {
        let name = &node.bootstrap;
        let is_static = match self.raw.tokens.get(name) {
            Some(token) => token.kind == TokenKind::Static,
            None => name == STATIC_TOKEN,
        };
        match node.bootstrap_by {
            BootstrapBy::Token => None,
            _ if name == NO_TOKEN => {
                Some(format!("`{}` has no bootstrap kubeconfig, so `bootstrapBy` has no effect", node.name))
            }
            by if by.is_certificate() && !is_static => Some(format!(
                "only the user of a static token can have a certificate: set `bootstrap` of `{}` to one",
                node.name
            )),
            _ => None,
        }
    }

    /// What kubeadm decides in a cluster of its own.
    fn kubeadm(&mut self, place: (u64, u64)) {
        let raw = self.raw;
        if raw.cluster.bindings != Bindings::default() {
            self.error(
                place.0,
                place.1,
                "kubeadm makes its own bindings: leave `bindings` out, and `unbind` what must be missing",
            );
        }
        for node in &raw.nodes {
            let bare = Node { bootstrap: node.bootstrap.clone(), ..Node::named(node.name.of_host()) };
            if *node != bare {
                self.error(place.0, place.1, format!("kubeadm configures the kubelet of `{}`: only its `name` and its token (`bootstrap`) can be set", node.name));
            }
            let token = raw.tokens.get(&node.bootstrap);
            let is_bootstrap = [KUBEADM_TOKEN, BOOTSTRAP_TOKEN].contains(&node.bootstrap.as_str())
                || token.is_some_and(|token| token.kind == TokenKind::Bootstrap);
            if !is_bootstrap {
                self.error(
                    place.0,
                    place.1,
                    format!(
                        "`kubeadm join` takes only bootstrap tokens, such as {KUBEADM_TOKEN}: set `bootstrap` of `{}`",
                        node.name
                    ),
                );
            }
        }
    }

    fn steps(&mut self) {
        let raw = self.raw;
        let place = (raw.id.referenced.line(), raw.id.referenced.column());
        if !raw.steps.iter().any(|step| matches!(step.value, Step::Expect(_) | Step::Stays(_))) {
            self.error(place.0, place.1, "the scenario expects nothing, so it could never fail: add a step `expect`");
        }
        if raw.steps.first().is_some_and(|step| step.value.is_judged()) {
            self.error(
                place.0,
                place.1,
                "the first step must do something: an expectation follows from the stimulus above it",
            );
        }
        if raw.steps.last().is_some_and(|step| !step.value.is_judged()) {
            let last = &raw.steps[raw.steps.len() - 1].referenced;
            self.error(
                last.line(),
                last.column(),
                "nothing is expected of the last step: add a step `expect`, or remove the step",
            );
        }
        let mut named = BTreeSet::new();
        let mut effects = Effects::before(&raw.cluster.bindings);
        for (index, step) in raw.steps.iter().enumerate() {
            let at = (step.referenced.line(), step.referenced.column());
            match &step.value {
                Step::Expect(expect) => {
                    self.judged(&expect.matchers(), at);
                    self.reference(expect.after.as_deref(), &named, at);
                    self.name(expect.name.as_ref(), &mut named, at);
                    if expect.times == Some(0) {
                        self.error(at.0, at.1, "`times: 0` is always true: use a step `never`");
                    }
                }
                Step::Stays(stays) => {
                    self.judged(&stays.matchers(), at);
                    self.reference(stays.after.as_deref(), &named, at);
                    self.name(stays.name.as_ref(), &mut named, at);
                    if let Some(wrong) = self.wrong_window(stays, index) {
                        self.error(at.0, at.1, wrong);
                    }
                }
                Step::Never(never) => {
                    let matchers = never.matchers();
                    self.judged(&matchers, at);
                    self.reference(never.after.as_deref(), &named, at);
                    self.control(&never.control, &matchers, at);
                    let is_audited = |(_, matcher): &(_, &dyn Matcher)| matcher.recorders().contains(&Recorder::Audit);
                    if never.duration.is_none() && matchers.iter().any(is_audited) {
                        self.error(
                            at.0,
                            at.1,
                            "the audit log is read a moment later than the events of the other expectations: set `for`",
                        );
                    }
                    if never.duration.is_none() && !self.has_companion(index) {
                        self.error(at.0, at.1, "it needs a duration: set `for`, or put an `expect` beside it");
                    }
                }
                step => {
                    let Some(stimulus) = step.stimulus() else { continue };
                    self.stimulus(stimulus, step.word(), at);
                    if let Err(why) = stimulus.effect(&mut effects) {
                        self.error(at.0, at.1, format!("`{}` has no effect: {why}", step.word()));
                    }
                }
            }
        }
    }

    fn judged(&mut self, matchers: &[(&'static str, &dyn Matcher)], at: (u64, u64)) {
        let [(_, matcher)] = matchers else {
            let known = crate::check::KINDS.join(", ");
            let message = match matchers.len() {
                0 => format!("nothing is expected: name one of {known}"),
                _ => "one step expects one thing: write a step for each".to_owned(),
            };
            return self.error(at.0, at.1, message);
        };
        if let Some(wrong) = matcher.lint() {
            self.error(at.0, at.1, wrong);
        }
        let names = Names::of(self.raw, "expect");
        let nodes = matcher.nodes().into_iter().filter_map(|node| names.node(node));
        let subjects = matcher.subjects().into_iter().filter_map(|node| names.subject(node));
        let submitted = matcher.submitted().and_then(|step| names.submitted(step));
        let reached = matcher.reached().and_then(|step| names.reached(step));
        let unknown: Vec<String> = nodes.chain(subjects).chain(submitted).chain(reached).collect();
        for wrong in unknown {
            self.error(at.0, at.1, wrong);
        }
    }

    fn name(&mut self, name: Option<&String>, named: &mut BTreeSet<String>, at: (u64, u64)) {
        if let Some(name) = name
            && !named.insert(name.clone())
        {
            self.error(at.0, at.1, format!("two expectations are called `{name}`"));
        }
    }

    /// What is wrong with the time in which something must stay so.
    fn wrong_window(&self, stays: &Stays, index: usize) -> Option<String> {
        let steps = &self.raw.steps;
        let (kind, matcher) = stays.matchers().into_iter().next()?;
        if !matcher.can_stay() {
            return Some(match kind {
                "csr" => "say which CSR must stay (`number` or `submitted`), and in which `state`".into(),
                _ => format!("`{kind}` is about something that happens, and so cannot stay: use `expect`"),
            });
        }
        let name = stays.until.as_ref()?;
        if stays.duration.is_some() {
            return Some("`for` and `until` exclude each other".into());
        }
        let is_named =
            |step: &Spanned<Step>| matches!(&step.value, Step::Expect(expect) if expect.name.as_ref() == Some(name));
        match steps.iter().position(is_named) {
            None => Some(format!("no step `expect` is called `{name}` (`name: {name}`)")),
            Some(end) if end < index && steps[end..index].iter().any(|step| !step.value.is_judged()) => {
                Some(format!("`{name}` is decided before this begins: name an expectation beside or below it"))
            }
            Some(_) => None,
        }
    }

    fn reference(&mut self, name: Option<&str>, named: &BTreeSet<String>, at: (u64, u64)) {
        if let Some(name) = name
            && !named.contains(name)
        {
            self.error(at.0, at.1, format!("no expectation above is called `{name}` (`name: {name}`)"));
        }
    }

    /// A `never` is worth something only if the same kind of event was seen by the same recorder elsewhere.
    fn control(&mut self, name: &str, never: &[(&'static str, &dyn Matcher)], at: (u64, u64)) {
        let control = self.raw.steps.iter().find_map(|step| match &step.value {
            Step::Expect(expect) if expect.name.as_deref() == Some(name) => Some(expect.matchers()),
            Step::Stays(stays) if stays.name.as_deref() == Some(name) => Some(stays.matchers()),
            _ => None,
        });
        match control {
            None => self.error(
                at.0,
                at.1,
                format!("the positive control `{name}` does not exist: give an expectation this name (`name: {name}`)"),
            ),
            Some(matchers) if kind_of(&matchers) != kind_of(never) => {
                self.error(
                    at.0,
                    at.1,
                    format!(
                        "the positive control `{name}` is of another kind, so it does not prove that this would be seen"
                    ),
                );
            }
            Some(_) => {}
        }
    }

    fn has_companion(&self, index: usize) -> bool {
        let steps = &self.raw.steps;
        let is_met = |step: &Spanned<Step>| matches!(step.value, Step::Expect(_) | Step::Stays(_));
        let judged = |step: &&Spanned<Step>| step.value.is_judged();
        steps[..index].iter().rev().take_while(judged).any(is_met)
            || steps[index + 1..].iter().take_while(judged).any(is_met)
    }

    fn names(&self, word: &'static str) -> Names<'_> {
        Names::of(self.raw, word)
    }

    fn stimulus(&mut self, stimulus: &dyn Stimulus, word: &'static str, at: (u64, u64)) {
        for wrong in stimulus.lint(&self.names(word)) {
            self.error(at.0, at.1, wrong);
        }
    }
}
