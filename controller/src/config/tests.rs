//! Precedence, defaults and the words of refusals, with all sources given by the test.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::time::Duration;

use super::settings::{ALL, TABLE};
use super::{Config, LoadError, LogFormat, Machine, Origin, load};

fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

fn machine() -> Machine {
    Machine {
        namespace: Some("from-kubeconfig".to_owned()),
        hostname: Some("Laptop".to_owned()),
        nonce: 0xab,
    }
}

fn read(flags: &[&str], variables: &[(&str, &str)]) -> Result<Config, LoadError> {
    let args = std::iter::once("tenant-controller")
        .chain(flags.iter().copied())
        .map(OsString::from);
    load(args, &env(variables), &machine())
}

fn refusal(flags: &[&str], variables: &[(&str, &str)]) -> String {
    read(flags, variables).expect_err("refused").to_string()
}

struct File(tempfile::NamedTempFile);

impl File {
    fn new(text: &str) -> Self {
        let mut file = tempfile::NamedTempFile::new().expect("file");
        file.write_all(text.as_bytes()).expect("written");
        Self(file)
    }

    fn flag(&self) -> String {
        format!("--config={}", self.0.path().display())
    }
}

#[test]
fn nothing_said_gives_the_documented_defaults() {
    let config = read(&[], &[]).expect("defaults");
    assert_eq!(config.kube.namespace, "from-kubeconfig");
    assert_eq!(config.kube.watch_namespaces, Vec::<String>::new());
    assert_eq!(config.kube.installation_id, None);
    assert_eq!(config.neon.requests_per_minute.get(), 700);
    assert_eq!(config.neon.per_route_per_second.get(), 40);
    assert_eq!(config.neon.create_settle_window, Duration::from_mins(2));
    assert_eq!(config.lease.identity, "laptop_000000ab");
    assert_eq!(config.lease.duration, Duration::from_secs(15));
    assert_eq!(config.limits.concurrency.get(), 64);
    assert_eq!(config.retry.backoff_max, Duration::from_mins(5));
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.trace, None);
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let file = File::new("concurrency: 3\nmigration-concurrency: 4\nlog-format: pretty\n");
    let variables = [
        ("TENANT_CONTROLLER_CONCURRENCY", "5"),
        ("TENANT_CONTROLLER_MIGRATION_CONCURRENCY", "6"),
    ];
    let config = read(&[&file.flag(), "--concurrency", "7"], &variables).expect("config");
    assert_eq!(config.limits.concurrency.get(), 7, "flag");
    assert_eq!(config.schema.concurrency.get(), 6, "environment");
    assert_eq!(config.log.format, LogFormat::Pretty, "file");
    assert_eq!(config.neon.requests_per_minute.get(), 700, "default");
}

#[test]
fn the_file_may_be_named_by_a_variable_and_hold_lists() {
    let file = File::new("watch-namespaces: [team-b, team-a]\notlp-sampling-ratio: 0.5\n");
    let path = file.0.path().display().to_string();
    let config = read(&[], &[("TENANT_CONTROLLER_CONFIG", &path)]).expect("config");
    assert_eq!(config.kube.watch_namespaces, ["team-a", "team-b"]);
}

#[test]
fn an_empty_file_says_nothing() {
    let file = File::new("# nothing yet\n");
    assert!(read(&[&file.flag()], &[]).is_ok());
}

#[test]
fn a_pod_knows_its_namespace_and_its_name() {
    let variables = [("POD_NAMESPACE", "tenants"), ("POD_NAME", "controller-0")];
    let config = read(&[], &variables).expect("config");
    assert_eq!(config.kube.namespace, "tenants");
    assert_eq!(config.lease.identity, "controller-0");
}

#[test]
fn without_any_namespace_the_refusal_says_which_flag_to_write() {
    let args = [OsString::from("tenant-controller")];
    let error = load(args, &env(&[]), &Machine::default()).expect_err("refused");
    assert!(
        error.to_string().contains("write --namespace NAME"),
        "{error}"
    );
}

