//! A diagnosis on a terminal.

use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};

use super::diagnose::{Diagnosis, Finding, Grade, Life, NodeReport, short};
use super::snapshot::Right;
use tlsboot_core::plain::one_line;
use tlsboot_engine::report::paint::paint;

/// The whole, with colours or without.
pub fn text(diagnosis: &Diagnosis, context: &str, colours: bool) -> String {
    let mut words = Words { text: String::new(), colours };
    words.head(diagnosis, context);
    words.bindings(diagnosis);
    words.signing(diagnosis);
    words.tokens(diagnosis);
    words.nodes(diagnosis);
    words.findings(diagnosis);
    words.unknown(diagnosis);
    words.missing(&diagnosis.missing);
    words.verdict(diagnosis);
    words.text
}

/// Commands for one finding; of 5,000 pending CSRs there are a hundred.
const COMMANDS: usize = 5;

struct Words {
    text: String,
    colours: bool,
}

impl Words {
    fn line(&mut self, text: impl AsRef<str>) {
        self.text.push_str(text.as_ref());
        self.text.push('\n');
    }

    fn paint(&self, code: &str, text: &str) -> String {
        paint(code, text, self.colours)
    }

    fn title(&mut self, title: &str) {
        let title = self.paint("1", title);
        self.line(format!("\n{title}"));
    }

    /// Columns as wide as their widest cell. What is in the cells comes from the cluster.
    fn table(&mut self, rows: &[Vec<String>]) {
        let plain = |row: &Vec<String>| row.iter().map(|cell| one_line(cell)).collect::<Vec<_>>();
        let rows: Vec<Vec<String>> = rows.iter().map(plain).collect();
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        for row in &rows {
            let mut line = String::from(" ");
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(line, " {cell:width$} ");
            }
            self.line(line.trim_end());
        }
    }

    fn head(&mut self, diagnosis: &Diagnosis, context: &str) {
        let version = diagnosis.version.map_or_else(|| "of unknown version".into(), |version| version.to_string());
        self.line(format!(
            "{}  Kubernetes {version}, context {context}, at {}",
            diagnosis.server,
            short(diagnosis.taken),
            context = one_line(context),
        ));
    }

    /// What could not be looked at is not none.
    fn not_known(&mut self, what: &str) {
        self.line(format!("  not known: the right to read {what} is missing (below)"));
    }

    fn bindings(&mut self, diagnosis: &Diagnosis) {
        self.title("BINDINGS");
        let Some(bindings) = &diagnosis.bindings else {
            return self.not_known("roles and bindings");
        };
        let rows: Vec<Vec<String>> = bindings
            .iter()
            .map(|binding| {
                let role = binding.role.rsplit_once(':').map_or("", |(_, last)| last);
                vec![
                    if role.is_empty() { binding.role.clone() } else { role.to_owned() },
                    binding.subject.clone(),
                    format!("by {}", binding.binding),
                ]
            })
            .collect();
        match rows.as_slice() {
            [] => self.line("  none of node-bootstrapper, nodeclient, selfnodeclient"),
            rows => self.table(rows),
        }
    }

    fn signing(&mut self, diagnosis: &Diagnosis) {
        self.title("APPROVED AND SIGNED (CSRs that the API still has)");
        let (Some(approvers), Some(signers)) = (&diagnosis.approvers, &diagnosis.signers) else {
            return self.not_known("CSRs");
        };
        let mut rows: Vec<Vec<String>> = Vec::new();
        for approver in approvers {
            rows.push(vec![
                approver.signer.clone(),
                format!("{} {}", approver.csrs, approver.decision.to_lowercase()),
                format!("by {} ({})", approver.who, approver.reason),
            ]);
        }
        for signer in signers {
            let (shortest, longest) = (span(signer.shortest), span(signer.longest));
            let lives = if shortest == longest { shortest } else { format!("{shortest} to {longest}") };
            rows.push(vec![
                signer.signer.clone(),
                format!("{} signed", signer.certificates),
                format!(
                    "for {lives} from NotBefore ({} from the CSR) to NotAfter, by {}",
                    span(signer.after_request),
                    signer.issuer
                ),
            ]);
        }
        match rows.as_slice() {
            [] => self.line("  none"),
            rows => self.table(rows),
        }
    }

    fn tokens(&mut self, diagnosis: &Diagnosis) {
        self.title("BOOTSTRAP TOKENS");
        let Some(tokens) = &diagnosis.tokens else {
            return self.not_known("Secrets in kube-system");
        };
        let rows: Vec<Vec<String>> = tokens
            .iter()
            .map(|token| {
                let state = match (&token.defect, token.expires) {
                    (None, _) if !token.authenticates => "only for signing cluster-info".into(),
                    (Some(defect), _) => format!("unusable: {defect}"),
                    (None, None) => "never expires".into(),
                    (None, Some(at)) if at <= diagnosis.taken => {
                        format!("has expired at {}", short(at))
                    }
                    (None, Some(at)) => {
                        format!("until {} ({})", short(at), left(at, diagnosis.taken))
                    }
                };
                vec![token.id.clone(), state, token.groups.join(", ")]
            })
            .collect();
        match rows.as_slice() {
            [] => self.line("  none"),
            rows => self.table(rows),
        }
    }

    fn nodes(&mut self, diagnosis: &Diagnosis) {
        self.title("NODES");
        let Some(nodes) = &diagnosis.nodes else {
            return self.not_known("Nodes");
        };
        if nodes.is_empty() {
            return self.line("  none");
        }
        let mut rows = vec![
            ["NAME", "READY", "KUBELET", "CLIENT CERTIFICATE", "RENEWS", "REACHED", "SERVES"]
                .map(String::from)
                .to_vec(),
        ];
        rows.extend(nodes.iter().map(|node| row(node, diagnosis.taken)));
        self.table(&rows);
    }

    fn findings(&mut self, diagnosis: &Diagnosis) {
        self.title("FINDINGS");
        if diagnosis.findings.is_empty() {
            self.line("  none");
        }
        for finding in &diagnosis.findings {
            self.finding(finding);
        }
    }

    fn finding(&mut self, finding: &Finding) {
        let (word, code) = match finding.grade {
            Grade::Broken => ("broken ", "1;31"),
            Grade::Hole => ("hole   ", "1;35"),
            Grade::Warning => ("warning", "33"),
            Grade::Note => ("note   ", "2"),
        };
        let word = self.paint(code, word);
        self.line(format!("  {word} {}", finding.id));
        self.line(format!("          {}", one_line(&finding.says)));
        for remedy in finding.remedies.iter().take(COMMANDS) {
            self.line(format!("          → {}", one_line(&remedy.to_string())));
        }
        if let Some(more @ 1..) = finding.remedies.len().checked_sub(COMMANDS) {
            self.line(format!("          → and {more} more commands: --format json has them all"));
        }
        for look in &finding.look {
            self.line(format!("          see {}", one_line(look)));
        }
    }

    fn unknown(&mut self, diagnosis: &Diagnosis) {
        if diagnosis.unknown.is_empty() {
            return;
        }
        self.title("CAN'T BE KNOWN FROM HERE");
        for unknown in &diagnosis.unknown {
            self.line(format!("  {}", one_line(unknown)));
        }
    }

    fn missing(&mut self, rights: &[Right]) {
        if rights.is_empty() {
            return;
        }
        self.title(
            "RIGHTS THAT ARE MISSING (`kubectl auth whoami` tells for whom; `tlsboot doctor --rbac` has all of them)",
        );
        for (index, right) in rights.iter().enumerate() {
            self.line(format!("  {right}: {}", right.for_what));
            self.line(format!("          → {}", granting(right, index + 1)));
        }
    }

    fn verdict(&mut self, diagnosis: &Diagnosis) {
        let count = |grade| {
            let findings = diagnosis.findings.iter();
            findings.filter(|finding| finding.grade == grade).count()
        };
        let (broken, holes, warnings) = (count(Grade::Broken), count(Grade::Hole), count(Grade::Warning));
        let verdict = if broken + holes > 0 {
            self.paint("1;31", &format!("{broken} broken, {holes} holes, {warnings} warnings"))
        } else if !diagnosis.missing.is_empty() {
            self.paint("33", "nothing wrong was seen, but not everything could be looked at")
        } else {
            self.paint("32", &format!("healthy, {warnings} warnings"))
        };
        self.line(format!("\n{verdict}"));
    }
}

