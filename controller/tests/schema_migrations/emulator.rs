//! The path of a new tenant: a project created through the Neon API, whose database is reached
//! through the data plane with the endpoint in the startup options.

use std::sync::Arc;
use std::time::Duration;

use controller::migrations::{
    DatabaseTarget, MigrationError, MigrationLimits, MigrationSet, Tls, migrate,
};
use neon_client::Neon;
use neon_client::ids::ProjectId;
use neon_client::model::{CreateProject, EndpointState};
use neon_emulator::openapi::{DOCUMENT_VARIABLE, Document};
use neon_emulator::{Emulator, Latency};
use secrecy::ExposeSecret as _;
use url::Url;

use crate::support::{WAIT_TIMEOUT, limits, server};

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

/// How long a connection waits for a suspended compute.
const COLD_START_MS: u64 = 1_500;
/// Longer than the suspend timeout of an idle compute.
const IDLE_TIME: Duration = Duration::from_mins(10);

/// The document that every call is held against, where one is named.
fn document() -> Option<Arc<Document>> {
    let path = std::env::var_os(DOCUMENT_VARIABLE)?;
    Some(Document::read(path.as_ref()).expect("the API's document"))
}

/// Advances the clock until the project's compute is suspended. The last connection may still be
/// closing.
async fn wait_until_suspended(emulator: &Emulator, neon: &Neon, project: &ProjectId) {
    let poll = async {
        loop {
            emulator
                .advance_clock(IDLE_TIME)
                .await
                .expect("advanced the clock");
            let endpoints = neon
                .endpoints(project)
                .list()
                .send()
                .await
                .expect("listed the endpoints");
            if endpoints[0].current_state == EndpointState::Idle {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(WAIT_TIMEOUT, poll)
        .await
        .expect("the compute was not suspended in time");
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
        .varying_sqlstates(true)
        .start()
        .await
        .expect("started the emulator");
    let neon = Neon::builder()
        .api_key(emulator.api_key().to_owned().into())
        .base_url(emulator.api_url().parse().expect("a URL"))
        .build()
        .expect("built the client");
    let created = neon
        .projects()
        .create(CreateProject::named("one"))
        .send()
        .await
        .expect("created the project");
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

    let set = MigrationSet::built_in().expect("the set is valid");
    let first = migrate(&target, &set, &limits())
        .await
        .expect("the migration succeeds");
    assert_eq!(first.version, set.target_version());
    assert!(
        migrate(&target, &set, &limits())
            .await
            .expect("the migration succeeds")
            .applied
            .is_empty()
    );

    // Connecting starts a suspended compute, even if the timeout of the first attempt is too short.
    wait_until_suspended(&emulator, &neon, &created.project.id).await;
    let report = migrate(&target, &set, &limits())
        .await
        .expect("the migration succeeds");
    assert_eq!((report.version, emulator.cold_starts()), (first.version, 1));
    wait_until_suspended(&emulator, &neon, &created.project.id).await;
    let short_timeout = MigrationLimits {
        connect_timeout: Duration::from_millis(COLD_START_MS / 3),
        connect_total_timeout: WAIT_TIMEOUT,
        ..limits()
    };
    let report = migrate(&target, &set, &short_timeout)
        .await
        .expect("the migration succeeds");
    assert_eq!((report.version, emulator.cold_starts()), (first.version, 2));

    let wrong_password = DatabaseTarget {
        password: "wrong".to_owned().into(),
        ..target.clone()
    };
    let failure = migrate(&wrong_password, &set, &limits())
        .await
        .expect_err("the password is wrong");
    assert!(
        matches!(failure.error, MigrationError::Authentication { .. }),
        "{failure:?}"
    );

    // Neon's proxy reports an endpoint that it does not know like a wrong password.
    let unknown = DatabaseTarget {
        options: Some("endpoint=ep-no-such-000000".to_owned()),
        ..target.clone()
    };
    let failure = migrate(&unknown, &set, &limits())
        .await
        .expect_err("the endpoint is unknown");
    assert!(
        matches!(&failure.error, MigrationError::Authentication { server, .. } if server.code == "28P01"),
        "{failure:?}"
    );

    assert_eq!(
        emulator.violations(),
        Vec::<String>::new(),
        "requests or responses violate the OpenAPI document"
    );
    emulator.shutdown().await;
}
