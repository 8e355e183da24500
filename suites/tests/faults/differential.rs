//! Doctor's second law: what it says of a bootstrap token, a binding and a CSR is what a real API server answers.
//!
//! Each is generated with oddities, and shown to both: the token is used, the authorizer is asked, and the CSR is left to
//! kube-controller-manager. `TLSBOOT_TRIES` says how many of each there are, `TLSBOOT_SEED` which.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role as LocalRole, RoleBinding};
use kube::api::{Api, DeleteParams, ListParams, PostParams, ResourceExt};
use libtest_mimic::Failed;
use serde_json::{Value, json};
use tlsboot_core::check::Role;
use tlsboot_core::history::event::{Change, CsrEvent};
use tlsboot_core::history::facts::Name;
use tlsboot_core::version::Version;
use tlsboot_core::x509::AltName;
use tlsboot_engine::cluster::Endpoint;
use tlsboot_engine::cluster::client::{Credentials, client};
use tlsboot_engine::observe::csr::csr_event;
use tlsboot_engine::pki::RequestBuilder;
use tlsboot_engine::secret::Secret as Hidden;
use tlsboot_field::bootstrap::{create, csr};
use tlsboot_field::connection::Connection;
use tlsboot_field::doctor::diagnose::{approves, unsignable};
use tlsboot_field::doctor::look::{look, review};
use tlsboot_field::doctor::people::STRANGER;
use tlsboot_field::doctor::rights::{Ability, Grant, Permission, abilities, groups_of};
use tlsboot_field::doctor::token::token;
use tlsboot_field::owned::RunId;
use tokio::time::Instant;

/// Enough for a minute.
const TRIES: usize = 120;
const SEED: u64 = 18;
const WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
const AT_A_TIME: usize = 8;
const SYSTEM: &str = "kube-system";

/// What both were shown, and where they disagreed.
#[derive(Default)]
struct Tally {
    tries: usize,
    disagreements: Vec<String>,
}

/// Asks both about everything.
pub(crate) async fn agree(connection: &Connection, endpoint: &Endpoint, version: Version) -> Result<(), Failed> {
    let from_environment = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let tries = from_environment("TLSBOOT_TRIES").map_or(TRIES, |tries| usize::try_from(tries).unwrap_or(TRIES));
    let mut dice = Dice(from_environment("TLSBOOT_SEED").unwrap_or(SEED));
    let lab = Differential { connection, endpoint, version };
    let mut report = Vec::new();
    for (what, tally) in [
        ("bootstrap tokens", lab.tokens(&mut dice, tries).await?),
        ("bindings", lab.bindings(&mut dice, tries).await?),
        ("CSRs", lab.csrs(&mut dice, tries).await?),
    ] {
        println!("{what}: {} tries, {} disagreements", tally.tries, tally.disagreements.len());
        report.extend(tally.disagreements.into_iter().take(10).map(|line| format!("{what}: {line}")));
    }
    if report.is_empty() { Ok(()) } else { Err(report.join("\n").into()) }
}

/// SplitMix64: the same numbers for the same seed, on every machine.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % count as u64).unwrap_or_default()
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// True once in so many times.
    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn some<'a, T>(&mut self, from: &'a [T], at_most: usize) -> Vec<&'a T> {
        (0..self.below(at_most + 1)).map(|_| self.pick(from)).collect()
    }

    fn letters(&mut self, count: usize) -> String {
        let letters: Vec<char> = ('a'..='z').chain('0'..='9').collect();
        (0..count).map(|_| *self.pick(&letters)).collect()
    }
}

struct Differential<'a> {
    connection: &'a Connection,
    endpoint: &'a Endpoint,
    version: Version,
}

// --- bootstrap tokens -------------------------------------------------------------------------------------------------

/// A Secret, and the token that a kubelet would send.
struct OddToken {
    secret: Secret,
    sent: String,
    is_deleted: bool,
}

