//! Invalid scenario files are never green: each error has its position and says how to fix it.

use proptest::prelude::*;
use rstest::rstest;
use tlsboot_core::scenario::{Diagnostic, Profile, Scenario, SelectError, Selector, load_text, select};

const RIGHT: &str = "\
id: rbac.example
title: A title
requirements: [A-04]
tokens:
  odd: {kind: bootstrap, defect: wrongSecret}
nodes: [{name: n1}]
steps:
  - start: {node: n1}
  - expect: {csr: {node: n1, role: client}, name: asked}
  - never: {csr: {node: n1, role: serving}, control: asked, for: 1s}
";

#[test]
fn the_example_is_right() {
    let scenario = load_text("right.yaml", RIGHT).unwrap();
    assert_eq!((scenario.id.as_str(), scenario.tags.as_slice()), ("rbac.example", &["rbac".to_owned()][..]));
    assert!(scenario.tokens.contains_key("staticToken") && scenario.tokens.contains_key("odd"));
}

/// The line of the error, and a part of its message.
#[rstest]
#[case::unknown_key("title: A title", "titel: A title", 2, "titel")]
#[case::unknown_field_in_a_step("role: client}", "rolle: client}", 9, "rolle")]
#[case::unknown_stimulus("start: {node: n1}", "begin: {node: n1}", 8, "begin")]
#[case::wrong_type("requirements: [A-04]", "requirements: A-04", 3, "expected sequence")]
#[case::tab("title: A title", "\ttitle: A title", 1, "tab")]
#[case::duplicate_key("title: A title", "title: A title\ntitle: B", 3, "duplicate")]
#[case::bad_duration("for: 1s", "for: soon", 10, "write it like `90s`")]
#[case::no_duration("for: 1s", "for: 0s", 10, "longer than 0s")]
#[case::negative_duration("name: asked", "name: asked, within: -5s", 9, "longer than 0s")]
#[case::submitted_by_no_step(
    "csr: {node: n1, role: client}",
    "csr: {submitted: other}",
    9,
    "no step `submit` is called `other`"
)]
#[case::count_of_nothing("csr: {node: n1, role: client}", "csrCount: {node: n1, role: client}", 9, "set `min`")]
#[case::bad_versions("title: A title", "title: A\nkubernetes: new", 3, "range of versions")]
#[case::bad_id("rbac.example", "Example", 1, "is not an id")]
#[case::empty_title("title: A title", "title: ''", 1, "title is empty")]
#[case::no_requirement("[A-04]", "[]", 1, "`requirements` is empty")]
#[case::unknown_requirement("A-04", "A-99", 3, "no behavior `A-99`")]
#[case::unknown_invariant(
    "steps:",
    "allows: {I-99: for a reason}\nsteps:",
    7,
    "no invariant `I-99`: write one of I-01"
)]
#[case::behavior_that_is_no_invariant("steps:", "allows: {A-04: for a reason}\nsteps:", 7, "no invariant `A-04`")]
#[case::allowed_without_a_reason("steps:", "allows: {I-04: ''}\nsteps:", 7, "say in one line why")]
#[case::allowed_without_any_reason("steps:", "allows: [I-04]\nsteps:", 7, "expected mapping")]
#[case::allowed_with_lines("steps:", "allows: {I-04: \"a\\nb\"}\nsteps:", 7, "say in one line why")]
#[case::allowed_twice("steps:", "allows: {I-04: a, I-04: b}\nsteps:", 7, "duplicate")]
#[case::unknown_node("start: {node: n1}", "start: {node: n2}", 8, "no node `n2`")]
#[case::never_for_an_unknown_node("node: n1, role: serving}", "node: n3, role: serving}", 10, "no node `n3`")]
#[case::count_for_an_unknown_node(
    "csr: {node: n1, role: client}",
    "csrCount: {node: n3, role: client, max: 1}",
    9,
    "no node `n3`"
)]
#[case::decided_for_an_unknown_node("start: {node: n1}", "approve: {node: n3}", 8, "no node `n3`")]
#[case::verb_in_capitals("csr: {node: n1, role: client}", "request: {node: n1, verb: POST}", 9, "did you mean `post`?")]
#[case::short_name_of_a_resource(
    "csr: {node: n1, role: client}",
    "request: {node: n1, verb: create, resource: csr}",
    9,
    "no resource of Kubernetes `csr`"
)]
#[case::component_that_is_none(
    "csr: {node: n1, role: client}",
    "process: {component: kube-scheduler, state: running}",
    9,
    "no component of these clusters `kube-scheduler`"
)]
#[case::misspelt_controller(
    "requirements: [A-04]",
    "requirements: [A-04]\ncluster: {controllers: [csrsinging]}",
    1,
    "did you mean `csrsigning`?"
)]
#[case::misspelt_controller_of_a_start(
    "start: {node: n1}",
    "restart: {component: kube-controller-manager, with: {controllers: [csrsinging]}}",
    8,
    "did you mean `csrsigning`?"
)]
#[case::flag_that_tlsboot_needs(
    "requirements: [A-04]",
    "requirements: [A-04]\ncluster: {flags: {kube-apiserver: {audit-log-path: ''}}}",
    1,
    "tlsboot needs the flag `audit-log-path`"
)]
#[case::flags_of_a_kubelet(
    "start: {node: n1}",
    "start: {node: n1, with: {flags: {hostname-override: n2}}}",
    8,
    "`flags` is a setting of a component of the control plane"
)]
#[case::a_kubelets_setting_elsewhere(
    "start: {node: n1}",
    "restart: {component: kube-controller-manager, with: {rotateCertificates: false}}",
    8,
    "`rotateCertificates` is a setting of a kubelet and has no effect on kube-controller-manager"
)]
#[case::one_components_setting_of_the_other(
    "start: {node: n1}",
    "restart: {component: kube-apiserver, with: {signingDuration: 1h}}",
    8,
    "`signingDuration` is a setting of kube-controller-manager"
)]
#[case::a_components_setting_of_a_kubelet(
    "start: {node: n1}",
    "start: {node: n1, with: {controllers: [csrsigning]}}",
    8,
    "`controllers` is a setting of kube-controller-manager"
)]
#[case::rbac_verb_that_is_none(
    "start: {node: n1}",
    "createClusterRole: {name: a, verbs: [POST], resources: [certificatesigningrequests]}",
    8,
    "no verb of RBAC for certificates.k8s.io `POST`"
)]
#[case::two_nodes_by_capitals("[{name: n1}]", "[{name: n1}, {name: N1}]", 1, "two nodes are called `n1`")]
#[case::certificate_of_a_bootstrap_token(
    "{name: n1}",
    "{name: n1, bootstrap: bootstrapToken, bootstrapBy: certificate}",
    1,
    "only the user of a static token"
)]
#[case::credential_for_nothing(
    "{name: n1}",
    "{name: n1, bootstrap: none, bootstrapBy: command}",
    1,
    "so `bootstrapBy` has no effect"
)]
#[case::unknown_token("{name: n1}", "{name: n1, bootstrap: other}", 1, "no token `other`")]
#[case::node_above_the_folder("[{name: n1}]", "[{name: n1}, {name: ../evil}]", 1, "cannot be the name of a node")]
#[case::node_by_a_path("[{name: n1}]", "[{name: n1}, {name: /tmp/x}]", 1, "cannot be the name of a node")]
#[case::node_without_a_name("[{name: n1}]", "[{name: n1}, {name: ''}]", 1, "cannot be the name of a node")]
#[case::node_on_two_lines("[{name: n1}]", "[{name: n1}, {name: \"a\\nb\"}]", 1, "cannot be the name of a node")]
#[case::file_by_a_path(
    "start: {node: n1}",
    "damage: {node: n1, file: /abs/file, action: delete}",
    8,
    "is not a file name"
)]
#[case::file_above_the_folder(
    "start: {node: n1}",
    "damage: {node: n1, file: ../../f, action: corrupt}",
    8,
    "is not a file name"
)]
#[case::file_that_is_the_folder(
    "start: {node: n1}",
    "damage: {node: n1, file: '..', action: delete}",
    8,
    "is not a file name"
)]
#[case::file_without_a_name(
    "start: {node: n1}",
    "damage: {node: n1, file: '', action: delete}",
    8,
    "is not a file name"
)]
#[case::two_nodes_of_a_name("[{name: n1}]", "[{name: n1}, {name: n1}]", 1, "two nodes")]
#[case::node_and_component(
    "start: {node: n1}",
    "start: {node: n1, component: kube-apiserver}",
    8,
    "either a `node` or a `component`"
)]
#[case::unknown_control("control: asked", "control: none", 10, "positive control `none` does not exist")]
#[case::control_of_another_kind(
    "never: {csr: {node: n1, role: serving}",
    "never: {nodeObject: {node: n1}",
    10,
    "another kind"
)]
#[case::control_of_other_events(
    "expect: {csr: {node: n1, role: client}, name: asked}\n  - never: {csr: {node: n1, role: serving}",
    "expect: {cel: {event: csr, expression: 'true'}, name: asked}\n  - never: {cel: {event: node, expression: 'true'}",
    10,
    "another kind"
)]
#[case::endless_never(", for: 1s", "", 10, "")]
#[case::nothing_expected("csr: {node: n1, role: client}, ", "", 9, "nothing is expected")]
#[case::two_things_expected("role: client}, ", "role: client}, nodeObject: {node: n1}, ", 9, "one thing")]
#[case::never_without_limit(
    "start: {node: n1}",
    "start: {node: n1}\n  - never: {csr: {node: n1}, control: asked}\n  - stop: {node: n1}",
    9,
    "needs a duration"
)]
#[case::never_of_the_audit_log_without_limit(
    "never: {csr: {node: n1, role: serving}, control: asked, for: 1s}",
    "never: {request: {node: n1, verb: delete}, control: asked}",
    10,
    "set `for`"
)]
#[case::unknown_after("name: asked", "name: asked, after: that", 9, "called `that`")]
#[case::zero_times("name: asked", "name: asked, times: 0", 9, "times: 0")]
#[case::any_csr("node: n1, role: client", "state: pending", 9, "any CSR would match")]
#[case::failure_with_a_code(
    "csr: {node: n1, role: client}",
    "process: {node: n1, state: failed, code: 1}",
    9,
    "`failed` already implies"
)]
#[case::failure_of_another_component(
    "csr: {node: n1, role: client}",
    "process: {component: kube-apiserver, state: failed}",
    9,
    "for kubelets"
)]
#[case::counted_from_one("role: client}, name", "role: client, number: 0}, name", 9, "counted from 1")]
#[case::static_tokens_are_not_deleted("start: {node: n1}", "deleteToken: {token: staticToken}", 8, "only once")]
#[case::stopped_before_the_start("start: {node: n1}", "stop: {node: n1}", 8, "n1 is not running")]
#[case::restarted_before_the_start("start: {node: n1}", "restart: {node: n1}", 8, "`start` it")]
#[case::stopped_twice(
    "start: {node: n1}",
    "stop: {component: kube-apiserver}\n  - kill: {component: kube-apiserver}",
    9,
    "kube-apiserver is not running"
)]
#[case::bound_already("start: {node: n1}", "bind: {clusterRole: nodeClient, to: {user: eve}}", 8, "already bound")]
#[case::not_bound(
    "start: {node: n1}",
    "unbind: {clusterRole: nodeClient}\n  - unbind: {clusterRole: nodeClient}",
    9,
    "is not bound"
)]
#[case::deleted_twice(
    "start: {node: n1}",
    "deleteToken: {token: odd}\n  - deleteToken: {token: odd}",
    9,
    "already deleted"
)]
#[case::expired_after_deletion(
    "start: {node: n1}",
    "deleteToken: {token: odd}\n  - expireToken: {token: odd}",
    9,
    "already deleted or expired"
)]
#[case::made_twice(
    "start: {node: n1}",
    "createClusterRole: {name: a, verbs: [get], resources: [certificatesigningrequests]}\n  - createClusterRole: {name: a, verbs: [get], resources: [certificatesigningrequests]}",
    9,
    "ClusterRole a already"
)]
#[case::refused_twice(
    "start: {node: n1}",
    "refuse: {requests: createNode, by: webhook}\n  - refuse: {requests: createNode, by: policy}",
    9,
    "requests to create a Node are refused already"
)]
#[case::admitted_without_need(
    "start: {node: n1}",
    "admit: {requests: createCsr}",
    8,
    "no step before refuses requests to create a CSR"
)]
#[case::cut_twice(
    "start: {node: n1}",
    "cut: {node: n1}\n  - cut: {node: n1, kind: silence}\n  - cut: {node: n1, kind: silence}",
    10,
    "already cut"
)]
#[case::not_cut("start: {node: n1}", "reconnect: {node: n1}", 8, "is not cut")]
#[case::no_link("start: {node: n1}", "damage: {node: n1, file: kubelet.crt, action: replaceLink}", 8, "is not a link")]
#[case::bad_cel(
    "csr: {node: n1, role: client}, name: asked",
    "cel: {event: csr, expression: 'event.'}, name: asked",
    9,
    "not valid CEL"
)]
#[case::unknown_field_in_cel(
    "csr: {node: n1, role: client}, name: asked",
    "cel: {event: csr, expression: 'event.nmae == \"\"'}, name: asked",
    9,
    "no field `nmae`"
)]
#[case::unknown_variable_in_cel(
    "csr: {node: n1, role: client}, name: asked",
    "cel: {event: csr, expression: 'evnt.name == 1'}, name: asked",
    9,
    "no variable `evnt`"
)]
#[case::reach_again_and_again_without_a_name("start: {node: n1}", "reach: {node: n1, every: 1s}", 8, "those need one")]
#[case::reach_with_a_name_once("start: {node: n1}", "reach: {node: n1, name: x}", 8, "sent with `every`")]
#[case::reach_until_what("start: {node: n1}", "reach: {node: n1, retryFor: 5s}", 8, "`retryFor` which `reached`?")]
#[case::reach_the_api_servers_path(
    "start: {node: n1}",
    "reach: {node: n1, path: /healthz}",
    8,
    "without the first slash"
)]
#[case::reach_above_the_proxy("start: {node: n1}", "reach: {node: n1, path: ../../x}", 8, "the kubelet's")]
#[case::reach_by_a_path_of_two_lines("start: {node: n1}", "reach: {node: n1, path: \"a\\r\\nb\"}", 8, "the kubelet's")]
#[case::impersonation_at_the_port(
    "start: {node: n1}",
    "reach: {node: n1, via: port, as: {impersonated: x}}",
    8,
    "only be sent through the API server"
)]
#[case::no_service_account(
    "start: {node: n1}",
    "reach: {node: n1, as: {serviceAccount: ../x}}",
    8,
    "names no ServiceAccount"
)]
#[case::reached_by_nothing("csr: {node: n1, role: client}", "reached: {of: steady, code: 200}", 9, "no step `reach`")]
#[case::reached_says_nothing("csr: {node: n1, role: client}", "reached: {}", 9, "what must come of it?")]
#[case::reachable_by_no_request(
    "csr: {node: n1, role: client}",
    "reachable: {of: steady, requests: 0}",
    9,
    "always true"
)]
#[case::inbound_opened_and_closed(
    "csr: {node: n1, role: client}",
    "inbound: {node: n1, host: n1, closedBy: kubelet}",
    9,
    "expect one of them"
)]
#[case::reconnect_the_other_way(
    "start: {node: n1}",
    "cut: {node: n1}\n  - reconnect: {node: n1, direction: fromApiServer}",
    9,
    "is not cut"
)]
fn what_is_wrong_is_said_with_its_place(
    #[case] right: &str,
    #[case] wrong: &str,
    #[case] line: u64,
    #[case] says: &str,
) {
    let text = RIGHT.replacen(right, wrong, 1);
    assert_ne!(text, RIGHT, "the case changes nothing");
    match load_text("wrong.yaml", &text) {
        // A `never` beside an `expect` needs no duration of its own.
        Ok(_) => assert!(says.is_empty(), "loaded though {wrong:?}"),
        Err(errors) => {
            let fits = errors.iter().find(|error| error.line == line && error.message.contains(says));
            assert!(fits.is_some(), "{errors:#?}");
            let drawn = fits.unwrap().render(false);
            assert!(drawn.contains(&format!("wrong.yaml:{line}:")), "{drawn}");
        }
    }
}

