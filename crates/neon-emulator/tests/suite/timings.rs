//! How long a new project takes, and what moves with the use of its computes.

use std::time::Duration;

use neon_client::model::{Endpoint, EndpointState, Project};
use neon_emulator::Latency;
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{TestEmulator, connect, until, uri};

const HOUR: Duration = Duration::from_hours(1);
const HOUR_MS: u64 = 3_600_000;

async fn project(world: &TestEmulator, path: &str) -> Project {
    serde_json::from_value(world.get(path).await["project"].clone()).expect("a project")
}

/// The only project of the listing.
async fn listed(world: &TestEmulator) -> Project {
    let projects = world.get("/projects").await["projects"].take();
    let [project] =
        <[Value; 1]>::try_from(serde_json::from_value::<Vec<Value>>(projects).expect("a list"))
            .expect("one project");
    serde_json::from_value(project).expect("a project")
}

#[tokio::test]
async fn a_new_project_is_locked_by_its_operations_and_accepts_connections_later() {
    let neon = Latency::neon();
    assert_eq!(neon.create_timeline_ms + neon.start_compute_ms, 1_500);
    assert_eq!(neon.first_connection_ms, 4_000);

    // In hours of the emulator's clock, so that the time that the test takes does not matter.
    let world = TestEmulator::start_with(|emulator| {
        emulator.latency(Latency {
            create_timeline_ms: HOUR_MS,
            start_compute_ms: HOUR_MS,
            first_connection_ms: 4 * HOUR_MS,
            ..Latency::instant()
        })
    })
    .await;
    let created = world.create("one").await;
    let path = format!("/projects/{}", created.project.id);
    let rename = || json!({"project": {"name": "two"}});
    let (status, body) = world.call(Method::PATCH, &path, Some(rename())).await;
    assert_eq!(status.as_u16(), 423, "{body}");

    let advance = async |hours| {
        world
            .emulator
            .advance_clock(HOUR * hours)
            .await
            .expect("advances");
    };
    advance(2).await;
    world.finished(&created.operations).await;
    let (status, body) = world.call(Method::PATCH, &path, Some(rename())).await;
    assert_eq!(status.as_u16(), 200, "{body}");
    let endpoint_path = format!("{path}/endpoints/{}", created.endpoints[0].id);
    let state = async || {
        let endpoint = world.get(&endpoint_path).await["endpoint"].take();
        let endpoint: Endpoint = serde_json::from_value(endpoint).expect("a compute");
        endpoint.current_state
    };
    assert_eq!(state().await, EndpointState::Init);
    let waiting = tokio::spawn(async move { connect(&uri(&created)).await.map(drop) });
    advance(4).await;
    waiting.await.expect("no panic").expect("connects");
    assert_eq!(state().await, EndpointState::Active);
}

#[tokio::test]
async fn the_use_of_a_compute_moves_the_times_of_its_project_and_counts_as_usage() {
    let world = TestEmulator::start().await;
    world.next_month().await;
    let created = world.create("one").await;
    let path = format!("/projects/{}", created.project.id);
    let advance = async |by| {
        world.emulator.advance_clock(by).await.expect("advances");
    };
    let mut before = listed(&world).await;
    // An unused compute is suspended, which changes `updated_at`.
    advance(HOUR).await;
    let suspended = listed(&world).await;
    assert!(suspended.updated_at > before.updated_at);
    assert_eq!(
        suspended.updated_at,
        project(&world, &path).await.updated_at
    );

    before = suspended;
    let connection = connect(&uri(&created)).await.expect("connects");
    let started = listed(&world).await;
    assert!(started.updated_at > before.updated_at);
    assert!(started.compute_last_active_at > before.compute_last_active_at);

    drop(connection);
    until("the connection to close", async || {
        world.open_connections().await == 0
    })
    .await;
    before = listed(&world).await;
    advance(HOUR).await;
    let suspended = listed(&world).await;
    assert!(suspended.updated_at > before.updated_at, "suspended");

    // Two computes ran for the suspend timeout of five minutes each, at 0.25 compute units.
    let single = project(&world, &path).await;
    assert_eq!(suspended.active_time, single.active_time_seconds);
    assert_eq!(suspended.cpu_used_sec, single.cpu_used_sec);
    assert!(
        suspended.active_time.is_some_and(|seconds| seconds >= 600),
        "{suspended:?}"
    );
    assert!(
        suspended.cpu_used_sec.is_some_and(|seconds| seconds >= 150),
        "{suspended:?}"
    );
}

#[tokio::test]
async fn activity_leaves_updated_at_alone_if_configured() {
    let world =
        TestEmulator::start_with(|emulator| emulator.activity_updates_projects(false)).await;
    let created = world.create("one").await;
    let before = listed(&world).await;
    drop(connect(&uri(&created)).await.expect("connects"));
    world.emulator.advance_clock(HOUR).await.expect("advances");
    let after = listed(&world).await;
    assert_eq!(after.updated_at, before.updated_at);
    assert!(after.compute_last_active_at > before.compute_last_active_at);
}
