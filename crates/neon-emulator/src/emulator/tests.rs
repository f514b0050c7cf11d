use std::time::{Duration, Instant};

use neon_client::model::CreateProject;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use local_servers::postgres::Server;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{Emulator, SeededProject};
use crate::compute;
use crate::store::{MAX_STATE_CONNECTIONS, Store};

/// Maximum duration of a call in these tests, shorter than the timeout for acquiring a connection
/// to the state database.
const CALL_TIMEOUT: Duration = Duration::from_secs(8);

async fn call(emulator: &Emulator, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder()
        .timeout(CALL_TIMEOUT)
        .build()
        .unwrap();
    let url = format!("{}{path}", emulator.api_url());
    let request = http
        .request(method, url)
        .bearer_auth(emulator.api_key())
        .json(&body);
    let response = request.send().await.unwrap();
    let status = response.status();
    (status, response.json().await.unwrap_or_default())
}

async fn start() -> (Server, Emulator) {
    let server = Server::builder().start().await.unwrap();
    let emulator = Emulator::builder().postgres(server.uri()).start();
    let emulator = emulator.await.unwrap();
    (server, emulator)
}

async fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + CALL_TIMEOUT;
    while !condition() {
        assert!(
            Instant::now() < deadline,
            "the condition did not become true"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn seeded(emulator: &Emulator) -> SeededProject {
    let template = CreateProject::default();
    let seeded = emulator.seed_projects(&template, ["one".to_owned()]);
    seeded.await.unwrap().remove(0)
}

#[tokio::test]
async fn no_call_acquires_a_second_state_connection_while_it_holds_one() {
    let (_server, emulator) = start().await;
    let project = seeded(&emulator).await.id;
    let mut held_connections = Vec::new();
    for _ in 1..MAX_STATE_CONNECTIONS {
        held_connections.push(emulator.api.store.begin().await.unwrap());
    }
    let branches = format!("/projects/{project}/branches");
    let (status, branch_body) = call(&emulator, Method::POST, &branches, json!({})).await;
    assert_eq!(status, StatusCode::CREATED, "{branch_body}");
    let branch = format!(
        "{branches}/{}",
        branch_body["branch"]["id"].as_str().unwrap()
    );
    for (method, path, body, expected) in [
        (
            Method::POST,
            "/roles",
            json!({"role": {"name": "second"}}),
            StatusCode::CREATED,
        ),
        (
            Method::POST,
            "/databases",
            json!({"database": {"name": "second", "owner_name": "second"}}),
            StatusCode::CREATED,
        ),
        (
            Method::PATCH,
            "/databases/second",
            json!({"database": {"name": "third"}}),
            StatusCode::OK,
        ),
        (
            Method::DELETE,
            "/databases/third",
            json!({}),
            StatusCode::OK,
        ),
        (
            Method::POST,
            "/roles/second/reset_password",
            json!({}),
            StatusCode::OK,
        ),
        (Method::DELETE, "/roles/second", json!({}), StatusCode::OK),
        (
            Method::PATCH,
            "",
            json!({"branch": {"name": "renamed"}}),
            StatusCode::OK,
        ),
        (Method::DELETE, "", json!({}), StatusCode::OK),
        (Method::POST, "/recover", json!({}), StatusCode::OK),
    ] {
        let (status, response) =
            call(&emulator, method.clone(), &format!("{branch}{path}"), body).await;
        assert_eq!(status, expected, "{method} {path}: {response}");
    }
    drop(held_connections);
    emulator.shutdown().await;
}

#[tokio::test]
async fn reading_a_branch_does_not_wait_for_databases_being_created() {
    let (_server, emulator) = start().await;
    let seeded = seeded(&emulator).await;
    PgConnection::connect(&seeded.uri).await.unwrap();
    let mut held_connections = Vec::new();
    for _ in 0..crate::provision::MAX_PROVISIONING {
        held_connections.push(emulator.api.provisioner.acquire().await.unwrap());
    }
    let path = format!("/projects/{}/branches", seeded.id);
    let (status, response) = call(&emulator, Method::GET, &path, json!(null)).await;
    assert_eq!(status, StatusCode::OK, "{response}");
    let id = response["branches"][0]["id"].as_str().unwrap();
    let (status, response) =
        call(&emulator, Method::GET, &format!("{path}/{id}"), json!(null)).await;
    assert_eq!(status, StatusCode::OK, "{response}");
    drop(held_connections);
    emulator.shutdown().await;
}

#[tokio::test]
async fn a_connection_that_is_being_established_keeps_an_idle_compute_active() {
    let (_server, emulator) = start().await;
    let project = seeded(&emulator).await;
    let _idle = PgConnection::connect(&project.uri).await.unwrap();
    let databases = format!(
        "/projects/{}/branches/{}/databases",
        project.id, project.branch_id
    );
    let body = json!({"database": {"name": "second", "owner_name": project.role}});
    let (status, response) = call(&emulator, Method::POST, &databases, body).await;
    assert_eq!(status, StatusCode::CREATED, "{response}");
    // The connection waits for its database to be created, because all admin connections are used.
    let mut admins = Vec::new();
    for _ in 0..crate::provision::MAX_PROVISIONING {
        admins.push(emulator.api.provisioner.acquire().await.unwrap());
    }
    let uri = project.uri.replace("/neondb?", "/second?");
    let connecting = tokio::spawn(async move { PgConnection::connect(&uri).await });
    let (sessions, branch) = (&emulator.api.sessions, project.branch_id.as_str());
    wait_until(|| sessions.try_lock_branch_exclusive(branch).is_none()).await;

    let hour = Duration::from_hours(1);
    emulator.advance_clock(hour).await.unwrap();
    drop(admins);
    let mut connection = connecting.await.unwrap().unwrap();
    emulator.api.plane.check_computes().await.unwrap();
    connection.ping().await.unwrap();
    emulator.shutdown().await;
}

#[tokio::test]
async fn a_connection_that_arrives_during_a_suspension_waits_and_starts_the_compute() {
    let (_server, emulator) = start().await;
    let project = seeded(&emulator).await;
    PgConnection::connect(&project.uri).await.unwrap();
    let (sessions, branch) = (&emulator.api.sessions, project.branch_id.as_str());
    let suspension = sessions.lock_branch_exclusive(branch).await;
    let uri = project.uri.clone();
    let connecting = tokio::spawn(async move { PgConnection::connect(&uri).await });
    wait_until(|| sessions.branch_lock_users(branch) > 1).await;

    let mut tx = emulator.api.store.begin().await.unwrap();
    let row = Store::lock_endpoint(&mut tx, &project.id, &project.endpoint_id).await;
    let now = emulator.api.clock.now();
    let is_suspended = compute::suspend(&mut tx, &mut row.unwrap(), sessions, now).await;
    assert!(is_suspended.unwrap());
    tx.commit().await.unwrap();
    drop(suspension);

    let mut connection = connecting.await.unwrap().unwrap();
    emulator.api.plane.check_computes().await.unwrap();
    connection.ping().await.unwrap();
    assert_eq!(emulator.cold_starts(), 1);
    emulator.shutdown().await;
}

#[tokio::test]
async fn a_password_reset_keeps_connections_that_use_the_new_password() {
    let (server, emulator) = start().await;
    let project = seeded(&emulator).await;
    let branch = project.branch_id.as_str();
    let mut outdated = PgConnection::connect(&project.uri).await.unwrap();
    // The task that applies the new password waits for this lock.
    let mut lock = emulator.api.store.begin().await.unwrap();
    sqlx::query("SELECT FROM branches WHERE id = $1 FOR UPDATE")
        .bind(branch)
        .execute(&mut *lock)
        .await
        .unwrap();
    let path = format!(
        "/projects/{}/branches/{branch}/roles/{}/reset_password",
        project.id, project.role
    );
    let (status, response) = call(&emulator, Method::POST, &path, json!({})).await;
    assert_eq!(status, StatusCode::OK, "{response}");
    let password = response["role"]["password"].as_str().unwrap();
    // A new connection can apply the password before the task does.
    let role = &emulator.api.store.roles(&project.branch_id).await.unwrap()[0];
    let sql = format!(
        "ALTER ROLE \"{}\" PASSWORD '{password}'",
        role.physical_name()
    );
    let mut admin = PgConnection::connect(server.uri()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut admin)
        .await
        .unwrap();
    sqlx::query("UPDATE roles SET applied_password = password WHERE branch_id = $1")
        .bind(branch)
        .execute(emulator.api.store.pool())
        .await
        .unwrap();
    let uri = project.uri.replace(&project.password, password);
    let mut connection = PgConnection::connect(&uri).await.unwrap();

    lock.rollback().await.unwrap();
    emulator.api.tasks.close();
    emulator.api.tasks.wait().await;
    connection.ping().await.unwrap();
    outdated.ping().await.unwrap_err();
    emulator.shutdown().await;
}