#[rstest]
#[case::expects_nothing("steps:\n  - start: {node: n1}\n", "expects nothing")]
#[case::begins_with_an_expectation("steps:\n  - expect: {csr: {node: n1}}\n", "first step must do something")]
#[case::ends_with_a_stimulus(
    "steps:\n  - start: {node: n1}\n  - expect: {csr: {node: n1}}\n  - stop: {node: n1}\n",
    "nothing is expected of the last step"
)]
#[case::no_steps("steps: []\n", "expects nothing")]
fn steps_must_make_sense_together(#[case] steps: &str, #[case] says: &str) {
    let head = RIGHT.split("steps:").next().unwrap();
    let errors = load_text("wrong.yaml", &format!("{head}{steps}")).unwrap_err();
    assert!(errors.iter().any(|error| error.message.contains(says)), "{errors:#?}");
}

/// It is an expectation like any other, after the step that contains it.
#[test]
fn an_answer_inside_of_a_step_is_expected_of_it() {
    let text = "id: a.b\ntitle: t\nrequirements: [A-04]\nsteps:\n  - get: {as: anonymous, path: /version, answer: {code: 200}}\n";
    let scenario = load_text("a.yaml", text).unwrap();
    let words: Vec<&str> = scenario.steps.iter().map(|step| step.value.word()).collect();
    assert_eq!(words, ["get", "expect"]);
    assert_eq!(scenario.steps[1].value.matcher().unwrap().0, "answer");
    assert_eq!(scenario.steps[1].referenced.line(), 5);
}

