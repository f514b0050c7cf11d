//! All sources, errors and secrets, with a small program.

use std::io::Write as _;

use clap::Parser;
use secrecy::{ExposeSecret as _, SecretString};

use super::*;

#[derive(Debug, Parser)]
#[command(name = "example", version = "1.2.3")]
struct Example {
    /// Number of tries
    #[arg(long, value_name = "N", default_value = "1", value_parser = values::count(9))]
    tries: std::num::NonZeroU32,
    /// Names, separated by commas
    #[arg(long, value_name = "NAMES", default_value = "")]
    names: List<String>,
    /// Format of log lines
    #[arg(long, value_enum, default_value = "json")]
    log_format: LogFormat,
    /// Directory with data
    #[arg(long, value_name = "DIR")]
    directory: String,
    /// the password
    #[arg(long, hide = true, env = "THEIR_PASSWORD", value_parser = password)]
    password: Option<SecretString>,
}

fn password(text: &str) -> Result<SecretString, String> {
    match text.len() {
        4.. => Ok(text.into()),
        _ => Err("must have at least 4 characters".to_owned()),
    }
}

fn read(flags: &[&str], env: &[(&str, &str)]) -> Result<Loaded<Example>, LoadError> {
    let env: BTreeMap<String, String> = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    load(&Sources {
        args: std::iter::once("example")
            .chain(flags.iter().copied())
            .map(OsString::from)
            .collect(),
        env: &env,
        env_prefix: "EXAMPLE_",
        fallbacks: BTreeMap::from([("directory", "/fallback".to_owned())]),
        required: |value| match value("tries").as_deref() {
            Some("9") => vec!["password"],
            _ => vec![],
        },
    })
}

fn settings(flags: &[&str], env: &[(&str, &str)]) -> Example {
    read(flags, env).expect("valid settings").settings
}

fn error(flags: &[&str], env: &[(&str, &str)]) -> String {
    read(flags, env).expect_err("invalid settings").to_string()
}

struct File(tempfile::NamedTempFile);

impl File {
    fn new(text: &str) -> Self {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(text.as_bytes()).expect("write the file");
        Self(file)
    }

    fn path(&self) -> String {
        self.0.path().display().to_string()
    }

    fn flag(&self, name: &str) -> String {
        format!("--{name}={}", self.path())
    }
}

#[test]
fn a_flag_wins_over_a_variable_over_the_file_over_the_default() {
    let file = File::new("tries: 3\nnames: [b, a]\nlog-format: pretty\n");
    let config = file.flag("config");
    assert_eq!(settings(&[], &[]).tries.get(), 1);
    let from_file = settings(&[&config], &[]);
    assert_eq!(from_file.tries.get(), 3);
    assert_eq!(from_file.names.0, ["b", "a"]);
    assert_eq!(from_file.log_format, LogFormat::Pretty);
    let variable = ("EXAMPLE_TRIES", "4");
    assert_eq!(settings(&[&config], &[variable]).tries.get(), 4);
    assert_eq!(
        settings(&[&config, "--tries=5"], &[variable]).tries.get(),
        5
    );
    let named = ("EXAMPLE_CONFIG", file.path());
    assert_eq!(settings(&[], &[(named.0, &named.1)]).tries.get(), 3);
    assert_eq!(settings(&[], &[]).directory, "/fallback");
    assert_eq!(settings(&["--directory=/own"], &[]).directory, "/own");
}

#[test]
fn all_invalid_settings_are_reported_together_with_their_origin() {
    let file = File::new("tries: none\nlease-tries: 3\npassword: hunter2\n");
    let env = [("EXAMPLE_LOG_FORMAT", "xml"), ("EXAMPLE_TRYS", "x")];
    let error = read(&[&file.flag("config")], &env).expect_err("invalid settings");
    let LoadError::Invalid(invalid) = error else {
        panic!("{error:?}")
    };
    let path = file.0.path().to_owned();
    let variable = |name: &str| Origin::Variable(name.to_owned());
    let mut found: Vec<_> = invalid
        .iter()
        .map(|invalid| (invalid.setting.as_str(), invalid.origin.clone()))
        .collect();
    found.sort_by_key(|(setting, _)| *setting);
    assert_eq!(
        found,
        [
            ("lease-tries", Origin::File(path.clone())),
            ("log-format", variable("EXAMPLE_LOG_FORMAT")),
            ("password", Origin::File(path.clone())),
            ("tries", Origin::File(path)),
            ("trys", variable("EXAMPLE_TRYS")),
        ]
    );
}

#[test]
fn an_error_names_the_setting_its_value_its_origin_and_the_valid_values() {
    assert_eq!(
        error(&["--tries=10"], &[]),
        "tries is `10` (from the command line): must be a whole number from 1 to 9"
    );
    assert_eq!(
        error(&[], &[("EXAMPLE_LOG_FORMAT", "xml")]),
        "log-format is `xml` (from the environment variable EXAMPLE_LOG_FORMAT): must be `json` or `pretty`"
    );
}