fn odd_token(dice: &mut Dice) -> OddToken {
    let (id, value) = (dice.letters(6), dice.letters(16));
    let hours =
        |hours: i64| (Timestamp::now() + SignedDuration::from_hours(hours)).strftime("%Y-%m-%dT%H:%M:%S").to_string();
    let (later, before) = (hours(48), hours(-48));
    let mut sent = format!("{id}.{value}");
    let mut data = BTreeMap::from([
        ("token-id", id.clone()),
        ("token-secret", value.clone()),
        ("usage-bootstrap-authentication", "true".to_owned()),
    ]);
    if !dice.one_in(3) {
        let zone = [
            "Z", "+01:00", "-23:59", "+24:60", "+25:00", "+00:61", "z", "", "+0100", " Z", "Z ", "Z\n", "[UTC]",
            "+1:00",
        ];
        let fraction = ["", "", "", ".5", ",5", ".", ".123456789012", ".5x"];
        let time = match dice.below(12) {
            0 => String::new(),
            1 => "tomorrow".to_owned(),
            2 => later.replace('T', " "),
            3 => later.replace('T', "t"),
            4 => format!("{}T5:04:05", &later[..10]),
            5 => format!("{}T24:00:00", &later[..10]),
            6 => format!("{}T23:59:60", &later[..10]),
            7 => later[..16].to_owned(),
            8 => "2031-02-29T00:00:00".to_owned(),
            9 => "9999-12-31T23:59:59".to_owned(),
            10 => before,
            _ => later,
        };
        let zone = if time.is_empty() || dice.one_in(2) { "Z" } else { dice.pick(&zone) };
        let fraction = dice.pick(&fraction);
        data.insert("expiration", if time.is_empty() { time } else { format!("{time}{fraction}{zone}") });
    }
    if dice.one_in(2) {
        let groups = [
            "system:bootstrappers:a",
            "system:bootstrappers:kubeadm:default-node-token",
            "system:bootstrappers:a-b:c",
            "system:bootstrappers:9",
            "system:bootstrappers:-a",
            "system:bootstrappers:a:",
            "system:bootstrappers:",
            "system:bootstrappers",
            "system:bootstrappers:A",
            "system:bootstrappers:a_b",
            "system:bootstrappers:a.b",
            "system:bootstrappers:ä",
            "system:nodes",
            "system:masters",
            "",
        ];
        let good = &groups[..5];
        let from = if dice.one_in(2) { good } else { &groups };
        let (first, second) = (*dice.pick(from), *dice.pick(from));
        let long = format!("system:bootstrappers:{}", "a".repeat(255 + dice.below(4)));
        let joined = match dice.below(8) {
            0 => format!("{first},{second}"),
            1 => format!("{first}, {second}"),
            2 => format!("{first}\n"),
            3 => format!("{first},"),
            4 => format!(" {first}"),
            5 => long,
            _ => first.to_owned(),
        };
        data.insert("auth-extra-groups", joined);
    }
    match dice.below(18) {
        0 => drop(data.insert("token-secret", format!("{value}\n"))),
        1 => drop(data.insert("token-id", format!("{id}\n"))),
        2 => drop(data.insert("token-id", "zzzzzz".into())),
        3 => {
            let shouting = value.to_uppercase();
            sent = format!("{id}.{shouting}");
            data.insert("token-secret", shouting);
        }
        4 => {
            sent = format!("{id}.{value}0");
            data.insert("token-secret", format!("{value}0"));
        }
        5 => drop(data.remove("token-secret")),
        6 => drop(data.remove("token-id")),
        7 => drop(data.remove("usage-bootstrap-authentication")),
        8 => drop(data.insert(
            "usage-bootstrap-authentication",
            dice.pick(&["false", "True", "true\n", "yes", "1", ""]).to_string(),
        )),
        9 => drop(data.insert("usage-bootstrap-signing", dice.pick(&["true", "false"]).to_string())),
        10 => {
            data.insert("usage-bootstrap-signing", "true".into());
            data.insert("usage-bootstrap-authentication", dice.pick(&["false", "true\n", ""]).to_string());
        }
        11 => drop(data.insert("description", "\n\u{0}odd".into())),
        _ => {}
    }
    let is_deleted = dice.one_in(25);
    let secret = json!({
        "metadata": {"name": format!("bootstrap-token-{id}"), "finalizers": if is_deleted { json!(["tlsboot.test/kept"]) } else { json!([]) }},
        "type": "bootstrap.kubernetes.io/token",
        "stringData": data,
    });
    OddToken { secret: serde_json::from_value(secret).unwrap_or_default(), sent, is_deleted }
}