#[test]
fn an_expectation_waits_as_long_as_the_scenarios_head_says() {
    let text = RIGHT
        .replace("steps:", "within: 3m\nsteps:")
        .replace("name: asked}", "name: asked}\n  - expect: {csr: {node: n1}, within: 5s}");
    let within = |text: &str| -> Vec<_> {
        let scenario = load_text("a.yaml", text).unwrap();
        let expects = scenario.steps.iter().filter_map(|step| match &step.value {
            tlsboot_core::scenario::Step::Expect(expect) => Some(expect.within.map(|within| within.as_secs())),
            _ => None,
        });
        expects.collect()
    };
    assert_eq!(within(&text), [Some(180), Some(5)]);
    assert_eq!(within(RIGHT), [None]);
}

#[test]
fn a_distribution_may_name_behaviors_of_its_own() {
    assert!(load_text("a.yaml", &RIGHT.replace("A-04", "X-site.labels-1")).is_ok());
    for wrong in ["X-", "X", "'X-a b'", "Y-1"] {
        assert!(load_text("a.yaml", &RIGHT.replace("A-04", wrong)).is_err(), "{wrong}");
    }
}

/// The kubelet makes the Node's name of its host's.
#[test]
fn a_node_may_be_named_as_its_host_is() {
    for (host, node) in [("Worker-A", "worker-a"), ("Worker-A", "Worker-A"), ("worker-a", "WORKER-A")] {
        let text =
            RIGHT.replace("{name: n1}", &format!("{{name: {host}}}")).replace("node: n1", &format!("node: {node}"));
        let scenario = load_text("a.yaml", &text).unwrap_or_else(|errors| panic!("{host} {node}: {errors:#?}"));
        assert_eq!((&*scenario.nodes[0].name, scenario.nodes[0].name.of_host()), ("worker-a", host));
    }
}

