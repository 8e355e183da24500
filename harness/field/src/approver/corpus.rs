//! The CSRs, and what Kubernetes' own rules say about each (`pkg/controller/certificates/approver/sarapprove.go`,
//! `pkg/apis/certificates/helpers.go`, the admission plugins NodeRestriction and CertificateSubjectRestriction).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::decision::{Decision, Expected};
use super::rule::Rule;
use Decision::{Approve, Deny, Pending, Refused};
use tlsboot_core::check::Role;
use tlsboot_core::check::rules::Rules;
use tlsboot_core::history::event::NODES_GROUP as NODES;
use tlsboot_core::history::facts::Name;
use tlsboot_core::version::Version;
use tlsboot_core::x509::{AltName, node_subject};
use tlsboot_engine::pki::RequestBuilder;

/// Who sends a CSR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum By {
    /// A user with a bootstrap token.
    Bootstrap,
    /// A node with its certificate.
    Node,
    /// A user whose bootstrap token has expired.
    ExpiredToken,
    /// A user with a bootstrap token that the API server does not know.
    UnknownToken,
    /// A user with a node's certificate from another CA.
    ForeignCertificate,
    /// A user without any credentials.
    Anonymous,
    /// A user with the node's name who is not in the group system:nodes.
    NodeWithoutGroup,
    /// The user `system:node:`, whose node has no name.
    NamelessNode,
}

impl By {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Bootstrap => "a bootstrap token",
            Self::Node => "the node",
            Self::ExpiredToken => "an expired token",
            Self::UnknownToken => "an unknown token",
            Self::ForeignCertificate => "a foreign CA's certificate",
            Self::Anonymous => "no credentials",
            Self::NodeWithoutGroup => "a user with the node's name, but not in its group",
            Self::NamelessNode => "the user system:node:",
        }
    }
}

/// The content of `spec.request`.
#[derive(Clone, Debug)]
pub enum Payload {
    /// Generated now, with a new ECDSA P-256 key that is discarded.
    Built(Box<RequestBuilder>),
    /// A fixed text: for keys and signatures that tlsboot itself cannot create. Their keys were discarded.
    Fixed(&'static str),
}

/// One CSR of the corpus.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name, `chapter.words`.
    pub id: &'static str,
    /// Who sends it.
    pub by: By,
    /// What is unusual about it.
    pub what: &'static str,
    /// `spec.request`.
    pub payload: Payload,
    /// `spec.signerName`.
    pub signer: &'static str,
    /// `spec.usages`.
    pub usages: Vec<String>,
    /// `spec.expirationSeconds`.
    pub expiration_seconds: Option<i32>,
    /// What is right: by Kubernetes' own rules, the approver's or the policy's.
    pub expected: Expected,
    /// Whether the policy or the approver's rule promises just that, so that even being stricter is wrong.
    pub stated: bool,
}

/// The nodes that the CSRs are about.
#[derive(Clone, Debug)]
pub struct Subjects {
    /// The node that tlsboot plays.
    pub node: String,
    /// Another node, which is not played.
    pub other: String,
    /// The names that the node's serving certificate may contain.
    pub dns: Vec<String>,
    /// Its addresses.
    pub ips: Vec<IpAddr>,
    /// Another node with its names: one that is there, or else the next one by its name and address. Both may well be inside
    /// what the approver's pattern and prefixes allow, so that they can't hide that it compares nothing.
    pub neighbour: Neighbour,
    /// The address of the Service `kubernetes`.
    pub service: IpAddr,
}

/// Another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its name.
    pub name: String,
    /// Its host names.
    pub dns: Vec<String>,
    /// Its addresses.
    pub ips: Vec<IpAddr>,
}

