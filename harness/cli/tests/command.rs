//! The command as users see it: exit codes, messages, output. No cluster is started here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rstest::rstest;
use serde_json::Value;
use tempfile::TempDir;

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

fn tlsboot(args: &[&str]) -> Ran {
    tlsboot_in(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")), args)
}

fn tlsboot_in(folder: &Path, args: &[&str]) -> Ran {
    tlsboot_with(folder, &[], args)
}

fn tlsboot_with(folder: &Path, variables: &[(&str, &Path)], args: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tlsboot"));
    let settings = std::env::vars().filter(|(name, _)| name.starts_with("TLSBOOT_"));
    for (name, _) in settings {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    let Output { status, stdout, stderr } =
        command.args(args).current_dir(folder).stdin(Stdio::null()).output().unwrap();
    Ran { code: status.code(), out: String::from_utf8(stdout).unwrap(), err: String::from_utf8(stderr).unwrap() }
}

impl Ran {
    fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.err);
        assert!(self.err.is_empty(), "{}", self.err);
        self.out
    }

    /// A usage error with these words; nothing on standard output, no colors in a pipe.
    fn wrong(self, words: &[&str]) {
        assert_eq!(self.code, Some(2), "{}{}", self.out, self.err);
        assert!(self.out.is_empty(), "{}", self.out);
        assert!(!self.err.contains('\x1b'), "{:?}", self.err);
        for word in words {
            assert!(self.err.contains(word), "no `{word}` in {}", self.err);
        }
    }
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/fixtures/all-kinds")
}

/// A folder with `scenarios/` and these files in it.
fn scenarios(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("scenarios")).unwrap();
    for (name, text) in files {
        fs::write(folder.path().join("scenarios").join(name), text).unwrap();
    }
    folder
}

const GOOD: &str = "\
id: rbac.good
title: A scenario
requirements: [R-01]
profile: slow
nodes: [{name: n1}]
steps:
  - start: {node: n1}
  - expect: {csr: {node: n1}}
";

#[test]
fn a_selector_that_chooses_nothing_is_an_error() {
    tlsboot(&["run", "rbac.missing-bindings"]).wrong(&[
        "`rbac.missing-bindings` selects no scenario",
        "tlsboot list",
        "did you mean `rbac.missing-",
    ]);
    tlsboot(&["run", "@nothing"]).wrong(&["`@nothing` selects no scenario"]);
    tlsboot(&["run", "rotaton.*"]).wrong(&["did you mean `rotation.*`"]);
    tlsboot(&["run", "@rotaton"]).wrong(&["did you mean `@rotation`"]);
    tlsboot(&["run", "T-99"]).wrong(&["the behaviors of this chapter are T-01 to T-"]);
    tlsboot(&["mutants", "signr.*"]).wrong(&["did you mean `signer.*`"]);
    tlsboot(&["explain", "contrl"]).wrong(&["did you mean `control`"]);
    tlsboot(&["run", "--kubernetes", "1.14"]).wrong(&["only of 1.15 to 1.37", "--components DIR"]);
}

/// For errors and for reports alike. Neither goes to a terminal here.
#[rstest]
#[case::pipe(&[], false)]
#[case::forced(&[("CLICOLOR_FORCE", "1")], true)]
#[case::refused(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false)]
#[case::not_refused(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "")], true)]
#[case::dumb(&[("TERM", "dumb"), ("CLICOLOR", "1")], false)]
fn colours_are_decided_in_one_place(#[case] environment: &[(&str, &str)], #[case] colours: bool) {
    let ran = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tlsboot"));
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        command.args(args).envs(environment.iter().copied()).stdin(Stdio::null()).output().unwrap()
    };
    let error = String::from_utf8(ran(&["explain", "no-such-word"]).stderr).unwrap();
    assert_eq!(error.contains('\x1b'), colours, "{error:?}");
    let words = String::from_utf8(ran(&["explain", "csr"]).stdout).unwrap();
    assert_eq!(words.contains('\x1b'), colours, "{words:?}");
}

