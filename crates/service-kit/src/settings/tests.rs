//! Secrets, and what no program's table shows; precedence and refusals are tested with the programs' own tables too.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write as _;

use super::*;

crate::settings! {
    "All" {
        COUNT: u32 = "count", "N", Some("1"), "How many",
            |text| text.parse().map_err(|_| "write a number".to_owned());
        PASSWORD: String = "password", "TEXT", None, "How to get in",
            |text| if text.len() > 3 { Ok(text.to_owned()) } else { Err("write more than three characters".to_owned()) },
            secret "THEIR_PASSWORD";
    }
}

const TABLE: Table = Table {
    program: "own-program",
    version: "1.2.3",
    about: "Tests.",
    after: "",
    env_prefix: "OWN_",
    all: ALL,
};

fn read(flags: &[&str], env: &[(&str, &str)]) -> Result<Said, LoadError> {
    let args = std::iter::once("own-program")
        .chain(flags.iter().copied())
        .map(OsString::from);
    let env: BTreeMap<String, String> = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Said::read(&TABLE, args, &env)
}

fn password(flags: &[&str], env: &[(&str, &str)]) -> Option<String> {
    read(flags, env)
        .expect("fine")
        .get(&PASSWORD)
        .expect("fine")
}

fn file(text: &str) -> (tempfile::NamedTempFile, String) {
    let mut file = tempfile::NamedTempFile::new().expect("file");
    file.write_all(text.as_bytes()).expect("written");
    let path = file.path().display().to_string();
    (file, path)
}

#[test]
fn a_secret_comes_from_a_file_of_its_own_or_a_variable() {
    let (_file, path) = file("from file\n");
    let flag = format!("--password-file={path}");
    let customary = ("THEIR_PASSWORD", "customary");
    assert_eq!(password(&[], &[]), None);
    assert_eq!(password(&[], &[customary]).as_deref(), Some("customary"));
    let both = [customary, ("OWN_PASSWORD", "of our own")];
    assert_eq!(password(&[], &both).as_deref(), Some("of our own"));
    assert_eq!(password(&[&flag], &both).as_deref(), Some("from file"));
    let named = [customary, ("OWN_PASSWORD_FILE", path.as_str())];
    assert_eq!(password(&[], &named).as_deref(), Some("from file"));
    let (_settings, settings) = file(&format!("password-file: {path}\n"));
    assert_eq!(
        password(&[&format!("--config={settings}")], &[]).as_deref(),
        Some("from file")
    );
}

#[test]
fn no_error_shows_a_secret() {
    let (_settings, settings) = file("password: hunter2\ncount: many\n");
    let config = format!("--config={settings}");
    for (flags, env) in [
        (vec![], vec![("THEIR_PASSWORD", "abc")]),
        (vec![], vec![("OWN_PASSWORD", "abc")]),
        (vec![config.as_str()], vec![]),
    ] {
        let error = read(&flags, &env).expect_err("refused").to_string();
        assert!(
            !error.contains("abc") && !error.contains("hunter2"),
            "{error}"
        );
        assert!(error.contains("password is `(not shown)`"), "{error}");
    }
    let said = read(&[], &[("OWN_PASSWORD", "hunter2")]).expect("fine");
    assert!(!format!("{said:?}").contains("hunter2"));
}

#[test]
fn a_secret_is_no_flag() {
    assert!(matches!(
        read(&["--password", "hunter2"], &[]),
        Err(LoadError::CommandLine(_))
    ));
}

#[test]
fn a_secrets_file_that_is_empty_or_away_is_told_by_its_name() {
    let (_file, path) = file("\n");
    for path in [path.as_str(), "/does/not/exist"] {
        let error = read(&["--password-file", path], &[])
            .expect_err("refused")
            .to_string();
        assert!(
            error.starts_with(&format!("password-file is `{path}`")),
            "{error}"
        );
    }
}

#[test]
fn what_is_needed_says_how_to_give_it() {
    let said = read(&[], &[]).expect("fine");
    assert_eq!(said.need(&COUNT).expect("default"), 1);
    let error = said.need(&PASSWORD).expect_err("missing").to_string();
    assert!(
        error.contains("write --password-file FILE, or set THEIR_PASSWORD"),
        "{error}"
    );
}

#[test]
fn the_help_names_every_variable() {
    let help = TABLE.command().render_help().to_string();
    for text in [
        "--count",
        "OWN_COUNT",
        "--password-file",
        "OWN_PASSWORD_FILE",
        "OWN_PASSWORD",
        "THEIR_PASSWORD",
    ] {
        assert!(help.contains(text), "{text}\n{help}");
    }
}
