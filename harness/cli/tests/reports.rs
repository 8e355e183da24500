//! Partition, merge, sign and verify as users see them, on recorded evidence. No cluster is started here.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rstest::rstest;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

fn tlsboot(folder: &Path, args: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tlsboot"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TLSBOOT_")) {
        command.env_remove(name);
    }
    let output = command.args(args).current_dir(folder).stdin(Stdio::null()).output().unwrap();
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/fixtures/all-kinds").join(name)
}

/// A run's output folder with the recorded scenario, under a different target name each, as some of several parts.
fn shard(folder: &Path, part: u32, of: u32, outcome: &str) {
    let target = format!("local::1.37.{part}");
    let evidence = format!("local-1.37.{part}/lab.all-kinds");
    let place = folder.join(&evidence);
    fs::create_dir_all(&place).unwrap();
    // The recording is older than the current name of its scenario.
    let scenario = fs::read(fixture("scenario.yaml")).unwrap();
    let mut lines: Vec<String> =
        fs::read_to_string(fixture("history.jsonl")).unwrap().lines().map(str::to_owned).collect();
    let mut begin: Value = serde_json::from_str(&lines[0]).unwrap();
    let head = &mut begin["what"]["begin"];
    head["scenario"] = json!("lab.all-kinds");
    head["scenarioSha256"] = json!(hex::encode(Sha256::digest(&scenario)));
    head["target"] = json!(target);
    lines[0] = begin.to_string();
    let history = lines.join("\n") + "\n";
    fs::write(place.join("history.jsonl"), history).unwrap();
    fs::copy(fixture("scenario.yaml"), place.join("scenario.yaml")).unwrap();
    let checked = tlsboot(folder, &["rejudge", place.to_str().unwrap()]);
    assert_eq!(checked.code, Some(0), "{}{}", checked.out, checked.err);
    let verdict = rejudged(&place, outcome);
    fs::write(place.join("verdict.json"), verdict.to_string()).unwrap();
    let names = ["history.jsonl", "scenario.yaml", "verdict.json"];
    let hashes: serde_json::Map<String, Value> = names
        .iter()
        .map(|name| {
            let bytes = fs::read(place.join(name)).unwrap();
            ((*name).to_owned(), json!(hex::encode(Sha256::digest(bytes))))
        })
        .collect();
    let scenario = fs::read_to_string(fixture("scenario.yaml")).unwrap();
    let scenario = tlsboot_core::scenario::load_text("scenario.yaml", &scenario).unwrap();
    let result = json!({
        "format": 2, "tlsboot": env!("CARGO_PKG_VERSION"), "run": format!("run-{part}"),
        "started": "2026-11-24T04:22:00Z", "durationMs": 100_000, "environment": {"cpus": part.to_string()},
        "components": [], "interrupted": false,
        "shards": [{"whole": "ab".repeat(32), "part": part, "of": of}],
        "scenarios": [{
            "id": "lab.all-kinds", "title": scenario.title, "requirements": scenario.requirements, "level": scenario.level,
            "target": target, "file": "scenarios/lab/all.yaml", "started": "2026-11-24T04:22:00Z", "durationMs": 90_000,
            "verdict": verdict, "evidence": evidence, "hashes": hashes,
        }],
    });
    fs::write(folder.join("result.json"), result.to_string()).unwrap();
}

fn rejudged(place: &Path, outcome: &str) -> Value {
    let again = tlsboot_engine::evidence::EvidenceFolder::open(place).unwrap().rejudge().unwrap();
    let mut verdict = serde_json::to_value(again.verdict).unwrap();
    verdict["outcome"] = json!(outcome);
    verdict
}

/// Parts 1 to 3 of 3, all of them passes.
fn shards() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for part in 1..=3 {
        let place = folder.path().join(format!("shard-{part}"));
        fs::create_dir(&place).unwrap();
        shard(&place, part, 3, "pass");
    }
    folder
}

#[test]
fn parts_are_merged_into_one_report() {
    let folder = shards();
    let merged = tlsboot(folder.path(), &["merge", "shard-3", "shard-1", "shard-2", "--out", "all"]);
    assert_eq!(merged.code, Some(0), "{}{}", merged.out, merged.err);
    assert!(merged.out.contains("3 pass"), "{}", merged.out);
    let all = folder.path().join("all");
    let result: Value = serde_json::from_str(&fs::read_to_string(all.join("result.json")).unwrap()).unwrap();
    assert_eq!(result["scenarios"].as_array().unwrap().len(), 3);
    assert_eq!(result["environment"]["cpus"], "1; 2; 3");
    for name in ["junit.xml", "report.html", "summary.md"] {
        let text = fs::read_to_string(all.join(name)).unwrap();
        for part in 1..=3 {
            assert!(text.contains(&format!("local::1.37.{part}")), "{name}");
        }
    }
    let verified = tlsboot(folder.path(), &["verify", "all"]);
    assert_eq!(verified.code, Some(0), "{}", verified.out);
    assert!(verified.out.contains("Everything matches") && verified.out.contains("it is not signed"));
}