#[test]
fn a_run_of_zero_scenarios_is_an_error() {
    let empty = scenarios(&[]);
    let empty_folder = ["there is no scenario file (`*.yaml`, `*.yml`) in this folder", "scenarios"];
    tlsboot_in(empty.path(), &["run", "scenarios"]).wrong(&empty_folder);
    tlsboot_in(empty.path(), &["run", "--scenarios", "scenarios"]).wrong(&empty_folder);
    tlsboot_in(empty.path(), &["lint", "elsewhere"]).wrong(&["elsewhere", "No such file or directory"]);
}

#[rstest]
#[case::lint(&["lint", "scenarios"])]
#[case::run(&["run", "--scenarios", "scenarios"])]
#[case::list(&["list", "scenarios"])]
fn all_errors_of_all_files_are_shown_with_line_and_column(#[case] args: &[&str]) {
    let unknown_key = GOOD.replace("nodes:", "node:");
    let unknown_node =
        GOOD.replace("id: rbac.good", "id: rbac.other").replace("csr: {node: n1}", "csr: {node: n1, number: 0}");
    let folder = scenarios(&[
        ("good.yaml", GOOD),
        ("key.yaml", &unknown_key),
        ("meaning.yaml", &unknown_node),
        ("open.yaml", "id: [\n"),
    ]);
    tlsboot_in(folder.path(), args).wrong(&[
        "3 errors in the scenario files",
        "scenarios/key.yaml:5:1",
        "unknown field `node`",
        "scenarios/meaning.yaml:8:5",
        "CSRs are counted from 1",
        "scenarios/open.yaml",
    ]);
}

#[test]
fn lint_counts_what_is_right() {
    let folder = scenarios(&[("good.yaml", GOOD)]);
    assert_eq!(tlsboot_in(folder.path(), &["lint"]).ok(), "1 scenario, no errors\n");
}

#[test]
fn mutants_are_listed_and_wrong_globs_are_not_nothing() {
    let list = tlsboot(&["mutants", "--list", "signer.*"]).ok();
    assert!(list.contains("signer.authority"), "{list}");
    assert!(list.contains("killed by issuance.client-certificate"), "{list}");
    assert!(!list.contains("approver."), "{list}");
    tlsboot(&["mutants", "no-such.*"]).wrong(&["`no-such.*` selects no mutant", "--list"]);
}

#[test]
fn list_shows_every_profile() {
    let folder = scenarios(&[("good.yaml", GOOD)]);
    let list = |args: &[&str]| tlsboot_in(folder.path(), args).ok();
    assert_eq!(list(&["list", "scenarios"]), "rbac.good  A scenario  [slow]\n");
    let added = |args: &[&str]| list(&[&["list", "--scenarios", "scenarios"], args].concat()).contains("rbac.good ");
    assert!(added(&[]) && added(&["R-01"]) && !added(&["--profile", "core"]));
    let json: Value = serde_json::from_str(&list(&["list", "scenarios", "--json"])).unwrap();
    assert_eq!(json[0]["id"], "rbac.good");
    assert_eq!(json[0]["profile"], "slow");
    assert_eq!(json[0]["tags"], serde_json::json!(["rbac"]));
}

#[test]
fn the_catalogue_says_who_shows_what() {
    let folder = scenarios(&[("good.yaml", GOOD)]);
    let list = |args: &[&str]| tlsboot_in(folder.path(), args).ok();
    let text = list(&["list", "scenarios", "--requirements"]);
    assert!(text.ends_with("1 of 147 behaviors are covered\n"), "{text}");
    assert!(text.contains("R: RBAC\n  R-01  The built-in ClusterRole system:node-bootstrapper"));
    assert!(text.contains("and nothing else.\n        rbac.good\n  R-02"));
    let json: Value = serde_json::from_str(&list(&["list", "scenarios", "--requirements", "--json"])).unwrap();
    let find = |id: &str| json.as_array().unwrap().iter().find(|found| found["id"] == id).unwrap().clone();
    assert_eq!(find("R-01")["scenarios"], serde_json::json!(["rbac.good"]));
    assert_eq!(find("R-02")["scenarios"], serde_json::json!([]));
}