impl Neighbour {
    /// The one beside: the next number in its name, and the next address.
    pub fn beside(node: &str, ips: &[IpAddr]) -> Self {
        let digits = node.bytes().rev().take_while(u8::is_ascii_digit).count().min(9);
        let (stem, number) = node.split_at(node.len() - digits);
        let name = match number.parse::<u32>() {
            Ok(number) => format!("{stem}{:0digits$}", number + 1),
            Err(_) => format!("{node}-b"),
        };
        let next = |ip: &IpAddr| match ip {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() ^ 1)),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() ^ 1)),
        };
        let ips = match ips {
            [] => vec![[192, 0, 2, 8].into()],
            ips => ips.iter().map(next).collect(),
        };
        Self { dns: vec![name.clone()], name, ips }
    }
}

impl Subjects {
    /// Made-up ones, of the documentation's addresses (RFC 5737).
    pub fn example() -> Self {
        let ips = vec![[192, 0, 2, 7].into()];
        Self {
            node: "worker-7".into(),
            other: "worker-9".into(),
            dns: vec!["worker-7".into()],
            neighbour: Neighbour::beside("worker-7", &ips),
            ips,
            service: [10, 96, 0, 1].into(),
        }
    }
}

const API_CLIENT: &str = "kubernetes.io/kube-apiserver-client";
const LEGACY: &str = "kubernetes.io/legacy-unknown";
const STRANGER: &str = "tlsboot.example.com/unknown";

/// The names of all cases, for policies: they do not depend on the cluster.
pub fn ids() -> Vec<&'static str> {
    let cases = corpus(&Subjects::example(), &Rule::default(), Version::new(1, 37, 0));
    cases.into_iter().map(|case| case.id).collect()
}

/// All cases for a control plane of this version, and for an approver with this rule.
pub fn corpus(subjects: &Subjects, rule: &Rule, version: Version) -> Vec<Case> {
    let corpus = Corpus {
        subjects,
        rule,
        version,
        rules: Rules::new(version, version),
        // Since then NodeRestriction checks the names that nodes request (catalogue N-03).
        restricted: if version.minor >= 31 { Refused } else { Pending },
        // Since 1.24 Go rejects RSA below 1024 bits. Kubernetes is built with it since 1.33; older versions may be.
        tiny_rsa: match version.minor {
            33.. => Expected::one(Refused),
            _ => Expected::either(Refused, Approve),
        },
    };
    let parts = [
        corpus.names(),
        corpus.signers(),
        corpus.alternative_names(),
        corpus.usages(),
        corpus.content(),
        corpus.keys(),
        corpus.renewals(),
        corpus.serving(),
        corpus.serving_names(),
        corpus.identities(),
    ];
    parts.into_iter().flatten().collect()
}

struct Corpus<'a> {
    subjects: &'a Subjects,
    rule: &'a Rule,
    version: Version,
    rules: Rules,
    restricted: Decision,
    tiny_rsa: Expected,
}