/// Also what is said about invariants is judged again.
#[test]
fn an_invariant_that_looked_at_more_than_there_is_is_found() {
    let folder = shards();
    let place = folder.path().join("shard-1");
    let verdict = place.join("local-1.37.1/lab.all-kinds/verdict.json");
    let change = |verdict: &mut Value| {
        let invariants = verdict["invariants"].as_array_mut().unwrap();
        let held = invariants.iter_mut().find(|one| one["standing"] == "held").unwrap();
        held["looked"] = json!(held["looked"].as_u64().unwrap() + 1000);
    };
    let mut told: Value = serde_json::from_slice(&fs::read(&verdict).unwrap()).unwrap();
    change(&mut told);
    fs::write(&verdict, told.to_string()).unwrap();
    let mut result: Value = serde_json::from_slice(&fs::read(place.join("result.json")).unwrap()).unwrap();
    result["scenarios"][0]["verdict"] = told.clone();
    result["scenarios"][0]["hashes"]["verdict.json"] = json!(hex::encode(Sha256::digest(told.to_string())));
    fs::write(place.join("result.json"), result.to_string()).unwrap();
    let verified = tlsboot(folder.path(), &["verify", "shard-1"]);
    assert_eq!(verified.code, Some(1), "{}", verified.out);
    assert!(
        verified.out.contains("judged again it is pass, and the report says pass, or for another reason"),
        "{}",
        verified.out
    );
}

#[test]
fn a_missing_part_is_an_error_though_the_report_is_written() {
    let folder = shards();
    let merged = tlsboot(folder.path(), &["merge", "shard-1", "shard-3", "--out", "all"]);
    assert_eq!(merged.code, Some(3), "{}", merged.err);
    assert!(merged.err.contains("part 2/3"), "{}", merged.err);
    assert!(folder.path().join("all/result.json").is_file());
}