#[test]
fn every_scenario_can_be_explained() {
    let list: Value = serde_json::from_str(&tlsboot(&["list", "--json"]).ok()).unwrap();
    for scenario in list.as_array().unwrap().iter().take(5) {
        let text = tlsboot(&["explain", scenario["id"].as_str().unwrap()]).ok();
        assert!(text.contains(scenario["title"].as_str().unwrap()), "{text}");
        assert!(text.contains("   1 ! "), "{text}");
        assert!(text.contains(" ? "), "{text}");
    }
}

#[rstest]
#[case("t-01", &["between 70 % and 90 %", "certificate_manager.go", "shown by"])]
#[case("csr", &["in `expect`, `stays` or `never`", "requestor", "pending | approved | issued"])]
#[case("restart", &["a step", "kube-apiserver | kube-controller-manager"])]
#[case("file", &["in `expect`, `stays` or `never`", "damage.file"])]
#[case("expect", &["a step", "within", "linkSwap", "nodeObject"])]
#[case("never", &["a step", "control", "(required)"])]
#[case("control", &["beside the kind", "positive control"])]
#[case("within", &["at a scenario's head", "beside the kind", "duration"])]
#[case("cluster", &["at a scenario's head", "signingDuration", "bindings"])]
#[case("nodes", &["at a scenario's head", "serverTLSBootstrap"])]
#[case("requestor", &["csr.requestor", "spec.username"])]
#[case("tlsAlert", &["presented.shows: tlsAlert"])]
fn behaviors_and_words_can_be_explained(#[case] id: &str, #[case] words: &[&str]) {
    let text = tlsboot(&["explain", id]).ok();
    for word in words {
        assert!(text.contains(word), "no `{word}` in {text}");
    }
}

#[test]
fn a_new_scenario_lints_and_is_never_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let said = tlsboot_in(folder.path(), &["new", "site.node-labels"]).ok();
    assert!(said.starts_with("scenarios/site/node-labels.yaml\n"), "{said}");
    let lint = tlsboot_in(folder.path(), &["lint", "scenarios"]).ok();
    assert!(lint.contains("1 scenario, no errors"), "{lint}");
    tlsboot_in(folder.path(), &["new", "site.node-labels"]).wrong(&["already exists"]);
    tlsboot_in(folder.path(), &["new", "Node labels"]).wrong(&["`Node labels` is not an id"]);
}

#[test]
fn lint_minds_long_lines_and_titles_and_a_run_does_not() {
    let long = GOOD.replace("title: ", &format!("title: {} ", "word ".repeat(20)));
    let folder = scenarios(&[("good.yaml", &long)]);
    tlsboot_in(folder.path(), &["lint", "scenarios"]).wrong(&["shorten it to 90", "longer than 100 columns"]);
    tlsboot_in(folder.path(), &["list", "scenarios"]).ok();
}

/// The commands' names of before.
#[test]
fn old_names_of_commands_are_still_taken() {
    let out = tlsboot(&["check", fixture().to_str().unwrap()]).ok();
    assert_eq!(out, tlsboot(&["rejudge", fixture().to_str().unwrap()]).ok());
    assert!(tlsboot(&["profile", "--help"]).ok().contains("tlsboot distribution"));
    let help = tlsboot(&["--help"]).ok();
    assert!(help.contains("rejudge") && !help.contains("\n  check "), "{help}");
}

#[test]
fn what_cannot_be_explained_gets_a_list_of_what_can() {
    tlsboot(&["explain", "nonsense"]).wrong(&["`nonsense`", "restart", "csr", "tlsboot list"]);
    tlsboot(&["explain", "rbac.nonsense"]).wrong(&["selects no scenario"]);
}

