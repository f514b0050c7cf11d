//! Defaults, requirements, and contradictions. Precedence and error texts are tested in
//! `service-kit`.

use clap::CommandFactory as _;
use llm::LOCAL_MODEL_FILES;
use secrecy::ExposeSecret as _;

use super::*;

const REQUIRED: [(&str, &str); 5] = [
    ("CHAT_APP_PUBLIC_URL", "http://localhost:8000"),
    ("DATABASE_URL", "postgres://app:secret@localhost/app"),
    ("OPENAI_API_KEY", "sk-test"),
    ("CHAT_APP_BUCKET", "files"),
    ("CHAT_APP_OIDC_CLIENT_ID", "client"),
];

/// Loads the role with the required variables, except those that `env` replaces with an empty text.
fn load_role(role: &str, flags: &[&str], env: &[(&str, &str)]) -> Result<Role, LoadError> {
    let args = ["chat-app", role].into_iter().chain(flags.iter().copied());
    let mut env: BTreeMap<String, String> = REQUIRED
        .iter()
        .chain(env)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    env.retain(|_, value| !value.is_empty());
    load(args.map(OsString::from), &env)
}

fn serve(flags: &[&str], env: &[(&str, &str)]) -> Result<Config, LoadError> {
    match load_role("serve", flags, env)? {
        Role::Serve(config) => Ok(*config),
        other => panic!("{other:?}"),
    }
}

/// The settings that are invalid with these flags and variables.
fn invalid(flags: &[&str], env: &[(&str, &str)]) -> Vec<String> {
    match serve(flags, env) {
        Err(LoadError::Invalid(invalid)) => {
            invalid.into_iter().map(|invalid| invalid.setting).collect()
        }
        other => panic!("{flags:?} {env:?}: {other:?}"),
    }
}

#[test]
fn with_the_required_settings_the_documented_defaults_apply() {
    let config = serve(&[], &[]).expect("settings");
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8000");
    assert_eq!(config.quota.max_upload_bytes, ByteSize(25_000_000));
    assert_eq!(config.quota.max_documents.get(), 20);
    assert_eq!(config.process.workers, 3);
    assert_eq!(config.tenants.namespace, "chat-tenants");
    let endpoint = config.models.config().expect("models").endpoint;
    let endpoint = endpoint.expect("an endpoint");
    assert_eq!(endpoint.answers.as_deref(), Some("gpt-4o-mini"));
    let embeddings = endpoint.embeddings.expect("embeddings").to_string();
    assert_eq!(embeddings, "text-embedding-3-small");
    let provider = config.sign_in.provider().expect("an OpenID provider");
    assert_eq!(provider.issuer.as_str(), "https://accounts.google.com");
    assert_eq!(provider.client_id, "client");
    assert_eq!(
        config.database.url.expose_secret(),
        "postgres://app:secret@localhost/app"
    );
}

#[test]
fn a_worker_has_the_same_settings_and_migrate_needs_the_database_only() {
    assert!(matches!(load_role("worker", &[], &[]), Ok(Role::Worker(_))));
    assert!(load(["chat-app"].map(OsString::from), &BTreeMap::new()).is_err());
    let args = || ["chat-app", "migrate"].map(OsString::from);
    let env = BTreeMap::from([(
        "DATABASE_URL".to_owned(),
        "postgres://localhost/app".to_owned(),
    )]);
    assert!(matches!(load(args(), &env), Ok(Role::Migrate(_))));
    assert!(
        matches!(load_role("migrate", &[], &[]), Ok(Role::Migrate(_))),
        "the variables of the other roles are known"
    );
    let error = load(args(), &BTreeMap::new()).expect_err("no database");
    assert_eq!(
        error.to_string(),
        "database-url is not set: pass --database-url-file FILE, or set DATABASE_URL"
    );
}

#[test]
fn all_missing_settings_are_reported_together() {
    let args = ["chat-app", "serve"].map(OsString::from);
    let error = load(args, &BTreeMap::new()).expect_err("nothing is set");
    assert_eq!(
        error.to_string().lines().collect::<Vec<_>>(),
        [
            "public-url is not set: pass --public-url URL",
            "database-url is not set: pass --database-url-file FILE, or set DATABASE_URL",
            "bucket is not set: pass --bucket NAME",
            "oidc-client-id is not set: pass --oidc-client-id ID",
        ]
    );
}

#[test]
fn local_sign_in_is_rejected_on_anything_but_loopback() {
    let local = "--auth-mode=local";
    let config = serve(&[local], &[("CHAT_APP_OIDC_CLIENT_ID", "")]).expect("settings");
    assert!(config.sign_in.provider().is_none());
    for other in [
        "--http-listen=0.0.0.0:8000",
        "--http-listen=[::]:8000",
        "--http-listen=10.0.0.1:8000",
        "--public-url=https://chat.example.com",
    ] {
        assert_eq!(invalid(&[local, other], &[]), ["auth-mode"], "{other}");
    }
}