fn row(node: &NodeReport, now: Timestamp) -> Vec<String> {
    let client = node.client.as_ref();
    let serves = match (&node.serving, &node.not_served) {
        (Some(life), _) => serving(life, now),
        (None, why) => why.clone().unwrap_or_default(),
    };
    vec![
        node.name.clone(),
        node.ready.clone().unwrap_or_else(|| "never said".into()),
        node.kubelet.clone(),
        client.map_or_else(|| "unknown".into(), |life| ends(life, now)),
        client.and_then(renews).unwrap_or_else(|| "unknown".into()),
        match &node.reached {
            Some(reached) if reached.code == 200 => "yes".into(),
            Some(_) => "no".into(),
            None => "not tried".into(),
        },
        serves,
    ]
}

fn ends(life: &Life, now: Timestamp) -> String {
    format!("until {} ({})", short(life.not_after), left(life.not_after, now))
}

fn renews(life: &Life) -> Option<String> {
    let time = |at: Timestamp| at.strftime("%m-%d %H:%M:%SZ").to_string();
    Some(format!("{} to {}", time(life.renews_from?), time(life.renews_to?)))
}

fn serving(life: &Life, now: Timestamp) -> String {
    let how = if life.self_signed { "self-signed".to_owned() } else { format!("by {}", life.issuer) };
    format!("{how}, {}, for {}", ends(life, now), life.names.join(", "))
}

/// The time that is left, in the largest unit that says something.
fn left(end: Timestamp, now: Timestamp) -> String {
    let seconds = end.duration_since(now).as_secs();
    if seconds < 0 { format!("{} ago", span(-seconds)) } else { format!("{} left", span(seconds)) }
}

fn span(seconds: i64) -> String {
    let duration = SignedDuration::from_secs(seconds);
    let (days, hours, minutes) = (duration.as_hours() / 24, duration.as_hours(), duration.as_mins());
    if days >= 3 {
        format!("{days} days")
    } else if hours >= 3 {
        format!("{hours}h")
    } else if minutes >= 10 {
        format!("{minutes}m")
    } else if seconds >= 60 {
        format!("{minutes}m{:02}s", seconds % 60)
    } else {
        format!("{seconds}s")
    }
}

/// The commands with which an administrator grants a right.
fn granting(right: &Right, number: usize) -> String {
    let name = format!("tlsboot-doctor-{number}");
    let (role, binding, place) = match &right.namespace {
        Some(namespace) => ("role", "rolebinding", format!(" -n {namespace}")),
        None => ("clusterrole", "clusterrolebinding", String::new()),
    };
    format!(
        "kubectl create {role}{place} {name} --verb={} --resource={} && kubectl create {binding}{place} {name} --{role}={name} --user=WHO",
        right.verb, right.resource
    )
}