#[test]
fn the_schema_is_json() {
    let schema: Value = serde_json::from_str(&tlsboot(&["schema"]).ok()).unwrap();
    assert_eq!(schema["title"], "tlsboot scenario");
    let policy = tlsboot(&["schema", "policy"]).ok();
    let policy: Value = serde_json::from_str(&policy).unwrap();
    assert_eq!(policy["title"], "tlsboot approver policy");
}

#[test]
fn the_hostile_csrs_are_listed_without_a_cluster() {
    let list = tlsboot(&["approver", "--list"]).ok();
    let wildcard = list.lines().find(|line| line.starts_with("names.wildcard "));
    assert!(wildcard.unwrap().contains(" pending "), "{list}");
    let json = tlsboot(&["approver", "--list", "--format", "json"]).ok();
    let cases: Vec<Value> = serde_json::from_str(&json).unwrap();
    let wildcard = cases.iter().find(|case| case["id"] == "names.wildcard").unwrap();
    assert_eq!(wildcard["expected"], serde_json::json!(["pending", "deny"]));
    assert_eq!(cases.len(), list.lines().count());
}

#[test]
fn a_policy_changes_what_is_expected_and_its_mistakes_are_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    let list = |text: &str| {
        fs::write(&path, text).unwrap();
        tlsboot(&["approver", "--list", "--policy", path.to_str().unwrap()])
    };
    let denies = list("expect: [{cases: 'names.*', decision: deny}]\n").ok();
    let wildcard = denies.lines().find(|line| line.starts_with("names.wildcard "));
    assert!(wildcard.unwrap().contains(" deny "), "{denies}");
    list("expect:\n  - {cases: 'nome.*', decision: deny}\n").wrong(&["policy.yaml:2:13", "no case is called `nome.*`"]);
}

#[rstest]
#[case("bash", "complete -F _tlsboot")]
#[case("zsh", "#compdef tlsboot")]
#[case("fish", "complete -c tlsboot")]
fn shells_get_completions(#[case] shell: &str, #[case] words: &str) {
    let script = tlsboot(&["completions", shell]).ok();
    assert!(script.contains(words));
    assert!(script.contains("explain"));
}

#[test]
fn a_recorded_history_is_judged_again() {
    let folder = fixture();
    let out = tlsboot(&["rejudge", folder.to_str().unwrap()]).ok();
    assert!(out.starts_with("pass"), "{out}");
}

#[test]
fn a_history_without_its_evidence_does_not_pass() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    tlsboot(&["rejudge", path]).wrong(&["there is no history.jsonl below"]);
    let copy = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let read = |name: &str| fs::read_to_string(fixture().join(name)).unwrap();
    copy("scenario.yaml", &read("scenario.yaml"));
    copy("history.jsonl", &read("history.jsonl").lines().take(20).map(|line| format!("{line}\n")).collect::<String>());
    let cut = tlsboot(&["rejudge", path]);
    assert!(cut.code != Some(0) && !cut.out.contains("pass"), "{}{}", cut.out, cut.err);
    copy("history.jsonl", "{\"seq\":0,");
    tlsboot(&["rejudge", path]).wrong(&["the history does not start with a `begin` event"]);
}

#[test]
fn every_expectation_of_a_history_can_be_turned_red() {
    let out = tlsboot(&["rejudge", "--mutate", fixture().to_str().unwrap()]).ok();
    assert!(out.contains("27 of 27 expectations of 1 histories can fail"), "{out}");
}