impl Differential<'_> {
    async fn tokens(&self, dice: &mut Dice, tries: usize) -> Result<Tally, Failed> {
        let api = Api::<Secret>::namespaced(self.connection.client(), SYSTEM);
        let mut odd: Vec<OddToken> = (0..tries).map(|_| odd_token(dice)).collect();
        for one in &odd {
            api.create(&PostParams::default(), &one.secret).await?;
            if one.is_deleted {
                api.delete(&one.secret.name_any(), &DeleteParams::default()).await?;
            }
        }
        // The API server's informer keeps the order: once it knows the last one, it knows them all.
        let (id, value) = (dice.letters(6), dice.letters(16));
        let last = json!({
            "metadata": {"name": format!("bootstrap-token-{id}")},
            "type": "bootstrap.kubernetes.io/token",
            "stringData": {"token-id": id, "token-secret": value, "usage-bootstrap-authentication": "true"},
        });
        api.create(&PostParams::default(), &serde_json::from_value(last)?).await?;
        let deadline = Instant::now() + WITHIN;
        while self.identity(&format!("{id}.{value}")).await?.is_none() {
            if Instant::now() > deadline {
                return Err("a good token is not accepted".into());
            }
            tokio::time::sleep(POLL).await;
        }
        let mut tally = Tally::default();
        while !odd.is_empty() {
            let some: Vec<OddToken> = odd.drain(..odd.len().min(AT_A_TIME)).collect();
            let answers = stream::iter(some).map(|one| async move {
                let answer = self.identity(&one.sent).await?;
                Ok::<_, Failed>((one, answer))
            });
            let answers: Vec<_> = answers.buffered(AT_A_TIME).try_collect().await?;
            for (one, answer) in answers {
                let name = one.secret.name_any();
                let stored = api.get(&name).await?;
                let facts = token(&stored);
                let mut groups: BTreeSet<String> = facts.groups.iter().cloned().collect();
                groups.insert("system:authenticated".into());
                let said = facts.is_usable(Timestamp::now()).then_some(groups);
                tally.tries += 1;
                if said != answer {
                    let data = one.secret.string_data.clone().unwrap_or_default();
                    tally
                        .disagreements
                        .push(format!("doctor {said:?} ({:?}), API server {answer:?}: {data:?}", facts.defect));
                }
            }
        }
        for secret in api.list(&ListParams::default().fields("type=bootstrap.kubernetes.io/token")).await?.items {
            if secret.metadata.finalizers.is_some_and(|finalizers| !finalizers.is_empty()) {
                let free = kube::api::Patch::Merge(json!({"metadata": {"finalizers": null}}));
                api.patch(secret.metadata.name.as_deref().unwrap_or_default(), &Default::default(), &free).await?;
            }
        }
        Ok(tally)
    }

    /// The groups that a token gives; none for 401.
    async fn identity(&self, token: &str) -> Result<Option<BTreeSet<String>>, Failed> {
        let client = client(self.endpoint, &Credentials::Token(Hidden::new(token.to_owned()))).await?;
        let answer =
            Api::<SelfSubjectReview>::all(client).create(&PostParams::default(), &SelfSubjectReview::default()).await;
        match answer {
            Ok(review) => {
                let user = review.status.and_then(|status| status.user_info).unwrap_or_default();
                Ok(Some(user.groups.unwrap_or_default().into_iter().collect()))
            }
            Err(kube::Error::Api(status)) if status.code == 401 => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

// --- bindings ---------------------------------------------------------------------------------------------------------

fn odd_rule(dice: &mut Dice) -> Value {
    let groups = ["certificates.k8s.io", "", "*", "rbac.authorization.k8s.io"];
    let resources = [
        "certificatesigningrequests",
        "certificatesigningrequests/nodeclient",
        "certificatesigningrequests/selfnodeclient",
        "certificatesigningrequests/approval",
        "certificatesigningrequests/*",
        "*/nodeclient",
        "*/approval",
        "signers",
        "secrets",
        "*",
        "*/*",
    ];
    let verbs = ["create", "get", "list", "watch", "update", "patch", "approve", "sign", "*", "CREATE"];
    let names = [
        "kubernetes.io/kube-apiserver-client-kubelet",
        "kubernetes.io/kubelet-serving",
        "kubernetes.io/*",
        "example.com/*",
        "*",
        "csr-x",
        "",
    ];
    let mut list = |from: &[&str], at_most| {
        let mut some: Vec<String> = dice.some(from, at_most).into_iter().map(|item| (*item).to_owned()).collect();
        some.push((*dice.pick(from)).to_owned());
        some
    };
    let (groups, resources, verbs) = (list(&groups, 1), list(&resources, 2), list(&verbs, 3));
    let names = if dice.one_in(3) { list_of(dice, &names) } else { Vec::new() };
    json!({"apiGroups": groups, "resources": resources, "verbs": verbs, "resourceNames": names})
}

fn list_of(dice: &mut Dice, from: &[&str]) -> Vec<String> {
    let some = dice.some(from, 3);
    some.into_iter().map(|item| (*item).to_owned()).collect()
}

fn odd_subject(dice: &mut Dice, index: usize) -> Value {
    let api_group = "rbac.authorization.k8s.io";
    let account = format!("a{index}");
    match dice.below(6) {
        0 => json!({"apiGroup": api_group, "kind": "User", "name": format!("user-{index}")}),
        1 => json!({"apiGroup": api_group, "kind": "User", "name": format!("system:serviceaccount:infra:{account}")}),
        2 => json!({"apiGroup": api_group, "kind": "Group", "name": format!("system:bootstrappers:g{index}")}),
        3 => json!({"apiGroup": api_group, "kind": "Group", "name": format!("system:serviceaccounts:ns{index}")}),
        _ => json!({"kind": "ServiceAccount", "name": account, "namespace": "infra"}),
    }
}

impl Differential<'_> {
    async fn bindings(&self, dice: &mut Dice, tries: usize) -> Result<Tally, Failed> {
        let client = self.connection.client();
        let (wide, narrow) = (Api::<ClusterRole>::all(client.clone()), Api::<ClusterRoleBinding>::all(client.clone()));
        let mut subjects: Vec<Value> = Vec::new();
        for index in 0..tries {
            // Now and then a subject has several bindings.
            let subject = match subjects.last() {
                Some(last) if dice.one_in(3) => last.clone(),
                _ => odd_subject(dice, index),
            };
            let rules: Vec<Value> = (0..=dice.below(3)).map(|_| odd_rule(dice)).collect();
            let namespace = match dice.below(6) {
                0 => Some(SYSTEM),
                1 => Some("default"),
                _ => None,
            };
            let name = format!("tlsboot-odd-{index}");
            let local = namespace.is_some() && dice.one_in(2);
            let role = match dice.below(10) {
                // The controller fills it.
                0 if !local => {
                    let part =
                        json!({"metadata": {"name": format!("{name}-part"), "labels": {"odd": name}}, "rules": rules});
                    wide.create(&PostParams::default(), &serde_json::from_value(part)?).await?;
                    json!({"metadata": {"name": name}, "rules": null, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"odd": name}}]}})
                }
                _ => json!({"metadata": {"name": name}, "rules": rules}),
            };
            let is_missing = dice.one_in(20);
            if local {
                let api = Api::<LocalRole>::namespaced(client.clone(), namespace.unwrap_or(SYSTEM));
                if !is_missing {
                    api.create(&PostParams::default(), &serde_json::from_value(role)?).await?;
                }
            } else if !is_missing {
                wide.create(&PostParams::default(), &serde_json::from_value(role)?).await?;
            }
            let kind = if local { "Role" } else { "ClusterRole" };
            let reference = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name});
            let binding = json!({"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]});
            match namespace {
                Some(namespace) => {
                    let api = Api::<RoleBinding>::namespaced(client.clone(), namespace);
                    api.create(&PostParams::default(), &serde_json::from_value(binding)?).await?;
                }
                None => {
                    narrow.create(&PostParams::default(), &serde_json::from_value(binding)?).await?;
                }
            }
            subjects.push(subject);
        }
        self.settled().await?;
        let snapshot = look(self.connection).await?;
        let grants = snapshot.grants.get().ok_or("the bindings may not be read")?;
        let mut tally = Tally::default();
        let names: BTreeSet<String> = subjects.iter().map(Value::to_string).collect();
        let asked = stream::iter(names).map(|subject| self.compared(subject, grants));
        let answers: Vec<(String, BTreeSet<Ability>, BTreeSet<Ability>)> =
            asked.buffered(AT_A_TIME).try_collect().await?;
        for (subject, said, answer) in answers {
            tally.tries += 1;
            if said != answer {
                tally.disagreements.push(format!("doctor {said:?}, API server {answer:?}: {subject}"));
            }
        }
        // More tries than subjects: several bindings are one question.
        tally.tries = tally.tries.max(subjects.len());
        self.forget().await?;
        Ok(tally)
    }

    async fn compared(
        &self,
        subject: String,
        grants: &[Grant],
    ) -> Result<(String, BTreeSet<Ability>, BTreeSet<Ability>), Failed> {
        let parsed: Value = serde_json::from_str(&subject)?;
        let text = |key: &str| parsed[key].as_str().unwrap_or_default().to_owned();
        let (user, groups) = match text("kind").as_str() {
            "Group" => {
                let name = text("name");
                (STRANGER.to_owned(), vec![name, "system:authenticated".to_owned()])
            }
            "ServiceAccount" => {
                let user = format!("system:serviceaccount:{}:{}", text("namespace"), text("name"));
                (user.clone(), groups_of(&user))
            }
            _ => (text("name"), groups_of(&text("name"))),
        };
        let said = abilities(grants, &user, &groups);
        let api = Api::<SubjectAccessReview>::all(self.connection.client());
        let mut allowed = BTreeSet::new();
        for permission in Permission::ALL {
            let answer = api.create(&PostParams::default(), &review(&user, &groups, permission)).await?;
            if answer.status.is_some_and(|status| status.allowed) {
                allowed.insert(permission);
            }
        }
        Ok((subject, said, Ability::of(&allowed)))
    }

    /// The authorizer's informers know everything, and the aggregated roles are filled.
    async fn settled(&self) -> Result<(), Failed> {
        let client = self.connection.client();
        let rules = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}]);
        let part = json!({"metadata": {"name": "tlsboot-odd-last-part", "labels": {"odd": "last"}}, "rules": rules});
        let role = json!({"metadata": {"name": "tlsboot-odd-last"}, "rules": null, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"odd": "last"}}]}});
        let binding = json!({
            "metadata": {"name": "tlsboot-odd-last"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "tlsboot-odd-last"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "the-last"}],
        });
        let roles = Api::<ClusterRole>::all(client.clone());
        roles.create(&PostParams::default(), &serde_json::from_value(part)?).await?;
        roles.create(&PostParams::default(), &serde_json::from_value(role)?).await?;
        let bindings = Api::<ClusterRoleBinding>::all(client.clone());
        bindings.create(&PostParams::default(), &serde_json::from_value(binding)?).await?;
        let deadline = Instant::now() + WITHIN;
        let question = review("the-last", &groups_of("the-last"), Permission::ListSecrets);
        loop {
            let filled = roles.list(&ListParams::default()).await?.items.iter().all(|role| {
                role.aggregation_rule.is_none() || !role.name_any().starts_with("tlsboot-odd") || role.rules.is_some()
            });
            let answer =
                Api::<SubjectAccessReview>::all(client.clone()).create(&PostParams::default(), &question).await?;
            if filled && answer.status.is_some_and(|status| status.allowed) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err("the last binding has no effect".into());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn forget(&self) -> Result<(), Failed> {
        let client = self.connection.client();
        let bindings = Api::<ClusterRoleBinding>::all(client.clone());
        for binding in bindings.list(&ListParams::default()).await?.items {
            if binding.name_any().starts_with("tlsboot-odd") {
                bindings.delete(&binding.name_any(), &DeleteParams::default()).await?;
            }
        }
        for namespace in [SYSTEM, "default"] {
            let bindings = Api::<RoleBinding>::namespaced(client.clone(), namespace);
            for binding in bindings.list(&ListParams::default()).await?.items {
                if binding.name_any().starts_with("tlsboot-odd") {
                    bindings.delete(&binding.name_any(), &DeleteParams::default()).await?;
                }
            }
        }
        Ok(())
    }
}

