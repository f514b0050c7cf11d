//! Suspending and starting computes, allow lists, and quotas.

use std::str::FromStr;
use std::time::{Duration, Instant};

use neon_client::model::{
    AllowedIps, CreateProject, EndpointState, ProjectSettings, Quota, UpdateProject,
};
use neon_emulator::Latency;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::client::client;
use crate::common::{TestEmulator, WAIT_TIMEOUT, connect, connection_error, until, uri};

const HOUR: Duration = Duration::from_hours(1);

async fn state(
    world: &TestEmulator,
    created: &neon_client::model::CreatedProject,
) -> EndpointState {
    let endpoints = client(world)
        .endpoints(&created.project.id)
        .list()
        .send()
        .await;
    endpoints.expect("a list").remove(0).current_state
}

#[tokio::test]
async fn an_unused_compute_is_suspended_and_the_next_connection_starts_it() {
    let world = TestEmulator::start_with(|emulator| {
        emulator.latency(Latency {
            cold_start_ms: 300,
            ..Latency::instant()
        })
    })
    .await;
    let created = world.create("one").await;
    let mut idle = connect(&uri(&created)).await.expect("connects");
    assert_eq!(state(&world, &created).await, EndpointState::Active);
    world.emulator.advance_clock(HOUR).await.expect("turns");
    assert_eq!(state(&world, &created).await, EndpointState::Idle);
    assert!(
        idle.ping().await.is_err(),
        "an idle connection is closed with its compute"
    );
    let begun = world.emulator.now();
    let connection = connect(&uri(&created)).await.expect("starts the compute");
    let waited = world.emulator.now().duration_since(begun);
    assert!(waited.as_millis() >= 300, "{waited}");
    assert_eq!(state(&world, &created).await, EndpointState::Active);
    connection.close().await.expect("closes");
    let operations = world
        .get(&format!("/projects/{}/operations", created.project.id))
        .await;
    let actions: Vec<_> = operations["operations"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|operation| operation["action"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(
        actions[..2],
        ["start_compute", "suspend_compute"],
        "newest first"
    );
}

#[tokio::test]
async fn running_statements_and_open_transactions_keep_a_compute_active() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    let mut connection = connect(&uri(&created)).await.expect("connects");
    let mut transaction = connection.begin().await.expect("begins");
    world.emulator.advance_clock(HOUR).await.expect("turns");
    assert_eq!(state(&world, &created).await, EndpointState::Active);
    sqlx::query("SELECT 1")
        .execute(&mut *transaction)
        .await
        .expect("the transaction is still usable");
    transaction.commit().await.expect("commits");
}

#[tokio::test]
async fn a_compute_can_be_suspended_and_started_by_api_calls() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    let endpoints = client(&world).endpoints(&created.project.id);
    let endpoint = &created.endpoints[0].id;
    let mut connection = connect(&uri(&created)).await.expect("connects");
    endpoints.suspend(endpoint).send().await.expect("suspends");
    assert_eq!(state(&world, &created).await, EndpointState::Idle);
    assert!(
        connection.ping().await.is_err(),
        "its connections were closed"
    );
    endpoints.start(endpoint).send().await.expect("starts");
    assert_eq!(state(&world, &created).await, EndpointState::Active);
    connect(&uri(&created)).await.expect("connects");
}

#[tokio::test]
async fn only_allowed_addresses_can_connect() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    let allow = |ips: &[&str]| {
        let allowed = AllowedIps {
            ips: Some(ips.iter().map(ToString::to_string).collect()),
            protected_branches_only: Some(false),
        };
        let settings = ProjectSettings {
            allowed_ips: Some(allowed),
            ..ProjectSettings::default()
        };
        client(&world)
            .projects()
            .update(
                &created.project.id,
                UpdateProject::default().settings(settings),
            )
            .send()
    };
    allow(&["10.0.0.0/8"]).await.expect("updates");
    let (code, message) = connection_error(&uri(&created)).await;
    assert!(
        code == "XX000" && message.contains("127.0.0.1 is not allowed to connect"),
        "{code} {message}"
    );
    allow(&["10.0.0.0/8", "127.0.0.1"]).await.expect("updates");
    connect(&uri(&created)).await.expect("connects");
}