/// Judging again says why, as a run does, and that a scenario was changed after its run.
#[test]
fn a_red_history_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str| fs::read_to_string(fixture().join(name)).unwrap();
    let scenario = read("scenario.yaml").replacen("code: 201}, name: asked", "code: 299}, name: asked", 1);
    fs::write(folder.path().join("scenario.yaml"), scenario).unwrap();
    let history = read("history.jsonl");
    let end = history.lines().position(|line| line.contains("\"approve\""));
    let mut history: Vec<String> = history.lines().take(end.unwrap()).map(String::from).collect();
    let mut deadline: Value = serde_json::from_str(&history[history.len() - 1]).unwrap();
    deadline["seq"] = history.len().into();
    deadline["what"] = serde_json::json!({"deadline": {"step": 1}});
    history.push(format!("{deadline}\n"));
    fs::write(folder.path().join("history.jsonl"), history.join("\n")).unwrap();
    let ran = tlsboot(&["rejudge", folder.path().to_str().unwrap()]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    for words in ["fail ", "changed after the run", "299", "scenario.yaml:9"] {
        assert!(ran.out.contains(words), "no `{words}` in {}", ran.out);
    }
}

#[rstest]
#[case(&["run", "--kubernetes", "9.99"], &["no patch release of Kubernetes 9.99", "only of 1.15 to 1.37"])]
#[case(&["run", "--jobs", "0"], &["--jobs", "1 or more"])]
#[case(&["run", "--components", "/nonexistent"], &["/nonexistent", "--components"])]
#[case(&["rejudge", "--mutate", "/nonexistent"], &["/nonexistent"])]
#[case(&["rejudge", "--json", "."], &["--mutate"])]
#[case(&["up", "--kubernetes", "1.37,1.33"], &["one version"])]
#[case(&["up", "--signing-duration", "soon"], &["`soon` is not a duration: write it like `90s`"])]
#[case(&["run", "--kubernetes", "newest"], &["--kubernetes", "newest", "`latest`"])]
#[case(&["run", "--jobs", "0"], &["--jobs"])]
#[case(&["explode"], &["unrecognized subcommand"])]
#[case(&["doctor", "--kubeconfig", "/nowhere/kubeconfig"], &["/nowhere/kubeconfig", "No such file"])]
#[case(&["doctor", "--format", "json"], &["--kubeconfig"])]
#[case(&["probe"], &["--kubeconfig"])]
#[case(&["approver"], &["--kubeconfig"])]
#[case(&["gc", "--kubeconfig", "/nowhere/kubeconfig"], &["/nowhere/kubeconfig"])]
fn a_wrong_command_line_says_what_is_wrong(#[case] args: &[&str], #[case] words: &[&str]) {
    tlsboot(args).wrong(words);
}

#[rstest]
#[case(&["--help"])]
#[case(&["run", "--help"])]
#[case(&["list", "--help"])]
#[case(&["explain", "--help"])]
#[case(&["up", "--help"])]
#[case(&["diff", "--help"])]
#[case(&["merge", "--help"])]
#[case(&["verify", "--help"])]
#[case(&["doctor", "--help"])]
#[case(&["probe", "--help"])]
#[case(&["approver", "--help"])]
fn help_teaches_by_example(#[case] args: &[&str]) {
    let help = tlsboot(args).ok();
    assert!(help.contains("Examples:\n  tlsboot "), "{help}");
}

