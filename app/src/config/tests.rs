//! Defaults, what has to be given, and values that have to fit together.

use std::collections::BTreeMap;
use std::ffi::OsString;

use llm::LOCAL_MODEL_FILES;
use secrecy::ExposeSecret as _;

use super::settings::{ALL, TABLE};
use super::*;

const NEEDED: [(&str, &str); 4] = [
    ("DATABASE_URL", "postgres://app:secret@localhost/app"),
    ("OPENAI_API_KEY", "sk-test"),
    ("CHAT_APP_BUCKET", "files"),
    ("CHAT_APP_OIDC_CLIENT_ID", "client"),
];

fn read(flags: &[&str], variables: &[(&str, &str)]) -> Result<Config, String> {
    let args = ["chat-app", "serve", "--public-url=http://localhost:8000"]
        .iter()
        .chain(flags)
        .map(OsString::from);
    let env: BTreeMap<String, String> = NEEDED
        .iter()
        .chain(variables)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    load(args, &env)
        .map(|(_, work)| work.config().expect("pages"))
        .map_err(|error| error.to_string())
}

#[test]
fn with_what_is_needed_the_rest_is_as_documented() {
    let config = read(&[], &[]).expect("settings");
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8000");
    assert_eq!(config.plan.upload_bytes_max, 25_000_000);
    assert_eq!(config.plan.documents_max, 20);
    assert_eq!(config.workers, 2);
    assert_eq!(config.tenants.namespace, "chat-tenants");
    assert_eq!(config.pools, PoolLimits::default());
    let endpoint = config.models.endpoint.expect("an endpoint");
    assert_eq!(endpoint.answers.as_deref(), Some("gpt-4o-mini"));
    assert_eq!(
        endpoint
            .embeddings
            .map(|model| model.to_string())
            .as_deref(),
        Some("text-embedding-3-small")
    );
    let SignIn::Oidc(oidc) = config.sign_in else {
        panic!("OpenID is the default")
    };
    assert_eq!(oidc.issuer.as_str(), "https://accounts.google.com");
    assert_eq!(
        config.database.url.expose_secret(),
        "postgres://app:secret@localhost/app"
    );
}

#[test]
fn what_connections_to_tenants_may_take_is_set_like_everything_else() {
    let config = read(
        &["--tenant-pools-max=7", "--tenant-wake-ahead=false"],
        &[("CHAT_APP_TENANT_POOL_IDLE_TIMEOUT", "30s")],
    )
    .expect("settings");
    let expected = PoolLimits {
        max_pools: 7,
        idle_timeout: std::time::Duration::from_secs(30),
        prewarm: false,
        ..PoolLimits::default()
    };
    assert_eq!(config.pools, expected);
    for (flag, advice) in [
        ("--tenant-pools-max=0", "1 to 10000"),
        ("--tenant-pool-connections-max=101", "1 to 100"),
        ("--tenant-pool-idle-timeout=10", "unit"),
        ("--tenant-wake-ahead=perhaps", "true"),
    ] {
        let told = read(&[flag], &[]).expect_err(flag);
        assert!(told.contains(advice), "{flag}: {told}");
    }
}

#[test]
fn each_command_is_known_by_its_name_and_none_is_asked_for() {
    let env: BTreeMap<String, String> = NEEDED
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let work = |name: &str| {
        let args = ["chat-app", name, "--public-url=http://localhost:8000"];
        load(args.map(OsString::from), &env).map(|(_, work)| work)
    };
    assert!(matches!(work("serve"), Ok(Work::Serve(_))));
    assert!(matches!(work("worker"), Ok(Work::Worker(_))));
    assert!(matches!(work("migrate"), Ok(Work::Migrate(_))));
    assert!(load(["chat-app"].map(OsString::from), &env).is_err());
}

#[test]
fn migrating_needs_the_database_alone() {
    let args = || ["chat-app", "migrate"].map(OsString::from);
    let env = BTreeMap::from([(
        "DATABASE_URL".to_owned(),
        "postgres://localhost/app".to_owned(),
    )]);
    assert!(matches!(load(args(), &env), Ok((_, Work::Migrate(_)))));
    let told = load(args(), &BTreeMap::new())
        .expect_err("refused")
        .to_string();
    assert_eq!(
        told,
        "database-url is not set: write --database-url-file FILE, or set DATABASE_URL"
    );
}

#[test]
fn everything_that_is_missing_is_told_at_once_with_what_to_write() {
    let args = ["chat-app", "serve"].map(OsString::from);
    let told = load(args, &BTreeMap::new())
        .expect_err("refused")
        .to_string();
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        [
            "public-url is not set: write --public-url URL",
            "database-url is not set: write --database-url-file FILE, or set DATABASE_URL",
            "bucket is not set: write --bucket NAME",
            "oidc-client-id is not set: write --oidc-client-id ID",
        ]
    );
}