#[test]
fn what_contradicts_or_is_damaged_is_not_merged() {
    let folder = shards();
    let again = folder.path().join("again");
    fs::create_dir(&again).unwrap();
    shard(&again, 1, 3, "fail");
    let refused = tlsboot(folder.path(), &["merge", "shard-1", "again", "--out", "all"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.contains("lab.all-kinds on local::1.37.1"), "{}", refused.err);
    let history = folder.path().join("shard-2/local-1.37.2/lab.all-kinds/history.jsonl");
    let mut bytes = fs::read(&history).unwrap();
    bytes[1000] ^= 1;
    fs::write(&history, bytes).unwrap();
    let refused = tlsboot(folder.path(), &["merge", "shard-1", "shard-2", "--out", "all"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.contains("history.jsonl was changed"), "{}", refused.err);
    assert!(!folder.path().join("all").exists());
    let refused = tlsboot(folder.path(), &["merge", "shard-1", "--out", "shard-1"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.contains("name another"), "{}", refused.err);
}

// created by `openssl genpkey -algorithm ed25519`, only for these tests
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIHelQGCbVfdnMIRjdCC6uQkFRxS0I9HxlIstaPMOleZy\n-----END PRIVATE KEY-----\n";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAYyz+fmmi9gDAgJsr0a5g7on3Wv49crnS+v68ljT5tns=\n-----END PUBLIC KEY-----\n";

#[test]
fn a_signed_report_shows_every_change() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("one")).unwrap();
    shard(&folder.path().join("one"), 1, 1, "pass");
    let path = |name: &str| folder.path().join(name);
    fs::write(path("key.pem"), KEY).unwrap();
    fs::write(path("pub.pem"), PUBLIC).unwrap();
    let merged = tlsboot(folder.path(), &["merge", "one", "--out", "all", "--sign", "key.pem", "--format", "json"]);
    assert_eq!(merged.code, Some(0), "{}", merged.err);
    let verify = || tlsboot(folder.path(), &["verify", "all", "--key", "pub.pem"]);
    let right = verify();
    assert_eq!(right.code, Some(0), "{}", right.out);
    assert!(right.out.contains("the signature of result.json"));
    assert!(right.out.contains("Not proven"));
    // any byte of the result, sampled from all over it; the unit tests flip them all
    for name in ["all/result.json", "all/result.json.sig"] {
        let bytes = fs::read(path(name)).unwrap();
        for at in (0..bytes.len()).step_by((bytes.len() / 4).max(1)) {
            let mut wrong = bytes.clone();
            // a letter stays a letter, so that most of these are still JSON
            wrong[at] ^= 1;
            fs::write(path(name), wrong).unwrap();
            let said = verify();
            assert!(matches!(said.code, Some(1 | 2)), "{name} at {at}: {}", said.out);
        }
        fs::write(path(name), bytes).unwrap();
    }
    assert_eq!(verify().code, Some(0));
    let history = path("all/local-1.37.1/lab.all-kinds/history.jsonl");
    let bytes = fs::read(&history).unwrap();
    for at in (0..bytes.len()).step_by(bytes.len() / 3) {
        let mut wrong = bytes.clone();
        wrong[at] ^= 1;
        fs::write(&history, wrong).unwrap();
        let said = verify();
        assert_eq!(said.code, Some(1));
        assert!(said.out.contains("history.jsonl was changed"), "{}", said.out);
    }
    fs::write(&history, bytes).unwrap();
    fs::remove_file(path("all/result.json.sig")).unwrap();
    let unsigned = verify();
    assert_eq!(unsigned.code, Some(1));
    assert!(unsigned.out.contains("no signature"), "{}", unsigned.out);
}

#[test]
fn keys_and_forms_are_looked_at_before_anything_is_run() {
    let folder = shards();
    fs::write(folder.path().join("pub.pem"), PUBLIC).unwrap();
    let wrong = tlsboot(folder.path(), &["merge", "shard-1", "--out", "x", "--sign", "pub.pem"]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.err.contains("openssl genpkey"), "{}", wrong.err);
    let wrong = tlsboot(folder.path(), &["merge", "shard-1", "--out", "x", "--sign", "pub.pem", "--format", "html"]);
    assert!(wrong.err.contains("json"), "{}", wrong.err);
    let none = tlsboot(folder.path(), &["verify", "nowhere"]);
    assert_eq!(none.code, Some(2));
}

#[test]
fn runs_of_two_targets_can_be_compared_in_one_folder() {
    let folder = shards();
    tlsboot(folder.path(), &["merge", "shard-1", "shard-2", "--out", "all"]);
    let both = tlsboot(folder.path(), &["diff", "all/local-1.37.1", "all/local-1.37.2"]);
    assert_eq!(both.code, Some(0), "{}", both.err);
    assert!(both.out.contains("nothing changed in 1 scenario"), "{}", both.out);
    let many = tlsboot(folder.path(), &["diff", "all", "shard-1"]);
    assert_eq!(many.code, Some(2));
    assert!(many.err.contains("all/local-1.37.1"), "{}", many.err);
    let json = tlsboot(folder.path(), &["diff", "shard-1", "shard-2", "--format", "json"]);
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["a"], "local::1.37.1");
    assert_eq!(json["changes"], json!([]));
    let again = tlsboot(folder.path(), &["diff", "shard-1", "shard-2", "--also", "shard-3"]);
    assert_eq!(again.code, Some(2));
    assert!(again.err.contains("neither local::1.37.1"), "{}", again.err);
}

#[test]
fn a_regression_has_an_exit_code_of_its_own() {
    let folder = shards();
    let bad = folder.path().join("bad");
    fs::create_dir(&bad).unwrap();
    shard(&bad, 4, 4, "fail");
    let found = tlsboot(folder.path(), &["diff", "shard-1", "bad"]);
    assert_eq!(found.code, Some(1));
    assert!(found.out.contains("lab.all-kinds: pass → fail  REGRESSION"), "{}", found.out);
    assert_eq!(tlsboot(folder.path(), &["diff", "bad", "shard-1"]).code, Some(0));
}

#[test]
fn the_catalogue_shows_a_runs_verdicts() {
    let folder = shards();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let out = folder.path().join("shard-1");
    let listed = tlsboot(&root, &["list", "--requirements", "--out", out.to_str().unwrap()]);
    assert_eq!(listed.code, Some(0), "{}", listed.err);
    assert!(listed.out.contains("(not run)"));
    let scenarios = folder.path().join("scenarios");
    fs::create_dir(&scenarios).unwrap();
    fs::copy(fixture("scenario.yaml"), scenarios.join("all.yaml")).unwrap();
    let listed = tlsboot(folder.path(), &["list", "--scenarios", "scenarios", "--requirements", "--out", "shard-1"]);
    assert!(listed.out.contains("lab.all-kinds (pass)"), "{}", listed.out);
}

#[test]
fn known_failures_are_strict() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("known.yaml");
    let run = |text: &str| {
        fs::write(&list, text).unwrap();
        tlsboot(&root, &["run", "--known", list.to_str().unwrap(), "rbac.hand-made-roles"])
    };
    let entry = "- {scenario: rbac.none, kubernetes: '*', reason: because of this, link: 'https://example.org'}\n";
    let wrong = run(entry);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.err.contains("no scenario `rbac.none`"), "{}", wrong.err);
}