#[rstest]
#[case(&["list", "--requirements"])]
#[case(&["rejudge", "harness/core/tests/fixtures"])]
fn a_reader_that_has_enough_is_no_error(#[case] args: &[&str]) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tlsboot"))
        .args(args)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.stderr.is_empty(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn gc_removes_only_what_tlsboot_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (temporary, victim) = (path("tmp"), path("victim"));
    fs::create_dir_all(temporary.join("tlsboot-run-notes")).unwrap();
    fs::write(temporary.join("tlsboot-run-notes/thesis"), "x").unwrap();
    fs::create_dir(&victim).unwrap();
    fs::write(victim.join("20000"), "kept").unwrap();
    let gc = || tlsboot_with(folder.path(), &[("TMPDIR", &temporary), ("TLSBOOT_CACHE", &path("cache"))], &["gc"]);

    let said = gc().ok();
    assert!(said.starts_with("nothing was left behind\nnot removed: "), "{said}");
    assert!(said.contains("tlsboot-run-notes: it was not created by a run of this tlsboot"), "{said}");

    let ports = temporary.join(format!("tlsboot-ports-{}", rustix::process::geteuid().as_raw()));
    fs::remove_dir(&ports).unwrap();
    std::os::unix::fs::symlink(&victim, &ports).unwrap();
    let refused = gc();
    assert_eq!(refused.code, Some(3), "{}", refused.out);
    assert!(refused.err.contains("it is not a folder"), "{}", refused.err);
    assert!(temporary.join("tlsboot-run-notes/thesis").exists() && victim.join("20000").exists());
}

#[test]
fn a_name_of_runs_is_no_place_for_a_report() {
    let folder = scenarios(&[("good.yaml", GOOD)]);
    let out = folder.path().join("tlsboot-run-1");
    let variables = [("TMPDIR", folder.path()), ("TLSBOOT_CACHE", folder.path())];
    let args = ["merge", "nowhere", "--out", out.to_str().unwrap()];
    tlsboot_with(folder.path(), &variables, &args).wrong(&["--out", "tlsboot-run-1", "choose another"]);
    assert!(!out.exists());
}

/// The executable alone, in an empty folder, with an empty HOME; as root, which can become another user, as the user 65534.
#[test]
fn the_executable_alone_is_whole() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;

    let folder = tempfile::tempdir().unwrap();
    let open_to_all = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    let executable = folder.path().join("tlsboot");
    fs::copy(env!("CARGO_BIN_EXE_tlsboot"), &executable).unwrap();
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    for path in [folder.path(), &executable, &home] {
        open_to_all(path);
    }
    let alone = |args: &[&str]| {
        let mut command = Command::new(&executable);
        command.args(args).env_clear().env("HOME", &home).current_dir(&home).stdin(Stdio::null());
        if rustix::process::geteuid().is_root() {
            command.uid(65534).gid(65534);
        }
        let Output { status, stdout, stderr } = command.output().unwrap();
        Ran { code: status.code(), out: String::from_utf8(stdout).unwrap(), err: String::from_utf8(stderr).unwrap() }
    };

    for (args, words) in [
        (&["list"][..], &["rotation.short-signing-duration"][..]),
        (&["list", "--requirements"], &["T-01"]),
        (&["list", "--versions"], &["kubernetes"]),
        (&["explain", "T-01"], &["rotation.short-signing-duration"]),
        (&["explain", "csr"], &["signer"]),
        (&["explain", "rotation.short-signing-duration"], &["T-01"]),
        (&["mutants", "--list"], &["rbac"]),
        (&["approver", "--list"], &["serving"]),
        (&["schema"], &["https://json-schema.org"]),
        (&["components", "list"], &[]),
        (&["--version"], &["scenarios ", "sha256 ", "history "]),
    ] {
        let out = alone(args).ok();
        for word in words {
            assert!(out.contains(word), "{args:?}: no `{word}` in {out}");
        }
    }
}

#[test]
fn exported_scenarios_load_and_replace_the_built_in_ones() {
    let folder = tempfile::tempdir().unwrap();
    let my = folder.path().join("my");
    let my = my.to_str().unwrap();
    let said = tlsboot_in(folder.path(), &["scenarios", "export", my]).ok();
    assert!(said.contains("scenarios are in "), "{said}");
    let file = Path::new(my).join("rotation/short-signing-duration.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let mine = text.lines().map(|line| if line.starts_with("title:") { "title: Mine" } else { line });
    fs::write(&file, mine.collect::<Vec<_>>().join("\n") + "\n").unwrap();

    let listed = tlsboot_in(folder.path(), &["list", "--scenarios", my]).ok();
    let built_in = tlsboot_in(folder.path(), &["list"]).ok();
    assert_eq!(listed.lines().count(), built_in.lines().count());
    assert!(listed.contains(" Mine") && !built_in.contains(" Mine"));

    tlsboot_in(folder.path(), &["scenarios", "export", my]).wrong(&["exists already"]);
}