#[tokio::test]
async fn an_exhausted_quota_suspends_the_compute_until_the_quota_or_the_month_changes() {
    let world = TestEmulator::start().await;
    world.next_month().await;
    let quota = |seconds| ProjectSettings {
        quota: Some(Quota {
            active_time_seconds: Some(seconds),
            ..Quota::default()
        }),
        ..ProjectSettings::default()
    };
    let created = world
        .create_as(CreateProject::named("one").settings(quota(60)))
        .await;
    let mut connection = connect(&uri(&created)).await.expect("connects");
    // Two minutes of idleness are shorter than the suspend timeout, but exhaust the quota.
    world
        .emulator
        .advance_clock(Duration::from_mins(2))
        .await
        .expect("turns");
    assert!(
        connection.ping().await.is_err(),
        "the compute was suspended"
    );
    let (code, message) = connection_error(&uri(&created)).await;
    assert!(
        code == "XX000" && message.contains("exceeded the active time quota"),
        "{code} {message}"
    );
    let projects = client(&world);
    let project = projects
        .projects()
        .get(&created.project.id)
        .send()
        .await
        .expect("one");
    assert!(
        project.active_time_seconds >= Some(120),
        "{:?}",
        project.active_time_seconds
    );

    let changes = UpdateProject::default().settings(quota(36_000));
    projects
        .projects()
        .update(&created.project.id, changes)
        .send()
        .await
        .expect("updates");
    connect(&uri(&created))
        .await
        .expect("connects")
        .close()
        .await
        .expect("closes");
    let changes = UpdateProject::default().settings(quota(60));
    projects
        .projects()
        .update(&created.project.id, changes)
        .send()
        .await
        .expect("updates");
    assert_eq!(connection_error(&uri(&created)).await.0, "XX000");
    world.next_month().await;
    connect(&uri(&created)).await.expect("a new month");
}

#[tokio::test]
async fn transferred_bytes_are_counted_and_limited_by_the_quota() {
    let world = TestEmulator::start().await;
    world.next_month().await;
    let settings = ProjectSettings {
        quota: Some(Quota {
            data_transfer_bytes: Some(100_000),
            ..Quota::default()
        }),
        ..ProjectSettings::default()
    };
    let created = world
        .create_as(CreateProject::named("one").settings(settings))
        .await;
    let mut connection = connect(&uri(&created)).await.expect("connects");
    let text: String = sqlx::query_scalar("SELECT repeat('x', 200000)")
        .fetch_one(&mut connection)
        .await
        .expect("reads");
    assert_eq!(text.len(), 200_000);
    let _ = connection.close().await;
    until("the transfer to be recorded", || async {
        connection_error(&uri(&created))
            .await
            .1
            .contains("exceeded the data transfer quota")
    })
    .await;
    let project = client(&world)
        .projects()
        .get(&created.project.id)
        .send()
        .await
        .expect("one");
    assert!(project.data_transfer_bytes >= Some(200_000));
}

#[tokio::test]
async fn a_compute_that_does_not_start_fails_with_neons_message() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    world
        .emulator
        .faults()
        .add("data-plane:does-not-wake:times=1".parse().expect("a fault"));
    let (code, message) = connection_error(&uri(&created)).await;
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("XX000", "Couldn't connect to compute node")
    );
    connect(&uri(&created)).await.expect("connects");
}

/// Sessions that wait for a row lock in the state database.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";

#[tokio::test]
async fn concurrent_checks_record_a_suspension_as_one_operation() {
    let world = TestEmulator::start().await;
    let created = world.create("one").await;
    let _connection = connect(&uri(&created)).await.expect("connects");
    // Records the bytes transferred so far, so that the checks below reach the compute immediately.
    world
        .emulator
        .advance_clock(Duration::ZERO)
        .await
        .expect("turns");
    let options = PgConnectOptions::from_str(world.postgres.uri()).expect("a URI");
    let options = options.database(&world.control_database);
    let mut holder = options.connect().await.expect("connects");
    let mut watch = options.connect().await.expect("connects");
    let mut held = holder.begin().await.expect("begins");
    sqlx::query("SELECT FROM endpoints WHERE project_id = $1 FOR UPDATE")
        .bind(created.project.id.as_str())
        .execute(&mut *held)
        .await
        .expect("locks");
    let limit = Instant::now() + WAIT_TIMEOUT;
    let release = async {
        loop {
            let waiting: i64 = sqlx::query_scalar(WAITING)
                .fetch_one(&mut watch)
                .await
                .expect("counts");
            if waiting >= 1 {
                break;
            }
            assert!(Instant::now() < limit, "no check is waiting");
        }
        held.commit().await.expect("commits");
    };
    let look = || world.emulator.advance_clock(HOUR);
    let (one, other, ()) = tokio::join!(look(), look(), release);
    one.and(other).expect("turn");
    let operations = world
        .get(&format!("/projects/{}/operations", created.project.id))
        .await;
    let suspensions = operations["operations"].as_array().expect("a list");
    let suspensions = suspensions
        .iter()
        .filter(|operation| operation["action"] == "suspend_compute");
    assert_eq!(suspensions.count(), 1, "{operations}");
}
