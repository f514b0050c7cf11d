//! The whole way of a new tenant: a project of the Neon API, reached through its data plane with the endpoint in the
//! startup options.

use std::sync::Arc;
use std::time::Duration;

use controller::schema::{DatabaseTarget, MigrateError, MigrationLimits, SchemaSet, Tls, migrate};
use neon_client::Neon;
use neon_client::ids::ProjectId;
use neon_client::model::{CreateProject, EndpointState};
use neon_emulator::openapi::{DOCUMENT_VARIABLE, Document};
use neon_emulator::{Emulator, Latency};
use secrecy::ExposeSecret as _;
use url::Url;

use crate::support::{WAIT_MAX, limits, server};

fn target(uri: &str, emulator: &Emulator) -> DatabaseTarget {
    let uri: Url = uri.parse().expect("a URI");
    let options = uri.query_pairs().find(|(name, _)| name == "options");
    DatabaseTarget {
        host: uri.host_str().expect("a host").to_owned(),
        port: uri.port().expect("a port"),
        database: uri.path().trim_start_matches('/').to_owned(),
        role: uri.username().to_owned(),
        password: uri.password().expect("a password").to_owned().into(),
        options: options.map(|(_, value)| value.into_owned()),
        tls: Tls::VerifyFull {
            ca_pem: Some(emulator.ca_pem().to_owned()),
        },
    }
}

/// How long a compute that sleeps lets a connection wait.
const COLD_START_MS: u64 = 1_500;
/// Longer than a compute stays awake that nobody uses.
const NIGHT: Duration = Duration::from_mins(10);

/// The document that every call is held against, where one is named.
fn document() -> Option<Arc<Document>> {
    let path = std::env::var_os(DOCUMENT_VARIABLE)?;
    Some(Document::read(path.as_ref()).expect("the API's document"))
}

/// Lets time pass until the project's compute sleeps: what was connected last may not have left yet.
async fn falls_asleep(emulator: &Emulator, neon: &Neon, project: &ProjectId) {
    let sleeps = async {
        loop {
            emulator.advance_clock(NIGHT).await.expect("turned");
            let endpoints = neon.endpoints(project).list().send().await.expect("listed");
            if endpoints[0].current_state == EndpointState::Idle {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(WAIT_MAX, sleeps)
        .await
        .expect("the compute never sleeps");
}

#[tokio::test]
async fn a_new_project_is_migrated_through_its_data_plane() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let postgres = server().await;
    let emulator = Emulator::builder()
        .postgres(postgres.uri())
        .latency(Latency {
            cold_start_ms: COLD_START_MS,
            ..Latency::instant()
        })
        .document(document())
        .start()
        .await
        .expect("the emulator starts");
    let neon = Neon::builder()
        .api_key(emulator.api_key().to_owned().into())
        .base_url(emulator.api_url().parse().expect("a URL"))
        .build()
        .expect("a client");
    let created = neon
        .projects()
        .create(CreateProject::named("one"))
        .send()
        .await
        .expect("created");
    let target = target(
        created.connection_uris[0].connection_uri.expose_secret(),
        &emulator,
    );
    assert!(
        target
            .options
            .as_deref()
            .is_some_and(|options| options.contains("endpoint=")),
        "{target:?}"
    );

    let set = SchemaSet::built_in().expect("a set");
    let first = migrate(&target, &set, &limits()).await.expect("migrated");
    assert_eq!(first.version, set.target_version());
    assert!(
        migrate(&target, &set, &limits())
            .await
            .expect("migrated")
            .applied
            .is_empty()
    );

    // Asleep, it is woken and waited for; also by somebody who has too little patience for it the first time.
    falls_asleep(&emulator, &neon, &created.project.id).await;
    let patient = migrate(&target, &set, &limits()).await.expect("migrated");
    assert_eq!(
        (patient.version, emulator.cold_starts()),
        (first.version, 1)
    );
    falls_asleep(&emulator, &neon, &created.project.id).await;
    let impatient = MigrationLimits {
        connect_timeout: Duration::from_millis(COLD_START_MS / 3),
        connect_total: WAIT_MAX,
        ..limits()
    };
    let woken = migrate(&target, &set, &impatient).await.expect("migrated");
    assert_eq!((woken.version, emulator.cold_starts()), (first.version, 2));

    let wrong = DatabaseTarget {
        password: "wrong".to_owned().into(),
        ..target.clone()
    };
    let failure = migrate(&wrong, &set, &limits()).await.expect_err("refused");
    assert!(
        matches!(failure.error, MigrateError::Authentication { .. }),
        "{failure:?}"
    );

    // An endpoint that nobody knows may be one that is being made.
    let unknown = DatabaseTarget {
        options: Some("endpoint=ep-no-such-000000".to_owned()),
        ..target.clone()
    };
    let limits = MigrationLimits {
        connect_total: Duration::from_millis(300),
        ..limits()
    };
    let failure = migrate(&unknown, &set, &limits).await.expect_err("unknown");
    assert!(
        matches!(failure.error, MigrateError::Unreachable { attempts, .. } if attempts > 1),
        "{failure:?}"
    );
    assert!(failure.error.is_transient(), "{failure:?}");

    assert_eq!(
        emulator.violations(),
        Vec::<String>::new(),
        "the API's document is not kept to"
    );
    emulator.shutdown().await;
}
