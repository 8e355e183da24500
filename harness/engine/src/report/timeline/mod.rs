//! A history as a picture: lanes of bars and marks over the seconds from the start, drawn as SVG.
//!
//! Colors come from the page's style sheet by class, so that the picture suits light and dark pages.

mod certificates;
mod draw;
mod lanes;
mod reached;
mod shape;

use super::Evidence;
use shape::Scale;
use tlsboot_core::result::ScenarioResult;

/// The picture of a history; `None` if there is no history.
pub(super) fn svg(result: &ScenarioResult, evidence: &Evidence) -> Option<String> {
    let last = evidence.events.iter().map(|event| event.at).max()?;
    let scale = Scale::until(evidence.seconds(last));
    let lanes = [
        lanes::steps(evidence, scale),
        lanes::expectations(result, evidence, scale),
        lanes::violations(result, evidence, scale),
        lanes::recorders(evidence, scale),
        lanes::processes(evidence, scale),
        lanes::csrs(evidence, scale),
        certificates::lifetimes(evidence, scale),
        certificates::files(evidence, scale),
        certificates::presented(evidence, scale),
        lanes::nodes(evidence, scale),
        lanes::connections(evidence, scale),
        reached::reached(evidence, scale),
        lanes::requests(evidence, scale),
    ];
    let lanes: Vec<_> = lanes.into_iter().filter(|lane| !lane.rows.is_empty()).collect();
    let name = format!("Timeline of {} on {}", result.id, result.target);
    Some(draw::svg(&name, scale, &lanes, &lanes::guides(evidence)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{self, Recording};
    use tlsboot_core::history::event::{ClosedBy, ConnectionState, InboundState};

    /// Every `x`, `cx` and `width` of the picture.
    fn numbers(svg: &str, attribute: &str) -> Vec<f64> {
        let marker = format!(" {attribute}=\"");
        svg.split(&marker).skip(1).filter_map(|rest| rest.split('"').next()?.parse().ok()).collect()
    }

    #[test]
    fn nothing_lies_outside_of_the_picture() {
        for (result, evidence) in [fixture::rotating(), fixture::failing(), fixture::hanging()] {
            let svg = svg(&result, &evidence).unwrap();
            for attribute in ["x", "cx", "x1", "x2", "width"] {
                let outside: Vec<f64> =
                    numbers(&svg, attribute).into_iter().filter(|x| !(0.0..=shape::WIDTH).contains(x)).collect();
                assert!(outside.is_empty(), "{attribute}: {outside:?}");
            }
        }
    }

    #[test]
    fn a_rotation_shows_lifetimes_windows_and_the_gap_of_the_link() {
        let (result, evidence) = fixture::rotating();
        let svg = svg(&result, &evidence).unwrap();
        for part in [
            "client 1 of n1",
            "70 % to 90 %",
            "in use",
            "no link for 1.0 ms",
            "issued after 0.20 s",
            "presents",
            "Ready True",
        ] {
            assert!(svg.contains(part), "`{part}` is missing");
        }
    }

    #[test]
    fn requests_to_a_kubelet_and_the_api_servers_connections_have_a_lane() {
        let (result, mut evidence) = fixture::hanging();
        let mut recording = Recording::new("x");
        recording.inbound(10, InboundState::Opened { asked: "n1:10250".into(), certificate: None, refused: None });
        for (at, code) in [(20, Some(200)), (1020, Some(503)), (2020, None)] {
            recording.reach(at, code);
        }
        recording.inbound(3000, InboundState::Closed { by: ClosedBy::Link });
        evidence.events = recording.events;
        let svg = svg(&result, &evidence).unwrap();
        for part in
            ["Reached from the API server", "n1, connections", "answered 503", "not answered", "closed by the link"]
        {
            assert!(svg.contains(part), "`{part}` is missing");
        }
    }

    #[test]
    fn values_are_escaped() {
        let (result, mut evidence) = fixture::hanging();
        let mut recording = Recording::new("x");
        recording.request(10, Some("<script>alert(1)</script>"), "get", "\"&'", 403);
        evidence.events = recording.events;
        let svg = svg(&result, &evidence).unwrap();
        assert!(!svg.contains("<script"), "{svg}");
        assert!(svg.contains("&lt;script&gt;"), "{svg}");
    }

    #[test]
    fn a_long_history_stays_small() {
        let (result, mut evidence) = fixture::hanging();
        let mut recording = Recording::new("x");
        for index in 0..20_000 {
            recording.request(index * 50, Some("system:node:n1"), "get", "nodes", 200);
            recording.connection(index * 50, index as u64, ConnectionState::Opened);
        }
        for number in 0..200 {
            recording.csr(1_000_000 + i64::from(number) * 1000, tlsboot_core::check::Role::Client, number);
        }
        evidence.events = recording.events;
        let svg = svg(&result, &evidence).unwrap();
        assert!(svg.len() < 200_000, "{} bytes", svg.len());
    }

    #[test]
    fn without_a_history_there_is_no_picture() {
        let (result, _) = fixture::hanging();
        assert_eq!(svg(&result, &Evidence::default()), None);
    }
}