#[test]
fn sign_up_is_by_invitation_if_everyone_can_have_an_account_at_the_issuer() {
    for (flags, expected) in [
        (
            &["--oidc-issuer=https://accounts.google.com"][..],
            SignUp::Invited,
        ),
        (&["--oidc-issuer=https://id.example.com"], SignUp::Open),
        (&["--auth-mode=local"], SignUp::Open),
        (
            &[
                "--oidc-issuer=https://accounts.google.com",
                "--sign-up=open",
            ],
            SignUp::Open,
        ),
        (
            &["--oidc-issuer=https://id.example.com", "--sign-up=closed"],
            SignUp::Closed,
        ),
    ] {
        let config = serve(flags, &[]).expect("settings");
        assert_eq!(config.sign_in.sign_up(), expected, "{flags:?}");
    }
}

#[test]
fn addresses_that_nobody_can_sign_in_with_are_rejected() {
    let domains = "--allowed-email-domains=example.com";
    assert_eq!(
        invalid(
            &[domains, "--first-owners=ada@example.com,eve@example.org"],
            &[]
        ),
        ["first-owners"]
    );
    assert_eq!(
        invalid(&["--auth-mode=local", domains], &[]),
        ["allowed-email-domains"]
    );
}

#[test]
fn without_an_api_key_a_local_model_is_required() {
    let no_key = [("OPENAI_API_KEY", "")];
    assert_eq!(invalid(&[], &no_key), ["local-model"]);
    let folder = tempfile::tempdir().expect("a folder");
    for file in LOCAL_MODEL_FILES {
        std::fs::write(folder.path().join(file), "").expect("write a file");
    }
    let flag = format!("--local-model={}", folder.path().display());
    let models = serve(&[&flag], &no_key).expect("settings").models;
    let models = models.config().expect("models");
    assert!(models.endpoint.is_none() && models.local.is_some());
}

#[test]
fn lists_are_parsed_with_their_display_names() {
    let config = serve(
        &[
            "--tenant-regions=aws-eu-central-1=Frankfurt, aws-us-east-2=Ohio",
            "--region-buckets=aws-eu-central-1=files-eu",
            "--trusted-proxies=10.0.0.0/8,192.0.2.1",
            "--rate-limit-questions=5/1m,50/1m",
        ],
        &[],
    )
    .expect("settings");
    assert_eq!(config.tenants.regions.0[0].display_name, "Frankfurt");
    assert_eq!(config.tenants.regions.0[1].name, "aws-us-east-2");
    assert_eq!(config.objects.bucket(Some("aws-eu-central-1")), "files-eu");
    assert_eq!(config.objects.bucket(Some("aws-us-east-2")), "files");
    assert_eq!(config.objects.bucket(None), "files");
    assert_eq!(config.objects.all_buckets(), ["files", "files-eu"]);
    assert_eq!(config.http.trusted_proxies.0.len(), 2);
    let none = serve(&["--trusted-proxies=none"], &[]).expect("settings");
    assert_eq!(none.http.trusted_proxies.0, []);
    assert_eq!(config.rate_limits.questions.user.count.get(), 5);
}

#[test]
fn invalid_values_are_rejected_by_the_name_of_their_setting() {
    for (flag, name) in [
        ("--tenant-classes=", "tenant-classes"),
        ("--tenant-regions=a=A,a=B", "tenant-regions"),
        ("--region-buckets=a=files,a=other", "region-buckets"),
        ("--trusted-proxies=everybody", "trusted-proxies"),
        ("--trusted-proxies=none,10.0.0.0/8", "trusted-proxies"),
        ("--rate-limit-reads=10/1m", "rate-limit-reads"),
        ("--max-upload-bytes=25 apples", "max-upload-bytes"),
        ("--oidc-issuer=http://accounts.example.com", "oidc-issuer"),
        ("--sign-up=maybe", "sign-up"),
        ("--first-owners=ada", "first-owners"),
        (
            "--allowed-email-domains=@example.com",
            "allowed-email-domains",
        ),
        ("--max-workspaces=0", "max-workspaces"),
        ("--session-idle-timeout=800h", "session-idle-timeout"),
        ("--embedding-dimensions=3000", "embedding-dimensions"),
        ("--forwarded-header=x-real-ip", "forwarded-header"),
        ("--max-tenant-pools=0", "max-tenant-pools"),
        ("--tenant-pool-idle-timeout=10", "tenant-pool-idle-timeout"),
        ("--tenant-prewarm=perhaps", "tenant-prewarm"),
    ] {
        assert_eq!(invalid(&[flag], &[]), [name], "{flag}");
    }
    let url = ("DATABASE_URL", "mysql://u:hunter2@host/x");
    let error = serve(&[], &[url]).expect_err("not PostgreSQL").to_string();
    assert!(
        error.starts_with("database-url is `(hidden)`") && !error.contains("hunter2"),
        "{error}"
    );
}

#[test]
fn the_command_line_is_consistent() {
    CommandLine::command().debug_assert();
}

/// `make generate` sets this variable to have the schema written instead of compared.
const UPDATE_VARIABLE: &str = "UPDATE_CHART_SCHEMAS";
/// Settings that the chart sets from other values.
const SET_BY_CHART: &[&str] = &[
    "http-listen",
    "operations-listen",
    "public-url",
    "tenants-namespace",
    "workers",
    "database-url-file",
    "oidc-client-secret-file",
    "openai-api-key-file",
    "redis-url-file",
];

#[test]
fn the_charts_schema_has_the_settings_of_this_version() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../charts/chat-app/values.schema.json"
    );
    let current = std::fs::read_to_string(path).expect("read the schema");
    let schema = settings::file_schema::<CommandLine>();
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