#[test]
fn a_secret_that_is_left_empty_is_not_set() {
    let told = read(&[], &[("OPENAI_API_KEY", "")]).expect_err("refused");
    assert!(told.contains("something has to embed documents"), "{told}");
}

#[test]
fn signing_in_by_name_is_refused_on_anything_but_loopback() {
    let local = "--sign-in=local";
    assert!(matches!(
        read(&[local], &[]).map(|config| config.sign_in),
        Ok(SignIn::Local)
    ));
    for wrong in [
        "--http-listen=0.0.0.0:8000",
        "--http-listen=[::]:8000",
        "--http-listen=10.0.0.1:8000",
    ] {
        let error = read(&[local, wrong], &[]).expect_err(wrong);
        assert!(
            error.starts_with("sign-in is `local`") && error.contains("loopback alone"),
            "{error}"
        );
    }
    let args = [
        "chat-app",
        "serve",
        local,
        "--public-url=https://chat.example.com",
    ];
    let env = NEEDED
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let error = load(args.map(OsString::from), &env)
        .expect_err("refused")
        .to_string();
    assert!(error.contains("public-url"), "{error}");
}

#[test]
fn without_a_key_a_local_model_has_to_embed() {
    let without_key = |flags: &[&str]| {
        let args = ["chat-app", "serve", "--public-url=http://localhost:8000"];
        let args = args.iter().chain(flags).map(OsString::from);
        let env = NEEDED
            .iter()
            .filter(|(name, _)| *name != "OPENAI_API_KEY")
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        load(args, &env).map(|(_, work)| work.config().expect("pages").models)
    };
    let error = without_key(&[]).expect_err("refused").to_string();
    assert!(
        error.contains("--local-model DIR") && error.contains("OPENAI_API_KEY"),
        "{error}"
    );
    let folder = tempfile::tempdir().expect("a folder");
    for file in LOCAL_MODEL_FILES {
        std::fs::write(folder.path().join(file), "").expect("written");
    }
    let models = without_key(&[&format!("--local-model={}", folder.path().display())]);
    let models = models.expect("settings");
    assert!(models.endpoint.is_none() && models.local.is_some());
}

#[test]
fn lists_are_read_with_their_names_for_people() {
    let config = read(
        &[
            "--tenant-regions=aws-eu-central-1=Frankfurt, aws-us-east-2=Ohio",
            "--region-buckets=aws-eu-central-1=files-eu",
            "--trusted-proxies=10.0.0.0/8,192.0.2.1",
            "--rate-questions=5/1m,50/1m",
        ],
        &[],
    )
    .expect("settings");
    assert_eq!(config.tenants.regions[0].display_name, "Frankfurt");
    assert_eq!(config.tenants.regions[1].name, "aws-us-east-2");
    let buckets = &config.objects.buckets;
    assert_eq!(buckets.of(Some("aws-eu-central-1")), "files-eu");
    assert_eq!(buckets.of(Some("aws-us-east-2")), "files");
    assert_eq!(buckets.of(None), "files");
    assert_eq!(config.http.trusted_proxies.len(), 2);
    assert_eq!(config.limits.rates.questions.user.count.get(), 5);
}

#[test]
fn what_cannot_be_is_refused_by_its_name() {
    for (flag, name) in [
        ("--tenant-classes=", "tenant-classes"),
        ("--tenant-regions=a=A,a=B", "tenant-regions"),
        ("--region-buckets=a=files,a=other", "region-buckets"),
        ("--trusted-proxies=everybody", "trusted-proxies"),
        ("--rate-pages=10/1m", "rate-pages"),
        ("--upload-bytes-max=25 apples", "upload-bytes-max"),
        ("--oidc-issuer=http://accounts.example.com", "oidc-issuer"),
        ("--session-idle-timeout=800h", "session-idle-timeout"),
        ("--embedding-dimensions=3000", "embedding-dimensions"),
        ("--forwarded-header=x-real-ip", "forwarded-header"),
    ] {
        let error = read(&[flag], &[]).expect_err(flag);
        assert!(
            error.starts_with(&format!("{name} is `")),
            "{flag}: {error}"
        );
    }
    let error = read(&[], &[("DATABASE_URL", "mysql://u:hunter2@host/x")]).expect_err("refused");
    assert!(
        error.starts_with("database-url is `(not shown)`") && !error.contains("hunter2"),
        "{error}"
    );
}

#[test]
fn every_setting_has_help_and_a_variable_of_its_own() {
    let mut seen = std::collections::BTreeSet::new();
    for setting in ALL {
        assert!(!setting.help().is_empty());
        assert!(
            seen.insert(TABLE.variable(setting.name())),
            "{}",
            setting.name()
        );
        if let Some(default) = setting.default() {
            assert_eq!(setting.check(default), Ok(()), "{}", setting.name());
        }
    }
}
