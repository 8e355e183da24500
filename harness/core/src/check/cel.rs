//! Any event, by a CEL expression: the escape hatch, for what the structured kinds can't say.

use std::sync::{Arc, OnceLock};

use kube_cel::KubeCelExt;
use kube_cel::cel::{Context, Program, Value};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{LooksAt, Match, Matcher, Mismatch, Moment, OfEvents, expression};
use crate::history::event::{RECORDED, Recorder};

/// An event for which an expression is true.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cel {
    /// The kind of event, as in the history: `request`, `csr`, `file`, …
    pub event: String,
    /// The CEL expression. `event` is what happened, as it stands in the history; `at` is when, in RFC 3339.
    pub expression: String,
    /// The expression as it is evaluated, compiled at its first use.
    #[serde(skip)]
    #[schemars(skip)]
    program: OnceLock<Arc<Result<Program, String>>>,
}

const VARIABLES: [&str; 2] = ["event", "at"];

impl Cel {
    fn program(&self) -> &Result<Program, String> {
        self.program.get_or_init(|| Arc::new(expression::compile(&self.expression)))
    }

    fn evaluate(&self, event: &serde_json::Value, at: &str) -> Result<bool, String> {
        let program = self.program().as_ref().map_err(Clone::clone)?;
        expression::is_affordable(program, event)?;
        let mut context = Context::default().with_all();
        context.add_variable("event", event).map_err(|error| error.to_string())?;
        context.add_variable_from_value("at", at.to_owned());
        match program.execute(&context) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(other) => Err(format!("gives {other:?}, not true or false")),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Matcher for Cel {
    fn recorders(&self) -> &'static [Recorder] {
        let known = RECORDED.iter().find(|(name, _)| *name == self.event);
        known.map_or(&[], |(_, recorder)| std::slice::from_ref(recorder))
    }

    fn looks_at(&self) -> LooksAt<'_> {
        LooksAt::Events(self)
    }

    fn lint(&self) -> Option<String> {
        if !RECORDED.iter().any(|(name, _)| *name == self.event) {
            let known = RECORDED.map(|(name, _)| name).join(", ");
            return Some(format!("there are no events `{}`; there are {known}", self.event));
        }
        match self.program() {
            Err(error) => Some(format!("the expression can't be read: {error}")),
            Ok(program) => {
                let unknown =
                    program.references().variables().into_iter().find(|name| !VARIABLES.contains(name))?.to_owned();
                Some(format!("there is no variable `{unknown}`; there are `event` and `at`"))
            }
        }
    }
}

impl OfEvents for Cel {
    fn judge(&self, moment: &Moment<'_>) -> Match {
        let Ok(serde_json::Value::Object(what)) = serde_json::to_value(&moment.event.what) else { return Match::Other };
        let Some(event) = what.get(&self.event) else { return Match::Other };
        let found = match self.evaluate(event, &moment.event.at.to_string()) {
            Ok(true) => return Match::Yes,
            Ok(false) => "false".to_owned(),
            // A missing key is no answer: the event is just another one, but the words are worth seeing.
            Err(error) => error,
        };
        Match::Near(vec![Mismatch { field: "expression".into(), expected: self.expression.clone(), found }])
    }
}
