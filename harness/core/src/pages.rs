//! The reference pages of the book, as Markdown: one for each scenario and each behavior of the catalogue, and the
//! syntax of scenario files. Pure; `tlsboot book` writes them and `ci/book` builds the book with them.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::Value;

use crate::scenario::coverage::{Coverage, coverage};
use crate::scenario::reports::{REPORTS, Report, Shown};
use crate::scenario::requirements::{self, CHAPTERS, Requirement};
use crate::scenario::schema::{Field, Part, Word, schema, text, values, words};
use crate::scenario::{Level, Profile, Scenario, StepWords, describe, differing_settings};
use crate::tables::{cell, row, versions_page};

/// A page of the book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its path below the folder of reference pages: `scenarios/rbac.binding-to-user.md`. Published links depend on it.
    pub path: String,
    /// Its name in the table of contents.
    pub title: String,
    /// Its Markdown.
    pub text: String,
    /// Pages that the table of contents lists below it.
    pub children: Vec<Page>,
}

/// A mutant, for the pages of the scenarios that must kill it.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// Its id.
    pub id: String,
    /// What is wrong.
    pub wrong: String,
    /// Ids of the scenarios that must kill it.
    pub scenarios: Vec<String>,
}

/// All reference pages, in the order of the table of contents.
pub fn pages(scenarios: &[Scenario], mutants: &[Mutant]) -> Vec<Page> {
    let page = |path: &str, title: &str, text: String| Page {
        path: path.into(),
        title: title.into(),
        text,
        children: Vec::new(),
    };
    vec![
        Page { children: behaviors(scenarios), ..page("behaviors.md", "Behaviors", behaviors_index(scenarios)) },
        Page {
            children: scenarios.iter().map(|one| scenario(one, mutants)).collect(),
            ..page("scenarios.md", "Scenarios", scenarios_index(scenarios))
        },
        page("head.md", "The head of a scenario", head()),
        page("stimuli.md", "Stimuli", stimuli(scenarios)),
        page("expectations.md", "Expectations", expectations(scenarios)),
        page("versions.md", "Versions", versions_page(scenarios)),
        page("reports.md", "Reports from the field", reports()),
    ]
}

/// The part of mdBook's `SUMMARY.md` that lists the pages, which are in `folder`.
pub fn summary(pages: &[Page], folder: &str) -> String {
    let mut text = String::new();
    list(pages, folder, 0, &mut text);
    text
}

fn list(pages: &[Page], folder: &str, depth: usize, text: &mut String) {
    for Page { path, title, children, .. } in pages {
        let _ = writeln!(text, "{:indent$}- [{title}]({folder}/{path})", "", indent = 2 * depth);
        list(children, folder, depth + 1, text);
    }
}

// --- behaviors -------------------------------------------------------------------------------------------------------

fn behaviors_index(scenarios: &[Scenario]) -> String {
    let all = coverage(scenarios);
    let covered = all.iter().filter(|one| !one.scenarios.is_empty()).count();
    let mut text = format!(
        "# Behaviors\n\nThe catalogue: what a conforming cluster does. {covered} of {} behaviors are covered by a scenario; \
         the pages of the others give the reason.\n",
        all.len()
    );
    for chapter in CHAPTERS {
        let _ = write!(
            text,
            "\n## {}: {}\n\n| id | level | versions | behavior | scenarios |\n|---|---|---|---|---|\n",
            chapter.letter, chapter.heading
        );
        for one in all.iter().filter(|one| one.requirement.id.starts_with(chapter.letter)) {
            let Requirement { id, level, versions, statement, .. } = one.requirement;
            let link = format!("[{id}](behaviors/{id}.md)");
            text.push_str(&row(&[
                &link,
                level_word(*level),
                or_all(versions),
                statement,
                &one.scenarios.len().to_string(),
            ]));
        }
    }
    text
}

