//! Defaults, values from the host, and contradictions. Precedence and error texts are tested in
//! `service-kit`.

use clap::CommandFactory as _;

use super::*;

fn host() -> HostInfo {
    HostInfo {
        namespace: Some("from-kubeconfig".to_owned()),
        hostname: Some("Laptop".to_owned()),
        nonce: 0xab,
    }
}

fn read_on(host: &HostInfo, flags: &[&str], env: &[(&str, &str)]) -> Result<Config, LoadError> {
    let args = std::iter::once("tenant-controller")
        .chain(flags.iter().copied())
        .map(OsString::from);
    let env = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    load(args, &env, host)
}

fn read(flags: &[&str], env: &[(&str, &str)]) -> Result<Config, LoadError> {
    read_on(&host(), flags, env)
}

/// The names of the settings that are invalid with these flags.
fn invalid(flags: &[&str]) -> Vec<String> {
    match read(flags, &[]) {
        Err(LoadError::Invalid(invalid)) => {
            invalid.into_iter().map(|invalid| invalid.setting).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_any_source_the_documented_defaults_apply() {
    let config = read(&[], &[]).expect("defaults");
    assert_eq!(config.kube.namespace, "from-kubeconfig");
    assert_eq!(config.kube.watch_namespaces.0, Vec::<String>::new());
    assert_eq!(config.kube.installation_id, None);
    assert_eq!(config.neon.rate_limit.get(), 700);
    assert_eq!(config.neon.create_verification_window, 2 * MINUTE);
    assert_eq!(config.lease.identity, "laptop_000000ab");
    assert_eq!(config.lease.duration, 30 * SECOND);
    assert_eq!(config.reconcile.concurrency.get(), 256);
    assert_eq!(config.reconcile.backoff_max, 5 * MINUTE);
    assert_eq!(config.telemetry.otlp_endpoint, None);
}

#[test]
fn in_a_pod_the_namespace_and_the_identity_come_from_the_pod() {
    let env = [("POD_NAMESPACE", "tenants"), ("POD_NAME", "controller-0")];
    let config = read(&[], &env).expect("settings");
    assert_eq!(config.kube.namespace, "tenants");
    assert_eq!(config.lease.identity, "controller-0");
    let config = read(&["--namespace=own", "--lease-identity=me"], &env).expect("settings");
    assert_eq!(config.kube.namespace, "own");
    assert_eq!(config.lease.identity, "me");
}

#[test]
fn without_any_namespace_the_error_says_which_flag_to_write() {
    let error = read_on(&HostInfo::default(), &[], &[]).expect_err("no namespace");
    assert_eq!(
        error.to_string(),
        "namespace is not set: pass --namespace NAME"
    );
}

#[test]
fn a_holder_that_could_act_when_another_replica_starts_is_rejected() {
    assert_eq!(
        invalid(&["--lease-renew-deadline=28s"]),
        ["lease-renew-deadline"]
    );
    assert_eq!(
        invalid(&["--lease-retry-interval=11s", "--lease-duration=40s"]),
        ["lease-retry-interval"]
    );
    let short = [
        "--lease-duration=3s",
        "--lease-renew-deadline=2s",
        "--lease-retry-interval=500ms",
    ];
    assert!(read(&short, &[]).is_ok());
}

#[test]
fn all_contradictions_are_reported_together() {
    assert_eq!(
        invalid(&[
            "--lease-renew-deadline=28s",
            "--backoff-min=10s",
            "--backoff-max=1s"
        ]),
        ["lease-renew-deadline", "backoff-max"]
    );
}

#[test]
fn controller_names_are_a_domain_and_a_path() {
    assert!(read(&["--controller-name=example.com/our/controller_1"], &[]).is_ok());
    for name in [
        "tenant-controller",
        "/path",
        "example.com/",
        "Example.com/a",
        "-a.b/c",
        "a b/c",
    ] {
        assert_eq!(
            invalid(&[&format!("--controller-name={name}")]),
            ["controller-name"]
        );
    }
}

#[test]
fn installation_ids_that_could_not_be_part_of_a_project_name_are_rejected() {
    assert!(read(&["--installation-id=prod-eu"], &[]).is_ok());
    for id in ["Prod", "", "-a", "a b"] {
        assert_eq!(
            invalid(&[&format!("--installation-id={id}")]),
            ["installation-id"]
        );
    }
}

#[test]
fn the_command_line_is_consistent() {
    Config::command().debug_assert();
}

/// `make generate` sets this variable to have the schema written instead of compared.
const UPDATE_VARIABLE: &str = "UPDATE_CHART_SCHEMAS";
/// Settings that the chart sets from other values.
const SET_BY_CHART: &[&str] = &[
    "namespace",
    "watch-namespaces",
    "http-listen",
    "lease-identity",
    "controller-name",
];

#[test]
fn the_charts_schema_has_the_settings_of_this_version() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../charts/tenant-controller/values.schema.json"
    );
    let current = std::fs::read_to_string(path).expect("read the schema");
    let schema = settings::file_schema::<Config>();
    let updated = settings::chart_schema(&current, schema, SET_BY_CHART).expect("a schema");
    if std::env::var_os(UPDATE_VARIABLE).is_some() {
        std::fs::write(path, &updated).expect("write the schema");
    } else {
        assert!(
            current == updated,
            "{path} is outdated: run `make generate`"
        );
    }
}