#[test]
fn a_refusal_names_the_setting_the_value_where_it_stands_and_what_to_write() {
    assert_eq!(
        refusal(&["--lease-duration", "15"], &[]),
        "lease-duration is `15` (from the command line): write a number with a unit (ms, s, m, h) from 2s to 10m, such as `4s`"
    );
    assert_eq!(
        refusal(&[], &[("TENANT_CONTROLLER_LOG_FORMAT", "xml")]),
        "log-format is `xml` (from the environment variable TENANT_CONTROLLER_LOG_FORMAT): write `json` or `pretty`"
    );
}

#[test]
fn all_wrong_settings_are_reported_together() {
    let file = File::new("concurrency: none\nlease-tries: 3\n");
    let variables = [
        ("TENANT_CONTROLLER_HTTP_LISTEN", "8080"),
        ("TENANT_CONTROLLER_HTPP", "x"),
    ];
    let error = read(&[&file.flag(), "--backoff-min", "1"], &variables).expect_err("refused");
    let LoadError::Settings(wrong) = error else {
        panic!("{error:?}")
    };
    let mut names: Vec<_> = wrong.iter().map(|w| w.setting.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "backoff-min",
            "concurrency",
            "htpp",
            "http-listen",
            "lease-tries"
        ]
    );
    let concurrency = wrong
        .iter()
        .find(|w| w.setting == "concurrency")
        .expect("there");
    assert_eq!(concurrency.origin, Origin::File(file.0.path().to_owned()));
}

#[test]
fn variables_that_kubernetes_sets_for_services_are_no_settings() {
    let variables = [
        ("TENANT_CONTROLLER_SERVICE_HOST", "10.0.0.1"),
        ("TENANT_CONTROLLER_SERVICE_PORT_HTTP", "8080"),
        ("TENANT_CONTROLLER_PORT", "tcp://10.0.0.1:8080"),
        ("TENANT_CONTROLLER_PORT_8080_TCP_ADDR", "10.0.0.1"),
        (
            "TENANT_CONTROLLER_METRICS_PORT_8080_TCP",
            "tcp://10.0.0.2:8080",
        ),
    ];
    assert!(read(&[], &variables).is_ok());
}

#[test]
fn files_that_are_no_mapping_of_plain_values_are_refused_with_their_name() {
    for text in [
        "- a\n",
        "lease:\n  duration: 15s\n",
        "concurrency: 1\nconcurrency: 2\n",
        "a: [\n",
    ] {
        let file = File::new(text);
        let error = refusal(&[&file.flag()], &[]);
        assert!(
            error.starts_with(&file.0.path().display().to_string()),
            "{error}"
        );
    }
    assert!(
        refusal(&["--config=/does/not/exist"], &[])
            .starts_with("/does/not/exist: the file cannot be read")
    );
}

#[test]
fn a_holder_that_could_act_when_others_may_start_is_refused() {
    let error = refusal(&["--lease-renew-deadline", "14s"], &[]);
    assert!(error.contains("at most lease-duration (15s)"), "{error}");
    let error = refusal(&["--lease-retry-interval=6s", "--lease-duration=30s"], &[]);
    assert!(
        error.contains("at most half of lease-renew-deadline (10s)"),
        "{error}"
    );
    assert!(
        read(
            &[
                "--lease-duration=3s",
                "--lease-renew-deadline=2s",
                "--lease-retry-interval=500ms"
            ],
            &[]
        )
        .is_ok()
    );
}

#[test]
fn a_longest_wait_under_the_shortest_is_refused() {
    let error = refusal(&["--backoff-min=10s", "--backoff-max=1s"], &[]);
    assert!(error.starts_with("backoff-max is `1s`"), "{error}");
}

#[test]
fn help_shows_every_setting_with_its_variable_and_default() {
    let help = refusal(&["--help"], &[]);
    for setting in ALL {
        assert!(
            help.contains(&format!("--{} <", setting.name())),
            "{}",
            setting.name()
        );
        assert!(
            help.contains(&TABLE.variable(setting.name())),
            "{}",
            setting.name()
        );
        if let Some(default) = setting.default().filter(|d| !d.is_empty()) {
            assert!(help.contains(default), "{default}");
        }
    }
}

#[test]
fn unknown_flags_are_refused() {
    assert!(matches!(
        read(&["--no-leader-election"], &[]),
        Err(LoadError::CommandLine(_))
    ));
}