#[test]
fn required_settings_without_a_value_say_how_to_set_them() {
    let load = load::<Example>(&Sources {
        args: vec!["example".into()],
        env: &BTreeMap::new(),
        env_prefix: "EXAMPLE_",
        fallbacks: BTreeMap::new(),
        required: |_| vec!["password"],
    });
    assert_eq!(
        load.expect_err("incomplete").to_string(),
        "directory is not set: pass --directory DIR\n\
         password is not set: pass --password-file FILE, or set THEIR_PASSWORD"
    );
    assert!(error(&["--tries=9"], &[]).starts_with("password is not set"));
}

#[test]
fn a_secret_comes_from_a_variable_or_from_a_file_of_its_own() {
    let password = |flags: &[&str], env: &[(&str, &str)]| {
        let password = settings(flags, env).password;
        password.map(|password| password.expose_secret().to_owned())
    };
    let file = File::new("from file\n");
    let path = file.path();
    let customary = ("THEIR_PASSWORD", "customary");
    let prefixed = ("EXAMPLE_PASSWORD", "prefixed");
    assert_eq!(password(&[], &[]), None);
    assert_eq!(password(&[], &[("THEIR_PASSWORD", "")]), None);
    assert_eq!(password(&[], &[customary]).as_deref(), Some("customary"));
    let both = [customary, prefixed];
    assert_eq!(password(&[], &both).as_deref(), Some("prefixed"));
    let flag = file.flag("password-file");
    assert_eq!(password(&[&flag], &both).as_deref(), Some("from file"));
    let named = [customary, ("EXAMPLE_PASSWORD_FILE", path.as_str())];
    assert_eq!(password(&[], &named).as_deref(), Some("from file"));
    let config = File::new(&format!("password-file: {path}\n"));
    let config = config.flag("config");
    assert_eq!(password(&[&config], &[]).as_deref(), Some("from file"));
}

#[test]
fn no_error_and_no_debug_output_shows_a_secret() {
    let config = File::new("password: hunter2\n");
    let config = config.flag("config");
    for (flags, env) in [
        (vec![], vec![("THEIR_PASSWORD", "abc")]),
        (vec![], vec![("EXAMPLE_PASSWORD", "abc")]),
        (vec!["--password=hunter2"], vec![]),
        (vec![config.as_str()], vec![]),
    ] {
        let error = error(&flags, &env);
        assert!(
            !error.contains("abc") && !error.contains("hunter2"),
            "{error}"
        );
        assert!(error.contains("password is `(hidden)`"), "{error}");
    }
    let loaded = read(&[], &[("EXAMPLE_PASSWORD", "hunter2")]).expect("valid settings");
    assert!(!format!("{loaded:?}").contains("hunter2"));
}

#[test]
fn an_empty_or_missing_secret_file_is_reported_by_its_own_name() {
    let empty = File::new("\n");
    for path in [empty.path().as_str(), "/does/not/exist"] {
        let error = error(&["--password-file", path], &[]);
        assert!(
            error.starts_with(&format!("password-file is `{path}`")),
            "{error}"
        );
    }
}

#[test]
fn a_file_that_is_not_a_mapping_of_plain_values_is_rejected() {
    for text in [
        "- a\n",
        "tries:\n  least: 1\n",
        "tries: 1\ntries: 2\n",
        "a: [\n",
    ] {
        let file = File::new(text);
        let error = error(&[&file.flag("config")], &[]);
        assert!(
            error.starts_with(&format!("failed to read {}", file.path())),
            "{error}"
        );
    }
    assert!(read(&[&File::new("# empty\n").flag("config")], &[]).is_ok());
}

#[test]
fn variables_that_kubernetes_sets_for_services_are_ignored() {
    let variables = [
        ("EXAMPLE_SERVICE_HOST", "10.0.0.1"),
        ("EXAMPLE_SERVICE_PORT_HTTP", "8080"),
        ("EXAMPLE_PORT", "tcp://10.0.0.1:8080"),
        ("EXAMPLE_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("EXAMPLE_METRICS_PORT_8080_TCP", "tcp://10.0.0.2:8080"),
    ];
    assert!(read(&[], &variables).is_ok());
}

#[test]
fn the_help_names_every_flag_and_variable_and_hides_secret_values() {
    let help = error(&["--help"], &[]);
    for text in [
        "--tries <N>",
        "EXAMPLE_TRIES",
        "[default: 1]",
        "--password-file <FILE>",
        "EXAMPLE_PASSWORD_FILE",
        "EXAMPLE_PASSWORD or THEIR_PASSWORD",
        "--config <FILE>",
    ] {
        assert!(help.contains(text), "{text}\n{help}");
    }
    assert!(!help.contains("--password <"), "{help}");
}

#[test]
fn the_schema_of_the_file_has_every_setting_and_no_secret() {
    let schema = file_schema::<Example>();
    let properties = schema["properties"].as_object().expect("properties");
    let names: Vec<&str> = properties.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["directory", "log-format", "names", "password-file", "tries"]
    );
    assert_eq!(properties["tries"]["type"], "integer");
    assert_eq!(
        properties["log-format"]["enum"],
        serde_json::json!(["json", "pretty"])
    );
    assert_eq!(schema["additionalProperties"], false);
}