fn behaviors(scenarios: &[Scenario]) -> Vec<Page> {
    coverage(scenarios).iter().map(|one| behavior(one, scenarios)).collect()
}

fn behavior(one: &Coverage<'_>, scenarios: &[Scenario]) -> Page {
    let Requirement { id, level, versions, statement, source } = one.requirement;
    let chapter = CHAPTERS.iter().find(|chapter| id.starts_with(chapter.letter)).map_or("", |chapter| chapter.heading);
    let mut text = format!(
        "# {id}\n\n**{}**\n\n| | |\n|---|---|\n| chapter | {chapter} |\n| level | {} |\n| versions | {} |\n| source | {} |\n\n\
         ## Scenarios that show it\n\n",
        prose(statement),
        level_word(*level),
        cell(or_all(versions)),
        cell(&with_links(source)),
    );
    match (one.scenarios.as_slice(), one.reason) {
        ([], reason) => {
            let _ = writeln!(text, "None: {}.", prose(reason.unwrap_or("it is not covered")));
        }
        (some, _) => {
            for scenario in scenarios.iter().filter(|known| some.contains(&known.id.as_str())) {
                let _ = writeln!(text, "- [{0}](../scenarios/{0}.md): {1}", scenario.id, prose(&scenario.title));
            }
        }
    }
    let _ = write!(text, "\n```sh\ntlsboot run {id}\n```\n");
    Page { path: format!("behaviors/{id}.md"), title: (*id).to_owned(), text, children: Vec::new() }
}

/// Turns the numbers of Kubernetes' pull requests into links.
fn with_links(source: &str) -> String {
    let mut text = String::new();
    let mut rest = source;
    while let Some(start) = rest.find('#') {
        let number = &rest[start + 1..];
        let number = &number[..number.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(number.len())];
        let end = start + 1 + number.len();
        text.push_str(&rest[..start]);
        match number {
            "" => text.push('#'),
            _ => {
                let _ = write!(text, "[#{number}](https://github.com/kubernetes/kubernetes/pull/{number})");
            }
        }
        rest = &rest[end..];
    }
    text + rest
}

// --- scenarios -------------------------------------------------------------------------------------------------------

fn scenarios_index(scenarios: &[Scenario]) -> String {
    let mut text = format!("# Scenarios\n\nAll {} of them, by chapter.\n", scenarios.len());
    let chapter = |scenario: &Scenario| scenario.id.split('.').next().unwrap_or_default().to_owned();
    let chapters: BTreeSet<String> = scenarios.iter().map(chapter).collect();
    for name in chapters {
        let _ = write!(text, "\n## {name}\n\n| id | profile | what it shows |\n|---|---|---|\n");
        for scenario in scenarios.iter().filter(|scenario| chapter(scenario) == name) {
            let link = format!("[{0}](scenarios/{0}.md)", scenario.id);
            text.push_str(&row(&[&link, profile(scenario.profile), &prose(&scenario.title)]));
        }
    }
    text
}