#[test]
fn certificates_may_be_for_a_node_that_only_a_step_submits_for() {
    let text = "id: a.b\ntitle: t\nrequirements: [A-04]\nsteps:\n  - submit: {as: admin, role: client, node: n9}\n  - expect: {WHAT: {node: n9, role: client MORE}}\n";
    for (what, more) in [("csr", ""), ("certificate", ""), ("csrCount", ", max: 1"), ("rotation", ", renews: 1")] {
        let text = text.replace("WHAT", what).replace(" MORE", more);
        assert!(load_text("a.yaml", &text).is_ok(), "{what}");
        assert!(load_text("a.yaml", &text.replace("{node: n9,", "{node: n8,")).is_err(), "{what}");
    }
}

fn some() -> Vec<Scenario> {
    let named =
        |id: &str, more: &str| load_text("x.yaml", &format!("{}{more}", RIGHT.replace("rbac.example", id))).unwrap();
    vec![named("rbac.one", ""), named("rotation.two", "tags: [quick]\n"), named("rotation.three", "profile: full\n")]
}

#[rstest]
#[case(&["rbac.one"], &["rbac.one"])]
#[case(&["rotation.*"], &["rotation.two", "rotation.three"])]
#[case(&["@quick"], &["rotation.two"])]
#[case(&["@rotation", "rbac.one"], &["rbac.one", "rotation.two", "rotation.three"])]
#[case(&["a-04"], &["rbac.one", "rotation.two", "rotation.three"])]
#[case(&[], &["rbac.one", "rotation.two"])]
fn selectors_choose(#[case] selectors: &[&str], #[case] ids: &[&str]) {
    let scenarios = some();
    let selectors: Vec<Selector> = selectors.iter().map(|text| Selector((*text).into())).collect();
    let chosen = select(&scenarios, &selectors, Profile::Core).unwrap();
    assert_eq!(chosen.iter().map(|scenario| scenario.id.as_str()).collect::<Vec<_>>(), ids);
}

