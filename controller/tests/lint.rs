//! The command `tenant-controller lint`: exit codes and formats.

#![expect(
    clippy::expect_used,
    reason = "test helpers fail the test by panicking"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const HARMLESS: &str = "create table notes (id bigint primary key);\n";
const LOCKING: &str = "select 1;\ncreate index on notes (id);\n";
const DESTRUCTIVE: &str = "alter table notes\n  drop column title;\n";

/// A folder with `migrations/` that contains these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("created a directory");
    let migrations = folder.path().join("migrations");
    fs::create_dir(&migrations).expect("created");
    for (name, sql) in files {
        fs::write(migrations.join(name), sql).expect("written");
    }
    folder
}

fn lint(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tenant-controller"))
        .env_clear()
        .current_dir(folder)
        .arg("lint")
        .args(arguments)
        .output()
        .expect("ran the binary")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

fn code(folder: &TempDir, arguments: &[&str]) -> Option<i32> {
    lint(folder.path(), arguments).status.code()
}

#[test]
fn the_exit_code_depends_on_the_severity() {
    let clean = folder(&[("1_a.sql", HARMLESS), ("README.md", "drop table a;")]);
    assert_eq!(code(&clean, &["migrations"]), Some(0));
    let locking = folder(&[("1_a.sql", HARMLESS), ("2_b.sql", LOCKING)]);
    let destructive = folder(&[("1_a.sql", HARMLESS), ("2_b.sql", DESTRUCTIVE)]);
    let note = folder(&[("1_a.sql", "do $$ begin end $$;")]);
    for (fail_on, expected) in [
        ("error", [0, 1, 0]),
        ("warning", [1, 1, 0]),
        ("note", [1, 1, 1]),
        ("never", [0, 0, 0]),
    ] {
        let codes = [&locking, &destructive, &note]
            .map(|folder| code(folder, &["migrations", "--fail-on", fail_on]));
        assert_eq!(codes, expected.map(Some), "{fail_on}");
    }
    assert_eq!(code(&locking, &["migrations"]), Some(1));
    assert_eq!(code(&note, &["migrations"]), Some(0));
}

#[test]
fn findings_are_printed_as_text_with_their_place() {
    let folder = folder(&[
        ("1_a.sql", HARMLESS),
        ("2_b.sql", LOCKING),
        ("10_c.sql", DESTRUCTIVE),
    ]);
    let output = lint(folder.path(), &["migrations"]);
    let text = stdout(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    for (line, expected) in lines.iter().zip([
        "migrations/2_b.sql:2: warning[require-concurrent-index-creation]: Building an index",
        "migrations/10_c.sql:2: error[ban-drop-column]: Dropping a column",
    ]) {
        assert!(line.starts_with(expected), "{text}");
    }
    assert_eq!(lines[2], "files: 3, errors: 1, warnings: 1, notes: 0");
    assert_eq!(stderr(&output), "");
}

#[test]
fn findings_are_printed_as_annotations_of_github() {
    let folder = folder(&[("2_b.sql", DESTRUCTIVE)]);
    fs::rename(
        folder.path().join("migrations"),
        folder.path().join("a,b:100%"),
    )
    .expect("renamed");
    let text = stdout(&lint(folder.path(), &["a,b:100%", "--format", "github"]));
    let start = "::error file=a%2Cb%3A100%25/2_b.sql,line=2,title=ban-drop-column::2_b.sql: Dropping a column";
    assert!(text.starts_with(start), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn findings_are_printed_in_sarif() {
    let folder = folder(&[("1_a.sql", HARMLESS), ("2_b.sql", DESTRUCTIVE)]);
    let migrations = folder.path().join("migrations");
    fs::rename(migrations, folder.path().join("a b")).expect("renamed");
    let text = stdout(&lint(folder.path(), &["a b", "--format=sarif"]));
    let log: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let result = &run["results"][0];
    assert_eq!(result["ruleId"], "ban-drop-column");
    assert_eq!(result["level"], "error");
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "a%20b/2_b.sql");
    assert_eq!(place["region"]["startLine"], 2);
    assert_eq!(run["results"].as_array().expect("results").len(), 1);
    let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
    assert!(rules.iter().any(|rule| rule["id"] == "ban-drop-column"));
}

#[test]
fn released_files_are_left_out_by_version() {
    let folder = folder(&[("1_a.sql", DESTRUCTIVE), ("2_b.sql", LOCKING)]);
    assert_eq!(code(&folder, &["migrations", "--fail-on=error"]), Some(1));
    let arguments = ["migrations", "--fail-on=error", "--after=1"];
    let output = lint(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("files: 1,"), "{}", stdout(&output));
}

#[test]
fn config_maps_are_read_from_yaml() {
    let folder = tempfile::tempdir().expect("created a directory");
    let yaml = "\
# generated
apiVersion: v1
kind: ConfigMap
metadata: {name: schema-1}
data:
  1_a.sql: |
    create table notes (id bigint);
  \"2_b.sql\": |-
    select 1;
    drop table notes;
---
kind: Secret
---
apiVersion: v1
kind: ConfigMap
metadata: {name: schema-2}
data:
  3_c.sql: drop table other;
";
    fs::write(folder.path().join("maps.yaml"), yaml).expect("written");
    let output = lint(folder.path(), &["maps.yaml"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("maps.yaml:10: error[ban-drop-table]: 2_b.sql, line 2: "),
        "{text}"
    );
    assert!(
        lines[1].starts_with("maps.yaml:18: error[ban-drop-table]: 3_c.sql, line 1: "),
        "{text}"
    );
    assert_eq!(lines[2], "files: 3, errors: 2, warnings: 0, notes: 0");
}

#[test]
fn files_that_cannot_be_migrations_are_findings_and_the_others_are_checked() {
    let folder = folder(&[
        ("1_a.sql", "select 'open"),
        ("2_b.sql", "select 1;\ncommit;"),
        ("init.sql", HARMLESS),
        ("4_d.sql", "-- nothing"),
        ("5_e.sql", DESTRUCTIVE),
    ]);
    fs::write(folder.path().join("migrations/6_f.sql"), [0xff, 0xfe]).expect("written");
    let output = lint(folder.path(), &["migrations"]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    for expected in [
        "1_a.sql:1: error[invalid-migration]",
        "2_b.sql:2: error[invalid-migration]",
        "init.sql:1: error[invalid-migration]",
        "4_d.sql:1: error[invalid-migration]",
        "6_f.sql:1: error[invalid-migration]",
        "5_e.sql:2: error[ban-drop-column]",
        "errors: 6,",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn two_files_with_the_same_version_are_a_finding() {
    let folder = folder(&[("1_a.sql", HARMLESS), ("01_b.sql", HARMLESS)]);
    let output = lint(folder.path(), &["migrations"]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    assert!(
        text.contains("[invalid-migration]") && text.contains("same version"),
        "{text}"
    );
}

#[test]
fn paths_that_cannot_be_read_are_reported_with_exit_code_2() {
    let folder = folder(&[("README.md", "text")]);
    fs::write(folder.path().join("broken.yaml"), "a: [").expect("written");
    fs::write(folder.path().join("other.yaml"), "kind: Secret").expect("written");
    for (arguments, expected) in [
        (&["missing"][..], "failed to read missing"),
        (&["migrations"][..], "no migrations found"),
        (&["broken.yaml"][..], "not valid YAML"),
        (&["other.yaml"][..], "contains no ConfigMap"),
        (&["/dev/zero"][..], "neither a directory nor a regular file"),
        (&[][..], "<PATH>"),
        (&["migrations", "--fail-on=all"][..], "--fail-on"),
    ] {
        let output = lint(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(stdout(&output), "", "{arguments:?}");
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }
}

#[test]
fn the_help_names_the_formats_and_the_exit_codes() {
    let folder = folder(&[]);
    let output = lint(folder.path(), &["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = stdout(&output);
    for expected in ["sarif", "github", "--after <VERSION>", "Exit codes"] {
        assert!(help.contains(expected), "{expected}: {help}");
    }
}