fn scenario(scenario: &Scenario, mutants: &[Mutant]) -> Page {
    let Scenario { id, title, why, .. } = scenario;
    let mut text = format!("# {id}\n\n**{}**\n", prose(title));
    if !why.is_empty() {
        let _ = write!(text, "\n{}\n", prose(why.trim()));
    }
    text.push_str("\n## Behaviors\n\n");
    for id in &scenario.requirements {
        if let Some(Requirement { statement, .. }) = requirements::find(id) {
            let _ = writeln!(text, "- [{id}](../behaviors/{id}.md): {}", prose(statement));
        }
    }
    text.push_str("\n## Where it applies\n\n| | |\n|---|---|\n");
    facts(scenario).iter().for_each(|(name, value)| text.push_str(&row(&[name, value])));
    text.push_str("\n## Steps\n\n");
    for StepWords { is_judged, text: words, fields, .. } in describe(scenario) {
        let fields = if fields.is_empty() { String::new() } else { format!("  \n   {}", code(&fields)) };
        let words = if is_judged { prose(&words) } else { format!("**{}**", prose(&words)) };
        let _ = writeln!(text, "1. {words}{fields}");
    }
    text.push_str("\nSteps in bold are performed. The others are judged, counted from the bold step above them.\n");
    let noticing: Vec<&Mutant> =
        mutants.iter().filter(|mutant| mutant.scenarios.iter().any(|known| known == id)).collect();
    if !noticing.is_empty() {
        text.push_str("\n## Mutants that it must kill\n\n| mutant | what is wrong |\n|---|---|\n");
        for Mutant { id, wrong, .. } in noticing {
            text.push_str(&row(&[&format!("`{id}`"), &prose(wrong)]));
        }
    }
    let _ =
        write!(text, "\n## The file\n\n```yaml\n{}\n```\n\n```sh\ntlsboot run {id}\n```\n", scenario.text.trim_end());
    Page { path: format!("scenarios/{id}.md"), title: id.clone(), text, children: Vec::new() }
}

fn facts(scenario: &Scenario) -> Vec<(&'static str, String)> {
    let versions =
        |range: &Option<crate::version::Versions>| range.as_ref().map_or("all".to_owned(), |range| range.to_string());
    let mut facts = vec![
        ("level", level_word(scenario.level).to_owned()),
        ("profile", profile(scenario.profile).to_owned()),
        ("control plane", versions(&scenario.kubernetes)),
        ("kubelet", versions(&scenario.kubelet)),
    ];
    if !scenario.tags.is_empty() {
        facts.push(("tags", scenario.tags.join(", ")));
    }
    let settings = differing_settings(scenario);
    if !settings.is_empty() {
        facts.push(("cluster", settings));
    }
    facts
}

fn level_word(level: Level) -> &'static str {
    match level {
        Level::Must => "must",
        Level::Should => "should",
        Level::Info => "info",
    }
}

fn profile(profile: Profile) -> &'static str {
    match profile {
        Profile::Core => "core",
        Profile::Full => "full",
        Profile::Slow => "slow",
    }
}

// --- reports ---------------------------------------------------------------------------------------------------------

fn reports() -> String {
    let mut text = String::from(
        "# Reports from the field\n\n\
         What users of Kubernetes and its distributions reported, and what shows it here. More links are on the pages of \
         scenarios.\n\n| report | what happened | what shows it |\n|---|---|---|\n",
    );
    for Report { links, says, shown } in REPORTS {
        let links: Vec<String> = links.iter().map(|link| format!("[{}]({link})", short(link))).collect();
        let shown = match shown {
            Shown::Scenario(id) => format!("[{id}](scenarios/{id}.md)"),
            Shown::Doctor(finding) => format!("`tlsboot doctor`: {finding}"),
            Shown::Nothing(why) => format!("nothing: {}", prose(why)),
        };
        text.push_str(&row(&[&links.join(", "), &prose(says), &shown]));
    }
    text
}

/// `owner/name#12` of a link to GitHub.
fn short(link: &str) -> String {
    let parts: Vec<&str> = link.split('/').collect();
    match parts.as_slice() {
        [.., owner, name, _, number] => format!("{owner}/{name}#{number}"),
        _ => link.to_owned(),
    }
}

// --- the language ----------------------------------------------------------------------------------------------------

/// Parts of a scenario file besides its steps, by their names in the schema, each with a heading.
const HEAD: [(&str, &str); 7] = [
    ("", "The file"),
    ("Cluster", "`cluster`"),
    ("Bindings", "`cluster.bindings`"),
    ("Token", "`tokens`"),
    ("Node", "`nodes`"),
    ("EmbeddedCertificate", "`nodes[].embeddedCertificate`"),
    ("Identity", "Who sends a request"),
];