#[test]
fn a_selector_that_chooses_nothing_is_an_error() {
    let error = select(&some(), &[Selector("rotation.tow".into())], Profile::Core).unwrap_err();
    assert!(error.to_string().contains("did you mean `rotation."), "{error}");
    assert_eq!(select(&[], &[], Profile::Slow).unwrap_err(), SelectError::Empty);
}

proptest! {
    /// Whatever a file contains, loading it ends with a scenario or with errors.
    #[test]
    fn loading_is_total(text in "\\PC{0,200}") {
        let _ = load_text("x.yaml", &text);
    }

    /// A scenario with a part cut out never loads as something other than what it says.
    #[test]
    fn loading_what_was_damaged_is_total(from in 0_usize..300, length in 0_usize..60, put in "[\\PC\n]{0,8}") {
        let mut text: Vec<char> = RIGHT.chars().collect();
        let from = from.min(text.len());
        let to = (from + length).min(text.len());
        text.splice(from..to, put.chars());
        let text: String = text.into_iter().collect();
        if let Err(errors) = load_text("x.yaml", &text) {
            prop_assert!(!errors.is_empty());
            for error in errors {
                prop_assert!(!error.render(false).is_empty());
            }
        }
    }
}

const OF_KUBEADM: &str = "\
id: kubeadm.example
title: A title
requirements: [D-01]
cluster: {kubeadm: true}
nodes: [{name: n1, bootstrap: kubeadmToken}]
steps:
  - join: {node: n1}
  - expect: {process: {node: n1, component: kubeadm, state: exited, code: 0}}