impl Corpus<'_> {
    /// A client CSR as a kubelet sends it, with a bootstrap token.
    fn client(&self, id: &'static str, what: &'static str, subject: Name, expected: Decision) -> Case {
        self.case(id, By::Bootstrap, what, RequestBuilder::new(subject), expected)
    }

    fn case(&self, id: &'static str, by: By, what: &'static str, request: RequestBuilder, expected: Decision) -> Case {
        Case {
            id,
            by,
            what,
            payload: Payload::Built(Box::new(request)),
            signer: Role::Client.signer_name(),
            usages: self.rules.usages(Role::Client),
            expiration_seconds: None,
            expected: Expected::one(expected),
            stated: false,
        }
    }

    /// The subject of the node that is not played.
    fn other(&self) -> Name {
        node_subject(&self.subjects.other)
    }

    fn request(&self) -> RequestBuilder {
        RequestBuilder::node(&self.subjects.other)
    }

    /// Kubernetes checks only the prefix: a user that may have a client certificate approved may have one for any name.
    fn names(&self) -> Vec<Case> {
        let named = |name: &str| Name { common_name: Some(name.to_owned()), ..self.other() };
        let of = |organizations: &[&str]| Name {
            organizations: organizations.iter().map(|&name| name.to_owned()).collect(),
            ..self.other()
        };
        let long = format!("system:node:{}", "n".repeat(253));
        vec![
            self.client("name.another-node", "a bootstrapper asks in the name of any node", self.other(), Approve),
            self.client(
                "name.existing-node",
                "a bootstrapper asks in the name of a node that is there, or may be",
                node_subject(&self.subjects.neighbour.name),
                Approve,
            ),
            self.client("name.empty", "the node's name is empty", named("system:node:"), Approve),
            self.client("name.wildcard", "the node's name is an asterisk", named("system:node:*"), Approve),
            self.client(
                "name.upper-case",
                "the node's name is in upper case, which no Node can have",
                named(&format!("system:node:{}", self.subjects.other.to_uppercase())),
                Approve,
            ),
            self.client(
                "name.upper-case-prefix",
                "the prefix is in upper case",
                named(&format!("SYSTEM:NODE:{}", self.subjects.other)),
                Pending,
            ),
            self.client(
                "name.no-prefix",
                "the name lacks the prefix system:node:",
                named(&self.subjects.other),
                Pending,
            ),
            self.client("name.none", "there is no common name", Name { common_name: None, ..self.other() }, Pending),
            self.client(
                "name.line-break",
                "the node's name has a line break in it",
                named("system:node:a\nsystem:admin"),
                Approve,
            ),
            self.client("name.long", "the node's name has 253 characters", named(&long), Approve),
            self.client("name.administrator", "the name is an administrator's", named("kubernetes-admin"), Pending),
            self.client("organization.none", "no organization", of(&[]), Pending),
            self.client(
                "organization.masters",
                "system:masters instead of system:nodes",
                of(&["system:masters"]),
                Pending,
            ),
            self.client(
                "organization.masters-too",
                "system:masters beside system:nodes",
                of(&[NODES, "system:masters"]),
                Pending,
            ),
            self.client("organization.twice", "system:nodes twice", of(&[NODES, NODES]), Pending),
            self.client("organization.upper-case", "System:Nodes", of(&["System:Nodes"]), Pending),
            self.client(
                "organization.unit-too",
                "an additional organizational unit",
                Name { other: vec!["OU=system:masters".into()], ..self.other() },
                Approve,
            ),
        ]
    }

    fn signers(&self) -> Vec<Case> {
        let to =
            |id, what, signer, subject: Name, expected| Case { signer, ..self.client(id, what, subject, expected) };
        let masters = Name { organizations: vec!["system:masters".into()], ..self.other() };
        vec![
            to("signer.api-client", "the signer of all clients", API_CLIENT, self.other(), Pending),
            to(
                "signer.api-client-masters",
                "the signer of all clients, for system:masters",
                API_CLIENT,
                masters,
                Refused,
            ),
            to("signer.legacy", "the legacy signer, which v1 does not accept", LEGACY, self.other(), Refused),
            to("signer.stranger", "an unknown signer", STRANGER, self.other(), Pending),
            to("signer.malformed", "a signer without a domain", "kubelet", self.other(), Refused),
        ]
    }

    fn alternative_names(&self) -> Vec<Case> {
        let with =
            |id, what, name: AltName| self.case(id, By::Bootstrap, what, self.request().alt_names([name]), Pending);
        vec![
            with("client.dns-name", "a client certificate with a DNS name", AltName::Dns(self.subjects.other.clone())),
            with("client.ip-address", "a client certificate with an IP address", AltName::Ip([192, 0, 2, 1].into())),
            with(
                "client.email",
                "a client certificate with an e-mail address",
                AltName::Email("root@example.com".into()),
            ),
            with(
                "client.uri",
                "a client certificate with a URI",
                AltName::Uri("spiffe://cluster.local/ns/kube-system/sa/default".into()),
            ),
        ]
    }

    fn usages(&self) -> Vec<Case> {
        let with = |id, what, usages: &[&str], expected| Case {
            usages: usages.iter().map(|&usage| usage.to_owned()).collect(),
            ..self.client(id, what, self.other(), expected)
        };
        vec![
            with(
                "usages.server-auth-too",
                "client and server authentication",
                &["digital signature", "client auth", "server auth"],
                Pending,
            ),
            with(
                "usages.server-auth",
                "server authentication for the client signer",
                &["digital signature", "server auth"],
                Pending,
            ),
            with(
                "usages.cert-sign",
                "the right to sign certificates",
                &["digital signature", "client auth", "cert sign"],
                Pending,
            ),
            with("usages.any", "any extended usage", &["digital signature", "client auth", "any"], Pending),
            with("usages.too-few", "no digital signature", &["client auth"], Pending),
            with("usages.none", "no usages at all", &[], Refused),
            with(
                "usages.unknown",
                "an unknown usage",
                &["digital signature", "client auth", "world domination"],
                Refused,
            ),
            with("usages.twice", "the same usage twice", &["digital signature", "client auth", "client auth"], Refused),
        ]
    }

    /// Extensions other than alternative names are ignored; the signer omits them (catalogue S-07).
    fn content(&self) -> Vec<Case> {
        let odd = |id, what, request, expected| self.case(id, By::Bootstrap, what, request, expected);
        let fixed =
            |id, what, text| Case { payload: Payload::Fixed(text), ..self.client(id, what, self.other(), Refused) };
        let short = |id, what, seconds, expected| Case {
            expiration_seconds: Some(seconds),
            ..self.client(id, what, self.other(), expected)
        };
        vec![
            odd("content.ca", "requests a CA certificate", self.request().ca(true).usages(&["cert sign"]), Approve),
            odd(
                "content.signature",
                "the signature is wrong: the sender does not prove possession of the key",
                self.request().broken_signature(),
                Refused,
            ),
            fixed("content.garbage", "not PEM", "garbage"),
            fixed(
                "content.certificate",
                "PEM of another kind",
                "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
            ),
            short("content.nine-minutes", "a certificate for 599 s", 599, Refused),
            short("content.century", "a certificate for 68 years", i32::MAX, Approve),
        ]
    }

    /// Kubernetes requires no minimum strength: what Go's x509 can verify is accepted.
    fn keys(&self) -> Vec<Case> {
        let fixed = |id, what, text, expected| Case {
            payload: Payload::Fixed(text),
            ..self.client(id, what, self.other(), expected)
        };
        vec![
            fixed("key.rsa-1024", "an RSA key of 1024 bits", include_str!("requests/rsa-1024.pem"), Approve),
            Case {
                expected: self.tiny_rsa.clone(),
                ..fixed("key.rsa-512", "an RSA key of 512 bits", include_str!("requests/rsa-512.pem"), Refused)
            },
            fixed("key.ecdsa-p224", "an ECDSA key on P-224", include_str!("requests/ecdsa-p224.pem"), Approve),
            fixed(
                "key.ecdsa-secp256k1",
                "an ECDSA key on a curve that Go does not know",
                include_str!("requests/ecdsa-secp256k1.pem"),
                Refused,
            ),
            fixed("key.ed25519", "an Ed25519 key", include_str!("requests/ed25519.pem"), Approve),
            fixed("key.ed448", "an Ed448 key", include_str!("requests/ed448.pem"), Refused),
            fixed("key.sha1", "signed with SHA-1", include_str!("requests/rsa-sha1.pem"), Approve),
            fixed("key.md5", "signed with MD5", include_str!("requests/rsa-md5.pem"), Refused),
        ]
    }

    fn renewals(&self) -> Vec<Case> {
        let as_node =
            |id, what, subject: Name, expected| Case { by: By::Node, ..self.client(id, what, subject, expected) };
        let named = |name: String| Name { common_name: Some(name), ..self.other() };
        vec![
            as_node("renewal.another-node", "a node requests another node's name", self.other(), self.restricted),
            as_node(
                "renewal.upper-case",
                "a node requests its own name in upper case",
                named(format!("system:node:{}", self.subjects.node.to_uppercase())),
                self.restricted,
            ),
            as_node("renewal.empty", "a node requests an empty name", named("system:node:".into()), self.restricted),
            as_node(
                "renewal.administrator",
                "a node requests an administrator's name",
                named("kubernetes-admin".into()),
                self.restricted,
            ),
            Case {
                signer: API_CLIENT,
                ..as_node(
                    "renewal.api-client",
                    "a node uses the signer of all clients",
                    node_subject(&self.subjects.node),
                    Pending,
                )
            },
        ]
    }

    fn serving_case(&self, id: &'static str, what: &'static str, request: RequestBuilder) -> Case {
        Case {
            signer: Role::Serving.signer_name(),
            usages: self.rules.usages(Role::Serving),
            expected: self.rule.rejected(),
            ..self.case(id, By::Node, what, request, Pending)
        }
    }

    /// A serving CSR that a kubelet may send, which an approver of serving CSRs must approve.
    fn good(&self, case: Case) -> Case {
        match self.rule.serving {
            Some(true) => Case { expected: Expected::one(Approve), stated: true, ..case },
            _ => harmless(case),
        }
    }

    /// What is the node's own: one address of documentation where the policy says nothing.
    fn rightful(&self) -> Vec<AltName> {
        let names = self.subjects.dns.iter().cloned().map(AltName::Dns);
        names.chain(self.subjects.ips.iter().copied().map(AltName::Ip)).collect()
    }

    fn mine(&self) -> RequestBuilder {
        RequestBuilder::node(&self.subjects.node).alt_names(self.rightful())
    }

    /// Kubernetes itself approves no serving CSRs (catalogue P-06).
    fn serving(&self) -> Vec<Case> {
        let serving = |id, what, request| self.serving_case(id, what, request);
        let longest = self.rule.longest_expiration_seconds;
        let organized = |organizations: &[&str]| {
            let subject = Name {
                organizations: organizations.iter().map(|&name| name.to_owned()).collect(),
                ..node_subject(&self.subjects.node)
            };
            RequestBuilder::new(subject).alt_names(self.rightful())
        };
        vec![
            self.good(serving("serving.rightful", "a node's serving CSR as it should be", self.mine())),
            self.with_usages(
                "serving.key-encipherment",
                "as kubelets up to 1.26 send it, and with RSA keys",
                &["digital signature", "key encipherment", "server auth"],
                true,
            ),
            // The signer takes it since 1.25.
            self.with_usages(
                "serving.no-key-encipherment",
                "as kubelets from 1.27 on send it",
                &["digital signature", "server auth"],
                self.version.minor >= 25,
            ),
            self.with_usages("serving.too-few-usages", "no digital signature", &["server auth"], false),
            self.with_usages(
                "serving.client-auth-too",
                "server and client authentication",
                &["digital signature", "server auth", "client auth"],
                false,
            ),
            Case {
                usages: self.rules.usages(Role::Client),
                ..serving("serving.client-auth", "client authentication to the servers' signer", self.mine())
            },
            Case {
                by: By::Bootstrap,
                ..serving("serving.by-bootstrapper", "the requester is not the node", self.mine())
            },
            self.perhaps_refused(Case {
                by: By::NodeWithoutGroup,
                ..serving("serving.without-group", "the requester is not in system:nodes", self.mine())
            }),
            self.perhaps_refused(Case {
                by: By::NamelessNode,
                ..serving(
                    "serving.nameless-node",
                    "a node without a name asks for any names",
                    RequestBuilder::node("").alt_names(self.rightful()),
                )
            }),
            Case {
                expected: if self.restricted == Refused { Expected::one(Refused) } else { self.rule.rejected() },
                ..serving(
                    "serving.another-node",
                    "a node requests another node's serving certificate",
                    self.request().alt_names(self.rightful()),
                )
            },
            serving("serving.masters-too", "system:masters beside system:nodes", organized(&[NODES, "system:masters"])),
            serving("serving.no-organization", "no organization", organized(&[])),
            harmless(serving("serving.ca", "asks to be a CA", self.mine().ca(true))),
            serving("serving.no-names", "no names at all", RequestBuilder::node(&self.subjects.node)),
            self.lasting("serving.longest", "as long a life as the rule allows", longest.unwrap_or(i32::MAX), true),
            self.lasting(
                "serving.too-long",
                "a longer life than the rule allows",
                longest.map_or(i32::MAX, |longest| longest + 1),
                longest.is_none(),
            ),
        ]
    }

    fn with_usages(&self, id: &'static str, what: &'static str, usages: &[&str], good: bool) -> Case {
        let usages = usages.iter().map(|&usage| usage.to_owned()).collect();
        let case = Case { usages, ..self.serving_case(id, what, self.mine()) };
        if good { self.good(case) } else { case }
    }

    fn lasting(&self, id: &'static str, what: &'static str, seconds: i32, good: bool) -> Case {
        let case = Case { expiration_seconds: Some(seconds), ..self.serving_case(id, what, self.mine()) };
        match (good, self.rule.longest_expiration_seconds) {
            (true, Some(_)) => self.good(case),
            (true, None) => harmless(case),
            (false, _) => case,
        }
    }

    /// Who may ask is the API server's to say.
    fn perhaps_refused(&self, case: Case) -> Case {
        Case { expected: case.expected.or(Refused), ..case }
    }

    /// A sample may hide another: an approver that counts names, or knows its own, refuses the foreign ones for that. So
    /// they come beside the node's own, alone, and as another node's whole identity.
    fn serving_names(&self) -> Vec<Case> {
        let Subjects { node, dns: own, ips: addresses, neighbour, .. } = self.subjects;
        let alone =
            |id, what, names: Vec<AltName>| self.serving_case(id, what, RequestBuilder::node(node).alt_names(names));
        let with = |id, what, names: Vec<AltName>| self.serving_case(id, what, self.mine().alt_names(names));
        let dns = |name: &str| vec![AltName::Dns(name.to_owned())];
        let ip = |ip: IpAddr| vec![AltName::Ip(ip)];
        let mapped = |ip: &IpAddr| match ip {
            IpAddr::V4(v4) => IpAddr::V6(v4.to_ipv6_mapped()),
            v6 => *v6,
        };
        let first = addresses.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)));
        let hundreds = (0..500).map(|number| AltName::Dns(format!("name-{number}.example.com")));
        let identity = || {
            let names = neighbour.dns.iter().cloned().map(AltName::Dns);
            names.chain(neighbour.ips.iter().copied().map(AltName::Ip)).collect::<Vec<_>>()
        };
        let host = neighbour.dns.first().unwrap_or(&neighbour.name);
        let address = neighbour.ips.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 8)));
        let foreign_v6 = "2001:db8::bad".parse().unwrap_or(IpAddr::V6(Ipv6Addr::LOCALHOST));
        let own_name = own.first().unwrap_or(node);
        let most = usize::from(self.rule.most_names.unwrap_or(1));
        let repeated = alone(
            "names.too-many",
            "its own name more often than the rule allows",
            vec![AltName::Dns(own_name.clone()); most + 1],
        );
        vec![
            with("names.foreign-host", "a host name of someone else", dns("www.example.com")),
            alone(
                "names.foreign-host-alone",
                "a host name of someone else, and none of its own",
                dns("www.example.com"),
            ),
            with("names.foreign-address", "an address of someone else", ip([203, 0, 113, 9].into())),
            alone(
                "names.foreign-address-alone",
                "an address of someone else, and none of its own",
                ip([203, 0, 113, 9].into()),
            ),
            with("names.other-node", "the name of another node", dns(host)),
            alone("names.other-node-alone", "the name of another node, and none of its own", dns(host)),
            with("names.other-address", "the address of another node", ip(address)),
            alone("names.other-address-alone", "the address of another node, and none of its own", ip(address)),
            with("names.other-identity", "all names of another node, beside its own", identity()),
            alone("names.other-identity-alone", "all names of another node instead of its own", identity()),
            alone(
                "names.other-address-own-name",
                "its own name with the address of another node",
                [dns(own_name), ip(address)].concat(),
            ),
            with("names.own-prefix", "a host name that begins with its own", dns(&format!("{node}0"))),
            alone("names.own-prefix-alone", "only a host name that begins with its own", dns(&format!("{node}0"))),
            alone(
                "names.own-subdomain-alone",
                "only its own name in a foreign domain",
                dns(&format!("{node}.example.net")),
            ),
            with("names.wildcard", "a wildcard", dns("*.example.com")),
            alone("names.wildcard-alone", "a wildcard, and none of its own names", dns("*.example.com")),
            with("names.all", "an asterisk alone", dns("*")),
            with("names.api-server", "the API server's name", dns("kubernetes.default.svc")),
            alone(
                "names.api-server-alone",
                "the API server's name, and none of its own",
                dns("kubernetes.default.svc"),
            ),
            alone("names.api-server-short", "the API server's short name", dns("kubernetes")),
            alone("names.api-server-long", "the API server's full name", dns("kubernetes.default.svc.cluster.local")),
            alone("names.api-server-address", "the address of the Service kubernetes", ip(self.subjects.service)),
            with("names.localhost", "localhost", dns("localhost")),
            with("names.loopback", "the loopback address", ip(Ipv4Addr::LOCALHOST.into())),
            with("names.unspecified", "the address ::", ip(Ipv6Addr::UNSPECIFIED.into())),
            with("names.ipv6-foreign", "an IPv6 address of someone else", ip(foreign_v6)),
            harmless(with("names.ipv4-in-ipv6", "its own address, written as IPv6 (::ffff:…)", ip(mapped(&first)))),
            harmless(with("names.upper-case", "its own name in upper case", dns(&node.to_uppercase()))),
            harmless(with("names.trailing-dot", "its own name with a dot at the end", dns(&format!("{node}.")))),
            harmless(with("names.empty", "an empty name", dns(""))),
            harmless(alone("names.fewer", "one of its names only", self.rightful().into_iter().take(1).collect())),
            with("names.hundreds", "five hundred names", hundreds.collect()),
            if self.rule.most_names.is_some() { repeated } else { harmless(repeated) },
            with("names.email", "an e-mail address", vec![AltName::Email("root@example.com".into())]),
            with("names.uri", "a URI", vec![AltName::Uri("https://example.com".into())]),
        ]
    }

    fn identities(&self) -> Vec<Case> {
        let by = |id, by, what| self.case(id, by, what, self.request(), Refused);
        vec![
            by("identity.expired-token", By::ExpiredToken, "a token that expired a minute ago"),
            by("identity.unknown-token", By::UnknownToken, "a well-formed but unknown token"),
            by("identity.foreign-certificate", By::ForeignCertificate, "a node's certificate from an unknown CA"),
            by("identity.anonymous", By::Anonymous, "no credentials"),
        ]
    }
}