fn head() -> String {
    let mut page = String::from(
        "# The head of a scenario\n\n\
         Everything above the steps. Fields that are left out have Kubernetes' own defaults, and the cluster has kubeadm's bindings.\n",
    );
    for (name, heading) in HEAD {
        let (doc, fields) = definition(name);
        let _ = write!(page, "\n## {heading}\n\n{}\n\n{}", prose(&doc), table(&fields));
    }
    page
}

/// What the schema says about one of its definitions, with its fields; the empty name is the whole file without its
/// steps.
fn definition(name: &str) -> (String, Vec<Field>) {
    let schema = schema();
    let inner = if name.is_empty() { &schema } else { &schema["$defs"][name] };
    let required = |field: &str| {
        let names = inner["required"].as_array();
        names.is_some_and(|names| names.iter().any(|name| name == field))
    };
    let field = |name: &str, property: &Value, about: &Value| Field {
        name: name.to_owned(),
        required: required(name),
        values: values(&schema, property),
        doc: text(about),
    };
    let properties = inner["properties"].as_object().into_iter().flatten();
    let properties = properties.filter(|(field, _)| !name.is_empty() || *field != "steps");
    let mut fields: Vec<Field> =
        properties.map(|(name, property)| field(name, property, &property["description"])).collect();
    fields.sort_by_key(|field| !field.required);
    // The words of an enum.
    for variant in inner["oneOf"].as_array().into_iter().flatten() {
        let about = &variant["description"];
        if let Some(constant) = variant["const"].as_str() {
            fields.push(Field { values: constant.to_owned(), ..field(constant, &Value::Null, about) });
        }
        for (name, property) in variant["properties"].as_object().into_iter().flatten() {
            fields.push(Field { required: false, ..field(name, property, about) });
        }
    }
    (text(&inner["description"]), fields)
}

fn stimuli(scenarios: &[Scenario]) -> String {
    let mut text = String::from(
        "# Stimuli\n\n\
         What can be done to a cluster. Each is a step, such as `- start: {node: n1}`, and ends with proof that it took effect.\n",
    );
    words().iter().filter(|word| word.part == Part::Stimulus).for_each(|word| text.push_str(&entry(word, scenarios)));
    text
}

fn expectations(scenarios: &[Scenario]) -> String {
    let mut text = String::from(
        "# Expectations\n\n\
         What must follow (`expect`), must become so and stay so (`stays`), or must never follow (`never`). Each step names one of them, such as `- expect: {csr: {node: n1}}`.\n",
    );
    words().iter().filter(|word| word.part == Part::Kind).for_each(|word| text.push_str(&entry(word, scenarios)));
    text
}

fn entry(word: &Word, scenarios: &[Scenario]) -> String {
    let mut text = format!("\n## `{}`\n\n{}\n\n{}", word.name, prose(&word.doc), table(&word.fields));
    let using = scenarios.iter().filter(|scenario| scenario.uses(&word.name, word.part == Part::Kind)).take(3);
    let using: Vec<String> = using.map(|scenario| format!("[{0}](scenarios/{0}.md)", scenario.id)).collect();
    if !using.is_empty() {
        let _ = write!(text, "\nUsed in {}.\n", using.join(", "));
    }
    text
}

fn table(fields: &[Field]) -> String {
    if fields.is_empty() {
        return String::new();
    }
    let mut text = String::from("| field | values | what it means |\n|---|---|---|\n");
    for field in fields {
        let required = if field.required { " (required)" } else { "" };
        text.push_str(&row(&[
            &format!("`{}`{required}", field.name),
            &format!("`{}`", field.values),
            &prose(&field.doc),
        ]));
    }
    text
}

// --- text ------------------------------------------------------------------------------------------------------------

