//! Metrics of kubelets and the controller-manager (catalogue T-13).

use schemars::JsonSchema;
use serde::Deserialize;

use super::compare::{Compare, NONE};
use super::{LooksAt, Match, Matcher, Moment, OfEvents};
use crate::history::What;
use crate::history::event::Recorder;
use crate::scenario::stimulus::{Component, Need};
use crate::scenario::vocabulary::wrong_component;
use crate::scenario::{Capability, NodeName};

/// A metric, evaluated whenever a scrape shows a change.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metric {
    /// The node, for a kubelet's metric.
    #[serde(default)]
    pub node: Option<NodeName>,
    /// The component, for the metric of another component: `kube-controller-manager`.
    #[serde(default)]
    pub component: Option<String>,
    /// Its name, with its labels as exposed, if it has any.
    pub name: String,
    /// The smallest value allowed.
    #[serde(default)]
    pub min: Option<f64>,
    /// The largest value allowed.
    #[serde(default)]
    pub max: Option<f64>,
}

impl Matcher for Metric {
    fn recorders(&self) -> &'static [Recorder] {
        &[Recorder::Metrics]
    }

    fn can_stay(&self) -> bool {
        true
    }

    fn looks_at(&self) -> LooksAt<'_> {
        LooksAt::Events(self)
    }

    fn needs(&self) -> Vec<Need> {
        let is_api_server = self.component.as_deref() == Some(Component::ApiServer.name());
        let metrics = (Capability::ApiServerMetrics, "show the API server's metrics");
        is_api_server.then_some(metrics).into_iter().collect()
    }

    fn nodes(&self) -> Vec<&str> {
        self.node.as_deref().into_iter().collect()
    }

    fn sources(&self) -> Vec<&str> {
        self.node.as_deref().or(self.component.as_deref()).into_iter().collect()
    }

    fn lint(&self) -> Option<String> {
        match (&self.node, &self.component) {
            (None, Some(component)) => wrong_component(component),
            (Some(_), None) => None,
            _ => Some("name either a `node` or a `component`".into()),
        }
    }
}

impl OfEvents for Metric {
    fn judge(&self, moment: &Moment<'_>) -> Match {
        let What::Metrics(metrics) = &moment.event.what else { return Match::Other };
        let component = self.component.as_deref().unwrap_or("kubelet");
        if metrics.component != component || metrics.node.as_deref() != self.node.as_deref() {
            return Match::Other;
        }
        let values = moment.state.metrics.get(&(metrics.component.clone(), metrics.node.clone()));
        let found = values.and_then(|values| values.get(&self.name));
        let value = found.and_then(|value| value.replace("Inf", "inf").parse::<f64>().ok());
        let shown = found.map_or(NONE, |value| value.as_str());
        let mut compare = Compare::default();
        compare.holds(&self.name, value.is_some(), "exposed", shown);
        if let Some(min) = self.min {
            compare.holds(&self.name, value.is_some_and(|value| value >= min), format!("at least {min}"), shown);
        }
        if let Some(max) = self.max {
            compare.holds(&self.name, value.is_some_and(|value| value <= max), format!("at most {max}"), shown);
        }
        compare.or_near()
    }
}