/// What hurts no one, however it is decided: the certificate has nothing foreign.
fn harmless(case: Case) -> Case {
    Case { expected: Expected::one(Approve).or(Pending).or(Deny), ..case }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use tlsboot_core::x509::read;

    fn cases(minor: u32) -> Vec<Case> {
        corpus(&Subjects::example(), &Rule::default(), Version::new(1, minor, 0))
    }

    #[test]
    fn ids_are_unique_and_each_case_differs() {
        let all = cases(37);
        let names: BTreeSet<&str> = all.iter().map(|case| case.id).collect();
        assert_eq!(names.len(), all.len());
        assert_eq!(ids().len(), all.len());
        assert!(all.len() > 60, "{}", all.len());
    }

    #[test]
    fn what_is_built_can_be_read_and_what_is_fixed_is_what_it_says() {
        for case in cases(37) {
            match case.payload {
                Payload::Built(request) => {
                    let (pem, _) = request.build().unwrap_or_else(|error| panic!("{}: {error}", case.id));
                    let facts = read::request(pem.as_bytes()).unwrap_or_else(|error| panic!("{}: {error}", case.id));
                    assert_eq!(facts.signature_valid, case.id != "content.signature", "{}", case.id);
                }
                Payload::Fixed(text) if case.id.starts_with("key.") => {
                    let facts = read::request(text.as_bytes()).unwrap();
                    assert_eq!(facts.subject, node_subject("tlsboot-odd-key"), "{}", case.id);
                    assert!(!text.contains("PRIVATE"));
                }
                Payload::Fixed(text) => assert!(read::request(text.as_bytes()).is_err()),
            }
        }
        let bits = |text: &str| read::request(text.as_bytes()).unwrap().key.parameters;
        assert_eq!(bits(include_str!("requests/rsa-1024.pem")), "1024");
        assert_eq!(bits(include_str!("requests/ecdsa-p224.pem")), "P-224");
    }

    #[test]
    fn the_cases_follow_from_the_rule() {
        let rule = Rule {
            serving: Some(true),
            most_names: Some(2),
            longest_expiration_seconds: Some(86_400),
            otherwise: Some(Expected::one(Deny)),
            ..Rule::default()
        };
        let cases = corpus(&Subjects::example(), &rule, Version::new(1, 37, 0));
        let of = |id: &str| cases.iter().find(|case| case.id == id).unwrap();
        for good in ["serving.rightful", "serving.key-encipherment", "serving.no-key-encipherment", "serving.longest"] {
            assert_eq!(of(good).expected.to_string(), "approve", "{good}");
        }
        assert_eq!(of("serving.longest").expiration_seconds, Some(86_400));
        assert_eq!(of("serving.too-long").expiration_seconds, Some(86_401));
        for odd in ["serving.too-long", "names.too-many", "names.other-identity-alone", "names.own-prefix-alone"] {
            assert_eq!(of(odd).expected.to_string(), "deny", "{odd}");
        }
        assert!(of("names.upper-case").expected.allows(Approve));
    }

    #[test]
    fn the_neighbour_is_the_next_one() {
        let of = |node: &str| Neighbour::beside(node, &[[192, 0, 2, 7].into()]);
        assert_eq!(of("worker-7").name, "worker-8");
        assert_eq!(of("n099").name, "n100");
        assert_eq!(of("tlsboot-x").name, "tlsboot-x-b");
        assert_eq!(of("worker-7").ips, [IpAddr::from([192, 0, 2, 6])]);
    }

    #[test]
    fn node_restriction_looks_at_names_from_1_31_on() {
        let of = |minor| {
            let all = cases(minor);
            let case = all.into_iter().find(|case| case.id == "renewal.another-node");
            case.unwrap().expected
        };
        assert_eq!(of(30), Expected::one(Pending));
        assert_eq!(of(31), Expected::one(Refused));
    }

    #[test]
    fn the_hostile_ones_are_recognized_as_the_approver_recognizes_them() {
        // What `doctor` knows about the approver's rules and what the corpus expects must agree.
        use crate::doctor::diagnose::unsignable;
        use tlsboot_core::history::event::{Change, CsrEvent};
        for case in cases(37) {
            let Payload::Built(request) = &case.payload else {
                continue;
            };
            if case.by != By::Bootstrap
                || case.signer != Role::Client.signer_name()
                || case.expected == Expected::one(Refused)
            {
                continue;
            }
            let csr = CsrEvent {
                change: Change::Added,
                name: "csr".into(),
                uid: String::new(),
                resource_version: String::new(),
                labels: Default::default(),
                created: jiff::Timestamp::UNIX_EPOCH,
                signer_name: case.signer.into(),
                username: String::new(),
                user_uid: String::new(),
                groups: Vec::new(),
                extra: Default::default(),
                usages: case.usages.clone(),
                expiration_seconds: None,
                request: read::request(request.clone().build().unwrap().0.as_bytes()).unwrap(),
                conditions: Vec::new(),
                certificates: Vec::new(),
            };
            let recognized = unsignable(&csr, Some(Version::new(1, 37, 0))).is_none();
            assert_eq!(recognized, case.expected == Expected::one(Approve), "{}", case.id);
        }
    }
}