";

#[test]
fn kubeadms_token_is_there_where_kubeadm_is() {
    let tokens = |text| load_text("right.yaml", text).unwrap().tokens;
    assert!(tokens(OF_KUBEADM).contains_key("kubeadmToken"));
    assert!(!tokens(RIGHT).contains_key("kubeadmToken"));
}

#[rstest]
#[case::own_bindings("true}", "true, bindings: {nodeClient: absent}}", 1, "its own bindings")]
#[case::own_configuration("kubeadmToken}", "kubeadmToken, rotateCertificates: false}", 1, "kubeadm configures")]
#[case::static_token("kubeadmToken}", "staticToken}", 1, "only bootstrap tokens")]
#[case::no_token(", bootstrap: kubeadmToken", ", bootstrap: none", 1, "only bootstrap tokens")]
#[case::started("join: {node: n1}", "start: {node: n1}", 7, "use `join`")]
#[case::joined_elsewhere("cluster: {kubeadm: true}", "cluster: {}", 7, "clusters that kubeadm sets up")]
#[case::unknown_node("join: {node: n1}", "join: {node: n2}", 7, "no node `n2`")]
#[case::joined_twice("  - expect", "  - join: {node: n1}\n  - expect", 8, "n1 has already been joined")]
#[case::kubeadm_of_no_node("node: n1, component", "component", 8, "name the `node`")]
#[case::component_on_a_node("component: kubeadm", "component: etcd", 8, "either a `node` or a `component`")]
fn what_is_kubeadms_is_not_said_otherwise(
    #[case] right: &str,
    #[case] wrong: &str,
    #[case] line: u64,
    #[case] says: &str,
) {
    let text = OF_KUBEADM.replacen(right, wrong, 1);
    assert_ne!(text, OF_KUBEADM, "the case changes nothing");
    let errors = load_text("wrong.yaml", &text).unwrap_err();
    let fits = |error: &Diagnostic| error.line == line && error.message.contains(says);
    assert!(errors.iter().any(fits), "{errors:#?}");
}