// --- CSRs -------------------------------------------------------------------------------------------------------------

const REQUESTERS: [(&str, &[&str]); 7] = [
    ("system:bootstrap:oddone", &["system:bootstrappers", "system:authenticated"]),
    (
        "system:serviceaccount:infra:bound",
        &["system:serviceaccounts", "system:serviceaccounts:infra", "system:authenticated"],
    ),
    (
        "system:serviceaccount:infra:unbound",
        &["system:serviceaccounts", "system:serviceaccounts:infra", "system:authenticated"],
    ),
    ("system:node:odd-1", &["system:nodes", "system:authenticated"]),
    ("system:node:odd-1", &["system:authenticated"]),
    ("odd-user", &["system:authenticated"]),
    ("odd-admin", &["system:masters", "system:authenticated"]),
];

fn odd_request(dice: &mut Dice, run: &RunId) -> Result<CertificateSigningRequest, Failed> {
    let word = |text: &str| text.to_owned();
    let organizations: [&[&str]; 6] = [
        &["system:nodes"],
        &["system:nodes"],
        &[],
        &["system:nodes", "system:masters"],
        &["system:nodes", "system:nodes"],
        &["System:Nodes"],
    ];
    let names = [
        "system:node:odd-1",
        "system:node:odd-1",
        "system:node:odd-2",
        "system:node:",
        "odd-1",
        "system:nodes:odd-1",
        "",
    ];
    let common_name = *dice.pick(&names);
    let subject = Name {
        common_name: (!common_name.is_empty()).then(|| word(common_name)),
        organizations: dice.pick(&organizations).iter().map(|group| word(group)).collect(),
        other: Vec::new(),
    };
    let alternatives = [
        AltName::Dns(word("odd-1")),
        AltName::Dns(word("ODD-1.")),
        AltName::Dns(word("*.example.com")),
        AltName::Ip([192, 0, 2, 1].into()),
        AltName::Ip("::ffff:192.0.2.1".parse()?),
        AltName::Email(word("a@example.com")),
        AltName::Uri(word("spiffe://example.com/a")),
    ];
    let alternatives: Vec<AltName> = dice.some(&alternatives, 2).into_iter().cloned().collect();
    let signer = *dice.pick(&[
        "kubernetes.io/kube-apiserver-client-kubelet",
        "kubernetes.io/kube-apiserver-client-kubelet",
        "kubernetes.io/kubelet-serving",
        "kubernetes.io/kube-apiserver-client",
        "example.com/odd",
    ]);
    let auth = if signer.ends_with("serving") { "server auth" } else { "client auth" };
    let usages: Vec<String> = match dice.below(9) {
        0 => vec!["key encipherment".into(), auth.into()],
        1 => vec!["digital signature".into(), "client auth".into(), "server auth".into()],
        2 => vec![auth.into()],
        3 => vec!["any".into()],
        4 | 5 => vec!["digital signature".into(), auth.into()],
        6 => vec![auth.into(), "key encipherment".into(), "digital signature".into()],
        7 => vec!["digital signature".into(), "key encipherment".into(), "data encipherment".into(), auth.into()],
        _ => vec!["digital signature".into(), "key encipherment".into(), auth.into()],
    };
    let (pem, _) = RequestBuilder::new(subject).alt_names(alternatives).build()?;
    let mut object = csr(run, pem.into_bytes(), signer, usages, None);
    object.spec.expiration_seconds = dice.one_in(4).then_some(3600);
    Ok(object)
}