#[test]
fn more_parts_than_scenarios_are_refused() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let run =
        |part: &str| tlsboot(&root, &["run", "rbac.hand-made-roles", "--kubernetes", "1.37", "--partition", part]);
    let wrong = run("2/2");
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.err.contains("at most 1"), "{}", wrong.err);
    assert!(run("0/2").err.contains("K/N"));
}

/// What distributions copy must not name options that no longer exist.
#[test]
fn the_templates_name_options_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut seen = 0;
    for name in ["action", "templates/gitlab-ci.yaml", "templates/kubernetes-job.yaml"] {
        let text = fs::read_to_string(root.join("ci").join(name)).unwrap();
        let text = text.replace("\\\n", " ");
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            for command in ["run", "merge"] {
                let Some((_, rest)) = line.split_once(&format!("tlsboot {command} ")) else {
                    continue;
                };
                seen += 1;
                let help = tlsboot(&root, &[command, "--help"]).out;
                for option in rest.split_whitespace().filter(|word| word.starts_with("--")) {
                    assert!(help.contains(option), "{name}: {command} has no {option}");
                }
            }
        }
    }
    assert_eq!(seen, 6);
}

/// A report is untrusted: only regular files in it are read, whatever is behind the others.
#[rstest]
#[case::pipe("scenario.yaml", |path: &Path| make_pipe(path))]
#[case::pipe_of_a_verdict("verdict.json", |path: &Path| make_pipe(path))]
#[case::device("history.jsonl", |path: &Path| symlink("/dev/zero", path).unwrap())]
#[case::secret("scenario.yaml", |path: &Path| symlink("/etc/passwd", path).unwrap())]
#[case::everything("logs", |path: &Path| symlink("/", path).unwrap())]
#[case::circle("logs", |path: &Path| symlink(".", path).unwrap())]
fn evidence_that_is_no_file_is_not_read(#[case] name: &str, #[case] make: fn(&Path)) {
    let folder = shards();
    let evidence = folder.path().join("shard-1/local-1.37.1/lab.all-kinds");
    let _ = fs::remove_file(evidence.join(name));
    make(&evidence.join(name));
    let checked = tlsboot(folder.path(), &["check", "shard-1"]);
    assert!(!checked.err.contains("root:"), "{}", checked.err);
    assert!(name == "logs" || checked.code != Some(0), "{}", checked.out);
    let verified = tlsboot(folder.path(), &["verify", "shard-1"]);
    assert_eq!(verified.code, Some(1), "{}{}", verified.out, verified.err);
    let merged = tlsboot(folder.path(), &["merge", "shard-1", "--out", "all"]);
    assert_eq!(merged.code, Some(2), "{}{}", merged.out, merged.err);
    let compared = tlsboot(folder.path(), &["diff", "shard-1", "shard-2"]);
    assert!(name != "history.jsonl" || compared.code == Some(2), "{}{}", compared.out, compared.err);
}

fn make_pipe(path: &Path) {
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).unwrap();
}

#[test]
fn a_report_does_not_move_the_cursor() {
    let folder = shards();
    let evidence = folder.path().join("shard-1/local-1.37.1/lab.all-kinds");
    fs::write(evidence.join("\u{1b}[2J\u{1b}[H\nEverything matches.\n::error ::x"), "").unwrap();
    for args in [&["verify", "shard-1"][..], &["merge", "shard-1", "--out", "all"]] {
        let ran = tlsboot(folder.path(), args);
        let said = format!("{}{}", ran.out, ran.err);
        assert!(said.contains("was added") && !said.contains('\u{1b}'), "{said}");
        assert!(!said.lines().any(|line| line.starts_with("Everything matches.") || line.starts_with("::")), "{said}");
    }
}

#[test]
fn what_failed_before_is_named_when_none_of_it_is_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("before");
    fs::create_dir(&out).unwrap();
    shard(&out, 1, 1, "fail");
    let again = |args: &[&str]| {
        let ran = tlsboot(folder.path(), &[&["run", "--failed", "before"], args].concat());
        assert_eq!(ran.code, Some(2), "{}{}", ran.out, ran.err);
        ran.err
    };
    let said = again(&["rotation.*"]);
    assert!(said.contains("none of what failed there is selected: lab.all-kinds on local::1.37.1"), "{said}");
    let said = again(&["--provider", "kind"]);
    assert!(said.contains("local::1.37.1 needs --provider local"), "{said}");
    let good = folder.path().join("good");
    fs::create_dir(&good).unwrap();
    shard(&good, 1, 1, "pass");
    let said = tlsboot(folder.path(), &["run", "--failed", "good"]).err;
    assert!(said.contains("--failed good: nothing failed in that run"), "{said}");
    assert!(tlsboot(folder.path(), &["run", "--failed", "nowhere"]).err.contains("nowhere"));
}