fn or_all(versions: &'static str) -> &'static str {
    if versions.is_empty() { "all" } else { versions }
}

fn code(text: &str) -> String {
    if text.contains('`') { prose(text) } else { format!("`{text}`") }
}

/// A text in which only what is in backticks is markup.
fn prose(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut in_code = false;
    for letter in text.chars() {
        match letter {
            '`' => in_code = !in_code,
            '<' if !in_code => {
                escaped.push_str("&lt;");
                continue;
            }
            '*' | '_' | '[' | ']' if !in_code => escaped.push('\\'),
            _ => {}
        }
        escaped.push(letter);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path, PathBuf};

    use super::*;
    use crate::scenario::load_text;
    use crate::testing::scenarios;

    fn flat(pages: &[Page]) -> Vec<&Page> {
        pages.iter().flat_map(|page| std::iter::once(page).chain(flat(&page.children))).collect()
    }

    #[test]
    fn every_scenario_and_every_behavior_has_a_page() {
        let scenarios = scenarios();
        let pages = pages(&scenarios, &[]);
        let paths: Vec<&str> = flat(&pages).iter().map(|page| page.path.as_str()).collect();
        for scenario in &scenarios {
            assert!(paths.contains(&format!("scenarios/{}.md", scenario.id).as_str()), "{}", scenario.id);
        }
        for requirement in requirements::all() {
            assert!(paths.contains(&format!("behaviors/{}.md", requirement.id).as_str()), "{}", requirement.id);
        }
    }

    #[test]
    fn links_between_pages_lead_to_pages() {
        let pages = pages(&scenarios(), &[]);
        let pages = flat(&pages);
        for page in &pages {
            let targets = page.text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            for target in targets.filter(|target| !target.contains("://")) {
                let path = tidy(&Path::new(&page.path).with_file_name("").join(target));
                assert!(pages.iter().any(|page| Path::new(&page.path) == path), "{} links to {target}", page.path);
            }
        }
    }

    fn tidy(path: &Path) -> PathBuf {
        path.components().fold(PathBuf::new(), |mut tidy, part| {
            match part {
                Component::ParentDir => drop(tidy.pop()),
                other => tidy.push(other),
            }
            tidy
        })
    }

    #[test]
    fn the_summary_lists_pages_below_their_parents() {
        let page = |path: &str, children| Page { path: path.into(), title: path.into(), text: String::new(), children };
        let pages = [page("a.md", vec![page("a/b.md", Vec::new())]), page("c.md", Vec::new())];
        assert_eq!(summary(&pages, "r"), "- [a.md](r/a.md)\n  - [a/b.md](r/a/b.md)\n- [c.md](r/c.md)\n");
    }

    #[test]
    fn a_scenario_is_told_with_its_steps_and_mutants() {
        let text = "id: a.b\ntitle: A <title> with a_word\nwhy: Because of `a_b`.\nrequirements: [R-01]\nnodes: [{name: n1}]\n\
                    steps:\n  - start: {node: n1}\n  - expect: {csr: {node: n1}}\n";
        let mutant = Mutant { id: "x.y".into(), wrong: "Wrong".into(), scenarios: vec!["a.b".into()] };
        let page = scenario(&load_text("a.yaml", text).unwrap(), &[mutant]);
        for part in [
            "# a.b\n",
            "**A &lt;title> with a\\_word**",
            "Because of `a_b`.",
            "[R-01](../behaviors/R-01.md)",
            "| `x.y` | Wrong |",
            text.trim_end(),
        ] {
            assert!(page.text.contains(part), "{part}\n{}", page.text);
        }
    }

    #[test]
    fn the_parts_of_a_head_are_in_the_schema() {
        for (name, heading) in HEAD {
            assert!(!definition(name).1.is_empty(), "{heading}");
        }
    }

    #[test]
    fn numbers_of_pull_requests_are_links() {
        let link = "[#12](https://github.com/kubernetes/kubernetes/pull/12)";
        assert_eq!(with_links("a.go (f); #12, KEP-3"), format!("a.go (f); {link}, KEP-3"));
        assert_eq!(with_links("a # b"), "a # b");
    }
}