impl Differential<'_> {
    async fn csrs(&self, dice: &mut Dice, tries: usize) -> Result<Tally, Failed> {
        let admin = self.connection.client();
        let run = RunId::new();
        for (role, subject) in [
            (
                "system:node-bootstrapper",
                json!({"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "system:authenticated"}),
            ),
            (
                "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
                json!({"kind": "ServiceAccount", "name": "bound", "namespace": "infra"}),
            ),
        ] {
            let name = format!("tlsboot-odd-{}", role.rsplit(':').next().unwrap_or_default());
            let binding = json!({
                "metadata": {"name": name},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                "subjects": [subject],
            });
            Api::<ClusterRoleBinding>::all(admin.clone())
                .create(&PostParams::default(), &serde_json::from_value(binding)?)
                .await?;
        }
        let snapshot = look(self.connection).await?;
        let grants = snapshot.grants.get().ok_or("the bindings may not be read")?;
        let clients: Vec<kube::Client> = REQUESTERS
            .iter()
            .map(|(user, groups)| self.connection.impersonating(user, groups))
            .collect::<Result<_, _>>()?;
        let deadline = Instant::now() + WITHIN;
        let mut names = Vec::new();
        let mut tally = Tally::default();
        while names.len() < tries {
            let index = dice.below(clients.len());
            let object = odd_request(dice, &run)?;
            let answer = create(&clients[index], &object, &PostParams::default()).await?;
            match answer.object {
                Some(name) => names.push(name),
                // The bindings are not known yet, or the API server refuses it: then doctor never sees it.
                None if Instant::now() > deadline && names.is_empty() => return Err(answer.message.into()),
                None => {}
            }
        }
        // Two good ones, one after the other, are handled after all of the others were picked up.
        for _ in 0..2 {
            self.good(&run, &clients[1]).await?;
        }
        let api = Api::<CertificateSigningRequest>::all(admin.clone());
        let mut open = Vec::new();
        for event in self.events(&api, &names).await? {
            let may = abilities(grants, &event.username, &event.groups);
            // The group of administrators is no binding.
            let may =
                if event.groups.iter().any(|group| group == "system:masters") { Ability::ALL.into() } else { may };
            let said = approves(&event, Some(self.version), &may);
            let answer = event.conditions.iter().any(|condition| condition.kind == "Approved");
            tally.tries += 1;
            if said != answer {
                tally
                    .disagreements
                    .push(format!("approved: doctor {said}, kube-controller-manager {answer}: {event:?}"));
            }
            if !answer {
                open.push(event.name);
            }
        }
        for name in &open {
            super::decide(&admin, name, "Approved", "ByTest").await?;
        }
        for _ in 0..2 {
            self.good(&run, &clients[1]).await?;
        }
        let is_kubelets =
            |event: &CsrEvent| [Role::Client, Role::Serving].iter().any(|role| role.signer_name() == event.signer_name);
        for event in self.events(&api, &names).await?.into_iter().filter(is_kubelets) {
            let said = unsignable(&event, Some(self.version)).is_none();
            let answer = !event.certificates.is_empty();
            if said != answer {
                tally.disagreements.push(format!("issued: doctor {said}, kube-controller-manager {answer}: {event:?}"));
            }
        }
        tlsboot_field::owned::remove(&admin, &run).await?;
        self.forget().await?;
        Ok(tally)
    }

    async fn good(&self, run: &RunId, client: &kube::Client) -> Result<(), Failed> {
        let rules = tlsboot_core::check::rules::Rules::new(self.version, self.version);
        tlsboot_field::bootstrap::client_certificate(client, "odd-good", rules, run, WITHIN).await?;
        Ok(())
    }

    async fn events(&self, api: &Api<CertificateSigningRequest>, names: &[String]) -> Result<Vec<CsrEvent>, Failed> {
        let names: BTreeSet<&String> = names.iter().collect();
        let all = api.list(&ListParams::default()).await?.items;
        let events = all.iter().map(|csr| csr_event(csr, Change::Added));
        Ok(events.filter(|event| names.contains(&event.name)).collect())
    }
}
